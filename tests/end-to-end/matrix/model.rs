//! Who may do what, written once more from the design's words alone: what the kernel decides is compared with this.

use serde_json::Value;

/// The presets and what they stand for; the last one is an object that says nothing of its mode.
pub(super) const PRESETS: [(&str, &str); 8] = [
    ("private", "rwx------"),
    ("member-read", "rwxr-x---"),
    ("member-run", "rwx--x---"),
    ("member-edit", "rwxrwx---"),
    ("public-read", "rwxr--r--"),
    ("open-read", "rwxrwxr--"),
    ("open-run", "rwxrwxr-x"),
    ("default", ""),
];

/// Somebody who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// With the bearer token.
    Bearer,
    /// With an OIDC token; `email` only where it counts as identity.
    Person { sub: String, email: Option<String> },
}

/// Who owns something, as far as it is recorded.
#[derive(Debug, Clone, Default)]
pub(super) struct Owner {
    pub(super) sub: Option<String>,
    pub(super) email: Option<String>,
}

/// An enclave.
#[derive(Debug, Clone)]
pub(super) struct Enclave {
    pub(super) owner: Option<Owner>,
    pub(super) members: Vec<String>,
    pub(super) mode: &'static str,
    pub(super) frozen: bool,
    pub(super) terminating: bool,
}

/// A tentacle.
#[derive(Debug, Clone)]
pub(super) struct Tentacle {
    pub(super) owner: Option<Owner>,
    pub(super) mode: &'static str,
}

/// What stands at a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Protected,
    NoEnclave,
    Enclave(&'a Enclave),
}

/// What stands at a tentacle's name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    Absent,
    There(&'a Tentacle),
}

/// The settings of the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) authorization: bool,
    pub(super) cluster_read_for_all: bool,
}

/// One call: what its tool declares, and what stands where it points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) settings: Settings,
    pub(super) caller: &'a Caller,
    pub(super) declared: &'a Value,
    pub(super) enclave: Option<Place<'a>>,
    pub(super) tentacle: Option<Named<'a>>,
}

/// What is expected of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A permit of this right; `exists` says whether its tentacle does, or without one its enclave.
    Allowed { right: String, exists: bool },
    /// A refusal whose sentence has these words.
    Denied(String),
}

fn is(caller: &Caller, owner: &Owner) -> bool {
    let Caller::Person { sub, email } = caller else { return false };
    match &owner.sub {
        Some(theirs) => sub == theirs,
        None => email.is_some() && *email == owner.email,
    }
}

fn is_member(caller: &Caller, enclave: &Enclave) -> bool {
    matches!(caller, Caller::Person { email: Some(email), .. } if enclave.members.contains(email))
}

fn class(caller: &Caller, enclave: &Enclave) -> &'static str {
    if is_member(caller, enclave) { "member" } else { "other" }
}

fn letter(needs: &str) -> char {
    match needs {
        "read" => 'r',
        "write" => 'w',
        _ => 'x',
    }
}

fn has(mode: &str, default: &str, class: &str, letter: char) -> bool {
    let mode = if mode.is_empty() { default } else { mode };
    let group = ["owner", "member", "other"].iter().position(|name| *name == class).unwrap() * 3;
    mode[group..group + 3].contains(letter)
}

/// Whether the caller may read the enclave itself, and so be told what is in it.
pub(super) fn sees(settings: Settings, caller: &Caller, enclave: &Enclave) -> bool {
    let owns = || enclave.owner.as_ref().is_some_and(|owner| is(caller, owner));
    let by_mode = || enclave.owner.is_some() && has(enclave.mode, "rwxrwx---", class(caller, enclave), 'r');
    !settings.authorization || *caller == Caller::Bearer || owns() || by_mode()
}

/// Whether it is the caller's own enclave, by ownership or membership: what a place that is left out means.
pub(super) fn belongs_to(caller: &Caller, enclave: &Enclave) -> bool {
    !enclave.terminating
        && (enclave.owner.as_ref().is_some_and(|owner| is(caller, owner)) || is_member(caller, enclave))
}

/// What the design says of a call.
pub(super) fn expected(question: &Question<'_>) -> Expected {
    match decide(question) {
        Ok((right, exists)) => Expected::Allowed { right: right.to_owned(), exists },
        Err(words) => Expected::Denied(words.to_owned()),
    }
}

fn decide<'a>(question: &Question<'a>) -> Result<(&'a str, bool), &'static str> {
    let Question { settings, caller, declared, enclave, tentacle } = *question;
    let word = |member: &str| declared[member].as_str();
    let (on, needs) = (word("on").unwrap(), word("needs").unwrap());
    let passes_all = !settings.authorization || *caller == Caller::Bearer;
    if on == "cluster" && !passes_all && (needs == "own" || !settings.cluster_read_for_all) {
        return Err("bearer token");
    }
    let exists = match (enclave, tentacle) {
        (_, Some(tentacle)) => matches!(tentacle, Named::There(_)),
        (place, None) => matches!(place, Some(Place::Enclave(_))),
    };
    let enclave = match enclave {
        None => return Ok((needs, false)),
        // Such a tool asks for nothing anywhere: what is at the place is its own affair. Whether there is a tentacle is only for
        // who may read the enclave.
        Some(place) if needs == "none" && on != "cluster" => {
            let told = matches!(place, Place::Enclave(enclave) if sees(settings, caller, enclave));
            return Ok((needs, exists && (told || tentacle.is_none())));
        }
        Some(Place::Protected | Place::NoEnclave) if on == "cluster" => return Ok(("none", false)),
        Some(Place::Protected) => return Err("protected"),
        Some(Place::NoEnclave) => return Err("there is no enclave"),
        Some(Place::Enclave(enclave)) => enclave,
    };
    // A tool on the cluster needs the read of an enclave that is given to it.
    let of_place = if on == "cluster" { "read" } else { needs };
    if enclave.terminating && ["write", "execute"].contains(&of_place) {
        return Err("being deleted");
    }
    if !passes_all {
        by_ownership_and_mode(caller, enclave, of_place, tentacle, word("absent") == Some("create"))?;
    }
    if enclave.frozen && word("frozen") == Some("refuse") {
        return Err("frozen");
    }
    Ok((if needs == "none" { of_place } else { needs }, exists))
}

fn by_ownership_and_mode(
    caller: &Caller,
    enclave: &Enclave,
    needs: &str,
    tentacle: Option<Named<'_>>,
    creates: bool,
) -> Result<(), &'static str> {
    let owner = enclave.owner.as_ref().ok_or("resource has no owner")?;
    if is(caller, owner) {
        return Ok(());
    }
    let of_enclave = class(caller, enclave);
    let bit = letter(needs);
    if needs != "own" && !has(enclave.mode, "rwxrwx---", of_enclave, bit) {
        return Err("permission denied");
    }
    match tentacle {
        None if needs == "own" => Err("permission denied"),
        None => Ok(()),
        Some(Named::Absent) if creates => Ok(()),
        Some(Named::Absent) => Err("permission denied"),
        Some(Named::There(tentacle)) => {
            let owner = tentacle.owner.as_ref().ok_or("permission denied")?;
            let owns = is(caller, owner);
            let allowed = if needs == "own" {
                owns && of_enclave == "member"
            } else {
                has(tentacle.mode, "rwxr-x---", if owns { "owner" } else { of_enclave }, bit)
            };
            if allowed { Ok(()) } else { Err("permission denied") }
        }
    }
}
