//! Who owns what, and what every enclave has, is for the server and for administrators.

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, until};

use super::world::{account, admin, by, path, pod_spec, workloads, world};
use crate::thief::attempt::{
    Attempt, By, all_possible, all_refused, apply, create, delete, get, json_patch, merge, replace, strategic,
};

const METADATA: By = By::Protection("protected-metadata");
const OBJECT: By = By::Protection("protected-object");

/// Setting or removing an annotation or label of the object at `path`, in every way there is.
async fn every_way(path: &str, member: &str, key: &str, value: Value) -> anyhow::Result<Vec<Attempt>> {
    let mut stored = get(path).send(&admin().await?).await?;
    // A controller may be at work on it.
    stored["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let identity = json!({ "apiVersion": stored["apiVersion"], "kind": stored["kind"] });
    let before = stored["metadata"][member].as_object().is_some_and(|pairs| pairs.contains_key(key));
    let change = json!({ "metadata": { member: { key: value } } });
    let mut ways = vec![merge(path, change.clone()), strategic(path, change.clone())];
    let pointer = format!("/metadata/{member}/{}", key.replace('/', "~1"));
    if value.is_null() {
        ways.push(json_patch(path, json!([{ "op": "remove", "path": pointer }])));
        stored["metadata"][member].as_object_mut().unwrap().remove(key);
    } else {
        if before {
            ways.push(json_patch(path, json!([{ "op": "replace", "path": pointer, "value": value }])));
        }
        let mut applied = identity;
        applied["metadata"] = change["metadata"].clone();
        ways.push(apply(path, applied));
        stored["metadata"][member][key] = value;
    }
    ways.push(replace(path, stored));
    Ok(ways)
}

#[tokio::test]
async fn e2e_admission_the_owner_and_mode_of_a_tentacle_are_not_anybodys_to_write() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let deployment = format!("{}/word-count", path(&world.active, "apps", "deployments"));
    let mut attempts = Vec::new();
    for (key, value) in [
        ("tentacular.io/mode", json!("rwxrwxrwx")),
        ("tentacular.io/owner", json!("eve@example.com")),
        ("tentacular.io/owner-email", json!("eve@example.com")),
        ("tentacular.io/owner-sub", json!("eve")),
        ("tentacular.io/owner-name", json!("Eve")),
        ("tentacular.io/mode", Value::Null),
    ] {
        attempts.extend(every_way(&deployment, "annotations", key, value).await?);
    }
    let status = json!({ "metadata": { "annotations": { "tentacular.io/mode": "rwxrwxrwx" } } });
    let through = merge(format!("{deployment}/status"), status);
    let refused = by(&world.editor, &attempts);
    let refused = refused.into_iter().chain(by(&world.chief, &[attempts.clone(), vec![through.clone()]].concat()));
    all_refused(&admin, refused.map(|attempt| (METADATA, attempt))).await?;
    attempts.push(through);
    all_possible(&admin, by(&world.administrator, &attempts)).await?;
    // The registrar's account writes with a patch.
    all_possible(&admin, by(&account(Part::Registrar), &attempts[..1])).await?;
    let other = [
        merge(&*deployment, json!({ "metadata": { "annotations": { "tentacular.io/cron-schedule": "@daily" } } })),
        merge(&*deployment, json!({ "metadata": { "annotations": { "note": "x" }, "labels": { "team": "red" } } })),
        merge(&*deployment, json!({ "spec": { "replicas": 2 } })),
        delete(&*deployment),
    ];
    all_possible(&admin, by(&world.editor, &other)).await?;
    let status = json!({ "metadata": { "annotations": { "note": "x" } } });
    all_possible(&admin, by(&world.chief, &[merge(format!("{deployment}/status"), status)])).await
}

