//! What several modules need: the shared stack, names of their own, the example tentacle.

use std::{sync::OnceLock, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Part, Provider, Shared, Stack, background,
    mcp::{Era, Mcp, Raw},
    stack::Options,
    until,
};

/// The stack that tests share which neither kill nor reconfigure a process.
pub(crate) async fn stack() -> anyhow::Result<&'static Stack> {
    static SHARED: Shared<Stack> = Shared::empty();
    SHARED.get(|| async { Stack::start(Installation::shared().await?).await }).await
}

/// What the names of enclaves begin with that stacks of one test alone look after. They share the installation with all other
/// tests, and the enclaves of those are not theirs.
pub(crate) const OWN: &str = "own-";

/// A stack for one test alone, in the shared installation, for enclaves of [`OWN`] names.
pub(crate) async fn own_stack() -> anyhow::Result<Stack> {
    own_stack_with(&[]).await
}

/// The same with further arguments of the kernel.
pub(crate) async fn own_stack_with(kernel_args: &[&str]) -> anyhow::Result<Stack> {
    let kernel_args = kernel_args.iter().map(|&arg| arg.to_owned()).collect();
    let options = Options { kernel_args, enclaves: Some(OWN.to_owned()), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    background().spawn(start).await?
}

/// The provider whose tokens the kernel of [`guests`] takes.
pub(crate) fn provider() -> anyhow::Result<&'static Provider> {
    static SHARED: OnceLock<Result<Provider, String>> = OnceLock::new();
    let started = SHARED.get_or_init(|| Provider::start().map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow::anyhow!("the provider did not start: {error}"))
}

/// A kernel without the built-in sidecars, for the sidecars of tests, each with names of its own.
pub(crate) async fn guests() -> anyhow::Result<&'static Stack> {
    static SHARED: Shared<Stack> = Shared::empty();
    SHARED.get(|| async { kernel_alone(provider()?.kernel_args()).await }).await
}

/// A kernel without the built-in sidecars in the shared installation, for enclaves of [`OWN`] names.
pub(crate) async fn kernel_alone(kernel_args: Vec<String>) -> anyhow::Result<Stack> {
    kernel_for(OWN, kernel_args).await
}

/// The same for enclaves whose names begin so.
pub(crate) async fn kernel_for(enclaves: &str, kernel_args: Vec<String>) -> anyhow::Result<Stack> {
    let (without, enclaves) = (Part::SIDECARS.to_vec(), Some(enclaves.to_owned()));
    let options = Options { without, kernel_args, enclaves, ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    background().spawn(start).await?
}

/// A client with a token of [`provider`], once the kernel takes it.
pub(crate) async fn person(stack: &Stack, name: &str) -> anyhow::Result<Raw> {
    let provider = provider()?;
    let raw = stack.raw_as(&provider.token(&provider.claims(name, &format!("{name}@example.com"))));
    // The kernel fetches the provider's keys in the background.
    until(format!("the kernel takes the token of {name}"), async || {
        let status = raw.request(reqwest::Method::GET).send().await?.status();
        ensure!(status == 405, "{status}");
        Ok(())
    })
    .await?;
    Ok(raw)
}

/// Only a hang reaches it, on a loaded machine too.
pub(crate) const SEEN: Duration = Duration::from_mins(3);

/// Waits until a tool is listed, or is no longer.
pub(crate) async fn until_listed(stack: &Stack, tool: &str, wanted: bool) -> anyhow::Result<()> {
    let raw = stack.raw();
    until(format!("{tool} listed: {wanted}"), async || {
        let tools = raw.tools().await?;
        ensure!(tools.iter().any(|listed| listed == tool) == wanted, "{tools:?}");
        Ok(())
    })
    .await
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

/// The same of an [`OWN`] name.
pub(crate) async fn own_enclave(mcp: &Mcp, prefix: &str) -> anyhow::Result<String> {
    enclave(mcp, &format!("{OWN}{prefix}")).await
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

/// Waits until the example tentacle runs.
pub(crate) async fn until_in_flight(mcp: &Mcp, enclave: &str) -> anyhow::Result<()> {
    until("the run is in flight", async || {
        let health = mcp.call("wf_health", json!({ "enclave": enclave, "name": "word-count" })).await?;
        ensure!(health["reason"].to_string().contains("in flight"), "{health}");
        Ok(())
    })
    .await
}

/// A connected client of the shared stack.
pub(crate) async fn client() -> anyhow::Result<Mcp> {
    stack().await?.client(Era::Stateless).await
}
