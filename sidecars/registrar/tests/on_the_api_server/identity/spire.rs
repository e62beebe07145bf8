//! The identity that a tentacle with a backing service gets of SPIRE, as far as the API server knows it.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, PodSpec},
    storage::v1::CSIDriver,
};
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, CustomKind, Delete, Error, Object, Objects, Selector};
use tentacular_contract::Caller;
use tentacular_test_harness::{
    ControlPlane,
    definitions::SPIRE,
    installation::allow_identities,
    services::{Access, Nats},
};

use super::{as_registrar, of, status, until, workflow};
use crate::{
    backing::{call, enclave_of_rob},
    world::{World, person},
};

const KIND: CustomKind =
    CustomKind { group: "spire.spiffe.io", version: "v1alpha1", kind: "ClusterSPIFFEID", plural: "clusterspiffeids" };
const NO_IDENTITY: &str = "; the tentacle's pods get no identity";

/// A registrar that gives identities to tentacles that use this server.
async fn world(nats: &Nats, further: &[&str]) -> World {
    let Access::Token(token) = &nats.access else { panic!("{nats:?}") };
    let args =
        ["--exoskeleton=true".to_owned(), format!("--nats-url={}", nats.url()), format!("--nats-token={token}")];
    let further = ["--spire=true"].iter().chain(further).map(|&arg| arg.to_owned());
    World::start_with(None, &args.into_iter().chain(further).collect::<Vec<_>>()).await.unwrap()
}

fn identities(cluster: &Cluster) -> Objects<Object> {
    cluster.custom(&KIND, None)
}

async fn applied(world: &World, enclave: &str) -> Value {
    world.call(&person("rob@x.io"), "wf_apply", call(enclave, "report", &workflow())).await.unwrap()
}

async fn pods(world: &World, enclave: &str) -> (Value, PodSpec) {
    let deployment = world.admin.namespaced::<Deployment>(enclave).get("report").await.unwrap().unwrap();
    let template = deployment.spec.unwrap().template;
    (json!(template.metadata.unwrap().labels), template.spec.unwrap())
}

/// Whether everything that the selector names is among the labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object().unwrap();
    selector.as_object().unwrap().len() == 1 && wanted.iter().all(|(key, value)| labels[key] == *value)
}

/// One test, as the kinds of a cluster are there for all who use it: first without, then with SPIRE.
#[tokio::test]
async fn pods_have_an_identity_of_their_own_where_the_cluster_has_spire() {
    let Some(nats) = Nats::with_token().await.unwrap() else { return };
    let control_plane = ControlPlane::shared().await.unwrap();
    allow_identities(control_plane).await.unwrap();
    let world = world(&nats, &[]).await;
    let registrar = as_registrar(async |cluster| identities(&cluster).list(&Selector::all()).await.map(drop)).await;
    let enclave = enclave_of_rob(&world, "identified").await;
    without_spire(&world, &enclave).await;
    if !SPIRE.install(&control_plane.admin().unwrap()).await.unwrap() {
        return;
    }
    narrowed(&registrar, &world.admin).await;
    let warnings = applied(&world, &enclave).await["warnings"].clone();
    let missing = format!(
        "exoskeleton: spire: not available: the cluster has no CSIDriver csi.spiffe.io, through which pods get their \
         identity{NO_IDENTITY}"
    );
    assert_eq!(warnings, json!([missing]));
    let driver =
        json!({ "metadata": { "name": "csi.spiffe.io" }, "spec": { "volumeLifecycleModes": ["Ephemeral"] } });
    world.admin.all::<CSIDriver>().create(&serde_json::from_value(driver).unwrap()).await.unwrap();
    with_spire(&world, &enclave).await;
    goes_with_the_tentacle(&world, &enclave).await;
    let again = self::world(&nats, &["--oidc=true", "--oidc-issuer=https://id.x.io"]).await;
    let status = status(&again, |status| status["spire_available"] == true).await;
    let shown = ["spire_available", "nats_spiffe_enabled", "auth_enabled", "auth_issuer"].map(|key| &status[key]);
    assert_eq!(shown, [&json!(true), &json!(false), &json!(true), &json!("https://id.x.io")], "{status}");
    assert_eq!(of(&status, "spire")["isolation"], "full", "{status}");
}

