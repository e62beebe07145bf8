//! Calls that are held up half way while another registrar finishes the same: nothing of the other's is overwritten, and
//! what is answered is what there is.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::ensure;
use http::Method;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use serde_json::{Value, json};
use tentacular_test_harness::{
    FaultProxy, Part, Stack, background,
    fault_proxy::{Call, Fault},
    mcp::{Era, Mcp},
    stack::Options,
    until,
};
use tokio::task::JoinHandle;

use super::world::{Person, Team, client, installation, stacks};
use crate::support::{provider, unique, until_listed};

/// A kernel and a registrar whose requests to the API server a test may hold up.
struct Held {
    stack: Stack,
    proxy: Arc<FaultProxy>,
}

impl Held {
    async fn new() -> anyhow::Result<Self> {
        Self::with(&[]).await
    }

    /// The same with further arguments of the registrar.
    async fn with(arguments: &[&str]) -> anyhow::Result<Self> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let installation = installation().await?;
        let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
        let options = Options {
            without: vec![Part::Scheduler, Part::Auditor],
            kernel_args: provider()?.kernel_args(),
            sidecar_args: BTreeMap::from([(Part::Registrar, arguments)]),
            through: BTreeMap::from([(Part::Registrar, Arc::clone(&proxy))]),
            ..Options::default()
        };
        let stack = background().spawn(Stack::start_with(installation, options)).await??;
        until_listed(&stack, "enclave_provision", true).await?;
        Ok(Self { stack, proxy })
    }

    /// Begins to make the enclave, and returns when that does not get past `step`.
    async fn provision(&self, mcp: Mcp, step: Step, arguments: Value) -> anyhow::Result<Late> {
        self.begin(mcp, "enclave_provision", step, arguments).await
    }

    /// Begins a call about the enclave that `name` among its arguments names, and returns when it does not get past `step`.
    async fn begin(&self, mcp: Mcp, tool: &'static str, step: Step, arguments: Value) -> anyhow::Result<Late> {
        let enclave = arguments["name"].as_str().unwrap_or_default();
        let Step { method, resource, before } = step;
        self.proxy.fail(before..usize::MAX, on(method, resource, enclave), Fault::Status(503, None));
        let late = tokio::spawn(async move { mcp.call(tool, arguments).await });
        self.proxy.until(|call| call.struck).await;
        Ok(late)
    }
}

/// A request that may be held up: from which on, of those about one enclave.
struct Step {
    method: Method,
    resource: &'static str,
    before: usize,
}

/// When the objects are made.
const OBJECTS: Step = Step { method: Method::POST, resource: "limitranges", before: 0 };
/// When it is looked at again what the enclave is to be: not the look before there was one.
const LOOK: Step = Step { method: Method::GET, resource: "namespaces", before: 1 };

/// When the quota gets another size.
const SIZE: Step = Step { method: Method::PATCH, resource: "resourcequotas", before: 0 };

fn on(method: Method, resource: &'static str, enclave: &str) -> impl Fn(&Call) -> bool + Send + use<> {
    let enclave = enclave.to_owned();
    move |call| call.method == method && call.resource() == resource && call.namespace() == Some(&enclave)
}

type Late = JoinHandle<anyhow::Result<Value>>;

/// The registrar beside it.
async fn beside() -> anyhow::Result<Mcp> {
    stacks().await?[0].client(Era::Stateless).await
}

async fn version(enclave: &str) -> anyhow::Result<Option<String>> {
    let namespaces: Api<Namespace> = Api::all(stacks().await?[0].installation().control_plane().admin()?);
    Ok(namespaces.get(enclave).await?.metadata.resource_version)
}

fn of_ann(name: &str, quota: &str) -> Value {
    json!({ "name": name, "owner_email": "ann@example.com", "quota_preset": quota })
}

