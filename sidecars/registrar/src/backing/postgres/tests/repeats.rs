//! What is done again changes nothing, and what was left half done is finished.

use super::*;

#[tokio::test]
async fn a_credential_that_works_is_kept_and_another_is_replaced() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    assert!(first.fresh && first.field("user").ends_with("_a"), "{:?}", first.field("user"));
    let client = world.connect(&first).await.unwrap();
    client.batch_execute("CREATE TABLE kept (n int)").await.unwrap();
    let again = world.given(&tenant, &first.fields).await;
    assert!(!again.fresh && again.fields == first.fields);
    // All the connections that it may have are no reason to change its password.
    let mut many = Vec::new();
    while let Ok(client) = world.connect(&first).await {
        many.push(client);
    }
    assert_eq!(many.len(), 19);
    assert!(!world.postgres.offer(&tenant, &first.fields, false).await.unwrap().fresh);
    drop(many);

    let mut wrong = first.fields.clone();
    wrong.insert("password".to_owned(), "wrong".to_owned());
    let replaced = world.given(&tenant, &wrong).await;
    assert!(replaced.fresh && replaced.field("user") == first.field("user"));
    assert!(world.connect(&first).await.is_err());
    let client = world.connect(&replaced).await.unwrap();
    client.batch_execute("INSERT INTO kept VALUES (1)").await.unwrap();
    // Another's login in the Secret, however it came there, gives nobody anything.
    let stolen = world.postgres.offer(&super::tenant("team-a", "other"), &replaced.fields, false).await.unwrap();
    assert!(stolen.fresh && stolen.field("user") != replaced.field("user"));
}

#[tokio::test]
async fn what_was_removed_is_gone_and_removing_it_again_is_no_error() {
    let Some(world) = World::start().await else { return };
    let (tenant, other) = (tenant("team-a", "report"), tenant("team-a", "repor"));
    let (share, others) = (world.given(&tenant, &Fields::new()).await, world.given(&other, &Fields::new()).await);
    let client = world.connect(&share).await.unwrap();
    client.batch_execute("CREATE TABLE t (n int); CREATE TYPE e AS ENUM ('a'); BEGIN; LOCK TABLE t").await.unwrap();
    assert_eq!(world.postgres.unregister(&tenant, &Fields::new()).await.unwrap(), Some("schema dropped"));
    assert!(client.query_one("SELECT 1", &[]).await.is_err(), "an open session is ended");
    assert!(world.connect(&share).await.is_err());
    let left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tn\\_%'";
    assert_eq!(world.superuser().await.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 2, "only the other's");
    assert_eq!(world.postgres.unregister(&tenant, &Fields::new()).await.unwrap(), None);
    world.connect(&others).await.unwrap();
    // It comes back with nothing of what it had.
    let anew = world.given(&tenant, &share.fields).await;
    assert!(anew.fresh);
    let client = world.connect(&anew).await.unwrap();
    assert_eq!(refusal(&client, "SELECT * FROM t").await, "42P01");
}

#[tokio::test]
async fn what_somebody_else_has_by_that_name_is_left_alone() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let name = tenant.share_name();
    let superuser = world.superuser().await;
    for (made, problem) in [
        (format!("CREATE ROLE {name}"), "its comment does not say that it is team-a/report's"),
        (
            format!("CREATE ROLE {name}; COMMENT ON ROLE {name} IS 'tentacular tentacle team-a/report2 since'"),
            "its comment",
        ),
        (format!("CREATE ROLE {name}_a LOGIN"), "its comment"),
        (format!("CREATE SCHEMA {name}"), "belongs to postgres"),
    ] {
        superuser.batch_execute(&made).await.unwrap();
        let mut share = world.postgres.offer(&tenant, &Fields::new(), false).await.unwrap();
        let error = world.postgres.register(&tenant, &mut share).await.unwrap_err();
        assert!(matches!(error, Failure::Refused(_)) && error.to_string().contains(problem), "{made}: {error}");
        assert_eq!(world.postgres.unregister(&tenant, &Fields::new()).await.unwrap(), None, "{made}");
        let clear = format!("DROP SCHEMA IF EXISTS {name}; DROP ROLE IF EXISTS {name}; DROP ROLE IF EXISTS {name}_a");
        superuser.batch_execute(&clear).await.unwrap();
    }
    world.given(&tenant, &Fields::new()).await;
}

#[tokio::test]
async fn many_at_once_do_not_get_in_each_others_way() {
    let Some(world) = World::start().await else { return };
    // A database that not everybody may connect to, so that each registration changes its rights.
    world.superuser().await.batch_execute("REVOKE ALL ON DATABASE tentacular FROM PUBLIC").await.unwrap();
    let tenants: Vec<_> = (0..16).map(|number| tenant("team-a", &format!("t{number}"))).collect();
    let shares = futures::future::join_all(tenants.iter().map(async |tenant| {
        let mut share = world.postgres.offer(tenant, &Fields::new(), false).await.unwrap();
        world.postgres.register(tenant, &mut share).await.map(|()| share)
    }));
    for share in shares.await {
        world.connect(&share.unwrap()).await.unwrap();
    }
    let none = Fields::new();
    let removed = tenants.iter().map(|tenant| world.postgres.unregister(tenant, &none));
    let removed = futures::future::join_all(removed).await;
    assert!(removed.into_iter().all(|removed| removed.unwrap().is_some()));
}

