//! Rules for the annotations of an enclave's Namespace.

use tentacular_contract::{Email, Status, keys, limits};

use super::annotation::{Read, Rule, email, mode, text};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "enclave-mode", key: keys::MODE, read: mode },
    Rule { name: "enclave-default-mode", key: keys::ENCLAVE_DEFAULT_MODE, read: mode },
    Rule { name: "enclave-owner", key: keys::ENCLAVE_OWNER, read: email },
    Rule { name: "enclave-members", key: keys::ENCLAVE_MEMBERS, read: members },
    Rule { name: "enclave-status", key: keys::ENCLAVE_STATUS, read: status },
    Rule { name: "enclave-quota-preset", key: keys::ENCLAVE_QUOTA_PRESET, read: quota_preset },
    Rule { name: "enclave-platform", key: keys::ENCLAVE_PLATFORM, read: |text| choice(text, "platform", &["slack"]) },
    Rule { name: "enclave-channel", key: keys::ENCLAVE_CHANNEL_ID, read: text },
    Rule { name: "enclave-channel", key: keys::ENCLAVE_CHANNEL_NAME, read: text },
];

/// Email addresses separated by commas. Empty places between commas are left out, as the reader does.
fn members(text: &str) -> Read {
    let members = || text.split(',').map(str::trim).filter(|member| !member.is_empty());
    if members().count() > limits::MEMBERS {
        return Read::Invalid(format!(
            "{} members are more than the limit of {}: remove some",
            members().count(),
            limits::MEMBERS
        ));
    }
    members().map(str::parse::<Email>).collect::<Result<Vec<_>, _>>().into()
}

fn status(text: &str) -> Read {
    let known = [Status::Provisioning, Status::Active, Status::Frozen].map(Status::as_str);
    choice(text, "enclave status", &known)
}

/// The presets of a `ResourceQuota` (`small`, `medium`, `large`).
fn quota_preset(text: &str) -> Read {
    choice(text, "quota preset", &["small", "medium", "large"])
}

fn choice(text: &str, what: &str, known: &[&str]) -> Read {
    if known.contains(&text) {
        return Read::Valid;
    }
    let shown: String = text.chars().take(64).collect();
    Read::Invalid(format!("invalid {what} {shown:?}: use one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::annotation::tests::{
        Expect::{Allowed, Refused},
        check,
    };

    #[test]
    fn values() {
        for (key, value, expect) in [
            (keys::MODE, "rwxrwx---", Allowed),
            (keys::MODE, "member-edit", Allowed),
            (keys::MODE, "", Allowed),
            (keys::MODE, "750", Refused("\"750\"")),
            (keys::ENCLAVE_DEFAULT_MODE, "rwxr-x---", Allowed),
            (keys::ENCLAVE_DEFAULT_MODE, "rwxr-x--", Refused("invalid mode")),
            (keys::ENCLAVE_OWNER, "Ada@Example.com", Allowed),
            (keys::ENCLAVE_OWNER, " ", Allowed),
            (keys::ENCLAVE_OWNER, "ada", Refused("invalid email address \"ada\"")),
            (keys::ENCLAVE_OWNER, "a@x.io,b@x.io", Refused("invalid email address")),
            (keys::ENCLAVE_MEMBERS, "a@x.io, B@x.io,", Allowed),
            (keys::ENCLAVE_MEMBERS, "a@x.io,bob", Refused("\"bob\"")),
            (keys::ENCLAVE_MEMBERS, "a@x.io;b@x.io", Refused("invalid email address")),
            (keys::ENCLAVE_STATUS, "active", Allowed),
            (keys::ENCLAVE_STATUS, "frozen", Allowed),
            (keys::ENCLAVE_STATUS, "provisioning", Allowed),
            (keys::ENCLAVE_STATUS, "forzen", Refused("use one of provisioning, active, frozen")),
            (keys::ENCLAVE_QUOTA_PRESET, "small", Allowed),
            (keys::ENCLAVE_QUOTA_PRESET, "large", Allowed),
            (keys::ENCLAVE_QUOTA_PRESET, "huge", Refused("use one of small, medium, large")),
            (keys::ENCLAVE_PLATFORM, "slack", Allowed),
            (keys::ENCLAVE_PLATFORM, "irc", Refused("use one of slack")),
            (keys::ENCLAVE_CHANNEL_NAME, "anything", Allowed),
        ] {
            check(RULES, key, value, expect);
        }
    }

    #[test]
    fn members_have_a_limit() {
        let list = |count: usize| (0..count).map(|number| format!("m{number}@x.io")).collect::<Vec<_>>().join(",");
        check(RULES, keys::ENCLAVE_MEMBERS, &list(limits::MEMBERS), Allowed);
        check(RULES, keys::ENCLAVE_MEMBERS, &list(limits::MEMBERS + 1), Refused("limit of 100"));
    }
}
