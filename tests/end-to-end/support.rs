//! What several modules need: the shared stack, names of their own, the example tentacle.

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Stack, background,
    mcp::{Era, Mcp},
};
use tokio::sync::OnceCell;

/// The stack that tests share which neither kill nor reconfigure a process.
pub(crate) async fn stack() -> anyhow::Result<&'static Stack> {
    static SHARED: OnceCell<Result<Stack, String>> = OnceCell::const_new();
    let start = || async {
        let start = async { Stack::start(Installation::shared().await?).await };
        background().spawn(start).await.unwrap().map_err(|error| format!("{error:#}"))
    };
    SHARED.get_or_init(start).await.as_ref().map_err(|error| anyhow::anyhow!("the stack did not start: {error}"))
}

/// A stack for one test alone, in the shared installation.
pub(crate) async fn own_stack() -> anyhow::Result<Stack> {
    let start = async { Stack::start(Installation::shared().await?).await };
    background().spawn(start).await?
}

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A new enclave of a name of its own, owned by `ann@example.com`.
pub(crate) async fn enclave(mcp: &Mcp, prefix: &str) -> anyhow::Result<String> {
    let name = unique(prefix);
    mcp.call("enclave_provision", json!({ "name": name, "owner_email": "ann@example.com" })).await?;
    Ok(name)
}

/// The manifests of the example tentacle.
pub(crate) fn word_count() -> anyhow::Result<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/manifests.json");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(serde_json::from_str(&text)?)
}

/// Applies the example tentacle.
pub(crate) async fn apply_word_count(mcp: &Mcp, enclave: &str) -> anyhow::Result<Value> {
    let arguments = json!({ "enclave": enclave, "name": "word-count", "manifests": word_count()? });
    mcp.call("wf_apply", arguments).await
}

/// A connected client of the shared stack.
pub(crate) async fn client() -> anyhow::Result<Mcp> {
    stack().await?.client(Era::Stateless).await
}
