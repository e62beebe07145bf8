//! What an engine's answer says of the run.

use serde_json::{Value, json};
use tentacular_contract::text;

/// Characters of an answer that an error quotes.
const QUOTED: usize = 300;

/// What an answer says.
#[derive(Debug, PartialEq)]
pub(super) enum Report {
    /// The run ended.
    Ended { success: bool, output: Value },
    /// Whatever answered made no run; this is how its answer begins.
    NoRun { body: String },
}

/// Reads an answer. An engine answers 200 for a run that went well and 500 for one that failed, both with its report;
/// a report that says `success: false` is believed whatever the status.
pub(super) fn read(status: u16, body: &[u8]) -> Report {
    if !matches!(status, 200..=299 | 500) {
        return Report::NoRun { body: quote(body) };
    }
    let output = match serde_json::from_slice(body) {
        _ if body.trim_ascii().is_empty() => Value::Null,
        Ok(output @ Value::Object(_)) => output,
        _ => json!({ "raw": String::from_utf8_lossy(body) }),
    };
    Report::Ended { success: status != 500 && output["success"] != false, output }
}

fn quote(body: &[u8]) -> String {
    let quoted = text::line(&String::from_utf8_lossy(body), QUOTED);
    if quoted.is_empty() { "(nothing)".to_owned() } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_what_status_and_report_agree_on() {
        for (status, body, success, output) in [
            (200, r#"{"success":true,"outputs":{}}"#, true, json!({ "success": true, "outputs": {} })),
            (200, r#"{"answer":42}"#, true, json!({ "answer": 42 })),
            (200, r#"{"success":false}"#, false, json!({ "success": false })),
            (
                500,
                r#"{"success":false,"errors":{"a":"b"}}"#,
                false,
                json!({ "success": false, "errors": { "a": "b" } }),
            ),
            (500, r#"{"error":"boom"}"#, false, json!({ "error": "boom" })),
            (500, r#"{"success":true}"#, false, json!({ "success": true })),
            (500, "boom", false, json!({ "raw": "boom" })),
            (204, "", true, Value::Null),
            (200, " \n", true, Value::Null),
            (200, "[1]", true, json!({ "raw": "[1]" })),
            (200, "null", true, json!({ "raw": "null" })),
            (200, "\u{fffd}", true, json!({ "raw": "\u{fffd}" })),
        ] {
            assert_eq!(read(status, body.as_bytes()), Report::Ended { success, output }, "{status} {body}");
        }
    }

    #[test]
    fn other_statuses_are_no_run() {
        for status in [302, 400, 404, 502, 503] {
            let body = "no\u{1b}[31m such\u{202e}\u{9b}2J\n page".to_owned();
            assert_eq!(read(status, body.as_bytes()), Report::NoRun { body: "no such  page".to_owned() });
        }
        assert_eq!(read(404, b""), Report::NoRun { body: "(nothing)".to_owned() });
        let Report::NoRun { body } = read(404, "ä".repeat(1000).as_bytes()) else { panic!("a run") };
        assert_eq!(body, "ä".repeat(QUOTED) + "…");
    }
}
