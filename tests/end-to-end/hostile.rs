//! What no honest client, sidecar or identity provider sends: nobody else notices, and no log or answer is misused.

mod answering;
mod guessing;
mod heads;
mod joining;
mod providers;
mod texts;

use std::time::Duration;

use anyhow::Context as _;
use tentacular_test_harness::Stack;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long a test waits for what comes about at once. Only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(2);

/// The address of the kernel.
fn address(stack: &Stack) -> String {
    stack.url().trim_start_matches("http://").trim_end_matches("/mcp").to_owned()
}

/// Sends these bytes on a connection of their own, and gives all that is answered until the kernel closes it.
async fn exchanged(stack: &Stack, bytes: impl AsRef<[u8]>) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address(stack)).await?;
    stream.write_all(bytes.as_ref()).await?;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("the kernel does not close")?;
    read.context("the connection broke")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The head of a request of somebody with the token, without the empty line that ends it.
fn head(stack: &Stack, first_line: &str) -> String {
    format!(
        "{first_line}\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n",
        address(stack),
        stack.token()
    )
}
