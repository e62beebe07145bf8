//! Wires the kernel together: arguments in, parts started, the listener served until the drain is over.

use std::time::Duration;

use anyhow::Context as _;
use tentacular_cluster::Cluster;
use tentacular_process::{Context, http};
use tokio::{net::TcpListener, time::timeout};

use crate::{
    args::Args,
    authn::Authenticator,
    authz::{Authorizer, Facts},
    edge::{Edge, entrance::Entrance, forward::Forwarder},
    sidecars::{BuiltIn, Registry},
};

pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args {
        listen,
        token_path,
        authorization,
        linger_seconds,
        run_dir,
        registrar_uid,
        scheduler_uid,
        auditor_uid,
        platform,
        process: _,
    } = args;
    let authenticator = Authenticator::new(&token_path)?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let cluster = Cluster::connect(<Args as tentacular_process::Part>::NAME).await?;

    authenticator.follow(&context);
    let facts = Facts::watch(cluster, platform, &context);
    let built_in = [
        BuiltIn::new("registrar", registrar_uid),
        BuiltIn::new("scheduler", scheduler_uid),
        BuiltIn::new("auditor", auditor_uid),
    ];
    let registry = Registry::watch(&run_dir, built_in, &context)?;
    let forwarder = Forwarder::new();
    let edge = Edge::new(
        Entrance::new(authenticator),
        Authorizer::new(facts, authorization, &context),
        registry,
        forwarder.clone(),
        context.draining.clone(),
    );
    let address = listener.local_addr()?;
    tracing::info!(%address, authorization, "serving MCP on /mcp");
    let stop = context.lingering(Duration::from_secs(linger_seconds));
    http::serve(listener, edge, stop, context.drain_time).await;
    if timeout(context.drain_time, forwarder.finished()).await.is_err() {
        tracing::warn!("drain time is over, forwarded calls are cut");
    }
    Ok(())
}
