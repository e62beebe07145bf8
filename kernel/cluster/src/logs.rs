//! What a pod's container wrote.

use futures::{AsyncRead, AsyncReadExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use tokio::time::timeout;

use crate::{
    client::{CALL, Cluster},
    error::{About, Error},
    objects::checked,
};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Which part of a container's log is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The container; may be left out when the pod has one only.
    pub container: Option<String>,
    /// The log of the container's run before the present one.
    pub previous: bool,
    /// The newest lines, at most this many.
    pub tail_lines: Option<u32>,
    /// Nothing older than this many seconds.
    pub since_seconds: Option<u32>,
    /// An RFC 3339 time before each line.
    pub timestamps: bool,
    /// The newest bytes, at most this many; the first line kept may be cut.
    pub max_bytes: usize,
}

/// What a container wrote, the newest part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The bytes, not necessarily UTF-8.
    pub bytes: Vec<u8>,
    /// Whether older bytes were left out because of `max_bytes`.
    pub cut: bool,
}

impl Cluster {
    /// Reads the log of a container of `pod`. The API server's own byte limit keeps the oldest bytes, so the limit is
    /// applied here, while reading. Fails when
    /// that takes more than 30 s.
    pub async fn logs(&self, namespace: &str, pod: &str, options: &LogOptions) -> Result<Log, Error> {
        let pods = self.namespaced::<Pod>(namespace);
        let about = pods.about(Some(pod));
        let params = LogParams {
            container: options.container.clone(),
            previous: options.previous,
            tail_lines: options.tail_lines.map(i64::from),
            since_seconds: options.since_seconds.map(i64::from),
            timestamps: options.timestamps,
            ..LogParams::default()
        };
        let request = checked(&about, pods.request().logs(pod, &params))?;
        match timeout(CALL, self.newest(&about, request, options.max_bytes)).await {
            Ok(log) => log,
            Err(_) => Err(Error::unavailable(&about, "the log could not be read within 30 s")),
        }
    }

    async fn newest(&self, about: &About, request: http::Request<Vec<u8>>, limit: usize) -> Result<Log, Error> {
        let answer = self.client().request_stream(request).await.map_err(|error| Error::from_kube(about, error))?;
        newest(answer, limit).await.map_err(|error| Error::unavailable(about, error.to_string()))
    }
}

/// Reads `source` to its end and keeps the last `limit` bytes, holding about twice as many at most.
async fn newest(source: impl AsyncRead, limit: usize) -> std::io::Result<Log> {
    let mut source = std::pin::pin!(source);
    let mut chunk = vec![0; CHUNK];
    let mut log = Log { bytes: Vec::new(), cut: false };
    loop {
        let read = source.read(&mut chunk).await?;
        log.bytes.extend_from_slice(&chunk[..read]);
        if read == 0 || log.bytes.len() >= limit.saturating_mul(2).max(CHUNK) {
            let older = log.bytes.len().saturating_sub(limit);
            log.cut |= older > 0;
            log.bytes.drain(..older);
        }
        if read == 0 {
            return Ok(log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_bytes_are_kept() {
        let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for (limit, cut) in [(10, true), (CHUNK, true), (400_000, false), (usize::MAX, false), (0, true)] {
            let log = newest(text.as_slice(), limit).await.unwrap();
            assert_eq!(log.bytes, text[text.len() - limit.min(text.len())..], "{limit}");
            assert_eq!(log.cut, cut, "{limit}");
        }
    }
}
