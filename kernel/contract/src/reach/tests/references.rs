use serde_json::{Value, json};

use super::*;

/// Each place in a pod where a name of `kind` can stand.
fn places(name: &str) -> Vec<(&'static str, &'static str, Value)> {
    let from =
        |source: Value| json!({ "containers": [{ "name": "c", "env": [{ "name": "e", "valueFrom": source }] }] });
    let volume = |source: Value| {
        let mut volume = json!({ "name": "v" });
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        json!({ "volumes": [{ "name": "w", "emptyDir": {} }, volume] })
    };
    let secret_ref = json!({ "name": name });
    let secret = |source: &str, field: &str| {
        let more = json!({
            "image": "i", "monitors": [], "driver": "d", "volumeID": "v", "targetPortal": "t", "iqn": "i", "lun": 0,
            "gateway": "g", "system": "s",
        });
        let mut inner = more;
        inner[field] = secret_ref.clone();
        volume(json!({ source: inner }))
    };
    let container = |env_from: &Value| json!({ "name": "c", "envFrom": [env_from] });
    vec![
        ("Secret", "volumes[1].secret.secretName", volume(json!({ "secret": { "secretName": name } }))),
        ("Secret", "volumes[1].azureFile.secretName", {
            volume(json!({ "azureFile": { "secretName": name, "shareName": "s" } }))
        }),
        ("Secret", "volumes[1].cephfs.secretRef", secret("cephfs", "secretRef")),
        ("Secret", "volumes[1].cinder.secretRef", secret("cinder", "secretRef")),
        ("Secret", "volumes[1].csi.nodePublishSecretRef", secret("csi", "nodePublishSecretRef")),
        ("Secret", "volumes[1].flexVolume.secretRef", secret("flexVolume", "secretRef")),
        ("Secret", "volumes[1].iscsi.secretRef", secret("iscsi", "secretRef")),
        ("Secret", "volumes[1].rbd.secretRef", secret("rbd", "secretRef")),
        ("Secret", "volumes[1].scaleIO.secretRef", secret("scaleIO", "secretRef")),
        ("Secret", "volumes[1].storageos.secretRef", secret("storageos", "secretRef")),
        ("Secret", "volumes[1].projected.sources[0].secret.name", {
            volume(json!({ "projected": { "sources": [{ "secret": { "name": name } }] } }))
        }),
        ("Secret", "imagePullSecrets[0].name", json!({ "imagePullSecrets": [{ "name": name }] })),
        ("Secret", "containers[0].env[0].valueFrom.secretKeyRef.name", {
            from(json!({ "secretKeyRef": { "name": name, "key": "k" } }))
        }),
        ("Secret", "initContainers[0].envFrom[0].secretRef.name", {
            json!({ "initContainers": [container(&json!({ "secretRef": { "name": name } }))] })
        }),
        ("ConfigMap", "volumes[1].configMap.name", volume(json!({ "configMap": { "name": name } }))),
        ("ConfigMap", "volumes[1].projected.sources[0].configMap.name", {
            volume(json!({ "projected": { "sources": [{ "configMap": { "name": name } }] } }))
        }),
        ("ConfigMap", "containers[0].env[0].valueFrom.configMapKeyRef.name", {
            from(json!({ "configMapKeyRef": { "name": name, "key": "k", "optional": true } }))
        }),
        ("ConfigMap", "ephemeralContainers[0].envFrom[0].configMapRef.name", {
            json!({ "ephemeralContainers": [container(&json!({ "configMapRef": { "name": name } }))] })
        }),
        ("PersistentVolumeClaim", "volumes[1].persistentVolumeClaim.claimName", {
            volume(json!({ "persistentVolumeClaim": { "claimName": name } }))
        }),
        ("PersistentVolumeClaim", "volumes[1].ephemeral.volumeClaimTemplate.spec.dataSource.name", {
            let source = json!({ "kind": "PersistentVolumeClaim", "name": name });
            volume(json!({ "ephemeral": { "volumeClaimTemplate": { "spec": { "dataSource": source } } } }))
        }),
    ]
}

