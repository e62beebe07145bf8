//! A removal under way: what it has asked for, what it waits for, and what the caller is told.

use std::{collections::BTreeMap, fmt, time::Duration};

use tentacular_cluster::{Cluster, Error, Kind, Propagation};
use tentacular_contract::{EnclaveName, TentacleName};
use tentacular_process::link::{Permitted, ToolError};
use tokio::time::{Instant, sleep};

use super::{Outcome, RUNNERS};
use crate::{
    locks::Held,
    tentacle::release::{self, Live, is_terminating},
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// After so long a caller who waits is told how far it is, and again as often.
const TELL: Duration = Duration::from_secs(2);

/// A removal under way.
pub(super) struct Removal<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) place: (&'a EnclaveName, &'a TentacleName),
    pub(super) permitted: &'a Permitted,
    pub(super) held: &'a Held,
    /// Whether the caller may go on when the tentacle has no Deployment any more.
    pub(super) commands: bool,
    pub(super) until: Instant,
    /// Title of each object whose removal was asked for, by uid.
    pub(super) asked: BTreeMap<String, String>,
    pub(super) remaining: Vec<Live>,
    /// What was done in the backing services.
    pub(super) cleaned_up: Vec<String>,
    /// Whether its identity was removed, or why not.
    pub(super) identity: Result<bool, String>,
}

impl Removal<'_> {
    /// Asks for the removal of what the release has of `kinds`.
    pub(super) async fn delete(&mut self, release: &[Live], kinds: &[Kind]) -> Result<(), ToolError> {
        let mut going: Vec<_> = release.iter().filter(|live| kinds.contains(&live.kind)).collect();
        going.sort_by_key(|live| kinds.iter().position(|kind| *kind == live.kind));
        for live in going {
            let uid = live.uid().unwrap_or_default().to_owned();
            // What a controller made goes with its maker.
            if !is_terminating(&live.object) && !live.is_controlled() {
                self.require()?;
                if let Err(error) = self.delete_one(live).await {
                    if error.is_unavailable() {
                        self.asked.insert(uid, live.title());
                    }
                    return Err(self.half_way(error));
                }
            }
            self.asked.insert(uid, live.title());
        }
        Ok(())
    }

    async fn delete_one(&self, live: &Live) -> Result<(), Error> {
        let runs = RUNNERS.contains(&live.kind);
        let propagation = if runs { Propagation::Foreground } else { Propagation::Background };
        let (enclave, _) = self.place;
        let objects = self.cluster.objects(live.kind, enclave.as_str());
        release::delete(&objects, &live.object, propagation).await
    }

    /// Nothing is deleted once another call may be at work: it may rely on what this one would still delete.
    pub(super) fn require(&self) -> Result<(), ToolError> {
        self.held.require().map_err(|lost| self.half_way(lost))
    }

    /// Waits until all that was asked for is gone, or the time is up.
    pub(super) async fn wait(&mut self) -> Result<(), ToolError> {
        let mut tell = Instant::now() + TELL;
        while !self.asked.is_empty() {
            let (enclave, tentacle) = self.place;
            let release = release::read(self.cluster, enclave, tentacle).await;
            let release = release.map_err(|error| self.half_way(error))?;
            self.require()?;
            let is_asked = |live: &Live| live.uid().is_some_and(|uid| self.asked.contains_key(uid));
            self.remaining = release.into_iter().filter(is_asked).collect();
            if self.remaining.is_empty() || Instant::now() >= self.until {
                break;
            }
            if Instant::now() >= tell {
                self.tell().await;
                tell = Instant::now() + TELL;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Whether something that makes pods is still there.
    pub(super) fn runs(&self) -> bool {
        self.remaining.iter().any(|live| RUNNERS.contains(&live.kind))
    }

    fn left(&self) -> Vec<String> {
        self.remaining.iter().map(Live::title).collect()
    }

    async fn tell(&self) {
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        let done = count(self.asked.len() - self.remaining.len().min(self.asked.len()));
        let message = format!("waiting for {}", self.left().join(", "));
        self.permitted.progress(done, None, message).await;
    }

    pub(super) fn half_way(&self, error: impl fmt::Display) -> ToolError {
        if self.asked.is_empty() {
            return ToolError::new(format_args!("nothing was removed: {error}"));
        }
        let asked: Vec<_> = self.asked.values().map(String::as_str).collect();
        ToolError::new(format_args!(
            "stopped half way: {error}; removal was asked for until then: {}; {}",
            asked.join(", "),
            self.go_on()
        ))
    }

    /// Who goes on, and how.
    const fn go_on(&self) -> &'static str {
        if self.commands {
            "call wf_remove again to go on"
        } else {
            "the enclave's owner can go on by calling wf_remove again, as can you while its Deployment is there"
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        let ((enclave, tentacle), remaining) = (self.place, self.left());
        let nothing =
            || format!("there was nothing of tentacle {enclave}/{tentacle}; wf_list names those that exist");
        let unfinished = || format!("not all of it is gone yet; {}", self.go_on());
        let warnings = self.asked.is_empty().then(nothing).into_iter();
        let warnings = warnings.chain((!remaining.is_empty()).then(unfinished));
        let identity = matches!(self.identity, Ok(true)).then(|| "spire identity removed".to_owned());
        let details: Vec<_> = self.cleaned_up.iter().cloned().chain(identity).collect();
        let warnings = warnings.chain(self.identity.err()).collect();
        let is_left = |uid: &str| self.remaining.iter().any(|live| live.uid() == Some(uid));
        let removed: Vec<_> =
            self.asked.iter().filter(|(uid, _)| !is_left(uid)).map(|(_, title)| title.clone()).collect();
        Outcome {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            deleted: removed.len(),
            removed,
            remaining,
            exo_cleaned_up: (!self.cleaned_up.is_empty()).then_some(true),
            exo_cleanup_details: (!details.is_empty()).then(|| details.join(", ")),
            warnings,
        }
    }
}
