//! Whose writes the webhook is asked about, counted by the API server itself: for each write by each kind of caller one entry
//! of the configuration, or none. And that an administrator is one only where the API server says so.

mod writes;

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, ensure};
use kube::Client;
use serde_json::json;
use tentacular_test_harness::{ControlPlane, Installation, Part, until};

use super::world::{RBAC, bound, path, pod_spec};
use crate::thief::{
    attempt::{Attempt, all_possible, create, get, merge},
    place::until_allowed,
};

const ENCLAVE: &str = "asked";
const CHIEF: &str = "chief";
const ADMINISTRATOR: &str = "administrator";

/// Who refuses writes here: the webhook, policies before it is asked, and the API server after that, which binds no pod that
/// is held.
const REFUSALS: [&str; 3] = ["admission webhook", "ValidatingAdmissionPolicy", "non-empty .spec.schedulingGates"];

/// Which writes are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Whoever makes them.
    Everybodys,
    /// Those of others than the server.
    Protected,
    /// None.
    Free,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Person,
    Server,
    /// One of the server's accounts, which writes nothing but ledgers in enclaves.
    Scheduler,
    /// Kubernetes itself.
    Kubernetes,
}

impl Who {
    /// The entry that is asked about a write of namespaces or of objects, by the beginning of its name.
    fn asked(self, scope: Scope, of: &'static str) -> Option<&'static str> {
        match (self, scope) {
            (Self::Kubernetes, _) | (_, Scope::Free) | (Self::Server | Self::Scheduler, Scope::Protected) => None,
            (Self::Scheduler, Scope::Everybodys) if of == "objects" => None,
            (Self::Person, Scope::Protected) if of == "objects" => Some("protected"),
            _ => Some(of),
        }
    }
}

/// The same attempt by each kind of caller.
fn by_everybody(attempt: &Attempt) -> Vec<(Who, Attempt)> {
    let by = |user: &str| attempt.clone().posing_as(user);
    let among = |user: &str, groups: &'static [&'static str]| attempt.clone().posing_among(user, groups);
    vec![
        (Who::Person, by(CHIEF)),
        (Who::Person, by(ADMINISTRATOR)),
        (Who::Person, attempt.clone()),
        (Who::Server, attempt.clone().all_powerful(Part::Registrar)),
        (Who::Scheduler, attempt.clone().all_powerful(Part::Scheduler)),
        (Who::Kubernetes, attempt.clone().by_a_controller()),
        (Who::Kubernetes, among("kubelet", &["system:masters", "system:nodes"])),
        (Who::Kubernetes, among("system:kube-controller-manager", &["system:masters"])),
    ]
}

/// The enclave, what stands in it, and two people with every right there; the writes, and what they are of.
async fn prepare(admin: &Client) -> anyhow::Result<Vec<(&'static str, Scope, Attempt)>> {
    create("/api/v1/namespaces", writes::enclave(ENCLAVE)).send_for_real(admin).await?;
    let namespaces = json!({ "apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"], "verbs": ["*"] });
    let administer = json!({ "apiGroups": ["tentacular.io"], "resources": ["enclaves"], "verbs": ["administer"] });
    for (person, rules) in [(CHIEF, json!([namespaces])), (ADMINISTRATOR, json!([namespaces, administer]))] {
        let role = json!({ "metadata": { "name": person }, "rules": rules });
        create(format!("{RBAC}/clusterroles"), role).send_for_real(admin).await?;
        create(format!("{RBAC}/clusterrolebindings"), bound(person, person)).send_for_real(admin).await?;
        let bindings = format!("{RBAC}/namespaces/{ENCLAVE}/rolebindings");
        create(bindings, bound(person, "cluster-admin")).send_for_real(admin).await?;
        for check in [
            json!({ "verb": "delete", "resource": "namespaces" }),
            json!({ "verb": "create", "resource": "configmaps", "namespace": ENCLAVE }),
        ] {
            until_allowed(admin, person, &check).await?;
        }
    }
    let administers = json!({ "verb": "administer", "group": "tentacular.io", "resource": "enclaves" });
    until_allowed(admin, ADMINISTRATOR, &administers).await?;
    writes::prepare(admin).await?;
    let mut all = Vec::new();
    let of_objects = [
        (Scope::Everybodys, writes::everybodys(admin).await?),
        (Scope::Protected, writes::protected()),
        (Scope::Free, writes::free()),
    ];
    for (scope, attempts) in of_objects {
        all.extend(attempts.into_iter().map(|attempt| ("objects", scope, attempt)));
    }
    let of_namespaces = writes::of_namespaces(admin).await?.into_iter();
    all.extend(of_namespaces.map(|(scope, attempt)| ("namespaces", scope, attempt)));
    Ok(all)
}

