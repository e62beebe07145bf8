//! What `JetStream` keeps for an account: whether there is any, and its removal.

use std::time::Duration;

use async_nats::Message;
use serde_json::{Value, json};

use super::connect::Connection;
use crate::backing::service::{Failure, ask_again};

/// How often somebody is looked for who answers for an account's streams: in a cluster that takes a moment.
const ATTEMPTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Why the account of this connection has no streams, if it has none.
pub(super) async fn refused(connection: &Connection) -> Result<Option<String>, Failure> {
    let Some(answer) = ask(connection, "$JS.API.INFO", "").await? else {
        return Ok(Some("no server has JetStream".to_owned()));
    };
    let why = || answer["error"]["description"].as_str().unwrap_or_default().to_owned();
    Ok((!answer["error"].is_null()).then(why))
}

/// Removes all streams of the account of this connection, with what is in them. Nobody else may be in the account.
pub(super) async fn remove(connection: &Connection) -> Result<(), Failure> {
    loop {
        // Where no server is to have JetStream there are none.
        let page = json!({ "offset": 0 }).to_string();
        let Some(listed) = ask(connection, "$JS.API.STREAM.NAMES", &page).await? else { return Ok(()) };
        let names: Vec<_> = listed["streams"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() {
            return done(&listed);
        }
        for name in names {
            let answer = ask(connection, &format!("$JS.API.STREAM.DELETE.{name}"), "").await?;
            done(&answer.unwrap_or_default())?;
        }
    }
}

/// What the server answers; nothing where no server answers for streams.
async fn ask(connection: &Connection, subject: &str, payload: &str) -> Result<Option<Value>, Failure> {
    ask_again((ATTEMPTS, PAUSE), || async {
        let answer = connection.request(subject.to_owned(), payload.to_owned()).await;
        let answer = answer.map_err(|why| Failure::Unavailable(format!("its streams: {why}")))?;
        let read = |answer: Message| serde_json::from_slice(&answer.payload);
        let unread = |_| Failure::Unavailable("its streams: it answers something else than JSON".to_owned());
        answer.map(read).transpose().map_err(unread)
    })
    .await
}

fn done(answer: &Value) -> Result<(), Failure> {
    match answer["error"]["description"].as_str() {
        // What is gone already.
        Some(_) if answer["error"]["code"] == 404 => Ok(()),
        Some(why) => Err(Failure::Unavailable(format!("its streams: {why}"))),
        None => Ok(()),
    }
}
