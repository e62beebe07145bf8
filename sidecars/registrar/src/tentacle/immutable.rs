//! What to do about a field that Kubernetes never changes.

use tentacular_cluster::{Error, Kind};

use super::manifest::Manifest;

/// How the API server says that a field keeps its value for ever.
const SAYINGS: [&str; 3] = ["immutable", "may not change once set", "may not be changed"];

/// Whether the API server refuses because a field cannot be changed.
pub(crate) fn is(error: &Error) -> bool {
    matches!(error, Error::Invalid { message, .. } if SAYINGS.iter().any(|saying| message.contains(saying)))
}

fn is_about(error: &Error, field: &str) -> bool {
    matches!(error, Error::Invalid { causes, .. } if causes.iter().any(|cause| cause.field == field))
}

/// The refusal of `manifest`, with what to do where a field cannot be changed.
pub(crate) fn advice(manifest: &Manifest, error: &Error) -> String {
    if !is(error) {
        return error.to_string();
    }
    let what = match manifest.kind {
        Kind::Job => {
            "the pods of a Job that exists stay as they are; give the Job another name, or apply with replace_jobs: true, \
             which deletes it with its pods and makes it anew"
        }
        Kind::PersistentVolumeClaim => {
            "of a volume that exists only the requested storage can be raised; leave the rest as it is, or give the claim \
             another name and move the data"
        }
        Kind::Deployment => {
            "a Deployment that exists keeps its selector; leave that as it is, or remove the tentacle with wf_remove \
             and apply it again"
        }
        Kind::ConfigMap | Kind::Secret if !is_about(error, "type") => {
            "it was made immutable; give the new one another name and refer to that, and the old one is removed"
        }
        _ => "leave the field as it is, or give the object another name",
    };
    format!("{error}: {what}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_field_that_cannot_change_gets_advice_and_another_refusal_none() {
        let manifest = |kind| Manifest { kind, name: "a".to_owned(), body: Value::Null };
        let error = |message: &str| Error::Invalid {
            object: "Job team-a/a".to_owned(),
            message: message.to_owned(),
            causes: Vec::new(),
        };
        let immutable = error("spec.template: field is immutable");
        let text = advice(&manifest(Kind::Job), &immutable);
        assert!(text.contains("spec.template") && text.contains("replace_jobs"), "{text}");
        for kind in Kind::ALL {
            assert!(advice(&manifest(kind), &immutable).len() > immutable.to_string().len(), "{kind}");
            let other = error("spec.ports: Required value");
            assert_eq!(advice(&manifest(kind), &other), other.to_string());
        }
    }
}
