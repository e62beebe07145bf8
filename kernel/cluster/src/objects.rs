//! Reading and writing the objects of one kind in one place.

use std::{fmt, marker::PhantomData};

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ObjectList, Request, params::GetParams, request},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Cluster, FIELD_MANAGER,
    error::{About, Error},
    options::{Conflicts, Delete, Selector},
};

/// What the API server stores: the types of `k8s-openapi`, [`crate::Metadata`] of one, and [`crate::Object`].
pub trait Stored: Resource + Clone + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<K> Stored for K where K: Resource + Clone + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static {}

/// A kind that has a type of its own.
pub trait Typed: Stored + Resource<DynamicType = ()> {}
impl<K> Typed for K where K: Stored + Resource<DynamicType = ()> {}

/// A kind with a type of its own whose objects live in namespaces.
pub trait Namespaced: Typed + Resource<Scope = NamespaceResourceScope> {}
impl<K> Namespaced for K where K: Typed + Resource<Scope = NamespaceResourceScope> {}

/// The objects of one kind in one namespace, or without namespace. With [`crate::Metadata`] of a kind only metadata is
/// transferred.
///
/// Every method asks the API server; every write has the field manager [`FIELD_MANAGER`].
#[derive(Debug, Clone)]
pub struct Objects<K> {
    cluster: Cluster,
    request: Request,
    kind: String,
    plural: String,
    namespace: Option<String>,
    metadata: bool,
    dry_run: bool,
    marker: PhantomData<fn() -> K>,
}

impl<K: Stored> Objects<K> {
    pub(crate) fn new(cluster: Cluster, kind: &K::DynamicType, namespace: Option<&str>) -> Self {
        Self {
            cluster,
            request: Request::new(K::url_path(kind, namespace)),
            kind: K::kind(kind).into_owned(),
            plural: K::plural(kind).into_owned(),
            namespace: namespace.map(str::to_owned),
            metadata: K::metadata_api(),
            dry_run: false,
            marker: PhantomData,
        }
    }

