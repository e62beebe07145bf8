//! Waits until the chart's admission policies are in force: the API server takes them up some time after it stored them.

use anyhow::{Context as _, bail};
use http::{Request, header::CONTENT_TYPE, request::Builder};
use kube::Client;
use serde_json::{Value, json};

use crate::{installation::SERVER_NAMESPACE, part::Part, until};

/// Waits until each policy refuses what it is there to refuse. `admin` may do everything, impersonation included.
pub(crate) async fn in_force(admin: &Client) -> anyhow::Result<()> {
    for probe in probes()? {
        until(format!("policy {} is in force", probe.policy), async || probe.refused(admin).await).await?;
    }
    Ok(())
}

/// A dry run that nothing but one policy refuses.
struct Probe {
    policy: &'static str,
    request: Request<Vec<u8>>,
}

impl Probe {
    async fn refused(&self, client: &Client) -> anyhow::Result<()> {
        let policy = self.policy;
        match client.request_text(self.request.clone()).await {
            Ok(_) => bail!("the probe is allowed"),
            Err(kube::Error::Api(status)) if status.message.contains(&format!("'{policy}'")) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("the probe of policy {policy} fails by another cause")),
        }
    }
}

/// One for each policy.
fn probes() -> anyhow::Result<[Probe; 7]> {
    let named = json!({ "metadata": { "name": "probe" } });
    let role = json!({ "kind": "ClusterRole", "name": "tentacular-enclave-reader" });
    let bound = json!({ "metadata": { "name": "probe" }, "roleRef": role });
    let labelled = json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "tentacular" } } });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let probes = [
        ("tentacular-namespaces", all_powerful(Part::Registrar, "/api/v1/namespaces", &named)?),
        ("tentacular-bindings", request(Request::post(dry_run(bindings)), "application/json", &bound)?),
        ("tentacular-label", by_the_garbage_collector("/api/v1/namespaces/default", &labelled)?),
        ("tentacular-webhook-configuration", all_powerful(Part::Webhook, configurations, &named)?),
        ("tentacular-leader", all_powerful(Part::Scheduler, leases, &named)?),
        ("tentacular-module-proxy", all_powerful(Part::Registrar, deployments, &deployment())?),
        ("tentacular-ledgers", all_powerful(Part::Scheduler, "/api/v1/namespaces/default/configmaps", &named)?),
    ];
    Ok(probes.map(|(policy, request)| Probe { policy, request }))
}

/// A Deployment that the API server takes.
fn deployment() -> Value {
    let labels = json!({ "name": "probe" });
    let pod = json!({ "containers": [{ "name": "probe", "image": "none" }] });
    json!({ "metadata": { "name": "probe" }, "spec": { "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": pod } } })
}

/// Creates `body` as the part's account would if it had every right, so that RBAC does not refuse it first.
fn all_powerful(part: Part, path: &str, body: &Value) -> anyhow::Result<Request<Vec<u8>>> {
    let user = format!("system:serviceaccount:{SERVER_NAMESPACE}:{}", part.account());
    let request_as = Request::post(dry_run(path)).header("impersonate-user", user);
    request(request_as.header("impersonate-group", "system:masters"), "application/json", body)
}

/// Patches as somebody who may change every object, and is no administrator of enclaves.
fn by_the_garbage_collector(path: &str, change: &Value) -> anyhow::Result<Request<Vec<u8>>> {
    let user = "system:serviceaccount:kube-system:generic-garbage-collector";
    let request_as = Request::patch(dry_run(path)).header("impersonate-user", user);
    request(request_as, "application/merge-patch+json", change)
}

fn dry_run(path: &str) -> String {
    format!("{path}?dryRun=All")
}

fn request(builder: Builder, content: &str, body: &Value) -> anyhow::Result<Request<Vec<u8>>> {
    Ok(builder.header(CONTENT_TYPE, content).body(serde_json::to_vec(body)?)?)
}
