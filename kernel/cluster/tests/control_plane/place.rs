//! Where locks are taken.

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp};
use serde_json::json;
use tentacular_cluster::Locks;

use crate::support::{World, object};

/// The Lease that all these tests are about.
pub(crate) const NAME: &str = "tentacular-report";

/// A namespace of the test's own, and what stands in it.
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) namespace: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let namespace = world.control_plane.namespace("locks").await.unwrap();
        Self { world, namespace }
    }

    /// A process with that identity.
    pub(crate) fn locks(&self, identity: &str) -> Locks {
        Locks::new(self.world.admin.clone(), identity)
    }

    pub(crate) async fn lease(&self) -> Option<Lease> {
        self.world.admin.namespaced::<Lease>(&self.namespace).get(NAME).await.unwrap()
    }

    pub(crate) async fn holder(&self) -> Option<String> {
        self.lease().await?.spec?.holder_identity
    }

    /// The Lease of a process that died right after renewing it.
    pub(crate) async fn left_behind(&self, renewed: Timestamp, seconds: i32) {
        let lease = object(json!({ "metadata": { "name": NAME }, "spec": {
            "holderIdentity": "dead", "leaseDurationSeconds": seconds, "leaseTransitions": 4,
            "acquireTime": MicroTime(renewed), "renewTime": MicroTime(renewed),
        }}));
        self.world.admin.namespaced::<Lease>(&self.namespace).create(&lease).await.unwrap();
    }

    /// Somebody else takes the Lease, its time over or not.
    pub(crate) async fn steal(&self) {
        let theirs = json!({ "spec": { "holderIdentity": "thief", "leaseTransitions": 9 } });
        self.world.admin.namespaced::<Lease>(&self.namespace).patch(NAME, &theirs).await.unwrap();
    }
}
