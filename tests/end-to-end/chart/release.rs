//! A release: installed, upgraded, rolled back, removed, and installed again.

use std::{collections::BTreeMap, process::Output};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration,
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::{
    ControlPlane,
    chart::{CHART, helm},
    installation::SERVER_NAMESPACE,
};

/// A control plane, and helm in it.
struct Release {
    control_plane: ControlPlane,
}

impl Release {
    async fn helm(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut helm = helm().await?;
        helm.args(args).args(["--namespace", SERVER_NAMESPACE, "--kubeconfig"]);
        helm.arg(self.control_plane.admin_kubeconfig());
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(folder, self.control_plane.directory().join("helm"));
        }
        let Output { status, stdout, stderr } = helm.output().await?;
        ensure!(status.success(), "helm {args:?}: {}", String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8(stdout)?)
    }

    async fn token(&self) -> anyhow::Result<String> {
        let secrets = Api::<Secret>::namespaced(self.control_plane.admin()?, SERVER_NAMESPACE);
        let secret = secrets.get("tentacular-mcp-auth").await?;
        let token = secret.data.and_then(|mut data| data.remove("token")).context("no token")?;
        Ok(String::from_utf8(token.0)?)
    }
}

/// What the chart says the pods of the server are.
#[derive(Debug, PartialEq, Eq)]
struct Pods {
    images: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Release {
    async fn pods(&self) -> anyhow::Result<Pods> {
        let deployments = Api::<Deployment>::namespaced(self.control_plane.admin()?, SERVER_NAMESPACE);
        let template = deployments.get("tentacular-mcp").await?.spec.context("a spec")?.template;
        let spec = template.spec.context("a pod")?;
        let containers = spec.containers.into_iter().chain(spec.init_containers.into_iter().flatten());
        let images = containers.map(|container| (container.name, container.image.unwrap_or_default())).collect();
        Ok(Pods {
            images,
            annotations: template.metadata.and_then(|metadata| metadata.annotations).unwrap_or_default(),
        })
    }

    async fn set_secret(&self, name: &str, data: Value) -> anyhow::Result<()> {
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data });
        let secrets = Api::<Secret>::namespaced(self.control_plane.admin()?, SERVER_NAMESPACE);
        secrets.patch(name, &PatchParams::apply("somebody"), &Patch::Apply(secret)).await?;
        Ok(())
    }
}

#[tokio::test]
async fn e2e_chart_an_upgrade_of_one_part_changes_its_image_alone_and_is_rolled_back() -> anyhow::Result<()> {
    let release = Release { control_plane: ControlPlane::exclusive().await? };
    release.helm(&["install", "tentacular-mcp", CHART, "--create-namespace", "--set=replicaCount=3"]).await?;
    let (first, token) = (release.pods().await?, release.token().await?);
    for (part, image) in &first.images {
        ensure!(image.starts_with("ghcr.io/randybias/tentacular-mcp/tentacular-"), "{part}: {image}");
    }
    release.helm(&["upgrade", "tentacular-mcp", CHART, "--reuse-values", "--set=scheduler.image.tag=9.9.9"]).await?;
    let second = release.pods().await?;
    let changed: Vec<_> = second.images.iter().filter(|&(part, image)| first.images[part] != *image).collect();
    ensure!(
        matches!(&changed[..], [(part, image)] if *part == "scheduler" && image.ends_with(":9.9.9")),
        "{changed:?}"
    );
    assert_eq!((second.annotations, release.token().await?), (first.annotations.clone(), token.clone()));

    release.helm(&["rollback", "tentacular-mcp", "1"]).await?;
    assert_eq!((release.pods().await?, release.token().await?), (first, token));
    let deployments = Api::<Deployment>::namespaced(release.control_plane.admin()?, SERVER_NAMESPACE);
    let replicas = deployments.get("tentacular-mcp").await?.spec.and_then(|spec| spec.replicas);
    assert_eq!(replicas, Some(3));
    Ok(())
}

