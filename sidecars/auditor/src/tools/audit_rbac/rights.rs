//! Which rights are too many, rule by rule.

use std::fmt::Write as _;

use k8s_openapi::api::rbac::v1::PolicyRule;
use tentacular_contract::text::line;

use super::LONGEST;
use crate::audit::Severity;

/// Verbs that lead to rights which the one who has them was not given.
const ESCALATING: [&str; 3] = ["bind", "escalate", "impersonate"];
/// Resources, all of the core group, that hold credentials, lead into pods or, as the proxies do, reach what a tentacle
/// serves: through the API server everybody who has them calls every tentacle, without being asked for execute there.
const SENSITIVE: [&str; 9] = [
    "secrets",
    "serviceaccounts/token",
    "pods/exec",
    "pods/attach",
    "pods/ephemeralcontainers",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
    "nodes/proxy",
];
/// The one with which an account makes itself credentials of another.
const TOKEN: &str = "serviceaccounts/token";

/// A list of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    ApiGroups,
    Resources,
    Verbs,
    Urls,
}

impl List {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ApiGroups => "apiGroups",
            Self::Resources => "resources",
            Self::Verbs => "verbs",
            Self::Urls => "nonResourceURLs",
        }
    }

    /// The list in `rule`.
    pub(super) fn of(self, rule: &PolicyRule) -> &[String] {
        match self {
            Self::ApiGroups => rule.api_groups.as_deref(),
            Self::Resources => rule.resources.as_deref(),
            Self::Verbs => Some(rule.verbs.as_slice()),
            Self::Urls => rule.non_resource_urls.as_deref(),
        }
        .unwrap_or_default()
    }
}

/// One thing that a rule gives and that is too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) severity: Severity,
    /// Where it stands in the rule.
    pub(super) list: List,
    pub(super) index: usize,
    pub(super) reason: String,
}

/// What a rule gives that is too much. Paths outside the resources count only in the whole cluster.
pub(super) fn excesses(rule: &PolicyRule, in_cluster: bool) -> Vec<Excess> {
    let mut found = Vec::new();
    let mut each = |list: List, judge: &dyn Fn(&str) -> Option<(Severity, String)>| {
        let judged = List::of(list, rule).iter().enumerate();
        found.extend(judged.filter_map(|(index, text)| {
            let (severity, reason) = judge(text)?;
            Some(Excess { severity, list, index, reason })
        }));
    };
    each(List::Verbs, &|verb| match verb {
        "*" => Some((Severity::High, "wildcard verb".to_owned())),
        verb if ESCALATING.contains(&verb) => {
            Some((Severity::High, format!("\"{verb}\" verb enables privilege escalation")))
        }
        _ => None,
    });
    each(List::Resources, &|resource| resource_excess(rule, resource));
    each(List::ApiGroups, &|group| {
        (group == "*")
            .then(|| (Severity::Medium, "wildcard API group, those of later extensions included".to_owned()))
    });
    each(List::Urls, &|url| {
        let all = matches!(url, "*" | "/*");
        (in_cluster && all).then(|| (Severity::Medium, "wildcard path of the API server".to_owned()))
    });
    found
}

fn resource_excess(rule: &PolicyRule, resource: &str) -> Option<(Severity, String)> {
    if matches!(resource, "*" | "*/*") {
        return Some((Severity::High, "wildcard resource".to_owned()));
    }
    let is_core = List::ApiGroups.of(rule).iter().any(|group| matches!(group.as_str(), "" | "*"));
    let sensitive = SENSITIVE.into_iter().find(|sensitive| match resource.strip_prefix("*/") {
        Some(sub) => sensitive.split_once('/').is_some_and(|(_, of_it)| of_it == sub),
        None => *sensitive == resource,
    });
    let sensitive = sensitive.filter(|_| is_core)?;
    let creates = rule.verbs.iter().any(|verb| matches!(verb.as_str(), "create" | "*"));
    let limited = rule.resource_names.as_ref().is_some_and(|names| !names.is_empty());
    if sensitive == TOKEN && creates {
        return Some((Severity::High, format!("\"{resource}\" lets it make tokens of other accounts")));
    }
    let severity = if limited { Severity::Low } else { Severity::Medium };
    Some((severity, format!("access to sensitive resource \"{resource}\"")))
}

