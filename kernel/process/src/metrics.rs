//! The metrics registry of a process.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{EncodeMetric, MetricEncoder, text::encode},
    metrics::MetricType,
    registry::{self, Metric},
};

/// The metrics of a process, all named `tentacular_…`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Registry>>);

/// What a process counts and measures.
#[derive(Debug)]
pub struct Registry(registry::Registry);

impl Default for Registry {
    fn default() -> Self {
        Self(registry::Registry::with_prefix("tentacular"))
    }
}

impl Registry {
    /// Adds a metric, which is described also before it has a value. `help` names its labels between backticks.
    pub fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, Described(metric));
    }

    /// Adds what is measured when it is asked for.
    pub fn register_collector(&mut self, collector: Box<dyn Collector>) {
        self.0.register_collector(collector);
    }
}

/// A metric that counts as not empty: of an empty one its library does not even write the description.
#[derive(Debug)]
struct Described<M>(M);

impl<M: Metric> EncodeMetric for Described<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

impl Metrics {
    /// Adds metrics.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner).0);
        text
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{counter::Counter, family::Family};

    use super::*;

    #[test]
    fn a_metric_without_a_value_is_described() {
        let metrics = Metrics::default();
        let calls = Family::<[(&str, &str); 1], Counter>::default();
        metrics.register(|registry| registry.register("calls", "Calls, by `tool`", calls.clone()));
        let described = "# HELP tentacular_calls Calls, by `tool`.\n# TYPE tentacular_calls counter\n";
        assert_eq!(metrics.encode(), format!("{described}# EOF\n"));
        calls.get_or_create(&[("tool", "a")]).inc();
        assert_eq!(metrics.encode(), format!("{described}tentacular_calls_total{{tool=\"a\"}} 1\n# EOF\n"));
    }
}
