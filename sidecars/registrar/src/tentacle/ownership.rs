//! What the server writes on a tentacle's Deployment: who owns it, its mode, who deployed it when.

use serde_json::{Map, Value};
use tentacular_contract::{Caller, Email, Identity, Mode, facts::Pairs, keys};

/// Annotations that are the server's to write; in a manifest they count for nothing.
const SERVERS: [&str; 14] = [
    keys::OWNER,
    keys::OWNER_SUB,
    keys::OWNER_EMAIL,
    keys::OWNER_NAME,
    keys::MODE,
    keys::DEPLOYED_BY,
    keys::DEPLOYED_VIA,
    keys::DEPLOYED_AT,
    keys::AUTH_PROVIDER,
    keys::CREATED_AT,
    keys::UPDATED_AT,
    keys::UPDATED_BY_SUB,
    keys::UPDATED_BY_EMAIL,
    keys::INVENTORY,
];

/// Those of them that say who owns.
const OWNERS: [&str; 4] = [keys::OWNER, keys::OWNER_EMAIL, keys::OWNER_SUB, keys::OWNER_NAME];

/// Whether an annotation is the server's to write.
pub(crate) fn is_servers(key: &str) -> bool {
    SERVERS.contains(&key)
}

/// One apply, as the Deployment is to record it.
#[derive(Debug, Clone)]
pub(crate) struct Stamp<'a> {
    pub(crate) caller: &'a Caller,
    /// The mode to set; `None` leaves the one that is there.
    pub(crate) mode: Option<Mode>,
    /// RFC 3339 time.
    pub(crate) now: &'a str,
}

