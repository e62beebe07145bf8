//! Enclaves are made whole or not at all, and are shown to those who may see them.

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::{LimitRange, Namespace, ResourceQuota, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::{Role, RoleBinding},
};
use serde_json::{Value, json};
use tentacular_cluster::Selector;
use tentacular_contract::{Caller, Status, keys};
use tentacular_test_harness::installation::SERVER_NAMESPACE;

use crate::world::{World, person, unique};

#[tokio::test]
async fn an_enclave_is_made_with_all_that_belongs_to_it() {
    let world = World::start().await.unwrap();
    let name = unique("made");
    let arguments = json!({
        "name": name, "mode": "open-read", "default_mode": "private", "members": ["Bob@x.io", "made@x.io"],
        "quota_preset": "small", "platform": "slack", "channel_id": "C1", "channel_name": "#made",
    });
    let owner = person("made@x.io");
    let made = world.call(&owner, "enclave_provision", arguments).await.unwrap();
    assert_eq!(
        (&made["status"], &made["owner"], &made["members"], &made["mode"], &made["preset"], &made["default_mode"]),
        (
            &json!("active"),
            &json!("made@x.io"),
            &json!(["bob@x.io"]),
            &json!("rwxrwxr--"),
            &json!("open-read"),
            &json!("rwx------"),
        )
    );

    let admin = &world.admin;
    let namespace = admin.all::<Namespace>().get(&name).await.unwrap().unwrap().metadata;
    let labels = namespace.labels.unwrap();
    for mode in ["enforce", "audit", "warn"] {
        assert_eq!(labels[&format!("pod-security.kubernetes.io/{mode}")], "restricted");
    }
    let annotations = namespace.annotations.unwrap();
    assert_eq!(annotations[keys::ENCLAVE_STATUS], "active");
    assert_eq!(annotations[keys::ENCLAVE_OWNER_SUB], "sub-of-made@x.io");
    let quota = admin.namespaced::<ResourceQuota>(&name).get("tentacular-quota").await.unwrap().unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["limits.cpu"].0, "16");
    assert!(admin.namespaced::<LimitRange>(&name).get("tentacular-limits").await.unwrap().is_some());
    for policy in ["default-deny", "allow-dns"] {
        assert!(admin.namespaced::<NetworkPolicy>(&name).get(policy).await.unwrap().is_some(), "{policy}");
    }
    let account = admin.namespaced::<ServiceAccount>(&name).get("tentacular-workflow").await.unwrap().unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    assert!(admin.namespaced::<Role>(&name).list(&Selector::all()).await.unwrap().is_empty());
    let bindings = admin.namespaced::<RoleBinding>(&name).list(&Selector::all()).await.unwrap();
    assert_eq!(bindings.len(), 3);

    let info = world.call(&owner, "enclave_info", json!({ "name": name })).await.unwrap();
    assert_eq!(
        (&info["caller_role"], &info["tentacle_count"], &info["quota_preset"], &info["channel_name"]),
        (&json!("owner"), &json!(0), &json!("small"), &json!("#made"))
    );
    let error = world.call(&owner, "enclave_provision", json!({ "name": name })).await.unwrap_err();
    assert!(error.contains("already exists"), "{error}");
}

#[tokio::test]
async fn what_was_left_unfinished_is_finished_by_a_repeat_of_its_owner_alone() {
    let world = World::start().await.unwrap();
    let name = unique("unfinished");
    let namespace = json!({ "metadata": {
        "name": name,
        "labels": { keys::MANAGED_BY: keys::TENTACULAR, "pod-security.kubernetes.io/enforce": "restricted" },
        "annotations": {
            keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "carol@x.io", keys::ENCLAVE_STATUS: "provisioning",
            keys::ENCLAVE_CREATED_AT: "2026-01-01T00:00:00Z",
        },
    } });
    world.admin.all::<Namespace>().create(&serde_json::from_value(namespace).unwrap()).await.unwrap();
    let call = |owner: &'static str| {
        let arguments = json!({ "name": name, "quota_preset": "large" });
        let world = &world;
        async move { world.call(&person(owner), "enclave_provision", arguments).await }
    };
    let error = call("dave@x.io").await.unwrap_err();
    assert!(error.contains("already exists"), "{error}");
    let made = call("carol@x.io").await.unwrap();
    assert_eq!((&made["status"], &made["created_at"]), (&json!("active"), &json!("2026-01-01T00:00:00Z")));
    let quota = world.admin.namespaced::<ResourceQuota>(&name).get("tentacular-quota").await.unwrap().unwrap();
    assert_eq!(quota.spec.unwrap().hard.unwrap()["pods"].0, "100");
    let error = call("carol@x.io").await.unwrap_err();
    assert!(error.contains("already exists"), "an active enclave is not made again: {error}");
}

