//! `enclave_provision`: makes an enclave as a whole, or removes what it made. The namespace is marked as being
//! provisioned until all is there, so that a repeat of the call knows where it may go on.

use std::{sync::Arc, time::Duration};

use chrono::{SecondsFormat, Utc};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tentacular_cluster::{Conflicts, Error, Metadata, Namespaced, Selector};
use tentacular_contract::{Authz, Email, Enclave, EnclaveName, Needs, On, Status, caller::Owner, keys};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::timeout;

use super::{
    bindings, objects,
    request::{Arguments, Request},
    undo,
};
use crate::registrar::Registrar;

/// How long the answer waits until this process's own lists show the enclave.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// What `enclave_provision` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "enclave_provision",
        "Make an enclave",
        "Makes an enclave: a namespace that belongs to one team, with network policies, quota and limits. The caller \
         becomes its owner; with the bearer token owner_email names the owner. Either all of it is made or nothing; \
         a repeat of a call that was cut off goes on where it stopped.",
        Authz::new(On::Caller, Needs::None).within_seconds(120),
    )
}

/// The enclave that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Provisioned {
    /// Name of the enclave.
    name: String,
    /// The same: what other tools take as `enclave`.
    enclave: String,
    /// `active`: it can be used.
    status: &'static str,
    /// How much it may use: small, medium or large.
    quota_preset: &'static str,
    /// Email address of its owner.
    owner: String,
    /// Email addresses of its members.
    members: Vec<String>,
    /// What members and others may do in it, nine characters.
    mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    /// Mode of tentacles created in it later, nine characters.
    default_mode: String,
    /// RFC 3339 time at which it was made.
    created_at: String,
    /// What was made, as kind/name; annotation/enclave-metadata stands for the namespace's annotations.
    resources_created: Vec<String>,
}

