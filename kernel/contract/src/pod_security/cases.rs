//! The table of pods at the boundaries of each rule. The test of this crate holds the rules to it, and an end-to-end
//! test, which includes this file, holds an API server to it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One pod, and what is wrong with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What differs from the base: JSON pointers and values, `null` removes.
    pub(crate) set: Map<String, Value>,
    /// What both levels forbid: a rule's id, a colon and the path of the field.
    #[serde(default)]
    both: Vec<String>,
    /// What only `baseline` says, as `restricted` says it by another rule.
    #[serde(default)]
    baseline: Vec<String>,
    /// What only `restricted` forbids.
    #[serde(default)]
    restricted: Vec<String>,
    /// Whether the API server refuses such a pod at any level.
    #[serde(default)]
    pub(crate) invalid: bool,
    /// The pod.
    #[serde(skip)]
    pub(crate) pod: Value,
}

impl Case {
    /// What `level` holds against it, sorted.
    pub(crate) fn expected(&self, level: &str) -> Vec<String> {
        let own = if level == "baseline" { &self.baseline } else { &self.restricted };
        let mut expected = [self.both.as_slice(), own.as_slice()].concat();
        expected.sort();
        expected
    }

    /// What to call it in a message.
    pub(crate) fn title(&self) -> String {
        Value::Object(self.set.clone()).to_string()
    }
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Table {
        base: Value,
        cases: Vec<Case>,
    }
    let table =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernel/contract/tests/data/pod_security.json"));
    let Table { base, mut cases } = serde_json::from_str(table).expect("the table is JSON of this form");
    for case in &mut cases {
        case.pod = changed(&base, case.set.iter().map(|(pointer, value)| (pointer.as_str(), value)));
    }
    cases
}

/// `pod` with each value where its pointer points to.
pub(crate) fn changed<'a>(pod: &Value, sets: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Value {
    let mut pod = pod.clone();
    for (pointer, value) in sets {
        set(&mut pod, pointer, value);
    }
    pod
}

/// Puts `value` where `pointer` points to, with the objects on the way. What is `null` is taken away.
fn set(at: &mut Value, pointer: &str, value: &Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let parent = parent.split('/').skip(1).fold(at, |at, step| match at {
        Value::Array(items) => &mut items[step.parse::<usize>().expect("an index")],
        object => {
            let members = object.as_object_mut().expect("an object");
            members.entry(step).or_insert_with(|| json!({}))
        }
    });
    let members = parent.as_object_mut().expect("an object");
    if value.is_null() {
        members.remove(key);
    } else {
        members.insert(key.to_owned(), value.clone());
    }
}
