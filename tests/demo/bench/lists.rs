//! `wf_list` over many tentacles through the kernel, and the memory that the auditor needs for them.

use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Client,
    api::{Api, Patch, PatchParams, PostParams},
};
use serde_json::{Value, from_value, json};
use tentacular_demo::Message;
use tentacular_test_harness::{
    Installation, Part, Stack,
    mcp::{Era, Mcp},
    stack::Options,
};
use tokio::task::JoinSet;

use crate::{
    address,
    load::{self, Target, Until},
    memory::{most_resident, resident},
    report::{Figure, Report, Unit, median, ms},
};

const ENCLAVES: usize = 50;
/// Tentacles in all enclaves together, one after the other.
const SIZES: [usize; 2] = [500, 5000];
/// Callers at once.
const CALLERS: [usize; 2] = [1, 16];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// How long the auditor is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(5);
/// When something is wrong.
const PATIENCE: Duration = Duration::from_mins(5);
/// The most that one page has.
const PAGE: usize = 1000;

/// On a control plane of its own, as what it makes would be in everybody's way.
pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let installation = Installation::start().await?;
    let stack = Stack::start_with(installation, Options::default()).await?;
    lists(&stack, report).await
}

async fn lists(stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    let admin = stack.installation().control_plane().admin()?;
    let mcp = stack.client(Era::Stateless).await?;
    let enclaves: Vec<_> = (0..ENCLAVES).map(|number| format!("lists-{number:02}")).collect();
    for enclave in &enclaves {
        namespace(&admin, enclave).await?;
    }
    let memory = |tentacles: usize, megabytes: f64| {
        Figure::new(format!("auditor, resident memory with {tentacles} tentacles"), megabytes, Unit::Megabytes)
    };
    report.add(memory(0, resident(stack, Part::Auditor)?));
    let mut made = 0;
    for size in SIZES {
        let mut makers = JoinSet::new();
        for enclave in &enclaves {
            makers.spawn(make(admin.clone(), enclave.clone(), made / ENCLAVES..size / ENCLAVES));
        }
        while let Some(maker) = makers.join_next().await {
            maker??;
        }
        made = size;
        until_listed(&mcp, size).await?;
        tokio::time::sleep(IDLE).await;
        report.add(memory(size, resident(stack, Part::Auditor)?));
        if size <= PAGE {
            calls(stack, size, report).await?;
        }
    }
    stack.kill(Part::Auditor).await?;
    stack.restart(Part::Auditor)?;
    until_listed(&mcp, made).await?;
    tokio::time::sleep(IDLE).await;
    let what = format!("auditor, resident memory after a start with {made} tentacles");
    let started = Figure::new(what, resident(stack, Part::Auditor)?, Unit::Megabytes);
    report.add(started.details(format!("{:.1} MB at the most", most_resident(stack, Part::Auditor)?)));
    Ok(())
}

async fn calls(stack: &Stack, size: usize, report: &mut Report) -> anyhow::Result<()> {
    let all = Message::call(Era::Stateless, "1", "wf_list", &json!({ "limit": PAGE }));
    let target = Target::post("wf_list", address(stack)?, Some(stack.token()), all)?;
    let target = target.probed("\"truncated\":false").await?.with_ages();
    for callers in CALLERS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(load::run_on(callers, &target, Until::Time(ROUND)).await?);
        }
        let figure = |of: &dyn Fn(&load::Round) -> f64| median(rounds.iter().map(of).collect());
        let what = format!("wf_list of all {size} tentacles, {callers} callers");
        report.add(Figure::new(what, figure(&|round| round.per_second), Unit::PerSecond).details(format!(
            "p50 {:.2} ms, p99 {:.2} ms, {} kB",
            figure(&|round| ms(round.p50)),
            figure(&|round| ms(round.p99)),
            target.length() / 1000,
        )));
    }
    Ok(())
}

/// An enclave; the registrar binds the auditor there.
async fn namespace(admin: &Client, name: &str) -> anyhow::Result<()> {
    let namespace = json!({ "metadata": { "name": name,
        "labels": { "app.kubernetes.io/managed-by": "tentacular" },
        "annotations": { "tentacular.io/enclave": name, "tentacular.io/enclave-owner": "ann@example.com" } } });
    Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &from_value(namespace)?).await?;
    Ok(())
}

/// Makes tentacles that are as large as those of a client, and switched off.
async fn make(admin: Client, enclave: String, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(admin, &enclave);
    let by_tntc = PatchParams { field_manager: Some("tentacular".to_owned()), ..PatchParams::default() };
    for number in numbers {
        let name = format!("t-{number:03}");
        deployments.patch(&name, &by_tntc.clone().force(), &Patch::Apply(deployment(&name))).await?;
    }
    Ok(())
}

fn deployment(name: &str) -> Value {
    let labels = json!({ "app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "tentacular",
        "tentacular.io/release": name, "app.kubernetes.io/version": "1.0" });
    let probe = json!({ "httpGet": { "path": "/health", "port": 8080 }, "initialDelaySeconds": 5 });
    let env: Vec<_> = (0..6)
        .map(|number| json!({ "name": format!("VARIABLE_{number}"), "value": "http://example.com:4318/v1" }))
        .collect();
    let container = json!({
        "name": "engine", "image": "example.com/engine:1", "args": vec!["--allow-net=0.0.0.0:8080,api.example.com"; 8],
        "env": env, "livenessProbe": probe, "readinessProbe": probe,
        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": "500m", "memory": "256Mi" } },
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        "volumeMounts": [{ "name": "code", "mountPath": "/app/workflow", "readOnly": true }],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "labels": labels, "annotations": {
            "tentacular.io/owner": "ann@example.com", "tentacular.io/owner-email": "ann@example.com",
            "tentacular.io/mode": "rwxr-x---", "tentacular.io/deployed-by": "ann@example.com",
            "tentacular.io/deployed-at": "2026-01-01T00:00:00Z", "tentacular.io/tags": "report,nightly",
            "tentacular.io/description": "Counts what came in over night and tells the team about it",
            "tentacular.io/nodes": "[\"fetch\",\"count\",\"tell\"]", "tentacular.io/version": "1.0",
            "tentacular.io/inventory": "[{\"kind\":\"ConfigMap\",\"name\":\"x-code\"},{\"kind\":\"Service\",\"name\":\"x\"}]",
        } },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": { "tentacular.io/release": name } },
            "template": { "metadata": { "labels": labels }, "spec": {
                "automountServiceAccountToken": false, "containers": [container],
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                "volumes": [{ "name": "code", "configMap": { "name": format!("{name}-code"), "optional": true } }],
            } },
        },
    })
}

async fn until_listed(mcp: &Mcp, size: usize) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let listed = tentacles(mcp).await?;
        if listed == size {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{listed} of {size} tentacles are listed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How many tentacles there are.
async fn tentacles(mcp: &Mcp) -> anyhow::Result<usize> {
    let (mut count, mut asked) = (0, json!({ "limit": PAGE }));
    loop {
        let page = mcp.call("wf_list", asked.clone()).await?;
        count += page["workflows"].as_array().map_or(0, Vec::len);
        match page.get("next_cursor") {
            Some(cursor) => asked["cursor"] = cursor.clone(),
            None => return Ok(count),
        }
    }
}
