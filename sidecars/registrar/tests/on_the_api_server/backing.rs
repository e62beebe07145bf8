//! Shares of backing services: what an apply gives a tentacle of a real PostgreSQL, and what a removal takes away.

mod hindered;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};
use tentacular_contract::{Caller, backing::Found, keys};
use tentacular_test_harness::{
    FaultProxy,
    installation::SERVER_NAMESPACE,
    services::{Login, Postgres},
};

use crate::world::{World, person, unique, until};

/// A contract that asks for a database, with all that an edit could lose.
pub(crate) const WORKFLOW: &str = "# rows\nname: report\ncontract:\n  version: \"1\"\n  dependencies:\n    # where they go\n    \
                        tentacular-postgres: {protocol: postgresql} # ours\n    api: {host: api.x.io, port: 443}\n";

/// A registrar with a database.
pub(crate) async fn world(postgres: &Postgres, further: &[&str]) -> World {
    world_through(None, postgres, further).await
}

/// The same with a proxy before the API server.
pub(crate) async fn world_through(proxy: Option<&FaultProxy>, postgres: &Postgres, further: &[&str]) -> World {
    let (address, administrator) = (postgres.server.address(), &postgres.administrator);
    let args = [
        "--exoskeleton=true".to_owned(),
        format!("--postgres-host={}", address.ip()),
        format!("--postgres-port={}", address.port()),
        format!("--postgres-user={}", administrator.user),
        format!("--postgres-password={}", administrator.password),
    ];
    let further = further.iter().map(|&arg| arg.to_owned());
    World::start_with(proxy, &args.into_iter().chain(further).collect::<Vec<_>>()).await.unwrap()
}

/// An enclave of somebody whose enclaves no other test counts.
pub(crate) async fn enclave_of_rob(world: &World, prefix: &str) -> String {
    let name = unique(prefix);
    let arguments = json!({ "name": name, "owner_email": "rob@x.io" });
    world.call(&Caller::Bearer, "enclave_provision", arguments).await.unwrap();
    name
}

/// A tentacle as the client sends one, with this `workflow.yaml`.
pub(crate) fn call(enclave: &str, name: &str, workflow: &str) -> Value {
    let labels = json!({ "app.kubernetes.io/name": name });
    let code = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("{name}-code") },
        "data": { "workflow.yaml": workflow } });
    let container = json!({
        "name": "engine", "image": "engine:1", "command": ["deno"],
        "args": ["run", "--allow-net=api.x.io:443", "engine.ts", "--workflow", "/app/workflow.yaml"],
        "volumeMounts": [{ "name": "secrets", "mountPath": "/app/secrets" }],
        "resources": { "limits": { "cpu": "1", "memory": "64Mi" } },
    });
    let secrets =
        json!({ "name": "secrets", "secret": { "secretName": format!("{name}-secrets"), "optional": true } });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name }, "spec": {
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": [container], "volumes": [secrets] } } } });
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": format!("{name}-netpol") },
        "spec": { "podSelector": { "matchLabels": labels }, "policyTypes": ["Egress"], "egress": [] } });
    let token = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("{name}-secrets") },
        "stringData": { "github": "token" } });
    json!({ "enclave": enclave, "name": name, "manifests": [code, deployment, policy, token] })
}

/// What a Secret says.
pub(crate) async fn secret(world: &World, enclave: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let secret = world.admin.namespaced::<Secret>(enclave).get(name).await.unwrap()?;
    let data = secret.data.unwrap_or_default().into_iter();
    Some(data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect())
}

/// The login that the tentacle's Secret has.
pub(crate) async fn login(world: &World, enclave: &str, name: &str) -> Login {
    let secret = secret(world, enclave, &format!("tentacular-exoskeleton-{name}")).await.unwrap();
    let field = |field: &str| secret[&format!("tentacular-postgres.{field}")].clone();
    Login { user: field("user"), password: field("password"), database: field("database") }
}

pub(crate) async fn roles(postgres: &Postgres) -> i64 {
    let client = postgres.connect(&postgres.superuser).await.unwrap();
    let roles = client.query_one("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tn\\_%'", &[]).await.unwrap();
    roles.get(0)
}

