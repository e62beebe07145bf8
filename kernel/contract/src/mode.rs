//! Permission modes: nine characters for owner, member and other, and the preset names that stand for some of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What the bits of one class allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bit {
    /// List, status, describe, health, logs, pods, events, audit.
    Read,
    /// Apply and remove.
    Write,
    /// Run and restart.
    Execute,
}

impl Bit {
    /// The letter that stands for the bit in a mode.
    pub const fn letter(self) -> char {
        match self {
            Self::Read => 'r',
            Self::Write => 'w',
            Self::Execute => 'x',
        }
    }

    const fn mask(self) -> u16 {
        match self {
            Self::Read => 0b100,
            Self::Write => 0b010,
            Self::Execute => 0b001,
        }
    }
}

/// In which of the three groups of a mode a caller falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The resource's owner.
    Owner,
    /// A member of the enclave.
    Member,
    /// Everybody else who is authenticated.
    Other,
}

impl Class {
    const fn shift(self) -> u16 {
        match self {
            Self::Owner => 6,
            Self::Member => 3,
            Self::Other => 0,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Member => "member",
            Self::Other => "other",
        })
    }
}

/// A permission mode, stored and shown as nine characters such as `rwxr-x---`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u16);

/// Preset names and their modes. Where two names share a mode, the first is the one shown.
pub const PRESETS: [(&str, Mode); 10] = [
    ("private", Mode(0o700)),
    ("member-read", Mode(0o750)),
    ("group-read", Mode(0o750)),
    ("member-run", Mode(0o710)),
    ("group-run", Mode(0o710)),
    ("member-edit", Mode(0o770)),
    ("group-edit", Mode(0o770)),
    ("public-read", Mode(0o744)),
    ("open-read", Mode(0o774)),
    ("open-run", Mode(0o775)),
];

impl Mode {
    /// Mode of an enclave that carries none: `rwxrwx---`.
    pub const ENCLAVE_DEFAULT: Self = Self(0o770);
    /// Mode of a tentacle that carries none: `rwxr-x---`.
    pub const TENTACLE_DEFAULT: Self = Self(0o750);
    /// Nothing for anybody but the owner: `rwx------`.
    pub const OWNER_ONLY: Self = Self(0o700);

    /// Whether `class` has `bit`.
    pub const fn allows(self, class: Class, bit: Bit) -> bool {
        self.0 >> class.shift() & bit.mask() != 0
    }

    /// The same mode with that one bit of the class the other way round.
    #[must_use]
    pub const fn toggled(self, class: Class, bit: Bit) -> Self {
        Self(self.0 ^ bit.mask() << class.shift())
    }

    /// The preset name of this mode, if it has one.
    pub fn preset(self) -> Option<&'static str> {
        PRESETS.iter().find(|(_, mode)| *mode == self).map(|(name, _)| *name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for class in [Class::Owner, Class::Member, Class::Other] {
            for bit in [Bit::Read, Bit::Write, Bit::Execute] {
                let letter = if self.allows(class, bit) { bit.letter() } else { '-' };
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}

/// A text that is neither nine characters of a mode nor a preset's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid mode {0:?}: give nine characters such as rwxr-x--- (owner, member, other) or a preset: {presets}",
    presets = preset_names()
)]
pub struct InvalidMode(String);

fn preset_names() -> String {
    PRESETS.map(|(name, _)| name).join(", ")
}

impl FromStr for Mode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        if let Some((_, mode)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return Ok(*mode);
        }
        let invalid = || InvalidMode(text.chars().take(64).collect());
        if text.len() != 9 {
            return Err(invalid());
        }
        text.bytes().zip(b"rwx".iter().cycle()).try_fold(Self(0), |mode, (given, letter)| match given {
            b'-' => Ok(Self(mode.0 << 1)),
            given if given == *letter => Ok(Self(mode.0 << 1 | 1)),
            _ => Err(invalid()),
        })
    }
}

impl TryFrom<String> for Mode {
    type Error = InvalidMode;

    fn try_from(text: String) -> Result<Self, InvalidMode> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn presets_stand_for_their_modes() {
        for (name, text) in [
            ("private", "rwx------"),
            ("member-read", "rwxr-x---"),
            ("group-read", "rwxr-x---"),
            ("member-run", "rwx--x---"),
            ("group-run", "rwx--x---"),
            ("member-edit", "rwxrwx---"),
            ("group-edit", "rwxrwx---"),
            ("public-read", "rwxr--r--"),
            ("open-read", "rwxrwxr--"),
            ("open-run", "rwxrwxr-x"),
        ] {
            let mode: Mode = name.parse().expect(name);
            assert_eq!(mode.to_string(), text, "{name}");
            assert_eq!(mode, text.parse().expect(text));
        }
        assert_eq!(PRESETS[1].1.preset(), Some("member-read"));
    }

    #[test]
    fn what_is_no_mode_is_refused_with_the_choices() {
        for text in ["", "rwx", "rwxrwxrwxr", "rwxrwxrw1", "xwrrwxrwx", "750", "Private", "rwxr-x--é"] {
            let error = text.parse::<Mode>().expect_err(text).to_string();
            assert!(error.contains("member-read"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_mode_survives_its_text(bits in 0u16..512) {
            let mode = Mode(bits);
            prop_assert_eq!(mode.to_string().parse::<Mode>(), Ok(mode));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Mode>();
        }
    }
}
