//! Ledgers on a real API server, with the scheduler's own account, its rights and the policies that narrow them.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace},
    rbac::v1::RoleBinding,
};
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Delete};
use tentacular_contract::{EnclaveName, TentacleName, keys};
use tentacular_test_harness::{
    ControlPlane, FaultProxy, Part, Scratch,
    fault_proxy::{Call, Fault},
    installation::{self, SERVER_NAMESPACE},
    until,
};
use tokio::{
    sync::{Barrier, OnceCell},
    task::JoinSet,
};

use super::*;
use crate::ledger::{ChangeError, Held, Ledgers, State};

/// How long contended changes go on; only what hangs takes as long.
const LONG: Duration = Duration::from_mins(2);

/// An enclave, and two ways to it.
struct World {
    admin: Cluster,
    ledgers: Ledgers,
    enclave: EnclaveName,
    tentacle: TentacleName,
    proxy: FaultProxy,
    _scratch: Scratch,
}

impl World {
    async fn new() -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let control_plane = ControlPlane::shared().await.unwrap();
        INSTALLED.get_or_init(async || installation::install_rights(control_plane).await.unwrap()).await;
        let admin = Cluster::from_kubeconfig("test", control_plane.admin_kubeconfig()).await.unwrap();
        let (scratch, proxy) = (Scratch::new().unwrap(), FaultProxy::start(control_plane).unwrap());
        let path = scratch.path().join("scheduler.kubeconfig");
        proxy.kubeconfig(control_plane, Part::Scheduler, &path).await.unwrap();
        let ledgers = Ledgers::new(Cluster::from_kubeconfig("test", &path).await.unwrap());
        let (enclave, tentacle) = (enclave(&admin).await, "report".parse::<TentacleName>().unwrap());
        let bound = async || Ok(ledgers.load(&enclave, &tentacle).await.map(drop)?);
        until("the API server has heard of the binding", bound).await.unwrap();
        proxy.start_afresh();
        Self { admin, ledgers, enclave, tentacle, proxy, _scratch: scratch }
    }

    async fn load(&self) -> Held {
        self.ledgers.load(&self.enclave, &self.tentacle).await.unwrap()
    }

    async fn change(
        &self,
        held: &mut Held,
        judge: impl FnMut(&Book) -> Result<Change, Refused>,
    ) -> Result<(), ChangeError<Refused>> {
        self.ledgers.change(held, LONG, judge).await
    }

    /// The ledger as a person edits it.
    async fn edit(&self, patch: Value) {
        let maps = self.admin.namespaced::<ConfigMap>(self.enclave.as_str());
        maps.patch("tentacular-runs-report", &patch).await.unwrap();
    }

    async fn map(&self) -> ConfigMap {
        let maps = self.admin.namespaced::<ConfigMap>(self.enclave.as_str());
        maps.get("tentacular-runs-report").await.unwrap().expect("the ledger")
    }

    /// The methods of the requests since the last time.
    fn requests(&self) -> Vec<String> {
        let methods = self.proxy.calls().iter().map(|call| call.method.to_string()).collect();
        self.proxy.start_afresh();
        methods
    }
}

/// A new enclave, bound as the registrar binds it.
async fn enclave(admin: &Cluster) -> EnclaveName {
    let name = format!("ledgers-{}", RunId::new(std::time::SystemTime::now()));
    let namespace: Namespace = object(json!({ "metadata": {
        "name": name,
        "labels": { keys::MANAGED_BY: keys::TENTACULAR },
        "annotations": { keys::ENCLAVE: name, keys::ENCLAVE_OWNER: "ada@example.com" },
    }}));
    admin.all().create(&namespace).await.unwrap();
    let binding: RoleBinding = object(json!({
        "metadata": { "name": "tentacular-scheduler" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tentacular-enclave-scheduler",
        },
        "subjects": [{
            "kind": "ServiceAccount", "namespace": SERVER_NAMESPACE, "name": Part::Scheduler.account(),
        }],
    }));
    admin.namespaced(&name).create(&binding).await.unwrap();
    name.parse().unwrap()
}

