//! The annotations beside the schedule: time zone, what happens to missed instants, whether runs may overlap, and how they
//! are spread.

use std::str::FromStr;

use chrono_tz::Tz;

use super::shorten;

/// A value that a cron annotation does not know; its text names the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {text:?}: {allowed}")]
pub struct InvalidOption {
    what: &'static str,
    text: String,
    allowed: &'static str,
}

/// Reads `tentacular.io/cron-timezone`: an IANA name such as `Europe/Berlin`, spelled as there.
///
/// # Errors
/// For every name that the built-in time zone database does not have, `Local` among them.
pub fn timezone(text: &str) -> Result<Tz, InvalidOption> {
    text.parse().map_err(|_| InvalidOption {
        what: "time zone",
        text: shorten(text),
        allowed: "give an IANA name such as Europe/Berlin or UTC, upper and lower case as there",
    })
}

/// `tentacular.io/cron-missed`: what happens to instants that passed while nobody could fire them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// One run makes up for all of them.
    Once,
}

impl FromStr for Missed {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        match text {
            "skip" => Ok(Self::Skip),
            "once" => Ok(Self::Once),
            _ => Err(InvalidOption { what: "cron-missed", text: shorten(text), allowed: "use skip or once" }),
        }
    }
}

/// `tentacular.io/cron-overlap`: whether a run may start while the one before it still runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlap {
    /// The later one is left out.
    #[default]
    Skip,
    /// Both run.
    Allow,
}

impl FromStr for Overlap {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        match text {
            "skip" => Ok(Self::Skip),
            "allow" => Ok(Self::Allow),
            _ => Err(InvalidOption { what: "cron-overlap", text: shorten(text), allowed: "use skip or allow" }),
        }
    }
}

/// `tentacular.io/cron-jitter`: within how many seconds after an instant its run starts, at a moment that is a tentacle's
/// own, so that those with one schedule do not all start at once. Default 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Jitter(u64);

impl Jitter {
    /// The largest, in seconds.
    const LONGEST: u64 = 3600;

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Jitter {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = text.parse().ok().filter(|seconds| digits && *seconds <= Self::LONGEST);
        seconds.map(Self).ok_or_else(|| InvalidOption {
            what: "cron-jitter",
            text: shorten(text),
            allowed: "use whole seconds from 0 to 3600",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spelled_exactly() {
        assert_eq!("skip".parse(), Ok(Missed::Skip));
        assert_eq!("once".parse(), Ok(Missed::Once));
        assert_eq!("skip".parse(), Ok(Overlap::Skip));
        assert_eq!("allow".parse(), Ok(Overlap::Allow));
        for text in ["", "Skip", "twice", "all"] {
            assert!(text.parse::<Missed>().expect_err(text).to_string().contains("skip or once"));
            assert!(text.parse::<Overlap>().expect_err(text).to_string().contains("skip or allow"));
        }
    }

    #[test]
    fn jitter_is_in_whole_seconds_up_to_an_hour() {
        assert_eq!(Jitter::default().seconds(), 0);
        for (text, seconds) in [("0", 0), ("60", 60), ("0090", 90), ("3600", 3600)] {
            assert_eq!(text.parse(), Ok(Jitter(seconds)), "{text}");
        }
        for text in ["", "-1", "+5", "3601", "1.5", "60s", " 60", "99999999999999999999"] {
            assert!(text.parse::<Jitter>().expect_err(text).to_string().contains("0 to 3600"), "{text}");
        }
    }

    #[test]
    fn zones_are_those_of_the_database() {
        for text in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(timezone(text).expect(text).name(), text);
        }
        for text in ["", "Local", "europe/berlin", "Mars/Olympus", "+02:00"] {
            assert!(timezone(text).expect_err(text).to_string().contains("IANA"));
        }
    }
}
