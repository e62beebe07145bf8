//! That the watches of a process do not begin all at once, against an API server that takes its time.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{future::join_all, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use k8s_openapi::api::apps::v1::Deployment;
use kube::client::Body;
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::*;
use crate::{Cluster, Metadata, store::State};

const WATCHES: usize = 100;
/// How long an answer takes.
const TAKES: Duration = Duration::from_millis(300);

/// How many requests are not answered yet, and how many were at the most.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
}

async fn answer(
    load: Arc<Load>,
    request: Request<Body>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let now = load.now.fetch_add(1, Ordering::Relaxed) + 1;
    load.most.fetch_max(now, Ordering::Relaxed);
    sleep(TAKES).await;
    load.now.fetch_sub(1, Ordering::Relaxed);
    let body = if request.uri().query().unwrap_or_default().contains("watch=true") {
        StreamBody::new(stream::once(pending::<Result<Frame<Bytes>, _>>())).boxed_unsync()
    } else {
        let list = json!({ "metadata": { "resourceVersion": "7" }, "items": [] });
        Full::from(list.to_string()).boxed_unsync()
    };
    Ok(Response::new(body))
}

#[tokio::test(start_paused = true)]
async fn watches_that_begin_together_take_turns_and_who_waits_long_confirms_nothing() {
    let load = Arc::new(Load::default());
    let service = tower::service_fn({
        let load = Arc::clone(&load);
        move |request| answer(Arc::clone(&load), request)
    });
    let cluster = Cluster::new(kube::Client::new(service, "default"));
    let (turns, stores) = (Turns::default(), [(); WATCHES].map(|()| Store::<()>::new(watch::Sender::new(0))));
    let observe = |(number, store)| {
        let objects = cluster.namespaced::<Metadata<Deployment>>(&format!("team-{number}"));
        Observation::new(objects, Selector::all(), store, &turns).run(|_| None, |_| false, || WATCHES)
    };
    let all = join_all(stores.iter().enumerate().map(observe));
    let unheard = || stores.iter().filter(|store| store.freshness().failing_since.is_some()).count();
    let looks = async {
        sleep(ANSWER + TAKES).await;
        assert!(unheard() > 0, "some have waited for long");
        // A list and a watch each.
        let turns = u32::try_from(WATCHES.div_ceil(BEGINNINGS)).expect("a few");
        sleep(2 * TAKES * turns).await;
        assert!(stores.iter().all(|store| store.state() == State::Synced));
        assert_eq!((load.most.load(Ordering::Relaxed), unheard()), (BEGINNINGS, 0));
    };
    tokio::select! {
        _ = all => unreachable!("watches never end"),
        () = looks => {}
    }
}