#[tokio::test]
async fn e2e_admission_the_release_of_an_object_is_not_anybodys_to_write() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let (mut refused, mut possible) = (Vec::new(), Vec::new());
    let labels = |release: &str| json!({ "labels": { "tentacular.io/release": release } });
    // As an older server labelled it: the Deployment, and not its pods.
    let (_, _, mut older) = workloads("labelled", &pod_spec()).remove(4);
    older["metadata"]["labels"] = json!({ "tentacular.io/release": "labelled" });
    older["spec"]["paused"] = json!(true);
    create(path(&world.active, "apps", "deployments"), older.clone()).send_for_real(&admin).await?;
    for (group, plural, name, rest) in [
        ("apps", "deployments", "labelled", older),
        ("", "services", "word-count", json!({ "spec": { "ports": [{ "port": 80 }], "selector": { "app": "x" } } })),
        ("", "configmaps", "word-count-code", json!({})),
        ("", "secrets", "", json!({})),
        (
            "networking.k8s.io",
            "networkpolicies",
            "",
            json!({ "spec": { "podSelector": { "matchLabels": { "app": "x" } } } }),
        ),
    ] {
        let objects = path(&world.active, group, plural);
        if !name.is_empty() {
            for value in [json!("other"), Value::Null] {
                let ways = every_way(&format!("{objects}/{name}"), "labels", "tentacular.io/release", value).await?;
                refused.extend(ways);
            }
        }
        let mut object = rest.clone();
        object["metadata"] = labels("word-count");
        object["metadata"]["name"] = json!("claims");
        refused.push(create(&*objects, object.clone()));
        object["metadata"]["labels"] = json!({ "team": "red" });
        possible.push(create(&*objects, object));
    }
    let status = json!({ "metadata": labels("other") });
    let through = merge(format!("{}/word-count/status", path(&world.active, "", "services")), status);
    all_refused(&admin, by(&world.editor, &refused).into_iter().map(|attempt| (METADATA, attempt))).await?;
    all_refused(&admin, by(&world.chief, &[through]).into_iter().map(|attempt| (METADATA, attempt))).await?;
    all_possible(&admin, by(&world.editor, &possible)).await?;
    all_possible(&admin, by(&world.administrator, &refused)).await
}

