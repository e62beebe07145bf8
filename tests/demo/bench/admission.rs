//! What the webhook adds to the creation of a pod: dry runs by a person in an enclave, against the same in a namespace that
//! is none, and against one where a webhook is asked that answers without looking.

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
use tentacular_test_harness::{Installation, Scratch};
use tokio::task::JoinSet;

use crate::{
    floor, memory,
    report::{Figure, Report, Unit, median, ms, percentile},
};

/// Callers at once, and how many pods each of them creates in a round.
const LOADS: [(usize, usize); 2] = [(1, 400), (16, 100)];
/// Rounds in each of the namespaces.
const ROUNDS: usize = 7;
/// Not counted: connections are made, and the API server compiles the conditions of the configuration.
const WARM_UP: usize = 100;
/// A namespace that is no enclave, one where the webhook of [`floor`] is asked, and an enclave.
const PLACES: [&str; 3] = ["admission-without", "admission-floor", "admission-with"];
/// Whose right it is to create pods there.
const PERSON: &str = "bench";

pub(crate) async fn measure(installation: &Installation, report: &mut Report) -> anyhow::Result<()> {
    let admin = installation.control_plane().admin()?;
    let person = installation.control_plane().person(PERSON)?;
    let scratch = Scratch::new()?;
    let _floor = floor::start(&admin, &scratch).await?;
    let mut creations = Vec::new();
    for place in PLACES {
        creations.push(Creation::prepared(&admin, &person, place).await?);
    }
    let webhook = installation.webhook().context("there is no webhook")?.pid();
    let idle = memory::of(webhook, memory::NOW)?;
    for creation in &creations {
        creation.round(1, WARM_UP).await?;
    }
    for (callers, count) in LOADS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(round(&creations, callers, count).await?);
        }
        tell(callers, &rounds, report);
    }
    let (now, most) = (memory::of(webhook, memory::NOW)?, memory::of(webhook, memory::MOST)?);
    let memory = Figure::new("webhook, most resident memory of all this", most, Unit::Megabytes).at_most(20.0);
    report.add(memory.details(format!("{idle:.1} MB before, {now:.1} after")));
    floor::stop(&admin).await?;
    for namespace in PLACES {
        Api::<Namespace>::all(admin.clone()).delete(namespace, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// How long the creations in each namespace took. One caller goes from one namespace to the next with every creation, and each
/// is first as often as the others; several stay in one for all of the round, as they keep the machine busy.
async fn round(creations: &[Creation], callers: usize, count: usize) -> anyhow::Result<Vec<Vec<Duration>>> {
    let mut times = vec![Vec::new(); creations.len()];
    let (turns, count) = if callers == 1 { (count, 1) } else { (1, count) };
    for turn in 0..turns {
        for place in (0..creations.len()).map(|place| (place + turn) % creations.len()) {
            times[place].extend(creations[place].round(callers, count).await?);
        }
    }
    Ok(times)
}

fn tell(callers: usize, rounds: &[Vec<Vec<Duration>>], report: &mut Report) {
    for percent in [50, 99] {
        let at = |round: &[Vec<Duration>], place: usize| ms(percentile(&round[place], percent));
        let figure = |of: &dyn Fn(&[Vec<Duration>]) -> f64| median(rounds.iter().map(|round| of(round)).collect());
        let (without, with) = (figure(&|round| at(round, 0)), figure(&|round| at(round, 2)));
        let added = |place| figure(&|round| at(round, place) - at(round, 0));
        let (ours, least) = (added(2), added(1));
        let what = format!("pod create, dry run, {callers} callers, p{percent}");
        let whole = Figure::new(&what, with, Unit::Milliseconds);
        let whole = whole.beside("not asked about", without, figure(&|round| at(round, 2) / at(round, 0)));
        let whole = whole.details(format!("median of {ROUNDS} rounds"));
        let asked = Figure::new(format!("{what}: what the webhook adds"), ours, Unit::Milliseconds);
        let asked = asked.beside(
            "a webhook that does not look",
            least,
            figure(&|round| (at(round, 2) - at(round, 0)) / (at(round, 1) - at(round, 0))),
        );
        let (whole, asked) = match (callers, percent) {
            (1, 50) => (whole, asked.at_most(0.7)),
            (1, _) => (whole.at_most(5.0), asked),
            _ => (whole, asked),
        };
        report.add(whole);
        report.add(asked);
    }
}

/// Pods that are created again and again.
#[derive(Clone)]
struct Creation {
    client: Client,
    path: String,
    body: Vec<u8>,
}

impl Creation {
    /// In one of [`PLACES`], made for it. They differ in who is asked about what is written there, and in nothing else.
    async fn prepared(admin: &Client, person: &Client, namespace: &str) -> anyhow::Result<Self> {
        let mut made = json!({ "metadata": { "name": namespace, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
        } } });
        let [_, floor, enclave] = PLACES;
        if namespace == floor {
            made["metadata"]["labels"][floor::LABEL] = json!("true");
        }
        if namespace == enclave {
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
