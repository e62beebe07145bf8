//! Who calls. The kernel alone makes a [`Caller`] out of credentials; sidecars read it from the caller header.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::header::{self, Malformed};

/// Longest email address, in characters (RFC 5321 section 4.5.3.1.3).
const EMAIL: usize = 254;

/// An email address as identity: ASCII, in lower case, without comma, space or control character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// A text that cannot be an email address here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid email address {0:?}: use ASCII with one '@' inside, without comma or space")]
pub struct InvalidEmail(String);

impl Email {
    /// The address in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let valid = text.len() <= EMAIL
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
            && text
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if valid {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidEmail(text.chars().take(EMAIL).collect()))
        }
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, InvalidEmail> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a person who came with an OIDC token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The token's `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The email address, present only when it counts as identity (the kernel decides that).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// A name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The identity provider behind the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The client the token was issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
}

impl Identity {
    /// Whether this person is the one recorded as `owner`: by `sub` where both sides have one, else by email.
    pub fn is(&self, owner: &Owner) -> bool {
        match (&self.sub, &owner.sub) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.email.is_some() && self.email == owner.email,
        }
    }
}

/// Who owns an enclave or a tentacle, as its annotations say. At least one of the two is present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner's OIDC subject.
    pub sub: Option<String>,
    /// The owner's email address.
    pub email: Option<Email>,
}

impl Owner {
    /// The owner that two annotation values name; an email that is none counts as absent.
    pub fn from_annotations(sub: Option<&str>, email: Option<&str>) -> Option<Self> {
        let sub = sub.filter(|sub| !sub.is_empty()).map(str::to_owned);
        let email = email.and_then(|email| email.trim().parse().ok());
        (sub.is_some() || email.is_some()).then_some(Self { sub, email })
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Caller {
    /// Somebody with the bearer token; passes every check.
    Bearer,
    /// Somebody with an OIDC token.
    Oidc(Identity),
}

impl Caller {
    /// The person behind the call, unless it is the bearer token.
    pub const fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Oidc(identity) => Some(identity),
            Self::Bearer => None,
        }
    }

    /// How logs and annotations name the caller: the email, else the subject, or `bearer-token`.
    pub fn label(&self) -> &str {
        match self {
            Self::Bearer => "bearer-token",
            Self::Oidc(Identity { email: Some(email), .. }) => email.as_str(),
            Self::Oidc(Identity { sub: Some(sub), .. }) => sub,
            Self::Oidc(_) => "unknown",
        }
    }

    /// What kind of caller it is, as the caller header spells it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Oidc(_) => "oidc",
        }
    }

    /// The value of the caller header.
    pub fn to_header(&self) -> String {
        header::encode(self)
    }

    /// Reads the caller header.
    pub fn from_header(text: &str) -> Result<Self, Malformed> {
        header::decode(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(sub: Option<&str>, email: Option<&str>) -> Identity {
        Identity {
            sub: sub.map(str::to_owned),
            email: email.map(|email| email.parse().expect("an email")),
            ..Identity::default()
        }
    }

    #[test]
    fn a_subject_on_both_sides_decides_alone() {
        let owner = Owner::from_annotations(Some("s1"), Some("a@x.io")).expect("an owner");
        assert!(identity(Some("s1"), Some("other@x.io")).is(&owner));
        assert!(!identity(Some("s2"), Some("a@x.io")).is(&owner));
        assert!(identity(None, Some("A@X.io")).is(&owner));
        let by_email = Owner::from_annotations(None, Some("A@x.IO")).expect("an owner");
        assert!(identity(Some("s2"), Some("a@x.io")).is(&by_email));
        assert!(!identity(Some("s2"), None).is(&by_email));
    }

    #[test]
    fn nobody_is_no_owner() {
        assert_eq!(Owner::from_annotations(None, None), None);
        assert_eq!(Owner::from_annotations(Some(""), Some("")), None);
        let by_sub = Owner::from_annotations(Some("s1"), None).expect("an owner");
        assert!(!identity(None, None).is(&by_sub));
    }

    #[test]
    fn emails_that_would_break_a_list_are_refused() {
        for text in ["", "a", "a@", "@x", "a@b@c", "a,b@x.io", "a b@x.io", "a@x.io\n", "ä@x.io"] {
            assert!(text.parse::<Email>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_header_carries_every_kind() {
        for caller in [Caller::Bearer, Caller::Oidc(identity(Some("s"), Some("a@x.io")))] {
            assert_eq!(Caller::from_header(&caller.to_header()).expect("a caller"), caller);
        }
        assert!(Caller::from_header("bearer").is_err());
    }
}
