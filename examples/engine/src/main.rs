//! The example engine as a process: listens, says where on standard output, and serves until it is told to end.

use std::{
    io::{Write as _, stdout},
    net::SocketAddr,
};

use anyhow::Context as _;
use clap::Parser;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// A small tentacle engine that counts words, for the demo and the tests.
#[derive(Debug, Parser)]
#[command(name = "tentacular-example-engine", version)]
struct Args {
    /// Address to listen on; port 0 takes a free one. The address is printed as the only line of standard output.
    #[arg(long, env = "TENTACULAR_ENGINE_LISTEN_ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { listen } = Args::parse();
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    writeln!(stdout(), "{}", listener.local_addr()?)?;
    stdout().flush()?;
    tokio::select! {
        () = tentacular_example_engine::serve(listener) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
