//! Patches that mend a finding.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tentacular_contract::text;

/// Characters of a title: kinds are short, and names have at most 253.
const LONGEST: usize = 300;

/// The object that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    /// Such as `apps/v1`.
    pub(crate) api_version: &'static str,
    /// Such as `Deployment`.
    pub(crate) kind: &'static str,
    /// Where it is; left out for what has no namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

impl Target {
    /// How a finding names it.
    pub(crate) fn title(&self) -> String {
        text::line(&format!("{}/{}", self.kind, self.name), LONGEST)
    }

    /// An object of a namespace.
    pub(crate) fn in_namespace(api_version: &'static str, kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { api_version, kind, namespace: Some(namespace.to_owned()), name: name.to_owned() }
    }

    /// An object that has no namespace.
    pub(crate) fn of_cluster(api_version: &'static str, kind: &'static str, name: &str) -> Self {
        Self { api_version, kind, namespace: None, name: name.to_owned() }
    }
}

/// What is done with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    /// A JSON patch (RFC 6902), which fails when the object has changed since: `kubectl patch --type=json`.
    Json,
    /// A JSON merge patch (RFC 7386): `kubectl patch --type=merge`.
    Merge,
    /// The whole object, by server-side apply: `kubectl apply --server-side --force-conflicts`.
    Apply,
    /// It is deleted; there is no patch.
    Delete,
}

/// How a finding is mended, on the API server and with rights of one's own: the auditor only reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Remedy {
    /// The object.
    pub(crate) object: Target,
    /// `json`, `merge`, `apply` or `delete`.
    #[serde(rename = "type")]
    pub(crate) method: Method,
    /// The patch, or the object to apply.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) patch: Value,
}

impl Remedy {
    /// A JSON patch.
    pub(crate) fn json(object: Target, operations: Vec<Value>) -> Self {
        Self { object, method: Method::Json, patch: Value::Array(operations) }
    }

    /// A JSON merge patch.
    pub(crate) const fn merge(object: Target, patch: Value) -> Self {
        Self { object, method: Method::Merge, patch }
    }
}

/// The operation that lets a JSON patch fail unless `value` is what stands at `path`.
pub(crate) fn test(path: &str, value: &impl Serialize) -> Value {
    json!({ "op": "test", "path": path, "value": value })
}

/// The operation that removes what stands at `path`.
pub(crate) fn remove(path: &str) -> Value {
    json!({ "op": "remove", "path": path })
}

/// The operation that puts `value` in place of what stands at `path`.
pub(crate) fn replace(path: &str, value: &impl Serialize) -> Value {
    json!({ "op": "replace", "path": path, "value": value })
}
