//! The two nodes of the example tentacle: a text into words, words into numbers.

use std::{cmp::Reverse, collections::BTreeMap};

use serde_json::{Value, json};

/// Words that the answer names as the most frequent ones.
const TOP: usize = 5;

/// The words of `text` in their order, in lower case. A word is letters, digits and apostrophes between them.
pub(crate) fn split(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'')
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

/// What is to be said of `words`. Of two words that are as long or as frequent, the first in the alphabet is named.
pub(crate) fn count(words: &[String]) -> Value {
    let mut counts = BTreeMap::<&str, usize>::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let longest = counts.keys().min_by_key(|word| Reverse(word.chars().count())).copied().unwrap_or_default();
    let mut top: Vec<_> = counts.iter().collect();
    top.sort_by_key(|(_, times)| Reverse(**times));
    let top: Vec<_> = top.iter().take(TOP).map(|(word, times)| json!({ "word": word, "count": times })).collect();
    json!({ "words": words.len(), "distinct": counts.len(), "longest": longest, "top": top })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_counted() {
        let words = split("The quick fox, the 'lazy' dog. THE END — don't!");
        assert_eq!(words, ["the", "quick", "fox", "the", "lazy", "dog", "the", "end", "don't"]);
        let counted = count(&words);
        assert_eq!(
            (&counted["words"], &counted["distinct"], &counted["longest"]),
            (&json!(9), &json!(7), &json!("don't"))
        );
        assert_eq!(counted["top"][0], json!({ "word": "the", "count": 3 }));
        assert_eq!(counted["top"].as_array().map(Vec::len), Some(TOP));
    }

    #[test]
    fn no_text_has_no_words() {
        assert_eq!(count(&split(" ' -- ")), json!({ "words": 0, "distinct": 0, "longest": "", "top": [] }));
    }
}
