//! What is taken for silence, against an API server that can fall silent, with the clock under control.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
};

use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use k8s_openapi::api::apps::v1::Deployment;
use kube::client::Body;
use serde_json::{Value, json};
use tentacular_contract::{EnclaveName, Platform, keys};
use tokio::time::sleep_until;

use super::*;
use crate::{Cluster, Enclaves, Metadata, PerEnclave, STALE_AFTER};

/// What the API server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Answer,
    /// It lists and reads, and its watches say nothing and do not end.
    HoldWatches,
    /// It lists and reads, its watches end in time, and no new one is answered.
    HoldNewWatches,
    /// It reads a single object, and nothing else.
    HoldWatchesAndLists,
    HoldEverything,
}

/// An API server with the enclave `team-a` and the Deployment `report` in it.
struct Server {
    does: Does,
    /// Of both.
    mode: &'static str,
    answered: Instant,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Server>>);

impl Shared {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Server { does: Does::Answer, mode: "rwxrwx---", answered: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap()
    }

    fn cluster(&self) -> Cluster {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Cluster::new(kube::Client::new(service, "default"))
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let single = request.uri().path().ends_with("/report");
        let watches = query.contains("watch=true");
        let holds = match self.state().does {
            Does::Answer | Does::HoldWatches => false,
            Does::HoldNewWatches => watches,
            Does::HoldWatchesAndLists => !single,
            Does::HoldEverything => true,
        };
        if holds {
            std::future::pending::<()>().await;
        }
        self.state().answered = Instant::now();
        let seconds = query.split('&').find_map(|pair| pair.strip_prefix("timeoutSeconds="));
        let body = if watches {
            let end = Instant::now() + Duration::from_secs(seconds.unwrap().parse().unwrap());
            let quiet = stream::once(self.quiet_until(end)).filter_map(async |()| None::<Result<Frame<Bytes>, _>>);
            StreamBody::new(quiet).boxed_unsync()
        } else {
            Full::from(self.objects(request.uri().path(), single).to_string()).boxed_unsync()
        };
        Ok(Response::new(body))
    }

    /// A watch of what does not change.
    async fn quiet_until(self, end: Instant) {
        sleep_until(end).await;
        let does = self.state().does;
        if !matches!(does, Does::Answer | Does::HoldNewWatches) {
            std::future::pending::<()>().await;
        }
    }

    fn objects(&self, path: &str, single: bool) -> Value {
        let name = if path.contains("/deployments") { "report" } else { "team-a" };
        let mode = self.state().mode;
        let object = json!({ "metadata": { "name": name, "resourceVersion": "7",
            "labels": { keys::MANAGED_BY: keys::TENTACULAR },
            "annotations": { keys::ENCLAVE: name, keys::MODE: mode } } });
        if single { object } else { json!({ "metadata": { "resourceVersion": "7" }, "items": [object] }) }
    }

    /// What is seen of it after it answered for a while.
    async fn watched(&self, phase: u64) -> (Enclaves, PerEnclave<Metadata<Deployment>>) {
        let (enclaves, follow) = Enclaves::new(self.cluster(), Platform::default());
        tokio::spawn(follow);
        let (deployments, follow) = PerEnclave::new(self.cluster(), enclaves.clone(), None);
        tokio::spawn(follow);
        deployments.ready().await;
        sleep(Duration::from_secs(100 + phase)).await;
        assert!(!deployments.freshness(&team()).is_stale(Instant::now()), "an idle watch is a working one");
        (enclaves, deployments)
    }

    /// From now on both have another mode, and it does this.
    fn begin(&self, does: Does) {
        let mut state = self.state();
        (state.does, state.mode) = (does, "rwx------");
    }
}

fn team() -> EnclaveName {
    "team-a".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_is_stale_30_s_after_the_last_answer() {
    for phase in 0..15 {
        let server = Shared::new();
        let (enclaves, deployments) = server.watched(phase).await;
        server.begin(Does::HoldEverything);
        let last = server.state().answered;
        sleep_until(last + STALE_AFTER - Duration::from_secs(16)).await;
        assert!(!enclaves.freshness().is_stale(Instant::now()), "nothing was confirmed at the last renewal: {phase}");
        sleep_until(last + STALE_AFTER).await;
        assert!(enclaves.freshness().is_stale(Instant::now()), "{phase}");
        assert!(deployments.freshness(&team()).is_stale(Instant::now()), "{phase}");
        server.state().does = Does::Answer;
        sleep(Duration::from_secs(30)).await;
        assert!(!deployments.freshness(&team()).is_stale(Instant::now()), "it answers again: {phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_hangs_is_noticed_while_everything_else_is_answered() {
    for (phase, does) in (0..15).flat_map(|phase| [(phase, Does::HoldWatches), (phase, Does::HoldNewWatches)]) {
        let server = Shared::new();
        let (enclaves, deployments) = server.watched(phase).await;
        server.begin(does);
        sleep(STALE_AFTER).await;
        let mode = enclaves.get(&team()).unwrap().mode.to_string();
        assert_eq!(mode, "rwx------", "{phase} {does:?}");
        let report = deployments.get(&team(), "report").unwrap();
        assert_eq!(report.metadata.annotations.as_ref().unwrap()[keys::MODE], "rwx------", "{phase} {does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_has_not_confirmed_for_30_s_is_read() {
    let server = Shared::new();
    let (_, deployments) = server.watched(0).await;
    server.begin(Does::HoldWatchesAndLists);
    let mode = async || {
        let report = deployments.get_or_read(&team(), "report").await.unwrap().unwrap();
        report.metadata.annotations.as_ref().unwrap()[keys::MODE].clone()
    };
    assert_eq!(mode().await, "rwxrwx---", "as last seen");
    sleep(STALE_AFTER).await;
    assert_eq!(mode().await, "rwx------", "as it is now");
}
