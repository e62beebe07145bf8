//! The evaluator against a straightforward model of the rules.

use proptest::{option, prelude::*, sample::select};

use super::super::*;
use crate::{caller::Owner, mode::Mode};

const PEOPLE: [(&str, &str); 3] = [("s-ann", "ann@x.io"), ("s-bob", "bob@x.io"), ("s-cy", "cy@x.io")];

fn identities() -> impl Strategy<Value = Identity> {
    let sub = option::of(select(PEOPLE.map(|(sub, _)| sub.to_owned()).to_vec()));
    let email = option::of(select(PEOPLE.map(|(_, email)| email.parse().expect("an email")).to_vec()));
    (sub, email).prop_map(|(sub, email)| Identity { sub, email, ..Identity::default() })
}

fn callers() -> impl Strategy<Value = Caller> {
    prop_oneof![2 => Just(Caller::Bearer), 8 => identities().prop_map(Caller::Oidc)]
}

fn owners() -> impl Strategy<Value = Option<Owner>> {
    identities().prop_map(|identity| {
        Owner::from_annotations(identity.sub.as_deref(), identity.email.as_ref().map(crate::Email::as_str))
    })
}

fn modes() -> impl Strategy<Value = Mode> {
    proptest::collection::vec(any::<bool>(), 9).prop_map(|bits| {
        let letters: String =
            bits.iter().zip("rwxrwxrwx".chars()).map(|(set, letter)| if *set { letter } else { '-' }).collect();
        letters.parse().expect("a mode")
    })
}

prop_compose! {
    fn enclaves()(
        owner in owners(),
        members in proptest::collection::btree_set(select(PEOPLE.map(|(_, email)| email).to_vec()), 0..3),
        mode in modes(),
        status in select(vec![Status::Active, Status::Provisioning, Status::Frozen]),
        terminating in proptest::bool::weighted(0.1),
    ) -> Enclave {
        Enclave {
            name: "team-a".parse().expect("a name"),
            owner,
            members: members.into_iter().map(|member| member.parse().expect("an email")).collect(),
            mode,
            default_mode: Mode::TENTACLE_DEFAULT,
            status,
            terminating,
        }
    }
}

prop_compose! {
    fn tentacles()(owner in owners(), mode in modes()) -> Tentacle { Tentacle { owner, mode } }
}

#[derive(Debug, Clone, Copy)]
enum Where {
    Protected,
    Nothing,
    Enclave,
}

/// The rules of who may what, read aloud: `true` where the call is allowed.
#[expect(clippy::option_option, reason = "no tentacle asked for, and one asked for that does not exist")]
fn model(
    caller: &Caller,
    policy: Policy,
    authz: &Authz,
    place: Where,
    enclave: &Enclave,
    tentacle: Option<Option<&Tentacle>>,
) -> bool {
    let privileged = !policy.authorization || !matches!(caller, Caller::Oidc(_));
    if authz.on == On::Cluster {
        let own = privileged || (authz.needs != Needs::Own && policy.cluster_read == ClusterRead::Authenticated);
        let read = || model_on_place(caller, privileged, Needs::Read, false, enclave, None);
        return own && (!matches!(place, Where::Enclave) || read());
    }
    if authz.needs == Needs::None {
        return true;
    }
    if !matches!(place, Where::Enclave) {
        return false;
    }
    if authz.frozen.is_some() && enclave.status == Status::Frozen {
        return false;
    }
    model_on_place(caller, privileged, authz.needs, authz.absent.is_some(), enclave, tentacle)
}

