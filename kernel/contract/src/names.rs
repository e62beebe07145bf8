//! Names of enclaves and tentacles. A value of these types has been checked; nothing else goes into an API path.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest label of RFC 1123 and RFC 1035, in characters.
const LABEL: usize = 63;

/// A text that cannot be the name it was given as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} name {text:?}: use 1 to 63 of a-z, 0-9 and '-', {first}, ending with a letter or digit")]
pub struct InvalidName {
    what: &'static str,
    first: &'static str,
    text: String,
}

pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= LABEL
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is a name as most objects of Kubernetes have it, and a DNS name (RFC 1123): at most 253 characters in
/// labels of a-z, 0-9 and '-', separated by dots, each beginning and ending with a letter or digit.
pub fn is_subdomain(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $first:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(InvalidName { what: $what, first: $first, text: text.chars().take(LABEL + 1).collect() })
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of an enclave, which is the name of its namespace: a DNS label (RFC 1123).
    EnclaveName, "enclave", "starting with a letter or digit", is_label
);

name!(
    /// The name of a tentacle, which is the name of its Deployment and its Service: a DNS label (RFC 1035).
    TentacleName, "tentacle", "starting with a letter", |text| {
        is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names() {
        let longest = "a".repeat(63);
        for text in ["a", "team-a", "a1", longest.as_str()] {
            assert!(text.parse::<EnclaveName>().is_ok(), "{text}");
            assert!(text.parse::<TentacleName>().is_ok(), "{text}");
        }
        assert!("1team".parse::<EnclaveName>().is_ok());
        assert!("1report".parse::<TentacleName>().is_err());
    }

    #[test]
    fn what_would_change_a_path_is_no_name() {
        let too_long = "a".repeat(64);
        for text in ["", "-a", "a-", "A", "a.b", "a/b", "a%2f", "..", "a b", "ä", "a\n", too_long.as_str()] {
            assert!(text.parse::<EnclaveName>().is_err(), "{text}");
            assert!(text.parse::<TentacleName>().is_err(), "{text}");
        }
    }

    #[test]
    fn subdomains_are_labels_with_dots() {
        for text in ["a", "a.b-c.1", "1a", "tentacular"] {
            assert!(is_subdomain(text), "{text}");
        }
        for text in ["", "A", "a_b", ".a", "a.", "a..b", "-a", "a/b", "..", "*.a", "a.b.\u{0}"] {
            assert!(!is_subdomain(text), "{text}");
        }
        assert!(is_subdomain(&"a".repeat(253)) && !is_subdomain(&"a".repeat(254)));
    }

    #[test]
    fn an_invalid_name_does_not_come_in_through_json() {
        assert!(serde_json::from_str::<EnclaveName>("\"../x\"").is_err());
    }
}
