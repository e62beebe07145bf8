//! This crate against a real control plane, as an account that may read what the product's accounts may.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod elections;
mod locks;
mod locks_under_faults;
mod outage;
mod place;
mod proxy;
mod support;
mod watches;
mod way;
mod writes;
