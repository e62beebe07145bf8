//! What the sidecars list, each asked on its socket.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_contract::{Authz, keys};
use tentacular_demo::Message;
use tentacular_test_harness::{Part, mcp::Era, tls};

use crate::started::Started;

/// A tool as its sidecar lists it.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) authz: Authz,
    pub(crate) read_only: bool,
    pub(crate) destructive: bool,
    pub(crate) idempotent: bool,
    pub(crate) arguments: Value,
    pub(crate) result: Value,
}

/// All tools, by the sidecar that has them.
pub(crate) async fn all(started: &Started) -> anyhow::Result<Vec<(Part, Vec<Tool>)>> {
    let mut sections = Vec::new();
    for sidecar in Part::SIDECARS {
        let tools = ask(&started.scratch.path().join(format!("{}.sock", sidecar.name())))
            .await
            .with_context(|| format!("the {} was asked for its tools", sidecar.name()))?;
        sections.push((sidecar, tools));
    }
    Ok(sections)
}

async fn ask(socket: &Path) -> anyhow::Result<Vec<Tool>> {
    let Message { body, headers } = Message::new(Era::Stateless, "1", "tools/list", json!({}));
    let mut request = tls::plain().unix_socket(socket).build()?.post("http://localhost/mcp").body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer: Value = request.send().await?.json().await?;
    let result = &answer["result"];
    ensure!(result["nextCursor"].is_null(), "there is a second page of tools");
    result["tools"].as_array().with_context(|| answer.to_string())?.iter().map(tool).collect()
}

fn tool(listed: &Value) -> anyhow::Result<Tool> {
    let name = listed["name"].as_str().context("a tool has no name")?.to_owned();
    let text = |member: &str| {
        let text = listed[member].as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).with_context(|| format!("{name} has no {member}"))
    };
    let hint = |member: &str| {
        listed["annotations"][member].as_bool().with_context(|| format!("{name} does not say its {member}"))
    };
    let aliases = listed["_meta"][keys::ALIASES_META].as_array().into_iter().flatten();
    Ok(Tool {
        title: text("title")?,
        description: text("description")?,
        aliases: aliases.filter_map(Value::as_str).map(str::to_owned).collect(),
        authz: Authz::parse(listed["_meta"].get(keys::AUTHZ_META)).with_context(|| name.clone())?,
        read_only: hint("readOnlyHint")?,
        destructive: hint("destructiveHint")?,
        idempotent: hint("idempotentHint")?,
        arguments: listed["inputSchema"].clone(),
        result: listed["outputSchema"].clone(),
        name,
    })
}
