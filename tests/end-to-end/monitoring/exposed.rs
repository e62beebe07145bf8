//! Each metric that a rule or the dashboard names is exposed by some process, with the labels that are asked for, and on a
//! port that is scraped.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Child, Installation, Part, Stack, background, chart::render, mcp::Era, part::logged, stack::Options, tls, until,
};

use super::{
    asked_by_dashboard, each,
    expression::{Exposed, add, misfits, undescribed},
    object, rules,
};
use crate::support::{OWN, own_enclave, word_count};

/// What Prometheus itself adds: to each target's samples, and of the target.
const OF_PROMETHEUS: &str = r#"up{namespace="n",job="tentacular-mcp",container="c",pod="p"} 1"#;

async fn scraped(child: &Child) -> anyhow::Result<String> {
    let address = logged(child, "observing", "address").await?;
    Ok(tls::plain()
        .build()?
        .get(format!("http://{address}/metrics"))
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?)
}

/// A stack of its own whose identity provider and module proxy are away.
async fn stack() -> anyhow::Result<Stack> {
    let away = "http://127.0.0.1:1";
    let kernel_args = ["--oidc=true", "--oidc-client-id=tentacular-mcp", &format!("--oidc-issuer={away}")];
    let options = Options {
        kernel_args: kernel_args.map(str::to_owned).to_vec(),
        sidecar_args: BTreeMap::from([(Part::Registrar, vec![format!("--proxy-url={away}")])]),
        enclaves: Some(OWN.to_owned()),
        ..Options::default()
    };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    background().spawn(start).await?
}

/// Has the processes do what they count only once it has happened.
async fn use_it(stack: &Stack) -> anyhow::Result<()> {
    let mcp = stack.client(Era::Stateless).await?;
    let enclave = own_enclave(&mcp, "measured").await?;
    let mut manifests = word_count()?;
    let files = manifests.as_array_mut().into_iter().flatten().filter_map(|manifest| manifest.get_mut("data"));
    for text in files.filter_map(|data| data.get_mut("workflow.yaml")) {
        let module = json!({ "yaml": { "protocol": "jsr", "host": "@std/yaml", "version": "1.0.5" } });
        let changed = text.as_str().map(|text| text.replace("dependencies: {}", &format!("dependencies: {module}")));
        *text = changed.context("no file")?.into();
    }
    mcp.call("wf_apply", json!({ "enclave": enclave, "name": "word-count", "manifests": manifests })).await?;
    mcp.call("wf_status", json!({ "enclave": "kube-system", "name": "x" })).await.expect_err("a protected namespace");
    mcp.call("wf_describe", json!({ "enclave": enclave, "name": "absent" })).await.expect_err("there is none");
    // A token as one of the identity provider, whose keys are not known.
    let token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImEifQ.e30.AAAA";
    let refused = stack.raw_as(token).request(reqwest::Method::GET).send().await?;
    ensure!(refused.status() == 503, "{}", refused.status());
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "open" }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] },
    }))?;
    let admin = stack.installation().control_plane().admin()?;
    let services = Api::<Service>::namespaced(admin, &enclave);
    services.create(&PostParams::default(), &service).await.expect_err("the webhook refuses it");
    Ok(())
}

#[tokio::test]
async fn e2e_monitoring_every_metric_that_is_asked_for_is_exposed() -> anyhow::Result<()> {
    let (rules, dashboard) = (rules().await?, asked_by_dashboard().await?);
    let alerts = each(&rules).map(|rule| rule["expr"].as_str().unwrap_or_default().to_owned());
    let expressions: Vec<_> = alerts.chain(dashboard).collect();
    ensure!(expressions.len() > 30 && !expressions.iter().any(String::is_empty), "{expressions:?}");
    let stack = stack().await?;
    use_it(&stack).await?;
    // Modules are asked for in the background.
    until("all is exposed", async || {
        let mut exposed = Exposed::new();
        add(&mut exposed, OF_PROMETHEUS)?;
        let mut texts = vec![scraped(stack.installation().webhook().context("a webhook")?).await?];
        for part in Part::SIDECARS.into_iter().chain([Part::Kernel]) {
            texts.push(scraped(&*stack.process(part)?).await?);
        }
        for text in &texts {
            add(&mut exposed, text)?;
        }
        let misfits: Vec<_> = expressions
            .iter()
            .map(|text| (text, misfits(text, &exposed)))
            .filter(|(_, all)| !all.is_empty())
            .collect();
        ensure!(misfits.is_empty(), "{misfits:#?}");
        let undescribed: Vec<_> = texts.iter().flat_map(|text| undescribed(text)).collect();
        ensure!(undescribed.is_empty(), "labels that docs/metrics.md does not tell of: {undescribed:#?}");
        Ok(())
    })
    .await
}

/// The containers' ports that are scraped are those that they name.
#[tokio::test]
async fn e2e_monitoring_every_port_that_is_scraped_is_a_containers() -> anyhow::Result<()> {
    let monitor = object("PodMonitor").await?;
    let names = |list: &Value, key: &str| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(|entry| entry[key].as_str()).map(str::to_owned).collect()
    };
    let scraped = names(&monitor["spec"]["podMetricsEndpoints"], "port");
    let mut ports = BTreeSet::new();
    for deployment in render(&["server.yaml", "webhook-server.yaml"], &[]).await? {
        let template = &deployment["spec"]["template"];
        let label = template["metadata"]["labels"]["app.kubernetes.io/name"].clone();
        if label.is_null() {
            continue;
        }
        let chosen = &monitor["spec"]["selector"]["matchExpressions"][0]["values"];
        ensure!(chosen.as_array().is_some_and(|names| names.contains(&label)), "{chosen} leaves out {label}");
        for list in ["containers", "initContainers"] {
            for container in template["spec"][list].as_array().into_iter().flatten() {
                ports.extend(names(&container["ports"], "name"));
            }
        }
    }
    let served = BTreeSet::from(["mcp", "admission"].map(str::to_owned));
    assert_eq!(scraped, ports.difference(&served).cloned().collect());
    Ok(())
}
