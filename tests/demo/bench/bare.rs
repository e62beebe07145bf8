//! What everything is compared with: a server of hyper alone, which reads the body and answers a few bytes of JSON, or as many
//! as it is asked for.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tentacular_demo::say;
use tokio::net::TcpListener;

/// A request's header: the answer's length in bytes.
pub(crate) const LENGTH: &str = "answer-bytes";
/// The answer where none is asked for.
const SHORT: &[u8] = br#"{"jsonrpc":"2.0","id":"1","result":{}}"#;
/// The longest answer.
const LONG: &[u8] = &[b' '; 256 * 1024];

/// Serves on a free port, and says on which in a line like a log's. Never ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    say(&json!({ "message": "serving", "address": listener.local_addr()?.to_string() }).to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let wanted = request.headers().get(LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    request.into_body().collect().await?;
    let body = wanted.map_or(SHORT, |length| &LONG[..length.min(LONG.len())]);
    let mut response = Response::new(Full::new(Bytes::from_static(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
