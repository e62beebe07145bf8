//! What is asked, and what a right answer says.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_demo::Message;
use tentacular_test_harness::{Part, mcp::Era};

/// The tools of the three sidecars, in the order of the alphabet.
const TOOLS: [&str; 34] = [
    "audit_netpol",
    "audit_psa",
    "audit_rbac",
    "audit_resources",
    "authz_explain",
    "cluster_preflight",
    "cluster_profile",
    "enclave_deprovision",
    "enclave_info",
    "enclave_list",
    "enclave_provision",
    "enclave_sync",
    "health_cluster_summary",
    "health_nodes",
    "health_ns_usage",
    "permissions_get",
    "permissions_set",
    "platform_config",
    "proxy_status",
    "wf_apply",
    "wf_describe",
    "wf_events",
    "wf_health",
    "wf_health_ns",
    "wf_jobs",
    "wf_list",
    "wf_logs",
    "wf_pods",
    "wf_remove",
    "wf_restart",
    "wf_run",
    "wf_runs",
    "wf_schedule",
    "wf_status",
];

/// How long [`Ask::LongRun`] takes.
const LONG_RUN_MS: u64 = 300;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Discover,
    Tools,
    List,
    ListAll,
    Status,
    Info,
    Run,
    /// A run that takes longer than somebody waits who leaves.
    LongRun,
    Apply,
    /// About an enclave that the caller may not read.
    Foreign,
}

/// Where a caller asks, and who the caller is there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) enclave: String,
    pub(crate) tentacle: String,
    pub(crate) owner: String,
    pub(crate) foreign: String,
    pub(crate) role: &'static str,
}

impl Place {
    /// The place of one of `count` people.
    pub(crate) fn of(person: usize, count: usize, role: &'static str) -> Self {
        Self {
            enclave: format!("soak-{person}"),
            tentacle: format!("words-{person}"),
            owner: format!("person{person}@example.com"),
            foreign: format!("soak-{}", (person + 1) % count),
            role,
        }
    }

    /// The example tentacle under this place's name. Another `version` is another text.
    pub(crate) fn manifests(&self, version: &str) -> anyhow::Result<Value> {
        let text = include_str!("../../../examples/word-count/manifests.json").replace("word-count", &self.tentacle);
        let mut manifests: Value = serde_json::from_str(&text)?;
        let deployment = manifests.as_array_mut().into_iter().flatten().find(|object| object["kind"] == "Deployment");
        let deployment = deployment.context("the example has no Deployment")?;
        deployment["metadata"]["annotations"]["tentacular.io/description"] = json!(version);
        Ok(manifests)
    }
}