#[tokio::test]
async fn e2e_admission_an_enclaves_metadata_and_end_are_not_anybodys_to_decide() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let namespace = format!("/api/v1/namespaces/{}", world.active);
    let mut attempts = Vec::new();
    for (key, value) in [
        ("tentacular.io/mode", json!("rwxrwxrwx")),
        ("tentacular.io/enclave-owner", json!("eve@example.com")),
        ("tentacular.io/enclave-members", json!("eve@example.com")),
        ("tentacular.io/enclave-status", json!("frozen")),
        ("tentacular.io/enclave", Value::Null),
    ] {
        attempts.extend(every_way(&namespace, "annotations", key, value.clone()).await?);
        let change = json!({ "metadata": { "annotations": { key: value } } });
        attempts.push(merge(format!("{namespace}/status"), change));
        let mut stored = get(&*namespace).send(&admin).await?;
        stored["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let annotations = stored["metadata"]["annotations"].as_object_mut().unwrap();
        match value {
            Value::Null => drop(annotations.remove(key)),
            value => drop(annotations.insert(key.to_owned(), value)),
        }
        attempts.push(replace(format!("{namespace}/finalize"), stored));
    }
    let level = "pod-security.kubernetes.io/enforce";
    attempts.extend(every_way(&namespace, "labels", level, json!("privileged")).await?);
    let made = json!({ "metadata": { "name": "self-made", "labels": { "app.kubernetes.io/managed-by": "tentacular" },
        "annotations": { "tentacular.io/enclave": "self-made" } } });
    attempts.push(create("/api/v1/namespaces", made));
    all_refused(&admin, by(&world.manager, &attempts).into_iter().map(|attempt| (METADATA, attempt))).await?;
    let owned = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "gone",
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002" }] } });
    let mut ended = get(&*namespace).send(&admin).await?;
    ended["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    ended["spec"]["finalizers"] = json!([]);
    let ended = replace(format!("{namespace}/finalize"), ended);
    let others = [
        (By::Protection("enclave-deletion"), delete(&*namespace)),
        (By::Protection("enclave-deletion"), ended.clone()),
        (OBJECT, merge(&*namespace, owned.clone())),
        (OBJECT, merge(format!("{namespace}/status"), owned.clone())),
    ];
    let others = others.map(|(who, attempt)| (who, attempt.posing_as(&world.manager)));
    all_refused(&admin, others).await?;
    attempts.extend([delete(&*namespace), merge(&*namespace, owned), ended]);
    all_possible(&admin, by(&world.administrator, &attempts)).await?;
    all_possible(&admin, by(&account(Part::Registrar), &[attempts[0].clone(), delete(&*namespace)])).await?;
    let outside = json!({ "metadata": { "name": "outside", "annotations": { "tentacular.io/mode": "nonsense" } } });
    let possible = [
        merge(&*namespace, json!({ "metadata": { "labels": { "team": "red" }, "annotations": { "note": "x" } } })),
        merge(format!("{namespace}/status"), json!({ "metadata": { "annotations": { "note": "x" } } })),
        create("/api/v1/namespaces", outside),
    ];
    all_possible(&admin, by(&world.manager, &possible)).await
}

#[tokio::test]
async fn e2e_admission_what_every_enclave_has_is_neither_removed_nor_weakened() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let open = json!({ "spec": { "egress": [{}] } });
    let (mut refused, mut possible) = (Vec::new(), Vec::new());
    for (group, plural, name, change) in [
        ("", "resourcequotas", "tentacular-quota", json!({ "spec": { "hard": { "pods": "1000" } } })),
        ("", "limitranges", "tentacular-limits", json!({ "spec": { "limits": [] } })),
        ("", "serviceaccounts", "tentacular-workflow", json!({ "automountServiceAccountToken": true })),
        ("networking.k8s.io", "networkpolicies", "default-deny", open.clone()),
        ("networking.k8s.io", "networkpolicies", "allow-dns", open.clone()),
        ("rbac.authorization.k8s.io", "rolebindings", "tentacular-enclave-reader", json!({ "subjects": [] })),
    ] {
        let objects = path(&world.active, group, plural);
        let object = format!("{objects}/{name}");
        refused.push(merge(&*object, change));
        refused.push(delete(&*object));
        refused.push(delete(&*objects));
        let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "gone",
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002" }]);
        refused.push(merge(&*object, json!({ "metadata": { "ownerReferences": owner } })));
        possible.push(merge(&*object, json!({ "metadata": { "labels": { "team": "red" } } })));
    }
    refused.push(create(path(&world.active, "", "secrets"), json!({ "metadata": { "name": "tentacular-x" } })));
    let counted = format!("{}/tentacular-quota/status", path(&world.active, "", "resourcequotas"));
    refused.push(merge(counted, json!({ "status": { "hard": { "pods": "1000" } } })));
    // A binding of such a role is also refused by a policy, to all but administrators.
    let by_chief = by(&world.chief, &refused);
    let a_policy = |attempt: &Attempt| format!("{attempt:?}").contains("subjects");
    all_refused(&admin, by_chief.into_iter().filter(|attempt| !a_policy(attempt)).map(|attempt| (OBJECT, attempt)))
        .await?;
    all_possible(&admin, by(&world.administrator, &refused)).await?;
    let policy = |selector: Value, spec: &Value| {
        let mut object = spec.clone();
        object["metadata"] = json!({ "name": "mine" });
        object["spec"]["podSelector"] = selector;
        create(path(&world.active, "networking.k8s.io", "networkpolicies"), object)
    };
    let others = |key: &str| json!({ "matchLabels": { key: "word-count" } });
    let opening = [json!({}), others("tentacular.io/release"), others("app.kubernetes.io/name")];
    let opening = opening.map(|selector| policy(selector, &open));
    let who = By::Protection("enclave-policies");
    all_refused(&admin, by(&world.editor, &opening).into_iter().map(|attempt| (who, attempt))).await?;
    all_possible(&admin, by(&world.administrator, &opening)).await?;
    let no_release = json!([{ "key": "tentacular.io/release", "operator": "DoesNotExist" }]);
    possible.extend([
        policy(json!({ "matchLabels": { "app": "mine" }, "matchExpressions": no_release }), &open),
        policy(json!({}), &json!({ "spec": { "policyTypes": ["Egress"] } })),
        create(path(&world.active, "", "resourcequotas"), json!({ "metadata": { "name": "less" } })),
        create(path(&world.active, "", "serviceaccounts"), json!({ "metadata": { "name": "mine" } })),
    ]);
    all_possible(&admin, by(&world.chief, &possible)).await
}

