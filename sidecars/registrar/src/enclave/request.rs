//! The arguments of `enclave_provision`, read and checked as a whole: every problem is told at once.

use std::{collections::BTreeSet, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Deserialize;
use tentacular_contract::{
    Caller, Email, EnclaveName, Mode, Platform, Status,
    caller::{InvalidEmail, Owner},
    facts::Pairs,
    keys, limits,
    text::is_shown,
};

use super::{name_pattern::NamePattern, quota::QuotaPreset};

/// Characters of a channel's id or name, or of a subject.
const TEXT: usize = 255;

/// Arguments of `enclave_provision`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave, which becomes its namespace's: 1 to 63 of a-z, 0-9 and '-', starting and ending with a
    /// letter or digit.
    pub(crate) name: String,
    /// Email address of the owner. Required with the bearer token; for everybody else the owner is the caller, and
    /// this is ignored.
    #[serde(default)]
    pub(crate) owner_email: Option<String>,
    /// OIDC subject of the owner, where it is known. Only with the bearer token.
    #[serde(default)]
    pub(crate) owner_sub: Option<String>,
    /// Email addresses of the members, without the owner; at most 100.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) members: Option<Vec<String>>,
    /// What members and others may do in the enclave (its owner may do everything): nine characters for owner, member
    /// and other such as rwxrwx--- (r list, status and health; w apply and remove; x run), or a preset: private
    /// rwx------, member-read rwxr-x---, member-run rwx--x---, member-edit rwxrwx---, public-read rwxr--r--, open-read
    /// rwxrwxr--, open-run rwxrwxr-x. Default rwxrwx---.
    #[serde(default)]
    pub(crate) mode: Option<String>,
    /// Mode of tentacles created in the enclave later, written like `mode`. Default rwxr-x---.
    #[serde(default)]
    pub(crate) default_mode: Option<String>,
    /// How much the enclave may use: small (4 cores, 4 GiB, 20 pods, 10 GiB of volumes), medium (16, 16, 50, 50) or
    /// large (32, 64, 100, 100). Default medium.
    #[serde(default)]
    #[schemars(extend("enum" = ["small", "medium", "large"]))]
    pub(crate) quota_preset: Option<String>,
    /// Where the team talks: slack, or empty for nowhere. Default empty.
    #[serde(default)]
    pub(crate) platform: Option<String>,
    /// Id of the team's channel on that platform, at most 255 characters.
    #[serde(default)]
    pub(crate) channel_id: Option<String>,
    /// Name of the team's channel on that platform, at most 255 characters.
    #[serde(default)]
    pub(crate) channel_name: Option<String>,
}

/// An enclave that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) name: EnclaveName,
    pub(crate) owner: Owner,
    pub(crate) members: BTreeSet<Email>,
    pub(crate) mode: Mode,
    pub(crate) default_mode: Mode,
    pub(crate) quota: QuotaPreset,
    platform: String,
    channel_id: String,
    channel_name: String,
}

/// What was not done, and everything that is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Refused(pub(super) &'static str, pub(super) Vec<String>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1.join("; "))
    }
}

impl Request {
    /// Reads the arguments of `caller`.
    pub(crate) fn read(
        arguments: &Arguments,
        caller: &Caller,
        platform: &Platform,
        pattern: Option<&NamePattern>,
    ) -> Result<Self, Refused> {
        let mut problems = Problems::default();
        let name = problems.take(name(&arguments.name, platform, pattern));
        let owner = problems.take(owner(arguments, caller));
        let members = members(arguments, owner.as_ref(), &mut problems);
        let mode = problems.parse("mode", arguments.mode.as_deref()).unwrap_or(Mode::ENCLAVE_DEFAULT);
        let default_mode = problems.parse("default_mode", arguments.default_mode.as_deref());
        let default_mode = default_mode.unwrap_or(Mode::TENTACLE_DEFAULT);
        let quota = problems.parse("quota_preset", arguments.quota_preset.as_deref()).unwrap_or_default();
        let platform = arguments.platform.clone().unwrap_or_default();
        if !matches!(platform.as_str(), "" | "slack") {
            let shown: String = platform.chars().take(64).collect();
            problems.0.push(format!("platform: {shown:?} is not known; give slack, or leave it out"));
        }
        let channel_id = problems.text("channel_id", arguments.channel_id.as_deref());
        let channel_name = problems.text("channel_name", arguments.channel_name.as_deref());
        match (name, owner) {
            (Some(name), Some(owner)) if problems.0.is_empty() => {
                Ok(Self { name, owner, members, mode, default_mode, quota, platform, channel_id, channel_name })
            }
            _ => Err(Refused("no enclave was made", problems.0)),
        }
    }

