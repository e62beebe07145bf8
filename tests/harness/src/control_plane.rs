//! A real Kubernetes control plane on loopback, for as long as a value of it lives.

mod start;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    certificates::Certificates,
    child::Child,
    credentials::{Endpoint, Identity},
    eventually::eventually,
    node::{ContainerLogs, Node},
    scratch::Scratch,
};

/// Longer than any run of tests, so that no token expires in the middle of one.
const TOKEN_SECONDS: i64 = 6 * 60 * 60;
/// The API server appends five random characters to a generated name, and 40 leave room for names made of it.
const NAMESPACE_PREFIX: usize = 40 - 5;

/// etcd, kube-apiserver and kube-controller-manager with an empty cluster in them. Dropping it kills them and removes
/// their folder.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order of their end: the node's tasks would complain about a dead server, and a server about a dead store.
    node: Option<Node>,
    controller_manager: Child,
    api_server: Child,
    etcd: Child,
    endpoint: Endpoint,
    certificates: Certificates,
    kubeconfig: PathBuf,
    scratch: Scratch,
    permit: Option<OwnedSemaphorePermit>,
}

impl ControlPlane {
    /// Starts one without a node and waits until it is ready: the API server answers and the controllers have made
    /// the first service account. Must run inside a tokio runtime, but the control plane outlives that runtime.
    ///
    /// Fails when the programs cannot be had (see [`crate::binaries`]) or one of them ends early; the error has the
    /// last lines of its log.
    pub async fn start() -> anyhow::Result<Self> {
        start::start(Ipv4Addr::LOCALHOST).await
    }

    /// The same with a node on the current runtime; see [`Node`].
    pub async fn start_with_node() -> anyhow::Result<Self> {
        let mut control_plane = Self::start().await?;
        control_plane.node = Some(Node::join(control_plane.admin()?).await?);
        Ok(control_plane)
    }

    /// The same as [`Self::start`] on an address that nodes can reach.
    pub(crate) async fn start_for_nodes(address: Ipv4Addr) -> anyhow::Result<Self> {
        start::start(address).await
    }

    /// What the containers on its node wrote. Fails where there is no node.
    pub fn container_logs(&self) -> anyhow::Result<&ContainerLogs> {
        self.node.as_ref().map(Node::logs).context("the control plane has no node")
    }

    /// Keeps a permit until the control plane is gone.
    pub(crate) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }

    /// A new client of the cluster's administrator, on the current runtime: a client dies with the runtime that made
    /// it. Must be called inside a tokio runtime.
    pub fn admin(&self) -> anyhow::Result<Client> {
        self.endpoint.client(&Identity::Certificate(&self.certificates.admin))
    }

    /// A client that may do everything as one of Kubernetes' own controllers, which the webhook lets pass: for objects as
    /// they stand where they are older than the webhook. On the current runtime.
    pub fn controller(&self) -> anyhow::Result<Client> {
        let groups = ["system:masters", "system:serviceaccounts:kube-system", "system:serviceaccounts"];
        let user = "system:serviceaccount:kube-system:generic-garbage-collector";
        self.endpoint.client(&Identity::Posing(&self.certificates.admin, user, &groups))
    }

    /// A client of a person without rights of its own, on the current runtime.
    pub fn person(&self, name: &str) -> anyhow::Result<Client> {
        self.endpoint.client(&Identity::Posing(&self.certificates.admin, name, &["system:authenticated"]))
    }

    /// The kubeconfig of the cluster's administrator.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address of the API server, such as `https://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// The certificate that the API server's is signed by, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.endpoint.authority_pem
    }

    /// The folder with logs, keys and data, removed with the control plane. Callers may put files there.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The running programs by name, to look at their logs or to stop them: etcd, kube-apiserver and
    /// kube-controller-manager.
    pub fn programs(&self) -> [(&'static str, &Child); 3] {
        [
            ("etcd", &self.etcd),
            ("kube-apiserver", &self.api_server),
            ("kube-controller-manager", &self.controller_manager),
        ]
    }

    /// Creates a namespace with a name of its own, made of `prefix`, and waits for its default service account. The
    /// name is a DNS label of at most 40 characters.
    pub async fn namespace(&self, prefix: &str) -> anyhow::Result<String> {
        let client = self.admin()?;
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(name_prefix(prefix)), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let created = Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .context("cannot create a namespace")?;
        let name = created.name_any();
        default_service_account(client, &name).await?;
        Ok(name)
    }

    /// A new client of a service account, on the current runtime. Fails when the service account does not exist.
    pub async fn client_as(&self, namespace: &str, service_account: &str) -> anyhow::Result<Client> {
        let token = self.token(namespace, service_account).await?;
        self.endpoint.client(&Identity::Token(&token))
    }

    /// Writes a kubeconfig of a service account, readable by this user only; its default namespace is that of the
    /// service account. Fails when the service account does not exist or the file cannot be written.
    pub async fn kubeconfig_as(&self, namespace: &str, service_account: &str, path: &Path) -> anyhow::Result<()> {
        let token = self.token(namespace, service_account).await?;
        self.endpoint.write_kubeconfig(&Identity::Token(&token), namespace, path)
    }

    /// Writes a kubeconfig of whoever has this name by certificate, such as a node, readable by this user only.
    pub(crate) fn kubeconfig_of(&self, user: &str, group: Option<&str>, path: &Path) -> anyhow::Result<()> {
        let pair = self.certificates.client(user, group)?;
        self.endpoint.write_kubeconfig(&Identity::Certificate(&pair), "default", path)
    }

    /// A token of a service account for the API server, good for some hours. Fails when the service account does not
    /// exist.
    pub async fn token(&self, namespace: &str, service_account: &str) -> anyhow::Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = Api::<ServiceAccount>::namespaced(self.admin()?, namespace)
            .create_token_request(service_account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for the service account {namespace}/{service_account}"))?;
        Ok(answer.status.context("a token request without an answer")?.token)
    }
}

async fn default_service_account(client: Client, namespace: &str) -> anyhow::Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(client, namespace);
    eventually(&accounts, "default", |account: Option<&ServiceAccount>| account.is_some())
        .await
        .with_context(|| format!("no default service account in namespace {namespace}"))?;
    Ok(())
}

/// Any text as the beginning of a DNS label, with the dash before the random end.
fn name_prefix(text: &str) -> String {
    let label: String =
        text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let label = label.trim_start_matches('-');
    let label = &label[..label.len().min(NAMESPACE_PREFIX - 1)];
    match label.trim_end_matches('-') {
        "" => "test-".to_owned(),
        label => format!("{label}-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_the_beginning_of_a_label() {
        assert_eq!(name_prefix("Admit_Pods::test"), "admit-pods--test-");
        assert_eq!(name_prefix("_"), "test-");
        assert_eq!(name_prefix(&"long".repeat(30)).len(), NAMESPACE_PREFIX);
    }
}
