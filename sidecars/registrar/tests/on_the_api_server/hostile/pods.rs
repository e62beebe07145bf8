//! What pods refer to, and as whom and where they run.

use serde_json::{Value, json};

use super::{Attempt, claim, named, own, pod, with};

/// The rule that most of these break.
const REFERENCE: &str = "(rule own-reference)";

pub(super) fn attempts() -> Vec<Attempt> {
    [volumes(), credentials(), environments(), claims(), placed(), on_the_node()].concat()
}

fn volume(source: &Value) -> Vec<Value> {
    let mut volume = json!({ "name": "v" });
    volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    pod(&json!({ "volumes": [volume] }))
}

fn projected(source: &Value) -> Vec<Value> {
    volume(&json!({ "projected": { "sources": [{ "downwardAPI": {} }, source] } }))
}

fn volumes() -> Vec<Attempt> {
    let secret = |name: &str| volume(&json!({ "secret": { "secretName": name, "optional": true } }));
    let ephemeral = |spec: Value| {
        volume(&json!({ "ephemeral": { "volumeClaimTemplate": { "spec": claim("c", &spec)["spec"] } } }))
    };
    vec![
        ("another's secret", secret("victim-creds"), REFERENCE),
        ("the enclave's secret", secret("registry"), REFERENCE),
        ("a secret to come", secret("victim-secrets"), REFERENCE),
        ("a secret of any name", secret("not-there-yet"), REFERENCE),
        ("another's exoskeleton", secret("tentacular-exoskeleton-victim"), REFERENCE),
        ("another's map", volume(&json!({ "configMap": { "name": "victim-config" } })), REFERENCE),
        ("nobody's map", volume(&json!({ "configMap": { "name": "nobodys" } })), REFERENCE),
        ("a projected secret", projected(&json!({ "secret": { "name": "victim-creds" } })), REFERENCE),
        ("a projected map", projected(&json!({ "configMap": { "name": "victim-config" } })), REFERENCE),
        ("another's data", volume(&json!({ "persistentVolumeClaim": { "claimName": "victim-data" } })), REFERENCE),
        (
            "a copy of another's data",
            ephemeral(json!({ "dataSource": { "kind": "PersistentVolumeClaim", "name": "victim-data" } })),
            REFERENCE,
        ),
        ("a volume by name", ephemeral(json!({ "volumeName": "pv-1" })), REFERENCE),
        ("a device", pod(&json!({ "resourceClaims": [{ "name": "d", "resourceClaimName": "gpu" }] })), REFERENCE),
    ]
}

/// Secrets that a driver reads to reach its storage.
fn credentials() -> Vec<Attempt> {
    let with_secret = |source: &str, members: Value| {
        let mut inner = members;
        inner["secretRef"] = json!({ "name": "victim-creds" });
        volume(&json!({ source: inner }))
    };
    vec![
        (
            "a secret for csi",
            volume(&json!({ "csi": { "driver": "d", "nodePublishSecretRef": { "name": "victim-creds" } } })),
            REFERENCE,
        ),
        (
            "a secret for azure",
            volume(&json!({ "azureFile": { "secretName": "victim-creds", "shareName": "s" } })),
            REFERENCE,
        ),
        ("a secret for cephfs", with_secret("cephfs", json!({ "monitors": ["m"] })), REFERENCE),
        ("a secret for cinder", with_secret("cinder", json!({ "volumeID": "v" })), REFERENCE),
        ("a secret for flex", with_secret("flexVolume", json!({ "driver": "d" })), REFERENCE),
        ("a secret for iscsi", with_secret("iscsi", json!({ "targetPortal": "t", "iqn": "i", "lun": 0 })), REFERENCE),
        ("a secret for rbd", with_secret("rbd", json!({ "monitors": ["m"], "image": "i" })), REFERENCE),
        ("a secret for scaleio", with_secret("scaleIO", json!({ "gateway": "g", "system": "s" })), REFERENCE),
        ("a secret for storageos", with_secret("storageos", json!({})), REFERENCE),
        ("endpoints", volume(&json!({ "glusterfs": { "endpoints": "victim", "path": "p" } })), REFERENCE),
    ]
}

fn environments() -> Vec<Attempt> {
    let container = |members: Value| {
        let mut container = json!({ "name": "c", "image": "i" });
        container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        container
    };
    let containers = |members: Value| pod(&json!({ "containers": [container(members)] }));
    let from = |source: Value| containers(json!({ "env": [{ "name": "A", "valueFrom": source }] }));
    let theirs = json!({ "envFrom": [{ "secretRef": { "name": "victim-creds" } }] });
    vec![
        (
            "a secret's key",
            from(json!({ "secretKeyRef": { "name": "victim-creds", "key": "k" } })),
            "containers[0].env[0].valueFrom.secretKeyRef.name: victim-creds is a Secret of tentacle victim",
        ),
        ("a map's key", from(json!({ "configMapKeyRef": { "name": "victim-config", "key": "k" } })), REFERENCE),
        ("all of a secret", containers(theirs.clone()), REFERENCE),
        ("all of a map", containers(json!({ "envFrom": [{ "configMapRef": { "name": "nobodys" } }] })), REFERENCE),
        ("a first container's", pod(&json!({ "initContainers": [container(theirs.clone())] })), REFERENCE),
        ("a later container's", pod(&json!({ "ephemeralContainers": [container(theirs)] })), REFERENCE),
        ("a later container", pod(&json!({ "ephemeralContainers": [container(json!({}))] })), "ephemeralContainers"),
        ("the enclave's registry", pod(&json!({ "imagePullSecrets": [{ "name": "registry" }] })), REFERENCE),
        (
            "a cron job's secret",
            with(cron_job(&container(json!({ "envFrom": [{ "secretRef": { "name": "registry" } }] })))),
            REFERENCE,
        ),
    ]
}

