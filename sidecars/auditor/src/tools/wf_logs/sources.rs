//! The containers whose logs are wanted, and reading them side by side.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Error, Log, LogQuery};
use tentacular_contract::{Enclave, pod_state::why_not_ready};
use tentacular_process::link::ToolError;
use tokio::task::JoinSet;

use crate::{observed::Observed, view::View};

/// Containers that are read in one call: of more, those of the newest pods.
const CONTAINERS: usize = 20;

/// A container whose log was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Source {
    /// The pod.
    pub(super) pod: String,
    /// The container.
    pub(super) container: String,
    /// How many of its lines are shown.
    pub(super) lines: usize,
}

/// The containers to read, and what is to be said of others.
type Sources = (Vec<Source>, Vec<String>);

/// Those of one pod, which the caller must be allowed to see.
pub(super) async fn sources_of_pod(
    observed: &Observed,
    view: &mut View,
    name: &str,
    container: Option<&str>,
) -> Result<Sources, ToolError> {
    let enclave = view.enclave.name.clone();
    let found = observed.cluster.namespaced::<Pod>(enclave.as_str()).get(name).await?;
    // Nobody is told that there is one that they may not see.
    let absent =
        || ToolError::new(format_args!("there is no pod {enclave}/{name} that you may read; wf_pods lists them"));
    let pod = found.ok_or_else(absent)?;
    view.owners_of(observed, std::iter::once(&pod.metadata)).await?;
    let (_, pod) = view.seen(vec![pod]).pop().ok_or_else(absent)?;
    let (mut sources, mut warnings) = (Vec::new(), Vec::new());
    add(&pod, container, &mut sources, &mut warnings);
    if let (Some(container), true, true) = (container, sources.is_empty(), warnings.is_empty()) {
        let there = containers(&pod).collect::<Vec<_>>().join(", ");
        return Err(ToolError::new(format_args!("pod {name} has no container {container:?}: choose one of {there}")));
    }
    Ok((sources, warnings))
}

/// Those of all pods of the tentacle that the call is about.
pub(super) async fn sources_of_tentacle(
    observed: &Observed,
    view: &mut View,
    container: Option<&str>,
) -> Result<Sources, ToolError> {
    let mut pods: Vec<_> = view.pods(observed).await?.into_iter().map(|(_, pod)| pod).collect();
    pods.sort_by_key(|pod| Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let (mut sources, mut warnings) = (Vec::new(), Vec::new());
    for pod in &pods {
        add(pod, container, &mut sources, &mut warnings);
    }
    if pods.is_empty() {
        warnings.push("it has no pods at the moment; wf_events and wf_status with detail tell why".to_owned());
    } else if sources.is_empty() && warnings.is_empty() {
        let container = container.unwrap_or_default();
        return Err(ToolError::new(format_args!(
            "none of its pods has a container {container:?}; wf_pods lists them"
        )));
    }
    if sources.len() > CONTAINERS {
        warnings
            .push(format!("{CONTAINERS} of {} containers were read, of the newest pods; name a pod", sources.len()));
        sources.truncate(CONTAINERS);
    }
    Ok((sources, warnings))
}

fn add(pod: &Pod, wanted: Option<&str>, sources: &mut Vec<Source>, warnings: &mut Vec<String>) {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) {
        let why = why_not_ready(pod).unwrap_or_else(|| "has not been placed on a node".to_owned());
        warnings.push(format!("pod {name} has no log: it {why}"));
        return;
    }
    let named = containers(pod).filter(|container| wanted.is_none_or(|wanted| wanted == *container));
    sources.extend(named.map(|container| Source { pod: name.clone(), container: container.to_owned(), lines: 0 }));
}

/// The names of a pod's containers: those that it is there for first.
fn containers(pod: &Pod) -> impl Iterator<Item = &str> {
    let spec = pod.spec.as_ref();
    let main = spec.into_iter().flat_map(|spec| &spec.containers);
    let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    main.chain(init).map(|container| container.name.as_str())
}

/// Reads all of them at once. A container without a log is no failure of the others; where none has one, its reason is.
pub(super) async fn read(
    observed: &Observed,
    enclave: &Enclave,
    sources: Vec<Source>,
    query: impl Fn(&str) -> LogQuery,
) -> Result<(Vec<(Source, Log)>, Vec<String>), ToolError> {
    let mut readers = JoinSet::new();
    for (number, source) in sources.into_iter().enumerate() {
        let pods = observed.cluster.namespaced::<Pod>(enclave.name.as_str());
        let query = query(&source.container);
        readers.spawn(async move { (number, pods.log(&source.pod, &query).await, source) });
    }
    let mut answers = readers.join_all().await;
    answers.sort_by_key(|(number, ..)| *number);
    let (mut read, mut refused, mut unavailable) = (Vec::new(), Vec::new(), None);
    for (_, answer, source) in answers {
        let Source { pod, container, .. } = &source;
        match answer {
            Ok(log) => read.push((source, log)),
            Err(Error::Invalid { message, .. }) => {
                refused.push(format!("pod {pod}, container {container}: {message}"));
            }
            Err(Error::NotFound { .. }) => refused.push(format!("pod {pod} is gone")),
            Err(error) => {
                refused.push(format!("pod {pod}, container {container}: {error}"));
                unavailable = Some(error);
            }
        }
    }
    match unavailable {
        Some(error) if read.is_empty() => Err(error.into()),
        _ if read.is_empty() && refused.len() == 1 => Err(ToolError::new(format_args!("no log: {}", refused[0]))),
        _ => Ok((read, refused)),
    }
}
