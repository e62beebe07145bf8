//! Wrong values are refused with their name and what to do.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tentacular_test_harness::chart::{CHART, helm, render};

#[tokio::test]
async fn e2e_chart_a_wrong_value_is_refused_with_its_name() -> anyhow::Result<()> {
    for (value, needles) in [
        ("replicaCount=0", ["/replicaCount", "want 1"]),
        ("replicas=2", ["replicas", "not allowed"]),
        ("kernel.image.tga=1", ["/kernel/image", "tga"]),
        ("registrar.image.digest=sha256:1", ["/registrar/image/digest", "pattern"]),
        ("service.type=External", ["/service/type", "NodePort"]),
        ("externalURL=mcp.example.com", ["/externalURL", "pattern"]),
        ("scheduler.cronRunSeconds=601", ["/scheduler/cronRunSeconds", "600"]),
        ("exoskeleton.postgres.sslMode=on", ["/exoskeleton/postgres/sslMode", "verify-full"]),
        ("exoskeleton.rustfs.accounts=aws", ["/exoskeleton/rustfs/accounts", "minio"]),
        ("authz.clusterRead=all", ["/authz/clusterRead", "bearer"]),
        ("enclaves.ingressDomain=*.example.com", ["/enclaves/ingressDomain", "pattern"]),
        ("enclaves.reservedNames={Cert}", ["/enclaves/reservedNames/0", "pattern"]),
        ("clusterDomain=cluster..local", ["/clusterDomain", "pattern"]),
        ("sidecars[0].name=greeter", ["/sidecars/0", "image"]),
        ("monitoring.podMonitor.interval=often", ["/monitoring/podMonitor/interval", "pattern"]),
        ("topologySpreadConstraints[0].maxSkew=1", ["/topologySpreadConstraints/0", "topologyKey"]),
        ("scheduler.uid=65534", ["kernel.uid", "must be different"]),
        ("exoskeletonAuth.enabled=true", ["exoskeletonAuth.issuerURL", "needed"]),
        ("ingress.enabled=true", ["ingress.host", "needed"]),
        ("route.enabled=true", ["route.parentRefs", "needed"]),
    ] {
        refused(value, needles).await?;
    }
    Ok(())
}

/// The chart cannot be rendered with these values, and all of `needles` say why.
async fn refused(values: &str, needles: [&str; 2]) -> anyhow::Result<()> {
    let error = render(&[], &[values]).await.expect_err(values).to_string();
    ensure!(needles.iter().all(|needle| error.contains(needle)), "{values}: {error}");
    Ok(())
}

