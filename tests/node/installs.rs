//! From an empty cluster to a working tool call.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{bail, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Provider, TcpProxy,
    mcp::{Era, Mcp, Raw},
    services::{Access, Minio, Nats, Postgres},
    tls::Authority,
};

use crate::{release::Release, support::until};

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_with_default_values_it_answers_through_the_port_of_every_node() -> anyhow::Result<()> {
    let release = Release::with(&[]).await?;
    let token = release.token().await?;
    ensure!(token.len() == 64, "{} characters", token.len());
    release.client().await?;
    for node in [0, 1] {
        let mcp = Mcp::connect(&release.url(node)?, &token, Era::Handshake).await?;
        let enclaves = mcp.call("enclave_list", json!({})).await?;
        ensure!(enclaves["enclaves"] == json!([]), "{enclaves}");
        let nodes = mcp.call("health_nodes", json!({})).await?;
        ensure!(nodes.to_string().contains("node-a") && nodes.to_string().contains("node-b"), "{nodes}");
        let checked = mcp.call("cluster_preflight", json!({ "namespace": "default" })).await?;
        ensure!(checked["allPass"] == true, "{checked}");
    }
    for deployment in ["tentacular-mcp", "tentacular-webhook"] {
        let pods = release.pods(deployment).await?;
        let nodes: BTreeSet<_> = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        ensure!(pods.len() == 2 && nodes.len() == 2, "{deployment}: {} pods on {nodes:?}", pods.len());
    }
    release.helm(&["test", "tentacular-mcp"]).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_with_oidc_people_sign_in_and_own_what_they_make() -> anyhow::Result<()> {
    let release = Release::none().await?;
    let provider = Provider::start_on(release.cluster.address()?)?;
    let issuer = format!("exoskeletonAuth.issuerURL={}", provider.issuer());
    let values = ["exoskeletonAuth.enabled=true", &issuer, "exoskeletonAuth.clientID=tentacular-mcp"];
    release.install(&values).await?;
    release.client().await?;
    let token = provider.token(&provider.claims("ann", "ann@example.com"));
    let url = release.url(0)?;
    // The kernel fetches the provider's keys in the background.
    let ann = until("ann", || Mcp::connect(&url, &token, Era::Stateless), |_| true).await?;
    ann.call("enclave_provision", json!({ "name": "team" })).await?;
    let info = ann.call("enclave_info", json!({ "name": "team" })).await?;
    ensure!(info["owner"] == "ann@example.com", "{info}");
    let bob = provider.token(&provider.claims("bob", "bob@example.com"));
    let bob = Mcp::connect(&url, &bob, Era::Stateless).await?;
    let refusal = bob.refusal("wf_list", json!({ "enclave": "team" })).await?;
    ensure!(refusal.contains("permission denied"), "{refusal}");
    let stranger = Provider::start_on(release.cluster.address()?)?;
    let forged = stranger.token(&provider.claims("ann", "ann@example.com"));
    ensure!(
        Raw::new(&url, Some(&forged)).call("enclave_list", &json!({})).await?.status == 401,
        "a forged token counts"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_with_secrets_that_are_there_before_it_needs_no_other() -> anyhow::Result<()> {
    let release = Release::none().await?;
    let provider = Provider::start_on(release.cluster.address()?)?;
    let services = Services::start(&release).await?;
    let authority = Authority::new()?;
    let token = "a token that somebody chose";
    release.secret("mine", &json!({ "token": token })).await?;
    certificates(&release, &authority).await?;
    release.secret("oidc", &json!({ "issuer_url": provider.issuer(), "client_id": "tentacular-mcp" })).await?;
    let mut values = vec![
        "auth.existingSecret=mine",
        "tls.existingSecret=server-tls",
        "webhook.certificate.existingSecret=webhook-tls",
        "exoskeletonAuth.enabled=true",
        "exoskeletonAuth.existingSecret=oidc",
    ];
    let given = services.secrets(&release).await?;
    if !given.is_empty() {
        values.push("exoskeleton.enabled=true");
        values.extend(given.iter().map(|(_, value)| *value));
    }
    release.install(&values).await?;
    release.helm(&["test", "tentacular-mcp"]).await?;
    let made = release.secrets().get_opt("tentacular-mcp-auth").await?;
    ensure!(made.is_none(), "the chart made a token all the same");

    let raw =
        Raw::new(&release.url(0)?.replace("http:", "https:"), Some(token)).over(authority.client(&[])?.build()?);
    let call = |tool: &'static str, arguments: Value| {
        let raw = &raw;
        async move { anyhow::Ok(raw.call(tool, &arguments).await?.json()["result"]["structuredContent"].clone()) }
    };
    let arguments = json!({ "name": "team", "owner_email": "ann@example.com" });
    let enclave = until("an enclave", || call("enclave_provision", arguments.clone()), Value::is_object).await?;
    ensure!(enclave["name"] == "team", "{enclave}");
    for (available, _) in given {
        until(available, || call("exo_status", json!({})), |status: &Value| status[available] == true).await?;
    }
    let ann = provider.token(&provider.claims("ann", "ann@example.com"));
    let ann = Raw::new(&release.url(1)?.replace("http:", "https:"), Some(&ann)).over(authority.client(&[])?.build()?);
    let owned = until(
        "ann",
        || async { Ok(ann.call("enclave_list", &json!({})).await?.json()) },
        |json: &Value| json["result"]["structuredContent"]["enclaves"][0]["name"] == "team",
    );
    owned.await?;
    Ok(())
}

/// The backing services that this machine can have, and how pods get there: they are on loopback, where no pod comes.
struct Services {
    postgres: Option<(Postgres, TcpProxy)>,
    nats: Option<(Nats, TcpProxy)>,
    minio: Option<(Minio, TcpProxy)>,
}

impl Services {
    async fn start(release: &Release) -> anyhow::Result<Self> {
        let address = release.cluster.address()?;
        let way = |to: SocketAddr| TcpProxy::start_on(address, to);
        let way = &way;
        let postgres = Postgres::start().await?.map(|one| way(one.server.address()).map(|way| (one, way)));
        let nats = Nats::with_token().await?.map(|one| way(one.server.address()).map(|way| (one, way)));
        let minio = Minio::start().await?.map(|one| way(one.server.address()).map(|way| (one, way)));
        Ok(Self { postgres: postgres.transpose()?, nats: nats.transpose()?, minio: minio.transpose()? })
    }

    /// Makes a Secret for each. Returns the member of `exo_status` that says whether it is available, and the chart's value.
    async fn secrets(&self, release: &Release) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
        let mut made = Vec::new();
        if let Some((postgres, way)) = &self.postgres {
            let (login, address) = (&postgres.administrator, way.address());
            let secret = json!({
                "host": address.ip(), "port": address.port().to_string(),
                "database": login.database, "user": login.user, "password": login.password,
            });
            release.secret("database", &secret).await?;
            made.push(("postgres_available", "exoskeleton.postgres.existingSecret=database"));
        }
        if let Some((nats, way)) = &self.nats {
            let Access::Token(token) = &nats.access else { bail!("{nats:?} has no token") };
            release
                .secret("messages", &json!({ "url": format!("nats://{}", way.address()), "token": token }))
                .await?;
            made.push(("nats_available", "exoskeleton.nats.existingSecret=messages"));
        }
        if let Some((minio, way)) = &self.minio {
            let secret = json!({
                "endpoint": format!("http://{}", way.address()), "bucket": "tentacular", "region": "us-east-1",
                "access_key": minio.access_key, "secret_key": minio.secret_key,
            });
            release.secret("objects", &secret).await?;
            made.push(("rustfs_available", "exoskeleton.rustfs.existingSecret=objects"));
        }
        Ok(made)
    }
}

/// The Secrets `server-tls` and `webhook-tls`, with certificates of `authority`.
async fn certificates(release: &Release, authority: &Authority) -> anyhow::Result<()> {
    let month = Duration::from_hours(30 * 24);
    let node = release.cluster.workers().iter().map(|worker| worker.address().to_string()).collect::<Vec<_>>();
    let server = ["tentacular-mcp.tentacular-system.svc.cluster.local", &node[0], &node[1]];
    let webhook = ["svc", "svc.cluster.local"].map(|end| format!("tentacular-webhook.tentacular-system.{end}"));
    let webhook = webhook.each_ref().map(String::as_str);
    let (server, webhook) = (authority.lasting(&server, month)?, authority.lasting(&webhook, month)?);
    // With the authority behind it, as whoever trusts the file is to trust the certificate.
    let chain = format!("{}{}", server.certificate, authority.pem());
    release.secret("server-tls", &json!({ "tls.crt": chain, "tls.key": server.key })).await?;
    let certificate = json!({ "ca.crt": authority.pem(), "tls.crt": webhook.certificate, "tls.key": webhook.key });
    release.secret("webhook-tls", &certificate).await?;
    Ok(())
}
