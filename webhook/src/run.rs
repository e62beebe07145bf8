//! Puts the parts together.

use std::time::Duration;

use anyhow::Context as _;
use tentacular_cluster::{Cluster, Election, ElectionTimes, Enclaves};
use tentacular_contract::keys;
use tentacular_process::{
    Context, Part,
    http::{
        self,
        tls::{Serving, TlsListener},
    },
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    admit::Installation,
    args::{Args, serving_names},
    callers::Callers,
    decisions::Decisions,
    keeper::{Expiry, Keeper, Source, stand},
    namespaces::{self, Namespaces},
    review::Reviewer,
    server::Admission,
    server_version,
    trust::Trust,
};

/// How long connections are still taken after SIGTERM: others learn of it that much later, and while nobody answers the API
/// server refuses every write in an enclave.
const LINGER: Duration = Duration::from_secs(5);

/// Serves reviews until the process is told to end.
///
/// # Errors
/// When the address is taken, or credentials for the cluster cannot be read. A cluster that does not answer yet is
/// waited for.
pub async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args {
        listen,
        service,
        extra_names,
        configuration,
        certificate_life_seconds,
        certificate_secret,
        identity,
        platform,
        process: _,
        command: _,
    } = args;
    let names = serving_names(&service, &platform.server_namespace, &platform.cluster_domain, extra_names)?;
    let listener = http::listen(listen).with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let address = listener.local_addr()?;
    let cluster = Cluster::connect(Args::NAME).await?;

    let namespace = platform.server_namespace.clone();
    let identity = identity.unwrap_or_else(|| format!("webhook-{}", Uuid::now_v7()));
    let times = ElectionTimes::default();
    let election = Election::new(&cluster, &namespace, keys::WEBHOOK_LEASE, &identity, times);
    let (leads, leading) = watch::channel(false);
    let serving = Serving::default();
    // All that the API server speaks with a Service (kubernetes issue 75791).
    let tls = TlsListener::http1(listener, serving.clone())?;
    let issued = Source::Issued(Duration::from_secs(certificate_life_seconds));
    let keeper = Keeper {
        cluster: cluster.clone(),
        namespace,
        names,
        source: certificate_secret.map_or(issued, Source::Provided),
        trust: Trust { cluster: cluster.clone(), configuration },
        serving,
        expiry: Expiry::new(&context.metrics),
    };
    context.spawn("certificate", keeper.keep(leading, context.health.condition("certificate")));

    let (version, following) = server_version::follow(cluster.clone());
    context.spawn("server version", following);
    let installation = Installation { ingress_domain: platform.ingress_domain.clone(), version };
    let callers = Callers::of_cluster(&cluster, &platform.server_namespace);
    let (enclaves, watching) = Enclaves::new(cluster, platform);
    context.spawn("enclave watch", async move {
        watching.await;
        Ok(())
    });
    let known = context.health.condition("enclaves");
    context.spawn("readiness", namespaces::watch_over(enclaves.clone(), known));
    namespaces::show_age(enclaves.clone(), &context.metrics);

    tracing::info!(%address, "serving admission reviews");
    let decisions = Decisions::new(&context.metrics);
    let reviewer = Reviewer::new(decisions.clone(), Namespaces::watched(enclaves), callers, installation);
    let serve = http::serve(tls, Admission::new(reviewer, decisions), context.ending(LINGER));
    tokio::join!(serve, stand(election, leads, context.draining.clone()));
    Ok(())
}
