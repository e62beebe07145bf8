//! What is read of the cluster for a profile, all of it side by side, and what could not be.

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, Node, Pod, ResourceQuota},
        networking::v1::NetworkPolicy,
        node::v1::RuntimeClass,
        storage::v1::{CSIDriver, StorageClass},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tentacular_cluster::{Error, Metadata, Namespaced, Selector, Typed};
use tentacular_contract::{
    Enclave, Platform,
    backing::{Found, Service},
    pod_security::Level,
};

use super::{
    Issuer, Profile, enclave,
    extensions::{self, Extensions},
    guidance::guidance,
    nodes,
    storage::{RuntimeClass as Runtime, StorageClass as Storage},
    surroundings::{Cni, Exoskeleton, NetworkPolicy as Policies, OBSERVABILITY, Observability, ingress},
};
use crate::{
    backing,
    cluster_facts::{Enforced, cni, distribution, is_named, only_names, system_pods},
    observed::Observed,
    text,
};

/// Nodes that are shown.
const NODES: usize = 100;
/// Enclaves that are looked into for a network policy where none is named.
const ENCLAVES: usize = 10;

/// What was read; empty where it could not be.
#[derive(Debug)]
pub(super) struct Gathered {
    version: String,
    nodes: Vec<Node>,
    system_pods: Vec<Pod>,
    /// Of all namespaces.
    pods: Vec<ObjectMeta>,
    runtimes: Vec<RuntimeClass>,
    storage: Vec<StorageClass>,
    drivers: Vec<CSIDriver>,
    definitions: Vec<ObjectMeta>,
    services: Vec<(Service, Found)>,
    has_observability: bool,
    policies_in_use: bool,
    enclave: Option<InEnclave>,
    warnings: Vec<String>,
}

/// What was read in the enclave.
#[derive(Debug)]
struct InEnclave {
    name: String,
    level: Option<Level>,
    limits: Vec<LimitRange>,
    quotas: Vec<ResourceQuota>,
}

impl Gathered {
    /// Reads all of it now.
    pub(super) async fn read(observed: &Observed, platform: &Platform, enclave: Option<&Enclave>) -> Self {
        let cluster = &observed.cluster;
        let (version, nodes, system_pods, pods, runtimes, storage, drivers, definitions, services, namespace, in_use) = tokio::join!(
            cluster.version(),
            all::<Node>(observed),
            system_pods(cluster),
            metadata::<Pod>(observed),
            all::<RuntimeClass>(observed),
            all::<StorageClass>(observed),
            all::<CSIDriver>(observed),
            metadata::<CustomResourceDefinition>(observed),
            backing::services(cluster, &platform.server_namespace),
            async { cluster.all::<Metadata<Namespace>>().get(OBSERVABILITY).await },
            policies_in_use(observed, enclave),
        );
        let mut warnings = Vec::new();
        let services = known(&mut warnings, "backing services", services);
        let services = services
            .into_iter()
            .filter_map(|service| service.map_err(|error| warnings.push(text::line(&error.to_string()))).ok());
        let services = services.collect();
        let gathered = Self {
            version: known(&mut warnings, "the version", version),
            nodes: known(&mut warnings, "nodes", nodes),
            system_pods: known(&mut warnings, "the network plugin", system_pods),
            pods: known(&mut warnings, "ingress controllers and telemetry", pods),
            runtimes: known(&mut warnings, "runtime classes", runtimes),
            storage: known(&mut warnings, "storage classes", storage),
            drivers: known(&mut warnings, "storage drivers", drivers),
            definitions: known(&mut warnings, "extensions", definitions),
            services,
            has_observability: known(&mut warnings, "telemetry", namespace).is_some(),
            policies_in_use: known(&mut warnings, "network policies", in_use),
            enclave: None,
            warnings,
        };
        gathered.with_enclave(observed, enclave).await
    }

    async fn with_enclave(mut self, observed: &Observed, enclave: Option<&Enclave>) -> Self {
        let Some(enclave) = enclave else { return self };
        let namespaces = observed.cluster.all::<Metadata<Namespace>>();
        let (namespace, limits, quotas) = tokio::join!(
            namespaces.get(enclave.name.as_str()),
            observed.list::<LimitRange>(enclave),
            observed.list::<ResourceQuota>(enclave),
        );
        let namespace = known(&mut self.warnings, "the Pod Security level", namespace);
        self.enclave = Some(InEnclave {
            name: enclave.name.to_string(),
            level: namespace.map(|namespace| Level::enforced(&namespace.metadata.labels.unwrap_or_default())),
            limits: known(&mut self.warnings, "limits", limits),
            quotas: known(&mut self.warnings, "the quota", quotas),
        });
        self
    }

