//! What `wf_describe` answers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parts::{Dependency, Described, GitProvenance, Node, Prompt, SidecarContainer, Template};
use crate::text::Untrusted;

/// The result of `wf_describe`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// Name of the tentacle.
    pub(super) name: String,
    /// Enclave of the tentacle.
    pub(super) enclave: String,
    /// Version of the workflow, empty when it has none.
    pub(super) version: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The owner's email address, else the OIDC subject; left out when nobody owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// The owner's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner_name: Option<String>,
    /// Permission mode, nine characters.
    pub(super) mode: String,
    /// Name of the mode, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preset: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    /// Environment, such as `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<String>,
    /// Who applied it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployed_by: Option<String>,
    /// Through which client it was applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployed_via: Option<String>,
    /// When it was applied last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployed_at: Option<String>,
    /// Whether all replicas are available and of the newest kind. A tentacle with 0 replicas is ready.
    pub(super) ready: bool,
    /// How many replicas there are to be.
    pub(super) replicas: i32,
    /// How many replicas are ready.
    pub(super) ready_replicas: i32,
    /// The image of its first container.
    pub(super) image: String,
    /// Time since its creation, such as `72h3m0s`.
    pub(super) age: String,
    /// Its annotations that begin with `tentacular.io/`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    /// The enclave's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enclave_owner: Option<String>,
    /// The enclave's members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) enclave_members: Vec<String>,
    /// The objects that it was applied with; of Secrets the names of their keys too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) objects: Vec<Object>,
    /// The workflow's nodes.
    pub(super) nodes: Vec<Node>,
    /// Which node comes before which.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) edges: Vec<[String; 2]>,
    /// Containers beside the engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sidecars: Vec<SidecarContainer>,
    /// What the workflow needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dependencies: Vec<Dependency>,
    /// The types of its triggers, such as `cron,manual`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trigger_type: Option<String>,
    /// Its triggers, such as `cron 0 2 * * *`; `wf_schedule` tells when they fire.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) triggers: Vec<String>,
    /// The scaffold that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scaffold_name: Option<String>,
    /// The `ConfigMap` with what came with the workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata_ref: Option<String>,
    /// Its readme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) readme: Option<String>,
    /// A summary of its contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contract_summary: Option<String>,
    /// The schema of its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) params_schema: Option<String>,
    /// What its code was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) git_provenance: Option<GitProvenance>,
    /// The prompts of its nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) prompts: Vec<Prompt>,
    /// The templates of its nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) templates: Vec<Template>,
    /// What its nodes do, as their descriptions say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) node_descriptions: Vec<Described>,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    /// What the texts in it are.
    pub(super) untrusted: Untrusted,
}

/// An object of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Object {
    /// Its kind.
    kind: String,
    /// Its name.
    name: String,
    /// Of a Secret, the names of its keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
}
