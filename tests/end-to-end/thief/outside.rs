//! Outside of enclaves no account makes, changes, deletes or reads anything that is not its own.

use serde_json::json;
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE, node::NODE_NAME};

use super::{
    attempt::{By, all_possible, all_refused, apply, create, delete, get, merge},
    kinds::{ADMISSION, RBAC, VICTIM, kinds},
    place::{ACCOUNTS, admin, place, refused_to, thief, victim},
};

#[tokio::test]
async fn objects_in_other_namespaces_are_neither_read_nor_written() -> anyhow::Result<()> {
    let (place, admin) = (place().await?, admin().await?);
    let outside = &place.outside;
    let mut attempts = Vec::new();
    let (mut pods, mut leases) = (Vec::new(), Vec::new());
    for kind in kinds() {
        let lists = if kind.plural == "pods" { &mut pods } else { &mut attempts };
        lists.extend([kind.path(outside), format!("{}/{}", kind.group, kind.plural)].map(get));
        attempts.extend(kind.reads(outside).into_iter().skip(1));
        attempts.extend(kind.changes(outside, &victim(&admin, &kind, outside).await?));
        for namespace in [outside, "default", "kube-system", SERVER_NAMESPACE] {
            let creates =
                if kind.plural == "leases" && namespace == SERVER_NAMESPACE { &mut leases } else { &mut attempts };
            creates.extend(kind.creates(namespace));
        }
    }
    assert!(!leases.is_empty());
    // The accounts of scheduler and webhook may make Leases here, by RBAC; that each has only one, the leader's, a policy
    // says.
    for part in [Part::Scheduler, Part::Webhook] {
        let by = leases.iter().map(|attempt| {
            let by = if attempt.makes() { By::Policy("tentacular-leader") } else { By::Rbac };
            (by, attempt.clone())
        });
        all_refused(&thief(part).await?, by).await?;
    }
    refused_to(&[Part::Kernel, Part::Registrar], leases).await?;
    refused_to(&ACCOUNTS, attempts).await?;
    // The kernel's account, which is the auditor's too, lists all pods.
    refused_to(&[Part::Registrar, Part::Scheduler, Part::Webhook], pods.clone()).await?;
    all_possible(&thief(Part::Kernel).await?, pods).await
}

#[tokio::test]
async fn what_belongs_to_the_cluster_stays_as_it_is() -> anyhow::Result<()> {
    let place = place().await?;
    let definition = json!({ "metadata": { "name": "loots.thief.io" }, "spec": {
        "group": "thief.io", "scope": "Cluster", "names": { "plural": "loots", "kind": "Loot" },
        "versions": [{ "name": "v1", "served": true, "storage": true,
            "schema": { "openAPIV3Schema": { "type": "object" } } }] } });
    let service = json!({ "metadata": { "name": "v1.thief.io" }, "spec": { "group": "thief.io", "version": "v1",
        "groupPriorityMinimum": 1, "versionPriority": 1, "insecureSkipTLSVerify": true,
        "service": { "name": VICTIM, "namespace": place.outside } } });
    let volume = json!({ "metadata": { "name": "loot" }, "spec": { "capacity": { "storage": "1Mi" },
        "accessModes": ["ReadWriteOnce"], "hostPath": { "path": "/" } } });
    let named = json!({ "metadata": { "name": "loot" } });
    let role_ref = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" });
    let binding = json!({ "metadata": { "name": "loot" }, "roleRef": role_ref });
    let taint = json!({ "spec": { "unschedulable": true } });
    let node = format!("/api/v1/nodes/{NODE_NAME}");
    refused_to(
        &ACCOUNTS,
        vec![
            create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition),
            create("/apis/apiregistration.k8s.io/v1/apiservices", service),
            create("/api/v1/persistentvolumes", volume),
            get("/api/v1/persistentvolumes"),
            create("/api/v1/nodes", named.clone()),
            merge(node.clone(), taint.clone()),
            merge(format!("{node}/status"), json!({ "metadata": { "annotations": { "stolen": "yes" } } })),
            delete(node),
            create(format!("{ADMISSION}/mutatingwebhookconfigurations"), named.clone()),
            get(format!("{ADMISSION}/mutatingwebhookconfigurations")),
            create(format!("{ADMISSION}/validatingwebhookconfigurations"), named.clone()),
            get(format!("{ADMISSION}/validatingwebhookconfigurations")),
            delete(format!("{ADMISSION}/validatingwebhookconfigurations/tentacular-webhook")),
            apply(format!("{RBAC}/clusterroles/loot"), manifest("ClusterRole")),
            create(format!("{RBAC}/clusterroles"), named.clone()),
            create(format!("{RBAC}/clusterrolebindings"), binding),
            delete(format!("{RBAC}/clusterrolebindings/cluster-admin")),
            merge("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", json!({})),
            get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"),
            create(
                "/apis/scheduling.k8s.io/v1/priorityclasses",
                json!({ "metadata": { "name": "loot" }, "value": 1 }),
            ),
            delete("/apis/scheduling.k8s.io/v1/priorityclasses"),
            create(
                "/apis/storage.k8s.io/v1/storageclasses",
                json!({ "metadata": { "name": "loot" }, "provisioner": "x" }),
            ),
        ],
    )
    .await
}

fn manifest(kind: &str) -> serde_json::Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": "loot" } })
}
