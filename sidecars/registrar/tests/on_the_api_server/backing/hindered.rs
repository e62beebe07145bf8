//! Shares of backing services where something else goes on at the same time.

use tentacular_test_harness::services::{Access, Login, Nats};

use super::*;

#[tokio::test]
async fn who_loses_the_right_while_a_service_takes_its_time_gets_nothing_written() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "hindered").await;
    let rob = person("rob@x.io");
    let becomes = async |status: &str| {
        let sync = json!({ "name": enclave, "new_status": status });
        world.call(&rob, "enclave_sync", sync).await.unwrap();
    };
    let database = postgres.administrator.database.clone();
    let holder = postgres.connect(&Login { database, ..postgres.superuser.clone() }).await.unwrap();
    let refusal = loop {
        // Nobody makes a role meanwhile.
        holder.batch_execute("BEGIN; LOCK TABLE pg_authid IN SHARE MODE").await.unwrap();
        let freezes = async {
            let waiting = "SELECT FROM pg_locks WHERE relation = 'pg_authid'::regclass AND NOT granted";
            until("it is registered", async || (!holder.query(waiting, &[]).await.unwrap().is_empty()).then_some(()))
                .await;
            becomes("frozen").await;
            holder.batch_execute("ROLLBACK").await.unwrap();
        };
        let (applied, ()) = tokio::join!(world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)), freezes);
        let refusal = applied.unwrap_err();
        // That took longer than a registration waits.
        if !refusal.contains("not available") {
            break refusal;
        }
        becomes("active").await;
    };
    assert!(refusal.contains("frozen"), "{refusal}");
    assert!(world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().is_none());
    assert_eq!(secret(&world, &enclave, "report-secrets").await, None);
    becomes("active").await;
    world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
}

#[tokio::test]
async fn what_an_enclave_had_in_a_service_that_is_away_is_told_and_goes_elsewhere() {
    let (Some(mut postgres), Some(nats)) = (Postgres::start().await.unwrap(), Nats::with_token().await.unwrap())
    else {
        return;
    };
    let Access::Token(token) = &nats.access else { panic!("{nats:?}") };
    let (url, token) = (format!("--nats-url={}", nats.url()), format!("--nats-token={token}"));
    let world = world(&postgres, &["--exoskeleton-cleanup=true", &url, &token]).await;
    let enclave = enclave_of_rob(&world, "half-cleaned").await;
    let both = WORKFLOW.replace("api: {host: api.x.io, port: 443}", "tentacular-nats: {protocol: nats}");
    world.call(&person("rob@x.io"), "wf_apply", call(&enclave, "report", &both)).await.unwrap();
    postgres.server.kill().await.unwrap();
    let gone = world.call(&Caller::Bearer, "enclave_deprovision", json!({ "name": enclave })).await.unwrap();
    assert_eq!(gone["deleted"], true, "{gone}");
    let expected = format!(
        "what {enclave}/report has in backing services is still there, and exo_orphans removes it: exoskeleton: postgres \
         cleanup: not available: "
    );
    assert!(gone["warnings"][0].as_str().unwrap().starts_with(&expected), "{gone}");
    let done = format!("{enclave}/report: nats no-op, as all tentacles share one token");
    assert_eq!(gone["exo_cleanup_details"], done, "{gone}");
    postgres.server.restart().await.unwrap();
    let confirmed = json!({ "service": "postgres", "confirm": [format!("{enclave}/report")] });
    let removed = world.call(&Caller::Bearer, "exo_orphans", confirmed).await.unwrap();
    assert_eq!(removed["removed"], json!([format!("{enclave}/report: postgres schema dropped")]), "{removed}");
}
