//! The three bindings that give the server its rights inside an enclave. They are made with the enclave, and in every
//! enclave that is seen, since one may come from a backup or from another server without them.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::api::rbac::v1::RoleBinding;
use tentacular_cluster::{Cluster, Enclaves, Error, Objects, retry_until_bound};
use tentacular_contract::EnclaveName;
use tokio::time::{Instant, sleep, sleep_until};

use super::objects;

/// Enclaves that are looked after at the same time.
const AT_ONCE: usize = 8;
/// Pause before an enclave whose bindings could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked after the bindings of all enclaves, as somebody may have deleted one.
const RENEWED: Duration = Duration::from_mins(5);
/// How long a fresh binding may take to count. Some milliseconds are usual; several API servers take longer.
const COUNTS_WITHIN: Duration = Duration::from_secs(10);

/// Makes the three bindings in an `enclave` that is new; those that are there stay as they are, since what they bind never
/// changes.
pub(crate) async fn bind(cluster: &Cluster, server_namespace: &str, enclave: &str) -> Result<(), Error> {
    let bindings = cluster.namespaced::<RoleBinding>(enclave);
    for (role, account) in objects::BINDINGS {
        make(&bindings, &objects::role_binding(role, account, server_namespace)).await?;
    }
    Ok(())
}

/// Makes those of the three bindings that are missing in an `enclave` that is not new. To read one costs the API server much
/// less than to refuse a second of its name, which policies and the webhook judge first.
async fn complete(cluster: &Cluster, server_namespace: &str, enclave: &str) -> Result<(), Error> {
    let bindings = cluster.namespaced::<RoleBinding>(enclave);
    for (role, account) in objects::BINDINGS {
        let is_there = match bindings.get(role).await {
            Ok(found) => found.is_some(),
            // The right to read them comes with the first of them.
            Err(error) if error.is_forbidden() => false,
            Err(error) => return Err(error),
        };
        if !is_there {
            make(&bindings, &objects::role_binding(role, account, server_namespace)).await?;
        }
    }
    Ok(())
}

async fn make(bindings: &Objects<RoleBinding>, binding: &RoleBinding) -> Result<(), Error> {
    match bindings.create(binding).await {
        Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Runs `attempt` again while it is refused, as happens until a binding made just before counts.
pub(crate) async fn once_bound<T, Attempt, Outcome>(attempt: Attempt) -> Result<T, Error>
where
    Attempt: FnMut() -> Outcome,
    Outcome: Future<Output = Result<T, Error>>,
{
    retry_until_bound(COUNTS_WITHIN, attempt).await
}

/// Completes the bindings of each enclave as it is first seen, and of all from time to time. Never ends.
pub(crate) async fn follow(cluster: Cluster, enclaves: Enclaves, server_namespace: String) {
    let mut changes = enclaves.changes();
    enclaves.ready().await;
    // By uid: an enclave that was deleted and made again has no bindings.
    let mut bound = BTreeMap::new();
    let mut renewed = Instant::now();
    loop {
        if renewed.elapsed() >= RENEWED {
            bound.clear();
            renewed = Instant::now();
        }
        let unbound = forget_and_find(&enclaves, &mut bound);
        let made = stream::iter(unbound)
            .map(|(name, uid)| {
                let (cluster, server_namespace) = (&cluster, &server_namespace);
                async move {
                    let made = complete(cluster, server_namespace, name.as_str()).await;
                    (name, uid, made)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut failed = false;
        for (name, uid, made) in made {
            match made {
                Ok(()) => {
                    bound.insert(name, uid);
                }
                // The namespace went meanwhile.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    tracing::warn!(enclave = %name, %error, "the server's bindings could not be made; trying again");
                    failed = true;
                }
            }
        }
        tokio::select! {
            () = changes.changed() => {}
            () = sleep(AGAIN), if failed => {}
            () = sleep_until(renewed + RENEWED) => {}
        }
    }
}

/// Forgets the enclaves that are gone, and returns those that are not in `bound`, each with its uid.
fn forget_and_find(enclaves: &Enclaves, bound: &mut BTreeMap<EnclaveName, String>) -> Vec<(EnclaveName, String)> {
    let seen: BTreeMap<EnclaveName, String> = enclaves
        .list()
        .into_iter()
        .filter(|enclave| !enclave.terminating)
        .filter_map(|enclave| {
            let uid = enclaves.metadata(&enclave.name)?.uid.clone()?;
            Some((enclave.name.clone(), uid))
        })
        .collect();
    bound.retain(|name, uid| seen.get(name) == Some(uid));
    seen.into_iter().filter(|(name, _)| !bound.contains_key(name)).collect()
}
