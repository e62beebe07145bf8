//! `wf_describe`: what a tentacle is, as far as its Deployment and what its client wrote beside it tell.

mod parts;
mod result;

use std::sync::Arc;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tentacular_contract::{
    Authz, Enclave, EnclaveName, Needs, On, TentacleName,
    facts::Pairs,
    keys,
    release::{may_be_of, release_of},
    workflow,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::{
    parts::{Described, Node, Reader, edges_of, nodes_of, triggers_of},
    result::Answer,
};
use crate::{
    clock::{Clock, age},
    observed::Observed,
    tentacle::{Seen, absent},
    text::{self, Untrusted},
};

/// Annotation of the Deployment: the name of the `ConfigMap` with what is told of the workflow.
const METADATA_REF: &str = "tentacular.io/metadata-ref";

/// The arguments of `wf_describe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the tentacle. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of the tentacle.
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: String,
}

/// What the kernel and clients are told of `wf_describe`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Describes a tentacle: owner and mode, version and origin, its objects, and of its workflow the \
                       nodes, edges, triggers, dependencies, prompts and the texts that came with it.";
    ToolSpec::new("wf_describe", "Describe a tentacle", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfDescribe<C> {
    pub(crate) observed: Observed,
    pub(crate) clock: C,
}

impl<C: Clock> WfDescribe<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        _arguments: Arguments,
    ) -> Result<Answer, ToolError> {
        let (name, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let enclave = self.observed.enclave(name).await?;
        let deployment = self.observed.deployment_now(name, tentacle).await?;
        let deployment = deployment.ok_or_else(|| absent(name, tentacle))?;
        let seen = Seen::of(&deployment).ok_or_else(|| absent(name, tentacle))?;
        let (code, metadata) = self.beside(name, tentacle, &seen).await?;
        let mut description = self.plain(&enclave, &seen, &deployment);
        of_workflow(&mut description, seen.annotations(), &code);
        of_metadata(&mut description, &metadata);
        Ok(description)
    }

    /// What stands in the tentacle's `ConfigMap`s of its code and its metadata.
    async fn beside(
        &self,
        enclave: &EnclaveName,
        tentacle: &TentacleName,
        seen: &Seen<'_>,
    ) -> Result<(Pairs, Pairs), ToolError> {
        let maps = self.observed.cluster.namespaced::<ConfigMap>(enclave.as_str());
        let code = format!("{tentacle}-code");
        let metadata = seen.annotation(METADATA_REF).unwrap_or_else(|| usual_metadata(tentacle));
        let (code, metadata) = tokio::try_join!(maps.get(&code), maps.get(&metadata))?;
        Ok((code_of(tentacle, code), metadata_of(tentacle, metadata)))
    }

    /// What the Deployment tells without its workflow.
    fn plain(&self, enclave: &Enclave, seen: &Seen<'_>, deployment: &Deployment) -> Answer {
        let (replicas, mode, now) = (seen.replicas(), seen.facts().mode, self.clock.now());
        let pods = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let image = pods.and_then(|pods| pods.containers.first()?.image.as_deref()).map(text::line);
        let owner = enclave.owner.as_ref();
        Answer {
            name: seen.name.to_string(),
            enclave: enclave.name.to_string(),
            version: seen.version().unwrap_or_default(),
            description: seen.annotation(keys::DESCRIPTION),
            owner: seen.owner(),
            owner_name: seen.annotation(keys::OWNER_NAME),
            mode: mode.to_string(),
            preset: mode.preset().map(str::to_owned),
            tags: seen.tags(),
            environment: seen.annotation(keys::ENVIRONMENT),
            deployed_by: seen.annotation(keys::DEPLOYED_BY),
            deployed_via: seen.annotation(keys::DEPLOYED_VIA),
            deployed_at: seen.annotation(keys::DEPLOYED_AT),
            ready: replicas.is_ready(),
            replicas: replicas.desired,
            ready_replicas: replicas.ready,
            image: image.unwrap_or_default(),
            age: age(now, seen.created().unwrap_or(now)),
            annotations: annotations(seen.annotations()),
            enclave_owner: owner
                .and_then(|owner| owner.email.clone().map(String::from).or_else(|| owner.sub.clone())),
            enclave_members: enclave.members.iter().map(|member| member.as_str().to_owned()).collect(),
            trigger_type: seen.annotation("tentacular.io/trigger-type"),
            scaffold_name: seen.annotation("tentacular.io/scaffold-name"),
            metadata_ref: seen.annotation(METADATA_REF),
            untrusted: Untrusted::Content,
            ..Answer::default()
        }
    }
}

