//! A namespace that holds pods to a standard, and the question what the API server says to a pod there.

use anyhow::{Context as _, bail, ensure};
use http::{Method, Request};
use kube::{Client, client::Body, core::Status};
use serde_json::{Value, json};
use tentacular_contract::{
    Workload,
    pod_security::{ENFORCE, ENFORCE_VERSION, Level, Standard, Version},
};
use tentacular_test_harness::{ControlPlane, until};

use super::{
    cases::changed,
    judgement::{Judgement, ours, theirs},
};

/// Pods to which ephemeral containers are added: with and without what `restricted` asks for, and for Windows.
const STANDING: [(&str, &str); 4] = [
    ("hardened", "{}"),
    (
        "bare",
        r#"{"/spec/securityContext": null, "/spec/initContainers": null, "/spec/containers": [{"name": "only", "image": "i"}]}"#,
    ),
    (
        "windows",
        r#"{"/spec/os": {"name": "windows"}, "/spec/securityContext": {"runAsNonRoot": true}, "/spec/initContainers": null, "/spec/containers": [{"name": "only", "image": "i"}]}"#,
    ),
    ("remapped", r#"{"/spec/hostUsers": false, "/spec/securityContext/runAsNonRoot": null}"#),
];

/// Who gets the ephemeral containers of a pod that is asked about: nobody can be created with some.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing(usize);

impl Standing {
    pub(super) const ALL: [Self; 4] = [Self(0), Self(1), Self(2), Self(3)];

    /// That pod with these ephemeral containers.
    pub(super) fn with(self, base: &Value, ephemeral: &Value) -> Value {
        changed(&self.pod(base), [("/spec/ephemeralContainers", ephemeral)])
    }

    fn pod(self, base: &Value) -> Value {
        let (name, sets) = STANDING[self.0];
        let sets: Value = serde_json::from_str(sets).unwrap();
        let pod = changed(base, sets.as_object().unwrap().iter().map(|(at, value)| (at.as_str(), value)));
        changed(&pod, [("/metadata/name", &json!(name))])
    }
}

/// A namespace that enforces a standard.
pub(super) struct Place {
    client: Client,
    name: String,
    /// The standard as its labels say it, such as `restricted:latest`.
    pub(super) asked: String,
    /// The same as contract reads it.
    standard: Standard,
}

struct Answer {
    status: u16,
    warnings: Vec<String>,
    message: String,
}

impl Place {
    /// A new namespace with such labels. In it stand pods that need not keep to them, made of `base`.
    pub(super) async fn new(
        control_plane: &ControlPlane,
        server: Version,
        (level, version): (Level, &str),
        base: &Value,
    ) -> anyhow::Result<Self> {
        let labels = [(ENFORCE, level.as_str()), (ENFORCE_VERSION, version)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let place = Self {
            client: control_plane.admin()?,
            name: control_plane.namespace("pods").await?,
            asked: format!("{}:{version}", level.as_str()),
            standard: Standard::enforced(&labels, server),
        };
        for standing in Standing::ALL {
            let answer = place.send(Method::POST, "/api/v1", "pods", &standing.pod(base)).await?;
            ensure!(answer.status == 201, "{}", answer.message);
        }
        let labels = json!({ "metadata": { "labels": labels } });
        let answer = place.send(Method::PATCH, "/api/v1", "", &labels).await?;
        ensure!(answer.status == 200, "{}", answer.message);
        place.labelled().await?;
        Ok(place)
    }

    /// Waits until the API server goes by the labels.
    async fn labelled(&self) -> anyhow::Result<()> {
        let pod = json!({ "metadata": { "name": "p" }, "spec": {
            "hostPID": true, "containers": [{ "name": "c", "image": "i" }],
        } });
        until(format!("{} enforces {}", self.name, self.asked), async || {
            let answer = self.send(Method::POST, "/api/v1", "pods?dryRun=All", &pod).await?;
            ensure!(answer.message.contains(&format!(" {:?}: ", self.asked)), "{}", answer.message);
            Ok(())
        })
        .await
    }

    /// What the API server holds against `pod`, of which `standing` is there already, if that says so; `None` for what
    /// is no valid pod.
    pub(super) async fn asks(&self, pod: &Value, standing: Option<Standing>) -> anyhow::Result<Option<Judgement>> {
        let answer = if let Some(Standing(index)) = standing {
            let resource = format!("pods/{}/ephemeralcontainers?dryRun=All", STANDING[index].0);
            let patch = json!({ "spec": { "ephemeralContainers": pod["spec"]["ephemeralContainers"] } });
            self.send(Method::PATCH, "/api/v1", &resource, &patch).await?
        } else {
            self.send(Method::POST, "/api/v1", "pods?dryRun=All", pod).await?
        };
        match answer.status {
            200 | 201 => Ok(Some(Judgement::new())),
            403 => theirs(&answer.message, &self.asked, self.standard, pod).map(Some),
            422 => Ok(None),
            status => bail!("{status}: {}", answer.message),
        }
    }

    /// What the API server warns of when an object of that kind is made with `pod` as its template; `None` for what is
    /// no valid one.
    pub(super) async fn warns(&self, workload: Workload, object: &Value) -> anyhow::Result<Option<Judgement>> {
        let group = if workload.group().is_empty() {
            "/api/v1".to_owned()
        } else {
            format!("/apis/{}", workload.api_version())
        };
        let resource = format!("{}s?dryRun=All", workload.kind().to_lowercase());
        let answer = self.send(Method::POST, &group, &resource, object).await?;
        let pod = object.pointer(workload.pointer()).context("a template")?;
        match answer.status {
            201 => {
                let mut warnings = answer.warnings.iter().filter(|warning| warning.contains(" PodSecurity "));
                let judgement = warnings.next().map(|warning| theirs(warning, &self.asked, self.standard, pod));
                Ok(Some(judgement.transpose()?.unwrap_or_default()))
            }
            422 => Ok(None),
            status => bail!("{status}: {}", answer.message),
        }
    }

    /// What we hold against the pods of an object of that kind.
    pub(super) fn judges(&self, workload: Workload, object: &Value) -> anyhow::Result<Judgement> {
        let template = workload.template(object)?.context("a template")?;
        let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
        let found = self.standard.violations(workload.prefix(), annotations, &template.spec.context("a spec")?);
        Ok(ours(&found, workload.prefix(), object.pointer(workload.pointer()).context("a template")?))
    }

    pub(super) const fn level(&self) -> Level {
        self.standard.level
    }

    async fn send(&self, method: Method, group: &str, resource: &str, body: &Value) -> anyhow::Result<Answer> {
        let namespace = format!("{group}/namespaces/{}", self.name);
        let uri = if resource.is_empty() { namespace } else { format!("{namespace}/{resource}") };
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(uri).header("Content-Type", kind);
        let answer = self.client.send(request.body(Body::from(serde_json::to_vec(body)?))?).await?;
        let warnings = answer.headers().get_all("Warning").into_iter();
        let warnings = warnings.map(|warning| Ok(unquoted(warning.to_str()?))).collect::<anyhow::Result<_>>()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await?;
        let message = if status < 300 { String::new() } else { serde_json::from_slice::<Status>(&body)?.message };
        Ok(Answer { status, warnings, message })
    }
}

/// The text of a warning such as `299 - "would \"do\" so"` (RFC 7234, section 5.5).
fn unquoted(warning: &str) -> String {
    warning.trim_start_matches("299 - \"").trim_end_matches('"').replace("\\\"", "\"")
}
