//! Decisions rest on what is so now: a change is effective at once, what was never seen is read, and a sidecar writes
//! nothing on the word of an older decision.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{
    Client,
    api::{Api, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    FaultProxy, Installation, Part, Stack, background,
    fault_proxy::{Call, Fault},
    mcp::{Era, Raw},
    stack::Options,
};

use crate::{
    hand_made::{HandMade, tool},
    support::{OWN, SEEN, apply_word_count, client, enclave, guests, person, provider, stack, unique, until_listed},
    wire::Message,
};

const OWNER: &str = "tentacular.io/enclave-owner";
const MEMBERS: &str = "tentacular.io/enclave-members";
const MODE: &str = "tentacular.io/mode";

/// An enclave with the tentacle `report`, both owned by `fresh-ann@example.com`, made without the server.
pub(crate) async fn made(admin: &Client, mode: &str) -> anyhow::Result<String> {
    let name = unique(&format!("{OWN}fresh"));
    let labels = json!({ "app.kubernetes.io/managed-by": "tentacular", "tentacular.io/release": "report" });
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels,
        "annotations": { "tentacular.io/enclave": name, OWNER: "fresh-ann@example.com",
            MEMBERS: "fresh-bob@example.com", MODE: mode } } }))?;
    Api::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    let reader = "tentacular-enclave-reader";
    let binding: RoleBinding = serde_json::from_value(json!({ "metadata": { "name": reader },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": reader },
        "subjects": [{ "kind": "ServiceAccount", "name": "tentacular-mcp", "namespace": "tentacular-system" }] }))?;
    match Api::namespaced(admin.clone(), &name).create(&PostParams::default(), &binding).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        created => drop(created?),
    }
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": { "name": "report", "labels": labels,
            "annotations": { "tentacular.io/owner": "fresh-ann@example.com", MODE: "rwxrwx---" } },
        "spec": { "replicas": 0, "selector": { "matchLabels": { "tentacular.io/release": "report" } },
            "template": { "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "engine", "image": "example.com/engine" }] } } } }))?;
    Api::namespaced(admin.clone(), &name).create(&PostParams::default(), &deployment).await?;
    Ok(name)
}

fn annotation(key: &str, value: &str) -> Patch<Value> {
    Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }))
}

/// A kernel without the built-in sidecars that reaches the API server through a proxy.
pub(crate) async fn kernel_through_proxy() -> anyhow::Result<(Stack, Arc<FaultProxy>)> {
    let start = async {
        let installation = Installation::shared().await?;
        let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
        let options = Options {
            without: Part::SIDECARS.to_vec(),
            kernel_args: provider()?.kernel_args(),
            enclaves: Some(OWN.to_owned()),
            through: BTreeMap::from([(Part::Kernel, Arc::clone(&proxy))]),
            ..Options::default()
        };
        anyhow::Ok((Stack::start_with(installation, options).await?, proxy))
    };
    background().spawn(start).await?
}

/// A sidecar with one tool that writes to a tentacle, as far as its declaration says.
async fn writer(stack: &Stack, name: &'static str) -> anyhow::Result<HandMade> {
    let declared = json!({ "on": "tentacle", "needs": "write", "enclave": ["/enclave"], "tentacle": ["/name"] });
    answering(stack, name, [(name, declared)]).await
}

/// A sidecar whose tools declare this and answer with their permit.
pub(crate) async fn answering(
    stack: &Stack,
    name: &'static str,
    tools: impl IntoIterator<Item = (&'static str, Value)>,
) -> anyhow::Result<HandMade> {
    let tools: Vec<_> = tools
        .into_iter()
        .map(|(name, declared)| {
            let mut tool = tool(name);
            tool["_meta"]["tentacular.io/authz"] = declared;
            tool
        })
        .collect();
    let last = tools.last().and_then(|tool| tool["name"].as_str()).unwrap_or_default().to_owned();
    let sidecar = HandMade::listen(&stack.run_dir(), name, tools, |call| async move {
        let permit = call.headers.get("tentacular-permit").cloned().unwrap_or_default();
        let permit = URL_SAFE_NO_PAD.decode(permit).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        call.content(&permit.unwrap_or_default()).await
    })?;
    until_listed(stack, &last, true).await?;
    Ok(sidecar)
}

async fn may(raw: &Raw, tool: &str, enclave: &str) -> anyhow::Result<bool> {
    let answer =
        Message::call(Era::Stateless, tool, &json!({ "enclave": enclave, "name": "report" })).post(raw).await?;
    match answer.json()["result"]["isError"].as_bool() {
        Some(refused) => Ok(!refused),
        None => anyhow::bail!("{}", answer.text),
    }
}

/// How long it takes until a call is decided so.
async fn until_may(raw: &Raw, tool: &str, enclave: &str, wanted: bool) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while may(raw, tool, enclave).await? != wanted {
        ensure!(begun.elapsed() < SEEN, "{tool} in {enclave}: still not {wanted}");
    }
    Ok(begun.elapsed())
}

