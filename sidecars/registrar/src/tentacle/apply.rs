//! `wf_apply`: makes a tentacle what its manifests say, one call at a time. Nothing of them is written before all was checked: the manifests,
//! the caller's right, whose objects stand there, and what the API server says to each object. Only fields that others wrote are marked as
//! the apply's before that, so that what it says is true.

use std::{sync::Arc, time::Duration};

use chrono::{SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tentacular_contract::{
    Authz, Mode, Needs, On,
    pod_security::{Standard, Version},
    reach::Scope,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::Instant;

use super::{
    dependencies, others,
    outcome::Outcome,
    ownership::Stamp,
    plan::{Plan, Wishes},
    pod_security,
    progress::Writing,
    prune,
    release::{self, Live},
    retire, rollout, shares,
    standing::{self, Standing},
    validate::{self, Checked, Violations},
};
use crate::{
    backing::{Share, Tenant},
    locks::Held,
    registrar::Registrar,
};

/// Seconds within which the call ends.
const DEADLINE_SECONDS: u64 = 630;
/// Longest wait for pods, in seconds.
const WAIT_SECONDS: u64 = 270;

/// What `wf_apply` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "wf_apply",
        "Apply a tentacle",
        "Creates or updates a tentacle from its Kubernetes manifests. The manifests are the whole tentacle: what it \
         had and they no longer have is removed, except volumes. Everything is checked before anything is written: \
         first the manifests, then what the API server says to each; all violations of a stage are reported at once. \
         Pods must meet the Pod Security level that the enclave enforces, usually restricted (what is left out is \
         filled in), and listen on 8080 for POST /run and GET /health. With wait_seconds the call waits for \
         the pods and says why one does not start. Schedules are in the annotation \
         tentacular.io/cron-schedule of its Deployment (0 2 * * *, @daily; wf_schedule shows when they fire). When only a ConfigMap or Secret that pods read has changed, they are \
         replaced too. A tentacle reaches only its own: every ConfigMap, Secret and volume that its \
         pods name is among the manifests or called <name>-code, -metadata, -import-map or -secrets, and its Services \
         and NetworkPolicies select its own pods by a label of their own. A dependency on a backing service \
         (tentacular-postgres, -nats, -rustfs in workflow.yaml) gives the tentacle a share of its own, with credentials as \
         JSON in the Secret <name>-secrets, key tentacular-postgres and so on; it is refused where the service is not \
         enabled. Calls for one \
         tentacle run one after the other. One request holds at most 4 MiB.",
        Authz::new(On::Tentacle, Needs::Write)
            .enclave_at(&["/enclave", "/namespace"])
            .tentacle_at(&["/name"])
            .creates()
            .not_frozen()
            .within_seconds(DEADLINE_SECONDS),
    )
    .destructive()
    .idempotent()
}

// No `Debug`, as a manifest may be a Secret.
/// Arguments of `wf_apply`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
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
    /// Check everything, the API server's checks included, say which fields would change, and write nothing. Default
    /// false.
    #[serde(default)]
    dry_run: bool,
    /// How long to wait for the pods to be replaced and ready, 0 to 270 seconds; the time before that, for writing, comes on
    /// top. Default 0: `wf_status` says whether they start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 270))]
    wait_seconds: Option<u64>,
    /// Take over objects of the manifests' names that stand in the enclave and belong to no tentacle. Only for the enclave's
    /// owner. Default false: such an object is an error.
    #[serde(default)]
    adopt: bool,
    /// Delete a Job that has other pods than its manifest says, and make it anew. Default false: such a Job is an error,
    /// since Kubernetes cannot change it.
    #[serde(default)]
    replace_jobs: bool,
    /// Remove volumes (`PersistentVolumeClaim`) that the tentacle has and no manifest has any more, with their data. Default
    /// false: they stay.
    #[serde(default)]
    prune_volumes: bool,
    /// Give the tentacle other credentials for its backing services. The pods are replaced, and when all of them are new and
    /// ready the former credentials end; the call waits for that, 270 seconds unless `wait_seconds` says less, and later the
    /// server sees to it by itself. Default false.
    #[serde(default)]
    rotate_credentials: bool,
}

/// What the arguments ask for beside the manifests.
struct Asked {
    mode: Option<Mode>,
    dry_run: bool,
    /// Whether the tentacle gets other credentials.
    renew: bool,
    wishes: Wishes,
}

