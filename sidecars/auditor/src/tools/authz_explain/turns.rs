//! What would turn a decision: changes are tried on a copy of the facts, and the evaluator decides again.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tentacular_contract::{Caller, Identity, Needs, caller::Owner, mode::Class};

use super::rights::{Facts, bit};

/// Changes that are tried together at most: membership, and the two modes.
const TOGETHER: usize = 3;

/// A way to turn a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Turn {
    /// All of these calls together.
    pub(super) calls: Vec<Call>,
}

/// A call that changes who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Call {
    /// What it changes.
    what: String,
    /// Who may make it, beside the bearer token.
    by: &'static str,
    /// The tool.
    pub(super) tool: &'static str,
    /// Its arguments.
    pub(super) arguments: Value,
}

/// A change of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Join,
    Leave,
    OwnEnclave,
    OwnTentacle,
    EnclaveMode,
    TentacleMode,
}

/// To be allowed, in the order in which they are offered: the least first.
const GIVING: [Change; 5] =
    [Change::Join, Change::EnclaveMode, Change::TentacleMode, Change::OwnTentacle, Change::OwnEnclave];
/// To be refused.
const TAKING: [Change; 3] = [Change::Leave, Change::EnclaveMode, Change::TentacleMode];

/// The smallest sets of changes after which the decision on `needs` is the other one.
pub(super) fn turns(facts: &Facts, person: &Caller, needs: Needs) -> Vec<Turn> {
    let Some(identity) = person.identity() else { return Vec::new() };
    let allowed = facts.decide(person, needs).is_ok();
    let mut facts = facts.clone();
    if !allowed && facts.tentacle.is_some() && !facts.is_seen_by(person) {
        // Whether the tentacle exists, and what it allows, must not show in what would help.
        facts.tentacle = None;
        if facts.decide(person, needs).is_ok() {
            return Vec::new();
        }
    }
    let (tried, most) = if allowed { (&TAKING[..], 1) } else { (&GIVING[..], TOGETHER) };
    let mut turns: Vec<Turn> = Vec::new();
    for set in sets(tried, most) {
        let Some((changed, calls)) = changed(&facts, identity, needs, &set) else { continue };
        let is_enough_without = |turn: &Turn| turn.calls.iter().all(|call| calls.contains(call));
        if !turns.iter().any(is_enough_without) && changed.decide(person, needs).is_ok() != allowed {
            turns.push(Turn { calls });
        }
    }
    turns
}

/// All sets of up to `most` changes, the smaller ones first.
fn sets(changes: &[Change], most: usize) -> Vec<Vec<Change>> {
    let mut sets: Vec<Vec<Change>> = vec![Vec::new()];
    for &change in changes {
        let with: Vec<_> = sets.iter().map(|set| set.iter().copied().chain([change]).collect()).collect();
        sets.extend(with);
    }
    sets.retain(|set: &Vec<Change>| (1..=most).contains(&set.len()));
    sets.sort_by_key(Vec::len);
    sets
}

/// The facts after all of these changes, and the calls that make them; `None` where one makes no sense.
fn changed(facts: &Facts, identity: &Identity, needs: Needs, set: &[Change]) -> Option<(Facts, Vec<Call>)> {
    // Whoever is given an enclave is made a member by the same call.
    if set.contains(&Change::Join) && set.contains(&Change::OwnEnclave) {
        return None;
    }
    let mut facts = facts.clone();
    let mut calls = Vec::new();
    // Who somebody is comes first: it decides whose letters count.
    let order = [
        Change::Join,
        Change::Leave,
        Change::OwnEnclave,
        Change::OwnTentacle,
        Change::EnclaveMode,
        Change::TentacleMode,
    ];
    for change in order.into_iter().filter(|change| set.contains(change)) {
        calls.push(apply(&mut facts, identity, needs, change)?);
    }
    Some((facts, calls))
}

fn apply(facts: &mut Facts, identity: &Identity, needs: Needs, change: Change) -> Option<Call> {
    match change {
        Change::OwnTentacle | Change::TentacleMode => on_tentacle(facts, identity, needs, change),
        _ => on_enclave(facts, identity, needs, change),
    }
}

fn owner(identity: &Identity) -> Owner {
    Owner { sub: identity.sub.clone(), email: identity.email.clone() }
}

fn on_enclave(facts: &mut Facts, identity: &Identity, needs: Needs, change: Change) -> Option<Call> {
    let (name, enclave) = (facts.name.clone(), facts.enclave.as_mut()?);
    let class = enclave.class_of(identity);
    let sync = |what: String, mut arguments: Value| {
        arguments["name"] = json!(name);
        Some(Call { what, by: "the enclave's owner", tool: "enclave_sync", arguments })
    };
    if change == Change::EnclaveMode {
        let to = enclave.mode.toggled(class, bit(needs)?);
        let what = format!("the mode of enclave {name} changes from {} to {to}", enclave.mode);
        enclave.mode = to;
        return sync(what, json!({ "new_mode": to }));
    }
    let email = identity.email.clone()?;
    match (change, class) {
        (Change::Join, Class::Other) => {
            enclave.members.insert(email.clone());
            sync(format!("{email} becomes a member of enclave {name}"), json!({ "add_members": [email] }))
        }
        (Change::Leave, Class::Member) => {
            enclave.members.remove(&email);
            sync(format!("{email} is no longer a member of enclave {name}"), json!({ "remove_members": [email] }))
        }
        (Change::OwnEnclave, Class::Member | Class::Other) => {
            enclave.owner = Some(owner(identity));
            let mut arguments = json!({ "new_owner": email });
            // Only members can be given an enclave.
            if class == Class::Other {
                arguments["add_members"] = json!([email]);
            }
            sync(format!("{email} becomes the owner of enclave {name}"), arguments)
        }
        _ => None,
    }
}

fn on_tentacle(facts: &mut Facts, identity: &Identity, needs: Needs, change: Change) -> Option<Call> {
    let (name, in_enclave) = (facts.name.clone(), facts.enclave.as_ref()?.class_of(identity));
    let (tentacle, facts) = facts.tentacle.as_mut()?;
    let facts = facts.as_mut()?;
    let class = facts.class_of(identity, in_enclave);
    let set = |what: String, by, mut arguments: Value| {
        (arguments["enclave"], arguments["name"]) = (json!(name), json!(tentacle));
        Some(Call { what, by, tool: "permissions_set", arguments })
    };
    if change == Change::TentacleMode {
        let to = facts.mode.toggled(class, bit(needs)?);
        let what = format!("the mode of tentacle {name}/{tentacle} changes from {} to {to}", facts.mode);
        facts.mode = to;
        return set(what, "the tentacle's owner or the enclave's", json!({ "mode": to }));
    }
    let email = identity.email.clone()?;
    // Somebody who is no member cannot be given a tentacle.
    if class == Class::Owner || in_enclave != Class::Member {
        return None;
    }
    facts.owner = Some(owner(identity));
    let what = format!("{email} becomes the owner of tentacle {name}/{tentacle}");
    set(what, "the enclave's owner", json!({ "owner_email": email }))
}

#[cfg(test)]
mod tests;
