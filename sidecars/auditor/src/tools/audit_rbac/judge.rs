//! Rights in an enclave, by who gives them: its Roles, its bindings of `ClusterRole`s, and bindings of the whole cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::{platform::ENCLAVE_BINDINGS, text::line};

use super::{
    LONGEST,
    rights::{Excess, List, excesses, shown},
    subjects::{self, Reach, all_shown, is_everybody, namespace_of},
};
use crate::audit::{Remedy, Severity, Target, remove, replace, test};

const API: &str = "rbac.authorization.k8s.io/v1";

/// A right that is too much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RightFinding {
    /// `high`, `medium` or `low`.
    severity: Severity,
    /// The Role or binding, as Kind/name.
    role: String,
    /// The same as `role`.
    object: String,
    /// Path of the field in it.
    field: String,
    /// The rule, in words.
    rule: String,
    /// Why it is too much.
    reason: String,
    /// What to do, in words.
    remediation: String,
    /// What to do, as a patch that an administrator can apply as it is.
    remedy: Remedy,
}

impl RightFinding {
    /// Where it stands in a list: the worst first, then by object and field.
    pub(super) fn place(&self) -> String {
        let Self { severity, role, field, rule, reason, .. } = self;
        format!("{} {role} {field} {reason} {rule}", *severity as u8)
    }
}

/// Who gives what in an enclave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) enclave: &'a str,
    pub(super) server_namespace: &'a str,
    pub(super) roles: &'a [Role],
    pub(super) bindings: &'a [RoleBinding],
    pub(super) cluster_roles: &'a BTreeMap<String, ClusterRole>,
    /// Those that reach an account of the enclave.
    pub(super) cluster_bindings: &'a [ClusterRoleBinding],
}

impl Given<'_> {
    /// Everything that is too much.
    pub(super) fn findings(&self) -> Vec<RightFinding> {
        let roles = self.roles.iter().flat_map(|role| self.role(role));
        let bindings = self.bindings.iter().flat_map(|binding| self.binding(binding));
        let cluster = self.cluster_bindings.iter().flat_map(|binding| self.cluster_binding(binding));
        let mut found: Vec<_> = roles.chain(bindings).chain(cluster).collect();
        // Rules of one ClusterRole may say the same twice.
        found.sort_by_cached_key(RightFinding::place);
        found.dedup();
        found
    }

    /// What a Role gives, whether or not anybody has it at present.
    fn role(&self, role: &Role) -> Vec<RightFinding> {
        let name = role.metadata.name.as_deref().unwrap_or_default();
        let target = Target::in_namespace(API, "Role", self.enclave, name);
        let bound =
            self.bindings.iter().filter(|binding| binding.role_ref.kind == "Role" && binding.role_ref.name == name);
        let holders = all_shown(bound.flat_map(|binding| binding.subjects.iter().flatten()));
        let holders = if holders.is_empty() { "nobody at present".to_owned() } else { holders };
        let mut found = Vec::new();
        for (at, rule) in role.rules.iter().flatten().enumerate() {
            for excess in excesses(rule, false) {
                let Excess { severity, list, index, reason } = excess;
                let text = line(&List::of(list, rule)[index], LONGEST);
                found.push(RightFinding {
                    severity,
                    role: target.title(),
                    object: target.title(),
                    field: format!("rules[{at}].{}[{index}]", list.as_str()),
                    rule: shown(rule),
                    reason: format!("{reason}; the Role is bound to {holders}"),
                    remediation: format!("take \"{text}\" out and name only what is needed"),
                    remedy: without(&target, at, rule, list, index),
                });
            }
        }
        found
    }

    /// What a binding in the enclave gives, and to whom.
    fn binding(&self, binding: &RoleBinding) -> Vec<RightFinding> {
        let name = binding.metadata.name.as_deref().unwrap_or_default();
        let bound = Bound {
            target: Target::in_namespace(API, "RoleBinding", self.enclave, name),
            role: role_of(&binding.role_ref),
            subjects: binding.subjects.as_deref().unwrap_or_default(),
        };
        let role = binding.role_ref.name.as_str();
        let is_foreign = |subject: &Subject| !self.is_ours(role, subject);
        let foreign: Vec<_> = bound.indices(is_foreign);
        if foreign.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<_> = foreign.iter().filter_map(|index| self.subject(&bound, *index)).collect();
        if binding.role_ref.kind == "Role" {
            let is_there = self.roles.iter().any(|there| there.metadata.name.as_deref() == Some(role));
            found.extend((!is_there).then(|| bound.dangling(&foreign)));
            return found;
        }
        let Some(cluster_role) = self.cluster_roles.get(role) else {
            found.push(bound.dangling(&foreign));
            return found;
        };
        let rules = cluster_role.rules.as_deref().unwrap_or_default();
        let through = bound.through(rules, false, &foreign);
        if through.is_empty() && found.is_empty() {
            let reason = "whoever changes the ClusterRole changes what may be done here".to_owned();
            found.push(bound.finding(Severity::Low, "roleRef", &bound.binds(), reason, &foreign));
        }
        found.extend(through);
        found
    }

    /// What a binding of the whole cluster gives to accounts of the enclave.
    fn cluster_binding(&self, binding: &ClusterRoleBinding) -> Vec<RightFinding> {
        let name = binding.metadata.name.as_deref().unwrap_or_default();
        let bound = Bound {
            target: Target::of_cluster(API, "ClusterRoleBinding", name),
            role: role_of(&binding.role_ref),
            subjects: binding.subjects.as_deref().unwrap_or_default(),
        };
        let own = bound.indices(|subject| subjects::reach(subject, self.enclave) == Some(Reach::Own));
        let everybody = bound.indices(is_everybody);
        let role = self.cluster_roles.get(&binding.role_ref.name);
        let rules = role.and_then(|role| role.rules.as_deref()).unwrap_or_default();
        let mut found = Vec::new();
        for (reaching, own) in [(own, true), (everybody, false)] {
            if reaching.is_empty() {
                continue;
            }
            let mut through = bound.through(rules, true, &reaching);
            for finding in &mut through {
                // Here a right is one in every namespace.
                finding.severity = finding.severity.min(Severity::Medium);
            }
            if through.is_empty() && own {
                let reason = "an account of the enclave has rights in the whole cluster".to_owned();
                let binds = format!("{} to {}", bound.binds(), bound.shown(&reaching));
                through.push(bound.finding(Severity::Medium, "roleRef", &binds, reason, &reaching));
            }
            found.extend(through);
        }
        found
    }

    /// Whether that is the server's own account with the role that it has in every enclave.
    fn is_ours(&self, role: &str, subject: &Subject) -> bool {
        subject.kind == "ServiceAccount"
            && subject.namespace.as_deref() == Some(self.server_namespace)
            && ENCLAVE_BINDINGS.contains(&(role, subject.name.as_str()))
    }

    /// What speaks against one that is bound in the enclave, whatever the rights.
    fn subject(&self, bound: &Bound<'_>, index: usize) -> Option<RightFinding> {
        let subject = &bound.subjects[index];
        let (severity, reason) = if is_everybody(subject) {
            (Severity::High, "it stands for everybody, other enclaves' accounts included")
        } else if namespace_of(subject).is_some_and(|namespace| namespace != self.enclave) {
            (Severity::Medium, "it is of another namespace, and whoever runs pods there has these rights here")
        } else {
            return None;
        };
        let rule = format!("{} to {}", bound.binds(), subjects::shown(subject));
        Some(bound.finding(severity, &format!("subjects[{index}]"), &rule, reason.to_owned(), &[index]))
    }
}

