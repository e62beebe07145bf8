//! What an apply would change, told from the API server's answer to a dry run. Its resource version cannot tell: a dry
//! run stores nothing, so it stays the same.

use serde_json::{Value, json};
use tentacular_cluster::Object;

use super::{fields, outcome::Effect, release};

/// What an apply does whose answer would be `after`.
pub(crate) fn effect(live: Option<&Object>, after: &Object) -> Effect {
    let Some(live) = live else { return Effect::Created };
    // One that was not applied before must be written once, so that fields which a later manifest drops are removed.
    if fields::is_applied(live) && content(live) == content(after) { Effect::Unchanged } else { Effect::Updated }
}

/// What a manifest decides of an object.
pub(crate) fn content(object: &Object) -> Value {
    let mut annotations = release::annotations(object);
    // Written by the Deployment controller, at any time.
    annotations.remove("deployment.kubernetes.io/revision");
    let mut content = object.data.clone();
    if let Some(content) = content.as_object_mut() {
        content.remove("status");
        content
            .insert("metadata".to_owned(), json!({ "labels": object.metadata.labels, "annotations": annotations }));
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(manager: &str, data: &str, more: &Value) -> Object {
        let mut object = json!({
            "metadata": {
                "name": "a", "resourceVersion": "1", "annotations": { "k": "v" },
                "managedFields": [{ "manager": manager, "operation": "Apply" }],
            },
            "data": { "k": data },
        });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_effect_is_a_difference_in_what_a_manifest_decides() {
        let before = object("tentacular", "1", &json!({}));
        assert_eq!(effect(None, &before), Effect::Created);
        assert_eq!(effect(Some(&before), &object("tentacular", "2", &json!({}))), Effect::Updated);
        let elsewhere = object("tentacular", "1", &json!({ "status": { "replicas": 1 } }));
        assert_eq!(effect(Some(&before), &elsewhere), Effect::Unchanged);
    }

    #[test]
    fn what_another_server_wrote_is_written_once() {
        let same = object("mcp-server", "1", &json!({}));
        assert_eq!(effect(Some(&same), &same), Effect::Updated);
    }
}
