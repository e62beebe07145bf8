//! Services that stand still, are slow, or answer errors: a call ends within its deadline, and the repeat converges.

use super::*;

/// What PostgreSQL says that is starting: an error of severity FATAL with SQLSTATE 57P03.
const STARTING: &[u8] = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
/// What NATS says that has no room for another client.
const FULL: &[u8] = b"-ERR 'maximum connections exceeded'\r\n";
/// What a server of S3 says that has too much to do.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// How long a service is slow.
const SLOW: Duration = Duration::from_secs(3);

/// Where in a call a fault begins, which then stays.
#[derive(Debug, Clone, Copy)]
enum From {
    Begin,
    End,
}

/// What a service is called for.
#[derive(Debug, Clone, Copy)]
enum Call {
    Probe,
    Register,
    Renew,
    Revoke,
    Remove,
}

/// What goes wrong: where in which call.
type Wrong = (From, Call);

const ALL: [Wrong; 8] = [
    (From::Begin, Call::Probe),
    (From::Begin, Call::Register),
    (From::Begin, Call::Renew),
    (From::Begin, Call::Revoke),
    (From::Begin, Call::Remove),
    (From::End, Call::Register),
    (From::End, Call::Renew),
    (From::End, Call::Remove),
];

impl<Server> Place<Server> {
    /// Has the calls fail by the fault, side by side.
    async fn survives(&self, fault: &TcpFault, wrong: &[Wrong]) {
        let mut all = Vec::new();
        // One after the other: they may wait for each other there.
        for &(from, call) in wrong {
            let (lane, tenant) = (self.lane(), tenant(&format!("{from:?}-{call:?}").to_lowercase()));
            let prepared = lane.prepared(&tenant).await;
            all.push((lane, (from, call), tenant, prepared));
        }
        let all = all.into_iter().map(async |(lane, wrong, tenant, prepared)| {
            lane.survive(wrong, fault, &tenant, prepared).await;
        });
        join_all(all).await;
        assert_eq!(self.holders().await, []);
    }

    /// Has a call wait while nothing passes for some time, after which it ends well.
    async fn waits(&self) {
        let (lane, tenant) = (self.lane(), tenant("slow"));
        lane.proxy.fail(1..usize::MAX, TcpFault::Stall);
        let slow = async {
            tokio::time::sleep(SLOW).await;
            assert!(lane.proxy.mend(), "it was slow");
        };
        let none = Fields::new();
        let (done, ()) = tokio::join!(given(&*lane.disturbed, &tenant, &none, false), slow);
        let secret = done.unwrap().fields;
        assert!(self.admits(&tenant, &secret).await);
        self.straight.unregister(&tenant, &secret).await.unwrap();
    }
}

impl<Server> Lane<'_, Server> {
    /// What the tenant is given, and how many exchanges that has when nothing disturbs it and what is asked only once is known.
    async fn prepared(&self, tenant: &Tenant) -> (Fields, usize) {
        let (disturbed, none) = (&*self.disturbed, Fields::new());
        given(disturbed, tenant, &none, false).await.unwrap();
        disturbed.unregister(tenant, &none).await.unwrap();
        self.proxy.mend();
        let secret = given(disturbed, tenant, &none, false).await.unwrap().fields;
        (secret, self.proxy.exchanges())
    }

    async fn survive(
        &self,
        (from, call): Wrong,
        fault: &TcpFault,
        tenant: &Tenant,
        (mut secret, registering): (Fields, usize),
    ) {
        let (place, disturbed, none) = (self.place, &*self.disturbed, Fields::new());
        let unregister = async |secret: &Fields| {
            self.proxy.mend();
            disturbed.unregister(tenant, secret).await.unwrap();
            self.proxy.exchanges()
        };
        match call {
            Call::Probe => {
                self.strike(from, 0, fault);
                self.ends(disturbed.probe(), &secret).await;
                disturbed.probe().await.unwrap();
            }
            Call::Register => {
                unregister(&secret).await;
                self.strike(from, registering, fault);
                let done = self.ends(given(disturbed, tenant, &none, false), &secret).await;
                secret = match done {
                    Some(share) => share.fields,
                    None => given(disturbed, tenant, &none, false).await.unwrap().fields,
                };
                assert!(place.admits(tenant, &secret).await, "{fault:?} {from:?}");
            }
            Call::Renew => {
                self.strike(from, registering, fault);
                let done = self.ends(given(disturbed, tenant, &secret, true), &secret).await;
                assert!(place.admits(tenant, &secret).await, "{fault:?} {from:?}: the former one works");
                if done.is_none() {
                    given(disturbed, tenant, &secret, true).await.unwrap();
                }
            }
            Call::Revoke => {
                let share = given(disturbed, tenant, &secret, true).await.unwrap();
                self.strike(from, 0, fault);
                self.ends(disturbed.revoke(tenant, &share), &secret).await;
                disturbed.revoke(tenant, &share).await.unwrap();
                assert!(place.admits(tenant, &share.fields).await && !place.admits(tenant, &secret).await);
                secret = share.fields;
            }
            Call::Remove => {
                let removing = unregister(&secret).await;
                secret = given(disturbed, tenant, &none, false).await.unwrap().fields;
                self.strike(from, removing, fault);
                self.ends(disturbed.unregister(tenant, &secret), &secret).await;
            }
        }
        unregister(&secret).await;
        assert!(!place.admits(tenant, &secret).await, "{fault:?} {from:?} {call:?}");
    }

    fn strike(&self, from: From, exchanges: usize, fault: &TcpFault) {
        let number = match from {
            From::Begin => 0,
            From::End => exchanges.saturating_sub(2),
        };
        self.proxy.fail(number..usize::MAX, fault.clone());
    }

    /// What comes of the call, which ends in time and, where it fails, may be tried again. Takes the fault back.
    async fn ends<T>(&self, call: impl Future<Output = Result<T, Failure>>, secret: &Fields) -> Option<T> {
        let begun = Instant::now();
        let done = call.await;
        // Two calls of the service at most.
        assert!(begun.elapsed() < 2 * ENDS, "it took {:?}", begun.elapsed());
        self.proxy.mend();
        done.inspect_err(|failure| self.place.passes(failure, secret)).ok()
    }
}

