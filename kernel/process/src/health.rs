//! Liveness and readiness, and the second port that shows them together with the metrics.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use ::http::{Response, StatusCode, header::CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;

use crate::{bootstrap::Context, http::Handler, metrics::Metrics};

/// What a process must have before it can serve. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    draining: bool,
    conditions: BTreeMap<String, bool>,
    notes: BTreeMap<String, String>,
}

/// The answer of /readyz.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether the process can serve.
    pub ready: bool,
    /// Whether it is ending.
    pub draining: bool,
    /// What it needs, and whether it has it.
    pub conditions: BTreeMap<String, bool>,
    /// What is worth knowing and does not decide readiness, such as which sidecars are up.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

/// One thing that a process needs.
#[derive(Debug, Clone)]
pub struct Condition {
    health: Health,
    name: String,
}

impl Health {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something that the process needs; not met yet.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let name = name.into();
        self.state().conditions.entry(name.clone()).or_default();
        Condition { health: self.clone(), name }
    }

    /// Sets what /readyz says of `name` without deciding readiness.
    pub fn note(&self, name: impl Into<String>, text: impl Into<String>) {
        self.state().notes.insert(name.into(), text.into());
    }

    /// The process is ending: not ready from now on.
    pub(crate) fn drain(&self) {
        self.state().draining = true;
    }

    /// What /readyz answers now.
    pub fn readiness(&self) -> Readiness {
        let state = self.state();
        Readiness {
            ready: !state.draining && state.conditions.values().all(|met| *met),
            draining: state.draining,
            conditions: state.conditions.clone(),
            notes: state.notes.clone(),
        }
    }
}

impl Condition {
    /// Says whether it is met.
    pub fn set(&self, met: bool) {
        let before = self.health.state().conditions.insert(self.name.clone(), met);
        if before != Some(met) {
            tracing::info!(condition = self.name, met, "readiness");
        }
    }
}

/// Answers /healthz, /readyz and /metrics.
#[derive(Debug, Clone)]
pub(crate) struct Observe {
    health: Health,
    metrics: Metrics,
}

impl Observe {
    pub(crate) fn new(context: &Context) -> Self {
        Self { health: context.health.clone(), metrics: context.metrics.clone() }
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/healthz" => alive(),
            "/readyz" => {
                let readiness = self.health.readiness();
                let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let body = serde_json::to_vec(&readiness).unwrap_or_default();
                respond(status, "application/json", body)
            }
            "/metrics" => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                respond(StatusCode::OK, kind, self.metrics.encode())
            }
            _ => respond(StatusCode::NOT_FOUND, "text/plain", "try /healthz, /readyz or /metrics\n"),
        }
    }
}

/// The answer of /healthz: the process runs.
pub fn alive() -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "application/json", "{\"status\":\"ok\"}")
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, ::http::HeaderValue::from_static(kind));
    response
}

impl Handler for Observe {
    type Body = Full<Bytes>;

    async fn handle(&self, request: ::http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(self.answer(request.uri().path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_all_conditions_and_not_draining() {
        let health = Health::default();
        let (one, two) = (health.condition("one"), health.condition("two"));
        one.set(true);
        assert!(!health.readiness().ready);
        two.set(true);
        health.note("sidecar", "away");
        assert!(health.readiness().ready);
        health.drain();
        assert!(!health.readiness().ready);
    }
}
