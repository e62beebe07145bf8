//! What a record says, and when.

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use tentacular_contract::{Identity, Policy, Question, evaluate, keys};
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::sidecars::{Catalog, Offer, Reserved};

/// The log of this thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Catches what is logged while the guard lives.
    pub(crate) fn catch() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    /// The records so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lines = String::from_utf8(bytes).expect("UTF-8");
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["message"] == "decision").collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tool(built_in: bool, name: &str) -> Arc<Tool> {
    let tool = json!({"name": name, "inputSchema": {"type": "object"},
        "_meta": {keys::AUTHZ_META: {"on": "caller", "needs": "read"}}});
    let offer = Offer { built_in, ..Offer::of("auditor", Path::new("/nowhere"), json!([tool])) };
    let catalog = Catalog::merge([&offer].into_iter(), &Reserved::new());
    Arc::clone(catalog.find(name).expect("the tool"))
}

fn permit(tool: &Tool, caller: &Caller) -> Permit {
    let question = Question {
        caller,
        policy: Policy::default(),
        tool: &tool.name,
        authz: &tool.authz,
        enclave: None,
        tentacle: None,
    };
    evaluate(&question).expect("permitted")
}

#[test]
fn a_record_says_who_what_where_and_how_it_ended() {
    let (log, _guard) = Log::catch();
    let identity = Identity {
        sub: Some("s-1".to_owned()),
        email: "ann@x.io".parse().ok(),
        azp: Some("tntc".to_owned()),
        ..Identity::default()
    };
    let (caller, arrival, tool) = (Caller::Oidc(identity), Arrival::now(), tool(true, "wf_list"));
    let mut record = Audit::default().begin(arrival, &caller, Some("wf_ls"));
    record.tool(&tool);
    record.place("team-a".parse().ok().as_ref(), "report".parse().ok().as_ref());
    record.allowed(&permit(&tool, &caller));
    record.forwarded();
    record.ended("answered");
    assert!(log.records().is_empty(), "it is logged at the end");
    drop(record);
    let mut records = log.records();
    let mut said = records.remove(0);
    assert!(records.is_empty(), "and once");
    let said = said.as_object_mut().expect("an object");
    assert!(said.remove("duration_ms").is_some_and(|duration| duration.is_f64()));
    for ordinary in ["timestamp", "level", "target"] {
        said.remove(ordinary);
    }
    let expected = json!({"message": "decision", "request_id": arrival.id().to_string(), "kind": "oidc", "caller": "ann@x.io", "sub": "s-1",
        "azp": "tntc", "tool": "wf_list", "sidecar": "auditor", "enclave": "team-a", "tentacle": "report",
        "needs": "read", "outcome": "allowed", "rule": "authenticated", "reason": "", "result": "answered"});
    assert_eq!(json!(said), expected);
}

#[test]
fn a_call_that_ends_otherwise_is_recorded_too() {
    let (log, _guard) = Log::catch();
    let audit = Audit::default();
    let begin = || audit.begin(Arrival::now(), &Caller::Bearer, Some("wf_list"));
    drop(begin());
    let mut denied = begin();
    denied.denied(&Refusal::sentence("mode", "x".repeat(100_000)));
    drop(denied);
    let mut cut = begin();
    cut.forwarded();
    drop(cut);
    let panicking = begin();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _record = panicking;
        panic!("a defect");
    }));
    assert!(panic.is_err());
    let said: Vec<_> = log
        .records()
        .iter()
        .map(|record| [&record["outcome"], &record["rule"], &record["result"]].map(Clone::clone))
        .collect();
    assert_eq!(
        json!(said),
        json!([
            ["denied", "undecided", "cancelled"],
            ["denied", "mode", null],
            ["denied", "undecided", "cut"],
            ["denied", "undecided", "panicked"],
        ])
    );
    let reason = log.records()[1]["reason"].as_str().map(str::len);
    assert_eq!(reason, Some(REASON), "a reason does not fill the log");
}

#[test]
fn nobody_makes_up_labels_nor_fills_the_log() {
    let (log, _guard) = Log::catch();
    let audit = Audit::default();
    for index in 0..50 {
        let name = format!("made-up-{index}{}", "x".repeat(1_000));
        let mut unknown = audit.begin(Arrival::now(), &Caller::Bearer, Some(&name));
        unknown.denied(&Refusal::error("unknown-tool", -32602, "unknown tool"));
        let foreign = tool(false, &format!("foreign-{index}"));
        let mut record = audit.begin(Arrival::now(), &Caller::Bearer, None);
        record.tool(&foreign);
        record.allowed(&permit(&foreign, &Caller::Bearer));
        record.forwarded();
        record.ended("answered");
    }
    let ours = tool(true, "wf_list");
    let mut record = audit.begin(Arrival::now(), &Caller::Bearer, None);
    record.tool(&ours);
    record.allowed(&permit(&ours, &Caller::Bearer));
    record.forwarded();
    drop(record);
    let mut registry = Registry::default();
    registry.register("decisions", "x", audit.decisions.clone());
    registry.register("calls", "x", audit.calls.clone());
    let mut text = String::new();
    encode(&mut text, &registry).expect("a text");
    let mut counts: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    counts.sort_unstable();
    assert_eq!(
        counts,
        [
            r#"calls_total{sidecar="auditor",result="cut"} 1"#,
            r#"calls_total{sidecar="other",result="answered"} 50"#,
            r#"decisions_total{tool="other",outcome="allowed",rule="bearer"} 50"#,
            r#"decisions_total{tool="other",outcome="denied",rule="unknown-tool"} 50"#,
            r#"decisions_total{tool="wf_list",outcome="allowed",rule="bearer"} 1"#,
        ]
    );
    let longest = log.records().iter().filter_map(|record| record["tool"].as_str().map(str::len)).max();
    assert_eq!(longest, Some(NAME));
}
