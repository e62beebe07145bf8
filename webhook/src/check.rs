//! The rules offline: what the running webhook would say of objects in files. Pure; the command reads the files.
//!
//! Each object is looked at as if somebody created it, by the rules that hold for everybody: who that is, and what stands in
//! the cluster, is not known here.

mod manifest;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tentacular_contract::{facts::Pairs, keys, pod_security};

use crate::admit::{Installation, Kind, Namespace, Operation, Request, Verdict, validate};

use manifest::Manifest;
pub(crate) use report::{Report, Severity};

/// The enclave of objects where neither they nor the files nor the caller name one.
const SOME_ENCLAVE: &str = "enclave";
/// Where Kubernetes itself runs: the API server does not ask about it, whatever its labels.
const KUBE_SYSTEM: &str = "kube-system";

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct Source {
    /// How the report names it.
    pub(crate) file: String,
    /// YAML, of which JSON is a part; or why it cannot be had.
    pub(crate) bytes: io::Result<Vec<u8>>,
}

/// What the files do not say.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the rules need to know.
    pub(crate) installation: Installation,
    /// The server's own namespace, about which the API server does not ask.
    pub(crate) server_namespace: String,
    /// Namespace of the objects that name none; left out, the only one in the files.
    pub(crate) namespace: Option<String>,
}

/// Looks at all objects in all files.
pub(crate) fn check(sources: &[Source], settings: &Settings) -> Report {
    let mut report = Report::default();
    let mut manifests = Vec::new();
    for read in sources.iter().flat_map(manifest::read) {
        match read {
            Ok(manifest) => manifests.push(manifest),
            Err(unreadable) => report.unreadable(unreadable),
        }
    }
    let surroundings = Surroundings::of(&manifests, settings);
    let mut outside = BTreeSet::new();
    for manifest in &manifests {
        let namespace = surroundings.of_object(manifest);
        if surroundings.is_asked_about(&namespace) {
            report.judged(manifest, judge(manifest, &namespace, &settings.installation));
        } else if outside.insert(namespace.name.clone()) {
            report.outside(manifest, &namespace.name);
        }
    }
    report
}

/// What the webhook answers when the object is created in `namespace`.
fn judge(manifest: &Manifest, namespace: &InForce, installation: &Installation) -> Verdict {
    let InForce { name, labels, annotations } = namespace;
    let request = Request {
        operation: Operation::Create,
        kind: manifest.known_kind(),
        subresource: None,
        name: manifest.metadata.name.as_deref().unwrap_or_default(),
        namespace: Namespace { name, labels, annotations },
        object: Some(&manifest.object),
        old: None,
    };
    validate(&request, installation)
}

/// A namespace, and what is in force in it.
#[derive(Debug, Clone)]
struct InForce {
    name: String,
    labels: Pairs,
    annotations: Pairs,
}

impl InForce {
    fn of(name: &str, metadata: &ObjectMeta) -> Self {
        let ObjectMeta { labels, annotations, .. } = metadata.clone();
        Self {
            name: name.to_owned(),
            labels: labels.unwrap_or_default(),
            annotations: annotations.unwrap_or_default(),
        }
    }

    /// An enclave as the server makes it.
    fn enclave(name: &str) -> Self {
        let pairs = |pairs: &[(&str, &str)]| -> Pairs {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let restricted = pod_security::Level::Restricted.as_str();
        Self {
            name: name.to_owned(),
            labels: pairs(&[(keys::MANAGED_BY, keys::TENTACULAR), (pod_security::ENFORCE, restricted)]),
            annotations: pairs(&[(keys::ENCLAVE, name)]),
        }
    }
}

/// The namespaces in the files, and which one counts where an object names none.
struct Surroundings<'a> {
    known: BTreeMap<&'a str, &'a ObjectMeta>,
    usual: &'a str,
    server: &'a str,
}

impl<'a> Surroundings<'a> {
    fn of(manifests: &'a [Manifest], settings: &'a Settings) -> Self {
        let namespaces = manifests.iter().filter(|manifest| manifest.known_kind().is_namespace());
        let known: BTreeMap<_, _> = namespaces
            .filter_map(|manifest| {
                let metadata = &manifest.metadata;
                Some((metadata.name.as_deref()?, metadata))
            })
            .collect();
        let only = known.keys().next().copied().filter(|_| known.len() == 1);
        let usual = settings.namespace.as_deref().or(only).unwrap_or(SOME_ENCLAVE);
        Self { known, usual, server: &settings.server_namespace }
    }

    /// The namespace that an object is, or that it is in.
    fn of_object(&self, manifest: &Manifest) -> InForce {
        let metadata = &manifest.metadata;
        if manifest.known_kind().is_namespace() {
            return InForce::of(metadata.name.as_deref().unwrap_or_default(), metadata);
        }
        let name = metadata.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(self.usual);
        self.known.get(name).map_or_else(|| InForce::enclave(name), |metadata| InForce::of(name, metadata))
    }

    /// Whether the API server asks the webhook about objects there, and about the namespace itself.
    fn is_asked_about(&self, namespace: &InForce) -> bool {
        namespace.labels.get(keys::MANAGED_BY).is_some_and(|value| value == keys::TENTACULAR)
            && namespace.name != KUBE_SYSTEM
            && namespace.name != self.server
    }
}

impl Manifest {
    fn known_kind(&self) -> Kind {
        Kind::of(&self.group, &self.kind)
    }
}

#[cfg(test)]
mod tests;
