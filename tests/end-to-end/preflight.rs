//! `cluster_preflight`: a fresh installation passes; what breaks is named, with what mends it, and passes when mended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace},
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_contract::{backing::Found, keys};
use tentacular_test_harness::{
    ControlPlane, Installation, Part, Provider, Stack, background,
    installation::SERVER_NAMESPACE,
    mcp::{Era, Mcp},
    stack::Options,
    until,
};

use crate::support::enclave;

/// The Pod Security label of a namespace.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// An installation of its own, whose auditor knows an identity provider.
struct World {
    stack: Stack,
    provider: Provider,
    mcp: Mcp,
    admin: Client,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let control_plane = ControlPlane::exclusive().await?;
        let provider = Provider::start()?;
        let args = ["--oidc=true".to_owned(), format!("--oidc-issuer={}", provider.issuer())];
        let start = async {
            let options = Options {
                sidecar_args: BTreeMap::from([(Part::Auditor, args.into())]),
                kernel_args: provider.kernel_args(),
                ..Options::default()
            };
            let installation = Arc::new(Installation::install(control_plane).await?);
            anyhow::Ok((Stack::start_with(installation, options).await?, provider))
        };
        let (stack, provider) = background().spawn(start).await??;
        let mcp = stack.client(Era::Stateless).await?;
        let admin = stack.installation().control_plane().admin()?;
        Ok(Self { stack, provider, mcp, admin })
    }

    async fn preflight(&self, enclave: &str) -> anyhow::Result<Value> {
        self.mcp.call("cluster_preflight", json!({ "enclave": enclave })).await
    }

    /// Asks until exactly these checks fail.
    async fn until_failed(&self, enclave: &str, wanted: &[&str]) -> anyhow::Result<Value> {
        until(format!("{wanted:?} fail"), async || {
            let preflight = self.preflight(enclave).await?;
            ensure!(failed(&preflight) == wanted.iter().copied().collect::<BTreeSet<_>>(), "{preflight}");
            assert_eq!(preflight["allPass"], wanted.is_empty(), "{preflight}");
            Ok(preflight)
        })
        .await
    }

    async fn enforce(&self, enclave: &str, level: &str) -> anyhow::Result<()> {
        let label = json!({ "metadata": { "labels": { ENFORCE: level } } });
        let namespaces = Api::<Namespace>::all(self.admin.clone());
        namespaces.patch(enclave, &PatchParams::default(), &Patch::Merge(label)).await?;
        Ok(())
    }
}

fn failed(preflight: &Value) -> BTreeSet<&str> {
    let checks = preflight["checks"].as_array().into_iter().flatten();
    checks.filter(|check| check["passed"] == false).filter_map(|check| check["name"].as_str()).collect()
}

fn check<'a>(preflight: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let checks = preflight["checks"].as_array().context("no checks")?;
    checks.iter().find(|check| check["name"] == name).with_context(|| format!("no check {name} in {preflight}"))
}

/// The warning of a check that passed.
fn warning(preflight: &Value, name: &str) -> anyhow::Result<String> {
    let check = check(preflight, name)?;
    ensure!(check["passed"] == true && check["remediation"].is_null(), "{check}");
    Ok(check["warning"].as_str().unwrap_or_default().to_owned())
}

