//! The webhook's own CA and serving certificate: issuing them, and judging whether stored ones can be served.
//!
//! The CA's key is thrown away after its one signature, so nobody can use it to sign another. Time is passed in.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

const DAY: Duration = Duration::from_hours(24);
/// How long a CA and its certificate are valid.
const LIFE: Duration = DAY.saturating_mul(365);
/// A certificate that ends sooner is replaced, so that somebody can act when that fails.
const RENEW: Duration = DAY.saturating_mul(30);
/// How much earlier than now it is valid: clocks of two machines differ.
const SKEW: Duration = Duration::from_hours(1);

/// A CA, the certificate it signed, and that certificate's key, in PEM: what the Secret holds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("ca", &self.ca).field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why a pair cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("its {0} cannot be read")]
    Unreadable(&'static str),
    #[error("its key does not belong to its certificate: {0}")]
    Key(rustls::Error),
    #[error("it does not hold for {name} now and for 30 days: {error}")]
    Untrusted { name: String, error: rustls::Error },
}

/// Issues a CA and a serving certificate for `names`.
///
/// # Errors
/// When the system has no randomness, or a name cannot stand in a certificate.
pub(crate) fn issue(names: &[ServerName<'_>], now: SystemTime) -> Result<Pair, rcgen::Error> {
    let mut ca = params(Vec::new(), "tentacular-webhook CA", now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let names = names.iter().map(|name| name.to_str().into_owned()).collect();
    let mut serving = params(names, "tentacular-webhook", now)?;
    serving.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    serving.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = serving.signed_by(&key, &ca)?;
    Ok(Pair { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(names: Vec<String>, common_name: &str, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = Duration::from_secs(since_epoch(now).as_secs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + LIFE;
    Ok(params)
}

/// A clock before 1970 is wrong; everything is expired then, or not valid yet.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Pair {
    /// What TLS serves, when the certificate holds for all of `names`, now and for another 30 days, as a client that
    /// trusts the CA alone sees it.
    ///
    /// # Errors
    /// Says why the pair is to be replaced.
    pub(crate) fn check(&self, names: &[ServerName<'_>], now: SystemTime) -> Result<Arc<CertifiedKey>, Unusable> {
        let provider = Arc::new(ring::default_provider());
        let certificate = der(&self.certificate, "certificate")?;
        let verifier = verifier(der(&self.ca, "CA")?, &provider)?;
        for time in [now, now + RENEW] {
            let time = UnixTime::since_unix_epoch(since_epoch(time));
            for name in names {
                verifier
                    .verify_server_cert(&certificate, &[], name, &[], time)
                    .map_err(|error| Unusable::Untrusted { name: name.to_str().into_owned(), error })?;
            }
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| Unusable::Unreadable("key"))?;
        CertifiedKey::from_der(vec![certificate], key, &provider).map(Arc::new).map_err(Unusable::Key)
    }
}

fn der(pem: &str, what: &'static str) -> Result<CertificateDer<'static>, Unusable> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| Unusable::Unreadable(what))
}

fn verifier(
    ca: CertificateDer<'static>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Unusable> {
    let unreadable = || Unusable::Unreadable("CA");
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|_| unreadable())?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-10-01, in days since the epoch.
    const NOW: Duration = DAY.saturating_mul(20_727);

    fn at(time: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + time
    }

    fn names(texts: &[&'static str]) -> Vec<ServerName<'static>> {
        texts.iter().map(|text| ServerName::try_from(*text).expect(text)).collect()
    }

    #[test]
    fn an_issued_pair_holds_for_each_of_its_names() {
        let wanted = names(&["tentacular-webhook.tentacular-system.svc", "localhost", "127.0.0.1", "::1"]);
        let pair = issue(&wanted, at(NOW)).expect("a pair");
        let serving = pair.check(&wanted, at(NOW)).expect("usable");
        assert_eq!(serving.cert.len(), 1);
        pair.check(&wanted[1..3], at(NOW)).expect("more names than needed are no fault");
        for other in ["other.tentacular-system.svc", "10.0.0.1"] {
            let error = pair.check(&names(&[other]), at(NOW)).expect_err("a name it does not have");
            assert!(matches!(error, Unusable::Untrusted { .. }), "{error}");
        }
    }

    #[test]
    fn a_pair_is_good_for_eleven_months() {
        let names = names(&["localhost"]);
        let pair = issue(&names, at(NOW)).expect("a pair");
        for (age, usable) in [(Duration::ZERO, true), (DAY * 334, true), (DAY * 336, false), (DAY * 400, false)] {
            assert_eq!(pair.check(&names, at(NOW + age)).is_ok(), usable, "{age:?}");
        }
        assert!(pair.check(&names, at(NOW) - SKEW / 2).is_ok(), "a clock that is behind");
        assert!(pair.check(&names, at(NOW) - SKEW * 2).is_err(), "not valid yet");
    }

    #[test]
    fn what_does_not_belong_together_is_unusable() {
        let names = names(&["localhost"]);
        let (one, two) = (issue(&names, at(NOW)).expect("a pair"), issue(&names, at(NOW)).expect("a pair"));
        for (pair, needle) in [
            (Pair { ca: two.ca.clone(), ..one.clone() }, "does not hold for localhost"),
            (Pair { key: two.key.clone(), ..one.clone() }, "key does not belong"),
            (Pair { ca: String::new(), ..one.clone() }, "CA cannot be read"),
            (Pair { certificate: "x".to_owned(), ..one.clone() }, "certificate cannot be read"),
            (Pair { key: one.certificate.clone(), ..one.clone() }, "key cannot be read"),
        ] {
            let error = pair.check(&names, at(NOW)).expect_err(needle).to_string();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let pair = issue(&names(&["localhost"]), at(NOW)).expect("a pair");
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
}