#[tokio::test]
async fn a_tentacle_that_asks_for_a_database_finds_its_way_and_its_credentials() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "rows").await;
    let rob = person("rob@x.io");
    let mut dry = call(&enclave, "report", WORKFLOW);
    dry["dry_run"] = json!(true);
    let dry = world.call(&rob, "wf_apply", dry).await.unwrap();
    assert_eq!((&dry["created"], roles(&postgres).await), (&json!(5), 0), "{dry}");

    let applied = world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    assert_eq!((&applied["created"], &applied["warnings"]), (&json!(5), &json!([])), "{applied}");
    let client = postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
    client.batch_execute("CREATE TABLE kept AS SELECT 42 AS n").await.unwrap();

    let address = postgres.server.address();
    let code = world.admin.namespaced::<ConfigMap>(&enclave).get("report-code").await.unwrap().unwrap();
    let file = &code.data.unwrap()["workflow.yaml"];
    let (before, after) = WORKFLOW.split_once("{protocol: postgresql}").unwrap();
    assert!(file.starts_with(before) && file.ends_with(after), "{file}");
    assert!(
        file.contains(&format!("{{protocol: postgresql, host: {}, port: '{}'", address.ip(), address.port())),
        "{file}"
    );
    let given = login(&world, &enclave, "report").await;
    assert!(!file.contains(&given.password), "{file}");
    let secrets = secret(&world, &enclave, "report-secrets").await.unwrap();
    assert_eq!(secrets["github"], "token");
    let service: Value = serde_json::from_str(&secrets["tentacular-postgres"]).unwrap();
    assert_eq!((&service["user"], &service["password"]), (&json!(given.user), &json!(given.password)));
    let identity: Value = serde_json::from_str(&secrets["tentacular-identity"]).unwrap();
    assert_eq!(identity["principal"], format!("spiffe://tentacular/ns/{enclave}/tentacles/report"));

    let deployment = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
    let inventory = deployment.metadata.annotations.as_ref().unwrap()[keys::INVENTORY].clone();
    assert!(
        inventory.contains("tentacular-postgres.password") && !inventory.contains(&given.password),
        "{inventory}"
    );
    let pods = deployment.spec.unwrap().template;
    assert!(pods.metadata.unwrap().annotations.unwrap().contains_key(keys::CONFIG_CHECKSUM));
    let args = pods.spec.unwrap().containers.remove(0).args.unwrap();
    assert!(args[1].starts_with("--allow-net=api.x.io:443,") && args[1].contains(&address.to_string()), "{args:?}");
    let policies = world.admin.namespaced::<NetworkPolicy>(&enclave);
    let egress = policies.get("report-netpol").await.unwrap().unwrap().spec.unwrap().egress.unwrap();
    let expected = json!({ "ports": [{ "protocol": "TCP", "port": address.port() }],
        "to": [{ "ipBlock": { "cidr": format!("{}/32", address.ip()) } }] });
    assert!(egress.iter().any(|rule| json!(rule) == expected), "{egress:?}");

    let again = world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    assert_eq!(again["status"], "unchanged", "{again}");
    assert!(!world.log().contains(&given.password));
}

#[tokio::test]
async fn nothing_is_registered_before_all_was_checked() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "checked").await;
    let rob = person("rob@x.io");
    let made =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "tentacular-exoskeleton-report" } });
    let bringing = |workflow: &str| {
        let mut call = call(&enclave, "report", workflow);
        call["manifests"].as_array_mut().unwrap().push(made.clone());
        call
    };
    let forged = "Secret/tentacular-exoskeleton-report is made by the server for its backing services; leave it out";
    // What only the API server's dry run refuses.
    let mut refused = call(&enclave, "report", WORKFLOW);
    refused["manifests"][1]["spec"]["replicas"] = json!(-1);
    for (arguments, problem) in [
        (bringing(WORKFLOW), forged),
        // What it says would be believed when the tentacle asks for a service later.
        (bringing(&WORKFLOW.replace("tentacular-postgres:", "other:")), forged),
        (refused, "must be greater than or equal to 0"),
        (
            call(&enclave, "report", &WORKFLOW.replace("api:", "tentacular-nats:")),
            "contract.dependencies.tentacular-nats: exoskeleton: nats not enabled; ",
        ),
        (
            call(&enclave, "report", &WORKFLOW.replace("{protocol: postgresql}", "[hunter2]")),
            "contract.dependencies.tentacular-postgres: it is no mapping",
        ),
    ] {
        let error = world.call(&rob, "wf_apply", arguments).await.unwrap_err();
        assert!(error.starts_with("nothing was applied") && error.contains(problem), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(roles(&postgres).await, 0);
}

#[tokio::test]
async fn a_database_that_is_away_holds_up_only_who_needs_it() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "away").await;
    let rob = person("rob@x.io");
    postgres.server.kill().await.unwrap();
    let error = world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap_err();
    assert!(error.starts_with("nothing was applied: exoskeleton: postgres: not available: "), "{error}");
    assert_eq!(secret(&world, &enclave, "report-secrets").await, None);
    let other = WORKFLOW.replace("tentacular-postgres", "other");
    world.call(&rob, "wf_apply", call(&enclave, "other", &other)).await.unwrap();
    postgres.server.restart().await.unwrap();
    world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
}

