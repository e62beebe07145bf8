//! The registrar decides again against what stands there now, and by rules that the kernel cannot see.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use serde_json::json;
use tentacular_cluster::Metadata;
use tentacular_contract::{Caller, keys};

use crate::{
    applying::{call, config_map, deployment},
    world::{World, person},
};

pub(crate) async fn annotate(world: &World, enclave: &str, key: &str, value: &str) {
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    world.admin.all::<Metadata<Namespace>>().patch(enclave, &patch).await.unwrap();
}

#[tokio::test]
async fn a_permit_counts_only_while_it_would_be_given_again() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("recheck").await;
    let arguments = call(&enclave, "report", &[deployment("report", "i:1")]);
    let bob = person("bob@x.io");
    let permitted = world.permit(&bob, "wf_apply", arguments.clone()).await.unwrap();
    annotate(&world, &enclave, keys::MODE, "rwxr-x---").await;
    let error = world.send(&permitted).await.unwrap_err();
    assert!(error.contains("needs w for member, mode is rwxr-x---"), "{error}");

    let permitted = world.permit(&Caller::Bearer, "wf_apply", arguments).await.unwrap();
    annotate(&world, &enclave, keys::ENCLAVE_STATUS, "frozen").await;
    let error = world.send(&permitted).await.unwrap_err();
    assert!(error.contains("is frozen"), "{error}");
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    assert!(deployments.get("report").await.unwrap().is_none());
}

#[tokio::test]
async fn a_member_creates_and_does_not_inherit_what_an_earlier_tentacle_left() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("inherit").await;
    let bob = person("bob@x.io");
    let manifests = [config_map("report-code", "1"), deployment("report", "i:1")];
    world.call(&bob, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    world
        .admin
        .namespaced::<Deployment>(&enclave)
        .delete("report", &tentacular_cluster::Delete::default())
        .await
        .unwrap();

    let error = world.call(&bob, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap_err();
    assert!(error.contains("left ConfigMap/report-code") && error.contains("enclave's owner"), "{error}");
    let again = world.call(&person("ann@x.io"), "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    assert_eq!((&again["created"], &again["unchanged"]), (&json!(1), &json!(1)), "{again}");
}

#[tokio::test]
async fn the_mode_is_for_an_owner_to_change() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("mode").await;
    let with = |mode: Option<&str>, image: &str| {
        let mut arguments = call(&enclave, "report", &[deployment("report", image)]);
        if let Some(mode) = mode {
            arguments["mode"] = json!(mode);
        }
        arguments
    };
    let mode = || async {
        let deployment = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
        deployment.metadata.annotations.unwrap()[keys::MODE].clone()
    };
    let bob = person("bob@x.io");
    world.call(&bob, "wf_apply", with(Some("member-edit"), "i:1")).await.unwrap();
    assert_eq!(mode().await, "rwxrwx---");
    annotate(&world, &enclave, keys::ENCLAVE_MEMBERS, "bob@x.io,cid@x.io").await;
    let cid = person("cid@x.io");
    let error = world.call(&cid, "wf_apply", with(Some("open-run"), "i:2")).await.unwrap_err();
    assert!(error.contains("the mode of a tentacle is for its owner"), "{error}");
    world.call(&cid, "wf_apply", with(None, "i:2")).await.unwrap();
    assert_eq!(mode().await, "rwxrwx---");
    for (caller, name, text) in [
        (bob, "private", "rwx------"),
        (person("ann@x.io"), "open-run", "rwxrwxr-x"),
        (Caller::Bearer, "member-run", "rwx--x---"),
    ] {
        world.call(&caller, "wf_apply", with(Some(name), "i:2")).await.unwrap();
        assert_eq!(mode().await, text);
    }
}

#[tokio::test]
async fn of_two_who_create_the_same_at_once_one_gets_it() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("race").await;
    let (ann, bob) = (person("ann@x.io"), person("bob@x.io"));
    for round in 0..5 {
        let name = format!("report-{round}");
        let mut arguments = call(&enclave, &name, &[deployment(&name, "i:1")]);
        arguments["mode"] = json!("private");
        let of_bob = world.permit(&bob, "wf_apply", arguments.clone()).await.unwrap();
        let of_bearer = world.permit(&Caller::Bearer, "wf_apply", arguments).await.unwrap();
        let (first, second) = tokio::join!(world.send(&of_bob), world.send(&of_bearer));
        let created = [&first, &second].into_iter().flatten().filter(|done| done["status"] == "created").count();
        assert_eq!(created, 1, "{first:?} {second:?}");

        let (one, two) = (format!("one-{round}"), format!("two-{round}"));
        let shared = config_map(&format!("shared-{round}"), "1");
        let with_shared = |name: &str| call(&enclave, name, &[deployment(name, "i:1"), shared.clone()]);
        let of_one = world.permit(&ann, "wf_apply", with_shared(&one)).await.unwrap();
        let of_two = world.permit(&bob, "wf_apply", with_shared(&two)).await.unwrap();
        let (first, second) = tokio::join!(world.send(&of_one), world.send(&of_two));
        let refused = first.err().or(second.err()).expect("one of them is refused");
        assert!(refused.contains("belongs to tentacle"), "{refused}");
    }
}
