//! The clock of the tests, and their engine.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tentacular_process::engine::{Answer, NoAnswer};
use tokio::{sync::watch, time::sleep};

use crate::{
    clock::{Clock, Time},
    engine::{Call, Engine},
};

/// A clock that stands still unless it is set.
#[derive(Debug, Clone)]
pub(super) struct TestClock(Arc<Mutex<Time>>);

impl TestClock {
    pub(super) fn at(now: &str) -> Self {
        Self(Arc::new(Mutex::new(time(now))))
    }

    pub(super) fn set(&self, to: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time(to);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        (*self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    async fn sleep(&self, _: Duration) {
        sleep(Duration::from_millis(5)).await;
    }
}

/// A time of 2031: later than whatever the API server makes meanwhile.
pub(super) fn time(text: &str) -> Time {
    format!("2031-{text}Z").parse().expect(text)
}

/// An engine that notes the runs it was asked for, and holds its answers while it is told to.
#[derive(Debug, Clone, Default)]
pub(super) struct TestEngine {
    calls: Arc<Mutex<Vec<String>>>,
    holds: watch::Sender<bool>,
}

impl TestEngine {
    pub(super) fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    /// The runs that it was asked for, by tentacle.
    pub(super) fn calls(&self, tentacle: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter_map(|call| call.strip_prefix(&format!("{tentacle} "))).map(str::to_owned).collect()
    }
}

impl Engine for TestEngine {
    async fn post(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let tentacle = call.url.rsplit('/').nth(1).unwrap_or_default();
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{tentacle} {}", call.run_id));
        let mut holds = self.holds.subscribe();
        // The sender lives as long as `self`.
        let _ = holds.wait_for(|holds| !holds).await;
        Ok(Answer { status: 200, body: Bytes::from_static(br#"{"success":true}"#) })
    }
}
