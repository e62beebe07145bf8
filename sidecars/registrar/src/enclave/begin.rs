//! The first write of `enclave_provision`: the namespace, marked as being provisioned, whose annotations say what the
//! enclave is to be. A call that takes up an unfinished one writes there what it was asked for before it goes on, so
//! that of several calls with other arguments only the last one finishes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::json;
use tentacular_cluster::{Error, Metadata, retry_on_conflict_or_outage};
use tentacular_contract::{Enclave, Status, keys};
use tentacular_process::link::ToolError;

use super::{objects, request::Request, room::is_same, view::annotation};
use crate::registrar::Registrar;

/// A namespace that is being made into an enclave.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) uid: String,
    /// Whether this call made the namespace, so that it is this call's to remove.
    pub(super) ours: bool,
}

impl Registrar {
    /// Makes the namespace, or takes up the one that an earlier call of the same owner left unfinished. Tries for `limit`.
    pub(super) async fn begin(
        &self,
        request: &Request,
        limited: bool,
        now: &str,
        limit: Duration,
    ) -> Result<Begun, ToolError> {
        let name = request.name.as_str();
        // Whether a namespace may have been made by this call, though the answer was lost.
        let lost = AtomicBool::new(false);
        let attempt = || async {
            let found = self.impatient().all::<Metadata<Namespace>>().get(name).await?;
            let found = match found.map(|found| self.require_unfinished(request, found.metadata)).transpose() {
                Ok(found) => found,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if limited && let Some(full) = self.is_full(request, None).await? {
                return Ok(Err(full.into()));
            }
            let Some(found) = found else {
                let made = self.make_namespace(request, now).await;
                lost.fetch_or(made.as_ref().is_err_and(Error::is_unavailable), Ordering::Relaxed);
                return made.map(|uid| Ok(Begun { uid, ours: true }));
            };
            let ours =
                lost.load(Ordering::Relaxed) && annotation(&found, keys::ENCLAVE_CREATED_AT).as_deref() == Some(now);
            let uid = self.claim(request, found, now).await?;
            Ok(Ok(Begun { uid, ours }))
        };
        retry_on_conflict_or_outage(limit, attempt).await.map_err(|error| {
            let known =
                if error.is_unavailable() { "; if it was made all the same, a repeat goes on with it" } else { "" };
            ToolError::new(format_args!("enclave {name} was not made: {error}{known}"))
        })?
    }

    /// The metadata of a namespace that is there already, if it is the unfinished enclave of the same owner.
    fn require_unfinished(&self, request: &Request, found: ObjectMeta) -> Result<ObjectMeta, ToolError> {
        let name = request.name.as_str();
        let taken = || ToolError::new(format_args!("namespace {name:?} already exists; choose another name"));
        let enclave = self.facts(&found).ok_or_else(taken)?;
        if !is_same(enclave.owner.as_ref(), &request.owner) {
            return Err(taken());
        }
        if enclave.terminating {
            return Err(ToolError::new(format_args!(
                "namespace {name:?} is still being deleted; call enclave_provision again when it is gone"
            )));
        }
        if enclave.status != Status::Provisioning {
            return Err(exists(&enclave));
        }
        Ok(found)
    }

    /// Makes the namespace, and returns its uid.
    async fn make_namespace(&self, request: &Request, now: &str) -> Result<String, Error> {
        let annotations = request.annotations(Status::Provisioning, now, now);
        let namespace = objects::namespace(request.name.as_str(), annotations);
        match self.impatient().all::<Namespace>().create(&namespace).await {
            Err(Error::AlreadyExists { object }) => Err(made_meanwhile(object)),
            made => made.map(|made| made.metadata.uid.unwrap_or_default()),
        }
    }

    /// Writes what the request asks for on a namespace that is there, and returns its uid.
    async fn claim(&self, request: &Request, found: ObjectMeta, now: &str) -> Result<String, Error> {
        let uid = found.uid.clone().unwrap_or_default();
        if request.describes(&found) {
            return Ok(uid);
        }
        let created_at = annotation(&found, keys::ENCLAVE_CREATED_AT).unwrap_or_else(|| now.to_owned());
        let patch = json!({ "metadata": {
            "uid": found.uid, "resourceVersion": found.resource_version,
            "annotations": request.annotations(Status::Provisioning, &created_at, now),
        } });
        self.impatient().all::<Metadata<Namespace>>().patch(request.name.as_str(), &patch).await?;
        Ok(uid)
    }
}

/// An object that was not there a moment ago: to be looked at again.
pub(super) fn made_meanwhile(object: String) -> Error {
    Error::Conflict { object, message: "it was made meanwhile".to_owned() }
}

/// The refusal of a name that is an enclave's, to its owner.
pub(super) fn exists(enclave: &Enclave) -> ToolError {
    ToolError::new(format_args!(
        "enclave {} already exists, {}, of the same owner; enclave_info shows it",
        enclave.name,
        enclave.status.as_str()
    ))
}
