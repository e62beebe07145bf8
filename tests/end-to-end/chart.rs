//! The chart, by the real helm: what it renders is what the API server takes, wrong values are refused with the reason, and a
//! release can be installed, upgraded and removed.

use std::process::Output;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration,
    core::v1::{Namespace, Secret, ServiceAccount},
};
use kube::{
    Client,
    api::{Api, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde_json::{Value, json};
use tentacular_contract::pod_security::ENFORCE;
use tentacular_test_harness::{
    ControlPlane,
    chart::{CHART, helm, render},
    installation::{SERVER_NAMESPACE, install_rights},
};

/// Values that are meant to be set, together with each other.
const VALUES: [&[&str]; 9] = [
    &[],
    &["service.type=ClusterIP", "networkPolicies.enabled=false", "replicaCount=1", "webhook.replicaCount=1"],
    &[
        "service.type=LoadBalancer",
        "service.nodePort=",
        "externalURL=https://mcp.example.com",
        "namespace.create=true",
    ],
    &[
        "auth.existingSecret=mine",
        "tls.existingSecret=tls",
        "imagePullSecrets[0].name=pull",
        "priorityClassName=high",
    ],
    &[
        "exoskeletonAuth.enabled=true",
        "exoskeletonAuth.issuerURL=https://id.example.com",
        "exoskeletonAuth.clientID=tentacular-mcp",
        "exoskeletonAuth.trustedAZPs={one,two}",
        "exoskeletonAuth.caConfigMap=ca",
        "ingress.enabled=true",
        "ingress.host=mcp.example.com",
        "ingress.tlsSecret=certificate",
    ],
    &[
        "exoskeletonAuth.enabled=true",
        "exoskeletonAuth.existingSecret=oidc",
        "authz.enabled=false",
        "enclaves.reservedNames={cert-manager,istio-*}",
        "enclaves.ingressDomain=apps.example.com",
    ],
    &[
        "exoskeleton.enabled=true",
        "exoskeleton.postgres.host=db.data.svc",
        "exoskeleton.postgres.port=5433",
        "exoskeleton.postgres.user=admin",
        "exoskeleton.postgres.password=secret",
        "exoskeleton.postgres.sslMode=verify-full",
        "exoskeleton.postgres.caConfigMap=ca",
        "exoskeleton.nats.url=nats://nats.data.svc:4222",
        "exoskeleton.nats.token=secret",
        "exoskeleton.nats.pods={app=nats}",
        "exoskeleton.rustfs.endpoint=http://s3.data.svc:9000",
        "exoskeleton.rustfs.accessKey=key",
        "exoskeleton.rustfs.secretKey=secret",
    ],
    &[
        "exoskeleton.enabled=true",
        "exoskeleton.cleanupOnUndeploy=true",
        "exoskeleton.postgres.existingSecret=db",
        "exoskeleton.nats.existingSecret=nats",
        "exoskeleton.rustfs.existingSecret=s3",
        "exoskeleton.rustfs.accounts=iam",
        "exoskeleton.rustfs.networks={192.0.2.0/24}",
    ],
    &[
        "scheduler.image.tag=1.2.3",
        "auditor.logLevel=debug",
        "kernel.extraEnv[0].name=A",
        "kernel.extraEnv[0].value=b",
        "webhook.extraEnvFrom[0].configMapRef.name=c",
        "webhook.certificate.existingSecret=certificate",
        "nodeSelector.disk=ssd",
        "tolerations[0].key=k",
        "podAnnotations.a=b",
        "networkPolicies.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
        "moduleProxy.enabled=true",
        "moduleProxy.namespace=default",
    ],
];

/// A dry run of what helm would write. Server-side apply refuses a field that Kubernetes does not know.
async fn dry_run(client: &Client, object: &Value) -> anyhow::Result<()> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").rsplit_once('/').unwrap_or(("", text("/apiVersion")));
    let (resource, capabilities) = pinned_kind(client, &GroupVersionKind::gvk(group, version, text("/kind"))).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), text("/metadata/namespace"), &resource),
    };
    let params = PatchParams::apply("helm").force().dry_run();
    api.patch(text("/metadata/name"), &params, &Patch::Apply(object))
        .await
        .with_context(|| format!("{} {}", text("/kind"), text("/metadata/name")))?;
    Ok(())
}

