//! Measures and prints; never fails on a figure. Medians of several runs, as machines are noisy; where two things are
//! compared, the ratio is of runs that alternate.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tentacular_test_harness::{
    ControlPlane, Installation, Part, Scratch, Stack,
    mcp::{Era, Raw},
    part::program,
};

/// Starts that are measured.
const STARTS: usize = 21;
/// Calls of each kind that are measured.
const CALLS: usize = 400;
/// How long the kernel is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

#[expect(clippy::print_stdout, reason = "a measurement is for the person who runs it")]
fn say(line: &str) {
    println!("{line}");
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot measure: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        say("note: this is a debug build; `make bench` measures a release build");
    }
    let mut control_plane = ControlPlane::start().await?;
    control_plane.join_node().await?;
    let installation = Arc::new(Installation::into_own(control_plane).await?);
    start_to_healthz(&installation).await?;
    let stack = Stack::start(installation).await?;
    memory(&stack).await?;
    forwarding(&stack).await?;
    list(&stack).await
}

/// From the start of the process to the first answer of `/healthz` on the main port.
async fn start_to_healthz(installation: &Installation) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let kubeconfig = installation.kubeconfig_for(Part::Kernel, scratch.path()).await?;
    std::fs::write(scratch.path().join("token"), "a token")?;
    let http = reqwest::Client::new();
    let mut times = Vec::new();
    for run in 0..STARTS {
        let address = free_address()?;
        let command = program(Part::Kernel)?
            .env("KUBECONFIG", &kubeconfig)
            .arg(format!("--listen={address}"))
            .arg(format!("--token-path={}", scratch.path().join("token").display()))
            .arg(format!("--run-dir={}", scratch.path().display()))
            .arg("--observe-addr=127.0.0.1:0");
        let begun = Instant::now();
        let kernel = command.start(&scratch.path().join(format!("kernel-{run}.log")))?;
        let url = format!("http://{address}/healthz");
        while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            anyhow::ensure!(kernel.is_running(), "the kernel ended: {}", kernel.log());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(begun.elapsed());
    }
    say(&format!("kernel, start to /healthz: {} (goal: 30 ms)", spread(times)));
    Ok(())
}

async fn memory(stack: &Stack) -> anyhow::Result<()> {
    tokio::time::sleep(IDLE).await;
    for part in [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Auditor] {
        let resident = resident_mib(stack.process(part)?.pid())?;
        let goal = if part == Part::Kernel { " (goal: 25 MB)" } else { "" };
        say(&format!("{}, idle resident memory: {resident:.1} MB{goal}", part.name()));
    }
    Ok(())
}

/// A call through the kernel against the same call on the sidecar's socket.
async fn forwarding(stack: &Stack) -> anyhow::Result<()> {
    let through = stack.raw();
    let body = call("wf_list", &json!({}));
    let socket = reqwest::Client::builder().unix_socket(stack.run_dir().join("auditor.sock")).build()?;
    let headers = [("tentacular-caller", BEARER), ("tentacular-permit", WF_LIST)];
    let (mut kernel, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = through.post(body.clone(), &[]).await?;
        kernel.push(begun.elapsed());
        anyhow::ensure!(answer.tool_error().is_empty() && answer.status == 200, "{}", answer.text);

        let begun = Instant::now();
        let mut request = socket.post("http://localhost/mcp").body(body.clone());
        request = request.header("content-type", "application/json").header("accept", ACCEPT);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer: Value = request.send().await?.json().await?;
        direct.push(begun.elapsed());
        anyhow::ensure!(answer["result"]["isError"] == false, "{answer}");
    }
    let ratio = median(&mut kernel).as_secs_f64() / median(&mut direct).as_secs_f64();
    say(&format!("wf_list through the kernel: {}", spread(kernel)));
    say(&format!("wf_list on the auditor's socket: {}", spread(direct)));
    say(&format!("through the kernel / on the socket: {ratio:.2}"));
    Ok(())
}

async fn list(stack: &Stack) -> anyhow::Result<()> {
    let raw: Raw = stack.raw();
    let tools = stack.client(Era::Stateless).await?.tools().await?.len();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = raw.post(body.clone(), &[]).await?;
        times.push(begun.elapsed());
        anyhow::ensure!(answer.status == 200, "{}", answer.text);
    }
    say(&format!("tools/list with {tools} tools: {}", spread(times)));
    Ok(())
}

const ACCEPT: &str = "application/json, text/event-stream";
/// `{"kind":"bearer"}`
const BEARER: &str = "eyJraW5kIjoiYmVhcmVyIn0";
/// `{"v":1,"tool":"wf_list","exists":false,"right":"read","rule":"bearer","authz":true}`
const WF_LIST: &str =
    "eyJ2IjoxLCJ0b29sIjoid2ZfbGlzdCIsImV4aXN0cyI6ZmFsc2UsInJpZ2h0IjoicmVhZCIsInJ1bGUiOiJiZWFyZXIiLCJhdXRoeiI6dHJ1ZX0";

fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

fn free_address() -> anyhow::Result<std::net::SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u32 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(f64::from(kib) / 1000.0 * 1.024)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn spread(mut times: Vec<Duration>) -> String {
    let middle = median(&mut times);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (first, last) = (times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default());
    format!("median {:.2} ms, from {:.2} to {:.2} ms, {} runs", ms(middle), ms(first), ms(last), times.len())
}