    /// The annotations of the enclave's namespace.
    pub(crate) fn annotations(&self, status: Status, created_at: &str, now: &str) -> Pairs {
        let members: Vec<_> = self.members.iter().map(Email::as_str).collect();
        let text = |email: Option<&Email>| email.map(ToString::to_string).unwrap_or_default();
        let list = [
            (keys::ENCLAVE, self.name.to_string()),
            (keys::ENCLAVE_OWNER, text(self.owner.email.as_ref())),
            (keys::ENCLAVE_OWNER_SUB, self.owner.sub.clone().unwrap_or_default()),
            (keys::ENCLAVE_MEMBERS, members.join(",")),
            (keys::ENCLAVE_PLATFORM, self.platform.clone()),
            (keys::ENCLAVE_CHANNEL_ID, self.channel_id.clone()),
            (keys::ENCLAVE_CHANNEL_NAME, self.channel_name.clone()),
            (keys::ENCLAVE_STATUS, status.as_str().to_owned()),
            (keys::MODE, self.mode.to_string()),
            (keys::ENCLAVE_DEFAULT_MODE, self.default_mode.to_string()),
            (keys::ENCLAVE_QUOTA_PRESET, self.quota.to_string()),
            (keys::ENCLAVE_CREATED_AT, created_at.to_owned()),
            (keys::ENCLAVE_UPDATED_AT, now.to_owned()),
        ];
        list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Whether a namespace with this metadata is, or is to be, the enclave that is asked for.
    pub(super) fn describes(&self, namespace: &ObjectMeta) -> bool {
        let changing = [keys::ENCLAVE_STATUS, keys::ENCLAVE_CREATED_AT, keys::ENCLAVE_UPDATED_AT];
        let mut wanted = self.annotations(Status::Provisioning, "", "");
        wanted.retain(|key, _| !changing.contains(&key.as_str()));
        let there = |key: &str| namespace.annotations.as_ref().and_then(|annotations| annotations.get(key));
        wanted.iter().all(|(key, value)| there(key).is_some_and(|there| there == value))
    }
}

/// What is wrong, collected.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<String>);

impl Problems {
    fn take<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|problem| self.0.push(problem)).ok()
    }

    /// The value of an argument that is given, not empty and valid.
    pub(super) fn parse<T>(&mut self, argument: &str, text: Option<&str>) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = text.map(str::trim).filter(|text| !text.is_empty())?;
        self.take(text.parse().map_err(|error| format!("{argument}: {error}")))
    }

    /// The valid ones among email addresses.
    pub(super) fn emails(&mut self, argument: &str, texts: &[String]) -> BTreeSet<Email> {
        let parsed = texts.iter().enumerate().map(|(index, text)| (index, text.trim().parse()));
        let read = |(index, parsed): (usize, Result<Email, InvalidEmail>)| {
            self.take(parsed.map_err(|error| format!("{argument}[{index}]: {error}")))
        };
        parsed.filter_map(read).collect()
    }

    pub(super) fn text(&mut self, argument: &str, text: Option<&str>) -> String {
        let text = text.unwrap_or_default().trim();
        if !is_plain(text) {
            self.0.push(format!("{argument}: give at most {TEXT} characters, all of which show"));
        }
        text.to_owned()
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= TEXT && text.chars().all(is_shown)
}

fn name(text: &str, platform: &Platform, pattern: Option<&NamePattern>) -> Result<EnclaveName, String> {
    let name: EnclaveName = text.parse().map_err(|error| format!("name: {error}"))?;
    if platform.is_protected(name.as_str()) {
        return Err(format!("name: {name} is reserved and never an enclave; choose another name"));
    }
    if let Some(pattern) = pattern.filter(|pattern| !pattern.matches(&name)) {
        return Err(format!("name: {name} is not what names of enclaves have to match here, which is {pattern}"));
    }
    Ok(name)
}

fn owner(arguments: &Arguments, caller: &Caller) -> Result<Owner, String> {
    if let Some(identity) = caller.identity() {
        let email = identity.email.clone().ok_or(
            "permission denied: your token has no email address that counts as identity (a verified one is needed), \
             so it can own no enclave",
        )?;
        return Ok(Owner { sub: identity.sub.clone(), email: Some(email) });
    }
    let email = arguments.owner_email.as_deref().map(str::trim).filter(|email| !email.is_empty());
    let email = email.ok_or("owner_email: required with the bearer token, as the enclave belongs to somebody")?;
    let email = email.parse().map_err(|error| format!("owner_email: {error}"))?;
    let sub = arguments.owner_sub.as_deref().map(str::trim).filter(|sub| !sub.is_empty());
    if sub.is_some_and(|sub| !is_plain(sub)) {
        return Err(format!("owner_sub: give at most {TEXT} characters, all of which show"));
    }
    Ok(Owner { sub: sub.map(str::to_owned), email: Some(email) })
}

fn members(arguments: &Arguments, owner: Option<&Owner>, problems: &mut Problems) -> BTreeSet<Email> {
    let mut members = problems.emails("members", arguments.members.as_deref().unwrap_or_default());
    members.retain(|email| owner.is_none_or(|owner| owner.email.as_ref() != Some(email)));
    if members.len() > limits::MEMBERS {
        let count = members.len();
        problems.0.push(format!("members: {count} are given, an enclave has at most {}", limits::MEMBERS));
    }
    members
}

#[cfg(test)]
mod tests;
