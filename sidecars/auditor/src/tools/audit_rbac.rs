//! `audit_rbac`: what rights there are in an enclave, and what its accounts may do in the whole cluster.

mod judge;
mod rights;
mod subjects;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::{Error, Selector};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::judge::{Given, RightFinding};
use crate::{
    audit::{all_of, page},
    observed::Observed,
    text::Untrusted,
};

/// Characters of a text from an object within the result.
const LONGEST: usize = 300;

/// The arguments of `audit_rbac`.
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

/// The result of `audit_rbac`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Audit {
    /// The enclave.
    enclave: String,
    /// Rights that are too many, the worst first.
    findings: Vec<RightFinding>,
    /// Whether there are more findings: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What texts in the result are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `audit_rbac`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Judges the rights in an enclave: what its Roles give, what its RoleBindings give from \
                       ClusterRoles and to whom, and what ClusterRoleBindings give to its service accounts, by name or \
                       as a group. Looks for wildcards, ways to more rights, Secrets, tokens and ways into pods. Each \
                       finding has a patch that mends it. The server's own bindings are no findings. Bindings in other \
                       namespaces are not seen.";
    ToolSpec::new("audit_rbac", "Audit rights", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct AuditRbac {
    pub(crate) observed: Observed,
    /// The namespace of the server's own accounts.
    pub(crate) server_namespace: String,
}

impl AuditRbac {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Audit, ToolError> {
        let enclave = permitted.enclave()?.as_str();
        let everywhere = self.observed.cluster.all::<ClusterRoleBinding>();
        let all = Selector::all();
        let (roles, bindings, cluster_bindings) = tokio::try_join!(
            all_of::<Role>(&self.observed, enclave),
            all_of::<RoleBinding>(&self.observed, enclave),
            everywhere.list(&all),
        )?;
        let cluster_bindings: Vec<_> = cluster_bindings
            .into_iter()
            .filter(|binding| {
                binding.subjects.iter().flatten().any(|subject| subjects::reach(subject, enclave).is_some())
            })
            .collect();
        let bound = bindings.iter().map(|binding| &binding.role_ref);
        let bound = bound.chain(cluster_bindings.iter().map(|binding| &binding.role_ref));
        let names = bound.filter(|role| role.kind == "ClusterRole").map(|role| role.name.clone());
        let cluster_roles = self.cluster_roles(names.collect()).await?;
        let given = Given {
            enclave,
            server_namespace: &self.server_namespace,
            roles: &roles,
            bindings: &bindings,
            cluster_roles: &cluster_roles,
            cluster_bindings: &cluster_bindings,
        };
        let (findings, next_cursor) = page(given.findings(), RightFinding::place, arguments.limit, arguments.cursor)?;
        let enclave = enclave.to_owned();
        let truncated = next_cursor.is_some();
        Ok(Audit { enclave, findings, truncated, next_cursor, untrusted: Untrusted::Content })
    }

    /// Those of the `ClusterRole`s that there are.
    async fn cluster_roles(&self, mut names: Vec<String>) -> Result<BTreeMap<String, ClusterRole>, Error> {
        names.sort();
        names.dedup();
        let roles = self.observed.cluster.all::<ClusterRole>();
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(role) = roles.get(&name).await? {
                found.insert(name, role);
            }
        }
        Ok(found)
    }
}
