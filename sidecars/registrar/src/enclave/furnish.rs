//! What makes a namespace an enclave: the server's rights there, the objects that every enclave has, and last the status
//! that says so.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;
use tentacular_cluster::{Conflicts, Error, Metadata, Namespaced, retry_on_conflict_or_outage};
use tentacular_contract::{Enclave, Status, keys};
use tokio::time::Instant;

use super::{
    begin::{Begun, made_meanwhile},
    bindings, objects, quota,
    request::Request,
    room::Full,
};
use crate::registrar::Registrar;

/// Why an enclave was not finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfinished {
    #[error(transparent)]
    Failed(#[from] Error),
    #[error(transparent)]
    Full(#[from] Full),
    #[error("its namespace was removed meanwhile")]
    Gone,
    /// The namespace says that it is, or is to be, another one than was asked for.
    #[error("another call makes it with other arguments, or has made it; enclave_info shows it")]
    Superseded,
}

/// An enclave that is being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making<'a> {
    pub(super) request: &'a Request,
    pub(super) begun: &'a Begun,
    /// Whether the owner may have a limited number of them.
    pub(super) limited: bool,
    /// RFC 3339 time.
    pub(super) now: &'a str,
    /// When trying ends.
    pub(super) until: Instant,
}

impl Making<'_> {
    fn name(&self) -> &str {
        self.request.name.as_str()
    }

    fn limit(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl Registrar {
    /// Makes everything inside, and at last marks the enclave active. Returns the namespace's metadata, as it is then.
    pub(super) async fn furnish(&self, making: Making<'_>) -> Result<ObjectMeta, Unfinished> {
        let name = making.name();
        // First, since the right to make all the rest comes from them.
        let bind = || bindings::bind(&self.cluster, &self.platform.server_namespace, name);
        retry_on_conflict_or_outage(making.limit(), bind).await?;
        self.put(making, &objects::default_deny()).await?;
        self.put(making, &objects::allow_dns()).await?;
        quota::enforce(&self.impatient(), name, making.limit()).await?;
        self.put(making, &objects::limit_range()).await?;
        self.put(making, &objects::workflow_account()).await?;
        self.activate(making).await
    }

    /// Makes an object that is the same in every enclave, or puts it right where an earlier call, or somebody else, made
    /// it.
    async fn put<K>(&self, making: Making<'_>, object: &K) -> Result<(), Error>
    where
        K: Namespaced + k8s_openapi::Metadata<Ty = ObjectMeta>,
    {
        let objects = self.impatient().namespaced::<K>(making.name());
        let attempt = || async {
            let taken = match bindings::once_bound(|| objects.create(object)).await {
                Err(Error::AlreadyExists { object }) => object,
                made => return made.map(drop),
            };
            let name = object.metadata().name.as_deref().unwrap_or_default();
            let Some(live) = objects.get(name).await? else { return Err(made_meanwhile(taken)) };
            // In this order: what somebody changes in a finished enclave is theirs, and a change after this look makes
            // the write fail.
            if !self.is_unfinished(making).await? {
                return Ok(());
            }
            let mut object = object.clone();
            object.metadata_mut().uid.clone_from(&live.metadata().uid);
            object.metadata_mut().resource_version.clone_from(&live.metadata().resource_version);
            objects.apply(&object, Conflicts::TakeOver).await.map(drop)
        };
        retry_on_conflict_or_outage(making.limit(), attempt).await
    }

    async fn is_unfinished(&self, making: Making<'_>) -> Result<bool, Error> {
        let found = self.look(making).await?;
        Ok(found.is_some_and(|(_, enclave)| enclave.status == Status::Provisioning))
    }

    /// The namespace, as long as it is the one that was begun and is not being deleted.
    async fn look(&self, making: Making<'_>) -> Result<Option<(ObjectMeta, Enclave)>, Error> {
        let found = self.impatient().all::<Metadata<Namespace>>().get(making.name()).await?;
        let found = found.map(|found| found.metadata).filter(|found| found.uid.as_ref() == Some(&making.begun.uid));
        let enclave = found.as_ref().and_then(|found| self.facts(found)).filter(|enclave| !enclave.terminating);
        Ok(found.zip(enclave))
    }

    /// Marks the enclave active, unless another call did, or its owner has too many.
    async fn activate(&self, making: Making<'_>) -> Result<ObjectMeta, Unfinished> {
        let namespaces = self.impatient().all::<Metadata<Namespace>>();
        // Whether it may have been marked by this call, though the answer was lost.
        let lost = AtomicBool::new(false);
        let attempt = || async {
            let Some((found, enclave)) = self.look(making).await? else { return Ok(Err(Unfinished::Gone)) };
            // Whoever goes on with it asked for the same, or goes on with something else.
            let same = making.request.describes(&found);
            if enclave.status != Status::Provisioning {
                let done = same || lost.load(Ordering::Relaxed);
                return Ok(if done { Ok(found) } else { Err(Unfinished::Superseded) });
            }
            if !same {
                return Ok(Err(Unfinished::Superseded));
            }
            if making.limited
                && let Some(full) = self.is_full(making.request, Some(&found)).await?
            {
                return Ok(Err(full.into()));
            }
            let patch = json!({ "metadata": {
                "uid": found.uid, "resourceVersion": found.resource_version, "annotations": {
                    keys::ENCLAVE_STATUS: Status::Active.as_str(), keys::ENCLAVE_UPDATED_AT: making.now,
                },
            } });
            let written = namespaces.patch(making.name(), &patch).await;
            lost.fetch_or(written.as_ref().is_err_and(Error::is_unavailable), Ordering::Relaxed);
            Ok(Ok(written?.metadata))
        };
        retry_on_conflict_or_outage(making.limit(), attempt).await?
    }
}