/// A rule in words.
pub(super) fn shown(rule: &PolicyRule) -> String {
    let mut text = String::new();
    for list in [List::ApiGroups, List::Resources, List::Urls, List::Verbs] {
        let items: Vec<_> = list.of(rule).iter().map(|item| if item.is_empty() { "core" } else { item }).collect();
        if !items.is_empty() {
            let space = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{space}{}=[{}]", list.as_str(), items.join(" "));
        }
    }
    line(&text, LONGEST)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(rule: &Value, in_cluster: bool) -> Vec<String> {
        let rule: PolicyRule = serde_json::from_value(rule.clone()).expect("a rule");
        let found = excesses(&rule, in_cluster).into_iter();
        found.map(|excess| format!("{:?} {}[{}]", excess.severity, excess.list.as_str(), excess.index)).collect()
    }

    #[test]
    fn each_right_is_too_much_or_not() {
        let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({ "apiGroups": groups, "resources": resources, "verbs": verbs });
        for (given, expected) in [
            (rule(&[""], &["pods", "configmaps"], &["get", "list", "watch"]), &[][..]),
            (rule(&["apps"], &["deployments"], &["get", "*"]), &["High verbs[1]"]),
            (rule(&["rbac.authorization.k8s.io"], &["clusterroles"], &["bind"]), &["High verbs[0]"]),
            (rule(&["rbac.authorization.k8s.io"], &["roles"], &["escalate"]), &["High verbs[0]"]),
            (rule(&[""], &["users"], &["impersonate"]), &["High verbs[0]"]),
            (rule(&["apps"], &["*"], &["get"]), &["High resources[0]"]),
            (rule(&["apps", "*"], &["deployments"], &["get"]), &["Medium apiGroups[1]"]),
            (rule(&[""], &["pods", "secrets"], &["get"]), &["Medium resources[1]"]),
            (rule(&["example.org"], &["secrets"], &["get"]), &[]),
            (rule(&["*"], &["secrets"], &["get"]), &["Medium resources[0]", "Medium apiGroups[0]"]),
            (
                rule(&[""], &["pods/exec", "pods/attach"], &["create"]),
                &["Medium resources[0]", "Medium resources[1]"],
            ),
            (rule(&[""], &["*/exec"], &["create"]), &["Medium resources[0]"]),
            (rule(&[""], &["*/scale", "pods/log"], &["get"]), &[]),
            (
                rule(&[""], &["pods/portforward", "pods/ephemeralcontainers"], &["get"]),
                &["Medium resources[0]", "Medium resources[1]"],
            ),
            (rule(&[""], &["nodes/proxy"], &["get"]), &["Medium resources[0]"]),
            (
                rule(&[""], &["pods/proxy", "services", "services/proxy"], &["create"]),
                &["Medium resources[0]", "Medium resources[2]"],
            ),
            (rule(&[""], &["*/proxy"], &["get"]), &["Medium resources[0]"]),
            (rule(&["example.org"], &["services/proxy"], &["create"]), &[]),
            (rule(&[""], &["serviceaccounts/token"], &["create"]), &["High resources[0]"]),
            (rule(&[""], &["serviceaccounts/token"], &["get"]), &["Medium resources[0]"]),
            (rule(&[""], &["serviceaccounts"], &["create"]), &[]),
        ] {
            assert_eq!(found(&given, false), expected, "{given}");
        }
        for resource in ["secrets", "services/proxy"] {
            let named =
                json!({ "apiGroups": [""], "resources": [resource], "resourceNames": ["one"], "verbs": ["get"] });
            assert_eq!(found(&named, false), ["Low resources[0]"], "{resource}");
        }
    }

    #[test]
    fn paths_count_in_the_whole_cluster() {
        for (urls, in_cluster, number) in
            [(["*"], true, 1), (["/*"], true, 1), (["/metrics"], true, 0), (["/apis/*"], true, 0), (["*"], false, 0)]
        {
            let rule = json!({ "nonResourceURLs": urls, "verbs": ["get"] });
            assert_eq!(found(&rule, in_cluster).len(), number, "{urls:?}");
        }
    }

    #[test]
    fn a_rule_is_shown_with_the_core_group_named() {
        let rule = json!({ "apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"] });
        let rule: PolicyRule = serde_json::from_value(rule).expect("a rule");
        assert_eq!(shown(&rule), "apiGroups=[core apps] resources=[pods] verbs=[get list]");
    }
}
