//! The registrar of tentacular-mcp: the sidecar that makes every write of desired state. It makes enclaves and applies
//! and removes tentacles. Who the caller is and what they may do the kernel has decided; the registrar only decides it
//! again against the live objects before it writes.

mod args;
mod backing;
mod enclave;
mod locks;
mod module_proxy;
mod registrar;
mod tentacle;

fn main() -> std::process::ExitCode {
    tentacular_process::main(registrar::run)
}
