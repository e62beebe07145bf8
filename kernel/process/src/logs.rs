//! The log: JSON on standard output, one record a line, in which nothing steers whoever reads it on a terminal.
//!
//! JSON escapes line ends and most control characters, but not those that a terminal takes for control sequences in
//! UTF-8, nor the marks that hide or turn around what follows; they come with what callers and sidecars write.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use anyhow::Context as _;
use tentacular_contract::text::is_shown;

/// Starts to log what `directives` ask for.
pub(crate) fn start(directives: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(directives)
        .with_context(|| format!("invalid value '{directives}' for --log"))?;
    let shown = || Shown(io::stdout());
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(shown).init();
    Ok(())
}

/// Writes records of JSON, each whole, with what does not show escaped.
struct Shown<W>(W);

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        if record.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
            self.0.write_all(record)?;
        } else {
            self.0.write_all(escaped(&String::from_utf8_lossy(record)).as_bytes())?;
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The same JSON. Outside of texts it is ASCII, so what is escaped stands in one.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter == '\n' || is_shown(letter) {
            shown.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a text does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_record_shows_whole_and_says_the_same() {
        for text in
            ["plain", "größe 漢 🐙", "\"}\r\n{\u{1b}[31m", "\u{9b}2J\u{7f}\u{202e}\u{2028}\u{200b}", "\u{e0041}"]
        {
            let record = json!({ "message": text }).to_string() + "\n";
            let mut written = Vec::new();
            Shown(&mut written).write_all(record.as_bytes()).expect("written");
            let written = String::from_utf8(written).expect("UTF-8");
            assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON")["message"], text);
            let line = written.strip_suffix('\n').expect("one line");
            assert!(line.chars().all(is_shown), "{line:?}");
        }
        let plain = json!({ "message": "größe 漢 🐙" }).to_string();
        assert_eq!(escaped(&plain), plain, "what shows stays as it is");
    }
}
