//! An enclave to audit, and an administrator who does what the findings say.

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, from_value, json};
use tentacular_test_harness::{
    Installation, Part, Shared, Stack,
    mcp::{Era, Mcp},
    stack::Options,
};

use crate::support::{person, provider, unique, until_listed};

/// What the names of these tests' enclaves begin with.
const PREFIX: &str = "audited";

/// A kernel that takes tokens of people, shared by these tests.
async fn stack() -> anyhow::Result<&'static Stack> {
    static SHARED: Shared<Stack> = Shared::empty();
    let start = || async {
        let without = vec![Part::Scheduler];
        let options = Options {
            without,
            kernel_args: provider()?.kernel_args(),
            enclaves: Some(format!("{PREFIX}-")),
            ..Options::default()
        };
        let stack = Stack::start_with(Installation::shared().await?, options).await?;
        until_listed(&stack, "wf_apply", true).await?;
        until_listed(&stack, "audit_psa", true).await?;
        anyhow::Ok(stack)
    };
    SHARED.get(start).await
}

/// An enclave of ann, with bob as a member.
pub(super) struct Place {
    pub(super) bearer: Mcp,
    pub(super) enclave: String,
    pub(super) admin: Client,
    stack: &'static Stack,
}

impl Place {
    pub(super) async fn new(prefix: &str) -> anyhow::Result<Self> {
        let stack = stack().await?;
        let bearer = stack.client(Era::Stateless).await?;
        let enclave = unique(&format!("{PREFIX}-{prefix}"));
        let owner = json!({ "name": enclave, "owner_email": "ann@example.com", "members": ["bob@example.com"] });
        bearer.call("enclave_provision", owner).await?;
        let admin = stack.installation().control_plane().admin()?;
        Ok(Self { bearer, enclave, admin, stack })
    }

    /// A client of a person.
    pub(super) async fn person(&self, name: &str) -> anyhow::Result<Mcp> {
        person(self.stack, name).await?;
        let claims = provider()?.claims(name, &format!("{name}@example.com"));
        self.stack.client_as(&provider()?.token(&claims), Era::Stateless).await
    }

    fn api(client: &Client, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }

    /// Creates an object of the enclave, or one of the cluster, as it would stand there if it were older than the webhook.
    pub(super) async fn create(&self, object: Value) -> anyhow::Result<()> {
        let text = |member: &str| object[member].as_str().unwrap().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let namespace = (!kind.starts_with("Cluster")).then_some(self.enclave.as_str());
        let older = self.stack.installation().control_plane().controller()?;
        let api = Self::api(&older, &api_version, &kind, namespace);
        api.create(&PostParams::default(), &from_value(object)?).await?;
        Ok(())
    }

    /// The answer of an audit of the enclave.
    pub(super) async fn audit(&self, tool: &str) -> anyhow::Result<Value> {
        self.bearer.call(tool, json!({ "enclave": self.enclave })).await
    }

    /// The findings of an audit of the enclave, each as severity, object and field.
    pub(super) async fn findings(&self, tool: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.audit(tool).await?["findings"].as_array().unwrap().iter().map(short).collect())
    }

    /// Does what a finding says, as an administrator.
    pub(super) async fn mend(&self, remedy: &Value) -> anyhow::Result<()> {
        Self::change(&self.admin, remedy).await
    }

    /// Changes an object to what it may be where it is older than the webhook.
    pub(super) async fn worsen(&self, change: &Value) -> anyhow::Result<()> {
        Self::change(&self.stack.installation().control_plane().controller()?, change).await
    }

    async fn change(client: &Client, remedy: &Value) -> anyhow::Result<()> {
        let object = &remedy["object"];
        let text = |member: &str| object[member].as_str().unwrap();
        let api = Self::api(client, text("apiVersion"), text("kind"), object["namespace"].as_str());
        let (name, patch, params) = (text("name"), remedy["patch"].clone(), PatchParams::default());
        match remedy["type"].as_str().unwrap() {
            "json" => api.patch(name, &params, &Patch::<()>::Json(from_value(patch)?)).await.map(drop)?,
            "merge" => api.patch(name, &params, &Patch::Merge(patch)).await.map(drop)?,
            "apply" => api.patch(name, &PatchParams::apply("admin").force(), &Patch::Apply(patch)).await.map(drop)?,
            "delete" => api.delete(name, &DeleteParams::default()).await.map(drop)?,
            other => anyhow::bail!("no such remedy: {other}"),
        }
        Ok(())
    }

    /// Applies the remedy of the first finding until there is none, and shows that each takes its finding away. Returns
    /// what was found on the way.
    pub(super) async fn mend_all(&self, tool: &str) -> anyhow::Result<Vec<String>> {
        self.mend_all_with(tool, json!({ "enclave": self.enclave })).await
    }

    /// The same with these arguments.
    pub(super) async fn mend_all_with(&self, tool: &str, arguments: Value) -> anyhow::Result<Vec<String>> {
        let mut mended = Vec::new();
        let mut audit = self.bearer.call(tool, arguments.clone()).await?;
        let mut number = audit["findings"].as_array().unwrap().len();
        while let Some(finding) = audit["findings"].get(0).cloned() {
            anyhow::ensure!(mended.len() < 100, "there is no end to {finding}");
            self.mend(&finding["remedy"]).await.map_err(|error| error.context(finding.to_string()))?;
            audit = self.bearer.call(tool, arguments.clone()).await?;
            let left = audit["findings"].as_array().unwrap().len();
            assert!(left < number, "{finding} is still there: {audit}");
            number = left;
            for member in ["message", "reason", "remediation"] {
                assert_ne!(finding[member], "", "{finding}");
            }
            mended.push(short(&finding));
        }
        Ok(mended)
    }
}

/// A finding in short.
pub(super) fn short(finding: &Value) -> String {
    let text = |member: &str| finding[member].as_str().unwrap_or_else(|| panic!("{member} of {finding}"));
    format!("{} {} {}", text("severity"), text("object"), text("field"))
}

/// The recorded calls of the real client, for an enclave of that name, without the backing services that none has here.
pub(super) fn recorded(enclave: &str) -> Vec<Value> {
    let lines = include_str!("../tntc-wf-apply.jsonl").lines();
    let call = |line: &str| {
        let mut call: Value = serde_json::from_str(&line.replace("team-a", enclave)).unwrap();
        let mut arguments = call["arguments"].take();
        let file = &mut arguments["manifests"][0]["data"]["workflow.yaml"];
        let text = file.as_str().unwrap().to_owned();
        if let (Some(start), Some(end)) = (text.find("    tentacular-postgres:"), text.find("    github-api:")) {
            *file = json!(format!("{}{}", &text[..start], &text[end..]));
        }
        arguments
    };
    lines.map(call).collect()
}
