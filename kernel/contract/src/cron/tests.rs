use proptest::prelude::*;

use super::*;
use crate::limits;

fn one(text: &str) -> Vec<Schedule> {
    match parse(text).unwrap_or_else(|error| panic!("{error}")) {
        Splits::One(schedules) => schedules,
        Splits::Several(splits) => panic!("{text:?} is ambiguous: {splits:?}"),
    }
}

fn shown(schedules: &[Schedule]) -> Vec<String> {
    schedules.iter().map(Schedule::to_string).collect()
}

/// The values of the five fields, and whether the days of month or week count.
fn meaning(cron: &croner::Cron) -> ([Vec<u16>; 5], bool, bool) {
    let pattern = &cron.pattern;
    let fields = [
        pattern.minutes.values(),
        pattern.hours.values(),
        pattern.days.values(),
        pattern.months.values(),
        pattern.days_of_week.values(),
    ];
    (fields, pattern.is_dom_wildcard(), pattern.is_dow_wildcard())
}

#[test]
fn one_split_is_found() {
    for (text, entries) in [
        ("0 9 * * *", &["0 9 * * *"][..]),
        ("  0  9 * * *  ", &["0  9 * * *"]),
        ("0 2 * * *,*/15 9-17 * * 1,3,5", &["0 2 * * *", "*/15 9-17 * * 1,3,5"]),
        ("0 9 * * 1,5, 30 2 * * *", &["0 9 * * 1,5", "30 2 * * *"]),
        ("0 9 * * 1,5 ,30 2 * * *", &["0 9 * * 1,5", "30 2 * * *"]),
        ("0 9 * * 1,5,b=30 2 * * *", &["0 9 * * 1,5", "b=30 2 * * *"]),
        ("0 9 * * 1,5,@daily", &["0 9 * * 1,5", "@daily"]),
        ("0,30 9 * * *,0,30 8 * * *", &["0,30 9 * * *", "0,30 8 * * *"]),
        ("a=0,30 9 1,15 JAN,jun MON-FRI", &["a=0,30 9 1,15 JAN,jun MON-FRI"]),
        ("@hourly,@every 5m", &["@hourly", "@every 5m"]),
        ("TZ=Europe/Berlin 0 9 * * 1-5", &["CRON_TZ=Europe/Berlin 0 9 * * 1-5"]),
        ("nightly = CRON_TZ=UTC @daily,x=5/15 * ? * ?", &["nightly=CRON_TZ=UTC @daily", "x=5/15 * ? * ?"]),
    ] {
        assert_eq!(shown(&one(text)), entries, "{text}");
    }
}

#[test]
fn two_splits_are_told_apart() {
    let Ok(Splits::Several([first, second])) = parse("0 9 * * 1,5,30 2 * * *") else { panic!("not ambiguous") };
    assert_eq!(shown(&first), ["0 9 * * 1", "5,30 2 * * *"]);
    assert_eq!(shown(&second), ["0 9 * * 1,5", "30 2 * * *"]);
    let Ok(Splits::Several([first, second])) = parse("@daily,0 9 * * 1,5,30 2 * * 1,5,30 2 * * *") else {
        panic!("not ambiguous")
    };
    assert_ne!(shown(&first), shown(&second));
}

#[test]
fn what_is_invalid_says_where_and_why() {
    let longest = "*".repeat(limits::CRON_CHARACTERS + 1);
    for (text, character, needle) in [
        ("", 1, "a schedule is missing"),
        (" ", 1, "a schedule is missing"),
        (",", 1, "a schedule is missing"),
        ("0 9 * * *,", 11, "a schedule is missing"),
        ("0 9 * *", 8, "only 4 of five"),
        ("0 0 9 * * *", 11, "a sixth field"),
        ("0 9 * * * 2030", 11, "a sixth field"),
        ("0 9 * * * 30 2 * * *", 11, "a sixth field"),
        ("60 9 * * *", 1, "\"60\" is no minute: use 0-59"),
        ("0 25 * * *", 3, "\"25\" is no hour"),
        ("0 9 0 * *", 5, "no day of month"),
        ("0 9 * 13 *", 7, "no month"),
        ("0 9 * * 8", 9, "no day of week"),
        ("0 9 * * 5-1", 9, "no day of week"),
        ("0 9 L * *", 5, "no day of month"),
        ("0 9 15W * *", 5, "no day of month"),
        ("0 9 * * 5#2", 9, "no day of week"),
        ("0 9 * * 5L", 9, "no day of week"),
        ("0 9 1 * +1", 9, "no day of week"),
        ("MON 9 * * *", 1, "no minute"),
        ("0 9 * * *,*", 12, "only 1 of five"),
        ("0 9 * * 1,*", 12, "only 1 of five"),
        ("0 9 1,* * *", 7, "'*' and another"),
        ("0 9 *,1 * *", 7, "only 3 of five"),
        ("*/0 9 * * *", 1, "no minute"),
        ("/5 9 * * *", 1, "no minute"),
        ("1--2 9 * * *", 1, "no minute"),
        ("+1 9 * * *", 1, "no minute"),
        ("0 9 * * 1,,2 2 * * *", 11, "a schedule is missing"),
        ("0 2 * * *,30 24 * * *", 14, "no hour"),
        ("ä=0 9 * * *", 1, "no name of a schedule"),
        ("a=0 9 * * *, a=0 10 * * *", 13, "stands twice"),
        ("CRON_TZ=Mars/Olympus 0 9 * * *", 9, "no time zone"),
        ("TZ= 0 9 * * *", 4, "no time zone"),
        ("TZ=UTC", 1, "a schedule is missing"),
        ("@reboot", 1, "no descriptor"),
        ("@Daily", 1, "no descriptor"),
        ("@every", 1, "no duration"),
        ("@every 5", 1, "no duration"),
        ("@every -5m", 1, "no duration"),
        ("@every 999ms", 1, "no duration"),
        ("@every 1.2.3s", 1, "no duration"),
        ("@every 99999999999h", 1, "no duration"),
        (longest.as_str(), 1, "more than the limit of 2048"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.character, character, "{error}");
        assert!(error.to_string().contains(needle), "{text}: {error}");
    }
}

