//! This crate against a real control plane, as an account that may read what the product's accounts may.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod outage;
mod support;
mod watches;
mod writes;
