//! The server's accounts bind the three roles of an enclave, each to its own account, in enclaves, and nothing else.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE, until};

use super::{
    attempt::{Attempt, By, all_possible, all_refused, apply, create, delete, get, json_patch, merge, replace},
    kinds::RBAC,
    place::{ACCOUNTS, Place, admin, place, refused_by_rbac, refused_to, thief},
};

const POLICY: By = By::Policy("tentacular-bindings");
/// The roles, and the account that each is for.
const ROLES: [(&str, &str); 3] = [
    ("tentacular-enclave-registrar", "tentacular-registrar"),
    ("tentacular-enclave-scheduler", "tentacular-scheduler"),
    ("tentacular-enclave-reader", "tentacular-mcp"),
];

pub(super) fn account(namespace: &str, name: &str) -> Value {
    json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
}

fn subject(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name })
}

/// A binding to a `ClusterRole` or `Role`.
pub(super) fn binding(kind: &str, role: &str, subjects: &[Value]) -> Value {
    let role_ref = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role });
    json!({ "metadata": { "name": "loot" }, "roleRef": role_ref, "subjects": subjects })
}

fn path(namespace: &str) -> String {
    format!("{RBAC}/namespaces/{namespace}/rolebindings")
}

/// What the registrar is for.
fn proper(place: &Place) -> Vec<Attempt> {
    let bound = |(role, name)| binding("ClusterRole", role, &[account(SERVER_NAMESPACE, name)]);
    ROLES.map(|role| create(path(&place.enclave), bound(role))).into()
}

/// A right role for the right account in a wrong place.
fn elsewhere(place: &Place) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (role, name) in ROLES {
        let bound = binding("ClusterRole", role, &[account(SERVER_NAMESPACE, name)]);
        for namespace in [&place.outside, "default", "kube-system", "kube-public", SERVER_NAMESPACE] {
            attempts.push(create(path(namespace), bound.clone()));
        }
    }
    attempts
}

/// A right role in a right place for somebody else.
fn to_others(place: &Place) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (role, name) in ROLES {
        let own = account(SERVER_NAMESPACE, name);
        // A namespace means nothing there, and makes it look like the account.
        let namesake = |kind| {
            let mut namesake = subject(kind, name);
            namesake["namespace"] = json!(SERVER_NAMESPACE);
            namesake
        };
        let other = if name == "tentacular-mcp" { "tentacular-webhook" } else { "tentacular-mcp" };
        for subjects in [
            vec![subject("User", "eve")],
            vec![subject("User", &format!("system:serviceaccount:{SERVER_NAMESPACE}:{name}"))],
            vec![subject("Group", "system:authenticated")],
            vec![namesake("User")],
            vec![namesake("Group")],
            vec![account(&place.enclave, "victim")],
            vec![account(&place.enclave, name)],
            vec![account(SERVER_NAMESPACE, other)],
            vec![account(SERVER_NAMESPACE, "default")],
            vec![own.clone(), subject("User", "eve")],
        ] {
            attempts.push(create(path(&place.enclave), binding("ClusterRole", role, &subjects)));
        }
    }
    attempts
}

/// Roles whose rights the registrar has, so that RBAC lets it bind them.
fn of_other_roles(place: &Place) -> Vec<Attempt> {
    let own = account(SERVER_NAMESPACE, "tentacular-registrar");
    let mut attempts = Vec::new();
    for (kind, role) in [
        ("ClusterRole", "tentacular-registrar"),
        ("ClusterRole", "tentacular-scheduler"),
        ("ClusterRole", "system:discovery"),
        ("ClusterRole", "system:basic-user"),
        ("Role", "tentacular-enclave-registrar"),
        ("Role", "victim"),
    ] {
        for namespace in [&place.enclave, &place.outside] {
            attempts.push(create(path(namespace), binding(kind, role, std::slice::from_ref(&own))));
        }
    }
    attempts
}

/// Roles with more rights than the registrar has.
fn of_greater_roles(place: &Place) -> Vec<Attempt> {
    let own = account(SERVER_NAMESPACE, "tentacular-registrar");
    let mut attempts = Vec::new();
    for role in ["cluster-admin", "admin", "edit", "view", "tentacular-mcp", "tentacular-webhook", "system:node"] {
        for namespace in [&place.enclave, &place.outside, "kube-system", SERVER_NAMESPACE] {
            attempts.push(create(path(namespace), binding("ClusterRole", role, std::slice::from_ref(&own))));
        }
    }
    attempts
}

/// A `ClusterRoleBinding` of each of the roles.
fn everywhere() -> Vec<Attempt> {
    let bound = |(role, name)| binding("ClusterRole", role, &[account(SERVER_NAMESPACE, name)]);
    ROLES.map(|role| create(format!("{RBAC}/clusterrolebindings"), bound(role))).into()
}

