//! The evaluator: who may do what, as one pure function. The kernel decides with it, sidecars narrow lists with it and
//! decide again with it against the live object before they write.

mod denied;

pub use self::denied::{Denied, Target};
use crate::{
    authz::{Absent, Authz, Frozen, Needs, On},
    caller::{Caller, Identity},
    facts::{Enclave, Place, Status, Tentacle},
    mode::{Bit, Class},
    names::{EnclaveName, TentacleName},
    permit::{Granted, Permit, Rule},
};

/// What an installation has settled of who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether authorization is switched on (`TENTACULAR_AUTHZ_ENABLED`).
    pub authorization: bool,
    /// Who may call tools on the cluster as a whole (`TENTACULAR_AUTHZ_CLUSTER_READ`).
    pub cluster_read: ClusterRead,
}

impl Default for Policy {
    fn default() -> Self {
        Self { authorization: true, cluster_read: ClusterRead::default() }
    }
}

/// Who may call tools on the cluster as a whole, as far as these do not need its ownership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ClusterRead {
    /// Everybody who is authenticated.
    #[default]
    Authenticated,
    /// The bearer token alone.
    Bearer,
}

/// One call to decide on.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// What the installation has settled.
    pub policy: Policy,
    /// The tool as the request's body spells it.
    pub tool: &'a str,
    /// What the tool declares.
    pub authz: &'a Authz,
    /// The enclave that the arguments name, and what stands there.
    pub enclave: Option<(&'a EnclaveName, Place<'a>)>,
    /// The tentacle that the arguments name, if it exists.
    pub tentacle: Option<(&'a TentacleName, Option<&'a Tentacle>)>,
}

/// Decides on a call.
pub fn evaluate(question: &Question<'_>) -> Result<Permit, Denied> {
    let Question { caller, policy, tool, authz, enclave, tentacle } = *question;
    let Policy { authorization, cluster_read } = policy;
    let everything = all_allowing(caller, authorization);
    let granted = |exists, right, rule| {
        Permit::from(Granted {
            tool: tool.to_owned(),
            enclave: enclave.map(|(name, _)| name.clone()),
            tentacle: tentacle.map(|(name, _)| name.clone()),
            exists,
            right,
            rule,
            authz: authorization,
        })
    };
    let for_bearer = authz.needs == Needs::Own || cluster_read == ClusterRead::Bearer;
    if authz.on == On::Cluster && for_bearer && everything.is_none() {
        return Err(Denied::BearerOnly(tool.to_owned()));
    }
    let unplaced = everything.unwrap_or(Rule::Authenticated);
    match enclave {
        None if matches!(authz.on, On::Tentacle | On::Enclave) => Err(Denied::NoPlace(tool.to_owned())),
        None => Ok(granted(false, authz.needs, unplaced)),
        Some((_, place)) if authz.needs == Needs::None && authz.on != On::Cluster => {
            let exists = tentacle.map_or(matches!(place, Place::Enclave(_)), |(_, tentacle)| tentacle.is_some());
            Ok(granted(exists, Needs::None, unplaced))
        }
        Some((_, Place::Protected | Place::NoEnclave)) if authz.on == On::Cluster => {
            Ok(granted(false, Needs::None, unplaced))
        }
        Some((name, place)) => {
            let needs = if authz.on == On::Cluster { Needs::Read } else { authz.needs };
            let asked =
                Asked { caller, authorization, needs, creates: authz.absent == Some(Absent::Create), tentacle };
            let rule = decide(&asked, name, place)?;
            refuse_frozen(authz.frozen, name, place)?;
            let right = if authz.needs == Needs::None { needs } else { authz.needs };
            Ok(granted(tentacle.is_none_or(|(_, tentacle)| tentacle.is_some()), right, rule))
        }
    }
}

/// Whether `caller` has `needs` on an enclave, or on a tentacle in it. For narrowing lists.
pub fn may(
    caller: &Caller,
    authorization: bool,
    needs: Needs,
    enclave: &Enclave,
    tentacle: Option<(&TentacleName, &Tentacle)>,
) -> bool {
    let tentacle = tentacle.map(|(name, tentacle)| (name, Some(tentacle)));
    let asked = Asked { caller, authorization, needs, creates: false, tentacle };
    decide(&asked, &enclave.name, Place::Enclave(enclave)).is_ok()
}

impl Permit {
    /// Decides again, against what stands there now. A sidecar calls this before it writes, with the live objects,
    /// as the kernel's cache may be some milliseconds old.
    /// `frozen` is what the tool declares of frozen enclaves.
    pub fn recheck(
        &self,
        caller: &Caller,
        frozen: Option<Frozen>,
        place: Place<'_>,
        tentacle: Option<&Tentacle>,
    ) -> Result<(), Denied> {
        let Some(name) = self.enclave() else { return Ok(()) };
        let asked = Asked {
            caller,
            authorization: self.authorization(),
            needs: self.right(),
            creates: !self.exists() && self.right() == Needs::Write,
            tentacle: self.tentacle().map(|name| (name, tentacle)),
        };
        decide(&asked, name, place)?;
        refuse_frozen(frozen, name, place)
    }
}

/// Frozen counts for everybody, the bearer token included.
fn refuse_frozen(frozen: Option<Frozen>, name: &EnclaveName, place: Place<'_>) -> Result<(), Denied> {
    match (frozen, place) {
        (Some(Frozen::Refuse), Place::Enclave(enclave)) if enclave.status == Status::Frozen => {
            Err(Denied::Frozen(name.clone()))
        }
        _ => Ok(()),
    }
}