    /// With `true`, writes are checked and answered by the API server as always, and nothing is stored.
    #[must_use]
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// The object of that name, or `None` when it, or its namespace, does not exist.
    pub async fn get(&self, name: &str) -> Result<Option<K>, Error> {
        let about = self.about(Some(name));
        let params = GetParams::default();
        let request =
            if self.metadata { self.request.get_metadata(name, &params) } else { self.request.get(name, &params) };
        match self.read(&about, request).await {
            Err(Error::NotFound { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// All objects that `wanted` selects, read page by page.
    pub async fn list(&self, wanted: &Selector) -> Result<Vec<K>, Error> {
        self.fold(wanted, Vec::new, Vec::push).await
    }

    /// What `add` makes of all objects that `wanted` selects, beginning with what `start` makes; no more than a page of
    /// them is held at a time. It may begin anew.
    pub async fn fold<T>(
        &self,
        wanted: &Selector,
        start: impl Fn() -> T,
        add: impl Fn(&mut T, K),
    ) -> Result<T, Error> {
        Ok(self.snapshot(wanted, start, add).await?.0)
    }

    /// The same, and the resource version that it shows.
    pub(crate) async fn snapshot<T>(
        &self,
        wanted: &Selector,
        start: impl Fn() -> T,
        add: impl Fn(&mut T, K),
    ) -> Result<(T, String), Error> {
        let about = self.about(None);
        let mut params = wanted.params();
        let (mut made, mut found) = (start(), 0);
        loop {
            let page = match self.page(&about, &params).await {
                // The state that the pages show was compacted away: once more, in one piece.
                Err(Error::Expired { .. }) if params.continue_token.is_some() => {
                    params = ListParams { limit: None, continue_token: None, ..params };
                    (made, found) = (start(), 0);
                    continue;
                }
                page => page?,
            };
            for item in page.items.into_iter().take(wanted.limit() - found) {
                add(&mut made, item);
                found += 1;
            }
            let more = page.metadata.continue_.filter(|token| !token.is_empty());
            if more.is_none() || wanted.is_reached(found) {
                return Ok((made, page.metadata.resource_version.unwrap_or_default()));
            }
            params.continue_token = more;
        }
    }

    async fn page(&self, about: &About, params: &ListParams) -> Result<ObjectList<K>, Error> {
        let request = if self.metadata { self.request.list_metadata(params) } else { self.request.list(params) };
        self.read(about, request).await
    }

    /// Creates `object` and returns it as stored. Fails with [`Error::AlreadyExists`] when the name is taken.
    pub async fn create(&self, object: &K) -> Result<K, Error> {
        let about = self.about(object.meta().name.as_deref().or(object.meta().generate_name.as_deref()));
        let body = serde_json::to_vec(object).map_err(|error| Error::invalid(&about, error.to_string()))?;
        self.write(&about, self.request.create(&self.post(), body)).await
    }

    /// Replaces the object of that name by `object` and returns it as stored. Fails with [`Error::Conflict`] when
    /// `object` carries a resource version or uid that is not the stored one's.
    pub async fn replace(&self, object: &K) -> Result<K, Error> {
        let name = self.name(object)?;
        let about = self.about(Some(name));
        let body = serde_json::to_vec(object).map_err(|error| Error::invalid(&about, error.to_string()))?;
        self.write(&about, self.request.replace(name, &self.post(), body)).await
    }

    /// Changes the object of that name by a JSON merge patch (RFC 7386: `null` removes, lists are replaced whole) and
    /// returns it as stored. A uid or resource version in the patch's metadata is checked: [`Error::Conflict`].
    pub async fn patch(&self, name: &str, patch: &impl Serialize) -> Result<K, Error> {
        let about = self.about(Some(name));
        let patch = serde_json::to_value(patch).map_err(|error| Error::invalid(&about, error.to_string()))?;
        self.patch_with(&about, name, Conflicts::Refuse, &Patch::Merge(patch)).await
    }

    /// Creates or changes the object that `object` names by server-side apply and returns it as stored. `object` holds
    /// `apiVersion`, `kind`, the name and the fields that are to be the server's; fields that an earlier apply set and
    /// this one leaves out are removed. A uid or resource version in its metadata is checked.
    ///
    /// Fails with [`Error::Conflict`] for that, and when `conflicts` says so for a field that somebody else owns with
    /// another value.
    pub async fn apply(&self, object: &K, conflicts: Conflicts) -> Result<K, Error> {
        let name = self.name(object)?;
        let about = self.about(Some(name));
        let mut body = serde_json::to_value(object).map_err(|error| Error::invalid(&about, error.to_string()))?;
        // What was read from the API server carries them, and server-side apply refuses them.
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        self.patch_with(&about, name, conflicts, &Patch::Apply(body)).await
    }

    async fn patch_with(
        &self,
        about: &About,
        name: &str,
        conflicts: Conflicts,
        patch: &Patch<Value>,
    ) -> Result<K, Error> {
        let params = PatchParams {
            dry_run: self.dry_run,
            force: conflicts == Conflicts::TakeOver,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: None,
        };
        let request = if self.metadata {
            self.request.patch_metadata(name, &params, patch)
        } else {
            self.request.patch(name, &params, patch)
        };
        self.write(about, request).await
    }

    /// Asks for the removal of the object of that name. Finalizers and grace periods may keep it for a while. Returns
    /// `false` when there was none. Fails with [`Error::Conflict`] when it is not the one that `delete` expects.
    pub async fn delete(&self, name: &str, delete: &Delete) -> Result<bool, Error> {
        let about = self.about(Some(name));
        let params = DeleteParams { dry_run: self.dry_run, ..delete.params() };
        // The answer is the object or a status, and nothing of it is needed.
        match self.write::<Value>(&about, self.request.delete(name, &params)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn about(&self, name: Option<&str>) -> About {
        About {
            kind: self.kind.clone(),
            plural: self.plural.clone(),
            namespace: self.namespace.clone(),
            name: name.map(str::to_owned),
        }
    }

    pub(crate) const fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) const fn client(&self) -> &kube::Client {
        self.cluster.client()
    }

    async fn read<T: DeserializeOwned>(
        &self,
        about: &About,
        request: Result<http::Request<Vec<u8>>, request::Error>,
    ) -> Result<T, Error> {
        self.cluster.send(about, checked(about, request)?, false).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        about: &About,
        request: Result<http::Request<Vec<u8>>, request::Error>,
    ) -> Result<T, Error> {
        self.cluster.send(about, checked(about, request)?, !self.dry_run).await
    }

    fn name<'a>(&self, object: &'a K) -> Result<&'a str, Error> {
        let name = object.meta().name.as_deref();
        name.ok_or_else(|| Error::invalid(&self.about(None), "the object has no name"))
    }

    fn post(&self) -> PostParams {
        PostParams { dry_run: self.dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) }
    }
}

/// The request, once its path is sure to be the one that was meant.
pub(crate) fn checked(
    about: &About,
    request: Result<http::Request<Vec<u8>>, request::Error>,
) -> Result<http::Request<Vec<u8>>, Error> {
    match about.namespace.iter().chain(&about.name).find(|part| !is_path_segment(part)) {
        Some(part) => Err(Error::invalid(about, format!("{part:?} is no name"))),
        None => request.map_err(|error| Error::invalid(about, error.to_string())),
    }
}

/// What the API server allows in any name: a segment of a path that needs no escaping and stays where it is put.
fn is_path_segment(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_in_its_place_is_a_path_segment() {
        for name in ["team-a", "a.b", "system:node", "v1beta1.metrics.k8s.io"] {
            assert!(is_path_segment(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a?b", "a%2Fb", "a#b", "a b", "ä", "a\n"] {
            assert!(!is_path_segment(name), "{name}");
        }
    }
}
