//! What a client wrote of a workflow: into annotations of its Deployment and into `ConfigMap`s beside it. Each part is read
//! by itself; one that cannot be read is told of and left out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tentacular_contract::{facts::Pairs, workflow};

use crate::text;

/// Longest text, in characters.
const TEXT: usize = 20_000;
/// Most entries of a list.
const ENTRIES: usize = 200;

/// A node of the workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Node {
    /// Its name.
    pub(super) name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The file with its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
}

/// A container beside the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SidecarContainer {
    /// Its name.
    name: String,
    /// Its image.
    #[serde(default)]
    image: String,
    /// The port it listens on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u32>,
}

/// Something that the workflow needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Dependency {
    /// Its name in the contract.
    name: String,
    /// How it is spoken to, such as `https` or `postgresql`.
    #[serde(default)]
    protocol: String,
    /// Whether the server provides it.
    #[serde(default)]
    managed: bool,
}

/// What the code was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GitProvenance {
    /// The commit.
    #[serde(default)]
    commit: String,
    /// The branch.
    #[serde(default)]
    branch: String,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repo: Option<String>,
    /// Whether there were changes that are not in the commit.
    #[serde(default)]
    dirty: bool,
}

/// A prompt that a node gives to a language model. It is what the workflow's author wrote for that model, for nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those that clients write and read")]
pub(crate) struct Prompt {
    /// The node.
    #[serde(default)]
    node: String,
    /// Its name.
    #[serde(default)]
    name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    /// The user prompt, with places for values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_prompt_template: Option<String>,
    /// The tools that the model is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Described>,
}

/// A text that a node fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those that clients write and read")]
pub(crate) struct Template {
    /// The node.
    #[serde(default)]
    node: String,
    /// Its name.
    #[serde(default)]
    name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Its format, such as `markdown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<String>,
}

/// Something with a name and a description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Described {
    /// Its name.
    pub(super) name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

/// Reads parts out of annotations or of a `ConfigMap`.
pub(super) struct Reader<'a> {
    /// Where the parts are, as a sentence names it.
    pub(super) place: &'static str,
    pub(super) pairs: &'a Pairs,
    pub(super) warnings: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// A text, in lines.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        Some(text::block(self.pairs.get(key)?, TEXT)).filter(|text| !text.is_empty())
    }

    /// JSON of this form.
    pub(super) fn json<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let written = self.pairs.get(key).filter(|text| !text.trim().is_empty())?;
        let value = serde_json::from_str(written).ok();
        self.formed(key, value)
    }

    /// YAML, as JSON.
    pub(super) fn yaml(&mut self, key: &str) -> Option<Value> {
        let written = self.pairs.get(key).filter(|text| !text.trim().is_empty())?;
        match workflow::json(written) {
            Ok(value) => Some(capped(value)),
            Err(error) => {
                self.warnings.push(format!("{} {key} is left out: {error}", self.place));
                None
            }
        }
    }

    /// A part of what was read.
    pub(super) fn formed<T: DeserializeOwned>(&mut self, key: &str, value: Option<Value>) -> Option<T> {
        let formed = value.map(capped).and_then(|value| serde_json::from_value(value).ok());
        if formed.is_none() {
            self.warnings.push(format!("{} {key} is left out: it has not the form that clients write", self.place));
        }
        formed
    }
}

/// A value with its texts cleaned and cut, and its lists cut.
fn capped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text::block(&text, TEXT)),
        Value::Array(values) => values.into_iter().take(ENTRIES).map(capped).collect(),
        Value::Object(members) => {
            members.into_iter().take(ENTRIES).map(|(name, value)| (text::line(&name), capped(value))).collect()
        }
        plain => plain,
    }
}

/// The nodes of `workflow.yaml`, with path and description.
pub(super) fn nodes_of(workflow: &Value) -> BTreeMap<String, Node> {
    let nodes = workflow["nodes"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let node = |(name, node): (&String, &Value)| {
        let (description, path) = (text(&node["description"]), text(&node["path"]));
        (name.clone(), Node { name: name.clone(), description, path })
    };
    nodes.map(node).collect()
}

/// The triggers of `workflow.yaml`, each as its type and schedule.
pub(super) fn triggers_of(workflow: &Value) -> Vec<String> {
    let told = |trigger: &Value| {
        let kind = trigger["type"].as_str()?;
        Some(trigger["schedule"].as_str().map_or_else(|| kind.to_owned(), |schedule| format!("{kind} {schedule}")))
    };
    workflow["triggers"].as_array().into_iter().flatten().filter_map(told).collect()
}

/// The edges of `workflow.yaml`.
pub(super) fn edges_of(workflow: &Value) -> Vec<[String; 2]> {
    let edge = |edge: &Value| Some([edge["from"].as_str()?.to_owned(), edge["to"].as_str()?.to_owned()]);
    workflow["edges"].as_array().into_iter().flatten().filter_map(edge).collect()
}
