//! Pod Security on pods and on every template of pods, at the level and version that the namespace enforces. The API server
//! itself looks at pods alone, so that a template is refused here where it can still be mended.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;
use tentacular_contract::{
    Workload,
    pod_security::{Standard, Version},
};

use super::{
    Finding, Operation, Request, Verdict,
    contents::{Contents, Read},
    object::at,
};

/// What the namespace's level holds against the pods.
pub(super) fn verdict(request: &Request<'_>, contents: &Contents<'_>, server: Version) -> Verdict {
    let Some(workload) = request.kind.workload() else { return Verdict::default() };
    if request.operation == Operation::Delete || !is_judged(request, workload) {
        return Verdict::default();
    }
    let standard = Standard::enforced(request.namespace.labels, server);
    let new = findings(standard, workload, contents.object());
    if workload == Workload::Pod || new.is_empty() {
        return new.into();
    }
    Verdict::of_change(new, &findings(standard, workload, contents.old()))
}

fn findings(standard: Standard, workload: Workload, read: Option<&Read>) -> Vec<Finding> {
    let template = match read {
        Some(Ok(object)) => object.template(),
        Some(Err(violation)) => {
            let problem = format!("cannot be judged by Pod Security, as it {}", violation.problem);
            return vec![Finding::new("pod-security", workload.path(), problem)];
        }
        None => None,
    };
    let Some(template) = template else { return Vec::new() };
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let none = PodSpec::default();
    let violations = standard.violations(workload.prefix(), annotations, template.spec.as_ref().unwrap_or(&none));
    let finding = |violation: tentacular_contract::pod_security::Violation| {
        let text = violation.to_string();
        Finding { rule: violation.rule.as_str(), field: violation.field, text }
    };
    violations.into_iter().map(finding).collect()
}

/// Whether the write is of something that the rules look at. Of a pod that is there that is which containers it has and
/// their images, as the API server holds it: all else of it stays as it was admitted.
fn is_judged(request: &Request<'_>, workload: Workload) -> bool {
    match request.subresource {
        None if workload == Workload::Pod && request.operation == Operation::Update => {
            images(request.object) != images(request.old)
        }
        None | Some("ephemeralcontainers") => true,
        Some(_) => false,
    }
}

/// The images of a pod's containers, list by list; of debugging ones all that they are.
fn images(pod: Option<&Value>) -> [Vec<&Value>; 3] {
    ["initContainers", "containers", "ephemeralContainers"].map(|list| {
        let containers = at(pod, &["spec", list]).as_array().into_iter().flatten();
        containers
            .map(|container| if list == "ephemeralContainers" { container } else { &container["image"] })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{
        Kind,
        testing::{
            Rules::{Protect, Validate},
            create, object, pod, update,
        },
    };
    use super::*;

    /// An object of the kind whose pods are `spec`.
    fn of(workload: Workload, spec: &Value) -> Value {
        let template = json!({ "spec": spec });
        match workload {
            Workload::Pod => object("report", &json!({}), &template),
            Workload::PodTemplate => object("report", &json!({}), &json!({ "template": template })),
            Workload::CronJob => {
                let spec = json!({ "jobTemplate": { "spec": { "template": template } } });
                object("report", &json!({}), &json!({ "spec": spec }))
            }
            _ => object("report", &json!({}), &json!({ "spec": { "template": template } })),
        }
    }

    #[test]
    fn pods_and_all_templates_are_held_to_the_level() {
        let (mut host, mut root) = (pod(), pod());
        host["hostPID"] = json!(true);
        root["securityContext"]["runAsUser"] = json!(0);
        for workload in Workload::ALL {
            let kind = Kind::of(workload.group(), workload.kind());
            let field = |field: &str| format!("{}spec.{field}", workload.prefix());
            let (host, root) = (of(workload, &host), of(workload, &root));
            let broken = |level, object: &Value| {
                let broken = create(kind, object.clone()).at_level(level).broken(Validate);
                // What else is said to one who makes such an object is no matter of Pod Security.
                broken.into_iter().filter(|broken| !broken.starts_with("own-")).collect::<Vec<_>>()
            };
            assert_eq!(broken("restricted", &of(workload, &pod())), [""; 0]);
            assert_eq!(broken("restricted", &host), [format!("hostNamespaces {}", field("hostPID"))]);
            assert_eq!(broken("baseline", &host), [format!("hostNamespaces {}", field("hostPID"))]);
            assert_eq!(broken("privileged", &host), [""; 0]);
            assert_eq!(broken("restricted", &root), [format!("runAsUser {}", field("securityContext.runAsUser"))]);
            assert_eq!(broken("baseline", &root), [""; 0]);
            assert_eq!(create(kind, host).judged(Protect), Verdict::default());
        }
    }

    #[test]
    fn a_template_that_was_so_before_is_a_warning() {
        let mut host = pod();
        host["hostPID"] = json!(true);
        let before = of(Workload::Deployment, &host);
        let mut after = before.clone();
        after["spec"]["template"]["spec"]["hostIPC"] = json!(true);
        let verdict = update(Kind::DEPLOYMENT, before, after).judged(Validate);
        assert_eq!(verdict.violations.len(), 1, "{verdict:?}");
        assert_eq!(verdict.violations[0].field, "spec.template.spec.hostIPC");
        assert_eq!(verdict.warnings[0].field, "spec.template.spec.hostPID");
    }

    #[test]
    fn a_pod_that_is_there_is_judged_by_its_images_and_containers() {
        let mut root = pod();
        root["securityContext"]["runAsUser"] = json!(0);
        let before = of(Workload::Pod, &root);
        let mut labelled = before.clone();
        labelled["metadata"]["labels"] = json!({ "a": "b" });
        update(Kind::POD, before.clone(), labelled).allowed(Validate);
        let mut image = before.clone();
        image["spec"]["containers"][0]["image"] = json!("engine:2");
        let expected = ["runAsUser spec.securityContext.runAsUser"];
        update(Kind::POD, before.clone(), image.clone()).refused(Validate, &expected);
        let mut debugged = of(Workload::Pod, &pod());
        debugged["spec"]["ephemeralContainers"] = json!([{
            "name": "debug", "image": "busybox",
            "securityContext": { "privileged": true, "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        }]);
        let write = update(Kind::POD, of(Workload::Pod, &pod()), debugged).through("ephemeralcontainers");
        write.refused(Validate, &["privileged spec.ephemeralContainers[0].securityContext.privileged"]);
        update(Kind::POD, before, image).through("status").allowed(Validate);
    }
}
