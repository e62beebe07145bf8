//! What Kubernetes never changes of an object: the answer names the field and says what to do, and nothing is written.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use tentacular_test_harness::until;

use super::{
    manifests::{config_map, deployment, job, of, secret, service, volume, with_pods},
    place::{Place, changed},
};

/// A refusal is for a person to read: no dump of a pod, and no longer than a few sentences.
fn is_readable(refusal: &str) {
    for line in refusal.lines() {
        assert!(line.chars().count() < 700, "{line}");
        assert!(!line.contains("core.Pod") && !line.contains("(nil)") && !line.contains("ObjectMeta"), "{line}");
    }
}

async fn pods_of(place: &Place, job: &str) -> anyhow::Result<Vec<String>> {
    let pods = Api::<Pod>::namespaced(place.admin.clone(), &place.enclave);
    let of_it = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    Ok(pods.list(&of_it).await?.into_iter().filter_map(|pod| pod.uid()).collect())
}

async fn until_it_has_pods(place: &Place, job: &str) -> anyhow::Result<Vec<String>> {
    until(format!("Job {job} has pods"), async || {
        let pods = pods_of(place, job).await?;
        ensure!(!pods.is_empty(), "it has none");
        Ok(pods)
    })
    .await
}

#[tokio::test]
async fn e2e_apply_a_changed_job_is_replaced_when_that_is_asked_for() -> anyhow::Result<()> {
    let place = Place::new("job").await?;
    let with = |image: &str| vec![job("import", image), job("beside", "i:1"), deployment("report")];
    place.apply("report", &with("i:1")).await?;
    let uids = async || {
        let uid = async |name| anyhow::Ok(place.get("Job", name).await?.unwrap().uid().unwrap());
        anyhow::Ok((uid("import").await?, uid("beside").await?))
    };
    let (import, beside) = uids().await?;
    let old = until_it_has_pods(&place, "import").await?;
    // Controllers finish with the Job before it is compared.
    let again = place.apply("report", &with("i:1")).await?;
    assert_eq!(again["status"], "unchanged", "{again}");

    let refusal = place.refusal("report", &with("i:2"), &json!({})).await?;
    assert!(refusal.contains("/import is invalid: spec.template: field is immutable"), "{refusal}");
    assert!(refusal.contains("replace_jobs: true") && refusal.contains("another name"), "{refusal}");
    is_readable(&refusal);

    let replace = json!({ "replace_jobs": true });
    let answer = place.apply_with("report", &with("i:2"), &replace).await?;
    assert_eq!(changed(&answer), ["Deployment/report: updated", "Job/import: replaced"]);
    let (new, same) = uids().await?;
    assert!(new != import && same == beside, "only what changed is replaced");
    let image = place.live("Job", "import").await?["spec"]["template"]["spec"]["containers"][0]["image"].take();
    assert_eq!(image, "i:2");
    let pods = pods_of(&place, "import").await?;
    assert!(old.iter().all(|pod| !pods.contains(pod)), "the old pods are gone");
    let again = place.apply_with("report", &with("i:2"), &replace).await?;
    assert_eq!((&again["status"], uids().await?), (&json!("unchanged"), (new, same)), "{again}");

    // A Job is refused for another reason: it is not deleted.
    let mut broken = with("i:3");
    of(&mut broken, "Job", "import")["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    place.refusal("report", &broken, &replace).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_apply_every_field_that_never_changes_is_named_with_what_to_do() -> anyhow::Result<()> {
    let place = Place::new("fixed").await?;
    let immutable = |mut object: Value| {
        object["immutable"] = json!(true);
        object
    };
    let first = [
        volume("data"),
        service("report"),
        immutable(config_map("report-fixed", &json!({ "k": "1" }))),
        immutable(secret("report-secrets", &json!({ "k": "hunter2" }))),
        secret("report-typed", &json!({ "k": "1" })),
        deployment("report"),
    ];
    place.apply("report", &first).await?;
    let again = place.apply("report", &first).await?;
    assert_eq!(again["status"], "unchanged", "{again}");

    let mut larger = volume("data");
    larger["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
    let mut headless = service("report");
    headless["spec"]["clusterIP"] = json!("None");
    let mut typed = secret("report-typed", &json!({ "k": "1" }));
    typed["type"] = json!("example.com/other");
    let mut selecting = with_pods(deployment("report"), |pods| pods["metadata"]["labels"]["tier"] = json!("1"));
    selecting["spec"]["selector"]["matchLabels"]["tier"] = json!("1");
    let next = [
        larger,
        headless,
        immutable(config_map("report-fixed", &json!({ "k": "2" }))),
        immutable(secret("report-secrets", &json!({ "k": "swordfish" }))),
        typed,
        selecting,
    ];
    let refusal = place.refusal("report", &next, &json!({ "replace_jobs": true })).await?;
    assert!(refusal.starts_with("nothing was applied, 6 violations:"), "{refusal}");
    for told in [
        &[
            "PersistentVolumeClaim",
            "/data is invalid: spec",
            "only the requested storage can be raised",
            "another name",
        ][..],
        &["Service", "spec.clusterIP", "another name"],
        &["ConfigMap", "/report-fixed is invalid: data", "made immutable", "another name"],
        &["Secret", "/report-secrets is invalid: data", "made immutable", "another name"],
        &["Secret", "/report-typed is invalid: type: field is immutable: leave the field as it is"],
        &["Deployment", "/report is invalid: spec.selector", "wf_remove"],
    ] {
        assert!(
            refusal.lines().any(|line| told.iter().all(|part| line.contains(part))),
            "{told:?} is not in {refusal}"
        );
    }
    assert!(!refusal.contains("hunter2") && !refusal.contains("swordfish"), "{refusal}");
    is_readable(&refusal);
    Ok(())
}
