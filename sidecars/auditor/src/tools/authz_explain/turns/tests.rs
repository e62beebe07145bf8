use std::collections::BTreeMap;

use tentacular_contract::{Enclave, Tentacle, keys};

use super::*;

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn enclave(mode: &str) -> Enclave {
    let annotations = pairs(&[
        (keys::ENCLAVE, "team-a"),
        (keys::ENCLAVE_OWNER, "ann@x.io"),
        (keys::ENCLAVE_MEMBERS, "bob@x.io,cem@x.io"),
        (keys::MODE, mode),
    ]);
    Enclave::from_metadata("team-a", &pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]), &annotations, false)
        .expect("an enclave")
}

#[expect(clippy::option_option, reason = "no tentacle is asked about, there is none, or there is this one")]
fn facts(mode: &str, tentacle: Option<Option<(&str, &str)>>) -> Facts {
    let tentacle = tentacle.map(|tentacle| {
        let facts = tentacle
            .map(|(owner, mode)| Tentacle::from_annotations(&pairs(&[(keys::OWNER, owner), (keys::MODE, mode)])));
        ("report".parse().expect("a name"), facts)
    });
    Facts {
        name: "team-a".parse().expect("a name"),
        is_protected: false,
        enclave: Some(enclave(mode)),
        tentacle,
        authorization: true,
    }
}

fn person(email: &str) -> Caller {
    Caller::Oidc(Identity { email: Some(email.parse().expect("an email")), ..Identity::default() })
}

/// The arguments of the calls of each way, without the names of the place.
fn ways(facts: &Facts, email: &str, needs: Needs) -> Vec<Vec<Value>> {
    let short = |call: Call| {
        let mut arguments = call.arguments;
        let members = arguments.as_object_mut().expect("an object");
        members.remove("name");
        members.remove("enclave");
        arguments
    };
    turns(facts, &person(email), needs).into_iter().map(|turn| turn.calls.into_iter().map(short).collect()).collect()
}

#[test]
fn what_is_refused_is_turned_by_the_least() {
    let join = json!({ "add_members": ["eve@x.io"] });
    let own = json!({ "new_owner": "eve@x.io", "add_members": ["eve@x.io"] });
    assert_eq!(
        ways(&facts("rwxrwx---", None), "eve@x.io", Needs::Read),
        [vec![join.clone()], vec![json!({ "new_mode": "rwxrwxr--" })], vec![own.clone()]]
    );
    assert_eq!(
        ways(&facts("rwx------", None), "eve@x.io", Needs::Read),
        [
            vec![json!({ "new_mode": "rwx---r--" })],
            vec![own.clone()],
            vec![join.clone(), json!({ "new_mode": "rwxr-----" })]
        ]
    );
    assert_eq!(ways(&facts("rwxrwx---", None), "eve@x.io", Needs::Own), [vec![own]]);
}

#[test]
fn on_a_tentacle_both_layers_count() {
    let closed = facts("rwxr-x---", Some(Some(("cem@x.io", "rwx------"))));
    assert_eq!(
        ways(&closed, "bob@x.io", Needs::Write),
        [
            vec![json!({ "new_owner": "bob@x.io" })],
            vec![json!({ "new_mode": "rwxrwx---" }), json!({ "mode": "rwx-w----" })],
            vec![json!({ "owner_email": "bob@x.io" }), json!({ "new_mode": "rwxrwx---" })],
        ]
    );
    assert_eq!(
        ways(&closed, "bob@x.io", Needs::Read),
        [
            vec![json!({ "mode": "rwxr-----" })],
            vec![json!({ "owner_email": "bob@x.io" })],
            vec![json!({ "new_owner": "bob@x.io" })],
        ]
    );
    let ownerless = facts("rwxrwx---", Some(Some(("", "rwxrwxrwx"))));
    assert_eq!(
        ways(&ownerless, "bob@x.io", Needs::Read),
        [vec![json!({ "owner_email": "bob@x.io" })], vec![json!({ "new_owner": "bob@x.io" })]]
    );
}

#[test]
fn who_may_not_read_the_enclave_learns_nothing_of_the_tentacle() {
    let hints: Vec<_> = [Some(("cem@x.io", "rwxrwxrwx")), Some(("cem@x.io", "rwx------")), None]
        .into_iter()
        .flat_map(|tentacle| {
            ["rwxrwx---", "rwxrwx--x", "rwxrwx-w-"].map(|mode| {
                let facts = facts(mode, Some(tentacle));
                let told = |needs| {
                    (facts.decide(&person("eve@x.io"), needs).is_err()).then(|| ways(&facts, "eve@x.io", needs))
                };
                (mode, told(Needs::Read), told(Needs::Own))
            })
        })
        .collect();
    for (mode, read, own) in &hints {
        let (_, first_read, first_own) =
            hints.iter().find(|(other, ..)| other == mode).expect("the first of this mode");
        assert_eq!((read, own), (first_read, first_own), "{mode}");
    }
}

#[test]
fn what_is_allowed_is_turned_by_membership_and_modes() {
    let open = facts("rwxrwx---", Some(Some(("cem@x.io", "rwxr-x---"))));
    assert_eq!(
        ways(&open, "bob@x.io", Needs::Read),
        [
            vec![json!({ "remove_members": ["bob@x.io"] })],
            vec![json!({ "new_mode": "rwx-wx---" })],
            vec![json!({ "mode": "rwx--x---" })],
        ]
    );
    assert_eq!(ways(&open, "ann@x.io", Needs::Read), Vec::<Vec<Value>>::new(), "by ownership");
    assert_eq!(turns(&open, &Caller::Bearer, Needs::Read), []);
    // It is there to be made by who may write in the enclave.
    let absent = facts("rwxrwx---", Some(None));
    assert_eq!(
        ways(&absent, "bob@x.io", Needs::Write),
        [vec![json!({ "remove_members": ["bob@x.io"] })], vec![json!({ "new_mode": "rwxr-x---" })]]
    );
}

#[test]
fn nothing_turns_what_is_no_enclave() {
    let nothing = Facts { enclave: None, ..facts("rwxrwx---", None) };
    let protected = Facts { is_protected: true, ..facts("rwxrwx---", None) };
    for facts in [nothing, protected] {
        assert_eq!(ways(&facts, "ann@x.io", Needs::Read), Vec::<Vec<Value>>::new());
    }
}
