//! A module of a registry, as the module proxy is asked for it.

use std::fmt;

/// Characters of a name at most, as in npm.
const NAME: usize = 214;
/// Characters of a version or a range of versions at most.
const VERSION: usize = 64;

/// A module that a workflow depends on. What it is named goes into a path as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    jsr: bool,
    name: String,
    version: Option<String>,
}

impl Module {
    /// The module that a dependency of the contract names by its protocol (`jsr` or `npm`), host and version. `None` for
    /// other protocols, and for what is no name or no version.
    pub fn new(protocol: &str, host: &str, version: Option<&str>) -> Option<Self> {
        let jsr = match protocol {
            "jsr" => true,
            "npm" => false,
            _ => return None,
        };
        let version = version.filter(|version| !version.is_empty());
        let right = is_name(host, jsr) && version.is_none_or(is_version);
        right.then(|| Self { jsr, name: host.to_owned(), version: version.map(str::to_owned) })
    }

    /// The path at which the module proxy has it.
    pub fn path(&self) -> String {
        let Self { jsr, name, version } = self;
        let registry = if *jsr { "/jsr/" } else { "/" };
        version.as_ref().map_or_else(|| format!("{registry}{name}"), |version| format!("{registry}{name}@{version}"))
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jsr, name, version } = self;
        write!(f, "{}:{name}", if *jsr { "jsr" } else { "npm" })?;
        version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

/// A name with its scope, which in jsr every name has.
fn is_name(text: &str, jsr: bool) -> bool {
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(inner)
    };
    let scoped = text.strip_prefix('@').and_then(|rest| rest.split_once('/'));
    text.len() <= NAME && scoped.map_or(!jsr && part(text), |(scope, name)| part(scope) && part(name))
}

/// A version, a tag, or a range without spaces.
fn is_version(text: &str) -> bool {
    let inner =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'~' | b'^' | b'*');
    text.len() <= VERSION && text.bytes().all(inner) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_the_path_of_its_registry() {
        for (protocol, host, version, path, shown) in [
            ("jsr", "@std/yaml", Some("1.0.5"), "/jsr/@std/yaml@1.0.5", "jsr:@std/yaml@1.0.5"),
            ("npm", "lodash-es", Some("^4.17"), "/lodash-es@^4.17", "npm:lodash-es@^4.17"),
            ("npm", "@aws-sdk/client-s3", None, "/@aws-sdk/client-s3", "npm:@aws-sdk/client-s3"),
            ("npm", "react", Some(""), "/react", "npm:react"),
        ] {
            let module = Module::new(protocol, host, version).expect(host);
            assert_eq!((module.path().as_str(), module.to_string().as_str()), (path, shown));
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_module() {
        for (protocol, host, version) in [
            ("https", "api.example.com", None),
            ("jsr", "std", Some("1")),
            ("npm", "../status.json", None),
            ("npm", "gh/a/b", None),
            ("npm", "https://x.example/a", None),
            ("npm", "a?b", None),
            ("npm", "a#b", None),
            ("npm", "a%2fb", None),
            ("npm", "@a/..", None),
            ("npm", "@a/b/c", None),
            ("npm", "", None),
            ("npm", "a b", None),
            ("npm", "ä", None),
            ("npm", "a", Some("1/../../x")),
            ("npm", "a", Some("1 || 2")),
            ("npm", "a", Some("1?x")),
            ("npm", &"a".repeat(215), None),
            ("npm", "a", Some(&"1".repeat(65))),
        ] {
            assert_eq!(Module::new(protocol, host, version), None, "{protocol} {host} {version:?}");
        }
    }
}
