//! What `JetStream` keeps for an account: whether there is any, and its removal.

use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::backing::service::Failure;

/// How often somebody is looked for who answers for an account's streams: in a cluster that takes a moment.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Why the account of this client has no streams, if it has none.
pub(super) async fn refused(client: &Client) -> Result<Option<String>, Failure> {
    let Some(answer) = ask(client, "$JS.API.INFO".to_owned(), String::new()).await? else {
        return Ok(Some("no server has JetStream".to_owned()));
    };
    let why = || answer["error"]["description"].as_str().unwrap_or_default().to_owned();
    Ok((!answer["error"].is_null()).then(why))
}

/// Removes all streams of the account of this client, with what is in them. Nobody else may be in the account.
pub(super) async fn remove(client: &Client) -> Result<(), Failure> {
    loop {
        // Where no server has JetStream no stream is lost.
        let page = json!({ "offset": 0 }).to_string();
        let Some(listed) = ask(client, "$JS.API.STREAM.NAMES".to_owned(), page).await? else { return Ok(()) };
        let names: Vec<_> = listed["streams"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() {
            return done(&listed);
        }
        for name in names {
            let answer = ask(client, format!("$JS.API.STREAM.DELETE.{name}"), String::new()).await?;
            done(&answer.unwrap_or_default())?;
        }
    }
}

/// What the server answers; nothing where no server answers for streams.
async fn ask(client: &Client, subject: String, payload: String) -> Result<Option<Value>, Failure> {
    for _ in 0..ATTEMPTS {
        match client.request(subject.clone(), payload.clone().into()).await {
            Ok(answer) => return Ok(Some(serde_json::from_slice(&answer.payload).unwrap_or_default())),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => sleep(PAUSE).await,
            Err(error) => return Err(Failure::Unavailable(format!("its streams: {error}"))),
        }
    }
    Ok(None)
}

fn done(answer: &Value) -> Result<(), Failure> {
    match answer["error"]["description"].as_str() {
        // What is gone already.
        Some(_) if answer["error"]["code"] == 404 => Ok(()),
        Some(why) => Err(Failure::Unavailable(format!("its streams: {why}"))),
        None => Ok(()),
    }
}
