//! What the policies hold against people: the label and the roles of enclaves are for administrators. They and the
//! cluster's own controllers are not hindered.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, eventually, installation::SERVER_NAMESPACE};

use super::{
    attempt::{
        Attempt, By, all_possible, all_refused, apply, create, delete, get, json_patch, merge, replace, until_refused,
    },
    bindings::{account, binding},
    kinds::RBAC,
    place::{Place, admin, place, thief, until_allowed},
};
use crate::support::unique;

const LABEL: By = By::Policy("tentacular-label");
const BINDINGS: By = By::Policy("tentacular-bindings");
const LOCKS: By = By::Policy("tentacular-locks");
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Somebody to whom the administrator gives these rights in the whole cluster, and `edit` in the enclave.
async fn person(place: &Place, rules: Value) -> anyhow::Result<String> {
    let (name, admin) = (unique("person"), admin().await?);
    let subject = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name });
    let bound = |role: &str| {
        let mut bound = binding("ClusterRole", role, std::slice::from_ref(&subject));
        bound["metadata"]["name"] = json!(name);
        bound
    };
    let role = json!({ "metadata": { "name": name }, "rules": &rules });
    for made in [
        create(format!("{RBAC}/clusterroles"), role),
        create(format!("{RBAC}/clusterrolebindings"), bound(&name)),
        create(format!("{RBAC}/namespaces/{}/rolebindings", place.enclave), bound("edit")),
    ] {
        made.send_for_real(&admin).await?;
    }
    let edit = json!({ "verb": "create", "resource": "configmaps", "namespace": place.enclave });
    until_allowed(&admin, &name, &edit).await?;
    if rules != json!([]) {
        until_allowed(&admin, &name, &json!({ "verb": "patch", "resource": "namespaces" })).await?;
    }
    Ok(name)
}

/// The rights of those who manage namespaces and bindings of the whole cluster.
fn manager() -> Value {
    json!([
        { "apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"], "verbs": ["*"] },
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings", "clusterrolebindings"],
            "verbs": ["*"] },
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"] },
    ])
}

fn administrator() -> Value {
    let mut rules = manager();
    let administer = json!({ "apiGroups": ["tentacular.io"], "resources": ["enclaves"], "verbs": ["administer"] });
    rules.as_array_mut().unwrap().push(administer);
    rules
}

fn posing_as(person: &str, attempts: &[Attempt]) -> Vec<Attempt> {
    attempts.iter().map(|attempt| attempt.clone().posing_as(person)).collect()
}

/// Adding the label to a namespace and taking it off an enclave, in every way there is.
async fn relabelling(place: &Place) -> anyhow::Result<Vec<Attempt>> {
    let admin = admin().await?;
    let mut attempts = Vec::new();
    for (name, value) in
        [(&place.outside, json!("tentacular")), (&place.enclave, json!("somebody")), (&place.enclave, Value::Null)]
    {
        let path = format!("/api/v1/namespaces/{name}");
        let change = json!({ "metadata": { "labels": { MANAGED_BY: value } } });
        let mut stored = get(path.clone()).send(&admin).await?;
        stored["metadata"]["labels"][MANAGED_BY] = value.clone();
        let labels = stored["metadata"]["labels"].as_object_mut().unwrap();
        labels.retain(|_, value| !value.is_null());
        for way in ["", "/status", "/finalize"] {
            attempts.push(replace(format!("{path}{way}"), stored.clone()));
        }
        for way in ["", "/status"] {
            attempts.push(merge(format!("{path}{way}"), change.clone()));
        }
        let operation = if value.is_null() { "remove" } else { "add" };
        let pointer = "/metadata/labels/app.kubernetes.io~1managed-by";
        attempts.push(json_patch(path.clone(), json!([{ "op": operation, "path": pointer, "value": value }])));
        if !value.is_null() {
            let labels = json!({ MANAGED_BY: value });
            let applied = json!({ "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": name, "labels": labels } });
            attempts.push(apply(path, applied));
        }
    }
    Ok(attempts)
}

#[tokio::test]
async fn the_label_is_added_and_removed_by_administrators_alone() -> anyhow::Result<()> {
    let (place, admin) = (place().await?, admin().await?);
    let attempts = relabelling(place).await?;
    let editor = person(place, json!([])).await?;
    all_refused(&admin, posing_as(&editor, &attempts).into_iter().map(|attempt| (By::Rbac, attempt))).await?;
    let managing = person(place, manager()).await?;
    all_refused(&admin, posing_as(&managing, &attempts).into_iter().map(|attempt| (LABEL, attempt))).await?;
    let other = [&place.enclave, &place.outside].map(|name| {
        let labels =
            json!({ "metadata": { "labels": { "team": "red", "app.kubernetes.io/part-of": "tentacular" } } });
        merge(format!("/api/v1/namespaces/{name}"), labels)
    });
    all_possible(&admin, posing_as(&managing, &other)).await?;
    let administering = person(place, administrator()).await?;
    all_possible(&admin, posing_as(&administering, &attempts)).await
}

