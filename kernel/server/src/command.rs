//! What the program does besides serving, for an image that has no shell: one thing, and then it ends.

mod call;
mod run_dir;
mod trusted;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use call::Call;

use crate::args::Args;

/// A subcommand. Flags of the server stand before it; its environment variables count too.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Makes the folder of the sidecars' sockets (--run-dir) and ends. The folder above it must be there.
    MakeRunDir,
    /// Calls a tool of a running server with the bearer token (--token-path), prints its result and ends: with status 0,
    /// or 1 where the tool or the call failed.
    Call(Call),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When the folder cannot be made, or the call got no result.
    pub(crate) fn run(self, server: &Args) -> anyhow::Result<ExitCode> {
        match self {
            Self::MakeRunDir => run_dir::make(&server.run_dir).map(|()| ExitCode::SUCCESS),
            Self::Call(call) => call.run(server),
        }
    }
}