/// Makes the enclave that the arguments describe.
pub(crate) async fn provision(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Provisioned, ToolError> {
    let request = Request::read(&arguments, permitted.caller(), &registrar.platform)?;
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let begun = {
        // One at a time between counting an owner's enclaves and making the next.
        let _counting = registrar.provisioning.lock().await;
        if permitted.caller().identity().is_some() {
            registrar.require_room_for(&request).await?;
        }
        registrar.begin(&request, &now).await?
    };
    if let Err(error) = registrar.furnish(&request, &begun, &now).await {
        if !begun.ours {
            return Err(ToolError::new(format_args!(
                "enclave {} is not finished: {error}; repeat the call to go on",
                request.name
            )));
        }
        return Err(undo::undo(&registrar, &request.name, &begun.uid, &error).await);
    }
    // Without this, a list asked for right after could lack the enclave.
    let _ = timeout(SEEN_WITHIN, registrar.sees_active(&request.name)).await;
    Ok(answer(&request, begun.created_at))
}

/// A namespace that is being made into an enclave.
#[derive(Debug)]
struct Begun {
    uid: String,
    created_at: String,
    /// Whether this call made the namespace, so that it is this call's to remove.
    ours: bool,
}

impl Registrar {
    /// Refuses an owner who has as many enclaves as one may have. Enclaves that are being deleted do not count.
    async fn require_room_for(&self, request: &Request) -> Result<(), ToolError> {
        let namespaces = self.cluster.all::<Metadata<Namespace>>();
        let namespaces = namespaces.list(&Selector::labels(keys::MANAGED_SELECTOR)).await?;
        let enclaves = namespaces.iter().filter_map(|namespace| self.facts(&namespace.metadata));
        let others = enclaves.filter(|enclave| !enclave.terminating && enclave.name != request.name);
        let count = others.filter(|other| same(other.owner.as_ref(), &request.owner)).count();
        let limit = self.enclaves_per_owner;
        if count < limit {
            return Ok(());
        }
        let owner = request.owner.email.as_ref().map(Email::as_str).unwrap_or_default();
        Err(ToolError::new(format_args!(
            "owner {owner:?} already has {count} enclaves (limit: {limit}); one of them must go first, \
             or an administrator make this one"
        )))
    }

    /// Makes the namespace, or takes up the one that an earlier call of the same owner left unfinished.
    async fn begin(&self, request: &Request, now: &str) -> Result<Begun, ToolError> {
        let name = request.name.as_str();
        let taken = || ToolError::new(format_args!("namespace {name:?} already exists; choose another name"));
        if let Some(found) = self.cluster.all::<Metadata<Namespace>>().get(name).await? {
            let unfinished = self.facts(&found.metadata).filter(|enclave| {
                enclave.status == Status::Provisioning && same(enclave.owner.as_ref(), &request.owner)
            });
            return match unfinished {
                Some(enclave) if enclave.terminating => Err(ToolError::new(format_args!(
                    "namespace {name:?} is still being deleted; call enclave_provision again when it is gone"
                ))),
                Some(_) => Ok(resumed(&found.metadata, now)),
                None => Err(self.facts(&found.metadata).map_or_else(taken, |enclave| exists(&enclave, request))),
            };
        }
        let annotations = request.annotations(Status::Provisioning, now, now);
        match self.cluster.all::<Namespace>().create(&objects::namespace(name, annotations)).await {
            Ok(made) => {
                let uid = made.metadata.uid.unwrap_or_default();
                Ok(Begun { uid, created_at: now.to_owned(), ours: true })
            }
            Err(Error::AlreadyExists { .. }) => Err(taken()),
            Err(error) => {
                Err(ToolError::new(format_args!("{error}; if it was made all the same, a repeat goes on with it")))
            }
        }
    }

    /// Makes everything inside, and at last marks the enclave active.
    async fn furnish(&self, request: &Request, begun: &Begun, now: &str) -> Result<(), Error> {
        let name = request.name.as_str();
        // First, since the right to make all the rest comes from them.
        bindings::bind(&self.cluster, &self.platform.server_namespace, name).await?;
        self.put(name, &objects::default_deny()).await?;
        self.put(name, &objects::allow_dns()).await?;
        self.put(name, &objects::resource_quota(request.quota)).await?;
        self.put(name, &objects::limit_range()).await?;
        self.put(name, &objects::workflow_account()).await?;
        let annotations = request.annotations(Status::Active, &begun.created_at, now);
        // With the uid, as a namespace of that name that somebody else made since is not this one.
        let active = json!({ "metadata": { "uid": begun.uid, "annotations": annotations } });
        self.cluster.all::<Metadata<Namespace>>().patch(name, &active).await?;
        Ok(())
    }

    /// By server-side apply, so that it is there with these fields whether or not an earlier call made it.
    async fn put<K: Namespaced>(&self, enclave: &str, object: &K) -> Result<(), Error> {
        let objects = self.cluster.namespaced::<K>(enclave);
        bindings::once_bound(|| objects.apply(object, Conflicts::TakeOver)).await.map(drop)
    }

    async fn sees_active(&self, name: &EnclaveName) {
        let mut changes = self.enclaves.changes();
        while self.enclaves.get(name).is_none_or(|enclave| enclave.status != Status::Active) {
            changes.changed().await;
        }
    }
}

/// The refusal of a name that is an enclave's: to its owner it says that there is nothing to do.
fn exists(enclave: &Enclave, request: &Request) -> ToolError {
    let (name, status) = (&enclave.name, enclave.status.as_str());
    if same(enclave.owner.as_ref(), &request.owner) {
        return ToolError::new(format_args!(
            "enclave {name} already exists, {status}, of the same owner; enclave_info shows it"
        ));
    }
    ToolError::new(format_args!("namespace {:?} already exists; choose another name", name.as_str()))
}

/// Whether the two are one person: by subject where both are known, else by email.
fn same(one: Option<&Owner>, other: &Owner) -> bool {
    one.is_some_and(|one| match (&one.sub, &other.sub) {
        (Some(one), Some(other)) => one == other,
        _ => one.email.is_some() && one.email == other.email,
    })
}

fn resumed(metadata: &ObjectMeta, now: &str) -> Begun {
    let created_at = metadata.annotations.as_ref().and_then(|annotations| annotations.get(keys::ENCLAVE_CREATED_AT));
    Begun {
        uid: metadata.uid.clone().unwrap_or_default(),
        created_at: created_at.cloned().unwrap_or_else(|| now.to_owned()),
        ours: false,
    }
}

fn answer(request: &Request, created_at: String) -> Provisioned {
    let bindings = objects::BINDINGS.map(|(role, _)| format!("rolebinding/{role}"));
    let others = [
        "networkpolicy/default-deny",
        "networkpolicy/allow-dns",
        "resourcequota/tentacular-quota",
        "limitrange/tentacular-limits",
        "serviceaccount/tentacular-workflow",
    ];
    let namespace = [format!("namespace/{}", request.name), "annotation/enclave-metadata".to_owned()];
    let others = others.into_iter().map(str::to_owned);
    Provisioned {
        name: request.name.to_string(),
        enclave: request.name.to_string(),
        status: Status::Active.as_str(),
        quota_preset: request.quota.as_str(),
        owner: request.owner.email.as_ref().map(ToString::to_string).unwrap_or_default(),
        members: request.members.iter().map(ToString::to_string).collect(),
        mode: request.mode.to_string(),
        preset: request.mode.preset(),
        default_mode: request.default_mode.to_string(),
        created_at,
        resources_created: namespace.into_iter().chain(bindings).chain(others).collect(),
    }
}
