//! Whether a tentacle exists: whether the cluster has any object of it.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use tentacular_cluster::{Error, Metadata};
use tentacular_process::link::ToolError;

use crate::{backing::tenant::Tenant, registrar::Registrar, tentacle::release};

/// What there is of a tentacle in the cluster.
pub(super) enum Remains {
    /// Nothing, in an enclave that there is or in none.
    Nothing {
        enclave: bool,
    },
    Something,
    /// That cannot be told.
    Unknown(String),
}

/// Looks into the cluster.
pub(super) async fn look(registrar: &Registrar, tenant: &Tenant) -> Remains {
    find(registrar, tenant).await.unwrap_or_else(|error| Remains::Unknown(error.to_string()))
}

async fn find(registrar: &Registrar, tenant: &Tenant) -> Result<Remains, Error> {
    let Tenant { enclave, tentacle } = tenant;
    let namespace = registrar.cluster.all::<Metadata<Namespace>>().get(enclave.as_str()).await?;
    let Some(namespace) = namespace else { return Ok(Remains::Nothing { enclave: false }) };
    match registrar.facts(&namespace.metadata) {
        None => return Ok(Remains::Unknown(format!("namespace {enclave} is there and is no enclave"))),
        Some(facts) if facts.terminating => {
            return Ok(Remains::Unknown(format!("enclave {enclave} is being deleted; ask again when it is gone")));
        }
        Some(_) => {}
    }
    let deployments = registrar.cluster.namespaced::<Metadata<Deployment>>(enclave.as_str());
    let exists = deployments.get(tentacle.as_str()).await?.is_some()
        || !release::read(&registrar.cluster, enclave, tentacle).await?.is_empty();
    Ok(if exists { Remains::Something } else { Remains::Nothing { enclave: true } })
}

/// An error where something of the tentacle may be there.
pub(super) fn require_nothing(tenant: &Tenant, remains: Remains) -> Result<(), ToolError> {
    match remains {
        Remains::Nothing { .. } => Ok(()),
        Remains::Something => Err(ToolError::new(format_args!("{tenant} exists; wf_remove is for that"))),
        Remains::Unknown(why) => Err(ToolError::new(format_args!("whether {tenant} exists is not known: {why}"))),
    }
}
