//! Settings, and a server that is away, refuses, or is somebody else.

use std::fs;

use tentacular_test_harness::Scratch;

use super::*;
use crate::backing::service::unavailable;

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    let Some(mut world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let mut share = world.given(&tenant, &Fields::new()).await;
    world.server.server.kill().await.unwrap();
    let why = unavailable(world.postgres.probe().await);
    assert!(why.contains("refused"), "{why}");
    unavailable(world.postgres.offer(&tenant, &share.fields, false).await);
    unavailable(world.postgres.register(&tenant, &mut share).await);
    unavailable(world.postgres.unregister(&tenant, &Fields::new()).await);
    world.server.server.restart().await.unwrap();
    assert!(!world.given(&tenant, &share.fields).await.fresh, "what was given still works");
}

#[tokio::test]
async fn a_password_that_was_changed_counts_at_once() {
    let Some(world) = World::start().await else { return };
    let folder = Scratch::new().unwrap();
    let administrator = &world.server.administrator;
    let address = world.server.server.address();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
    write("host", &address.ip().to_string());
    write("port", &address.port().to_string());
    write("user", &administrator.user);
    write("password", &administrator.password);
    let given = ["registrar".to_owned(), format!("--postgres-path={}", folder.path().display())];
    let args = <Args as clap::Parser>::parse_from(given).postgres;
    let postgres = Postgres::from_args(args).unwrap().unwrap();
    postgres.probe().await.unwrap();
    // With all the signs that a connection string or a statement could stumble over.
    let odd = "p@ss:/?#%20 '\"\\$$ü=&+";
    let change = format!("ALTER ROLE {} PASSWORD {}", administrator.user, sql::literal(odd));
    world.superuser().await.batch_execute(&change).await.unwrap();
    let why = unavailable(postgres.probe().await);
    assert!(why.contains("password authentication failed") && !why.contains(&administrator.password), "{why}");
    write("password", odd);
    postgres.probe().await.unwrap();
    fs::remove_file(folder.path().join("user")).unwrap();
    assert_eq!(unavailable(postgres.probe().await), "missing: user");
}

