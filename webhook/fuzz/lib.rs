//! What both targets do with a body: ask the webhook about it for each kind of caller, and hold each answer to what the API
//! server needs. A panic ends the run, also one that the webhook would catch.

use std::{
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
};

use serde_json::{Value, json};
use tentacular_contract::pod_security::Version;
use tentacular_process::metrics::Metrics;
use tentacular_webhook::{
    admit::Installation,
    callers::Callers,
    decisions::Decisions,
    namespaces::Namespaces,
    review::{Malformed, Reviewer},
};
use tokio::sync::watch;

/// One for whom nobody is an administrator, and one for whom those without a name are.
static REVIEWERS: LazyLock<[Reviewer; 2]> = LazyLock::new(|| {
    let namespace = |name: &str, status: &str, level: &str| {
        let metadata = json!({
            "name": name,
            "labels": {
                "app.kubernetes.io/managed-by": "tentacular", "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/enforce-version": "v1.30",
            },
            "annotations": { "tentacular.io/enclave": name, "tentacular.io/enclave-status": status },
        });
        serde_json::from_value(metadata).expect("metadata")
    };
    let namespaces = Namespaces::fixed([
        namespace("team-a", "active", "restricted"),
        namespace("team-b", "frozen", "baseline"),
        namespace("Not A Name", "", ""),
    ]);
    let version = watch::channel(Version::NEWEST).1;
    let installation = Installation { ingress_domain: Some("apps.example.org".to_owned()), version };
    [None, Some("")].map(|administrator| {
        let (decisions, callers) = (Decisions::new(&Metrics::default()), Callers::administrators(administrator));
        Reviewer::new(decisions, namespaces.clone(), callers, installation.clone())
    })
});

/// Asks about a body for each kind of caller, and says whether it is a review.
///
/// # Panics
/// When an answer is none that the API server can use.
pub fn ask(body: &[u8]) -> bool {
    let answers = REVIEWERS.each_ref().map(|reviewer| answer(reviewer, body));
    answers.iter().flatten().for_each(|answer| hold(answer));
    answers.iter().all(Result::is_ok)
}

/// The answer, which is there at once: all namespaces and administrators are known.
fn answer(reviewer: &Reviewer, body: &[u8]) -> Result<Vec<u8>, Malformed> {
    match pin!(reviewer.answer(body)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a review waits"),
    }
}

fn hold(answer: &[u8]) {
    let review: Value = serde_json::from_slice(answer).expect("JSON");
    let response = &review["response"];
    assert!(response["uid"].is_string(), "{review}");
    let allowed = response["allowed"].as_bool().expect("a verdict");
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert!(allowed || message.contains("(rule "), "{review}");
}