async fn without_spire(world: &World, enclave: &str) {
    let first = applied(world, enclave).await;
    let warnings = first["warnings"].as_array().unwrap();
    let [warning] = &warnings[..] else { panic!("{first}") };
    let warning = warning.as_str().unwrap();
    assert!(
        warning.starts_with("exoskeleton: spire: not available: the cluster has no ClusterSPIFFEID"),
        "{warning}"
    );
    assert!(warning.ends_with(NO_IDENTITY), "{warning}");
    assert!(!json!(pods(world, enclave).await.1).to_string().contains("spiffe"));
    let missing = |status: &Value| {
        let detail = of(status, "spire")["detail"].as_str();
        detail.is_some_and(|detail| detail.starts_with("the cluster has no ClusterSPIFFEID"))
    };
    let status = status(world, missing).await;
    assert_eq!((&status["spire_available"], &status["auth_enabled"]), (&json!(false), &json!(false)), "{status}");
    assert_eq!((status.get("auth_issuer"), &of(&status, "spire")["enabled"]), (None, &json!(true)), "{status}");
}

/// The identity of tentacle `a/b`, by another name if need be.
fn good(name: &str) -> Value {
    json!({ "apiVersion": "spire.spiffe.io/v1alpha1", "kind": "ClusterSPIFFEID",
        "metadata": { "name": name, "labels": { "app.kubernetes.io/managed-by": "tentacular" } },
        "spec": {
            "className": "tentacular-system-spire", "hint": "b",
            "spiffeIDTemplate": "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/tentacles/\
                                 {{ index .PodMeta.Labels \"tentacular.io/release\" }}",
            "namespaceSelector": { "matchLabels": {
                "kubernetes.io/metadata.name": "a", "app.kubernetes.io/managed-by": "tentacular" } },
            "podSelector": { "matchLabels": { "tentacular.io/release": "b" } },
        } })
}

/// What the account could do without the policy, a thief cannot.
async fn narrowed(thief: &Cluster, admin: &Cluster) {
    let with = |pointer: &str, value: Value| {
        let mut object = good("tentacular.a.b");
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[member] = value;
        object
    };
    let object = |value: Value| serde_json::from_value::<Object>(value).unwrap();
    let tried = identities(thief).dry_run(true);
    until("the policy is in force", async || match tried.create(&object(good("mine"))).await {
        Err(Error::Forbidden { message, .. }) if message.contains("'tentacular-identities'") => Some(()),
        _ => None,
    })
    .await;
    tried.create(&object(good("tentacular.a.b"))).await.unwrap();
    let expression = json!([{ "key": "a", "operator": "Exists" }]);
    let mut attempts = vec![good("tentacular.a.c"), good("tentacular.a.b.c"), good("tentacular.b")];
    attempts.extend([
        with("/metadata/labels", json!({})),
        with("/spec/className", json!("another")),
        with("/spec/spiffeIDTemplate", json!("spiffe://{{ .TrustDomain }}/ns/kube-system/sa/root")),
        with("/spec/namespaceSelector", json!({})),
        with("/spec/namespaceSelector/matchLabels", json!({ "kubernetes.io/metadata.name": "a" })),
        with("/spec/namespaceSelector/matchExpressions", expression.clone()),
        with("/spec/podSelector", json!({})),
        with("/spec/podSelector/matchLabels", json!({ "app": "victim" })),
        with("/spec/podSelector/matchExpressions", expression),
        with("/spec/admin", json!(true)),
        with("/spec/downstream", json!(true)),
        with("/spec/dnsNameTemplates", json!(["victim.svc"])),
        with("/spec/autoPopulateDNSNames", json!(true)),
        with("/spec/workloadSelectorTemplates", json!(["unix:uid:0"])),
        with("/spec/federatesWith", json!(["x.io"])),
    ]);
    let is_refused = |result: Result<(), Error>, what: &Value| match result {
        Err(Error::Forbidden { message, .. }) => assert!(message.contains("'tentacular-identities'"), "{message}"),
        result => panic!("{result:?}: {what}"),
    };
    for attempt in &attempts {
        identities(admin).dry_run(true).create(&object(attempt.clone())).await.unwrap();
        is_refused(tried.create(&object(attempt.clone())).await.map(drop), attempt);
    }
    let mut theirs = good("theirs");
    theirs["metadata"]["labels"] = json!({});
    identities(admin).create(&object(theirs.clone())).await.unwrap();
    is_refused(tried.delete("theirs", &Delete::default()).await.map(drop), &theirs);
    let found = identities(admin).get("theirs").await.unwrap().unwrap();
    is_refused(tried.replace(&found).await.map(drop), &theirs);
}

