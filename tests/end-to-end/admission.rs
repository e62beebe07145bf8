//! The webhook holds the rules of enclaves against whoever goes around the server, on a real API server and with people of
//! different rights. What is refused is possible for somebody, or with the one thing changed that it was refused for.
//! Everything is a dry run where nothing else is said.

mod annotations;
mod callers;
mod controllers;
mod frozen;
mod large;
mod protection;
mod scope;
mod validity;
mod world;
