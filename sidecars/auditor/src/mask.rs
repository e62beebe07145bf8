//! Finds what looks like a credential in text. It errs towards masking, and cannot find everything: a password that stands
//! alone looks like any word.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

/// What stands in the place of a credential.
pub(crate) const MASK: &str = "***";

/// Shorter texts hold nothing that is a credential by its form.
const LONG: usize = 15;

/// Names of what is secret, as part of a longer name in whatever spelling.
const NAMES: &str = "passw(?:or)?d|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential";

/// `password=…`, `"api_key": "…"`, also within JSON that is itself a JSON string.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"(?i)(?P<name>[\w.-]*(?:{NAMES})[\w.-]*)(?P<is>\\*["']?\s*[:=]>?\s*)(?P<value>\\+".*?\\+"|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&"'}})\]]+)"#
    ))
});
/// Headers: the value may have spaces in it.
static HEADER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)\b(?P<head>(?:set-)?cookie|(?:proxy-)?authorization)(?P<is>\\*["']?\s*[:=]\s*\\*["']?)[^"'\\\n]+"#)
});
/// `scheme://user:password@host`.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?P<user>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@"));
/// `Bearer …`.
static SCHEME: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(?P<scheme>bearer|basic)\s+[a-z0-9._~+/=-]{16,}"));
/// A private key in PEM, to its end or that of the text.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?s)-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)")
});
/// What says by its form that it is a credential: JWT, GitHub, GitLab, Slack, model providers, Stripe, AWS, Google, npm,
/// Vault, NATS seeds.
static FORMS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x-u)\b(?: eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?
        | gh[pousr]_\w{20,} | github_pat_\w{20,} | glpat-[\w-]{16,} | xox[a-z]-[\w-]{10,} | xapp-[\w-]{10,}
        | sk-[\w-]{16,} | [srp]k_(?:live|test)_\w{10,} | A[KS]IA[A-Z0-9]{16} | AIza[\w-]{30,} | ya29\.[\w-]{20,}
        | npm_\w{30,} | hv[sbr]\.[\w-]{20,} | S[AUNOCX][A-Z2-7]{54,56}\b )",
    )
});
static NAME: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("(?i){NAMES}|^(?:set-)?cookie$|authorization")));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that the tests use")
}

/// Whether a member of that name holds a credential.
pub(crate) fn is_credential(name: &str) -> bool {
    NAME.is_match(name) && !is_count(name)
}

/// `text` with what looks like a credential masked.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = Cow::Borrowed(text);
    // Most texts are short and plain: they need not be searched for what cannot be in them.
    let is_assigned = text.contains([':', '=']);
    let plain: [(bool, &Regex, &str); 5] = [
        (text.len() >= LONG, &KEY, "-----BEGIN ${kind}----- *** -----END ${kind}-----"),
        (text.len() >= LONG, &FORMS, MASK),
        (is_assigned, &ADDRESS, "${user}***@"),
        (is_assigned, &HEADER, "${head}${is}***"),
        (text.len() >= LONG, &SCHEME, "${scheme} ***"),
    ];
    for (possible, pattern, with) in plain {
        if possible && let Cow::Owned(changed) = pattern.replace_all(&masked, with) {
            masked = Cow::Owned(changed);
        }
    }
    if is_assigned { NAMED.replace_all(&masked, value).into_owned() } else { masked.into_owned() }
}

/// A named value, without what it is.
fn value(found: &Captures<'_>) -> String {
    let (name, value) = (&found["name"], &found["value"]);
    let bare = value.trim_matches(['\\', '"', '\'']);
    let tells_nothing = ["", "true", "false", "null", "none", MASK].contains(&bare.to_ascii_lowercase().as_str());
    let counts = is_count(name) && bare.bytes().all(|byte| byte.is_ascii_digit());
    if tells_nothing || counts || (name.eq_ignore_ascii_case("secret") && is_reference(bare)) {
        return found[0].to_owned();
    }
    let quote = &value[..value.find(|letter| !matches!(letter, '\\' | '"' | '\'')).unwrap_or_default()];
    format!("{name}{}{quote}{MASK}{quote}", &found["is"])
}

/// Contracts name the secrets that a workflow needs, such as `github.token`.
fn is_reference(value: &str) -> bool {
    let is_word =
        |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    value.split_once('.').is_some_and(|(name, key)| is_word(name) && is_word(key))
}

/// Tokens are also what language models are paid by, and Secrets are counted in quotas.
fn is_count(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("tokens") || name == "secrets"
}

