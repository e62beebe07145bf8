//! The CAs in our `ValidatingWebhookConfiguration`, which the API server trusts when it calls.
//!
//! A CA that is needed is added beside those that are there, by whichever replica misses it. Others leave once nobody can
//! still be serving what they signed.

use std::time::Duration;

use k8s_openapi::ByteString;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use tentacular_cluster::{Cluster, CustomKind, Object, retry_on_conflict};

use crate::keeper::Failure;

/// Read and written as it stands, so that no field of a newer API version is lost.
const CONFIGURATION: CustomKind = CustomKind {
    group: "admissionregistration.k8s.io",
    version: "v1",
    kind: "ValidatingWebhookConfiguration",
    plural: "validatingwebhookconfigurations",
};
/// How long the configuration is read again when another replica, or a person, writes it at the same time.
const PATIENCE: Duration = Duration::from_secs(5);
/// CAs of before that stay beside those that are needed: somebody who takes the Secret's contents away again and again
/// must not make the configuration grow.
const OTHERS: usize = 4;
const END: &str = "-----END CERTIFICATE-----";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The CAs of one configuration.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) cluster: Cluster,
    /// The configuration's name.
    pub(crate) configuration: String,
}

impl Trust {
    /// Sees to it that every entry trusts the CAs in `needed`, in PEM, and no others when they are `alone`.
    pub(crate) async fn hold(&self, needed: &[&str], alone: bool) -> Result<(), Failure> {
        let configurations = self.cluster.custom(&CONFIGURATION, None);
        let write = || async {
            let Some(mut found) = configurations.get(&self.configuration).await? else { return Ok(None) };
            let changed = set_bundles(&mut found, needed, alone);
            if changed {
                configurations.replace(&found).await?;
            }
            Ok(Some(changed))
        };
        match retry_on_conflict(PATIENCE, write).await? {
            None => Err(Failure::NoConfiguration(self.configuration.clone())),
            Some(changed) => {
                if changed {
                    tracing::info!(configuration = self.configuration, alone, "the CA is written");
                }
                Ok(())
            }
        }
    }
}

/// Gives all entries the same CAs: what is needed, and unless it is alone, what any of them has. `false` when they have
/// them already.
fn set_bundles(configuration: &mut Object, needed: &[&str], alone: bool) -> bool {
    let Some(entries) = configuration.data.get_mut("webhooks").and_then(Value::as_array_mut) else { return false };
    let clients: Vec<_> =
        entries.iter_mut().filter_map(|entry| entry.get_mut("clientConfig")?.as_object_mut()).collect();
    let found: Vec<_> = clients.iter().map(|client| text(client.get("caBundle"))).collect();
    let mut wanted = distinct(needed.iter().flat_map(|pem| authorities(pem)));
    if !alone {
        let most = wanted.len() + OTHERS;
        wanted = distinct(wanted.into_iter().chain(found.iter().flat_map(|bundle| authorities(bundle))));
        wanted.truncate(most);
    }
    let bundle = wanted.iter().fold(String::new(), |bundle, (_, pem)| bundle + pem + "\n");
    let value = serde_json::to_value(ByteString(bundle.into_bytes())).unwrap_or_default();
    let mut changed = false;
    for (client, found) in clients.into_iter().zip(&found) {
        if !holds(found, &wanted) {
            client.insert("caBundle".to_owned(), value.clone());
            changed = true;
        }
    }
    changed
}