fn object<K: serde::de::DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn a_change_is_one_request_where_nobody_interferes() {
    let world = World::new().await;
    let mut held = world.load().await;
    assert_eq!(world.requests(), ["GET"]);
    world.change(&mut held, |book| book.claim(&firing(1, 0, 1))).await.unwrap();
    assert_eq!(world.requests(), ["POST"]);
    world.change(&mut held, |book| book.finish(id_of(1, 0), &ended(true, 1))).await.unwrap();
    world.change(&mut held, |book| book.claim(&firing(1, 2, 1))).await.unwrap();
    assert_eq!(world.requests(), ["PATCH", "PATCH"]);
    world.change(&mut held, |book| book.since(&schedule(1), at(1), 1, |_| true)).await.unwrap();
    assert!(world.requests().is_empty());

    let mut all = world.ledgers.list(&world.enclave).await.unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), [&world.tentacle]);
    let mut held = all.remove(&world.tentacle).expect("listed");
    assert_eq!(held.book().claimed().map(|run| run.id).collect::<Vec<_>>(), [id_of(1, 2)]);
    assert_eq!(held.book().runs().count(), 1, "of what ended only the id is kept");
    world.change(&mut held, |book| book.claim(&firing(1, 3, 1))).await.unwrap();
    assert_eq!(world.requests(), ["GET", "PATCH"]);

    let map = world.map().await;
    let labels = [(keys::MANAGED_BY, "tentacular"), (keys::LEDGER, "true")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(map.metadata.labels, Some(labels.into()));
    let mut whole = Book::read(&map.data.unwrap());
    assert_eq!(whole.runs().count(), 3);
    whole.compact();
    assert_eq!(&whole, held.book());
}

