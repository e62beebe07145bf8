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
        wf_health::{self, WfHealth},
        wf_list::{self, WfList},
        wf_status::{self, WfStatus},
    },
};

pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args { tentacle_url, link, platform, process: _ } = args;
    let url = TentacleUrl::new(&tentacle_url, &platform.cluster_domain)?;
    let cluster = Cluster::connect(Args::NAME).await?;

    let observed = Observed::watch(cluster, platform, &context);
    let list = Arc::new(WfList { observed: observed.clone(), clock: SystemClock });
    let status = Arc::new(WfStatus { observed: observed.clone() });
    let health = Arc::new(WfHealth { observed, probe: EngineClient::new(), url });
    Sidecar::new(Args::NAME)
        .tool(wf_list::spec(), move |permitted, arguments| Arc::clone(&list).call(permitted, arguments))
        .tool(wf_status::spec(), move |permitted, arguments| Arc::clone(&status).call(permitted, arguments))
        .tool(wf_health::spec(), move |permitted, arguments| Arc::clone(&health).call(permitted, arguments))
        .serve(link, &context)
        .await
}