/// Masks private keys that stand in several lines, also when the log begins or ends within one.
pub(crate) fn mask_keys(lines: &mut [String]) {
    let mut begun = None;
    for at in 0..lines.len() {
        let has = |mark: &str| lines[at].contains(mark) && lines[at].contains("PRIVATE KEY-----");
        if has("-----BEGIN ") {
            begun = (!has("-----END ")).then_some(at + 1);
        } else if has("-----END ") {
            let from = begun.take().unwrap_or_else(|| at - lines[..at].iter().rev().take_while(is_base64).count());
            lines[from..=at].iter_mut().for_each(|line| MASK.clone_into(line));
        } else if begun.is_some() && !is_base64(&&lines[at]) {
            begun = None;
        } else if begun.is_some() {
            MASK.clone_into(&mut lines[at]);
        }
    }
}

/// Whether a line, apart from what stands in front of it, could be part of a key.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of a predicate on an iterator of references")]
fn is_base64(line: &&String) -> bool {
    let last = line.rsplit(' ').next().unwrap_or_default();
    let key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'*');
    (*line == MASK || last.len() >= 16) && last.bytes().all(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked_and_their_names_are_not() {
        for (text, masked) in [
            ("password=hunter2 host=a", "password=*** host=a"),
            ("DB_PASSWD: hunter2, host: a", "DB_PASSWD: ***, host: a"),
            (r#"{"apiKey": "hunter2", "n": 1}"#, r#"{"apiKey": "***", "n": 1}"#),
            (r#"said {\"client_secret\":\"hun\ter2\",\"n\":1}"#, r#"said {\"client_secret\":\"***\",\"n\":1}"#),
            ("token='hunter 2' next", "token='***' next"),
            ("password=\"hunter2", "password=\"***\""),
            ("postgres://ann:hunter2@db:5432/x", "postgres://ann:***@db:5432/x"),
            ("redis://:hunter2@cache", "redis://:***@cache"),
            ("Authorization: Bearer hunter2", "Authorization: ***"),
            (r#""authorization":"Basic hunter2","n":1"#, r#""authorization":"***","n":1"#),
            ("Set-Cookie: sid=hunter2; Path=/", "Set-Cookie: ***"),
            ("with Bearer hunter2hunter2hunter2", "with Bearer ***"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln is no good", "*** is no good"),
            ("ghp_0123456789abcdefghij0123456789abcdef!", "***!"),
            ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
            (
                "-----BEGIN RSA PRIVATE KEY----- hunter2 -----END RSA PRIVATE KEY----- x",
                "-----BEGIN RSA PRIVATE KEY----- *** -----END RSA PRIVATE KEY----- x",
            ),
            ("https://x.io/?access_token=hunter2&n=1", "https://x.io/?access_token=***&n=1"),
        ] {
            assert_eq!(mask(text), masked);
            assert_eq!(mask(masked), masked, "masking again changes nothing");
        }
    }

    #[test]
    fn what_is_no_credential_stays() {
        for text in [
            "MountVolume.SetUp failed for volume \"s\" : secret \"report-secrets\" not found",
            "exceeded quota: tentacular-quota, requested: secrets=1, used: secrets=20, limited: secrets=20",
            "prompt_tokens: 512, max_tokens=4096",
            "password authentication failed for user \"ann\"",
            "token=null secret: true",
            "github-api (https, external) requires secret: github.token",
            "GET http://report.team-a.svc:8080/run 200 in 12ms",
            "basic checks passed, bearer of news",
        ] {
            assert_eq!(mask(text), text);
        }
        assert!(is_credential("DB_PASSWORD") && is_credential("cookie") && !is_credential("total_tokens"));
    }

    #[test]
    fn a_key_in_several_lines_is_masked_wherever_the_log_begins_or_ends() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
        let masked = |lines: &[&str]| {
            let mut lines: Vec<_> = lines.iter().map(|&line| line.to_owned()).collect();
            mask_keys(&mut lines);
            lines
        };
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        assert_eq!(masked(&["a", begin, line, line, end, "b"]), ["a", begin, MASK, MASK, MASK, "b"]);
        assert_eq!(masked(&[line, line, end, "b"]), [MASK, MASK, MASK, "b"]);
        assert_eq!(masked(&["a", begin, line]), ["a", begin, MASK]);
        assert_eq!(masked(&[begin, "no key at all", line]), [begin, "no key at all", line]);
    }
}
