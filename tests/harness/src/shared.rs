//! What outlives a single test: a runtime, what several tests use, and one control plane for all tests of a process.

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

/// What several tests of a process use, for a static. It lives as long as the process.
#[derive(Debug)]
pub struct Shared<T>(OnceCell<Result<T, String>>);

impl<T: Send + 'static> Shared<T> {
    /// Nothing yet.
    pub const fn empty() -> Self {
        Self(OnceCell::const_new())
    }

    /// What the first caller makes, on the [`background`] runtime, while the others wait. A failure is not tried again: every
    /// caller gets its error.
    pub async fn get<F>(&self, make: impl FnOnce() -> F) -> anyhow::Result<&T>
    where
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let outcome = || async {
            let outcome = background().spawn(make()).await.map_err(anyhow::Error::from).flatten();
            outcome.map_err(|error| format!("{error:#}"))
        };
        let shared = self.0.get_or_init(outcome).await.as_ref();
        shared.map_err(|error| anyhow::anyhow!("what several tests share is not there: {error}"))
    }
}

impl ControlPlane {
    /// The control plane, with its node, that all tests of this process share.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: Shared<ControlPlane> = Shared::empty();
        SHARED.get(Self::start_with_node).await
    }

    /// A control plane with a node for the caller alone. At most four exist at once in this process, so this may wait
    /// for another to be dropped.
    pub async fn exclusive() -> anyhow::Result<Self> {
        static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(EXCLUSIVE_AT_ONCE)));
        let permit = Arc::clone(&PERMITS).acquire_owned().await?;
        let mut control_plane = background().spawn(Self::start_with_node()).await??;
        control_plane.hold(permit);
        Ok(control_plane)
    }
}
