//! What kind of cluster this is, as its nodes and system pods show it: guesses from names and labels.

use std::fmt;

use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tentacular_cluster::{Cluster, Error, Selector};

/// Namespaces in which network plugins and ingress controllers of common clusters run.
const SYSTEM_NAMESPACES: [&str; 6] =
    ["kube-system", "calico-system", "kube-flannel", "cilium", "openshift-ovn-kubernetes", "kube-router"];

/// The pods of the cluster's own namespaces.
pub(crate) async fn system_pods(cluster: &Cluster) -> Result<Vec<Pod>, Error> {
    let mut pods = Vec::new();
    for namespace in SYSTEM_NAMESPACES {
        pods.extend(cluster.namespaced::<Pod>(namespace).list(&Selector::all()).await?);
    }
    Ok(pods)
}

/// Whether a network plugin holds to network policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enforced {
    Yes,
    No,
    Unknown,
}

/// A network plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cni {
    /// Its name, `unknown` where none is recognised.
    pub(crate) name: &'static str,
    /// The tag of its image.
    pub(crate) version: Option<String>,
    /// Whether network policies count.
    pub(crate) enforced: Enforced,
}

/// Plugins, the one that enforces before the one that only connects: in some clusters two are at work. Each with the
/// values of the labels `k8s-app` and `app`, or beginnings of pod names, that it is known by.
const PLUGINS: [(&str, &[&str], Enforced); 10] = [
    ("calico", &["calico-node", "canal"], Enforced::Yes),
    ("cilium", &["cilium"], Enforced::Yes),
    ("antrea", &["antrea", "antrea-agent"], Enforced::Yes),
    ("kube-router", &["kube-router"], Enforced::Yes),
    ("weave", &["weave-net"], Enforced::Yes),
    ("ovn-kubernetes", &["ovnkube-node"], Enforced::Yes),
    // These enforce by a setting that pods do not show.
    ("aws-vpc", &["aws-node"], Enforced::Unknown),
    ("azure", &["azure-cns"], Enforced::Unknown),
    ("kindnet", &["kindnet"], Enforced::No),
    ("flannel", &["flannel", "kube-flannel"], Enforced::No),
];
/// The first kindnet with network policies, by the date in its tag (kind 0.24).
const KINDNET: &str = "v20240813";

/// The network plugin that these pods belong to.
pub(crate) fn cni(pods: &[Pod], distribution: Distribution) -> Cni {
    // k3s runs flannel and a controller for policies inside of its own process.
    let embedded = matches!(distribution, Distribution::K3s | Distribution::K3d);
    for (name, marks, enforced) in PLUGINS {
        let Some(pod) = pods.iter().find(|pod| marks.iter().any(|mark| is_named(&pod.metadata, mark))) else {
            continue;
        };
        let version = tag(pod);
        let enforced = match (name, version.as_deref()) {
            ("kindnet", Some(version)) if version >= KINDNET => Enforced::Yes,
            ("kindnet", None) => Enforced::Unknown,
            ("flannel", _) if embedded => Enforced::Yes,
            _ => enforced,
        };
        return Cni { name, version, enforced };
    }
    if embedded {
        Cni { name: "flannel", version: None, enforced: Enforced::Yes }
    } else {
        Cni { name: "unknown", version: None, enforced: Enforced::Unknown }
    }
}

/// Labels that name the program of a pod.
const PROGRAM: [&str; 3] = ["k8s-app", "app", "app.kubernetes.io/name"];

/// What [`is_named`] reads of an object's metadata, and its namespace: the rest may be a hundred times as much.
pub(crate) fn only_names(metadata: ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, labels, .. } = metadata;
    let labels = labels.map(|all| all.into_iter().filter(|(key, _)| PROGRAM.contains(&key.as_str())).collect());
    ObjectMeta { name, namespace, labels, ..ObjectMeta::default() }
}

/// Whether a pod with this metadata belongs to the program `mark`.
pub(crate) fn is_named(pod: &ObjectMeta, mark: &str) -> bool {
    let labelled =
        |key: &str| pod.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|value| value == mark);
    let named = || pod.name.as_deref().and_then(|name| name.strip_prefix(mark));
    PROGRAM.into_iter().any(labelled) || named().is_some_and(|rest| rest.starts_with('-'))
}

/// The tag of a pod's first image, such as `v3.30.1`.
fn tag(pod: &Pod) -> Option<String> {
    let image = pod.spec.as_ref()?.containers.first()?.image.as_deref()?;
    let (_, tag) = image.split('@').next()?.rsplit_once(':')?;
    (!tag.contains('/')).then(|| tag.to_owned())
}

/// Who made the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    Eks,
    Gke,
    Aks,
    OpenShift,
    Talos,
    Rke2,
    K0s,
    K3d,
    K3s,
    Kind,
    Vanilla,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eks => "eks",
            Self::Gke => "gke",
            Self::Aks => "aks",
            Self::OpenShift => "openshift",
            Self::Talos => "talos",
            Self::Rke2 => "rke2",
            Self::K0s => "k0s",
            Self::K3d => "k3d",
            Self::K3s => "k3s",
            Self::Kind => "kind",
            Self::Vanilla => "vanilla",
        })
    }
}

/// The distribution that these nodes are of; the first that one of them shows.
pub(crate) fn distribution(nodes: &[Node]) -> Distribution {
    nodes.iter().find_map(shown_by).unwrap_or(Distribution::Vanilla)
}