#[tokio::test]
async fn data_stays_where_nobody_asked_for_its_removal() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&world, "kept").await;
    let rob = person("rob@x.io");
    world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    let given = login(&world, &enclave, "report").await;
    let client = postgres.connect(&given).await.unwrap();
    client.batch_execute("CREATE TABLE kept AS SELECT 42 AS n").await.unwrap();
    // Of the two logins that it has in turns, the one that is given again and the other.
    let mut rotate = call(&enclave, "report", WORKFLOW);
    rotate["rotate_credentials"] = json!(true);
    world.call(&rob, "wf_apply", rotate).await.unwrap();
    let rotated = login(&world, &enclave, "report").await;
    assert_ne!(given.user, rotated.user);
    let removed = world.call(&rob, "wf_remove", json!({ "enclave": enclave, "name": "report" })).await.unwrap();
    assert_eq!((&removed["remaining"], removed.get("exo_cleaned_up")), (&json!([]), None), "{removed}");
    assert_eq!(secret(&world, &enclave, "tentacular-exoskeleton-report").await, None);
    world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    for former in [given, rotated] {
        assert!(postgres.connect(&former).await.is_err(), "what was in a Secret that is gone is worth nothing");
    }
    let client = postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
    assert_eq!(client.query_one("SELECT n FROM kept", &[]).await.unwrap().get::<_, i32>(0), 42);
}

#[tokio::test]
async fn data_goes_with_the_tentacle_where_the_installation_cleans_up() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &["--exoskeleton-cleanup=true"]).await;
    let enclave = enclave_of_rob(&world, "cleaned").await;
    let rob = person("rob@x.io");
    let plain = WORKFLOW.replace("tentacular-postgres", "other");
    world.call(&rob, "wf_apply", call(&enclave, "plain", &plain)).await.unwrap();
    world.call(&rob, "wf_apply", call(&enclave, "report", WORKFLOW)).await.unwrap();
    // It does not ask for the database any more; its rows are still there.
    world.call(&rob, "wf_apply", call(&enclave, "report", &plain)).await.unwrap();
    postgres.connect(&login(&world, &enclave, "report").await).await.unwrap();
    postgres.server.kill().await.unwrap();
    let removed = world.call(&rob, "wf_remove", json!({ "enclave": enclave, "name": "plain" })).await.unwrap();
    assert_eq!(
        (&removed["remaining"], removed.get("exo_cleaned_up")),
        (&json!([]), None),
        "it never had any: {removed}"
    );
    let remove = json!({ "enclave": enclave, "name": "report" });
    let error = world.call(&rob, "wf_remove", remove.clone()).await.unwrap_err();
    assert!(error.starts_with("nothing was removed: exoskeleton: postgres cleanup: not available: "), "{error}");
    postgres.server.restart().await.unwrap();
    let removed = world.call(&rob, "wf_remove", remove).await.unwrap();
    assert_eq!(
        (&removed["exo_cleaned_up"], &removed["exo_cleanup_details"]),
        (&json!(true), &json!("postgres schema dropped")),
        "{removed}"
    );
    assert_eq!((roles(&postgres).await, &removed["remaining"]), (0, &json!([])));
}

#[tokio::test]
async fn everybody_can_see_which_services_there_are() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &[]).await;
    let maps = world.admin.namespaced::<ConfigMap>(SERVER_NAMESPACE);
    // Registrars of other tests, which have other services or none, say so when they start. This one's probes put that right.
    let said = async || {
        let data = maps.get(keys::BACKING_SERVICES).await.unwrap()?.data?;
        let found: Found = serde_json::from_str(data.get("postgres")?).ok()?;
        (found.available && data.get("nats")? == r#"{"enabled":false,"available":false}"#).then_some(())
    };
    until("the database is available, and nothing else", said).await;
    let probed = async || {
        let status = world.call(&person("rob@x.io"), "exo_status", json!({})).await.unwrap();
        (status["services"] != json!([])).then_some(status)
    };
    let status = until("it is probed", probed).await;
    assert_eq!(
        ["enabled", "cleanup_on_undeploy", "postgres_available", "nats_available"].map(|key| status[key].clone()),
        [json!(true), json!(false), json!(true), json!(false)],
        "{status}"
    );
    let shown = &status["services"][0];
    assert_eq!((&shown["name"], &shown["isolation"]), (&json!("postgres"), &json!("partial")), "{status}");
    assert!(shown["detail"].as_str().unwrap().contains("everybody may connect to database"), "{status}");
}
