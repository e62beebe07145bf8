//! Keeps the certificate: in a Secret that all replicas share, in what TLS serves, and its CA in our configuration.
//!
//! Whoever comes first issues it; everybody else reads it. What somebody takes away or changes is put back within a
//! minute.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tentacular_cluster::{Cluster, CustomKind, Error, Object, retry_on_conflict};
use tentacular_process::{health::Condition, http::tls::Serving};

use crate::certificate::{Pair, issue};

/// The Secret in the server's namespace, made by the chart without data: a right to create Secrets cannot be limited by
/// name, and would allow one that holds another account's token. The webhook's account may read and write no other.
const SECRET: &str = "tentacular-webhook-tls";
/// Keys of the Secret, as type `kubernetes.io/tls` names them.
const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Read and written as it stands, so that no field of a newer API version is lost.
const CONFIGURATION: CustomKind = CustomKind {
    group: "admissionregistration.k8s.io",
    version: "v1",
    kind: "ValidatingWebhookConfiguration",
    plural: "validatingwebhookconfigurations",
};

/// How often Secret and configuration are looked at.
const LOOK: Duration = Duration::from_mins(1);
/// First and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the configuration is read again when another replica, or a person, writes it at the same time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a replica that loses to another one reads again before it pauses.
const TRIES: usize = 4;

/// Keeps the certificate of one webhook.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// The cluster it serves.
    pub(crate) cluster: Cluster,
    /// The server's namespace.
    pub(crate) namespace: String,
    /// Name of our `ValidatingWebhookConfiguration`.
    pub(crate) configuration: String,
    /// What the certificate must hold for.
    pub(crate) names: Vec<ServerName<'static>>,
    /// Where TLS takes it from.
    pub(crate) serving: Serving,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Cluster(#[from] Error),
    #[error("a certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("an issued certificate cannot be used: {0}")]
    Unusable(#[from] crate::certificate::Unusable),
    #[error("Secret {SECRET} does not exist; the chart creates it without data")]
    NoSecret,
    #[error("ValidatingWebhookConfiguration {0} does not exist; the chart creates it")]
    NoConfiguration(String),
    #[error("other replicas keep changing Secret {SECRET}")]
    Contended,
}

impl Keeper {
    /// Looks after the certificate for ever. `ready` is met once it is served and the API server trusts it.
    pub(crate) async fn keep(self, ready: Condition) -> anyhow::Result<()> {
        let mut pause = RETRY.0;
        loop {
            match self.look(SystemTime::now()).await {
                Ok(()) => {
                    ready.set(true);
                    pause = RETRY.0;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    tracing::warn!(%error, retry_seconds = pause.as_secs(), "the certificate is not in place");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    /// One round: read or issue, serve, and let the API server trust it.
    async fn look(&self, now: SystemTime) -> Result<(), Failure> {
        let pair = self.pair(now).await?;
        self.serving.set(pair.check(&self.names, now)?);
        self.trust(&pair.ca).await
    }

    /// The pair in the Secret, made or replaced where that is needed.
    async fn pair(&self, now: SystemTime) -> Result<Pair, Failure> {
        let secrets = self.cluster.namespaced::<Secret>(&self.namespace);
        for _ in 0..TRIES {
            let found = secrets.get(SECRET).await?.ok_or(Failure::NoSecret)?;
            let pair = stored(&found);
            let Err(reason) = pair.check(&self.names, now) else { return Ok(pair) };
            tracing::info!(secret = SECRET, %reason, "issuing a certificate");
            // The resource version stays: a replica that was faster wins.
            match secrets.replace(&Secret { data: Some(data(&issue(&self.names, now)?)), ..found }).await {
                Ok(secret) => return Ok(stored(&secret)),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Contended)
    }

    /// Writes the CA into every entry of our configuration that has another one.
    async fn trust(&self, ca: &str) -> Result<(), Failure> {
        let configurations = self.cluster.custom(&CONFIGURATION, None);
        let write = || async {
            let Some(mut found) = configurations.get(&self.configuration).await? else { return Ok(None) };
            let changed = set_ca(&mut found, ca);
            if changed {
                configurations.replace(&found).await?;
            }
            Ok(Some(changed))
        };
        match retry_on_conflict(PATIENCE, write).await? {
            None => Err(Failure::NoConfiguration(self.configuration.clone())),
            Some(changed) => {
                if changed {
                    tracing::info!(configuration = self.configuration, "the CA is written");
                }
                Ok(())
            }
        }
    }
}

/// Sets the CA in every entry; `false` when each one has it already.
fn set_ca(configuration: &mut Object, ca: &str) -> bool {
    let bundle = serde_json::to_value(ByteString(ca.as_bytes().to_vec())).unwrap_or_default();
    let mut changed = false;
    let entries = configuration.data.get_mut("webhooks").and_then(Value::as_array_mut);
    for client in entries.into_iter().flatten().filter_map(|entry| entry.get_mut("clientConfig")) {
        if client.get("caBundle") != Some(&bundle)
            && let Some(client) = client.as_object_mut()
        {
            client.insert("caBundle".to_owned(), bundle.clone());
            changed = true;
        }
    }
    changed
}

fn data(pair: &Pair) -> BTreeMap<String, ByteString> {
    [(CA, &pair.ca), (CERTIFICATE, &pair.certificate), (KEY, &pair.key)]
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.as_bytes().to_vec())))
        .into()
}

/// What a Secret holds. What is missing or no text is empty, and then unusable.
fn stored(secret: &Secret) -> Pair {
    let text = |key| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    Pair { ca: text(CA), certificate: text(CERTIFICATE), key: text(KEY) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pair_survives_its_secret() {
        let names = [ServerName::try_from("localhost").expect("a name")];
        let pair = issue(&names, SystemTime::now()).expect("a pair");
        let mut secret = Secret { data: Some(data(&pair)), ..Secret::default() };
        assert_eq!(stored(&secret), pair);
        secret.data = None;
        assert!(stored(&secret).check(&names, SystemTime::now()).is_err());
    }

    #[test]
    fn the_ca_goes_into_every_entry_once() {
        let mut configuration: Object = serde_json::from_value(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "tentacular-webhook"},
            "webhooks": [
                {"name": "a", "clientConfig": {"service": {"name": "x", "namespace": "y"}}, "newField": 1},
                {"name": "b", "clientConfig": {"url": "https://127.0.0.1/admit", "caBundle": "b2xk"}},
            ],
        }))
        .expect("an object");
        assert!(set_ca(&mut configuration, "ca"));
        assert!(!set_ca(&mut configuration, "ca"));
        assert!(set_ca(&mut configuration, "other"));
        for entry in configuration.data["webhooks"].as_array().expect("entries") {
            assert_eq!(entry["clientConfig"]["caBundle"], "b3RoZXI=");
        }
        assert_eq!(configuration.data["webhooks"][0]["newField"], 1);
        assert!(!set_ca(&mut Object { data: json!({}), ..configuration }, "ca"));
    }
}
