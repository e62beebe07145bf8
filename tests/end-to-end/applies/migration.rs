//! Objects that an older server made: with the label of the release, by a plain create and without server-side apply.

use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    manifests::{config_map, deployment, of, secret, service, with_pods},
    place::{Place, changed, counts, managers},
};

/// Where the older server wrote the label of the release: on the object, and not on its pods.
fn as_of_the_older_server(mut manifest: Value) -> Value {
    let labels = json!({ "app.kubernetes.io/managed-by": "tentacular", "tentacular.io/release": "report" });
    manifest["metadata"]["labels"] = labels;
    manifest
}

/// A tentacle of the older server: nobody's who has no email, open to members.
async fn make(place: &Place) -> anyhow::Result<()> {
    let mut older = with_pods(deployment("report"), |pods| {
        pods["spec"]["containers"][0]["args"] = json!(["--old"]);
        pods["spec"]["volumes"].as_array_mut().unwrap().push(json!({ "name": "old", "emptyDir": {} }));
    });
    older["spec"]["replicas"] = json!(1);
    older["metadata"]["annotations"] = json!({
        "tentacular.io/owner": "bob@example.com", "tentacular.io/owner-email": "bob@example.com",
        "tentacular.io/mode": "rwxrwx---", "tentacular.io/created-at": "2025-01-01T00:00:00Z",
        "tentacular.io/deployed-via": "unknown", "tentacular.io/description": "of long ago",
    });
    let mut older_service = service("report");
    older_service["spec"]["ports"] = json!([{ "name": "http", "port": 9090 }]);
    for manifest in [
        older,
        older_service,
        config_map("report-code", &json!({ "main.ts": "1", "old.ts": "1" })),
        secret("report-secrets", &json!({ "token": "hunter2", "old": "swordfish" })),
    ] {
        place.create("mcp-server", as_of_the_older_server(manifest)).await?;
    }
    Ok(())
}

fn newer() -> Vec<Value> {
    let mut service = service("report");
    service["spec"]["ports"] = json!([{ "name": "http", "port": 8080 }]);
    vec![
        config_map("report-code", &json!({ "main.ts": "1" })),
        secret("report-secrets", &json!({ "token": "hunter2" })),
        service,
        deployment("report"),
    ]
}

/// Scales as an autoscaler does, and annotates as something that injects does.
async fn meddle(place: &Place) -> anyhow::Result<()> {
    let by = kube::api::PatchParams { field_manager: Some("autoscaler".to_owned()), ..Default::default() };
    let scale = kube::api::Patch::Merge(json!({ "spec": { "replicas": 2 } }));
    place.api("Deployment").patch_scale("report", &by, &scale).await?;
    let injected = json!({ "metadata": { "annotations": { "injector.io/seen": "yes" } } });
    place.patch("injector", "Deployment", "report", injected.clone()).await?;
    place.patch("injector", "Deployment", "report", json!({ "spec": { "template": injected } })).await?;
    place.patch("injector", "ConfigMap", "report-code", injected).await
}

#[tokio::test]
async fn e2e_apply_takes_over_what_an_older_server_made_and_leaves_what_others_added() -> anyhow::Result<()> {
    let place = Place::new("older").await?;
    make(&place).await?;
    meddle(&place).await?;
    let uid = place.get("Deployment", "report").await?.unwrap().uid();

    let answer = place.person("bob").await?.call("wf_apply", place.arguments("report", &newer(), &json!({}))).await?;
    assert_eq!((counts(&answer), &answer["status"]), ([0, 4, 0, 0], &json!("updated")), "{answer}");
    for (kind, name) in [("ConfigMap", "report-code"), ("Secret", "report-secrets"), ("Service", "report")] {
        let object = place.get(kind, name).await?.unwrap();
        let managers: Vec<_> = managers(&object).into_iter().filter(|entry| entry != "injector/Update").collect();
        assert_eq!(managers, ["tentacular/Apply"], "{kind}");
    }
    assert_eq!(place.live("ConfigMap", "report-code").await?["data"], json!({ "main.ts": "1" }));
    assert_eq!(place.live("Secret", "report-secrets").await?["data"], json!({ "token": "aHVudGVyMg==" }));
    let ports = place.live("Service", "report").await?["spec"]["ports"].take();
    assert_eq!((ports.as_array().unwrap().len(), &ports[0]["port"]), (1, &json!(8080)), "{ports}");

    let live = place.get("Deployment", "report").await?.unwrap();
    assert_eq!((live.uid(), managers(&live)), (uid, vec!["injector/Update".into(), "tentacular/Apply".into()]));
    let annotations = live.annotations();
    assert_eq!(annotations["injector.io/seen"], "yes");
    assert_eq!(annotations["tentacular.io/owner-email"], "bob@example.com");
    assert_eq!(
        (annotations["tentacular.io/mode"].as_str(), &*annotations["tentacular.io/created-at"]),
        ("rwxrwx---", "2025-01-01T00:00:00Z")
    );
    assert!(annotations["tentacular.io/inventory"].contains("report-secrets"), "{annotations:?}");
    assert_eq!(annotations.get("tentacular.io/description"), None, "the manifest has it no more");
    let spec = &live.data["spec"];
    assert_eq!(spec["replicas"], 2, "an autoscaler's");
    let template = &spec["template"];
    assert_eq!(template["metadata"]["annotations"]["injector.io/seen"], "yes");
    assert_eq!(template["metadata"]["labels"]["tentacular.io/release"], "report");
    let pod = &template["spec"];
    assert_eq!(pod["containers"][0].get("args"), None, "{pod}");
    let volumes: Vec<_> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert_eq!(volumes, ["code", "tmp"], "the one that is added, and not the one that is dropped");

    let (before, written) = (place.snapshot().await?, place.writes());
    let again = place.apply("report", &newer()).await?;
    assert_eq!(counts(&again), [0, 0, 0, 4], "{again}");
    assert_eq!((place.snapshot().await?, place.writes()), (before, written));
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_dry_run_over_an_older_servers_objects_tells_what_would_go() -> anyhow::Result<()> {
    let place = Place::new("olderdry").await?;
    make(&place).await?;
    let before = place.snapshot().await?;
    let planned = place.apply_with("report", &newer(), &json!({ "dry_run": true })).await?;
    assert_eq!(place.snapshot().await?, before);
    assert_eq!(changed(&planned).len(), 4, "{planned}");
    let text = planned.to_string();
    for object in ["ConfigMap/report-code", "Secret/report-secrets", "Service/report", "Deployment/report"] {
        assert!(text.contains(&format!("{object} was written by an older server")), "{planned}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_apply_a_mistake_is_found_before_an_older_servers_objects_change() -> anyhow::Result<()> {
    let place = Place::new("olderwrong").await?;
    make(&place).await?;
    let contents = async || {
        let mut all = place.snapshot().await?;
        for object in all.values_mut() {
            // Who wrote which field is noted before the API server is asked, and nothing else.
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .retain(|key, _| !["managedFields", "resourceVersion"].contains(&key.as_str()));
        }
        anyhow::Ok(all)
    };
    let before = contents().await?;
    let mut manifests = newer();
    of(&mut manifests, "Service", "")["spec"]["ports"][0]["port"] = json!(123_456);
    let arguments = place.arguments("report", &manifests, &json!({}));
    let refusal = place.bearer.refusal("wf_apply", arguments).await?;
    assert!(refusal.starts_with("nothing was applied: Service") && refusal.contains("123456"), "{refusal}");
    assert_eq!(contents().await?, before);
    Ok(())
}
