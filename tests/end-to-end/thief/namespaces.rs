//! The server's accounts change enclaves and no other namespace, and none of them makes or leaves one without the rules.

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE};

use super::{
    attempt::{
        Attempt, By, all_possible, all_refused, apply, create, delete, get, json_patch, merge, replace, strategic,
    },
    place::{ACCOUNTS, Place, admin, place, refused_by_rbac, thief},
};

const POLICY: By = By::Policy("tentacular-namespaces");
const NAMESPACES: &str = "/api/v1/namespaces";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const VERSION: &str = "pod-security.kubernetes.io/enforce-version";

/// A namespace with these labels.
fn namespace(name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}

fn labels(labels: &Value) -> Value {
    json!({ "metadata": { "labels": labels } })
}

fn path(name: &str) -> String {
    format!("{NAMESPACES}/{name}")
}

/// Labels that an enclave must not be made with, nor be left with; `null` is none.
fn wrong_labels() -> Vec<Value> {
    let with = |managed_by: Option<&str>, level: Option<&str>, version: Option<&str>| json!({ MANAGED_BY: managed_by, ENFORCE: level, VERSION: version });
    vec![
        with(None, Some("restricted"), None),
        with(None, None, None),
        with(Some("helm"), Some("restricted"), None),
        with(Some(""), Some("restricted"), None),
        with(Some("Tentacular"), Some("restricted"), None),
        with(Some("tentacular"), None, None),
        with(Some("tentacular"), Some("baseline"), None),
        with(Some("tentacular"), Some("privileged"), Some("latest")),
        with(Some("tentacular"), Some("restricted"), Some("v1.0")),
        with(None, Some("privileged"), None),
    ]
}

/// The labels of which none is `null`, which only a merge patch understands.
fn present(labels: &Value) -> Value {
    labels.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn makes_what_is_no_enclave() -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for labels in wrong_labels() {
        let loot = namespace("loot", &present(&labels));
        attempts.push(create(NAMESPACES, loot.clone()));
        attempts.push(apply(path("loot"), loot));
    }
    attempts.push(create(NAMESPACES, json!({ "metadata": { "generateName": "loot-" } })));
    let annotated = json!({ "name": "loot", "labels": { ENFORCE: "restricted" },
        "annotations": { MANAGED_BY: "tentacular", "tentacular.io/enclave": "loot" } });
    attempts.push(create(NAMESPACES, json!({ "metadata": annotated })));
    attempts
}

fn patches_what_is_no_enclave(place: &Place) -> Vec<Attempt> {
    let label = labels(&json!({ MANAGED_BY: "tentacular", ENFORCE: "restricted" }));
    let mut attempts = Vec::new();
    for name in [&place.outside, "default", "kube-system", "kube-public", SERVER_NAMESPACE] {
        attempts.push(merge(path(name), label.clone()));
        attempts.push(strategic(path(name), label.clone()));
        attempts.push(apply(path(name), namespace(name, &label["metadata"]["labels"])));
        attempts.push(merge(path(name), json!({ "metadata": { "annotations": { "tentacular.io/enclave": name } } })));
        attempts.push(merge(path(name), labels(&json!({ ENFORCE: "privileged" }))));
    }
    let pointer = "/metadata/labels/app.kubernetes.io~1managed-by";
    let add = json!([{ "op": "add", "path": pointer, "value": "tentacular" }]);
    attempts.push(json_patch(path(&place.outside), add));
    attempts
}

fn takes_the_rules_off_an_enclave(place: &Place) -> Vec<Attempt> {
    let enclave = path(&place.enclave);
    let mut attempts = Vec::new();
    for wrong in wrong_labels() {
        attempts.push(merge(enclave.clone(), labels(&wrong)));
        attempts.push(strategic(enclave.clone(), labels(&wrong)));
    }
    for pointer in ["/metadata/labels/app.kubernetes.io~1managed-by", "/metadata/labels"] {
        attempts.push(json_patch(enclave.clone(), json!([{ "op": "remove", "path": pointer }])));
    }
    for level in ["privileged", "baseline"] {
        attempts.push(apply(enclave.clone(), namespace(&place.enclave, &json!({ ENFORCE: level }))));
    }
    attempts
}

fn deletes_what_is_no_enclave(place: &Place) -> Vec<Attempt> {
    vec![delete(path(&place.outside)), delete(path(SERVER_NAMESPACE))]
}

