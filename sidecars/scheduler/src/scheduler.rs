//! Puts the scheduler together: the cluster, the way to the tentacles, the tools.

use std::sync::Arc;

use tentacular_cluster::Cluster;
use tentacular_contract::tentacle_url::TentacleUrl;
use tentacular_process::{Context, Part, engine::EngineClient, link::Sidecar};

use crate::{
    args::Args,
    clock::SystemClock,
    run::Runner,
    tools::wf_run::{self, WfRun},
};

pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args { tentacle_url, link, platform, process: _ } = args;
    let url = TentacleUrl::new(&tentacle_url, &platform.cluster_domain)?;
    let cluster = Cluster::connect(Args::NAME).await?;

    let runner = Runner::new(EngineClient::new(), SystemClock, url);
    let wf_run = Arc::new(WfRun { cluster, platform, runner });
    Sidecar::new(Args::NAME)
        .tool(wf_run::spec(), move |permitted, arguments| Arc::clone(&wf_run).call(permitted, arguments))
        .serve(link, &context)
        .await
}
