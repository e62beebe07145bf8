use serde_json::{Value, from_value, json};

use super::*;

/// A small cluster around enclave `team-a`.
#[derive(Default)]
struct World {
    roles: Vec<Role>,
    bindings: Vec<RoleBinding>,
    cluster_roles: BTreeMap<String, ClusterRole>,
    cluster_bindings: Vec<ClusterRoleBinding>,
}

impl World {
    fn role(mut self, name: &str, rules: &Value) -> Self {
        let role = json!({ "metadata": { "name": name }, "rules": rules });
        self.roles.push(from_value(role).expect("a role"));
        self
    }

    fn cluster_role(mut self, name: &str, rules: &Value) -> Self {
        let role = from_value(json!({ "metadata": { "name": name }, "rules": rules })).expect("a role");
        self.cluster_roles.insert(name.to_owned(), role);
        self
    }

    fn binding(mut self, kind: &str, role: &str, subjects: &Value) -> Self {
        self.bindings.push(from_value(binding(kind, role, subjects)).expect("a binding"));
        self
    }

    fn cluster_binding(mut self, role: &str, subjects: &Value) -> Self {
        self.cluster_bindings.push(from_value(binding("ClusterRole", role, subjects)).expect("a binding"));
        self
    }

    fn findings(&self) -> Vec<RightFinding> {
        let given = Given {
            enclave: "team-a",
            server_namespace: "tentacular-system",
            roles: &self.roles,
            bindings: &self.bindings,
            cluster_roles: &self.cluster_roles,
            cluster_bindings: &self.cluster_bindings,
        };
        given.findings()
    }

    /// Severity, object and field of each finding.
    fn found(&self) -> Vec<String> {
        let findings = self.findings().into_iter();
        findings.map(|finding| format!("{:?} {} {}", finding.severity, finding.object, finding.field)).collect()
    }
}

fn binding(kind: &str, role: &str, subjects: &Value) -> Value {
    json!({
        "metadata": { "name": "b" }, "subjects": subjects,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
    })
}

fn account(namespace: &str, name: &str) -> Value {
    json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
}

fn secrets() -> Value {
    json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }])
}

fn pods() -> Value {
    json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }])
}

#[test]
fn a_role_is_judged_by_its_rules_and_says_who_has_it() {
    let world = World::default().role("r", &secrets());
    assert_eq!(world.found(), ["Medium Role/r rules[0].resources[0]"]);
    assert!(world.findings()[0].reason.contains("bound to nobody"));
    let world = world.binding("Role", "r", &json!([account("team-a", "x")]));
    assert_eq!(world.found(), ["Medium Role/r rules[0].resources[0]"]);
    assert!(world.findings()[0].reason.contains("bound to ServiceAccount team-a/x"));
    assert!(World::default().role("r", &pods()).found().is_empty());
}

#[test]
fn a_binding_gives_what_its_cluster_role_has() {
    let own = json!([account("team-a", "x")]);
    let bound = |rules: &Value| World::default().cluster_role("c", rules).binding("ClusterRole", "c", &own);
    assert_eq!(bound(&secrets()).found(), ["Medium RoleBinding/b roleRef"]);
    assert_eq!(bound(&pods()).found(), ["Low RoleBinding/b roleRef"]);
    let all = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }, {
        "nonResourceURLs": ["*"], "verbs": ["get"],
    }]);
    assert_eq!(
        bound(&all).found(),
        ["High RoleBinding/b roleRef", "High RoleBinding/b roleRef", "Medium RoleBinding/b roleRef",]
    );
    let reason = &bound(&secrets()).findings()[0].reason;
    assert_eq!(reason, "access to sensitive resource \"secrets\", for ServiceAccount team-a/x");
}

