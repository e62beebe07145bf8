//! The auditor of tentacular-mcp: observes and judges. It writes nothing.

mod args;
mod auditor;
mod clock;
mod health;
mod observed;
mod probe;
mod tentacle;
mod text;
mod tools;

fn main() -> std::process::ExitCode {
    tentacular_process::main(auditor::run)
}
