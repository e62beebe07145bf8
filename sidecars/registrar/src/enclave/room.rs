//! How many enclaves an owner has. Nobody holds a lock while an enclave is made, so of several calls at the same time each
//! makes its own and then looks which of them come first; the others remove theirs.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use tentacular_cluster::{Error, Metadata, Selector};
use tentacular_contract::{Email, Status, caller::Owner, keys};

use super::request::Request;
use crate::registrar::Registrar;

/// An owner has as many enclaves as one may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "owner {owner:?} already has {count} enclaves (limit: {limit}); one of them must go first, or an administrator make \
     this one"
)]
pub(super) struct Full {
    owner: String,
    count: usize,
    limit: usize,
}

/// An owner's enclave, in the order in which they count: those that can be used before those that are being made, and
/// among these the oldest first. Everybody who looks sees the same order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    unfinished: bool,
    created: Option<Timestamp>,
    uid: String,
}

impl Held {
    fn of(metadata: &ObjectMeta, status: Status) -> Self {
        Self {
            unfinished: status == Status::Provisioning,
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            uid: metadata.uid.clone().unwrap_or_default(),
        }
    }
}

impl Registrar {
    /// Whether the owner has too many enclaves for the one of the request: as many as one may have besides it, or once
    /// there is a namespace, which is `made`, as many that come before it. Enclaves that are being deleted do not count.
    pub(super) async fn is_full(&self, request: &Request, made: Option<&ObjectMeta>) -> Result<Option<Full>, Error> {
        let namespaces = self.impatient().all::<Metadata<Namespace>>();
        let namespaces = namespaces.list(&Selector::labels(keys::MANAGED_SELECTOR)).await?;
        let mine = made.map(|made| Held::of(made, Status::Provisioning));
        let others = namespaces.iter().filter_map(|namespace| {
            let enclave = self.facts(&namespace.metadata)?;
            let counts = !enclave.terminating
                && enclave.name != request.name
                && is_same(enclave.owner.as_ref(), &request.owner);
            counts.then(|| Held::of(&namespace.metadata, enclave.status))
        });
        let (count, limit) = (before(mine.as_ref(), others), self.enclaves_per_owner);
        let owner = || request.owner.email.as_ref().map(Email::to_string).unwrap_or_default();
        Ok((count >= limit).then(|| Full { owner: owner(), count, limit }))
    }
}

/// How many of `others` come before `mine`, all where there is none.
fn before(mine: Option<&Held>, others: impl Iterator<Item = Held>) -> usize {
    others.filter(|other| mine.is_none_or(|mine| other < mine)).count()
}

/// Whether the two are one person: by subject where both are known, else by email.
pub(super) fn is_same(one: Option<&Owner>, other: &Owner) -> bool {
    one.is_some_and(|one| match (&one.sub, &other.sub) {
        (Some(one), Some(other)) => one == other,
        _ => one.email.is_some() && one.email == other.email,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(unfinished: bool, second: i64, uid: &str) -> Held {
        Held { unfinished, created: Some(Timestamp::new(second, 0).unwrap()), uid: uid.to_owned() }
    }

    #[test]
    fn of_several_that_are_made_at_once_everybody_sees_the_same_ones_first() {
        let all = [held(true, 7, "b"), held(true, 7, "a"), held(true, 6, "c"), held(false, 9, "d")];
        let place = |mine: &Held| before(Some(mine), all.iter().filter(|other| *other != mine).cloned());
        assert_eq!(all.each_ref().map(place), [3, 2, 1, 0]);
        assert_eq!(before(None, all.into_iter()), 4);
    }

    #[test]
    fn one_that_was_finished_in_between_comes_first_whatever_its_age() {
        let mine = held(true, 6, "a");
        assert_eq!(before(Some(&mine), [held(true, 7, "b")].into_iter()), 0);
        assert_eq!(before(Some(&mine), [held(false, 7, "b")].into_iter()), 1);
    }

    #[test]
    fn a_person_is_known_by_the_subject_where_both_have_one() {
        let owner = |sub: Option<&str>, email: Option<&str>| Owner {
            sub: sub.map(str::to_owned),
            email: email.map(|email| email.parse().unwrap()),
        };
        let ann = owner(Some("s1"), Some("ann@x.io"));
        for (one, same) in [
            (owner(Some("s1"), Some("ann@y.io")), true),
            (owner(Some("s2"), Some("ann@x.io")), false),
            (owner(None, Some("ann@x.io")), true),
            (owner(None, Some("bob@x.io")), false),
            (owner(None, None), false),
        ] {
            assert_eq!(is_same(Some(&one), &ann), same, "{one:?}");
        }
        assert!(!is_same(None, &ann) && !is_same(Some(&owner(None, None)), &owner(None, None)));
    }
}
