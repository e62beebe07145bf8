use tentacular_contract::{Enclave, Identity};

use super::*;

fn person(email: Option<&str>) -> Caller {
    let email = email.map(|email| email.parse().unwrap());
    Caller::Oidc(Identity { sub: Some("s1".to_owned()), email, ..Identity::default() })
}

fn arguments(name: &str) -> Arguments {
    Arguments { name: name.to_owned(), ..Arguments::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "every argument that is given is optional")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_person_becomes_the_owner_whatever_the_arguments_say() {
    let arguments = Arguments { owner_email: text("eve@x.io"), owner_sub: text("s9"), ..arguments("team-a") };
    let request = Request::read(&arguments, &person(Some("Ann@x.io")), &Platform::default(), None).unwrap();
    assert_eq!(request.owner, Owner { sub: text("s1"), email: Some("ann@x.io".parse().unwrap()) });
}

#[test]
fn the_bearer_token_names_the_owner() {
    let read = |owner_email| {
        let arguments = Arguments { owner_email, ..arguments("team-a") };
        Request::read(&arguments, &Caller::Bearer, &Platform::default(), None)
    };
    let owner = read(text("Ann@x.io")).unwrap().owner;
    assert_eq!(owner, Owner { sub: None, email: Some("ann@x.io".parse().unwrap()) });
    for missing in [None, text(""), text("ann")] {
        let error = read(missing).unwrap_err().to_string();
        assert!(error.contains("owner_email: "), "{error}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let arguments = Arguments {
        members: Some(vec!["bob@x.io".to_owned(), "no address".to_owned()]),
        mode: text("rwx"),
        default_mode: text("everything"),
        quota_preset: text("huge"),
        platform: text("irc"),
        channel_id: text("a\nb"),
        channel_name: Some("n".repeat(256)),
        ..arguments("kube-team")
    };
    let error = Request::read(&arguments, &person(None), &Platform::default(), None).unwrap_err().to_string();
    for part in [
        "name: kube-team is reserved",
        "no email address that counts",
        "members[1]: ",
        "; mode: ",
        "default_mode: ",
        "quota_preset: ",
        "platform: ",
        "channel_id: ",
        "channel_name: ",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn members_are_lower_case_without_the_owner_and_counted_after_that() {
    let owner = person(Some("ann@x.io"));
    let members = vec!["Bob@x.io".to_owned(), " bob@X.io ".to_owned(), "ANN@x.io".to_owned()];
    let request = Arguments { members: Some(members), ..arguments("team-a") };
    let request = Request::read(&request, &owner, &Platform::default(), None).unwrap();
    assert_eq!(request.members.iter().map(Email::as_str).collect::<Vec<_>>(), ["bob@x.io"]);
    let read = |count: usize| {
        let members = (0..count).map(|index| format!("m{index}@x.io")).collect();
        let arguments = Arguments { members: Some(members), ..arguments("team-a") };
        Request::read(&arguments, &owner, &Platform::default(), None)
    };
    assert!(read(limits::MEMBERS).is_ok());
    assert!(read(limits::MEMBERS + 1).unwrap_err().to_string().contains("at most 100"));
}

#[test]
fn modes_are_written_as_nine_characters() {
    let arguments = Arguments { mode: text("open-read"), default_mode: text("private"), ..arguments("team-a") };
    let request = Request::read(&arguments, &person(Some("ann@x.io")), &Platform::default(), None).unwrap();
    let annotations = request.annotations(Status::Provisioning, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    assert_eq!(annotations[keys::MODE], "rwxrwxr--");
    assert_eq!(annotations[keys::ENCLAVE_DEFAULT_MODE], "rwx------");
    assert_eq!(annotations[keys::ENCLAVE_QUOTA_PRESET], "medium");
}

#[test]
fn what_is_written_is_read_back_as_the_same_enclave() {
    let arguments = Arguments { members: Some(vec!["bob@x.io".to_owned()]), ..arguments("team-a") };
    let request = Request::read(&arguments, &person(Some("ann@x.io")), &Platform::default(), None).unwrap();
    let annotations = request.annotations(Status::Provisioning, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let labels = Pairs::from([(keys::MANAGED_BY.to_owned(), keys::TENTACULAR.to_owned())]);
    let enclave = Enclave::from_metadata("team-a", &labels, &annotations, false).unwrap();
    assert_eq!(enclave.owner, Some(request.owner));
    assert_eq!(enclave.members, request.members);
    assert_eq!((enclave.mode, enclave.default_mode), (Mode::ENCLAVE_DEFAULT, Mode::TENTACLE_DEFAULT));
    assert_eq!(enclave.status, Status::Provisioning);
}

#[test]
fn a_namespace_is_what_was_asked_for_whatever_its_status() {
    let asked = |quota: &str| {
        let arguments = Arguments { quota_preset: text(quota), ..arguments("team-a") };
        Request::read(&arguments, &person(Some("ann@x.io")), &Platform::default(), None).unwrap()
    };
    let namespace = |status| ObjectMeta {
        annotations: Some(asked("small").annotations(status, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")),
        ..ObjectMeta::default()
    };
    for status in [Status::Provisioning, Status::Active] {
        assert!(asked("small").describes(&namespace(status)) && !asked("large").describes(&namespace(status)));
    }
    assert!(!asked("small").describes(&ObjectMeta::default()));
}

#[test]
fn a_name_has_to_match_the_pattern_where_there_is_one() {
    let pattern: NamePattern = "team-.+".parse().unwrap();
    let read =
        |name| Request::read(&arguments(name), &person(Some("ann@x.io")), &Platform::default(), Some(&pattern));
    assert_eq!(read("team-a").unwrap().name.as_str(), "team-a");
    let error = read("my-team-a").unwrap_err().to_string();
    assert!(error.contains("my-team-a is not") && error.contains("team-.+"), "{error}");
}
