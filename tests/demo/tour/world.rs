//! What runs during the tour, and who is in it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tentacular_demo::backing::Services;
use tentacular_test_harness::{
    ControlPlane, Installation, Part, Provider, Stack,
    mcp::{Era, Mcp},
    provider,
    stack::Options,
};
use tokio::time::sleep;

use crate::story::Story;

/// The enclave of the tour.
pub(crate) const ENCLAVE: &str = "team-a";
/// Who owns it.
pub(crate) const OWNER: &str = "ann";
/// Who signs in and has no part in it.
pub(crate) const STRANGER: &str = "eve";
/// How long whatever the tour waits for may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// How long a person's token is valid, in seconds: long enough to try things after the tour.
const TOKEN_SECONDS: i64 = 86_400;

/// The running system. Everything ends with it.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) services: Services,
    provider: Provider,
}

impl World {
    /// Starts everything, and waits until people can sign in.
    pub(crate) async fn start(story: &Story, port: u16) -> anyhow::Result<Self> {
        story.note("starting etcd, kube-apiserver and kube-controller-manager on loopback");
        let control_plane = ControlPlane::start_with_node().await?;
        story.note("installing the chart's accounts, rights and policies, and the webhook");
        let installation = Arc::new(Installation::install(control_plane).await?);
        story.note("starting the backing services that this machine can have: PostgreSQL, NATS and MinIO");
        let services = Services::start().await?;
        story.note("starting kernel, registrar, scheduler, auditor, an identity provider and a tentacle engine");
        let provider = Provider::start()?;
        let options = Options {
            listen: Some(format!("127.0.0.1:{port}")),
            kernel_args: provider.kernel_args(),
            sidecar_args: [(Part::Registrar, services.registrar_args()?)].into(),
            ..Options::default()
        };
        let world = Self { stack: Stack::start_with(installation, options).await?, services, provider };
        world.until_people_can_sign_in().await?;
        Ok(world)
    }

    /// The kernel fetches the provider's keys in the background.
    async fn until_people_can_sign_in(&self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        let raw = self.stack.raw_as(&self.token(OWNER));
        // What is refused after authentication.
        while raw.request(Method::GET).send().await?.status() != StatusCode::METHOD_NOT_ALLOWED {
            ensure!(Instant::now() < until, "the kernel does not take the identity provider's tokens");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// An access token of a person, as the identity provider gives it at sign-in.
    pub(crate) fn token(&self, person: &str) -> String {
        let mut claims = self.provider.claims(person, &email(person));
        claims["exp"] = json!(provider::now() + TOKEN_SECONDS);
        self.provider.token(&claims)
    }

    /// An MCP client of a person who has signed in.
    pub(crate) async fn client(&self, person: &str) -> anyhow::Result<Mcp> {
        self.stack.client_as(&self.token(person), Era::Stateless).await
    }
}

/// The address of a person.
pub(crate) fn email(person: &str) -> String {
    format!("{person}@example.com")
}

/// The manifests of the example tentacle.
pub(crate) fn word_count() -> anyhow::Result<Value> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/manifests.json"));
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}
