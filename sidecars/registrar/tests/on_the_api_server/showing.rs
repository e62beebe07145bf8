//! What is shown of enclaves: to those who may see them, page by page, as counted.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ResourceQuota};
use serde_json::{Value, json};
use tentacular_cluster::Delete;
use tentacular_contract::{Caller, keys};

use crate::world::{World, person, unique, until};

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
    assert_eq!(
        (&first["truncated"], &second["truncated"], second.get("next_cursor")),
        (&json!(true), &json!(false), None)
    );
    let entry = listed.iter().find(|entry| entry["name"] == names[2]).unwrap();
    assert_eq!(
        (&entry["enclave"], &entry["mode"], &entry["preset"], &entry["default_mode"], &entry["tentacle_count"]),
        (&names[2], &json!("rwxr--r--"), &json!("public-read"), &json!("rwxr-x---"), &json!(0))
    );
}

#[tokio::test]
async fn what_the_server_does_not_manage_is_no_tentacle_and_use_is_shown_as_counted() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("counted").await;
    for (name, manager) in [("managed", keys::TENTACULAR), ("1-digit", keys::TENTACULAR), ("foreign", "helm")] {
        let labels = json!({ "app": name });
        let deployment = json!({
            "metadata": { "name": name, "labels": { keys::MANAGED_BY: manager } },
            "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "main", "image": "i:1" }] },
            } },
        });
        let deployments = world.admin.namespaced::<Deployment>(&enclave);
        deployments.create(&serde_json::from_value(deployment).unwrap()).await.unwrap();
    }
    let ann = person("ann@x.io");
    let counted = async || {
        let info = world.call(&ann, "enclave_info", json!({ "name": enclave })).await.unwrap();
        info["quota"]["pods"].get("used").is_some().then_some(info)
    };
    let info = until("Kubernetes counts", counted).await;
    assert_eq!(info["tentacle_count"], 1, "{info}");
    assert_eq!(info["quota"]["pods"], json!({ "used": "0", "hard": "50" }));
    let quotas = world.admin.namespaced::<ResourceQuota>(&enclave);
    quotas.delete("tentacular-quota", &Delete::default()).await.unwrap();
    let info = world.call(&ann, "enclave_info", json!({ "name": enclave })).await.unwrap();
    assert!(info.get("quota").is_none() && info["warnings"][0].as_str().unwrap().contains("no quota"), "{info}");
    let made = world.call(&ann, "enclave_sync", json!({ "name": enclave, "quota_preset": "medium" })).await.unwrap();
    assert_eq!(
        (&made["updated"], &made["enclave"]["quota"]["pods"]["hard"]),
        (&json!(["quota_preset"]), &json!("50"))
    );
}
