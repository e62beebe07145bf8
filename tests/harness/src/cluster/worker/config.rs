//! How the programs of a worker are configured.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::PAUSE;
use crate::{
    ControlPlane,
    certificates::CLUSTER_ADDRESS,
    cluster::network::{PODS, Place},
};

/// Where Debian has the CNI plugins.
pub(in crate::cluster) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// The files of one worker.
#[derive(Debug)]
pub(super) struct Files {
    /// What is large.
    pub(super) folder: PathBuf,
    /// What has sockets, whose paths must be short.
    run: PathBuf,
}

impl Files {
    pub(super) fn write(control_plane: &ControlPlane, place: &Place, cgroup: &str) -> anyhow::Result<Self> {
        let files = Self {
            folder: control_plane.directory().join(&place.name),
            run: Path::new("/run/tentacular").join(&place.name),
        };
        std::fs::create_dir_all(files.cni())?;
        std::fs::create_dir_all(&files.run)?;
        let node = format!("system:node:{}", place.name);
        control_plane.kubeconfig_of(&node, Some("system:nodes"), &files.kubelet_kubeconfig())?;
        control_plane.kubeconfig_of("system:kube-proxy", None, &files.proxy_kubeconfig())?;
        let authority = control_plane.directory().join("pki/ca.crt");
        std::fs::write(files.containerd(), files.containerd_config())?;
        std::fs::write(files.cni().join("10-pods.conflist"), files.network(place).to_string())?;
        std::fs::write(files.kubelet(), files.kubelet_config(place, cgroup, &authority).to_string())?;
        std::fs::write(files.proxy(), files.proxy_config().to_string())?;
        Ok(files)
    }

    pub(super) fn containerd(&self) -> PathBuf {
        self.folder.join("containerd.toml")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    pub(super) fn kubelet(&self) -> PathBuf {
        self.folder.join("kubelet.yaml")
    }

    pub(super) fn kubelet_kubeconfig(&self) -> PathBuf {
        self.folder.join("kubelet.kubeconfig")
    }

    pub(super) fn proxy(&self) -> PathBuf {
        self.folder.join("kube-proxy.yaml")
    }

    fn proxy_kubeconfig(&self) -> PathBuf {
        self.folder.join("kube-proxy.kubeconfig")
    }

    fn cni(&self) -> PathBuf {
        self.folder.join("cni")
    }

    fn containerd_config(&self) -> String {
        let (folder, run, cni, socket) = (self.folder.display(), self.run.display(), self.cni(), self.socket());
        format!(
            r#"version = 2
root = "{folder}/containerd"
state = "{run}/containerd"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Root in a container may not lower it, and runc dies of trying.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{cni}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
            socket = socket.display(),
            cni = cni.display(),
        )
    }

    /// Pods are routed and not bridged, as a bridge would need a kernel module for Services.
    fn network(&self, place: &Place) -> Value {
        json!({ "cniVersion": "0.4.0", "name": "pods", "plugins": [
            { "type": "ptp", "ipam": {
                "type": "host-local",
                "dataDir": self.folder.join("addresses"),
                "ranges": [[{ "subnet": place.pods }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            } },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ] })
    }

    fn kubelet_config(&self, place: &Place, cgroup: &str, authority: &Path) -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": place.address,
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": authority },
            },
            "authorization": { "mode": "Webhook" },
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "failCgroupV1": false,
            "failSwapOn": false,
            "clusterDNS": [CLUSTER_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "podLogsDir": self.folder.join("pod-logs"),
            "volumePluginDir": self.folder.join("volume-plugins"),
            "healthzPort": 0,
            // The disk is the machine's and not the cluster's to watch.
            "evictionHard": { "memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            // A changed Secret arrives in seconds, not in a minute.
            "syncFrequency": "5s",
        })
    }

    fn proxy_config(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": { "kubeconfig": self.proxy_kubeconfig() },
            "mode": "iptables",
            "detectLocalMode": "ClusterCIDR",
            "clusterCIDR": PODS,
            // Limits of the machine, which is not the cluster's.
            "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        })
    }
}
