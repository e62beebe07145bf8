//! Two kernels with a registrar each in one cluster, and people who ask both.

use std::sync::Arc;

use anyhow::bail;
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Shared, Stack,
    mcp::{Era, Mcp, ToolFailed},
    stack::Options,
    until,
};

use crate::support::{self, provider, unique};

/// The installation that all tests of enclaves share, and of what is observed in them.
pub(crate) async fn installation() -> anyhow::Result<Arc<Installation>> {
    static SHARED: Shared<Arc<Installation>> = Shared::empty();
    Ok(Arc::clone(SHARED.get(Installation::start).await?))
}

/// The two stacks in it.
pub(crate) async fn stacks() -> anyhow::Result<&'static [Stack; 2]> {
    static SHARED: Shared<[Stack; 2]> = Shared::empty();
    let one = || async {
        let options = Options { kernel_args: provider()?.kernel_args(), ..Options::default() };
        Stack::start_with(installation().await?, options).await
    };
    let both = || async move { tokio::try_join!(one(), one()).map(|(one, other)| [one, other]) };
    SHARED.get(both).await
}

/// Somebody who asks the one registrar or the other.
pub(crate) struct Person {
    pub(crate) sub: String,
    /// The address in the token, and how the server writes it.
    pub(crate) email: String,
    pub(crate) here: Mcp,
    pub(crate) there: Mcp,
}

impl Person {
    /// Somebody whom no other test knows.
    pub(crate) async fn new(prefix: &str) -> anyhow::Result<Self> {
        let [here, there] = stacks().await?;
        let sub = unique(prefix);
        Ok(Self {
            email: format!("{sub}@example.com"),
            here: client(here, &sub).await?,
            there: client(there, &sub).await?,
            sub,
        })
    }

    /// The client for one of the two registrars in turn.
    pub(crate) fn either(&self, turn: usize) -> &Mcp {
        if turn.is_multiple_of(2) { &self.here } else { &self.there }
    }
}

/// Somebody's client.
pub(crate) async fn client(stack: &Stack, sub: &str) -> anyhow::Result<Mcp> {
    // Returns when the kernel takes such tokens.
    support::person(stack, sub).await?;
    let provider = provider()?;
    let token = provider.token(&provider.claims(sub, &format!("{sub}@example.com")));
    stack.client_as(&token, Era::Stateless).await
}

/// A client with the bearer token.
pub(crate) async fn bearer() -> anyhow::Result<Mcp> {
    stacks().await?[0].client(Era::Stateless).await
}

/// An enclave with its owner, a member, and somebody who is neither.
pub(crate) struct Team {
    pub(crate) enclave: String,
    pub(crate) owner: Person,
    pub(crate) member: Person,
    pub(crate) other: Person,
}

impl Team {
    pub(crate) async fn new(prefix: &str) -> anyhow::Result<Self> {
        let person = |prefix| Box::pin(Person::new(prefix));
        let (owner, member, other) = tokio::try_join!(person("owner"), person("member"), person("other"))?;
        let enclave = unique(prefix);
        owner.here.call("enclave_provision", json!({ "name": enclave, "members": [member.email] })).await?;
        Ok(Self { enclave, owner, member, other })
    }

    /// Calls `enclave_sync` of this enclave.
    pub(crate) async fn sync(&self, mcp: &Mcp, mut change: Value) -> anyhow::Result<Value> {
        change["name"] = json!(self.enclave);
        mcp.call("enclave_sync", change).await
    }

    /// What `enclave_info` shows to the owner.
    pub(crate) async fn info(&self) -> anyhow::Result<Value> {
        self.owner.here.call("enclave_info", json!({ "name": self.enclave })).await
    }

    /// Applies a tentacle that is no more than a Deployment.
    pub(crate) async fn apply(&self, mcp: &Mcp, name: &str) -> anyhow::Result<Value> {
        let labels = json!({ "app.kubernetes.io/name": name });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
            "spec": { "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "main", "image": "example.com/main:1" }] },
            } },
        });
        let arguments = json!({ "enclave": self.enclave, "name": name, "manifests": [deployment] });
        soon(mcp, "wf_apply", arguments).await
    }
}

/// Calls a tool again while the kernel, whose watch may be some milliseconds behind, refuses it by what was before.
pub(crate) async fn soon(mcp: &Mcp, tool: &str, arguments: Value) -> anyhow::Result<Value> {
    let called = until(format!("{tool} is permitted"), async || match mcp.call(tool, arguments.clone()).await {
        Err(error) if error.downcast_ref::<ToolFailed>().is_some_and(is_denial) => Err(error),
        answer => Ok(answer),
    });
    called.await?
}

/// Calls a tool that only reads until it is refused, and returns the sentence.
pub(crate) async fn soon_refused(mcp: &Mcp, tool: &str, arguments: Value) -> anyhow::Result<String> {
    until(format!("{tool} is refused"), async || match mcp.call(tool, arguments.clone()).await {
        Err(error) => error.downcast::<ToolFailed>().map(|failed| failed.0),
        Ok(answer) => bail!("{answer}"),
    })
    .await
}

fn is_denial(ToolFailed(text): &ToolFailed) -> bool {
    text.starts_with("permission denied")
}
