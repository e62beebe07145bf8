//! A request's id, in its answer and in the record of its call, and when it came.

use http::HeaderValue;
use tentacular_process::http::BoxResponse;
use tokio::time::Instant;
use uuid::Uuid;

/// Response header of the id.
const REQUEST_ID: &str = "x-request-id";

/// The arrival of a request. The id is the kernel's own: one that a client sends says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    id: Uuid,
    at: Instant,
}

impl Arrival {
    pub(crate) fn now() -> Self {
        Self { id: Uuid::now_v7(), at: Instant::now() }
    }

    pub(crate) const fn id(&self) -> Uuid {
        self.id
    }

    /// Milliseconds since then, with three decimals.
    pub(crate) fn milliseconds(&self) -> f64 {
        (self.at.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    /// Names the request in its answer.
    pub(crate) fn mark(&self, response: &mut BoxResponse) {
        let mut text = Uuid::encode_buffer();
        // A UUID is always a header value.
        if let Ok(value) = HeaderValue::from_str(self.id.hyphenated().encode_lower(&mut text)) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::edge::answer;

    #[test]
    fn every_answer_names_its_request_and_no_two_are_the_same() {
        let (one, other) = (Arrival::now(), Arrival::now());
        assert_ne!(one.id(), other.id());
        assert_eq!(one.id().get_version_num(), 7);
        let mut response = answer::text(StatusCode::OK, "x");
        one.mark(&mut response);
        assert_eq!(response.headers()["x-request-id"], one.id().to_string());
    }
}
