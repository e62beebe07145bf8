//! The members that a JSON schema describes, one row each. What a schema says and a row cannot show is an error, so that
//! no limit is lost unseen.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

use crate::text::either;

/// One member, nested ones by their path: `objects[].kind` is the member `kind` of each item of `objects`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Whether it must be there, or always is.
    pub(crate) required: bool,
    pub(crate) default: String,
    pub(crate) range: String,
    pub(crate) description: String,
}

/// The keywords that are shown. Of `additionalProperties` only a schema is; whether other members are allowed is said of
/// the whole.
const SHOWN: [&str; 19] = [
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
];

/// The members of an object, those that must be there first, in the order in which they are declared.
pub(crate) fn rows(schema: &Value) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    nested(schema, "", &mut rows)?;
    Ok(rows)
}

/// What lies in the value at `path`.
fn nested(schema: &Value, path: &str, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    for schema in variants(schema) {
        all_shown(schema).with_context(|| if path.is_empty() { "the whole".to_owned() } else { path.to_owned() })?;
        if let Some(properties) = schema["properties"].as_object() {
            let before = if path.is_empty() { String::new() } else { format!("{path}.") };
            members(properties, &schema["required"], &before, rows)?;
        }
        if schema["items"].is_object() {
            nested(&schema["items"], &format!("{path}[]"), rows)?;
        }
        if schema["additionalProperties"].is_object() {
            nested(&schema["additionalProperties"], &format!("{path}.*"), rows)?;
        }
    }
    Ok(())
}

fn members(
    properties: &Map<String, Value>,
    required: &Value,
    before: &str,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let required: Vec<_> = required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let others = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    for name in required.iter().copied().chain(others) {
        let path = format!("{before}{name}");
        let schema = properties.get(name).with_context(|| format!("{path} is required and not described"))?;
        rows.push(row(path.clone(), schema, required.contains(&name)).with_context(|| path.clone())?);
        nested(schema, &path, rows)?;
    }
    Ok(())
}

fn row(name: String, schema: &Value, required: bool) -> anyhow::Result<Row> {
    let variants = variants(schema);
    let description = schema["description"].as_str().filter(|text| !text.is_empty());
    let mut description = description.context("it has no description")?.to_owned();
    for variant in &variants {
        if let (Some(value), Some(meaning)) = (variant.get("const"), variant["description"].as_str()) {
            write!(description, " `{}`: {meaning}", plain(value))?;
        }
    }
    let ranges: BTreeSet<_> =
        variants.iter().map(|variant| range(variant)).filter(|range| !range.is_empty()).collect();
    let mut kind = kind(schema)?;
    // Where a member may be left out, `null` is another way to leave it out.
    if required && variants.iter().any(|variant| allows_null(variant)) {
        kind += " or null";
    }
    Ok(Row {
        name,
        kind,
        required,
        default: schema.get("default").map(|default| format!("`{default}`")).unwrap_or_default(),
        range: ranges.into_iter().collect::<Vec<_>>().join("; "),
        description,
    })
}

/// The schemas of which a value meets one.
fn variants(schema: &Value) -> Vec<&Value> {
    match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        Some(alternatives) => alternatives.iter().flat_map(variants).collect(),
        None => vec![schema],
    }
}

fn allows_null(schema: &Value) -> bool {
    let types = &schema["type"];
    types == "null" || types.as_array().is_some_and(|types| types.iter().any(|name| name == "null"))
}

/// What kind of value it is, `null` apart.
fn kind(schema: &Value) -> anyhow::Result<String> {
    let mut kinds = Vec::new();
    for variant in variants(schema) {
        all_shown(variant)?;
        for kind in kinds_of(variant)? {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    Ok(either(&kinds))
}

fn kinds_of(schema: &Value) -> anyhow::Result<Vec<String>> {
    if let Some(value) = schema.get("const") {
        return Ok(vec![format!("`{}`", plain(value))]);
    }
    if let Some(values) = schema["enum"].as_array() {
        return Ok(values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| format!("`{}`", plain(value)))
            .collect());
    }
    let types: Vec<_> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => return Ok(vec!["any JSON".to_owned()]),
    };
    types
        .into_iter()
        .filter(|&name| name != "null")
        .map(|name| match name {
            "array" if schema.get("items").is_some() => Ok(format!("list of {}", plural(&kind(&schema["items"])?))),
            "object" if schema["additionalProperties"].is_object() => {
                Ok(format!("object of {}", plural(&kind(&schema["additionalProperties"])?)))
            }
            name => Ok(name.to_owned()),
        })
        .collect()
}

fn plural(kind: &str) -> String {
    match kind {
        "string" | "object" | "integer" | "number" | "boolean" => format!("{kind}s"),
        kind => kind.to_owned(),
    }
}

fn range(schema: &Value) -> String {
    let bounds = |least: &str, most: &str, unit: &str| {
        let bound = |name| schema.get(name).map(Value::to_string);
        match (bound(least), bound(most)) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
            (Some(least), None) => Some(format!("at least {least}{unit}")),
            (None, Some(most)) => Some(format!("at most {most}{unit}")),
            (None, None) => None,
        }
    };
    let ranges = [
        bounds("minimum", "maximum", ""),
        bounds("minLength", "maxLength", " characters"),
        bounds("minItems", "maxItems", " items"),
        schema["pattern"].as_str().map(|pattern| format!("matches `{pattern}`")),
        schema["format"].as_str().map(|format| format!("a {format}")),
    ];
    ranges.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// A value as one writes it in prose: text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn all_shown(schema: &Value) -> anyhow::Result<()> {
    let keywords = match schema {
        Value::Object(keywords) => keywords,
        // It allows anything.
        Value::Bool(true) => return Ok(()),
        other => bail!("{other} is no schema that can be shown"),
    };
    for keyword in keywords.keys() {
        ensure!(SHOWN.contains(&keyword.as_str()), "the schema's keyword {keyword:?} cannot be shown yet");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
