//! What is told of schedules, and read about them, beside annotations and ledger: the Event of invalid ones, and the cron
//! triggers of `workflow.yaml`.

use k8s_openapi::{
    api::core::v1::{ConfigMap, Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time as Stamp},
    jiff::Timestamp,
};
use sha2::{Digest as _, Sha256};
use tentacular_cluster::{Cluster, Error};
use tentacular_contract::{
    keys,
    release::may_be_of,
    workflow::{self, CronTrigger},
};

use super::{
    Lead, Place, Time, Timetable,
    kept::Kept,
    timetable::{Entry, names},
};
use crate::{clock::Clock, engine::Engine};

/// Longest text of an Event, in characters.
const MESSAGE: usize = 1000;

impl<E: Engine, C: Clock + Clone> Lead<E, C> {
    /// Tells on the Deployment why some of its schedules are none: an Event, once for each text.
    pub(super) async fn tell_invalid(&self, place: &Place, uid: &str, timetable: &Timetable) {
        if timetable.invalid.is_empty() {
            return;
        }
        let Place { enclave, tentacle } = place;
        let message: String = timetable.invalid.join("; ").chars().take(MESSAGE).collect();
        tracing::warn!(%enclave, %tentacle, %message, "schedules that cannot be read");
        let event = invalid_event(place, uid, &message, self.clockwork.clock.time());
        match self.clockwork.cluster.namespaced::<Event>(enclave.as_str()).create(&event).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => tracing::warn!(%enclave, %tentacle, %error, "an Event about schedules was not made"),
        }
    }

    /// The name by which the tentacle knows the schedule: that of the annotation, else of `workflow.yaml`.
    pub(super) async fn name_of(&self, kept: &Kept, entry: &Entry) -> Result<Option<String>, Error> {
        if entry.schedule.name.is_some() {
            return Ok(entry.schedule.name.clone());
        }
        let names = kept.names.get_or_try_init(|| async {
            let triggers = triggers(&self.clockwork.cluster, &kept.place).await?;
            Ok(names(&kept.seen.relevant, &triggers.unwrap_or_default()).0)
        });
        let names = names.await?;
        let index = kept.timetable.entries.iter().position(|other| other.id == entry.id);
        Ok(index.and_then(|index| names.get(index).cloned().flatten()))
    }
}

/// The cron triggers of a tentacle's `workflow.yaml`, where it has one that can be read.
pub(crate) async fn triggers(
    cluster: &Cluster,
    Place { enclave, tentacle }: &Place,
) -> Result<Option<Vec<CronTrigger>>, Error> {
    let maps = cluster.namespaced::<ConfigMap>(enclave.as_str());
    let map = maps.get(&format!("{tentacle}-code")).await?;
    // Of a tentacle whose name is longer by an ending it may be another thing.
    let map = map.filter(|map| may_be_of(tentacle, &map.metadata));
    let yaml = map.and_then(|map| map.data?.remove(workflow::FILE));
    Ok(yaml.and_then(|yaml| workflow::cron_triggers(&yaml).ok()))
}

/// The Event that tells of schedules which cannot be read. Its name stands for Deployment and text, so that no leader makes
/// it twice.
fn invalid_event(Place { enclave, tentacle }: &Place, uid: &str, message: &str, now: Time) -> Event {
    let digest = Sha256::digest(format!("{uid} {message}"));
    let hash = hex::encode(&digest[..8]);
    let time = Stamp(Timestamp::from_second(now.timestamp()).unwrap_or_default());
    Event {
        metadata: ObjectMeta { name: Some(format!("{tentacle}.{hash}")), ..ObjectMeta::default() },
        involved_object: ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("Deployment".to_owned()),
            namespace: Some(enclave.to_string()),
            name: Some(tentacle.to_string()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("InvalidSchedule".to_owned()),
        message: Some(format!("{}: {message}", keys::CRON_SCHEDULE)),
        source: Some(EventSource { component: Some("tentacular-scheduler".to_owned()), ..EventSource::default() }),
        count: Some(1),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        ..Event::default()
    }
}
