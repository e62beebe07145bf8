//! A schedule that cannot be read stops none beside it, and is told of where people look.

use anyhow::ensure;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Event},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use tentacular_test_harness::until;

use super::world::{Place, world};

const CRON: &str = "tentacular.io/cron-schedule";

/// Annotates the Deployment past the webhook, which refuses what cannot be read: as one of Kubernetes' own controllers.
async fn annotate(place: &Place, annotations: &Value) -> anyhow::Result<()> {
    let controller = world().await?.installation().control_plane().controller()?;
    let deployments: Api<Deployment> = Api::namespaced(controller, &place.enclave);
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    deployments.patch("word-count", &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_an_invalid_one_is_told_of_and_the_valid_one_beside_it_fires() -> anyhow::Result<()> {
    let place = Place::with("invalid", json!({})).await?;
    annotate(&place, &json!({ CRON: "good=@every 1s,bad=0 25 * * *" })).await?;
    place.fires("good", 2, Timestamp::UNIX_EPOCH).await?;
    let shown = place.schedule().await?;
    assert_eq!(shown["schedules"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["schedules"][0]["id"], "good", "{shown}");
    assert_eq!(shown["invalid"].as_array().map(Vec::len), Some(1), "{shown}");
    assert!(shown["invalid"][0].as_str().unwrap().contains("\"25\" is no hour"), "{shown}");

    let admin = world().await?.installation().control_plane().admin()?;
    let deployment = Api::<Deployment>::namespaced(admin.clone(), &place.enclave).get("word-count").await?;
    let events: Api<Event> = Api::namespaced(admin, &place.enclave);
    let told = async || {
        let mut told = events.list(&ListParams::default()).await?.items;
        told.retain(|event| event.reason.as_deref() == Some("InvalidSchedule"));
        anyhow::Ok(told)
    };
    until("it is told", async || {
        ensure!(!told().await?.is_empty());
        Ok(())
    })
    .await?;
    // It is taken up again, and says the same as before.
    annotate(&place, &json!({ "tentacular.io/cron-overlap": "allow" })).await?;
    until("it is taken up", async || {
        ensure!(place.schedule().await?["overlap"] == "allow");
        Ok(())
    })
    .await?;
    place.fires("good", 2, Timestamp::now()).await?;
    let told = told().await?;
    assert_eq!(told.len(), 1, "{told:?}");
    let (event, object) = (&told[0], &told[0].involved_object);
    assert_eq!((object.kind.as_deref(), object.name.as_deref()), (Some("Deployment"), Some("word-count")));
    assert_eq!((object.uid.clone(), event.type_.as_deref()), (deployment.uid(), Some("Warning")));
    assert!(event.message.as_deref().unwrap_or_default().contains("\"25\" is no hour"), "{event:?}");
    Ok(())
}

#[tokio::test]
async fn e2e_schedule_what_nobody_can_read_is_shown_with_the_reason() -> anyhow::Result<()> {
    for (annotations, said) in [
        (json!({ CRON: "0 9 * * 1,5,30 2 * * *" }), "name the schedules"),
        (json!({ "tentacular.dev/cron-schedule": "soon" }), "soon"),
    ] {
        let place = Place::with("unread", json!({})).await?;
        annotate(&place, &annotations).await?;
        let shown = place.schedule().await?;
        assert_eq!((&shown["schedules"], &shown["invalid"][1]), (&json!([]), &json!(null)), "{shown}");
        assert!(shown["invalid"][0].as_str().unwrap().contains(said), "{shown}");
        assert_eq!(place.runs().await?.len(), 0);
    }
    Ok(())
}
