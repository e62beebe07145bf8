//! Rules for the annotations of a Deployment in an enclave.

use serde::{Deserialize, de::DeserializeOwned};
use tentacular_contract::{
    cron::{self, Jitter, Missed, Overlap, Splits, shown},
    keys,
};

use super::{
    Finding, Verdict,
    annotation::{self, Read, Rule, email, mode, text},
    object::Texts,
};

/// Rule of what should be written otherwise, though it is read.
const SCHEDULED: &str = "cron-schedule";

pub(super) const RULES: &[Rule] = &[
    Rule { name: "tentacle-mode", key: keys::MODE, read: mode },
    Rule { name: "tentacle-owner", key: keys::OWNER, read: email },
    Rule { name: "tentacle-owner", key: keys::OWNER_EMAIL, read: email },
    Rule { name: "tentacle-owner", key: keys::OWNER_NAME, read: text },
    Rule { name: SCHEDULED, key: keys::CRON_SCHEDULE, read: schedule },
    Rule { name: "cron-timezone", key: keys::CRON_TIMEZONE, read: |text| cron::timezone(text).into() },
    Rule { name: "cron-missed", key: keys::CRON_MISSED, read: |text| text.parse::<Missed>().into() },
    Rule { name: "cron-overlap", key: keys::CRON_OVERLAP, read: |text| text.parse::<Overlap>().into() },
    Rule { name: "cron-jitter", key: keys::CRON_JITTER, read: |text| text.parse::<Jitter>().into() },
    Rule { name: "nodes", key: keys::NODES, read: |text| json::<Vec<String>>(text, "names, such as [\"fetch\"]") },
    Rule { name: "edges", key: keys::EDGES, read: |text| json::<Vec<[String; 2]>>(text, "pairs of names") },
    Rule { name: "sidecars", key: keys::SIDECARS, read: |text| json::<Vec<Named>>(text, "objects with a name") },
    Rule {
        name: "dependencies",
        key: keys::DEPENDENCIES,
        read: |text| json::<Vec<Named>>(text, "objects with a name"),
    },
    Rule { name: "description", key: keys::DESCRIPTION, read: text },
    Rule { name: "tags", key: keys::TAGS, read: text },
    Rule { name: "environment", key: keys::ENVIRONMENT, read: text },
    Rule { name: "version", key: keys::VERSION, read: text },
];

/// The schedule where an older server left it. It counts while the annotation of today is not there.
const OLDER: &[Rule] = &[Rule { name: SCHEDULED, key: keys::LEGACY_CRON_SCHEDULE, read: schedule }];

/// What lists of sidecars and dependencies have to have; the rest has defaults.
#[derive(Deserialize)]
struct Named {
    #[expect(dead_code, reason = "that it is there is all that is asked")]
    name: String,
}

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

/// JSON of that form. What is wrong is told by its place: it may be anything.
fn json<T: DeserializeOwned>(text: &str, of: &str) -> Read {
    match serde_json::from_str::<T>(text) {
        Ok(_) => Read::Valid,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Read::Invalid(format!("line {line}, column {column} cannot be read: use a JSON list of {of}"))
        }
    }
}

/// What the annotation of an older server says, where it counts.
pub(super) fn older(new: &Texts<'_>, old: Option<&Texts<'_>>) -> Verdict {
    let is_there = new.get(keys::LEGACY_CRON_SCHEDULE).is_some_and(|text| !text.trim().is_empty());
    if !is_there || new.contains_key(keys::CRON_SCHEDULE) {
        return Verdict::default();
    }
    let mut verdict = annotation::judge(OLDER, new, old);
    let problem = format!("is read, but was replaced: write {} instead", keys::CRON_SCHEDULE);
    verdict.warnings.push(Finding::new(SCHEDULED, annotation::path(keys::LEGACY_CRON_SCHEDULE), problem));
    verdict
}

/// What is said to whoever makes a `CronJob`.
pub(super) fn cron_job() -> Verdict {
    let problem = format!(
        "a CronJob is not recorded as runs of a tentacle, and fires in a frozen enclave too; if a tentacle is to be called, \
         annotate its Deployment with {}",
        keys::CRON_SCHEDULE
    );
    Verdict { warnings: vec![Finding::new("cron-job", "spec.schedule", problem)], ..Verdict::default() }
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
            (keys::NODES, "[\"fetch\"]", Allowed),
            (keys::NODES, "fetch", Refused("line 1, column 2 cannot be read: use a JSON list of names")),
            (keys::NODES, "[{}]", Refused("rule nodes")),
            (keys::EDGES, "[[\"a\",\"b\"]]", Allowed),
            (keys::EDGES, "[[\"a\"]]", Refused("pairs of names")),
            (keys::SIDECARS, "[{\"name\":\"thumbs\",\"port\":9000}]", Allowed),
            (keys::SIDECARS, "[{\"port\":9000}]", Refused("rule sidecars")),
            (keys::DEPENDENCIES, "[{\"name\":\"db\",\"protocol\":\"postgresql\"}]", Allowed),
            (keys::DEPENDENCIES, "{}", Refused("rule dependencies")),
        ] {
            check(RULES, key, value, expect);
        }
    }

    #[test]
    fn the_older_annotation_counts_alone() {
        let bad = Texts::from([(keys::LEGACY_CRON_SCHEDULE, "0 25 * * *")]);
        let verdict = older(&bad, None);
        assert!(
            verdict.violations[0].text.contains("metadata.annotations[tentacular.dev/cron-schedule]"),
            "{verdict:?}"
        );
        assert_eq!(verdict.warnings.len(), 1, "{verdict:?}");
        assert_eq!(older(&bad, Some(&bad)).violations, []);
        let beside = Texts::from([(keys::LEGACY_CRON_SCHEDULE, "0 25 * * *"), (keys::CRON_SCHEDULE, "@daily")]);
        assert_eq!(older(&beside, None), Verdict::default());
    }

    #[test]
    fn a_long_text_is_a_warning() {
        check(RULES, keys::DESCRIPTION, &"a".repeat(1000), Allowed);
        check(RULES, keys::DESCRIPTION, &"a".repeat(1001), Warned("only the first 1000"));
    }

    #[test]
    fn an_ambiguous_schedule_shows_two_ways() {
        let Read::Doubtful(text) = schedule("0 9 * * 1,5,30 2 * * *,@daily") else { panic!("not doubtful") };
        assert!(text.contains("'0 9 * * 1' + '5,30 2 * * *' + … or as '0 9 * * 1,5' + '30 2 * * *' + …"), "{text}");
    }
}
