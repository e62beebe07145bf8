//! A kernel whose built-in sidecars are mirrors: they declare what the real ones do, and answer every call with what the
//! kernel decided, so that a permitted removal removes nothing.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tentacular_test_harness::{Part, Stack, mcp::Era, part};

use super::world::PREFIX;
use crate::{
    hand_made::{Call, HandMade},
    support::kernel_for,
    wire::Message,
};

/// The sidecar of tools of further kinds.
const FURTHER: &str = "more";

/// A tool: its name, or another that it answers to, and what it declares.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) declared: Value,
    /// No real tool is of this kind.
    pub(super) is_further: bool,
}

/// What each sidecar offers, by its name.
pub(super) type Offers = BTreeMap<&'static str, Vec<Value>>;

/// What the sidecars of a real stack say for themselves, aliases included, and a further one with declarations of kinds
/// that no real tool has.
pub(super) async fn offers(stack: &Stack) -> anyhow::Result<Offers> {
    let mut offers = Offers::from([(FURTHER, further())]);
    let list = Message::new(Era::Stateless, "tools/list", json!({}));
    for part in Part::SIDECARS {
        let socket = stack.run_dir().join(format!("{}.sock", part.name()));
        let http = reqwest::Client::builder().unix_socket(socket).build()?;
        let mut request = http.post("http://localhost/mcp").body(list.body.clone());
        request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        for (name, value) in &list.headers {
            request = request.header(*name, value);
        }
        let answer: Value = request.send().await?.json().await?;
        let tools = answer["result"]["tools"].as_array().with_context(|| answer.to_string())?;
        offers.insert(part.name(), tools.clone());
    }
    Ok(offers)
}

fn further() -> Vec<Value> {
    let tool = |name: &str, on: &str, needs: &str, narrows: bool| {
        let mut authz = json!({ "on": on, "needs": needs, "enclave": ["/in/enclave", "/team~1a"] });
        if narrows {
            authz["tentacle"] = json!(["/in/tentacle"]);
        }
        json!({ "name": name, "inputSchema": { "type": "object" }, "_meta": { "tentacular.io/authz": authz } })
    };
    let mut tools = vec![
        tool("more_tentacle_own", "tentacle", "own", true),
        tool("more_enclave_read", "enclave", "read", true),
        tool("more_enclave_write", "enclave", "write", false),
        tool("more_enclave_execute", "enclave", "execute", false),
        tool("more_enclave_own", "enclave", "own", false),
        tool("more_cluster_read", "cluster", "read", false),
        tool("more_cluster_own", "cluster", "own", false),
        tool("more_cluster_none", "cluster", "none", false),
        tool("more_caller_none", "caller", "none", true),
        tool("more_caller_read", "caller", "read", true),
    ];
    tools[0]["_meta"]["tentacular.io/aliases"] = json!(["more_alias"]);
    tools[3]["_meta"]["tentacular.io/authz"]["frozen"] = json!("refuse");
    tools
}

/// All tools, each under each of its names.
pub(super) fn tools(offers: &Offers) -> Vec<Tool> {
    let named = |(sidecar, tool): (&str, &Value)| {
        let aliases = tool["_meta"]["tentacular.io/aliases"].as_array().cloned().unwrap_or_default();
        let names = std::iter::once(tool["name"].clone()).chain(aliases);
        let declared = tool["_meta"]["tentacular.io/authz"].clone();
        names
            .map(|name| Tool {
                name: name.as_str().unwrap_or_default().to_owned(),
                declared: declared.clone(),
                is_further: sidecar == FURTHER,
            })
            .collect::<Vec<_>>()
    };
    let offered = offers.iter().flat_map(|(sidecar, tools)| tools.iter().map(|tool| (*sidecar, tool)));
    offered.flat_map(named).collect()
}

/// The kernel with its mirrors.
pub(super) struct Mirrored {
    pub(super) stack: Stack,
    _mirrors: Vec<HandMade>,
}

impl Mirrored {
    pub(super) async fn start(offers: &Offers, kernel_args: Vec<String>) -> anyhow::Result<Self> {
        let stack = kernel_for(PREFIX, kernel_args).await?;
        let mirror = |(name, tools): (&&'static str, &Vec<Value>)| {
            HandMade::listen(&stack.run_dir(), name, tools.clone(), reflect)
        };
        let mirrors = offers.iter().map(mirror).collect::<anyhow::Result<_>>()?;
        part::ready(&*stack.process(Part::Kernel)?).await?;
        crate::support::until_listed(&stack, "more_caller_read", true).await?;
        Ok(Self { stack, _mirrors: mirrors })
    }
}

async fn reflect(call: Call) -> std::io::Result<()> {
    let decoded = |header: &str| -> Value {
        let text = call.headers.get(header).map(String::as_str).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    };
    let seen = json!({ "caller": decoded("tentacular-caller"), "permit": decoded("tentacular-permit") });
    call.content(&seen).await
}
