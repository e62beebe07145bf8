//! What happens before a request is an MCP message: the paths that need no credentials, authentication, and what is not
//! served.

use http::{HeaderValue, Method, Request, StatusCode, header::ALLOW};
use hyper::body::Incoming;
use tentacular_contract::Caller;
use tentacular_process::{
    health,
    http::{BoxResponse, boxed},
};

use super::answer;
use crate::authn::Authenticator;

/// The one path of MCP.
const MCP: &str = "/mcp";

/// Lets requests in.
#[derive(Debug)]
pub(crate) struct Entrance {
    authenticator: Authenticator,
}

impl Entrance {
    pub(crate) const fn new(authenticator: Authenticator) -> Self {
        Self { authenticator }
    }

    /// The caller and the POST to `/mcp`; or the answer, where the request is none or is refused.
    pub(super) async fn admit(
        &self,
        request: Request<Incoming>,
    ) -> Result<(Caller, Request<Incoming>), Box<BoxResponse>> {
        if request.uri().path() == "/healthz" && request.method() == Method::GET {
            return Err(Box::new(boxed(health::alive())));
        }
        let caller = match self.authenticator.authenticate(request.headers()) {
            Ok(caller) => caller,
            Err(why) => {
                tracing::info!(outcome = "unauthenticated", reason = %why, "decision");
                return Err(Box::new(answer::unauthenticated(why)));
            }
        };
        if request.uri().path() != MCP {
            return Err(Box::new(answer::text(StatusCode::NOT_FOUND, "not found: MCP is served on /mcp")));
        }
        if request.method() != Method::POST {
            let mut response = answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: POST one message");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(Box::new(response));
        }
        Ok((caller, request))
    }
}
