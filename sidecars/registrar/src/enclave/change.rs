//! The arguments of `enclave_sync`, and what they make of an enclave as it stands: both pure, each telling every
//! problem at once.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use tentacular_contract::{Email, Enclave, Mode, Status, caller::Owner, facts::Pairs, keys, limits};

use super::{
    quota::QuotaPreset,
    request::{Problems, Refused},
};

const REFUSED: &str = "nothing was changed";

/// Arguments of `enclave_sync`. A text that is empty counts as left out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "name")]
    _name: Option<String>,
    /// Another name of `name`.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `name`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// Email address of the next owner, who must be a member; with the bearer token it may be anybody. The owner until
    /// then becomes a member.
    #[serde(default)]
    pub(super) new_owner: Option<String>,
    /// OIDC subject of `new_owner`, where it is known; left out, the next owner is known by the email address. Only with
    /// the bearer token.
    #[serde(default)]
    pub(super) new_owner_sub: Option<String>,
    /// Name of the team's channel, at most 255 characters.
    #[serde(default)]
    pub(super) new_channel_name: Option<String>,
    /// frozen refuses apply, run and restart until it is active again.
    #[serde(default)]
    #[schemars(extend("enum" = ["active", "frozen"]))]
    pub(super) new_status: Option<String>,
    /// What members and others may do in the enclave: nine characters for owner, member and other such as rwxrwx--- (r
    /// list, status and health; w apply and remove; x run), or a preset: private rwx------, member-read rwxr-x---,
    /// member-run rwx--x---, member-edit rwxrwx---, public-read rwxr--r--, open-read rwxrwxr--, open-run rwxrwxr-x.
    #[serde(default)]
    pub(super) new_mode: Option<String>,
    /// Mode of tentacles created in the enclave later, written like `new_mode`.
    #[serde(default)]
    pub(super) new_default_mode: Option<String>,
    /// How much the enclave may use: small (4 cores, 4 GiB, 20 pods, 10 GiB of volumes), medium (16, 16, 50, 50) or
    /// large (32, 64, 100, 100). What runs already stays.
    #[serde(default)]
    #[schemars(extend("enum" = ["small", "medium", "large"]))]
    pub(super) new_quota_preset: Option<String>,
    /// Another name of `new_quota_preset`.
    #[serde(default)]
    #[schemars(extend("enum" = ["small", "medium", "large"]))]
    pub(super) quota_preset: Option<String>,
    /// Email addresses of those who become members.
    #[serde(default)]
    pub(super) add_members: Vec<String>,
    /// Email addresses of those who are members no longer. Their tentacles, also those of somebody who left earlier, go
    /// to the enclave's owner.
    #[serde(default)]
    pub(super) remove_members: Vec<String>,
    /// Email addresses of all members, without the owner; at most 100. Everybody else is removed as by
    /// `remove_members`; an empty list removes all. Not together with `add_members` or `remove_members`.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(super) members: Option<Vec<String>>,
}

/// What is to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    owner: Option<Email>,
    owner_sub: Option<String>,
    /// Whether the next owner may be somebody who is no member.
    anybody: bool,
    channel_name: Option<String>,
    status: Option<Status>,
    mode: Option<Mode>,
    default_mode: Option<Mode>,
    pub(super) quota: Option<QuotaPreset>,
    add: BTreeSet<Email>,
    remove: BTreeSet<Email>,
    pub(super) members: Option<BTreeSet<Email>>,
}

/// What becomes of an enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// The annotations that get another value.
    pub(super) annotations: Pairs,
    /// What that changes, as the answer names it.
    pub(super) updated: Vec<&'static str>,
    /// Whose tentacles are to be the enclave's owner's.
    pub(super) removed: BTreeSet<Email>,
}

impl Change {
    /// Reads the arguments. `anybody`: the caller may name an owner who is no member.
    pub(super) fn read(arguments: &Arguments, anybody: bool) -> Result<Self, Refused> {
        let mut problems = Problems::default();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let channel_name = given(&arguments.new_channel_name);
        let owner_sub = given(&arguments.new_owner_sub);
        let members = arguments.members.as_deref();
        let change = Self {
            owner: problems.parse("new_owner", arguments.new_owner.as_deref()),
            owner_sub: owner_sub.map(|text| problems.text("new_owner_sub", Some(&text))),
            anybody,
            channel_name: channel_name.map(|text| problems.text("new_channel_name", Some(&text))),
            status: status(arguments.new_status.as_deref(), &mut problems),
            mode: problems.parse("new_mode", arguments.new_mode.as_deref()),
            default_mode: problems.parse("new_default_mode", arguments.new_default_mode.as_deref()),
            quota: quota(arguments, &mut problems),
            add: problems.emails("add_members", &arguments.add_members),
            remove: problems.emails("remove_members", &arguments.remove_members),
            members: members.map(|members| problems.emails("members", members)),
        };
        if change.owner_sub.is_some() && !anybody {
            problems.0.push(
                "new_owner_sub: only with the bearer token; leave it out, and the email address says who it is"
                    .to_owned(),
            );
        } else if change.owner_sub.is_some() && given(&arguments.new_owner).is_none() {
            problems.0.push("new_owner_sub: give new_owner with it".to_owned());
        }
        if members.is_some() && !(arguments.add_members.is_empty() && arguments.remove_members.is_empty()) {
            problems.0.push("members: replaces all; give it, or add_members and remove_members".to_owned());
        }
        let both = change.add.intersection(&change.remove);
        problems.0.extend(both.map(|email| format!("add_members and remove_members: both name {email}")));
        if problems.0.is_empty() && change == (Self { anybody, ..Self::default() }) {
            problems.0.push(
                "no argument says what to change; give at least one of new_owner, new_channel_name, new_status, \
                 new_mode, new_default_mode, new_quota_preset, add_members, remove_members, members"
                    .to_owned(),
            );
        }
        if problems.0.is_empty() { Ok(change) } else { Err(Refused(REFUSED, problems.0)) }
    }

