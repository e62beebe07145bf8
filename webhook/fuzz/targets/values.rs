//! Reviews whose objects are changed member by member: what stands in one place is put into another, removed, repeated, or
//! replaced. So the fuzzer comes to the rules, where it would spend its time on JSON.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use serde_json::{Value, json};

/// Changes to one review.
const CHANGES: usize = 16;

static SEEDS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let seeds = [
        include_str!("../seeds/pod.json"),
        include_str!("../seeds/ephemeral-container.json"),
        include_str!("../seeds/deployment.json"),
        include_str!("../seeds/cron-job.json"),
        include_str!("../seeds/namespace.json"),
        include_str!("../seeds/namespace-gone.json"),
        include_str!("../seeds/service.json"),
        include_str!("../seeds/ingress.json"),
        include_str!("../seeds/network-policy.json"),
        include_str!("../seeds/claim.json"),
        include_str!("../seeds/secret.json"),
        include_str!("../seeds/scale.json"),
    ];
    seeds.iter().map(|seed| serde_json::from_str(seed).expect("a seed")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(review) = review(&mut Unstructured::new(bytes)) {
        tentacular_webhook_fuzz::ask(review.to_string().as_bytes(), false);
    }
});

fn review(input: &mut Unstructured<'_>) -> Result<Value> {
    let mut review = input.choose(&SEEDS)?.clone();
    for _ in 0..CHANGES {
        if input.is_empty() {
            break;
        }
        change(&mut review, input)?;
    }
    Ok(review)
}

fn change(review: &mut Value, input: &mut Unstructured<'_>) -> Result<()> {
    let paths = paths(&review["request"], "/request".to_owned());
    let path = input.choose(&paths)?;
    let value = match input.int_in_range(0..=9)? {
        0 => return Ok(remove(review, path)),
        // Into another review's object, too.
        1 => {
            let other = input.choose(&SEEDS)?;
            let from = self::paths(&other["request"], "/request".to_owned());
            other.pointer(input.choose(&from)?).cloned().unwrap_or_default()
        }
        2 => review.pointer(input.choose(&paths)?).cloned().unwrap_or_default(),
        3 => return Ok(repeat(review, path)),
        4 => Value::from(input.arbitrary::<i64>()?),
        5 => Value::from(input.arbitrary::<&str>()?),
        6 => json!([]),
        7 => json!({}),
        8 => Value::from(input.arbitrary::<bool>()?),
        _ => Value::Null,
    };
    if let Some(place) = review.pointer_mut(path) {
        *place = value;
    }
    Ok(())
}

/// The JSON pointers (RFC 6901) of all that `value` holds.
fn paths(value: &Value, at: String) -> Vec<String> {
    let within: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
            members.iter().map(|(key, value)| (format!("{at}/{}", escaped(key)), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (format!("{at}/{index}"), item)).collect(),
        _ => Vec::new(),
    };
    let mut paths = vec![at];
    paths.extend(within.into_iter().flat_map(|(at, value)| self::paths(value, at)));
    paths
}

fn remove(review: &mut Value, path: &str) {
    let Some((parent, last)) = path.rsplit_once('/') else { return };
    match review.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            items.remove(last.parse().unwrap_or_default());
        }
        _ => {}
    }
}

/// Puts an item of a list there twice.
fn repeat(review: &mut Value, path: &str) {
    let Some((parent, last)) = path.rsplit_once('/') else { return };
    if let Some(Value::Array(items)) = review.pointer_mut(parent)
        && let Some(item) = last.parse().ok().and_then(|index: usize| items.get(index))
    {
        items.push(item.clone());
    }
}