/// What is bound already, and roles.
async fn changes(place: &Place) -> anyhow::Result<Vec<Attempt>> {
    let everything = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "victim" }, "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let roles = format!("{RBAC}/namespaces/{}/roles", place.enclave);
    let mut attempts = vec![
        merge(format!("{roles}/victim"), everything.clone()),
        apply(format!("{roles}/victim"), everything),
        delete(format!("{roles}/victim")),
    ];
    attempts.extend(subject_changes(place).await?);
    for (role, _) in ROLES {
        attempts.push(delete(format!("{}/{role}", path(&place.enclave))));
    }
    attempts.push(delete(path(&place.enclave)));
    Ok(attempts)
}

/// Eve gets what the server's account has.
async fn subject_changes(place: &Place) -> anyhow::Result<Vec<Attempt>> {
    let eve = subject("User", "eve");
    let mut attempts = Vec::new();
    for (role, _) in ROLES {
        let bound = format!("{}/{role}", path(&place.enclave));
        let mut stored = get(bound.clone()).send(&admin().await?).await?;
        stored["subjects"] = json!([eve]);
        let add = json!([{ "op": "add", "path": "/subjects/-", "value": eve }]);
        let mut applied = binding("ClusterRole", role, std::slice::from_ref(&eve));
        applied["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
        applied["kind"] = json!("RoleBinding");
        applied["metadata"]["name"] = json!(role);
        attempts.push(replace(bound.clone(), stored));
        attempts.push(merge(bound.clone(), json!({ "subjects": [eve] })));
        attempts.push(json_patch(bound.clone(), add));
        attempts.push(apply(bound, applied));
    }
    Ok(attempts)
}

/// Makes a role spelled as one of ours, with a right that the registrar has, and waits until it may be bound.
async fn a_role_of_the_same_name(place: &Place) -> anyhow::Result<()> {
    let registrar = thief(Part::Registrar).await?;
    let rules = json!([{ "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"] }]);
    let role = json!({ "metadata": { "name": "tentacular-enclave-registrar" }, "rules": rules });
    for namespace in [&place.enclave, &place.outside] {
        let made = create(format!("{RBAC}/namespaces/{namespace}/roles"), role.clone());
        match made.send_for_real(&admin().await?).await {
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            made => drop(made?),
        }
        let bound = create(path(namespace), binding("Role", "tentacular-enclave-registrar", &[]));
        until(format!("the role in {namespace} is found"), async || match bound.send(&registrar).await {
            Err(kube::Error::Api(status)) if status.code == 404 => bail!("{}", status.message),
            _ => Ok(()),
        })
        .await?;
    }
    Ok(())
}

fn by(by: By, attempts: Vec<Attempt>) -> impl Iterator<Item = (By, Attempt)> {
    attempts.into_iter().map(move |attempt| (by, attempt))
}

#[tokio::test]
async fn the_registrar_binds_each_role_to_its_account_in_enclaves_and_nothing_else() -> anyhow::Result<()> {
    let place = place().await?;
    a_role_of_the_same_name(place).await?;
    let registrar = thief(Part::Registrar).await?;
    all_possible(&registrar, proper(place)).await?;
    all_refused(&registrar, by(POLICY, elsewhere(place))).await?;
    all_refused(&registrar, by(POLICY, to_others(place))).await?;
    all_refused(&registrar, by(POLICY, of_other_roles(place))).await?;
    all_refused(&registrar, by(By::Escalation, of_greater_roles(place))).await?;
    refused_by_rbac(&[Part::Registrar], everywhere()).await?;
    all_possible(&admin().await?, [of_other_roles(place), of_greater_roles(place)].concat()).await
}

#[tokio::test]
async fn what_is_bound_stays_as_it_is() -> anyhow::Result<()> {
    let place = place().await?;
    refused_to(&ACCOUNTS, changes(place).await?).await
}

#[tokio::test]
async fn no_account_but_the_registrars_binds_at_all() -> anyhow::Result<()> {
    let place = place().await?;
    let attempts =
        [proper(place), elsewhere(place), to_others(place), of_greater_roles(place), everywhere()].concat();
    refused_by_rbac(&[Part::Kernel, Part::Scheduler, Part::Webhook], attempts).await
}

#[tokio::test]
async fn the_policy_holds_for_every_account_whatever_rbac_allows_it() -> anyhow::Result<()> {
    let place = place().await?;
    a_role_of_the_same_name(place).await?;
    let admin = admin().await?;
    let refused = [
        elsewhere(place),
        to_others(place),
        of_other_roles(place),
        of_greater_roles(place),
        everywhere(),
        subject_changes(place).await?,
    ]
    .concat();
    for part in ACCOUNTS {
        let mut attempts = refused.clone();
        if part != Part::Registrar {
            attempts.extend(proper(place));
        }
        let attempts = attempts.into_iter().map(|attempt| attempt.all_powerful(part)).collect();
        all_refused(&admin, by(POLICY, attempts)).await.with_context(|| part.account())?;
    }
    let proper = proper(place).into_iter().map(|attempt| attempt.all_powerful(Part::Registrar));
    all_possible(&admin, proper).await
}