#[test]
fn expressions_mean_what_robfig_means() {
    for (text, same) in [
        ("5/15 * * * *", "5-59/15 * * * *"),
        ("0 9 1 * */1", "0 9 1 * *"),
        ("0 9 ? * 1", "0 9 * * 1"),
        ("? ? * * *", "* * * * *"),
        ("0 9 * * 5/2", "0 9 * * 5"),
        ("0 9 * * fri-sun", "0 9 * * 5-7"),
        ("0 9 * jan-mar sun", "0 9 * 1-3 0"),
        ("*/90 * * * *", "0 * * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@midnight", "0 0 * * *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        let Kind::Fields(cron) = &one(text)[0].kind else { panic!("{text}") };
        assert_eq!(meaning(cron), meaning(&same.parse().expect(same)), "{text}");
    }
}

#[test]
fn every_counts_whole_seconds() {
    for (text, seconds) in
        [("1s", 1), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("1500ms", 1), (".5m", 30), ("2h0m1s", 7201)]
    {
        assert_eq!(one(&format!("@every {text}"))[0].kind, Kind::Every(Duration::from_secs(seconds)), "{text}");
    }
}

#[test]
fn the_worst_text_takes_no_time() {
    let started = std::time::Instant::now();
    for pattern in ["*,", "1,", "0,0 ", "* * * * 1,1,1,1,1,1,1,1,", "1 1 1 1 1,", "@daily,", "a=", ", ", "@", "=,"] {
        let text: String = pattern.chars().cycle().take(limits::CRON_CHARACTERS).collect();
        let _ = parse(&text);
        let _ = parse(&format!("{} * * * *", &text[..text.len() - 8]));
    }
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_cron_characters_panics(text in "[-0-9*/,?@ =LW#+a-z]{0,80}") {
        let _ = parse(&text);
    }

    /// The grammar of `field` decides alone what is valid: croner agrees with all of it.
    #[test]
    fn croner_takes_what_the_grammar_takes(
        item in "(\\*|[0-9]{1,2}|[0-9]-[0-9]{1,2}|SUN|sat|mon-sun|dec)(/[0-9]{1,5})?",
        number in 0..=field::LAST,
    ) {
        if let Some(read) = field::read(&item, number) {
            let mut fields = ["0", "0", "1", "1", "0"];
            fields[number] = &read;
            prop_assert!(entry::fields(&fields.join(" ")).is_ok(), "{item} {read}");
        }
    }

    /// Named entries are read back as they were put together.
    #[test]
    fn names_make_one_split(entries in proptest::collection::vec("[1-5](,[1-5]){0,3} [0-9] \\* \\* [1-5](,[1-5]){0,3}", 1..6)) {
        let named: Vec<_> = entries.iter().enumerate().map(|(number, entry)| format!("s{number}={entry}")).collect();
        prop_assert_eq!(shown(&one(&named.join(","))), named);
    }

    /// Every split puts the annotation together again.
    #[test]
    fn splits_join_to_the_annotation(entries in proptest::collection::vec("[1-5](,[1-5]){0,3} [0-9] \\* \\* [1-5](,[1-5]){0,3}", 1..6)) {
        let text = entries.join(",");
        match parse(&text).expect("valid") {
            Splits::One(schedules) => prop_assert_eq!(shown(&schedules), entries),
            Splits::Several(splits) => for split in splits {
                prop_assert_eq!(shown(&split).join(","), text.clone());
            },
        }
    }
}
