//! What happened lately to a tentacle's Deployment, its `ReplicaSets` and its pods; never to another tentacle's.

use k8s_openapi::{api::core::v1::Event as LiveEvent, jiff::Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Cluster, Error, Selector};
use tentacular_contract::{EnclaveName, TentacleName};

use super::pods::Family;
use crate::text;

/// Events that are shown.
const EVENTS: usize = 50;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Event {
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    kind: String,
    /// One word for it, such as `FailedCreate`.
    reason: String,
    /// What happened.
    message: String,
    /// To what, such as `Pod/report-5d4f8c7b9-x2x4z`.
    object: String,
    /// How often.
    count: i32,
    /// When last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
}

/// The newest events.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) events: Vec<Event>,
    pub(super) warning: Option<String>,
}

/// Reads the events of a tentacle and its family.
pub(super) async fn read(
    cluster: &Cluster,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
    family: &Family,
) -> Result<Happened, Error> {
    let events = cluster.namespaced::<LiveEvent>(enclave.as_str());
    let of = |fields: &str| Selector::all().fields(fields);
    let own = of(&format!("involvedObject.kind=Deployment,involvedObject.name={tentacle}"));
    let (sets, pods) = (of("involvedObject.kind=ReplicaSet"), of("involvedObject.kind=Pod"));
    let (own, sets, pods) = tokio::try_join!(events.list(&own), events.list(&sets), events.list(&pods))?;
    let name = |event: &LiveEvent| event.involved_object.name.clone().unwrap_or_default();
    let sets = sets.into_iter().filter(|event| family.replica_sets.contains(&name(event)));
    let pods = pods.into_iter().filter(|event| family.pods.iter().any(|pod| pod.name == name(event)));
    Ok(newest(own.into_iter().chain(sets).chain(pods).collect()))
}

fn newest(mut found: Vec<LiveEvent>) -> Happened {
    found.sort_by_key(|event| std::cmp::Reverse(last_seen(event)));
    let warning =
        (found.len() > EVENTS).then(|| format!("only the newest {EVENTS} of {} events are shown", found.len()));
    Happened { events: found.iter().take(EVENTS).map(shown).collect(), warning }
}

/// A repeated event is counted in place, in one of two ways.
fn last_seen(event: &LiveEvent) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|time| time.0);
    series.max(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

fn shown(event: &LiveEvent) -> Event {
    let line = |text: &Option<String>| text::line(text.as_deref().unwrap_or_default());
    let involved = &event.involved_object;
    let series = event.series.as_ref().and_then(|series| series.count);
    Event {
        kind: line(&event.type_),
        reason: line(&event.reason),
        message: line(&event.message),
        object: format!("{}/{}", line(&involved.kind), line(&involved.name)),
        count: series.max(event.count).unwrap_or(1).max(1),
        last_seen: last_seen(event).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(with: &[(&str, Value)]) -> LiveEvent {
        let mut event = json!({
            "metadata": {},
            "type": "Warning",
            "reason": "Failed",
            "message": "no\u{1b}[2J such image",
            "involvedObject": { "kind": "Pod", "name": "p" },
        });
        for (name, value) in with {
            event[name] = value.clone();
        }
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn the_newest_comes_first_however_its_time_is_told() {
        let found = vec![
            event(&[("lastTimestamp", json!("2026-01-01T00:00:01Z")), ("count", json!(4))]),
            event(&[
                ("lastTimestamp", json!("2026-01-01T00:00:00Z")),
                ("series", json!({ "count": 9, "lastObservedTime": "2026-01-01T00:00:03.000000Z" })),
            ]),
            event(&[]),
            event(&[("eventTime", json!("2026-01-01T00:00:02.000000Z"))]),
        ];
        let happened = newest(found);
        let told: Vec<_> = happened.events.iter().map(|event| (event.count, event.last_seen.as_deref())).collect();
        assert_eq!(
            told,
            [
                (9, Some("2026-01-01T00:00:03Z")),
                (1, Some("2026-01-01T00:00:02Z")),
                (4, Some("2026-01-01T00:00:01Z")),
                (1, None)
            ]
        );
        assert_eq!((happened.events[0].message.as_str(), happened.warning), ("no[2J such image", None));
        let many = newest(vec![event(&[]); EVENTS + 1]);
        assert_eq!((many.events.len(), many.warning.is_some()), (EVENTS, true));
    }
}
