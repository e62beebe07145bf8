//! Patches for templates of pods: for each violation the smallest change that ends it.

use serde_json::{Value, json};
use tentacular_contract::pod_security::{Rule, Violation};

/// How annotations begin that set seccomp profiles.
const SECCOMP_ANNOTATIONS: [&str; 2] =
    ["seccomp.security.alpha.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/"];

/// The operations that end `violations` in `object`, whose fields they name. They are one patch: some only work together.
pub(super) fn mend(object: &Value, violations: &[Violation]) -> Vec<Value> {
    let mut draft = Draft { object: object.clone(), operations: Vec::new() };
    // Backwards, so that what is taken out of a list does not move what is still to be.
    for violation in violations.iter().rev() {
        draft.end(violation);
    }
    draft.operations
}

/// An object that is being changed, and the operations that did so.
struct Draft {
    object: Value,
    operations: Vec<Value>,
}

impl Draft {
    fn end(&mut self, violation: &Violation) {
        let steps = steps(&violation.field);
        let parent = &steps[..steps.len().saturating_sub(1)];
        let last = steps.last().map(String::as_str);
        match violation.rule {
            Rule::AllowPrivilegeEscalation => self.set(&steps, json!(false)),
            Rule::RunAsNonRoot => self.set(&steps, json!(true)),
            Rule::CapabilitiesRestricted if last == Some("drop") => self.set(&steps, json!(["ALL"])),
            Rule::SeccompProfileBaseline | Rule::SeccompProfileRestricted => {
                self.set(parent, json!({ "type": "RuntimeDefault" }));
                self.remove_seccomp_annotations(&steps);
            }
            Rule::AppArmorProfile if last == Some("type") => self.remove(parent),
            Rule::Sysctls => self.remove(parent),
            Rule::HostPathVolumes | Rule::RestrictedVolumes => self.empty_volume(&steps),
            _ => self.remove(&steps),
        }
    }

    /// Removes the annotations of the template that set seccomp profiles before there were fields for it: the API server
    /// takes no field that says something else.
    fn remove_seccomp_annotations(&mut self, steps: &[String]) {
        let Some(template) = steps.iter().position(|step| step == "template") else { return };
        let mut at = steps[..=template].to_vec();
        at.extend(["metadata", "annotations"].map(str::to_owned));
        let annotations = self.object.pointer(&pointer(&at)).and_then(Value::as_object);
        let old = |key: &&String| SECCOMP_ANNOTATIONS.iter().any(|start| key.starts_with(start));
        let old: Vec<_> = annotations.into_iter().flat_map(|all| all.keys()).filter(old).cloned().collect();
        for key in old {
            self.remove(&[&at[..], &[key]].concat());
        }
    }

    /// Puts an empty folder in place of a volume.
    fn empty_volume(&mut self, steps: &[String]) {
        let Some(list) = steps.iter().position(|step| step == "volumes") else { return };
        let volume = &steps[..steps.len().min(list + 2)];
        let name = self.object.pointer(&pointer(volume)).map(|volume| volume["name"].clone());
        self.set(volume, json!({ "name": name, "emptyDir": {} }));
    }

    /// Puts `value` where the steps lead, with the objects on the way.
    fn set(&mut self, steps: &[String], value: Value) {
        let there = (0..=steps.len()).rev().find(|length| self.object.pointer(&pointer(&steps[..*length])).is_some());
        let there = there.unwrap_or_default();
        let op = if there == steps.len() { "replace" } else { "add" };
        // The first step that leads to nothing, and what has to be there.
        let end = steps.len().min(there + 1);
        let value = steps[end..].iter().rev().fold(value, |value, step| json!({ step.as_str(): value }));
        let at = &steps[..end];
        self.operations.push(json!({ "op": op, "path": pointer(at), "value": value }));
        if op == "replace" {
            if let Some(place) = self.object.pointer_mut(&pointer(at)) {
                *place = value;
            }
        } else if let Some((last, parent)) = at.split_last()
            && let Some(Value::Object(parent)) = self.object.pointer_mut(&pointer(parent))
        {
            parent.insert(last.clone(), value);
        }
    }

    /// Removes what stands where the steps lead, if anything does.
    fn remove(&mut self, steps: &[String]) {
        let path = pointer(steps);
        if self.object.pointer(&path).is_none() {
            return;
        }
        let Some((last, parent)) = steps.split_last() else { return };
        match self.object.pointer_mut(&pointer(parent)) {
            Some(Value::Object(parent)) => {
                parent.remove(last);
            }
            Some(Value::Array(parent)) => {
                if let Ok(index) = last.parse::<usize>() {
                    parent.remove(index);
                }
            }
            _ => return,
        }
        self.operations.push(json!({ "op": "remove", "path": path }));
    }
}

/// The steps of a path such as `spec.containers[0].name` or `metadata.annotations["a.b/c"]`.
fn steps(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, left) = if let Some(quoted) = rest.strip_prefix("[\"") {
            quoted.split_once("\"]").unwrap_or((quoted, ""))
        } else if let Some(index) = rest.strip_prefix('[') {
            index.split_once(']').unwrap_or((index, ""))
        } else {
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        steps.push(step.to_owned());
        rest = left.strip_prefix('.').unwrap_or(left);
    }
    steps
}

/// Where steps lead, as a JSON pointer (RFC 6901).
fn pointer(steps: &[String]) -> String {
    steps.iter().flat_map(|step| ["/".to_owned(), step.replace('~', "~0").replace('/', "~1")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_lists_and_quoted_keys() {
        assert_eq!(steps("spec.containers[0].name"), ["spec", "containers", "0", "name"]);
        let path = r#"spec.template.metadata.annotations["a.b/c~d"]"#;
        assert_eq!(pointer(&steps(path)), "/spec/template/metadata/annotations/a.b~1c~0d");
    }

    #[test]
    fn objects_on_the_way_are_made_once() {
        let mut draft = Draft { object: json!({ "a": [{}] }), operations: Vec::new() };
        draft.set(&steps("a[0].b.c"), json!(1));
        draft.set(&steps("a[0].b.d"), json!(2));
        draft.set(&steps("a[0].b.d"), json!(3));
        draft.remove(&steps("a[0].b.c"));
        draft.remove(&steps("a[0].b.e"));
        assert_eq!(draft.object, json!({ "a": [{ "b": { "d": 3 } }] }));
        assert_eq!(
            draft.operations,
            [
                json!({ "op": "add", "path": "/a/0/b", "value": { "c": 1 } }),
                json!({ "op": "add", "path": "/a/0/b/d", "value": 2 }),
                json!({ "op": "replace", "path": "/a/0/b/d", "value": 3 }),
                json!({ "op": "remove", "path": "/a/0/b/c" }),
            ]
        );
    }
}
