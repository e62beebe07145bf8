//! The API server takes every object, with all values that are meant to be set.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Client,
    api::{Api, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde_json::Value;
use tentacular_test_harness::{
    ControlPlane,
    chart::{CHART, render},
    definitions::{GATEWAY, MONITORING},
    installation::install_rights,
};

use super::PROCESSES;

/// Groups of kinds that other projects define.
const FOREIGN: [&str; 2] = ["monitoring.coreos.com/", "gateway.networking.k8s.io/"];

/// Values that are meant to be set, together with each other. Each value of the chart is among them.
const VALUES: [&[&str]; 11] = [
    &[],
    &[
        "service.type=ClusterIP",
        "service.port=80",
        "service.annotations.a=b",
        "networkPolicies.enabled=false",
        "replicaCount=1",
        "webhook.replicaCount=1",
        "image.registry=",
        "image.repository=tentacular",
        "image.tag=1.2.3",
        "image.pullPolicy=Always",
        "clusterDomain=example.internal",
        "rbac.readAllPods=false",
    ],
    &[
        "service.type=LoadBalancer",
        "service.nodePort=",
        "externalURL=https://mcp.example.com",
        "allowedHosts={mcp.example.com}",
        "allowedOrigins={https://app.example.com}",
        "trustedProxies={192.0.2.0/24}",
        "namespace.create=true",
        "auth.token=secret",
        "auth.bearerToken=secret",
        "auth.requireAudience=true",
        "auth.trustUnmarkedEmail=true",
        "auth.requiredScopes={tentacular}",
    ],
    &[
        "auth.existingSecret=mine",
        "tls.existingSecret=tls",
        "imagePullSecrets[0].name=pull",
        "priorityClassName=high",
        "monitoring.podMonitor.enabled=true",
        "monitoring.podMonitor.labels.release=prometheus",
        "monitoring.podMonitor.interval=15s",
        "monitoring.rules.enabled=true",
        "monitoring.rules.labels.release=prometheus",
        "monitoring.dashboard.enabled=true",
        "monitoring.dashboard.labels.grafana_dashboard=yes",
        "monitoring.dashboard.annotations.grafana_folder=tentacular",
    ],
    &[
        "exoskeletonAuth.enabled=true",
        "exoskeletonAuth.issuerURL=https://id.example.com",
        "exoskeletonAuth.clientID=tentacular-mcp",
        "exoskeletonAuth.clientSecret=secret",
        "exoskeletonAuth.trustedAZPs={one,two}",
        "exoskeletonAuth.caConfigMap=ca",
        "ingress.enabled=true",
        "ingress.className=nginx",
        "ingress.annotations.a=b",
        "ingress.host=mcp.example.com",
        "ingress.tlsSecret=certificate",
        "route.enabled=true",
        "route.hostnames={mcp.example.com}",
        "route.parentRefs[0].name=gateway",
    ],
    &[
        "exoskeletonAuth.enabled=true",
        "exoskeletonAuth.existingSecret=oidc",
        "authz.enabled=false",
        "authz.clusterRead=bearer",
        "enclaves.reservedNames={cert-manager,istio-*}",
        "enclaves.namePattern=team-[a-z]+",
        "enclaves.ingressDomain=apps.example.com",
        "enclaves.perOwner=3",
    ],
    &[
        "exoskeleton.enabled=true",
        "exoskeleton.postgres.host=db.data.svc",
        "exoskeleton.postgres.port=5433",
        "exoskeleton.postgres.database=tentacles",
        "exoskeleton.postgres.user=admin",
        "exoskeleton.postgres.password=secret",
        "exoskeleton.postgres.sslMode=verify-full",
        "exoskeleton.postgres.caConfigMap=ca",
        "exoskeleton.postgres.pods={app=postgres}",
        "exoskeleton.nats.url=nats://nats.data.svc:4222",
        "exoskeleton.nats.account=A",
        "exoskeleton.nats.signingKey=SA",
        "exoskeleton.nats.operatorKey=SO",
        "exoskeleton.nats.systemCreds=creds",
        "exoskeleton.nats.credentialDays=30",
        "exoskeleton.nats.jetstream.diskMib=64",
        "exoskeleton.nats.jetstream.memoryMib=8",
        "exoskeleton.nats.jetstream.streams=3",
        "exoskeleton.nats.jetstream.consumers=4",
        "exoskeleton.nats.caConfigMap=ca",
        "exoskeleton.nats.pods={app=nats}",
        "exoskeleton.rustfs.endpoint=http://s3.data.svc:9000",
        "exoskeleton.rustfs.accessKey=key",
        "exoskeleton.rustfs.secretKey=secret",
        "exoskeleton.rustfs.bucket=tentacles",
        "exoskeleton.rustfs.region=eu",
        "exoskeleton.rustfs.caConfigMap=ca",
        "exoskeleton.rustfs.pods={app=s3}",
    ],
    &[
        "exoskeleton.enabled=true",
        "exoskeleton.cleanupOnUndeploy=true",
        "exoskeleton.maxCredentialAge=90d",
        "exoskeleton.postgres.existingSecret=db",
        "exoskeleton.postgres.networks={192.0.2.0/24}",
        "exoskeleton.nats.existingSecret=nats",
        "exoskeleton.nats.networks={192.0.2.0/24}",
        "exoskeleton.rustfs.existingSecret=s3",
        "exoskeleton.rustfs.accounts=iam",
        "exoskeleton.rustfs.iamEndpoint=https://iam.example.com",
        "exoskeleton.rustfs.networks={192.0.2.0/24}",
    ],
    &[
        "exoskeleton.enabled=true",
        "exoskeleton.nats.url=nats://nats.data.svc:4222",
        "exoskeleton.nats.spiffeEnabled=true",
        "exoskeleton.nats.authzConfigMap=authz",
        "exoskeleton.nats.authzNamespace=default",
        "exoskeleton.spire.enabled=true",
        "exoskeleton.spire.className=spire",
    ],
    &[
        "exoskeleton.enabled=true",
        "exoskeleton.nats.url=nats://nats.data.svc:4222",
        "exoskeleton.nats.token=secret",
        "sidecars[0].name=greeter",
        "sidecars[0].image=greeter:1",
        "sidecars[0].imagePullPolicy=Always",
        "sidecars[0].uid=1001",
        "sidecars[0].command={/greeter}",
        "sidecars[0].args={--quiet}",
        "sidecars[0].env[0].name=A",
        "sidecars[0].env[0].value=b",
        "sidecars[0].envFrom[0].configMapRef.name=c",
        "sidecars[0].resources.limits.memory=64Mi",
    ],
    &[
        "scheduler.cronRunSeconds=60",
        "auditor.chromaURL=http://chroma.example.com",
        "auditor.docsURL=https://docs.example.com",
        "webhook.certificate.existingSecret=certificate",
        "webhook.certificate.lifeSeconds=86400",
        "annotations.a=b",
        "podAnnotations.a=b",
        "nodeSelector.disk=ssd",
        "tolerations[0].key=k",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key=k",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator=Exists",
        "topologySpreadConstraints[0].topologyKey=topology.kubernetes.io/zone",
        "topologySpreadConstraints[0].maxSkew=2",
        "topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule",
        "fsGroup=1000",
        "networkPolicies.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
        "moduleProxy.enabled=true",
        "moduleProxy.namespace=default",
        "moduleProxy.image=esm:1",
        "moduleProxy.storageSize=5Gi",
    ],
];

const DIGEST: &str = "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Values that each part has.
const OF_A_PART: [&str; 11] = [
    "image.registry=registry.example.com",
    "image.repository=own",
    "image.tag=1.2.3",
    DIGEST,
    "logLevel=debug",
    "resources.limits.memory=1Gi",
    "resources.requests.memory=64Mi",
    "resources.requests.cpu=100m",
    "extraEnv[0].name=A",
    "extraEnv[0].value=b",
    "extraEnvFrom[0].configMapRef.name=c",
];

/// The sets of values, the last with those of a part for each.
fn sets() -> Vec<Vec<String>> {
    let owned = |values: &&[&str]| values.iter().map(|&value| value.to_owned()).collect();
    let mut sets: Vec<Vec<String>> = VALUES.iter().map(owned).collect();
    let of_parts = PROCESSES.iter().zip(1001..).flat_map(|(part, uid)| {
        let name = part.name();
        OF_A_PART.map(|value| format!("{name}.{value}")).into_iter().chain([format!("{name}.uid={uid}")])
    });
    sets.push(of_parts.collect());
    sets
}

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
    let all_kinds = MONITORING.install(&admin).await? && GATEWAY.install(&admin).await?;
    for values in sets() {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let mut objects = render(&[], &values).await.with_context(|| format!("{values:?}"))?;
        ensure!(objects.len() > 30, "{values:?} renders {} objects", objects.len());
        if !all_kinds {
            objects.retain(|object| {
                object["apiVersion"].as_str().is_none_or(|of| !FOREIGN.iter().any(|group| of.starts_with(group)))
            });
        }
        let runs = stream::iter(&objects).map(|object| dry_run(&admin, object)).buffer_unordered(8);
        runs.try_collect::<Vec<()>>().await.with_context(|| format!("{values:?}"))?;
    }
    Ok(())
}

/// The paths of all values in values.yaml, those of empty objects included.
fn paths(values: &Value, path: &str, found: &mut Vec<String>) {
    match values.as_object() {
        Some(members) if !members.is_empty() => {
            for (name, value) in members {
                paths(value, format!("{path}.{name}").trim_start_matches('.'), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn e2e_chart_every_value_is_tried() -> anyhow::Result<()> {
    let values: Value = serde_saphyr::from_str(&std::fs::read_to_string(format!("{CHART}/values.yaml"))?)?;
    let mut all = Vec::new();
    paths(&values, "", &mut all);
    ensure!(all.len() > 100, "{all:?}");
    let sets = sets();
    let tried = |path: &&String| {
        let sets = || sets.iter().flatten().filter_map(|value| value.strip_prefix(path.as_str()));
        sets().any(|rest| rest.starts_with(['=', '.', '[']))
    };
    let untried: Vec<_> = all.iter().filter(|path| !tried(path)).collect();
    ensure!(untried.is_empty(), "no set of values in this file has {untried:?}");
    Ok(())
}