#[tokio::test]
async fn e2e_chart_the_api_server_takes_every_object_with_all_values_that_are_meant_to_be_set() -> anyhow::Result<()>
{
    let control_plane = ControlPlane::exclusive().await?;
    install_rights(&control_plane).await?;
    let admin = control_plane.admin()?;
    for values in VALUES {
        let objects = render(&[], values).await.with_context(|| format!("{values:?}"))?;
        ensure!(objects.len() > 30, "{values:?} renders {} objects", objects.len());
        let runs = stream::iter(&objects).map(|object| dry_run(&admin, object)).buffer_unordered(8);
        runs.try_collect::<Vec<()>>().await.with_context(|| format!("{values:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn e2e_chart_its_pods_are_admitted_where_restricted_is_enforced() -> anyhow::Result<()> {
    let control_plane = ControlPlane::shared().await?;
    let admin = control_plane.admin()?;
    let name = control_plane.namespace("restricted").await?;
    let enforce = json!({ "metadata": { "labels": { ENFORCE: "restricted" } } });
    Api::<Namespace>::all(admin.clone()).patch(&name, &PatchParams::default(), &Patch::Merge(enforce)).await?;
    let accounts = Api::<ServiceAccount>::namespaced(admin.clone(), &name);
    for account in ["tentacular-mcp", "tentacular-webhook"] {
        let account = serde_json::from_value(json!({ "metadata": { "name": account } }))?;
        accounts.create(&PostParams::default(), &account).await?;
    }
    let pods = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(admin, &name);
    let mut admitted = 0;
    for object in render(&[], &["tls.existingSecret=tls"]).await? {
        let template = match object["kind"].as_str() {
            Some("Pod") => &object,
            Some("Deployment") => &object["spec"]["template"],
            _ => continue,
        };
        let mut pod = json!({ "metadata": { "name": "tried" }, "spec": template["spec"] });
        pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(pod.clone())?)
            .await
            .with_context(|| object["metadata"]["name"].to_string())?;
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let refused = pods
            .create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(pod)?)
            .await
            .expect_err("restricted is enforced here")
            .to_string();
        ensure!(refused.contains("violates PodSecurity"), "{refused}");
        admitted += 1;
    }
    ensure!(admitted == 3, "{admitted} kinds of pods: server, webhook, test");
    Ok(())
}

#[tokio::test]
async fn e2e_chart_a_wrong_value_is_refused_with_its_name() -> anyhow::Result<()> {
    for (value, needles) in [
        ("replicaCount=0", ["/replicaCount", "want 1"]),
        ("replicas=2", ["replicas", "not allowed"]),
        ("kernel.image.tga=1", ["/kernel/image", "tga"]),
        ("service.type=External", ["/service/type", "NodePort"]),
        ("externalURL=mcp.example.com", ["/externalURL", "pattern"]),
        ("scheduler.cronRunSeconds=601", ["/scheduler/cronRunSeconds", "600"]),
        ("exoskeletonAuth.enabled=true", ["exoskeletonAuth.issuerURL", "needed"]),
        ("ingress.enabled=true", ["ingress.host", "needed"]),
        ("route.enabled=true", ["route.parentRefs", "needed"]),
    ] {
        let error = render(&[], &[value]).await.expect_err(value).to_string();
        ensure!(needles.iter().all(|needle| error.contains(needle)), "{value}: {error}");
    }
    let error = render(&[], &["auth.token=a", "auth.bearerToken=b"]).await.expect_err("two tokens").to_string();
    ensure!(error.contains("same setting"), "{error}");
    Ok(())
}

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
    release.helm(&["upgrade", "tentacular-mcp", CHART, "--set=auth.bearerToken=chosen"]).await?;
    ensure!(release.token().await? == "chosen", "a token that is set counts");
    Ok(())
}