#[test]
fn the_servers_own_bindings_are_no_findings_and_additions_to_them_are() {
    let ours = |subjects: &Value| {
        let role = "tentacular-enclave-registrar";
        World::default().cluster_role(role, &secrets()).binding("ClusterRole", role, subjects)
    };
    let own = account("tentacular-system", "tentacular-registrar");
    assert!(ours(&json!([own])).found().is_empty());
    assert!(ours(&json!([])).found().is_empty());
    let world = ours(&json!([own, account("team-a", "x")]));
    assert_eq!(world.found(), ["Medium RoleBinding/b roleRef"]);
    let patch = &world.findings()[0].remedy.patch;
    assert_eq!(patch[1], json!({ "op": "replace", "path": "/subjects", "value": [own] }));
    for stranger in [account("tentacular-system", "tentacular-mcp"), account("team-b", "tentacular-registrar")] {
        assert!(!ours(&json!([stranger])).found().is_empty(), "{stranger}");
    }
}

#[test]
fn who_is_bound_matters() {
    let role = || World::default().role("r", &pods());
    let named =
        |kind: &str, name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
    for (subject, severity) in [
        (named("Group", "system:authenticated"), Some("High")),
        (named("Group", "system:unauthenticated"), Some("High")),
        (named("Group", "system:serviceaccounts"), Some("High")),
        (named("User", "system:anonymous"), Some("High")),
        (account("team-b", "x"), Some("Medium")),
        (named("User", "system:serviceaccount:team-b:x"), Some("Medium")),
        (named("Group", "system:serviceaccounts:team-b"), Some("Medium")),
        (account("team-a", "x"), None),
        (named("Group", "system:serviceaccounts:team-a"), None),
        (named("User", "ann@example.com"), None),
        (named("Group", "team-a-admins"), None),
    ] {
        let found = role().binding("Role", "r", &json!([account("team-a", "y"), subject])).found();
        let expected = severity.map(|severity| format!("{severity} RoleBinding/b subjects[1]"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{subject}");
    }
}

#[test]
fn a_binding_to_what_is_not_there_is_for_whoever_makes_it() {
    let own = json!([account("team-a", "x")]);
    for kind in ["Role", "ClusterRole"] {
        let found = World::default().binding(kind, "gone", &own).findings();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].reason.contains(&format!("there is no {kind}/gone")), "{found:?}");
    }
    assert!(World::default().role("r", &pods()).binding("Role", "r", &own).found().is_empty());
}

#[test]
fn rights_in_the_whole_cluster_count_for_the_enclaves_accounts() {
    let group = |name: &str| json!({ "kind": "Group", "name": name });
    for (subject, rules, expected) in [
        (account("team-a", "x"), pods(), Some("Medium")),
        (account("team-a", "x"), secrets(), Some("Medium")),
        (group("system:serviceaccounts:team-a"), pods(), Some("Medium")),
        (json!({ "kind": "User", "name": "system:serviceaccount:team-a:x" }), pods(), Some("Medium")),
        (group("system:serviceaccounts"), secrets(), Some("Medium")),
        (group("system:authenticated"), secrets(), Some("Medium")),
        (group("system:authenticated"), pods(), None),
        (account("team-b", "x"), secrets(), None),
        (group("system:masters"), secrets(), None),
    ] {
        let subjects = json!([account("kube-system", "y"), subject]);
        let world = World::default().cluster_role("c", &rules).cluster_binding("c", &subjects);
        let expected = expected.map(|severity| format!("{severity} ClusterRoleBinding/b roleRef"));
        assert_eq!(world.found(), expected.into_iter().collect::<Vec<_>>(), "{subject}");
        if let Some(finding) = world.findings().first() {
            assert_eq!(finding.remedy.patch[1]["value"], json!([account("kube-system", "y")]), "the other one stays");
        }
    }
    let named = json!([{ "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s"], "verbs": ["get"] }]);
    let world = World::default().cluster_role("c", &named).cluster_binding("c", &json!([account("team-a", "x")]));
    assert_eq!(world.found(), ["Medium ClusterRoleBinding/b roleRef"]);
}
