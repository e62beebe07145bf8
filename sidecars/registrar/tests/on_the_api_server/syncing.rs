//! What `enclave_sync` makes of an enclave: one decision, one write, and what follows from it.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, ResourceQuota},
};
use serde_json::{Value, json};
use tentacular_cluster::{Delete, Metadata};
use tentacular_contract::{Caller, Status, keys};

use crate::{
    applying::{call, config_map, deployment},
    refusal::{Refusal, rule},
    world::{World, person},
};

async fn sync(world: &World, caller: &Caller, enclave: &str, mut arguments: Value) -> Result<Value, String> {
    arguments["name"] = json!(enclave);
    world.call(caller, "enclave_sync", arguments).await
}

/// The annotations of the tentacle's Deployment.
async fn annotations(world: &World, enclave: &str, tentacle: &str) -> tentacular_contract::facts::Pairs {
    let found = world.admin.namespaced::<Deployment>(enclave).get(tentacle).await.unwrap().unwrap();
    found.metadata.annotations.unwrap()
}

/// What is shown of an enclave, without what Kubernetes counts in its own time.
fn without_use(enclave: &Value) -> Value {
    let mut shown = enclave.clone();
    for resource in shown["quota"].as_object_mut().unwrap().values_mut() {
        resource.as_object_mut().unwrap().remove("used");
    }
    shown
}

#[tokio::test]
async fn only_what_is_given_changes_and_a_repeat_writes_nothing() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("sync").await;
    let ann = person("ann@x.io");
    let arguments = json!({
        "new_channel_name": "#a", "new_mode": "open-read", "new_default_mode": "member-edit",
        "new_quota_preset": "small", "add_members": ["Cid@x.io"],
    });
    let done = sync(&world, &ann, &enclave, arguments.clone()).await.unwrap();
    assert_eq!(
        (&done["name"], &done["updated"], done.get("transfers")),
        (&json!(enclave), &json!(["members", "channel_name", "mode", "default_mode", "quota_preset"]), None)
    );
    let info = world.call(&ann, "enclave_info", json!({ "name": enclave })).await.unwrap();
    assert_eq!(
        without_use(&done["enclave"]),
        without_use(&info),
        "the answer shows the enclave as enclave_info does"
    );
    assert_eq!(info["quota"]["limits.cpu"]["hard"], "16");
    assert_eq!(
        (&info["mode"], &info["default_mode"], &info["members"], &info["status"], &info["quota_preset"]),
        (
            &json!("rwxrwxr--"),
            &json!("rwxrwx---"),
            &json!(["bob@x.io", "cid@x.io"]),
            &json!("active"),
            &json!("small"),
        )
    );
    let quota = world.admin.namespaced::<ResourceQuota>(&enclave).get("tentacular-quota").await.unwrap().unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["limits.cpu"].0, "16");

    let version = || async {
        let namespace = world.admin.all::<Namespace>().get(&enclave).await.unwrap().unwrap();
        namespace.metadata.resource_version
    };
    let before = version().await;
    let again = sync(&world, &ann, &enclave, arguments).await.unwrap();
    assert_eq!(again["updated"], json!([]));
    assert!(again["warnings"][0].as_str().unwrap().contains("nothing changed"), "{again}");
    assert_eq!(version().await, before);
}

#[tokio::test]
async fn a_frozen_enclave_can_be_made_active_again() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("frozen").await;
    let ann = person("ann@x.io");
    let frozen = sync(&world, &ann, &enclave, json!({ "new_status": "frozen" })).await.unwrap();
    assert_eq!((&frozen["updated"], &frozen["enclave"]["status"]), (&json!(["status"]), &json!("frozen")));
    let apply = call(&enclave, "report", &[deployment("report", "i:1")]);
    let error = world.call(&ann, "wf_apply", apply.clone()).await.unwrap_err();
    assert!(error.contains("is frozen"), "{error}");
    sync(&world, &ann, &enclave, json!({ "new_status": "active" })).await.unwrap();
    world.call(&ann, "wf_apply", apply).await.unwrap();
}

