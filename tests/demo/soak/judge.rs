//! Whether an answer is right: for the credential that was shown, the sidecars that were there, and what was asked.

use serde_json::Value;
use tentacular_demo::Message;
use tentacular_test_harness::mcp::Era;

use crate::{
    ask::{Ask, Place},
    client::{Answer, Exchange},
    generations::Expected,
    tally::Outcome,
    world::{Credential, World},
};

/// Characters of an answer that are shown.
const SHOWN: usize = 400;

/// One question, and how it was asked.
pub(crate) struct Asked<'a> {
    pub(crate) ask: Ask,
    pub(crate) era: Era,
    pub(crate) id: &'a str,
    pub(crate) place: &'a Place,
    pub(crate) credential: &'a Credential,
}

impl Asked<'_> {
    pub(crate) fn message(&self) -> anyhow::Result<Message> {
        self.ask.message(self.id, self.era, self.place)
    }
}

/// The protocol era of somebody's request: they take turns.
pub(crate) const fn era(turn: usize) -> Era {
    if turn.is_multiple_of(2) { Era::Stateless } else { Era::Handshake }
}

/// What became of it.
pub(crate) fn judge(world: &World, asked: &Asked<'_>, exchange: &Exchange) -> Outcome {
    let Exchange { begun, ended, answer } = exchange;
    let expected = world.expected(asked.credential, *begun, *ended);
    let away = asked.ask.sidecar().is_some_and(|part| world.outages.overlap(part, *begun, *ended));
    match answer {
        // An answer that was cut off in its middle.
        Err(_) if away => Outcome::Away,
        Err(error) => Outcome::Wrong(format!("no answer: {error}")),
        Ok(answer) => {
            let outcome = match answer.status {
                401 => refused(expected, answer),
                200 if expected == Expected::Refused => Outcome::Wrong("this token must be refused".to_owned()),
                200 => answered(asked, &answer.json(), away),
                _ => Outcome::Wrong("no such status is expected".to_owned()),
            };
            with_answer(outcome, answer)
        }
    }
}

fn refused(expected: Expected, answer: &Answer) -> Outcome {
    if !answer.challenge.contains("error=\"invalid_token\"") {
        return Outcome::Wrong(format!("the challenge is {:?}", answer.challenge));
    }
    match expected {
        Expected::Refused => Outcome::Refused,
        Expected::Either => Outcome::Changing,
        Expected::Accepted => Outcome::Wrong("this token must be accepted".to_owned()),
    }
}

fn answered(asked: &Asked<'_>, json: &Value, away: bool) -> Outcome {
    if json["id"] != *asked.id {
        return Outcome::Wrong(format!("the answer to another request than {}", asked.id));
    }
    let result = &json["result"];
    if result["isError"] == true {
        let sentence = result["content"][0]["text"].as_str().unwrap_or_default();
        return match asked.ask {
            Ask::Foreign if sentence.starts_with("permission denied") => Outcome::Refused,
            _ if away && is_documented(sentence) => Outcome::Away,
            _ => Outcome::Wrong("a tool error without a reason".to_owned()),
        };
    }
    if away && asked.ask.is_partial(result, asked.place) {
        return Outcome::Away;
    }
    match asked.ask.check(result, asked.id, asked.place) {
        Ok(()) => Outcome::Right,
        Err(why) => Outcome::Wrong(format!("{why:#}")),
    }
}

/// The sentences about a sidecar that is away.
fn is_documented(sentence: &str) -> bool {
    let not_started = sentence.contains(" is not available right now, ") && sentence.contains("try again");
    let interrupted = sentence.contains(" ended while ")
        && (sentence.contains("try again") || sentence.contains("look before you repeat it"));
    not_started || interrupted
}

fn with_answer(outcome: Outcome, answer: &Answer) -> Outcome {
    match outcome {
        Outcome::Wrong(why) => {
            let text: String = answer.text.chars().take(SHOWN).collect();
            Outcome::Wrong(format!("{why}: HTTP {} {text}", answer.status))
        }
        other => other,
    }
}
