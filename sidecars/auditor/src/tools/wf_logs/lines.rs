//! The lines of several logs as one, in the order of time.

use k8s_openapi::jiff::Timestamp;
use tentacular_cluster::Log;
use tentacular_contract::limits::LOG_BYTES;

use super::sources::Source;
use crate::{mask::mask_keys, text};

/// Longest line that is shown, in characters.
const LONGEST: usize = 16_000;

/// What is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) lines: Vec<String>,
    pub(super) sources: Vec<Source>,
    pub(super) truncated: bool,
}

struct Line {
    time: Option<Timestamp>,
    source: usize,
    /// As the kubelet writes the time.
    written: String,
    text: String,
}

/// The newest lines of all logs, at most so many, and at most 1 MiB together.
pub(super) fn merge(logs: Vec<(Source, Log)>, limit: u32, timestamps: bool) -> Merged {
    let named = logs.len() > 1;
    let (mut lines, mut sources, mut truncated) = (Vec::new(), Vec::new(), false);
    for (number, (source, log)) in logs.into_iter().enumerate() {
        truncated |= log.cut;
        lines.extend(read(number, log));
        sources.push(Source { lines: 0, ..source });
    }
    // Stable: what one container wrote stays in its order.
    lines.sort_by_key(|line| line.time);
    let (mut room, limit) = (LOG_BYTES, usize::try_from(limit).unwrap_or(usize::MAX));
    let mut shown = Vec::new();
    for line in lines.into_iter().rev() {
        let source = &mut sources[line.source];
        let time = if timestamps { format!("{} ", line.written) } else { String::new() };
        let name = if named { format!("[{}/{}] ", source.pod, source.container) } else { String::new() };
        let text = format!("{time}{name}{}", line.text);
        if shown.len() == limit || text.len() >= room {
            truncated = true;
            break;
        }
        room -= text.len() + 1;
        source.lines += 1;
        shown.push(text);
    }
    shown.reverse();
    Merged { lines: shown, sources, truncated }
}

fn read(source: usize, log: Log) -> Vec<Line> {
    let split = |line: String| match line.split_once(' ') {
        Some((time, text)) if time.parse::<Timestamp>().is_ok() => (time.to_owned(), text.to_owned()),
        // A line that was cut in front, or is from something that is no kubelet.
        _ => (String::new(), line),
    };
    let (times, mut texts): (Vec<_>, Vec<_>) = log.lines.into_iter().map(split).unzip();
    mask_keys(&mut texts);
    let texts = texts.iter().map(|text| text::block(text, LONGEST));
    let mut last = None;
    let placed = times.into_iter().zip(texts).map(|(written, text)| {
        last = written.parse().ok().or(last);
        Line { time: last, source, written, text }
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(pod: &str, container: &str, lines: &[&str]) -> (Source, Log) {
        let source = Source { pod: pod.to_owned(), container: container.to_owned(), lines: 0 };
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        (source, Log { lines, cut: false })
    }

    #[test]
    fn lines_of_several_containers_are_in_the_order_of_time() {
        let logs = || {
            vec![
                log("p", "one", &["2026-01-01T00:00:01.5Z first", "no time", "2026-01-01T00:00:03Z  third"]),
                log("p", "two", &["2026-01-01T01:00:02+01:00 second", "2026-01-01T00:00:03Z fourth"]),
            ]
        };
        let merged = merge(logs(), 10, false);
        assert_eq!(
            merged.lines,
            ["[p/one] first", "[p/one] no time", "[p/two] second", "[p/one]  third", "[p/two] fourth"]
        );
        assert_eq!(merged.sources.iter().map(|source| source.lines).collect::<Vec<_>>(), [3, 2]);
        assert!(!merged.truncated);
        let newest = merge(logs(), 2, true);
        assert_eq!(newest.lines, ["2026-01-01T00:00:03Z [p/one]  third", "2026-01-01T00:00:03Z [p/two] fourth"]);
        assert!(newest.truncated);
        assert_eq!(merge(logs().split_off(1), 10, false).lines, ["second", "fourth"], "one needs no name");
    }

    #[test]
    fn the_newest_lines_win_under_the_cap() {
        let line = |number: usize| format!("2026-01-01T00:00:01Z {number} {}", "x ".repeat(5000));
        let long: Vec<_> = (0..200).map(line).collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        let merged = merge(vec![log("p", "c", &long)], 1000, false);
        assert!(merged.truncated && merged.lines.len() < 110, "{}", merged.lines.len());
        assert!(merged.lines.last().is_some_and(|line| line.starts_with("199 ")));
        assert!(merged.lines.iter().map(String::len).sum::<usize>() < LOG_BYTES);
    }

    #[test]
    fn what_containers_write_is_data() {
        let lines = [
            "2026-01-01T00:00:01Z \u{1b}[31mlogin\u{202e} with password=hunter2",
            "2026-01-01T00:00:01Z -----BEGIN PRIVATE KEY-----",
            "2026-01-01T00:00:01Z MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
            "2026-01-01T00:00:01Z -----END PRIVATE KEY-----",
        ];
        let merged = merge(vec![log("p", "c", &lines)], 10, false);
        assert_eq!(
            merged.lines,
            ["login with password=***", "-----BEGIN PRIVATE KEY----- *** -----END PRIVATE KEY-----", "***", "***"]
        );
    }
}
