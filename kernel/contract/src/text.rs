//! Text that others wrote, made safe to show: whoever reads it is a terminal, a log or a language model.

/// Whether a character shows. Control characters steer a terminal; marks of direction, of no width and of tags (U+E0000
/// and on) hide text from a person that a model still reads.
pub fn is_shown(letter: char) -> bool {
    let hides = matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !letter.is_control() && !hides
}

/// `text` without what does not show, lines and tabs as they are. Of a sequence that would colour or clear a terminal
/// nothing is left.
pub fn block(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\n' | '\t' => shown.push(letter),
            '\u{1b}' if rest.as_str().starts_with('[') => skip_sequence(&mut rest, 1),
            '\u{9b}' => skip_sequence(&mut rest, 0),
            _ if is_shown(letter) => shown.push(letter),
            _ => {}
        }
    }
    shown
}

/// Skips the rest of a control sequence (ECMA-48 section 5.4): parameters and the letter that ends it. What is none stays.
fn skip_sequence(rest: &mut std::str::Chars<'_>, introducer: usize) {
    const LONGEST: usize = 32;
    let parameters = rest.as_str().chars().skip(introducer).take_while(|letter| matches!(letter, ' '..='?'));
    let count = introducer + parameters.take(LONGEST).count();
    if rest.as_str().chars().nth(count).is_some_and(|last| matches!(last, '@'..='~')) {
        rest.nth(count);
    }
}

/// `text` on one line, without what does not show, cut to `longest` characters and an ellipsis.
pub fn line(text: &str, longest: usize) -> String {
    let shown = block(&text.replace(['\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'], " "));
    let spaced = shown.trim().chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    let mut line: String = spaced.take(longest + 1).collect();
    if let Some((end, _)) = line.char_indices().nth(longest) {
        line.replace_range(end.., "…");
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_removed() {
        for (text, shown) in [
            ("plain", "plain"),
            (" two\r\nlines\t", "two  lines"),
            ("\u{1b}[31mred\u{7}", "red"),
            ("\u{9b}1;31mred\u{1b}[0m, \u{1b}[2Jnot [2J", "red, not [2J"),
            ("\u{1b}[31\u{7}m \u{1b}]0;title\u{7} \u{1b}", "[31m ]0;title"),
            ("a\u{202e}b\u{200b}c\u{e0041}d", "abcd"),
            ("a\u{2066}b\u{2069}c\u{e0100}d\u{3164}e", "abcde"),
            ("größe 漢 🐙", "größe 漢 🐙"),
        ] {
            assert_eq!(line(text, 100), shown, "{text:?}");
        }
        assert_eq!(block("a\n\tb\u{1b}[1mc"), "a\n\tbc");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(line(&"ä".repeat(11), 10), "ä".repeat(10) + "…");
        assert_eq!(line(&"ä".repeat(10), 10), "ä".repeat(10));
    }
}
