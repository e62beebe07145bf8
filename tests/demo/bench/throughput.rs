//! Calls a second of what the kernel answers and forwards, as a ratio to an answer of hyper alone in the same round.

use std::{net::SocketAddr, thread, time::Duration};

use serde_json::json;
use tentacular_demo::{Message, say};
use tentacular_test_harness::{Program, Provider, Scratch, Stack, mcp::Era, part::logged};

use crate::{
    address,
    load::{self, CONNECTIONS, Round, Target, Until},
    report::{median, ms},
};

/// Rounds of each target. They alternate, so that all meet the same machine.
const ROUNDS: usize = 5;
/// Length of a round.
const ROUND: Duration = Duration::from_secs(2);
/// The rows that others are compared with, first in the table.
const BASELINES: usize = 2;
const BEARER_LIST: &str = "tools/list";
const OIDC_LIST: &str = "tools/list, ES256 token";

struct Row {
    target: Target,
    /// The least ratio to the faster baseline.
    goal: Option<f64>,
    rounds: Vec<Round>,
}

impl Row {
    const fn new(target: Target, goal: Option<f64>) -> Self {
        Self { target, goal, rounds: Vec::new() }
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }
}

pub(crate) async fn measure(stack: &Stack, provider: &Provider) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let bare = Program::new(std::env::current_exe()?).arg("--bare").start(&scratch.path().join("bare.log"))?;
    let bare_address = logged(&bare, "serving", "address").await?.parse()?;
    let mut rows = rows(stack, provider, bare_address).await?;
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.rounds.push(load::run(&row.target, Until::Time(ROUND)).await?);
        }
    }
    table(&rows);
    Ok(())
}

async fn rows(stack: &Stack, provider: &Provider, bare: SocketAddr) -> anyhow::Result<Vec<Row>> {
    let address = address(stack)?;
    let person = provider.token(&provider.claims("bench", "bench@example.com"));
    let discover = || Message::new(Era::Stateless, "1", "server/discover", json!({}));
    let list = |era| Message::new(era, "1", "tools/list", json!({}));
    let wf_list = |era| Message::call(era, "1", "wf_list", &json!({}));
    let bearer = Some(stack.token());
    let targets = [
        (Target::post("hyper alone, another process", bare, bearer, discover())?, "result", None),
        (Target::get("GET /healthz, the kernel", address, "/healthz")?, "ok", None),
        (Target::post("server/discover", address, bearer, discover())?, "tentacular-mcp", Some(0.45)),
        (Target::post(BEARER_LIST, address, bearer, list(Era::Stateless))?, "wf_list", Some(0.35)),
        (Target::post("tools/list, 2025-06-18", address, bearer, list(Era::Handshake))?, "wf_list", Some(0.35)),
        (Target::post(OIDC_LIST, address, Some(&person), list(Era::Stateless))?, "wf_list", None),
        (Target::post("wf_list, forwarded", address, bearer, wf_list(Era::Stateless))?, "workflows", Some(0.15)),
        (Target::post("wf_list, 2025-06-18", address, bearer, wf_list(Era::Handshake))?, "workflows", Some(0.15)),
    ];
    let mut rows = Vec::new();
    for (target, part, goal) in targets {
        rows.push(Row::new(target.probed(part).await?, goal));
    }
    Ok(rows)
}

fn table(rows: &[Row]) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    say(&format!(
        "{CONNECTIONS} connections that are kept, medians of {ROUNDS} rounds of {} s that alternate, {cores} cores shared \
         with the load; ratios are to the faster of the first {BASELINES} rows, round by round",
        ROUND.as_secs()
    ));
    say(&format!("  {:30}{:>8}{:>11}{:>11}{:>11}{:>8}{:>7}", "", "bytes", "a second", "p50", "p99", "ratio", "goal"));
    let per_second = |row: &Row| row.median(|round| round.per_second);
    // Not the faster one of each round, which would be the luckier one.
    let baseline = rows[..BASELINES].iter().max_by(|one, other| per_second(one).total_cmp(&per_second(other)));
    let Some(baseline) = baseline else { return };
    for row in rows {
        say(&format!(
            "  {:30}{:>8}{:>11.0}{:>8.2} ms{:>8.2} ms{:>8.2}{:>7}",
            row.target.name,
            row.target.length(),
            per_second(row),
            row.median(|round| ms(round.p50)),
            row.median(|round| ms(round.p99)),
            ratio(row, baseline),
            row.goal.map(|goal| format!("{goal:.2}")).unwrap_or_default(),
        ));
    }
    let row = |name| rows.iter().find(|row| row.target.name == name);
    if let (Some(bearer), Some(person)) = (row(BEARER_LIST), row(OIDC_LIST)) {
        say(&format!("  tools/list with an ES256 token / with the bearer token: {:.2}", ratio(person, bearer)));
    }
}

/// The median of the ratios within each round.
fn ratio(row: &Row, other: &Row) -> f64 {
    let pairs = row.rounds.iter().zip(&other.rounds);
    median(pairs.map(|(round, other)| round.per_second / other.per_second).collect())
}
