//! What tentacles that are gone left in a real PostgreSQL.

use serde_json::{Value, json};
use tentacular_contract::Caller;
use tentacular_test_harness::services::Postgres;

use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, login, roles, world},
    world::{World, person},
};

async fn orphans(world: &World, arguments: Value) -> Result<Value, String> {
    world.call(&Caller::Bearer, "exo_orphans", arguments).await
}

fn named(page: &Value) -> Vec<&str> {
    page["orphans"].as_array().unwrap().iter().map(|orphan| orphan["tentacle"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_a_tentacle_left_is_listed_and_goes_only_by_its_name() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "left").await;
    let rob = person("rob@x.io");
    for name in ["gone", "here"] {
        world.call(&rob, "wf_apply", call(&enclave, name, WORKFLOW)).await.unwrap();
    }
    let superuser = postgres.connect(&postgres.superuser).await.unwrap();
    let others = "CREATE ROLE tn_mine; COMMENT ON ROLE tn_mine IS 'mine'; \
                  CREATE ROLE tn_odd; COMMENT ON ROLE tn_odd IS 'tentacular tentacle Not/one since ever'";
    superuser.batch_execute(others).await.unwrap();
    assert_eq!(named(&orphans(&world, json!({})).await.unwrap()), [""; 0]);
    world.call(&rob, "wf_remove", json!({ "enclave": enclave, "name": "gone" })).await.unwrap();

    let denied = world.call(&rob, "exo_orphans", json!({})).await.unwrap_err();
    assert!(denied.starts_with("permission denied"), "{denied}");
    let (gone, here) = (format!("{enclave}/gone"), format!("{enclave}/here"));
    let listed = orphans(&world, json!({})).await.unwrap();
    assert_eq!((named(&listed), &listed["warnings"]), (vec![&*gone], &json!([])), "{listed}");
    let orphan = &listed["orphans"][0];
    assert_eq!((&orphan["service"], &orphan["age_days"]), (&json!("postgres"), &json!(0)), "{listed}");
    let name = format!("tn_{}_gone_", enclave.replace('-', "_"));
    assert!(orphan["name"].as_str().unwrap().starts_with(&name), "{listed}");

    let both = json!([gone, here]);
    for (arguments, problem) in [
        (json!({ "confirm": both }), "confirm needs service"),
        (json!({ "confirm": both, "service": "postgres" }), &*format!("{here} exists")),
        (json!({ "confirm": ["gone"], "service": "postgres" }), "it is not enclave/tentacle"),
        (json!({ "confirm": ["kube-system/gone"], "service": "postgres" }), "is no enclave"),
        (json!({ "confirm": [gone], "service": "nats" }), "not enabled"),
        (json!({ "confirm": vec![&gone; 21], "service": "postgres" }), "give at most 20"),
    ] {
        let error = orphans(&world, arguments.clone()).await.unwrap_err();
        assert!(error.contains(problem), "{arguments}: {error}");
    }
    assert_eq!(roles(&postgres).await, 6, "nothing was removed by a call that was refused");

    let confirmed = json!({ "confirm": [gone], "service": "postgres" });
    for done in ["postgres schema dropped", "postgres had nothing"] {
        let removed = orphans(&world, confirmed.clone()).await.unwrap();
        assert_eq!(removed["removed"], json!([format!("{gone}: {done}")]), "{removed}");
        assert_eq!((named(&removed), roles(&postgres).await), (vec![], 4), "{removed}");
    }
    postgres.connect(&login(&world, &enclave, "here").await).await.unwrap();
}

#[tokio::test]
async fn what_a_whole_enclave_left_is_shown_page_by_page() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "lost").await;
    let rob = person("rob@x.io");
    for name in ["one", "three", "two"] {
        world.call(&rob, "wf_apply", call(&enclave, name, WORKFLOW)).await.unwrap();
    }
    world.call(&rob, "enclave_deprovision", json!({ "name": enclave })).await.unwrap();
    let expected = ["one", "three", "two"].map(|name| format!("{enclave}/{name}"));
    let mut arguments = json!({ "limit": 2 });
    let first = orphans(&world, arguments.clone()).await.unwrap();
    assert_eq!((named(&first), &first["truncated"]), (vec![&*expected[0], &*expected[1]], &json!(true)), "{first}");
    arguments["cursor"] = first["next_cursor"].clone();
    let second = orphans(&world, arguments).await.unwrap();
    assert_eq!((named(&second), &second["truncated"]), (vec![&*expected[2]], &json!(false)), "{second}");
    assert_eq!(second["total"], 3);

    postgres.server.kill().await.unwrap();
    let confirm = json!({ "confirm": expected, "service": "postgres" });
    let error = orphans(&world, confirm.clone()).await.unwrap_err();
    assert!(error.starts_with(&format!("stopped at {}: exoskeleton: postgres cleanup: ", expected[0])), "{error}");
    let listed = orphans(&world, json!({})).await.unwrap();
    assert!(listed["warnings"][0].as_str().unwrap().starts_with("postgres cannot be looked through: "), "{listed}");
    postgres.server.restart().await.unwrap();
    let removed = orphans(&world, confirm).await.unwrap();
    assert_eq!((named(&removed), removed["removed"].as_array().unwrap().len()), (vec![], 3), "{removed}");
    assert_eq!(roles(&postgres).await, 0);
}
