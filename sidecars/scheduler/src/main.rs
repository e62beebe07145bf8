//! The scheduler of tentacular-mcp: runs tentacles.

mod args;
mod clock;
mod engine;
mod live;
mod run;
mod scheduler;
mod tools;

fn main() -> std::process::ExitCode {
    tentacular_process::main(scheduler::run)
}