#[test]
fn every_name_in_a_pod_is_looked_at_and_may_be_of_the_own_release() {
    let mut theirs = Neighbours::default();
    for kind in ["Secret", "ConfigMap", "PersistentVolumeClaim"] {
        theirs.add_name(kind, "theirs", Some("other"));
        theirs.add_name(kind, "nobodys", None);
    }
    for (name, problem) in [
        ("theirs", "of tentacle other"),
        ("nobodys", "that belongs to no tentacle"),
        ("later", "of this tentacle"),
        ("", "of this tentacle"),
        ("other-secrets", "of this tentacle"),
    ] {
        for (kind, field, pod) in places(name) {
            let found = among(&object("Deployment", "report", &deployment(&pod)), &theirs);
            assert_eq!(found.len(), 1, "{field} {name}: {found:?}");
            let start = format!("Deployment/report spec.template.spec.{field}");
            assert!(found[0].starts_with(&start) && found[0].contains(problem), "{start} {name}: {found:?}");
            assert!(found[0].contains(kind) && found[0].ends_with("(rule own-reference)"), "{found:?}");
        }
    }
    for (_, field, pod) in places("mine") {
        let own = object("Deployment", "report", &deployment(&pod));
        assert_eq!(among(&own, &theirs), Vec::<String>::new(), "{field}");
        assert_eq!(scope(|scope| texts(&scope.alone(&own))), Vec::<String>::new(), "{field}");
    }
}

#[test]
fn names_that_are_kept_for_the_tentacle_need_not_exist() {
    let own = |name: &str| {
        let source = json!({ "secretRef": { "name": name } });
        let pod = json!({ "containers": [{ "name": "c", "envFrom": [source] }] });
        object("CronJob", "c", &json!({ "spec": { "schedule": "@daily", "jobTemplate": deployment(&pod) } }))
    };
    let mut neighbours = Neighbours::default();
    for name in reserved("report") {
        assert_eq!(among(&own(&name), &neighbours), Vec::<String>::new(), "{name}");
        neighbours.add_name("Secret", &name, None);
        assert_eq!(among(&own(&name), &neighbours), Vec::<String>::new(), "nobody's {name}");
        neighbours.add_name("Secret", &name, Some("other"));
        assert_eq!(among(&own(&name), &neighbours).len(), 1, "of another release: {name}");
    }
    let cluster = object("Deployment", "report", &{
        let token = json!({ "serviceAccountToken": { "path": "token" } });
        let sources = json!([token, { "configMap": { "name": "kube-root-ca.crt" } }, { "downwardAPI": {} }]);
        deployment(&json!({ "volumes": [{ "name": "api", "projected": { "sources": sources } }] }))
    });
    assert_eq!(among(&cluster, &neighbours), Vec::<String>::new());
}

#[test]
fn names_that_no_tentacle_has_show_by_themselves() {
    let claim = |spec: Value| alone("PersistentVolumeClaim", &json!({ "spec": spec }));
    let pod = |pod: Value| alone("Deployment", &deployment(&pod));
    let secret = |name: &str| json!({ "imagePullSecrets": [{ "name": name }] });
    for (found, part) in [
        (pod(secret("tentacular-exoskeleton-other")), "spec.template.spec.imagePullSecrets[0].name: tentacular-exo"),
        (pod(secret("tentacular-webhook-tls")), "is the server's own"),
        (pod(json!({ "resourceClaims": [{ "name": "g", "resourceClaimName": "gpu" }] })), "names a ResourceClaim"),
        (
            pod(json!({ "resourceClaims": [{ "name": "g", "resourceClaimTemplateName": "gpu" }] })),
            "resourceClaims[0].resourceClaimTemplateName: gpu",
        ),
        (
            pod(json!({ "volumes": [{ "name": "v", "glusterfs": { "endpoints": "e", "path": "p" } }] })),
            "volumes[0].glusterfs.endpoints: e names a Endpoints",
        ),
        (
            pod(json!({ "volumes": [{ "name": "v", "storageos": { "volumeNamespace": "team-b" } }] })),
            "volumes[0].storageos.volumeNamespace: team-b",
        ),
        (
            claim(json!({ "dataSource": { "apiGroup": "x.io", "kind": "PersistentVolumeClaim", "name": "mine" } })),
            "spec.dataSource.name: mine names a PersistentVolumeClaim of API group \"x.io\"",
        ),
        (claim(json!({ "volumeName": "pv-7" })), "spec.volumeName: pv-7 names a PersistentVolume"),
        (
            claim(json!({ "dataSource": { "apiGroup": "snapshot.storage.k8s.io", "kind": "V", "name": "s" } })),
            "spec.dataSource.name: s names a V of API group",
        ),
        (
            claim(json!({ "dataSourceRef": {
                "kind": "PersistentVolumeClaim", "name": "mine", "namespace": "team-b",
            } })),
            "spec.dataSourceRef.name: mine names a PersistentVolumeClaim of namespace team-b",
        ),
    ] {
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    }
    assert_eq!(pod(secret("tentacular-exoskeleton-report")), Vec::<String>::new());
    assert_eq!(claim(json!({ "volumeName": "", "accessModes": ["ReadWriteOnce"] })), Vec::<String>::new());
    let theirs = claim(json!({ "dataSourceRef": { "kind": "PersistentVolumeClaim", "name": "theirs" } }));
    assert_eq!(theirs, Vec::<String>::new(), "that is only seen among others");
}
