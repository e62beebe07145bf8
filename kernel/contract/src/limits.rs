//! Limits that hold across processes. Above one, the answer is an error that names it.

use std::time::Duration;

/// Largest request body of `/mcp`, in bytes.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;
/// Largest request body the webhook reads, in bytes; the API server's own objects end below it.
pub const REVIEW_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Calls of one caller that run at once, and streams of theirs that listen.
pub const CALLS_AT_ONCE: usize = 64;
/// Bytes of their bodies together, as each is in memory until its call has ended.
pub const CALL_BYTES_AT_ONCE: usize = 4 * BODY_BYTES;
/// Calls that run at once in one sidecar, each until its answer was passed on to the end: more than one caller's, so that
/// nobody has a sidecar for himself.
pub const CALLS_AT_ONCE_IN_A_SIDECAR: usize = 128;
/// Largest head of a request, in bytes: twice the longest token, as whoever connects has this much of the memory.
pub const HEAD_BYTES: usize = 32 * 1024;
/// How long a stranger may take to send the head of a request, or for a TLS handshake; in a crowd, everybody.
pub const HEADER_TIME: Duration = Duration::from_secs(10);
/// How long whoever asks the webhook may take to send a review; the API server itself waits for 5 s.
pub const REVIEW_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to send its request body.
pub const BODY_TIME: Duration = Duration::from_mins(1);
/// Manifests in one `wf_apply`.
pub const MANIFESTS: usize = 100;
/// Size of one manifest as JSON, in bytes.
pub const MANIFEST_BYTES: usize = 1024 * 1024;
/// Answer of one run that is read, in bytes.
pub const RUN_OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// Answer of one health probe that is read, in bytes.
pub const HEALTH_BODY_BYTES: usize = 1024 * 1024;
/// Log lines that one call shows, in bytes.
pub const LOG_BYTES: usize = 1024 * 1024;
/// Longest run, in seconds.
pub const RUN_SECONDS: u64 = 600;
/// Deadline of a tool that names none, in seconds.
pub const DEFAULT_DEADLINE_SECONDS: u64 = 30;
/// Longest deadline a tool may name, in seconds: the longest run and time to report it.
pub const DEADLINE_SECONDS: u64 = 630;
/// Enclaves that one owner may have, unless the settings name another number.
pub const ENCLAVES_PER_OWNER: usize = 10;
/// Members of an enclave.
pub const MEMBERS: usize = 100;
/// How long a call waits for a sidecar that is being restarted, or that has no room for it.
pub const SIDECAR_PATIENCE: Duration = Duration::from_secs(2);
/// Characters of a cron annotation; more is no schedule that a person wrote.
pub const CRON_CHARACTERS: usize = 2048;
/// Characters of a text that answers show on one line, such as a description; the rest is cut.
pub const SHOWN_CHARACTERS: usize = 1000;