#[tokio::test]
async fn what_a_tentacle_holds_open_keeps_nobody_from_getting_or_losing_a_share() {
    let Some(world) = World::start().await else { return };
    world.superuser().await.batch_execute("REVOKE ALL ON DATABASE tentacular FROM PUBLIC").await.unwrap();
    let (holder, other) = (tenant("team-a", "holder"), tenant("team-b", "other"));
    let holding = world.connect(&world.given(&holder, &Fields::new()).await).await.unwrap();
    let everything = "BEGIN; CREATE TABLE t (n int); LOCK TABLE t; GRANT USAGE ON SCHEMA CURRENT_ROLE TO PUBLIC";
    let everything = everything.replace("SCHEMA CURRENT_ROLE", &format!("SCHEMA {}", holder.share_name()));
    holding.batch_execute(&everything).await.unwrap();
    // Advisory locks are everybody's: no number is the server's.
    let locks = "SELECT objid FROM pg_locks WHERE locktype = 'advisory'";
    let superuser = world.superuser().await;
    let work = async {
        let share = world.given(&other, &Fields::new()).await;
        world.postgres.unregister(&other, &share.fields).await.unwrap()
    };
    let mut work = std::pin::pin!(work);
    let removed = loop {
        tokio::select! {
            removed = &mut work => break removed,
            held = superuser.query(locks, &[]) => assert!(held.unwrap().is_empty()),
        }
    };
    assert_eq!(removed, Some("schema dropped"));
}

#[tokio::test]
async fn a_login_that_is_given_anew_is_as_if_nobody_had_had_it() {
    let Some(world) = World::start().await else { return };
    let (tenant, spy) = (tenant("team-a", "report"), tenant("team-b", "spy"));
    let (first, spys) = (world.given(&tenant, &Fields::new()).await, world.given(&spy, &Fields::new()).await);
    let session = world.connect(&first).await.unwrap();
    let spying = format!(
        "SET ROLE NONE; ALTER ROLE {login} IN DATABASE tentacular SET search_path = {schema};
         ALTER ROLE {login} SET application_name = 'mine'",
        login = first.field("user"),
        schema = spys.field("schema")
    );
    session.batch_execute(&spying).await.unwrap();
    // Its Secret is gone, and with it what tells of the first.
    let anew = world.given(&tenant, &Fields::new()).await;
    assert_eq!(anew.field("user"), first.field("user"));
    assert!(session.query_one("SELECT 1", &[]).await.is_err(), "its session is ended");
    assert!(world.connect(&first).await.is_err());
    let client = world.connect(&anew).await.unwrap();
    for (setting, expected) in [("search_path", anew.field("schema")), ("application_name", "")] {
        let is: String = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
        assert_eq!(is.trim_matches('"'), expected, "{setting}");
    }
}

#[tokio::test]
async fn a_revocation_that_ended_half_way_is_finished() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    let session = world.connect(&first).await.unwrap();
    session.batch_execute("RESET ROLE; CREATE TABLE by_login (n int)").await.unwrap();
    let mut renewed = world.postgres.offer(&tenant, &first.fields, true).await.unwrap();
    world.postgres.register(&tenant, &mut renewed).await.unwrap();
    let half = format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", first.field("user"));
    world.superuser().await.batch_execute(&half).await.unwrap();
    world.postgres.revoke(&tenant, &renewed).await.unwrap();
    assert!(session.query_one("SELECT 1", &[]).await.is_err(), "its sessions are ended");
    world.connect(&renewed).await.unwrap().batch_execute("INSERT INTO by_login VALUES (1)").await.unwrap();
}

#[tokio::test]
async fn a_credential_is_renewed_while_the_former_one_still_works() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    let session = world.connect(&first).await.unwrap();
    session.batch_execute("CREATE TABLE by_owner (n int); RESET ROLE; CREATE TABLE by_login (n int)").await.unwrap();
    let mut former = first;
    for ending in ["_b", "_a", "_b"] {
        let mut offered = world.postgres.offer(&tenant, &former.fields, true).await.unwrap();
        assert!(offered.fresh && offered.field("user").ends_with(ending), "{}", offered.field("user"));
        world.postgres.register(&tenant, &mut offered).await.unwrap();
        let open = world.connect(&former).await.unwrap();
        let client = world.connect(&offered).await.unwrap();
        client.batch_execute("INSERT INTO by_owner VALUES (1)").await.unwrap();
        world.postgres.revoke(&tenant, &offered).await.unwrap();
        world.postgres.revoke(&tenant, &offered).await.unwrap();
        assert!(open.query_one("SELECT 1", &[]).await.is_err(), "its sessions are ended");
        assert!(world.connect(&former).await.is_err());
        client.batch_execute("INSERT INTO by_login VALUES (1)").await.unwrap();
        assert!(!world.postgres.offer(&tenant, &offered.fields, false).await.unwrap().fresh);
        former = offered;
    }
    assert!(session.is_closed() || session.query_one("SELECT 1", &[]).await.is_err());
}
