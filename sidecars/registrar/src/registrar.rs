//! What every handler has at hand, and which handler answers which tool.

use std::{future, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use tentacular_cluster::{Cluster, Enclaves, enclave_of};
use tentacular_contract::{Enclave, Platform};
use tentacular_process::{
    Context,
    link::{Permitted, Sidecar, ToolError, ToolSpec},
};
use uuid::Uuid;

use crate::{
    args::Args,
    backing::{Backing, exo_orphans, exo_status, renewal},
    enclave::{bindings, deprovision, info, list, name_pattern::NamePattern, provision, sync},
    locks::Locks,
    module_proxy::{
        reconcile,
        warm::{self, Warmer},
    },
    tentacle::{apply, permissions_get, permissions_set, remove, restart},
};

/// How long a read waits for an API server that is away: some seconds less than the default deadline of a tool.
const PATIENCE: Duration = Duration::from_secs(25);

/// What every handler has at hand.
#[derive(Debug)]
pub(crate) struct Registrar {
    pub(crate) cluster: Cluster,
    pub(crate) enclaves: Enclaves,
    pub(crate) platform: Platform,
    pub(crate) enclaves_per_owner: usize,
    pub(crate) name_pattern: Option<NamePattern>,
    pub(crate) locks: Locks,
    pub(crate) warmer: Warmer,
    pub(crate) backing: Arc<Backing>,
}

impl Registrar {
    /// The enclave that a namespace with this metadata is.
    pub(crate) fn facts(&self, metadata: &ObjectMeta) -> Option<Enclave> {
        enclave_of(metadata, &self.platform)
    }
}

/// Runs the registrar until the process drains.
pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args {
        enclaves_per_owner,
        enclave_name_pattern: name_pattern,
        identity,
        module_proxy,
        proxy_url,
        backing,
        platform,
        link,
        process: _,
    } = args;
    let proxy_url = warm::base_url(&proxy_url, &module_proxy.namespace, &platform.cluster_domain)?;
    let cluster = Cluster::connect("registrar").await?.patient(PATIENCE);
    let backing = Arc::new(Backing::from_args(backing, &cluster)?);
    let locks = Locks::new(cluster.clone(), identity.unwrap_or_else(|| format!("registrar-{}", Uuid::now_v7())));
    let (enclaves, watching) = Enclaves::new(cluster.clone(), platform.clone());
    context.spawn("enclaves", async move {
        watching.await;
        Ok(())
    });
    let (seen, filled) = (enclaves.clone(), context.health.condition("enclaves"));
    context.spawn("readiness", async move {
        seen.ready().await;
        filled.set(true);
        future::pending().await
    });
    let binding = bindings::follow(cluster.clone(), enclaves.clone(), platform.server_namespace.clone());
    context.spawn("bindings", async move {
        binding.await;
        Ok(())
    });
    if !module_proxy.disabled {
        let cluster = cluster.patient(Duration::ZERO);
        let reconciling = reconcile::follow(cluster, platform.clone(), module_proxy, context.health.clone());
        context.spawn("module proxy", async move {
            reconciling.await;
            Ok(())
        });
    }
    let warmer = Warmer::start(proxy_url, &context)?;
    let probing = Arc::clone(&backing).follow(cluster.clone(), platform.server_namespace.clone());
    context.spawn("backing services", async move {
        probing.await;
        Ok(())
    });
    let registrar =
        Arc::new(Registrar { cluster, enclaves, platform, enclaves_per_owner, name_pattern, locks, warmer, backing });
    renewal::start(&registrar, &context);
    tools(&registrar).serve(link, &context).await
}

fn tools(registrar: &Arc<Registrar>) -> Sidecar {
    let sidecar = Sidecar::new("registrar");
    let sidecar = register(sidecar, registrar, provision::spec(), provision::provision);
    let sidecar = register(sidecar, registrar, info::spec(), info::info);
    let sidecar = register(sidecar, registrar, list::spec(), list::list);
    let sidecar = register(sidecar, registrar, sync::spec(), sync::sync);
    let sidecar = register(sidecar, registrar, deprovision::spec(), deprovision::deprovision);
    let sidecar = register(sidecar, registrar, apply::spec(), apply::apply);
    let sidecar = register(sidecar, registrar, remove::spec(), remove::remove);
    let sidecar = register(sidecar, registrar, restart::spec(), restart::restart);
    let sidecar = register(sidecar, registrar, permissions_get::spec(), permissions_get::get);
    let sidecar = register(sidecar, registrar, permissions_set::spec(), permissions_set::set);
    let sidecar = register(sidecar, registrar, exo_status::spec(), exo_status::show);
    register(sidecar, registrar, exo_orphans::spec(), exo_orphans::orphans)
}

fn register<A, O, H, F>(sidecar: Sidecar, registrar: &Arc<Registrar>, spec: ToolSpec, handler: H) -> Sidecar
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + 'static,
    H: Fn(Arc<Registrar>, Permitted, A) -> F + Send + Sync + 'static,
    F: Future<Output = Result<O, ToolError>> + Send + 'static,
{
    let registrar = Arc::clone(registrar);
    sidecar.tool(spec, move |permitted, arguments| handler(Arc::clone(&registrar), permitted, arguments))
}
