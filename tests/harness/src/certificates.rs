//! The certificates and keys of one control plane.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// What a control plane needs, made new for each.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Signs the certificates of the API server and of its clients.
    pub(crate) authority: Pair,
    pub(crate) authority_der: Vec<u8>,
    issuer: Issuer,
    pub(crate) server: Pair,
    pub(crate) admin: Pair,
    pub(crate) controller_manager: Pair,
    /// Signs the client certificate by which the API server speaks to aggregated API servers.
    pub(crate) front_proxy_authority: Pair,
    pub(crate) front_proxy: Pair,
    /// Signs service account tokens; here the "certificate" is the public key.
    pub(crate) service_accounts: Pair,
}

impl Certificates {
    /// Makes all of them.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let authority = issuer("harness-ca")?;
        let front_proxy_authority = issuer("harness-front-proxy-ca")?;
        let tokens = KeyPair::generate()?;
        Ok(Self {
            server: server(&authority)?,
            admin: client(&authority, "harness-admin", Some("system:masters"))?,
            controller_manager: client(&authority, "system:kube-controller-manager", None)?,
            front_proxy: client(&front_proxy_authority, "front-proxy-client", None)?,
            authority_der: authority.der().to_vec(),
            authority: Pair { certificate: authority.pem(), key: authority.key().serialize_pem() },
            front_proxy_authority: Pair {
                certificate: front_proxy_authority.pem(),
                key: front_proxy_authority.key().serialize_pem(),
            },
            service_accounts: Pair { certificate: tokens.public_key_pem(), key: tokens.serialize_pem() },
            issuer: authority,
        })
    }

    /// The certificate of one more client of the API server.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> anyhow::Result<Pair> {
        client(&self.issuer, user, group)
    }

    /// Writes them into `folder` as `<name>.crt` and `<name>.key`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let pairs = [
            ("ca", &self.authority),
            ("server", &self.server),
            ("admin", &self.admin),
            ("front-proxy-ca", &self.front_proxy_authority),
            ("front-proxy", &self.front_proxy),
            ("service-accounts", &self.service_accounts),
        ];
        std::fs::create_dir_all(folder)?;
        for (name, pair) in pairs {
            for (extension, text) in [("crt", &pair.certificate), ("key", &pair.key)] {
                let file = folder.join(name).with_extension(extension);
                std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        Ok(())
    }
}

/// Where pods find the API server: the first address of the services' network.
const SERVICE_ADDRESS: &str = "10.96.0.1";
/// Where nodes find it; see [`crate::cluster`].
pub(crate) const CLUSTER_ADDRESS: &str = "10.99.0.1";

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn issuer(name: &str) -> anyhow::Result<Issuer> {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

pub(crate) fn server(issuer: &Issuer) -> anyhow::Result<Pair> {
    let addresses = ["127.0.0.1", SERVICE_ADDRESS, CLUSTER_ADDRESS];
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut params =
        CertificateParams::new(addresses.into_iter().chain(names).map(str::to_owned).collect::<Vec<_>>())?;
    params.distinguished_name = named("kube-apiserver").distinguished_name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(params, issuer)
}

/// Valid from now on.
pub(crate) fn lasting(issuer: &Issuer, names: &[&str], life: Duration) -> anyhow::Result<Pair> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    let now = Duration::from_secs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs());
    params.not_before = date_time_ymd(1970, 1, 1) + now;
    params.not_after = params.not_before + life;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(params, issuer)
}

/// With a URI for a name, and no other.
pub(crate) fn identity(issuer: &Issuer, uri: &str) -> anyhow::Result<Pair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    sign(params, issuer)
}

fn client(issuer: &Issuer, user: &str, group: Option<&str>) -> anyhow::Result<Pair> {
    let mut params = named(user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(params, issuer)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn sign(mut params: CertificateParams, issuer: &Issuer) -> anyhow::Result<Pair> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}