#[tokio::test]
async fn of_twenty_who_race_each_instant_is_claimed_by_one() {
    let world = Arc::new(World::new().await);
    let (mut tasks, start) = (JoinSet::new(), Arc::new(Barrier::new(20)));
    for _ in 0..20 {
        let (world, start) = (Arc::clone(&world), Arc::clone(&start));
        tasks.spawn(async move {
            let mut held = world.load().await;
            let mut mine = Vec::new();
            for instant in 0..5 {
                start.wait().await;
                match world.change(&mut held, |book| book.claim(&firing(1, instant, 1))).await {
                    Ok(()) => mine.push(instant),
                    Err(error) => assert_eq!(error, ChangeError::Refused(Refused::Taken)),
                }
            }
            mine
        });
    }
    let mut claimed = tasks.join_all().await.concat();
    claimed.sort_unstable();
    assert_eq!(claimed, [0, 1, 2, 3, 4]);
    assert_eq!(world.load().await.book().claimed().count(), 5);
    let written = world.proxy.calls().iter().filter(|call| call.is_write() && call.status < Some(300)).count();
    assert_eq!(written, 5);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_again_and_not_done_twice() {
    let world = World::new().await;
    let mut held = world.load().await;
    for instant in 0..2 {
        world.proxy.start_afresh();
        world.proxy.fail(0..1, Call::is_write, Fault::CloseAfter);
        world.change(&mut held, |book| book.claim(&firing(1, instant, 1))).await.unwrap();
        let write = if instant == 0 { "POST" } else { "PATCH" };
        assert_eq!(world.requests(), [write, "GET"]);
    }
    // A request that did not arrive is sent again.
    world.proxy.fail(0..1, Call::is_write, Fault::CloseBefore);
    world.change(&mut held, |book| book.claim(&firing(1, 2, 1))).await.unwrap();
    assert_eq!(world.requests(), ["PATCH", "GET", "PATCH"]);
    world.proxy.fail(0..1, Call::is_write, Fault::CloseAfter);
    world.change(&mut held, |book| book.skip(&skip(1, 3, 4, "overlap", 1))).await.unwrap();
    world.proxy.fail(0..1, Call::is_write, Fault::CloseAfter);
    world.change(&mut held, |book| book.finish(id_of(1, 0), &ended(true, 5))).await.unwrap();
    let book = world.load().await;
    let counts: Vec<_> = book.book().runs().map(|run| (run.id, run.count)).collect();
    assert_eq!(counts, [(id_of(1, 3), 2), (id_of(1, 2), 1), (id_of(1, 1), 1), (id_of(1, 0), 1)]);
}

#[tokio::test]
async fn a_claim_of_another_is_not_taken_for_the_own_whose_answer_was_lost() {
    let world = World::new().await;
    let (mut ours, mut theirs) = (world.load().await, world.load().await);
    let other = Claim { at: at(1), ..firing(1, 0, 1) };
    world.change(&mut theirs, |book| book.claim(&other)).await.unwrap();
    world.proxy.fail(0..1, Call::is_write, Fault::CloseBefore);
    let refused = world.change(&mut ours, |book| book.claim(&firing(1, 0, 1))).await;
    assert_eq!(refused, Err(ChangeError::Refused(Refused::Taken)));
}

#[tokio::test]
async fn a_refusal_is_believed_only_of_a_ledger_that_was_just_read() {
    let world = World::new().await;
    let (mut ours, mut theirs) = (world.load().await, world.load().await);
    world.change(&mut theirs, |book| book.claim(&called(1, 0))).await.unwrap();
    world.requests();
    world.change(&mut ours, |book| book.finish(id(1), &ended(true, 1))).await.unwrap();
    assert_eq!(world.requests(), ["GET", "PATCH"]);
    // The other does not know yet how the run ended.
    let refused = world.change(&mut theirs, |book| book.finish(id(1), &ended(false, 1))).await;
    assert_eq!(refused, Err(ChangeError::Refused(Refused::Ended)));
    assert_eq!(world.requests(), ["PATCH", "GET"]);
}

#[tokio::test]
async fn changes_outlast_an_outage_as_long_as_they_may() {
    let world = World::new().await;
    let mut held = world.load().await;
    world.proxy.set_up(false).await.unwrap();
    let claim = firing(1, 0, 1);
    let short = world.ledgers.change(&mut held, Duration::from_millis(200), |book| book.claim(&claim)).await;
    let Err(ChangeError::Cluster(error)) = short else { panic!("{short:?}") };
    assert!(error.is_unavailable(), "{error}");

    let change = world.ledgers.change(&mut held, LONG, |book| book.claim(&claim));
    let (changed, opened) = tokio::join!(change, world.proxy.set_up(true));
    opened.unwrap();
    assert_eq!(changed, Ok(()));
    assert_eq!(world.load().await.book().claimed().count(), 1);
}

#[tokio::test]
async fn what_a_person_did_to_a_ledger_stops_nobody() {
    let world = World::new().await;
    let mut held = world.load().await;
    world.change(&mut held, |book| book.claim(&firing(1, 0, 1))).await.unwrap();
    let key = format!("run.{}", id_of(1, 0));
    let garbage =
        json!({ "data": { key.as_str(): "gone", "run.x": "{", "notes": "ä", "newest.": "", "term": "many" } });
    world.edit(garbage).await;
    world.change(&mut held, |book| book.claim(&firing(1, 1, 1))).await.unwrap();
    let data = world.map().await.data.unwrap();
    let keys: Vec<_> = data.keys().map(|key| key.split('.').next().unwrap()).collect();
    assert_eq!((keys, &data["term"][..]), (vec!["newest", "run", "term"], "1"));
    let refused = world.change(&mut held, |book| book.finish(id_of(1, 0), &ended(true, 2))).await;
    assert_eq!(refused, Err(ChangeError::Refused(Refused::NoRun)));

    // Emptied, removed, and without the label that lets the scheduler write it.
    world.edit(json!({ "data": null })).await;
    world.change(&mut held, |book| book.claim(&firing(1, 2, 1))).await.unwrap();
    let maps = world.admin.namespaced::<ConfigMap>(world.enclave.as_str());
    maps.delete("tentacular-runs-report", &Delete::default()).await.unwrap();
    world.change(&mut held, |book| book.claim(&firing(1, 3, 1))).await.unwrap();
    assert_eq!(
        held.book().claimed().map(|run| (run.id, run.state)).collect::<Vec<_>>(),
        [(id_of(1, 3), State::Claimed)]
    );
    world.edit(json!({ "metadata": { "labels": { keys::LEDGER: null } } })).await;
    let refused = world.change(&mut held, |book| book.claim(&firing(1, 4, 1))).await;
    let Err(ChangeError::Cluster(error)) = refused else { panic!("{refused:?}") };
    assert!(error.is_forbidden() && error.to_string().contains(keys::LEDGER), "{error}");
    assert!(world.ledgers.list(&world.enclave).await.unwrap().is_empty());
}