impl Ask {
    /// Those that must have been answered in the end.
    pub(crate) const ANSWERED: [Self; 8] =
        [Self::Discover, Self::Tools, Self::List, Self::ListAll, Self::Status, Self::Info, Self::Run, Self::Apply];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Discover => "server/discover",
            Self::Tools => "tools/list",
            Self::List => "wf_list, one enclave",
            Self::ListAll => "wf_list, all",
            Self::Status => "wf_status",
            Self::Info => "enclave_info",
            Self::Run => "wf_run",
            Self::LongRun => "wf_run, left",
            Self::Apply => "wf_apply",
            Self::Foreign => "foreign enclave",
        }
    }

    /// The sidecar that answers.
    pub(crate) const fn sidecar(self) -> Option<Part> {
        match self {
            Self::Discover | Self::Tools | Self::Foreign => None,
            Self::List | Self::ListAll | Self::Status => Some(Part::Auditor),
            Self::Info | Self::Apply => Some(Part::Registrar),
            Self::Run | Self::LongRun => Some(Part::Scheduler),
        }
    }

    /// The request. `id` is like no other, and is also the content, where there is one.
    pub(crate) fn message(self, id: &str, era: Era, place: &Place) -> anyhow::Result<Message> {
        let Place { enclave, tentacle, foreign, .. } = place;
        let call = |tool, arguments| Message::call(era, id, tool, &arguments);
        let there = json!({ "enclave": enclave, "name": tentacle });
        Ok(match self {
            Self::Discover => Message::new(Era::Stateless, id, "server/discover", json!({})),
            Self::Tools => Message::new(era, id, "tools/list", json!({})),
            Self::List => call("wf_list", json!({ "enclave": enclave })),
            Self::ListAll => call("wf_list", json!({})),
            Self::Status => call("wf_status", there),
            Self::Info => call("enclave_info", json!({ "name": enclave })),
            Self::Foreign => call("enclave_info", json!({ "name": foreign })),
            Self::Run | Self::LongRun => {
                let sleep_ms = if self == Self::LongRun { LONG_RUN_MS } else { 0 };
                let input = json!({ "text": id, "sleep_ms": sleep_ms });
                call("wf_run", json!({ "enclave": enclave, "name": tentacle, "input": input }))
            }
            Self::Apply => {
                let manifests = place.manifests(id)?;
                call("wf_apply", json!({ "enclave": enclave, "name": tentacle, "manifests": manifests }))
            }
        })
    }

    /// Whether a result says that it is not whole, as the list does while a new auditor begins to watch.
    pub(crate) fn is_partial(self, result: &Value, place: &Place) -> bool {
        let warnings = result["structuredContent"]["warnings"].as_array().into_iter().flatten();
        let left_out = format!("enclave {} is left out: ", place.enclave);
        self == Self::ListAll && warnings.filter_map(Value::as_str).any(|warning| warning.starts_with(&left_out))
    }

    /// Whether a result is the one to this question at this place.
    pub(crate) fn check(self, result: &Value, id: &str, place: &Place) -> anyhow::Result<()> {
        let Place { enclave, tentacle, owner, role, .. } = place;
        let content = &result["structuredContent"];
        match self {
            Self::Discover => ensure!(result.to_string().contains("tentacular-mcp"), "no server's name"),
            Self::Tools => {
                let tools = result["tools"].as_array().context("no tools")?;
                let mut names: Vec<_> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
                names.sort_unstable();
                ensure!(names == TOOLS, "other tools: {names:?}");
            }
            Self::List => only(content, enclave, tentacle)?,
            // Whoever has an enclave sees that one alone.
            Self::ListAll if *role == "owner" => only(content, enclave, tentacle)?,
            Self::ListAll => ensure!(listed(content)?.contains(&(enclave, tentacle)), "{tentacle} is not listed"),
            Self::Status => ensure!(
                content["name"] == **tentacle && content["enclave"] == **enclave && content["replicas"] == 1,
                "another tentacle's status"
            ),
            Self::Info => ensure!(
                content["name"] == **enclave && content["owner"] == **owner && content["caller_role"] == *role,
                "another enclave, or another caller"
            ),
            Self::Run | Self::LongRun => {
                ensure!(content["output"]["outputs"]["split"]["words"] == json!([id]), "the words of another run");
            }
            Self::Apply => {
                ensure!(content["name"] == **tentacle && content["enclave"] == **enclave, "another tentacle");
                ensure!(content["applied"].as_array().is_some_and(|all| !all.is_empty()), "nothing was applied");
            }
            Self::Foreign => anyhow::bail!("it was answered"),
        }
        Ok(())
    }
}

fn only(content: &Value, enclave: &str, tentacle: &str) -> anyhow::Result<()> {
    let listed = listed(content)?;
    ensure!(listed == [(enclave, tentacle)], "other tentacles are listed: {listed:?}");
    Ok(())
}

fn listed(content: &Value) -> anyhow::Result<Vec<(&str, &str)>> {
    let workflows = content["workflows"].as_array().context("no list")?;
    Ok(workflows
        .iter()
        .map(|entry| (entry["enclave"].as_str().unwrap_or_default(), entry["name"].as_str().unwrap_or_default()))
        .collect())
}
