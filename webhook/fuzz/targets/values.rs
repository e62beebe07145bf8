//! Reviews whose objects are changed member by member: what stands in one place is put into another, removed, repeated, or
//! replaced. So the fuzzer comes to the rules, where it would spend its time on JSON.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use serde_json::{Value, json};
use tentacular_webhook_fuzz::ask;

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
    assert!(seeds.iter().all(|seed| ask(seed.as_bytes())), "a seed is no review");
    seeds.iter().map(|seed| serde_json::from_str(seed).expect("JSON")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(review) = review(&mut Unstructured::new(bytes)) {
        ask(review.to_string().as_bytes());
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
    let path = &place(review, input)?;
    let value = match input.int_in_range(0..=9)? {
        0 => {
            remove(review, path);
            return Ok(());
        }
        1 => {
            repeat(review, path);
            return Ok(());
        }
        2 => found(input.choose(&SEEDS)?, input)?,
        3 => found(review, input)?,
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

/// What stands somewhere in a review.
fn found(review: &Value, input: &mut Unstructured<'_>) -> Result<Value> {
    Ok(review.pointer(&place(review, input)?).cloned().unwrap_or_default())
}

/// The JSON pointer (RFC 6901) of some place in a review.
fn place(review: &Value, input: &mut Unstructured<'_>) -> Result<String> {
    let mut at = "/request".to_owned();
    let mut value = &review["request"];
    loop {
        let next = match value {
            Value::Object(members) if !members.is_empty() => {
                let member = members.iter().nth(input.choose_index(members.len())?);
                member.map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            }
            Value::Array(items) if !items.is_empty() => {
                let index = input.choose_index(items.len())?;
                Some((index.to_string(), &items[index]))
            }
            _ => None,
        };
        let Some((step, within)) = next else { return Ok(at) };
        at = format!("{at}/{step}");
        value = within;
        if input.ratio(1, 5)? {
            return Ok(at);
        }
    }
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
