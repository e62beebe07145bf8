//! An engine that notes which run was asked for, and may be told to hold its answers.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"success\":true}";

pub(super) struct Engine {
    pub(super) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    came: watch::Receiver<usize>,
    holds: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// A call for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) run_id: String,
}

impl Engine {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/{{enclave}}/{{tentacle}}", listener.local_addr()?);
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let ((count, came), holds) = (watch::channel(0), watch::Sender::new(false));
        let (noted, held) = (Arc::clone(&calls), holds.subscribe());
        let serving = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (noted, mut held, count) = (Arc::clone(&noted), held.clone(), count.clone());
                tokio::spawn(async move {
                    let (call, mut stream) = read(stream).await?;
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(call);
                    count.send_modify(|count| *count += 1);
                    // Also over when the engine ends.
                    let _ = held.wait_for(|held| !held).await;
                    stream.write_all(ANSWER.as_bytes()).await
                });
            }
        });
        Ok(Self { url, calls, came, holds, serving })
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a call that comes from now on.
    pub(super) async fn next(&self) {
        let mut came = self.came.clone();
        let before = *came.borrow_and_update();
        // The sender lives as long as `self`.
        let _ = came.wait_for(|count| *count > before).await;
    }

    /// Holds all answers back from now on, or lets them go.
    pub(super) fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn read(stream: TcpStream) -> std::io::Result<(Call, TcpStream)> {
    let mut stream = BufReader::new(stream);
    let (mut path, mut run_id, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            // Whoever asked was killed amid it.
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "tentacular-run-id" => value.clone_into(&mut run_id),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            }
        } else {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok((Call { path, run_id }, stream.into_inner()))
}
