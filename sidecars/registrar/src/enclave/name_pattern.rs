//! What an installation asks of the names of new enclaves.

use std::{fmt, str::FromStr};

use regex::Regex;
use tentacular_contract::EnclaveName;

/// A regular expression that the whole name has to match.
#[derive(Debug, Clone)]
pub(crate) struct NamePattern {
    expression: String,
    whole: Regex,
}

impl NamePattern {
    pub(crate) fn matches(&self, name: &EnclaveName) -> bool {
        self.whole.is_match(name.as_str())
    }
}

impl FromStr for NamePattern {
    type Err = regex::Error;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        // Alone first: a parenthesis too many must not end the group.
        Regex::new(expression)?;
        Ok(Self { expression: expression.to_owned(), whole: Regex::new(&format!("^(?:{expression})$"))? })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_has_to_match() {
        let pattern: NamePattern = "team-[a-z]+|shared".parse().unwrap();
        let matches = |name: &str| pattern.matches(&name.parse().unwrap());
        assert!(matches("team-a") && matches("shared"));
        for name in ["team-1", "my-team-a", "team-a-1", "shared-2", "unshared"] {
            assert!(!matches(name), "{name}");
        }
        assert!("team-(".parse::<NamePattern>().is_err());
        assert!("a)|(?:.*".parse::<NamePattern>().is_err());
    }
}
