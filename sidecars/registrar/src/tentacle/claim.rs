//! Making fields of objects the apply's to remove, before that shows what it would change: those that an older server wrote,
//! and those that were created by a plain create.

use std::{fmt, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::json;
use tentacular_cluster::{Error, Object, Objects, retry_on_conflict_or_outage};
use tentacular_contract::release::release_of;
use tentacular_process::link::ToolError;

use super::{fields, plan::Plan};
use crate::locks::Held;

/// How long an object is written again that somebody else changes at the same time, or while the API server is away.
pub(super) const CONTENDED: Duration = Duration::from_secs(45);

impl Plan<'_> {
    /// Makes fields that an older server or another tool of this one wrote the apply's to remove, and changes nothing else.
    /// Without that a rehearsal would show as kept what the apply removes.
    pub(crate) async fn claim(&mut self, held: &Held) -> Result<(), ToolError> {
        let (cluster, enclave) = (self.cluster, self.enclave());
        for planned in &mut self.planned {
            let objects = cluster.objects(planned.manifest.kind, enclave.as_str());
            if let Some(live) = planned.live.take_if(|live| to_claim(live).is_some()) {
                held.require().map_err(nothing_applied)?;
                planned.live = Some(settle_claim(&objects, live).await.map_err(nothing_applied)?);
            }
        }
        Ok(())
    }
}

fn nothing_applied(error: impl fmt::Display) -> ToolError {
    ToolError::new(format_args!("nothing was applied: {error}; try again"))
}

/// Makes the fields of an object that was created the server's to remove, if they are not. A controller may write the
/// object at the same time.
pub(super) async fn settle_claim(objects: &Objects<Object>, made: Object) -> Result<Object, Error> {
    let (name, uid) = (made.metadata.name.clone().unwrap_or_default(), made.metadata.uid.clone());
    let mut first = Some(made);
    retry_on_conflict_or_outage(CONTENDED, || {
        let (made, name, uid) = (first.take(), &name, &uid);
        async move {
            let live = match made {
                Some(made) => Some(made),
                // Another one of its name is not this one's to write.
                None => objects.get(name).await?.filter(|live| live.metadata.uid == *uid),
            };
            match live {
                Some(live) => claim(objects, live).await,
                None => Err(Error::NotFound { object: name.clone() }),
            }
        }
    })
    .await
}

/// The managed fields that the object has to get, if others than it has. One of no release is only written to be adopted.
fn to_claim(live: &Object) -> Option<Vec<ManagedFieldsEntry>> {
    if release_of(&live.metadata).is_some() || fields::is_applied(live) {
        fields::migrated(live)
    } else {
        fields::adopted(live)
    }
}

/// Makes them so in one write, which counts only while the object is as `live`.
pub(super) async fn claim(objects: &Objects<Object>, live: Object) -> Result<Object, Error> {
    let Some(managed_fields) = to_claim(&live) else { return Ok(live) };
    let name = live.metadata.name.unwrap_or_default();
    let patch = json!({ "metadata": {
        "uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version, "managedFields": managed_fields,
    } });
    objects.patch(&name, &patch).await
}
