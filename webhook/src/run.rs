//! Puts the parts together.

use std::time::Duration;

use anyhow::Context as _;
use tentacular_cluster::Cluster;
use tentacular_contract::Platform;
use tentacular_process::{
    Context,
    http::{
        self,
        tls::{Serving, TlsListener},
    },
};

use crate::{
    args::{Args, serving_names},
    keeper::Keeper,
    review::Reviewer,
    server::Admission,
};

/// How long connections are still taken after SIGTERM: the API server learns of it that much later, and while nobody
/// answers it refuses every write in an enclave.
const LINGER: Duration = Duration::from_secs(5);

/// Serves reviews until the process is told to end.
///
/// # Errors
/// When the address is taken, or credentials for the cluster cannot be read. A cluster that does not answer yet is
/// waited for.
pub(crate) async fn run(args: Args, context: Context) -> anyhow::Result<()> {
    let Args { listen, service, extra_names, configuration, platform, process: _ } = args;
    let Platform { server_namespace, cluster_domain, .. } = platform;
    let names = serving_names(&service, &server_namespace, &cluster_domain, extra_names)?;
    let listener = http::listen(listen).with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let address = listener.local_addr()?;
    let cluster = Cluster::connect("webhook").await?;

    let serving = Serving::default();
    let tls = TlsListener::new(listener, serving.clone())?;
    let keeper = Keeper { cluster, namespace: server_namespace, configuration, names, serving };
    context.spawn("certificate", keeper.keep(context.health.condition("certificate")));
    tracing::info!(%address, "serving admission reviews");
    let admission = Admission(Reviewer::new(&context.metrics));
    http::serve(tls, admission, context.lingering(LINGER), context.drain_time).await;
    Ok(())
}
