//! Enclaves and who may change them, as a client sees it: through the kernel, with tokens of people, and with two registrars
//! that work in one cluster.

mod beside;
mod changing;
mod listing;
mod making;
mod removing;
pub(crate) mod world;
