//! A tentacle reaches only its own: what one object shows of that, by the rules that the registrar applies by.
//!
//! What is of no release is held to them as far as it concerns others: as which account it runs, what leads out of the
//! enclave, and whose credentials it asks for. Which pods it selects is a matter of protection.

use serde_json::Value;
use tentacular_contract::{
    EnclaveName, TentacleName,
    reach::{Object, Rule, Scope, Violation},
};

use super::{
    Finding, Kind, Operation, Request, Verdict,
    contents::{Contents, Read},
    object::{release, shown},
    template::{self, Template},
};

/// In place of a release where there is none. No tentacle has this name, as the server's own begin so.
const NOBODY: &str = "tentacular-nobody";

/// What the rules hold against the object. Its names are a matter of protection: administrators restore what has one of the
/// server's.
pub(super) fn verdict(request: &Request<'_>, contents: &Contents<'_>, ingress_domain: Option<&str>) -> Verdict {
    let whole = matches!(request.subresource, None | Some("ephemeralcontainers"));
    if request.operation == Operation::Delete || !whole {
        return Verdict::default();
    }
    let new = findings(request, request.object, contents.object(), ingress_domain);
    if new.is_empty() {
        return Verdict::default();
    }
    let old = findings(request, request.old, contents.old(), ingress_domain);
    // Operators have reasons for owners and finalizers, which an object of a release is better without. One that is there
    // is no news.
    let is_lifetime = |finding: &Finding| finding.rule == Rule::Lifetime.as_str();
    let (lifetime, new): (Vec<_>, Vec<_>) = new.into_iter().partition(is_lifetime);
    let mut verdict = Verdict::of_change(new, &old);
    if [Kind::POD, Kind::CLAIM].contains(&request.kind) {
        // What it is already cannot be changed, and on a node or with a volume it is by a controller.
        verdict.warnings.clear();
    }
    verdict.warnings.extend(lifetime.into_iter().filter(|finding| !old.contains(finding)));
    verdict
}

fn findings(
    request: &Request<'_>,
    object: Option<&Value>,
    read: Option<&Read>,
    ingress_domain: Option<&str>,
) -> Vec<Finding> {
    let (Some(object), Some(read)) = (object, read) else { return Vec::new() };
    let read = match read {
        Ok(read) => read,
        Err(violation) => return vec![finding(violation)],
    };
    let tentacle = match release(Some(object)).map(str::parse::<TentacleName>).transpose() {
        Ok(tentacle) => tentacle,
        Err(error) => {
            let release = release(Some(object)).unwrap_or_default();
            let problem = format!("{} is no tentacle: {error}", shown(release));
            return vec![Finding::new("release", "metadata.labels[tentacular.io/release]", problem)];
        }
    };
    let violations = alone(read, request.namespace.name, tentacle.as_ref(), ingress_domain);
    let held = violations.iter().filter(|violation| is_held(violation, request.kind, tentacle.is_some()));
    let mut found: Vec<_> = held.map(finding).collect();
    let claims = template::claims(request.kind, object);
    found.extend(claims.iter().flat_map(|claim| of_claim(claim, request, tentacle.as_ref())));
    let made = claims.into_iter().chain(template::others(request.kind, object));
    found.extend(made.filter_map(|made| made.release(release(Some(object)))));
    found
}

fn of_claim(template: &Template<'_>, request: &Request<'_>, tentacle: Option<&TentacleName>) -> Vec<Finding> {
    let violations = match template.claim() {
        Ok(claim) => alone(&claim, request.namespace.name, tentacle, None),
        Err(violation) => vec![*violation],
    };
    let held = violations.into_iter().filter(|violation| is_held(violation, Kind::CLAIM, tentacle.is_some()));
    held.map(|violation| finding(&template.within(violation))).collect()
}

/// All that an object shows which is of that tentacle or of none.
fn alone(
    object: &Object,
    enclave: &str,
    tentacle: Option<&TentacleName>,
    ingress_domain: Option<&str>,
) -> Vec<Violation> {
    let nobody: Option<TentacleName> = NOBODY.parse().ok();
    let (Ok(enclave), Some(tentacle)) = (enclave.parse::<EnclaveName>(), tentacle.or(nobody.as_ref())) else {
        return Vec::new();
    };
    Scope { enclave: &enclave, tentacle, ingress_domain }.alone(object)
}

/// Whether a rule holds for everybody.
fn is_held(violation: &Violation, kind: Kind, of_release: bool) -> bool {
    match violation.rule {
        Rule::Name => false,
        // Pods belong to what made them, and Kubernetes keeps those of Jobs by a finalizer.
        Rule::Lifetime => of_release && kind != Kind::POD,
        Rule::Selector => of_release,
        _ => true,
    }
}

fn finding(violation: &Violation) -> Finding {
    Finding { rule: violation.rule.as_str(), field: violation.field.clone(), text: violation.to_string() }
}

#[cfg(test)]
mod tests;
