//! Each account's token in the hands of a thief: what it is not for is refused by the API server, whoever asks.
//!
//! An attempt counts only if it would do something: the administrator makes the same request, as a dry run, and succeeds,
//! or the account itself does with the one thing changed that it was refused for.

pub(crate) mod attempt;
mod bindings;
mod inside;
mod kinds;
mod module_proxy;
mod namespaces;
mod outside;
mod people;
pub(crate) mod place;
mod policies;
mod rights;
mod webhook_account;
