//! Lists of the real sidecars show what their caller may read, and nothing else.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::json;
use tentacular_test_harness::{
    Provider, Stack,
    mcp::{Era, Raw},
};

use super::{
    ORDINARY,
    model::{Caller, Expected, Named, Place, Question, expected},
    world::{Enclaves, PREFIX, Person},
};
use crate::wire::Message;

/// Compares the lists of everybody with the model's; returns how many there were.
pub(super) async fn compare(
    provider: &Provider,
    stack: &Stack,
    enclaves: &Enclaves,
    people: &[&Person],
) -> anyhow::Result<usize> {
    for person in people {
        let raw = person.token(provider).map_or_else(|| stack.raw(), |token| stack.raw_as(&token));
        let (seen, inside) = readable(enclaves, &person.caller);
        let listed =
            listed(&raw, "enclave_list", "enclaves", |entry| entry["name"].as_str().map(str::to_owned)).await?;
        assert_eq!(listed, seen, "enclaves of {}", person.name);
        let listed = self::listed(&raw, "wf_list", "workflows", |entry| {
            Some(format!("{}/{}", entry["enclave"].as_str()?, entry["name"].as_str()?))
        })
        .await?;
        assert_eq!(listed, inside, "tentacles of {}", person.name);
    }
    Ok(people.len() * 2)
}

/// The enclaves, and the tentacles, that the model lets somebody read.
fn readable(enclaves: &Enclaves, caller: &Caller) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut seen, mut inside) = (BTreeSet::new(), BTreeSet::new());
    for (name, (enclave, tentacles)) in enclaves {
        let reads = |declared, tentacle| {
            let enclave = Some(Place::Enclave(enclave));
            let question = Question { settings: ORDINARY, caller, declared: &declared, enclave, tentacle };
            matches!(expected(&question), Expected::Allowed { .. })
        };
        // One that is being deleted is listed no more, though it can be read.
        if !enclave.terminating && reads(json!({ "on": "enclave", "needs": "read" }), None) {
            seen.insert(name.clone());
        }
        let readable = tentacles.iter().filter(|(_, tentacle)| {
            reads(json!({ "on": "tentacle", "needs": "read" }), Some(Named::There(tentacle)))
        });
        inside.extend(readable.map(|(tentacle, _)| format!("{name}/{tentacle}")));
    }
    (seen, inside)
}

/// All pages of a list, as far as they are of this test.
async fn listed(
    raw: &Raw,
    tool: &str,
    member: &str,
    name: impl Fn(&serde_json::Value) -> Option<String>,
) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut arguments = json!({});
    loop {
        let answer = Message::call(Era::Stateless, tool, &arguments).post(raw).await?;
        let page = answer.json()["result"]["structuredContent"].clone();
        let entries = page[member].as_array().with_context(|| answer.text.clone())?;
        names.extend(entries.iter().filter_map(&name).filter(|name| name.starts_with(PREFIX)));
        match page["next_cursor"].as_str() {
            Some(cursor) => arguments["cursor"] = json!(cursor),
            None => return Ok(names),
        }
    }
}