type Authority = (CertificateDer<'static>, String);

/// Whether these CAs, in any order, are all that is in `bundle`.
fn holds(bundle: &str, wanted: &[Authority]) -> bool {
    let found = authorities(bundle);
    let understood = found.iter().map(|(_, pem)| letters(pem)).sum::<usize>();
    understood == letters(bundle)
        && found.len() == wanted.len()
        && wanted.iter().all(|(der, _)| found.iter().any(|(found, _)| found == der))
}

/// Everything but white space.
fn letters(text: &str) -> usize {
    text.split_whitespace().map(str::len).sum()
}

fn distinct(authorities: impl Iterator<Item = Authority>) -> Vec<Authority> {
    let mut distinct: Vec<Authority> = Vec::new();
    for authority in authorities {
        if !distinct.iter().any(|(der, _)| *der == authority.0) {
            distinct.push(authority);
        }
    }
    distinct
}

/// The certificates in `pem`, each with its text. What is none is left out.
fn authorities(pem: &str) -> Vec<Authority> {
    let blocks = pem.split_inclusive(END).filter_map(|part| Some(&part[part.rfind(BEGIN)?..]));
    let authority = |block: &str| {
        let der = CertificateDer::from_pem_slice(block.as_bytes()).ok()?;
        RootCertStore::empty().add(der.clone()).ok()?;
        Some((der, block.to_owned()))
    };
    blocks.filter_map(authority).collect()
}

/// A `caBundle` as text; empty when it is missing or cannot be read.
fn text(bundle: Option<&Value>) -> String {
    let bytes = bundle.and_then(|bundle| serde_json::from_value::<ByteString>(bundle.clone()).ok());
    bytes.and_then(|bytes| String::from_utf8(bytes.0).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rustls_pki_types::ServerName;
    use serde_json::json;

    use super::*;
    use crate::certificate::issue;

    fn ca() -> String {
        let names = [ServerName::try_from("localhost").expect("a name")];
        issue(&names, SystemTime::now(), Duration::from_hours(24)).expect("a pair").ca
    }

    fn configuration(bundles: &[&str]) -> Object {
        let entry = |(number, bundle): (usize, &&str)| {
            let bundle = serde_json::to_value(ByteString(bundle.as_bytes().to_vec())).expect("base64");
            json!({ "name": number.to_string(), "newField": 1,
                "clientConfig": { "service": { "name": "x", "namespace": "y" }, "caBundle": bundle } })
        };
        let webhooks: Vec<_> = bundles.iter().enumerate().map(entry).collect();
        serde_json::from_value(json!({ "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration", "metadata": { "name": "tentacular-webhook" },
            "webhooks": webhooks }))
        .expect("an object")
    }

    /// How many CAs each entry has, all of them in the same order.
    fn bundles(configuration: &Object) -> Vec<String> {
        let entries = configuration.data["webhooks"].as_array().expect("entries").iter();
        entries.map(|entry| text(entry["clientConfig"].get("caBundle"))).collect()
    }

    #[test]
    fn a_new_ca_joins_the_old_one_and_then_stays_alone() {
        let (old, new) = (ca(), ca());
        let mut configuration = configuration(&["", ""]);
        assert!(set_bundles(&mut configuration, &[&old], false));
        assert!(!set_bundles(&mut configuration, &[&old], false), "once");
        assert!(!set_bundles(&mut configuration, &[&old], true), "it is alone already");
        assert!(set_bundles(&mut configuration, &[&new], false));
        assert_eq!(bundles(&configuration), vec![format!("{new}{old}"); 2]);
        assert!(!set_bundles(&mut configuration, &[&new, &old], false), "a replica that still serves the old one");
        assert!(!set_bundles(&mut configuration, &[&old], false), "one that has not seen the new one");
        assert!(set_bundles(&mut configuration, &[&new], true));
        assert_eq!(bundles(&configuration), vec![new; 2]);
        assert_eq!(configuration.data["webhooks"][0]["newField"], 1);
    }

    #[test]
    fn what_somebody_took_away_or_put_in_is_mended_in_every_entry() {
        let (old, new) = (ca(), ca());
        let both = format!("{new}{old}");
        for broken in ["", "no certificate", &old, &format!("{new}rubbish"), &format!("{BEGIN}\nAAAA\n{END}\n")] {
            let mut configuration = configuration(&[&both, broken]);
            assert!(set_bundles(&mut configuration, &[&new], false), "{broken}");
            assert_eq!(text(configuration.data["webhooks"][1]["clientConfig"].get("caBundle")), both, "{broken}");
        }
        assert!(!set_bundles(&mut Object { data: json!({}), ..configuration(&[]) }, &[&new], false));
    }

    #[test]
    fn the_bundle_does_not_grow_for_ever() {
        let mut configuration = configuration(&[""]);
        let mut last = String::new();
        for _ in 0..2 * OTHERS {
            last = ca();
            set_bundles(&mut configuration, &[&last], false);
        }
        let bundle = bundles(&configuration).remove(0);
        assert!(bundle.starts_with(&last), "the newest is there");
        assert_eq!(authorities(&bundle).len(), OTHERS + 1);
    }
}