impl Stamp<'_> {
    /// The annotations of a Deployment that is new.
    pub(crate) fn created(&self) -> Pairs {
        let mut pairs = self.deployed();
        put(&mut pairs, keys::CREATED_AT, Some(self.now));
        pairs.extend(self.caller.identity().map(owned_by).unwrap_or_default());
        self.with_mode(pairs)
    }

    /// The annotations of a Deployment that carries `before`, while nothing else changes.
    pub(crate) fn kept(&self, before: &Pairs) -> Pairs {
        let kept = before.iter().filter(|(key, value)| is_servers(key) && !value.is_empty());
        self.with_mode(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The annotations of a Deployment that carried `before`, in an apply that changes something.
    pub(crate) fn updated(&self, before: &Pairs) -> Pairs {
        let mut pairs = self.kept(before);
        for key in [keys::DEPLOYED_VIA, keys::AUTH_PROVIDER, keys::UPDATED_BY_SUB, keys::UPDATED_BY_EMAIL] {
            pairs.remove(key);
        }
        pairs.extend(self.deployed());
        self.with_update(pairs)
    }

    /// What a merge patch has to set among the annotations `before` (`null` removes) to set the mode, and to make
    /// `owner` the owner where there is one.
    pub(crate) fn permissions(&self, before: &Pairs, owner: Option<&Identity>) -> Map<String, Value> {
        let mut after = self.with_mode(before.clone());
        for key in [keys::UPDATED_BY_SUB, keys::UPDATED_BY_EMAIL] {
            after.remove(key);
        }
        after = self.with_update(after);
        if let Some(owner) = owner {
            after.retain(|key, _| !OWNERS.contains(&key.as_str()));
            after.extend(owned_by(owner));
        }
        let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
        let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
        gone.chain(set.map(|(key, value)| (key.clone(), value.as_str().into()))).collect()
    }

    fn deployed(&self) -> Pairs {
        let mut pairs = Pairs::new();
        put(&mut pairs, keys::DEPLOYED_BY, Some(self.caller.label()));
        put(&mut pairs, keys::DEPLOYED_AT, Some(self.now));
        let identity = self.caller.identity();
        put(&mut pairs, keys::DEPLOYED_VIA, identity.and_then(|identity| identity.azp.as_deref()));
        let provider = match self.caller {
            Caller::Bearer => Some("bearer-token"),
            Caller::Oidc(identity) => identity.provider.as_deref(),
        };
        put(&mut pairs, keys::AUTH_PROVIDER, provider);
        pairs
    }

    fn with_update(&self, mut pairs: Pairs) -> Pairs {
        put(&mut pairs, keys::UPDATED_AT, Some(self.now));
        if let Some(identity) = self.caller.identity() {
            put(&mut pairs, keys::UPDATED_BY_SUB, identity.sub.as_deref());
            put(&mut pairs, keys::UPDATED_BY_EMAIL, identity.email.as_ref().map(Email::as_str));
        }
        pairs
    }

    fn with_mode(&self, mut pairs: Pairs) -> Pairs {
        if let Some(mode) = self.mode {
            pairs.insert(keys::MODE.to_owned(), mode.to_string());
        }
        pairs
    }
}

/// The annotations that make `identity` the owner.
fn owned_by(Identity { sub, email, name, .. }: &Identity) -> Pairs {
    let mut pairs = Pairs::new();
    let email = email.as_ref().map(Email::as_str);
    put(&mut pairs, keys::OWNER, email);
    put(&mut pairs, keys::OWNER_EMAIL, email);
    put(&mut pairs, keys::OWNER_SUB, sub.as_deref());
    put(&mut pairs, keys::OWNER_NAME, name.as_deref());
    pairs
}

fn put(pairs: &mut Pairs, key: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        pairs.insert(key.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ann() -> Caller {
        Caller::Oidc(Identity {
            sub: Some("s1".to_owned()),
            email: Some("ann@x.io".parse().unwrap()),
            name: Some("Ann".to_owned()),
            provider: Some("google".to_owned()),
            azp: Some("tntc".to_owned()),
        })
    }

    fn stamp<'a>(caller: &'a Caller, mode: Option<&str>, now: &'a str) -> Stamp<'a> {
        Stamp { caller, mode: mode.map(|mode| mode.parse().unwrap()), now }
    }

    fn short(pairs: &Pairs) -> Vec<String> {
        let prefix = "tentacular.io/";
        pairs.iter().map(|(key, value)| format!("{}={value}", key.strip_prefix(prefix).unwrap())).collect()
    }

    #[test]
    fn a_person_who_creates_is_the_owner() {
        assert_eq!(
            short(&stamp(&ann(), Some("private"), "T1").created()),
            [
                "auth-provider=google",
                "created-at=T1",
                "deployed-at=T1",
                "deployed-by=ann@x.io",
                "deployed-via=tntc",
                "mode=rwx------",
                "owner=ann@x.io",
                "owner-email=ann@x.io",
                "owner-name=Ann",
                "owner-sub=s1",
            ]
        );
    }

    #[test]
    fn the_bearer_token_owns_nothing() {
        let created = stamp(&Caller::Bearer, Some("rwxr-x---"), "T1").created();
        assert_eq!(
            short(&created),
            [
                "auth-provider=bearer-token",
                "created-at=T1",
                "deployed-at=T1",
                "deployed-by=bearer-token",
                "mode=rwxr-x---",
            ]
        );
    }

    #[test]
    fn an_update_keeps_owner_mode_and_creation() {
        let before = stamp(&ann(), Some("private"), "T1").created();
        let after = stamp(&Caller::Bearer, None, "T2").updated(&before);
        assert_eq!(
            short(&after),
            [
                "auth-provider=bearer-token",
                "created-at=T1",
                "deployed-at=T2",
                "deployed-by=bearer-token",
                "mode=rwx------",
                "owner=ann@x.io",
                "owner-email=ann@x.io",
                "owner-name=Ann",
                "owner-sub=s1",
                "updated-at=T2",
            ]
        );
        let again = stamp(&ann(), Some("open-run"), "T3").updated(&after);
        let again = short(&again);
        for part in ["mode=rwxrwxr-x", "updated-by-sub=s1", "updated-by-email=ann@x.io", "created-at=T1"] {
            assert!(again.iter().any(|pair| pair == part), "{part}: {again:?}");
        }
    }

    #[test]
    fn a_change_of_permissions_writes_what_differs_and_leaves_nothing_of_the_owner_before() {
        let mut before = stamp(&ann(), Some("private"), "T1").updated(&stamp(&ann(), None, "T1").created());
        before.insert(keys::DESCRIPTION.to_owned(), "Says hello".to_owned());
        let bob = Identity { email: Some("bob@x.io".parse().unwrap()), ..Identity::default() };
        let patch = stamp(&Caller::Bearer, None, "T2").permissions(&before, Some(&bob));
        let wanted = json!({
            keys::OWNER: "bob@x.io", keys::OWNER_EMAIL: "bob@x.io", keys::OWNER_SUB: null, keys::OWNER_NAME: null,
            keys::UPDATED_AT: "T2", keys::UPDATED_BY_SUB: null, keys::UPDATED_BY_EMAIL: null,
        });
        assert_eq!(Value::Object(patch), wanted);
        let patch = stamp(&ann(), Some("open-run"), "T2").permissions(&before, None);
        assert_eq!(Value::Object(patch), json!({ keys::MODE: "rwxrwxr-x", keys::UPDATED_AT: "T2" }));
    }

    #[test]
    fn nothing_but_the_servers_own_is_kept_and_nothing_empty() {
        let before = Pairs::from([
            (keys::OWNER.to_owned(), String::new()),
            (keys::DEPLOYED_AT.to_owned(), "T1".to_owned()),
            (keys::DESCRIPTION.to_owned(), "Says hello".to_owned()),
        ]);
        assert_eq!(short(&stamp(&ann(), None, "T2").kept(&before)), ["deployed-at=T1"]);
    }
}
