//! `audit_netpol`: what the network policies of an enclave allow in effect, and where that is too much.

mod blocks;
mod judge;
pub(super) mod shown;

use std::sync::Arc;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::shown::Policy;
use crate::{
    audit::{Finding, all_of, narrow, page},
    observed::Observed,
    text::Untrusted,
    view::View,
};

/// The arguments of `audit_netpol`.
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
    /// Most findings, and most policies, to show, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page, which has the policies too, when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `audit_netpol`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Audit {
    /// The enclave.
    enclave: String,
    /// Whether a pod is closed in both directions unless a policy opens it, whichever and however many policies do that.
    default_deny: bool,
    /// The policies and what they allow, in the order of their names; on the first page only.
    policies: Vec<Policy>,
    /// What allows too much, the worst first.
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

/// What the kernel and clients are told of `audit_netpol`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Judges the network policies of an enclave by what they allow in effect: whether every pod is \
                       closed unless a policy opens it; rules that let in or out everybody, the internet, private \
                       addresses, the cloud's metadata service or other namespaces; rules that leave out the ports. \
                       Each finding has a patch that mends it. Whether the cluster's network enforces policies at all \
                       is not judged here, but by cluster_preflight.";
    ToolSpec::new("audit_netpol", "Audit network policies", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct AuditNetpol {
    pub(crate) observed: Observed,
}

impl AuditNetpol {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Audit, ToolError> {
        let enclave = permitted.enclave()?.as_str();
        let mut view = View::open(&self.observed, &permitted).await?;
        let mut policies = all_of::<NetworkPolicy>(&self.observed, enclave).await?;
        policies.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        let default_deny = judge::is_closed(&policies);
        let mut findings: Vec<_> = judge::default_deny(enclave, &policies).into_iter().collect();

        let mut warnings = Vec::new();
        view.tentacles_of(&self.observed, policies.iter().map(|policy| &policy.metadata)).await?;
        let policies = narrow(&view, policies, |policy| ("NetworkPolicy", &policy.metadata), &mut warnings);
        findings.extend(policies.iter().flat_map(|policy| judge::policy(enclave, policy)));
        let mut shown = Vec::new();
        if arguments.cursor.is_none() {
            let limit = crate::page::limit(arguments.limit)?;
            shown.extend(policies.iter().take(limit).map(Policy::of));
            if policies.len() > limit {
                warnings
                    .push(format!("only the first {limit} of {} policies are shown; all are judged", policies.len()));
            }
        }
        let (findings, next_cursor) = page(findings, Finding::place, arguments.limit, arguments.cursor)?;
        Ok(Audit {
            enclave: enclave.to_owned(),
            default_deny,
            policies: shown,
            findings,
            truncated: next_cursor.is_some(),
            next_cursor,
            warnings,
            untrusted: Untrusted::Content,
        })
    }
}
