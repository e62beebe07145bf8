use serde_json::{Value, json};

use super::*;

fn settings(storage_size: Option<&str>) -> ModuleProxy {
    ModuleProxy {
        namespace: "support".to_owned(),
        image: "esm:1".to_owned(),
        storage_size: storage_size.map(str::to_owned),
        disabled: false,
    }
}

fn typed<T: for<'de> Deserialize<'de>>(object: &Value) -> T {
    serde_json::from_value(object.clone()).expect("an object of its kind")
}

fn pod(created: &str, image: &str, volume: &Value, ready: &str) -> Pod {
    let mut volume = volume.clone();
    volume["name"] = json!("cache");
    let container = json!({ "name": "c", "image": image, "volumeMounts": [{ "name": "cache", "mountPath": CACHE }] });
    typed(&json!({ "metadata": { "creationTimestamp": created },
        "spec": { "containers": [container], "volumes": [volume] },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] } }))
}

fn refused() -> Error {
    Error::Forbidden { object: "Deployment support/esm-sh".to_owned(), message: "no".to_owned() }
}

/// All objects as `settings` want them, and a pod that is ready.
fn in_order(settings: &ModuleProxy) -> Found {
    let wanted = settings.objects();
    Found {
        namespace: true,
        deployment: Ok(Some(typed(&wanted.deployment))),
        service: Ok(Some(typed(&wanted.service))),
        pods: vec![pod("2026-01-01T00:00:00Z", "old", &json!({}), "True")],
    }
}

#[test]
fn what_is_as_it_is_to_be_is_shown_from_the_deployment() {
    for (size, storage) in [(None, "emptydir"), (Some("1Gi"), "pvc")] {
        let settings = settings(size);
        let proxy = shown(&settings, &in_order(&settings));
        let expected = Proxy {
            namespace: "support".to_owned(),
            image: "esm:1".to_owned(),
            storage,
            installed: true,
            ready: true,
            ..Proxy::default()
        };
        assert_eq!(proxy, expected);
    }
}

#[test]
fn a_field_that_is_otherwise_is_named_with_what_it_is() {
    let settings = settings(None);
    let mut found = in_order(&settings);
    let mut changed = settings.objects().deployment;
    changed["spec"]["replicas"] = json!(3);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("\u{202e}evil:1");
    found.deployment = Ok(Some(typed(&changed)));
    let proxy = shown(&settings, &found);
    assert_eq!(
        proxy.drift,
        [
            "Deployment: spec.replicas: 3 is to be 1",
            r#"Deployment: spec.template.spec.containers[esm-sh].image: "evil:1" is to be "esm:1""#,
        ]
    );
    let disabled = ModuleProxy { disabled: true, ..settings };
    assert!(shown(&disabled, &found).drift.is_empty(), "others keep it as they like");
}

#[test]
fn what_is_missing_or_not_to_be_read_is_a_warning() {
    let settings = settings(None);
    let none = || Found { namespace: true, deployment: Ok(None), service: Ok(None), pods: Vec::new() };
    let absent = shown(&settings, &none());
    assert_eq!((&*absent.image, absent.storage, absent.installed, absent.ready), ("", "", false, false));
    assert_eq!(absent.warnings.len(), 2, "{absent:?}");
    let nowhere = shown(&settings, &Found { namespace: false, ..none() });
    assert!(nowhere.warnings.len() == 1 && nowhere.warnings[0].contains("kubectl create namespace"), "{nowhere:?}");
    let closed = shown(&settings, &Found { deployment: Err(refused()), service: Err(refused()), ..none() });
    assert!(closed.warnings.iter().all(|warning| warning.contains("moduleProxy.enabled")), "{closed:?}");
    let of_others = ModuleProxy { disabled: true, ..settings };
    assert!(shown(&of_others, &none()).warnings.is_empty());
}

#[test]
fn without_a_right_on_the_deployment_the_newest_pod_is_shown_and_any_may_be_ready() {
    let claim = json!({ "persistentVolumeClaim": { "claimName": "esm-sh-cache" } });
    let old = pod("2026-01-01T00:00:00Z", "esm:1", &json!({ "emptyDir": {} }), "True");
    let new = pod("2026-01-02T00:00:00Z", "esm:2", &claim, "False");
    let settings = ModuleProxy { disabled: true, ..settings(None) };
    let of = |pods: &[Pod]| {
        let (deployment, service) = (Err(refused()), Err(refused()));
        shown(&settings, &Found { namespace: true, deployment, service, pods: pods.to_vec() })
    };
    let both = of(&[new.clone(), old.clone()]);
    assert_eq!((&*both.image, both.storage, both.installed, both.ready), ("esm:2", "pvc", true, true));
    assert!(!of(&[new]).ready);
    assert_eq!(of(&[old]).storage, "emptydir");
}
