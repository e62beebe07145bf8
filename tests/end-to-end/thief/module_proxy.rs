//! In the namespace of the module proxy the registrar's account writes the proxy's objects, whose pods get nothing, and no
//! account does anything else.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tentacular_contract::module_proxy::{CLAIM, ModuleProxy, NAME, Objects};
use tentacular_test_harness::{
    Part,
    installation::{SERVER_NAMESPACE, allow_module_proxy},
};

use super::{
    attempt::{Attempt, By, all_possible, all_refused, apply, create, delete, get, until_refused},
    kinds::{VICTIM, kinds},
    place::{ACCOUNTS, admin, refused_by_rbac, refused_to, thief, until_allowed, victim},
};
use crate::support::stack;

const POLICY: By = By::Policy("tentacular-module-proxy");

/// A namespace for a module proxy, with an object of each kind that is somebody else's.
async fn place() -> anyhow::Result<String> {
    let control_plane = stack().await?.installation().control_plane();
    let (name, admin) = (control_plane.namespace("modules").await?, admin().await?);
    enforce(&name, "restricted").await?;
    allow_module_proxy(control_plane, &name).await?;
    for kind in kinds() {
        create(kind.path(&name), kind.object(VICTIM, &name)).send_for_real(&admin).await?;
    }
    let user = format!("system:serviceaccount:{SERVER_NAMESPACE}:{}", Part::Registrar.account());
    let write =
        json!({ "verb": "patch", "group": "apps", "resource": "deployments", "name": NAME, "namespace": name });
    until_allowed(&admin, &user, &write).await?;
    Ok(name)
}

async fn enforce(namespace: &str, level: &str) -> anyhow::Result<()> {
    let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": level } } });
    Api::<Namespace>::all(admin().await?).patch(namespace, &PatchParams::default(), &Patch::Merge(label)).await?;
    Ok(())
}

fn wanted(namespace: &str) -> Objects {
    let (namespace, storage_size) = (namespace.to_owned(), Some("1Mi".to_owned()));
    ModuleProxy { namespace, image: "esm:1".to_owned(), storage_size, disabled: false }.objects()
}

fn path(namespace: &str, resource: &str) -> String {
    let group = if resource == "deployments" { "/apis/apps/v1" } else { "/api/v1" };
    format!("{group}/namespaces/{namespace}/{resource}")
}

fn deployment(namespace: &str, wanted: Value) -> Attempt {
    apply(format!("{}/{NAME}", path(namespace, "deployments")), wanted)
}

#[tokio::test]
async fn the_module_proxys_objects_are_all_that_the_registrar_has_in_its_namespace() -> anyhow::Result<()> {
    let (place, admin) = (place().await?, admin().await?);
    let Objects { claim, service, deployment: wanted_deployment } = wanted(&place);
    let claim = claim.unwrap_or_default();
    let own = [
        ("persistentvolumeclaims", CLAIM, claim),
        ("services", NAME, service),
        ("deployments", NAME, wanted_deployment),
    ];
    let writes = own
        .iter()
        .map(|(resource, name, wanted)| apply(format!("{}/{name}", path(&place, resource)), wanted.clone()));
    all_possible(&thief(Part::Registrar).await?, writes).await?;

    let mut attempts = Vec::new();
    for kind in kinds() {
        // The kernel's account lists all pods.
        attempts.extend(kind.reads(&place).into_iter().skip(usize::from(kind.plural == "pods")));
        attempts.extend(kind.changes(&place, &victim(&admin, &kind, &place).await?));
        attempts.extend(kind.creates(&place));
    }
    for (resource, name, wanted) in own {
        // That is how a new object is taken for one's own without a look at who has the name.
        attempts.push(create(path(&place, resource), wanted.clone()));
        let by_others = apply(format!("{}/{name}", path(&place, resource)), wanted.clone());
        refused_to(&[Part::Kernel, Part::Scheduler, Part::Webhook], vec![by_others]).await?;
        create(path(&place, resource), wanted).send_for_real(&admin).await?;
        attempts.push(get(path(&place, resource)));
        attempts.push(delete(format!("{}/{name}", path(&place, resource))));
    }
    // What is there is not made a second time.
    let (again, attempts): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Attempt::makes);
    refused_by_rbac(&ACCOUNTS, again).await?;
    refused_to(&ACCOUNTS, attempts).await
}

#[tokio::test]
async fn the_module_proxys_pods_get_nothing_that_others_have() -> anyhow::Result<()> {
    let place = place().await?;
    let wanted = wanted(&place).deployment;
    let with = |pointer: &str, value: Value| {
        let mut changed = wanted.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap_or_default();
        changed.pointer_mut(&format!("/spec/template/spec{parent}")).expect("it is there")[member] = value;
        deployment(&place, changed)
    };
    let reference = json!({ "name": VICTIM, "key": "password" });
    let volume = |source: Value| {
        let mut volumes = vec![wanted["spec"]["template"]["spec"]["volumes"][0].clone()];
        volumes.push(source);
        with("/volumes", json!(volumes))
    };
    let init = json!([{ "name": "init", "image": "x", "envFrom": [{ "secretRef": { "name": VICTIM } }] }]);
    let attempts = [
        with("/serviceAccountName", json!(VICTIM)),
        with("/automountServiceAccountToken", json!(true)),
        volume(json!({ "name": "loot", "secret": { "secretName": VICTIM } })),
        volume(json!({ "name": "loot", "configMap": { "name": VICTIM } })),
        volume(json!({ "name": "loot", "hostPath": { "path": "/" } })),
        volume(json!({ "name": "loot", "persistentVolumeClaim": { "claimName": VICTIM } })),
        volume(json!({ "name": "loot", "projected": { "sources": [{ "secret": { "name": VICTIM } }] } })),
        with("/containers/0/env", json!([{ "name": "loot", "valueFrom": { "secretKeyRef": reference } }])),
        with("/containers/0/envFrom", json!([{ "configMapRef": { "name": VICTIM } }])),
        with("/initContainers", init),
    ];
    let registrar = thief(Part::Registrar).await?;
    all_possible(&admin().await?, attempts.iter().cloned()).await?;
    all_possible(&registrar, [deployment(&place, wanted.clone())]).await?;
    all_refused(&registrar, attempts.map(|attempt| (POLICY, attempt))).await?;
    enforce(&place, "baseline").await?;
    // A policy sees what the namespace says now a little later.
    until_refused(&registrar, POLICY, &deployment(&place, wanted)).await
}
