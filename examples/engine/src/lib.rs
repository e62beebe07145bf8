//! A small tentacle engine: an HTTP server with the shapes of the real one, which counts the words of its input.
//!
//! It plays many tentacles at once, told apart by a path prefix: `/<enclave>/<tentacle>/run` and
//! `/<enclave>/<tentacle>/health`. Without a prefix it is one tentacle alone, as in a pod.

mod telemetry;
mod words;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use self::telemetry::{Telemetry, epoch_ms};

/// Largest input, in bytes.
const INPUT_BYTES: usize = 8 * 1024 * 1024;
/// Longest `sleep_ms` of an input.
const LONGEST_SLEEP_MS: u64 = 60_000;
/// Most `echo_bytes` of an input.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// Header with the id of a run, which the outputs repeat.
const RUN_ID_HEADER: &str = "tentacular-run-id";

/// Every tentacle that was run, by its path prefix.
type Tentacles = Arc<Mutex<BTreeMap<String, Arc<Telemetry>>>>;

/// Serves on `listener` for as long as it is polled.
pub async fn serve(listener: TcpListener) {
    let tentacles = Tentacles::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give others time to close some.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let tentacles = Arc::clone(&tentacles);
        let service = service_fn(move |request| {
            let tentacles = Arc::clone(&tentacles);
            async move { Ok::<_, Infallible>(answer(&tentacles, request).await) }
        });
        // A client that breaks off concerns nobody else.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(tentacles: &Tentacles, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let place = match head.uri.path().trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        [verb] => Some((String::new(), verb)),
        [enclave, tentacle, verb] if !enclave.is_empty() && !tentacle.is_empty() => {
            Some((format!("{enclave}/{tentacle}"), verb))
        }
        _ => None,
    };
    match place {
        Some((tentacle, "run")) if matches!(head.method, Method::GET | Method::POST) => {
            let Ok(body) = Limited::new(body, INPUT_BYTES).collect().await else {
                return respond(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "the input is too large" }));
            };
            run(&telemetry(tentacles, tentacle), &head.headers, &body.to_bytes()).await
        }
        Some((tentacle, "health")) if head.method == Method::GET => {
            let detail = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "detail=1"));
            let health = if detail { telemetry(tentacles, tentacle).detail() } else { json!({ "status": "ok" }) };
            respond(StatusCode::OK, &health)
        }
        _ => respond(StatusCode::NOT_FOUND, &json!({ "error": "not found" })),
    }
}

fn telemetry(tentacles: &Tentacles, tentacle: String) -> Arc<Telemetry> {
    let mut tentacles = tentacles.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(tentacles.entry(tentacle).or_default())
}

/// One run: the nodes `split` and `count`, and what the input asks for to try a client out.
async fn run(telemetry: &Telemetry, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
    let (started_at, since) = (epoch_ms(), Instant::now());
    // As in the real engine, what is no JSON counts as empty.
    let input = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let run_id = headers.get(RUN_ID_HEADER).and_then(|id| id.to_str().ok());
    let event = telemetry.begin(run_id, input["trigger"].as_str());
    if let Some(ms) = input["sleep_ms"].as_u64() {
        sleep(Duration::from_millis(ms.min(LONGEST_SLEEP_MS))).await;
    }
    if let Some(bytes) = input["echo_bytes"].as_u64() {
        event.end(None);
        let bytes = usize::try_from(bytes.min(MOST_BYTES)).unwrap_or_default();
        return Response::new(Full::new(vec![b'x'; bytes].into()));
    }

    let words = words::split(input["text"].as_str().unwrap_or_default());
    let split_ms = millis(since);
    let failure = input["fail"].as_str();
    let mut outputs = Map::new();
    outputs.insert("split".to_owned(), json!({ "words": words }));
    if failure.is_none() {
        outputs.insert("count".to_owned(), words::count(&words));
    }
    if let Some(id) = run_id {
        outputs.insert("metadata".to_owned(), json!({ "runId": id }));
    }
    let errors = failure.map_or_else(|| json!({}), |message| json!({ "count": message }));
    event.end(failure);
    let report = json!({
        "success": failure.is_none(),
        "outputs": outputs,
        "errors": errors,
        "timing": {
            "startedAt": started_at,
            "completedAt": epoch_ms(),
            "durationMs": millis(since),
            "nodeTimings": { "split": split_ms, "count": millis(since).saturating_sub(split_ms) },
        },
    });
    respond(if failure.is_none() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }, &report)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
