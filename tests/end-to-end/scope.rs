//! The product's accounts can do what they must, and nothing cluster-wide beyond it.

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::api::{Api, PostParams};
use serde_json::json;
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE};

use crate::support::{client, enclave, stack};

async fn may(part: Part, verb: &str, group: &str, resource: &str, namespace: &str) -> anyhow::Result<bool> {
    let control_plane = stack().await?.installation().control_plane();
    let account = control_plane.client_as(SERVER_NAMESPACE, part.account()).await?;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SelfSubjectAccessReview = serde_json::from_value(
        json!({ "metadata": {}, "spec": { "resourceAttributes": {
        "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace } } }),
    )?;
    let answer = Api::all(account).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[tokio::test]
async fn no_account_touches_workloads_or_secrets_outside_of_enclaves() -> anyhow::Result<()> {
    for part in [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor, Part::Webhook] {
        for namespace in ["", "default", "kube-system", SERVER_NAMESPACE] {
            for (group, resource) in [("", "secrets"), ("", "configmaps"), ("apps", "deployments"), ("batch", "jobs")]
            {
                for verb in ["list", "create", "delete"] {
                    let allowed = may(part, verb, group, resource, namespace).await?;
                    assert!(!allowed, "{part:?} may {verb} {resource} in {namespace:?}");
                }
            }
            for (verb, group, resource) in [
                ("create", "", "pods"),
                ("create", "", "pods/exec"),
                ("create", "", "serviceaccounts/token"),
                ("impersonate", "", "users"),
                ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
                ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
                ("patch", "rbac.authorization.k8s.io", "rolebindings"),
            ] {
                assert!(!may(part, verb, group, resource, namespace).await?, "{part:?} may {verb} {resource}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn inside_an_enclave_each_account_has_its_own_part() -> anyhow::Result<()> {
    let name = enclave(&client().await?, "scope").await?;
    assert!(may(Part::Registrar, "create", "apps", "deployments", &name).await?);
    assert!(may(Part::Registrar, "create", "", "secrets", &name).await?);
    assert!(may(Part::Scheduler, "get", "apps", "deployments", &name).await?);
    assert!(!may(Part::Scheduler, "patch", "apps", "deployments", &name).await?);
    assert!(may(Part::Auditor, "list", "", "pods", &name).await?);
    for part in [Part::Kernel, Part::Auditor, Part::Scheduler] {
        assert!(!may(part, "get", "", "secrets", &name).await?, "{part:?} may read Secrets");
    }
    for part in [Part::Registrar, Part::Scheduler] {
        assert!(!may(part, "list", "", "events", &name).await?, "{part:?} may read Events");
        assert!(!may(part, "update", "", "configmaps", &name).await?, "{part:?} may replace ConfigMaps");
    }
    Ok(())
}
