//! One call after the other: through the kernel against the same call on the sidecar's socket.

use std::time::Instant;

use serde_json::{Value, json};
use tentacular_demo::Message;
use tentacular_test_harness::{Stack, mcp::Era, tls};

use crate::report::{Figure, Report, median, ms};

/// Calls of each kind that are measured.
const CALLS: usize = 400;
/// `{"kind":"bearer"}`
const BEARER: &str = "eyJraW5kIjoiYmVhcmVyIn0";
/// `{"v":1,"tool":"wf_list","exists":false,"right":"read","rule":"bearer","authz":true}`
const WF_LIST: &str =
    "eyJ2IjoxLCJ0b29sIjoid2ZfbGlzdCIsImV4aXN0cyI6ZmFsc2UsInJpZ2h0IjoicmVhZCIsInJ1bGUiOiJiZWFyZXIiLCJhdXRoeiI6dHJ1ZX0";

pub(crate) async fn measure(stack: &Stack, report: &mut Report) -> anyhow::Result<()> {
    let through = stack.raw();
    let Message { body, headers } = Message::call(Era::Handshake, "1", "wf_list", &json!({}));
    let socket = tls::plain().unix_socket(stack.run_dir().join("auditor.sock")).build()?;
    let (mut kernel, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = through.post(body.clone(), &[]).await?;
        kernel.push(begun.elapsed());
        anyhow::ensure!(answer.tool_error().is_empty() && answer.status == 200, "{}", answer.text);

        let begun = Instant::now();
        let mut request = socket.post("http://localhost/mcp").body(body.clone());
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        request = request.header("tentacular-caller", BEARER).header("tentacular-permit", WF_LIST);
        let answer: Value = request.send().await?.json().await?;
        direct.push(begun.elapsed());
        anyhow::ensure!(answer["result"]["isError"] == false, "{answer}");
    }
    let middle = |times: &[_]| median(times.iter().copied().map(ms).collect());
    let direct = middle(&direct);
    let ratio = middle(&kernel) / direct;
    report.add(Figure::times("wf_list, one caller", &kernel).beside("on the auditor's socket", direct, ratio));
    Ok(())
}
