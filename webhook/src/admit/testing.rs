//! What tables of rules have in common: a write, and what is expected of it.

use serde_json::{Value, json};
use tentacular_contract::{facts::Pairs, pod_security::Version};
use tokio::sync::watch;

use super::{Installation, Kind, Namespace, Operation, Request, Verdict, protect, validate};

/// The rules of which a test speaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rules {
    Protect,
    Validate,
    All,
}

/// A write in enclave `team-a`.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) operation: Operation,
    pub(super) kind: Kind,
    pub(super) subresource: Option<&'static str>,
    pub(super) object: Option<Value>,
    pub(super) old: Option<Value>,
    pub(super) level: &'static str,
    pub(super) status: &'static str,
}

/// The object is new.
pub(super) fn create(kind: Kind, object: Value) -> Write {
    Write {
        operation: Operation::Create,
        kind,
        subresource: None,
        object: Some(object),
        old: None,
        level: "restricted",
        status: "active",
    }
}

/// The object becomes another.
pub(super) fn update(kind: Kind, old: Value, object: Value) -> Write {
    Write { operation: Operation::Update, old: Some(old), ..create(kind, object) }
}

/// The object goes.
pub(super) fn delete(kind: Kind, old: Value) -> Write {
    Write { operation: Operation::Delete, object: None, old: Some(old), ..create(kind, Value::Null) }
}

impl Write {
    pub(super) fn through(self, subresource: &'static str) -> Self {
        Self { subresource: Some(subresource), ..self }
    }

    pub(super) fn frozen(self) -> Self {
        Self { status: "frozen", ..self }
    }

    pub(super) fn at_level(self, level: &'static str) -> Self {
        Self { level, ..self }
    }

    /// What the webhook says.
    pub(super) fn judged(&self, rules: Rules) -> Verdict {
        let pairs = |list: &[(&str, &str)]| -> Pairs {
            list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let labels = pairs(&[
            ("app.kubernetes.io/managed-by", "tentacular"),
            ("pod-security.kubernetes.io/enforce", self.level),
        ]);
        let annotations =
            pairs(&[("tentacular.io/enclave", "team-a"), ("tentacular.io/enclave-status", self.status)]);
        let name =
            [&self.object, &self.old].into_iter().flatten().find_map(|object| object["metadata"]["name"].as_str());
        let request = Request {
            operation: self.operation,
            kind: self.kind,
            subresource: self.subresource,
            name: name.unwrap_or_default(),
            namespace: Namespace { name: "team-a", labels: &labels, annotations: &annotations },
            object: self.object.as_ref(),
            old: self.old.as_ref(),
        };
        let domain = Some("apps.example.org".to_owned());
        let installation = Installation { ingress_domain: domain, version: watch::channel(Version::NEWEST).1 };
        match rules {
            Rules::Protect => protect(&request).into(),
            Rules::Validate => validate(&request, &installation),
            Rules::All => Verdict::from(protect(&request)).and(validate(&request, &installation)),
        }
    }

    /// The rules that it breaks, and their fields.
    pub(super) fn broken(&self, rules: Rules) -> Vec<String> {
        let verdict = self.judged(rules);
        verdict.violations.iter().map(|finding| format!("{} {}", finding.rule, finding.field)).collect()
    }

    pub(super) fn allowed(&self, rules: Rules) {
        assert_eq!(self.judged(rules), Verdict::default(), "{self:?}");
    }

    /// Refused by these rules for these fields, each in a sentence that begins with the field and ends with the rule.
    pub(super) fn refused(&self, rules: Rules, expected: &[&str]) {
        assert_eq!(self.broken(rules), expected, "{self:?}");
        for finding in self.judged(rules).violations {
            let (begin, end) = (format!("{}: ", finding.field), format!(" (rule {})", finding.rule));
            assert!(finding.text.starts_with(&begin) && finding.text.ends_with(&end), "{}", finding.text);
        }
    }
}

/// An object of that name, with further members of its metadata and its own. A label or annotation that is `null` is none.
pub(super) fn object(name: &str, metadata: &Value, rest: &Value) -> Value {
    let mut object = rest.clone();
    object["metadata"] = metadata.clone();
    object["metadata"]["name"] = json!(name);
    for member in ["labels", "annotations"] {
        if let Some(pairs) = object["metadata"].get_mut(member).and_then(Value::as_object_mut) {
            pairs.retain(|_, value| !value.is_null());
        }
    }
    object
}

/// A pod that every level allows.
pub(super) fn pod() -> Value {
    json!({
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "engine", "image": "engine:1",
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        }],
    })
}
