//! `permissions_set`: changes the mode of a tentacle, and who owns it.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tentacular_contract::{Authz, Caller, Enclave, Identity, Mode, Needs, On, Tentacle, caller::Owner, mode::Class};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{
    change::change,
    ownership::Stamp,
    permissions_get::{email, sub},
    release,
};
use crate::{locks::Held, registrar::Registrar};

/// Characters of a subject (OpenID Connect Core 1.0, section 2).
const SUB: usize = 255;

/// What `permissions_set` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "permissions_set",
        "Set a tentacle's permissions",
        "Changes the mode of a tentacle, or who owns it, or both; what is left out stays. For the tentacle's owner while \
         a member of the enclave, the enclave's owner, who thereby also adopts a tentacle without owner, and the bearer \
         token. Only the bearer token may name an owner who neither owns the enclave nor is a member of it.",
        Authz::new(On::Tentacle, Needs::Own).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]),
    )
    .idempotent()
}

/// Arguments of `permissions_set`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `enclave`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// Name of the tentacle.
    #[serde(rename = "name")]
    _name: String,
    /// What owner, members and others may do with the tentacle: nine characters such as rwxr-x--- (r list, status and
    /// health; w apply and remove; x run and restart), or a preset: private rwx------, member-read rwxr-x---,
    /// member-run rwx--x---, member-edit rwxrwx---, public-read rwxr--r--, open-read rwxrwxr--, open-run rwxrwxr-x. The
    /// enclave's mode must allow the same.
    #[serde(default)]
    mode: Option<String>,
    /// Email address of the new owner.
    #[serde(default)]
    owner_email: Option<String>,
    /// OIDC subject of the new owner, at most 255 characters. Only the bearer token may give one that the server cannot
    /// compare; for others `owner_email` is enough.
    #[serde(default)]
    owner_sub: Option<String>,
}

/// What the permissions of a tentacle are now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Name of the tentacle.
    name: String,
    /// Name of its enclave.
    enclave: String,
    /// Email address of its owner, empty where there is none.
    owner: String,
    /// OIDC subject of its owner, empty where it is not known.
    owner_sub: String,
    /// What its owner, members of the enclave and others may do with it, nine characters.
    mode: String,
    /// The preset that is this mode, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    /// What this call changed. Empty where everything was so already, and nothing was written.
    changed: Vec<Change>,
}

/// A change.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Change {
    /// What changed: `mode`, `owner` or `owner_sub`.
    what: &'static str,
    /// What it was before, empty where there was none.
    from: String,
    /// What it is now, empty where there is none.
    to: String,
}

/// Changes the permissions of the permit's tentacle.
pub(crate) async fn set(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let asked = Asked::read(&arguments)?;
    let (enclave, name, caller) = (permitted.enclave()?, permitted.tentacle()?, permitted.caller());
    // Whoever is made an owner may lose the membership at the same time, and then their tentacles.
    let held = match asked.owner {
        Some(_) => Some(registrar.locks.enclave(enclave).await?),
        None => None,
    };
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let written = change(&registrar, &permitted, |standing, live| {
        held.as_ref().map_or(Ok(()), Held::require)?;
        let annotations = release::annotations(live);
        let before = Tentacle::from_annotations(&annotations);
        let owner = asked.new_owner(caller, &standing.enclave, &before)?;
        let after = Tentacle {
            owner: owner.as_ref().map_or_else(|| before.owner.clone(), |identity| Some(owner_of(identity))),
            mode: asked.mode.unwrap_or(before.mode),
        };
        let changed = changes(&before, &after);
        let stamp = Stamp { caller, mode: asked.mode, now: &now };
        let patch = || json!({ "metadata": { "annotations": stamp.permissions(&annotations, owner.as_ref()) } });
        Ok(((!changed.is_empty()).then(patch), (after, changed)))
    })
    .await;
    if let Some(held) = held {
        held.release().await;
    }
    let (tentacle, changed) = written?;
    Ok(Outcome {
        name: name.to_string(),
        enclave: enclave.to_string(),
        owner: email(tentacle.owner.as_ref()),
        owner_sub: sub(tentacle.owner.as_ref()),
        mode: tentacle.mode.to_string(),
        preset: tentacle.mode.preset(),
        changed,
    })
}

/// What is to become.
struct Asked {
    mode: Option<Mode>,
    owner: Option<Owner>,
}

impl Asked {
    fn read(arguments: &Arguments) -> Result<Self, ToolError> {
        let given =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let mode = given(&arguments.mode).map(|mode| mode.parse()).transpose()?;
        let email = given(&arguments.owner_email).map(|email| email.parse()).transpose()?;
        let sub = given(&arguments.owner_sub);
        if sub.as_ref().is_some_and(|sub| sub.chars().count() > SUB || sub.chars().any(char::is_control)) {
            return Err(ToolError::new(format_args!(
                "owner_sub: give at most {SUB} characters without control characters"
            )));
        }
        let owner = (email.is_some() || sub.is_some()).then_some(Owner { sub, email });
        if mode.is_none() && owner.is_none() {
            return Err(ToolError::new("there is nothing to change: give mode, owner_email or owner_sub"));
        }
        Ok(Self { mode, owner })
    }

    /// Who is to own the tentacle, unless it is as it is. Whoever is known here is taken with all that is known.
    fn new_owner(
        &self,
        caller: &Caller,
        enclave: &Enclave,
        tentacle: &Tentacle,
    ) -> Result<Option<Identity>, ToolError> {
        let Some(asked) = &self.owner else { return Ok(None) };
        let recorded = [&tentacle.owner, &enclave.owner].into_iter().flatten().map(identity);
        let known = caller.identity().cloned().into_iter().chain(recorded).find(|known| {
            (asked.email.is_none() || asked.email == known.email) && (asked.sub.is_none() || asked.sub == known.sub)
        });
        let is_known = known.is_some();
        let owner = known.unwrap_or_else(|| identity(asked));
        if tentacle.owner == Some(owner_of(&owner)) {
            return Ok(None);
        }
        if caller.identity().is_some() {
            if enclave.class_of(&owner) == Class::Other {
                return Err(ToolError::new(format_args!(
                    "permission denied: the new owner neither owns enclave {} nor is a member of it; members are known \
                     by email, so give the owner_email of one, or let the enclave's owner add them first (enclave_sync)",
                    enclave.name
                )));
            }
            if asked.sub.is_some() && !is_known {
                return Err(ToolError::new(
                    "permission denied: whether owner_sub and owner_email are one person cannot be told here; leave out \
                     owner_sub",
                ));
            }
        }
        Ok(Some(owner))
    }
}

fn identity(owner: &Owner) -> Identity {
    Identity { sub: owner.sub.clone(), email: owner.email.clone(), ..Identity::default() }
}

fn owner_of(identity: &Identity) -> Owner {
    Owner { sub: identity.sub.clone(), email: identity.email.clone() }
}

fn changes(before: &Tentacle, after: &Tentacle) -> Vec<Change> {
    let values = |tentacle: &Tentacle| {
        let owner = tentacle.owner.as_ref();
        [tentacle.mode.to_string(), email(owner), sub(owner)]
    };
    let both = values(before).into_iter().zip(values(after));
    let all = ["mode", "owner", "owner_sub"].into_iter().zip(both);
    all.filter(|(_, (from, to))| from != to).map(|(what, (from, to))| Change { what, from, to }).collect()
}

#[cfg(test)]
mod tests;
