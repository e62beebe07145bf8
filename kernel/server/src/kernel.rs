//! Wires the kernel together: arguments in, parts started, the listener served until the drain is over.

use std::time::Duration;

use anyhow::Context as _;
use tentacular_cluster::Cluster;
use tentacular_contract::Policy;
use tentacular_process::{
    Context,
    http::{self, tls::TlsListener},
};
use tokio::time::timeout;

use crate::{
    args::Args,
    authn::{Authenticator, Oidc, OidcSettings},
    authz::{Authorizer, Facts},
    edge::{Edge, ExternalUrl, entrance::Entrance, forward::Forwarder},
    sidecars::{BuiltIn, Registry},
    tls,
};

pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args {
        listen,
        token_path,
        authorization,
        cluster_read,
        linger_seconds,
        run_dir,
        registrar_uid,
        scheduler_uid,
        auditor_uid,
        oidc,
        origin,
        tls,
        platform,
        process: _,
        command: _,
    } = args;
    let external_url = external_url(&origin.external_url)?;
    let oidc = OidcSettings::from_args(oidc, external_url.as_ref())?;
    let oidc = oidc.map(|settings| Oidc::start(settings, &context)).transpose()?;
    let authenticator = Authenticator::new(&token_path, oidc)?;
    authenticator.follow(&context);
    let entrance = Entrance::new(authenticator, external_url.as_ref(), origin, &context)?;
    let tls = tls::start(tls, &context)?;
    let listener = http::listen(listen).with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let cluster = Cluster::connect(<Args as tentacular_process::Part>::NAME).await?;

    let facts = Facts::watch(cluster, platform, &context);
    let built_in = [
        BuiltIn::new("registrar", registrar_uid),
        BuiltIn::new("scheduler", scheduler_uid),
        BuiltIn::new("auditor", auditor_uid),
    ];
    let registry = Registry::watch(&run_dir, built_in, &context)?;
    let forwarder = Forwarder::new();
    let edge = Edge::new(
        entrance,
        Authorizer::new(facts, Policy { authorization, cluster_read }),
        registry,
        forwarder.clone(),
        &context,
    );
    let address = listener.local_addr()?;
    tracing::info!(%address, authorization, tls = tls.is_some(), "serving MCP on /mcp");
    let ending = context.ending(Duration::from_secs(linger_seconds));
    match tls {
        Some(serving) => http::serve(TlsListener::new(listener, serving)?, edge, ending).await,
        None => http::serve(listener, edge, ending).await,
    }
    if timeout(context.drain_time, forwarder.finished()).await.is_err() {
        tracing::warn!("drain time is over, forwarded calls are cut");
    }
    Ok(())
}

/// The external URL, where one is set.
fn external_url(text: &str) -> anyhow::Result<Option<ExternalUrl>> {
    if text.is_empty() {
        return Ok(None);
    }
    let url: ExternalUrl = text
        .parse()
        .map_err(|problem| anyhow::anyhow!("invalid --external-url (TENTACULAR_EXTERNAL_URL): {problem}"))?;
    if url.is_plain_http() {
        tracing::warn!("the external URL is plain HTTP: tokens can be read on the way");
    }
    Ok(Some(url))
}
