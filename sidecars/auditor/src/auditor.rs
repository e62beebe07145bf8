//! Puts the auditor together: the watches, the way to the engines, the tools.

use std::sync::Arc;

use tentacular_cluster::Cluster;
use tentacular_contract::{Platform, module_proxy::ModuleProxy, tentacle_url::TentacleUrl};
use tentacular_process::{Context, Part, engine::EngineClient, link::Sidecar};

use crate::{
    args::Args,
    clock::SystemClock,
    observed::Observed,
    tools::{
        audit_netpol::{self, AuditNetpol},
        audit_psa::{self, AuditPsa},
        audit_rbac::{self, AuditRbac},
        audit_resources::{self, AuditResources},
        authz_explain::{self, AuthzExplain},
        cluster_preflight::{self, ClusterPreflight, Issuer},
        cluster_profile::{self, ClusterProfile},
        health_cluster_summary::{self, HealthClusterSummary},
        health_nodes::{self, HealthNodes},
        health_ns_usage::{self, HealthNsUsage},
        platform_config::{self, PlatformConfig},
        proxy_status::{self, ProxyStatus},
        wf_describe::{self, WfDescribe},
        wf_events::{self, WfEvents},
        wf_health::{self, WfHealth},
        wf_health_ns::{self, WfHealthNs},
        wf_jobs::{self, WfJobs},
        wf_list::{self, WfList},
        wf_logs::{self, WfLogs},
        wf_pods::{self, WfPods},
        wf_status::{self, WfStatus},
    },
};

pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args { tentacle_url, chroma_url, docs_url, module_proxy, provider, link, platform, process: _ } = args;
    let url = TentacleUrl::new(&tentacle_url, &platform.cluster_domain)?;
    let cluster = Cluster::connect(Args::NAME).await?;

    let server_namespace = platform.server_namespace.clone();
    let observed = Observed::watch(cluster, platform.clone(), &context);
    let surroundings = Surroundings { platform, issuer: provider.issuer(), module_proxy };
    let config = PlatformConfig { chroma_url, docs_url };
    let list = Arc::new(WfList { observed: observed.clone(), clock: SystemClock });
    let status = Arc::new(WfStatus { observed: observed.clone(), clock: SystemClock });
    let describe = Arc::new(WfDescribe { observed: observed.clone(), clock: SystemClock });
    let pods = Arc::new(WfPods { observed: observed.clone(), clock: SystemClock });
    let logs = Arc::new(WfLogs::new(observed.clone()));
    let events = Arc::new(WfEvents { observed: observed.clone() });
    let jobs = Arc::new(WfJobs { observed: observed.clone(), clock: SystemClock });
    let health_ns = Arc::new(WfHealthNs { observed: observed.clone(), probe: EngineClient::new(), url: url.clone() });
    let health = Arc::new(WfHealth { observed: observed.clone(), probe: EngineClient::new(), url });
    let sidecar = audits(Sidecar::new(Args::NAME), &observed, server_namespace);
    on_the_cluster(sidecar, &observed, surroundings, config)
        .tool(wf_list::spec(), move |permitted, arguments| Arc::clone(&list).call(permitted, arguments))
        .tool(wf_status::spec(), move |permitted, arguments| Arc::clone(&status).call(permitted, arguments))
        .tool(wf_describe::spec(), move |permitted, arguments| Arc::clone(&describe).call(permitted, arguments))
        .tool(wf_pods::spec(), move |permitted, arguments| Arc::clone(&pods).call(permitted, arguments))
        .tool(wf_logs::spec(), move |permitted, arguments| Arc::clone(&logs).call(permitted, arguments))
        .tool(wf_events::spec(), move |permitted, arguments| Arc::clone(&events).call(permitted, arguments))
        .tool(wf_jobs::spec(), move |permitted, arguments| Arc::clone(&jobs).call(permitted, arguments))
        .tool(wf_health::spec(), move |permitted, arguments| Arc::clone(&health).call(permitted, arguments))
        .tool(wf_health_ns::spec(), move |permitted, arguments| Arc::clone(&health_ns).call(permitted, arguments))
        .serve(link, &context)
        .await
}

/// Adds the audits.
fn audits(sidecar: Sidecar, observed: &Observed, server_namespace: String) -> Sidecar {
    let netpol = Arc::new(AuditNetpol { observed: observed.clone() });
    let psa = Arc::new(AuditPsa { observed: observed.clone() });
    let rbac = Arc::new(AuditRbac { observed: observed.clone(), server_namespace: server_namespace.clone() });
    let resources = Arc::new(AuditResources { observed: observed.clone(), server_namespace });
    sidecar
        .tool(audit_rbac::spec(), move |permitted, arguments| Arc::clone(&rbac).call(permitted, arguments))
        .tool(audit_netpol::spec(), move |permitted, arguments| Arc::clone(&netpol).call(permitted, arguments))
        .tool(audit_psa::spec(), move |permitted, arguments| Arc::clone(&psa).call(permitted, arguments))
        .tool(audit_resources::spec(), move |permitted, arguments| Arc::clone(&resources).call(permitted, arguments))
}

/// What the tools on the cluster are told of the installation.
struct Surroundings {
    platform: Platform,
    issuer: Option<Issuer>,
    module_proxy: ModuleProxy,
}

/// Adds the tools on the cluster, and those that judge an enclave as a whole.
fn on_the_cluster(sidecar: Sidecar, observed: &Observed, about: Surroundings, config: PlatformConfig) -> Sidecar {
    let Surroundings { platform, issuer, module_proxy } = about;
    let (cluster, clock) = (observed.cluster.clone(), SystemClock);
    let preflight = ClusterPreflight { cluster, platform: platform.clone(), issuer: issuer.clone(), clock };
    let preflight = Arc::new(preflight);
    let profile = ClusterProfile { observed: observed.clone(), platform: platform.clone(), issuer, clock };
    let profile = Arc::new(profile);
    let nodes = Arc::new(HealthNodes { cluster: observed.cluster.clone() });
    let summary = Arc::new(HealthClusterSummary { cluster: observed.cluster.clone() });
    let usage = Arc::new(HealthNsUsage { observed: observed.clone() });
    let proxy = Arc::new(ProxyStatus { cluster: observed.cluster.clone(), settings: module_proxy });
    let config = Arc::new(config);
    let explain = Arc::new(AuthzExplain { observed: observed.clone(), platform });
    sidecar
        .tool(cluster_preflight::spec(), move |permitted, none| Arc::clone(&preflight).call(permitted, none))
        .tool(cluster_profile::spec(), move |permitted, none| Arc::clone(&profile).call(permitted, none))
        .tool(health_nodes::spec(), move |permitted, arguments| Arc::clone(&nodes).call(permitted, arguments))
        .tool(health_ns_usage::spec(), move |permitted, none| Arc::clone(&usage).call(permitted, none))
        .tool(health_cluster_summary::spec(), move |permitted, none| Arc::clone(&summary).call(permitted, none))
        .tool(proxy_status::spec(), move |permitted, none| Arc::clone(&proxy).call(permitted, none))
        .tool(platform_config::spec(), move |permitted, none| Arc::clone(&config).call(permitted, none))
        .tool(authz_explain::spec(), move |permitted, arguments| Arc::clone(&explain).call(permitted, arguments))
}
