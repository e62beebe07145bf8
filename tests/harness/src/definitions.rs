//! Definitions of kinds that other projects make (CRDs), as these ship them in their Go modules.

use std::path::Path;

use anyhow::{Context as _, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Client,
    api::{Api, PostParams},
    runtime::conditions,
};
use serde_json::Value;

use crate::{
    cache::{self, Workshop, find_program},
    child::Program,
    eventually,
    services::absent,
};

/// Files of a Go module that define kinds.
#[derive(Debug)]
pub struct Definitions {
    /// What they are kept as in the cache.
    name: &'static str,
    module: &'static str,
    version: &'static str,
    /// Paths in the module.
    files: &'static [&'static str],
}

/// `PodMonitor` and `PrometheusRule`, of the Prometheus Operator.
pub const MONITORING: Definitions = Definitions {
    name: "monitoring-kinds",
    module: "github.com/prometheus-operator/prometheus-operator",
    version: "v0.85.0",
    files: &[
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
};

/// `HTTPRoute`, of the Gateway API.
pub const GATEWAY: Definitions = Definitions {
    name: "gateway-kinds",
    module: "sigs.k8s.io/gateway-api",
    version: "v1.4.0",
    files: &["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
};

/// `ClusterSPIFFEID`, of SPIRE's controller manager.
pub const SPIRE: Definitions = Definitions {
    name: "spire-kinds",
    module: "github.com/spiffe/spire-controller-manager",
    version: "v0.6.4",
    files: &["config/crd/bases/spire.spiffe.io_clusterspiffeids.yaml"],
};

impl Definitions {
    /// Makes them in a control plane, and waits until it serves the kinds. False, with a printed reason, where they cannot
    /// be had.
    ///
    /// # Errors
    /// When the module cannot be fetched, or the API server refuses a definition.
    pub async fn install(&self, client: &Client) -> anyhow::Result<bool> {
        let Some(go) = find_program("go") else {
            return Ok(absent::<()>(&format!("{} has to be fetched, and there is no `go`", self.module))?.is_some());
        };
        let key = cache::key(self.version, self.files)?;
        let made = |folder: &Path| self.files.iter().all(|file| folder.join(name(file)).is_file());
        let folder = cache::folder(self.name, &key, made, |workshop| self.fetch(&go, workshop)).await?;
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        for file in self.files {
            let text = std::fs::read_to_string(folder.join(name(file)))?;
            let definition: CustomResourceDefinition = serde_saphyr::from_str(&text).with_context(|| *file)?;
            let made = definitions.create(&PostParams::default(), &definition).await.with_context(|| *file)?;
            let named = made.metadata.name.context("a definition without a name")?;
            eventually(&definitions, &named, conditions::is_crd_established()).await?;
        }
        Ok(true)
    }

    async fn fetch(&self, go: &Path, Workshop { scraps, output }: Workshop) -> anyhow::Result<()> {
        let log = scraps.join("download.json");
        let download = Program::new(go)
            .args(["mod", "download", "-json"])
            .arg(format!("{}@{}", self.module, self.version))
            .directory(&scraps)
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .start(&log)?;
        let status = download.wait().await?;
        ensure!(status.success(), "go mod download failed with {status}:\n{}", download.last_lines(20));
        // What go says beside the answer comes before it.
        let said = download.log();
        let answer = said.find('{').map(|begin| &said[begin..]).context("go mod download says nothing")?;
        let answer: Value = serde_json::from_str(answer).with_context(|| said.clone())?;
        let module = Path::new(answer["Dir"].as_str().with_context(|| answer.to_string())?);
        for file in self.files {
            std::fs::copy(module.join(file), output.join(name(file))).with_context(|| *file)?;
        }
        Ok(())
    }
}

/// The last part of a path.
fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
