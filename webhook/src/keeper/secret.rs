//! The Secret that holds the certificate, and who fills it.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};

use crate::certificate::Pair;

/// The Secret of a certificate that the webhook issues itself, made by the chart without data: a right to create Secrets
/// cannot be limited by name, and would allow one that holds another account's token.
const SECRET: &str = "tentacular-webhook-tls";
/// Keys of the Secret, as type `kubernetes.io/tls` and cert-manager name them.
const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The leader issues it, for so long.
    Issued(Duration),
    /// Somebody else keeps it in the Secret of this name.
    Provided(String),
}

impl Source {
    /// The Secret's name.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::Issued(_) => SECRET,
            Self::Provided(name) => name,
        }
    }

    /// Who puts right what is wrong with the Secret's contents.
    pub(super) const fn who_fills(&self) -> &'static str {
        match self {
            Self::Issued(_) => "the leader among the webhook's replicas issues another",
            Self::Provided(_) => "whoever --certificate-secret relies on provides another",
        }
    }

    /// Who makes the Secret.
    pub(super) const fn who_makes(&self) -> &'static str {
        match self {
            Self::Issued(_) => "the chart creates it without data",
            Self::Provided(_) => "--certificate-secret names it",
        }
    }
}

/// What a Secret is to hold.
pub(super) fn data(pair: &Pair) -> BTreeMap<String, ByteString> {
    [(CA, &pair.ca), (CERTIFICATE, &pair.certificate), (KEY, &pair.key)]
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.as_bytes().to_vec())))
        .into()
}

/// What a Secret holds. What is missing or no text is empty, and then unusable.
pub(super) fn stored(secret: &Secret) -> Pair {
    let text = |key| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    Pair { ca: text(CA), certificate: text(CERTIFICATE), key: text(KEY) }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rustls_pki_types::ServerName;

    use super::*;
    use crate::certificate::issue;

    #[test]
    fn a_pair_survives_its_secret() {
        let names = [ServerName::try_from("localhost").expect("a name")];
        let pair = issue(&names, SystemTime::now(), Duration::from_hours(1)).expect("a pair");
        let mut secret = Secret { data: Some(data(&pair)), ..Secret::default() };
        assert_eq!(stored(&secret), pair);
        secret.data = None;
        assert_eq!(stored(&secret), Pair { ca: String::new(), certificate: String::new(), key: String::new() });
    }
}
