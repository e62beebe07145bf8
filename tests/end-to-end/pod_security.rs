//! The Pod Security rules of `contract` agree with those of an API server, pod by pod, at each level and version.

mod generated;
mod judgement;
mod place;

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tentacular_contract::{
    Workload,
    pod_security::{Level, Version},
};
use tentacular_test_harness::{ControlPlane, Installation};

use cases::{Case, cases, changed};
use generated::{Generator, Sample};
use place::{Place, Standing};

#[path = "../../kernel/contract/src/pod_security/cases.rs"]
pub(crate) mod cases;

/// Requests to the API server at the same time.
const AT_ONCE: usize = 32;
/// Where the generated pods begin.
const SEED: u64 = 8;
/// The versions that changed a rule that the API server has, those before them, its own, and one that it does not know.
const VERSIONS: [&str; 20] = [
    "v1.0", "v1.7", "v1.8", "v1.18", "v1.19", "v1.21", "v1.22", "v1.23", "v1.24", "v1.25", "v1.26", "v1.27", "v1.28",
    "v1.29", "v1.30", "v1.31", "v1.32", "v1.33", "latest", "v1.99",
];

async fn server_version(control_plane: &ControlPlane) -> anyhow::Result<Version> {
    Ok(Version::of_server(&control_plane.admin()?.apiserver_version().await?.git_version))
}

