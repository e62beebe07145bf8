//! Waits for what comes about by itself, without sleeping and hoping.

use std::{
    fmt::{Debug, Display},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kube::{
    Api,
    runtime::wait::{Condition, await_condition},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{sleep, timeout};

/// Things take a second or two here; only a hang reaches this, on a busy machine too.
const DEADLINE: Duration = Duration::from_mins(3);
/// Shortest pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Looks for something that comes about by itself. They cost what is looked at, and the machine is most loaded where it takes
/// long: each pause is a tenth of what was waited so far.
#[derive(Debug)]
pub(crate) struct Looks {
    // The time of the machine, as tests stop that of the runtime.
    begun: Instant,
    shortest: Duration,
}

impl Looks {
    /// They begin now, with this pause.
    pub(crate) fn every(shortest: Duration) -> Self {
        Self { begun: Instant::now(), shortest }
    }

    /// How long there was no success.
    pub(crate) fn waited(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits until it is time for the next.
    pub(crate) async fn pause(&self) {
        sleep((self.waited() / 10).clamp(self.shortest, LONGEST_PAUSE)).await;
    }
}

/// Looks until it succeeds, and gives what was found. The error of a look says what is there instead.
///
/// Fails with the error of the last look when that takes more than three minutes.
pub async fn until<T, Look>(what: impl Display, look: impl Fn() -> Look) -> anyhow::Result<T>
where
    // No `AsyncFn`: of that nobody could tell whether it may be sent to another thread.
    Look: Future<Output = anyhow::Result<T>>,
{
    const { assert!(size_of::<T>() != size_of::<bool>(), "a look that finds nothing fails; false would end the wait") };
    let looks = Looks::every(PAUSE);
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if looks.waited() > DEADLINE => {
                return Err(error).with_context(|| format!("not after {} s: {what}", DEADLINE.as_secs()));
            }
            Err(_) => looks.pause().await,
        }
    }
}

/// Watches the object `name` until `condition` holds, and gives the object as it was then: nothing when the condition
/// holds for an object that is not there.
///
/// Fails when that takes more than three minutes, with the object as it is instead, and when the watch fails.
pub async fn eventually<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> anyhow::Result<Option<K>>
where
    K: kube::Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    if let Ok(object) = timeout(DEADLINE, await_condition(api.clone(), name, condition)).await {
        return object.with_context(|| format!("cannot watch {name}"));
    }
    let object = match api.get_opt(name).await? {
        Some(object) => serde_json::to_string_pretty(&object)?,
        None => "it is not there".to_owned(),
    };
    anyhow::bail!("{name} did not become what was waited for in {} s: {object}", DEADLINE.as_secs())
}
