use tentacular_contract::{facts::Pairs, keys};

use super::*;

fn asked(email: &str, sub: &str) -> Asked {
    let given = |text: &str| Some(text.to_owned());
    let arguments = Arguments { owner_email: given(email), owner_sub: given(sub), ..Arguments::default() };
    Asked::read(&arguments).unwrap()
}

fn person(email: &str, sub: &str) -> Caller {
    Caller::Oidc(Identity { sub: Some(sub.to_owned()), email: Some(email.parse().unwrap()), ..Identity::default() })
}

/// Belongs to Ann, whose subject is known, and has Bob and Cid as members.
fn enclave() -> Enclave {
    let pairs = |list: &[(&str, &str)]| -> Pairs {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let annotations = pairs(&[
        (keys::ENCLAVE, "a"),
        (keys::ENCLAVE_OWNER, "ann@x.io"),
        (keys::ENCLAVE_OWNER_SUB, "s-ann"),
        (keys::ENCLAVE_MEMBERS, "bob@x.io,cid@x.io"),
    ]);
    Enclave::from_metadata("a", &pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]), &annotations, false).unwrap()
}

fn of(sub: Option<&str>, email: Option<&str>) -> Tentacle {
    Tentacle { owner: Owner::from_annotations(sub, email), mode: Mode::OWNER_ONLY }
}

/// Email and subject of the new owner.
fn becomes(asked: &Asked, caller: &Caller, tentacle: &Tentacle) -> Result<Option<(String, String)>, String> {
    let owner = asked.new_owner(caller, &enclave(), tentacle).map_err(|error| error.to_string())?;
    Ok(owner.map(|identity| {
        let owner = owner_of(&identity);
        (email(Some(&owner)), sub(Some(&owner)))
    }))
}

#[test]
fn nothing_given_is_told_with_what_could_be() {
    let empty = Arguments { mode: Some(" ".to_owned()), ..Arguments::default() };
    for arguments in [Arguments::default(), empty] {
        let error = Asked::read(&arguments).err().unwrap().to_string();
        assert!(error.contains("give mode, owner_email or owner_sub"), "{error}");
    }
    for arguments in [
        Arguments { mode: Some("777".to_owned()), ..Arguments::default() },
        Arguments { owner_email: Some("nobody".to_owned()), ..Arguments::default() },
        Arguments { owner_sub: Some("a\nb".to_owned()), ..Arguments::default() },
    ] {
        let error = Asked::read(&arguments).err().unwrap().to_string();
        assert!(!error.contains("nothing to change"), "{error}");
    }
}

#[test]
fn whoever_is_known_is_taken_with_the_subject() {
    let (ann, bob) = (person("ann@x.io", "s-ann"), person("bob@x.io", "s-bob"));
    let new = |email: &str, sub: &str| Ok(Some((email.to_owned(), sub.to_owned())));
    let nobodys = of(None, None);
    assert_eq!(becomes(&asked("Ann@X.io", ""), &ann, &nobodys), new("ann@x.io", "s-ann"));
    assert_eq!(becomes(&asked("", "s-ann"), &ann, &nobodys), new("ann@x.io", "s-ann"));
    assert_eq!(becomes(&asked("bob@x.io", ""), &ann, &nobodys), new("bob@x.io", ""));
    assert_eq!(becomes(&asked("ann@x.io", ""), &bob, &of(Some("s-bob"), Some("bob@x.io"))), new("ann@x.io", "s-ann"));
    assert_eq!(becomes(&asked("ann@x.io", ""), &Caller::Bearer, &nobodys), new("ann@x.io", "s-ann"));
    // The address of somebody who is another person now.
    assert_eq!(becomes(&asked("bob@x.io", ""), &bob, &of(Some("s-old"), Some("bob@x.io"))), new("bob@x.io", "s-bob"));
}

#[test]
fn who_owns_it_already_is_no_change() {
    let bobs = of(Some("s-bob"), Some("bob@x.io"));
    for (email, sub) in [("bob@x.io", ""), ("", "s-bob"), ("bob@x.io", "s-bob")] {
        assert_eq!(becomes(&asked(email, sub), &person("ann@x.io", "s-ann"), &bobs), Ok(None), "{email} {sub}");
    }
    // Also where they left the enclave meanwhile.
    let eves = of(None, Some("eve@x.io"));
    assert_eq!(becomes(&asked("eve@x.io", ""), &person("ann@x.io", "s-ann"), &eves), Ok(None));
}

#[test]
fn only_the_bearer_token_makes_a_stranger_the_owner() {
    let nobodys = of(None, None);
    for (email, sub, word) in [
        ("eve@x.io", "", "neither owns enclave a"),
        ("", "s-eve", "neither owns enclave a"),
        ("eve@x.io", "s-eve", "neither owns enclave a"),
        ("ann@x.io", "s-eve", "neither owns enclave a"),
        ("bob@x.io", "s-eve", "leave out owner_sub"),
    ] {
        let asked = asked(email, sub);
        let error = becomes(&asked, &person("ann@x.io", "s-ann"), &nobodys).unwrap_err();
        assert!(error.contains(word) && !error.contains("eve"), "{error}");
        assert_eq!(becomes(&asked, &Caller::Bearer, &nobodys), Ok(Some((email.to_owned(), sub.to_owned()))));
    }
}

#[test]
fn a_change_says_what_it_was_and_what_it_is() {
    let before = of(Some("s-bob"), Some("bob@x.io"));
    let after = Tentacle { owner: Owner::from_annotations(None, Some("cid@x.io")), mode: Mode::TENTACLE_DEFAULT };
    let all: Vec<_> =
        changes(&before, &after).into_iter().map(|change| (change.what, change.from, change.to)).collect();
    let wanted = [("mode", "rwx------", "rwxr-x---"), ("owner", "bob@x.io", "cid@x.io"), ("owner_sub", "s-bob", "")];
    assert_eq!(all, wanted.map(|(what, from, to)| (what, from.to_owned(), to.to_owned())));
    assert_eq!(changes(&before, &before), []);
}
