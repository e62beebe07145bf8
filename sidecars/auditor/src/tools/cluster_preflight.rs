//! `cluster_preflight`: whether the server has what it needs of the cluster, and what mends it where it has not.

mod check;
mod place;
mod rights;
mod server;
mod table;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::Cluster;
use tentacular_contract::{Authz, Needs, On, Platform};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::timeout;

use self::{check::Check, place::Place, table::Account};
use crate::clock::Clock;

/// How long a check may take: below the tool's deadline, so that the others are shown.
const TIME: Duration = Duration::from_secs(20);

/// The arguments of `cluster_preflight`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave to check too: whether it is ready and the server has its rights there. One that does not exist, or a
    /// protected namespace such as `default`, is passed with a warning.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
}

/// The result of `cluster_preflight`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Preflight {
    /// Name of the enclave that was checked too.
    #[serde(skip_serializing_if = "Option::is_none")]
    enclave: Option<String>,
    /// The checks.
    checks: Vec<Check>,
    /// Whether all of them passed.
    #[serde(rename = "allPass")]
    all_pass: bool,
}

/// What the kernel and clients are told of `cluster_preflight`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Checks what this server itself needs: the API server, the rights of its accounts, its admission \
                       webhook, enforced Pod Security and network policies, the identity provider, a leading \
                       scheduler, and each backing service. A check that failed names the command that mends it. What \
                       is not configured, not there yet or not knowable has passed, with a warning.";
    ToolSpec::new("cluster_preflight", "Check what the server needs", description, authz)
        .aliases(&["enclave_preflight"])
        .read_only()
}

/// Which identity provider is asked.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    /// As its tokens spell it.
    pub(crate) url: String,
    /// PEM file of authorities beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// The tool.
#[derive(Debug)]
pub(crate) struct ClusterPreflight<C> {
    pub(crate) cluster: Cluster,
    pub(crate) platform: Platform,
    pub(crate) issuer: Option<Issuer>,
    pub(crate) clock: C,
}

impl<C: Clock> ClusterPreflight<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Preflight, ToolError> {
        let named = permitted.permit().enclave();
        let (cluster, platform) = (&self.cluster, &self.platform);
        let home = platform.server_namespace.as_str();
        let place = match timeout(TIME, Place::read(cluster, platform, named)).await {
            Ok(place) => place,
            Err(_) => Place::Unreadable("no answer in time".to_owned()),
        };
        let enclave = place.enclave();
        let rights = join_all(
            Account::ALL.map(|account| limited("rbac", home, rights::check(cluster, home, account, enclave))),
        );
        let (api, rights, webhook, policies, issuer, leader, runtime, backing) = tokio::join!(
            limited("api-reachability", home, server::api(cluster)),
            rights,
            limited("admission-webhook", home, server::webhook(cluster, platform)),
            limited("network-policies", home, server::network_policies(cluster)),
            limited("identity-provider", home, server::identity_provider(self.issuer.as_ref(), home)),
            limited("schedule-leader", home, server::leader(cluster, home, self.clock.now())),
            limited("gvisor-runtime", home, server::gvisor(cluster)),
            server::backing_services(cluster, home),
        );
        let mut checks = vec![api, place.exists()];
        checks.extend(rights);
        checks.extend([webhook, place.pod_security(), policies, issuer, leader]);
        checks.extend(backing);
        checks.push(runtime);
        let all_pass = checks.iter().all(|check| check.passed);
        Ok(Preflight { enclave: named.map(ToString::to_string), checks, all_pass })
    }
}

/// A check that takes too long has failed.
async fn limited(name: &str, home: &str, check: impl Future<Output = Check>) -> Check {
    timeout(TIME, check).await.unwrap_or_else(|_| {
        let late = format!("there was no answer within {} s", TIME.as_secs());
        Check::failed(name, late, format!("kubectl -n {home} logs deployment/tentacular-mcp -c auditor --tail=50"))
    })
}
