//! Upgrades of one part at a time while clients call.

use anyhow::ensure;
use tentacular_test_harness::Part;

use crate::{
    clock::Clock,
    load::Load,
    release::Release,
    support::{TAG, image},
};

/// The tag that the same images have too.
const NEXT: &str = "next";

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_an_upgrade_of_one_part_fails_no_call_and_loses_no_firing() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let place = release.busy("team").await?;
    let mut clock = Clock::start(&release.client().await?, "team").await?;

    let load = Load::start(&release, &place, false).await?;
    for part in [Part::Scheduler, Part::Auditor, Part::Registrar, Part::Kernel, Part::Webhook] {
        release.cluster.tag(&image(part, TAG), &image(part, NEXT)).await?;
        let before = release.images().await?;
        release.upgrade(&[&format!("{}.image.tag={NEXT}", part.name())]).await?;
        let expected: Vec<_> =
            before.iter().map(|named| named.replace(&image(part, TAG), &image(part, NEXT))).collect();
        let after = release.images().await?;
        ensure!(after == expected && after != before, "{}: {before:?} became {after:?}", part.name());
        clock.look(&release).await?;
    }
    let made = load.end().await?;
    ensure!(made.failed.is_empty(), "{} of {} calls: {:#?}", made.failed.len(), made.calls, made.failed);
    clock.account(&release).await
}
