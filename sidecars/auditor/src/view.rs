//! What of an enclave's objects a caller may see: of what belongs to a tentacle, only what the caller may read there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::ReplicaSet,
        batch::v1::{CronJob, Job},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use tentacular_cluster::{Metadata, Namespaced};
use tentacular_contract::{Caller, Enclave, Needs, Tentacle, TentacleName, evaluate::may};
use tentacular_process::link::{Permitted, ToolError};

use crate::{
    observed::Observed,
    tentacle::{Seen, release},
};

/// Kinds that do not belong to an enclave as such: what cannot be attributed to a tentacle may be one's all the same.
const OF_TENTACLES: [&str; 10] = [
    "Deployment",
    "ReplicaSet",
    "Pod",
    "Job",
    "CronJob",
    "Service",
    "ConfigMap",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Ingress",
];
/// Letters of the endings that Kubernetes generates (`k8s.io/apimachinery/pkg/util/rand`).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
/// From a pod to the `CronJob` at the most.
const GENERATIONS: usize = 4;

/// A kind with a type of its own in the API.
pub(crate) trait Known:
    Namespaced + k8s_openapi::Resource<Scope = NamespaceResourceScope> + k8s_openapi::Metadata<Ty = ObjectMeta>
{
}
impl<K> Known for K where
    K: Namespaced + k8s_openapi::Resource<Scope = NamespaceResourceScope> + k8s_openapi::Metadata<Ty = ObjectMeta>
{
}

/// What an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// A tentacle, by its name; it may be gone.
    To(String),
    /// No tentacle, but the enclave itself.
    ToEnclave,
    /// Nobody can tell any more.
    Unknown,
}

impl Belongs {
    /// The tentacle's name.
    pub(crate) fn tentacle(self) -> Option<String> {
        match self {
            Self::To(tentacle) => Some(tentacle),
            Self::ToEnclave | Self::Unknown => None,
        }
    }
}

/// An enclave as one caller sees it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) enclave: Arc<Enclave>,
    caller: Caller,
    authorization: bool,
    /// The tentacle that the call is about, where it names one: the permit covers it.
    only: Option<TentacleName>,
    /// Those that exist, and names that no tentacle has.
    tentacles: BTreeMap<String, Option<Tentacle>>,
    /// What may own something else, by uid.
    owners: BTreeMap<String, Origin>,
}

/// By what of an object it is known whose it is.
#[derive(Debug)]
struct Origin {
    kind: String,
    name: String,
    release: Option<String>,
    controller: Option<OwnerReference>,
}

impl Origin {
    fn of(kind: &str, metadata: &ObjectMeta) -> Self {
        Self {
            kind: kind.to_owned(),
            name: metadata.name.clone().unwrap_or_default(),
            release: release(metadata).map(str::to_owned),
            controller: controller(metadata).cloned(),
        }
    }
}

