//! SPIRE: an identity for the pods of each tentacle that uses a backing service, by which others know it in mutual TLS.
//!
//! It is a `ClusterSPIFFEID`, from which SPIRE's controller manager makes registration entries for the pods, and a volume of the
//! SPIFFE CSI driver, through which the pods ask for it. It holds no data: it goes with the tentacle whatever is kept of that, and
//! with the enclave's namespace, which owns it.

mod identity;
mod volume;

use clap::{ArgAction, Args};
use k8s_openapi::api::{core::v1::Namespace, storage::v1::CSIDriver};
use tentacular_cluster::{Cluster, Delete, Metadata, Object, Objects, Selector};
use tentacular_contract::backing::Isolation;

pub(crate) use self::volume::mount;
use self::{identity::CLUSTER_SPIFFE_ID, volume::DRIVER};
use super::{
    args::switch,
    service::{Failure, Kept, in_time},
    tenant::Tenant,
};

/// Why there are no identities in a cluster without SPIRE.
const NO_KIND: &str =
    "the cluster has no ClusterSPIFFEID of spire.spiffe.io/v1alpha1; SPIRE's controller manager defines it";

/// Arguments of SPIRE, under the variables that installations have.
#[derive(Debug, Args)]
#[command(next_help_heading = "SPIRE")]
pub(crate) struct SpireArgs {
    /// Give the pods of tentacles with a backing service an identity of their own: true, 1 or yes. SPIRE's trust domain is
    /// `tentacular`.
    #[arg(
        id = "spire", long = "spire", env = "TENTACULAR_EXOSKELETON_SPIRE_ENABLED", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    enabled: bool,
    /// Class of the controller manager that is to see to these identities.
    #[arg(
        id = "spire-class-name",
        long = "spire-class-name",
        env = "TENTACULAR_SPIRE_CLASS_NAME",
        default_value = "tentacular-system-spire"
    )]
    class_name: String,
}

/// What there is of a tenant's identity.
enum Found {
    Identity(Box<Object>),
    Nothing,
    /// The cluster knows no identities.
    NoKind,
}

/// SPIRE, as it is installed in the cluster.
#[derive(Debug)]
pub(super) struct Spire {
    cluster: Cluster,
    class_name: String,
}

impl Spire {
    /// By the arguments; none where it is switched off.
    pub(super) fn from_args(SpireArgs { enabled, class_name }: SpireArgs, cluster: &Cluster) -> Option<Self> {
        enabled.then(|| Self { cluster: cluster.clone(), class_name })
    }

    /// Sees whether identities can be made, and whether pods can mount them.
    pub(super) async fn probe(&self) -> Result<Kept, Failure> {
        in_time(async {
            match self.identities().list(&Selector::all().at_most(1)).await {
                Err(error) if error.is_not_served() => return Err(Failure::Refused(NO_KIND.to_owned())),
                listed => drop(listed?),
            }
            match self.cluster.all::<Metadata<CSIDriver>>().get(DRIVER).await? {
                Some(_) => Ok(Kept { isolation: Isolation::Full, reason: None }),
                None => Err(Failure::Refused(format!(
                    "the cluster has no CSIDriver {DRIVER}, through which pods get their identity"
                ))),
            }
        })
        .await
    }

    /// Makes the tenant's identity, or what it is to be. Where the cluster knows no identities there is none, which
    /// [`Self::probe`] tells. Its lock is held.
    pub(super) async fn identify(&self, tenant: &Tenant) -> Result<(), Failure> {
        in_time(async {
            let namespace = self.cluster.all::<Metadata<Namespace>>().get(tenant.enclave.as_str()).await?;
            let Some(uid) = namespace.and_then(|namespace| namespace.metadata.uid) else {
                return Err(Failure::Refused(format!("there is no namespace {}", tenant.enclave)));
            };
            let wanted = identity::of(tenant, &uid, &self.class_name);
            match self.look_up(tenant).await? {
                Found::Nothing => drop(self.identities().create(&wanted).await?),
                Found::Identity(found) if !identity::is_same(&found, &wanted) => {
                    self.identities().replace(&identity::instead_of(&found, wanted)).await?;
                }
                Found::Identity(_) | Found::NoKind => {}
            }
            Ok(())
        })
        .await
    }

    /// Removes the tenant's identity. Returns whether there was one. Its lock is held.
    pub(super) async fn forget(&self, tenant: &Tenant) -> Result<bool, Failure> {
        in_time(async {
            let Found::Identity(found) = self.look_up(tenant).await? else { return Ok(false) };
            let delete = Delete { uid: found.metadata.uid, ..Delete::default() };
            Ok(self.identities().delete(&identity::name(tenant), &delete).await?)
        })
        .await
    }

    /// What has the name of the tenant's identity; an error where that is somebody else's.
    async fn look_up(&self, tenant: &Tenant) -> Result<Found, Failure> {
        let name = identity::name(tenant);
        match self.identities().get(&name).await {
            Ok(Some(found)) if !identity::is_ours(&found) => Err(Failure::Refused(format!(
                "ClusterSPIFFEID {name} is somebody else's, as it lacks the label app.kubernetes.io/managed-by=tentacular"
            ))),
            Ok(Some(found)) => Ok(Found::Identity(Box::new(found))),
            Ok(None) => Ok(Found::Nothing),
            Err(error) if error.is_not_served() => Ok(Found::NoKind),
            Err(error) => Err(error.into()),
        }
    }

    fn identities(&self) -> Objects<Object> {
        self.cluster.custom(&CLUSTER_SPIFFE_ID, None)
    }
}
