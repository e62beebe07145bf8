//! The rights that the server's accounts use: what `rbac.yaml` of the chart gives them, which a test compares.

use tentacular_contract::platform::ENCLAVE_BINDINGS;

/// An account of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    Registrar,
    Scheduler,
    /// The kernel's and the auditor's.
    Reader,
    Webhook,
}

impl Account {
    pub(super) const ALL: [Self; 4] = [Self::Registrar, Self::Scheduler, Self::Reader, Self::Webhook];

    /// The service account's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Registrar => "tentacular-registrar",
            Self::Scheduler => "tentacular-scheduler",
            Self::Reader => "tentacular-mcp",
            Self::Webhook => "tentacular-webhook",
        }
    }

    /// What it is for, as a check's name spells it.
    pub(super) const fn part(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Scheduler => "scheduler",
            Self::Reader => "reader",
            Self::Webhook => "webhook",
        }
    }
}

/// Where a right counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In each enclave, by a binding there.
    Enclave,
    /// In the server's namespace.
    Server,
    /// In the whole cluster.
    Cluster,
}

/// A rule of a role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) account: Account,
    pub(super) place: Place,
    /// The role's name.
    pub(super) role: &'static str,
    pub(super) group: &'static str,
    pub(super) resources: &'static [&'static str],
    /// Only objects of these names; of all names where empty.
    pub(super) names: &'static [&'static str],
    pub(super) verbs: &'static [&'static str],
}

const FOLLOW: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["get", "list", "create", "patch", "delete"];
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const LEASES: &str = "coordination.k8s.io";

/// The roles that are bound in each enclave, by bindings of their names.
const BOUND: Strings = &[ENCLAVE_BINDINGS[0].0, ENCLAVE_BINDINGS[1].0, ENCLAVE_BINDINGS[2].0];

type Strings = &'static [&'static str];

const fn registrar(group: &'static str, resources: Strings, verbs: Strings) -> Rule {
    let (account, place, role) = (Account::Registrar, Place::Enclave, "tentacular-enclave-registrar");
    Rule { account, place, role, group, resources, names: &[], verbs }
}

const fn scheduler(group: &'static str, resources: Strings, verbs: Strings) -> Rule {
    let (account, place, role) = (Account::Scheduler, Place::Enclave, "tentacular-enclave-scheduler");
    Rule { account, place, role, group, resources, names: &[], verbs }
}

const fn reader(group: &'static str, resources: Strings, verbs: Strings) -> Rule {
    let (account, place, role) = (Account::Reader, Place::Enclave, "tentacular-enclave-reader");
    Rule { account, place, role, group, resources, names: &[], verbs }
}

const fn wide(account: Account, group: &'static str, resources: Strings, names: Strings, verbs: Strings) -> Rule {
    Rule { account, place: Place::Cluster, role: account.name(), group, resources, names, verbs }
}

const fn at_home(account: Account, group: &'static str, resources: Strings, names: Strings, verbs: Strings) -> Rule {
    Rule { account, place: Place::Server, role: account.name(), group, resources, names, verbs }
}

