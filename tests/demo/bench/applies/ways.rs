//! The two ways to the same six objects: through the kernel, and straight to the API server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Client, api::Api};
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Conflicts, Delete, Kind, Object, Objects, Propagation};
use tentacular_demo::Message;
use tentacular_test_harness::{Part, Scratch, Stack, eventually, mcp::Era, tls};

use super::release::Release;

/// How a release gets into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `wf_apply` through the kernel.
    Apply,
    /// Server-side applies with the registrar's credentials, one after the other.
    Direct,
}

/// Both of them.
pub(super) const WAYS: [Way; 2] = [Way::Direct, Way::Apply];

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Apply => "wf_apply",
            Self::Direct => "six server-side applies",
        }
    }

    /// A release of that name in its enclave.
    pub(super) fn release(self, name: &str) -> Release {
        Release::new(format!("{name}-{}", self.enclave()))
    }

    /// Its enclave.
    const fn enclave(self) -> &'static str {
        match self {
            Self::Apply => "applies",
            Self::Direct => "applies-direct",
        }
    }
}

/// What stands in the cluster before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    New,
    /// The same.
    Unchanged,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::New => "for the first time",
            Self::Unchanged => "unchanged",
        }
    }

    /// What `wf_apply` must say.
    const fn status(self) -> &'static str {
        match self {
            Self::New => "created",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Both ways, open.
pub(super) struct Ways {
    http: reqwest::Client,
    url: String,
    token: String,
    /// With the registrar's credentials, by the same means.
    cluster: Cluster,
    admin: Client,
}

impl Ways {
    /// Makes the enclaves, as large as they get.
    pub(super) async fn open(stack: &Stack) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let kubeconfig = stack.installation().kubeconfig_for(Part::Registrar, scratch.path()).await?;
        let ways = Self {
            http: tls::plain().build()?,
            url: stack.url().to_owned(),
            token: stack.token().to_owned(),
            cluster: Cluster::from_kubeconfig("bench", &kubeconfig).await?,
            admin: stack.installation().control_plane().admin()?,
        };
        for way in WAYS {
            let enclave = json!({ "name": way.enclave(), "owner_email": "ann@example.com", "quota_preset": "large" });
            ways.call(call("enclave_provision", &enclave)).await?;
        }
        Ok(ways)
    }

    /// Writes a release, and says how long it took.
    pub(super) async fn write(&self, way: Way, release: &Release, state: State) -> anyhow::Result<Duration> {
        match way {
            Way::Apply => {
                let arguments =
                    json!({ "enclave": way.enclave(), "name": release.name, "manifests": release.objects });
                let message = call("wf_apply", &arguments);
                let begun = Instant::now();
                let result = self.call(message).await?;
                let time = begun.elapsed();
                ensure!(
                    result["status"] == state.status(),
                    "{} was to be {}: {result}",
                    release.name,
                    state.status()
                );
                Ok(time)
            }
            Way::Direct => {
                let objects = self.objects(way, release)?;
                let begun = Instant::now();
                for (api, object) in &objects {
                    api.apply(object, Conflicts::Refuse).await?;
                }
                Ok(begun.elapsed())
            }
        }
    }

    /// Waits until the release's pod is ready.
    pub(super) async fn ready(&self, way: Way, release: &Release) -> anyhow::Result<()> {
        let available = |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| status.available_replicas == Some(1))
        };
        eventually(&self.deployments(way), &release.name, available).await.map(drop)
    }

    /// Removes a release, and waits until it is gone with its pod.
    pub(super) async fn remove(&self, way: Way, release: &Release) -> anyhow::Result<()> {
        match way {
            Way::Apply => {
                let place = json!({ "enclave": way.enclave(), "name": release.name });
                let removed = self.call(call("wf_remove", &place)).await?;
                ensure!(removed["remaining"] == json!([]), "{removed}");
            }
            Way::Direct => {
                let delete = Delete { propagation: Propagation::Foreground, ..Delete::default() };
                for (api, object) in self.objects(way, release)? {
                    api.delete(object.metadata.name.as_deref().unwrap_or_default(), &delete).await?;
                }
            }
        }
        let gone = |deployment: Option<&Deployment>| deployment.is_none();
        eventually(&self.deployments(way), &release.name, gone).await.map(drop)
    }

    fn deployments(&self, way: Way) -> Api<Deployment> {
        Api::namespaced(self.admin.clone(), way.enclave())
    }

    fn objects(&self, way: Way, release: &Release) -> anyhow::Result<Vec<(Objects<Object>, Object)>> {
        let typed = |object: &Value| {
            let text = |member: &str| object[member].as_str().unwrap_or_default();
            let kind =
                Kind::of(text("apiVersion"), text("kind")).with_context(|| format!("no kind of ours: {object}"))?;
            anyhow::Ok((self.cluster.objects(kind, way.enclave()), serde_json::from_value(object.clone())?))
        };
        release.objects.iter().map(typed).collect()
    }

    /// Posts a message, and gives the result of the tool.
    async fn call(&self, message: Message) -> anyhow::Result<Value> {
        let mut request = self.http.post(&self.url).bearer_auth(&self.token).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let answer: Value = request.send().await?.json().await?;
        if answer["result"]["isError"] != false {
            bail!("{answer}");
        }
        Ok(answer["result"]["structuredContent"].clone())
    }
}

fn call(tool: &str, arguments: &Value) -> Message {
    Message::call(Era::Stateless, "1", tool, arguments)
}