async fn with_spire(world: &World, enclave: &str) {
    let name = format!("tentacular.{enclave}.report");
    let second = applied(world, enclave).await;
    assert_eq!(second["warnings"], json!([]), "{second}");
    let made = identities(&world.admin).get(&name).await.unwrap().unwrap();
    let (labels, pods) = pods(world, enclave).await;
    let spec = &made.data["spec"];
    assert!(selects(&spec["podSelector"], &labels), "{spec} {labels}");
    let namespace = world.admin.all::<Namespace>().get(enclave).await.unwrap().unwrap();
    assert!(selects(&spec["namespaceSelector"], &json!(namespace.metadata.labels)), "{spec}");
    let other = world.admin.all::<Namespace>().get("default").await.unwrap().unwrap();
    assert!(!selects(&spec["namespaceSelector"], &json!(other.metadata.labels)), "{spec}");
    assert_eq!((&spec["className"], &spec["hint"]), (&json!("tentacular-system-spire"), &json!("report")));
    let mounted = json!({ "name": "spiffe-workload-api", "mountPath": "/run/spire/sockets", "readOnly": true });
    let mounts = json!(pods.containers[0].volume_mounts);
    assert!(mounts.as_array().unwrap().contains(&mounted), "{mounts}");
    let volume = json!({ "name": "spiffe-workload-api", "csi": { "driver": "csi.spiffe.io", "readOnly": true } });
    assert!(json!(pods.volumes).as_array().unwrap().contains(&volume));

    assert_eq!(applied(world, enclave).await["status"], "unchanged");
    let same = identities(&world.admin).get(&name).await.unwrap().unwrap();
    assert_eq!(same.metadata.resource_version, made.metadata.resource_version);
    identities(&world.admin).patch(&name, &json!({ "spec": { "admin": true } })).await.unwrap();
    applied(world, enclave).await;
    assert_eq!(identities(&world.admin).get(&name).await.unwrap().unwrap().data["spec"], *spec);

    // What somebody else made of a tentacle's name stays.
    let taken = format!("tentacular.{enclave}.taken");
    let theirs = json!({ "apiVersion": "spire.spiffe.io/v1alpha1", "kind": "ClusterSPIFFEID",
        "metadata": { "name": taken }, "spec": { "spiffeIDTemplate": "spiffe://{{ .TrustDomain }}/theirs" } });
    identities(&world.admin).create(&serde_json::from_value(theirs.clone()).unwrap()).await.unwrap();
    let applied = world.call(&person("rob@x.io"), "wf_apply", call(enclave, "taken", &workflow())).await.unwrap();
    let warning = applied["warnings"][0].as_str().unwrap();
    assert!(warning.contains(&format!("ClusterSPIFFEID {taken} is somebody else's")), "{warning}");
    assert_eq!(identities(&world.admin).get(&taken).await.unwrap().unwrap().data["spec"], theirs["spec"]);

    let plain = call(enclave, "plain", &workflow().replace("tentacular-nats", "other"));
    let name = format!("tentacular.{enclave}.plain");
    let asking = call(enclave, "plain", &workflow());
    // Also one that asks for no service any more.
    for (arguments, has) in [(&plain, false), (&asking, true), (&plain, false)] {
        let applied = world.call(&person("rob@x.io"), "wf_apply", arguments.clone()).await.unwrap();
        assert_eq!(identities(&world.admin).get(&name).await.unwrap().is_some(), has, "{applied}");
    }
}

async fn goes_with_the_tentacle(world: &World, enclave: &str) {
    let rob = person("rob@x.io");
    let remove = json!({ "enclave": enclave, "name": "report" });
    let removed = world.call(&rob, "wf_remove", remove).await.unwrap();
    let (details, data) = (&removed["exo_cleanup_details"], removed.get("exo_cleaned_up"));
    assert_eq!(
        (details, data, &removed["warnings"]),
        (&json!("spire identity removed"), None, &json!([])),
        "{removed}"
    );
    let name = format!("tentacular.{enclave}.report");
    assert!(identities(&world.admin).get(&name).await.unwrap().is_none());
    applied(world, enclave).await;
    assert!(identities(&world.admin).get(&name).await.unwrap().is_some());
    let gone = world.call(&Caller::Bearer, "enclave_deprovision", json!({ "name": enclave })).await.unwrap();
    assert_eq!(gone["deleted"], true, "{gone}");
    until("the identity goes with its enclave", async || {
        identities(&world.admin).get(&name).await.unwrap().is_none().then_some(())
    })
    .await;
}
