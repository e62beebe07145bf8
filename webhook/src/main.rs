//! The process `tentacular-webhook`.

fn main() -> std::process::ExitCode {
    tentacular_process::main(tentacular_webhook::run)
}
