//! `audit_psa`: whether an enclave holds its pods to the Pod Security Standards, and whether what runs there keeps to them.

mod labels;
mod mend;
mod templates;

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    batch::v1::{CronJob, Job},
    core::v1::{Namespace, Pod},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::Metadata;
use tentacular_contract::{
    Authz, Needs, On,
    pod_security::{ENFORCE, Level, Standard, Version},
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::templates::Maker;
use crate::{
    audit::{Finding, all_of, narrow, page},
    observed::Observed,
    text::Untrusted,
    view::View,
};

/// The arguments of `audit_psa`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The enclave. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Most findings to show, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `audit_psa`.
#[expect(clippy::struct_field_names, reason = "clients read the three modes of Pod Security by their names")]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Audit {
    /// The enclave.
    enclave: String,
    /// Whether the enclave enforces `restricted` and everything in it that makes pods keeps to that, also what is not shown.
    compliant: bool,
    /// The level that the API server holds pods to; empty where the namespace has no label for it.
    enforce: String,
    /// The level that it notes violations of in its audit log.
    audit: String,
    /// The level that it warns of violations of.
    warn: String,
    /// How many templates of pods, and pods that nothing made, were judged.
    templates: usize,
    /// What is not as it should be, the worst first.
    findings: Vec<Finding>,
    /// Whether there are more findings: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What is not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What texts in the result are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `audit_psa`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Judges Pod Security in an enclave: the levels and versions that its namespace enforces, audits \
                       and warns of, and every template of pods that runs there (Deployments, ReplicaSets, Jobs, \
                       CronJobs, pods that nothing made), field by field, by the rules of level restricted. Each \
                       finding has a patch that mends it.";
    ToolSpec::new("audit_psa", "Audit Pod Security", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct AuditPsa {
    pub(crate) observed: Observed,
}

impl AuditPsa {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Audit, ToolError> {
        let enclave = permitted.enclave()?;
        let namespaces = self.observed.cluster.all::<Metadata<Namespace>>();
        let (mut view, namespace, server, makers) = tokio::try_join!(
            View::open(&self.observed, &permitted),
            async { Ok(namespaces.get(enclave.as_str()).await?) },
            async { Ok(Version::of_server(&self.observed.cluster.version().await?)) },
            self.makers(enclave.as_str()),
        )?;
        let namespace = namespace.ok_or_else(|| {
            ToolError::new(format_args!("there is no enclave {enclave}; enclave_list shows those that you may read"))
        })?;
        let labels = namespace.metadata.labels.unwrap_or_default();
        let enforced = Standard::enforced(&labels, server);
        let templates: Vec<_> = makers.iter().filter_map(Maker::template).collect();
        let judged: Vec<_> = templates
            .iter()
            .map(|template| (template, template.findings(enclave.as_str(), enforced, server)))
            .collect();
        let keep_to_it = judged.iter().all(|(_, findings)| findings.is_empty());

        let mut warnings = Vec::new();
        makers.iter().map(Maker::object).for_each(|(kind, metadata)| view.add(kind, metadata));
        view.tentacles_of(&self.observed, makers.iter().map(|maker| maker.object().1)).await?;
        let shown = narrow(&view, judged, |(template, _)| template.owner(), &mut warnings);
        let mut findings = labels::findings(enclave.as_str(), &labels, server);
        findings.extend(shown.into_iter().flat_map(|(_, findings)| findings));
        let (findings, next_cursor) = page(findings, Finding::place, arguments.limit, arguments.cursor)?;
        let label = |mode| labels.get(labels::key(mode)).cloned().unwrap_or_default();
        Ok(Audit {
            enclave: enclave.to_string(),
            compliant: keep_to_it && labels.get(ENFORCE).is_some_and(|level| level == Level::Restricted.as_str()),
            enforce: label("enforce"),
            audit: label("audit"),
            warn: label("warn"),
            templates: templates.len(),
            findings,
            truncated: next_cursor.is_some(),
            next_cursor,
            warnings,
            untrusted: Untrusted::Content,
        })
    }

    /// Everything in the enclave that makes pods, and its pods.
    async fn makers(&self, enclave: &str) -> Result<Vec<Maker>, ToolError> {
        let (deployments, sets, jobs, cron_jobs, pods) = tokio::try_join!(
            all_of::<Deployment>(&self.observed, enclave),
            all_of::<ReplicaSet>(&self.observed, enclave),
            all_of::<Job>(&self.observed, enclave),
            all_of::<CronJob>(&self.observed, enclave),
            all_of::<Pod>(&self.observed, enclave),
        )?;
        let makers = deployments
            .into_iter()
            .map(Box::new)
            .map(Maker::Deployment)
            .chain(sets.into_iter().map(Box::new).map(Maker::ReplicaSet));
        let jobs = jobs
            .into_iter()
            .map(Box::new)
            .map(Maker::Job)
            .chain(cron_jobs.into_iter().map(Box::new).map(Maker::CronJob));
        Ok(makers.chain(jobs).chain(pods.into_iter().map(Box::new).map(Maker::Pod)).collect())
    }
}
