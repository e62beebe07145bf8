//! What controllers make from templates other than those of pods: claims and Jobs. The API server asks nobody about what a
//! controller makes, so the template is held to what holds for the object.

use serde_json::Value;
use tentacular_contract::{
    keys,
    reach::{Object, Rule, Violation},
};

use super::{
    Finding, Kind,
    object::{at, release, shown},
};

/// A template in an object.
pub(super) struct Template<'a> {
    /// Its path, such as `spec.jobTemplate`.
    path: String,
    /// Its metadata and specification.
    value: &'a Value,
}

impl Template<'_> {
    /// That what is made would be taken for another release's than `own`.
    pub(super) fn release(&self, own: Option<&str>) -> Option<Finding> {
        let other = release(Some(self.value)).filter(|release| Some(*release) != own)?;
        let field = format!("{}.metadata.labels[{}]", self.path, keys::RELEASE);
        let problem = format!("{} is another tentacle's; leave it out", shown(other));
        Some(Finding::new(Rule::Labels.as_str(), field, problem))
    }

    /// The claim that is made, as the rules look at it.
    pub(super) fn claim(&self) -> Result<Object, Box<Violation>> {
        Object::read(Kind::CLAIM.as_str(), "", self.value)
    }

    /// The violation, with the field's path in the whole object.
    pub(super) fn within(&self, violation: Violation) -> Violation {
        Violation { field: format!("{}.{}", self.path, violation.field), ..violation }
    }
}

/// Templates of claims that outlive their pods.
pub(super) fn claims(kind: Kind, object: &Value) -> Vec<Template<'_>> {
    if kind != Kind::STATEFUL_SET {
        return Vec::new();
    }
    let claims = at(Some(object), &["spec", "volumeClaimTemplates"]).as_array().into_iter().flatten().enumerate();
    claims.map(|(index, value)| Template { path: format!("spec.volumeClaimTemplates[{index}]"), value }).collect()
}

/// Templates of which nothing but the metadata is to be looked at: the rest is, as part of the pods.
pub(super) fn others(kind: Kind, object: &Value) -> Vec<Template<'_>> {
    let mut found = Vec::new();
    if kind == Kind::CRON_JOB {
        found.push(Template {
            path: "spec.jobTemplate".to_owned(),
            value: at(Some(object), &["spec", "jobTemplate"]),
        });
    }
    let Some(workload) = kind.workload() else { return found };
    let pod = object.pointer(workload.pointer());
    let volumes = at(pod, &["spec", "volumes"]).as_array().into_iter().flatten().enumerate();
    found.extend(volumes.map(|(index, volume)| Template {
        path: format!("{}spec.volumes[{index}].ephemeral.volumeClaimTemplate", workload.prefix()),
        value: at(Some(volume), &["ephemeral", "volumeClaimTemplate"]),
    }));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Rules::Validate, create, object, pod};
    use super::*;

    fn labels(release: &str) -> Value {
        json!({ "labels": { "tentacular.io/release": release } })
    }

    #[test]
    fn what_is_made_is_of_no_other_release() {
        let mut with_volume = pod();
        with_volume["volumes"] = json!([{ "name": "a", "emptyDir": {} },
            { "name": "b", "ephemeral": { "volumeClaimTemplate": { "metadata": labels("report"), "spec": {} } } }]);
        for (kind, rest, path) in [
            (
                Kind::CRON_JOB,
                json!({ "spec": { "jobTemplate": { "metadata": labels("report"), "spec": { "template": { "spec": pod() } } } } }),
                "spec.jobTemplate",
            ),
            (
                Kind::STATEFUL_SET,
                json!({ "spec": { "template": { "spec": pod() },
                    "volumeClaimTemplates": [{ "metadata": labels("report"), "spec": {} }] } }),
                "spec.volumeClaimTemplates[0]",
            ),
            (Kind::POD, json!({ "spec": with_volume }), "spec.volumes[1].ephemeral.volumeClaimTemplate"),
            (
                Kind::JOB,
                json!({ "spec": { "template": { "spec": with_volume } } }),
                "spec.template.spec.volumes[1].ephemeral.volumeClaimTemplate",
            ),
        ] {
            let of =
                |release: Value| object("one", &json!({ "labels": { "tentacular.io/release": release } }), &rest);
            let expected = format!("own-labels {path}.metadata.labels[tentacular.io/release]");
            for release in [json!(null), json!("other")] {
                assert_eq!(create(kind, of(release)).broken(Validate), [expected.as_str()]);
            }
            assert_eq!(create(kind, of(json!("report"))).broken(Validate), [""; 0]);
        }
    }

    #[test]
    fn a_claim_from_a_template_takes_nobodys_volume() {
        let set = |claim: Value| {
            let claims = json!([{ "metadata": { "name": "data" }, "spec": {} }, { "spec": claim }]);
            let spec = json!({ "spec": { "template": { "spec": pod() }, "volumeClaimTemplates": claims } });
            create(Kind::STATEFUL_SET, object("one", &json!({}), &spec))
        };
        let expected = ["own-reference spec.volumeClaimTemplates[1].spec.volumeName"];
        set(json!({ "volumeName": "pv" })).refused(Validate, &expected);
        set(json!({ "storageClassName": "fast" })).allowed(Validate);
    }
}
