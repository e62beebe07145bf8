//! What containers wrote, as a test says it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// A container of a pod: namespace, pod and container.
pub(super) type Container = (String, String, String);

/// The logs of a node's containers. Cheap to clone; clones show the same. A container that nothing was written for has an
/// empty log.
#[derive(Debug, Clone, Default)]
pub struct ContainerLogs(Arc<Mutex<BTreeMap<Container, Written>>>);

/// What one container wrote.
#[derive(Debug, Default)]
struct Written {
    lines: Vec<Line>,
    /// Of the container that ran before.
    previous: Option<Vec<Line>>,
}

type Line = (Timestamp, String);

/// Which lines are asked for, as the kubelet is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) previous: bool,
    pub(super) since_seconds: Option<i64>,
    pub(super) tail_lines: Option<usize>,
    pub(super) limit_bytes: Option<usize>,
    pub(super) timestamps: bool,
}

impl ContainerLogs {
    /// Lets a container have written a line at a time.
    pub fn write(&self, namespace: &str, pod: &str, container: &str, at: Timestamp, line: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        self.all().entry(key).or_default().lines.push((at, line.to_owned()));
    }

    /// Lets a container have been started again: what it wrote is the previous one's.
    pub fn restart(&self, namespace: &str, pod: &str, container: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        let mut all = self.all();
        let written = all.entry(key).or_default();
        written.previous = Some(std::mem::take(&mut written.lines));
    }

    /// The lines that are wanted; nothing where there was no previous container.
    pub(super) fn read(&self, container: &Container, wanted: &Wanted, now: Timestamp) -> Option<Vec<u8>> {
        let all = self.all();
        let written = all.get(container);
        let lines = if wanted.previous {
            written.and_then(|written| written.previous.as_deref())?
        } else {
            written.map(|written| written.lines.as_slice()).unwrap_or_default()
        };
        Some(chosen(lines, wanted, now))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Container, Written>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the kubelet chooses: the end of the log first, of that what is new enough, and of that the beginning.
fn chosen(lines: &[Line], wanted: &Wanted, now: Timestamp) -> Vec<u8> {
    let begin = lines.len().saturating_sub(wanted.tail_lines.unwrap_or(usize::MAX));
    let oldest = wanted.since_seconds.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
    let mut text = String::new();
    for (at, line) in lines[begin..].iter().filter(|(at, _)| oldest.is_none_or(|oldest| *at >= oldest)) {
        if wanted.timestamps {
            text += &at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ ").to_string();
        }
        text += line;
        text.push('\n');
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(wanted.limit_bytes.unwrap_or(usize::MAX));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn lines_are_chosen_as_a_kubelet_chooses_them() {
        let logs = ContainerLogs::default();
        for (second, line) in [(1, "one"), (2, "two"), (3, "three")] {
            logs.write("n", "p", "c", at(second), line);
        }
        let container = ("n".to_owned(), "p".to_owned(), "c".to_owned());
        let read =
            |wanted: Wanted| logs.read(&container, &wanted, at(4)).map(|text| String::from_utf8(text).unwrap());
        let all = Wanted::default;
        assert_eq!(read(all()).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(read(Wanted { tail_lines: Some(2), ..all() }).unwrap(), "two\nthree\n");
        assert_eq!(read(Wanted { since_seconds: Some(1), ..all() }).unwrap(), "three\n");
        assert_eq!(read(Wanted { limit_bytes: Some(5), ..all() }).unwrap(), "one\nt");
        let timed = read(Wanted { timestamps: true, tail_lines: Some(1), ..all() }).unwrap();
        assert_eq!(timed, "1970-01-01T00:00:03.000000000Z three\n");
        assert_eq!(read(Wanted { previous: true, ..all() }), None);
        logs.restart("n", "p", "c");
        assert_eq!(read(Wanted { previous: true, tail_lines: Some(1), ..all() }).unwrap(), "three\n");
        assert_eq!(read(all()).unwrap(), "");
    }
}