    /// What becomes of `enclave`, whose namespace has these annotations.
    pub(super) fn decide(&self, enclave: &Enclave, annotations: &Pairs) -> Result<Decision, Refused> {
        let mut problems = Problems::default();
        let members = self.members_of(enclave, &mut problems);
        let owner = self.next_owner(enclave);
        if !problems.0.is_empty() {
            return Err(Refused(REFUSED, problems.0));
        }
        let email = owner.as_ref().or(enclave.owner.as_ref()).and_then(|owner| owner.email.as_ref());
        let named = enclave.members.union(&self.remove);
        let removed = named.filter(|one| !members.contains(*one) && Some(*one) != email).cloned().collect();
        let joined =
            (members != enclave.members).then(|| members.iter().map(Email::as_str).collect::<Vec<_>>().join(","));
        let (owner_email, owner_sub) =
            owner.map_or((None, None), |owner| (owner.email.map(String::from), Some(owner.sub.unwrap_or_default())));
        let wanted = [
            ("members", keys::ENCLAVE_MEMBERS, joined),
            ("owner", keys::ENCLAVE_OWNER, owner_email),
            ("owner", keys::ENCLAVE_OWNER_SUB, owner_sub),
            ("channel_name", keys::ENCLAVE_CHANNEL_NAME, self.channel_name.clone()),
            ("status", keys::ENCLAVE_STATUS, self.status.map(|status| status.as_str().to_owned())),
            ("mode", keys::MODE, self.mode.map(String::from)),
            ("default_mode", keys::ENCLAVE_DEFAULT_MODE, self.default_mode.map(String::from)),
            ("quota_preset", keys::ENCLAVE_QUOTA_PRESET, self.quota.map(|quota| quota.to_string())),
        ];
        let mut decision = Decision { annotations: Pairs::new(), updated: Vec::new(), removed };
        for (name, key, value) in wanted {
            let stored = annotations.get(key).map(|text| text.trim()).unwrap_or_default();
            let Some(value) = value.filter(|value| value != stored) else { continue };
            decision.annotations.insert(key.to_owned(), value);
            decision.updated.push(name);
        }
        decision.updated.dedup();
        Ok(decision)
    }

    /// The next owner, if there is to be another one, or the same with another subject.
    fn next_owner(&self, enclave: &Enclave) -> Option<Owner> {
        let next = Owner { email: Some(self.owner.clone()?), sub: self.owner_sub.clone() };
        let same = enclave
            .owner
            .as_ref()
            .is_some_and(|owner| owner.email == next.email && (next.sub.is_none() || owner.sub == next.sub));
        (!same).then_some(next)
    }

    fn members_of(&self, enclave: &Enclave, problems: &mut Problems) -> BTreeSet<Email> {
        let mut members = self.members.clone().unwrap_or_else(|| enclave.members.clone());
        members.extend(self.add.iter().cloned());
        members.retain(|email| !self.remove.contains(email));
        let now = enclave.owner.as_ref().and_then(|owner| owner.email.as_ref());
        let next = self.owner.as_ref().filter(|next| Some(*next) != now);
        if let Some(next) = next {
            if !self.anybody && !enclave.members.contains(next) && !members.contains(next) {
                problems
                    .0
                    .push(format!("new_owner: {next} is no member of the enclave; give add_members with it too"));
            }
            if self.remove.contains(next) {
                problems.0.push(format!("remove_members: {next} is to be the owner; leave out one of the two"));
            }
            // Otherwise a repeat of the call, when the other one owns the enclave, would remove who owned it before.
            if let Some(now) = now.filter(|now| self.members.as_ref().is_some_and(|given| !given.contains(*now))) {
                problems
                    .0
                    .push(format!("members: {now} becomes a member when new_owner is the owner; name them too"));
            }
            members.extend(now.cloned());
        }
        if let Some(now) = now.filter(|now| self.remove.contains(*now)) {
            problems.0.push(format!("remove_members: {now} is the owner; give the enclave to somebody else before"));
        }
        members.retain(|email| Some(email) != next.or(now));
        if members.len() > limits::MEMBERS.max(enclave.members.len()) {
            let count = members.len();
            problems.0.push(format!("members: there would be {count}, an enclave has at most {}", limits::MEMBERS));
        }
        members
    }
}

fn quota(arguments: &Arguments, problems: &mut Problems) -> Option<QuotaPreset> {
    let Arguments { new_quota_preset, quota_preset, .. } = arguments;
    let new = problems.parse("new_quota_preset", new_quota_preset.as_deref());
    let other = problems.parse("quota_preset", quota_preset.as_deref());
    if new.is_some() && other.is_some() && new != other {
        problems.0.push("quota_preset: the same as new_quota_preset, and the two differ; give one".to_owned());
    }
    new.or(other)
}

fn status(text: Option<&str>, problems: &mut Problems) -> Option<Status> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    let known = [Status::Active, Status::Frozen].into_iter().find(|status| status.as_str() == text);
    if known.is_none() {
        problems.0.push(format!("new_status: invalid status {text:?}; valid values: active, frozen"));
    }
    known
}

#[cfg(test)]
mod tests;
