//! What happened lately in an enclave, as results show it: the newest first.

use std::{cmp::Reverse, fmt, str::FromStr};

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Event as LiveEvent, PersistentVolumeClaim, Pod, Service},
        networking::v1::{Ingress, NetworkPolicy},
    },
    jiff::Timestamp,
};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Error, Metadata, Namespaced};
use tentacular_process::link::ToolError;

use crate::{
    clock::utc,
    observed::Observed,
    page::InvalidCursor,
    text,
    view::{Belongs, Known, View},
};

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
    /// The tentacle that this belongs to; left out when it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tentacle: Option<String>,
    /// How often.
    count: i32,
    /// When last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
}

/// The place of an event in a list, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventCursor {
    last_seen: Reverse<Option<Timestamp>>,
    name: String,
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last_seen.0 {
            Some(time) => write!(f, "{time}/{}", self.name),
            None => write!(f, "/{}", self.name),
        }
    }
}

impl FromStr for EventCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (time, name) = text.split_once('/').ok_or(InvalidCursor)?;
        let time = if time.is_empty() { None } else { Some(time.parse().map_err(|_| InvalidCursor)?) };
        Ok(Self { last_seen: Reverse(time), name: name.to_owned() })
    }
}

/// An event and whose it is.
#[derive(Debug)]
pub(crate) struct Happened {
    belongs: Belongs,
    event: LiveEvent,
}

impl Happened {
    /// Its place.
    pub(crate) fn place(&self) -> EventCursor {
        EventCursor {
            last_seen: Reverse(last_seen(&self.event)),
            name: self.event.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> Event {
        let event = &self.event;
        let line = |text: &Option<String>| text::line(text.as_deref().unwrap_or_default());
        let involved = &event.involved_object;
        let series = event.series.as_ref().and_then(|series| series.count);
        Event {
            kind: line(&event.type_),
            reason: line(&event.reason),
            message: line(&event.message),
            object: format!("{}/{}", line(&involved.kind), line(&involved.name)),
            tentacle: self.belongs.clone().tentacle(),
            count: series.max(event.count).unwrap_or(1).max(1),
            last_seen: last_seen(event).map(utc),
        }
    }
}

/// What happened in the enclave that the view shows, in the order of [`Happened::place`].
pub(crate) async fn read(observed: &Observed, view: &mut View) -> Result<Vec<Happened>, ToolError> {
    let found = observed.list::<LiveEvent>(&view.enclave).await?;
    let about = |kind: &str| found.iter().any(|event| event.involved_object.kind.as_deref() == Some(kind));
    if ["ReplicaSet", "Pod", "Job", "CronJob"].into_iter().any(about) {
        view.makers(observed).await?;
    }
    if about("Pod") {
        learn::<Pod>(observed, view).await?;
    }
    if about("Service") {
        learn::<Service>(observed, view).await?;
    }
    if about("ConfigMap") {
        learn::<ConfigMap>(observed, view).await?;
    }
    if about("PersistentVolumeClaim") {
        learn::<PersistentVolumeClaim>(observed, view).await?;
    }
    if about("Ingress") {
        learn::<Ingress>(observed, view).await?;
    }
    if about("NetworkPolicy") {
        learn::<NetworkPolicy>(observed, view).await?;
    }
    Ok(in_order(view, found))
}

async fn learn<K: Known>(observed: &Observed, view: &mut View) -> Result<(), ToolError>
where
    Metadata<K>: Namespaced,
{
    let objects: Result<Vec<Metadata<K>>, Error> = observed.list(&view.enclave).await;
    let objects = objects?;
    view.tentacles_of(observed, objects.iter().map(|object| &object.metadata)).await?;
    view.add_all(K::KIND, objects.iter().map(|object| &object.metadata));
    Ok(())
}

fn in_order(view: &View, found: Vec<LiveEvent>) -> Vec<Happened> {
    let attributed = found.into_iter().map(|event| {
        let involved = &event.involved_object;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let belongs = view.whose_is(&text(&involved.kind), &text(&involved.name), &text(&involved.uid));
        Happened { belongs, event }
    });
    let mut seen: Vec<_> = attributed.filter(|happened| view.shows(&happened.belongs)).collect();
    seen.sort_by_cached_key(Happened::place);
    seen
}

/// A repeated event is counted in place, in one of two ways.
fn last_seen(event: &LiveEvent) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|time| time.0);
    series.max(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::view::tests::view;

    fn event(with: &[(&str, Value)]) -> LiveEvent {
        let mut event = json!({
            "metadata": { "name": "e" },
            "type": "Warning",
            "reason": "Failed",
            "message": "no\u{1b}[2J such image, token=hunter2",
            "involvedObject": { "kind": "Pod", "name": "open-5d4f8c7b9-x2x4z" },
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
        let happened = in_order(&view("ann@x.io"), found);
        let told: Vec<_> = happened.iter().map(Happened::shown).collect();
        let times: Vec<_> = told.iter().map(|event| (event.count, event.last_seen.as_deref())).collect();
        assert_eq!(
            times,
            [
                (9, Some("2026-01-01T00:00:03Z")),
                (1, Some("2026-01-01T00:00:02Z")),
                (4, Some("2026-01-01T00:00:01Z")),
                (1, None)
            ]
        );
        assert_eq!(told[0].message, "no such image, token=***");
        assert_eq!(told[0].tentacle.as_deref(), Some("open"));
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for time in [json!({ "eventTime": "2026-01-01T00:00:02.123456Z" }), json!({})] {
            let (name, value) = time
                .as_object()
                .and_then(|time| time.iter().next())
                .map_or(("x", Value::Null), |(name, value)| (name.as_str(), value.clone()));
            let happened = Happened { belongs: Belongs::ToEnclave, event: event(&[(name, value)]) };
            assert_eq!(happened.place().to_string().parse(), Ok(happened.place()));
        }
        for text in ["", "x", "yesterday/e"] {
            assert_eq!(text.parse::<EventCursor>(), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn what_happened_to_a_tentacle_is_shown_with_read_there() {
        let about = |kind: &str, name: &str| event(&[("involvedObject", json!({ "kind": kind, "name": name }))]);
        let found = || {
            vec![
                about("Deployment", "open"),
                about("Deployment", "private"),
                about("Pod", "private-5d4f8c7b9-x2x4z"),
                about("Pod", "removed-5d4f8c7b9-x2x4z"),
                about("ResourceQuota", "tentacular-quota"),
            ]
        };
        let seen = |email: &str| in_order(&view(email), found()).len();
        assert_eq!((seen("ann@x.io"), seen("bob@x.io"), seen("owner@x.io")), (2, 4, 5));
    }
}
