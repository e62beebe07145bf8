//! The scheduler of tentacular-mcp: runs tentacles, on demand and by schedule.

mod args;
mod clock;
mod clockwork;
mod engine;
mod ledger;
mod live;
mod run;
mod scheduler;
mod tools;

fn main() -> std::process::ExitCode {
    tentacular_process::main(scheduler::run)
}
