//! Keeps the module proxy as the settings want it: its few objects are applied again and again, and an apply of what is
//! there changes nothing. So several registrars do it side by side.

use std::{fmt, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Conflicts, Error, Kind, Metadata, Object, Objects, enclave_of, retry_on_conflict};
use tentacular_contract::{
    Platform,
    module_proxy::{self, ModuleProxy},
};
use tentacular_process::health::Health;
use tokio::time::sleep;

use crate::tentacle::fields;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(30);
/// The same after one that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long an object is applied again that Kubernetes' controllers change at the same time.
const CONTENDED: Duration = Duration::from_secs(5);

/// Why the module proxy is not as it is to be.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("namespace {0} does not exist; an administrator makes it")]
    NoNamespace(String),
    #[error("namespace {0} is being deleted")]
    Terminating(String),
    #[error("namespace {0} is an enclave; name another one with --proxy-namespace")]
    Enclave(String),
    #[error("{kind}/{name} in {namespace} is somebody else's; remove it, or set --proxy-reconciler-disabled")]
    Foreign { kind: Kind, name: String, namespace: String },
    #[error(transparent)]
    Failed(#[from] Error),
    #[error(transparent)]
    Unreadable(#[from] serde_json::Error),
}

/// What stands in the way, thing by thing.
#[derive(Debug)]
struct Obstacles(Vec<Obstacle>);

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(Obstacle::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl<T: Into<Obstacle>> From<T> for Obstacles {
    fn from(obstacle: T) -> Self {
        Self(vec![obstacle.into()])
    }
}

/// Keeps the module proxy as `settings` want it. Never ends. What stands in its way is logged when it changes, and shown
/// by /readyz.
pub(crate) async fn follow(cluster: Cluster, platform: Platform, settings: ModuleProxy, health: Health) {
    let reconciler = Reconciler { cluster, platform, settings };
    let mut before = None;
    loop {
        let obstacles = reconciler.look().await.err().map(|obstacles| obstacles.to_string());
        if before.as_ref() != Some(&obstacles) {
            health.note("module-proxy", obstacles.as_deref().unwrap_or("as it is to be"));
            if let Some(why) = &obstacles {
                tracing::warn!(why, "the module proxy is not as it is to be; trying again");
            } else {
                tracing::info!("the module proxy is as it is to be");
            }
        }
        sleep(if obstacles.is_some() { LOOK_AGAIN } else { LOOK }).await;
        before = Some(obstacles);
    }
}

struct Reconciler {
    cluster: Cluster,
    platform: Platform,
    settings: ModuleProxy,
}

impl Reconciler {
    /// Looks once, and puts right what is not as it is to be. One object does not wait for another.
    async fn look(&self) -> Result<(), Obstacles> {
        let name = || self.settings.namespace.clone();
        let namespace = self.cluster.all::<Metadata<Namespace>>().get(&self.settings.namespace).await?;
        let Some(Metadata { metadata, .. }) = namespace else { return Err(Obstacle::NoNamespace(name()).into()) };
        if metadata.deletion_timestamp.is_some() {
            return Err(Obstacle::Terminating(name()).into());
        }
        if enclave_of(&metadata, &self.platform).is_some() {
            return Err(Obstacle::Enclave(name()).into());
        }
        let module_proxy::Objects { claim, service, deployment } = self.settings.objects();
        let claim = claim.map(|claim| (Kind::PersistentVolumeClaim, claim));
        let wanted = claim.into_iter().chain([(Kind::Service, service), (Kind::Deployment, deployment)]);
        let mut obstacles = Vec::new();
        for (kind, wanted) in wanted {
            obstacles.extend(self.put(kind, wanted).await.err());
        }
        if obstacles.is_empty() { Ok(()) } else { Err(Obstacles(obstacles)) }
    }

    async fn put(&self, kind: Kind, wanted: Value) -> Result<(), Obstacle> {
        let objects = self.cluster.objects(kind, &self.settings.namespace);
        let wanted: Object = serde_json::from_value(wanted)?;
        let name = wanted.metadata.name.clone().unwrap_or_default();
        let attempt = || async {
            let live = objects.get(&name).await?;
            if live.as_ref().is_some_and(|live| !is_ours(live)) {
                return Ok(Err(Obstacle::Foreign {
                    kind,
                    name: name.clone(),
                    namespace: self.settings.namespace.clone(),
                }));
            }
            let version = live.as_ref().and_then(|live| live.metadata.resource_version.clone());
            let written = write(&objects, &wanted, live).await?;
            if written.metadata.resource_version != version {
                tracing::info!(object = %format_args!("{kind}/{name}"), "written for the module proxy");
            }
            Ok(Ok(()))
        };
        retry_on_conflict(CONTENDED, attempt).await?
    }
}

/// Whether this server applied it, whatever its labels say now, or it is marked as an older one's.
fn is_ours(live: &Object) -> bool {
    fields::is_applied(live) || live.metadata.labels.as_ref().is_some_and(module_proxy::is_marked)
}

/// Makes `live` what is wanted. The write counts only while it is as it was read, and what is new must not be there.
async fn write(objects: &Objects<Object>, wanted: &Object, live: Option<Object>) -> Result<Object, Error> {
    let Some(mut live) = live else { return objects.apply(wanted, Conflicts::Refuse).await };
    if !fields::is_applied(&live) {
        live = take_all(objects, live).await?;
    }
    match objects.apply(&expecting(wanted, &live), Conflicts::TakeOver).await {
        // What somebody added does not go together with what is wanted, as a second source of a volume, or is more than
        // this server's account may leave there.
        Err(Error::Invalid { .. } | Error::Forbidden { .. }) => {
            live = take_all(objects, live).await?;
            objects.apply(&expecting(wanted, &live), Conflicts::TakeOver).await
        }
        written => written,
    }
}

fn expecting(wanted: &Object, live: &Object) -> Object {
    let mut wanted = wanted.clone();
    wanted.metadata.uid.clone_from(&live.metadata.uid);
    wanted.metadata.resource_version.clone_from(&live.metadata.resource_version);
    wanted
}

/// Makes all of an object but what controllers wrote this server's, so that the next apply removes what it leaves out.
async fn take_all(objects: &Objects<Object>, live: Object) -> Result<Object, Error> {
    let Some(managed_fields) = fields::adopted(&live) else { return Ok(live) };
    let name = live.metadata.name.unwrap_or_default();
    let patch = json!({ "metadata": {
        "uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version, "managedFields": managed_fields,
    } });
    objects.patch(&name, &patch).await
}