fn shown_by(node: &Node) -> Option<Distribution> {
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let version = info.map_or("", |info| info.kubelet_version.as_str());
    let image = info.map_or("", |info| info.os_image.as_str());
    let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref()).unwrap_or_default();
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let k3s =
        version.contains("+k3s") || label("node.kubernetes.io/instance-type").is_some_and(|it| it.contains("k3s"));
    let signs = [
        (label("eks.amazonaws.com/nodegroup").is_some() || version.contains("-eks-"), Distribution::Eks),
        (label("cloud.google.com/gke-nodepool").is_some() || version.contains("-gke."), Distribution::Gke),
        (label("kubernetes.azure.com/agentpool").is_some(), Distribution::Aks),
        (label("node.openshift.io/os_id").is_some(), Distribution::OpenShift),
        (image.starts_with("Talos"), Distribution::Talos),
        (version.contains("+rke2"), Distribution::Rke2),
        (label("node.k0sproject.io/role").is_some() || version.contains("+k0s"), Distribution::K0s),
        (k3s && name.starts_with("k3d-"), Distribution::K3d),
        (k3s, Distribution::K3s),
        (provider.starts_with("kind://"), Distribution::Kind),
    ];
    signs.into_iter().find_map(|(shown, distribution)| shown.then_some(distribution))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(with: &Value) -> Node {
        let info = json!({ "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": with["version"].as_str().unwrap_or("v1.33.1"), "machineID": "",
            "operatingSystem": "linux", "osImage": with["image"].as_str().unwrap_or("Debian"), "systemUUID": "" });
        let labels: Value = with["label"].as_str().map_or(json!({}), |label| json!({ label: "x" }));
        serde_json::from_value(json!({
            "metadata": { "name": with["name"].as_str().unwrap_or("n"), "labels": labels },
            "spec": { "providerID": with["provider"] }, "status": { "nodeInfo": info },
        }))
        .expect("a node")
    }

    #[test]
    fn each_distribution_is_recognised_by_its_nodes() {
        for (with, expected) in [
            (json!({}), "vanilla"),
            (json!({ "label": "eks.amazonaws.com/nodegroup" }), "eks"),
            (json!({ "version": "v1.33.1-eks-1" }), "eks"),
            (json!({ "label": "cloud.google.com/gke-nodepool" }), "gke"),
            (json!({ "label": "kubernetes.azure.com/agentpool" }), "aks"),
            (json!({ "label": "node.openshift.io/os_id" }), "openshift"),
            (json!({ "image": "Talos (v1.9)" }), "talos"),
            (json!({ "version": "v1.33.1+rke2r1" }), "rke2"),
            (json!({ "version": "v1.33.1+k0s" }), "k0s"),
            (json!({ "version": "v1.33.1+k3s1" }), "k3s"),
            (json!({ "version": "v1.33.1+k3s1", "name": "k3d-a-server-0" }), "k3d"),
            (json!({ "name": "k3d-a-server-0" }), "vanilla"),
            (json!({ "provider": "kind://docker/kind/n" }), "kind"),
        ] {
            let nodes = [node(&json!({})), node(&with)];
            assert_eq!(distribution(&nodes).to_string(), expected, "{with}");
        }
        assert_eq!(distribution(&[]), Distribution::Vanilla);
    }

    fn pod(name: &str, app: &str, image: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "k8s-app": app } },
            "spec": { "containers": [{ "name": "c", "image": image }] },
        }))
        .expect("a pod")
    }

    #[test]
    fn the_plugin_says_whether_policies_count() {
        use Enforced::{No, Unknown, Yes};
        let vanilla = Distribution::Vanilla;
        for (pods, distribution, name, version, enforced) in [
            (vec![], vanilla, "unknown", None, Unknown),
            (vec![pod("a", "calico-node", "quay.io/calico/node:v3.30.1")], vanilla, "calico", Some("v3.30.1"), Yes),
            (vec![pod("a", "cilium", "r:5000/cilium@sha256:00")], vanilla, "cilium", None, Yes),
            (vec![pod("kube-flannel-ds-x", "", "f:v1")], vanilla, "flannel", Some("v1"), No),
            (vec![pod("a", "flannel", "f:v1"), pod("b", "canal", "c:v2")], vanilla, "calico", Some("v2"), Yes),
            (vec![], Distribution::K3s, "flannel", None, Yes),
            (vec![pod("a", "cilium", "c:v2")], Distribution::K3s, "cilium", Some("v2"), Yes),
            (
                vec![pod("a", "kindnet", "k:v20240202-8f1494ea")],
                Distribution::Kind,
                "kindnet",
                Some("v20240202-8f1494ea"),
                No,
            ),
            (
                vec![pod("a", "kindnet", "k:v20250512-df8de77b")],
                Distribution::Kind,
                "kindnet",
                Some("v20250512-df8de77b"),
                Yes,
            ),
            (vec![pod("aws-node-x", "", "a:v1")], Distribution::Eks, "aws-vpc", Some("v1"), Unknown),
            (vec![pod("flannels", "", "a:v1")], vanilla, "unknown", None, Unknown),
        ] {
            let found = cni(&pods, distribution);
            assert_eq!((found.name, found.version.as_deref(), found.enforced), (name, version, enforced));
        }
    }

    #[test]
    fn of_metadata_only_names_are_kept() {
        let metadata = |labels: Value, more: bool| -> ObjectMeta {
            let mut metadata = json!({ "name": "traefik-1", "namespace": "ingress", "labels": labels });
            if more {
                metadata["annotations"] = json!({ "a": "b".repeat(1000) });
                metadata["managedFields"] = json!([{ "manager": "m" }]);
                metadata["labels"]["other"] = json!("x");
            }
            serde_json::from_value(metadata).unwrap()
        };
        let named = json!({ "app": "traefik", "k8s-app": "t", "app.kubernetes.io/name": "traefik" });
        assert_eq!(only_names(metadata(named.clone(), true)), metadata(named, false));
    }
}
