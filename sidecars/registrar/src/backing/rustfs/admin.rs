//! Users and policies by the admin API that RustFS and MinIO have in common: for each tentacle a policy, which shows whose it is,
//! and two users, of which one at a time is in use, as each has one secret.

use std::{collections::BTreeMap, future::ready, time::SystemTime};

use aws_sdk_s3::error::DisplayErrorContext;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use futures::future::{BoxFuture, FutureExt as _};
use reqwest::{
    Method, Request, Url,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    accounts::Accounts,
    answer::{No, known},
    connect::credentials,
    policy,
    seal::seal,
    settings::{Key, Server},
};
use crate::backing::{
    service::{Failure, Holder},
    setting::Password,
    tenant::Tenant,
};

/// Most of an answer that is read, in bytes: a list of the policies of some 20,000 tentacles.
const ANSWER: usize = 16 * 1024 * 1024;
/// What the names of the two users end with.
const USERS: [&str; 2] = ["_a", "_b"];
/// A policy that every such server comes with.
pub(super) const BUILT_IN: &str = "readwrite";

/// Where the API is and how it wants secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Plain, under a prefix of its own.
    Rustfs,
    /// Encrypted.
    Minio,
}

impl Dialect {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Rustfs => "/rustfs/admin/v3",
            Self::Minio => "/minio/admin/v3",
        }
    }
}

/// The API, as one call uses it.
pub(super) struct Admin<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) server: &'a Server,
    pub(super) dialect: Dialect,
}

