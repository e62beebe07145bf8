//! The world in the cluster: namespaces and Deployments as the product makes them, and their removal.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{
    Client,
    api::{Api, DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::installation::SERVER_NAMESPACE;

use super::{
    model::{Enclave, Owner, Tentacle},
    world::{Enclaves, NO_ENCLAVES},
};

/// Requests to the API server at once.
const AT_ONCE: usize = 16;
/// Lets the kernel and the auditor read in an enclave.
const READER: &str = "tentacular-enclave-reader";
/// Keeps an object while it is being deleted.
const FINALIZER: &str = "example.com/kept-by-a-test";

fn annotations(owner: Option<&Owner>, owner_key: &str, sub_key: &str, mode: &str) -> serde_json::Map<String, Value> {
    let mut annotations = serde_json::Map::new();
    let mut set = |key: &str, value: Option<&str>| {
        annotations.extend(value.filter(|value| !value.is_empty()).map(|value| (key.to_owned(), json!(value))));
    };
    set(owner_key, owner.and_then(|owner| owner.email.as_deref()));
    set(sub_key, owner.and_then(|owner| owner.sub.as_deref()));
    set("tentacular.io/mode", Some(mode));
    annotations
}

fn namespace(name: &str, enclave: &Enclave) -> anyhow::Result<Namespace> {
    let (owner, sub) = ("tentacular.io/enclave-owner", "tentacular.io/enclave-owner-sub");
    let mut annotations = annotations(enclave.owner.as_ref(), owner, sub, enclave.mode);
    annotations.insert("tentacular.io/enclave".to_owned(), json!(name));
    annotations.insert("tentacular.io/enclave-members".to_owned(), json!(enclave.members.join(",")));
    let finalizers: &[&str] = if enclave.terminating { &[FINALIZER] } else { &[] };
    let status = if enclave.frozen { "frozen" } else { "active" };
    annotations.insert("tentacular.io/enclave-status".to_owned(), json!(status));
    Ok(serde_json::from_value(json!({ "metadata": { "name": name, "annotations": annotations,
        "labels": { "app.kubernetes.io/managed-by": "tentacular" },
        "finalizers": finalizers } }))?)
}

fn deployment(name: &str, tentacle: &Tentacle, kept: bool) -> anyhow::Result<Deployment> {
    let (owner, sub) = ("tentacular.io/owner", "tentacular.io/owner-sub");
    let annotations = annotations(tentacle.owner.as_ref(), owner, sub, tentacle.mode);
    let labels = json!({ "app.kubernetes.io/managed-by": "tentacular", "app.kubernetes.io/name": name,
        "tentacular.io/release": name });
    let finalizers: &[&str] = if kept { &[FINALIZER] } else { &[] };
    Ok(serde_json::from_value(json!({
        "metadata": { "name": name, "labels": labels, "annotations": annotations, "finalizers": finalizers },
        "spec": { "replicas": 0, "selector": { "matchLabels": { "tentacular.io/release": name } },
            "template": { "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "engine", "image": "example.com/engine" }] } } } }))?)
}

/// What lets the kernel and the auditor read in an enclave.
fn reader() -> anyhow::Result<RoleBinding> {
    Ok(serde_json::from_value(json!({
        "metadata": { "name": READER, "labels": { "app.kubernetes.io/managed-by": "tentacular" } },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER },
        "subjects": [{ "kind": "ServiceAccount", "name": "tentacular-mcp", "namespace": SERVER_NAMESPACE }] }))?)
}

async fn make(
    admin: &Client,
    name: &str,
    enclave: &Enclave,
    tentacles: &BTreeMap<String, Tentacle>,
) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    namespaces.create(&PostParams::default(), &namespace(name, enclave)?).await.context(name.to_owned())?;
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), name);
    // A registrar makes those that are missing, so it may have been first.
    match bindings.create(&PostParams::default(), &reader()?).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        created => drop(created.context("cannot bind the reader")?),
    }
    if enclave.terminating {
        let keep = Patch::Merge(json!({ "metadata": { "finalizers": [FINALIZER] } }));
        bindings.patch(READER, &PatchParams::default(), &keep).await?;
    }
    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), name);
    for (tentacle, facts) in tentacles {
        let object = deployment(tentacle, facts, enclave.terminating)?;
        deployments.create(&PostParams::default(), &object).await.with_context(|| format!("{name}/{tentacle}"))?;
    }
    if enclave.terminating {
        namespaces.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Makes all of it.
pub(super) async fn make_all(admin: &Client, enclaves: &Enclaves) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    for (name, label, annotation) in [
        ("mx-plain", None, None),
        ("mx-only-labelled", Some("tentacular"), None),
        ("mx-only-annotated", None, Some("x")),
    ] {
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name,
            "labels": { "app.kubernetes.io/managed-by": label.unwrap_or("somebody") },
            "annotations": { "tentacular.io/enclave": annotation.unwrap_or("") } } }))?;
        namespaces.create(&PostParams::default(), &namespace).await.context(name)?;
    }
    stream::iter(enclaves)
        .map(|(name, (enclave, tentacles))| make(admin, name, enclave, tentacles))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Removes all of it, without waiting until it is gone.
pub(super) async fn remove_all(admin: &Client, enclaves: &Enclaves) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    for (name, (enclave, tentacles)) in enclaves {
        if !enclave.terminating {
            namespaces.delete(name, &DeleteParams::default()).await?;
            continue;
        }
        let deployments: Api<Deployment> = Api::namespaced(admin.clone(), name);
        for tentacle in tentacles.keys() {
            deployments.patch(tentacle, &PatchParams::default(), &free).await?;
        }
        let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), name);
        bindings.patch(READER, &PatchParams::default(), &free).await?;
        namespaces.patch(name, &PatchParams::default(), &free).await?;
    }
    for name in NO_ENCLAVES.into_iter().filter(|name| *name != "mx-nowhere") {
        namespaces.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}
