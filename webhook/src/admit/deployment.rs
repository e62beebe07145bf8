//! Rules for the annotations of a Deployment in an enclave.

use tentacular_contract::{
    cron::{self, Jitter, Missed, Overlap, Splits, shown},
    keys,
};

use super::annotation::{Read, Rule, email, mode};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "tentacle-mode", key: keys::MODE, read: mode },
    Rule { name: "tentacle-owner", key: keys::OWNER, read: email },
    Rule { name: "tentacle-owner", key: keys::OWNER_EMAIL, read: email },
    Rule { name: "cron-schedule", key: keys::CRON_SCHEDULE, read: schedule },
    Rule { name: "cron-timezone", key: keys::CRON_TIMEZONE, read: |text| cron::timezone(text).into() },
    Rule { name: "cron-missed", key: keys::CRON_MISSED, read: |text| text.parse::<Missed>().into() },
    Rule { name: "cron-overlap", key: keys::CRON_OVERLAP, read: |text| text.parse::<Overlap>().into() },
    Rule { name: "cron-jitter", key: keys::CRON_JITTER, read: |text| text.parse::<Jitter>().into() },
];

/// One way to read it is fine. With more, the workflow's triggers may still decide, which this one object does not show.
fn schedule(text: &str) -> Read {
    match cron::parse(text) {
        Ok(Splits::One(_)) => Read::Valid,
        Ok(Splits::Several([one, other])) => Read::Doubtful(format!(
            "can be read as {} or as {}: name the schedules (nightly=0 2 * * *)",
            shown(&one),
            shown(&other)
        )),
        Err(invalid) => Read::Invalid(invalid.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::annotation::tests::{
        Expect::{Allowed, Refused, Warned},
        check,
    };

    #[test]
    fn values() {
        for (key, value, expect) in [
            (keys::MODE, "rwxr-x---", Allowed),
            (keys::MODE, "private", Allowed),
            (keys::MODE, "rwxrwxrwt", Refused("rule tentacle-mode")),
            (keys::OWNER, "ada@x.io", Allowed),
            (keys::OWNER, "", Allowed),
            (keys::OWNER, "ada lovelace", Refused("rule tentacle-owner")),
            (keys::OWNER_EMAIL, "ada@x.io", Allowed),
            (keys::OWNER_EMAIL, "@x.io", Refused("invalid email address")),
            (keys::CRON_SCHEDULE, "0 9 * * 1-5", Allowed),
            (keys::CRON_SCHEDULE, "0 2 * * *,*/15 9-17 * * 1,3,5", Allowed),
            (keys::CRON_SCHEDULE, "nightly=@daily,often=@every 5m", Allowed),
            (keys::CRON_SCHEDULE, "0 25 * * *", Refused("character 3: \"25\" is no hour: use 0-23")),
            (keys::CRON_SCHEDULE, "0 9 L * *", Refused("not supported")),
            (keys::CRON_SCHEDULE, "0 9 * * 1,5,30 2 * * *", Warned("name the schedules")),
            (keys::CRON_TIMEZONE, "Europe/Berlin", Allowed),
            (keys::CRON_TIMEZONE, "Berlin", Refused("IANA name")),
            (keys::CRON_MISSED, "once", Allowed),
            (keys::CRON_MISSED, "all", Refused("use skip or once")),
            (keys::CRON_OVERLAP, "allow", Allowed),
            (keys::CRON_OVERLAP, "once", Refused("use skip or allow")),
            (keys::CRON_JITTER, "60", Allowed),
            (keys::CRON_JITTER, "1h", Refused("use whole seconds from 0 to 3600")),
            (keys::TAGS, "anything", Allowed),
        ] {
            check(RULES, key, value, expect);
        }
    }

    #[test]
    fn an_ambiguous_schedule_shows_two_ways() {
        let Read::Doubtful(text) = schedule("0 9 * * 1,5,30 2 * * *,@daily") else { panic!("not doubtful") };
        assert!(text.contains("'0 9 * * 1' + '5,30 2 * * *' + … or as '0 9 * * 1,5' + '30 2 * * *' + …"), "{text}");
    }
}