#[tokio::test]
async fn the_roles_of_enclaves_are_bound_by_administrators_and_only_there() -> anyhow::Result<()> {
    let (place, admin) = (place().await?, admin().await?);
    let own = [account(SERVER_NAMESPACE, "tentacular-mcp")];
    let to = |namespace: &str, role: &str| {
        create(format!("{RBAC}/namespaces/{namespace}/rolebindings"), binding("ClusterRole", role, &own))
    };
    let roles = ["registrar", "scheduler", "reader"].map(|role| format!("tentacular-enclave-{role}"));
    let existing = format!("{RBAC}/namespaces/{}/rolebindings/{}", place.enclave, roles[0]);
    let eve = json!({ "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve" }] });
    let mut inside = vec![merge(existing.clone(), eve)];
    let mut outside = Vec::new();
    for role in &roles {
        inside.push(to(&place.enclave, role));
        outside.extend([&place.outside, "default", "kube-system"].map(|namespace| to(namespace, role)));
        outside.push(create(format!("{RBAC}/clusterrolebindings"), binding("ClusterRole", role, &own)));
    }
    let editor = person(place, json!([])).await?;
    all_refused(&admin, posing_as(&editor, &inside).into_iter().map(|attempt| (By::Rbac, attempt))).await?;
    let managing = person(place, manager()).await?;
    let both = [inside.clone(), outside.clone()].concat();
    all_refused(&admin, posing_as(&managing, &both).into_iter().map(|attempt| (BINDINGS, attempt))).await?;
    let others = [
        to(&place.enclave, "view"),
        to(&place.outside, "view"),
        merge(existing, json!({ "metadata": { "labels": { "team": "red" } } })),
    ];
    all_possible(&admin, posing_as(&managing, &others)).await?;
    let administering = person(place, administrator()).await?;
    all_possible(&admin, posing_as(&administering, &inside)).await?;
    for everybody in [posing_as(&administering, &outside), outside] {
        all_refused(&admin, everybody.into_iter().map(|attempt| (BINDINGS, attempt))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lock_is_written_and_removed_by_the_registrar_and_administrators_alone() -> anyhow::Result<()> {
    let (place, admin) = (place().await?, admin().await?);
    let lease = |namespace: &str, name: &str| {
        let spec = json!({ "holderIdentity": "eve", "leaseDurationSeconds": i32::MAX,
            "renewTime": "2999-01-01T00:00:00.000000Z", "acquireTime": "2999-01-01T00:00:00.000000Z" });
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        (path, json!({ "metadata": { "name": name }, "spec": spec }))
    };
    let held = unique("tentacular-held");
    let (path, body) = lease(&place.enclave, &held);
    create(&path, body).send_for_real(&admin).await?;
    let mut attempts = vec![
        merge(format!("{path}/{held}"), json!({ "spec": { "leaseDurationSeconds": 1 } })),
        delete(format!("{path}/{held}")),
        delete(&path),
    ];
    for name in ["tentacular-report", "tentacular.enclave"] {
        let (path, body) = lease(&place.enclave, name);
        let mut applied = body.clone();
        applied["apiVersion"] = json!("coordination.k8s.io/v1");
        applied["kind"] = json!("Lease");
        attempts.push(create(&path, body));
        attempts.push(apply(format!("{path}/{name}"), applied));
    }
    let (editor, administering) = (person(place, json!([])).await?, person(place, administrator()).await?);
    let leases = json!([{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"] }]);
    let subjects = [&editor, &administering]
        .map(|name| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }));
    let mut bound = binding("Role", &held, &subjects);
    bound["metadata"]["name"] = json!(held);
    let role = json!({ "metadata": { "name": held }, "rules": leases });
    for (kind, object) in [("roles", role), ("rolebindings", bound)] {
        create(format!("{RBAC}/namespaces/{}/{kind}", place.enclave), object).send_for_real(&admin).await?;
    }
    let delete_all = json!({ "verb": "deletecollection", "group": "coordination.k8s.io", "resource": "leases",
        "namespace": place.enclave });
    for who in [&editor, &administering] {
        until_allowed(&admin, who, &delete_all).await?;
    }
    let refused = posing_as(&editor, &attempts);
    until_refused(&admin, LOCKS, &refused[0]).await?;
    all_refused(&admin, refused.into_iter().map(|attempt| (LOCKS, attempt))).await?;
    let (path, body) = lease(&place.enclave, "team-leader");
    all_possible(&admin, posing_as(&editor, &[create(path, body)])).await?;
    all_possible(&admin, posing_as(&administering, &attempts)).await
}

#[tokio::test]
async fn an_enclave_that_the_registrar_deletes_goes_with_all_that_is_in_it() -> anyhow::Result<()> {
    let (admin, registrar) = (admin().await?, thief(Part::Registrar).await?);
    let name = unique("deleted");
    let labels = json!({ MANAGED_BY: "tentacular", "pod-security.kubernetes.io/enforce": "restricted" });
    let namespace = json!({ "metadata": { "name": name, "labels": labels } });
    create("/api/v1/namespaces", namespace).send_for_real(&registrar).await?;
    let bound =
        binding("ClusterRole", "tentacular-enclave-registrar", &[account(SERVER_NAMESPACE, "tentacular-registrar")]);
    create(format!("{RBAC}/namespaces/{name}/rolebindings"), bound).send_for_real(&registrar).await?;
    delete(format!("/api/v1/namespaces/{name}")).send_for_real(&registrar).await?;
    eventually(&Api::<Namespace>::all(admin), &name, |found: Option<&Namespace>| found.is_none()).await?;
    Ok(())
}