#[tokio::test]
async fn e2e_admission_a_release_does_not_choose_other_pods() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let (name, release) = ("app.kubernetes.io/name", "tentacular.io/release");
    let (mut refused, mut possible) = (Vec::new(), Vec::new());
    let service = format!("{}/word-count", path(&world.active, "", "services"));
    let policy = format!("{}/word-count-netpol", path(&world.active, "networking.k8s.io", "networkpolicies"));
    let policy_of = |labels: Value| json!({ "spec": { "podSelector": { "matchLabels": labels }, "ingress": [{}] } });
    for (object, of) in [
        (&service, &(|labels| json!({ "spec": { "selector": labels } })) as &dyn Fn(Value) -> Value),
        (&policy, &policy_of),
    ] {
        refused.extend([
            merge(&**object, of(json!({ name: "vault" }))),
            strategic(&**object, of(json!({ name: "vault" }))),
        ]);
        possible.push(merge(&**object, of(json!({ name: "other", release: "word-count" }))));
        possible.push(merge(&**object, of(json!({ name: "word-count" }))));
    }
    let who = By::Protection("release-selector");
    all_refused(&admin, by(&world.chief, &refused).into_iter().map(|attempt| (who, attempt))).await?;
    all_possible(&admin, by(&world.administrator, &refused)).await?;
    all_possible(&admin, by(&world.chief, &possible)).await
}

#[tokio::test]
async fn e2e_admission_a_service_leads_to_nothing_that_it_does_not_select() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let (name, elsewhere) = (json!({ "name": "evil" }), "10.0.0.7");
    let subsets = json!([{ "addresses": [{ "ip": elsewhere }], "ports": [{ "port": 8080 }] }]);
    let of_service = json!({ "name": "evil", "labels": { "kubernetes.io/service-name": "word-count" } });
    let slice = json!({ "metadata": of_service, "addressType": "IPv4",
        "endpoints": [{ "addresses": [elsewhere] }], "ports": [{ "port": 8080 }] });
    let (endpoints, slices) =
        (path(&world.active, "", "endpoints"), path(&world.active, "discovery.k8s.io", "endpointslices"));
    let of_tentacle = format!("{slices}?labelSelector=kubernetes.io/service-name=word-count");
    let existing = until("Kubernetes has made the tentacle's", async || {
        let list = get(&*of_tentacle).send(&admin).await?;
        list["items"][0]["metadata"]["name"].as_str().map(str::to_owned).context("none yet")
    })
    .await?;
    let attempts = [
        create(&*endpoints, json!({ "metadata": name, "subsets": subsets })),
        merge(format!("{endpoints}/word-count"), json!({ "subsets": subsets })),
        create(&*slices, slice),
        merge(format!("{slices}/{existing}"), json!({ "endpoints": [{ "addresses": [elsewhere] }] })),
    ];
    let refused = by(&world.chief, &attempts).into_iter();
    all_refused(&admin, refused.map(|attempt| (By::Protection("service-addresses"), attempt))).await?;
    all_possible(&admin, by(&world.administrator, &attempts)).await?;
    all_possible(&admin, attempts.map(Attempt::by_a_controller)).await
}

#[tokio::test]
async fn e2e_admission_no_pods_are_made_or_labelled_past_a_review() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let pods = path(&world.active, "", "pods");
    // Of a pod that is held, nobody else decides meanwhile on which node it is.
    let mut spec = pod_spec();
    spec["schedulingGates"] = json!([{ "name": "example.org/held" }]);
    create(&*pods, json!({ "metadata": { "name": "held" }, "spec": spec })).send_for_real(&admin).await?;
    let binding = |labels: Value| json!({ "metadata": { "name": "held", "labels": labels }, "target": { "kind": "Node", "name": "node" } });
    let release = json!({ "tentacular.io/release": "word-count" });
    let bound = [
        create(format!("{pods}/held/binding"), binding(release.clone())),
        create(path(&world.active, "", "bindings"), binding(release)),
    ];
    all_refused(&admin, by(&world.chief, &bound).into_iter().map(|attempt| (METADATA, attempt))).await?;
    let revisions = path(&world.active, "apps", "controllerrevisions");
    let template = json!({ "spec": { "template": { "spec": pod_spec(), "$patch": "replace" } } });
    let revision = json!({ "metadata": { "name": "web-1" }, "revision": 7, "data": template });
    let made = [create(revisions, revision)];
    let refused = by(&world.chief, &made).into_iter();
    all_refused(&admin, refused.map(|attempt| (By::Protection("controller-revision"), attempt))).await?;
    all_possible(&admin, by(&world.administrator, &made)).await?;
    // What Kubernetes names is known by the name that it gave.
    let named = json!({ "metadata": { "generateName": "tentacular-" } });
    let named = [create(path(&world.active, "", "configmaps"), named)];
    all_refused(&admin, by(&world.editor, &named).into_iter().map(|attempt| (OBJECT, attempt))).await
}