/// What is asked of a place.
struct Asked<'a> {
    caller: &'a Caller,
    authorization: bool,
    needs: Needs,
    creates: bool,
    tentacle: Option<(&'a TentacleName, Option<&'a Tentacle>)>,
}

impl Asked<'_> {
    fn target(&self, enclave: &EnclaveName) -> Target {
        Target { enclave: enclave.clone(), tentacle: self.tentacle.map(|(name, _)| name.clone()) }
    }
}

/// The rule under which a caller passes every check of who may.
const fn all_allowing(caller: &Caller, authorization: bool) -> Option<Rule> {
    match caller {
        Caller::Bearer => Some(Rule::Bearer),
        Caller::Oidc(_) if !authorization => Some(Rule::AuthorizationOff),
        Caller::Oidc(_) => None,
    }
}

fn decide(asked: &Asked<'_>, name: &EnclaveName, place: Place<'_>) -> Result<Rule, Denied> {
    let enclave = match place {
        Place::Protected => return Err(Denied::Protected(name.clone())),
        Place::NoEnclave => return Err(Denied::NoEnclave(name.clone())),
        Place::Enclave(enclave) => enclave,
    };
    if enclave.terminating && matches!(asked.needs, Needs::Write | Needs::Execute) {
        return Err(Denied::Terminating(name.clone()));
    }
    if let Some(rule) = all_allowing(asked.caller, asked.authorization) {
        return Ok(rule);
    }
    let Some(identity) = asked.caller.identity() else {
        return Err(Denied::Hidden(asked.needs, asked.target(name)));
    };
    if enclave.owner.is_none() {
        let target = Target { enclave: name.clone(), tentacle: None };
        return Err(Denied::NoOwner(asked.needs, target));
    }
    if enclave.is_owned_by(identity) {
        return Ok(Rule::EnclaveOwner);
    }
    by_mode(asked, identity, enclave)
}

/// Rules 5 and 6: everybody who is not the enclave's owner. The enclave's layer is looked at first, so that whoever
/// fails there learns nothing of the tentacle.
fn by_mode(asked: &Asked<'_>, identity: &Identity, enclave: &Enclave) -> Result<Rule, Denied> {
    let class = enclave.class_of(identity);
    let target = asked.target(&enclave.name);
    let bit = bit(asked.needs);
    if let Some(bit) = bit
        && !enclave.mode.allows(class, bit)
    {
        let on = Target { enclave: enclave.name.clone(), tentacle: None };
        return Err(Denied::Bit { needs: asked.needs, on, bit, class, mode: enclave.mode });
    }
    let Some((_, tentacle)) = asked.tentacle else {
        return if bit.is_some() { Ok(Rule::Mode) } else { Err(Denied::OwnerOnly(target)) };
    };
    let decided = match tentacle {
        None if asked.creates => Ok(Rule::Mode),
        None => Err(Denied::Absent(asked.needs, target)),
        Some(tentacle) => on_tentacle(asked.needs, identity, class, tentacle, target),
    };
    let sees = enclave.mode.allows(class, Bit::Read);
    decided.map_err(|denied| if sees { denied } else { Denied::Hidden(asked.needs, asked.target(&enclave.name)) })
}

fn on_tentacle(
    needs: Needs,
    identity: &Identity,
    enclave_class: Class,
    tentacle: &Tentacle,
    target: Target,
) -> Result<Rule, Denied> {
    if tentacle.owner.is_none() {
        return Err(Denied::NoOwner(needs, target));
    }
    let class = tentacle.class_of(identity, enclave_class);
    let Some(bit) = bit(needs) else {
        let is_member = enclave_class == Class::Member;
        return if class == Class::Owner && is_member {
            Ok(Rule::TentacleOwner)
        } else {
            Err(Denied::OwnerOnly(target))
        };
    };
    if tentacle.mode.allows(class, bit) {
        Ok(Rule::Mode)
    } else {
        Err(Denied::Bit { needs, on: target, bit, class, mode: tentacle.mode })
    }
}

const fn bit(needs: Needs) -> Option<Bit> {
    match needs {
        Needs::Read => Some(Bit::Read),
        Needs::Write => Some(Bit::Write),
        Needs::Execute => Some(Bit::Execute),
        Needs::Own | Needs::None => None,
    }
}

/// Why an enclave that was left out could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// The bearer token belongs to no enclave.
    #[error("enclave is required: with the bearer token it must be named")]
    Bearer,
    /// The caller has none.
    #[error("enclave is required: you neither own an enclave nor are a member of one")]
    None,
    /// The caller has several.
    #[error("enclave is required: choose one of {0}")]
    Several(String),
}

/// The enclave that a caller who named none means: the only one they own or are a member of.
pub fn left_out<'a>(caller: &Caller, enclaves: impl Iterator<Item = &'a Enclave>) -> Result<EnclaveName, LeftOut> {
    let identity = caller.identity().ok_or(LeftOut::Bearer)?;
    let mut mine: Vec<_> = enclaves
        .filter(|enclave| !enclave.terminating && (enclave.is_owned_by(identity) || enclave.has_member(identity)))
        .map(|enclave| enclave.name.clone())
        .collect();
    match mine.len() {
        0 => Err(LeftOut::None),
        1 => Ok(mine.remove(0)),
        _ => {
            mine.sort();
            Err(LeftOut::Several(mine.iter().map(EnclaveName::as_str).collect::<Vec<_>>().join(", ")))
        }
    }
}

#[cfg(test)]
mod tests;