#[tokio::test]
async fn e2e_enclave_a_call_that_comes_late_overwrites_nothing_of_what_was_changed_since() -> anyhow::Result<()> {
    let (held, beside) = tokio::try_join!(Held::new(), beside())?;
    for step in [LOOK, OBJECTS] {
        let (enclave, resource, mcp) = (unique("late"), step.resource, held.stack.client(Era::Stateless).await?);
        let late = held.provision(mcp, step, of_ann(&enclave, "small")).await?;
        beside.call("enclave_provision", of_ann(&enclave, "small")).await?;
        let change = json!({
            "name": enclave, "new_channel_name": "#kept", "new_quota_preset": "large", "new_status": "frozen",
            "add_members": ["bob@example.com"],
        });
        beside.call("enclave_sync", change).await?;
        let before = version(&enclave).await?;
        held.proxy.start_afresh();
        let error = late.await?.unwrap_err().to_string();
        assert!(error.contains("another call makes it with other arguments, or has made it"), "{error}");
        assert_eq!(version(&enclave).await?, before, "after {resource}");
        let info = beside.call("enclave_info", json!({ "name": enclave })).await?;
        assert_eq!(info["quota"]["pods"]["hard"], "100", "after {resource}: {info}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_of_two_calls_that_ask_for_the_same_both_succeed_and_of_others_the_last() -> anyhow::Result<()> {
    let (held, beside) = tokio::try_join!(Held::new(), beside())?;
    for (quota, pods) in [("small", "20"), ("large", "100")] {
        let enclave = unique("beside");
        let mcp = held.stack.client(Era::Stateless).await?;
        let late = held.provision(mcp, OBJECTS, of_ann(&enclave, "small")).await?;
        let made = beside.call("enclave_provision", of_ann(&enclave, quota)).await?;
        held.proxy.start_afresh();
        match late.await? {
            Ok(answer) => assert_eq!((quota, &answer["created_at"]), ("small", &made["created_at"]), "{answer}"),
            Err(error) => {
                assert_eq!(quota, "large", "{error}");
                assert!(error.to_string().contains("another call makes it with other arguments"), "{error}");
            }
        }
        let info = beside.call("enclave_info", json!({ "name": enclave })).await?;
        assert_eq!(
            (&info["status"], &info["quota_preset"], &info["quota"]["pods"]["hard"]),
            (&json!("active"), &json!(quota), &json!(pods)),
            "{info}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_the_size_that_was_set_last_is_in_force_though_an_earlier_call_goes_on_later()
-> anyhow::Result<()> {
    let (held, beside) = tokio::try_join!(Held::new(), beside())?;
    let enclave = unique("size");
    beside.call("enclave_provision", of_ann(&enclave, "large")).await?;
    let size = |size: &str| json!({ "name": enclave, "new_quota_preset": size });
    let mcp = held.stack.client(Era::Stateless).await?;
    let late = held.begin(mcp, "enclave_sync", SIZE, size("small")).await?;
    beside.call("enclave_sync", size("medium")).await?;
    held.proxy.start_afresh();
    late.await??;
    let info = beside.call("enclave_info", json!({ "name": enclave })).await?;
    assert_eq!((&info["quota_preset"], &info["quota"]["pods"]["hard"]), (&json!("medium"), &json!("50")), "{info}");
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_a_change_whose_answer_was_lost_is_told_as_it_was_done() -> anyhow::Result<()> {
    let held = Held::new().await?;
    for fault in [Fault::CloseAfter, Fault::CloseBefore, Fault::Status(500, None)] {
        let team = Team::new("lost").await?;
        team.apply(&team.member.here, "report").await?;
        let owner = client(&held.stack, &team.owner.sub).await?;
        for resource in ["namespaces", "resourcequotas", "deployments"] {
            held.proxy.fail(0..1, on(Method::PATCH, resource, &team.enclave), fault.clone());
        }
        // By the first of these writes the caller loses the right to the call.
        let change = json!({
            "add_members": [team.other.email], "remove_members": [team.member.email], "new_owner": team.other.email,
            "new_quota_preset": "small",
        });
        let changed = team.sync(&owner, change).await?;
        let struck = held.proxy.calls().iter().filter(|call| call.struck).count();
        held.proxy.start_afresh();
        assert_eq!(struck, 3, "{fault:?}");
        assert_eq!(
            (&changed["updated"], &changed["enclave"]["owner"], &changed["enclave"]["caller_role"]),
            (
                &json!(["members", "owner", "quota_preset", "ownership_transfers"]),
                &json!(team.other.email),
                &json!("member")
            ),
            "{fault:?}: {changed}"
        );
        assert_eq!(changed["enclave"]["quota"]["pods"]["hard"], "20", "{fault:?}: {changed}");
        assert_eq!(
            changed["transfers"],
            json!([{
                "tentacle_name": "report", "from_owner": team.member.email, "to_owner": team.other.email,
                "success": true,
            }]),
            "{fault:?}"
        );
        let place = json!({ "enclave": team.enclave, "name": "report" });
        let seen = beside().await?.call("permissions_get", place).await?;
        assert_eq!((&seen["owner"], &seen["enclave_owner"]), (&json!(team.other.email), &json!(team.other.email)));
    }
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_one_too_many_is_taken_back_although_there_was_room_at_first() -> anyhow::Result<()> {
    let (held, ann) = tokio::try_join!(Held::with(&["--enclaves-per-owner=1"]), Person::new("ann"))?;
    let (name, beside) = (unique("one-more"), beside().await?);
    let mcp = client(&held.stack, &ann.sub).await?;
    let late = held.provision(mcp, OBJECTS, json!({ "name": name })).await?;
    // What can be used comes before what is being made, whatever its age.
    beside.call("enclave_provision", json!({ "name": unique("first"), "owner_email": ann.email })).await?;
    held.proxy.start_afresh();
    let refusal = late.await?.unwrap_err().to_string();
    assert!(refusal.contains("already has 1 enclaves (limit: 1)"), "{refusal}");
    // On a slow machine the call does not wait until Kubernetes is through with it.
    let known = ["nothing of it is left", "its namespace is being removed, repeat the call after that"];
    assert!(known.iter().any(|known| refusal.ends_with(known)), "{refusal}");
    until("it is gone", async || {
        let refusal = beside.refusal("enclave_info", json!({ "name": name })).await?;
        ensure!(refusal.contains("there is no enclave"), "{refusal}");
        Ok(())
    })
    .await
}
