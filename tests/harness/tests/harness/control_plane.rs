//! The control plane is a real one: admission, authorization, tokens and garbage collection work.

use std::os::unix::fs::PermissionsExt as _;

use k8s_openapi::api::{
    authentication::v1::{SelfSubjectReview, UserInfo},
    core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{from_value, json};
use tentacular_test_harness::{ControlPlane, eventually};

#[tokio::test]
async fn pod_security_refuses_a_privileged_pod() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("pod-security").await.unwrap();
    let client = control_plane.admin().unwrap();
    let restrict = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    Api::<Namespace>::all(client.clone())
        .patch(&namespace, &PatchParams::default(), &Patch::Merge(restrict))
        .await
        .unwrap();

    let pod: Pod = from_value(json!({
        "metadata": { "name": "privileged" },
        "spec": { "containers": [{ "name": "main", "image": "none", "securityContext": { "privileged": true } }] },
    }))
    .unwrap();
    let refusal = Api::<Pod>::namespaced(client, &namespace)
        .create(&PostParams::default(), &pod)
        .await
        .unwrap_err()
        .to_string();
    assert!(refusal.contains(r#"violates PodSecurity "restricted"#), "{refusal}");
}

#[tokio::test]
async fn a_service_account_is_itself_and_may_nothing() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("identity").await.unwrap();
    let client = control_plane.client_as(&namespace, "default").await.unwrap();

    let user = whoami(client.clone()).await;
    assert_eq!(user.username, Some(format!("system:serviceaccount:{namespace}:default")));
    let groups = user.groups.unwrap_or_default();
    assert!(groups.contains(&format!("system:serviceaccounts:{namespace}")), "{groups:?}");

    let secrets = Api::<Secret>::namespaced(client, &namespace);
    match secrets.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{status:?}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_kubeconfig_carries_the_identity_and_is_private() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("kubeconfig").await.unwrap();
    let path = control_plane.directory().join(format!("{namespace}.kubeconfig"));
    std::fs::write(&path, "an older file that anybody can read").unwrap();
    control_plane.kubeconfig_as(&namespace, "default", &path).await.unwrap();

    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (client, default_namespace) = client_from(&path).await;
    assert_eq!(default_namespace, namespace);
    assert_eq!(whoami(client).await.username, Some(format!("system:serviceaccount:{namespace}:default")));

    let (admin, _) = client_from(control_plane.admin_kubeconfig()).await;
    assert!(whoami(admin).await.groups.unwrap_or_default().contains(&"system:masters".to_owned()));
}

#[tokio::test]
async fn an_unknown_service_account_gets_no_token() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let refused = control_plane.token("default", "nobody").await.unwrap_err();
    assert!(format!("{refused:#}").contains("default/nobody"), "{refused:#}");
}

#[tokio::test]
async fn namespaces_have_names_of_their_own_and_can_be_deleted() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let prefix = "A_name that is longer than any label may be";
    let (one, other) = tokio::try_join!(control_plane.namespace(prefix), control_plane.namespace(prefix)).unwrap();
    assert_ne!(one, other);
    assert!(one.len() <= 40 && one.starts_with("a-name-that-is-longer"), "{one}");

    let client = control_plane.admin().unwrap();
    let content: ConfigMap = from_value(json!({ "metadata": { "name": "content" } })).unwrap();
    let content_api = Api::<ConfigMap>::namespaced(client.clone(), &one);
    content_api.create(&PostParams::default(), &content).await.unwrap();
    let pod = json!({
        "metadata": { "name": "running" },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    });
    Api::<Pod>::namespaced(client.clone(), &one)
        .create(&PostParams::default(), &from_value(pod).unwrap())
        .await
        .unwrap();

    let namespaces = Api::<Namespace>::all(client);
    namespaces.delete(&one, &DeleteParams::default()).await.unwrap();
    eventually(&namespaces, &one, |namespace: Option<&Namespace>| namespace.is_none()).await.unwrap();
    assert!(content_api.get_opt("content").await.unwrap().is_none());
}

#[tokio::test]
async fn an_exclusive_control_plane_is_another_and_leaves_nothing() {
    let shared = ControlPlane::shared().await.unwrap();
    let exclusive = ControlPlane::exclusive().await.unwrap();
    assert_ne!(shared.url(), exclusive.url());
    let namespace = shared.namespace("shared-only").await.unwrap();
    let elsewhere = Api::<ServiceAccount>::namespaced(exclusive.admin().unwrap(), &namespace);
    assert!(elsewhere.get_opt("default").await.unwrap().is_none());

    let directory = exclusive.directory().to_owned();
    let pids = exclusive.programs().map(|(_, child)| child.pid());
    drop(exclusive);
    assert!(!directory.exists());
    for pid in pids {
        assert!(!std::fs::exists(format!("/proc/{pid}")).unwrap());
    }
}

async fn whoami(client: Client) -> UserInfo {
    let review = Api::<SelfSubjectReview>::all(client)
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    review.status.unwrap().user_info.unwrap()
}

async fn client_from(kubeconfig: &std::path::Path) -> (Client, String) {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let namespace = config.default_namespace.clone();
    (Client::try_from(config).unwrap(), namespace)
}