/// Applies the manifests to the tentacle of the permit.
pub(crate) async fn apply(
    registrar: Arc<Registrar>,
    permitted: Permitted,
    arguments: Arguments,
) -> Result<Outcome, ToolError> {
    let Arguments {
        manifests,
        mode,
        dry_run,
        wait_seconds,
        adopt,
        replace_jobs,
        prune_volumes,
        rotate_credentials,
        ..
    } = arguments;
    let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
    let mode = mode.as_deref().map(str::trim).filter(|mode| !mode.is_empty()).map(str::parse::<Mode>).transpose()?;
    let wait = Duration::from_secs(wait_within(wait_seconds.or(rotate_credentials.then_some(WAIT_SECONDS)))?);
    let scope = Scope { enclave, tentacle, ingress_domain: registrar.platform.ingress_domain.as_deref() };
    let checked = validate::check(manifests, &scope, &registrar.backing.enabled());
    let modules = dependencies::modules(tentacle, &checked.manifests);
    let asked =
        Asked { mode, dry_run, renew: rotate_credentials, wishes: Wishes { adopt, replace_jobs, prune_volumes } };
    let (mut outcome, shares) = if dry_run || !checked.violations.is_empty() {
        // Nothing will be written, and the rest is only looked at.
        locked(&registrar, &permitted, &scope, checked, &asked, &mut None).await?
    } else {
        let mut held = Some(standing::lock(&registrar, &permitted).await?);
        let outcome = locked(&registrar, &permitted, &scope, checked, &asked, &mut held).await;
        if let Some(held) = held {
            held.release().await;
        }
        outcome?
    };
    if !dry_run {
        registrar.warmer.warm(modules);
    }
    if !wait.is_zero() && !dry_run {
        let until = Instant::now() + wait;
        match rollout::wait(&registrar.cluster, (enclave, tentacle), until, &permitted).await {
            Ok(rollout) => {
                let tenant = Tenant { enclave: enclave.clone(), tentacle: tentacle.clone() };
                if let Err(unended) = retire::retire(&registrar, &tenant, (rollout.ready, until), &shares).await {
                    outcome.warn(unended);
                }
                outcome.rollout = Some(rollout);
            }
            Err(error) => {
                outcome.warn(format!("everything is applied, and whether its pods start is not known: {error}"));
            }
        }
    }
    Ok(outcome)
}

fn wait_within(seconds: Option<u64>) -> Result<u64, ToolError> {
    let seconds = seconds.unwrap_or_default();
    if seconds > WAIT_SECONDS {
        return Err(ToolError::new(format_args!(
            "nothing was applied: wait_seconds {seconds} is out of range: give 0 to {WAIT_SECONDS}"
        )));
    }
    Ok(seconds)
}

/// Reads what stands there, checks everything against it, and writes it when a lock is `held`.
async fn locked(
    registrar: &Registrar,
    permitted: &Permitted,
    scope: &Scope<'_>,
    checked: Checked,
    asked: &Asked,
    held: &mut Option<Held>,
) -> Result<(Outcome, Vec<Share>), ToolError> {
    let (cluster, Scope { enclave, tentacle, .. }) = (&registrar.cluster, *scope);
    let standing = Standing::read(registrar, permitted).await?;
    let mut mode = standing.mode(permitted, asked.mode)?;
    let (new, commanded) = (standing.deployment.is_none(), standing.is_commanded_by(permitted));
    let release = release::read(cluster, enclave, tentacle).await?;
    let mut left = (new && !release.is_empty()).then(|| left_behind(&release, enclave.as_str(), tentacle.as_str()));
    if let Some(left) = left.take_if(|_| !commanded) {
        return Err(left);
    }
    let tenant = Tenant { enclave: enclave.clone(), tentacle: tentacle.clone() };
    let (checked, mut shares) =
        shares::furnished(registrar, (scope, &tenant), checked, &release, asked.renew).await?;
    let Checked { manifests, objects, mut names, mut warnings, mut violations, .. } = checked;
    let standard = Standard::enforced(&standing.labels, Version::of_server(&cluster.version().await?));
    violations.extend(manifests.iter().flat_map(|manifest| pod_security::violations(manifest, standard)));
    if !asked.wishes.prune_volumes {
        names.extend(prune::volumes(&release));
    }
    let mut plan = Plan::of(cluster, scope, (manifests, &objects), release, (asked.wishes, commanded));
    if plan.meets_others()
        && let Some(tentacles) = held.take()
    {
        *held = Some(tentacles.and(registrar.locks.enclave(enclave).await?));
        // That may have taken a while: another tentacle may have been there first, and the caller may have lost a right.
        let standing = Standing::read(registrar, permitted).await?;
        mode = standing.mode(permitted, asked.mode)?;
        plan.commanded = standing.is_commanded_by(permitted);
        if let Some(left) = left.filter(|_| !plan.commanded) {
            return Err(left);
        }
    }
    let others = others::read(cluster, enclave, tentacle).await?;
    plan.look(&others).await?;
    let beside = scope.among(&objects, &names, &others.neighbours);
    violations.extend(beside.iter().map(|violation| format!("{}: {violation}", violation.object)));
    violations.extend(plan.obstacles());
    if !violations.is_empty() {
        return Err(Violations(violations).into());
    }
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let stamp = Stamp { caller: permitted.caller(), mode, now: &now };
    if let Some(held) = held {
        plan.claim(held).await?;
    }
    plan.rehearse(&stamp).await?;
    if let Some(held) = held {
        let writing = Writing { registrar, permitted, held, stamp: &stamp };
        warnings.extend(shares::written(&mut plan, &tenant, &mut shares, &writing).await?);
    }
    warnings.extend(plan.warnings());
    let (name, enclave) = (tentacle.to_string(), enclave.to_string());
    let changes = plan.changes(asked.dry_run);
    Ok((Outcome::of((name, enclave), (new, asked.dry_run), changes, plan.kept(), warnings), shares))
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
