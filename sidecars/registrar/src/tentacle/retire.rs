//! The end of credentials that a tentacle's pods do not use any more.

use tentacular_cluster::Kind;
use tentacular_process::link::{Permitted, ToolError};

use super::standing;
use crate::{
    backing::{self, Share, Tenant},
    registrar::Registrar,
};

/// Ends the former credentials once all pods have those of the shares, which the Secret may no longer say by then. Returns why
/// they go on working.
pub(super) async fn retire(
    registrar: &Registrar,
    permitted: &Permitted,
    ready: bool,
    shares: &[Share],
) -> Result<(), String> {
    if shares.is_empty() {
        return Ok(());
    }
    if !ready {
        // Nothing else goes on working than before.
        let renewed = shares.iter().any(|share| share.fresh);
        let until = "the former credentials work until a wf_apply with wait_seconds finds all pods new and ready";
        return if renewed { Err(until.to_owned()) } else { Ok(()) };
    }
    end(registrar, permitted, shares).await.map_err(|error| format!("the former credentials still work: {error}"))
}

async fn end(registrar: &Registrar, permitted: &Permitted, shares: &[Share]) -> Result<(), ToolError> {
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    let held = standing::lock(registrar, permitted).await?;
    let secrets = registrar.cluster.objects(Kind::Secret, enclave.as_str());
    let ended = match secrets.get(&backing::secret_name(tentacle.as_str())).await {
        Ok(secret) => {
            let tenant = Tenant { enclave: enclave.clone(), tentacle: tentacle.clone() };
            registrar.backing.revoke(&tenant, shares, secret.as_ref()).await
        }
        Err(error) => Err(error.into()),
    };
    held.release().await;
    ended
}
