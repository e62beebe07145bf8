//! A sidecar as small as one can be: HTTP/1.1 written by hand on a Unix socket. What it does with a call, a test says.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::JoinHandle,
};

/// How long a test waits for what comes about at once. Only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(3);

/// A running sidecar. Dropping it ends its calls and takes it away.
pub(crate) struct HandMade {
    serving: JoinHandle<()>,
    socket: PathBuf,
}

impl Drop for HandMade {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A tool that needs nothing but an authenticated caller.
pub(crate) fn tool(name: &str) -> Value {
    json!({ "name": name, "inputSchema": { "type": "object" },
        "_meta": { "tentacular.io/authz": { "on": "caller", "needs": "read" } } })
}

/// The same, which says that it changes nothing.
pub(crate) fn read_only(name: &str) -> Value {
    let mut tool = tool(name);
    tool["annotations"] = json!({ "readOnlyHint": true });
    tool
}

/// `tool` with another deadline.
pub(crate) fn within(mut tool: Value, seconds: u64) -> Value {
    tool["_meta"]["tentacular.io/authz"]["deadline_seconds"] = json!(seconds);
    tool
}

impl HandMade {
    /// Listens in the run folder, offers `tools`, and does with each call what `does` says.
    pub(crate) fn listen<F>(
        run_dir: &Path,
        name: &str,
        tools: impl IntoIterator<Item = Value>,
        does: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::with_meta(run_dir, name, tools, &json!({ "tentacular.io/contract": "1.0" }), does)
    }

    /// The same, with another `_meta` in the answer to `server/discover`.
    pub(crate) fn with_meta<F>(
        run_dir: &Path,
        name: &str,
        tools: impl IntoIterator<Item = Value>,
        meta: &Value,
        does: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let socket = run_dir.join(format!("{name}.sock"));
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
        let tools: Vec<Value> = tools.into_iter().collect();
        let about = Arc::new((
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private", "_meta": meta }),
            json!({ "resultType": "complete", "tools": tools }),
        ));
        let does = Arc::new(does);
        let serving = tokio::spawn(async move {
            // The calls end with the sidecar.
            let mut calls = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (about, does) = (Arc::clone(&about), Arc::clone(&does));
                calls.spawn(async move {
                    let Ok(Some(call)) = Call::read(stream).await else { return };
                    let (discovered, listed) = &*about;
                    // Whoever called may be gone.
                    let _ = match call.message()["method"].as_str() {
                        Some("server/discover") => call.result(discovered).await,
                        Some("tools/list") => call.result(listed).await,
                        _ => does(call).await,
                    };
                });
                while calls.try_join_next().is_some() {}
            }
        });
        Ok(Self { serving, socket })
    }

    /// A sidecar that hands its calls to the test, which does with them what it likes.
    pub(crate) fn held(
        run_dir: &Path,
        name: &str,
        tools: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<(Self, Calls)> {
        let (sender, calls) = mpsc::unbounded_channel();
        let sidecar = Self::listen(run_dir, name, tools, move |call| {
            let _ = sender.send(call);
            std::future::ready(Ok(()))
        })?;
        Ok((sidecar, Calls(calls)))
    }
}

/// The calls that reached a sidecar, in their order.
pub(crate) struct Calls(mpsc::UnboundedReceiver<Call>);

impl Calls {
    /// The next one.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Call> {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await.context("no call came")?;
        next.context("the sidecar has ended")
    }
}

/// One `tools/call` as it came, and the connection to answer it on. Dropping it closes the connection.
pub(crate) struct Call {
    /// The request's headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The request's body, byte for byte.
    pub(crate) body: Vec<u8>,
    stream: UnixStream,
}

impl Call {
    async fn read(mut stream: UnixStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]);
            let headers: BTreeMap<String, String> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            while bytes.len() < end + 4 + length {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(None);
                }
            }
            let body = bytes.split_off(end + 4);
            return Ok(Some(Self { headers, body, stream }));
        }
    }

    /// The request as JSON.
    pub(crate) fn message(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The tool's name.
    pub(crate) fn tool(&self) -> String {
        self.message()["params"]["name"].as_str().unwrap_or_default().to_owned()
    }

    /// Writes raw bytes.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]> + Send) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Answers with this JSON, as it is.
    pub(crate) async fn json(mut self, body: impl AsRef<[u8]> + Send) -> io::Result<()> {
        self.write(head("200 OK", "application/json", body.as_ref().len())).await?;
        self.write(body).await
    }

    /// Answers with this result.
    pub(crate) async fn result(self, result: &Value) -> io::Result<()> {
        let body = json!({ "jsonrpc": "2.0", "id": self.message()["id"], "result": result });
        self.json(body.to_string()).await
    }

    /// Answers with the tool result that has this structured content.
    pub(crate) async fn content(self, content: &Value) -> io::Result<()> {
        self.result(&json!({ "resultType": "complete", "isError": false, "structuredContent": content,
            "content": [{ "type": "text", "text": content.to_string() }] }))
            .await
    }

    /// Begins a stream of events, whose pieces are chunks.
    pub(crate) async fn begin_stream(&mut self) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
            connection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        self.write(head).await
    }

    /// Sends one piece of a stream.
    pub(crate) async fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        self.write([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).await
    }

    /// Ends a stream.
    pub(crate) async fn end_stream(mut self) -> io::Result<()> {
        self.write("0\r\n\r\n").await
    }

    /// Waits until the kernel has closed the connection.
    pub(crate) async fn closed(&mut self) -> anyhow::Result<()> {
        let closed = async { while self.stream.read(&mut [0; 16]).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(PATIENCE, closed).await.context("the kernel does not close its connection")
    }
}

/// The head of an answer; the connection ends with it.
pub(crate) fn head(status: &str, kind: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
}
