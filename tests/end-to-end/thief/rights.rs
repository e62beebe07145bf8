//! No account gives itself more rights, takes another's, or gets into a pod.

use serde_json::json;
use tentacular_test_harness::{installation::SERVER_NAMESPACE, node::NODE_NAME};

use super::{
    attempt::{all_reached, create, delete, get, merge, strategic},
    kinds::{ADMISSION, RBAC, VICTIM, pod_spec},
    place::{ACCOUNTS, admin, place, refused_by_rbac, refused_to},
};

/// The admission policies that every installation has.
const POLICIES: [&str; 8] =
    ["namespaces", "bindings", "label", "webhook-configuration", "ledgers", "leader", "module-proxy", "locks"];

#[tokio::test]
async fn the_servers_own_rights_and_rules_stay_as_they_are() -> anyhow::Result<()> {
    let everything = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let eve = json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve" });
    let mut attempts = Vec::new();
    for role in ["mcp", "registrar", "scheduler", "webhook"] {
        let role = format!("tentacular-{role}");
        attempts.push(merge(format!("{RBAC}/clusterroles/{role}"), everything.clone()));
        attempts.push(merge(format!("{RBAC}/clusterrolebindings/{role}"), json!({ "subjects": [eve] })));
        attempts.push(delete(format!("{RBAC}/clusterrolebindings/{role}")));
        attempts.push(merge(format!("/api/v1/namespaces/{SERVER_NAMESPACE}/serviceaccounts/{role}"), json!({})));
    }
    for role in ["registrar", "scheduler", "reader"] {
        attempts.push(merge(format!("{RBAC}/clusterroles/tentacular-enclave-{role}"), everything.clone()));
    }
    let own = format!("{RBAC}/namespaces/{SERVER_NAMESPACE}");
    attempts.push(merge(format!("{own}/roles/tentacular-webhook"), everything));
    attempts.push(merge(format!("{own}/rolebindings/tentacular-webhook"), json!({ "subjects": [eve] })));
    for policy in POLICIES {
        let policy = format!("tentacular-{policy}");
        let ignore = json!({ "spec": { "failurePolicy": "Ignore" } });
        attempts.push(merge(format!("{ADMISSION}/validatingadmissionpolicies/{policy}"), ignore));
        attempts.push(delete(format!("{ADMISSION}/validatingadmissionpolicies/{policy}")));
        let audit = json!({ "spec": { "validationActions": ["Audit"] } });
        attempts.push(merge(format!("{ADMISSION}/validatingadmissionpolicybindings/{policy}"), audit));
        attempts.push(delete(format!("{ADMISSION}/validatingadmissionpolicybindings/{policy}")));
    }
    refused_to(&ACCOUNTS, attempts).await
}

#[tokio::test]
async fn nobody_becomes_somebody_else() -> anyhow::Result<()> {
    let place = place().await?;
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let token = |namespace: &str, account: &str| {
        create(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"), request.clone())
    };
    let mut attempts = vec![
        token("kube-system", "namespace-controller"),
        token("default", "default"),
        token(&place.outside, VICTIM),
        token(&place.enclave, VICTIM),
        get("/apis/certificates.k8s.io/v1/certificatesigningrequests"),
        get("/api/v1/namespaces").posing_as("system:kube-controller-manager"),
        get("/api/v1/namespaces").posing_as("system:serviceaccount:kube-system:namespace-controller"),
    ];
    for account in ["tentacular-mcp", "tentacular-registrar", "tentacular-scheduler", "tentacular-webhook"] {
        attempts.push(token(SERVER_NAMESPACE, account));
        let secret = json!({ "metadata": { "name": "loot",
            "annotations": { "kubernetes.io/service-account.name": account } },
            "type": "kubernetes.io/service-account-token" });
        attempts.push(create(format!("/api/v1/namespaces/{SERVER_NAMESPACE}/secrets"), secret));
        let mut pod = json!({ "metadata": { "name": "loot" }, "spec": pod_spec() });
        pod["spec"]["serviceAccountName"] = json!(account);
        attempts.push(create(format!("/api/v1/namespaces/{SERVER_NAMESPACE}/pods"), pod));
    }
    refused_to(&ACCOUNTS, attempts).await
}

#[tokio::test]
async fn no_pod_is_entered_or_driven() -> anyhow::Result<()> {
    let place = place().await?;
    let node = format!("/api/v1/nodes/{NODE_NAME}");
    let mut attempts = Vec::new();
    // These lead on to the node, which is none here: only how far one gets can be seen.
    let mut connections = vec![get(format!("{node}/proxy/pods")), create(format!("{node}/proxy/run"), json!({}))];
    for namespace in [&place.outside, &place.enclave] {
        let pod = format!("/api/v1/namespaces/{namespace}/pods/{VICTIM}");
        let debugger = json!({ "spec": { "ephemeralContainers": [{ "name": "d", "image": "none",
            "securityContext": pod_spec()["containers"][0]["securityContext"] }] } });
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": VICTIM } });
        let scale = json!({ "spec": { "replicas": 0 } });
        let status = json!({ "status": { "phase": "Failed" } });
        attempts.push(strategic(format!("{pod}/ephemeralcontainers"), debugger));
        attempts.push(create(format!("{pod}/eviction"), eviction));
        attempts.push(merge(format!("{pod}/status"), status));
        let deployment = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{VICTIM}");
        attempts.push(merge(format!("{deployment}/scale"), scale));
        attempts.push(merge(format!("{deployment}/status"), json!({ "metadata": { "annotations": { "a": "b" } } })));
        for connection in ["exec?command=id&stdout=1", "attach?stdout=1", "portforward?ports=80", "proxy/"] {
            connections.push(get(format!("{pod}/{connection}")));
            connections.push(create(format!("{pod}/{connection}"), json!({})));
        }
    }
    connections.push(get(format!("/api/v1/namespaces/{}/pods/{VICTIM}/log", place.outside)));
    refused_to(&ACCOUNTS, attempts).await?;
    all_reached(&admin().await?, connections.clone()).await?;
    refused_by_rbac(&ACCOUNTS, connections).await
}