/// A namespace for each level and version.
async fn places(control_plane: &ControlPlane, versions: &[&str], base: &Value) -> anyhow::Result<Vec<Place>> {
    let server = server_version(control_plane).await?;
    let standards = versions
        .iter()
        .flat_map(|version| [Level::Baseline, Level::Restricted].into_iter().map(move |level| (level, *version)));
    let places = standards.map(|standard| Place::new(control_plane, server, standard, base));
    let places: Vec<_> = stream::iter(places.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    places.into_iter().collect()
}

/// What is wrong with our verdict on a pod, if anything; `None` for what is no valid pod.
async fn disagreement(place: &Place, sample: &Sample) -> anyhow::Result<Option<Option<String>>> {
    let Some(theirs) = place.asks(&sample.pod, sample.standing).await? else { return Ok(None) };
    let ours = place.judges(Workload::Pod, &sample.pod)?;
    let told = || format!("at {} the API server says {theirs:?}, we say {ours:?}: {}", place.asked, sample.pod);
    Ok(Some((ours != theirs).then(told)))
}

/// How many of these pods the API server judged; an error where it judged one otherwise than we do.
async fn agree(asked: Vec<(&Place, &Sample)>) -> anyhow::Result<usize> {
    let asked: Vec<_> = asked.into_iter().map(|(place, sample)| disagreement(place, sample)).collect();
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let judged = answers.into_iter().filter_map(Result::transpose).collect::<anyhow::Result<Vec<_>>>()?;
    let count = judged.len();
    let wrong: Vec<_> = judged.into_iter().flatten().collect();
    anyhow::ensure!(
        wrong.is_empty(),
        "{} of {count} disagree:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    Ok(count)
}

/// The rules that the table says `case` breaks.
fn expected(case: &Case, level: Level) -> BTreeSet<String> {
    let expected = case.expected(level.as_str()).into_iter();
    expected.filter_map(|text| Some(text.split_once(": ")?.0.to_owned())).collect()
}

fn sample(case: &Case) -> Sample {
    let ephemeral = !case.pod["spec"]["ephemeralContainers"].is_null();
    Sample { pod: case.pod.clone(), standing: ephemeral.then_some(Standing::ALL[0]) }
}

#[tokio::test]
async fn the_table_says_of_every_pod_what_the_api_server_does() -> anyhow::Result<()> {
    let installation = Installation::shared().await?;
    let control_plane = installation.control_plane();
    let cases = cases();
    assert!(cases.len() >= 120, "{}", cases.len());
    let mut wrong = Vec::new();
    for place in places(control_plane, &["latest"], &cases[0].pod).await? {
        let place = &place;
        let asked =
            cases.iter().map(|case| async move { (case, place.asks(&case.pod, sample(case).standing).await) });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        for (case, answer) in answers {
            let told = answer?.map(|judgement| judgement.keys().map(|rule| rule.as_str().to_owned()).collect());
            let expected = (!case.invalid).then(|| expected(case, place.level()));
            if told != expected {
                let title = case.title();
                wrong.push(format!("{title} at {}: the API server {told:?}, the table {expected:?}", place.asked));
            }
        }
    }
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn every_pod_is_judged_at_every_version_as_the_api_server_does() -> anyhow::Result<()> {
    let installation = Installation::shared().await?;
    let control_plane = installation.control_plane();
    let cases = cases();
    let places = places(control_plane, &VERSIONS, &cases[0].pod).await?;
    let table: Vec<_> = cases.iter().map(sample).collect();
    // Each at every version, by turns at one level and the other.
    let everywhere = table.iter().enumerate().flat_map(|(index, sample)| {
        places.chunks(2).zip(index..).map(move |(levels, turn)| (&levels[turn % 2], sample))
    });
    let valid = cases.iter().filter(|case| !case.invalid).count();
    assert_eq!(agree(everywhere.collect()).await?, valid * VERSIONS.len());

    println!("the seed of the pods is {SEED}");
    let mut generator = Generator::new(&cases, SEED);
    let kinds = [generator.pairs(3), generator.mixtures(2000), generator.ephemeral(800)];
    for (samples, least) in kinds.into_iter().zip([1500, 1200, 500]) {
        // As often at each standard.
        let somewhere = samples.iter().zip(places.iter().cycle()).map(|(sample, place)| (place, sample));
        let judged = agree(somewhere.collect()).await?;
        assert!(judged >= least, "only {judged} of {} pods were valid", samples.len());
    }
    Ok(())
}

/// An object of that kind that makes such pods.
fn object(workload: Workload, pod: &Value) -> Value {
    let labels = json!({ "app": "x" });
    let mut template = changed(pod, [("/metadata/labels", &labels), ("/metadata/name", &Value::Null)]);
    if matches!(workload, Workload::Job | Workload::CronJob) {
        template["spec"]["restartPolicy"] = json!("Never");
    }
    let spec = match workload {
        Workload::Pod | Workload::PodTemplate => json!({}),
        Workload::Job => json!({ "template": template }),
        Workload::CronJob => json!({ "schedule": "@daily", "jobTemplate": { "spec": { "template": template } } }),
        Workload::ReplicationController => json!({ "selector": labels, "template": template }),
        _ => json!({ "selector": { "matchLabels": labels }, "serviceName": "x", "template": template }),
    };
    let metadata = json!({ "name": "x" });
    let mut object = json!({
        "apiVersion": workload.api_version(), "kind": workload.kind(), "metadata": metadata, "spec": spec,
    });
    if workload == Workload::PodTemplate {
        object["template"] = template;
    }
    object
}

#[tokio::test]
async fn the_template_of_every_kind_is_judged_as_the_api_server_warns() -> anyhow::Result<()> {
    let installation = Installation::shared().await?;
    let control_plane = installation.control_plane();
    let cases = cases();
    let kinds = Workload::ALL.into_iter().filter(|workload| *workload != Workload::Pod);
    let places = places(control_plane, &["v1.18", "latest"], &cases[0].pod).await?;
    // Every pod in every kind, by turns at each standard.
    let asked = kinds.enumerate().flat_map(|(turn, workload)| {
        cases.iter().zip(places.iter().cycle().skip(turn)).map(move |(case, place)| (workload, case, place))
    });
    let asked = asked.map(|(workload, case, place)| async move {
        let object = object(workload, &case.pod);
        let theirs = place.warns(workload, &object).await?;
        anyhow::Ok((theirs, place.judges(workload, &object)?, object))
    });
    let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
    let mut judged = 0;
    for answer in answers {
        let (theirs, ours, object) = answer?;
        judged += usize::from(theirs.is_some());
        assert!(theirs.as_ref().is_none_or(|theirs| *theirs == ours), "{theirs:?} {ours:?} {object}");
    }
    assert!(judged > 1500, "{judged}");
    Ok(())
}
