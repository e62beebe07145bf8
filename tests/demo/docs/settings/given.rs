//! What the chart gives each process, and by which of its values: the chart is rendered with values that are marks.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tentacular_test_harness::{
    chart::{render_unchecked, values},
    installation::SERVER_NAMESPACE,
};

/// Where what each variable of each container is comes from, in words.
pub(super) type Given = BTreeMap<String, BTreeMap<String, String>>;

/// The first number that marks a value.
const NUMBERS: u64 = 40_001;
/// Values that stand in place of others: the chart refuses both together.
const INSTEAD: [&str; 2] = ["auth.bearerToken", "exoskeleton.nats.token"];

/// All that some values give.
pub(super) async fn given() -> anyhow::Result<Given> {
    let values = values()?;
    let is_secret = |path: &str| path.ends_with(".existingSecret");
    let by_nats = |path: &str| {
        ["spiffeEnabled", "authzConfigMap", "authzNamespace"]
            .iter()
            .any(|name| path == format!("exoskeleton.nats.{name}"))
    };
    let plain = |path: &str| !is_secret(path) && !by_nats(path) && !INSTEAD.contains(&path);
    let mut given = Given::new();
    find(&marked(&values, plain), &mut given).await?;
    let mut secrets = marked(&values, |path| is_secret(path) || by_nats(path));
    for part in ["exoskeleton", "exoskeletonAuth"] {
        secrets.values[part]["enabled"] = json!(true);
    }
    find(&secrets, &mut given).await?;
    Ok(given)
}

/// Values that are marks, and the path that each number stands for. Other marks name their path.
struct Marked {
    values: Value,
    numbers: BTreeMap<String, String>,
}

fn mark(path: &str) -> String {
    format!("«{path}»")
}

fn marked(values: &Value, which: impl Fn(&str) -> bool) -> Marked {
    let mut numbers = BTreeMap::new();
    let values = marks("", values, &which, &mut numbers);
    Marked { values, numbers }
}

fn marks(path: &str, value: &Value, which: &impl Fn(&str) -> bool, numbers: &mut BTreeMap<String, String>) -> Value {
    if let Some(members) = value.as_object() {
        let below = |name: &String| if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let each = members.iter().map(|(name, value)| (name.clone(), marks(&below(name), value, which, numbers)));
        return Value::Object(each.collect::<Map<_, _>>());
    }
    match value {
        _ if !which(path) => value.clone(),
        Value::Number(_) => {
            let number = NUMBERS + numbers.len() as u64;
            numbers.insert(number.to_string(), path.to_owned());
            json!(number)
        }
        // Those with items are of objects, and so are sidecars.
        Value::Array(items) if !items.is_empty() || path == "sidecars" => value.clone(),
        Value::Array(_) => json!([mark(path)]),
        _ => json!(mark(path)),
    }
}

/// Adds what these values give.
async fn find(marked: &Marked, given: &mut Given) -> anyhow::Result<()> {
    for deployment in render_unchecked(&["server.yaml", "webhook-server.yaml"], &marked.values).await? {
        let pod = &deployment["spec"]["template"]["spec"];
        for container in ["initContainers", "containers"].iter().filter_map(|list| pod[list].as_array()).flatten() {
            let name = container["name"].as_str().context("a container has a name")?;
            let known = given.entry(name.to_owned()).or_default();
            for variable in container["env"].as_array().into_iter().flatten() {
                let Some(name) = variable["name"].as_str() else { continue };
                let told = origin(variable, container, pod, &marked.numbers);
                let before = known.entry(name.to_owned()).or_insert_with(|| told.clone());
                // What no value changes is told when nothing else is.
                if before.starts_with("always") {
                    *before = told;
                } else if !told.starts_with("always") && !before.contains(&told) {
                    *before = format!("{before}, or {told}");
                }
            }
        }
    }
    Ok(())
}

/// Where the value of a container's variable comes from.
fn origin(variable: &Value, container: &Value, pod: &Value, numbers: &BTreeMap<String, String>) -> String {
    let reference = &variable["valueFrom"]["secretKeyRef"];
    if let (Some(secret), Some(key)) = (reference["name"].as_str(), reference["key"].as_str()) {
        return format!("key `{key}` of {}", value_paths(secret, numbers).unwrap_or_default());
    }
    if variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name" {
        return "always the pod's name".to_owned();
    }
    let text = variable["value"].as_str().unwrap_or_default();
    if let Some(paths) = value_paths(text, numbers) {
        return paths;
    }
    match mounted(text, container, pod).and_then(|source| value_paths(&source, numbers)) {
        Some(paths) => format!("mounted from {paths}"),
        None if text == SERVER_NAMESPACE => "always the release's namespace".to_owned(),
        None => format!("always `{text}`"),
    }
}

/// The values whose marks are in the text.
fn value_paths(text: &str, numbers: &BTreeMap<String, String>) -> Option<String> {
    let marks = text.split('«').skip(1).filter_map(|rest| rest.split_once('»')).map(|(path, _)| path);
    let paths: Vec<_> = marks.chain(numbers.get(text).map(String::as_str)).map(|path| format!("`{path}`")).collect();
    (!paths.is_empty()).then(|| paths.join(", "))
}

/// The Secret or `ConfigMap` in which a file of the container is.
fn mounted(file: &str, container: &Value, pod: &Value) -> Option<String> {
    let mounts = container["volumeMounts"].as_array()?;
    let mount = mounts.iter().find(|mount| mount["mountPath"].as_str().is_some_and(|path| within(file, path)))?;
    let volume = pod["volumes"].as_array()?.iter().find(|volume| volume["name"] == mount["name"])?;
    [&volume["secret"]["secretName"], &volume["configMap"]["name"]]
        .into_iter()
        .find_map(Value::as_str)
        .map(str::to_owned)
}

fn within(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
