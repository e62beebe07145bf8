use proptest::prelude::*;

use super::*;
use crate::{limits, workflow};

fn triggers(triggers: &[(&str, &str)]) -> Vec<CronTrigger> {
    let trigger = |(name, schedule): &(&str, &str)| CronTrigger {
        name: (!name.is_empty()).then(|| (*name).to_owned()),
        schedule: (*schedule).to_owned(),
    };
    triggers.iter().map(trigger).collect()
}

fn chosen(annotation: &str, of: &[(&str, &str)]) -> Vec<String> {
    let schedules = choose(annotation, &triggers(of)).unwrap_or_else(|error| panic!("{annotation}: {error}"));
    schedules.iter().map(Schedule::to_string).collect()
}

const AMBIGUOUS: &str = "0 9 * * 1,5,30 2 * * *";

#[test]
fn the_recorded_workflow_names_its_schedules() {
    let calls = include_str!("../../../../../tests/end-to-end/tntc-wf-apply.jsonl").lines();
    let manifests = calls.flat_map(|call| {
        let call: serde_json::Value = serde_json::from_str(call).expect("JSON");
        call["arguments"]["manifests"].as_array().cloned().unwrap_or_default()
    });
    let manifests: Vec<_> = manifests.collect();
    let find =
        |path: &str| manifests.iter().filter_map(|manifest| manifest.pointer(path)?.as_str()).collect::<Vec<_>>();
    let annotation = find("/metadata/annotations/tentacular.io~1cron-schedule")[0];
    let file =
        find("/data/workflow.yaml").into_iter().find(|file| file.contains("schedule:")).expect("a cron trigger");
    let schedules = choose(annotation, &workflow::cron_triggers(file).expect("a workflow")).expect("valid");
    let shown: Vec<_> = schedules.iter().map(Schedule::to_string).collect();
    assert_eq!(shown, ["nightly=0 2 * * *", "working-hours=*/15 9-17 * * 1,3,5"]);
}

#[test]
fn triggers_choose_between_several_ways() {
    assert_eq!(
        chosen(AMBIGUOUS, &[("week", "0 9 * * 1,5"), ("night", "30 2 * * *")]),
        ["week=0 9 * * 1,5", "night=30 2 * * *"]
    );
    assert_eq!(chosen(AMBIGUOUS, &[("", "0 9 * * 1"), ("b", "5,30 2 * * *")]), ["0 9 * * 1", "b=5,30 2 * * *"]);
    assert_eq!(
        chosen("0 9 * * 1,5,5 2 * * *,@daily", &[("", "0 9 * * mon,FRI"), ("", "5  2 ? * *"), ("", "0 0 * * *")]),
        ["0 9 * * 1,5", "5 2 * * *", "@daily"]
    );
    assert_eq!(
        chosen("n=0 9 * * 1,5,30 2 * * *", &[("other", "0 9 * * 1,5"), ("", "30 2 * * *")]),
        ["n=0 9 * * 1,5", "30 2 * * *"],
        "the annotation's own names count"
    );
}

#[test]
fn what_the_triggers_do_not_say_stays_ambiguous() {
    for of in [
        &[][..],
        &[("a", "0 9 * * 1,5")],
        &[("a", "30 2 * * *"), ("b", "0 9 * * 1,5")],
        &[("a", "0 9 * * 1,5"), ("b", "30 2 * * *"), ("c", "@daily")],
        &[("a", "0 9 * * 1,5"), ("b", "31 2 * * *")],
        &[("a", "0 9 * * 1,5"), ("b", "TZ=Europe/Berlin 30 2 * * *")],
        &[("a", "0 9 * * 5,1"), ("b", "30 2 * * *")],
        &[("a", AMBIGUOUS)],
    ] {
        let error = choose(AMBIGUOUS, &triggers(of)).expect_err(AMBIGUOUS).to_string();
        assert!(error.contains("as '0 9 * * 1' + '5,30 2 * * *' or as '0 9 * * 1,5' + '30 2 * * *'"), "{error}");
        assert!(error.contains("name the schedules (nightly="), "{error}");
    }
    assert!(matches!(choose("0 25 * * *", &[]), Err(Unchosen::Invalid(_))));
}

#[test]
fn triggers_name_what_has_no_names() {
    for (annotation, of, expected) in [
        ("0 2 * * *", &[("a", "0 2 * * *")][..], &["a=0 2 * * *"][..]),
        ("0 2 * * *", &[("", "0 2 * * *")], &["0 2 * * *"]),
        ("0 2 * * *", &[("a", "0 3 * * *")], &["0 2 * * *"]),
        ("0 2 * * *", &[("a", "*/0 * * * *"), ("b", "0 2 * * *")], &["b=0 2 * * *"]),
        ("@daily,@daily", &[("a", "@daily"), ("b", "@daily")], &["a=@daily", "b=@daily"]),
        ("@daily,@daily", &[("a", "@daily")], &["a=@daily", "@daily"]),
        ("@hourly,@daily", &[("a", "@daily"), ("b", "@hourly")], &["b=@hourly", "a=@daily"]),
        ("@every 90s", &[("a", "@every 1m30s")], &["a=@every 90s"]),
        ("*/30 9 * * *", &[("a", "0,30 9 * * *")], &["*/30 9 * * *"]),
        ("TZ=Asia/Tokyo @daily", &[("a", "@daily")], &["CRON_TZ=Asia/Tokyo @daily"]),
        ("x=@daily,@hourly", &[("a", "@daily"), ("b", "@hourly")], &["x=@daily", "@hourly"]),
    ] {
        assert_eq!(chosen(annotation, of), expected, "{annotation} {of:?}");
    }
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["Nightly report", "-a", "ä", &"n".repeat(64)] {
        let error = choose("@daily", &triggers(&[(name, "@daily")])).expect_err(name);
        assert_eq!(error, Unchosen::Name(name.to_owned()));
    }
    let error = choose("@daily,@hourly", &triggers(&[("a", "@daily"), ("a", "@hourly")])).expect_err("same");
    assert_eq!(error, Unchosen::SameName("a".to_owned()));
    let text = error.to_string();
    assert!(text.contains("\"a\"") && text.contains("a name of its own"), "{text}");
}

proptest! {
    /// Whatever the client joins, its triggers take apart again.
    #[test]
    fn joined_triggers_are_taken_apart(
        entries in proptest::collection::vec("(@daily|[1-5](,[1-5]){0,3} [0-9] \\* \\* [1-5](,[1-5]){0,3})", 1..8),
    ) {
        let of: Vec<_> = entries.iter().enumerate().map(|(number, entry)| (format!("t{number}"), entry)).collect();
        let of: Vec<_> = of.iter().map(|(name, entry)| (name.as_str(), entry.as_str())).collect();
        let annotation = entries.join(",");
        prop_assume!(annotation.len() <= limits::CRON_CHARACTERS);
        let expected: Vec<_> = of.iter().map(|(name, entry)| format!("{name}={entry}")).collect();
        prop_assert_eq!(chosen(&annotation, &of), expected);
    }
}
