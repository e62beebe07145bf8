//! Pods that are made of the table's cases: each case alone, two of different fields together, and many at random.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{
    cases::{Case, changed},
    place::Standing,
};

/// Where the table's cases have containers.
const CONTAINERS: [&str; 3] = ["/spec/initContainers/0", "/spec/containers/0", "/spec/containers/1"];
/// Most cases of which a pod is made at random.
const MOST: usize = 8;

/// A pod to ask about.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) pod: Value,
    /// Who it is without its ephemeral containers.
    pub(super) standing: Option<Standing>,
}

/// What makes samples of cases.
pub(super) struct Generator<'a> {
    base: &'a Value,
    cases: Vec<&'a Map<String, Value>>,
    random: Rng,
}

impl<'a> Generator<'a> {
    /// The first of `cases` is the pod that all are made of.
    pub(super) fn new(cases: &'a [Case], seed: u64) -> Self {
        let valid = cases.iter().filter(|case| !case.invalid && !is_ephemeral(&case.set));
        Self { base: &cases[0].pod, cases: valid.map(|case| &case.set).collect(), random: Rng::with_seed(seed) }
    }

    /// For each two fields of a pod some pods in which both are as a case has them.
    pub(super) fn pairs(&mut self, each: usize) -> Vec<Sample> {
        let mut fields = BTreeMap::<String, Vec<&Map<String, Value>>>::new();
        for case in &self.cases {
            for at in case.keys() {
                fields.entry(field(at)).or_default().push(case);
            }
        }
        let fields: Vec<_> = fields.into_values().collect();
        let mut samples = Vec::new();
        for (index, one) in fields.iter().enumerate() {
            for other in &fields[index..] {
                for _ in 0..each {
                    let pick = [one, other].map(|cases| cases[self.random.usize(..cases.len())]);
                    samples.push(self.pod(&pick));
                }
            }
        }
        samples
    }

    /// Pods that are made of several cases at random.
    pub(super) fn mixtures(&mut self, count: usize) -> Vec<Sample> {
        let mixture = |this: &mut Self| {
            let cases: Vec<_> = (0..this.random.usize(1..=MOST)).map(|_| this.any()).collect();
            this.pod(&cases)
        };
        (0..count).map(|_| mixture(self)).collect()
    }

    /// Ephemeral containers with what cases say of other containers.
    pub(super) fn ephemeral(&mut self, count: usize) -> Vec<Sample> {
        (0..count).map(|_| self.debugged()).collect()
    }

    fn debugged(&mut self) -> Sample {
        let mut container = json!({ "name": "debug", "image": "i", "terminationMessagePolicy": "File" });
        if self.random.bool() {
            container["securityContext"] = self.base["spec"]["containers"][0]["securityContext"].clone();
        }
        for _ in 0..self.random.usize(1..=MOST) {
            for (at, value) in self.any() {
                let inside = CONTAINERS.iter().find_map(|container| at.strip_prefix(container));
                if let Some(inside) = inside.filter(|inside| inside.starts_with("/securityContext")) {
                    container = changed(&container, [(inside, value)]);
                }
            }
        }
        let standing = Standing::ALL[self.random.usize(..Standing::ALL.len())];
        Sample { pod: standing.with(self.base, &json!([container])), standing: Some(standing) }
    }

    fn any(&mut self) -> &'a Map<String, Value> {
        self.cases[self.random.usize(..self.cases.len())]
    }

    /// A pod of which all `cases` say something, about other containers than they do.
    fn pod(&mut self, cases: &[&Map<String, Value>]) -> Sample {
        let mut pod = self.base.clone();
        for case in cases {
            let mut places = CONTAINERS;
            self.random.shuffle(&mut places);
            let sets: Vec<_> = case.iter().map(|(at, value)| (elsewhere(at, places), value)).collect();
            pod = changed(&pod, sets.iter().map(|(at, value)| (at.as_str(), *value)));
        }
        say_host_ports(&mut pod);
        Sample { pod, standing: None }
    }
}

/// Says what the API server fills in before it judges a pod, and contract leaves to whoever has the pod: with
/// `hostNetwork` each port of a container is one of the host.
fn say_host_ports(pod: &mut Value) {
    if pod["spec"]["hostNetwork"] != true {
        return;
    }
    for place in CONTAINERS {
        let ports = pod.pointer_mut(&format!("{place}/ports")).and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten() {
            port["hostPort"] = port["containerPort"].clone();
        }
    }
}

fn is_ephemeral(set: &Map<String, Value>) -> bool {
    set.contains_key("/spec/ephemeralContainers")
}

/// The field that a pointer leads to, whichever container's it is.
fn field(at: &str) -> String {
    let inside = CONTAINERS.iter().find_map(|container| at.strip_prefix(container));
    inside.map_or_else(|| at.to_owned(), |inside| format!("container{inside}"))
}

/// The same pointer, with the containers in that order.
fn elsewhere(at: &str, places: [&str; 3]) -> String {
    let moved = CONTAINERS.iter().zip(places);
    let mut moved = moved.filter_map(|(from, to)| at.strip_prefix(from).map(|inside| format!("{to}{inside}")));
    moved.next().unwrap_or_else(|| at.to_owned())
}
