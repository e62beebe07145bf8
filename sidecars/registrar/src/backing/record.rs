//! What is recorded of a tentacle's credentials beside them, on the Secret: of when they are, and whether those that they
//! replaced are still to be revoked. Whoever has the tentacle's lock can go on from there, also another registrar.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tentacular_cluster::Object;
use tentacular_contract::{backing::Service, facts::Pairs, instant::is_rfc3339, keys};

use super::share::Share;

/// The part of the longest age by which credentials are renewed earlier at most, so that those that were given at the same time
/// are not all renewed at the same time.
const EARLIER: i32 = 10;

/// The record of one tentacle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record(BTreeMap<Service, Issued>);

/// The credentials of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Issued {
    since: DateTime<Utc>,
    /// Whether those before are still to be revoked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    revoke: bool,
}

impl Record {
    /// As the annotations of the Secret say it; empty where they say nothing that can be read.
    pub(super) fn read(annotations: Option<&Pairs>) -> Self {
        let text = annotations.and_then(|annotations| annotations.get(keys::CREDENTIALS));
        let record = text.and_then(|text| serde_json::from_str::<Self>(text).ok());
        record.filter(|record| record.0.values().all(|issued| is_rfc3339(&issued.since))).unwrap_or_default()
    }

    /// The same of the Secret, if there is one.
    pub(crate) fn of(secret: Option<&Object>) -> Self {
        Self::read(secret.and_then(|secret| secret.metadata.annotations.as_ref()))
    }

    /// What the annotation says.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// With the fresh ones of the shares as of `now`. Where there were others before, these are to be revoked.
    pub(super) fn issued(mut self, shares: &[Share], had: impl Fn(Service) -> bool, now: DateTime<Utc>) -> Self {
        for share in shares.iter().filter(|share| share.fresh) {
            let issued = Issued { since: now.trunc_subsecs(0), revoke: had(share.service) };
            self.0.insert(share.service, issued);
        }
        self
    }

    /// With nothing more to revoke of these services.
    pub(crate) fn revoked(mut self, services: &[Service]) -> Self {
        for (service, issued) in &mut self.0 {
            issued.revoke &= !services.contains(service);
        }
        self
    }

    /// Whether former credentials of the service are still to be revoked.
    pub(crate) fn is_pending(&self, service: Service) -> bool {
        self.0.get(&service).is_some_and(|issued| issued.revoke)
    }

    /// The services of which former credentials are still to be revoked.
    pub(crate) fn pending(&self) -> Vec<Service> {
        self.0.keys().copied().filter(|service| self.is_pending(*service)).collect()
    }

    /// Of when the credentials of the service are, in a Secret that was `made` then.
    fn since(&self, service: Service, made: DateTime<Utc>) -> DateTime<Utc> {
        self.0.get(&service).map_or(made, |issued| issued.since)
    }

    /// Of when the newest credentials are.
    pub(super) fn newest(&self, made: DateTime<Utc>) -> DateTime<Utc> {
        self.0.values().map(|issued| issued.since).max().unwrap_or(made)
    }

    /// When the first of the credentials will be too old.
    pub(super) fn first_end(&self, made: DateTime<Utc>, longest: Longest) -> DateTime<Utc> {
        longest.end(self.0.values().map(|issued| issued.since).min().unwrap_or(made))
    }

    /// Whether the credentials of the service are too old.
    pub(super) fn is_old(&self, service: Service, made: DateTime<Utc>, longest: Longest, now: DateTime<Utc>) -> bool {
        longest.end(self.since(service, made)) <= now
    }
}

/// How old the credentials of one tentacle may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest(TimeDelta);

impl Longest {
    /// At most `age`, and a part of that less that is the tentacle's own, as `spread` says, from 0 to 1.
    pub(super) fn new(age: TimeDelta, spread: f64) -> Self {
        Self(age - part(age / EARLIER, spread))
    }

    fn end(self, since: DateTime<Utc>) -> DateTime<Utc> {
        since.checked_add_signed(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// That part of a time, from 0 to 1.
pub(super) fn part(time: TimeDelta, spread: f64) -> TimeDelta {
    TimeDelta::from_std(time.to_std().unwrap_or_default().mul_f64(spread.clamp(0.0, 1.0))).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            network::Whereabouts,
            share::{Endpoint, Fields},
        },
        *,
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn share(service: Service, fresh: bool) -> Share {
        let (endpoint, whereabouts) = (Endpoint { host: String::new(), port: 1 }, Whereabouts::default());
        Share { service, endpoint, whereabouts, fields: Fields::new(), contract: Vec::new(), fresh }
    }

    #[test]
    fn only_what_is_fresh_is_of_now_and_only_what_replaced_others_has_some_to_revoke() {
        let shares = [share(Service::Postgres, true), share(Service::Nats, true), share(Service::Rustfs, false)];
        let record = Record::default().issued(&shares, |service| service == Service::Nats, at(100));
        let text = record.to_text();
        assert_eq!(
            text,
            r#"{"postgres":{"since":"1970-01-01T00:01:40Z"},"nats":{"since":"1970-01-01T00:01:40Z","revoke":true}}"#
        );
        let annotations = Pairs::from([(keys::CREDENTIALS.to_owned(), text)]);
        assert_eq!(Record::read(Some(&annotations)), record);
        assert_eq!(record.pending(), [Service::Nats]);
        let kept = record.clone().issued(&[share(Service::Nats, false)], |_| true, at(200));
        assert_eq!(kept, record, "what is kept is as old as it was");
        let done = record.revoked(&[Service::Nats, Service::Rustfs]);
        assert_eq!((done.pending(), done.newest(at(0))), (vec![], at(100)));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let last = r#"{"postgres":{"since":"+262142-12-31T23:59:59Z"}}"#;
        for text in ["", "{", "[]", r#"{"mysql":{"since":"1970-01-01T00:01:40Z"}}"#, last] {
            let annotations = Pairs::from([(keys::CREDENTIALS.to_owned(), text.to_owned())]);
            assert_eq!(Record::read(Some(&annotations)), Record::default(), "{text}");
        }
    }

    #[test]
    fn credentials_are_never_older_than_they_may_be() {
        let record = Record::default().issued(&[share(Service::Postgres, true)], |_| false, at(1000));
        for (spread, last) in [(0.0, 1100), (0.5, 1095), (1.0, 1090)] {
            let longest = Longest::new(TimeDelta::seconds(100), spread);
            assert!(!record.is_old(Service::Postgres, at(0), longest, at(last - 1)), "{spread}");
            assert!(record.is_old(Service::Postgres, at(0), longest, at(last)), "{spread}");
            assert_eq!(record.first_end(at(0), longest), at(last));
            // What an older server gave is as old as the Secret.
            assert!(record.is_old(Service::Nats, at(0), longest, at(last)), "{spread}");
        }
    }
}