#[tokio::test]
async fn a_change_of_mode_or_owner_is_effective_at_once() -> anyhow::Result<()> {
    let stack = guests().await?;
    let _sidecar = writer(stack, "fresh_change").await?;
    let admin = stack.installation().control_plane().admin()?;
    let enclave = made(&admin, "rwx------").await?;
    let (ann, bob) = (person(stack, "fresh-ann").await?, person(stack, "fresh-bob").await?);
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let deployments: Api<Deployment> = Api::namespaced(admin, &enclave);
    let change = PatchParams::default();
    let mut took = BTreeMap::new();
    let mut note =
        |what: &'static str, time: Duration| took.entry(what).or_insert_with(Vec::new).push(time.as_millis());
    assert!(may(&ann, "fresh_change", &enclave).await? && !may(&bob, "fresh_change", &enclave).await?);
    for _ in 0..5 {
        for (mode, wanted) in [("rwxrwx---", true), ("rwxr-x---", false)] {
            namespaces.patch(&enclave, &change, &annotation(MODE, mode)).await?;
            note("the enclave's mode", until_may(&bob, "fresh_change", &enclave, wanted).await?);
        }
        namespaces.patch(&enclave, &change, &annotation(MODE, "rwxrwx---")).await?;
        until_may(&bob, "fresh_change", &enclave, true).await?;
        for (mode, wanted) in [("rwxr-x---", false), ("rwxrwx---", true)] {
            deployments.patch("report", &change, &annotation(MODE, mode)).await?;
            note("the tentacle's mode", until_may(&bob, "fresh_change", &enclave, wanted).await?);
        }
        namespaces.patch(&enclave, &change, &annotation(MODE, "rwx------")).await?;
        until_may(&bob, "fresh_change", &enclave, false).await?;
        for (owner, of_ann) in [("fresh-bob@example.com", false), ("fresh-ann@example.com", true)] {
            namespaces.patch(&enclave, &change, &annotation(OWNER, owner)).await?;
            note("the owner", until_may(&ann, "fresh_change", &enclave, of_ann).await?);
            assert_eq!(may(&bob, "fresh_change", &enclave).await?, !of_ann, "one owner at a time");
        }
    }
    println!("ms until a change was effective: {took:?}");
    Ok(())
}

#[tokio::test]
async fn watches_that_say_nothing_while_all_else_is_answered_permit_nothing_that_was_withdrawn() -> anyhow::Result<()>
{
    let (stack, proxy) = kernel_through_proxy().await?;
    let _sidecar = writer(&stack, "fresh_silent").await?;
    let admin = stack.installation().control_plane().admin()?;
    let enclaves = [made(&admin, "rwxrwx---").await?, made(&admin, "rwxrwx---").await?];
    let bob = person(&stack, "fresh-bob").await?;
    for enclave in &enclaves {
        until_may(&bob, "fresh_silent", enclave, true).await?;
    }
    // Those that are open would end in their time. Whichever begins is silent from now on.
    proxy.fail(0..usize::MAX, |call| call.query.contains("watch=true"), Fault::Silence);
    proxy.set_up(false).await?;
    proxy.set_up(true).await?;
    let silent =
        |of_an_enclave| proxy.until(move |call: &Call| call.struck && call.namespace().is_some() == of_an_enclave);
    tokio::join!(silent(false), silent(true));

    let change = PatchParams::default();
    Api::<Namespace>::all(admin.clone()).patch(&enclaves[0], &change, &annotation(MODE, "rwxr-x---")).await?;
    let deployments: Api<Deployment> = Api::namespaced(admin, &enclaves[1]);
    deployments.patch("report", &change, &annotation(MODE, "rwxr-x---")).await?;
    let (of_enclave, of_tentacle) = tokio::try_join!(
        until_may(&bob, "fresh_silent", &enclaves[0], false),
        until_may(&bob, "fresh_silent", &enclaves[1], false)
    )?;
    println!("withdrawn after {of_enclave:?} and {of_tentacle:?}");
    Ok(())
}

