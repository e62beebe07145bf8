//! The kernel of tentacular-mcp: the listener, the protocol edge, authentication, authorization, and forwarding.
//! It knows no tool by name and writes nothing to the cluster.

mod args;
mod audit;
mod authn;
mod authz;
mod command;
mod edge;
mod kernel;
mod refusal;
mod sidecars;
mod tls;

fn main() -> std::process::ExitCode {
    tentacular_process::main(kernel::run)
}
