//! The body of a request, read up to its limits, and the media types in which sender and kernel understand each other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tentacular_contract::limits;
use tentacular_process::http::BoxResponse;
use tokio::{sync::Semaphore, time::timeout};

use super::answer;

/// Bytes over the limit of a body that are still read before the refusal.
const LISTENED_TO: usize = 16 * 1024 * 1024;
/// Bytes of a body that are read for nothing when its request is refused, and how long.
const DRAINED: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// Bodies up to this size are read whenever they come.
const SMALL: usize = 64 * 1024;
/// Larger ones that are read at once: 128 MiB at most wait in memory for their senders. Others wait within their time.
static LARGE: Semaphore = Semaphore::const_new(32);
/// Requests of one caller whose bodies may be on their way: as many as an HTTP/2 connection has, since a client may send all
/// heads before the first body.
pub(super) const ON_THEIR_WAY: usize = 256;
/// Bodies of one caller that are read at once, and the large ones among them.
const OF_A_CALLER: usize = 64;
const LARGE_OF_A_CALLER: usize = 4;
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// What the kernel and the sidecars answer with.
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// One caller's places for bodies that are read. Others of the caller wait for them within their time, so that nobody takes all
/// of the memory, or all places for large bodies, and sends no more.
#[derive(Debug)]
pub(crate) struct Places {
    all: Semaphore,
    large: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Semaphore::new(OF_A_CALLER), large: Semaphore::new(LARGE_OF_A_CALLER) }
    }
}

/// Reads the body in a place of its sender. Its `Accept` is spelled out from then on.
pub(super) async fn read<B>(request: Request<B>, places: &Places) -> Result<(Parts, Bytes), Box<BoxResponse>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut parts, body) = request.into_parts();
    let refuse = |status, text: String| Err(Box::new(answer::text(status, text)));
    if !is_json(&parts.headers) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type must be {JSON}"));
    }
    if !(accepts(&parts.headers, JSON) && accepts(&parts.headers, EVENTS)) {
        return refuse(StatusCode::NOT_ACCEPTABLE, format!("Accept must allow both {JSON} and {EVENTS}"));
    }
    parts.headers.insert(ACCEPT, BOTH);
    let Ok(collected) = timeout(limits::BODY_TIME, collect(body, places)).await else {
        let limit = limits::BODY_TIME.as_secs();
        return refuse(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {limit} s"));
    };
    match collected {
        Ok(Some(bytes)) => Ok((parts, bytes)),
        Ok(None) => {
            let limit = limits::BODY_BYTES / 1024 / 1024;
            refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} MiB"))
        }
        Err(_) => refuse(StatusCode::BAD_REQUEST, "the body ended early".to_owned()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON)
}

/// Whether an answer of this kind may be given (RFC 9110 section 12.5.1: without the header, any).
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let ranges = headers.get_all(ACCEPT);
    let mut ranges = ranges.iter().flat_map(|value| value.to_str().unwrap_or_default().split(','));
    !headers.contains_key(ACCEPT) || ranges.any(|range| is_in(range, kind))
}

fn is_in(range: &str, kind: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let group = range.strip_suffix('*').filter(|group| group.ends_with('/'));
    let matches = range.eq_ignore_ascii_case(kind)
        || group.is_some_and(|group| group == "*/" || kind.starts_with(&group.to_ascii_lowercase()));
    let never = |weight: &str| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0);
    let weight = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| never(value))
    };
    matches && !parts.any(|parameter| weight(parameter).unwrap_or_default())
}

/// Reads a small body away, for a moment: over HTTP/2 an answer before the body's end resets its stream, which some clients take
/// for an error.
pub(super) async fn drain(request: Request<Incoming>) {
    let mut body = request.into_body();
    if body.size_hint().upper().is_some_and(|bytes| bytes <= DRAINED) {
        // Whoever sends no more gets the answer all the same.
        let _ = timeout(DRAIN_TIME, async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} }).await;
    }
}

