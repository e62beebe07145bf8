//! Puts the auditor together: the watches, the way to the engines, the tools.

use std::sync::Arc;

use tentacular_cluster::Cluster;
use tentacular_contract::tentacle_url::TentacleUrl;
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
        cluster_preflight::{self, ClusterPreflight},
        cluster_profile::{self, ClusterProfile},
        health_cluster_summary::{self, HealthClusterSummary},
        health_nodes::{self, HealthNodes},
        health_ns_usage::{self, HealthNsUsage},
        platform_config::{self, PlatformConfig},
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
    let Args { tentacle_url, chroma_url, docs_url, provider, link, platform, process: _ } = args;
    let url = TentacleUrl::new(&tentacle_url, &platform.cluster_domain)?;
    let cluster = Cluster::connect(Args::NAME).await?;

    let issuer = provider.issuer();
    let preflight = Arc::new(ClusterPreflight {
        cluster: cluster.clone(),
        platform: platform.clone(),
        issuer: issuer.clone(),
        clock: SystemClock,
    });
    let server_namespace = platform.server_namespace.clone();
    let summary = Arc::new(HealthClusterSummary { cluster: cluster.clone() });
    let nodes = Arc::new(HealthNodes { cluster: cluster.clone() });
    let observed = Observed::watch(cluster, platform.clone(), &context);
    let usage = Arc::new(HealthNsUsage { observed: observed.clone() });
    let profile = Arc::new(ClusterProfile {
        observed: observed.clone(),
        platform: platform.clone(),
        issuer,
        clock: SystemClock,
    });
    let config = Arc::new(PlatformConfig { chroma_url, docs_url });
    let explain = Arc::new(AuthzExplain { observed: observed.clone(), platform });
    let list = Arc::new(WfList { observed: observed.clone(), clock: SystemClock });
    let status = Arc::new(WfStatus { observed: observed.clone(), clock: SystemClock });
    let describe = Arc::new(WfDescribe { observed: observed.clone(), clock: SystemClock });
    let pods = Arc::new(WfPods { observed: observed.clone(), clock: SystemClock });
    let logs = Arc::new(WfLogs { observed: observed.clone() });
    let events = Arc::new(WfEvents { observed: observed.clone() });
    let jobs = Arc::new(WfJobs { observed: observed.clone(), clock: SystemClock });
    let health_ns = Arc::new(WfHealthNs { observed: observed.clone(), probe: EngineClient::new(), url: url.clone() });
    let health = Arc::new(WfHealth { observed: observed.clone(), probe: EngineClient::new(), url });
    let audit_netpol = Arc::new(AuditNetpol { observed: observed.clone() });
    let audit_psa = Arc::new(AuditPsa { observed: observed.clone() });
    let audit_rbac = Arc::new(AuditRbac { observed: observed.clone(), server_namespace: server_namespace.clone() });
    let audit_resources = Arc::new(AuditResources { observed: observed.clone(), server_namespace });
    Sidecar::new(Args::NAME)
        .tool(wf_list::spec(), move |permitted, arguments| Arc::clone(&list).call(permitted, arguments))
        .tool(wf_status::spec(), move |permitted, arguments| Arc::clone(&status).call(permitted, arguments))
        .tool(wf_describe::spec(), move |permitted, arguments| Arc::clone(&describe).call(permitted, arguments))
        .tool(wf_pods::spec(), move |permitted, arguments| Arc::clone(&pods).call(permitted, arguments))
        .tool(wf_logs::spec(), move |permitted, arguments| Arc::clone(&logs).call(permitted, arguments))
        .tool(wf_events::spec(), move |permitted, arguments| Arc::clone(&events).call(permitted, arguments))
        .tool(wf_jobs::spec(), move |permitted, arguments| Arc::clone(&jobs).call(permitted, arguments))
        .tool(wf_health::spec(), move |permitted, arguments| Arc::clone(&health).call(permitted, arguments))
        .tool(wf_health_ns::spec(), move |permitted, arguments| Arc::clone(&health_ns).call(permitted, arguments))
        .tool(audit_netpol::spec(), move |permitted, arguments| Arc::clone(&audit_netpol).call(permitted, arguments))
        .tool(cluster_preflight::spec(), move |permitted, arguments| {
            Arc::clone(&preflight).call(permitted, arguments)
        })
        .tool(audit_resources::spec(), move |permitted, arguments| {
            Arc::clone(&audit_resources).call(permitted, arguments)
        })
        .tool(audit_rbac::spec(), move |permitted, arguments| Arc::clone(&audit_rbac).call(permitted, arguments))
        .tool(authz_explain::spec(), move |permitted, arguments| Arc::clone(&explain).call(permitted, arguments))
        .tool(audit_psa::spec(), move |permitted, arguments| Arc::clone(&audit_psa).call(permitted, arguments))
        .tool(health_nodes::spec(), move |permitted, arguments| Arc::clone(&nodes).call(permitted, arguments))
        .tool(health_ns_usage::spec(), move |permitted, arguments| Arc::clone(&usage).call(permitted, arguments))
        .tool(health_cluster_summary::spec(), move |permitted, arguments| {
            Arc::clone(&summary).call(permitted, arguments)
        })
        .tool(cluster_profile::spec(), move |permitted, arguments| Arc::clone(&profile).call(permitted, arguments))
        .tool(platform_config::spec(), move |permitted, arguments| Arc::clone(&config).call(permitted, arguments))
        .serve(link, &context)
        .await
}
