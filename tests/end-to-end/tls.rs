//! The endpoint behind TLS: a certificate from files, replaced while clients are connected.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use anyhow::ensure;
use reqwest::{Client, Method, Version};
use tentacular_test_harness::{
    Part, Scratch, Stack,
    mcp::{Era, Mcp, Raw},
    tls::{Authority, Pair},
    until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    start_errors::{start, token},
    support::{SEEN, kernel_alone},
};

/// What is logged when the files have been read again.
const READ_AGAIN: &str = "the TLS certificate was read again";

/// A folder as the kubelet mounts a Secret of type `kubernetes.io/tls`: both files are replaced at once.
struct Mounted(Scratch);

impl Mounted {
    fn new(pair: &Pair) -> anyhow::Result<Self> {
        let mounted = Self(Scratch::new()?);
        mounted.swap(&pair.certificate, &pair.key)?;
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), mounted.path(name))?;
        }
        Ok(mounted)
    }

    fn swap(&self, certificate: &str, key: &str) -> anyhow::Result<()> {
        let generation = self.path(&crate::support::unique("..generation"));
        fs::create_dir(&generation)?;
        fs::write(generation.join("tls.crt"), certificate)?;
        fs::write(generation.join("tls.key"), key)?;
        symlink(&generation, self.path("..next"))?;
        fs::rename(self.path("..next"), self.path("..data"))?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn args(&self) -> [String; 2] {
        [("cert", "tls.crt"), ("key", "tls.key")]
            .map(|(flag, name)| format!("--tls-{flag}-file={}", self.path(name).display()))
    }
}

/// A kernel with TLS, and its certificate's folder.
struct Kernel {
    stack: Stack,
    mounted: Mounted,
}

impl Kernel {
    async fn start(pair: &Pair) -> anyhow::Result<Self> {
        let mounted = Mounted::new(pair)?;
        Ok(Self { stack: kernel_alone(mounted.args().to_vec()).await?, mounted })
    }

    fn url(&self) -> String {
        self.stack.url().replace("http://", "https://")
    }

    fn address(&self) -> String {
        self.url().replace("https://", "").replace("/mcp", "")
    }

    fn raw(&self, http: Client) -> Raw {
        Raw::new(&self.url(), Some(self.stack.token())).over(http)
    }

    fn log(&self) -> anyhow::Result<String> {
        Ok(self.stack.process(Part::Kernel)?.log())
    }

    /// Waits until the log has so many lines with this text.
    async fn until_logged(&self, text: &str, count: usize) -> anyhow::Result<()> {
        until(format!("{text:?} is logged {count} times"), async || {
            let log = self.log()?;
            ensure!(log.matches(text).count() >= count, "{log}");
            Ok(())
        })
        .await
    }
}

/// The HTTP version in which a request is answered.
async fn answered(raw: &Raw) -> reqwest::Result<Version> {
    let response = raw.request(Method::GET).send().await?;
    assert_eq!(response.status(), 405, "authenticated, and no POST");
    Ok(response.version())
}

#[tokio::test]
async fn mcp_is_served_over_tls_in_both_versions_of_http() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let kernel = Kernel::start(&authority.server()?).await?;
    for (protocol, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let http = authority.client(&[protocol])?.build()?;
        assert_eq!(answered(&kernel.raw(http.clone())).await?, version);
        for era in [Era::Handshake, Era::Stateless] {
            let mcp = Mcp::connect_over(http.clone(), &kernel.url(), kernel.stack.token(), era).await?;
            mcp.tools().await?;
        }
    }
    assert!(kernel.log()?.contains("\"tls\":true"), "{}", kernel.log()?);
    let stranger = Authority::new()?.client(&["h2"])?.build()?;
    assert!(answered(&kernel.raw(stranger)).await.is_err(), "another authority's certificate is not shown");
    Ok(())
}

#[tokio::test]
async fn a_replaced_certificate_is_for_new_connections_and_a_broken_one_for_none() -> anyhow::Result<()> {
    let (first, second) = (Authority::new()?, Authority::new()?);
    let kernel = Kernel::start(&first.server()?).await?;
    let (connected, replacement) = (kernel.raw(first.client(&["h2"])?.build()?), second.server()?);
    answered(&connected).await?;

    kernel.mounted.swap(&replacement.certificate, &first.server()?.key)?;
    kernel.until_logged("is not the key of the first certificate", 1).await?;
    assert!(kernel.log()?.contains("--tls-key-file"), "{}", kernel.log()?);
    answered(&kernel.raw(first.client(&["http/1.1"])?.build()?)).await?;

    kernel.mounted.swap(&replacement.certificate, &replacement.key)?;
    kernel.until_logged(READ_AGAIN, 1).await?;
    answered(&kernel.raw(second.client(&["http/1.1"])?.build()?)).await?;
    assert!(answered(&kernel.raw(first.client(&["http/1.1"])?.build()?)).await.is_err(), "the first is still shown");
    assert_eq!(answered(&connected).await?, Version::HTTP_2, "on the connection of before");
    assert_eq!(kernel.log()?.matches("what was read before stays in force").count(), 1, "{}", kernel.log()?);
    Ok(())
}

#[tokio::test]
async fn plain_http_on_the_port_of_tls_ends_and_harms_nobody() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let kernel = Kernel::start(&authority.server()?).await?;
    let h2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for said in ["GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", h2, "\0\0\0\0\0\0\0\0"] {
        let mut stream = TcpStream::connect(kernel.address()).await?;
        stream.write_all(said.as_bytes()).await?;
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = tokio::time::timeout(SEEN, stream.read_to_end(&mut answer)).await?;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        answered(&kernel.raw(authority.client(&["h2"])?.build()?)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_ends_the_start_with_flag_and_file() -> anyhow::Result<()> {
    let (scratch, authority) = (Scratch::new()?, Authority::new()?);
    let (pair, other) = (authority.server()?, authority.server()?);
    let mounted = Mounted::new(&pair)?;
    let [certificate, key] = mounted.args();
    let run = |args: &[&String]| {
        let args: Vec<_> = args.iter().map(|&arg| arg.clone()).chain([token(&scratch)]).collect();
        let scratch = &scratch;
        async move { start(Part::Kernel, scratch, &args).await }
    };
    for (given, missing) in [(&certificate, "--tls-key-file"), (&key, "--tls-cert-file")] {
        let ended = run(&[given]).await?;
        assert!(ended.code == Some(2) && ended.line.contains(missing), "{}", ended.line);
    }
    let nowhere = mounted.path("nowhere").display().to_string();
    for flag in ["--tls-cert-file", "--tls-key-file"] {
        let (missing, good) =
            (format!("{flag}={nowhere}"), if flag == "--tls-cert-file" { &key } else { &certificate });
        let ended = run(&[&missing, good]).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.line);
        assert!(ended.line.contains(&nowhere) && ended.line.contains(flag), "{}", ended.line);
    }
    mounted.swap(&pair.certificate, &other.key)?;
    let ended = run(&[&certificate, &key]).await?;
    assert_eq!(ended.code, Some(1), "{}", ended.line);
    for part in ["tls.key (--tls-key-file)", "is not the key of the first certificate", "tls.crt (--tls-cert-file)"] {
        assert!(ended.line.contains(part), "{}", ended.line);
    }
    Ok(())
}