#[tokio::test]
async fn what_the_watch_has_not_seen_is_read() -> anyhow::Result<()> {
    let stack = guests().await?;
    let _sidecar = writer(stack, "fresh_unseen").await?;
    let admin = stack.installation().control_plane().admin()?;
    let (ann, bob) = (person(stack, "fresh-ann").await?, person(stack, "fresh-bob").await?);
    for _ in 0..5 {
        let enclave = made(&admin, "rwxrwx---").await?;
        // The first word counts: nobody is told that what was just made does not exist.
        for raw in [&bob, &ann] {
            let arguments = json!({ "enclave": enclave, "name": "report" });
            let answer = Message::call(Era::Handshake, "fresh_unseen", &arguments).post(raw).await?;
            assert_eq!(answer.json()["result"]["structuredContent"]["exists"], true, "{}", answer.text);
        }
    }
    Ok(())
}

/// Calls a sidecar on its own socket, as the kernel does, with a permit that says what was so once.
async fn with_old_permit(part: Part, tool: &str, right: &str, arguments: &Value) -> anyhow::Result<Value> {
    let caller = json!({ "kind": "oidc", "sub": "bob", "email": "bob@example.com" });
    let permit = json!({ "v": 1, "tool": tool, "enclave": arguments["enclave"], "tentacle": arguments["name"],
        "exists": true, "right": right, "rule": "mode", "authz": true });
    let message = Message::call(Era::Handshake, tool, arguments);
    let socket = stack().await?.run_dir().join(format!("{}.sock", part.name()));
    let http = reqwest::Client::builder().unix_socket(socket).build()?;
    let request = http
        .post("http://localhost/mcp")
        .body(message.body)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("tentacular-caller", URL_SAFE_NO_PAD.encode(caller.to_string()))
        .header("tentacular-permit", URL_SAFE_NO_PAD.encode(permit.to_string()));
    let answer: Value = request.send().await?.json().await?;
    answer.get("result").cloned().with_context(|| answer.to_string())
}

#[tokio::test]
async fn a_sidecar_writes_nothing_on_the_word_of_an_older_decision() -> anyhow::Result<()> {
    let mcp = client().await?;
    let enclave = enclave(&mcp, "fresh-permit").await?;
    apply_word_count(&mcp, &enclave).await?;
    let admin = stack().await?.installation().control_plane().admin()?;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let deployments: Api<Deployment> = Api::namespaced(admin, &enclave);
    let change = PatchParams::default();
    let all =
        Patch::Merge(json!({ "metadata": { "annotations": { MEMBERS: "bob@example.com", MODE: "rwxr-x---" } } }));
    namespaces.patch(&enclave, &change, &all).await?;
    let to_bob = Patch::Merge(json!({ "metadata": { "annotations": {
        "tentacular.io/owner": "bob@example.com", MODE: "rwx------" } } }));
    deployments.patch("word-count", &change, &to_bob).await?;

    let place = json!({ "enclave": enclave, "name": "word-count" });
    let sentence = |result: &Value| result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    let refused = with_old_permit(Part::Registrar, "wf_remove", "write", &place).await?;
    assert!(sentence(&refused).contains("needs w for member"), "{refused}");
    assert!(deployments.get_opt("word-count").await?.is_some(), "nothing was removed");
    let ran = with_old_permit(Part::Scheduler, "wf_run", "execute", &place).await?;
    assert_eq!(ran["isError"], false, "what may still be is done: {ran}");

    namespaces.patch(&enclave, &change, &annotation("tentacular.io/enclave-status", "frozen")).await?;
    let refused = with_old_permit(Part::Scheduler, "wf_run", "execute", &place).await?;
    assert!(sentence(&refused).contains("frozen"), "{refused}");

    namespaces.patch(&enclave, &change, &annotation(MODE, "rwxrwx---")).await?;
    let removed = with_old_permit(Part::Registrar, "wf_remove", "write", &place).await?;
    assert_eq!(removed["isError"], false, "now it may: {removed}");
    assert!(deployments.get_opt("word-count").await?.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
    Ok(())
}