/// All at once, as nearly all of it is waiting.
#[tokio::test]
async fn a_service_that_stands_still_is_given_up_and_used_again() {
    let stall = &TcpFault::Stall;
    // What stands still within a transaction holds the lock for which others wait.
    let (rest, alone) = ALL.split_last_chunk::<2>().expect("it has more");
    let postgres = join_all(std::iter::once(rest).chain(alone.chunks(1)).map(async |wrong| {
        let Some(place) = postgres().await else { return };
        place.waits().await;
        place.survives(stall, wrong).await;
    }));
    let nats = async {
        let Some(place) = nats().await else { return };
        place.waits().await;
        place.survives(stall, &ALL).await;
    };
    let minio = async {
        let Some(place) = minio().await else { return };
        place.waits().await;
        place.survives(stall, &ALL).await;
    };
    let iam = async {
        let Some(place) = versitygw().await else { return };
        place.waits().await;
        place.survives(stall, &ALL).await;
    };
    tokio::join!(postgres, nats, minio, iam);
}

#[tokio::test]
async fn postgres_that_answers_errors_is_used_again() {
    let Some(place) = postgres().await else { return };
    let length = u32::try_from(STARTING.len() + 4).unwrap().to_be_bytes();
    place.survives(&TcpFault::Answer([b"E", &length[..], STARTING].concat()), &ALL).await;
}

#[tokio::test]
async fn nats_that_answers_errors_is_used_again() {
    let Some(place) = nats().await else { return };
    place.survives(&TcpFault::Answer(FULL.to_vec()), &ALL).await;
}

#[tokio::test]
async fn minio_that_answers_errors_is_used_again() {
    let Some(place) = minio().await else { return };
    place.survives(&TcpFault::Answer(BUSY.to_vec()), &ALL).await;
}

#[tokio::test]
async fn iam_that_answers_errors_is_used_again() {
    let Some(place) = versitygw().await else { return };
    place.survives(&TcpFault::Answer(BUSY.to_vec()), &ALL).await;
}

#[tokio::test]
async fn postgres_without_a_free_connection_is_used_again() {
    let Some(place) = postgres().await else { return };
    let tenant = tenant("crowded");
    let secret = given(&*place.straight, &tenant, &Fields::new(), false).await.unwrap().fields;
    for renew in [false, true] {
        let mut all = Vec::new();
        while let Ok(client) = place.server.connect(&place.server.administrator).await {
            all.push(client);
        }
        for failure in [
            place.straight.probe().await.err(),
            given(&*place.straight, &tenant, &secret, renew).await.err(),
            place.straight.unregister(&tenant, &secret).await.err(),
        ] {
            let failure = failure.expect("it has no free connection");
            place.passes(&failure, &secret);
            let text = failure.to_string();
            assert!(text.contains("connection slots") || text.contains("too many clients"), "{text}");
        }
        drop(all);
        // The server ends them in its own time.
        while place.straight.probe().await.is_err() {}
        assert!(place.admits(&tenant, &secret).await);
    }
    place.straight.unregister(&tenant, &secret).await.unwrap();
    assert_eq!(place.holders().await, []);
}
