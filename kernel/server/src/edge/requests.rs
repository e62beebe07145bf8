//! Counts the requests by what they asked for and how they were answered.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tentacular_process::Context;

/// The methods that are told apart.
const METHODS: [&str; 8] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "subscriptions/listen",
    "notifications/initialized",
    "notifications/cancelled",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    result: &'static str,
}

/// The requests of callers that are known. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Family<Labels, Counter>);

/// One request, counted when it is answered or given up.
#[derive(Debug)]
pub(super) struct Asked {
    requests: Requests,
    labels: Labels,
}

impl Requests {
    pub(super) fn new(context: &Context) -> Self {
        let requests = Self::default();
        context.metrics.register(|registry| {
            let help = "Requests to /mcp of callers that are known, by `method` (`other` for all that are not of MCP) and `result`: \
                        `answered`, `refused` by the kernel, or `abandoned` by the client";
            registry.register("requests", help, requests.0.clone());
        });
        requests
    }

    pub(super) fn begin(&self) -> Asked {
        Asked { requests: self.clone(), labels: Labels { method: "other", result: "abandoned" } }
    }
}

impl Asked {
    pub(super) fn method(&mut self, method: &str) {
        self.labels.method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
    }

    /// The answer goes out. `refused`: it is the kernel's own error.
    pub(super) const fn answered(&mut self, refused: bool) {
        self.labels.result = if refused { "refused" } else { "answered" };
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.requests.0.get_or_create(&self.labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_methods_are_told_apart() {
        let requests = Requests::default();
        for method in ["tools/list", "tools/list", "no/such", "another/one", ""] {
            let mut asked = requests.begin();
            asked.method(method);
            asked.answered(method != "tools/list");
        }
        drop(requests.begin());
        let count = |method, result| requests.0.get_or_create(&Labels { method, result }).get();
        assert_eq!((count("tools/list", "answered"), count("other", "refused")), (2, 3));
        assert_eq!(count("other", "abandoned"), 1, "a client who leaves is counted too");
    }
}
