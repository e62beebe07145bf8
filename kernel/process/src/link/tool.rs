//! What a sidecar says of a tool: its name, its schema, and the authorization it declares.

use std::sync::Arc;

use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;
use tentacular_contract::{Authz, Frozen, keys};

/// A tool as a sidecar registers it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    authz: Authz,
    aliases: &'static [&'static str],
    hints: ToolAnnotations,
}

impl ToolSpec {
    /// A tool that changes something, is neither destructive nor idempotent, and acts on the open world.
    pub fn new(name: &'static str, title: &'static str, description: &'static str, authz: Authz) -> Self {
        let hints = ToolAnnotations::new().read_only(false).destructive(false).idempotent(false).open_world(true);
        Self { name, title, description, authz, aliases: &[], hints }
    }

    /// It changes nothing: a lost connection may cancel it, and it may be sent again.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.hints = self.hints.read_only(true).idempotent(true);
        self
    }

    /// Calling it again with the same arguments changes nothing further.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.hints = self.hints.idempotent(true);
        self
    }

    /// It removes something.
    #[must_use]
    pub fn destructive(mut self) -> Self {
        self.hints = self.hints.destructive(true);
        self
    }

    /// Other names it answers to: callable, never listed.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.hints.read_only_hint == Some(true)
    }

    pub(super) const fn frozen(&self) -> Option<Frozen> {
        self.authz.frozen
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// The tool as `tools/list` shows it.
    pub(super) fn listed<A: JsonSchema, O: JsonSchema>(&self) -> Tool {
        let mut meta = MetaObject::default();
        let authz = serde_json::to_value(&self.authz).unwrap_or_default();
        meta.insert(keys::AUTHZ_META.to_owned(), authz);
        if !self.aliases.is_empty() {
            meta.insert(keys::ALIASES_META.to_owned(), serde_json::json!(self.aliases));
        }
        Tool::new(self.name, self.description, schema::<A>(false))
            .with_title(self.title)
            .with_raw_output_schema(schema::<O>(true))
            .with_annotations(self.hints.clone())
            .with_meta(meta)
    }
}

/// Removes what only Rust means: number formats such as `uint64`, which other languages' validators complain of, and
/// `null` as the default of what may be left out.
fn forget_rust(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let format = members.get("format").and_then(Value::as_str).unwrap_or_default();
            if format.starts_with("uint") || format.starts_with("int") {
                members.remove("format");
            }
            if members.get("default") == Some(&Value::Null) {
                members.remove("default");
            }
            members.values_mut().for_each(forget_rust);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_rust),
        _ => {}
    }
}

/// Removes `null` from the types of what may be left out: a result leaves a member out and never says `null`.
fn left_out_is_never_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let required = members.get("required").cloned().unwrap_or_default();
            let required: Vec<_> = required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let properties = members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
            for (_, property) in properties.filter(|(name, _)| !required.contains(&name.as_str())) {
                if let Some(Value::Array(types)) = property.get_mut("type") {
                    types.retain(|name| name != "null");
                    if let [one] = types.as_slice() {
                        property["type"] = one.clone();
                    }
                }
            }
            members.values_mut().for_each(left_out_is_never_null);
        }
        Value::Array(items) => items.iter_mut().for_each(left_out_is_never_null),
        _ => {}
    }
}

/// The JSON schema of a type, subschemas inline: clients that do not follow `$ref` understand it too.
fn schema<T: JsonSchema>(output: bool) -> Arc<JsonObject> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        if output {
            settings.contract = schemars::generate::Contract::Serialize;
        }
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    forget_rust(&mut schema);
    if output {
        left_out_is_never_null(&mut schema);
    }
    let mut object = match schema {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    };
    object.remove("title");
    object.entry("type").or_insert_with(|| Value::String("object".to_owned()));
    Arc::new(object)
}
