//! What happens before a request is an MCP message: the paths that need no credentials, where the request comes from,
//! authentication, and what is not served.

use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ALLOW, RETRY_AFTER},
};
use hyper::body::Incoming;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tentacular_contract::Caller;
use tentacular_process::{
    Context, health,
    http::{Acquaintance, BoxResponse, boxed},
};

use super::{
    Arrival, answer,
    challenge::Challenge,
    concurrency,
    external_url::{ExternalUrl, ResourceMetadata},
    origin::{OriginArgs, Origins},
    slowdown::{Due, Slowdown},
};
use crate::authn::{Authenticator, Oidc, Unauthenticated};

/// The one path of MCP.
pub(super) const MCP: &str = "/mcp";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

/// Lets requests in.
#[derive(Debug)]
pub(crate) struct Entrance {
    authenticator: Authenticator,
    origins: Origins,
    metadata: Option<ResourceMetadata>,
    challenge: Challenge,
    slowdown: Slowdown,
    authentications: Family<Labels, Counter>,
}

impl Entrance {
    /// Checks the arguments.
    pub(crate) fn new(
        authenticator: Authenticator,
        external_url: Option<&ExternalUrl>,
        args: OriginArgs,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let metadata = external_url.zip(authenticator.oidc()).map(|(url, oidc)| ResourceMetadata::new(url, oidc));
        let authentications = Family::default();
        context.metrics.register(|registry| {
            let help = "Requests by how authentication ended, the `result`: `bearer` or `oidc` for a caller that is known; \
                        `missing`, `malformed-header`, `scope`, `foreign` (a host or origin that is not allowed), `unavailable` (no \
                        key of the identity provider is known), or what is wrong with the token";
            registry.register("authentications", help, authentications.clone());
        });
        Ok(Self {
            origins: Origins::from_args(args)?,
            challenge: Challenge {
                metadata: metadata.as_ref().map(|metadata| metadata.url.clone()),
                scopes: authenticator.oidc().map(Oidc::required_scopes).unwrap_or_default().to_vec(),
            },
            metadata,
            authenticator,
            slowdown: Slowdown::new(),
            authentications,
        })
    }

    /// The caller of a POST to `/mcp`; or the answer, where the request is none or is refused.
    pub(super) async fn admit(
        &self,
        request: &Request<Incoming>,
        arrival: Arrival,
    ) -> Result<Caller, Box<BoxResponse>> {
        if request.uri().path() == "/healthz" && [Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Box::new(boxed(health::alive())));
        }
        if let Some(document) = self.metadata.as_ref().and_then(|metadata| metadata.answer(request)) {
            return Err(Box::new(document));
        }
        if let Err(foreign) = self.origins.check(request) {
            self.count("foreign");
            return Err(Box::new(answer::text(StatusCode::FORBIDDEN, format!("403 Forbidden: {foreign}"))));
        }
        let caller = match self.authenticator.authenticate(request.headers()).await {
            Ok(caller) => caller,
            Err(why) => return Err(Box::new(self.unauthenticated(request, arrival, why).await)),
        };
        self.count(if caller == Caller::Bearer { "bearer" } else { "oidc" });
        if let Some(acquaintance) = request.extensions().get::<Acquaintance>() {
            acquaintance.vouch(|| concurrency::key(&caller));
        }
        if request.uri().path() != MCP {
            return Err(Box::new(answer::text(StatusCode::NOT_FOUND, "not found: MCP is served on /mcp")));
        }
        if request.method() != Method::POST {
            let mut response = answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: POST one message");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(Box::new(response));
        }
        Ok(caller)
    }

    /// The answer to a request that is not authenticated; it may have to wait.
    async fn unauthenticated(
        &self,
        request: &Request<Incoming>,
        arrival: Arrival,
        why: Unauthenticated,
    ) -> BoxResponse {
        self.count(why.label());
        let client = self.origins.client(request);
        let due = match why {
            // The token is genuine.
            Unauthenticated::Scope => Due::Now,
            _ => self.slowdown.fail(client).await,
        };
        // Whoever is slowed down does not fill the log either; the metrics count all.
        if due == Due::Now {
            let client = client.map(tracing::field::display);
            tracing::info!(request_id = %arrival.id(), outcome = "unauthenticated", rule = why.label(), reason = %why, client, "decision");
        }
        if due == Due::TooMany {
            let text = "429 Too Many Requests: too many requests fail to authenticate; try again in a moment";
            let mut response = answer::text(StatusCode::TOO_MANY_REQUESTS, text);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
            self.challenge.mark(&mut response, why);
            return response;
        }
        self.challenge.answer(why)
    }

    fn count(&self, result: &'static str) {
        self.authentications.get_or_create(&Labels { result }).inc();
    }
}
