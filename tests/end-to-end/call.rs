//! `tentacular-kernel call`, by which an operator and `helm test` call a tool: whom it trusts, and what it says when it gets no
//! result.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use tentacular_test_harness::{Part, Scratch, tls::Authority};
use tokio::process::Command;

use crate::support::kernel_alone;

/// What the kernel without sidecars says of every tool: so far a call comes whose certificate is trusted.
const ANSWERED: &str = "the server refuses the call: unknown tool";

/// Calls a tool, and returns the one line on standard error of a call that failed.
async fn failure(token: &Path, url: &str, trust: &[&str]) -> anyhow::Result<String> {
    let mut call = Command::new(Part::Kernel.binary()?);
    call.env_clear().env("TOKEN_PATH", token).args(["call", "enclave_list", &format!("--url={url}")]);
    for variable in trust {
        match variable.split_once('=').context("a variable or a flag with a value")? {
            (flag, _) if flag.starts_with("--") => call.arg(variable),
            (name, value) => call.env(name, value),
        };
    }
    let output = call.output().await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && said.lines().count() == 1, "{}: {said}", output.status);
    Ok(said)
}

#[tokio::test]
async fn a_call_trusts_the_servers_own_certificate_and_tells_why_it_trusts_no_other() -> anyhow::Result<()> {
    let (scratch, authority) = (Scratch::new()?, Authority::new()?);
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let pair = authority.lasting(&["elsewhere.example.com"], Duration::from_hours(1))?;
    let other = Authority::new()?;
    for (name, text) in [
        ("tls.crt", &pair.certificate),
        ("tls.key", &pair.key),
        ("ca.crt", &authority.pem()),
        ("other.crt", &other.server()?.certificate),
    ] {
        std::fs::write(path(name), text)?;
    }
    let [certificate, key] = ["tls.crt", "tls.key"].map(path);
    let args = vec![format!("--tls-cert-file={certificate}"), format!("--tls-key-file={key}")];
    let stack = kernel_alone(args).await?;
    let (url, token) = (stack.url().replace("http://", "https://"), scratch.path().join("token"));
    std::fs::write(&token, stack.token())?;

    // As it is, whatever name it has; in the server's own container without a flag.
    let own = [format!("TENTACULAR_TLS_CERT_FILE={certificate}"), format!("TENTACULAR_TLS_KEY_FILE={key}")];
    let trust = format!("--trust={certificate}");
    for trust in [&[trust.as_str()][..], &own.each_ref().map(String::as_str)] {
        let said = failure(&token, &url, trust).await?;
        ensure!(said.contains(ANSWERED), "{trust:?}: {said}");
    }
    for trust in [vec![], vec![format!("--trust={}", path("other.crt"))]] {
        let said = failure(&token, &url, &trust.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        ensure!(said.contains(&url) && said.contains("invalid peer certificate: UnknownIssuer"), "{trust:?}: {said}");
    }
    let said = failure(&token, &url, &[&format!("--trust={}", path("ca.crt"))]).await?;
    ensure!(said.contains("not valid for name"), "{said}");
    let said = failure(&token, &url, &[&format!("--trust={}", path("tls.key"))]).await?;
    ensure!(said.contains("tls.key (--trust): there is no certificate in it"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_gets_no_result_tells_the_first_cause_and_nothing_of_the_token() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let token = scratch.path().join("token");
    std::fs::write(&token, "not-the-token")?;
    let stack = kernel_alone(Vec::new()).await?;
    for (url, cause) in [
        (stack.url(), "it does not accept the token; give the file of the one that it has (--token-path)"),
        ("http://127.0.0.1:1/mcp", "Connection refused"),
    ] {
        let said = failure(&token, url, &[]).await?;
        ensure!(said.contains(&format!("no result from {url}: ")) && said.contains(cause), "{said}");
        ensure!(!said.contains("not-the-token") && !said.contains("rmcp::"), "{said}");
    }
    Ok(())
}