#[tokio::test]
async fn of_calls_at_the_same_time_none_is_lost() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("together").await;
    let ann = person("ann@x.io");
    let add = |index: usize| {
        let arguments = json!({ "add_members": [format!("m{index}@x.io")] });
        sync(&world, &ann, &enclave, arguments)
    };
    let (all, renamed) = tokio::join!(
        futures::future::join_all((0..8).map(add)),
        sync(&world, &ann, &enclave, json!({ "new_channel_name": "#together" })),
    );
    assert!(all.iter().all(Result::is_ok) && renamed.is_ok(), "{all:?} {renamed:?}");
    let members = world.enclave(&enclave).await.unwrap().members;
    assert_eq!(members.len(), 9, "{members:?}");
    let info = world.call(&ann, "enclave_info", json!({ "name": enclave })).await.unwrap();
    assert_eq!(info["channel_name"], "#together");
}

#[tokio::test]
async fn the_quota_is_that_of_the_size_which_was_set_last() {
    let (world, other) = tokio::join!(World::start(), World::start());
    let (world, other) = (world.unwrap(), other.unwrap());
    let enclave = world.provision("sized").await;
    let ann = person("ann@x.io");
    for _ in 0..4 {
        let sizes = [(&world, "small"), (&other, "large"), (&world, "medium"), (&other, "small"), (&world, "large")];
        let set = sizes.map(|(world, size)| sync(world, &ann, &enclave, json!({ "quota_preset": size })));
        let done = futures::future::join_all(set).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        let info = world.call(&ann, "enclave_info", json!({ "name": enclave })).await.unwrap();
        let pods = match info["quota_preset"].as_str().unwrap() {
            "small" => "20",
            "medium" => "50",
            _ => "100",
        };
        assert_eq!(info["quota"]["pods"]["hard"], pods, "{info}");
    }
}

#[tokio::test]
async fn every_field_is_for_the_owner_and_a_permit_counts_only_while_it_would_be_given_again() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("owned").await;
    for caller in [person("bob@x.io"), person("eve@x.io")] {
        for arguments in [json!({ "new_channel_name": "#mine" }), json!({ "new_owner": "bob@x.io" })] {
            let error = sync(&world, &caller, &enclave, arguments).await.unwrap_err();
            assert!(error.contains("own on enclave") && error.contains("is for its owner alone"), "{error}");
        }
    }
    let ann = person("ann@x.io");
    let arguments = json!({ "name": enclave, "new_channel_name": "#late" });
    let permitted = world.permit(&ann, "enclave_sync", arguments).await.unwrap();
    let given = sync(&world, &ann, &enclave, json!({ "new_owner": "bob@x.io" })).await.unwrap();
    assert_eq!(
        (&given["updated"], &given["enclave"]["owner"], &given["enclave"]["caller_role"]),
        (&json!(["members", "owner"]), &json!("bob@x.io"), &json!("member"))
    );
    let error = world.send(&permitted).await.unwrap_err();
    assert!(error.contains("is for its owner alone"), "{error}");
    let after = world.enclave(&enclave).await.unwrap();
    assert_eq!(after.members.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ann@x.io"]);
    sync(&world, &person("bob@x.io"), &enclave, json!({ "new_channel_name": "#bob" })).await.unwrap();
}

#[tokio::test]
async fn an_enclave_that_is_not_finished_or_is_going_is_not_changed() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("unready").await;
    let namespaces = world.admin.all::<Metadata<Namespace>>();
    let patch = json!({ "metadata": {
        "annotations": { keys::ENCLAVE_STATUS: "provisioning" }, "finalizers": ["example.com/kept-by-a-test"],
    } });
    namespaces.patch(&enclave, &patch).await.unwrap();
    let ann = person("ann@x.io");
    let error = sync(&world, &ann, &enclave, json!({ "new_status": "active" })).await.unwrap_err();
    assert!(error.contains("is not finished"), "{error}");
    assert_eq!(world.enclave(&enclave).await.unwrap().status, Status::Provisioning);
    namespaces.delete(&enclave, &Delete::default()).await.unwrap();
    let error = sync(&world, &ann, &enclave, json!({ "new_status": "active" })).await.unwrap_err();
    assert!(error.contains("is being deleted"), "{error}");
    namespaces.patch(&enclave, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
}

