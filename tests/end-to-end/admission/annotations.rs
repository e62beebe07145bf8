//! Annotations are held to what their readers read.

use http::Method;
use serde_json::json;

use super::world::{admin, by, path, pod_spec, workloads, world};
use crate::{
    support::unique,
    thief::attempt::{By, all_possible, all_refused, create, merge},
};

#[tokio::test]
async fn e2e_admission_annotations_are_held_to_what_their_readers_read() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let deployment = format!("{}/word-count", path(&world.active, "apps", "deployments"));
    let namespace = format!("/api/v1/namespaces/{}", world.active);
    let annotate =
        |path: &str, key: &str, value: &str| merge(path, json!({ "metadata": { "annotations": { key: value } } }));
    let cron = "tentacular.io/cron-schedule";
    let mut refused = Vec::new();
    for (rule, path, key, value) in [
        ("cron-schedule", &deployment, cron, "61 * * * *"),
        ("cron-schedule", &format!("{deployment}/status"), cron, "61 * * * *"),
        ("cron-schedule", &deployment, "tentacular.dev/cron-schedule", "61 * * * *"),
        ("cron-timezone", &deployment, "tentacular.io/cron-timezone", "Berlin"),
        ("tentacle-mode", &deployment, "tentacular.io/mode", "777"),
        ("nodes", &deployment, "tentacular.io/nodes", "fetch"),
        ("enclave-mode", &namespace, "tentacular.io/mode", "public"),
        ("enclave-mode", &format!("{namespace}/status"), "tentacular.io/mode", "public"),
        ("enclave-members", &namespace, "tentacular.io/enclave-members", "ann"),
    ] {
        refused.push((By::Validation(rule), annotate(path, key, value).posing_as(&world.administrator)));
    }
    all_refused(&admin, refused).await?;
    let possible = [
        annotate(&deployment, cron, "0 2 * * *,*/15 9-17 * * 1,3,5"),
        annotate(&deployment, "tentacular.io/nodes", "[\"fetch\"]"),
        annotate(&namespace, "tentacular.io/mode", "public-read"),
    ];
    all_possible(&admin, by(&world.administrator, &possible)).await?;
    all_possible(&admin, by(&world.editor, &possible[..2])).await
}

#[tokio::test]
async fn e2e_admission_what_is_allowed_but_unwise_is_a_warning() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let deployment = format!("{}/word-count?dryRun=All", path(&world.active, "apps", "deployments"));
    let ambiguous =
        json!({ "metadata": { "annotations": { "tentacular.io/cron-schedule": "0 9 * * 1,5,30 2 * * *" } } });
    let cron_jobs = format!("{}?dryRun=All", path(&world.active, "batch", "cronjobs"));
    let (_, _, cron_job) = workloads("mine", &pod_spec()).pop().unwrap();
    for (method, path, body, expected) in [
        (Method::PATCH, deployment, ambiguous, "name the schedules"),
        (Method::POST, cron_jobs, cron_job, "annotate its Deployment with tentacular.io/cron-schedule"),
    ] {
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder().method(method).uri(path).header("content-type", content);
        let response = admin.send(request.body(body.to_string().into_bytes().into())?).await?;
        assert!(response.status().is_success(), "{response:?}");
        let warnings: Vec<_> =
            response.headers().get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{warnings:?}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_admission_a_dry_run_is_judged_and_has_no_effect() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let secrets = path(&world.active, "", "secrets");
    let named = |name: &str| json!({ "metadata": { "name": name } });
    let name = unique("tried");
    let tried = create(&*secrets, named(&name)).posing_as(&world.editor);
    for _ in 0..2 {
        tried.send(&admin).await?;
    }
    tried.send_for_real(&admin).await?;
    let refused = create(&*secrets, named("tentacular-tried")).posing_as(&world.editor);
    for error in [refused.send(&admin).await.unwrap_err(), refused.send_for_real(&admin).await.unwrap_err()] {
        assert!(error.to_string().contains("(rule protected-object)"), "{error}");
    }
    Ok(())
}
