//! What outlives a single test: a runtime, and one control plane for all tests of a process.

use std::sync::{Arc, LazyLock};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OnceCell, Semaphore},
};

use crate::{control_plane::ControlPlane, tls};

/// A control plane takes half a gigabyte and, while it starts, both cores of a small machine.
const EXCLUSIVE_AT_ONCE: usize = 4;

/// The runtime that lives as long as the process, on threads of its own.
///
/// Each `#[tokio::test]` has its own runtime, and what was spawned there ends with it: connections of a client, tasks.
/// What other tests also need is spawned here.
pub fn background() -> &'static Handle {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tls::use_ring();
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("background")
            .enable_all()
            .build()
            .expect("the system gives threads to a runtime")
    });
    RUNTIME.handle()
}

impl ControlPlane {
    /// The control plane, with its node, that all tests of this process share. The first caller starts it and the
    /// others wait. A failed start is not tried again: every caller gets its error.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async { on_background(None).await.map_err(|error| format!("{error:#}")) })
            .await
            .as_ref()
            .map_err(|error| anyhow::anyhow!("the shared control plane did not start: {error}"))
    }

    /// A control plane with a node for the caller alone. At most four exist at once in this process, so this may wait
    /// for another to be dropped.
    pub async fn exclusive() -> anyhow::Result<Self> {
        static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(EXCLUSIVE_AT_ONCE)));
        let permit = Arc::clone(&PERMITS).acquire_owned().await?;
        on_background(Some(permit)).await
    }
}

async fn on_background(permit: Option<tokio::sync::OwnedSemaphorePermit>) -> anyhow::Result<ControlPlane> {
    let start = async {
        let mut control_plane = ControlPlane::start().await?;
        control_plane.join_node().await?;
        control_plane.hold(permit);
        anyhow::Ok(control_plane)
    };
    background().spawn(start).await?
}
