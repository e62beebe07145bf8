//! What the auditor shows of pods, logs, events, jobs and tentacles: in which order and number, and to whom.

mod describing;
mod events;
mod jobs;
mod logs;
mod pods;
mod requests;
mod status;
mod world;
