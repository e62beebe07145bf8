//! Names that a stranger guesses: whoever may not read an enclave learns nothing of what is in it, not even from what stands
//! in the kernel's way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use tentacular_test_harness::{
    FaultProxy, Installation, Part, Stack, background,
    fault_proxy::{Call, Fault},
    mcp::{Era, Raw},
    stack::Options,
};

use crate::{
    freshness::{answering, kernel_through_proxy, made},
    support::{OWN, person, provider, until_listed},
    wire::Message,
};

const TOOLS: [(&str, &str); 5] = [
    ("guess_read", "read"),
    ("guess_write", "write"),
    ("guess_execute", "execute"),
    ("guess_own", "own"),
    ("guess_none", "none"),
];

/// What somebody is answered about a name, which stands for every name.
async fn told(raw: &Raw, tool: &str, enclave: &str, name: &str) -> anyhow::Result<String> {
    let answer = Message::call(Era::Stateless, tool, &json!({ "enclave": enclave, "name": name })).post(raw).await?;
    Ok(answer.json()["result"].to_string().replace(name, "NAME"))
}

fn is_read(call: &Call) -> bool {
    call.method == Method::GET && call.path.contains("/deployments/")
}

#[tokio::test]
async fn whoever_may_not_read_an_enclave_cannot_tell_a_tentacle_from_none() -> anyhow::Result<()> {
    let (stack, proxy) = kernel_through_proxy().await?;
    let declared = |needs: &str| -> Value {
        let on = if needs == "none" { "caller" } else { "tentacle" };
        json!({ "on": on, "needs": needs, "enclave": ["/enclave"], "tentacle": ["/name"] })
    };
    let _sidecar = answering(&stack, "guess", TOOLS.map(|(tool, needs)| (tool, declared(needs)))).await?;
    let admin = stack.installation().control_plane().admin()?;
    let (closed, runs) = (made(&admin, "rwxrwx---").await?, made(&admin, "rwx--x---").await?);
    let (ann, bob, eve) =
        tokio::try_join!(person(&stack, "fresh-ann"), person(&stack, "fresh-bob"), person(&stack, "fresh-eve"))?;
    for enclave in [&closed, &runs] {
        assert!(told(&ann, "guess_read", enclave, "report").await?.contains("\"isError\":false"));
    }

    proxy.start_afresh();
    proxy.fail(0..usize::MAX, is_read, Fault::Status(503, None));
    for (tool, needs) in TOOLS {
        let (there, missing) =
            (told(&eve, tool, &closed, "report").await?, told(&eve, tool, &closed, "nothing").await?);
        assert_eq!(there, missing, "{needs}");
        assert_eq!(there.contains("permission denied"), needs != "none", "{there}");
    }
    for tool in ["guess_read", "guess_write"] {
        assert_eq!(told(&bob, tool, &runs, "report").await?, told(&bob, tool, &runs, "nothing").await?);
    }
    assert!(!proxy.saw(is_read), "nobody looked");

    // Who has the bit that is needed without reading is decided on by the tentacle, and both are read.
    let (there, missing) =
        (told(&bob, "guess_execute", &runs, "report").await?, told(&bob, "guess_execute", &runs, "nothing").await?);
    assert!(there.contains("cannot be read"), "{there}");
    assert_eq!(there, missing);
    proxy.start_afresh();
    let ran = told(&bob, "guess_execute", &runs, "report").await?;
    assert!(ran.contains("\"isError\":false"), "{ran}");
    Ok(())
}

async fn auditor_through_proxy() -> anyhow::Result<(Stack, Arc<FaultProxy>)> {
    let start = async {
        let installation = Installation::shared().await?;
        let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
        let options = Options {
            without: vec![Part::Registrar, Part::Scheduler],
            kernel_args: provider()?.kernel_args(),
            enclaves: Some(OWN.to_owned()),
            through: BTreeMap::from([(Part::Auditor, Arc::clone(&proxy))]),
            ..Options::default()
        };
        anyhow::Ok((Stack::start_with(installation, options).await?, proxy))
    };
    background().spawn(start).await?
}

#[tokio::test]
async fn an_explanation_tells_no_stranger_which_tentacles_there_are() -> anyhow::Result<()> {
    const TOOL: &str = "authz_explain";
    let (stack, proxy) = auditor_through_proxy().await?;
    until_listed(&stack, TOOL, true).await?;
    let enclave = made(&stack.installation().control_plane().admin()?, "rwxrwx---").await?;
    let (ann, eve) = tokio::try_join!(person(&stack, "fresh-ann"), person(&stack, "fresh-eve"))?;
    // Until the auditor has seen it.
    let seen = async {
        loop {
            proxy.start_afresh();
            let told = told(&ann, TOOL, &enclave, "report").await?;
            if told.contains("\"isError\":false") && !proxy.saw(is_read) {
                break anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), seen).await??;
    for reads in [Fault::Status(503, None), Fault::CloseBefore] {
        proxy.start_afresh();
        proxy.fail(0..usize::MAX, is_read, reads);
        let (there, missing) =
            (told(&eve, TOOL, &enclave, "report").await?, told(&eve, TOOL, &enclave, "unheard").await?);
        assert!(there.contains("\"isError\":true"), "{there}");
        assert_eq!(there, missing);
    }
    proxy.start_afresh();
    let (there, missing) =
        (told(&eve, TOOL, &enclave, "report").await?, told(&eve, TOOL, &enclave, "unheard").await?);
    assert!(there.contains("\"isError\":false"), "{there}");
    assert_eq!(there, missing);
    Ok(())
}
