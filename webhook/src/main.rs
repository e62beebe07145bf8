//! The validating admission webhook: holds the rules of enclaves against everybody who writes around the server.

mod admit;
mod args;
mod certificate;
mod keeper;
mod review;
mod run;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    tentacular_process::main(run::run)
}
