//! A CA and serving certificates: issuing them, and judging whether stored ones can be served.
//!
//! The key of a CA that is made here is thrown away after its one signature, so nobody can use it to sign another. Time is
//! passed in.

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
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

/// How much earlier than now an issued certificate is valid, at most: clocks of two machines differ.
const SKEW: Duration = Duration::from_hours(1);
/// Of a short life, this part is enough.
const SKEW_PART: u32 = 10;

/// A CA, the certificate it signed, and that certificate's key, in PEM: what the Secret holds. There may be several CAs,
/// and certificates between the CA and the first one.
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

/// A pair that can be served.
#[derive(Debug, Clone)]
pub(crate) struct Usable {
    /// What TLS serves.
    pub(crate) key: Arc<CertifiedKey>,
    /// Since when it is valid.
    pub(crate) from: SystemTime,
    /// When it expires.
    pub(crate) until: SystemTime,
}

/// Why a pair cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("its {0} cannot be read")]
    Unreadable(&'static str),
    #[error("its key does not belong to its certificate: {0}")]
    Key(Error),
    #[error("it does not hold for {name} now: {error}")]
    Untrusted { name: String, error: Error },
}

/// Issues a CA and a serving certificate for `names` that expire `life` after `now`.
///
/// # Errors
/// When the system has no randomness, or a name cannot stand in a certificate.
pub(crate) fn issue(names: &[ServerName<'_>], now: SystemTime, life: Duration) -> Result<Pair, rcgen::Error> {
    let mut ca = params(Vec::new(), "tentacular-webhook CA", now, life)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let names = names.iter().map(|name| name.to_str().into_owned()).collect();
    let mut serving = params(names, "tentacular-webhook", now, life)?;
    serving.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    serving.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = serving.signed_by(&key, &ca)?;
    Ok(Pair { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(
    names: Vec<String>,
    common_name: &str,
    now: SystemTime,
    life: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = Duration::from_secs(since_epoch(now).as_secs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SKEW.min(life / SKEW_PART));
    params.not_after = epoch + now + life;
    Ok(params)
}

/// A clock before 1970 is wrong; everything is expired then, or not valid yet.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Pair {
    /// What can be served, when the certificate holds now for all of `names`, as a client that trusts the CA alone sees it.
    ///
    /// # Errors
    /// Says why the pair cannot be served.
    pub(crate) fn check(&self, names: &[ServerName<'_>], now: SystemTime) -> Result<Usable, Unusable> {
        let chain = certificates(&self.certificate, "certificate")?;
        let (certificate, between) = chain.split_first().ok_or(Unusable::Unreadable("certificate"))?;
        let verifier = verifier(certificates(&self.ca, "CA")?)?;
        let verify = |name: &ServerName<'_>, time| verifier.verify_server_cert(certificate, between, name, &[], time);
        for name in names {
            verify(name, UnixTime::since_unix_epoch(since_epoch(now)))
                .map_err(|error| Unusable::Untrusted { name: name.to_str().into_owned(), error })?;
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| Unusable::Unreadable("key"))?;
        let name = names.first().ok_or(Unusable::Unreadable("name"))?;
        // Before and after all time, a verifier says from when to when it is valid.
        let (before, after) = (Duration::ZERO, Duration::from_secs(u32::MAX.into()) * 64);
        let [from, until] = [before, after].map(|time| match verify(name, UnixTime::since_unix_epoch(time)) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYetContext { not_before: bound, .. }
                | CertificateError::ExpiredContext { not_after: bound, .. },
            )) => bound.as_secs(),
            _ => time.as_secs(),
        });
        let [from, until] = [from, until].map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(Unusable::Key)?;
        Ok(Usable { key: Arc::new(key), from, until })
    }
}

impl Usable {
    /// From the beginning to the end of its validity.
    pub(crate) fn life(&self) -> Duration {
        self.until.duration_since(self.from).unwrap_or_default()
    }

    /// Whether two thirds of its life are over, so that there is time to act when no other one can be had.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.until.duration_since(now).unwrap_or_default() <= self.life() / 3
    }
}

/// The certificates in `pem`; at least one.
fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(Unusable::Unreadable(what))
}

fn verifier(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<WebPkiServerVerifier>, Unusable> {
    let unreadable = || Unusable::Unreadable("CA");
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|_| unreadable())?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const YEAR: Duration = DAY.saturating_mul(365);
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
        let pair = issue(&wanted, at(NOW), YEAR).expect("a pair");
        let usable = pair.check(&wanted, at(NOW)).expect("usable");
        assert_eq!(usable.key.cert.len(), 1);
        pair.check(&wanted[1..3], at(NOW)).expect("more names than needed are no fault");
        for other in ["other.tentacular-system.svc", "10.0.0.1"] {
            let error = pair.check(&names(&[other]), at(NOW)).expect_err("a name it does not have");
            assert!(matches!(error, Unusable::Untrusted { .. }), "{error}");
        }
    }

    #[test]
    fn a_pair_is_usable_for_its_life_and_due_after_two_thirds_of_it() {
        let names = names(&["localhost"]);
        for life in [Duration::from_mins(1), DAY, YEAR] {
            let pair = issue(&names, at(NOW), life).expect("a pair");
            let usable = pair.check(&names, at(NOW)).expect("usable");
            assert_eq!(usable.until, at(NOW + life));
            for (part, due) in [(0, false), (60, false), (70, true), (99, true)] {
                let now = at(NOW + life * part / 100);
                assert_eq!(pair.check(&names, now).expect("usable").is_due(now), due, "{part} % of {life:?}");
            }
            assert!(pair.check(&names, at(NOW + life * 2)).is_err(), "expired");
            assert!(pair.check(&names, at(NOW) - (life / 20).min(SKEW / 2)).is_ok(), "a clock that is behind");
            assert!(pair.check(&names, at(NOW) - SKEW * 2).is_err(), "not valid yet");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_unusable() {
        let names = names(&["localhost"]);
        let [one, two] = [(); 2].map(|()| issue(&names, at(NOW), YEAR).expect("a pair"));
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
        let both = Pair { ca: two.ca + &one.ca, ..one };
        both.check(&names, at(NOW)).expect("one of several CAs is enough");
    }

    #[test]
    fn a_key_is_not_shown() {
        let pair = issue(&names(&["localhost"]), at(NOW), YEAR).expect("a pair");
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
}
