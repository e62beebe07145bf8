//! The answers to a request that is not authenticated, as OAuth clients expect them (RFC 6750 section 3, RFC 9728
//! section 5.1).

use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use tentacular_process::http::BoxResponse;

use super::answer;
use crate::authn::Unauthenticated;

/// What is protected, where there is nothing else to say.
const REALM: &str = "tentacular-mcp";

/// What every challenge says.
#[derive(Debug, Default)]
pub(super) struct Challenge {
    /// Where the metadata of this resource lies.
    pub(super) metadata: Option<String>,
    /// The scopes that a token must have.
    pub(super) scopes: Vec<String>,
}

impl Challenge {
    /// The answer. Its text begins with status and reason, as `tntc` looks for these words.
    pub(super) fn answer(&self, why: Unauthenticated) -> BoxResponse {
        let status = match why {
            Unauthenticated::Scope => StatusCode::FORBIDDEN,
            Unauthenticated::Unavailable => return unavailable(why),
            _ => StatusCode::UNAUTHORIZED,
        };
        let reason = status.canonical_reason().unwrap_or_default();
        let hint = "how to authenticate is in the WWW-Authenticate header";
        let mut response = answer::text(status, format!("{} {reason}: {why}; {hint}", status.as_str()));
        self.mark(&mut response, why);
        response
    }

    /// Adds the challenge to an answer.
    pub(super) fn mark(&self, response: &mut BoxResponse, why: Unauthenticated) {
        let challenge = self.header(error_code(why), &why.to_string());
        // What stands in it is ASCII; a scope or URL that were not would only lose the parameters.
        let challenge = challenge.parse().unwrap_or(HeaderValue::from_static("Bearer"));
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }

    fn header(&self, error: Option<&str>, why: &str) -> String {
        let mut parameters = Vec::new();
        if let Some(error) = error {
            parameters.push(format!("error=\"{error}\""));
            parameters.push(format!("error_description=\"{why}\""));
        }
        if !self.scopes.is_empty() {
            parameters.push(format!("scope=\"{}\"", self.scopes.join(" ")));
        }
        if let Some(url) = &self.metadata {
            parameters.push(format!("resource_metadata=\"{url}\""));
        }
        if parameters.is_empty() {
            // RFC 6750 section 3: at least one parameter.
            parameters.push(format!("realm=\"{REALM}\""));
        }
        format!("Bearer {}", parameters.join(", "))
    }
}

/// The error code of RFC 6750 section 3.1: none where no token came.
const fn error_code(why: Unauthenticated) -> Option<&'static str> {
    match why {
        Unauthenticated::Invalid(_) => Some("invalid_token"),
        Unauthenticated::Scope => Some("insufficient_scope"),
        Unauthenticated::Missing | Unauthenticated::Malformed | Unauthenticated::Unavailable => None,
    }
}

fn unavailable(why: Unauthenticated) -> BoxResponse {
    let mut response = answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("503 Service Unavailable: {why}"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}
