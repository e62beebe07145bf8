use std::{fs, os::unix::fs::symlink, time::Duration};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::*;

/// A certificate of `localhost` that is its own authority, and its key.
fn issue() -> (rcgen::Certificate, KeyPair) {
    issue_until(4000)
}

/// The same with its last year.
fn issue_until(year: i32) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate"), key)
}

/// A folder as the kubelet mounts a Secret: the files are links into a folder that is swapped as a whole.
struct Mounted(TempDir);

impl Mounted {
    fn new(certificate: &str, key: &str) -> Self {
        let mounted = Self(tempfile::tempdir().expect("a folder"));
        mounted.swap(certificate, key);
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), mounted.path(name)).expect("linked");
        }
        mounted
    }

    fn swap(&self, certificate: &str, key: &str) {
        let generation = tempfile::tempdir_in(&self.0).expect("a folder").keep();
        fs::write(generation.join("tls.crt"), certificate).expect("written");
        fs::write(generation.join("tls.key"), key).expect("written");
        symlink(&generation, self.path("..next")).expect("linked");
        fs::rename(self.path("..next"), self.path("..data")).expect("swapped");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pair(&self) -> Pair {
        Pair::new(self.path("tls.crt"), self.path("tls.key"))
    }
}

fn look(pair: &Pair) {
    pair.files.look(|| pair.serve_again());
}

/// What a client that trusts `trusted` alone is shown in a handshake, if it ends well.
fn shown(pair: &Pair, trusted: &rcgen::Certificate) -> Option<CertificateDer<'static>> {
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(pair.serving.clone()));
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).expect("an authority");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(client.into(), name).expect("a client");
    let mut server = ServerConnection::new(server.into()).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("written");
        server.read_tls(&mut bytes.as_slice()).expect("read");
        server.process_new_packets().ok()?;
        bytes.clear();
        server.write_tls(&mut bytes).expect("written");
        client.read_tls(&mut bytes.as_slice()).expect("read");
        client.process_new_packets().ok()?;
    }
    client.peer_certificates()?.first().map(|shown| shown.clone().into_owned())
}

#[test]
fn a_pair_that_changes_is_served_and_a_broken_one_changes_nothing() {
    let ((first, first_key), (second, second_key)) = (issue(), issue());
    let mounted = Mounted::new(&first.pem(), &first_key.serialize_pem());
    let pair = mounted.pair();
    pair.serve().expect("a pair");
    assert_eq!(shown(&pair, &first).as_ref(), Some(first.der()));

    for (certificate, key) in [
        (second.pem(), first_key.serialize_pem()),
        (first.pem(), second_key.serialize_pem()),
        (String::new(), second_key.serialize_pem()),
        (second.pem(), String::new()),
    ] {
        mounted.swap(&certificate, &key);
        look(&pair);
        assert_eq!(shown(&pair, &first).as_ref(), Some(first.der()), "{certificate}");
    }
    mounted.swap(&second.pem(), &second_key.serialize_pem());
    look(&pair);
    assert_eq!(shown(&pair, &second).as_ref(), Some(second.der()));
    fs::remove_file(mounted.path("..data")).expect("removed");
    look(&pair);
    assert_eq!(shown(&pair, &second).as_ref(), Some(second.der()));
}

#[test]
fn the_whole_chain_is_read() {
    let ((leaf, key), (above, _)) = (issue(), issue());
    let mounted = Mounted::new(&format!("{}\n{}", leaf.pem(), above.pem()), &key.serialize_pem());
    let pair = mounted.pair().read().expect("a pair");
    assert_eq!(pair.cert, [leaf.der().clone(), above.der().clone()]);
}

#[test]
fn an_error_names_file_and_flag_and_nothing_of_the_key() {
    let ((certificate, key), (_, other)) = (issue(), issue());
    let (certificate, key, other) = (certificate.pem(), key.serialize_pem(), other.serialize_pem());
    let broken = key.replace("-----END", "*****END");
    for (first, second, file, problem) in [
        (&certificate, &other, "tls.key (--tls-key-file)", "is not the key of the first certificate in"),
        (&key, &key, "tls.crt (--tls-cert-file)", "there is no certificate in"),
        (&certificate, &certificate, "tls.key (--tls-key-file)", "there is no private key in"),
        (&certificate, &broken, "tls.key (--tls-key-file)", "there is no private key in"),
    ] {
        let error = Mounted::new(first, second).pair().serve().expect_err(problem);
        let error = format!("{error:#}");
        assert!(error.contains(file) && error.contains(problem), "{error}");
        assert!(!key.lines().chain(other.lines()).any(|line| error.contains(line)), "{error}");
    }
    for (missing, file) in [("tls.crt", "tls.crt (--tls-cert-file)"), ("tls.key", "tls.key (--tls-key-file)")] {
        let mounted = Mounted::new(&certificate, &key);
        fs::remove_file(mounted.path(missing)).expect("removed");
        let error = format!("{:#}", mounted.pair().serve().expect_err("a file is missing"));
        assert!(error.contains(file) && error.contains("No such file"), "{error}");
    }
}

#[test]
fn an_expired_certificate_is_served_and_known_to_be() {
    let (certificate, key) = issue_until(2020);
    let mounted = Mounted::new(&certificate.pem(), &key.serialize_pem());
    let pair = mounted.pair();
    pair.serve().expect("served");
    assert!(format!("{:?}", pair.serving).contains("true"));

    let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_hours(24 * days));
    let reason = untimely(certificate.der(), UnixTime::now()).expect("expired").to_string();
    assert!(reason.contains("expired"), "{reason}");
    assert_eq!(untimely(certificate.der(), at(365 * 45)), None, "in 2014");
    assert!(matches!(untimely(certificate.der(), at(1)), Some(CertificateError::NotValidYetContext { .. })), "1970");
}
