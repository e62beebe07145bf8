//! The auditor of tentacular-mcp: observes and judges. It writes nothing.

mod args;
mod audit;
mod auditor;
mod backing;
mod clock;
mod cluster_facts;
mod events;
mod health;
mod http_get;
mod mask;
mod observed;
mod page;
mod pods;
mod probe;
mod quantity;
mod tentacle;
mod text;
mod tools;
mod view;

fn main() -> std::process::ExitCode {
    tentacular_process::main(auditor::run)
}
