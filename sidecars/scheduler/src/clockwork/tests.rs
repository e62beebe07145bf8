//! The clockwork with a clock and an engine of the test's, on a real API server.

mod changes;
mod faults;
mod gaps;
mod outside;
mod scheduler;
mod shown;
mod world;
mod zones;
