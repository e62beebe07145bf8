//! What else is in the enclave: everything that is not of the release that is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    object::{Labels, Object},
    selector::Selector,
};

/// What else is in the enclave, as its owner added it.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// Names of the other tentacles.
    pub(super) tentacles: BTreeSet<String>,
    /// The tentacle that an object belongs to, by kind and name; `None` for nobody's or the enclave's.
    pub(super) names: BTreeMap<(String, String), Option<String>>,
    /// Pods, or what makes them, of other tentacles, of the enclave and of nobody.
    pub(super) pods: Vec<Pods>,
    /// Whom other tentacles select. What the enclave or nobody selects with is for all of its pods.
    pub(super) selectors: Vec<Choice>,
    /// Hosts of other Ingresses, and whose they are.
    pub(super) hosts: BTreeMap<String, String>,
}

/// A pod, or a template of pods.
#[derive(Debug, Clone)]
pub(super) struct Pods {
    pub(super) whose: String,
    pub(super) labels: Labels,
}

/// A selector of another tentacle.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) whose: String,
    pub(super) selector: Selector,
}

impl Neighbours {
    /// Adds an object that is of the tentacle `release`, or of none.
    pub fn add(&mut self, object: &Object, release: Option<&str>) {
        self.add_name(object.kind(), object.name(), release);
        let whose = whose(&object.title(), release);
        if let Some((_, labels)) = object.pods() {
            self.pods.push(Pods { whose: whose.clone(), labels: labels.clone() });
        }
        for (_, host) in object.hosts() {
            self.hosts.insert(host.to_owned(), whose.clone());
        }
        if release.is_none() {
            return;
        }
        for chooser in object.choosers() {
            let Some(selector) = chooser.selector else { continue };
            self.selectors.push(Choice { whose: whose.clone(), selector });
        }
    }

    /// Adds an object of which nothing counts but its name.
    pub fn add_name(&mut self, kind: &str, name: &str, release: Option<&str>) {
        self.tentacles.extend(release.map(str::to_owned));
        self.names.insert((kind.to_owned(), name.to_owned()), release.map(str::to_owned));
    }

    /// Adds a pod. One that a template made which is added too need not be.
    pub fn add_pod(&mut self, name: &str, labels: Labels, release: Option<&str>) {
        self.pods.push(Pods { whose: whose(&format!("Pod/{name}"), release), labels });
    }
}

fn whose(title: &str, release: Option<&str>) -> String {
    match release {
        Some(release) => format!("{title} of tentacle {release}"),
        None => format!("{title}, which is of no tentacle"),
    }
}
