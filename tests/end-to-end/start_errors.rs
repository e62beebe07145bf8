//! A process that cannot start says why in one line and ends with a status that is not zero.

use std::{net::TcpListener, path::Path};

use tentacular_test_harness::{Part, Scratch, part::program};

use crate::support::unique;

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) line: String,
}

/// Starts a process that must end by itself, with one line beside its log.
pub(crate) async fn start(part: Part, scratch: &Scratch, args: &[String]) -> anyhow::Result<Ended> {
    let log = scratch.path().join(format!("{}.log", unique(part.name())));
    let child =
        program(part)?.env("KUBECONFIG", "/nonexistent").arg("--observe-addr=127.0.0.1:0").args(args).start(&log)?;
    let code = child.wait().await?.code();
    let said: Vec<_> = child.log().lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect();
    assert_eq!(said.len(), 1, "one line, not {said:?}");
    Ok(Ended { code, line: said.into_iter().next().unwrap_or_default() })
}

/// The argument for a token file that is there.
pub(crate) fn token(scratch: &Scratch) -> String {
    let path = scratch.path().join("token");
    std::fs::write(&path, "a token").unwrap();
    format!("--token-path={}", path.display())
}

#[tokio::test]
async fn a_bad_flag_ends_the_start() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    for part in [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor, Part::Webhook] {
        let ended = start(part, &scratch, &["--no-such-flag".to_owned()]).await?;
        assert_eq!(ended.code, Some(2));
        assert!(ended.line.starts_with(&format!("tentacular-{}: ", part.name())), "{}", ended.line);
        assert!(ended.line.contains("--no-such-flag"), "{}", ended.line);
    }
    let ended = start(Part::Kernel, &scratch, &["--listen=nowhere".to_owned()]).await?;
    assert!(ended.code == Some(2) && ended.line.contains("--listen"), "{}", ended.line);
    Ok(())
}

#[tokio::test]
async fn a_missing_or_empty_token_file_ends_the_start_with_its_name() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let missing = scratch.path().join("missing-token");
    let ended = start(Part::Kernel, &scratch, &[format!("--token-path={}", missing.display())]).await?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.line.contains(missing.to_str().unwrap()), "{}", ended.line);
    let empty = scratch.path().join("empty-token");
    std::fs::write(&empty, " \n")?;
    let args = [format!("--token-path={}", empty.display()), "--listen=127.0.0.1:0".to_owned()];
    let ended = start(Part::Kernel, &scratch, &args).await?;
    assert!(ended.code == Some(1) && ended.line.contains("is empty"), "{}", ended.line);
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_ends_the_start_with_its_number() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let ended = start(Part::Kernel, &scratch, &[token(&scratch), format!("--listen={address}")]).await?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.line.contains(&address.to_string()) && ended.line.contains("--listen"), "{}", ended.line);
    let ended = start(Part::Webhook, &scratch, &[format!("--listen={address}")]).await?;
    assert!(ended.code == Some(1) && ended.line.contains(&address.to_string()), "{}", ended.line);
    Ok(())
}

#[tokio::test]
async fn a_run_folder_that_is_not_there_or_holds_a_file_ends_the_start() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let run = |path: &Path| format!("--run-dir={}", path.display());
    let missing = scratch.path().join("no-run");
    let kernel = [token(&scratch), "--listen=127.0.0.1:0".to_owned(), run(&missing)];
    let ended = start(Part::Kernel, &scratch, &kernel).await?;
    assert!(ended.code == Some(1) && !ended.line.is_empty(), "{}", ended.line);
    Ok(())
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_counts_as_not_set() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let log = scratch.path().join("kernel.log");
    let mut kernel = program(Part::Kernel)?.env("TOKEN_PATH", "/nonexistent/token").arg("--observe-addr=127.0.0.1:0");
    for variable in [
        "LISTEN_ADDR",
        "TENTACULAR_AUTHZ_ENABLED",
        "TENTACULAR_AUTHZ_CLUSTER_READ",
        "TENTACULAR_DRAIN_SECONDS",
        "TENTACULAR_EXOSKELETON_AUTH_ENABLED",
        "TENTACULAR_EXTERNAL_URL",
        "TENTACULAR_INGRESS_DOMAIN",
        "TENTACULAR_TLS_CERT_FILE",
        "TENTACULAR_TRUSTED_PROXIES",
    ] {
        kernel = kernel.env(variable, "");
    }
    let kernel = kernel.start(&log)?;
    kernel.wait().await?;
    // It came as far as the token, which is not there.
    assert!(kernel.log().contains("/nonexistent/token"), "{}", kernel.log());
    Ok(())
}