#[tokio::test]
async fn what_failed_after_the_write_is_done_by_a_repeat() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("repeat").await;
    let (ann, bob) = (person("ann@x.io"), person("bob@x.io"));
    for (caller, name) in [(&bob, "of-bob"), (&ann, "of-ann")] {
        let manifests = [config_map(&format!("{name}-code"), "1"), deployment(name, "i:1")];
        world.call(caller, "wf_apply", call(&enclave, name, &manifests)).await.unwrap();
    }
    let transfer = |success: bool| json!({ "tentacle_name": "of-bob", "from_owner": "bob@x.io", "to_owner": "ann@x.io", "success": success });
    let updates = vec![rule("apps", "deployments", "UPDATE"), rule("", "resourcequotas", "UPDATE")];
    let refusal = Refusal::of(&world, &enclave, updates, "not now").await;
    let removal = json!({ "remove_members": ["bob@x.io"] });
    let mut half = sync(&world, &ann, &enclave, removal.clone()).await.unwrap();
    assert_eq!((&half["updated"], &half["enclave"]["members"]), (&json!(["members"]), &json!([])));
    let error = half["transfers"][0].as_object_mut().unwrap().remove("error").unwrap();
    assert!(error.as_str().unwrap().contains("not now"), "{error}");
    assert_eq!(half["transfers"], json!([transfer(false)]));
    assert!(half["warnings"][0].as_str().unwrap().contains("1 of 1 tentacles"), "{half}");
    let larger = json!({ "new_quota_preset": "large" });
    let error = sync(&world, &ann, &enclave, larger.clone()).await.unwrap_err();
    assert!(error.contains("quota_preset changed, and then it went wrong") && error.contains("not now"), "{error}");
    // A list of all members says who is no longer among them, though it did not remove him.
    let same = sync(&world, &ann, &enclave, json!({ "members": [] })).await.unwrap();
    assert!(same["warnings"].to_string().contains("tentacle of-bob belongs to bob@x.io"), "{same}");

    refusal.lift(&world).await;
    let done = sync(&world, &ann, &enclave, removal.clone()).await.unwrap();
    assert_eq!(
        (&done["updated"], &done["transfers"], &done["warnings"]),
        (&json!(["ownership_transfers"]), &json!([transfer(true)]), &json!([]))
    );
    let after = annotations(&world, &enclave, "of-bob").await;
    assert_eq!((&*after[keys::OWNER], &*after[keys::OWNER_EMAIL]), ("ann@x.io", "ann@x.io"));
    assert_eq!(after.get(keys::OWNER_SUB), None, "no subject is known of Ann, and Bob's does not stay");
    let again = sync(&world, &ann, &enclave, removal).await.unwrap();
    assert_eq!((&again["updated"], again.get("transfers")), (&json!([]), None));
    assert!(again["warnings"][0].as_str().unwrap().contains("nothing changed"), "{again}");
    let done = sync(&world, &ann, &enclave, larger).await.unwrap();
    assert_eq!(done["updated"], json!(["quota_preset"]));
    let quota = world.admin.namespaced::<ResourceQuota>(&enclave).get("tentacular-quota").await.unwrap().unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["pods"].0, "100");
    // What was given away is applied by its new owner as before.
    let manifests = [config_map("of-bob-code", "2"), deployment("of-bob", "i:1")];
    world.call(&ann, "wf_apply", call(&enclave, "of-bob", &manifests)).await.unwrap();
    assert_eq!(annotations(&world, &enclave, "of-bob").await[keys::OWNER], "ann@x.io");
}
