//! Whether a tentacle has as many schedules as its workflow has cron triggers.

use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::{cron, text::line, workflow::CronTrigger};

use super::{LONGEST, Status};
/// What a tentacle has of schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schedules {
    /// `match`, `mismatch`, or `missing` where there is none of those that are expected.
    pub(super) status: Status,
    /// How many schedules the tentacle has.
    actual_count: usize,
    /// The schedules that it has.
    details: Vec<String>,
    /// How many are missing, in words.
    missing: Vec<String>,
    /// How many are too many, in words.
    extra: Vec<String>,
}

/// Compares the schedules of the annotation with how many are expected; with nothing where that is not told.
pub(super) fn compare(annotation: Option<&str>, triggers: &[CronTrigger], expected: Option<usize>) -> Schedules {
    let annotation = annotation.filter(|text| !text.trim().is_empty());
    let schedules = match annotation.map(|text| cron::choose(text, triggers)) {
        None => Vec::new(),
        Some(Ok(schedules)) => schedules,
        Some(Err(error)) => {
            let details = vec![line(&error.to_string(), LONGEST)];
            let (missing, extra) = (Vec::new(), Vec::new());
            return Schedules { status: Status::Mismatch, actual_count: 0, details, missing, extra };
        }
    };
    let actual = schedules.len();
    let expected = expected.unwrap_or(actual);
    let more = |number: usize, what: &str| -> Vec<String> {
        (number > 0).then(|| format!("{number} {what}")).into_iter().collect()
    };
    Schedules {
        status: match (actual, expected) {
            (actual, expected) if actual == expected => Status::Match,
            (0, _) => Status::Missing,
            _ => Status::Mismatch,
        },
        actual_count: actual,
        details: schedules.iter().map(|schedule| line(&schedule.to_string(), LONGEST)).collect(),
        missing: more(
            expected.saturating_sub(actual),
            "of the cron triggers have no schedule: apply the tentacle again",
        ),
        extra: more(actual.saturating_sub(expected), "schedules have no cron trigger: apply the tentacle again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_counted_as_the_workflow_means_them() {
        let trigger = |schedule: &str| CronTrigger { name: None, schedule: schedule.to_owned() };
        let ambiguous = "0 9 * * 1,5,30 2 * * *";
        let triggers = [trigger("0 9 * * 1,5"), trigger("30 2 * * *")];
        for (annotation, triggers, expected, status, actual) in [
            (None, &[][..], Some(0), Status::Match, 0),
            (None, &[], Some(1), Status::Missing, 0),
            (Some(" "), &[], Some(0), Status::Match, 0),
            (Some("0 2 * * *,*/15 9-17 * * 1,3,5"), &[], Some(2), Status::Match, 2),
            (Some("0 2 * * *"), &[], Some(2), Status::Mismatch, 1),
            (Some("0 2 * * *"), &[], Some(0), Status::Mismatch, 1),
            (Some("0 2 * * *"), &[], None, Status::Match, 1),
            (Some(ambiguous), &triggers, Some(2), Status::Match, 2),
            (Some(ambiguous), &[], Some(2), Status::Mismatch, 0),
            (Some("never"), &[], Some(1), Status::Mismatch, 0),
        ] {
            let found = compare(annotation, triggers, expected);
            assert_eq!(
                (found.status, found.actual_count),
                (status, actual),
                "{annotation:?} {expected:?}: {found:?}"
            );
            let reasons = [&found.missing, &found.extra].map(Vec::len).iter().sum::<usize>();
            let says_why = reasons > 0 || (status == Status::Mismatch && actual == 0);
            assert_eq!(says_why, status != Status::Match, "{found:?}");
        }
    }
}
