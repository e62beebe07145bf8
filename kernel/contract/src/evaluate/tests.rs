//! The evaluator against a model, and the texts of its refusals.

mod model;

use super::*;
use crate::{caller::Owner, mode::Mode};

fn team(mode: &str) -> Enclave {
    Enclave {
        name: "team-a".parse().expect("a name"),
        owner: Owner::from_annotations(None, Some("ann@x.io")),
        members: ["bob@x.io".parse().expect("an email")].into(),
        mode: mode.parse().expect("a mode"),
        default_mode: Mode::TENTACLE_DEFAULT,
        status: Status::Active,
        terminating: false,
    }
}

fn person(email: &str) -> Caller {
    Caller::Oidc(Identity { email: Some(email.parse().expect("an email")), ..Identity::default() })
}

fn refusal(caller: &Caller, authz: &Authz, enclave: &Enclave, tentacle: Option<&Tentacle>) -> String {
    let name = "report".parse().expect("a name");
    evaluate(&Question {
        caller,
        policy: Policy::default(),
        tool: "wf_tool",
        authz,
        enclave: Some((&enclave.name, Place::Enclave(enclave))),
        tentacle: (authz.on == On::Tentacle).then_some((&name, tentacle)),
    })
    .expect_err("a refusal")
    .to_string()
}

#[test]
fn a_refusal_says_what_was_needed_where_and_why_once() {
    let report = Tentacle {
        owner: Owner::from_annotations(None, Some("ann@x.io")),
        mode: "rwxr-x---".parse().expect("a mode"),
    };
    let write = Authz::new(On::Tentacle, Needs::Write);
    let execute = Authz::new(On::Tentacle, Needs::Execute).not_frozen();
    let open = team("rwxrwx---");
    for (got, expected) in [
        (
            refusal(&person("bob@x.io"), &write, &open, Some(&report)),
            "permission denied: write on tentacle team-a/report needs w for member, mode is rwxr-x---",
        ),
        (
            refusal(&person("cy@x.io"), &write, &open, Some(&report)),
            "permission denied: write on enclave team-a needs w for other, mode is rwxrwx---",
        ),
        (
            refusal(&person("bob@x.io"), &write, &open, None),
            "permission denied: write on tentacle team-a/report: it does not exist",
        ),
        (
            refusal(&person("bob@x.io"), &execute, &team("rwx--x---"), None),
            "permission denied: execute on tentacle team-a/report: it does not exist, or you may not",
        ),
        (
            refusal(&person("bob@x.io"), &Authz::new(On::Enclave, Needs::Own), &open, None),
            "permission denied: own on enclave team-a is for its owner alone",
        ),
        (
            refusal(&person("bob@x.io"), &write, &open, Some(&Tentacle { owner: None, ..report.clone() })),
            "permission denied: write on tentacle team-a/report: resource has no owner",
        ),
        (
            refusal(&Caller::Bearer, &execute, &Enclave { status: Status::Frozen, ..open.clone() }, Some(&report)),
            "enclave team-a is frozen: apply, run and restart are refused until its owner sets it active",
        ),
    ] {
        assert_eq!(got, expected);
    }
}

#[test]
fn the_cluster_can_be_for_the_bearer_token_alone() {
    let decided = |caller: &Caller, authorization, needs| {
        let authz = Authz::new(On::Cluster, needs);
        let policy = Policy { authorization, cluster_read: ClusterRead::Bearer };
        let question =
            Question { caller, policy, tool: "cluster_profile", authz: &authz, enclave: None, tentacle: None };
        evaluate(&question).map(|permit| permit.rule()).map_err(|denied| denied.rule())
    };
    for needs in [Needs::Read, Needs::None, Needs::Own] {
        assert_eq!(decided(&person("ann@x.io"), true, needs), Err("bearer-only"), "{needs:?}");
        assert_eq!(decided(&person("ann@x.io"), false, needs), Ok(Rule::AuthorizationOff), "{needs:?}");
        assert_eq!(decided(&Caller::Bearer, true, needs), Ok(Rule::Bearer), "{needs:?}");
    }
}

#[test]
fn a_tool_that_acts_on_a_place_is_refused_without_one() {
    for on in [On::Tentacle, On::Enclave] {
        let authz = Authz::new(on, Needs::Read);
        let question = Question {
            caller: &Caller::Bearer,
            policy: Policy::default(),
            tool: "wf_tool",
            authz: &authz,
            enclave: None,
            tentacle: None,
        };
        assert_eq!(evaluate(&question).map_err(|denied| denied.rule()), Err("no-place"));
    }
}

#[test]
fn an_enclave_left_out_is_the_only_one_of_the_caller() {
    let mut other = team("rwxrwx---");
    other.name = "team-b".parse().expect("a name");
    let both = [team("rwxrwx---"), other];
    assert_eq!(left_out(&person("bob@x.io"), both[..1].iter()).expect("one").as_str(), "team-a");
    assert_eq!(left_out(&person("bob@x.io"), both.iter()), Err(LeftOut::Several("team-a, team-b".to_owned())));
    assert_eq!(left_out(&person("cy@x.io"), both.iter()), Err(LeftOut::None));
    assert_eq!(left_out(&Caller::Bearer, both.iter()), Err(LeftOut::Bearer));
}

#[test]
fn a_permit_does_not_outlive_what_it_was_given_for() {
    let bob = person("bob@x.io");
    let report = Tentacle {
        owner: Owner::from_annotations(None, Some("ann@x.io")),
        mode: "rwxrwx---".parse().expect("a mode"),
    };
    let name = "report".parse().expect("a name");
    let open = team("rwxrwx---");
    let permit = |authz: &Authz, tentacle| {
        evaluate(&Question {
            caller: &bob,
            policy: Policy::default(),
            tool: "wf_tool",
            authz,
            enclave: Some((&open.name, Place::Enclave(&open))),
            tentacle: Some((&name, tentacle)),
        })
        .expect("a permit")
    };
    let write = Authz::new(On::Tentacle, Needs::Write).creates().not_frozen();
    let (to_create, to_change) = (permit(&write, None), permit(&write, Some(&report)));
    let now = |permit: &Permit, enclave: &Enclave, tentacle| {
        permit.recheck(&bob, write.frozen, Place::Enclave(enclave), tentacle).map_err(|denied| denied.rule())
    };
    assert_eq!(now(&to_create, &open, None), Ok(()));
    assert_eq!(now(&to_change, &open, None), Err("absent"), "to change one is not to create one");
    let private = Tentacle { mode: Mode::OWNER_ONLY, ..report.clone() };
    assert_eq!(now(&to_create, &open, Some(&private)), Err("mode"), "somebody else created it meanwhile");
    let frozen = Enclave { status: Status::Frozen, ..open.clone() };
    assert_eq!(now(&to_change, &frozen, Some(&report)), Err("frozen"));
    let gone = Enclave { members: [].into(), ..open.clone() };
    assert_eq!(now(&to_change, &gone, Some(&report)), Err("mode"), "no member any more");
}