/// A `CronJob` with this container.
fn cron_job(container: &Value) -> Value {
    let mut template = own()["spec"]["template"].take();
    template["spec"]["containers"] = json!([container]);
    template["spec"]["restartPolicy"] = json!("Never");
    let spec = json!({ "schedule": "@daily", "jobTemplate": { "spec": { "template": template } } });
    named("batch/v1", "CronJob", "nightly", &json!({ "spec": spec }))
}

fn claims() -> Vec<Attempt> {
    let of = |spec: Value| with(claim("mine", &spec));
    let theirs = json!({ "kind": "PersistentVolumeClaim", "name": "victim-data" });
    let snapshot = json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "nightly" });
    let elsewhere = json!({ "kind": "PersistentVolumeClaim", "name": "mine", "namespace": "team-b" });
    vec![
        ("a claim from another's data", of(json!({ "dataSource": theirs })), REFERENCE),
        ("a claim from another's data by reference", of(json!({ "dataSourceRef": theirs })), REFERENCE),
        ("a claim from a snapshot", of(json!({ "dataSource": snapshot })), REFERENCE),
        ("a claim from another enclave", of(json!({ "dataSourceRef": elsewhere })), REFERENCE),
        ("a claim of a certain volume", of(json!({ "volumeName": "pv-1" })), REFERENCE),
    ]
}

fn placed() -> Vec<Attempt> {
    let anti_affinity = |term: Value| {
        let list = json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] });
        pod(&json!({ "affinity": { "podAntiAffinity": list } }))
    };
    let app = |name: &str| json!({ "matchLabels": { "app": name } });
    let mut job = own();
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    job["spec"]["template"]["spec"]["serviceAccount"] = json!("tentacular-registrar");
    vec![
        (
            "another account",
            pod(&json!({ "serviceAccountName": "tentacular-registrar" })),
            "(rule powerless-account)",
        ),
        ("a job's other account", vec![own(), job], "(rule powerless-account)"),
        ("a node", pod(&json!({ "nodeName": "node-1" })), "(rule fair-scheduling)"),
        (
            "a system's priority",
            pod(&json!({ "priorityClassName": "system-node-critical" })),
            "(rule fair-scheduling)",
        ),
        (
            "keeping another away",
            anti_affinity(json!({ "topologyKey": "zone", "labelSelector": app("victim") })),
            "(rule own-selector)",
        ),
        (
            "keeping other enclaves away",
            anti_affinity(json!({ "topologyKey": "zone", "labelSelector": app("thief"), "namespaceSelector": {} })),
            "(rule fair-scheduling)",
        ),
    ]
}

/// What Pod Security forbids.
fn on_the_node() -> Vec<Attempt> {
    let container =
        |security: Value| pod(&json!({ "containers": [{ "name": "c", "image": "i", "securityContext": security }] }));
    let rule = "is forbidden by Pod Security";
    let plain = |members: Value| {
        let mut container = json!({ "name": "c", "image": "i" });
        container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        container
    };
    let port = pod(&json!({ "containers": [plain(json!({ "ports": [{ "containerPort": 80, "hostPort": 80 }] }))] }));
    let mount = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v", "subPath": "../.." }] });
    let way_out = pod(&json!({ "containers": [plain(mount)], "volumes": [{ "name": "v", "emptyDir": {} }] }));
    let privileged = plain(json!({ "securityContext": { "privileged": true } }));
    let sysctls = json!([{ "name": "kernel.msgmax", "value": "1" }]);
    vec![
        ("the node's network", pod(&json!({ "hostNetwork": true })), rule),
        ("the node's processes", pod(&json!({ "hostPID": true })), rule),
        ("the node's files", volume(&json!({ "hostPath": { "path": "/" } })), rule),
        ("a privileged container", container(json!({ "privileged": true })), rule),
        ("more capabilities", container(json!({ "capabilities": { "add": ["SYS_ADMIN"] } })), rule),
        ("the root user", container(json!({ "runAsUser": 0 })), rule),
        ("whichever user", container(json!({ "runAsNonRoot": false })), rule),
        ("more rights later", container(json!({ "allowPrivilegeEscalation": true })), rule),
        ("every system call", container(json!({ "seccompProfile": { "type": "Unconfined" } })), rule),
        ("no profile", container(json!({ "appArmorProfile": { "type": "Unconfined" } })), rule),
        ("an open proc", container(json!({ "procMount": "Unmasked" })), rule),
        ("a process of the node", container(json!({ "windowsOptions": { "hostProcess": true } })), rule),
        ("the node's messages", pod(&json!({ "hostIPC": true })), rule),
        ("the node's port", port, rule),
        ("the kernel's settings", pod(&json!({ "securityContext": { "sysctls": sysctls } })), rule),
        ("somebody's file server", volume(&json!({ "nfs": { "server": "s", "path": "/" } })), rule),
        ("a way out of a volume", way_out, "subPath"),
        ("a cron job on the node", with(cron_job(&privileged)), rule),
    ]
}
