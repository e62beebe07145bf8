//! Inside an enclave each account does its own part, and nothing of another's.

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::Part;

use super::{
    attempt::{Attempt, By, all_possible, all_refused, apply, create, delete, get, json_patch, merge, replace},
    kinds::{Kind, VICTIM, kinds},
    place::{ACCOUNTS, admin, place, refused_by_rbac, thief, victim},
};

const LEDGERS: By = By::Policy("tentacular-ledgers");

/// What rbac.yaml gives to whom.
fn verbs(part: Part, kind: &Kind) -> &'static [&'static str] {
    match (part, kind.plural) {
        (Part::Registrar, "replicasets" | "statefulsets" | "daemonsets" | "roles")
        | (Part::Kernel, "secrets" | "serviceaccounts" | "statefulsets" | "daemonsets" | "leases") => &[],
        (Part::Kernel | Part::Scheduler, "deployments") => &["get", "list", "watch"],
        (Part::Kernel, "pods" | "configmaps") => &["get", "list"],
        (Part::Kernel, _) | (Part::Registrar, "pods") => &["list"],
        (Part::Scheduler, "configmaps") => &["get", "list", "create", "patch"],
        (Part::Registrar, "resourcequotas" | "limitranges" | "serviceaccounts") => &["get", "create", "patch"],
        (Part::Registrar, "leases") => &["get", "create", "patch", "delete"],
        (Part::Registrar, "secrets") => &["get", "list", "watch", "create", "patch", "delete"],
        (Part::Registrar, _) => &["get", "list", "create", "patch", "delete"],
        _ => &[],
    }
}

#[tokio::test]
async fn each_account_does_its_own_part_and_no_other() -> anyhow::Result<()> {
    let (place, admin) = (place().await?, admin().await?);
    let enclave = &place.enclave;
    for part in ACCOUNTS {
        let (mut allowed, mut refused) = (Vec::new(), Vec::new());
        for kind in kinds() {
            let (verbs, victim) = (verbs(part, &kind), victim(&admin, &kind, enclave).await?);
            for (verb, attempt) in kind.by_verb(enclave, &victim) {
                if !verbs.contains(&verb) {
                    refused.push(attempt);
                } else if part != Part::Scheduler || !["create", "patch"].contains(&verb) {
                    allowed.push(attempt);
                }
                // Else the policy is asked about the scheduler's ConfigMaps, below.
            }
        }
        all_possible(&admin, refused.clone()).await.context("as the administrator")?;
        refused_by_rbac(&[part], refused).await?;
        all_possible(&thief(part).await?, allowed).await.with_context(|| part.account())?;
    }
    Ok(())
}

/// A `ConfigMap`, labelled as a ledger or not.
fn config_map(name: &str, ledger: bool) -> Value {
    let labels = if ledger { json!({ "tentacular.io/ledger": "report" }) } else { json!({}) };
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels },
        "data": { "code": "stolen" } })
}

#[tokio::test]
async fn the_scheduler_writes_ledgers_and_no_other_config_map() -> anyhow::Result<()> {
    let (place, admin, scheduler) = (place().await?, admin().await?, thief(Part::Scheduler).await?);
    let path = format!("/api/v1/namespaces/{}/configmaps", place.enclave);
    let of = |name: &str| format!("{path}/{name}");
    // The ledger, the code beside it, a namesake that is no ledger, and one that has only the label.
    let ledgers = [("tentacular-runs-report", true), ("tentacular-runs-none", false), ("report-runs", true)];
    for (name, ledger) in ledgers.into_iter().chain([("report-code", false)]) {
        create(path.clone(), config_map(name, ledger)).send_for_real(&admin).await?;
    }
    let steal = json!({ "data": { "code": "stolen" } });
    let label = json!({ "metadata": { "labels": { "tentacular.io/ledger": "report" } } });
    let unlabel = json!({ "metadata": { "labels": { "tentacular.io/ledger": null } } });
    let replaced = json!([{ "op": "replace", "path": "/data", "value": { "code": "stolen" } }]);
    // The account has no right to replace one, nor to delete one.
    let mut without_right = Vec::new();
    let mut refused = vec![
        merge(of("tentacular-runs-report"), unlabel),
        create(path.clone(), config_map("loot", false)),
        create(path.clone(), config_map("loot", true)),
        create(path.clone(), config_map("runs-tentacular-runs-x", true)),
        create(path.clone(), config_map("tentacular-runs-x", false)),
        create(path.clone(), json!({ "metadata": { "generateName": "loot-" } })),
    ];
    for name in ["report-code", "tentacular-runs-none", "report-runs", VICTIM, "kube-root-ca.crt"] {
        refused.push(merge(of(name), steal.clone()));
        refused.push(merge(of(name), label.clone()));
        refused.push(apply(of(name), config_map(name, true)));
        without_right.push(replace(of(name), config_map(name, true)));
    }
    refused.push(json_patch(of("report-code"), replaced.clone()));
    let all = [refused.clone(), without_right.clone()].concat();
    all_possible(&admin, all.clone()).await?;
    // With every right too, as nothing but the policy keeps a right to change from being one to everything.
    let powerful = |attempt: &Attempt| attempt.clone().all_powerful(Part::Scheduler);
    let unnamed = all.iter().map(powerful).chain([delete(of("report-code")).all_powerful(Part::Scheduler)]);
    all_refused(&admin, unnamed.map(|attempt| (LEDGERS, attempt))).await?;
    all_refused(&scheduler, refused.into_iter().map(|attempt| (LEDGERS, attempt))).await?;
    without_right.push(replace(of("tentacular-runs-report"), config_map("tentacular-runs-report", true)));
    without_right.extend([delete(of("tentacular-runs-report")), delete(path.clone())]);
    refused_by_rbac(&[Part::Scheduler], without_right).await?;
    let allowed = vec![
        get(of("report-code")),
        create(path.clone(), config_map("tentacular-runs-x", true)),
        apply(of("tentacular-runs-y"), config_map("tentacular-runs-y", true)),
        merge(of("tentacular-runs-report"), steal),
        json_patch(of("tentacular-runs-report"), replaced),
    ];
    all_possible(&scheduler, allowed).await
}