/// All of them.
pub(super) const RULES: &[Rule] = &[
    registrar("", &["services", "configmaps", "secrets", "persistentvolumeclaims"], WRITE),
    registrar("apps", &["deployments"], WRITE),
    registrar("batch", &["jobs", "cronjobs"], WRITE),
    registrar("networking.k8s.io", &["networkpolicies", "ingresses"], WRITE),
    registrar("", &["secrets"], &["watch"]),
    registrar("", &["resourcequotas", "limitranges", "serviceaccounts"], &["get", "create", "patch"]),
    registrar(LEASES, &["leases"], &["get", "create", "patch", "delete"]),
    registrar("", &["pods"], &["list"]),
    Rule { names: BOUND, ..registrar(RBAC, &["rolebindings"], &["get"]) },
    scheduler("apps", &["deployments"], FOLLOW),
    scheduler("", &["configmaps"], &["get", "list", "create", "patch"]),
    scheduler("", &["events"], &["create"]),
    reader("apps", &["deployments"], FOLLOW),
    reader("", &["pods", "configmaps"], &["get", "list"]),
    reader("", &["pods/log"], &["get"]),
    reader("", &["events", "services", "persistentvolumeclaims", "resourcequotas", "limitranges"], &["list"]),
    reader("apps", &["replicasets"], &["list"]),
    reader("batch", &["jobs", "cronjobs"], &["list"]),
    reader("networking.k8s.io", &["networkpolicies", "ingresses"], &["list"]),
    reader(RBAC, &["roles", "rolebindings"], &["list"]),
    wide(Account::Reader, "", &["namespaces"], &[], FOLLOW),
    wide(Account::Reader, "", &["nodes"], &[], &["list"]),
    wide(Account::Reader, "storage.k8s.io", &["storageclasses", "csidrivers"], &[], &["list"]),
    wide(Account::Reader, "node.k8s.io", &["runtimeclasses"], &[], &["list"]),
    wide(Account::Reader, "apiextensions.k8s.io", &["customresourcedefinitions"], &[], &["list"]),
    wide(Account::Reader, RBAC, &["clusterrolebindings"], &[], &["list"]),
    wide(Account::Reader, RBAC, &["clusterroles"], &[], &["get"]),
    wide(Account::Reader, ADMISSION, &["validatingwebhookconfigurations"], &["tentacular-webhook"], &["get"]),
    wide(Account::Reader, "authorization.k8s.io", &["subjectaccessreviews"], &[], &["create"]),
    at_home(Account::Reader, "", &["configmaps"], &["tentacular-backing-services"], &["get"]),
    at_home(Account::Reader, LEASES, &["leases"], &["tentacular-scheduler"], &["get"]),
    wide(Account::Registrar, "", &["namespaces"], &[], &["get", "list", "watch", "create", "patch", "delete"]),
    wide(Account::Registrar, RBAC, &["rolebindings"], &[], &["create"]),
    wide(Account::Registrar, RBAC, &["clusterroles"], BOUND, &["bind"]),
    at_home(Account::Registrar, "", &["configmaps"], &["tentacular-backing-services"], &["get", "create", "patch"]),
    wide(Account::Scheduler, "", &["namespaces"], &[], FOLLOW),
    at_home(Account::Scheduler, LEASES, &["leases"], &[], &["create"]),
    at_home(Account::Scheduler, LEASES, &["leases"], &["tentacular-scheduler"], &["get", "patch"]),
    wide(Account::Webhook, "", &["namespaces"], &[], &["list", "watch"]),
    wide(
        Account::Webhook,
        ADMISSION,
        &["validatingwebhookconfigurations"],
        &["tentacular-webhook"],
        &["get", "update"],
    ),
    wide(Account::Webhook, "authorization.k8s.io", &["subjectaccessreviews"], &[], &["create"]),
    at_home(Account::Webhook, "", &["secrets"], &["tentacular-webhook-tls"], &["get", "update"]),
    at_home(Account::Webhook, LEASES, &["leases"], &[], &["create"]),
    at_home(Account::Webhook, LEASES, &["leases"], &["tentacular-webhook"], &["get", "patch"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::rbac::v1::PolicyRule;
    use serde_json::Value;

    use super::*;

    /// One line for each group, resource, name and verb.
    fn lines(kind: &str, name_of_role: &str, rule: &PolicyRule) -> Vec<String> {
        let all = vec![String::new()];
        let names = rule.resource_names.as_ref().unwrap_or(&all);
        let mut lines = Vec::new();
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for (name, verb) in names.iter().flat_map(|name| rule.verbs.iter().map(move |verb| (name, verb))) {
                    lines.push(format!("{kind} {name_of_role}: {verb} {group}/{resource}/{name}"));
                }
            }
        }
        lines
    }

    #[test]
    fn the_rights_are_those_of_the_chart() {
        let chart = include_str!("../../../../../charts/tentacular-mcp/templates/rbac.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(chart).expect("YAML");
        let given_roles = objects
            .into_iter()
            .filter(|object| ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap_or_default()));
        let mut given = BTreeSet::new();
        for object in given_roles {
            let kind = object["kind"].as_str().expect("a kind").to_owned();
            let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
            let rules: Vec<PolicyRule> = serde_json::from_value(object["rules"].clone()).expect("rules");
            given.extend(rules.iter().flat_map(|rule| lines(&kind, &name, rule)));
        }
        let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let used: BTreeSet<_> = RULES
            .iter()
            .flat_map(|rule| {
                let kind = if rule.place == Place::Server { "Role" } else { "ClusterRole" };
                let policy = PolicyRule {
                    api_groups: Some(vec![rule.group.to_owned()]),
                    resources: Some(strings(rule.resources)),
                    resource_names: (!rule.names.is_empty()).then(|| strings(rule.names)),
                    verbs: strings(rule.verbs),
                    ..PolicyRule::default()
                };
                lines(kind, rule.role, &policy)
            })
            .collect();
        assert_eq!(used.difference(&given).collect::<Vec<_>>(), Vec::<&String>::new(), "not given by the chart");
        assert_eq!(given.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the table");
    }
}
