//! A tentacle reaches its own and nothing of others.

use tentacular_contract::backing::Isolation;

use super::*;

/// What PostgreSQL says to who may not.
const FORBIDDEN: &str = "42501";
/// What it says of what cannot be seen by the name that was given.
const UNKNOWN: [&str; 2] = ["42P01", "3F000"];

#[tokio::test]
async fn no_tentacle_reads_writes_or_removes_anything_of_another() {
    let Some(world) = World::start().await else { return };
    world.postgres.probe().await.unwrap();
    let mut given = Vec::new();
    for tenant in Tenant::hostile() {
        let share = world.given(&tenant, &Fields::new()).await;
        let client = world.connect(&share).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE mine (id serial PRIMARY KEY, word text); INSERT INTO mine (word) VALUES ('secret');
                 CREATE FUNCTION told() RETURNS text LANGUAGE sql AS 'SELECT word FROM mine'; CREATE TEMP TABLE t (n int);",
            )
            .await
            .unwrap();
        assert!(client.query_one("SELECT told()", &[]).await.is_ok(), "{tenant}");
        given.push((share, client));
    }
    for (own, client) in &given {
        for (other, _) in given.iter().filter(|(other, _)| other.field("user") != own.field("user")) {
            let (schema, user) = (other.field("schema"), other.field("user"));
            for statement in [
                format!("SELECT * FROM {schema}.mine"),
                format!("INSERT INTO {schema}.mine (word) VALUES ('x')"),
                format!("DELETE FROM {schema}.mine"),
                format!("DROP TABLE {schema}.mine"),
                format!("DROP SCHEMA {schema} CASCADE"),
                format!("CREATE TABLE {schema}.theirs (n int)"),
                format!("SELECT {schema}.told()"),
                format!("SELECT nextval('{schema}.mine_id_seq')"),
                format!("SET ROLE {user}"),
                format!("SET ROLE {schema}"),
                format!("SET SESSION AUTHORIZATION {user}"),
                format!("GRANT {schema} TO {}", own.field("user")),
                format!("ALTER ROLE {user} PASSWORD 'x'"),
                format!("DROP ROLE {user}"),
                format!("REASSIGN OWNED BY {schema} TO {}", own.field("schema")),
                format!("DROP OWNED BY {schema}"),
                format!("COMMENT ON ROLE {schema} IS 'mine'"),
            ] {
                assert_eq!(refusal(client, &statement).await, FORBIDDEN, "{statement}");
            }
        }
    }
}

#[tokio::test]
async fn no_tentacle_uses_what_is_everybodys() {
    let Some(world) = World::start().await else { return };
    let superuser = world.superuser().await;
    superuser
        .batch_execute("CREATE TABLE public.everybodys (n int); GRANT ALL ON public.everybodys TO PUBLIC")
        .await
        .unwrap();
    world.postgres.probe().await.unwrap();
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    let client = world.connect(&share).await.unwrap();
    for statement in ["SELECT * FROM public.everybodys", "CREATE TABLE public.t (n int)", "CREATE SCHEMA other"] {
        assert_eq!(refusal(&client, statement).await, FORBIDDEN, "{statement}");
    }
    assert!(UNKNOWN.contains(&refusal(&client, "SELECT * FROM everybodys").await.as_str()));
    for statement in [
        "CREATE ROLE friend",
        "CREATE DATABASE mine",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "CREATE EXTENSION dblink",
    ] {
        assert_eq!(refusal(&client, statement).await, FORBIDDEN, "{statement}");
    }
    // Its own limits it may only make narrower for good, and the number of connections not at all.
    assert_eq!(refusal(&client, &format!("ALTER ROLE {} CONNECTION LIMIT 99", share.field("user"))).await, FORBIDDEN);
}

#[tokio::test]
async fn it_is_said_how_far_tentacles_are_kept_apart() {
    let Some(world) = World::start().await else { return };
    let open = world.postgres.probe().await.unwrap();
    assert_eq!(open.isolation, Isolation::Partial);
    let reason = open.reason.unwrap();
    assert!(reason.starts_with("everybody may connect to database postgres, template1: REVOKE CONNECT"), "{reason}");
    let superuser = world.superuser().await;
    let close = "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC";
    superuser.batch_execute(close).await.unwrap();
    assert_eq!(world.postgres.probe().await.unwrap(), Kept { isolation: Isolation::Full, reason: None });
    // What a tentacle opens of its own is its own matter; what somebody else opens is not.
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    let client = world.connect(&share).await.unwrap();
    client.batch_execute(&format!("GRANT USAGE ON SCHEMA {} TO PUBLIC", share.field("schema"))).await.unwrap();
    assert_eq!(world.postgres.probe().await.unwrap().isolation, Isolation::Full);
    superuser.batch_execute("CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO PUBLIC").await.unwrap();
    let reason = world.postgres.probe().await.unwrap().reason.unwrap();
    assert!(reason.starts_with("everybody may use schema shared: "), "{reason}");
    // An administrator who does not own the database cannot close `public`.
    let somebody = "DROP SCHEMA shared; CREATE ROLE somebody; ALTER DATABASE tentacular OWNER TO somebody; \
                    GRANT CREATE ON DATABASE tentacular TO tentacular_admin; GRANT USAGE ON SCHEMA public TO PUBLIC";
    superuser.batch_execute(somebody).await.unwrap();
    let reason = world.postgres.probe().await.unwrap().reason.unwrap();
    assert!(reason.starts_with("everybody may use schema public: make the administrator the owner"), "{reason}");
}

#[tokio::test]
async fn no_function_of_a_tentacle_runs_with_the_administrators_rights() {
    let Some(world) = World::start().await else { return };
    // As in a database of PostgreSQL 14 or older.
    let open = "ALTER SCHEMA public OWNER TO CURRENT_USER; GRANT ALL ON SCHEMA public TO PUBLIC";
    world.superuser().await.batch_execute(open).await.unwrap();
    let (thief, victim) = (tenant("team-a", "thief"), tenant("team-b", "victim"));
    let thiefs = world.given(&thief, &Fields::new()).await;
    let victims = world.given(&victim, &Fields::new()).await;
    let function = |name: &str, result: &str| {
        format!(
            "CREATE FUNCTION public.{name} RETURNS {result} LANGUAGE plpgsql AS $f$ BEGIN
               IF current_user = '{administrator}' THEN GRANT {schema} TO {login}; END IF;
               RETURN NULL; END $f$",
            administrator = world.server.administrator.user,
            schema = victims.field("schema"),
            login = thiefs.field("user"),
        )
    };
    let client = world.connect(&thiefs).await.unwrap();
    // PostgreSQL's own take other types, so that these are what is meant where they are found.
    for (name, result) in [("length(name)", "integer"), ("has_database_privilege(text, name, text)", "boolean")] {
        client.batch_execute(&function(name, result)).await.unwrap();
    }
    world.postgres.probe().await.unwrap();
    world.postgres.offer(&victim, &victims.fields, true).await.unwrap();
    world.postgres.holders().await.unwrap();
    world.given(&tenant("team-c", "other"), &Fields::new()).await;
    let became = format!("SELECT pg_has_role('{}', '{}', 'MEMBER')", thiefs.field("user"), victims.field("schema"));
    assert!(!world.superuser().await.query_one(&became, &[]).await.unwrap().get::<_, bool>(0));
}
