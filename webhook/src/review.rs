//! The edge to the API server's `AdmissionReview`: JSON in, the rules' verdict, JSON out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use tentacular_contract::facts::Pairs;

use crate::{
    admit::{Installation, Kind, Namespace, Operation, Request, Verdict, protect, texts, told, validate},
    callers::Callers,
    decisions::Decisions,
    namespaces::Namespaces,
    wire::{API_VERSION, Answer, Asked, KIND, Object, Review, Status, Verb},
};

/// A body that is no review this webhook can answer.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON of that form.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// It is something else, or of another version.
    #[error("apiVersion {0:?} and kind {1:?} are not supported: send {API_VERSION} and {KIND}")]
    Version(String, String),
    /// It asks nothing.
    #[error("the review holds no request")]
    Empty,
    /// It does not say what it asks about.
    #[error("the request has no {0}, without which nothing can be said of it")]
    Incomplete(&'static str),
}

/// Answers reviews.
#[derive(Debug, Clone)]
pub struct Reviewer {
    decisions: Decisions,
    namespaces: Namespaces,
    callers: Callers,
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
    /// One that knows these namespaces and callers.
    pub const fn new(
        decisions: Decisions,
        namespaces: Namespaces,
        callers: Callers,
        installation: Installation,
    ) -> Self {
        Self { decisions, namespaces, callers, installation }
    }

    /// The answer to the review in `body`.
    ///
    /// # Errors
    /// When `body` is no review of the supported version, or lacks what it is about.
    pub async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Review { api_version, kind, request } = serde_json::from_slice(body)?;
        if (api_version.as_str(), kind.as_str()) != (API_VERSION, KIND) {
            return Err(Malformed::Version(api_version, kind));
        }
        let asked = request.ok_or(Malformed::Empty)?;
        let kind = kind_of(&asked);
        let place = (asked.namespace.is_none() && !kind.is_namespace()).then_some("namespace");
        if let Some(missing) = asked.missing().or(place) {
            return Err(Malformed::Incomplete(missing));
        }
        let (verdict, code) = self.decide(kind, &asked).await;
        self.decisions.record(kind, &asked, &verdict);
        Ok(answer(&asked, &verdict, code).to_json()?)
    }

    async fn decide(&self, kind: Kind, asked: &Asked) -> (Verdict, Code) {
        let operation = match asked.operation {
            Verb::Create => Operation::Create,
            Verb::Update => Operation::Update,
            Verb::Delete => Operation::Delete,
            Verb::Connect => return (Verdict::default(), INVALID),
        };
        let [object, old] = [&asked.object, &asked.old_object].map(|object| object.as_ref().map(|Object(json)| json));
        let metadata = match &asked.namespace {
            // Of a namespace its own metadata counts, as it is going to be.
            Some(name) if !kind.is_namespace() => match self.namespaces.find(name).await {
                Ok(metadata) => metadata,
                Err(unknown) => return (Verdict::refusal("enclave-unknown", unknown), UNAVAILABLE),
            },
            _ => Arc::new(object.or(old).map(metadata).unwrap_or_default()),
        };
        // The objects of a collection that is deleted have their names in themselves alone.
        let own_name = [object, old].into_iter().flatten().find_map(|object| object["metadata"]["name"].as_str());
        let own_name = own_name.filter(|_| asked.name.is_empty()).unwrap_or(&asked.name);
        let none = Pairs::new();
        let ObjectMeta { name, labels, annotations, .. } = &*metadata;
        let request = Request {
            operation,
            kind,
            subresource: asked.sub_resource.as_deref().filter(|part| !part.is_empty()),
            name: own_name,
            namespace: Namespace {
                name: name.as_deref().unwrap_or(own_name),
                labels: labels.as_ref().unwrap_or(&none),
                annotations: annotations.as_ref().unwrap_or(&none),
            },
            object,
            old,
        };
        let judge = || {
            let by_server = self.callers.is_server(&asked.user_info);
            let forbidden = if by_server { Vec::new() } else { protect(&request) };
            (forbidden, validate(&request, &self.installation))
        };
        let (forbidden, mut verdict) = match guarded(judge) {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        if forbidden.is_empty() {
            return (verdict, INVALID);
        }
        match self.callers.is_administrator(&asked.user_info).await {
            Ok(true) => {
                if verdict.violations.is_empty() {
                    verdict.exempt = forbidden;
                }
                (verdict, INVALID)
            }
            Ok(false) => (Verdict::from(forbidden).and(verdict), FORBIDDEN),
            Err(unknown) => {
                let unknown = Verdict::refusal("administrator-unknown", unknown);
                (Verdict::from(forbidden).and(unknown).and(verdict), INTERNAL)
            }
        }
    }
}

/// What `judge` finds, or the refusal where it panics: a fault in a rule is the fault of one review. The panic itself is in the log.
fn guarded<T>(judge: impl FnOnce() -> T) -> Result<T, (Verdict, Code)> {
    catch_unwind(AssertUnwindSafe(judge)).map_err(|_| (fault(), INTERNAL))
}

fn fault() -> Verdict {
    let text = "internal error: the admission webhook failed at this request, whose cause is in its log; try another way \
                to write it, or let an administrator report it";
    Verdict::refusal("internal-error", text)
}

/// The kind of the object; of a scale that of the object that is scaled.
fn kind_of(asked: &Asked) -> Kind {
    if asked.sub_resource.as_deref() == Some("scale") {
        return Kind::of_resource(&asked.resource.group, &asked.resource.resource);
    }
    Kind::of(&asked.kind.group, &asked.kind.kind)
}

/// Name, labels and annotations of the object.
fn metadata(object: &Value) -> ObjectMeta {
    let pairs = |member| {
        let texts = texts(Some(object), member).into_iter();
        Some(texts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    };
    ObjectMeta {
        name: object["metadata"]["name"].as_str().map(str::to_owned),
        labels: pairs("labels"),
        annotations: pairs("annotations"),
        ..ObjectMeta::default()
    }
}

fn answer<'a>(asked: &'a Asked, verdict: &Verdict, Code(code, reason): Code) -> Answer<'a> {
    let refused = !verdict.violations.is_empty();
    Answer {
        uid: &asked.uid,
        allowed: !refused,
        status: refused.then(|| Status { code, reason, message: told(&verdict.violations).join("\n") }),
        warnings: told(&verdict.warnings),
    }
}

#[cfg(test)]
mod tests;