/// How often each entry of the webhook was asked, as the API server counts.
async fn asked(admin: &Client) -> anyhow::Result<BTreeMap<String, u64>> {
    let text = admin.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let mut asked = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_admission_webhook_request_total{")) {
        let (labels, count) = line.rsplit_once(' ').context("a count")?;
        let (_, name) = labels.split_once("name=\"").context("a name")?;
        if let Some((entry, _)) = name.split_once(".webhook.tentacular.io\"") {
            *asked.entry(entry.to_owned()).or_default() += count.parse::<u64>()?;
        }
    }
    Ok(asked)
}

/// Those of the writes that not this one entry is asked about, or any where there is none. An entry is asked once about a write
/// or not at all, so that the sum of many tells of each; that sum is a page of a megabyte.
async fn asked_otherwise(
    admin: &Client,
    entry: Option<&'static str>,
    writes: &[(Who, Attempt)],
) -> anyhow::Result<Vec<String>> {
    let before = asked(admin).await?;
    for (_, attempt) in writes {
        if let Err(error) = attempt.send(admin).await {
            let text = error.to_string();
            ensure!(REFUSALS.iter().any(|refusal| text.contains(refusal)), "{attempt:?}: {error}");
        }
    }
    let mut more = asked(admin).await?;
    for (entry, count) in &mut more {
        *count -= before.get(entry).copied().unwrap_or_default();
    }
    more.retain(|_, count| *count > 0);
    let expected: BTreeMap<_, _> = entry.map(|entry| (entry.to_owned(), writes.len() as u64)).into_iter().collect();
    match writes {
        _ if more == expected => Ok(Vec::new()),
        [(who, attempt)] => Ok(vec![format!("{attempt:?} of {who:?}: asked {more:?} and not {expected:?}")]),
        _ => {
            let (one, other) = writes.split_at(writes.len() / 2);
            let mut wrong = Box::pin(asked_otherwise(admin, entry, one)).await?;
            wrong.extend(Box::pin(asked_otherwise(admin, entry, other)).await?);
            Ok(wrong)
        }
    }
}

#[tokio::test]
async fn e2e_admission_each_write_is_asked_about_once() -> anyhow::Result<()> {
    let installation = Installation::install(ControlPlane::exclusive().await?).await?;
    let admin = installation.control_plane().admin()?;
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (of, scope, attempt) in prepare(&admin).await? {
        for (who, attempt) in by_everybody(&attempt) {
            groups.entry(who.asked(scope, of)).or_default().push((who, attempt));
        }
    }
    let mut wrong = Vec::new();
    for (entry, writes) in &groups {
        wrong.extend(asked_otherwise(&admin, *entry, writes).await?);
    }
    ensure!(wrong.is_empty(), "{} are asked about otherwise than wanted:\n{}", wrong.len(), wrong.join("\n"));

    let mut before = asked(&admin).await?;
    // The API server counts it in the status of the quota, by a write of its own.
    let pod = json!({ "metadata": { "name": "counted" }, "spec": pod_spec() });
    create(path(ENCLAVE, "", "pods"), pod).send_for_real(&admin).await?;
    let quota = get(format!("{}/tentacular-quota", path(ENCLAVE, "", "resourcequotas"))).send(&admin).await?;
    ensure!(quota["status"]["used"]["pods"].is_string(), "the pod is not counted: {quota}");
    before.entry("objects".to_owned()).and_modify(|count| *count += 1);
    let after = asked(&admin).await?;
    ensure!(after == before, "asked {after:?} times, not {before:?}");
    Ok(())
}

#[tokio::test]
async fn e2e_admission_while_nobody_can_be_told_to_administer_nobody_does() -> anyhow::Result<()> {
    let installation = Installation::install(ControlPlane::exclusive().await?).await?;
    let admin = installation.control_plane().admin()?;
    create("/api/v1/namespaces", writes::enclave(ENCLAVE)).send_for_real(&admin).await?;
    let quota = json!({ "metadata": { "name": "tentacular-quota" }, "spec": { "hard": { "pods": "9" } } });
    let protected = create(path(ENCLAVE, "", "resourcequotas"), quota);
    let config_map = create(path(ENCLAVE, "", "configmaps"), json!({ "metadata": { "name": "mine" } }));
    all_possible(&admin, vec![protected.clone()]).await?;

    let role = format!("{RBAC}/clusterroles/tentacular-webhook");
    let stored = get(&*role).send(&admin).await?;
    let rules = stored["rules"].as_array().context("rules")?.iter();
    let fewer: Vec<_> = rules.filter(|rule| rule["resources"][0] != "subjectaccessreviews").collect();
    merge(&*role, json!({ "rules": fewer })).send_for_real(&admin).await?;
    until("the webhook cannot ask any more", async || match protected.send(&admin).await {
        Ok(_) => Err(anyhow!("allowed")),
        Err(error) => Ok(error.to_string()),
    })
    .await?;
    let refused = protected.send(&admin).await.expect_err("it cannot be told who administers").to_string();
    for part in ["(rule protected-object)", "whether you are an administrator", "(rule administrator-unknown)"] {
        ensure!(refused.contains(part), "{refused}");
    }
    all_possible(&admin, vec![config_map]).await
}
