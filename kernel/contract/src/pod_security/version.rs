//! Versions of the standards: each minor version of Kubernetes may change what they say.

use std::fmt;

/// A version of the standards, such as `v1.24`: what the API server of that version says. Ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32);

impl Version {
    /// The newest whose rules are known here. Newer ones count as this one.
    pub const NEWEST: Self = Self(37);

    /// Version `v1.<minor>`.
    pub const fn v1(minor: u32) -> Self {
        Self(minor)
    }

    /// The version that a label pins, such as `v1.24`; `None` for `latest` and for what is no version.
    pub fn pinned(label: &str) -> Option<Self> {
        let minor = label.strip_prefix("v1.")?;
        let canonical = minor == "0" || !minor.starts_with('0');
        (canonical && minor.bytes().all(|byte| byte.is_ascii_digit())).then(|| minor.parse().ok().map(Self)).flatten()
    }

    /// The version of an API server that calls itself so, such as `v1.34.4` or `v1.33.5-gke.100`. [`Self::NEWEST`] where
    /// that cannot be read.
    pub fn of_server(version: &str) -> Self {
        let minor = version.strip_prefix("v1.").unwrap_or_default();
        let digits = minor.bytes().take_while(u8::is_ascii_digit).count();
        minor[..digits].parse().map_or(Self::NEWEST, Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_pins_a_version_only_as_the_api_server_reads_it() {
        for (label, minor) in [("v1.0", 0), ("v1.9", 9), ("v1.24", 24), ("v1.4294967295", u32::MAX)] {
            assert_eq!(Version::pinned(label), Some(Version(minor)));
            assert_eq!(Version(minor).to_string(), label);
        }
        for label in [
            "", "latest", "Latest", "1.24", "v1", "v1.", "v1.024", "v1.00", "v1.+4", "v1.24.1", "v2.1", " v1.2",
            "v1.-1",
        ] {
            assert_eq!(Version::pinned(label), None, "{label}");
        }
    }

    #[test]
    fn a_servers_version_is_read_with_what_comes_after_it() {
        for (version, minor) in [("v1.34.4", 34), ("v1.33.5-gke.100", 33), ("v1.30+", 30), ("v1.8", 8)] {
            assert_eq!(Version::of_server(version), Version(minor), "{version}");
        }
        for version in ["", "v1.", "v2.3.1", "1.34.4", "v1.x"] {
            assert_eq!(Version::of_server(version), Version::NEWEST, "{version}");
        }
    }
}
