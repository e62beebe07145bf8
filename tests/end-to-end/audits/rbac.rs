//! `audit_rbac`.

use serde_json::{Value, json};

use super::ground::{Place, recorded};

const API: &str = "rbac.authorization.k8s.io/v1";

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({ "apiVersion": API, "kind": kind, "metadata": { "name": name }, "rules": rules })
}

fn binding(kind: &str, name: &str, role: (&str, &str), subjects: &Value) -> Value {
    json!({
        "apiVersion": API, "kind": kind, "metadata": { "name": name }, "subjects": subjects,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1 },
    })
}

#[tokio::test]
async fn e2e_audits_rbac_says_nothing_against_a_fresh_enclave_and_what_the_client_deploys() -> anyhow::Result<()> {
    let place = Place::new("rbac").await?;
    assert_eq!(place.findings("audit_rbac").await?, [""; 0]);
    for arguments in recorded(&place.enclave) {
        place.bearer.call("wf_apply", arguments).await?;
    }
    assert_eq!(place.findings("audit_rbac").await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn e2e_audits_rbac_finds_rights_in_the_enclave_and_each_remedy_takes_them_away() -> anyhow::Result<()> {
    let place = Place::new("rbac-inside").await?;
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods", "secrets", "pods/exec", "services/proxy"], "verbs": ["get"] },
        { "apiGroups": ["*"], "resources": ["deployments"], "verbs": ["*"] },
        { "apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"] },
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "*"], "verbs": ["bind", "get"] },
    ]);
    place.create(role("Role", "wide", &rules)).await?;
    let (own, other) = (
        json!({ "kind": "ServiceAccount", "namespace": place.enclave, "name": "tentacular-workflow" }),
        json!({ "kind": "ServiceAccount", "namespace": "team-z", "name": "x" }),
    );
    let group = |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name });
    let subjects = json!([own, other, group("system:authenticated")]);
    place.create(binding("RoleBinding", "to-wide", ("Role", "wide"), &subjects)).await?;
    place.create(binding("RoleBinding", "editors", ("ClusterRole", "edit"), &json!([own]))).await?;
    place.create(binding("RoleBinding", "viewers", ("ClusterRole", "view"), &json!([own]))).await?;
    place.create(binding("RoleBinding", "to-nothing", ("ClusterRole", "of-nobody"), &json!([own]))).await?;

    let found = place.findings("audit_rbac").await?;
    for expected in [
        "high Role/wide rules[1].verbs[0]",
        "high Role/wide rules[2].resources[0]",
        "high Role/wide rules[3].resources[1]",
        "high Role/wide rules[3].verbs[0]",
        "medium Role/wide rules[0].resources[1]",
        "medium Role/wide rules[0].resources[2]",
        "medium Role/wide rules[0].resources[3]",
        "medium Role/wide rules[1].apiGroups[0]",
        "high RoleBinding/to-wide subjects[2]",
        "medium RoleBinding/to-wide subjects[1]",
        "high RoleBinding/editors roleRef",
        "medium RoleBinding/editors roleRef",
        "low RoleBinding/viewers roleRef",
        "low RoleBinding/to-nothing roleRef",
    ] {
        assert!(found.iter().any(|found| found == expected), "{expected}: {found:?}");
    }
    let audit = place.audit("audit_rbac").await?;
    for finding in audit["findings"].as_array().unwrap() {
        for member in ["role", "rule", "severity", "reason", "remediation"] {
            assert!(finding[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {finding}");
        }
        let foreign = finding.to_string().contains("tentacular-enclave-");
        assert!(!foreign, "the server's own are not accused: {finding}");
    }
    assert!(!place.mend_all("audit_rbac").await?.is_empty());
    // What is not accused is there as it was.
    assert_eq!(place.bearer.call("wf_list", json!({ "enclave": place.enclave })).await?["workflows"], json!([]));
    Ok(())
}

#[tokio::test]
async fn e2e_audits_rbac_finds_what_the_enclaves_accounts_may_do_in_the_whole_cluster() -> anyhow::Result<()> {
    let (place, beside) = (Place::new("rbac-cluster").await?, Place::new("rbac-beside").await?);
    let rules = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["list"] }]);
    let (name, harmless) = (format!("{}-reads", place.enclave), format!("{}-harmless", place.enclave));
    place.create(role("ClusterRole", &name, &rules)).await?;
    let pods = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }]);
    place.create(role("ClusterRole", &harmless, &pods)).await?;
    let others = json!({ "kind": "ServiceAccount", "namespace": "team-z", "name": "x" });
    let group = format!("system:serviceaccounts:{}", place.enclave);
    let own = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group });
    let account = json!({ "kind": "ServiceAccount", "namespace": place.enclave, "name": "default" });
    let subjects = json!([others, own]);
    place.create(binding("ClusterRoleBinding", &name, ("ClusterRole", &name), &subjects)).await?;
    place.create(binding("ClusterRoleBinding", &harmless, ("ClusterRole", &harmless), &json!([account]))).await?;

    let found = place.findings("audit_rbac").await?;
    let expected = [&harmless, &name].map(|name| format!("medium ClusterRoleBinding/{name} roleRef"));
    assert_eq!(found, expected);
    assert_eq!(beside.findings("audit_rbac").await?, [""; 0], "another enclave has nothing of it");
    assert_eq!(place.mend_all("audit_rbac").await?.len(), 2);
    let bindings = kube::Api::<k8s_openapi::api::rbac::v1::ClusterRoleBinding>::all(place.admin.clone());
    let left = bindings.get(&name).await?.subjects.unwrap_or_default();
    assert_eq!(left.len(), 1, "the other one stays: {left:?}");
    for name in [&name, &harmless] {
        bindings.delete(name, &kube::api::DeleteParams::default()).await?;
        let cluster_roles = kube::Api::<k8s_openapi::api::rbac::v1::ClusterRole>::all(place.admin.clone());
        cluster_roles.delete(name, &kube::api::DeleteParams::default()).await?;
    }
    Ok(())
}
