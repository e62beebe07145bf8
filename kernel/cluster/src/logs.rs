//! The logs of containers: read as a stream of which the end is kept, so that the newest lines are there whatever the limit
//! and no log fills the memory.

use std::{collections::VecDeque, pin::pin};

use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use tokio::time::timeout;

use crate::{
    Objects,
    client::CALL,
    error::{About, Error},
    objects::checked,
};

/// Longest line that is kept, in bytes; the rest of a longer one is left out.
const LINE: usize = 16 * 1024;
/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;

/// Which lines of a container's log are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// The container, an init container included.
    pub container: String,
    /// Of the container that ran before this one, which ended.
    pub previous: bool,
    /// Only lines that are no older than this, in seconds.
    pub since_seconds: Option<u32>,
    /// Most lines; the newest.
    pub lines: u32,
    /// Most bytes; the newest lines that fit.
    pub bytes: usize,
}

/// Lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The lines in their order, each with its time in front as the kubelet writes it (RFC 3339, and a space).
    pub lines: Vec<String>,
    /// Whether older lines, or ends of long ones, are left out for their size.
    pub cut: bool,
}

impl Objects<Pod> {
    /// The newest lines of a container's log. Fails with [`Error::Invalid`] when the container does not exist, has not
    /// started, or has not run before where the previous one is asked for; what the API server or the kubelet says of
    /// it is in the error.
    pub async fn log(&self, pod: &str, query: &LogQuery) -> Result<Log, Error> {
        let about = self.about(Some(pod));
        let params = LogParams {
            container: Some(query.container.clone()),
            previous: query.previous,
            since_seconds: query.since_seconds.map(i64::from),
            tail_lines: Some(query.lines.into()),
            timestamps: true,
            ..LogParams::default()
        };
        let request = checked(&about, self.request().logs(pod, &params))?;
        let read = self.read_log(&about, request, query.bytes);
        timeout(CALL, read).await.unwrap_or_else(|_| Err(Error::unanswered(&about, CALL)))
    }

    async fn read_log(&self, about: &About, request: http::Request<Vec<u8>>, bytes: usize) -> Result<Log, Error> {
        let answer = self.client().request_stream(request).await;
        let mut answer = pin!(answer.map_err(|error| Error::from_kube(about, error))?);
        let (mut tail, mut chunk) = (Tail::new(bytes), vec![0; CHUNK]);
        loop {
            match answer.read(&mut chunk).await {
                Ok(0) => return Ok(tail.end()),
                Ok(read) => tail.push(&chunk[..read]),
                Err(error) => return Err(Error::unavailable(about, format!("the log breaks off: {error}"))),
            }
        }
    }
}

/// The end of a text, in lines.
#[derive(Debug)]
struct Tail {
    lines: VecDeque<String>,
    /// Of all lines together.
    bytes: usize,
    limit: usize,
    /// The line that has no end yet.
    open: Vec<u8>,
    cut: bool,
}

impl Tail {
    const fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, limit, open: Vec::new(), cut: false }
    }

    fn push(&mut self, mut chunk: &[u8]) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.add(&chunk[..end]);
            self.close();
            chunk = &chunk[end + 1..];
        }
        self.add(chunk);
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LINE - self.open.len();
        self.cut |= bytes.len() > room;
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn close(&mut self) {
        let line = String::from_utf8_lossy(&self.open).into_owned();
        self.open.clear();
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > self.limit
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len() + 1;
            self.cut = true;
        }
    }

    fn end(mut self) -> Log {
        if !self.open.is_empty() {
            self.close();
        }
        Log { lines: self.lines.into(), cut: self.cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(limit: usize, chunks: &[&str]) -> Log {
        let mut tail = Tail::new(limit);
        for chunk in chunks {
            tail.push(chunk.as_bytes());
        }
        tail.end()
    }

    fn log(lines: &[&str], cut: bool) -> Log {
        Log { lines: lines.iter().map(|&line| line.to_owned()).collect(), cut }
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        for chunks in [&["one\ntwo\n\nlast"][..], &["on", "e\nt", "wo\n", "\n", "la", "st", "\n"]] {
            assert_eq!(tail(100, chunks), log(&["one", "two", "", "last"], false));
        }
        assert_eq!(tail(100, &[]), Log::default());
    }

    #[test]
    fn the_newest_lines_are_kept() {
        assert_eq!(tail(10, &["first\nsecond\nthird\n"]), log(&["third"], true));
        assert_eq!(tail(13, &["first\nsecond\nthird"]), log(&["second", "third"], true));
        assert_eq!(tail(3, &["first"]), log(&[], true));
    }

    #[test]
    fn the_end_of_a_long_line_is_left_out() {
        let long = "x".repeat(LINE);
        let cut = tail(usize::MAX, &[&long, "y", "z\nnext"]);
        assert_eq!(cut, log(&[&long, "next"], true));
        assert!(!tail(usize::MAX, &[&long, "\nnext"]).cut);
    }
}
