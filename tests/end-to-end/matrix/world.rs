//! Who and what there is: people with their tokens, and enclaves with their tentacles.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tentacular_test_harness::{Provider, installation::SERVER_NAMESPACE};

use super::model::{Caller, Enclave, Owner, PRESETS, Tentacle};

/// Begins the names of all that is made here.
pub(super) const PREFIX: &str = "mx-";

fn email(person: &str) -> String {
    format!("mx-{person}@example.com")
}

fn sub(person: &str) -> String {
    format!("mx-sub-{person}")
}

/// How a record of an owner may be.
#[derive(Debug, Clone, Copy)]
enum Recorded {
    Both,
    Email,
    Sub,
}

impl Recorded {
    fn owner(self, person: &str) -> Owner {
        Owner {
            sub: matches!(self, Self::Both | Self::Sub).then(|| sub(person)),
            email: matches!(self, Self::Both | Self::Email).then(|| email(person)),
        }
    }
}

/// Somebody, with the claims of a token, or without any for the bearer token.
pub(super) struct Person {
    pub(super) name: String,
    pub(super) caller: Caller,
    claims: Option<Value>,
}

impl Person {
    fn new(provider: &Provider, person: &str, form: &str) -> Self {
        let mut claims = provider.claims(&sub(person), &email(person));
        // All calls are made with it, however long they take.
        claims["exp"] = json!(claims["iat"].as_u64().expect("seconds") + 24 * 60 * 60);
        let mut identity = (sub(person), Some(email(person)));
        match form {
            "without email" => {
                claims["email"].take();
                claims["email_verified"].take();
                identity.1 = None;
            }
            "unverified" => {
                claims["email_verified"] = json!(false);
                identity.1 = None;
            }
            "unmarked" => {
                claims["email_verified"].take();
                identity.1 = None;
            }
            "in another case" => claims["email"] = json!(email(person).replace("mx-", "MX-").replace(".com", ".CoM")),
            "with another sub" => {
                claims["sub"] = json!(sub("somebody-else"));
                identity.0 = sub("somebody-else");
            }
            _ => {}
        }
        if let Value::Object(claims) = &mut claims {
            claims.retain(|_, claim| !claim.is_null());
        }
        let caller = Caller::Person { sub: identity.0, email: identity.1 };
        Self { name: format!("{person} {form}").trim().to_owned(), caller, claims: Some(claims) }
    }

    /// A fresh token; nothing for the static one.
    pub(super) fn token(&self, provider: &Provider) -> Option<String> {
        self.claims.as_ref().map(|claims| provider.token(claims))
    }
}

/// Everybody, each in the forms of a token that make a difference for them.
pub(super) fn people(provider: &Provider) -> Vec<Person> {
    let forms = |person| -> &[&str] {
        match person {
            "owner" => &["", "without email", "with another sub"],
            "member" => &["", "without email", "unverified", "unmarked", "in another case", "with another sub"],
            "author" => &["", "unverified", "with another sub"],
            _ => &[""],
        }
    };
    let mut people = vec![Person { name: "bearer".to_owned(), caller: Caller::Bearer, claims: None }];
    for person in ["owner", "member", "author", "gone", "other"] {
        people.extend(forms(person).iter().map(|form| Person::new(provider, person, form)));
    }
    people
}

/// Whoever owns or belongs to one enclave alone, or to none.
pub(super) fn loners(provider: &Provider) -> Vec<Person> {
    let mut people = vec![Person::new(provider, "nobody", "")];
    for person in ["solo-owner", "solo-member"] {
        people.extend(["", "in another case", "unverified"].iter().map(|form| Person::new(provider, person, form)));
    }
    people
}

/// All enclaves by name, each with its tentacles.
pub(super) type Enclaves = BTreeMap<String, (Enclave, BTreeMap<String, Tentacle>)>;

/// The enclaves: one of each mode with tentacles of each mode, and one of each kind beside.
pub(super) fn enclaves() -> Enclaves {
    let mode = |name: &str| PRESETS.iter().find(|(preset, _)| *preset == name).unwrap().1;
    let mut all = Enclaves::new();
    let mut add = |name: &str, recorded: Recorded, preset: &str, few: bool| {
        let owner = Some(recorded.owner("owner"));
        let members = vec![email("member"), email("author")];
        let enclave = Enclave { owner, members, mode: mode(preset), frozen: false, terminating: false };
        let mut tentacles = BTreeMap::new();
        for (preset, mode) in
            PRESETS.into_iter().filter(|(preset, _)| !few || ["private", "open-run"].contains(preset))
        {
            tentacles.insert(format!("t-{preset}"), Tentacle { owner: Some(recorded.owner("author")), mode });
        }
        tentacles.insert("t-of-nobody".to_owned(), Tentacle { owner: None, mode: mode("open-run") });
        tentacles
            .insert("t-of-gone".to_owned(), Tentacle { owner: Some(recorded.owner("gone")), mode: mode("private") });
        all.insert(format!("{PREFIX}{name}"), (enclave, tentacles));
    };
    for (preset, _) in PRESETS {
        add(preset, Recorded::Both, preset, false);
    }
    add("email-closed", Recorded::Email, "member-run", true);
    add("email-open", Recorded::Email, "open-run", true);
    add("sub", Recorded::Sub, "public-read", true);
    add("unowned", Recorded::Both, "open-run", true);
    add("frozen", Recorded::Both, "open-run", true);
    add("terminating", Recorded::Both, "open-run", true);
    add("solo", Recorded::Both, "member-edit", true);
    all.get_mut("mx-unowned").unwrap().0.owner = None;
    all.get_mut("mx-frozen").unwrap().0.frozen = true;
    all.get_mut("mx-terminating").unwrap().0.terminating = true;
    let solo = &mut all.get_mut("mx-solo").unwrap().0;
    solo.owner = Some(Recorded::Both.owner("solo-owner"));
    solo.members = vec![email("solo-member")];
    all
}

/// Names where there is no enclave: nothing at all, and namespaces that lack the label or the annotation.
pub(super) const NO_ENCLAVES: [&str; 4] = ["mx-nowhere", "mx-plain", "mx-only-labelled", "mx-only-annotated"];
/// Names that are protected.
pub(super) const PROTECTED: [&str; 3] = ["kube-system", "default", SERVER_NAMESPACE];
