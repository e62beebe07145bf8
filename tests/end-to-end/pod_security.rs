//! The Pod Security rules of `contract` agree with those of an API server, pod by pod.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_contract::pod_security::{ENFORCE, Level, Rule, Violation, violations};
use tentacular_test_harness::ControlPlane;

use cases::{Case, cases};

#[path = "../../kernel/contract/src/pod_security/cases.rs"]
pub(crate) mod cases;

/// Requests to the API server at the same time.
const AT_ONCE: usize = 32;

/// Each rule that was violated, with the names of the containers that did.
type Judgement = BTreeMap<Rule, BTreeSet<String>>;

/// Whether the API server takes `case` at a level, and if not, why.
enum Answer {
    Judged(Judgement),
    /// It is no pod that any level is asked about.
    Invalid,
}

/// A namespace that enforces `level`, and a pod in it to add ephemeral containers to.
struct Place {
    level: Level,
    pods: Api<Pod>,
}

impl Place {
    async fn new(client: Client, name: &str, level: Level, pod: &Value) -> anyhow::Result<Self> {
        let enforce = json!({ "metadata": { "labels": {
            ENFORCE: level.as_str(), format!("{ENFORCE}-version"): "latest",
        } } });
        let namespaces = Api::<Namespace>::all(client.clone());
        namespaces.patch(name, &PatchParams::default(), &Patch::Merge(enforce)).await?;
        let pods = Api::<Pod>::namespaced(client, name);
        let mut pod: Pod = serde_json::from_value(pod.clone())?;
        pod.metadata = ObjectMeta { name: Some("standing".to_owned()), ..pod.metadata };
        pods.create(&PostParams::default(), &pod).await?;
        Ok(Self { level, pods })
    }

