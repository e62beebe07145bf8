//! How a tentacle's program gets its identity: the socket of the SPIFFE Workload API, a volume of the SPIFFE CSI driver.

use serde_json::{Value, json};
use tentacular_contract::TentacleName;

use crate::tentacle::manifest::Manifest;

/// The SPIFFE CSI driver.
pub(super) const DRIVER: &str = "csi.spiffe.io";
/// Name of the volume.
const VOLUME: &str = "spiffe-workload-api";
/// Where the socket is.
const FOLDER: &str = "/run/spire/sockets";

/// Mounts it into the first container of the tentacle's Deployment. A volume of that name, or a mount in that place, that is there
/// already stays as it is.
pub(crate) fn mount(tentacle: &TentacleName, manifests: &mut [Manifest]) {
    let deployment = manifests.iter_mut().find(|manifest| manifest.is_deployment_of(tentacle));
    let Some(pods) = deployment.and_then(|deployment| deployment.body.pointer_mut("/spec/template/spec")) else {
        return;
    };
    let volume = json!({ "name": VOLUME, "csi": { "driver": DRIVER, "readOnly": true } });
    add(pods, "volumes", "name", volume);
    if let Some(container) = pods.pointer_mut("/containers/0") {
        let mount = json!({ "name": VOLUME, "mountPath": FOLDER, "readOnly": true });
        add(container, "volumeMounts", "mountPath", mount);
    }
}

/// Adds an item to a list, unless one has the same `key`.
fn add(object: &mut Value, list: &str, key: &str, item: Value) {
    let Some(object) = object.as_object_mut() else { return };
    let list = object.entry(list).or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut()
        && !list.iter().any(|present| present[key] == item[key])
    {
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use tentacular_cluster::Kind;

    use super::*;

    fn mounted(pods: &Value) -> Value {
        let deployment = |name: &str| {
            let body = json!({ "spec": { "template": { "spec": pods } } });
            Manifest { kind: Kind::Deployment, name: name.to_owned(), body }
        };
        let mut manifests = [deployment("other"), deployment("report")];
        mount(&"report".parse().unwrap(), &mut manifests);
        let [other, report] = manifests.map(|manifest| manifest.body["spec"]["template"]["spec"].clone());
        assert_eq!(&other, pods, "only the Deployment that the tentacle is");
        report
    }

    #[test]
    fn the_socket_is_mounted_once_beside_what_is_there() {
        let volume = json!({ "name": "spiffe-workload-api", "csi": { "driver": "csi.spiffe.io", "readOnly": true } });
        let socket = json!({ "name": "spiffe-workload-api", "mountPath": "/run/spire/sockets", "readOnly": true });
        let second = json!({ "name": "second" });
        let bare = mounted(&json!({ "containers": [{ "name": "engine" }, second] }));
        let expected =
            json!({ "containers": [{ "name": "engine", "volumeMounts": [socket] }, second], "volumes": [volume] });
        assert_eq!(bare, expected);
        assert_eq!(mounted(&bare), bare);
        let (tmp, at) = (json!({ "name": "tmp", "emptyDir": {} }), json!({ "name": "tmp", "mountPath": "/tmp" }));
        assert_eq!(
            mounted(&json!({ "containers": [{ "volumeMounts": [at] }], "volumes": [tmp] })),
            json!({ "containers": [{ "volumeMounts": [at, socket] }], "volumes": [tmp, volume] })
        );
        assert_eq!(mounted(&json!({ "volumes": null })), json!({ "volumes": [volume] }));
    }
}
