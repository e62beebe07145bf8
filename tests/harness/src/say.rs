//! One line to the person who waits.

/// Prints a line on stderr, for steps that take so long that silence would look like a hang.
#[expect(clippy::print_stderr, reason = "a build of minutes inside a test run has no other way to explain itself")]
pub(crate) fn say(line: &str) {
    eprintln!("test harness: {line}");
}