/// In the ways for which the accounts have no right at all.
async fn by_other_ways(place: &Place) -> anyhow::Result<Vec<Attempt>> {
    let admin = admin().await?;
    let mut attempts = Vec::new();
    for (name, wrong) in [
        (&place.outside, json!({ MANAGED_BY: "tentacular", ENFORCE: "restricted" })),
        (&place.outside, json!({ MANAGED_BY: null, ENFORCE: "privileged" })),
        (&place.enclave, json!({ MANAGED_BY: null, ENFORCE: "restricted" })),
        (&place.enclave, json!({ MANAGED_BY: "tentacular", ENFORCE: "privileged" })),
        (&place.enclave, json!({ MANAGED_BY: "tentacular", ENFORCE: null })),
    ] {
        let mut stored = get(path(name)).send(&admin).await?;
        stored["metadata"]["labels"] = present(&wrong);
        attempts.push(replace(path(name), stored.clone()));
        for subresource in ["status", "finalize"] {
            attempts.push(replace(format!("{}/{subresource}", path(name)), stored.clone()));
        }
        attempts.push(merge(format!("{}/status", path(name)), labels(&wrong)));
    }
    Ok(attempts)
}

/// What the registrar must still be able to do.
fn to_enclaves(place: &Place) -> Vec<Attempt> {
    let right = json!({ MANAGED_BY: "tentacular", ENFORCE: "restricted", VERSION: "latest" });
    let enclave = path(&place.enclave);
    vec![
        create(NAMESPACES, namespace("loot", &right)),
        create(NAMESPACES, namespace("loot", &json!({ MANAGED_BY: "tentacular", ENFORCE: "restricted" }))),
        apply(path("loot"), namespace("loot", &right)),
        merge(enclave.clone(), labels(&json!({ "team": "red" }))),
        merge(
            enclave.clone(),
            json!({ "metadata": { "annotations": { "tentacular.io/enclave-channel-name": "#x" } } }),
        ),
        strategic(enclave.clone(), labels(&right)),
        apply(enclave.clone(), namespace(&place.enclave, &right)),
        delete(enclave),
    ]
}

#[tokio::test]
async fn the_registrar_changes_enclaves_and_no_other_namespace() -> anyhow::Result<()> {
    let place = place().await?;
    let registrar = thief(Part::Registrar).await?;
    let refused = [
        makes_what_is_no_enclave(),
        patches_what_is_no_enclave(place),
        takes_the_rules_off_an_enclave(place),
        deletes_what_is_no_enclave(place),
    ]
    .concat();
    all_possible(&admin().await?, refused.clone()).await?;
    all_refused(&registrar, refused.into_iter().map(|attempt| (By::SomePolicy, attempt))).await?;
    all_possible(&registrar, to_enclaves(place)).await
}

#[tokio::test]
async fn no_account_but_the_registrars_changes_a_namespace_at_all() -> anyhow::Result<()> {
    let place = place().await?;
    let attempts = [to_enclaves(place), makes_what_is_no_enclave(), patches_what_is_no_enclave(place)].concat();
    refused_by_rbac(&[Part::Kernel, Part::Scheduler, Part::Webhook], attempts).await?;
    let others = by_other_ways(place).await?;
    all_possible(&admin().await?, others.clone()).await?;
    refused_by_rbac(&ACCOUNTS, others).await
}

#[tokio::test]
async fn the_policy_holds_for_every_account_whatever_rbac_allows_it() -> anyhow::Result<()> {
    let place = place().await?;
    let admin = admin().await?;
    let refused = [
        makes_what_is_no_enclave(),
        patches_what_is_no_enclave(place),
        takes_the_rules_off_an_enclave(place),
        deletes_what_is_no_enclave(place),
        by_other_ways(place).await?,
    ]
    .concat();
    for part in ACCOUNTS {
        let all_powerful = |attempts: &[Attempt]| -> Vec<Attempt> {
            attempts.iter().map(|attempt| attempt.clone().all_powerful(part)).collect()
        };
        let attempts = all_powerful(&refused).into_iter().map(|attempt| (POLICY, attempt));
        all_refused(&admin, attempts).await.with_context(|| part.account())?;
        all_possible(&admin, all_powerful(&to_enclaves(place))).await.with_context(|| part.account())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_level_that_an_administrator_chose_is_put_right_or_left_but_not_spread() -> anyhow::Result<()> {
    let admin = admin().await?;
    let registrar = thief(Part::Registrar).await?;
    let name = crate::support::unique("pinned");
    let pinned = json!({ MANAGED_BY: "tentacular", ENFORCE: "restricted", VERSION: "v1.30" });
    create(NAMESPACES, namespace(&name, &pinned)).send_for_real(&admin).await?;
    let annotate = merge(path(&name), json!({ "metadata": { "annotations": { "a": "b" } } }));
    all_possible(&registrar, [annotate.clone()]).await?;
    all_refused(&registrar, [(POLICY, merge(path(&name), labels(&json!({ VERSION: "v1.25" }))))]).await?;
    merge(path(&name), labels(&json!({ ENFORCE: "baseline" }))).send_for_real(&admin).await?;
    all_refused(&registrar, [(POLICY, annotate)]).await?;
    let right = merge(path(&name), labels(&json!({ ENFORCE: "restricted" })));
    all_possible(&registrar, [right, delete(path(&name))]).await?;
    delete(path(&name)).send_for_real(&admin).await?;
    Ok(())
}
