//! The five processes, each started as it is, with a cluster that is not there.

use std::path::Path;

use anyhow::ensure;
use serde_json::json;
use tentacular_test_harness::{Child, Part, Scratch, part, tls};

/// The processes, in the order in which pages tell of them.
pub(crate) const PROCESSES: [Part; 5] =
    [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor, Part::Webhook];

/// All five. They end with this.
pub(crate) struct Started {
    processes: Vec<(Part, Child)>,
    /// Also the folder of the sidecars' sockets.
    pub(crate) scratch: Scratch,
}

impl Started {
    /// Starts them, and waits until each serves.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let (kubeconfig, token) = (scratch.path().join("kubeconfig"), scratch.path().join("token"));
        std::fs::write(&kubeconfig, leading_nowhere(scratch.path())?)?;
        std::fs::write(&token, "a token")?;
        let mut processes = Vec::new();
        for part in PROCESSES {
            let mut program = part::program(part)?
                .env("KUBECONFIG", &kubeconfig)
                .env("TENTACULAR_RUN_DIR", scratch.path())
                .env("TOKEN_PATH", &token)
                .arg("--observe-addr=127.0.0.1:0");
            let (message, field) = match part {
                Part::Kernel => ("serving MCP on /mcp", "address"),
                Part::Webhook => ("serving admission reviews", "address"),
                _ => ("listening", "sidecar"),
            };
            if field == "address" {
                program = program.arg("--listen=127.0.0.1:0");
            }
            let child = program.start(&scratch.path().join(format!("{}.log", part.name())))?;
            part::logged(&child, message, field).await?;
            processes.push((part, child));
        }
        Ok(Self { processes, scratch })
    }

    /// What /metrics of each says.
    pub(crate) async fn metrics(&self) -> anyhow::Result<Vec<(Part, String)>> {
        let mut all = Vec::new();
        for (part, child) in &self.processes {
            let address = part::logged(child, "observing", "address").await?;
            let response = tls::plain().build()?.get(format!("http://{address}/metrics")).send().await?;
            ensure!(response.status().is_success(), "the {} answers with {}", part.name(), response.status());
            all.push((*part, response.text().await?));
        }
        Ok(all)
    }
}

/// A kubeconfig of an API server that does not exist. Its authority is new, as a machine may know none.
fn leading_nowhere(folder: &Path) -> anyhow::Result<String> {
    let authority = folder.join("authority.pem");
    std::fs::write(&authority, tls::Authority::new()?.pem())?;
    let cluster = json!({ "server": "https://127.0.0.1:1", "certificate-authority": authority });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "nowhere", "cluster": cluster }],
        "users": [{ "name": "nobody", "user": {} }],
        "contexts": [{ "name": "none", "context": { "cluster": "nowhere", "user": "nobody" } }],
        "current-context": "none",
    });
    Ok(config.to_string())
}
