//! Upgrades of one part at a time while clients call.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{Api, LogParams},
};
use serde_json::Value;
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE};

use crate::{
    clock::Clock,
    load::Load,
    release::Release,
    support::{NEXT, TAG, image, until},
};

/// With these the kernel is one minor of the contract older than each sidecar in turn, then newer, and both at once.
const UPGRADES: [(Part, &str); 8] = [
    (Part::Scheduler, NEXT),
    (Part::Auditor, NEXT),
    (Part::Registrar, NEXT),
    (Part::Kernel, NEXT),
    (Part::Scheduler, TAG),
    (Part::Auditor, TAG),
    (Part::Registrar, TAG),
    (Part::Webhook, NEXT),
];

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_an_upgrade_of_one_part_to_another_contract_fails_no_call_and_loses_no_firing() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    release.import_next().await?;
    let place = release.busy("team").await?;
    let mut clock = Clock::start(&release.client().await?, "team").await?;
    let mut tags =
        BTreeMap::from([Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor].map(|it| (it, TAG)));
    speak(&release, &tags).await?;

    let load = Load::start(&release, &place, false).await?;
    for (part, tag) in UPGRADES {
        let before = release.images().await?;
        release.upgrade(&[&format!("{}.image.tag={tag}", part.name())]).await?;
        let was = image(part, if tag == NEXT { TAG } else { NEXT });
        let expected: Vec<_> = before.iter().map(|named| named.replace(&was, &image(part, tag))).collect();
        let after = release.images().await?;
        ensure!(after == expected && after != before, "{}: {before:?} became {after:?}", part.name());
        tags.entry(part).and_modify(|now| *now = tag);
        speak(&release, &tags).await?;
        clock.look(&release).await?;
    }
    let made = load.end().await?;
    ensure!(made.failed.is_empty(), "{} of {} calls: {:#?}", made.failed.len(), made.calls, made.failed);
    clock.account(&release).await
}

/// The contract that an image speaks.
fn contract(tag: &str) -> &'static str {
    if tag == NEXT { "1.1" } else { "1.0" }
}

/// Waits until in every pod the kernel and the sidecars that joined speak the contracts of their images.
async fn speak(release: &Release, tags: &BTreeMap<Part, &str>) -> anyhow::Result<()> {
    let kernel = contract(tags[&Part::Kernel]);
    let one = Part::SIDECARS.map(|part| (part.name().to_owned(), [kernel, contract(tags[&part])].map(str::to_owned)));
    let expected = vec![BTreeMap::from(one); 2];
    until(&format!("the contracts {expected:?}"), || spoken(release), |now| *now == expected).await?;
    Ok(())
}

/// What each pod's kernel says it speaks, and the sidecar that joined, by the sidecar's name.
async fn spoken(release: &Release) -> anyhow::Result<Vec<BTreeMap<String, [String; 2]>>> {
    let pods = Api::<Pod>::namespaced(release.admin.clone(), SERVER_NAMESPACE);
    let kernel = LogParams { container: Some("kernel".to_owned()), ..LogParams::default() };
    let mut spoken = Vec::new();
    for pod in release.pods("tentacular-mcp").await? {
        let mut joined = BTreeMap::new();
        let log = pods.logs(&pod.name_any(), &kernel).await?;
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["message"] == "joined" {
                let member = |name: &str| line[name].as_str().map(str::to_owned).context(log.clone());
                joined.insert(member("sidecar")?, [member("kernel_contract")?, member("contract")?]);
            }
        }
        spoken.push(joined);
    }
    Ok(spoken)
}
