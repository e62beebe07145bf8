//! An enclave with a tentacle in it, one that is frozen, and people of different rights.

use kube::Client;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, Shared, installation::SERVER_NAMESPACE};

use crate::{
    support::{apply_word_count, client, enclave, stack, unique},
    thief::{
        attempt::{Attempt, By, create, until_refused},
        place::until_allowed,
    },
};

pub(super) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The places and the people.
pub(super) struct World {
    /// Where tentacle `word-count` is.
    pub(super) active: String,
    /// The same, frozen.
    pub(super) frozen: String,
    /// May edit what is in both, by the role that Kubernetes has for that.
    pub(super) editor: String,
    /// May do everything in both, and administers no enclaves.
    pub(super) chief: String,
    /// May do everything with namespaces, and administers no enclaves.
    pub(super) manager: String,
    /// May administer enclaves, and change what is in both.
    pub(super) administrator: String,
}

/// The administrator of the cluster, who may pose as anybody.
pub(super) async fn admin() -> anyhow::Result<Client> {
    stack().await?.installation().control_plane().admin()
}

/// The user that a part's account is.
pub(super) fn account(part: Part) -> String {
    format!("system:serviceaccount:{SERVER_NAMESPACE}:{}", part.account())
}

/// The path of objects of an API group, in a namespace.
pub(super) fn path(namespace: &str, group: &str, plural: &str) -> String {
    let group = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
    format!("{group}/namespaces/{namespace}/{plural}")
}

/// The same attempts by somebody.
pub(super) fn by(person: &str, attempts: &[Attempt]) -> Vec<Attempt> {
    attempts.iter().map(|attempt| attempt.clone().posing_as(person)).collect()
}

/// The world that these tests share.
pub(super) async fn world() -> anyhow::Result<&'static World> {
    static SHARED: Shared<World> = Shared::empty();
    SHARED.get(make).await
}

async fn make() -> anyhow::Result<World> {
    let (mcp, admin) = (client().await?, admin().await?);
    let (active, frozen) = (enclave(&mcp, "active").await?, enclave(&mcp, "frozen").await?);
    for enclave in [&active, &frozen] {
        apply_word_count(&mcp, enclave).await?;
    }
    mcp.call("enclave_sync", json!({ "name": frozen, "new_status": "frozen" })).await?;
    let people = ["editor", "chief", "manager", "administrator"].map(unique);
    let [editor, chief, manager, administrator] = &people;
    for (person, role) in [(editor, "edit"), (chief, "cluster-admin"), (administrator, "cluster-admin")] {
        for enclave in [&active, &frozen] {
            let bindings = format!("{RBAC}/namespaces/{enclave}/rolebindings");
            create(bindings, bound(person, role)).send_for_real(&admin).await?;
        }
    }
    let namespaces = json!({ "apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"], "verbs": ["*"] });
    let administer = json!({ "apiGroups": ["tentacular.io"], "resources": ["enclaves"], "verbs": ["administer"] });
    for (person, rules) in [(manager, json!([namespaces])), (administrator, json!([namespaces, administer]))] {
        let role = json!({ "metadata": { "name": person }, "rules": rules });
        create(format!("{RBAC}/clusterroles"), role).send_for_real(&admin).await?;
        create(format!("{RBAC}/clusterrolebindings"), bound(person, person)).send_for_real(&admin).await?;
        until_allowed(&admin, person, &json!({ "verb": "delete", "resource": "namespaces" })).await?;
    }
    for person in [editor, chief, administrator] {
        for namespace in [&active, &frozen] {
            let edit = json!({ "verb": "create", "resource": "configmaps", "namespace": namespace });
            until_allowed(&admin, person, &edit).await?;
        }
    }
    let [editor, chief, manager, administrator] = people;
    let world = World { active, frozen, editor, chief, manager, administrator };
    world.until_frozen(&admin).await?;
    Ok(world)
}

/// A binding of `person` to a cluster role.
pub(super) fn bound(person: &str, role: &str) -> Value {
    json!({
        "metadata": { "name": person },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person }],
    })
}

impl World {
    /// The webhook knows of the frozen enclave by a watch.
    async fn until_frozen(&self, admin: &Client) -> anyhow::Result<()> {
        let pod = json!({ "metadata": { "name": "probe" }, "spec": pod_spec() });
        let probe = create(path(&self.frozen, "", "pods"), pod).posing_as(&self.editor);
        until_refused(admin, By::Protection("frozen-enclave"), &probe).await
    }
}

/// What a pod consists of that runs under `restricted`.
pub(super) fn pod_spec() -> Value {
    let security = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    json!({
        "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "main", "image": "none", "securityContext": security }],
    })
}

/// An object of each kind that makes pods, such as `spec` makes them: group, plural and object.
pub(super) fn workloads(name: &str, spec: &Value) -> Vec<(&'static str, &'static str, Value)> {
    let labels = json!({ "app": name });
    let template = json!({ "metadata": { "labels": labels }, "spec": spec });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let set = json!({ "selector": { "matchLabels": labels }, "template": template });
    let mut all = vec![
        ("", "pods", json!({ "spec": spec })),
        ("", "podtemplates", json!({ "template": template })),
        ("", "replicationcontrollers", json!({ "spec": { "selector": labels, "template": template } })),
        ("apps", "replicasets", json!({ "spec": set })),
        ("apps", "deployments", json!({ "spec": set })),
        ("apps", "statefulsets", json!({ "spec": set })),
        ("apps", "daemonsets", json!({ "spec": set })),
        ("batch", "jobs", json!({ "spec": { "template": once } })),
        (
            "batch",
            "cronjobs",
            json!({ "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": once } } } }),
        ),
    ];
    for (_, _, object) in &mut all {
        object["metadata"] = json!({ "name": name });
    }
    all
}
