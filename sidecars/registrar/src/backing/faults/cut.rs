//! Connections that are cut at one exchange after the other, until the operation is through before its turn comes.

use super::*;

/// More exchanges than any operation has.
const MANY: usize = 200;

/// How a connection is cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The service goes away before the exchange.
    Gone,
    /// The answer to this one exchange is lost.
    Unheard,
}

impl<Server> Place<Server> {
    /// Tries `one` with each exchange cut, in both ways, until it tells that no exchange was left to be cut.
    async fn each(&self, one: impl AsyncFn(&Lane<'_, Server>, &Tenant, Cut, usize) -> bool) {
        for cut in [Cut::Gone, Cut::Unheard] {
            let mut begin = 0;
            loop {
                let tries = (begin..begin + self.at_once).map(async |number| {
                    let tenant = tenant(&format!("{}-{number}", format!("{cut:?}").to_lowercase()));
                    one(&self.lane(), &tenant, cut, number).await
                });
                if join_all(tries).await.contains(&false) {
                    break;
                }
                begin += self.at_once;
                assert!(begin < MANY);
            }
        }
    }

    async fn registers_after_each_cut(&self) {
        self.each(async |lane, tenant, cut, number| {
            lane.cut(cut, number);
            let done = given(&*lane.disturbed, tenant, &Fields::new(), false).await;
            let struck = lane.proxy.mend();
            let share = match done {
                Ok(share) => share,
                Err(failure) => {
                    assert!(struck, "{failure}");
                    self.passes(&failure, &Fields::new());
                    // Nobody wrote down what came of it.
                    given(&*lane.disturbed, tenant, &Fields::new(), false).await.unwrap()
                }
            };
            assert!(self.admits(tenant, &share.fields).await, "{cut:?} at {number}");
            assert!(self.holders().await.contains(tenant));
            self.straight.unregister(tenant, &share.fields).await.unwrap();
            struck
        })
        .await;
        assert_eq!(self.holders().await, []);
    }

    async fn renews_after_each_cut(&self) {
        self.each(async |lane, tenant, cut, number| {
            let former = given(&*self.straight, tenant, &Fields::new(), false).await.unwrap().fields;
            let mut secret = former.clone();
            lane.cut(cut, number);
            let failed = lane.renew(tenant, &mut secret, &former).await.err();
            let struck = lane.proxy.mend();
            if let Some(failure) = &failed {
                assert!(self.admits(tenant, &secret).await, "{cut:?} at {number}: what the Secret says works");
                assert!(struck, "{failure}");
                self.passes(failure, &secret);
                lane.renew(tenant, &mut secret, &former).await.unwrap();
            }
            assert!(self.admits(tenant, &secret).await, "{cut:?} at {number}");
            assert!(!self.admits(tenant, &former).await, "{cut:?} at {number}: the former ones are revoked");
            self.straight.unregister(tenant, &secret).await.unwrap();
            struck
        })
        .await;
        assert_eq!(self.holders().await, []);
    }

    async fn removes_after_each_cut(&self) {
        self.each(async |lane, tenant, cut, number| {
            let secret = given(&*self.straight, tenant, &Fields::new(), false).await.unwrap().fields;
            lane.cut(cut, number);
            let done = lane.disturbed.unregister(tenant, &secret).await;
            let struck = lane.proxy.mend();
            if let Err(failure) = done {
                assert!(struck, "{failure}");
                self.passes(&failure, &secret);
                lane.disturbed.unregister(tenant, &secret).await.unwrap();
            }
            assert!(!self.admits(tenant, &secret).await, "{cut:?} at {number}");
            assert!(!self.holders().await.contains(tenant), "{cut:?} at {number}");
            struck
        })
        .await;
        assert_eq!(self.holders().await, []);
    }
}

impl<Server> Lane<'_, Server> {
    /// Has the exchange of that number cut.
    fn cut(&self, cut: Cut, number: usize) {
        match cut {
            Cut::Gone => self.proxy.fail(number..usize::MAX, TcpFault::CutBefore),
            Cut::Unheard => self.proxy.fail(number..number + 1, TcpFault::CutAfter),
        }
    }

    /// Goes on with a renewal of the `former` credentials from where the Secret says that it is.
    async fn renew(&self, tenant: &Tenant, secret: &mut Fields, former: &Fields) -> Result<(), Failure> {
        if secret == former {
            *secret = given(&*self.disturbed, tenant, former, true).await?.fields;
        }
        let share = self.disturbed.offer(tenant, secret, false).await?;
        assert!(!share.fresh, "what it was given works");
        self.disturbed.revoke(tenant, &share).await
    }
}

#[tokio::test]
async fn postgres_registers_after_each_cut() {
    let Some(place) = postgres().await else { return };
    place.registers_after_each_cut().await;
    assert_eq!(roles(&place.server).await, [""; 0]);
}

#[tokio::test]
async fn postgres_renews_after_each_cut() {
    let Some(place) = postgres().await else { return };
    place.renews_after_each_cut().await;
    assert_eq!(roles(&place.server).await, [""; 0]);
}

#[tokio::test]
async fn postgres_removes_after_each_cut() {
    let Some(place) = postgres().await else { return };
    place.removes_after_each_cut().await;
    assert_eq!(roles(&place.server).await, [""; 0]);
}

/// The roles that are tentacles', whoever they are by their comments.
async fn roles(server: &Postgres) -> Vec<String> {
    let superuser = server.connect(&server.superuser).await.unwrap();
    let roles = superuser.query("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tn\\_%'", &[]).await.unwrap();
    roles.into_iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn nats_registers_after_each_cut() {
    let Some(place) = nats().await else { return };
    place.registers_after_each_cut().await;
}

#[tokio::test]
async fn nats_renews_after_each_cut() {
    let Some(place) = nats().await else { return };
    place.renews_after_each_cut().await;
}

#[tokio::test]
async fn nats_removes_after_each_cut() {
    let Some(place) = nats().await else { return };
    place.removes_after_each_cut().await;
}

/// A connection that is kept ends as it is used again.
#[tokio::test]
async fn minio_is_asked_again_on_another_connection() {
    let Some(place) = minio().await else { return };
    for fault in [TcpFault::CutBefore, TcpFault::CutAfter] {
        let lane = place.lane();
        lane.disturbed.probe().await.unwrap();
        lane.proxy.fail(0..1, fault);
        lane.disturbed.probe().await.unwrap();
        assert!(lane.proxy.mend(), "nothing was cut");
    }
}

#[tokio::test]
async fn minio_registers_after_each_cut() {
    let Some(place) = minio().await else { return };
    place.registers_after_each_cut().await;
}

#[tokio::test]
async fn minio_renews_after_each_cut() {
    let Some(place) = minio().await else { return };
    place.renews_after_each_cut().await;
}

#[tokio::test]
async fn minio_removes_after_each_cut() {
    let Some(place) = minio().await else { return };
    place.removes_after_each_cut().await;
}

#[tokio::test]
async fn iam_registers_after_each_cut() {
    let Some(place) = versitygw().await else { return };
    place.registers_after_each_cut().await;
}

#[tokio::test]
async fn iam_renews_after_each_cut() {
    let Some(place) = versitygw().await else { return };
    place.renews_after_each_cut().await;
}

#[tokio::test]
async fn iam_removes_after_each_cut() {
    let Some(place) = versitygw().await else { return };
    place.removes_after_each_cut().await;
}
