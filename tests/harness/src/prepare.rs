//! What takes minutes to build and is no part of the product, made before the tests begin: beside them it would take the time
//! that they have for what they wait for.

use crate::{binaries, chart, keycloak, promtool, services};

/// Builds what tests start and is not in the cache yet, one after the other. What needs a program that is not here is left
/// out, with a printed reason.
///
/// # Errors
/// When something cannot be built.
pub async fn prepare() -> anyhow::Result<()> {
    binaries::folder().await?;
    chart::helm().await?;
    promtool::program().await?;
    services::prepare().await?;
    keycloak::prepare().await
}
