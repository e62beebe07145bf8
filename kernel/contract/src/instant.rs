//! Instants that others wrote down.

use chrono::{DateTime, Datelike as _, Utc};

/// Whether an instant is in a year that RFC 3339 can write (section 1). chrono reads others too, as far away as it can count
/// at all: then what is computed with them fails.
pub fn is_rfc3339(instant: &DateTime<Utc>) -> bool {
    (0..=9999).contains(&instant.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_from_which_nothing_can_be_computed_are_told_apart() {
        for (text, expected) in [
            ("2026-03-10T12:00:00Z", true),
            ("9999-12-31T23:59:59Z", true),
            ("+10000-01-01T00:00:00Z", false),
            ("+262142-12-31T23:59:59Z", false),
            ("-0001-12-31T00:00:00Z", false),
        ] {
            assert_eq!(is_rfc3339(&text.parse().expect(text)), expected, "{text}");
        }
    }
}
