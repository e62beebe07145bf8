//! How much of one caller goes on at once: calls and how large they are, streams, bodies on their way. So nobody takes all
//! sidecars, or all of the memory, for himself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tentacular_contract::{
    Caller,
    limits::{CALL_BYTES_AT_ONCE, CALLS_AT_ONCE},
};

/// The calls that run, by caller. Callers without one take no room. What runs of one caller shares an `S`.
#[derive(Debug)]
pub(crate) struct Concurrency<S = ()> {
    /// Calls that one caller may have.
    limit: usize,
    callers: Callers<S>,
}

type Callers<S> = Arc<Mutex<HashMap<String, Load<S>>>>;

/// What runs of one caller.
#[derive(Debug, Default)]
struct Load<S> {
    calls: usize,
    bytes: usize,
    shared: Arc<S>,
}

/// A caller has too much running.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    #[error("{0} calls of yours are running, which is the limit; wait for one to end and try again")]
    Calls(usize),
    #[error(
        "with this one, calls of yours with more than {} MiB would be running, which is the limit; wait for one to end and try \
         again",
        CALL_BYTES_AT_ONCE / 1024 / 1024
    )]
    Bytes,
}

/// One running call. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running<S = ()> {
    callers: Callers<S>,
    caller: String,
    bytes: usize,
    shared: Arc<S>,
}

impl<S> Running<S> {
    /// What all that runs of this caller shares.
    pub(crate) fn shared(&self) -> &S {
        &self.shared
    }
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::of(CALLS_AT_ONCE)
    }
}

impl<S: Default> Concurrency<S> {
    /// Of each caller so many run at once.
    pub(crate) fn of(limit: usize) -> Self {
        Self { limit, callers: Arc::default() }
    }

    /// Begins a call of `caller` with a body of that many bytes.
    pub(crate) fn begin(&self, caller: &Caller, bytes: usize) -> Result<Running<S>, TooMuch> {
        let caller = key(caller);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let load = callers.entry(caller.clone()).or_default();
        if load.calls >= self.limit {
            return Err(TooMuch::Calls(self.limit));
        }
        if load.bytes + bytes > CALL_BYTES_AT_ONCE {
            return Err(TooMuch::Bytes);
        }
        load.calls += 1;
        load.bytes += bytes;
        let shared = Arc::clone(&load.shared);
        drop(callers);
        Ok(Running { callers: Arc::clone(&self.callers), caller, bytes, shared })
    }
}

/// A subject is unique within its issuer, of which there is one; an email without a subject is a caller of its own.
pub(crate) fn key(caller: &Caller) -> String {
    let subject = caller.identity().and_then(|identity| identity.sub.as_deref());
    subject.map_or_else(|| format!("by-label {}", caller.label()), |subject| format!("by-subject {subject}"))
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = callers.get_mut(&self.caller) {
            load.calls -= 1;
            load.bytes -= self.bytes;
            if load.calls == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tentacular_contract::{Identity, limits::BODY_BYTES};

    use super::*;

    #[test]
    fn one_caller_reaches_the_limit_alone_and_leaves_nothing_behind() {
        let calls = Concurrency::default();
        let person = Caller::Oidc(Identity { sub: Some("s1".to_owned()), ..Identity::default() });
        let mut running: Vec<_> =
            (0..CALLS_AT_ONCE).map(|_| calls.begin(&Caller::Bearer, 1000).expect("below the limit")).collect();
        assert_eq!(calls.begin(&Caller::Bearer, 0).map(drop), Err(TooMuch::Calls(CALLS_AT_ONCE)));
        let other = calls.begin(&person, BODY_BYTES).expect("another caller");
        running.pop();
        drop(calls.begin(&Caller::Bearer, 1000).expect("one has ended"));
        running.clear();
        drop(other);
        assert!(calls.callers.lock().expect("the map").is_empty());
    }

    #[test]
    fn large_calls_of_one_caller_are_fewer() {
        let calls = Concurrency::default();
        let mut running = Vec::new();
        while let Ok(call) = calls.begin(&Caller::Bearer, BODY_BYTES) {
            running.push(call);
        }
        assert_eq!(running.len() * BODY_BYTES, CALL_BYTES_AT_ONCE);
        assert_eq!(calls.begin(&Caller::Bearer, 1).map(drop), Err(TooMuch::Bytes));
        running.pop();
        drop(calls.begin(&Caller::Bearer, BODY_BYTES).expect("one has ended"));
    }
}
