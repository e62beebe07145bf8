//! The end of credentials that a tentacle's pods do not use any more, while the caller waits.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::renew::{Looked, Wanted, look};
use crate::{
    backing::{Share, Tenant},
    registrar::Registrar,
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Ends the former credentials once all pods have those of the shares. Returns why they go on working for now.
pub(super) async fn retire(
    registrar: &Registrar,
    tenant: &Tenant,
    (ready, until): (bool, Instant),
    shares: &[Share],
) -> Result<(), String> {
    let renewed = shares.iter().any(|share| share.fresh);
    let later =
        || Err("the former credentials work until all pods are new and ready; the server sees to that".to_owned());
    if shares.is_empty() {
        return Ok(());
    }
    if !ready {
        // Nothing else goes on working than before.
        return if renewed { later() } else { Ok(()) };
    }
    loop {
        match look(registrar, tenant, Wanted::Pending, Utc::now()).await {
            Ok(Looked::Settled) => return Ok(()),
            Ok(Looked::Waiting) if Instant::now() >= until => return later(),
            Ok(Looked::Waiting) => sleep(LOOK).await,
            Err(error) => return Err(format!("the former credentials still work: {error}")),
        }
    }
}
