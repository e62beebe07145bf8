//! Changing the Deployment that a tentacle is, by one write that counts only while nothing else of it has changed.

use std::time::Duration;

use serde_json::{Value, json};
use tentacular_cluster::{Kind, Object, retry_on_conflict};
use tentacular_process::link::{Permitted, ToolError};

use super::{release::is_terminating, standing::Standing};
use crate::registrar::Registrar;

/// How long the change is tried again while others change the Deployment. Well below the tools' deadline.
const CONTENDED: Duration = Duration::from_secs(15);

/// Reads what stands there, refuses a caller who may not, and writes the merge patch that `decide` makes of it; without
/// a patch, nothing. A conflict with another write begins all of that again.
pub(crate) async fn change<T>(
    registrar: &Registrar,
    permitted: &Permitted,
    decide: impl Fn(&Standing, &Object) -> Result<(Option<Value>, T), ToolError>,
) -> Result<T, ToolError> {
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    let deployments = registrar.cluster.objects(Kind::Deployment, enclave.as_str());
    let decided = || async {
        let standing = Standing::read(registrar, permitted).await?;
        let live = standing.require_deployment(permitted)?;
        if is_terminating(live) {
            return Err(ToolError::new(format_args!(
                "tentacle {enclave}/{tentacle} is being removed; when it is gone, wf_apply makes another"
            )));
        }
        let (patch, outcome) = decide(&standing, live)?;
        Ok((patch.map(|patch| exactly(live, patch)), outcome))
    };
    retry_on_conflict(CONTENDED, || async {
        let (patch, outcome) = match decided().await {
            Ok(decided) => decided,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(patch) = patch {
            deployments.patch(tentacle.as_str(), &patch).await?;
        }
        Ok(Ok(outcome))
    })
    .await?
}

/// The patch, for the object as it was read and no other.
fn exactly(live: &Object, mut patch: Value) -> Value {
    patch["metadata"]["uid"] = json!(live.metadata.uid);
    patch["metadata"]["resourceVersion"] = json!(live.metadata.resource_version);
    patch
}