    /// What the API server says to the pod of `case`. It admits ephemeral containers only to a pod that is there.
    async fn ask(&self, case: &Case) -> anyhow::Result<Answer> {
        let ephemeral = &case.pod["spec"]["ephemeralContainers"];
        let answer = if ephemeral.is_null() {
            let params = PostParams { dry_run: true, ..PostParams::default() };
            self.pods.create(&params, &serde_json::from_value(case.pod.clone())?).await
        } else {
            let params = PatchParams { dry_run: true, ..PatchParams::default() };
            let patch = Patch::Merge(json!({ "spec": { "ephemeralContainers": ephemeral } }));
            self.pods.patch_subresource("ephemeralcontainers", "standing", &params, &patch).await
        };
        match answer {
            Ok(_) => Ok(Answer::Judged(Judgement::new())),
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Answer::Invalid),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                judgement(&status.message, self.level, &names(&case.pod)).map(Answer::Judged)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The names of all containers by their paths.
fn names(pod: &Value) -> BTreeMap<String, String> {
    let lists = ["initContainers", "containers", "ephemeralContainers"].into_iter();
    lists
        .flat_map(|list| {
            let containers = pod["spec"][list].as_array().into_iter().flatten().enumerate();
            containers.map(move |(index, container)| {
                (format!("spec.{list}[{index}]"), container["name"].as_str().unwrap().to_owned())
            })
        })
        .collect()
}

/// What the API server says, such as `… violates PodSecurity "restricted:latest": hostPort (container "first" uses
/// hostPort 80), runAsUser=0 (pod must not set runAsUser=0)`.
fn judgement(message: &str, level: Level, names: &BTreeMap<String, String>) -> anyhow::Result<Judgement> {
    let start = format!("violates PodSecurity \"{}:latest\": ", level.as_str());
    let (_, mut rest) = message.split_once(&start).ok_or_else(|| anyhow::anyhow!("{message}"))?;
    let mut judgement = Judgement::new();
    while !rest.is_empty() {
        let (reason, detail) = rest.split_once(" (").ok_or_else(|| anyhow::anyhow!("{message}"))?;
        let (detail, after) = detail.split_at(end_of_detail(detail));
        let rule = rule(reason, level).ok_or_else(|| anyhow::anyhow!("{reason:?} is no rule: {message}"))?;
        let blamed = names.values().filter(|name| detail.contains(&format!("{name:?}"))).cloned();
        judgement.insert(rule, blamed.collect());
        rest = after.trim_start_matches([')', ',', ' ']);
    }
    Ok(judgement)
}

/// Where the parenthesis closes that stands outside of quotes.
fn end_of_detail(detail: &str) -> usize {
    let mut quoted = false;
    let end = detail.find(|c| {
        quoted ^= c == '"';
        c == ')' && !quoted
    });
    end.unwrap_or(detail.len())
}

/// The rule for which the API server gives that reason at `level`.
fn rule(reason: &str, level: Level) -> Option<Rule> {
    Some(match reason {
        "forbidden AppArmor profile" | "forbidden AppArmor profiles" => Rule::AppArmorProfile,
        "non-default capabilities" => Rule::CapabilitiesBaseline,
        "host namespaces" => Rule::HostNamespaces,
        "hostPath volumes" => Rule::HostPathVolumes,
        "hostPort" => Rule::HostPorts,
        "probe or lifecycle host" => Rule::HostProbesAndHostLifecycle,
        "privileged" => Rule::Privileged,
        "procMount" => Rule::ProcMount,
        "seLinuxOptions" => Rule::SeLinuxOptions,
        "seccompProfile" if level == Level::Baseline => Rule::SeccompProfileBaseline,
        "seccompProfile" => Rule::SeccompProfileRestricted,
        "forbidden sysctls" => Rule::Sysctls,
        "hostProcess" => Rule::WindowsHostProcess,
        "allowPrivilegeEscalation != false" => Rule::AllowPrivilegeEscalation,
        "unrestricted capabilities" => Rule::CapabilitiesRestricted,
        "restricted volume types" => Rule::RestrictedVolumes,
        "runAsNonRoot != true" => Rule::RunAsNonRoot,
        "runAsUser=0" => Rule::RunAsUser,
        _ => return None,
    })
}

/// What `contract` says.
fn ours(case: &Case, level: Level) -> Judgement {
    let pod: Pod = serde_json::from_value(case.pod.clone()).unwrap();
    let found = violations(level, "", pod.metadata.annotations.as_ref(), &pod.spec.unwrap());
    let names = names(&case.pod);
    let mut judgement = Judgement::new();
    for Violation { rule, field, .. } in found {
        let container = field.split_inclusive(']').next().and_then(|path| names.get(path));
        judgement.entry(rule).or_default().extend(container.cloned());
    }
    judgement
}

/// The rules that the table says `case` breaks.
fn expected(case: &Case, level: Level) -> BTreeSet<String> {
    let expected = case.expected(level.as_str()).into_iter();
    expected.filter_map(|text| Some(text.split_once(": ")?.0.to_owned())).collect()
}

/// Whether both say the same. A container that took a bad default is not named by the API server while another, or the
/// pod, asks for something bad.
fn agree(rule: Rule, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> bool {
    match rule {
        // Its annotations name containers, and are the pod's.
        Rule::AppArmorProfile => ours.is_subset(theirs),
        Rule::RunAsNonRoot | Rule::SeccompProfileRestricted => theirs.is_subset(ours),
        _ => ours == theirs,
    }
}

#[tokio::test]
async fn the_rules_agree_with_the_api_servers_on_every_pod_of_the_table() -> anyhow::Result<()> {
    let control_plane = ControlPlane::shared().await?;
    let cases = cases();
    assert!(cases.len() >= 120, "{}", cases.len());
    let mut places = Vec::new();
    for level in [Level::Baseline, Level::Restricted] {
        let name = control_plane.namespace(&format!("pods-{}", level.as_str())).await?;
        // The first case is the base.
        places.push(Place::new(control_plane.admin()?, &name, level, &cases[0].pod).await?);
    }
    let asked = places.iter().flat_map(|place| cases.iter().map(move |case| (place, case)));
    let asked: Vec<_> =
        asked.map(|(place, case)| async move { (place.level, case, place.ask(case).await) }).collect();
    let count = asked.len();
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let mut wrong = Vec::new();
    for (level, case, answer) in answers {
        let ours = ours(case, level);
        let problem = match answer? {
            Answer::Invalid if case.invalid => continue,
            Answer::Judged(theirs) if !case.invalid => {
                let told: BTreeSet<_> = theirs.keys().map(|rule| rule.as_str().to_owned()).collect();
                let expected = expected(case, level);
                let same = told == expected
                    && ours.keys().eq(theirs.keys())
                    && ours.iter().zip(theirs.values()).all(|((rule, ours), theirs)| agree(*rule, ours, theirs));
                if same {
                    continue;
                }
                format!("the API server says {theirs:?}, we say {ours:?}, the table says {expected:?}")
            }
            Answer::Invalid => "the API server does not take it as a pod".to_owned(),
            Answer::Judged(_) => "the API server takes it as a pod".to_owned(),
        };
        wrong.push(format!("{} at {}: {problem}", case.title(), level.as_str()));
    }
    assert!(wrong.is_empty(), "{} of {count} disagree:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
