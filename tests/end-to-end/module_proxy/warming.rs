//! After an apply the module proxy is asked for the modules of the contract, in the background.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Part, Stack, background, mcp::Era, part::logged, stack::Options, tls, until,
};

use super::asked::Asked;
use crate::support::{OWN, own_enclave, word_count};

/// Longer than anything here takes that does not hang.
const PATIENCE: Duration = Duration::from_mins(2);

async fn stack(proxy: &Asked) -> anyhow::Result<Stack> {
    let sidecar_args = BTreeMap::from([(Part::Registrar, vec![format!("--proxy-url={}", proxy.url)])]);
    let options = Options { sidecar_args, enclaves: Some(OWN.to_owned()), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    background().spawn(start).await?
}

/// The example tentacle with these dependencies in its contract.
fn with_dependencies(enclave: &str, dependencies: &Value) -> anyhow::Result<Value> {
    let mut manifests = word_count()?;
    let files = manifests.as_array_mut().into_iter().flatten().filter_map(|manifest| manifest.get_mut("data"));
    for text in files.filter_map(|data| data.get_mut("workflow.yaml")) {
        let changed =
            text.as_str().map(|text| text.replace("dependencies: {}", &format!("dependencies: {dependencies}")));
        *text = changed.context("no file")?.into();
    }
    Ok(json!({ "enclave": enclave, "name": "word-count", "manifests": manifests }))
}

fn npm(name: &str, version: &str) -> Value {
    json!({ "protocol": "npm", "host": name, "version": version })
}

async fn metrics(stack: &Stack) -> anyhow::Result<String> {
    let address = logged(&*stack.process(Part::Registrar)?, "observing", "address").await?;
    Ok(tls::plain().build()?.get(format!("http://{address}/metrics")).send().await?.text().await?)
}

#[tokio::test]
async fn e2e_module_proxy_is_asked_for_the_modules_of_the_contract_after_an_apply() -> anyhow::Result<()> {
    let elsewhere = Asked::start("").await?;
    let proxy = Asked::start(&elsewhere.url).await?;
    let stack = stack(&proxy).await?;
    let mcp = stack.client(Era::Stateless).await?;
    let enclave = own_enclave(&mcp, "warm").await?;
    let mut looked_at = with_dependencies(&enclave, &json!({ "a": npm("dry-run", "1") }))?;
    looked_at["dry_run"] = json!(true);
    mcp.call("wf_apply", looked_at).await?;
    let mut refused = with_dependencies(&enclave, &json!({ "a": npm("refused", "1") }))?;
    refused["manifests"][0]["metadata"]["name"] = json!("Not a name");
    mcp.call("wf_apply", refused).await.expect_err("a name that is none");

    let dependencies = json!({
        "yaml": { "protocol": "jsr", "host": "@std/yaml", "version": "1.0.5" },
        "lodash": npm("lodash-es", "4.17.21"), "again": npm("lodash-es", "4.17.21"),
        "range": npm("range", "1"), "broken": npm("broken", "2.0.0"), "away": npm("away", "1"),
        "odd": npm("../status.json", "1"), "api": { "protocol": "https", "host": "api.example.com", "port": 443 },
    });
    mcp.call("wf_apply", with_dependencies(&enclave, &dependencies)?).await?;
    until("three modules are warm and two are not", async || {
        let metrics = metrics(&stack).await?;
        let count = |result: &str, count: usize| {
            metrics.contains(&format!("tentacular_module_warmings_total{{result=\"{result}\"}} {count}\n"))
        };
        ensure!(count("warm", 3) && count("http-error", 2), "{metrics}");
        Ok(())
    })
    .await?;
    let expected =
        ["/away@1", "/broken@2.0.0", "/exact@1.2.3", "/jsr/@std/yaml@1.0.5", "/lodash-es@4.17.21", "/range@1"];
    assert_eq!(proxy.paths(), expected);
    assert_eq!(elsewhere.paths(), [""; 0], "it is led away");
    ensure!(proxy.agents().iter().all(|agent| agent.starts_with("Deno/")), "{:?}", proxy.agents());
    let log = stack.process(Part::Registrar)?.log();
    let told = log.lines().filter(|line| line.contains("a module was not warmed")).collect::<Vec<_>>();
    let names = |module: &str, status: &str| told.iter().any(|line| line.contains(module) && line.contains(status));
    ensure!(told.len() == 2 && names("npm:broken@2.0.0", "500") && names("npm:away@1", "302"), "{told:#?}");
    Ok(())
}

#[tokio::test]
async fn e2e_module_proxy_that_never_answers_holds_up_neither_an_apply_nor_the_end() -> anyhow::Result<()> {
    let proxy = Asked::start("").await?;
    let stack = stack(&proxy).await?;
    let mcp = stack.client(Era::Stateless).await?;
    let enclave = own_enclave(&mcp, "silent").await?;
    let dependencies: BTreeMap<_, _> =
        (0..60).map(|number| (format!("d{number}"), npm("silent", &number.to_string()))).collect();
    mcp.call("wf_apply", with_dependencies(&enclave, &json!(dependencies))?).await?;
    until("modules are asked for", async || {
        ensure!(proxy.paths().len() >= 3);
        Ok(())
    })
    .await?;
    let left_out = "tentacular_module_warmings_total{result=\"left-out\"} 10\n";
    until("ten are left out", async || {
        let metrics = metrics(&stack).await?;
        ensure!(metrics.contains(left_out), "{metrics}");
        Ok(())
    })
    .await?;

    let registrar = stack.process(Part::Registrar)?;
    registrar.terminate()?;
    let ended = tokio::time::timeout(PATIENCE, registrar.wait()).await.context("it does not end")??;
    ensure!(ended.success(), "{ended}");
    assert_eq!(proxy.most_at_once(), 3);
    Ok(())
}
