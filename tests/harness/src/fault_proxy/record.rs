//! The requests that went through, and the faults that wait for some of them.

use std::{fmt, ops::Range};

use http::{Method, StatusCode, Uri};
use serde_json::Value;

use super::fault::Fault;

/// A request to the API server.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its query, empty when it has none.
    pub query: String,
    /// Its body; `null` where there is none or it is no JSON.
    pub body: Value,
    /// The status of the API server's answer, or the one that a fault put in its place; none while there is no answer.
    pub status: Option<u16>,
    /// Whether a fault struck it.
    pub struck: bool,
}

impl Call {
    pub(super) fn new(method: &Method, uri: &Uri, body: &[u8]) -> Self {
        Self {
            method: method.clone(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            status: None,
            struck: false,
        }
    }

    /// Whether it asks for a change that is to be kept: a dry run is none.
    pub fn is_write(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method) && !self.is_dry_run()
    }

    /// Whether it asks for a change that is only to be checked.
    pub fn is_dry_run(&self) -> bool {
        // A deletion says it in its body.
        self.query.split('&').any(|pair| pair == "dryRun=All") || self.body["dryRun"][0] == "All"
    }

    /// The plural of the kind that it is about, such as `leases`, as the path has it.
    pub fn resource(&self) -> &str {
        match self.place() {
            (Some(_), Some(resource)) => resource,
            (_, None) if self.below_version().next() == Some("namespaces") => "namespaces",
            (_, resource) => resource.unwrap_or_default(),
        }
    }

    /// The namespace that it is about, itself or something in it.
    pub fn namespace(&self) -> Option<&str> {
        let made = || self.body["metadata"]["name"].as_str().filter(|_| self.resource() == "namespaces");
        self.place().0.or_else(made)
    }

    /// Namespace and resource in it, by the path alone.
    fn place(&self) -> (Option<&str>, Option<&str>) {
        let mut segments = self.below_version();
        match segments.next() {
            Some("namespaces") => {
                let namespace = segments.next();
                // What follows a namespace is a resource in it, or one of its own subresources.
                (namespace, segments.next().filter(|segment| !["status", "finalize"].contains(segment)))
            }
            resource => (None, resource),
        }
    }

    /// The path without `/api/v1` or `/apis/<group>/<version>`.
    fn below_version(&self) -> impl Iterator<Item = &str> {
        let named_group = self.path.starts_with("/apis/");
        self.path.trim_start_matches('/').split('/').skip(if named_group { 3 } else { 2 })
    }
}

#[derive(Debug, Default)]
pub(super) struct Record {
    calls: Vec<Call>,
    /// Where the current record begins: answers to earlier requests may still come.
    begin: usize,
    rules: Vec<Rule>,
}

struct Rule {
    which: Range<usize>,
    counted: usize,
    matches: Box<dyn Fn(&Call) -> bool + Send>,
    fault: Fault,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("which", &self.which).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Record {
    pub(super) fn fail(
        &mut self,
        which: Range<usize>,
        matches: impl Fn(&Call) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.rules.push(Rule { which, counted: 0, matches: Box::new(matches), fault });
    }

    pub(super) fn start_afresh(&mut self) {
        self.begin = self.calls.len();
        self.rules.clear();
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls[self.begin..]
    }

    /// Notes a request. Returns its number, and the fault that keeps it from the API server.
    pub(super) fn arrived(&mut self, mut call: Call) -> (usize, Option<Fault>) {
        let fault = strike(&mut self.rules, &call, false);
        call.struck = fault.is_some();
        if let Some(Fault::Status(status, _)) = &fault {
            call.status = Some(*status);
        }
        self.calls.push(call);
        (self.calls.len() - 1, fault)
    }

    /// Notes what the API server answered. Returns the fault that keeps the answer from the process.
    pub(super) fn answered(&mut self, number: usize, status: StatusCode) -> Option<Fault> {
        let call = &mut self.calls[number];
        call.status = Some(status.as_u16());
        let fault = status.is_success().then(|| strike(&mut self.rules, call, true)).flatten();
        call.struck = fault.is_some();
        fault
    }
}

/// Counts `call` with every rule of its time that matches it, and returns the first fault whose turn it is.
fn strike(rules: &mut [Rule], call: &Call, after: bool) -> Option<Fault> {
    let mut fault = None;
    for rule in rules.iter_mut().filter(|rule| rule.fault.is_after() == after && (rule.matches)(call)) {
        if rule.which.contains(&rule.counted) && fault.is_none() {
            fault = Some(rule.fault.clone());
        }
        rule.counted += 1;
    }
    fault
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(method: &Method, uri: &str, body: &Value) -> Call {
        Call::new(method, &uri.parse().unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn a_path_tells_namespace_and_resource() {
        let body = json!({ "metadata": { "name": "team-a" } });
        for (method, uri, namespace, resource) in [
            (Method::POST, "/api/v1/namespaces", Some("team-a"), "namespaces"),
            (Method::DELETE, "/api/v1/namespaces/team-a", Some("team-a"), "namespaces"),
            (Method::PUT, "/api/v1/namespaces/team-a/finalize", Some("team-a"), "namespaces"),
            (Method::POST, "/api/v1/namespaces/team-a/secrets", Some("team-a"), "secrets"),
            (Method::PATCH, "/apis/apps/v1/namespaces/team-a/deployments/x", Some("team-a"), "deployments"),
            (Method::GET, "/apis/apps/v1/deployments", None, "deployments"),
            (Method::GET, "/api/v1/nodes/one", None, "nodes"),
        ] {
            let call = call(&method, uri, &body);
            assert_eq!((call.namespace(), call.resource()), (namespace, resource), "{uri}");
        }
    }

    #[test]
    fn a_dry_run_is_no_write() {
        let path = "/api/v1/namespaces/team-a/secrets/x";
        assert!(call(&Method::DELETE, path, &json!({})).is_write());
        assert!(!call(&Method::DELETE, path, &json!({ "dryRun": ["All"] })).is_write());
        assert!(!call(&Method::PATCH, &format!("{path}?force=true&dryRun=All"), &json!({})).is_write());
        assert!(!call(&Method::GET, path, &Value::Null).is_write());
    }
}
