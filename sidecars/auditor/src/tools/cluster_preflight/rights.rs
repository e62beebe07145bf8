//! The rights of the server's accounts, one by one, as the API server's authorizers decide on them.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::ClusterRole,
};
use tentacular_cluster::{Cluster, Error};
use tentacular_contract::EnclaveName;

use super::{
    check::Check,
    table::{Account, Place, RULES, Rule},
};

/// Questions at once.
const AT_ONCE: usize = 16;
/// Missing rights that are named; more say the same.
const NAMED: usize = 5;

/// One thing that an account must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    rule: &'static Rule,
    group: &'static str,
    resource: &'static str,
    name: Option<&'static str>,
    verb: &'static str,
}

impl Right {
    fn words(&self) -> String {
        let Self { group, resource, verb, .. } = self;
        let dot = if group.is_empty() { "" } else { "." };
        let name = self.name.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{verb} {resource}{dot}{group}{name}")
    }

    /// Whether a role says so, whoever it is bound to.
    fn is_granted_by(&self, role: &ClusterRole) -> bool {
        let has = |list: Option<&Vec<String>>, wanted: &str| {
            list.is_some_and(|list| list.iter().any(|entry| entry == wanted || entry == "*"))
        };
        role.rules.iter().flatten().any(|rule| {
            has(rule.api_groups.as_ref(), self.group)
                && has(rule.resources.as_ref(), self.resource)
                && has(Some(&rule.verbs), self.verb)
                && rule.resource_names.as_ref().is_none_or(|names| {
                    names.is_empty() || self.name.is_some_and(|name| names.iter().any(|known| known == name))
                })
        })
    }

    fn question(
        &self,
        account: Account,
        server_namespace: &str,
        enclave: Option<&EnclaveName>,
    ) -> SubjectAccessReview {
        let namespace = match self.rule.place {
            Place::Enclave => enclave.map(ToString::to_string),
            Place::Server => Some(server_namespace.to_owned()),
            Place::Cluster => None,
        };
        let (resource, subresource) =
            self.resource.split_once('/').map_or((self.resource, None), |(one, other)| (one, Some(other.to_owned())));
        let attributes = ResourceAttributes {
            namespace,
            group: Some(self.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            name: self.name.map(str::to_owned),
            verb: Some(self.verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{server_namespace}"),
            "system:authenticated".to_owned(),
        ];
        let spec = SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{server_namespace}:{}", account.name())),
            groups: Some(groups.into()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        SubjectAccessReview { spec, ..SubjectAccessReview::default() }
    }
}

/// All rights of an account, those inside of an enclave only where there is one.
pub(super) fn rights_of(account: Account, in_enclave: bool) -> Vec<Right> {
    let rules = RULES.iter().filter(|rule| rule.account == account && (in_enclave || rule.place != Place::Enclave));
    let mut rights = Vec::new();
    for rule in rules {
        for &resource in rule.resources {
            for &verb in rule.verbs {
                let right = |name| Right { rule, group: rule.group, resource, name, verb };
                match rule.names {
                    [] => rights.push(right(None)),
                    names => rights.extend(names.iter().map(|&name| right(Some(name)))),
                }
            }
        }
    }
    rights
}

/// Whether `account` has all that it uses.
pub(super) async fn check(
    cluster: &Cluster,
    server_namespace: &str,
    account: Account,
    enclave: Option<&EnclaveName>,
) -> Check {
    let name = format!("rbac-{}", account.part());
    let rights = rights_of(account, enclave.is_some());
    let asked = rights.len();
    let reviews = cluster.all::<SubjectAccessReview>();
    let answers = stream::iter(rights).map(|right| {
        let (question, reviews) = (right.question(account, server_namespace, enclave), &reviews);
        async move {
            let answer = reviews.create(&question).await?;
            Ok::<_, Error>((right, answer.status.is_some_and(|status| status.allowed)))
        }
    });
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    match answers.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(answers) => {
            let missing: Vec<_> = answers.into_iter().filter_map(|(right, has)| (!has).then_some(right)).collect();
            match missing.first() {
                None => Check::passed(&name, format!("{} has all {asked} rights that it uses", account.name())),
                Some(first) => {
                    let role = cluster.all::<ClusterRole>().get(first.rule.role).await.ok().flatten();
                    let remedy = remedy(first, role.as_ref(), server_namespace, enclave);
                    Check::failed(&name, lacks(account, &missing, enclave), remedy)
                }
            }
        }
        Err(error) => Check::failed(
            &name,
            format!("the rights of {} cannot be asked for: {error}", account.name()),
            upgrade(server_namespace),
        ),
    }
}

fn lacks(account: Account, missing: &[Right], enclave: Option<&EnclaveName>) -> String {
    let named: Vec<_> = missing.iter().take(NAMED).map(Right::words).collect();
    let more = match missing.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let place = match (missing.first().map(|right| right.rule.place), enclave) {
        (Some(Place::Enclave), Some(enclave)) => format!(" in {enclave}"),
        _ => String::new(),
    };
    format!("{} may not {}{more}{place}", account.name(), named.join(", "))
}

/// Where the role says it, the binding in the enclave is missing; else the role is not the chart's.
fn remedy(
    missing: &Right,
    role: Option<&ClusterRole>,
    server_namespace: &str,
    enclave: Option<&EnclaveName>,
) -> String {
    let Rule { role: name, account, place, .. } = missing.rule;
    match enclave {
        Some(enclave) if *place == Place::Enclave && role.is_some_and(|role| missing.is_granted_by(role)) => {
            format!(
                "kubectl -n {enclave} delete rolebinding {name} --ignore-not-found && kubectl -n {enclave} create \
                 rolebinding {name} --clusterrole={name} --serviceaccount={server_namespace}:{}",
                account.name()
            )
        }
        _ => upgrade(server_namespace),
    }
}

/// Puts the chart's objects back.
pub(super) fn upgrade(server_namespace: &str) -> String {
    format!("helm -n {server_namespace} upgrade tentacular-mcp charts/tentacular-mcp --reuse-values")
}
