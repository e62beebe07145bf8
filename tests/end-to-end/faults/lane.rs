//! A kernel and a registrar behind a proxy, in an installation that these tests share, with an enclave for tentacles to be disturbed.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use futures::future::try_join_all;
use kube::api::{DynamicObject, PostParams};
use serde_json::{from_value, json};
use tentacular_test_harness::{
    FaultProxy, Installation, Part, Shared, Stack, background,
    mcp::{Era, Mcp},
    stack::Options,
};

use super::{
    live::{CONFIG_MAP, Content, Live, same},
    release::six,
};
use crate::support::{enclave, unique, until_listed};

/// The tentacle that nobody means.
const BESIDE: &str = "beside";
const FOREIGN: &str = "foreign";

pub(super) struct Lane {
    pub(super) stack: Stack,
    pub(super) proxy: Arc<FaultProxy>,
    pub(super) mcp: Mcp,
    pub(super) live: Live,
    /// What the names of its enclaves begin with. Those of other lanes are not looked after.
    name: String,
    /// Where the tentacles are, and what stands beside them and is nobody's business.
    enclaves: Vec<(String, Content)>,
}

impl Lane {
    /// With so many enclaves, for as many calls at the same time.
    pub(super) async fn new(prefix: &str, enclaves: usize) -> anyhow::Result<Self> {
        Self::named(unique(prefix), enclaves).await
    }

    /// Another one for the same enclaves.
    pub(super) async fn another(&self) -> anyhow::Result<Self> {
        Self::named(self.name.clone(), 0).await
    }

    async fn named(name: String, enclaves: usize) -> anyhow::Result<Self> {
        let installation = installation().await?;
        let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
        let live = Live(installation.control_plane().admin()?);
        let options = Options {
            without: vec![Part::Scheduler, Part::Auditor],
            sidecar_args: BTreeMap::from([(Part::Registrar, vec![format!("--identity={}", unique(&name))])]),
            enclaves: Some(format!("{name}-")),
            through: BTreeMap::from([(Part::Registrar, Arc::clone(&proxy))]),
            ..Options::default()
        };
        let stack = background().spawn(Stack::start_with(installation, options)).await??;
        until_listed(&stack, "wf_apply", true).await?;
        let mcp = stack.client(Era::Stateless).await?;
        let made = (0..enclaves).map(|_| furnished(&mcp, &live, &name));
        let enclaves = try_join_all(made).await?;
        Ok(Self { stack, proxy, mcp, live, name, enclaves })
    }

    /// The name of one of its enclaves.
    pub(super) fn enclave(&self, slot: usize) -> &str {
        &self.enclaves[slot].0
    }

    /// A name for an enclave that it looks after.
    pub(super) fn unused_name(&self) -> String {
        unique(&self.name)
    }

    /// A new enclave with nothing in it.
    pub(super) async fn unused(&self) -> anyhow::Result<String> {
        enclave(&self.mcp, &self.name).await
    }

    /// Fails unless all that no call was about is as it was.
    pub(super) async fn beside_is_untouched(&self) -> anyhow::Result<()> {
        for (enclave, before) in &self.enclaves {
            same(before, &beside(&self.live, enclave).await?).context("what nobody meant")?;
        }
        Ok(())
    }
}

/// The installation that these tests share, which make hundreds of enclaves.
async fn installation() -> anyhow::Result<Arc<Installation>> {
    static SHARED: Shared<Arc<Installation>> = Shared::empty();
    Ok(Arc::clone(SHARED.get(Installation::start).await?))
}

/// An enclave with something in it that is nobody's business.
async fn furnished(mcp: &Mcp, live: &Live, prefix: &str) -> anyhow::Result<(String, Content)> {
    let enclave = enclave(mcp, prefix).await?;
    let arguments = json!({ "enclave": enclave, "name": BESIDE, "manifests": six(BESIDE, 1, 0) });
    mcp.call("wf_apply", arguments).await?;
    let foreign: DynamicObject = from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": FOREIGN }, "data": { "of": "nobody" },
    }))?;
    live.api(CONFIG_MAP, &enclave).create(&PostParams::default(), &foreign).await?;
    let before = beside(live, &enclave).await?;
    Ok((enclave, before))
}

/// What no call of a test is about: the enclave itself, another tentacle, and to its last member an object of nobody's.
async fn beside(live: &Live, enclave: &str) -> anyhow::Result<Content> {
    let mut all = live.enclave(enclave).await?;
    all.extend(
        live.release(enclave, BESIDE).await?.into_iter().map(|(name, object)| (format!("{BESIDE} {name}"), object)),
    );
    all.insert("uids".to_owned(), json!(live.uids(enclave, BESIDE).await?));
    let foreign = live.api(CONFIG_MAP, enclave).get(FOREIGN).await?;
    all.insert(FOREIGN.to_owned(), serde_json::to_value(foreign)?);
    Ok(all)
}
