//! From the start of the process to the first answer of `/healthz` on the main port.

use std::time::{Duration, Instant};

use tentacular_test_harness::{Installation, Part, Scratch, part::program, tls};

use crate::report::{Figure, Report};

/// Starts that are measured.
const STARTS: usize = 21;

pub(crate) async fn measure(installation: &Installation, report: &mut Report) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let kubeconfig = installation.kubeconfig_for(Part::Kernel, scratch.path()).await?;
    let token = scratch.path().join("token");
    std::fs::write(&token, "a token")?;
    let http = tls::plain().build()?;
    let mut times = Vec::new();
    for run in 0..STARTS {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let command = program(Part::Kernel)?
            .env("KUBECONFIG", &kubeconfig)
            .arg(format!("--listen={address}"))
            .arg(format!("--token-path={}", token.display()))
            .arg(format!("--run-dir={}", scratch.path().display()))
            .arg("--observe-addr=127.0.0.1:0");
        let begun = Instant::now();
        let kernel = command.start(&scratch.path().join(format!("kernel-{run}.log")))?;
        let url = format!("http://{address}/healthz");
        while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            anyhow::ensure!(kernel.is_running(), "the kernel ended: {}", kernel.log());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(begun.elapsed());
    }
    report.add(Figure::times("kernel, from its start to /healthz", &times).at_most(30.0));
    Ok(())
}
