//! What a list costs the API server.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{
    Client,
    api::{Api, PostParams},
};
use serde_json::{Value, from_value, json};
use tentacular_test_harness::{
    ControlPlane, FaultProxy, Installation, Part, Stack, background, fault_proxy::Call,
    installation::SERVER_NAMESPACE, mcp::Era, stack::Options, until,
};

use crate::support::until_listed;

const ENCLAVES: usize = 50;
const TENTACLES: usize = 10;
/// Requests at once.
const AT_ONCE: usize = 16;
/// What the auditor needs to read in an enclave.
const READER: &str = "tentacular-enclave-reader";

/// A kernel and an auditor whose requests are recorded, where nobody else looks after so many enclaves.
async fn recorded() -> anyhow::Result<(Stack, Arc<FaultProxy>)> {
    let start = async {
        let installation = Arc::new(Installation::install(ControlPlane::exclusive().await?).await?);
        let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
        let options = Options {
            without: vec![Part::Registrar, Part::Scheduler],
            through: BTreeMap::from([(Part::Auditor, Arc::clone(&proxy))]),
            ..Options::default()
        };
        let stack = Stack::start_with(installation, options).await?;
        until_listed(&stack, "wf_list", true).await?;
        anyhow::Ok((stack, proxy))
    };
    background().spawn(start).await?
}

async fn make(admin: &Client, enclave: &str) -> anyhow::Result<()> {
    let managed = json!({ "app.kubernetes.io/managed-by": "tentacular" });
    let namespace = json!({ "metadata": { "name": enclave, "labels": managed,
        "annotations": { "tentacular.io/enclave": enclave, "tentacular.io/enclave-owner": "ann@example.com" } } });
    Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &from_value(namespace)?).await?;
    let binding = json!({
        "metadata": { "name": READER, "labels": managed },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER },
        "subjects": [{ "kind": "ServiceAccount", "name": "tentacular-mcp", "namespace": SERVER_NAMESPACE }] });
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), enclave);
    bindings.create(&PostParams::default(), &from_value(binding)?).await?;
    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), enclave);
    for number in 0..TENTACLES {
        let name = format!("t-{number}");
        let labels = json!({ "app.kubernetes.io/managed-by": "tentacular", "tentacular.io/release": name });
        let containers = json!([{ "name": "engine", "image": "example.com/engine" }]);
        let deployment = json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "replicas": 0, "selector": { "matchLabels": { "tentacular.io/release": name } },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } } } });
        // A busy machine may lose the way to the webhook for a moment.
        let deployment: Deployment = from_value(deployment)?;
        until("it is made", async || match deployments.create(&PostParams::default(), &deployment).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            made => made.map(drop).map_err(Into::into),
        })
        .await?;
    }
    Ok(())
}

/// The names on all pages.
async fn listed(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let mcp = stack.client(Era::Stateless).await?;
    let (mut names, mut asked) = (Vec::new(), json!({}));
    loop {
        let page = mcp.call("wf_list", asked.clone()).await?;
        let entries = page["workflows"].as_array().unwrap().iter();
        let of =
            |entry: &Value| format!("{}/{}", entry["enclave"].as_str().unwrap(), entry["name"].as_str().unwrap());
        names.extend(entries.map(of));
        let Some(cursor) = page.get("next_cursor") else { return Ok(names) };
        asked["cursor"] = cursor.clone();
    }
}

#[tokio::test]
async fn e2e_observe_a_list_of_500_tentacles_costs_the_api_server_no_request() -> anyhow::Result<()> {
    let (stack, proxy) = recorded().await?;
    let admin = stack.installation().control_plane().admin()?;
    let enclaves: Vec<_> = (0..ENCLAVES).map(|number| format!("many-{number:02}")).collect();
    stream::iter(&enclaves)
        .map(|enclave| make(&admin, enclave))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    until("the auditor sees all tentacles", async || {
        ensure!(listed(&stack).await?.len() == ENCLAVES * TENTACLES);
        Ok(())
    })
    .await?;
    // A watch that breaks off begins with a list: that is not what a call costs, so it does not happen time and again.
    let asked = |call: &Call| call.resource() != "namespaces" && !call.query.contains("watch=true");
    let mcp = stack.client(Era::Stateless).await?;
    let mut costs = Vec::new();
    for _ in 0..3 {
        proxy.start_afresh();
        for _ in 0..10 {
            let names = listed(&stack).await?;
            assert_eq!(names.len(), ENCLAVES * TENTACLES);
            assert!(names.is_sorted());
        }
        let one = mcp.call("wf_list", json!({ "enclave": enclaves[7] })).await?;
        assert_eq!(one["workflows"].as_array().unwrap().len(), TENTACLES);
        let calls = proxy.calls().into_iter().filter(asked);
        costs = calls.map(|call| format!("{} {}?{}", call.method, call.path, call.query)).collect();
        if costs.is_empty() {
            break;
        }
    }
    assert_eq!(costs, [""; 0]);
    // The count can tell: what cannot be answered from a watch is on record.
    mcp.call("wf_pods", json!({ "enclave": enclaves[7] })).await?;
    assert!(proxy.calls().iter().any(asked));
    Ok(())
}
