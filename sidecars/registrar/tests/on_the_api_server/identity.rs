//! Tentacles that are known by who they are: identities of SPIRE, and NATS by them.

mod nats;
mod spire;

use std::{future::Future, time::Duration};

use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Error};
use tentacular_test_harness::{ControlPlane, Scratch, installation::SERVER_NAMESPACE};

use crate::{
    backing::WORKFLOW,
    world::{World, person, until},
};

/// Only what hangs takes that long.
const HANGS: Duration = Duration::from_mins(3);

/// A contract that asks for messages.
fn workflow() -> String {
    WORKFLOW.replace("tentacular-postgres: {protocol: postgresql}", "tentacular-nats: {protocol: nats}")
}

/// What `exo_status` says, once it is what was waited for. The services are probed again and again.
async fn status(world: &World, awaited: impl Fn(&Value) -> bool) -> Value {
    until("the status is what it should be", async || {
        let status = world.call(&person("rob@x.io"), "exo_status", json!({})).await.unwrap();
        (status["services"] != json!([]) && awaited(&status)).then_some(status)
    })
    .await
}

/// The cluster as the registrar's account has it, once that may do what `may` tries.
async fn as_registrar<F: Future<Output = Result<(), Error>>>(may: impl Fn(Cluster) -> F) -> Cluster {
    let control_plane = ControlPlane::shared().await.unwrap();
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("kubeconfig");
    control_plane.kubeconfig_as(SERVER_NAMESPACE, "tentacular-registrar", &path).await.unwrap();
    let cluster = Cluster::from_kubeconfig("test", &path).await.unwrap();
    until("the registrar may not", async || {
        let tried = may(cluster.clone()).await;
        (!tried.is_err_and(|error| error.is_forbidden())).then_some(())
    })
    .await;
    cluster
}

/// What it says of one service.
fn of<'a>(status: &'a Value, service: &str) -> &'a Value {
    let services = status["services"].as_array().unwrap();
    services.iter().find(|shown| shown["name"] == service).unwrap()
}
