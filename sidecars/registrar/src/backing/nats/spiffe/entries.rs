//! The file with the server's users, in a `ConfigMap` that others write too.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;
use tentacular_cluster::{Cluster, Conflicts, Error, Objects, retry_on_conflict};
use tentacular_contract::keys;

use super::settings::SpiffeArgs;
use crate::backing::service::Failure;

/// The key that has the file.
const FILE: &str = "authorization.conf";
/// How long a file that others write at the same time is tried again.
const CONTENDED: Duration = Duration::from_secs(20);

/// That file.
#[derive(Debug)]
pub(super) struct Entries {
    maps: Objects<ConfigMap>,
    namespace: String,
    name: String,
}

impl Entries {
    pub(super) fn new(cluster: &Cluster, SpiffeArgs { config_map, namespace, .. }: &SpiffeArgs) -> Self {
        let maps = cluster.namespaced::<ConfigMap>(namespace);
        Self { maps, namespace: namespace.clone(), name: config_map.clone() }
    }

    /// What `of` finds in the file, which is empty where there is none. The error of `of` says what is wrong with it.
    pub(super) async fn read<T>(&self, of: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Failure> {
        let map = self.maps.get(&self.name).await?;
        of(&map.map(text).unwrap_or_default()).map_err(|problem| self.refused(&problem))
    }

    /// Makes the file what `edit` says, which is asked again where somebody else writes at the same time. Returns whether there was
    /// something to change.
    pub(super) async fn change(
        &self,
        edit: impl Fn(&str) -> Result<Option<String>, String>,
    ) -> Result<bool, Failure> {
        let changed = retry_on_conflict(CONTENDED, async || {
            let map = match self.maps.get(&self.name).await? {
                Some(map) => map,
                None if matches!(edit(""), Ok(Some(_))) => self.make().await?,
                None => return Ok(Ok(false)),
            };
            self.write(map, &edit).await
        });
        changed.await?.map_err(|problem| self.refused(&problem))
    }

    async fn write(
        &self,
        map: ConfigMap,
        edit: impl Fn(&str) -> Result<Option<String>, String>,
    ) -> Result<Result<bool, String>, Error> {
        let version = map.metadata.resource_version.clone();
        match edit(&text(map)) {
            Ok(Some(file)) => {
                let change = json!({ "metadata": { "resourceVersion": version }, "data": { FILE: file } });
                self.maps.patch(&self.name, &change).await?;
                Ok(Ok(true))
            }
            Ok(None) => Ok(Ok(false)),
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// Makes the `ConfigMap` without the file. Whoever did so at the same time, and has written the file already, loses nothing, as
    /// that is not written by server-side apply; and this can be allowed by name, which a plain create cannot.
    async fn make(&self) -> Result<ConfigMap, Error> {
        let labels = [(keys::MANAGED_BY, keys::TENTACULAR), (keys::EXOSKELETON, "true")];
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        };
        self.maps.apply(&ConfigMap { metadata, ..ConfigMap::default() }, Conflicts::TakeOver).await
    }

    fn refused(&self, problem: &str) -> Failure {
        Failure::Refused(format!(
            "ConfigMap {}/{}, {FILE}: {problem}; nothing was written there",
            self.namespace, self.name
        ))
    }
}

fn text(map: ConfigMap) -> String {
    map.data.unwrap_or_default().remove(FILE).unwrap_or_default()
}