/// The name of the `ConfigMap` with what is told of the workflow, where the annotation names none.
fn usual_metadata(tentacle: &TentacleName) -> String {
    format!("{tentacle}-metadata")
}

/// What a `ConfigMap` that is named as the tentacle's code holds; nothing where it is another tentacle's.
fn code_of(tentacle: &TentacleName, map: Option<ConfigMap>) -> Pairs {
    map.filter(|map| may_be_of(tentacle, &map.metadata)).and_then(|map| map.data).unwrap_or_default()
}

/// What the `ConfigMap` of the metadata holds. Whoever writes the annotation must not see by it what belongs to another
/// tentacle, or what has to do with none.
fn metadata_of(tentacle: &TentacleName, map: Option<ConfigMap>) -> Pairs {
    let usual = usual_metadata(tentacle);
    let is_usual = |map: &ConfigMap| map.metadata.name.as_deref() == Some(usual.as_str());
    let is_own = |map: &ConfigMap| {
        may_be_of(tentacle, &map.metadata) && (release_of(&map.metadata).is_some() || is_usual(map))
    };
    map.filter(is_own).and_then(|map| map.data).unwrap_or_default()
}

/// The annotations that are the server's or its clients', but for those that are shown in parts.
fn annotations(all: &Pairs) -> Pairs {
    let shown = |key: &str| key.starts_with("tentacular.io/") && key != keys::INVENTORY;
    all.iter().filter(|(key, _)| shown(key)).map(|(key, value)| (text::line(key), text::line(value))).collect()
}

/// The workflow, as annotations and `workflow.yaml` tell of it.
fn of_workflow(into: &mut Answer, annotations: &Pairs, code: &Pairs) {
    let mut warnings = Vec::new();
    let mut file = Reader { place: "the code's", pairs: code, warnings: &mut warnings };
    let workflow = file.yaml(workflow::FILE).unwrap_or(Value::Null);
    let mut written = Reader { place: "annotation", pairs: annotations, warnings: &mut warnings };
    let mut known = nodes_of(&workflow);
    into.nodes = match written.json::<Vec<String>>(keys::NODES) {
        Some(names) => {
            let unknown = |name: &String| Node { name: name.clone(), ..Node::default() };
            names.iter().map(|name| known.remove(name).unwrap_or_else(|| unknown(name))).collect()
        }
        None => known.into_values().collect(),
    };
    into.edges = written.json(keys::EDGES).unwrap_or_else(|| edges_of(&workflow));
    into.sidecars = written.json(keys::SIDECARS).unwrap_or_default();
    into.dependencies = written.json(keys::DEPENDENCIES).unwrap_or_default();
    into.objects = written.json(keys::INVENTORY).unwrap_or_default();
    into.triggers = triggers_of(&workflow);
    // What the client annotated goes before the file, and that before the label.
    if !annotations.contains_key(keys::VERSION)
        && let Some(version) = workflow["version"].as_str()
    {
        into.version = text::line(version);
    }
    into.warnings.append(&mut warnings);
}

/// What came with the workflow.
fn of_metadata(into: &mut Answer, metadata: &Pairs) {
    let mut warnings = Vec::new();
    let mut written = Reader { place: "the metadata's", pairs: metadata, warnings: &mut warnings };
    into.readme = written.text("readme");
    into.contract_summary = written.text("contract");
    into.params_schema = written.text("params_schema");
    into.git_provenance = written.json("git_provenance");
    into.node_descriptions = written.json::<Vec<Described>>("node_descriptions").unwrap_or_default();
    if let Some(mut prompts) = written.yaml("prompts") {
        let mut part = |key: &str| prompts.get_mut(key).map(Value::take).filter(|part| !part.is_null());
        let (all, templates) = (part("prompts"), part("templates"));
        into.prompts = all.and_then(|all| written.formed("prompts", Some(all))).unwrap_or_default();
        into.templates = templates.and_then(|all| written.formed("prompts", Some(all))).unwrap_or_default();
    }
    for node in &mut into.nodes {
        let told = into.node_descriptions.iter().find(|told| told.name == node.name);
        node.description = told.and_then(|told| told.description.clone()).or(node.description.take());
    }
    into.warnings.append(&mut warnings);
}

#[cfg(test)]
mod tests;
