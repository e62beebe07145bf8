//! Attempts, limits and errors of a run, with an engine and a clock made for it.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tentacular_contract::tentacle_url::DEFAULT_TENTACLE_URL;

use super::*;

/// Answers as it was told, one call after the other, and then never.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Answer, NoAnswer>>>,
    calls: Mutex<Vec<Call>>,
}

impl Engine for Script {
    async fn post(&self, call: &Call) -> Result<Answer, NoAnswer> {
        self.calls.lock().unwrap().push(call.clone());
        let next = self.answers.lock().unwrap().pop_front();
        match next {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

fn runner(answers: impl IntoIterator<Item = Result<Answer, NoAnswer>>) -> Runner<Script, At> {
    let script = Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() };
    let url = TentacleUrl::new(DEFAULT_TENTACLE_URL, "cluster.local").unwrap();
    Runner::new(script, At(UNIX_EPOCH + Duration::from_hours(500_000)), url)
}

fn run(runner: &Runner<Script, At>) -> Run {
    Run {
        id: runner.run_id(),
        enclave: "team-a".parse().unwrap(),
        tentacle: "report".parse().unwrap(),
        body: "{}".into(),
        limit: Duration::from_secs(20),
    }
}

fn refused() -> Result<Answer, NoAnswer> {
    Err(NoAnswer::NotConnected("connection refused".to_owned()))
}

fn answer(status: u16, body: &'static str) -> Answer {
    Answer { status, body: body.into() }
}

#[tokio::test(start_paused = true)]
async fn a_tentacle_that_starts_late_is_waited_for() {
    let runner = runner([refused(), refused(), Ok(answer(200, r#"{"success":true}"#))]);
    let run = run(&runner);
    let outcome = runner.run(&run).await.expect("an outcome");
    let expected = Outcome { success: true, output: json!({ "success": true }), duration: PAUSE * 2 };
    assert_eq!(outcome, expected);
    let calls = runner.engine.calls.lock().unwrap();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.run_id == run.id));
    assert_eq!(calls[0].url, "http://report.team-a.svc.cluster.local:8080/run");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_never_sent_again() {
    for (last, said) in [
        (Err(NoAnswer::Broken("connection reset".to_owned())), "connection reset"),
        (Err(NoAnswer::TooLong(4_194_304)), "longer than 4194304 bytes"),
        (Ok(answer(503, "busy")), "HTTP 503"),
    ] {
        let runner = runner([refused(), last, Ok(answer(200, "{}"))]);
        let run = run(&runner);
        let error = runner.run(&run).await.expect_err(said).to_string();
        assert!(error.contains(said) && error.contains("team-a/report"), "{error}");
        assert!(error.contains(&run.id.to_string()), "{error}");
        assert_eq!(runner.engine.calls.lock().unwrap().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_in_its_time() {
    let begun = Instant::now();
    let never = runner(std::iter::repeat_with(refused).take(100));
    let error = never.run(&run(&never)).await.expect_err("unreachable").to_string();
    assert!(error.contains("could not be reached within 20 s: connection refused"), "{error}");
    let left = Duration::from_secs(20).saturating_sub(begun.elapsed());
    assert!(left < TOO_LATE, "{left:?}");

    let begun = Instant::now();
    let silent = runner([refused()]);
    let error = silent.run(&run(&silent)).await.expect_err("silent").to_string();
    assert!(error.contains("gave no answer within 20 s"), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(20));
}

#[test]
fn run_ids_differ_and_are_in_the_order_of_their_time() {
    let now = UNIX_EPOCH + Duration::from_hours(500_000);
    let (first, second) = (RunId::new(now), RunId::new(now));
    assert_ne!(first, second);
    let later = RunId::new(now + Duration::from_secs(1));
    assert!(first.to_string() < later.to_string() && second < later);
}
