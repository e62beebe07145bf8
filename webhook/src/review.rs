//! The edge to the API server's `AdmissionReview`: JSON in, the rules' verdict, JSON out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use tentacular_cluster::{
    Object,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation as Asked},
};
use tentacular_contract::facts::Pairs;

use crate::{
    admit::{Entry, Finding, Installation, Kind, Namespace, Operation, Request, Verdict, admit},
    decisions::Decisions,
    namespaces::Namespaces,
};

/// The only version of `AdmissionReview` that our configuration names.
const API_VERSION: &str = "admission.k8s.io/v1";

/// A body that is no review this webhook can answer.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON of that form.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("apiVersion {0:?} is not supported: send {API_VERSION}")]
    Version(String),
    /// It asks nothing.
    #[error("the review holds no request")]
    Empty,
}

/// Answers reviews.
#[derive(Debug, Clone)]
pub struct Reviewer {
    decisions: Decisions,
    namespaces: Namespaces,
    installation: Installation,
}

/// How a refusal is told.
#[derive(Debug, Clone, Copy)]
struct Code(u16, &'static str);

/// As the API server refuses what somebody has no right to.
const FORBIDDEN: Code = Code(403, "Forbidden");
/// As it refuses invalid objects.
const INVALID: Code = Code(422, "Invalid");
/// As it answers what may succeed later.
const UNAVAILABLE: Code = Code(503, "ServiceUnavailable");
/// As it answers when it has a fault.
const INTERNAL: Code = Code(500, "InternalError");

impl Reviewer {
    /// One that knows these namespaces.
    pub fn new(decisions: Decisions, namespaces: Namespaces, installation: Installation) -> Self {
        Self { decisions, namespaces, installation }
    }

    /// The answer to the review in `body`, which came to `entry`.
    ///
    /// # Errors
    /// When `body` is no review of the supported version.
    pub async fn answer(&self, entry: Entry, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        let review: AdmissionReview<Object> = serde_json::from_slice(body)?;
        if review.types.api_version != API_VERSION {
            return Err(Malformed::Version(review.types.api_version));
        }
        let mut request: AdmissionRequest<Object> = review.try_into().map_err(|_| Malformed::Empty)?;
        let kind = kind(&request);
        let objects = (request.object.take(), request.old_object.take());
        let (verdict, code) = self.decide(entry, kind, &request, objects).await?;
        self.decisions.record(kind.label(), &request, &verdict);
        Ok(serde_json::to_vec(&response(&request, &verdict, code).into_review())?)
    }

    async fn decide(
        &self,
        entry: Entry,
        kind: Kind,
        request: &AdmissionRequest<Object>,
        (object, old): (Option<Object>, Option<Object>),
    ) -> Result<(Verdict, Code), Malformed> {
        let operation = match request.operation {
            Asked::Create => Operation::Create,
            Asked::Update => Operation::Update,
            Asked::Delete => Operation::Delete,
            Asked::Connect => return Ok((Verdict::default(), INVALID)),
        };
        let metadata = match &request.namespace {
            // Of a namespace its own metadata counts, as it is going to be.
            Some(name) if !kind.is_namespace() => match self.namespaces.find(name).await {
                Ok(metadata) => metadata,
                Err(unknown) => return Ok((Verdict::refusal("enclave-unknown", unknown), UNAVAILABLE)),
            },
            _ => Arc::new(object.as_ref().or(old.as_ref()).map(|object| object.metadata.clone()).unwrap_or_default()),
        };
        let (object, old) = (object.map(value).transpose()?, old.map(value).transpose()?);
        // The objects of a collection that is deleted have their names in themselves alone.
        let own_name = [&object, &old].into_iter().flatten().find_map(|object| object["metadata"]["name"].as_str());
        let own_name = own_name.filter(|_| request.name.is_empty()).unwrap_or(&request.name);
        let none = Pairs::new();
        let ObjectMeta { name, labels, annotations, .. } = &*metadata;
        let request = Request {
            entry,
            operation,
            kind,
            subresource: request.sub_resource.as_deref().filter(|part| !part.is_empty()),
            name: own_name,
            namespace: Namespace {
                name: name.as_deref().unwrap_or(own_name),
                labels: labels.as_ref().unwrap_or(&none),
                annotations: annotations.as_ref().unwrap_or(&none),
            },
            object: object.as_ref(),
            old: old.as_ref(),
        };
        // A fault in a rule is the fault of this one review. The panic itself is in the log.
        let judged = catch_unwind(AssertUnwindSafe(|| admit(&request, &self.installation)));
        let code = if entry == Entry::Protect { FORBIDDEN } else { INVALID };
        Ok(judged.map_or_else(|_| (fault(), INTERNAL), |verdict| (verdict, code)))
    }
}

fn fault() -> Verdict {
    let text = "internal error: the admission webhook failed at this request, whose cause is in its log; try another way \
                to write it, or let an administrator report it";
    Verdict::refusal("internal-error", text)
}

/// The kind of the object; of a scale that of the object that is scaled.
fn kind(request: &AdmissionRequest<Object>) -> Kind {
    if request.sub_resource.as_deref() == Some("scale") {
        return Kind::of_resource(&request.resource.group, &request.resource.resource);
    }
    Kind::of(&request.kind.group, &request.kind.kind)
}

/// The object as JSON, without the members of which no rule speaks and which change with every write.
pub(crate) fn value(Object { metadata, data: mut value, .. }: Object) -> Result<Value, serde_json::Error> {
    value["metadata"] = serde_json::to_value(ObjectMeta { managed_fields: None, ..metadata })?;
    Ok(value)
}

fn response(request: &AdmissionRequest<Object>, verdict: &Verdict, Code(code, reason): Code) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    if !verdict.violations.is_empty() {
        response = response.deny(lines(&verdict.violations));
        response.result.code = code;
        reason.clone_into(&mut response.result.reason);
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
