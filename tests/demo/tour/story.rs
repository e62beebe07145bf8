//! How the tour tells what it does: a line a step, with its number and the time since the start.

use std::time::Instant;

use tentacular_demo::say;

/// The tour so far.
pub(crate) struct Story {
    begun: Instant,
    steps: u32,
}

impl Story {
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), steps: 0 }
    }

    /// Tells what was shown.
    pub(crate) fn step(&mut self, text: &str) {
        self.steps += 1;
        self.note(&format!("{:>2}. {text}", self.steps));
    }

    /// Tells something that is no step.
    pub(crate) fn note(&self, text: &str) {
        say(&format!("{:>5.1} s  {text}", self.begun.elapsed().as_secs_f64()));
    }
}
