//! Text that others wrote, made safe to show: it is data, and whoever reads it is a terminal or a language model.

use serde_json::Value;

/// Characters of a text within a result; what is longer is cut.
const LONGEST: usize = 1000;

/// `text` on one line, without what cannot be seen, cut to a length that suits a member of a result.
pub(crate) fn line(text: &str) -> String {
    let spaced = text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    let mut line: String = spaced.filter(|letter| is_shown(*letter)).take(LONGEST + 1).collect();
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.replace_range(end.., "…");
    }
    line.trim().to_owned()
}

/// `body` in full, without what cannot be seen. Of JSON, the strings are what is cleaned: an escape in them would become
/// a control character again where it is read.
pub(crate) fn document(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(value) => clean(value).to_string(),
        Err(_) => block(&String::from_utf8_lossy(body)),
    }
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(block(&text)),
        Value::Array(values) => values.into_iter().map(clean).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (block(&name), clean(value))).collect(),
        plain => plain,
    }
}

fn block(text: &str) -> String {
    text.chars().filter(|letter| matches!(letter, '\n' | '\t') || is_shown(*letter)).collect()
}

/// Whether a character shows. Control characters steer a terminal; marks of direction, of no width and of tags (U+E0000
/// and on) hide text from a person that a model still reads.
fn is_shown(letter: char) -> bool {
    let hides = matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !letter.is_control() && !hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_removed() {
        for (text, shown) in [
            ("plain", "plain"),
            (" two\r\nlines\t", "two  lines"),
            ("\u{1b}[31mred\u{7}", "[31mred"),
            ("a\u{202e}b\u{200b}c\u{e0041}d\u{85}", "abcd"),
            ("größe 漢 🐙", "größe 漢 🐙"),
        ] {
            assert_eq!(line(text), shown, "{text:?}");
        }
        assert_eq!(line(&"ä".repeat(2000)), "ä".repeat(LONGEST) + "…");
    }

    #[test]
    fn escapes_in_json_are_cleaned_too() {
        assert_eq!(
            document(br#"{"a": "x\u001b[2Jy\nz", "n\u0000": [1.5, null]}"#),
            r#"{"a":"x[2Jy\nz","n":[1.5,null]}"#
        );
        assert_eq!(document(b"ok\n\x1b[2J"), "ok\n[2J");
    }
}
