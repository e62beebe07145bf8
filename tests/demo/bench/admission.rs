//! What the webhook adds to the creation of a pod: dry runs in an enclave, against the same in a namespace that is none. By
//! a person, about whom both of the webhook's entries are asked.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::{Method, Request, header::CONTENT_TYPE};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    rbac::v1::RoleBinding,
};
use kube::{
    Client, Resource as _,
    api::{Api, DeleteParams, PostParams},
    client::Body,
};
use serde_json::{Value, from_value, json};
use tentacular_demo::say;
use tentacular_test_harness::Installation;
use tokio::task::JoinSet;

use crate::{
    memory,
    report::{median, ms, percentile},
};

/// Callers at once, and how many pods each of them creates in a round.
const LOADS: [(usize, usize); 2] = [(1, 400), (16, 100)];
/// Rounds in each of the two namespaces. They alternate.
const ROUNDS: usize = 7;
/// Not counted: connections are made, and the API server compiles the conditions of the configuration.
const WARM_UP: usize = 100;
/// An enclave, and a namespace that is none.
const WITH: &str = "admission-with";
const WITHOUT: &str = "admission-without";
/// Whose right it is to create pods there.
const PERSON: &str = "bench";

pub(crate) async fn measure(installation: &Installation) -> anyhow::Result<()> {
    let admin = installation.control_plane().admin()?;
    let person = installation.control_plane().person(PERSON)?;
    let with = Creation::prepared(&admin, &person, WITH, true).await?;
    let without = Creation::prepared(&admin, &person, WITHOUT, false).await?;
    let webhook = installation.webhook().context("there is no webhook")?.pid();
    let idle = memory::of(webhook, memory::NOW)?;
    for creation in [&with, &without] {
        creation.round(1, WARM_UP).await?;
    }
    for (callers, count) in LOADS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push((without.round(callers, count).await?, with.round(callers, count).await?));
        }
        let figure = |of: &dyn Fn(&[Duration], &[Duration]) -> f64| {
            median(rounds.iter().map(|(without, with)| of(without, with)).collect())
        };
        let told: Vec<_> = [50, 99]
            .into_iter()
            .map(|percent| {
                let at = |times: &[Duration]| ms(percentile(times, percent));
                let (without, with) = (figure(&|without, _| at(without)), figure(&|_, with| at(with)));
                let added = figure(&|without, with| at(with) - at(without));
                format!("p{percent} {without:.2} ms without, {with:.2} ms with, {added:+.2} ms")
            })
            .collect();
        let goal = if callers == 1 { " (goals: p50 +0.7 ms, p99 5 ms with)" } else { "" };
        say(&format!(
            "pod create, dry run, {callers} callers: {}{goal}; medians of {ROUNDS} rounds",
            told.join("; ")
        ));
    }
    let (now, most) = (memory::of(webhook, memory::NOW)?, memory::of(webhook, memory::MOST)?);
    say(&format!(
        "webhook, resident memory before {idle:.1} MB, after {now:.1} MB, {most:.1} MB at the most (goal: 20 MB)"
    ));
    for namespace in [WITH, WITHOUT] {
        Api::<Namespace>::all(admin.clone()).delete(namespace, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Pods that are created again and again.
#[derive(Clone)]
struct Creation {
    client: Client,
    path: String,
    body: Vec<u8>,
}

impl Creation {
    /// In a namespace of that name, made for it. What is refused or asked about there differs in nothing else.
    async fn prepared(admin: &Client, person: &Client, namespace: &str, is_enclave: bool) -> anyhow::Result<Self> {
        let mut made = json!({ "metadata": { "name": namespace, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
        } } });
        if is_enclave {
            made["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("tentacular");
            made["metadata"]["annotations"]["tentacular.io/enclave"] = json!(namespace);
        }
        Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &from_value(made)?).await?;
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" });
        let subject = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": PERSON });
        let binding = json!({ "metadata": { "name": PERSON }, "roleRef": role, "subjects": [subject] });
        let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), namespace);
        bindings.create(&PostParams::default(), &from_value(binding)?).await?;
        let path = format!("{}?dryRun=All", Pod::url_path(&(), Some(namespace)));
        let creation = Self { client: person.clone(), path, body: serde_json::to_vec(&pod())? };
        creation.allowed().await?;
        Ok(creation)
    }

    /// Waits until the API server and the webhook have heard of namespace and binding.
    async fn allowed(&self) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let until = Instant::now() + PATIENCE;
        while let Err(error) = self.create().await {
            ensure!(Instant::now() < until, "no pod can be created: {error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn create(&self) -> anyhow::Result<Duration> {
        let request =
            Request::builder().method(Method::POST).uri(&self.path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(self.body.clone()))?;
        let begun = Instant::now();
        let response = self.client.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect_bytes().await?;
        let took = begun.elapsed();
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(took)
    }

    /// How long each creation took, `count` by each of so many callers.
    async fn round(&self, callers: usize, count: usize) -> anyhow::Result<Vec<Duration>> {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let creation = self.clone();
            tasks.spawn(async move {
                let mut times = Vec::new();
                for _ in 0..count {
                    times.push(creation.create().await?);
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(task) = tasks.join_next().await {
            times.extend(task??);
        }
        Ok(times)
    }
}

/// As large as a client's: with what its engine reads and mounts.
fn pod() -> Value {
    let env: Vec<_> = (0..6)
        .map(|number| json!({ "name": format!("VARIABLE_{number}"), "value": "http://example.com:4318/v1" }))
        .collect();
    let probe = json!({ "httpGet": { "path": "/health", "port": 8080 }, "initialDelaySeconds": 5 });
    let container = json!({
        "name": "engine", "image": "example.com/engine:1", "args": vec!["--allow-net=0.0.0.0:8080,api.example.com"; 8],
        "env": env, "livenessProbe": probe, "readinessProbe": probe,
        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": "500m", "memory": "256Mi" } },
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        "volumeMounts": [{ "name": "code", "mountPath": "/app/workflow", "readOnly": true }],
    });
    json!({
        "metadata": { "generateName": "report-", "labels": { "app.kubernetes.io/name": "report" } },
        "spec": {
            "automountServiceAccountToken": false, "containers": [container],
            "securityContext": { "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" } },
            "volumes": [{ "name": "code", "configMap": { "name": "report-code", "optional": true } }],
        },
    })
}