impl Admin<'_> {
    async fn answers(&self) -> Result<bool, Failure> {
        match self.call(Method::GET, "info-canned-policy", &[("name", BUILT_IN)], Vec::new()).await {
            // One that is just starting may not know its policies yet.
            Ok(_) | Err(No::Absent { by_api: true, .. }) => Ok(true),
            Err(No::Absent { by_api: false, .. }) => Ok(false),
            Err(No::Failure(failure)) => Err(failure),
        }
    }

    /// The policy of that name.
    pub(super) async fn policy(&self, name: &str) -> Result<Option<Value>, Failure> {
        let answer = self.call(Method::GET, "info-canned-policy", &[("name", name)], Vec::new()).await;
        let Some(text) = known(answer)? else { return Ok(None) };
        let mut document: Value = serde_json::from_slice(&text)
            .map_err(|_| Failure::Refused("its admin API answers something else than policies".to_owned()))?;
        // Some wrap it in what is known of it.
        let wrapped = ["Policy", "policy"].into_iter().find(|name| document[name].is_object());
        let document = match wrapped {
            Some(name) => document[name].take(),
            None => document,
        };
        Ok(Some(document))
    }

    /// Whose policies there are. One of another name than its tenant's is somebody else's.
    async fn owners(&self) -> Result<Vec<Holder>, Failure> {
        let text = self.call(Method::GET, "list-canned-policies", &[], Vec::new()).await?;
        let policies: BTreeMap<String, Value> = serde_json::from_slice(&text)
            .map_err(|_| Failure::Refused("its admin API answers something else than policies".to_owned()))?;
        let owners = policies.into_iter().filter_map(|(name, document)| {
            let tenant = policy::tenant(&document).filter(|tenant| tenant.share_name() == name)?;
            Some(Holder { tenant, name, since: None })
        });
        Ok(owners.collect())
    }

    /// Writes the policy of that name.
    pub(super) async fn put_policy(&self, name: &str, document: &Value) -> Result<(), Failure> {
        let body = document.to_string().into_bytes();
        self.call(Method::PUT, "add-canned-policy", &[("name", name)], body).await?;
        Ok(())
    }

    /// Makes a user with that key, or gives it that secret.
    pub(super) async fn put_user(&self, key: &Key) -> Result<(), Failure> {
        let plain = json!({ "secretKey": key.secret.0, "status": "enabled" }).to_string();
        let body = match self.dialect {
            Dialect::Rustfs => plain.into_bytes(),
            Dialect::Minio => seal(&self.server.administrator.secret.0, &plain)
                .map_err(|error| Failure::Unavailable(error.to_string()))?,
        };
        self.call(Method::PUT, "add-user", &[("accessKey", &key.id)], body).await?;
        Ok(())
    }

    /// Lets the policy hold for the user, and no other.
    pub(super) async fn attach(&self, policy: &str, user: &str) -> Result<(), Failure> {
        let query = [("policyName", policy), ("userOrGroup", user), ("isGroup", "false")];
        self.call(Method::PUT, "set-user-or-group-policy", &query, Vec::new()).await?;
        Ok(())
    }

    /// Removes the user with all keys and tokens that it made itself, if it is there.
    pub(super) async fn remove_user(&self, name: &str) -> Result<(), Failure> {
        if self.dialect == Dialect::Minio {
            // Its tokens outlive the user, and have the rights of the next one of that name.
            let all = [("user", name), ("fullRevoke", "true")];
            known(self.call(Method::POST, "revoke-tokens/builtin", &all, Vec::new()).await)?;
        }
        known(self.call(Method::DELETE, "remove-user", &[("accessKey", name)], Vec::new()).await).map(drop)
    }

    /// Removes the policy, if it is there.
    pub(super) async fn remove_policy(&self, name: &str) -> Result<(), Failure> {
        known(self.call(Method::DELETE, "remove-canned-policy", &[("name", name)], Vec::new()).await).map(drop)
    }

    /// Whether the policy of the tenant's name is the tenant's; none where there is none.
    async fn owns(&self, tenant: &Tenant) -> Result<Option<bool>, Failure> {
        let found = self.policy(&tenant.share_name()).await?;
        Ok(found.map(|found| policy::is_about(&found, &policy::prefix(tenant))))
    }

    async fn make(&self, tenant: &Tenant, bucket: &str, key: Key, fresh: bool) -> Result<Key, Failure> {
        let name = tenant.share_name();
        if self.owns(tenant).await? == Some(false) {
            return Err(Failure::Refused(format!(
                "policy {name} is there and is not about the objects of {tenant}, so it is left alone"
            )));
        }
        self.put_policy(&name, &policy::document(bucket, &policy::prefix(tenant))).await?;
        if fresh {
            // Another secret alone would leave what was made with the one before.
            self.remove_user(&key.id).await?;
            self.put_user(&key).await?;
        }
        self.attach(&name, &key.id).await?;
        Ok(key)
    }

    async fn end_users(&self, tenant: &Tenant, kept: Option<&str>) -> Result<bool, Failure> {
        let own = self.owns(tenant).await? == Some(true);
        if own {
            for user in users(tenant).iter().filter(|user| Some(user.as_str()) != kept) {
                self.remove_user(user).await?;
            }
        }
        Ok(own)
    }

    pub(super) async fn call(
        &self,
        method: Method,
        operation: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, No> {
        let mut url = self.server.endpoint.clone();
        url.set_path(&format!("{}/{operation}", self.dialect.prefix()));
        url.query_pairs_mut().extend_pairs(query);
        let request =
            self.signed(method, url, body).map_err(|error| No::Failure(Failure::Refused(error.to_string())))?;
        // The address that an error shows holds names alone.
        let lost = |error: reqwest::Error| No::Failure(Failure::Unavailable(DisplayErrorContext(error).to_string()));
        let mut answer = self.http.execute(request).await.map_err(lost)?;
        let status = answer.status();
        let mut text = Vec::new();
        while text.len() < ANSWER
            && let Some(chunk) = answer.chunk().await.map_err(lost)?
        {
            text.extend_from_slice(&chunk);
        }
        if status.is_success() { Ok(text) } else { Err(No::of(status, &text)) }
    }

    fn signed(&self, method: Method, url: Url, body: Vec<u8>) -> anyhow::Result<Request> {
        let identity = credentials(&self.server.administrator).into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.server.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let signable =
            SignableRequest::new(method.as_str(), url.as_str(), std::iter::empty(), SignableBody::Bytes(&body))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::new(method, url);
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value())?;
            value.set_sensitive(header.sensitive());
            request.headers_mut().insert(HeaderName::from_static(header.name()), value);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}

/// The tenant's users.
pub(super) fn users(tenant: &Tenant) -> [String; 2] {
    USERS.map(|ending| format!("{}{ending}", tenant.share_name()))
}

impl Accounts for Admin<'_> {
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Failure>> {
        self.answers().boxed()
    }

    fn knows<'a>(&'a self, tenant: &'a Tenant, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        ready(Ok(users(tenant).iter().any(|user| user == id))).boxed()
    }

    fn another(&self, tenant: &Tenant, beside: Option<&str>) -> Key {
        let [first, second] = users(tenant);
        let id = if beside == Some(&*first) { second } else { first };
        Key { id, secret: Password(Uuid::new_v4().simple().to_string()) }
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
        self.end_users(tenant, kept).boxed()
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<(), Failure>> {
        async move { self.remove_policy(&tenant.share_name()).await }.boxed()
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        self.owners().boxed()
    }
}
