//! Runs the program that its arguments name where a cluster with real nodes can be; cargo runs the tests through it.

use std::process::ExitCode;

use tentacular_test_harness::cluster::enter::enter;

// One thread, as what is started ends with its thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    enter(std::env::args_os().skip(1).collect()).await.map(ExitCode::from)
}
