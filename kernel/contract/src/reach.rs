//! A tentacle reaches only its own: the rules for its objects that Kubernetes does not know, since to Kubernetes all
//! objects of a namespace are one another's.
//!
//! [`Scope::alone`] is what one object shows; the registrar and the webhook refuse it. [`Scope::among`] is what shows only
//! beside the release's other objects and its [`Neighbours`], which are passed in. Pod Security is not part of this.

mod among;
mod ingress;
mod neighbours;
mod object;
mod pod;
mod reference;
mod selector;
mod service;
mod violation;
mod volume;

pub use among::Names;
pub use neighbours::Neighbours;
pub use object::Object;
pub use selector::Selector;
pub use violation::{Rule, Violation};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{
    keys,
    names::{EnclaveName, TentacleName},
};
use object::Body;
use selector::Chooser;
use violation::Findings;

/// Names that begin so are the server's own.
pub const OURS: &str = "tentacular-";

/// Names of the network policies that every enclave has; they are the enclave's own.
pub const ENCLAVE_POLICIES: [&str; 2] = ["default-deny", "allow-dns"];

/// The kinds of object that a tentacle may consist of. An Ingress only where the installation has an ingress domain.
pub const KINDS: [&str; 9] = [
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "Job",
    "CronJob",
    "Ingress",
];

/// The cluster's public certificate authority, which Kubernetes puts into every namespace: everybody's to read and
/// nobody's to write.
const CLUSTER_CA: &str = "kube-root-ca.crt";

/// Types of Secret that are credentials for the Kubernetes API.
const TOKENS: [&str; 2] = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

/// Annotation of a service account's token Secret.
const TOKEN_OF: &str = "kubernetes.io/service-account.name";

/// The tentacle whose objects are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Where it is.
    pub enclave: &'a EnclaveName,
    /// Its name, which is its release's.
    pub tentacle: &'a TentacleName,
    /// The domain under which every enclave has hosts (`--ingress-domain`); without one there is no Ingress.
    pub ingress_domain: Option<&'a str>,
}

/// Names that `tentacle` may refer to whether or not anything of that name exists, and that no other release may take: the
/// client mounts them as optional, the server makes the last.
pub fn reserved(tentacle: &str) -> [String; 5] {
    [
        format!("{tentacle}-code"),
        format!("{tentacle}-metadata"),
        format!("{tentacle}-import-map"),
        format!("{tentacle}-secrets"),
        format!("{OURS}exoskeleton-{tentacle}"),
    ]
}

impl Scope<'_> {
    /// What the rules hold against `object`, whatever else there is.
    pub fn alone(&self, object: &Object) -> Vec<Violation> {
        let mut found = Findings::of(object.title());
        self.name(object, &mut found);
        metadata(object, &mut found);
        match &object.body {
            Body::Secret { kind } => secret(object, kind, &mut found),
            Body::Service(spec) => service::check(spec, &mut found),
            Body::Ingress(spec) => ingress::check(self, spec, &object.metadata, &mut found),
            Body::Workload(workload) => {
                pod::check(self, workload, &mut found);
                self.pod_labels(object, &mut found);
            }
            Body::ConfigMap | Body::Claim(_) | Body::Policy(_) => {}
        }
        for reference in object.references(self) {
            reference.alone(self, &mut found);
        }
        for Chooser { field, selector } in object.choosers() {
            selector::alone(self, &field, selector.as_ref(), &mut found);
        }
        found.into_violations()
    }

    /// Whether `name` is this tentacle's although it begins with [`OURS`].
    fn is_own_exoskeleton(&self, name: &str) -> bool {
        name.strip_prefix(OURS).and_then(|rest| rest.strip_prefix("exoskeleton-")) == Some(self.tentacle.as_str())
    }

    fn name(&self, object: &Object, found: &mut Findings) {
        let name = object.name();
        if name.starts_with(OURS) && !self.is_own_exoskeleton(name) {
            found.add(Rule::Name, "metadata.name", name, "is one of the server's own names", "choose another");
        }
        if object.kind() == "ConfigMap" && name == CLUSTER_CA {
            found.add(Rule::Name, "metadata.name", name, "is Kubernetes' own", "choose another");
        }
    }

    /// A pod that carries another release's label would be taken for that one's.
    fn pod_labels(&self, object: &Object, found: &mut Findings) {
        let Some((field, labels)) = object.pods() else { return };
        let release = labels.get(keys::RELEASE).filter(|release| *release != self.tentacle.as_str());
        if let Some(release) = release {
            let field = format!("{field}[{:?}]", keys::RELEASE);
            found.add(Rule::Labels, field, release, "is another tentacle's", "leave it out; the server sets it");
        }
    }
}

/// An owner decides when an object goes, a finalizer that it does not.
fn metadata(object: &Object, found: &mut Findings) {
    let template = object.template_metadata().map(|(field, metadata)| (field, metadata.clone()));
    let all = [("metadata".to_owned(), object.metadata.clone())].into_iter().chain(template);
    for (field, ObjectMeta { owner_references, finalizers, .. }) in all {
        if let Some(owner) = owner_references.iter().flatten().next() {
            let value = format!("{}/{}", owner.kind, owner.name);
            let problem = "would let another object decide when this one is deleted";
            found.add(Rule::Lifetime, format!("{field}.ownerReferences"), value, problem, "leave it out");
        }
        if let Some(finalizer) = finalizers.iter().flatten().next() {
            let problem = "would keep the object, and with it the enclave, from being deleted";
            found.add(Rule::Lifetime, format!("{field}.finalizers"), finalizer, problem, "leave it out");
        }
    }
}

fn secret(object: &Object, kind: &str, found: &mut Findings) {
    if TOKENS.contains(&kind) {
        found.add(Rule::Token, "type", kind, "is a lasting credential for the Kubernetes API", "use Opaque");
    }
    let account = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(TOKEN_OF));
    if let Some(account) = account {
        let field = format!("metadata.annotations[{TOKEN_OF:?}]");
        found.add(Rule::Token, field, account, "asks for a token of that account", "leave it out");
    }
}

#[cfg(test)]
mod tests;
