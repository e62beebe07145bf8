//! Which fields of an object are the server's to remove. Server-side apply removes what an earlier apply set and the next
//! one leaves out, and it takes for an earlier apply only an entry of managed fields that says so. What was created by a
//! plain create, here or by an older server, has none yet.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::{Map, Value, json};
use tentacular_cluster::{FIELD_MANAGER, Object};
use tentacular_contract::keys;

const APPLY: &str = "Apply";
const UPDATE: &str = "Update";
/// The manager of what Kubernetes' own controllers write.
const CONTROLLERS: &str = "kube-controller-manager";

/// Whether server-side apply knows what of the object is the server's.
pub(crate) fn is_applied(object: &Object) -> bool {
    entries(object).iter().any(is_ours)
}

/// The managed fields that `object` has to get so that the next apply removes what it leaves out: the fields of whoever
/// wrote the label of the release count as applied, and so do annotations that other tools of this server wrote since.
/// `None` where nothing is to be changed.
pub(crate) fn migrated(object: &Object) -> Option<Vec<ManagedFieldsEntry>> {
    if is_applied(object) { gathered(object) } else { taken_over(object) }
}

/// The managed fields of an object that is adopted: whoever wrote it until now, an apply removes what it leaves out. Only
/// what controllers wrote stays theirs.
pub(crate) fn adopted(object: &Object) -> Option<Vec<ManagedFieldsEntry>> {
    made_ours(object, |entry| entry.subresource.is_none() && entry.manager.as_deref() != Some(CONTROLLERS))
}

/// What an apply has set of the object: what the next one must say again, or it removes it. Nothing where none was.
pub(crate) fn applied(object: &Object) -> Result<Value, serde_json::Error> {
    let whole = serde_json::to_value(object)?;
    let entry = entries(object).iter().find(|entry| is_ours(entry));
    let fields = entry.and_then(|entry| entry.fields_v1.as_ref()).map(|FieldsV1(fields)| fields);
    Ok(fields.map_or_else(|| json!({}), |fields| part(&whole, fields)))
}

/// The part of `value` that the fields name. A list is taken whole.
fn part(value: &Value, fields: &Value) -> Value {
    let (Some(members), Some(named)) = (value.as_object(), fields.as_object()) else { return value.clone() };
    if named.is_empty() {
        return value.clone();
    }
    let taken = named.iter().filter_map(|(field, below)| {
        let name = field.strip_prefix("f:")?;
        Some((name.to_owned(), part(members.get(name)?, below)))
    });
    Value::Object(taken.collect())
}

fn taken_over(object: &Object) -> Option<Vec<ManagedFieldsEntry>> {
    made_ours(object, is_servers)
}

/// With the entries that `are` the server's as one that it applied.
fn made_ours(object: &Object, are: impl Fn(&ManagedFieldsEntry) -> bool) -> Option<Vec<ManagedFieldsEntry>> {
    let (servers, mut others): (Vec<_>, Vec<_>) = entries(object).iter().cloned().partition(are);
    let mut servers = servers.into_iter();
    let mut entry = servers.next()?;
    for other in servers {
        unite(&mut entry, other);
    }
    entry.manager = Some(FIELD_MANAGER.to_owned());
    entry.operation = Some(APPLY.to_owned());
    others.push(entry);
    Some(others)
}

/// With the object's annotations that were patched by this server among those that it applied. What was patched elsewhere,
/// such as the time of a restart on the pods, is not an apply's to remove.
fn gathered(object: &Object) -> Option<Vec<ManagedFieldsEntry>> {
    let mut all = entries(object).to_vec();
    let mut patched = Map::new();
    for entry in all.iter_mut().filter(|entry| is_patched(entry)) {
        let Some(FieldsV1(Value::Object(fields))) = entry.fields_v1.as_mut() else { continue };
        let Some(Value::Object(metadata)) = fields.get_mut("f:metadata") else { continue };
        if let Some(Value::Object(annotations)) = metadata.remove("f:annotations") {
            merge(&mut patched, annotations);
        }
        if metadata.is_empty() {
            fields.remove("f:metadata");
        }
    }
    if patched.is_empty() {
        return None;
    }
    let is_empty = |entry: &ManagedFieldsEntry| {
        entry.fields_v1.as_ref().is_some_and(|FieldsV1(fields)| fields.as_object().is_some_and(Map::is_empty))
    };
    all.retain(|entry| !is_patched(entry) || !is_empty(entry));
    let fields = all.iter_mut().find(|entry| is_ours(entry))?.fields_v1.as_mut()?;
    let FieldsV1(Value::Object(fields)) = fields else { return None };
    let patched = json!({ "f:metadata": { "f:annotations": patched } });
    merge(fields, patched.as_object()?.clone());
    Some(all)
}

fn entries(object: &Object) -> &[ManagedFieldsEntry] {
    object.metadata.managed_fields.as_deref().unwrap_or_default()
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some(APPLY)
}

fn is_patched(entry: &ManagedFieldsEntry) -> bool {
    let by_update = entry.operation.as_deref() == Some(UPDATE) && entry.subresource.is_none();
    entry.manager.as_deref() == Some(FIELD_MANAGER) && by_update
}

/// Whether the entry is of a server that wrote the object as part of a release.
fn is_servers(entry: &ManagedFieldsEntry) -> bool {
    let label = ["f:metadata", "f:labels", &format!("f:{}", keys::RELEASE)].map(str::to_owned);
    let fields = entry.fields_v1.as_ref().map(|FieldsV1(fields)| fields);
    let owns = fields.and_then(|fields| label.iter().try_fold(fields, |fields, key| fields.get(key)));
    entry.operation.as_deref() == Some(UPDATE) && entry.subresource.is_none() && owns.is_some()
}

