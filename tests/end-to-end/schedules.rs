//! Schedules fire: as their annotations say, once an instant, written down in the ledger.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};

use crate::support::{client, enclave, stack, word_count};

/// A wait that only a hang reaches.
const LONG: Duration = Duration::from_mins(2);

/// The example tentacle with this schedule.
pub(crate) fn scheduled(annotations: &Value) -> anyhow::Result<Value> {
    let mut manifests = word_count()?;
    for manifest in manifests.as_array_mut().unwrap() {
        if manifest["kind"] == "Deployment" {
            let present = manifest["metadata"]["annotations"].as_object_mut().unwrap();
            present.extend(annotations.as_object().unwrap().clone());
        }
    }
    Ok(manifests)
}

/// The runs in a tentacle's ledger.
pub(crate) async fn ledger(enclave: &str, tentacle: &str) -> anyhow::Result<Vec<Value>> {
    let admin = stack().await?.installation().control_plane().admin()?;
    let maps: Api<ConfigMap> = Api::namespaced(admin, enclave);
    let map = maps.get_opt(&format!("tentacular-runs-{tentacle}")).await?;
    let data = map.and_then(|map| map.data).unwrap_or_default();
    let runs = data.iter().filter(|(key, _)| key.starts_with("run."));
    runs.map(|(_, text)| Ok(serde_json::from_str(text)?)).collect()
}

#[tokio::test]
async fn e2e_schedule_fires_every_instant_once() -> anyhow::Result<()> {
    let mcp = client().await?;
    let enclave = enclave(&mcp, "cron").await?;
    let manifests = scheduled(&json!({ "tentacular.io/cron-schedule": "@every 1s" }))?;
    mcp.call("wf_apply", json!({ "enclave": enclave, "name": "word-count", "manifests": manifests })).await?;
    let until = Instant::now() + LONG;
    let runs = loop {
        let runs = ledger(&enclave, "word-count").await?;
        if runs.iter().filter(|run| run["state"] == "succeeded").count() >= 3 {
            break runs;
        }
        assert!(Instant::now() < until, "{runs:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let instants: BTreeSet<_> = runs.iter().map(|run| run["instant"].to_string()).collect();
    assert_eq!(instants.len(), runs.len(), "{runs:?}");
    Ok(())
}
