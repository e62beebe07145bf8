//! Who makes users and policies: a small part of what servers have APIs of their own for.

use futures::future::BoxFuture;

use super::settings::Key;
use crate::backing::{
    service::{Failure, Holder},
    tenant::Tenant,
};

/// The accounts of tentacles. What is there already is no error, nor is what is not there any more.
pub(super) trait Accounts: Send + Sync {
    /// Whether the server has this API, for this administrator.
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Failure>>;

    /// Whether the key of that id is one of the tenant's.
    fn knows<'a>(&'a self, tenant: &'a Tenant, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>>;

    /// The key that the tenant is to have beside the one of that id, or alone. Changes nothing.
    fn another(&self, tenant: &Tenant, beside: Option<&str>) -> Key;

    /// Lets the tenant use the objects of its prefix in the bucket, with this key; one that is `fresh` is made first. Returns the
    /// key as it turned out. What somebody else has under the tenant's name is left alone.
    fn register<'a>(
        &'a self,
        tenant: &'a Tenant,
        bucket: &'a str,
        key: Key,
        fresh: bool,
    ) -> BoxFuture<'a, Result<Key, Failure>>;

    /// Ends the tenant's keys but the one of that id. Returns whether the tenant has an account.
    fn close<'a>(&'a self, tenant: &'a Tenant, kept: Option<&'a str>) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Removes the tenant's account, which was closed.
    fn remove<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<(), Failure>>;

    /// The tenants that have an account.
    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>>;
}
