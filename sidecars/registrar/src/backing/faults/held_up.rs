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

impl<Server> Place<Server> {
    /// Has each kind of call fail by the fault, from its beginning and from its end on, side by side.
    async fn survives(&self, fault: TcpFault) {
        let [begin, end] = [From::Begin, From::End].map(|from| self.lane().survive(from, fault.clone()));
        tokio::join!(begin, end);
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
    async fn survive(self, from: From, fault: TcpFault) {
        let (place, tenant) = (self.place, tenant(&format!("from-{}", format!("{from:?}").to_lowercase())));
        // How many exchanges each call has when nothing disturbs it, once what is asked only once is known.
        given(&*self.disturbed, &tenant, &Fields::new(), false).await.unwrap();
        self.disturbed.unregister(&tenant, &Fields::new()).await.unwrap();
        self.proxy.mend();
        let mut secret = given(&*self.disturbed, &tenant, &Fields::new(), false).await.unwrap().fields;
        let registering = self.proxy.exchanges();
        self.proxy.mend();
        self.disturbed.unregister(&tenant, &secret).await.unwrap();
        let removing = self.proxy.exchanges();

        self.strike(from, registering, &fault);
        let done = self.ends(given(&*self.disturbed, &tenant, &Fields::new(), false), &secret).await;
        secret = match done {
            Some(share) => share.fields,
            None => given(&*self.disturbed, &tenant, &Fields::new(), false).await.unwrap().fields,
        };
        assert!(place.admits(&tenant, &secret).await, "{fault:?} {from:?}");

        self.strike(from, registering, &fault);
        let done = self.ends(given(&*self.disturbed, &tenant, &secret, true), &secret).await;
        assert!(place.admits(&tenant, &secret).await, "{fault:?} {from:?}: the former one works");
        let share = match done {
            Some(share) => share,
            None => given(&*self.disturbed, &tenant, &secret, true).await.unwrap(),
        };
        self.strike(From::Begin, 0, &fault);
        self.ends(self.disturbed.revoke(&tenant, &share), &secret).await;
        self.disturbed.revoke(&tenant, &share).await.unwrap();
        assert!(place.admits(&tenant, &share.fields).await && !place.admits(&tenant, &secret).await);

        self.strike(from, removing, &fault);
        self.ends(self.disturbed.unregister(&tenant, &share.fields), &share.fields).await;
        self.disturbed.unregister(&tenant, &share.fields).await.unwrap();
        assert!(!place.admits(&tenant, &share.fields).await);
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

#[tokio::test]
async fn postgres_that_stands_still_is_given_up_and_used_again() {
    let Some(place) = postgres().await else { return };
    place.waits().await;
    // One after the other: registrations wait for each other, and so for one that stands still.
    for from in [From::Begin, From::End] {
        place.lane().survive(from, TcpFault::Stall).await;
    }
    assert_eq!(place.holders().await, []);
}

#[tokio::test]
async fn nats_that_stands_still_is_given_up_and_used_again() {
    let Some(place) = nats().await else { return };
    place.waits().await;
    place.survives(TcpFault::Stall).await;
}

#[tokio::test]
async fn minio_that_stands_still_is_given_up_and_used_again() {
    let Some(place) = minio().await else { return };
    place.waits().await;
    place.survives(TcpFault::Stall).await;
}

#[tokio::test]
async fn iam_that_stands_still_is_given_up_and_used_again() {
    let Some(place) = versitygw().await else { return };
    place.waits().await;
    place.survives(TcpFault::Stall).await;
}

#[tokio::test]
async fn postgres_that_answers_errors_is_used_again() {
    let Some(place) = postgres().await else { return };
    let length = u32::try_from(STARTING.len() + 4).unwrap().to_be_bytes();
    place.survives(TcpFault::Answer([b"E", &length[..], STARTING].concat())).await;
}

#[tokio::test]
async fn nats_that_answers_errors_is_used_again() {
    let Some(place) = nats().await else { return };
    place.survives(TcpFault::Answer(FULL.to_vec())).await;
}

#[tokio::test]
async fn minio_that_answers_errors_is_used_again() {
    let Some(place) = minio().await else { return };
    place.survives(TcpFault::Answer(BUSY.to_vec())).await;
}

#[tokio::test]
async fn iam_that_answers_errors_is_used_again() {
    let Some(place) = versitygw().await else { return };
    place.survives(TcpFault::Answer(BUSY.to_vec())).await;
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
