//! An installation whose only scheduler leads: in the shared one there are several, and whichever leads may be another
//! test's.

use anyhow::{Context as _, ensure};
use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Shared, Stack,
    mcp::{Era, Mcp},
    stack::Options,
    tls, until,
};

use crate::support::{self, provider, unique, word_count};

/// The stack that all tests of runs and schedules share.
pub(crate) async fn world() -> anyhow::Result<&'static Stack> {
    static SHARED: Shared<Stack> = Shared::empty();
    let start = || async {
        let options = Options { kernel_args: provider()?.kernel_args(), ..Options::default() };
        Stack::start_with(Installation::start().await?, options).await
    };
    SHARED.get(start).await
}

/// The manifests of the example tentacle with these annotations on its Deployment.
pub(crate) fn scheduled(annotations: &Value) -> anyhow::Result<Value> {
    let mut manifests = word_count()?;
    let deployment = of(&mut manifests, "Deployment")?;
    let present = deployment["metadata"]["annotations"].as_object_mut().context("annotations")?;
    present.extend(annotations.as_object().context("an object")?.clone());
    Ok(manifests)
}

/// The first manifest of that kind.
pub(crate) fn of<'a>(manifests: &'a mut Value, kind: &str) -> anyhow::Result<&'a mut Value> {
    let mut manifests = manifests.as_array_mut().into_iter().flatten();
    manifests.find(|manifest| manifest["kind"] == kind).with_context(|| format!("no {kind}"))
}

/// Runs of the word counter of an enclave.
pub(crate) struct Place {
    pub(crate) enclave: String,
    pub(crate) bearer: Mcp,
}

impl Place {
    /// A new enclave of ann's with the member bob, and no tentacle.
    pub(crate) async fn new(prefix: &str) -> anyhow::Result<Self> {
        Self::named(unique(prefix)).await
    }

    /// The same with this name.
    pub(crate) async fn named(enclave: String) -> anyhow::Result<Self> {
        let bearer = world().await?.client(Era::Stateless).await?;
        let arguments = json!({ "name": enclave, "owner_email": "ann@example.com", "members": ["bob@example.com"] });
        bearer.call("enclave_provision", arguments).await?;
        Ok(Self { enclave, bearer })
    }

    /// The same with the tentacle, and these annotations on its Deployment.
    pub(crate) async fn with(prefix: &str, annotations: Value) -> anyhow::Result<Self> {
        let place = Self::new(prefix).await?;
        place.apply(&scheduled(&annotations)?).await?;
        Ok(place)
    }

    pub(crate) async fn apply(&self, manifests: &Value) -> anyhow::Result<Value> {
        self.bearer.call("wf_apply", self.arguments(&json!({ "manifests": manifests }))).await
    }

    /// The arguments of a call about the tentacle.
    pub(crate) fn arguments(&self, further: &Value) -> Value {
        let mut arguments = json!({ "enclave": self.enclave, "name": "word-count" });
        for (key, value) in further.as_object().into_iter().flatten() {
            arguments[key] = value.clone();
        }
        arguments
    }

    /// A client of a person, whose address is `<name>@example.com`.
    pub(crate) async fn person(&self, name: &str) -> anyhow::Result<Mcp> {
        let (stack, provider) = (world().await?, provider()?);
        support::person(stack, name).await?;
        let token = provider.token(&provider.claims(name, &format!("{name}@example.com")));
        stack.client_as(&token, Era::Stateless).await
    }

    /// Sets an annotation of the Deployment by the administrator's hand, or takes it away.
    pub(crate) async fn annotate(&self, annotations: Value) -> anyhow::Result<()> {
        let admin = world().await?.installation().control_plane().admin()?;
        let deployments: Api<Deployment> = Api::namespaced(admin, &self.enclave);
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        deployments.patch("word-count", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub(crate) async fn sync(&self, status: &str) -> anyhow::Result<()> {
        let arguments = json!({ "name": self.enclave, "new_status": status });
        self.bearer.call("enclave_sync", arguments).await.map(drop)
    }

    /// All runs, newest first.
    pub(crate) async fn runs(&self) -> anyhow::Result<Vec<Value>> {
        let mut answer = self.bearer.call("wf_runs", self.arguments(&json!({ "limit": 50 }))).await?;
        serde_json::from_value(answer["runs"].take()).map_err(Into::into)
    }

    pub(crate) async fn schedule(&self) -> anyhow::Result<Value> {
        self.bearer.call("wf_schedule", self.arguments(&json!({}))).await
    }

    /// The runs, once they are as is waited for.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Value]) -> bool) -> anyhow::Result<Vec<Value>> {
        until("the runs are as wanted", async || {
            let runs = self.runs().await?;
            ensure!(wanted(&runs), "{}", json!(runs));
            Ok(runs)
        })
        .await
    }

    /// Waits until a schedule has succeeded so many times after `after`, and returns all runs.
    pub(crate) async fn fires(&self, schedule: &str, times: usize, after: Timestamp) -> anyhow::Result<Vec<Value>> {
        self.until(|runs| {
            let fired = runs.iter().filter(|run| run["schedule"] == schedule && run["state"] == "succeeded");
            fired.filter(|run| instant(run) > after).count() >= times
        })
        .await
    }
}

/// What the engine of a stack says of the word counter of an enclave.
pub(crate) async fn engine(stack: &Stack, enclave: &str) -> anyhow::Result<Value> {
    let said = std::fs::read_to_string(stack.folder().join("engine.log"))?;
    let address = said.lines().next().context("the engine has not said where it is")?;
    let url = format!("http://{address}/{enclave}/word-count/health?detail=1");
    Ok(tls::plain().build()?.get(url).send().await?.json().await?)
}

/// The last instant that a run stands for.
pub(crate) fn instant(run: &Value) -> Timestamp {
    let last = if run["last_instant"].is_null() { "instant" } else { "last_instant" };
    time(&run[last])
}

/// A time of a result.
pub(crate) fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time: {value}"))
}
