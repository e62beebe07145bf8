//! `subscriptions/listen`: who asked for a change hears of it, in the form that the specification has for it.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};
use tentacular_test_harness::{Part, Stack, mcp::Era, until};

use crate::{
    hand_made::{HandMade, tool},
    support::{SEEN, kernel_alone},
    wire::Message,
};

/// The member that names the subscription.
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The messages of a stream, as they come.
struct Heard {
    pieces: BoxStream<'static, anyhow::Result<Vec<u8>>>,
    text: String,
}

impl Heard {
    /// Begins to listen, with this id.
    async fn begin(stack: &Stack, id: &str, notifications: Value) -> anyhow::Result<Self> {
        let mut message =
            Message::new(Era::Stateless, "subscriptions/listen", json!({ "notifications": notifications }));
        message.body = message.body.replace("\"id\":1", &format!("\"id\":{}", json!(id)));
        let answer = message.to(&stack.raw()).send().await?;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no", "a proxy must not hold events back");
        let pieces = answer.bytes_stream().map(|piece| Ok(piece?.to_vec())).boxed();
        Ok(Self { pieces, text: String::new() })
    }

    async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let data = event.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default();
                if !data.trim().is_empty() {
                    return Ok(Some(serde_json::from_str(data)?));
                }
            }
            match tokio::time::timeout(SEEN, self.pieces.next()).await.context("nothing more is heard")? {
                Some(piece) => self.text.push_str(std::str::from_utf8(&piece?)?),
                None => return Ok(None),
            }
        }
    }
}

#[tokio::test]
async fn who_asked_hears_of_a_change_and_nobody_else() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let mut asked = Heard::begin(&stack, "asked", json!({ "toolsListChanged": true })).await?;
    let mut other = Heard::begin(&stack, "other", json!({ "promptsListChanged": true })).await?;
    for (heard, id, accepted) in
        [(&mut asked, "asked", json!({ "toolsListChanged": true })), (&mut other, "other", json!({}))]
    {
        let first = heard.next().await?.context("an acknowledgement")?;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        assert_eq!(first["params"]["_meta"][SUBSCRIPTION], id, "{first}");
        assert_eq!(first["params"]["notifications"], accepted, "{first}");
    }
    let _sidecar = HandMade::listen(&stack.run_dir(), "heard", [tool("heard")], |call| async {
        call.content(&json!({})).await
    })?;
    let change = asked.next().await?.context("a change")?;
    assert_eq!(change["method"], "notifications/tools/list_changed", "{change}");
    assert_eq!(change["params"]["_meta"][SUBSCRIPTION], "asked", "{change}");

    stack.process(Part::Kernel)?.terminate()?;
    for (heard, id) in [(&mut asked, "asked"), (&mut other, "other")] {
        let last = heard.next().await?.context("a result")?;
        assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(id), &json!("complete")), "{last}");
        assert_eq!(heard.next().await?, None, "a result is the end");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_has_as_many_streams_as_the_limit_and_gets_one_back_for_each_that_ends() -> anyhow::Result<()> {
    let stack = kernel_alone(Vec::new()).await?;
    let mut listening = Vec::new();
    for number in 0..64 {
        listening.push(Heard::begin(&stack, &number.to_string(), json!({ "toolsListChanged": true })).await?);
    }
    let message = Message::new(
        Era::Stateless,
        "subscriptions/listen",
        json!({ "notifications": { "toolsListChanged": true } }),
    );
    let refused = message.to(&stack.raw()).send().await?.text().await?;
    assert!(refused.contains("64 streams of yours are listening"), "{refused}");
    drop(listening.pop());
    until("a stream that ended counts no more", async || {
        let answer = message.to(&stack.raw()).send().await?;
        ensure!(answer.headers()["content-type"] == "text/event-stream");
        Ok(())
    })
    .await
}
