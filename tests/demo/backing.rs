//! Backing services for the tour and the measurements: real servers on loopback, as far as this machine can have them.

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::services::{Access, Minio, Nats, Postgres};

/// The servers that there are. Why one is missing the harness prints.
#[derive(Debug)]
pub struct Services {
    /// For rows.
    pub postgres: Option<Postgres>,
    /// For messages, with an account for each tentacle.
    pub nats: Option<Nats>,
    /// For objects.
    pub minio: Option<Minio>,
}

impl Services {
    /// Starts what can be had.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self {
            postgres: Postgres::start().await?,
            nats: Nats::with_operator().await?,
            minio: Minio::start().await?,
        })
    }

    /// The registrar's arguments for them.
    pub fn registrar_args(&self) -> anyhow::Result<Vec<String>> {
        let mut args = vec!["--exoskeleton=true".to_owned(), "--exoskeleton-cleanup=true".to_owned()];
        if let Some(postgres) = &self.postgres {
            let (address, administrator) = (postgres.server.address(), &postgres.administrator);
            args.extend([
                format!("--postgres-host={}", address.ip()),
                format!("--postgres-port={}", address.port()),
                format!("--postgres-user={}", administrator.user),
                format!("--postgres-password={}", administrator.password),
            ]);
        }
        if let Some(nats) = &self.nats {
            let Access::Operator(operator) = &nats.access else {
                return Err(anyhow::anyhow!("NATS has no operator"));
            };
            args.extend([
                format!("--nats-url={}", nats.url()),
                format!("--nats-account={}", operator.account()),
                format!("--nats-signing-key={}", operator.signing_seed()?),
                format!("--nats-operator-key={}", operator.operator_seed()?),
                format!("--nats-system-creds={}", operator.system_user()?.creds()),
            ]);
        }
        if let Some(minio) = &self.minio {
            args.extend([
                format!("--rustfs-endpoint={}", minio.endpoint()),
                format!("--rustfs-access-key={}", minio.access_key),
                format!("--rustfs-secret-key={}", minio.secret_key),
            ]);
        }
        Ok(args)
    }

    /// The dependencies by which a contract asks for them.
    pub fn dependencies(&self) -> Vec<&'static str> {
        let there = [self.postgres.is_some(), self.nats.is_some(), self.minio.is_some()];
        let all = ["tentacular-postgres", "tentacular-nats", "tentacular-rustfs"];
        all.into_iter().zip(there).filter_map(|(name, there)| there.then_some(name)).collect()
    }
}

/// The manifests of a tentacle of that name with these dependencies, out of the example's, and with so many pods.
pub fn manifests(example: &Value, name: &str, dependencies: &[&str], replicas: u32) -> anyhow::Result<Value> {
    let text = example.to_string().replace("word-count", name);
    let mut manifests: Value = serde_json::from_str(&text)?;
    let asked = dependencies.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    let asked = format!("  dependencies: {}\n", Value::Object(asked));
    for manifest in manifests.as_array_mut().context("the manifests are no list")? {
        if let Some(file) = manifest.pointer_mut("/data/workflow.yaml") {
            let workflow = file.as_str().context("no workflow.yaml")?.replace("  dependencies: {}\n", &asked);
            *file = workflow.into();
        }
        if manifest["kind"] == "Deployment" {
            manifest["spec"]["replicas"] = json!(replicas);
        }
    }
    Ok(manifests)
}