/// A binding.
struct Bound<'a> {
    target: Target,
    role: String,
    subjects: &'a [Subject],
}

impl Bound<'_> {
    fn indices(&self, which: impl Fn(&Subject) -> bool) -> Vec<usize> {
        (0..self.subjects.len()).filter(|index| which(&self.subjects[*index])).collect()
    }

    fn shown(&self, whom: &[usize]) -> String {
        all_shown(whom.iter().map(|index| &self.subjects[*index]))
    }

    fn binds(&self) -> String {
        format!("binds {}", self.role)
    }

    /// What they are given that is too much.
    fn through(&self, rules: &[PolicyRule], in_cluster: bool, whom: &[usize]) -> Vec<RightFinding> {
        let mut found = Vec::new();
        for rule in rules {
            for Excess { severity, reason, .. } in excesses(rule, in_cluster) {
                let rule = format!("{}: {}", self.binds(), shown(rule));
                let reason = format!("{reason}, for {}", self.shown(whom));
                found.push(self.finding(severity, "roleRef", &rule, reason, whom));
            }
        }
        found
    }

    fn dangling(&self, whom: &[usize]) -> RightFinding {
        let reason =
            format!("there is no {}; whoever makes one decides what {} may do here", self.role, self.shown(whom));
        self.finding(Severity::Low, "roleRef", &self.binds(), reason, whom)
    }

    /// A finding that goes when none of `whom` is bound any more.
    fn finding(&self, severity: Severity, field: &str, rule: &str, reason: String, whom: &[usize]) -> RightFinding {
        let left: Vec<_> = (0..self.subjects.len())
            .filter(|index| !whom.contains(index))
            .map(|index| &self.subjects[index])
            .collect();
        let change = if left.is_empty() { remove("/subjects") } else { replace("/subjects", &left) };
        let patch = vec![test("/subjects", &self.subjects), change];
        RightFinding {
            severity,
            role: self.target.title(),
            object: self.target.title(),
            field: field.to_owned(),
            rule: rule.to_owned(),
            reason,
            remediation: format!("bind {} to a Role with only what is needed, or to none", self.shown(whom)),
            remedy: Remedy::json(self.target.clone(), patch),
        }
    }
}

fn role_of(role: &RoleRef) -> String {
    line(&format!("{}/{}", role.kind, role.name), LONGEST)
}

/// Takes an item out of a list of a rule; with the last one, the rule goes.
fn without(target: &Target, at: usize, rule: &PolicyRule, list: List, index: usize) -> Remedy {
    let path = format!("/rules/{at}");
    let left = List::of(list, rule).len() - 1;
    let change = if left == 0 { remove(&path) } else { remove(&format!("{path}/{}/{index}", list.as_str())) };
    Remedy::json(target.clone(), vec![test(&path, rule), change])
}

#[cfg(test)]
mod tests;
