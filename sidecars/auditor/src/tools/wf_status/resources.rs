//! The objects of a tentacle, by their release label, and whether each of them is ready.

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, PersistentVolumeClaim, Service},
    networking::v1::{Ingress, NetworkPolicy},
};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Cluster, Error, Metadata, Namespaced, Selector};
use tentacular_contract::{EnclaveName, TentacleName, keys};

use crate::{tentacle::replicas::trouble, text, view::Known};

/// An object of a tentacle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Resource {
    /// Its kind, such as `Service`.
    kind: String,
    /// Its name.
    name: String,
    /// Whether it does what it is for; for kinds that only are there, true.
    ready: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

type Found = Result<Vec<Resource>, Error>;

/// The tentacle's objects, kind by kind, and a warning for each kind that could not be read.
pub(super) async fn read(
    cluster: &Cluster,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
) -> (Vec<Resource>, Vec<String>) {
    let release = Selector::labels(&format!("{}={tentacle}", keys::RELEASE));
    let place = Place { cluster, enclave, release };
    let found: [Found; 8] = tokio::join!(
        place.judged(trouble),
        place.present::<Service>(),
        place.present::<ConfigMap>(),
        place.judged(job),
        place.present::<CronJob>(),
        place.present::<NetworkPolicy>(),
        place.judged(ingress),
        place.judged(claim),
    )
    .into();
    let (mut resources, mut warnings) = (Vec::new(), Vec::new());
    for kind in found {
        match kind {
            Ok(found) => resources.extend(found),
            Err(error) => warnings.push(format!("resources are incomplete: {error}")),
        }
    }
    (resources, warnings)
}

/// Adds the tentacle's own Deployment where it lacks the release label, as one that was not applied by the server does.
pub(super) fn include(resources: &mut Vec<Resource>, deployment: &Deployment) {
    let own = resource(deployment, trouble(deployment));
    if !resources.iter().any(|resource| (&resource.kind, &resource.name) == (&own.kind, &own.name)) {
        resources.insert(0, own);
    }
}

struct Place<'a> {
    cluster: &'a Cluster,
    enclave: &'a EnclaveName,
    release: Selector,
}

impl Place<'_> {
    /// Objects that are ready when there is nothing to say against it.
    async fn judged<K: Known>(&self, against: fn(&K) -> Option<String>) -> Found {
        let found = self.cluster.namespaced::<K>(self.enclave.as_str()).list(&self.release).await?;
        Ok(found.iter().map(|object| resource(object, against(object))).collect())
    }

    /// Objects that are ready by being there: of these, nothing but metadata is read.
    async fn present<K: Known>(&self) -> Found
    where
        Metadata<K>: Namespaced,
    {
        let found = self.cluster.namespaced::<Metadata<K>>(self.enclave.as_str()).list(&self.release).await?;
        let named = |object: Metadata<K>| Resource {
            kind: K::KIND.to_owned(),
            name: object.metadata.name.unwrap_or_default(),
            ready: true,
            reason: None,
        };
        Ok(found.into_iter().map(named).collect())
    }
}

fn resource<K: Known>(object: &K, against: Option<String>) -> Resource {
    Resource {
        kind: K::KIND.to_owned(),
        name: object.metadata().name.clone().unwrap_or_default(),
        ready: against.is_none(),
        reason: against,
    }
}

fn job(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
    match (is("Complete"), is("Failed")) {
        (Some(_), _) => None,
        (None, Some(failed)) => Some(match failed.message.as_deref() {
            Some(message) => format!("job failed: {}", text::line(message)),
            None => "job failed".to_owned(),
        }),
        (None, None) => Some("job in progress".to_owned()),
    }
}

fn ingress(ingress: &Ingress) -> Option<String> {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let addresses = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    addresses.is_empty().then(|| "no address yet".to_owned())
}

fn claim(claim: &PersistentVolumeClaim) -> Option<String> {
    match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Bound") => None,
        phase => Some(format!("claim is {}, not Bound", text::line(phase.unwrap_or("Pending")))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tentacle::tests::deployment as some;

    fn from<K: serde::de::DeserializeOwned>(status: &Value) -> K {
        serde_json::from_value(json!({ "metadata": { "name": "x" }, "status": status })).expect("an object")
    }

    #[test]
    fn each_kind_is_ready_in_its_own_way() {
        let condition = |kind: &str| from::<Job>(&json!({ "conditions": [{ "type": kind, "status": "True" }] }));
        let bound = from::<PersistentVolumeClaim>(&json!({ "phase": "Bound" }));
        let reached = from::<Ingress>(&json!({ "loadBalancer": { "ingress": [{ "ip": "10.0.0.1" }] } }));
        for (against, expected) in [
            (job(&condition("Complete")), None),
            (job(&condition("Failed")), Some("job failed")),
            (job(&condition("Suspended")), Some("job in progress")),
            (claim(&bound), None),
            (claim(&from(&json!({}))), Some("claim is Pending, not Bound")),
            (ingress(&reached), None),
            (ingress(&from(&json!({}))), Some("no address yet")),
        ] {
            assert_eq!(against.as_deref(), expected);
        }
    }

    #[test]
    fn the_tentacles_own_deployment_is_listed_once() {
        let deployment = some("report", json!({}));
        let mut resources = Vec::new();
        include(&mut resources, &deployment);
        include(&mut resources, &deployment);
        let own = Resource { kind: "Deployment".to_owned(), name: "report".to_owned(), ready: true, reason: None };
        assert_eq!(resources, [own]);
    }
}
