//! What stands in the cluster, read by its administrator around everything that is tested.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// Group, version and kind.
pub(super) type Kind = (&'static str, &'static str, &'static str);
pub(super) const CONFIG_MAP: Kind = ("", "v1", "ConfigMap");
/// Kinds of a release of these tests.
pub(super) const OF_A_RELEASE: [Kind; 5] = [
    ("apps", "v1", "Deployment"),
    ("", "v1", "Service"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    CONFIG_MAP,
    ("", "v1", "Secret"),
];
/// Kinds that an enclave is made of, besides its namespace.
const OF_AN_ENCLAVE: [Kind; 5] = [
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("", "v1", "ResourceQuota"),
    ("", "v1", "LimitRange"),
    ("", "v1", "ServiceAccount"),
];

/// Objects by kind and name, each as far as it is the same wherever and whenever it is made.
pub(super) type Content = BTreeMap<String, Value>;

/// The administrator's look at the cluster.
#[derive(Clone)]
pub(super) struct Live(pub(super) Client);

impl Live {
    /// The objects of a kind in an enclave.
    pub(super) fn api(&self, (group, version, kind): Kind, enclave: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.0.clone(), enclave, &resource)
    }

    /// The objects of a tentacle, where its name and its enclave's are replaced.
    pub(super) async fn release(&self, enclave: &str, tentacle: &str) -> anyhow::Result<Content> {
        let objects = self.objects(&OF_A_RELEASE, enclave, &format!("tentacular.io/release={tentacle}")).await?;
        named_alike(&objects, &[(tentacle, "TENTACLE"), (enclave, "ENCLAVE")])
    }

    /// The namespace and what an enclave consists of, where its name is replaced. Empty when it is not there.
    pub(super) async fn enclave(&self, enclave: &str) -> anyhow::Result<Content> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        let namespaces = Api::<DynamicObject>::all_with(self.0.clone(), &resource);
        let Some(namespace) = namespaces.get_opt(enclave).await? else { return Ok(Content::new()) };
        let mut objects = self
            .objects(&OF_AN_ENCLAVE, enclave, "app.kubernetes.io/managed-by=tentacular,!tentacular.io/release")
            .await?;
        objects.insert("Namespace".to_owned(), content(&namespace)?);
        for object in objects.values_mut() {
            // Every enclave's objects have the same fields, so that no later write takes one away, whoever owns them.
            object["managers"].take();
        }
        named_alike(&objects, &[(enclave, "ENCLAVE")])
    }

    /// The uid of every object of a tentacle, which tells one from another that was made in its place.
    pub(super) async fn uids(&self, enclave: &str, tentacle: &str) -> anyhow::Result<Vec<String>> {
        let of_it = ListParams::default().labels(&format!("tentacular.io/release={tentacle}"));
        let mut uids = Vec::new();
        for kind in OF_A_RELEASE {
            uids.extend(self.api(kind, enclave).list(&of_it).await?.into_iter().filter_map(|object| object.uid()));
        }
        Ok(uids)
    }

    /// The tentacle's lock, where somebody holds it or left it behind.
    pub(super) async fn lease(&self, enclave: &str, tentacle: &str) -> anyhow::Result<Option<Lease>> {
        let leases = Api::<Lease>::namespaced(self.0.clone(), enclave);
        Ok(leases.get_opt(&format!("tentacular-{tentacle}")).await?)
    }

    async fn objects(&self, kinds: &[Kind], namespace: &str, labels: &str) -> anyhow::Result<Content> {
        let mut found = Content::new();
        for &(group, version, kind) in kinds {
            let listed =
                self.api((group, version, kind), namespace).list(&ListParams::default().labels(labels)).await?;
            for object in listed {
                found.insert(format!("{kind}/{}", object.name_any()), content(&object)?);
            }
        }
        Ok(found)
    }
}

/// Fails unless both are the same, and says where they are not.
pub(super) fn same(should: &Content, is: &Content) -> anyhow::Result<()> {
    for name in should.keys().chain(is.keys()) {
        let [should, is] = [should, is].map(|objects| objects.get(name).unwrap_or(&Value::Null));
        ensure!(should == is, "{name}{}", difference(should, is));
    }
    Ok(())
}

/// The innermost member that differs.
fn difference(should: &Value, is: &Value) -> String {
    if let (Some(one), Some(other)) = (should.as_object(), is.as_object()) {
        let differs = |key: &&String| should[key.as_str()] != is[key.as_str()];
        if let Some(key) = one.keys().chain(other.keys()).find(differs) {
            return format!(".{key}{}", difference(&should[key.as_str()], &is[key.as_str()]));
        }
    }
    format!(" should be {should} and is {is}")
}

/// An object without what differs from one making to the next: ids, times, addresses, and what controllers add. The field
/// managers stay, as who owns the fields decides what a later apply removes.
fn content(object: &DynamicObject) -> anyhow::Result<Value> {
    let managers = object.managed_fields().iter().filter(|entry| entry.subresource.is_none());
    let managers = managers.map(|entry| [&entry.manager, &entry.operation].map(|text| text.as_deref().unwrap_or("")));
    let mut managers: Vec<_> = managers.filter(|[manager, _]| manager.contains("tentacular")).collect();
    managers.sort_unstable();
    let mut annotations = object.annotations().clone();
    annotations.retain(|key, _| !key.ends_with("-at") && key != "deployment.kubernetes.io/revision");
    let mut data = object.data.clone();
    // A hash over contents and names; that it is the right one shows when the same apply again has nothing to change.
    if let Some(checksum) = data.pointer_mut("/spec/template/metadata/annotations/tentacular.io~1config-checksum") {
        *checksum = json!("checksum");
    }
    let members = data.as_object_mut().context("an object that is none")?;
    members.remove("status");
    if let Some(spec) = members.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|key, _| !["clusterIP", "clusterIPs"].contains(&key.as_str()));
    }
    Ok(json!({
        "labels": object.labels(), "annotations": annotations, "managers": managers, "data": data,
        "deleted": object.metadata.deletion_timestamp.is_some(),
    }))
}

fn named_alike(objects: &Content, names: &[(&str, &str)]) -> anyhow::Result<Content> {
    let mut text = serde_json::to_string(objects)?;
    for (name, common) in names {
        text = text.replace(name, common);
    }
    Ok(serde_json::from_str(&text)?)
}