/// The whole body, or `None` when it is over the limit. What is over it is read and dropped, up to a point: whoever is
/// still sending does not hear an answer.
async fn collect<B>(mut body: B, places: &Places) -> Result<Option<Bytes>, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    // No semaphore here is ever closed.
    let _place = places.all.acquire().await;
    let mut bytes = BytesMut::new();
    let mut size = 0;
    let mut large = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        size += data.len();
        if size > SMALL && large.is_none() {
            // One's own first: whoever waits for it takes no place of all.
            large = Some((places.large.acquire().await, LARGE.acquire().await));
        }
        if size <= limits::BODY_BYTES {
            bytes.extend_from_slice(&data);
        } else if size > limits::BODY_BYTES + LISTENED_TO {
            break;
        }
    }
    Ok((size <= limits::BODY_BYTES).then(|| bytes.freeze()))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures::{Stream, StreamExt, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::{Instant, sleep};

    use super::*;

    type Pieces = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>>>>;

    fn posted(pieces: impl Stream<Item = Bytes> + 'static) -> Request<StreamBody<Pieces>> {
        let pieces: Pieces = Box::pin(pieces.map(|piece| Ok(Frame::data(piece))));
        let mut request = Request::new(StreamBody::new(pieces));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        request
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_of_one_sender_that_stop_arriving_keep_nobody_elses_waiting() {
        let large = || Bytes::from(vec![b' '; SMALL + 1]);
        let (slow, other) = (Places::default(), Places::default());
        let stopped = (0..40).map(|_| read(posted(stream::iter([large()]).chain(stream::pending())), &slow));
        let mut stopped = std::pin::pin!(futures::future::join_all(stopped));
        assert!(futures::poll!(&mut stopped).is_pending());
        let begun = Instant::now();
        for (piece, places) in [(large(), &other), (Bytes::from(vec![b' '; SMALL]), &slow)] {
            let whole = read(posted(stream::iter([piece])), places).await;
            assert!(whole.is_ok(), "{:?}", whole.map(|(_, body)| body.len()));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_sender_so_many_bodies_are_read_and_the_others_when_there_is_room() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let places = Places::default();
        let stopped = (0..100).map(|_| {
            let piece = stream::once(async {
                BEGUN.fetch_add(1, Ordering::Relaxed);
                Bytes::from_static(b"{")
            });
            read(posted(piece.chain(stream::pending())), &places)
        });
        let mut stopped = std::pin::pin!(futures::future::join_all(stopped));
        assert!(futures::poll!(&mut stopped).is_pending());
        assert_eq!(BEGUN.load(Ordering::Relaxed), OF_A_CALLER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_arriving_or_trickles_is_given_up() {
        let piece = Bytes::from_static(b" ");
        let stops = stream::iter([piece.clone()]).chain(stream::pending()).boxed();
        let trickles = stream::repeat(piece).then(|piece| async {
            sleep(Duration::from_secs(7)).await;
            piece
        });
        for pieces in [stops, trickles.boxed()] {
            let begun = Instant::now();
            let answer = read(posted(pieces), &Places::default()).await.expect_err("it never ends");
            assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
            assert_eq!(begun.elapsed(), limits::BODY_TIME);
        }
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_not_read_for_ever() {
        let endless = posted(stream::repeat(Bytes::from(vec![b' '; 1 << 20])));
        let answer = read(endless, &Places::default()).await.expect_err("too large");
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn both_kinds_of_answers_must_be_acceptable() {
        let both = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT, value.parse().expect("a value"));
            }
            accepts(&headers, JSON) && accepts(&headers, EVENTS)
        };
        for accept in [
            &[][..],
            &["application/json, text/event-stream"],
            &["application/json", "Text/Event-Stream;q=0.1"],
            &["*/*"],
            &["application/*;q=0.5,text/*"],
            &["text/html, */*;q=0.001"],
        ] {
            assert!(both(accept), "{accept:?}");
        }
        for accept in [
            &["application/json"][..],
            &["text/event-stream"],
            &["text/html"],
            &[""],
            &["application/json;q=0, text/event-stream;Q=0.0"],
            &["*/*;q=0"],
            &["application/json, text/*;q=0"],
            &["app*"],
            &["*"],
        ] {
            assert!(!both(accept), "{accept:?}");
        }
    }
}
