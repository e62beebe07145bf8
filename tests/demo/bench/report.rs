//! How figures are summed up and written.

use std::time::Duration;

/// The middle one; the upper of two. Zero of none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// The one below which so many of a hundred are. Zero of none.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Median and range.
pub(crate) fn spread(times: &[Duration]) -> String {
    let middle = median(times.iter().copied().map(ms).collect());
    let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
    let (first, last) = (ms(first.unwrap_or_default()), ms(last.unwrap_or_default()));
    format!("median {middle:.2} ms, from {first:.2} to {last:.2} ms, {} runs", times.len())
}