#[tokio::test]
async fn e2e_chart_an_upgrade_rolls_the_pods_when_what_they_read_at_their_start_has_changed() -> anyhow::Result<()> {
    let release = Release { control_plane: ControlPlane::exclusive().await? };
    let install =
        ["upgrade", "tentacular-mcp", CHART, "--install", "--create-namespace", "--set=exoskeletonAuth.enabled=true"];
    let values = ["--set=exoskeletonAuth.existingSecret=oidc", "--set=auth.existingSecret=bearer"];
    let upgrade = [&install[..], &values].concat();
    // Nobody has made the Secrets yet.
    release.helm(&upgrade).await?;
    let without = release.pods().await?;
    release.set_secret("oidc", json!({ "issuer_url": "https://id.example.com", "client_id": "a" })).await?;
    release.helm(&upgrade).await?;
    let first = release.pods().await?;
    ensure!(without.annotations != first.annotations && !first.annotations.is_empty(), "{first:?}");

    release.set_secret("bearer", json!({ "token": "one" })).await?;
    release.helm(&upgrade).await?;
    assert_eq!(release.pods().await?, first, "a token is read again while the pods run");
    release.set_secret("oidc", json!({ "issuer_url": "https://id.example.com", "client_id": "b" })).await?;
    release.helm(&upgrade).await?;
    let second = release.pods().await?;
    ensure!(first.annotations != second.annotations, "{second:?}");
    assert_eq!(first.images, second.images);
    Ok(())
}

#[tokio::test]
async fn e2e_chart_a_token_is_generated_once_and_an_uninstall_leaves_nothing_that_blocks() -> anyhow::Result<()> {
    let release = Release { control_plane: ControlPlane::exclusive().await? };
    let admin = release.control_plane.admin()?;
    let notes = release.helm(&["install", "tentacular-mcp", CHART, "--create-namespace"]).await?;
    for needle in ["helm test tentacular-mcp", "pod-security.kubernetes.io/enforce=restricted", ":30080/mcp"] {
        ensure!(notes.contains(needle), "{notes}");
    }
    let token = release.token().await?;
    ensure!(
        token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{} characters",
        token.len()
    );
    ensure!(!notes.contains(&token), "the notes show the token");

    release.helm(&["upgrade", "tentacular-mcp", CHART, "--set=scheduler.image.tag=other"]).await?;
    ensure!(release.token().await? == token, "an upgrade made another token");
    let image = json!(release.helm(&["get", "manifest", "tentacular-mcp"]).await?);
    let image = image.as_str().context("a manifest")?;
    ensure!(image.contains("tentacular-scheduler:other") && !image.contains("tentacular-auditor:other"), "{image}");

    let enclave =
        json!({ "metadata": { "name": "team", "labels": { "app.kubernetes.io/managed-by": "tentacular" } } });
    let enclave: Namespace = serde_json::from_value(enclave)?;
    let namespaces = Api::<Namespace>::all(admin.clone());
    // No webhook runs here, so an enclave is refused while its configuration is there.
    let refused = namespaces.create(&PostParams::default(), &enclave).await.expect_err("no webhook").to_string();
    ensure!(refused.contains("webhook.tentacular.io"), "{refused}");
    release.helm(&["uninstall", "tentacular-mcp", "--wait"]).await?;
    namespaces.create(&PostParams::default(), &enclave).await.context("after the uninstall")?;
    let left =
        Api::<ValidatingWebhookConfiguration>::all(admin).list_metadata(&kube::api::ListParams::default()).await?;
    ensure!(left.items.is_empty(), "{:?}", left.items);

    release.helm(&["install", "tentacular-mcp", CHART]).await.context("again")?;
    ensure!(release.token().await? == token, "the token did not outlive the uninstall");
    ensure!(namespaces.get("team").await?.metadata.deletion_timestamp.is_none(), "an enclave went with the release");
    let secrets = Api::<Secret>::namespaced(release.control_plane.admin()?, SERVER_NAMESPACE);
    secrets.delete("tentacular-mcp-auth", &DeleteParams::default()).await?;
    release.helm(&["upgrade", "tentacular-mcp", CHART, "--reset-then-reuse-values"]).await?;
    let another = release.token().await?;
    ensure!(another != token && another.len() == 64, "a token that was removed is made up anew");
    release.helm(&["upgrade", "tentacular-mcp", CHART, "--set=auth.bearerToken=chosen"]).await?;
    ensure!(release.token().await? == "chosen", "a token that is set counts");
    Ok(())
}
