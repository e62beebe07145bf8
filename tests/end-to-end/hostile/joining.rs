//! Sidecars that join to be a nuisance: names that deceive, and more of everything than there is room for.

use anyhow::{anyhow, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, Stack, eventually::until};

use crate::{
    hand_made::{HandMade, tool},
    support::{kernel_alone, until_listed},
};

/// Sidecars beside the built-in ones that join at most.
const ROOM: usize = 32;

fn offering(stack: &Stack, name: &str, tools: impl IntoIterator<Item = Value>) -> anyhow::Result<HandMade> {
    HandMade::listen(&stack.run_dir(), name, tools, |call| async { call.content(&json!({})).await })
}

fn described(name: &str, description: &str) -> Value {
    let mut tool = tool(name);
    tool["description"] = json!(description);
    tool
}

fn answering_to(name: &str, aliases: &Value) -> Value {
    let mut tool = tool(name);
    tool["_meta"]["tentacular.io/aliases"] = aliases.clone();
    tool
}

#[tokio::test]
async fn a_tool_whose_name_or_description_deceives_is_not_listed() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let names =
        ["", "honest\n", "hon\u{435}st", "honest\u{200b}", "\u{1b}[2Jhonest", "an honest", "honest\u{301}", "a/b"];
    let too_long = "x".repeat(129);
    let tools = names.iter().copied().chain([too_long.as_str()]).map(tool).chain([
        described("hides_a_word", "Greets.\u{e0041}\u{e0042}"),
        described("turns_around", "Greets \u{202e}sdrawkcab."),
        described("clears", "\u{1b}[2JGreets."),
        answering_to("deceives", &json!(["hon\u{435}st", "deceives_too"])),
        answering_to("answers", &json!(["answers_too"])),
        described("honest", "Greets in two lines,\n\twith größe."),
    ]);
    let _sidecar = offering(&stack, "names", tools)?;
    until_listed(&stack, "honest", true).await?;
    assert_eq!(stack.raw().tools().await?, ["answers", "honest"]);
    for (name, known) in
        [("answers_too", true), ("deceives_too", false), ("hon\u{435}st", false), ("", false), ("a/b", false)]
    {
        let answer = stack.raw().call(name, &json!({})).await?;
        assert_eq!(answer.json()["result"]["isError"] == false, known, "{name}: {}", answer.text);
    }
    let log = stack.process(Part::Kernel)?.log();
    assert!(log.contains("not listed") && log.contains("use 1 to 128 of A-Z, a-z, 0-9"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_sidecar_of_an_odd_name_does_not_join() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let names = ["gr\u{f6}\u{df}e", "evil\u{1b}[31m", "a b", "\"}", "Upper", "dotted.name"];
    let _odd = names.iter().map(|name| offering(&stack, name, [tool("odd")])).collect::<anyhow::Result<Vec<_>>>()?;
    let _even = offering(&stack, "even-1", [tool("even")])?;
    until_listed(&stack, "even", true).await?;
    // All were there when it joined, so they were looked at too.
    assert_eq!(stack.raw().tools().await?, ["even"]);
    let log = stack.process(Part::Kernel)?.log();
    let told = log.lines().filter(|line| line.contains("a sidecar's name has 1 to 63 characters")).count();
    assert!((1..=names.len()).contains(&told), "{log}");
    Ok(())
}

#[tokio::test]
async fn what_a_sidecar_says_of_itself_has_a_measure() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let taken: Vec<_> = (0..200).map(|number| format!("alias_{number}")).collect();
    let first = [answering_to("first", &json!(["also_first"])), tool("only_first")];
    let first = offering(&stack, "a-first", first)?;
    until_listed(&stack, "first", true).await?;
    let _loud = [
        offering(&stack, "b-zeros", vec![json!(0); 400_000])?,
        offering(&stack, "c-empty", vec![json!({}); 400_000])?,
        offering(&stack, "d-claims", vec![tool("first"); 400])?,
        offering(&stack, "e-claims-again", vec![answering_to("loud", &json!(vec!["also_first"; 50_000]))])?,
        offering(&stack, "f-aliases", [answering_to("many_aliases", &json!(taken))])?,
        offering(&stack, "g-large", [described("large", &"x".repeat(3 << 20))])?,
        offering(&stack, "h-says-a-lot", [tool("never")])?,
    ];
    let _last = offering(&stack, "z-last", [tool("last")])?;
    until_listed(&stack, "last", true).await?;
    // Whoever leaves makes the kernel merge all of them again.
    drop(first);
    until_listed(&stack, "only_first", false).await?;
    let kernel = stack.process(Part::Kernel)?;
    for letter in 'b'..='g' {
        let names = [format!(" of {letter}-"), format!("\"{letter}-"), format!("/{letter}-")];
        let lines = until(format!("the log tells of {letter}"), async || {
            let log = kernel.log();
            let lines = log.lines().filter(|line| names.iter().any(|name| line.contains(name)));
            let lines: Vec<_> = lines.map(str::to_owned).collect();
            if lines.is_empty() { Err(anyhow!("nothing is said")) } else { Ok(lines) }
        })
        .await?;
        ensure!(lines.len() <= 100, "{} lines about {letter}, such as {}", lines.len(), lines[0]);
        ensure!(lines.iter().all(|line| line.len() < 2000), "long lines about {letter}");
    }
    Ok(())
}

#[tokio::test]
async fn a_sidecar_that_fails_in_a_long_sentence_fills_no_log() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let contract = json!({ "tentacular.io/contract": "x".repeat(1 << 19) });
    let run_dir = stack.run_dir();
    let _sidecar =
        HandMade::with_meta(&run_dir, "talker", [], &contract, |call| async { call.content(&json!({})).await })?;
    let line = until("the kernel says why it does not join", async || {
        let log = stack.process(Part::Kernel)?.log();
        let line = log.lines().find(|line| line.contains("not joined") && line.contains("talker"));
        line.map(str::to_owned).ok_or_else(|| anyhow!("nothing is said"))
    })
    .await?;
    assert!(line.len() < 2000 && line.contains("tentacular.io/contract"), "{} bytes", line.len());
    Ok(())
}

#[tokio::test]
async fn only_so_many_sidecars_join_and_who_was_there_stays() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let before = offering(&stack, "zz-before", [tool("before")])?;
    until_listed(&stack, "before", true).await?;
    let many =
        (0..2 * ROOM).map(|number| offering(&stack, &format!("many-{number}"), [tool(&format!("tool_{number}"))]));
    let mut many = many.collect::<anyhow::Result<Vec<_>>>()?;
    let listed = async || Ok::<_, anyhow::Error>(stack.raw().tools().await?.len());
    until("the room is used", async || {
        ensure!(listed().await? >= ROOM, "some are missing");
        Ok(())
    })
    .await?;
    let calls = (0..20).map(|_| async { stack.raw().call("before", &json!({})).await });
    for answer in join_all(calls).await {
        assert_eq!(answer?.json()["result"]["isError"], false);
    }
    assert_eq!(listed().await?, ROOM);
    // Who leaves makes room for another.
    many.truncate(ROOM);
    drop(before);
    until_listed(&stack, "before", false).await?;
    until("others have the room", async || {
        ensure!(listed().await? == ROOM, "some are missing");
        Ok(())
    })
    .await
}
