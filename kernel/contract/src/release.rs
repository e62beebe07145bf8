//! Whose an object is: the tentacle that its label names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{TentacleName, keys};

/// The tentacle that an object says it belongs to, by [`keys::RELEASE`]. An empty label says no more than none.
pub fn release_of(metadata: &ObjectMeta) -> Option<&str> {
    let label = metadata.labels.as_ref()?.get(keys::RELEASE)?;
    Some(label.as_str()).filter(|label| !label.is_empty())
}

/// Whether an object that goes by the tentacle's name may be its own: it says so, or does not say whose it is. A name proves
/// nothing: tentacle `report` may have a `report-worker-code`, which is not for whoever may read tentacle `report-worker`.
pub fn may_be_of(tentacle: &TentacleName, metadata: &ObjectMeta) -> bool {
    release_of(metadata).is_none_or(|release| release == tentacle.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_goes_by_a_tentacles_name_may_be_anothers() {
        let tentacle = "report-worker".parse().expect("a name");
        for (labels, may) in [
            (json!({ keys::RELEASE: "report-worker" }), true),
            (json!({ keys::RELEASE: "report" }), false),
            (json!({ keys::RELEASE: "" }), true),
            (json!({ keys::MANAGED_BY: keys::TENTACULAR }), true),
            (Value::Null, true),
        ] {
            let metadata = serde_json::from_value(json!({ "labels": labels })).expect("metadata");
            assert_eq!(may_be_of(&tentacle, &metadata), may, "{labels}");
        }
    }
}
