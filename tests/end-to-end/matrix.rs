//! Who may do what: every tool, every kind of caller and every kind of place, asked of the real kernel and compared with
//! the design's rules.

mod asked;
mod made;
mod mirror;
mod model;
mod narrowed;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use futures::{StreamExt as _, stream};
use tentacular_test_harness::{Installation, Provider, Stack, background, mcp::Raw, stack::Options};

use self::{
    asked::{Ask, places},
    made::{make_all, remove_all},
    mirror::{Mirrored, Tool, offers, tools},
    model::{Settings, sees},
    world::{Enclaves, PREFIX, Person, enclaves, loners, people},
};

/// Calls at once.
const AT_ONCE: usize = 16;
/// A name of a tentacle that is nowhere.
const ABSENT: &str = "t-absent";
/// Tentacles that stand for all where a difference between modes was shown already.
const SOME: [&str; 4] = ["t-private", "t-open-run", "t-of-nobody", ABSENT];
/// The settings of a kernel without arguments.
const ORDINARY: Settings = Settings { authorization: true, cluster_read_for_all: true };

/// A stack of real sidecars, which takes the provider's tokens.
async fn real_stack(provider: &Provider) -> anyhow::Result<Stack> {
    let options =
        Options { kernel_args: provider.kernel_args(), enclaves: Some(PREFIX.to_owned()), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    background().spawn(start).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_decided_as_the_design_says() -> anyhow::Result<()> {
    let begun = Instant::now();
    let provider = Provider::start()?;
    let enclaves = enclaves();
    let admin = Installation::shared().await?.control_plane().admin()?;
    let (stack, made) = tokio::join!(real_stack(&provider), make_all(&admin, &enclaves));
    made?;
    let stack = stack?;
    let made = begun.elapsed().as_millis();
    let compared = compare_all(&provider, &stack, &enclaves).await;
    remove_all(&admin, &enclaves).await?;
    let count = compared?;
    println!(
        "{count} calls decided as the design says, in {} ms; the world was made in {made} of them",
        begun.elapsed().as_millis()
    );
    Ok(())
}

/// All comparisons, and how many there were.
async fn compare_all(provider: &Provider, stack: &Stack, enclaves: &Enclaves) -> anyhow::Result<usize> {
    let offers = offers(stack).await?;
    let (tools, people, loners) = (tools(&offers), people(provider), loners(provider));
    let everybody: Vec<_> = people.iter().chain(&loners).collect();
    let with = |arg: &str| provider.kernel_args().into_iter().chain([arg.to_owned()]).collect();
    let (ordinary, off, bearer_reads) = tokio::try_join!(
        Mirrored::start(&offers, provider.kernel_args()),
        Mirrored::start(&offers, with("--authorization=false")),
        Mirrored::start(&offers, with("--cluster-read=bearer")),
    )?;

    let listed = ordinary.stack.raw().tools().await?;
    assert!(!listed.contains(&"more_alias".to_owned()), "an alias can be called and is not listed: {listed:?}");

    let mut asks = Vec::new();
    for tool in &tools {
        let wanted = |tentacle: &str| !tool.is_further || SOME.contains(&tentacle);
        asks.extend(people.iter().flat_map(|person| at_each_place(tool, person, enclaves, wanted)));
        asks.extend(everybody.iter().flat_map(|person| without_place(tool, person)));
    }
    let mut count = compare(provider, &ordinary.stack, ORDINARY, enclaves, &asks).await?;

    let few = ["bearer", "owner without email", "member", "other"];
    let few = || people.iter().filter(|person| few.contains(&person.name.as_str()));
    let some = |tentacle: &str| SOME.contains(&tentacle);
    let mut asks = Vec::new();
    for tool in &tools {
        asks.extend(few().flat_map(|person| at_each_place(tool, person, enclaves, some)));
    }
    let settings = Settings { authorization: false, ..ORDINARY };
    count += compare(provider, &off.stack, settings, enclaves, &asks).await?;

    let settings = Settings { cluster_read_for_all: false, ..ORDINARY };
    asks.retain(|ask| ["cluster", "caller"].contains(&ask.tool.declared["on"].as_str().unwrap_or_default()));
    for tool in &tools {
        asks.extend(few().flat_map(|person| without_place(tool, person)));
    }
    count += compare(provider, &bearer_reads.stack, settings, enclaves, &asks).await?;
    Ok(count + narrowed::compare(provider, stack, enclaves, &everybody).await?)
}

/// The calls of one tool by one person that name a place, with those of its tentacles that are wanted.
fn at_each_place<'a>(
    tool: &'a Tool,
    person: &'a Person,
    enclaves: &'a Enclaves,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Ask<'a>> {
    let mut asks = Vec::new();
    if tool.declared["enclave"].is_null() {
        return asks;
    }
    for enclave in places(enclaves) {
        let ask = |tentacle| Ask { tool, person, enclave: Some(enclave), tentacle };
        if tool.declared["on"] != "tentacle" {
            asks.push(ask(None));
        }
        if tool.declared["tentacle"].is_array() {
            let there = enclaves.get(enclave).into_iter().flat_map(|(_, tentacles)| tentacles.keys());
            let named = there.map(String::as_str).chain([ABSENT]).filter(|name| wanted(name));
            asks.extend(named.map(|name| ask(Some(name))));
        }
    }
    asks
}

/// The calls of one tool by one person that name no enclave.
fn without_place<'a>(tool: &'a Tool, person: &'a Person) -> Vec<Ask<'a>> {
    let ask = |tentacle| Ask { tool, person, enclave: None, tentacle };
    let mut asks = Vec::new();
    if tool.declared["on"] != "tentacle" {
        asks.push(ask(None));
    }
    if tool.declared["tentacle"].is_array() {
        asks.extend([ask(Some("t-open-run")), ask(Some(ABSENT))]);
    }
    asks
}

/// Asks all of it, and returns how much that was. Fails with what differs from the model.
async fn compare(
    provider: &Provider,
    stack: &Stack,
    settings: Settings,
    enclaves: &Enclaves,
    asks: &[Ask<'_>],
) -> anyhow::Result<usize> {
    let mut clients: BTreeMap<&str, Raw> = BTreeMap::new();
    for ask in asks {
        clients.entry(&ask.person.name).or_insert_with(|| match ask.person.token(provider) {
            Some(token) => stack.raw_as(&token),
            None => stack.raw(),
        });
    }
    let answers = stream::iter(asks.iter().enumerate()).map(|(variant, ask)| {
        let raw = &clients[ask.person.name.as_str()];
        async move { ask.ask(raw, settings, enclaves, variant).await.map(|asked| (ask, asked)) }
    });
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    let mut differ = Vec::new();
    // What those are told who may not see into an enclave, by tool, person and enclave.
    let mut told: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for answer in answers {
        let (ask, asked) = answer?;
        differ.extend(asked.differs);
        let (Some(enclave), Some(tentacle)) = (ask.enclave, ask.tentacle) else { continue };
        let Some((facts, _)) = enclaves.get(enclave) else { continue };
        if let Some(refusal) = asked.refusal.filter(|_| !sees(settings, &ask.person.caller, facts)) {
            let place = (&ask.tool.name, &ask.person.name, enclave);
            told.entry(place).or_default().insert(refusal.replace(tentacle, "<tentacle>"));
        }
    }
    let reveals = told.into_iter().filter(|(_, texts)| texts.len() > 1);
    differ.extend(reveals.map(|(place, texts)| format!("{place:?}: existence shows in the text: {texts:?}")));
    anyhow::ensure!(differ.is_empty(), "{} of {} differ, such as:\n{}", differ.len(), asks.len(), sample(&differ));
    Ok(asks.len())
}

/// A few of many lines, from all over.
fn sample(lines: &[String]) -> String {
    lines.iter().step_by(lines.len().div_ceil(20)).map(String::as_str).collect::<Vec<_>>().join("\n")
}
