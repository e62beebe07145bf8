//! The registrar's binary on a real API server, with its own service account and the chart's rights, called over its
//! socket as the kernel calls it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod applying;
mod backing;
mod cleaning;
mod deprovisioning;
mod enclaves;
mod half_way;
mod hostile;
mod identity;
mod messages;
mod module_proxy;
mod objects;
mod orphans;
mod permission;
mod permissions;
mod pod_security;
mod refusal;
mod removing;
mod renewal;
mod renewing;
mod restarting;
mod rotating;
mod showing;
mod swapped;
mod syncing;
mod world;
