//! What follows from which schedule it is and nothing else, so that every replica and every later process agrees: by how
//! much its runs are spread, and the ids of its runs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::{Jitter, Schedule};
use crate::names::{EnclaveName, TentacleName};

impl Schedule {
    /// What tells it from the others of its tentacle, and stays when they change: its name, else the entry as the
    /// annotation spells it. Names hold neither blank nor `@`, and every entry does. Two entries without names that are
    /// spelled alike are one schedule.
    #[must_use]
    pub fn identity(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.to_string())
    }
}

impl Jitter {
    /// How long after each of its instants a schedule is fired: always the same, below the jitter, in milliseconds.
    #[must_use]
    pub fn delay(self, enclave: &EnclaveName, tentacle: &TentacleName, schedule: &Schedule) -> Duration {
        let digest = digest("cron-jitter", enclave, tentacle, schedule, &[]);
        let number = u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]));
        let longest = self.seconds() * 1000;
        Duration::from_millis(number.checked_rem(longest).unwrap_or_default())
    }
}

/// The id of the run that a schedule is due for at `instant`, in whole seconds: the same from whoever fires it, so that a
/// second call of one run can be told from another run.
///
/// A UUID of version 8 (RFC 9562 section 5.8), from SHA-256: version 5 is from SHA-1, which nothing else here needs.
#[must_use]
pub fn run_id(enclave: &EnclaveName, tentacle: &TentacleName, schedule: &Schedule, instant: DateTime<Utc>) -> Uuid {
    let digest = digest("cron-run", enclave, tentacle, schedule, &instant.timestamp().to_be_bytes());
    Builder::from_custom_bytes(std::array::from_fn(|byte| digest[byte])).into_uuid()
}

/// SHA-256 of the parts, each after its length, so that no two sequences of parts are one text.
fn digest(
    purpose: &str,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
    schedule: &Schedule,
    instant: &[u8],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let identity = schedule.identity();
    let parts = [purpose, enclave.as_str(), tentacle.as_str(), &identity].map(str::as_bytes);
    for part in parts.into_iter().chain([instant]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cron::{Splits, parse};

    fn schedules(annotation: &str) -> Vec<Schedule> {
        match parse(annotation) {
            Ok(Splits::One(schedules)) => schedules,
            other => panic!("{annotation}: {other:?}"),
        }
    }

    fn enclave(name: &str) -> EnclaveName {
        name.parse().expect(name)
    }

    fn tentacle(name: &str) -> TentacleName {
        name.parse().expect(name)
    }

    #[test]
    fn a_schedule_is_its_name_or_its_spelling() {
        let identities: Vec<_> = schedules("nightly=0 2 * * *,0  2 * * *,TZ=Asia/Tokyo @daily,@daily,daily=@daily")
            .iter()
            .map(Schedule::identity)
            .collect();
        assert_eq!(identities, ["nightly", "0  2 * * *", "CRON_TZ=Asia/Tokyo @daily", "@daily", "daily"]);
    }

    #[test]
    fn run_ids_differ_by_each_part_and_never_change() {
        let schedules = schedules("a=0 2 * * *,b=0 2 * * *,0 2 * * *");
        let instant = |text: &str| text.parse::<DateTime<Utc>>().expect(text);
        let mut ids = HashSet::new();
        for enclave in ["team", "team-a"].map(enclave) {
            for tentacle in ["a-report", "report"].map(tentacle) {
                for schedule in &schedules {
                    for instant in ["2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"].map(instant) {
                        let id = run_id(&enclave, &tentacle, schedule, instant);
                        assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
                        assert!(ids.insert(id), "{enclave} {tentacle} {schedule} {instant}");
                    }
                }
            }
        }
        let id = run_id(&enclave("team-a"), &tentacle("report"), &schedules[0], instant("2026-01-01T02:00:00.9Z"));
        assert_eq!(
            id.to_string(),
            "f31c75cf-40ef-8b51-a77d-327cb2af4a3d",
            "a later version must call a run by the same id"
        );
    }

    #[test]
    fn jitter_spreads_evenly_and_never_changes() {
        let (enclave, hourly) = (enclave("team-a"), schedules("@hourly").remove(0));
        let delay = |jitter: &str, name: usize| {
            let jitter: Jitter = jitter.parse().expect(jitter);
            jitter.delay(&enclave, &tentacle(&format!("report-{name}")), &hourly)
        };
        let mut seconds = [0; 60];
        for name in 0..6000 {
            assert_eq!(delay("0", name), Duration::ZERO);
            seconds[usize::try_from(delay("60", name).as_secs()).expect("a second")] += 1;
        }
        assert!(seconds.iter().all(|tentacles| (50..=150).contains(tentacles)), "{seconds:?}");
        assert_eq!(delay("60", 1), Duration::from_millis(49_604), "a later version must fire at the same time");
    }
}
