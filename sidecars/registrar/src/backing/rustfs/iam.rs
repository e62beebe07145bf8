//! Users and policies by the API of AWS IAM: a user for each tentacle, with a policy of its own and up to two keys.
//!
//! Ids and secrets of keys are the server's to choose. A user is recognized by its path.

use aws_sdk_iam::{Client, config::retry::RetryConfig, error::ProvideErrorMetadata};
use chrono::DateTime;
use futures::future::{BoxFuture, FutureExt as _};
use uuid::Uuid;

use super::{accounts::Accounts, connect::failure, policy, settings::Key};
use crate::backing::{
    service::{Failure, Holder},
    setting::Password,
    tenant::Tenant,
};

/// What the policy is called, on each user.
const POLICY: &str = "tentacular";
/// What the paths of all tenants' users begin with.
const PATH: &str = "/tentacular/";
/// What no user is called.
const NOBODY: &str = "tentacular-nobody";

/// The API.
pub(super) struct Iam(pub(super) Client);

impl Iam {
    /// Whether the tenant has a user. One that is somebody else's is an error.
    async fn has_user(&self, tenant: &Tenant) -> Result<Option<bool>, Failure> {
        let found = self.0.get_user().user_name(tenant.share_name()).send().await;
        let found = present(found)?;
        Ok(found.and_then(|found| found.user).map(|user| user.path() == path(tenant)))
    }

    /// The ids of the user's keys.
    async fn keys(&self, user: &str) -> Result<Vec<String>, Failure> {
        let found = present(self.0.list_access_keys().user_name(user).send().await)?;
        let keys = found.map(|found| found.access_key_metadata).unwrap_or_default();
        Ok(keys.into_iter().filter_map(|key| key.access_key_id).collect())
    }

    async fn end_keys(&self, user: &str, kept: Option<&str>) -> Result<(), Failure> {
        for id in self.keys(user).await?.iter().filter(|id| Some(id.as_str()) != kept) {
            present(self.0.delete_access_key().user_name(user).access_key_id(id).send().await)?;
        }
        Ok(())
    }

    async fn owners(&self) -> Result<Vec<Holder>, Failure> {
        let mut pages = self.0.list_users().path_prefix(PATH).into_paginator().items().send();
        let mut owners = Vec::new();
        while let Some(user) = pages.next().await {
            let user = user.map_err(|error| failure(&error))?;
            let (name, path) = (user.user_name(), user.path());
            let tenant = path.strip_prefix(PATH).and_then(|path| path.strip_suffix('/')?.parse::<Tenant>().ok());
            let since = DateTime::from_timestamp(user.create_date().secs(), 0);
            let tenant = tenant.filter(|tenant| tenant.share_name() == name);
            owners.extend(tenant.map(|tenant| Holder { tenant, name: name.to_owned(), since }));
        }
        Ok(owners)
    }

    async fn make_user(&self, tenant: &Tenant) -> Result<(), Failure> {
        match self.0.create_user().user_name(tenant.share_name()).path(path(tenant)).send().await {
            Ok(_) => Ok(()),
            // An attempt before made it, and its answer was lost.
            Err(error) if error.code() == Some("EntityAlreadyExists") => match self.has_user(tenant).await? {
                Some(true) => Ok(()),
                _ => Err(foreign(tenant)),
            },
            Err(error) => Err(failure(&error)),
        }
    }

    async fn make(&self, tenant: &Tenant, bucket: &str, key: Key, fresh: bool) -> Result<Key, Failure> {
        let user = tenant.share_name();
        match self.has_user(tenant).await? {
            Some(true) => {}
            Some(false) => return Err(foreign(tenant)),
            None => self.make_user(tenant).await?,
        }
        let document = policy::document(bucket, &policy::prefix(tenant)).to_string();
        let put = self.0.put_user_policy().user_name(&user).policy_name(POLICY).policy_document(document);
        put.send().await.map_err(|error| failure(&error))?;
        if !fresh {
            return Ok(key);
        }
        // A user has at most two.
        self.end_keys(&user, Some(&key.id)).await?;
        // One whose answer is lost is there all the same, and the next would be one too many. A repeat of all this ends it first.
        let once = aws_sdk_iam::config::Builder::new().retry_config(RetryConfig::disabled());
        let made = self.0.create_access_key().user_name(&user).customize().config_override(once).send().await;
        let made = made.map_err(|error| failure(&error))?;
        let made = made.access_key.ok_or_else(|| Failure::Unavailable("it made no access key".to_owned()))?;
        Ok(Key { id: made.access_key_id, secret: Password(made.secret_access_key) })
    }
}

fn foreign(tenant: &Tenant) -> Failure {
    let user = tenant.share_name();
    Failure::Refused(format!(
        "user {user} is there and its path does not say that it is {tenant}'s, so it is left alone"
    ))
}

/// The path of the tenant's user. Names of enclaves and tentacles have no slash.
fn path(tenant: &Tenant) -> String {
    format!("{PATH}{}/{}/", tenant.enclave, tenant.tentacle)
}

/// The answer, or none where what it is about is not there.
fn present<T, E>(answer: Result<T, aws_sdk_iam::error::SdkError<E>>) -> Result<Option<T>, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("NoSuchEntity") => Ok(None),
        Err(error) => Err(failure(&error)),
    }
}

impl Accounts for Iam {
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Failure>> {
        async { present(self.0.get_user().user_name(NOBODY).send().await).map(|_| true) }.boxed()
    }

    fn knows<'a>(&'a self, tenant: &'a Tenant, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        async move {
            let own = self.has_user(tenant).await? == Some(true);
            Ok(own && self.keys(&tenant.share_name()).await?.iter().any(|key| key == id))
        }
        .boxed()
    }

    /// The id says which key is to stay; registration puts that of the new one in its place.
    fn another(&self, _tenant: &Tenant, beside: Option<&str>) -> Key {
        let secret = Password(Uuid::new_v4().simple().to_string());
        Key { id: beside.unwrap_or_default().to_owned(), secret }
    }

    fn register<'a>(
        &'a self,
        tenant: &'a Tenant,
        bucket: &'a str,
        key: Key,
        fresh: bool,
    ) -> BoxFuture<'a, Result<Key, Failure>> {
        self.make(tenant, bucket, key, fresh).boxed()
    }

    fn close<'a>(&'a self, tenant: &'a Tenant, kept: Option<&'a str>) -> BoxFuture<'a, Result<bool, Failure>> {
        async move {
            let own = self.has_user(tenant).await? == Some(true);
            if own {
                self.end_keys(&tenant.share_name(), kept).await?;
            }
            Ok(own)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let user = tenant.share_name();
            present(self.0.delete_user_policy().user_name(&user).policy_name(POLICY).send().await)?;
            present(self.0.delete_user().user_name(&user).send().await).map(drop)
        }
        .boxed()
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        self.owners().boxed()
    }
}
