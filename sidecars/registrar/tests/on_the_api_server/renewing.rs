//! Credentials of backing services that are renewed, and the end of those of a whole enclave.

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use tentacular_test_harness::services::Postgres;

use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, login, roles, world},
    world::person,
};

#[tokio::test]
async fn former_credentials_end_when_all_pods_have_the_new_ones() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "renewed").await;
    let rob = person("rob@x.io");
    let mut first = call(&enclave, "report", WORKFLOW);
    first["wait_seconds"] = json!(120);
    let applied = world.call(&rob, "wf_apply", first.clone()).await.unwrap();
    assert_eq!(applied["rollout"]["ready"], true, "{applied}");
    let former = login(&world, &enclave, "report").await;
    let client = postgres.connect(&former).await.unwrap();

    // Pods that cannot start keep the former credentials in use.
    let mut stuck = call(&enclave, "report", WORKFLOW);
    stuck["manifests"][1]["spec"]["paused"] = json!(true);
    stuck["rotate_credentials"] = json!(true);
    stuck["wait_seconds"] = json!(1);
    let applied = world.call(&rob, "wf_apply", stuck).await.unwrap();
    let warnings = applied["warnings"].to_string();
    assert!(warnings.contains("the former credentials work until all pods are new and ready"), "{applied}");
    let renewed = login(&world, &enclave, "report").await;
    assert_ne!(renewed.user, former.user);
    postgres.connect(&renewed).await.unwrap();
    client.query_one("SELECT 1", &[]).await.unwrap();

    // An apply that only waits finishes it.
    let applied = world.call(&rob, "wf_apply", first).await.unwrap();
    assert_eq!((&applied["rollout"]["ready"], &applied["warnings"]), (&json!(true), &json!([])), "{applied}");
    assert!(client.query_one("SELECT 1", &[]).await.is_err(), "a session with the former ones is ended");
    assert!(postgres.connect(&former).await.is_err());
    assert_eq!(login(&world, &enclave, "report").await.password, renewed.password);

    let mut again = call(&enclave, "report", WORKFLOW);
    again["rotate_credentials"] = json!(true);
    let applied = world.call(&rob, "wf_apply", again).await.unwrap();
    assert_eq!((&applied["rollout"]["ready"], &applied["warnings"]), (&json!(true), &json!([])), "{applied}");
    assert!(postgres.connect(&renewed).await.is_err());
    postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
}

#[tokio::test]
async fn what_somebody_added_beside_a_credential_does_not_keep_the_former_one() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "added").await;
    let rob = person("rob@x.io");
    world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    let former = login(&world, &enclave, "report").await;
    let added = json!({ "data": { "tentacular-postgres.jdbc_url": "eA==" } });
    let secrets = world.admin.namespaced::<Secret>(&enclave);
    secrets.patch("tentacular-exoskeleton-report", &added).await.unwrap();
    let mut rotate = call(&enclave, "report", WORKFLOW);
    rotate["rotate_credentials"] = json!(true);
    let applied = world.call(&rob, "wf_apply", rotate).await.unwrap();
    assert_eq!(applied["warnings"], json!([]), "{applied}");
    assert!(postgres.connect(&former).await.is_err());
    postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
}

#[tokio::test]
async fn an_enclave_goes_with_what_its_tentacles_had_where_the_installation_cleans_up() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &["--exoskeleton-cleanup=true"]).await;
    let (enclave, other) = (enclave_of_rob(&world, "doomed").await, enclave_of_rob(&world, "other").await);
    let rob = person("rob@x.io");
    for (enclave, name) in [(&enclave, "one"), (&enclave, "two"), (&other, "one")] {
        world.call(&rob, "wf_apply", call(enclave, name, WORKFLOW)).await.unwrap();
    }
    let kept = login(&world, &other, "one").await;
    let removed = world.call(&rob, "enclave_deprovision", json!({ "name": enclave })).await.unwrap();
    let details = removed["exo_cleanup_details"].as_str().unwrap();
    for name in ["one", "two"] {
        assert!(details.contains(&format!("{enclave}/{name}: postgres schema dropped")), "{removed}");
    }
    assert_eq!((&removed["deleted"], &removed["warnings"]), (&json!(true), &json!([])), "{removed}");
    assert_eq!(roles(&postgres).await, 2, "the owner and the login of the one in the other enclave");
    postgres.connect(&kept).await.unwrap();
    let info = world.call(&rob, "enclave_info", json!({ "enclave": other })).await.unwrap();
    let service =
        info["exo_services"].as_array().unwrap().iter().find(|service| service["name"] == "postgres").unwrap();
    assert_eq!((&service["available"], &service["isolation"]), (&json!(true), &json!("partial")), "{info}");
}