fn unite(entry: &mut ManagedFieldsEntry, other: ManagedFieldsEntry) {
    if let (Some(FieldsV1(Value::Object(into))), Some(FieldsV1(Value::Object(from)))) =
        (entry.fields_v1.as_mut(), other.fields_v1)
    {
        merge(into, from);
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(entries: &Value) -> Object {
        serde_json::from_value(json!({ "metadata": { "name": "a", "managedFields": entries } })).unwrap()
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    fn labelled(more: &Value) -> Value {
        let mut fields = json!({ "f:metadata": { "f:labels": { "f:tentacular.io/release": {} } } });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    }

    #[test]
    fn what_wrote_the_release_counts_as_applied_and_others_stay() {
        let other = entry("hpa", UPDATE, &json!({ "f:spec": { "f:replicas": {} } }));
        let object = object(&json!([
            entry("old-server", UPDATE, &labelled(&json!({ "f:data": { "f:a": {} } }))),
            other,
            entry("older", UPDATE, &labelled(&json!({ "f:data": { "f:b": {} } }))),
        ]));
        let migrated = serde_json::to_value(migrated(&object).unwrap()).unwrap();
        let ours = entry(FIELD_MANAGER, APPLY, &labelled(&json!({ "f:data": { "f:a": {}, "f:b": {} } })));
        assert_eq!(migrated, json!([other, ours]));
    }

    #[test]
    fn annotations_that_were_patched_count_as_applied_and_other_fields_do_not() {
        let note = |key: &str| json!({ "f:metadata": { "f:annotations": { key: {} } } });
        let pods = json!({ "f:spec": { "f:template": note("f:restarted") } });
        let mut both = note("f:mode");
        both.as_object_mut().unwrap().extend(pods.as_object().unwrap().clone());
        let applied = entry(FIELD_MANAGER, APPLY, &note("f:owner"));
        let before = object(&json!([applied, entry(FIELD_MANAGER, UPDATE, &both), entry("x", UPDATE, &note("f:x"))]));
        let together = json!({ "f:metadata": { "f:annotations": { "f:owner": {}, "f:mode": {} } } });
        let expected = json!([
            entry(FIELD_MANAGER, APPLY, &together),
            entry(FIELD_MANAGER, UPDATE, &pods),
            entry("x", UPDATE, &note("f:x")),
        ]);
        assert_eq!(serde_json::to_value(migrated(&before).unwrap()).unwrap(), expected);
        assert!(migrated(&object(&expected)).is_none(), "once is enough");
    }

    #[test]
    fn of_an_adopted_object_everything_counts_as_applied_but_what_controllers_wrote() {
        let mut scaled = entry("hpa", UPDATE, &json!({ "f:spec": { "f:replicas": {} } }));
        scaled["subresource"] = json!("scale");
        let controllers = entry(CONTROLLERS, UPDATE, &json!({ "f:metadata": {} }));
        let object = object(&json!([
            entry("kubectl-client-side-apply", UPDATE, &json!({ "f:data": { "f:a": {} } })),
            scaled,
            controllers,
            entry("helm", APPLY, &json!({ "f:data": { "f:b": {} } })),
        ]));
        let ours = entry(FIELD_MANAGER, APPLY, &json!({ "f:data": { "f:a": {}, "f:b": {} } }));
        assert_eq!(serde_json::to_value(adopted(&object).unwrap()).unwrap(), json!([scaled, controllers, ours]));
    }

    #[test]
    fn what_was_applied_is_what_the_next_apply_must_say_again() {
        let fields = json!({
            "f:metadata": { "f:labels": { ".": {}, "f:tentacular.io/release": {} }, "f:ownerReferences": { "k:{}": {} } },
            "f:data": { "f:mine": {}, "f:gone": {} }, "f:type": {},
        });
        let mut object = object(&json!([
            entry(FIELD_MANAGER, APPLY, &fields),
            entry(FIELD_MANAGER, UPDATE, &json!({ "f:data": { "f:patched": {} } })),
        ]));
        object.metadata.labels =
            Some([("tentacular.io/release", "a"), ("other", "x")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        object.data = json!({ "data": { "mine": "1", "others": "2", "patched": "3" }, "type": "Opaque" });
        let expected = json!({
            "metadata": { "labels": { "tentacular.io/release": "a" } }, "data": { "mine": "1" }, "type": "Opaque",
        });
        assert_eq!(applied(&object).unwrap(), expected);
        object.metadata.managed_fields = None;
        assert_eq!(applied(&object).unwrap(), json!({}));
    }

    #[test]
    fn an_object_that_was_applied_or_that_no_server_wrote_is_left_as_it_is() {
        let applied = object(&json!([
            entry(FIELD_MANAGER, APPLY, &labelled(&json!({}))),
            entry("old-server", UPDATE, &labelled(&json!({}))),
        ]));
        assert!(is_applied(&applied) && migrated(&applied).is_none());
        let by_hand = object(&json!([entry("kubectl", UPDATE, &json!({ "f:data": {} }))]));
        assert!(!is_applied(&by_hand) && migrated(&by_hand).is_none());
        let mut scaled = entry("x", UPDATE, &labelled(&json!({})));
        scaled["subresource"] = json!("scale");
        assert!(migrated(&object(&json!([scaled]))).is_none());
    }
}