    /// What follows from it.
    pub(super) fn profile(mut self, generated_at: String, issuer: Option<&Issuer>) -> Profile {
        let distribution = distribution(&self.nodes);
        let cni = cni(&self.system_pods, distribution);
        let runtime_classes: Vec<_> = self.runtimes.iter().map(Runtime::of).collect();
        let storage_classes: Vec<_> = self.storage.iter().map(Storage::of).collect();
        if self.nodes.len() > NODES {
            self.warnings
                .push(format!("only {NODES} of {} nodes are shown; health_nodes lists all", self.nodes.len()));
        }
        let mut profile = Profile {
            generated_at,
            k8s_version: text::line(&self.version),
            distribution: distribution.to_string(),
            network_policy: Policies { supported: cni.enforced == Enforced::Yes, in_use: self.policies_in_use },
            cni: Cni::of(&cni),
            gvisor: runtime_classes.iter().any(Runtime::is_gvisor),
            runtime_classes,
            ingress: ingress(&self.pods),
            csi_drivers: names(self.drivers.iter().map(|driver| &driver.metadata)),
            rwx_note: rwx_note(&storage_classes).to_owned(),
            storage_classes,
            nodes: self.nodes.iter().take(NODES).map(nodes::shown).collect(),
            extensions: self.extensions(),
            exoskeleton: Exoskeleton::of(&self.services, issuer),
            observability: self.has_observability.then(|| Observability::of(&self.pods)),
            enclave: String::new(),
            pod_security: String::new(),
            limit_range: None,
            quota: None,
            guidance: Vec::new(),
            warnings: self.warnings,
            untrusted: text::Untrusted::Content,
        };
        if let Some(enclave) = self.enclave {
            profile.enclave = enclave.name;
            profile.pod_security = enclave.level.map(|level| level.as_str().to_owned()).unwrap_or_default();
            profile.limit_range = enclave::LimitRange::of(&enclave.limits);
            profile.quota = enclave::Quota::of(&enclave.quotas);
        }
        profile.guidance = guidance(&profile);
        profile
    }

    fn extensions(&self) -> Extensions {
        let definitions = self.definitions.iter().filter_map(|definition| definition.name.as_deref());
        let metrics = self.system_pods.iter().any(|pod| is_named(&pod.metadata, "metrics-server"));
        extensions::of(definitions, metrics)
    }
}

async fn all<K: Typed>(observed: &Observed) -> Result<Vec<K>, Error> {
    observed.cluster.all::<K>().list(&Selector::all()).await
}

/// Only their names, as anything else of all namespaces would be too much.
async fn metadata<K>(observed: &Observed) -> Result<Vec<ObjectMeta>, Error>
where
    Metadata<K>: Typed,
{
    let objects = observed.cluster.all::<Metadata<K>>();
    objects.fold(&Selector::all(), Vec::new, |found, object| found.push(only_names(object.metadata))).await
}

/// Whether there is a network policy in the enclave, without one in any of the first enclaves.
async fn policies_in_use(observed: &Observed, enclave: Option<&Enclave>) -> Result<bool, Error> {
    if let Some(enclave) = enclave {
        return has_any::<Metadata<NetworkPolicy>>(observed, enclave).await;
    }
    for enclave in observed.enclaves().await.unwrap_or_default().iter().take(ENCLAVES) {
        if has_any::<Metadata<NetworkPolicy>>(observed, enclave).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn has_any<K: Namespaced>(observed: &Observed, enclave: &Enclave) -> Result<bool, Error> {
    Ok(!observed.select::<K>(enclave, &Selector::all().at_most(1)).await?.is_empty())
}

/// What was read, or nothing and a warning.
fn known<T: Default>(warnings: &mut Vec<String>, what: &str, read: Result<T, Error>) -> T {
    read.unwrap_or_else(|error| {
        warnings.push(text::line(&format!("{what} could not be read: {error}")));
        T::default()
    })
}

fn names<'a>(objects: impl Iterator<Item = &'a ObjectMeta>) -> Vec<String> {
    objects.filter_map(|object| object.name.as_deref().map(text::line)).collect()
}

fn rwx_note(classes: &[Storage]) -> &'static str {
    if classes.is_empty() {
        "there is no storage class: claims need one"
    } else if classes.iter().any(|class| class.rwx_capable) {
        "a storage class whose volumes several pods can write is there, by its provisioner's name"
    } else {
        "no storage class is known to have volumes that several pods can write"
    }
}
