//! Who sees which tentacle in a list, and what of it.

use serde_json::json;
use tentacular_contract::{Identity, facts::Pairs, keys};

use super::*;
use crate::tentacle::tests::deployment;

fn enclave(mode: &str) -> Enclave {
    let pairs = |list: &[(&str, &str)]| -> Pairs {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let annotations = pairs(&[
        (keys::ENCLAVE, "team-a"),
        (keys::ENCLAVE_OWNER, "owner@x.io"),
        (keys::ENCLAVE_MEMBERS, "ann@x.io,bob@x.io"),
        (keys::MODE, mode),
    ]);
    let labels = pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]);
    Enclave::from_metadata("team-a", &labels, &annotations, false).expect("an enclave")
}

fn tentacle(name: &str, owner: &str, mode: &str, tags: &str) -> Arc<Kept> {
    let annotations = json!({ keys::OWNER: owner, keys::MODE: mode, keys::TAGS: tags });
    let deployment = deployment(name, json!({ "metadata": { "annotations": annotations } }));
    Arc::new(Kept::of(&deployment).expect("a tentacle"))
}

fn wanted(email: &str) -> Wanted {
    let identity = Identity { email: email.parse().ok(), ..Identity::default() };
    Wanted { caller: Caller::Oidc(identity), authorization: true, owner: None, tag: None, limit: 10, cursor: None }
}

fn names(wanted: &Wanted, enclave: &Enclave) -> Vec<String> {
    let tentacles = [
        tentacle("mine", "ann@x.io", "rwx------", "a,b"),
        tentacle("open", "bob@x.io", "rwxr--r--", "b"),
        tentacle("private", "bob@x.io", "rwx------", ""),
        tentacle("unowned", "", "rwxrwxrwx", ""),
    ];
    let mut page = Page::new(None, 10);
    wanted.list(enclave, &tentacles, Timestamp::UNIX_EPOCH, &mut page);
    page.end().0.into_iter().map(|listed| listed.name).collect()
}

#[test]
fn a_list_holds_what_the_caller_may_read() {
    let (usual, open) = (enclave("rwxrwx---"), enclave("rwxrwxr--"));
    let all = ["mine", "open", "private", "unowned"];
    assert_eq!(names(&wanted("ann@x.io"), &usual), ["mine", "open"]);
    assert_eq!(names(&wanted("owner@x.io"), &usual), all);
    assert_eq!(names(&wanted("eve@x.io"), &usual), [""; 0]);
    assert_eq!(names(&wanted("eve@x.io"), &open), ["open"]);
    assert_eq!(names(&Wanted { authorization: false, ..wanted("eve@x.io") }, &usual), all);
    assert_eq!(names(&Wanted { caller: Caller::Bearer, ..wanted("eve@x.io") }, &usual), all);
}

#[test]
fn a_list_can_be_narrowed_by_owner_and_tag() {
    let usual = enclave("rwxrwx---");
    let bearer = || Wanted { caller: Caller::Bearer, ..wanted("eve@x.io") };
    for (owner, tag, expected) in [
        (Some("Bob@X.io"), None, vec!["open", "private"]),
        (None, Some("b"), vec!["mine", "open"]),
        (Some("ann@x.io"), Some("b"), vec!["mine"]),
        (Some("nobody@x.io"), None, vec![]),
        (None, Some("a,b"), vec![]),
    ] {
        let wanted = Wanted { owner: owner.map(str::to_owned), tag: tag.map(str::to_owned), ..bearer() };
        assert_eq!(names(&wanted, &usual), expected, "{owner:?} {tag:?}");
    }
}

#[test]
fn a_tentacle_stays_ready_in_a_list_while_its_older_pods_serve() {
    let rolling = json!({ "status": { "replicas": 2, "readyReplicas": 1, "updatedReplicas": 1 } });
    let rolling = Kept::of(&deployment("words", rolling)).expect("a tentacle");
    assert!(!rolling.replicas.is_ready());
    assert!(listed(&enclave("rwxrwx---"), &rolling, Timestamp::UNIX_EPOCH).ready);
}

#[test]
fn a_tentacle_is_listed_with_what_clients_read() {
    let with = json!({
        "metadata": {
            "labels": { keys::VERSION_LABEL: "1.2" },
            "annotations": {
                keys::OWNER: "Ann@x.io",
                keys::MODE: "rwxr-x---",
                keys::TAGS: "a, b",
                "tentacular.dev/deployed-by": "bob@x.io",
                keys::DESCRIPTION: "Counts\u{1b}[2J words",
            },
        },
        "status": { "readyReplicas": 0 },
    });
    let deployment = deployment("words", with);
    let now = "2026-01-04T00:03:00Z".parse().expect("a time");
    let listed = listed(&enclave("rwxrwx---"), &Kept::of(&deployment).expect("a tentacle"), now);
    assert_eq!(
        serde_json::to_value(listed).expect("JSON"),
        json!({
            "name": "words", "enclave": "team-a", "version": "1.2", "description": "Counts words",
            "owner": "ann@x.io", "mode": "rwxr-x---", "preset": "member-read", "tags": ["a", "b"],
            "deployed_by": "bob@x.io", "age": "72h3m0s", "ready": false,
        })
    );
}