#[tokio::test]
async fn an_enclave_that_cannot_be_finished_is_removed() {
    let world = World::start().await.unwrap();
    let name = unique("refused");
    refuse_limit_ranges(&world, &name).await;
    let error = world.call(&person("fay@x.io"), "enclave_provision", json!({ "name": name })).await.unwrap_err();
    assert!(error.contains(&format!("enclave {name} was not made")) && error.contains("no limits here"), "{error}");
    assert!(error.contains("nothing of it is left"), "{error}");
    assert!(world.admin.all::<Namespace>().get(&name).await.unwrap().is_none());
}

/// Has the API server refuse the fifth object that an enclave consists of, and waits until it does.
async fn refuse_limit_ranges(world: &World, enclave: &str) {
    let here = format!("object.metadata.namespace in ['{enclave}', '{enclave}-probe']");
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": { "name": enclave },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["limitranges"],
            }] },
            "matchConditions": [{ "name": "here", "expression": here }],
            "validations": [{ "expression": "false", "message": "no limits here" }],
        },
    }))
    .unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": { "name": enclave },
        "spec": { "policyName": enclave, "validationActions": ["Deny"] },
    }))
    .unwrap();
    world.admin.all::<ValidatingAdmissionPolicy>().create(&policy).await.unwrap();
    world.admin.all::<ValidatingAdmissionPolicyBinding>().create(&binding).await.unwrap();
    let probe = format!("{enclave}-probe");
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": probe } })).unwrap();
    world.admin.all::<Namespace>().create(&namespace).await.unwrap();
    let limits: LimitRange =
        serde_json::from_value(json!({ "metadata": { "name": "l" }, "spec": { "limits": [] } })).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while world.admin.namespaced::<LimitRange>(&probe).dry_run(true).create(&limits).await.is_ok() {
        assert!(Instant::now() < until, "the policy does not come into force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_owner_has_at_most_ten_and_the_bearer_token_may_give_more() {
    let world = World::start().await.unwrap();
    let make = |caller: Caller| {
        let arguments = json!({ "name": unique("many"), "owner_email": "gus@x.io" });
        let world = &world;
        async move { world.call(&caller, "enclave_provision", arguments).await }
    };
    let ten = futures::future::join_all((0..10).map(|_| make(Caller::Bearer))).await;
    assert!(ten.iter().all(Result::is_ok), "{ten:?}");
    let error = make(person("gus@x.io")).await.unwrap_err();
    assert!(error.contains("owner \"gus@x.io\" already has 10 enclaves (limit: 10)"), "{error}");
    make(Caller::Bearer).await.unwrap();
}

#[tokio::test]
async fn an_owner_who_asks_several_times_at_once_gets_no_more_for_it() {
    let world = World::start().await.unwrap();
    let make = |caller: Caller| {
        let arguments = json!({ "name": unique("burst"), "owner_email": "jan@x.io" });
        let world = &world;
        async move { world.call(&caller, "enclave_provision", arguments).await }
    };
    futures::future::join_all((0..9).map(|_| make(Caller::Bearer))).await;
    let burst = futures::future::join_all((0..4).map(|_| make(person("jan@x.io")))).await;
    assert_eq!(burst.iter().filter(|made| made.is_ok()).count(), 1, "{burst:?}");
}

#[tokio::test]
async fn an_enclave_is_finished_although_the_caller_left() {
    let world = World::start().await.unwrap();
    let name = unique("left");
    let caller = person("kim@x.io");
    let begun = async {
        while world.enclave(&name).await.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        made = world.call(&caller, "enclave_provision", json!({ "name": name })) => panic!("too fast: {made:?}"),
    }
    let until = Instant::now() + Duration::from_secs(20);
    while world.enclave(&name).await.is_none_or(|enclave| enclave.status != Status::Active) {
        assert!(Instant::now() < until, "{:?}", world.enclave(&name).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_enclave_without_the_servers_bindings_gets_them() {
    let world = World::start().await.unwrap();
    let name = unique("restored");
    let namespace = json!({ "metadata": {
        "name": name,
        "labels": { keys::MANAGED_BY: keys::TENTACULAR, "pod-security.kubernetes.io/enforce": "restricted" },
        "annotations": { keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "ann@x.io" },
    } });
    world.admin.all::<Namespace>().create(&serde_json::from_value(namespace).unwrap()).await.unwrap();
    let bindings = world.admin.namespaced::<RoleBinding>(&name);
    let until = Instant::now() + Duration::from_secs(20);
    let found = loop {
        let found = bindings.list(&Selector::all()).await.unwrap();
        if found.len() == 3 {
            break found;
        }
        assert!(Instant::now() < until, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for binding in found {
        let role = binding.role_ref.name;
        assert!(role.starts_with("tentacular-enclave-") && Some(&role) == binding.metadata.name.as_ref(), "{role}");
        assert_eq!(binding.subjects.unwrap()[0].namespace.as_deref(), Some(SERVER_NAMESPACE));
    }
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_read_and_says_when_it_was_cut() {
    let world = World::start().await.unwrap();
    let mut names = Vec::new();
    for mode in ["private", "member-read", "public-read"] {
        let arguments = json!({
            "name": unique("listed"), "mode": mode, "owner_email": "hal@x.io", "members": ["ida@x.io"],
        });
        names.push(world.call(&Caller::Bearer, "enclave_provision", arguments).await.unwrap()["name"].clone());
    }
    let seen = |caller: Caller, arguments: Value| {
        let (world, names) = (&world, &names);
        async move {
            let page = world.call(&caller, "enclave_list", arguments).await.unwrap();
            let entries = page["enclaves"].as_array().unwrap().clone();
            let of = |entry: &Value| names.iter().position(|name| *name == entry["name"]);
            let roles = entries.iter().filter_map(|entry| Some((of(entry)?, entry["caller_role"].clone())));
            roles.map(|(index, role)| (index, role.as_str().unwrap().to_owned())).collect::<Vec<_>>()
        }
    };
    let role =
        |roles: &[(usize, &str)]| roles.iter().map(|&(index, role)| (index, role.to_owned())).collect::<Vec<_>>();
    assert_eq!(seen(person("hal@x.io"), json!({})).await, role(&[(0, "owner"), (1, "owner"), (2, "owner")]));
    assert_eq!(seen(person("ida@x.io"), json!({})).await, role(&[(1, "member"), (2, "member")]));
    assert_eq!(seen(person("eve@x.io"), json!({ "caller_email": "hal@x.io" })).await, role(&[(2, "other")]));
    assert_eq!(seen(Caller::Oidc(tentacular_contract::Identity::default()), json!({})).await, role(&[(2, "other")]));
    assert_eq!(seen(Caller::Bearer, json!({})).await, role(&[(0, "bearer"), (1, "bearer"), (2, "bearer")]));
    assert_eq!(
        seen(Caller::Bearer, json!({ "caller_email": "IDA@x.io", "status": "active" })).await,
        role(&[(1, "member"), (2, "member")])
    );
    assert_eq!(seen(person("hal@x.io"), json!({ "status": "frozen" })).await, role(&[]));

    let page = |arguments: Value| {
        let world = &world;
        async move { world.call(&person("hal@x.io"), "enclave_list", arguments).await.unwrap() }
    };
    let first = page(json!({ "limit": 1 })).await;
    assert_eq!(
        (first["enclaves"].as_array().unwrap().len(), &first["next_cursor"]),
        (1, &first["enclaves"][0]["name"])
    );
    let second = page(json!({ "limit": 500, "cursor": first["next_cursor"] })).await;
    // Other tests make enclaves at the same time that everybody may read: only this test's own are counted.
    let listed = [&first, &second].map(|page| page["enclaves"].as_array().unwrap().clone()).concat();
    for name in &names {
        assert_eq!(listed.iter().filter(|entry| entry["name"] == *name).count(), 1, "{name} stands on one page");
    }
    assert!(first["total"].as_u64().unwrap() >= 3);
    assert_eq!(second.get("next_cursor"), None);
}