#[expect(clippy::option_option, reason = "no tentacle asked for, and one asked for that does not exist")]
fn model_on_place(
    caller: &Caller,
    privileged: bool,
    needs: Needs,
    creates: bool,
    enclave: &Enclave,
    tentacle: Option<Option<&Tentacle>>,
) -> bool {
    if enclave.terminating && (needs == Needs::Write || needs == Needs::Execute) {
        return false;
    }
    if privileged {
        return true;
    }
    let Caller::Oidc(me) = caller else { unreachable!("the others are privileged") };
    let is = |owner: &Owner| match (&me.sub, &owner.sub) {
        (Some(a), Some(b)) => a == b,
        _ => me.email.as_ref().is_some_and(|mine| owner.email.as_ref().is_some_and(|theirs| mine == theirs)),
    };
    match &enclave.owner {
        None => return false,
        Some(owner) if is(owner) => return true,
        Some(_) => {}
    }
    let member = me.email.as_ref().is_some_and(|email| enclave.members.contains(email));
    let has = |mode: Mode, group: usize| {
        let text = mode.to_string();
        let letter = match needs {
            Needs::Read => 'r',
            Needs::Write => 'w',
            Needs::Execute => 'x',
            Needs::Own | Needs::None => return false,
        };
        text[group * 3..group * 3 + 3].contains(letter)
    };
    let group = if member { 1 } else { 2 };
    match tentacle {
        None => has(enclave.mode, group),
        Some(None) => creates && has(enclave.mode, group),
        Some(Some(tentacle)) => match &tentacle.owner {
            None => false,
            Some(owner) if needs == Needs::Own => is(owner) && member,
            Some(owner) => has(enclave.mode, group) && has(tentacle.mode, if is(owner) { 0 } else { group }),
        },
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    let cluster_read = select(vec![ClusterRead::Authenticated, ClusterRead::Bearer]);
    let policy = |(authorization, cluster_read)| Policy { authorization, cluster_read };
    (proptest::bool::weighted(0.9), cluster_read).prop_map(policy)
}

fn declarations() -> impl Strategy<Value = Authz> {
    let on = select(vec![On::Tentacle, On::Enclave, On::Cluster, On::Caller]);
    let needs = select(vec![Needs::Read, Needs::Write, Needs::Execute, Needs::Own, Needs::None]);
    (on, needs, any::<bool>(), any::<bool>()).prop_map(|(on, needs, create, frozen)| {
        let mut authz = Authz::new(on, needs);
        authz.absent = (create && on == On::Tentacle && needs == Needs::Write).then_some(Absent::Create);
        authz.frozen = (frozen && on != On::Cluster).then_some(Frozen::Refuse);
        authz
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_evaluator_decides_as_the_rules_read(
        caller in callers(),
        policy in policies(),
        authz in declarations(),
        place in prop_oneof![Just(Where::Protected), Just(Where::Nothing), Just(Where::Enclave), Just(Where::Enclave)],
        enclave in enclaves(),
        tentacle in option::of(option::of(tentacles())),
    ) {
        // A tentacle is part of the question only where the tool can point to one.
        let tentacle = if matches!(authz.on, On::Cluster) { None } else { tentacle };
        let name = "report".parse().expect("a name");
        let stands = match place {
            Where::Protected => Place::Protected,
            Where::Nothing => Place::NoEnclave,
            Where::Enclave => Place::Enclave(&enclave),
        };
        let question = Question {
            caller: &caller,
            policy,
            tool: "tool",
            authz: &authz,
            enclave: Some((&enclave.name, stands)),
            tentacle: tentacle.as_ref().map(|tentacle| (&name, tentacle.as_ref())),
        };
        let decided = evaluate(&question);
        let expected = model(
            &caller, policy, &authz, place, &enclave, tentacle.as_ref().map(Option::as_ref),
        );
        prop_assert_eq!(decided.is_ok(), expected, "{:?}", decided);
        if let Ok(permit) = decided {
            prop_assert_eq!(Permit::from_header(&permit.to_header()).expect("a permit"), permit);
        }
    }

    #[test]
    fn who_cannot_read_the_enclave_learns_nothing_of_a_tentacle(
        identity in identities(),
        needs in select(vec![Needs::Read, Needs::Write, Needs::Execute, Needs::Own]),
        enclave in enclaves(),
        tentacle in tentacles(),
    ) {
        let caller = Caller::Oidc(identity);
        let sees = may(&caller, true, Needs::Read, &enclave, None);
        let authz = Authz::new(On::Tentacle, needs);
        let name = "report".parse().expect("a name");
        let text = |tentacle| {
            evaluate(&Question {
                caller: &caller,
                policy: Policy::default(),
                tool: "tool",
                authz: &authz,
                enclave: Some((&enclave.name, Place::Enclave(&enclave))),
                tentacle: Some((&name, tentacle)),
            })
            .map_err(|denied| denied.to_string())
        };
        if !sees && let (Err(there), Err(absent)) = (text(Some(&tentacle)), text(None)) {
            prop_assert_eq!(there, absent);
        }
    }

    #[test]
    fn a_permit_rechecked_against_the_same_facts_still_holds(
        caller in callers(),
        needs in select(vec![Needs::Read, Needs::Write, Needs::Execute, Needs::Own]),
        creates in any::<bool>(),
        enclave in enclaves(),
        tentacle in option::of(tentacles()),
    ) {
        let mut authz = Authz::new(On::Tentacle, needs);
        authz.absent = (creates && needs == Needs::Write).then_some(Absent::Create);
        let name = "report".parse().expect("a name");
        let place = Place::Enclave(&enclave);
        let question = Question {
            caller: &caller, policy: Policy::default(), tool: "tool", authz: &authz,
            enclave: Some((&enclave.name, place)), tentacle: Some((&name, tentacle.as_ref())),
        };
        if let Ok(permit) = evaluate(&question) {
            prop_assert_eq!(permit.recheck(&caller, authz.frozen, place, tentacle.as_ref()), Ok(()));
            let gone = permit.recheck(&caller, authz.frozen, Place::NoEnclave, None);
            prop_assert!(gone.is_err());
        }
    }
}