/// Values that are right one by one.
#[tokio::test]
async fn e2e_chart_values_that_do_not_go_together_are_refused_with_what_to_do() -> anyhow::Result<()> {
    for (values, needles) in [
        ("auth.token=a,auth.bearerToken=b", ["auth.bearerToken: ", "same setting"]),
        ("auth.token=a,auth.existingSecret=s", ["auth.token: ", "beside auth.existingSecret"]),
        ("auth.bearerToken=a,auth.existingSecret=s", ["auth.token: ", "beside auth.existingSecret"]),
        (
            "exoskeletonAuth.existingSecret=s,exoskeletonAuth.clientID=c",
            ["exoskeletonAuth.existingSecret: ", "clientID"],
        ),
        ("service.nodePort=8080", ["service.nodePort: ", "30000"]),
        ("service.nodePort=40000", ["service.nodePort: ", "32767"]),
        (
            "moduleProxy.enabled=true,moduleProxy.namespace=tentacular-system",
            ["moduleProxy.namespace: ", "of its own"],
        ),
        ("sidecars[0].name=a,sidecars[0].image=b,sidecars[0].uid=65532", ["sidecars[].uid", "must be different"]),
        ("sidecars[0].name=auditor,sidecars[0].image=b,sidecars[0].uid=1", ["sidecars[].name: ", "auditor"]),
    ] {
        refused(values, needles).await?;
    }
    // A port of a node is none of other types.
    render(&[], &["service.type=ClusterIP", "service.nodePort=8080"]).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_chart_a_backing_service_that_is_set_in_part_is_refused_with_all_that_is_missing() -> anyhow::Result<()> {
    for (of, values, needles) in [
        ("postgres", &["host=h"][..], ["postgres.user: it is needed", "postgres.password: it is needed"]),
        ("postgres", &["user=u", "password=p"], ["postgres.user: ", "set exoskeleton.postgres.host"]),
        ("postgres", &["existingSecret=s", "host=h"], ["postgres.existingSecret: ", "leave out host"]),
        ("nats", &["url=n"], ["nats.url: ", "signingKey"]),
        ("nats", &["url=n", "token=t", "account=A", "signingKey=S"], ["nats.token: ", "in one way"]),
        ("nats", &["url=n", "token=t", "spiffeEnabled=true"], ["nats.token: ", "in one way"]),
        ("nats", &["url=n", "signingKey=S"], ["nats.signingKey: ", "account"]),
        ("nats", &["url=n", "account=A", "signingKey=S", "operatorKey=O"], ["nats.operatorKey: ", "systemCreds"]),
        ("rustfs", &["endpoint=e"], ["rustfs.accessKey: it is needed", "rustfs.secretKey: it is needed"]),
        ("rustfs", &["existingSecret=s", "secretKey=k"], ["rustfs.existingSecret: ", "leave out endpoint"]),
    ] {
        let values: Vec<_> = values.iter().map(|value| format!("exoskeleton.{of}.{value}")).collect();
        let set = |more: &'static str| values.iter().map(String::as_str).chain([more]).collect::<Vec<_>>();
        let error = render(&[], &set("exoskeleton.enabled=true")).await.expect_err(of).to_string();
        ensure!(needles.iter().all(|needle| error.contains(needle)), "{values:?}: {error}");
        render(&[], &set("exoskeleton.enabled=false")).await.context("nothing counts where all are off")?;
    }
    let elsewhere =
        ["exoskeleton.enabled=true", "exoskeleton.postgres.host=h", "registrar.extraEnvFrom[0].secretRef.name=s"];
    render(&[], &elsewhere).await.context("the rest may come from variables")?;
    Ok(())
}

/// A value of the wrong type for each, and for an object a member that it does not have.
#[tokio::test]
async fn e2e_chart_every_value_at_the_top_is_checked() -> anyhow::Result<()> {
    /// Their members are the user's.
    const FREE: [&str; 4] = ["annotations", "podAnnotations", "nodeSelector", "affinity"];
    let values: Value = serde_saphyr::from_str(&std::fs::read_to_string(format!("{CHART}/values.yaml"))?)?;
    let (mut wrong, mut expected) = (Vec::new(), Vec::new());
    for (key, value) in values.as_object().context("values")? {
        if value.is_object() && !FREE.contains(&key.as_str()) {
            wrong.push(format!("{key}.unheardOf=1"));
            expected.push(format!("at '/{key}': additional properties 'unheardOf' not allowed"));
        } else {
            wrong.push(if value.is_string() { format!("{key}={{wrong}}") } else { format!("{key}=wrong") });
            expected.push(format!("at '/{key}': got "));
        }
    }
    let wrong: Vec<_> = wrong.iter().map(String::as_str).collect();
    let error = render(&[], &wrong).await.expect_err("wrong values").to_string();
    for needle in &expected {
        ensure!(error.contains(needle), "no {needle:?} in {error}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_chart_values_of_the_older_chart_are_refused_with_what_to_do() -> anyhow::Result<()> {
    let old = [
        ("nameOverride=mine", "names are fixed"),
        ("fullnameOverride=mine", "names are fixed"),
        ("namespaceOverride=mine", "--namespace"),
        ("serviceAccount.create=true", "leave it out"),
        ("rbac.create=true", "leave it out"),
        ("deployment.strategy.type=Recreate", "podAnnotations"),
        ("resources.limits.memory=1Gi", "kernel.resources"),
        ("podSecurityContext.runAsUser=1", "kernel.uid"),
        ("securityContext.runAsUser=1", "kernel.uid"),
        ("livenessProbe.periodSeconds=1", "leave it out"),
        ("readinessProbe.periodSeconds=1", "leave it out"),
        ("extraEnvFrom[0].configMapRef.name=c", "kernel.extraEnvFrom"),
        ("exoskeleton.secretRef=s", "exoskeleton.postgres.existingSecret"),
    ];
    let all = old.map(|(value, _)| value);
    let error = render(&[], &all).await.expect_err("values of the older chart").to_string();
    for (value, advice) in old {
        let path = value.split(['=', '[']).next().unwrap_or_default();
        let section = if path.starts_with("exoskeleton.") || path.starts_with("rbac.") {
            path
        } else {
            path.split('.').next().unwrap_or_default()
        };
        let told = error.lines().any(|line| line.contains(&format!("{section}: ")) && line.contains(advice));
        ensure!(told, "nothing of {section} with {advice:?} in {error}");
    }
    let harmless = ["nameOverride=", "resources=null", "exoskeleton.secretRef="];
    render(&[], &harmless).await.context("an empty one says nothing")?;
    Ok(())
}

#[tokio::test]
async fn e2e_chart_helm_lint_finds_nothing() -> anyhow::Result<()> {
    let mut helm = helm().await?;
    let output = helm.args(["lint", "--strict", CHART]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
