//! Puts the scheduler together: the cluster, the way to the tentacles, the clockwork, the tools.

use std::{future, sync::Arc, time::Duration};

use tentacular_cluster::{Cluster, Election, ElectionTimes, Enclaves, PerEnclave};
use tentacular_contract::{Platform, keys, tentacle_url::TentacleUrl};
use tentacular_process::{Context, Part, engine::EngineClient, link::Sidecar};
use uuid::Uuid;

use crate::{
    args::Args,
    clock::SystemClock,
    clockwork::{Clockwork, Measures, Scheduled},
    ledger::Ledgers,
    run::Runner,
    tools::{
        wf_run::{self, WfRun},
        wf_runs::{self, WfRuns},
        wf_schedule::{self, WfSchedule},
    },
};

pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args { tentacle_url, cron_run_seconds, identity, link, platform, process: _ } = args;
    let url = TentacleUrl::new(&tentacle_url, &platform.cluster_domain)?;
    let cluster = Cluster::connect(Args::NAME).await?;
    let (enclaves, watching) = Enclaves::new(cluster.clone(), platform.clone());
    context.spawn("enclaves", async move {
        watching.await;
        Ok(())
    });
    let (scheduled, watching) =
        PerEnclave::keeping(cluster.clone(), enclaves.clone(), Some(keys::MANAGED_SELECTOR), Scheduled::of);
    context.spawn("deployments", async move {
        watching.await;
        Ok(())
    });
    let (seen, filled) = (scheduled.clone(), context.health.condition("deployments"));
    context.spawn("readiness", async move {
        seen.ready().await;
        filled.set(true);
        future::pending().await
    });

    let runner = Arc::new(Runner::new(EngineClient::new(), SystemClock, url));
    let clockwork = Arc::new(Clockwork {
        cluster: cluster.clone(),
        enclaves,
        scheduled,
        ledgers: Ledgers::new(cluster.clone()),
        runner: Arc::clone(&runner),
        clock: SystemClock,
        measures: Measures::new(&context.metrics),
        limit: Duration::from_secs(cron_run_seconds),
    });
    let identity = identity.unwrap_or_else(|| format!("scheduler-{}", Uuid::now_v7()));
    let election = Election::new(
        &cluster,
        &platform.server_namespace,
        keys::SCHEDULER_LEASE,
        &identity,
        ElectionTimes::default(),
    );
    let tools = tools(cluster, platform, runner, clockwork.ledgers.clone());
    let (draining, drain_time) = (context.draining.clone(), context.drain_time);
    let firing = async {
        // A panic ends the process, and a clockwork that ends by itself does.
        tokio::spawn(clockwork.run(election, draining, drain_time)).await?;
        Ok(())
    };
    tokio::try_join!(tools.serve(link, &context), firing).map(drop)
}

fn tools(
    cluster: Cluster,
    platform: Platform,
    runner: Arc<Runner<EngineClient, SystemClock>>,
    ledgers: Ledgers,
) -> Sidecar {
    let clock = SystemClock;
    let wf_runs = Arc::new(WfRuns { ledgers: ledgers.clone(), clock });
    let wf_schedule = Arc::new(WfSchedule {
        cluster: cluster.clone(),
        platform: platform.clone(),
        ledgers: ledgers.clone(),
        clock,
    });
    let wf_run = Arc::new(WfRun { cluster, platform, runner, ledgers, clock });
    Sidecar::new(Args::NAME)
        .tool(wf_run::spec(), move |permitted, arguments| Arc::clone(&wf_run).call(permitted, arguments))
        .tool(wf_runs::spec(), move |permitted, arguments| Arc::clone(&wf_runs).call(permitted, arguments))
        .tool(wf_schedule::spec(), move |permitted, arguments| Arc::clone(&wf_schedule).call(permitted, arguments))
}
