//! How many calls of one caller run at once, so that nobody takes all sidecars for himself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tentacular_contract::{Caller, limits::CALLS_AT_ONCE};

/// The calls that run, by caller. Callers without one take no room. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Concurrency(Arc<Mutex<HashMap<String, usize>>>);

/// A caller has too many calls running.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{CALLS_AT_ONCE} calls of yours are running, which is the limit; wait for one to end and try again")]
pub(crate) struct TooMany;

/// One running call. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    calls: Concurrency,
    caller: String,
}

impl Concurrency {
    /// Begins a call of `caller`.
    pub(crate) fn begin(&self, caller: &Caller) -> Result<Running, TooMany> {
        let caller = key(caller);
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = calls.entry(caller.clone()).or_default();
        if *running >= CALLS_AT_ONCE {
            return Err(TooMany);
        }
        *running += 1;
        drop(calls);
        Ok(Running { calls: self.clone(), caller })
    }
}

/// A subject is unique within its issuer, of which there is one; an email without a subject is a caller of its own.
fn key(caller: &Caller) -> String {
    let subject = caller.identity().and_then(|identity| identity.sub.as_deref());
    subject.map_or_else(|| format!("by-label {}", caller.label()), |subject| format!("by-subject {subject}"))
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = calls.get_mut(&self.caller) {
            *running -= 1;
            if *running == 0 {
                calls.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tentacular_contract::Identity;

    use super::*;

    #[test]
    fn one_caller_reaches_the_limit_alone_and_leaves_nothing_behind() {
        let calls = Concurrency::default();
        let person = Caller::Oidc(Identity { sub: Some("s1".to_owned()), ..Identity::default() });
        let mut running: Vec<_> =
            (0..CALLS_AT_ONCE).map(|_| calls.begin(&Caller::Bearer).expect("below the limit")).collect();
        assert_eq!(calls.begin(&Caller::Bearer).map(drop), Err(TooMany));
        let other = calls.begin(&person).expect("another caller");
        running.pop();
        drop(calls.begin(&Caller::Bearer).expect("one has ended"));
        running.clear();
        drop(other);
        assert!(calls.0.lock().expect("the map").is_empty());
    }
}
