//! 5,000 tentacles that are due in the same minute: how late each is claimed, when the last has ended, and what memory the
//! scheduler takes. Deployments are made without pods, by an administrator; the example engine answers for all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace},
        rbac::v1::RoleBinding,
    },
    jiff::Timestamp,
};
use kube::{
    Client,
    api::{Api, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_demo::say;
use tentacular_test_harness::{Part, Stack, installation::SERVER_NAMESPACE};
use tokio::time::{Instant, sleep};

use crate::{
    memory::most_resident,
    report::{Figure, Report, Unit, ms, percentile},
};

const ENCLAVES: usize = 5;
const TENTACLES: usize = 1000;
/// Requests of the administrator at the same time.
const AT_ONCE: usize = 16;
/// A wait that only a hang reaches.
const LONG: Duration = Duration::from_mins(10);
/// From the change of the schedules to the minute that they name: the changes themselves take most of it.
const AHEAD: u64 = 120;
/// Seconds in the spread one.
const JITTER: u64 = 60;

pub(crate) async fn measure(stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    let admin = stack.installation().control_plane().admin()?;
    let begun = Instant::now();
    furnish(&admin).await?;
    until(&admin, "tentacles are taken up", |data| !data.is_empty()).await?;
    say(&format!(
        "{} tentacles with a schedule each, made and taken up in {:.0} s",
        ENCLAVES * TENTACLES,
        begun.elapsed().as_secs_f64()
    ));
    for jitter in [JITTER, 0] {
        minute(&admin, jitter, report).await?;
    }
    let most = most_resident(stack, Part::Scheduler)?;
    report.add(Figure::new("scheduler, most resident memory of all this", most, Unit::Megabytes).at_most(80.0));
    Ok(())
}

fn enclave(number: usize) -> String {
    format!("clocks-{number}")
}

async fn furnish(admin: &Client) -> anyhow::Result<()> {
    for number in 0..ENCLAVES {
        let name = enclave(number);
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": {
            "name": name,
            "labels": { "app.kubernetes.io/managed-by": "tentacular" },
            "annotations": { "tentacular.io/enclave": name, "tentacular.io/enclave-owner": "ann@example.com" },
        }}))?;
        Api::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": { "name": "tentacular-scheduler" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tentacular-enclave-scheduler",
            },
            "subjects": [{
                "kind": "ServiceAccount", "namespace": SERVER_NAMESPACE, "name": Part::Scheduler.account(),
            }],
        }))?;
        Api::namespaced(admin.clone(), &name).create(&PostParams::default(), &binding).await?;
    }
    each(|enclave, number| async move {
        let name = format!("tentacle-{number}");
        let labels = json!({ "app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "tentacular" });
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {
                "name": name, "labels": labels, "annotations": { "tentacular.io/cron-schedule": "@yearly" },
            },
            "spec": {
                "replicas": 0,
                // No ReplicaSet either.
                "paused": true,
                "selector": { "matchLabels": { "app.kubernetes.io/name": name } },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "engine", "image": "engine" }] },
                },
            },
        }))?;
        Api::namespaced(admin.clone(), &enclave).create(&PostParams::default(), &deployment).await?;
        Ok(())
    })
    .await
}

/// Does it for every tentacle.
async fn each<F: Future<Output = anyhow::Result<()>>>(act: impl Fn(String, usize) -> F) -> anyhow::Result<()> {
    let places = (0..ENCLAVES * TENTACLES).map(|number| (enclave(number % ENCLAVES), number / ENCLAVES));
    let acts = places.map(|(enclave, number)| act(enclave, number));
    stream::iter(acts).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// One minute in which all are due.
async fn minute(admin: &Client, jitter: u64, report: &mut Report) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let due = (now + AHEAD) / 60 * 60;
    let instant = Timestamp::from_second(i64::try_from(due)?)?;
    let (hour, minute) = (due / 3600 % 24, due / 60 % 60);
    let schedule = format!("{minute} {hour} * * *");
    let patch = json!({ "metadata": { "annotations": {
        "tentacular.io/cron-schedule": schedule, "tentacular.io/cron-jitter": jitter.to_string(),
    }}});
    each(|enclave, number| {
        let patch = patch.clone();
        async move {
            let deployments: Api<Deployment> = Api::namespaced(admin.clone(), &enclave);
            deployments.patch(&format!("tentacle-{number}"), &PatchParams::default(), &Patch::Merge(patch)).await?;
            Ok(())
        }
    })
    .await?;
    ensure!(Timestamp::now() < instant, "this machine is too slow: the schedules changed after the minute they name");
    until(admin, "runs have ended", |data| run(data, &instant).is_some_and(|run| run["ended_at"].is_string()))
        .await?;
    let mut late = Vec::new();
    let (mut claimed, mut ended) = (Duration::ZERO, Duration::ZERO);
    for data in ledgers(admin).await? {
        let run = run(&data, &instant).context("a run is missing")?;
        ensure!(run["state"] == "succeeded", "a run did not succeed: {run}");
        late.push(Duration::from_millis(run["lateness_ms"].as_u64().context("no lateness")?));
        let after = |key: &str| -> anyhow::Result<Duration> {
            let time: Timestamp = run[key].as_str().context("no time")?.parse()?;
            Ok(Duration::try_from(time.duration_since(instant)).unwrap_or_default())
        };
        (claimed, ended) = (claimed.max(after("claimed_at")?), ended.max(after("ended_at")?));
    }
    let what =
        format!("{} schedules of one minute, jitter {jitter} s, until the last is claimed", ENCLAVES * TENTACLES);
    let figure = Figure::new(what, claimed.as_secs_f64(), Unit::Seconds).details(format!(
        "lateness p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms; {:.0} runs a second until the last has ended",
        ms(percentile(&late, 50)),
        ms(percentile(&late, 99)),
        ms(late.iter().max().copied().unwrap_or_default()),
        f64::from(u32::try_from(late.len())?) / ended.as_secs_f64(),
    ));
    report.add(if jitter == JITTER { figure.at_most(60.0) } else { figure });
    Ok(())
}

type Data = std::collections::BTreeMap<String, String>;

/// The run of that instant in a ledger.
fn run(data: &Data, instant: &Timestamp) -> Option<Value> {
    let runs = data.iter().filter(|(key, _)| key.starts_with("run."));
    let mut runs = runs.filter_map(|(_, text)| serde_json::from_str::<Value>(text).ok());
    runs.find(|run| run["instant"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) == Some(*instant))
}

async fn ledgers(admin: &Client) -> anyhow::Result<Vec<Data>> {
    let mut ledgers = Vec::new();
    for number in 0..ENCLAVES {
        let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), &enclave(number));
        let list = maps.list(&ListParams::default().labels("tentacular.io/ledger")).await?;
        ledgers.extend(list.items.into_iter().map(|map| map.data.unwrap_or_default()));
    }
    Ok(ledgers)
}

/// Waits until all ledgers are as wanted.
async fn until(admin: &Client, what: &str, wanted: impl Fn(&Data) -> bool) -> anyhow::Result<()> {
    let until = Instant::now() + LONG;
    loop {
        let count = ledgers(admin).await?.iter().filter(|data| wanted(data)).count();
        if count == ENCLAVES * TENTACLES {
            return Ok(());
        }
        ensure!(Instant::now() < until, "of {} only {count} {what}", ENCLAVES * TENTACLES);
        // Seldom: reading them all is work for the API server.
        sleep(Duration::from_secs(10)).await;
    }
}