impl View {
    /// The enclave of the call, as its caller sees it. It is taken from the watches where these are to be trusted.
    pub(crate) async fn open(observed: &Observed, permitted: &Permitted) -> Result<Self, ToolError> {
        let enclave = observed.enclave(permitted.enclave()?).await?;
        let tentacles = observed.tentacles(&enclave).await?;
        let mut view = Self {
            enclave,
            caller: permitted.caller().clone(),
            authorization: permitted.permit().authorization(),
            only: permitted.permit().tentacle().cloned(),
            tentacles: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        for tentacle in &tentacles {
            view.tentacles.insert(tentacle.name.to_string(), Some(tentacle.facts.clone()));
            if let Some(uid) = tentacle.uid.clone() {
                let (name, release) = (tentacle.name.to_string(), tentacle.release.clone());
                // What made it is not asked for, as it is a tentacle.
                view.owners.insert(uid, Origin { kind: "Deployment".to_owned(), name, release, controller: None });
            }
        }
        Ok(view)
    }

    /// The pods that the caller may see, in the order of their names, and whose they are.
    pub(crate) async fn pods(&mut self, observed: &Observed) -> Result<Vec<(Belongs, Pod)>, ToolError> {
        let found = observed.list::<Pod>(&self.enclave).await?;
        self.owners_of(observed, found.iter().map(|pod| &pod.metadata)).await?;
        Ok(self.seen(found))
    }

    /// Those of the objects that the caller may see, in the order of their names.
    pub(crate) fn seen<K: Known>(&self, objects: Vec<K>) -> Vec<(Belongs, K)> {
        let attributed = objects.into_iter().map(|object| (self.whose(K::KIND, object.metadata()), object));
        let mut seen: Vec<_> = attributed.filter(|(belongs, _)| self.shows(belongs)).collect();
        seen.sort_by(|(_, one), (_, other)| one.metadata().name.cmp(&other.metadata().name));
        seen
    }

    /// Reads what is needed to tell whose these objects are: tentacles that the watch has not seen yet, and what made
    /// them where they do not say themselves whose they are.
    pub(crate) async fn owners_of(
        &mut self,
        observed: &Observed,
        objects: impl Iterator<Item = &ObjectMeta> + Clone,
    ) -> Result<(), ToolError> {
        if objects.clone().any(|metadata| release(metadata).is_none()) {
            self.makers(observed).await?;
        }
        self.tentacles_of(observed, objects).await
    }

    /// Reads the tentacles that these objects name and that the watch has not seen yet.
    pub(crate) async fn tentacles_of(
        &mut self,
        observed: &Observed,
        objects: impl Iterator<Item = &ObjectMeta>,
    ) -> Result<(), ToolError> {
        let unseen = objects.filter_map(release).filter(|name| !self.tentacles.contains_key(*name));
        let unseen: BTreeSet<_> = unseen.map(str::to_owned).collect();
        for name in unseen {
            let facts = match name.parse::<TentacleName>() {
                Ok(name) => {
                    let deployment = observed.deployment_now(&self.enclave.name, &name).await?;
                    deployment.as_ref().and_then(Seen::of).map(|seen| seen.facts())
                }
                Err(_) => None,
            };
            self.tentacles.insert(name, facts);
        }
        Ok(())
    }

    /// Reads what makes pods and Jobs.
    pub(crate) async fn makers(&mut self, observed: &Observed) -> Result<(), ToolError> {
        let (sets, jobs, cron_jobs) = tokio::try_join!(
            observed.list::<Metadata<ReplicaSet>>(&self.enclave),
            observed.list::<Metadata<Job>>(&self.enclave),
            observed.list::<Metadata<CronJob>>(&self.enclave),
        )?;
        self.add_all("ReplicaSet", sets.iter().map(|set| &set.metadata));
        self.add_all("Job", jobs.iter().map(|job| &job.metadata));
        self.add_all("CronJob", cron_jobs.iter().map(|job| &job.metadata));
        let made = jobs.iter().map(|job| &job.metadata).chain(cron_jobs.iter().map(|job| &job.metadata));
        self.tentacles_of(observed, sets.iter().map(|set| &set.metadata).chain(made)).await
    }

    /// Takes objects in by which [`Self::whose_is`] finds out.
    pub(crate) fn add_all<'a>(&mut self, kind: &str, objects: impl Iterator<Item = &'a ObjectMeta>) {
        objects.for_each(|metadata| self.add(kind, metadata));
    }

    fn add(&mut self, kind: &str, metadata: &ObjectMeta) {
        if let Some(uid) = &metadata.uid {
            self.owners.insert(uid.clone(), Origin::of(kind, metadata));
        }
    }

    /// What an object belongs to: what its label says, else whoever made it.
    pub(crate) fn whose(&self, kind: &str, metadata: &ObjectMeta) -> Belongs {
        self.belongs(&Origin::of(kind, metadata))
    }

