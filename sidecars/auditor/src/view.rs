//! What of an enclave's objects a caller may see: of what belongs to a tentacle, only what the caller may read there.

mod ownership;

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::ReplicaSet,
        batch::v1::{CronJob, Job},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tentacular_cluster::{Metadata, Namespaced};
use tentacular_contract::{Caller, Enclave, Needs, TentacleName, evaluate::may, release::release_of};
use tentacular_process::link::{Permitted, ToolError};

use self::ownership::Ownership;
pub(crate) use self::ownership::{Belongs, controller};
use crate::{observed::Observed, tentacle::Seen};

/// A kind with a type of its own in the API.
pub(crate) trait Known:
    Namespaced + k8s_openapi::Resource<Scope = NamespaceResourceScope> + k8s_openapi::Metadata<Ty = ObjectMeta>
{
}
impl<K> Known for K where
    K: Namespaced + k8s_openapi::Resource<Scope = NamespaceResourceScope> + k8s_openapi::Metadata<Ty = ObjectMeta>
{
}

/// An enclave as one caller sees it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) enclave: Arc<Enclave>,
    caller: Caller,
    authorization: bool,
    /// The tentacle that the call is about, where it names one: the permit covers it.
    only: Option<TentacleName>,
    ownership: Ownership,
}

impl View {
    /// The enclave of the call, as its caller sees it. It is taken from the watches where these are to be trusted.
    pub(crate) async fn open(observed: &Observed, permitted: &Permitted) -> Result<Self, ToolError> {
        let enclave = observed.enclave(permitted.enclave()?).await?;
        let tentacles = observed.tentacles(&enclave).await?;
        Ok(Self {
            enclave,
            caller: permitted.caller().clone(),
            authorization: permitted.permit().authorization(),
            only: permitted.permit().tentacle().cloned(),
            ownership: Ownership::of(tentacles.iter().map(Arc::as_ref)),
        })
    }

    /// The pods that the caller may see, in the order of their names, and whose they are.
    pub(crate) async fn pods(&mut self, observed: &Observed) -> Result<Vec<(Belongs, Pod)>, ToolError> {
        let found = observed.list::<Pod>(&self.enclave).await?;
        self.owners_of(observed, found.iter().map(|pod| &pod.metadata)).await?;
        Ok(self.seen(found))
    }

    /// Those of the objects that the caller may see, in the order of their names.
    pub(crate) fn seen<K: Known>(&self, objects: Vec<K>) -> Vec<(Belongs, K)> {
        let attributed = objects.into_iter().map(|object| (self.ownership.whose(K::KIND, object.metadata()), object));
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
        if objects.clone().any(|metadata| release_of(metadata).is_none()) {
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
        let unseen = objects.filter_map(release_of).filter(|name| !self.ownership.knows(name));
        let unseen: BTreeSet<_> = unseen.map(str::to_owned).collect();
        for name in unseen {
            let facts = match name.parse::<TentacleName>() {
                Ok(name) => {
                    let deployment = observed.deployment_now(&self.enclave.name, &name).await?;
                    deployment.as_ref().and_then(Seen::of).map(|seen| seen.facts())
                }
                Err(_) => None,
            };
            self.ownership.found(name, facts);
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

    /// Takes in one object by which it is found out whose others are.
    pub(crate) fn add(&mut self, kind: &str, metadata: &ObjectMeta) {
        self.ownership.add(kind, metadata);
    }

    /// What the object that something refers to belongs to.
    pub(crate) fn whose_is(&self, kind: &str, name: &str, uid: &str) -> Belongs {
        self.ownership.whose_is(kind, name, uid)
    }

    /// Whether the caller may see an object.
    pub(crate) fn shows_object(&self, kind: &str, metadata: &ObjectMeta) -> bool {
        self.shows(&self.ownership.whose(kind, metadata))
    }

    /// Whether the caller may see what belongs there, and asked for it.
    pub(crate) fn shows(&self, belongs: &Belongs) -> bool {
        if let Some(only) = &self.only {
            return matches!(belongs, Belongs::To(tentacle) if tentacle == only.as_str());
        }
        let may = |needs, tentacle| may(&self.caller, self.authorization, needs, &self.enclave, tentacle);
        match belongs {
            Belongs::ToEnclave => true,
            Belongs::To(name) => match (name.parse(), self.ownership.tentacle(name)) {
                (Ok(name), Some(facts)) => may(Needs::Read, Some((&name, facts))),
                // What is left of a tentacle that is gone is for the enclave's owner, as the tentacle itself.
                _ => may(Needs::Own, None),
            },
            Belongs::Unknown => may(Needs::Own, None),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tentacular_contract::{Identity, facts::Pairs, keys};

    use super::{ownership::tests::ownership, *};

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
        View {
            enclave: Arc::new(enclave),
            caller: Caller::Oidc(identity),
            authorization: true,
            only: None,
            ownership: ownership(),
        }
    }

    fn to(tentacle: &str) -> Belongs {
        Belongs::To(tentacle.to_owned())
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
