//! Calls a second of what the kernel answers and forwards, as a ratio to an answer of hyper alone in the same round.

use std::{net::SocketAddr, time::Duration};

use http::HeaderName;
use serde_json::json;
use tentacular_demo::Message;
use tentacular_test_harness::{Program, Provider, Scratch, Stack, mcp::Era, part::logged};

use crate::{
    address, bare,
    load::{self, CONNECTIONS, Round, Target, Until},
    report::{Figure, Report, Unit, median, ms, ratio},
};

/// Rounds of each target. They alternate, so that all meet the same machine.
const ROUNDS: usize = 5;
/// Length of a round.
const ROUND: Duration = Duration::from_secs(2);

struct Row {
    target: Target,
    /// The least ratio to hyper alone.
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

pub(crate) async fn measure(stack: &Stack, provider: &Provider, report: &mut Report) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let bare = Program::new(std::env::current_exe()?).arg("--serve=bare").start(&scratch.path().join("bare.log"))?;
    let bare_address = logged(&bare, "serving", "address").await?.parse()?;
    let mut rows = rows(stack, provider, bare_address).await?;
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.rounds.push(load::run(&row.target, Until::Time(ROUND)).await?);
        }
    }
    tell(&rows, report);
    Ok(())
}

/// Hyper alone is the first.
async fn rows(stack: &Stack, provider: &Provider, hyper: SocketAddr) -> anyhow::Result<Vec<Row>> {
    let address = address(stack)?;
    let person = provider.token(&provider.claims("bench", "bench@example.com"));
    let discover = || Message::new(Era::Stateless, "1", "server/discover", json!({}));
    let list = |era| Message::new(era, "1", "tools/list", json!({}));
    let wf_list = |era| Message::call(era, "1", "wf_list", &json!({}));
    let bearer = Some(stack.token());
    let targets = [
        (Target::post("hyper alone, another process", hyper, bearer, discover())?, "result", None),
        (Target::get("GET /healthz, the kernel", address, "/healthz")?, "ok", None),
        (Target::post("server/discover", address, bearer, discover())?, "tentacular-mcp", Some(0.45)),
        (Target::post("tools/list", address, bearer, list(Era::Stateless))?, "wf_list", Some(0.35)),
        (Target::post("tools/list, 2025-06-18", address, bearer, list(Era::Handshake))?, "wf_list", Some(0.35)),
        (Target::post("tools/list, ES256 token", address, Some(&person), list(Era::Stateless))?, "wf_list", None),
        (Target::post("wf_list, forwarded", address, bearer, wf_list(Era::Stateless))?, "workflows", Some(0.15)),
        (Target::post("wf_list, 2025-06-18", address, bearer, wf_list(Era::Handshake))?, "workflows", Some(0.15)),
    ];
    let mut rows = Vec::new();
    for (target, part, goal) in targets {
        rows.push(Row::new(target.probed(part).await?, goal));
    }
    let longest = rows.iter().map(|row| row.target.length()).max().unwrap_or_default();
    let mut message = discover();
    message.headers.push((HeaderName::from_static(bare::LENGTH), longest.into()));
    let as_long = Target::post("hyper alone, as many bytes as tools/list", hyper, bearer, message)?;
    rows.push(Row::new(as_long.probed("").await?, None));
    Ok(rows)
}

fn tell(rows: &[Row], report: &mut Report) {
    let per_second = |row: &Row| row.median(|round| round.per_second);
    let Some(baseline) = rows.first() else { return };
    for row in rows {
        let (p50, p99) = (row.median(|round| ms(round.p50)), row.median(|round| ms(round.p99)));
        let figure =
            Figure::new(format!("{}, {CONNECTIONS} callers", row.target.name), per_second(row), Unit::PerSecond);
        let ratio = ratio(&row.rounds, &baseline.rounds, |round| round.per_second);
        let figure = figure.beside(baseline.target.name, per_second(baseline), ratio);
        let figure = figure.details(format!("p50 {p50:.2} ms, p99 {p99:.2} ms, {} bytes", row.target.length()));
        report.add(if let Some(goal) = row.goal { figure.ratio_at_least(goal) } else { figure });
    }
}
