//! How far the writes of an apply are, and what is told when they end half way.

use tentacular_cluster::Error;
use tentacular_process::link::{Permitted, ToolError};

use super::{ownership::Stamp, standing::Standing};
use crate::{locks::Held, registrar::Registrar};

/// A write that did not end well.
pub(super) struct Failure {
    pub(super) error: ToolError,
    /// Whether it may have been carried out all the same.
    pub(super) unknown: bool,
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Self { error, unknown: false }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { unknown: error.is_unavailable(), error: error.into() }
    }
}

/// In whose name, and by which right, an apply writes.
pub(crate) struct Writing<'a> {
    pub(crate) registrar: &'a Registrar,
    pub(crate) permitted: &'a Permitted,
    pub(crate) held: &'a Held,
    pub(crate) stamp: &'a Stamp<'a>,
}

impl Writing<'_> {
    /// Decides once more whether the caller may, and may set that mode, as time has passed since it was decided.
    pub(super) async fn recheck(&self) -> Result<Standing, ToolError> {
        let standing = Standing::read(self.registrar, self.permitted).await?;
        standing.mode(self.permitted, self.stamp.mode)?;
        Ok(standing)
    }
}

/// An apply under way: what was written so far.
pub(super) struct Progress<'a> {
    permitted: &'a Permitted,
    total: usize,
    /// The object that is not yet as it is to be.
    pub(super) begun: Option<String>,
    done: Vec<String>,
}

impl<'a> Progress<'a> {
    /// Nothing is written yet of `total` objects.
    pub(super) const fn of(permitted: &'a Permitted, total: usize) -> Self {
        Self { permitted, total, begun: None, done: Vec::new() }
    }

    /// Tells the caller that an object was written.
    pub(super) async fn report(&mut self, what: String) {
        let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
        self.done.push(what.clone());
        self.permitted.progress(count(self.done.len()), Some(count(self.total)), what).await;
    }

    /// What to answer when these objects could not be written.
    pub(super) fn half_way(&self, failures: &[(String, Failure)]) -> ToolError {
        let told = failures.iter().map(|(what, Failure { error, unknown })| {
            if *unknown { format!("whether {what} was written is not known: {error}") } else { error.to_string() }
        });
        let stopped = told.collect::<Vec<_>>().join("; ");
        let done: Vec<_> = self.begun.iter().chain(&self.done).map(String::as_str).collect();
        if done.is_empty() && !failures.iter().any(|(_, failure)| failure.unknown) {
            return ToolError::new(format_args!("nothing was applied: {stopped}; try again"));
        }
        let done = if done.is_empty() { "nothing".to_owned() } else { done.join(", ") };
        ToolError::new(format_args!(
            "stopped half way: {stopped}; written before that: {done}; apply the same again to go on"
        ))
    }
}
