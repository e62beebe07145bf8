//! Who speaks to the API server, and the clients and kubeconfigs made of it.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::config::AuthInfo;
use serde_json::{Value, json};

use crate::{certificates::Pair, tls};

/// A proof of identity.
pub(crate) enum Identity<'a> {
    /// A client certificate: its name is the user, its organisations are the groups.
    Certificate(&'a Pair),
    /// A service account token.
    Token(&'a str),
    /// Somebody with a client certificate who poses as this user in these groups.
    Posing(&'a Pair, &'a str, &'a [&'a str]),
}

impl Identity<'_> {
    fn user(&self) -> Value {
        match self {
            Identity::Certificate(pair) => json!({
                "client-certificate-data": STANDARD.encode(&pair.certificate),
                "client-key-data": STANDARD.encode(&pair.key),
            }),
            Identity::Token(token) => json!({ "token": token }),
            Identity::Posing(pair, user, groups) => {
                let mut poses = Identity::Certificate(pair).user();
                poses["as"] = json!(user);
                poses["as-groups"] = json!(groups);
                poses
            }
        }
    }
}

/// How to reach the API server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) authority_pem: String,
    pub(crate) authority_der: Vec<u8>,
}

impl Endpoint {
    /// A client on the current runtime. Fails outside of a runtime's reach only by panic, as every kube client.
    pub(crate) fn client(&self, identity: &Identity<'_>) -> anyhow::Result<kube::Client> {
        tls::use_ring();
        let mut config = kube::Config::new(self.url.parse().context("the API server's address is no URL")?);
        config.root_cert = Some(vec![self.authority_der.clone()]);
        config.auth_info = serde_json::from_value::<AuthInfo>(identity.user())?;
        kube::Client::try_from(config).context("cannot make a client")
    }

    /// Writes a kubeconfig that only this user can read, replacing a file that is there.
    pub(crate) fn write_kubeconfig(
        &self,
        identity: &Identity<'_>,
        namespace: &str,
        path: &Path,
    ) -> anyhow::Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "harness", "cluster": {
                "server": self.url,
                "certificate-authority-data": STANDARD.encode(&self.authority_pem),
            }}],
            "users": [{ "name": "harness", "user": identity.user() }],
            "contexts": [{ "name": "harness", "context": {
                "cluster": "harness", "user": "harness", "namespace": namespace,
            }}],
            "current-context": "harness",
        });
        // A temporary file is readable by this user alone; the mode given to one that exists would not count.
        let folder = path.parent().context("a kubeconfig needs a folder")?;
        let mut file = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        // JSON is YAML, and needs no other library.
        file.write_all(serde_json::to_string_pretty(&config)?.as_bytes())?;
        file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}
