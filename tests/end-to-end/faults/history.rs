//! What was written to an enclave's tentacles in which order, as the API server tells it to a watch: the truth that answers
//! are held against. Revisions count up over all objects of a cluster, so that the watches of all kinds make one history.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
};
use tentacular_test_harness::until;
use tokio::task::JoinSet;

use super::{
    live::{CONFIG_MAP, Live, OF_A_RELEASE},
    release::VERSION,
};

const RELEASE: &str = "tentacular.io/release";
/// Objects of a release.
const OBJECTS: usize = 6;

/// A point in the history of the cluster.
pub(super) type Revision = u64;

/// What a tentacle is between two calls: wholly of a version, or wholly gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Version(usize),
    Gone,
}

/// From when to when a tentacle was in a state. The first state has no beginning and the last no end.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) state: State,
    pub(super) from: Revision,
    pub(super) until: Option<Revision>,
}

/// One change of one object.
#[derive(Debug, Clone)]
struct Change {
    revision: Revision,
    tentacle: String,
    object: String,
    to: Object,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Version(usize),
    /// It is being deleted.
    Going,
    Gone,
}

/// The watches of an enclave.
pub(super) struct History {
    live: Live,
    enclave: String,
    changes: Arc<Mutex<Vec<Change>>>,
    watches: JoinSet<anyhow::Result<()>>,
}

impl History {
    /// Begins with what is there now.
    pub(super) async fn begin(live: &Live, enclave: &str) -> anyhow::Result<Self> {
        let mut history = Self {
            live: live.clone(),
            enclave: enclave.to_owned(),
            changes: Arc::default(),
            watches: JoinSet::new(),
        };
        for kind in OF_A_RELEASE {
            let api = live.api(kind, enclave);
            let now = api.list(&ListParams::default().labels(RELEASE)).await?;
            let since = now.metadata.resource_version.context("a list without a revision")?;
            history.watches.spawn(watch(api, kind.2, since, Arc::clone(&history.changes)));
        }
        Ok(history)
    }

    /// The states of each tentacle that was written, in their order. Fails when two calls' writes interleave, or when a
    /// tentacle is left in no state at all.
    pub(super) async fn end(mut self) -> anyhow::Result<BTreeMap<String, Vec<Settled>>> {
        let mut watches = std::mem::take(&mut self.watches);
        let caught_up = until("the watches show what is there", async || {
            ensure!(self.has_caught_up().await?);
            Ok(())
        });
        tokio::select! {
            caught_up = caught_up => caught_up?,
            Some(ended) = watches.join_next() => bail!("a watch ended: {ended:?}"),
        }
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        changes.sort_by_key(|change| change.revision);
        let mut tentacles: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for change in changes {
            tentacles.entry(change.tentacle.clone()).or_default().push(change);
        }
        tentacles
            .into_iter()
            .map(|(tentacle, changes)| {
                let states = settle(&changes).with_context(|| format!("tentacle {tentacle}"))?;
                Ok((tentacle, states))
            })
            .collect()
    }

    async fn has_caught_up(&self) -> anyhow::Result<bool> {
        let mut there = BTreeMap::new();
        for kind in OF_A_RELEASE {
            let listed = self.live.api(kind, &self.enclave).list(&ListParams::default().labels(RELEASE)).await?;
            there.extend(listed.iter().map(|object| (title(kind.2, object), as_it_is(object))));
        }
        let mut seen = BTreeMap::new();
        for change in &*self.changes.lock().unwrap_or_else(PoisonError::into_inner) {
            seen.insert(change.object.clone(), change.to);
        }
        seen.retain(|_, object| *object != Object::Gone);
        // What was there at the beginning and never changed is in no change.
        Ok(seen.iter().all(|(title, object)| there.get(title) == Some(object))
            && there.iter().all(|(title, object)| seen.get(title).is_none_or(|seen| seen == object)))
    }
}

/// The revision that the cluster is at.
pub(super) async fn now(live: &Live, enclave: &str) -> anyhow::Result<Revision> {
    let one = ListParams::default().limit(1);
    let list = live.api(CONFIG_MAP, enclave).list(&one).await?;
    Ok(list.metadata.resource_version.context("a list without a revision")?.parse()?)
}

