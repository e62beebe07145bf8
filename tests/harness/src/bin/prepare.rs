//! Builds what tests start and is no part of the product.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tentacular_test_harness::prepare().await
}