/// The remedy of a check that failed.
fn remedy(preflight: &Value, name: &str) -> anyhow::Result<String> {
    let check = check(preflight, name)?;
    ensure!(check["passed"] == false && check["warning"].is_string(), "{check}");
    Ok(check["remediation"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn e2e_preflight_passes_when_fresh_and_names_what_breaks_and_what_mends_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    fresh(&world).await?;
    let name = enclave(&world.mcp, "preflight").await?;
    let well = world.until_failed(&name, &[]).await?;
    for passed in ["api-reachability", "namespace-exists", "pod-security", "schedule-leader", "rbac-registrar"] {
        assert_eq!(warning(&well, passed)?, "", "{passed}: {well}");
    }
    rights(&world, &name).await?;
    world.enforce(&name, "privileged").await?;
    let lax = world.until_failed(&name, &["pod-security"]).await?;
    assert!(remedy(&lax, "pod-security")?.contains("enforce=restricted"), "{lax}");
    world.enforce(&name, "restricted").await?;
    world.until_failed(&name, &[]).await?;
    provider(&world, &name).await?;
    services(&world, &name).await?;
    leader(&world, &name).await?;
    world.stack.installation().webhook().context("no webhook")?.kill()?;
    let alone = world.until_failed(&name, &["schedule-leader", "admission-webhook"]).await?;
    assert!(remedy(&alone, "admission-webhook")?.contains("rollout restart deployment/tentacular-webhook"));
    Ok(())
}

/// As after an installation: no enclave, no services, and a scheduler that may have taken its Lease or not.
async fn fresh(world: &World) -> anyhow::Result<()> {
    for (enclave, part) in
        [("default", "namespace default is protected"), ("not-there", "there is no enclave not-there yet")]
    {
        for tool in ["cluster_preflight", "enclave_preflight"] {
            let preflight = world.mcp.call(tool, json!({ "enclave": enclave })).await?;
            assert_eq!(preflight["allPass"], true, "{preflight}");
            assert!(warning(&preflight, "namespace-exists")?.starts_with(part), "{preflight}");
        }
    }
    let preflight = world.mcp.call("cluster_preflight", json!({})).await?;
    assert_eq!((&preflight["allPass"], &preflight["enclave"]), (&json!(true), &Value::Null), "{preflight}");
    for (name, part) in [
        ("backing-services", "none is configured"),
        ("network-policies", "is not known"),
        ("gvisor-runtime", "no RuntimeClass"),
        ("namespace-exists", "no enclave is named"),
    ] {
        let warning = warning(&preflight, name)?;
        assert!(warning.contains(part), "{name}: {warning}");
    }
    for name in ["admission-webhook", "identity-provider", "rbac-reader", "rbac-webhook"] {
        assert_eq!(warning(&preflight, name)?, "", "{name}: {preflight}");
    }
    Ok(())
}

/// Without its binding an account lacks what it uses in the enclave.
async fn rights(world: &World, enclave: &str) -> anyhow::Result<()> {
    const ROLE: &str = "tentacular-enclave-scheduler";
    let bindings = Api::<RoleBinding>::namespaced(world.admin.clone(), enclave);
    let mut binding = bindings.get(ROLE).await?;
    bindings.delete(ROLE, &DeleteParams::default()).await?;
    let without = world.until_failed(enclave, &["rbac-scheduler"]).await?;
    let said = check(&without, "rbac-scheduler")?["warning"].to_string();
    assert!(said.contains("tentacular-scheduler may not get deployments.apps") && said.contains(enclave), "{said}");
    let remedy = remedy(&without, "rbac-scheduler")?;
    let account = format!("--serviceaccount={SERVER_NAMESPACE}:tentacular-scheduler");
    assert!(remedy.contains(&format!("-n {enclave} create rolebinding {ROLE} --clusterrole={ROLE}")), "{remedy}");
    assert!(remedy.ends_with(&account), "{remedy}");
    binding.metadata.resource_version = None;
    binding.metadata.uid = None;
    bindings.create(&PostParams::default(), &binding).await?;
    world.until_failed(enclave, &[]).await?;
    Ok(())
}

async fn provider(world: &World, enclave: &str) -> anyhow::Result<()> {
    world.provider.set_up(false).await?;
    let without = world.until_failed(enclave, &["identity-provider"]).await?;
    assert!(remedy(&without, "identity-provider")?.contains(&world.provider.issuer()), "{without}");
    world.provider.set_up(true).await?;
    world.until_failed(enclave, &[]).await?;
    Ok(())
}

async fn services(world: &World, enclave: &str) -> anyhow::Result<()> {
    let down = Found {
        enabled: true,
        available: false,
        isolation: None,
        reason: Some("connection refused".to_owned()),
        time: None,
    };
    let off = Found { enabled: false, reason: None, ..down.clone() };
    let data = json!({ "nats": down.to_entry(), "postgres": off.to_entry() });
    let found = json!({ "metadata": { "name": keys::BACKING_SERVICES }, "data": data });
    let maps = Api::<ConfigMap>::namespaced(world.admin.clone(), SERVER_NAMESPACE);
    maps.create(&PostParams::default(), &serde_json::from_value(found)?).await?;
    let without = world.until_failed(enclave, &["backing-nats"]).await?;
    assert_eq!(check(&without, "backing-nats")?["warning"], "it cannot be used: connection refused");
    assert_eq!(warning(&without, "backing-postgres")?, "it is switched off");
    let up = Found { available: true, reason: None, ..down };
    let data = json!({ "data": { "nats": up.to_entry() } });
    maps.patch(keys::BACKING_SERVICES, &PatchParams::default(), &Patch::Merge(data)).await?;
    world.until_failed(enclave, &[]).await?;
    Ok(())
}

/// A Lease that nobody renews any more.
async fn leader(world: &World, enclave: &str) -> anyhow::Result<()> {
    world.stack.kill(Part::Scheduler).await?;
    let spec = json!({ "spec": { "renewTime": "2026-01-01T00:00:00.000000Z", "holderIdentity": "gone" } });
    let leases = Api::<Lease>::namespaced(world.admin.clone(), SERVER_NAMESPACE);
    leases.patch(keys::SCHEDULER_LEASE, &PatchParams::default(), &Patch::Merge(spec)).await?;
    let without = world.until_failed(enclave, &["schedule-leader"]).await?;
    let said = check(&without, "schedule-leader")?["warning"].to_string();
    assert!(said.contains("gone renewed its Lease last at 2026-01-01T00:00:00Z"), "{said}");
    assert!(remedy(&without, "schedule-leader")?.contains("rollout restart deployment/tentacular-mcp"));
    Ok(())
}
