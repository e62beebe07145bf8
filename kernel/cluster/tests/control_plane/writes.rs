//! What reads and writes answer.

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, Secret},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tentacular_cluster::{Cause, Conflicts, Delete, Error, Kind, Metadata, Object, Selector, retry_on_conflict};

use crate::support::{World, deployment, object};

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_unless_taken_over() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("writes").await.unwrap();
    let foreign = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "a": "theirs" } });
    Api::<ConfigMap>::namespaced(world.control_plane.admin().unwrap(), &namespace)
        .patch("settings", &PatchParams::apply("somebody-else"), &Patch::Apply(&foreign))
        .await
        .unwrap();

    let maps = world.admin.objects(Kind::ConfigMap, &namespace);
    let mut ours: Object = object(foreign);
    ours.data["data"]["a"] = json!("ours");
    let error = maps.apply(&ours, Conflicts::Refuse).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert!(error.to_string().contains("somebody-else"), "{error}");

    maps.clone().dry_run(true).apply(&ours, Conflicts::TakeOver).await.unwrap();
    assert_eq!(maps.get("settings").await.unwrap().unwrap().data["data"]["a"], "theirs");
    let stored = maps.apply(&ours, Conflicts::TakeOver).await.unwrap();
    assert_eq!(stored.data["data"]["a"], "ours");
    // What was read can be applied again.
    maps.apply(&stored, Conflicts::Refuse).await.unwrap();
    assert_eq!(maps.list(&Selector::all().fields("metadata.name=settings")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_delete_takes_only_the_object_that_was_meant() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("deletes").await.unwrap();
    let deployments = world.admin.namespaced::<Deployment>(&namespace);
    let made = deployments.create(&deployment("report")).await.unwrap();
    assert!(matches!(deployments.create(&deployment("report")).await, Err(Error::AlreadyExists { .. })));

    let other = Delete { uid: Some("00000000-0000-0000-0000-000000000000".to_owned()), ..Delete::default() };
    assert!(deployments.delete("report", &other).await.unwrap_err().is_conflict());
    let this = Delete { uid: made.metadata.uid, ..Delete::default() };
    assert!(deployments.clone().dry_run(true).delete("report", &this).await.unwrap());
    assert!(deployments.get("report").await.unwrap().is_some());
    assert!(deployments.delete("report", &this).await.unwrap());
    assert!(!deployments.delete("report", &this).await.unwrap());
}

#[tokio::test]
async fn a_stale_replace_is_a_conflict_and_can_be_tried_again() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("replaces").await.unwrap();
    let maps = world.admin.namespaced::<ConfigMap>(&namespace);
    let old = maps.create(&object(json!({ "metadata": { "name": "ledger" } }))).await.unwrap();
    maps.patch("ledger", &json!({ "data": { "a": "1" } })).await.unwrap();
    assert!(maps.replace(&old).await.unwrap_err().is_conflict());

    let turn = std::cell::Cell::new(0);
    let append = async || {
        let mut map = maps.get("ledger").await?.expect("it was made above");
        if turn.replace(turn.get() + 1) == 0 {
            maps.patch("ledger", &json!({ "data": { "a": "2" } })).await?;
        }
        map.data.get_or_insert_default().insert("b".to_owned(), "3".to_owned());
        maps.replace(&map).await
    };
    let stored = retry_on_conflict(std::time::Duration::from_secs(5), append).await.unwrap();
    assert_eq!(stored.data.unwrap()["a"], "2");
    assert_eq!(turn.get(), 2);
}

#[tokio::test]
async fn errors_are_sorted_and_name_the_object() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("errors").await.unwrap();
    let bad = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "report" }, "spec": { "replicas": -1 } });
    let error = world.admin.objects(Kind::Deployment, &namespace).apply(&object(bad), Conflicts::Refuse).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("Deployment {namespace}/report is invalid: ")), "{error}");

    let missing = world.admin.namespaced("no-such-namespace").create(&deployment("report")).await.unwrap_err();
    assert_eq!(missing.to_string(), "Namespace no-such-namespace does not exist");

    let secrets = world.scoped().await.namespaced::<Secret>("kube-system");
    assert!(secrets.list(&Selector::all()).await.unwrap_err().is_forbidden());
    assert!(matches!(secrets.get("../pods").await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn what_is_invalid_is_told_field_by_field() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("causes").await.unwrap();
    let deployments = world.admin.namespaced::<Deployment>(&namespace);
    deployments.create(&deployment("report")).await.unwrap();
    let other = json!({ "spec": {
        "selector": { "matchLabels": { "app": "other" } }, "template": { "metadata": { "labels": { "app": "other" } } },
    }});
    let error = deployments.patch("report", &other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Deployment {namespace}/report is invalid: spec.selector: field is immutable")
    );

    let job = json!({ "metadata": { "name": "import" }, "spec": { "suspend": true, "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "import", "image": "example.com/import:1" }],
    }}}});
    let jobs = world.admin.namespaced::<Job>(&namespace);
    let mut job = jobs.create(&object(job)).await.unwrap();
    let pod = job.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    pod.containers[0].image = Some("example.com/import:2".to_owned());
    // Its controller writes at the same time.
    job.metadata.resource_version = None;
    let Err(Error::Invalid { causes, .. }) = jobs.replace(&job).await else {
        panic!("a Job's template is immutable")
    };
    let [Cause { field, reason, message }] = causes.try_into().unwrap();
    assert_eq!(
        (field.as_str(), reason.as_str(), message.as_str()),
        ("spec.template", "FieldValueInvalid", "field is immutable")
    );
}

#[tokio::test]
async fn a_refused_secret_is_not_quoted() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("secrets").await.unwrap();
    let secrets = world.admin.objects(Kind::Secret, &namespace);
    for content in [json!({ "stringData": { "password": 90_210 } }), json!({ "data": { "password": "90210?" } })] {
        let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "password" } });
        secret.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let error = secrets.apply(&object(secret), Conflicts::Refuse).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("90210"), "{error}");
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_as_far_as_wanted() {
    let world = World::new().await;
    let namespace = world.control_plane.namespace("lists").await.unwrap();
    let maps = world.admin.namespaced::<ConfigMap>(&namespace);
    for number in 0..5 {
        let map = object(json!({ "metadata": { "name": format!("map-{number}"), "labels": { "test": "list" } } }));
        maps.create(&map).await.unwrap();
    }
    let ours = Selector::labels("test=list");
    assert_eq!(maps.list(&ours).await.unwrap().len(), 5);
    assert_eq!(maps.list(&ours.clone().at_most(2)).await.unwrap().len(), 2);
    let metadata = world.admin.namespaced::<Metadata<ConfigMap>>(&namespace);
    assert_eq!(metadata.list(&ours).await.unwrap().len(), 5);
    assert_eq!(
        world.admin.all::<Metadata<Namespace>>().get(&namespace).await.unwrap().unwrap().metadata.name,
        Some(namespace)
    );
}

#[tokio::test]
async fn the_api_server_answers_probes() {
    let world = World::new().await;
    let scoped = world.scoped().await;
    scoped.probe().await.unwrap();
}
