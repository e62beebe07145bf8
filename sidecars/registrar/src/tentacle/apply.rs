//! `wf_apply`: makes a tentacle what its manifests say. Nothing is written before all of it was checked: the manifests,
//! the caller's right, whose objects stand there, and what the API server says to each object.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tentacular_contract::{Authz, Mode, Needs, On, reach::Scope};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{
    neighbours,
    outcome::Outcome,
    ownership::Stamp,
    pod_security, prune,
    release::{self, Live},
    standing::Standing,
    validate::{self, Checked, Violations},
    write::Plan,
};
use crate::registrar::Registrar;

/// What `wf_apply` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "wf_apply",
        "Apply a tentacle",
        "Creates or updates a tentacle from its Kubernetes manifests. The manifests are the whole tentacle: what it \
         had and they no longer have is removed, except volumes. Everything is checked before anything is written: \
         first the manifests, then what the API server says to each; all violations of a stage are reported at once. \
         Pods must meet the Pod Security level that the enclave enforces, usually restricted (what is left out is \
         filled in), and listen on 8080 for POST /run and GET /health. The call does not wait for pods: \
         wf_status says whether they start. A tentacle reaches only its own: every ConfigMap, Secret and volume that its \
         pods name is among the manifests or called <name>-code, -metadata, -import-map or -secrets, and its Services \
         and NetworkPolicies select its own pods by a label of their own. One request holds at most 4 MiB.",
        Authz::new(On::Tentacle, Needs::Write)
            .enclave_at(&["/enclave", "/namespace"])
            .tentacle_at(&["/name"])
            .creates()
            .not_frozen()
            .within_seconds(300),
    )
    .destructive()
    .idempotent()
}

/// Arguments of `wf_apply`. No `Debug`, as a manifest may be a Secret.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by somebody who has exactly one.
    #[serde(default, rename = "enclave")]
    _enclave: Option<String>,
    /// Another name of `enclave`.
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    /// Name of the tentacle, which is its Deployment's: 1 to 63 of a-z, 0-9 and '-', starting with a letter.
    #[serde(rename = "name")]
    _name: String,
    /// The Kubernetes objects that the tentacle consists of, at most 100 of at most 1 MiB each: Deployment, Service,
    /// `ConfigMap`, Secret, `PersistentVolumeClaim`, `NetworkPolicy`, Job, `CronJob`, and Ingress where the installation
    /// has a domain for it. One must be the Deployment of its name.
    #[schemars(length(min = 1, max = 100))]
    manifests: Vec<Map<String, Value>>,
    /// What owner, members and others may do with the tentacle: nine characters such as rwxr-x--- (r list, status and
    /// health; w apply and remove; x run), or a preset: private rwx------, member-read rwxr-x---, member-run rwx--x---,
    /// member-edit rwxrwx---, public-read rwxr--r--, open-read rwxrwxr--, open-run rwxrwxr-x. The enclave's mode must
    /// allow the same. Left out, a new tentacle gets the enclave's default mode and another keeps its own.
    #[serde(default)]
    mode: Option<String>,
    /// Check everything, the API server's checks included, say what would change, and write nothing. Default false.
    #[serde(default)]
    dry_run: bool,
}

/// Applies the manifests to the tentacle of the permit.
pub(crate) async fn apply(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let Arguments { manifests, mode, dry_run, .. } = arguments;
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    let asked = mode.as_deref().map(str::trim).filter(|mode| !mode.is_empty()).map(str::parse::<Mode>).transpose()?;
    let _turn = registrar.turns.take(enclave).await;
    let standing = Standing::read(&registrar, &permitted).await?;
    let mode = standing.mode(&permitted, asked)?;
    let new = standing.deployment.is_none();

    let (release, neighbours) = tokio::try_join!(
        async { Ok(release::read(&registrar.cluster, enclave, tentacle).await?) },
        neighbours::read(&registrar.cluster, enclave, tentacle),
    )?;
    if new && !release.is_empty() && !standing.is_commanded_by(&permitted) {
        return Err(left_behind(&release, enclave.as_str(), tentacle.as_str()));
    }
    let scope = Scope { enclave, tentacle, ingress_domain: registrar.platform.ingress_domain.as_deref() };
    let Checked { manifests, objects, mut names, mut warnings, mut violations } = validate::check(manifests, &scope);
    let level = standing.pod_security;
    violations.extend(manifests.iter().flat_map(|manifest| pod_security::violations(manifest, level)));
    names.extend(prune::kept(&release));
    let beside = scope.among(&objects, &names, &neighbours);
    violations.extend(beside.iter().map(|violation| format!("{}: {violation}", violation.object)));
    let mut plan = Plan::read(&registrar.cluster, (enclave, tentacle), manifests, release).await?;
    violations.extend(plan.obstacles());
    if !violations.is_empty() {
        return Err(Violations(violations).into());
    }
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let stamp = Stamp { caller: permitted.caller(), mode, now: &now };
    plan.rehearse(&stamp).await?;
    if !dry_run {
        plan.write(&stamp, &permitted).await?;
    }
    warnings.extend_from_slice(plan.warnings());
    Ok(Outcome::of(tentacle.to_string(), enclave.to_string(), (new, dry_run), plan.changes(), warnings))
}

/// Whoever may create a tentacle may not thereby get at what an earlier one left.
fn left_behind(release: &[Live], enclave: &str, tentacle: &str) -> ToolError {
    let titles: Vec<_> = release.iter().map(Live::title).collect();
    ToolError::new(format_args!(
        "permission denied: an earlier tentacle {enclave}/{tentacle} left {}; the enclave's owner can apply over that \
         or remove it with wf_remove",
        titles.join(", ")
    ))
}
