//! What several modules need: waiting, the names of images, the example tentacle.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tentacular_test_harness::Part;
use tokio::time::sleep;

/// The tag of this build's images.
pub(crate) const TAG: &str = env!("CARGO_PKG_VERSION");
/// The tag of the next build's images.
pub(crate) const NEXT: &str = "next";
/// A wait that only a hang reaches.
pub(crate) const LONG: Duration = Duration::from_mins(5);
/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// The name of a part's image.
pub(crate) fn image(part: Part, tag: &str) -> String {
    format!("ghcr.io/randybias/tentacular-mcp/tentacular-{}:{tag}", part.name())
}

/// Asks until `wanted` holds of what `ask` gives.
pub(crate) async fn until<T, Asking>(
    what: &str,
    ask: impl Fn() -> Asking,
    wanted: impl Fn(&T) -> bool,
) -> anyhow::Result<T>
where
    T: std::fmt::Debug,
    Asking: Future<Output = anyhow::Result<T>>,
{
    let until = Instant::now() + LONG;
    loop {
        let answer = ask().await;
        match &answer {
            Ok(is) if wanted(is) => return answer,
            _ => ensure!(Instant::now() < until, "{what} did not come: {answer:?}"),
        }
        sleep(LOOK).await;
    }
}

/// Arguments of `wf_apply`: the example tentacle, named as its place says, with these annotations on its Deployment, and
/// waited for.
pub(crate) fn apply(place: &Value, annotations: &Value) -> anyhow::Result<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/manifests.json");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let name = place["name"].as_str().context("a place without a name")?;
    let mut manifests: Value = serde_json::from_str(&text.replace("word-count", name))?;
    for manifest in manifests.as_array_mut().into_iter().flatten() {
        if manifest["kind"] == "Deployment" {
            let present = manifest["metadata"]["annotations"].as_object_mut().context("annotations")?;
            present.extend(annotations.as_object().context("an object")?.clone());
        }
    }
    let mut arguments = place.clone();
    arguments["manifests"] = manifests;
    arguments["wait_seconds"] = json!(120);
    Ok(arguments)
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