async fn watch(
    api: Api<DynamicObject>,
    kind: &'static str,
    since: String,
    changes: Arc<Mutex<Vec<Change>>>,
) -> anyhow::Result<()> {
    let params = WatchParams::default().labels(RELEASE);
    let mut events = Box::pin(api.watch(&params, &since).await?);
    while let Some(event) = events.next().await {
        let (object, to) = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object.clone(), as_it_is(&object)),
            WatchEvent::Deleted(object) => (object, Object::Gone),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => bail!("a watch failed: {status:?}"),
        };
        let change = Change {
            revision: object.resource_version().context("an object without a revision")?.parse()?,
            tentacle: object.labels().get(RELEASE).cloned().unwrap_or_default(),
            object: title(kind, &object),
            to,
        };
        changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
    Ok(())
}

fn title(kind: &str, object: &DynamicObject) -> String {
    format!("{kind}/{}", object.name_any())
}

fn as_it_is(object: &DynamicObject) -> Object {
    match object.labels().get(VERSION).and_then(|version| version.parse().ok()) {
        Some(version) if object.metadata.deletion_timestamp.is_none() => Object::Version(version),
        _ => Object::Going,
    }
}

/// The states that a tentacle went through, when it was gone at first.
fn settle(changes: &[Change]) -> anyhow::Result<Vec<Settled>> {
    let mut objects: BTreeMap<&str, Object> = BTreeMap::new();
    let mut states = vec![Settled { state: State::Gone, from: 0, until: None }];
    // What is being done to the tentacle, while it is in no state.
    let mut aim = None;
    for change in changes {
        if objects.get(change.object.as_str()).copied().unwrap_or(Object::Gone) == change.to {
            continue;
        }
        let towards = match change.to {
            Object::Version(version) => State::Version(version),
            Object::Going | Object::Gone => State::Gone,
        };
        if let Some(aim) = aim {
            ensure!(aim == towards, "{change:?} while it was on the way to {aim:?}: {objects:?}");
        } else if let Some(last) = states.last_mut() {
            last.until = Some(change.revision);
            aim = Some(towards);
        }
        match change.to {
            Object::Gone => drop(objects.remove(change.object.as_str())),
            to => drop(objects.insert(&change.object, to)),
        }
        let settled = match towards {
            State::Gone => objects.is_empty(),
            State::Version(version) => {
                objects.len() == OBJECTS && objects.values().all(|object| *object == Object::Version(version))
            }
        };
        if settled {
            states.push(Settled { state: towards, from: change.revision, until: None });
            aim = None;
        }
    }
    ensure!(aim.is_none(), "it is left on the way to {aim:?}: {objects:?}");
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes of six objects, each by its number, in the order of their revisions.
    fn settled(changes: impl IntoIterator<Item = (usize, Object)>) -> anyhow::Result<Vec<State>> {
        let change = |(revision, (object, to)): (u64, (usize, Object))| Change {
            revision,
            tentacle: String::new(),
            object: object.to_string(),
            to,
        };
        let changes: Vec<_> = (1..).zip(changes).map(change).collect();
        Ok(settle(&changes)?.into_iter().map(|settled| settled.state).collect())
    }

    fn all(to: Object) -> impl Iterator<Item = (usize, Object)> {
        (0..OBJECTS).map(move |object| (object, to))
    }

    #[test]
    fn calls_one_after_the_other_leave_whole_states() {
        let changes = all(Object::Version(1)).chain(all(Object::Version(2))).chain([(0, Object::Going)]);
        let states = settled(changes.chain(all(Object::Gone))).unwrap();
        assert_eq!(states, [State::Gone, State::Version(1), State::Version(2), State::Gone]);
    }

    #[test]
    fn a_mixture_is_found_however_it_came() {
        let [one, two] = [1, 2].map(Object::Version);
        let begun = || all(one).take(3);
        assert!(settled(begun()).is_err(), "left half way");
        assert!(settled(begun().chain([(3, two)])).is_err(), "another version in between");
        assert!(settled(begun().chain([(0, Object::Gone)])).is_err(), "a removal in between");
        assert!(settled(all(one).chain([(0, Object::Going), (1, two)])).is_err(), "an apply in a removal");
    }
}
