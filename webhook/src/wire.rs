//! The JSON of an `AdmissionReview` (`admission.k8s.io/v1`), as far as this webhook reads and writes it. Each object is read
//! once, to plain JSON.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Unexpected, Visitor},
};
use serde_json::{Map, Value};

/// The only version of `AdmissionReview` that our configuration names.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";
/// The kind of both messages.
pub(crate) const KIND: &str = "AdmissionReview";

/// What the API server sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Review {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) request: Option<Asked>,
}

/// A write that is asked about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    pub(crate) uid: String,
    pub(crate) kind: GroupKind,
    pub(crate) resource: GroupResource,
    pub(crate) sub_resource: Option<String>,
    /// Empty where Kubernetes is to choose it, and for the objects of a collection that is deleted.
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) operation: Verb,
    pub(crate) user_info: User,
    pub(crate) object: Option<Object>,
    pub(crate) old_object: Option<Object>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl Asked {
    /// What is missing of that without which nothing can be said of a write of that operation.
    pub(crate) const fn missing(&self) -> Option<&'static str> {
        match self.operation {
            Verb::Create | Verb::Update if self.object.is_none() => Some("object"),
            Verb::Update | Verb::Delete if self.old_object.is_none() => Some("oldObject"),
            Verb::Create | Verb::Update | Verb::Delete | Verb::Connect => None,
        }
    }
}

/// What the write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Verb {
    Create,
    Update,
    Delete,
    Connect,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GroupKind {
    pub(crate) group: String,
    pub(crate) kind: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GroupResource {
    pub(crate) group: String,
    pub(crate) resource: String,
}

/// Who writes, as the API server authenticated it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    pub(crate) username: String,
    pub(crate) uid: Option<String>,
    pub(crate) groups: Option<Vec<String>>,
    /// Go writes a list that is none as `null`.
    pub(crate) extra: BTreeMap<String, Option<Vec<String>>>,
}

/// An object as JSON, without `metadata.managedFields`: no rule speaks of them, and they are a large part of it. Name, labels
/// and annotations are texts, and no member of it or of its metadata is there twice.
#[derive(Debug)]
pub(crate) struct Object(pub(crate) Value);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Object.deserialize(deserializer).map(Self)
    }
}

/// What of an object is read.
#[derive(Debug, Clone, Copy)]
enum Part {
    Object,
    Metadata,
    /// Labels or annotations.
    Texts,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object of Kubernetes",
            Self::Metadata => "the metadata of an object",
            Self::Texts => "labels or annotations",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        match self {
            Self::Texts => Ok(Value::Null),
            Self::Object | Self::Metadata => Err(E::invalid_type(Unexpected::Unit, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = match (self, name.as_str()) {
                (Self::Object, "metadata") => map.next_value_seed(Self::Metadata)?,
                (Self::Metadata, "managedFields") => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                (Self::Metadata, "labels" | "annotations") => map.next_value_seed(Self::Texts)?,
                (Self::Metadata, "name") => map.next_value::<Option<String>>()?.into(),
                (Self::Texts, _) => Value::String(map.next_value()?),
                _ => map.next_value()?,
            };
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member {name:?} is there twice")));
            }
            members.insert(name, value);
        }
        Ok(members.into())
    }
}

/// The answer to one request.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    /// The request's.
    pub(crate) uid: &'a str,
    pub(crate) allowed: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    /// Lines that the writer is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// How a refusal is told.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// HTTP status.
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Answer<'_> {
    /// The body of the answer.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Review<'a> {
            api_version: &'static str,
            kind: &'static str,
            response: &'a Answer<'a>,
        }
        serde_json::to_vec(&Review { api_version: API_VERSION, kind: KIND, response: self })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        serde_json::from_str::<Object>(text).map(|object| object.0).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_read_but_for_its_managed_fields() {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": { "containers": [{ "name": "a", "metadata": { "managedFields": [1] } }] },
            "metadata": { "name": "a\"b", "labels": { "a": "b" }, "annotations": null, "creationTimestamp": null,
                "finalizers": ["x"], "managedFields": [{ "fieldsV1": { "f:spec": {} } }] },
        });
        let read = read(&object.to_string()).expect("an object");
        object["metadata"].as_object_mut().expect("metadata").remove("managedFields");
        assert_eq!(read, object);
    }

    #[test]
    fn what_is_no_object_of_kubernetes_is_refused() {
        for (text, part) in [
            ("[]", "expected an object of Kubernetes"),
            ("null", "expected an object of Kubernetes"),
            (r#"{"metadata": null}"#, "expected the metadata of an object"),
            (r#"{"metadata": {"labels": {"a": 1}}}"#, "expected a string"),
            (r#"{"metadata": {"annotations": []}}"#, "expected labels or annotations"),
            (r#"{"metadata": {"name": 1}}"#, "expected a string"),
            (r#"{"metadata": {}, "metadata": {}}"#, r#"member "metadata" is there twice"#),
            (r#"{"metadata": {"name": "a", "name": "b"}}"#, r#"member "name" is there twice"#),
            (r#"{"metadata": {"labels": {"a": "b", "a": "c"}}}"#, r#"member "a" is there twice"#),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
