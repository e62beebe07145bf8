use super::*;

fn email(text: &str) -> Email {
    text.parse().unwrap()
}

fn emails(texts: &[&str]) -> BTreeSet<Email> {
    texts.iter().map(|text| email(text)).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "every argument that is given is optional")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Ann's enclave with two members, as its annotations.
fn stored() -> Pairs {
    let list = [
        (keys::ENCLAVE, "team-a"),
        (keys::ENCLAVE_OWNER, "ann@x.io"),
        (keys::ENCLAVE_OWNER_SUB, "s1"),
        (keys::ENCLAVE_MEMBERS, "bob@x.io,cid@x.io"),
        (keys::ENCLAVE_STATUS, "active"),
        (keys::MODE, "rwxrwx---"),
        (keys::ENCLAVE_QUOTA_PRESET, "medium"),
    ];
    list.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn enclave(annotations: &Pairs) -> Enclave {
    let labels = Pairs::from([(keys::MANAGED_BY.to_owned(), keys::TENTACULAR.to_owned())]);
    Enclave::from_metadata("team-a", &labels, annotations, false).unwrap()
}

/// What the arguments make of Ann's enclave when she gives them, or the bearer token does.
fn decide(arguments: &Arguments, anybody: bool) -> Result<Decision, String> {
    let change = Change::read(arguments, anybody).map_err(|refused| refused.to_string())?;
    change.decide(&enclave(&stored()), &stored()).map_err(|refused| refused.to_string())
}

/// The same, and what it makes of the enclave that it made.
fn decide_twice(arguments: &Arguments, anybody: bool) -> (Decision, Decision, Pairs) {
    let first = decide(arguments, anybody).unwrap();
    let mut after = stored();
    after.extend(first.annotations.clone());
    let again = Change::read(arguments, anybody).unwrap().decide(&enclave(&after), &after).unwrap();
    (first, again, after)
}

#[test]
fn every_problem_of_the_arguments_is_told_at_once() {
    let arguments = Arguments {
        new_owner: text("nobody"),
        new_owner_sub: text("s2"),
        new_channel_name: text("a\nb"),
        new_status: text("provisioning"),
        new_mode: text("777"),
        new_default_mode: text("all"),
        new_quota_preset: text("huge"),
        add_members: texts(&["bob@x.io", "no address"]),
        remove_members: texts(&["BOB@x.io"]),
        members: Some(texts(&["eve@x.io", "a,b@x.io"])),
        ..Arguments::default()
    };
    let error = Change::read(&arguments, false).unwrap_err().to_string();
    for part in [
        "nothing was changed: new_owner: ",
        "; new_channel_name: ",
        "; new_status: invalid status \"provisioning\"; valid values: active, frozen",
        "; new_mode: ",
        "; new_default_mode: ",
        "; new_quota_preset: ",
        "; add_members[1]: ",
        "; members[1]: ",
        "; new_owner_sub: only with the bearer token",
        "; members: replaces all",
        "both name bob@x.io",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn whoever_changes_nothing_is_told_what_can_be_given() {
    let empty = text(" ");
    let blank = Arguments { new_owner: empty.clone(), new_status: empty, ..Arguments::default() };
    for arguments in [Arguments::default(), blank] {
        for anybody in [false, true] {
            let error = decide(&arguments, anybody).unwrap_err();
            assert!(error.contains("give at least one of new_owner, new_channel_name"), "{error}");
        }
    }
}

#[test]
fn only_what_is_given_and_different_is_written() {
    let arguments = Arguments {
        new_channel_name: text("#a"),
        new_status: text("frozen"),
        new_mode: text("member-edit"),
        new_default_mode: text("private"),
        new_quota_preset: text("medium"),
        ..Arguments::default()
    };
    let (decision, again, _) = decide_twice(&arguments, false);
    assert_eq!(decision.updated, ["channel_name", "status", "default_mode"]);
    let written = [
        (keys::ENCLAVE_CHANNEL_NAME, "#a"),
        (keys::ENCLAVE_DEFAULT_MODE, "rwx------"),
        (keys::ENCLAVE_STATUS, "frozen"),
    ];
    assert_eq!(decision.annotations, written.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert_eq!(again, Decision { annotations: Pairs::new(), updated: Vec::new(), removed: BTreeSet::new() });
}

#[test]
fn the_size_has_two_names_which_must_agree() {
    let size = |new: Option<&str>, other: Option<&str>| {
        let (new_quota_preset, quota_preset) = (new.map(str::to_owned), other.map(str::to_owned));
        decide(&Arguments { new_quota_preset, quota_preset, ..Arguments::default() }, false)
    };
    for (new, other) in [(Some("small"), None), (None, Some("small")), (Some("small"), Some("small"))] {
        assert_eq!(size(new, other).unwrap().annotations[keys::ENCLAVE_QUOTA_PRESET], "small");
    }
    assert!(size(Some("small"), Some("large")).unwrap_err().contains("quota_preset: the same as new_quota_preset"));
}

#[test]
fn members_come_and_go_and_a_repeat_still_knows_who_went() {
    let arguments = Arguments {
        add_members: texts(&["DEE@x.io", "bob@x.io", "ann@x.io"]),
        remove_members: texts(&["cid@x.io", "gone@x.io"]),
        ..Arguments::default()
    };
    let (decision, again, _) = decide_twice(&arguments, false);
    assert_eq!(decision.annotations[keys::ENCLAVE_MEMBERS], "bob@x.io,dee@x.io");
    assert_eq!((&decision.updated[..], &decision.removed), (&["members"][..], &emails(&["cid@x.io", "gone@x.io"])));
    assert_eq!((again.updated.len(), again.removed), (0, decision.removed));

    let arguments = Arguments { members: Some(texts(&["dee@x.io", "cid@x.io"])), ..Arguments::default() };
    let decision = decide(&arguments, false).unwrap();
    assert_eq!(decision.annotations[keys::ENCLAVE_MEMBERS], "cid@x.io,dee@x.io");
    assert_eq!(decision.removed, emails(&["bob@x.io"]));
    let nobody = decide(&Arguments { members: Some(Vec::new()), ..Arguments::default() }, false).unwrap();
    assert_eq!((&*nobody.annotations[keys::ENCLAVE_MEMBERS], nobody.removed.len()), ("", 2));
}

#[test]
fn an_enclave_has_at_most_a_hundred_members() {
    let arguments = |count: usize| {
        let add_members = (0..count).map(|index| format!("m{index}@x.io")).collect();
        Arguments { add_members, ..Arguments::default() }
    };
    assert!(decide(&arguments(98), false).is_ok());
    let error = decide(&arguments(99), false).unwrap_err();
    assert!(error.contains("members: there would be 101, an enclave has at most 100"), "{error}");

    // One that has more, from elsewhere, may get fewer.
    let mut many = stored();
    let list: Vec<_> = (0..110).map(|index| format!("m{index}@x.io")).collect();
    many.insert(keys::ENCLAVE_MEMBERS.to_owned(), list.join(","));
    let fewer = Arguments { remove_members: texts(&["m1@x.io"]), ..Arguments::default() };
    assert!(Change::read(&fewer, false).unwrap().decide(&enclave(&many), &many).is_ok());
}

#[test]
fn the_next_owner_was_a_member_and_who_owned_it_becomes_one() {
    let arguments = Arguments { new_owner: text("Bob@x.io"), ..Arguments::default() };
    let (decision, again, after) = decide_twice(&arguments, false);
    assert_eq!(decision.updated, ["members", "owner"]);
    assert_eq!(after[keys::ENCLAVE_OWNER_SUB], "", "the subject of who owned it before is gone");
    let after = enclave(&after);
    assert_eq!(after.owner, Some(Owner { sub: None, email: Some(email("bob@x.io")) }));
    assert_eq!(after.members, emails(&["ann@x.io", "cid@x.io"]));
    assert!(decision.removed.is_empty() && again.annotations.is_empty(), "{decision:?} {again:?}");
}

#[test]
fn only_the_bearer_token_gives_an_enclave_to_a_stranger() {
    let stranger = Arguments { new_owner: text("eve@x.io"), ..Arguments::default() };
    let error = decide(&stranger, false).unwrap_err();
    assert!(error.contains("new_owner: eve@x.io is no member of the enclave"), "{error}");
    let added = Arguments { add_members: texts(&["eve@x.io"]), ..stranger.clone() };
    assert_eq!(decide(&added, false).unwrap().annotations[keys::ENCLAVE_OWNER], "eve@x.io");
    let with_subject = Arguments { new_owner_sub: text("s9"), ..stranger };
    let (decision, again, after) = decide_twice(&with_subject, true);
    assert_eq!((&*after[keys::ENCLAVE_OWNER_SUB], &decision.updated[..]), ("s9", &["members", "owner"][..]));
    assert!(again.annotations.is_empty());
    let alone = Arguments { new_owner_sub: text("s9"), new_status: text("active"), ..Arguments::default() };
    assert!(decide(&alone, true).unwrap_err().contains("give new_owner with it"));
}

#[test]
fn the_subject_alone_can_be_set_and_the_same_owner_keeps_it() {
    let same = Arguments { new_owner: text("ann@x.io"), ..Arguments::default() };
    assert!(decide(&same, false).unwrap().annotations.is_empty());
    let other = Arguments { new_owner_sub: text("s7"), ..same };
    let decision = decide(&other, true).unwrap();
    assert_eq!((&decision.updated[..], decision.annotations.len()), (&["owner"][..], 1));
    assert_eq!(decision.annotations[keys::ENCLAVE_OWNER_SUB], "s7");
}

#[test]
fn an_owner_is_not_removed() {
    for (new_owner, removed, part) in [
        (None, "ann@x.io", "ann@x.io is the owner; give the enclave"),
        (text("bob@x.io"), "ann@x.io", "ann@x.io is the owner; give the enclave"),
        (text("bob@x.io"), "bob@x.io", "bob@x.io is to be the owner"),
    ] {
        let arguments = Arguments { new_owner, remove_members: texts(&[removed]), ..Arguments::default() };
        for anybody in [false, true] {
            let error = decide(&arguments, anybody).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn a_list_of_all_members_with_another_owner_names_who_owned_it() {
    let with = |members: &[&str]| Arguments {
        new_owner: text("bob@x.io"),
        members: Some(texts(members)),
        ..Arguments::default()
    };
    let error = decide(&with(&["cid@x.io"]), true).unwrap_err();
    assert!(error.contains("members: ann@x.io becomes a member"), "{error}");
    let (decision, again, after) = decide_twice(&with(&["ann@x.io", "dee@x.io"]), true);
    assert_eq!(after[keys::ENCLAVE_MEMBERS], "ann@x.io,dee@x.io");
    assert_eq!((decision.removed, again.annotations.len()), (emails(&["cid@x.io"]), 0));
}

#[test]
fn what_cannot_be_read_is_written_anew_when_it_is_asked_for() {
    let mut broken = stored();
    broken.insert(keys::MODE.to_owned(), "rwxrwxrw?".to_owned());
    broken.insert(keys::ENCLAVE_STATUS.to_owned(), "forzen".to_owned());
    let arguments = Arguments { new_mode: text("private"), new_status: text("frozen"), ..Arguments::default() };
    let decision = Change::read(&arguments, false).unwrap().decide(&enclave(&broken), &broken).unwrap();
    assert_eq!(decision.updated, ["status", "mode"]);
}