#[tokio::test]
async fn an_administrator_who_lacks_rights_is_told_which() {
    let Some(world) = World::start().await else { return };
    let weaken = "ALTER ROLE tentacular_admin NOCREATEROLE; ALTER DATABASE tentacular OWNER TO postgres; \
                  REVOKE CREATE ON DATABASE tentacular FROM PUBLIC";
    world.superuser().await.batch_execute(weaken).await.unwrap();
    match world.postgres.probe().await {
        Err(Failure::Refused(why)) => {
            assert_eq!(why, "the administrator lacks CREATEROLE and CREATE on the database");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_admits_tentacles_from_elsewhere_alone_is_no_reason_for_other_passwords() {
    let Some(world) = World::start().await else { return };
    let (known, new) = (tenant("team-a", "report"), tenant("team-a", "other"));
    let share = world.given(&known, &Fields::new()).await;
    let superuser = world.superuser().await;
    let file: String = superuser.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
    let rule = "host all postgres,tentacular_admin all scram-sha-256";
    superuser.batch_execute(&format!("COPY (SELECT '{rule}') TO {}", sql::literal(&file))).await.unwrap();
    superuser.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while world.connect(&share).await.is_ok() {}
    let offered = world.postgres.offer(&known, &share.fields, false).await.map(drop);
    let mut anew = world.postgres.offer(&new, &Fields::new(), false).await.unwrap();
    for refused in [offered, world.postgres.register(&new, &mut anew).await] {
        let Err(Failure::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.starts_with("it does not admit tn_team_a_") && why.contains("pg_hba.conf"), "{why}");
    }
    // One that an administrator closed is opened again.
    let rule = "host all all all scram-sha-256";
    superuser.batch_execute(&format!("COPY (SELECT '{rule}') TO {}", sql::literal(&file))).await.unwrap();
    superuser.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while world.connect(&share).await.is_err() {}
    let close = format!("ALTER ROLE {} NOLOGIN", sql::identifier(share.field("user")));
    superuser.batch_execute(&close).await.unwrap();
    let opened = world.given(&known, &share.fields).await;
    assert!(opened.fresh);
    world.connect(&opened).await.unwrap();
}

#[tokio::test]
async fn a_server_that_logs_every_statement_learns_no_password() {
    let Some(world) = World::start().await else { return };
    let superuser = world.superuser().await;
    superuser.batch_execute("ALTER SYSTEM SET log_statement = 'all'").await.unwrap();
    superuser.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let logged = async |client: &Client| {
        let row = client.query_one("SELECT current_setting('log_statement')", &[]).await.unwrap();
        row.get::<_, String>(0) == "all"
    };
    while !logged(&superuser).await {}
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    world.connect(&share).await.unwrap();
    let log = world.server.server.log().unwrap();
    assert!(log.contains("CREATE ROLE") && log.contains("SCRAM-SHA-256$"), "its statements are in the log");
    assert!(!log.contains(share.field("password")));
}

#[tokio::test]
async fn the_server_is_who_the_settings_say() {
    let Some(world) = World::start().await else { return };
    let folder = Scratch::new().unwrap();
    let (ours, others) = (folder.path().join("ours.pem"), folder.path().join("others.pem"));
    fs::write(&ours, world.server.authority_pem()).unwrap();
    fs::write(&others, tentacular_test_harness::tls::Authority::new().unwrap().pem()).unwrap();
    let with = |mode: &str, authority: Option<&std::path::Path>, host: &str| {
        let mut further = vec![format!("--postgres-sslmode={mode}")];
        further.extend(authority.map(|path| format!("--postgres-ca-file={}", path.display())));
        let mut args = args(&world.server, &further);
        args.set_host(host);
        Postgres::from_args(args).unwrap().unwrap()
    };
    for (mode, authority, host, admitted) in [
        ("require", None, "127.0.0.1", true),
        ("verify-ca", Some(&*ours), "127.0.0.1", true),
        ("verify-ca", Some(&*others), "127.0.0.1", false),
        ("verify-full", Some(&*ours), "127.0.0.1", true),
        ("verify-full", Some(&*others), "127.0.0.1", false),
        // An address of this machine that is not in the certificate.
        ("verify-full", Some(&*ours), "127.0.0.2", false),
        ("verify-ca", Some(&*ours), "127.0.0.2", true),
    ] {
        let probed = with(mode, authority, host).probe().await;
        assert_eq!(probed.is_ok(), admitted, "{mode} {host}: {probed:?}");
    }
    let postgres = with("require", None, "127.0.0.1");
    let session = postgres.session().await.unwrap();
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(session.client.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0));
}

#[test]
fn what_is_missing_is_named_and_a_password_shows_nowhere() {
    let parsed = |given: &[&str]| <Args as clap::Parser>::parse_from([&["registrar"], given].concat());
    assert!(Postgres::from_args(parsed(&[]).postgres).unwrap().is_none());
    for (given, problem) in [
        (&["--postgres-host=db"][..], "postgres partially configured: missing: user, password"),
        (&["--postgres-password=hunter2"], "postgres partially configured: missing: host, user"),
        (
            &["--postgres-host=db", "--postgres-port=x", "--postgres-user=u"],
            "postgres partially configured: missing: password; port is no number from 1 to 65535",
        ),
    ] {
        let error = Postgres::from_args(parsed(given).postgres).unwrap_err();
        assert_eq!(format!("{error:#}"), problem);
    }
    let shown =
        format!("{:?}", parsed(&["--postgres-host=db", "--postgres-user=u", "--postgres-password=hunter2"]).postgres);
    assert!(shown.contains("db") && !shown.contains("hunter2"), "{shown}");
}