    fn belongs<'a>(&'a self, mut origin: &'a Origin) -> Belongs {
        for _ in 0..GENERATIONS {
            if let Some(release) = &origin.release {
                return Belongs::To(release.clone());
            }
            if origin.kind == "Deployment" && self.is_tentacle(&origin.name) {
                return Belongs::To(origin.name.clone());
            }
            let Some(controller) = &origin.controller else { return Belongs::ToEnclave };
            match self.owners.get(&controller.uid) {
                Some(owner) => origin = owner,
                None => return self.whose_was(&controller.kind, &controller.name),
            }
        }
        Belongs::Unknown
    }

    /// What the object that something refers to belongs to.
    pub(crate) fn whose_is(&self, kind: &str, name: &str, uid: &str) -> Belongs {
        match self.owners.get(uid) {
            Some(owner) => self.belongs(owner),
            None => self.whose_was(kind, name),
        }
    }

    /// What an object that is gone belonged to, as far as its name tells.
    fn whose_was(&self, kind: &str, name: &str) -> Belongs {
        let made_by = match kind {
            "ReplicaSet" => without_ending(name, 1..=10),
            "Pod" => without_ending(name, 5..=5).and_then(|set| without_ending(set, 1..=10)),
            _ => Some(name),
        };
        match made_by.filter(|name| self.is_tentacle(name)) {
            Some(tentacle) => Belongs::To(tentacle.to_owned()),
            None if OF_TENTACLES.contains(&kind) => Belongs::Unknown,
            None => Belongs::ToEnclave,
        }
    }

    fn is_tentacle(&self, name: &str) -> bool {
        self.tentacles.get(name).is_some_and(Option::is_some)
    }

    /// Whether the caller may see it, and asked for it.
    pub(crate) fn shows(&self, belongs: &Belongs) -> bool {
        if let Some(only) = &self.only {
            return matches!(belongs, Belongs::To(tentacle) if tentacle == only.as_str());
        }
        let may = |needs, tentacle| may(&self.caller, self.authorization, needs, &self.enclave, tentacle);
        match belongs {
            Belongs::ToEnclave => true,
            Belongs::To(name) => match (name.parse(), self.tentacles.get(name)) {
                (Ok(name), Some(Some(facts))) => may(Needs::Read, Some((&name, facts))),
                // What is left of a tentacle that is gone is for the enclave's owner, as the tentacle itself.
                _ => may(Needs::Own, None),
            },
            Belongs::Unknown => may(Needs::Own, None),
        }
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// What is in front of a generated ending of so many letters.
fn without_ending(name: &str, letters: std::ops::RangeInclusive<usize>) -> Option<&str> {
    let (front, ending) = name.rsplit_once('-')?;
    (letters.contains(&ending.len()) && ending.chars().all(|letter| GENERATED.contains(letter))).then_some(front)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};
    use tentacular_contract::{Identity, Tentacle, facts::Pairs, keys};

    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// The view of `email` on an enclave of `owner@x.io` with the member `ann@x.io`; of bob's tentacles she may read `open`
    /// and not `private`.
    pub(crate) fn view(email: &str) -> View {
        let annotations = pairs(&[
            (keys::ENCLAVE, "team-a"),
            (keys::ENCLAVE_OWNER, "owner@x.io"),
            (keys::ENCLAVE_MEMBERS, "ann@x.io,bob@x.io"),
        ]);
        let labels = pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]);
        let enclave = Enclave::from_metadata("team-a", &labels, &annotations, false).expect("an enclave");
        let identity = Identity { email: email.parse().ok(), ..Identity::default() };
        let facts = |mode: &str| Tentacle::from_annotations(&pairs(&[(keys::OWNER, "bob@x.io"), (keys::MODE, mode)]));
        View {
            enclave: Arc::new(enclave),
            caller: Caller::Oidc(identity),
            authorization: true,
            only: None,
            tentacles: [("open", "rwxr-x---"), ("private", "rwx------")]
                .map(|(name, mode)| (name.to_owned(), Some(facts(mode))))
                .into(),
            owners: BTreeMap::new(),
        }
    }

    fn metadata(name: &str, uid: &str, more: &Value) -> ObjectMeta {
        let mut object = json!({ "name": name, "uid": uid });
        object.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        serde_json::from_value(object).expect("metadata")
    }

    fn made_by(kind: &str, name: &str, uid: &str) -> Value {
        json!({ "ownerReferences": [
            { "apiVersion": "v1", "kind": "Owner", "name": "other", "uid": "other" },
            { "apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true },
        ] })
    }

    fn to(tentacle: &str) -> Belongs {
        Belongs::To(tentacle.to_owned())
    }

    #[test]
    fn an_object_belongs_to_its_release_or_to_whoever_made_it() {
        let mut view = view("ann@x.io");
        let release = |name: &str| json!({ "labels": { keys::RELEASE: name } });
        view.add("Deployment", &metadata("private", "d1", &json!({})));
        view.add("Deployment", &metadata("second", "d2", &release("open")));
        view.add("ReplicaSet", &metadata("private-1", "r1", &made_by("Deployment", "private", "d1")));
        view.add("ReplicaSet", &metadata("second-1", "r2", &made_by("Deployment", "second", "d2")));
        view.add("CronJob", &metadata("nightly", "c1", &release("private")));
        view.add("Job", &metadata("nightly-1", "j1", &made_by("CronJob", "nightly", "c1")));
        view.add("ReplicaSet", &metadata("foreign-1", "r3", &made_by("Deployment", "foreign", "gone")));
        for (more, belongs) in [
            (release("open"), to("open")),
            (release("gone"), to("gone")),
            (made_by("ReplicaSet", "private-1", "r1"), to("private")),
            (made_by("ReplicaSet", "second-1", "r2"), to("open")),
            (made_by("Job", "nightly-1", "j1"), to("private")),
            (made_by("ReplicaSet", "private-5d4f8c7b9", "gone"), to("private")),
            (made_by("ReplicaSet", "removed-5d4f8c7b9", "gone"), Belongs::Unknown),
            (made_by("ReplicaSet", "foreign-1", "r3"), Belongs::Unknown),
            (json!({}), Belongs::ToEnclave),
        ] {
            assert_eq!(view.whose("Pod", &metadata("p", "p", &more)), belongs, "{more}");
        }
    }

    #[test]
    fn what_is_gone_is_known_by_its_name() {
        let view = view("ann@x.io");
        for (kind, name, belongs) in [
            ("Pod", "private-5d4f8c7b9-x2x4z", to("private")),
            ("Pod", "private-x2x4z", Belongs::Unknown),
            ("Pod", "private-other-5d4f8c7b9-x2x4z", Belongs::Unknown),
            ("ReplicaSet", "open-5d4f8c7b9", to("open")),
            ("Deployment", "open", to("open")),
            ("Deployment", "removed", Belongs::Unknown),
            ("Service", "open", to("open")),
            ("ConfigMap", "private-code", Belongs::Unknown),
            ("ResourceQuota", "tentacular-quota", Belongs::ToEnclave),
            ("Namespace", "team-a", Belongs::ToEnclave),
        ] {
            assert_eq!(view.whose_is(kind, name, "gone"), belongs, "{kind} {name}");
        }
    }

    #[test]
    fn what_belongs_to_a_tentacle_is_shown_with_read_there() {
        let all = [to("open"), to("private"), to("gone"), to("No-Name"), Belongs::ToEnclave, Belongs::Unknown];
        let seen = |view: &View| all.iter().map(|belongs| view.shows(belongs)).collect::<Vec<_>>();
        assert_eq!(seen(&view("ann@x.io")), [true, false, false, false, true, false]);
        assert_eq!(seen(&view("bob@x.io")), [true, true, false, false, true, false]);
        assert_eq!(seen(&view("owner@x.io")), [true; 6]);
        assert_eq!(seen(&View { caller: Caller::Bearer, ..view("ann@x.io") }), [true; 6]);
        assert_eq!(seen(&View { authorization: false, ..view("ann@x.io") }), [true; 6]);
        let only = View { only: "open".parse().ok(), ..view("owner@x.io") };
        assert_eq!(seen(&only), [true, false, false, false, false, false]);
    }
}
