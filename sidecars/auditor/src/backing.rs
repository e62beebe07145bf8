//! The backing services, as the registrar found them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use tentacular_cluster::{Cluster, Error};
use tentacular_contract::{
    backing::{self, Found, Service, Unreadable},
    keys,
};

/// What is written of each service; empty where none is configured.
pub(crate) async fn services(
    cluster: &Cluster,
    server_namespace: &str,
) -> Result<Vec<Result<(Service, Found), Unreadable>>, Error> {
    let found = cluster.namespaced::<ConfigMap>(server_namespace).get(keys::BACKING_SERVICES).await?;
    Ok(found.map_or_else(Vec::new, |found| backing::read(found.data.as_ref().unwrap_or(&BTreeMap::new()))))
}
