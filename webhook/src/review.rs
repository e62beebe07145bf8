//! The edge to the API server's `AdmissionReview`: JSON in, the rules' verdict, JSON out, with its counter and log line.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tentacular_cluster::{
    Object,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
};
use tentacular_process::metrics::Metrics;

use crate::admit::{Finding, Kind, Verdict, admit};

/// The only version of `AdmissionReview` that our configuration names.
const API_VERSION: &str = "admission.k8s.io/v1";
/// The code with which the API server refuses invalid objects itself.
const UNPROCESSABLE: u16 = 422;

/// A body that is no review this webhook can answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    #[error("apiVersion {0:?} is not supported: send {API_VERSION}")]
    Version(String),
    #[error("the review holds no request")]
    Empty,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    verdict: &'static str,
}

/// Answers reviews.
#[derive(Debug, Clone)]
pub(crate) struct Reviewer {
    reviews: Family<Labels, Counter>,
}

impl Reviewer {
    /// Registers the counter of reviews in `metrics`.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let reviews = Family::default();
        metrics.register(|registry| {
            let help = "Admission reviews answered, by kind of object and verdict";
            registry.register("webhook_reviews", help, reviews.clone());
        });
        Self { reviews }
    }

    /// The answer to the review in `body`.
    ///
    /// # Errors
    /// When `body` is no review of the supported version.
    pub(crate) fn answer(&self, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        let review: AdmissionReview<Object> = serde_json::from_slice(body)?;
        if review.types.api_version != API_VERSION {
            return Err(Malformed::Version(review.types.api_version));
        }
        let request: AdmissionRequest<Object> = review.try_into().map_err(|_| Malformed::Empty)?;
        let response = self.decide(&request);
        Ok(serde_json::to_vec(&response.into_review())?)
    }

    fn decide(&self, request: &AdmissionRequest<Object>) -> AdmissionResponse {
        let kind = Kind::of(&request.kind.group, &request.kind.kind);
        let verdict = verdict(kind, request);
        let refused = !verdict.violations.is_empty();
        self.reviews
            .get_or_create(&Labels { kind: kind.label(), verdict: if refused { "denied" } else { "allowed" } })
            .inc();
        if refused {
            tracing::info!(
                kind = kind.label(),
                namespace = request.namespace.as_deref().unwrap_or_default(),
                name = request.name,
                user = request.user_info.username.as_deref().unwrap_or_default(),
                dry_run = request.dry_run,
                problems = lines(&verdict.violations),
                "refused"
            );
        }
        response(request, &verdict)
    }
}

/// What the rules say of a create or update of the object itself. Its subresources and its removal have no rules.
fn verdict(kind: Kind, request: &AdmissionRequest<Object>) -> Verdict {
    match (&request.operation, &request.object) {
        (Operation::Create | Operation::Update, Some(object)) if request.sub_resource.is_none() => {
            let new = object.metadata.annotations.clone().unwrap_or_default();
            let old = request.old_object.as_ref().map(|old| old.metadata.annotations.clone().unwrap_or_default());
            admit(kind, &new, old.as_ref())
        }
        _ => Verdict::default(),
    }
}

fn response(request: &AdmissionRequest<Object>, verdict: &Verdict) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    if !verdict.violations.is_empty() {
        response = response.deny(lines(&verdict.violations));
        response.result.code = UNPROCESSABLE;
        "Invalid".clone_into(&mut response.result.reason);
    }
    if !verdict.warnings.is_empty() {
        response.warnings = Some(verdict.warnings.iter().map(ToString::to_string).collect());
    }
    response
}

/// One finding a line.
fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
