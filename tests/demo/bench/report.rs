//! The figures of a run: each is said when it is measured, and all of them stand in one table at the end.

mod machine;

use std::{fmt, fs, path::Path, time::Duration};

use anyhow::Context as _;
use kube::Client;
use tentacular_demo::say;

/// The page that a whole run writes its table into, between these lines.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance.md");
const BEGIN: &str = "<!-- figures: `make bench` writes what follows -->\n";
const END: &str = "<!-- end of figures -->\n";
/// Columns of the table.
const COLUMNS: [&str; 6] = ["what", "ours", "floor", "bare", "ratio", "details"];

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

/// One figure of ours.
#[derive(Debug)]
pub(crate) struct Figure {
    what: String,
    ours: f64,
    unit: Unit,
    floor: Option<Floor>,
    bare: Option<Bare>,
    details: String,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Milliseconds,
    Seconds,
    /// Of 1,000,000 bytes.
    Megabytes,
    PerSecond,
    /// Requests, and what else is counted.
    Each,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
enum Floor {
    AtMost(f64),
    RatioAtLeast(f64),
}

/// The same without what we do, in the same run.
#[derive(Debug)]
struct Bare {
    name: &'static str,
    figure: f64,
    /// Ours to it: the median of the ratios round by round, where there are rounds.
    ratio: f64,
}

impl Report {
    /// Says a figure and keeps it.
    pub(crate) fn add(&mut self, figure: Figure) {
        let [what, ours, floor, bare, ratio, details] = figure.cells();
        let named = |name: &str, cell: String| if cell.is_empty() { cell } else { format!(" ({name} {cell})") };
        let (floor, bare, ratio) = (named("floor", floor), named("bare", bare), named("ratio", ratio));
        say(&format!("{what}: {ours}{floor}{bare}{ratio} {details}"));
        self.figures.push(figure);
    }

    /// Says the table.
    pub(crate) fn tell(&self) {
        say(&format!("\n{}", self.table()));
    }

    /// Writes table and machine into docs/performance.md.
    pub(crate) async fn write(&self, admin: &Client) -> anyhow::Result<()> {
        let path = Path::new(PAGE);
        let page = fs::read_to_string(path).context("docs/performance.md")?;
        let (before, rest) = page.split_once(BEGIN).context("docs/performance.md has no place for the figures")?;
        let (_, after) = rest.split_once(END).context("docs/performance.md has no end of the figures")?;
        let facts = machine::facts(admin).await?;
        fs::write(path, format!("{before}{BEGIN}{facts}\n{}{END}{after}", self.table()))?;
        say("written into docs/performance.md");
        Ok(())
    }

    /// As Markdown, in columns.
    fn table(&self) -> String {
        let rows: Vec<_> = self.figures.iter().map(Figure::cells).collect();
        let header = COLUMNS.map(str::to_owned);
        let width = |column: usize| {
            let cells = rows.iter().chain([&header]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let line = |cells: &[String; 6]| {
            let cells = cells.iter().enumerate().map(|(column, cell)| format!("| {cell:0$} ", width(column)));
            cells.collect::<String>() + "|\n"
        };
        let rule = std::array::from_fn(|column| "-".repeat(width(column)));
        [&header, &rule].into_iter().chain(&rows).map(line).collect()
    }
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, ours: f64, unit: Unit) -> Self {
        Self { what: what.into(), ours, unit, floor: None, bare: None, details: String::new() }
    }

    /// The median of these times, in milliseconds, with their range.
    pub(crate) fn times(what: impl Into<String>, times: &[Duration]) -> Self {
        let middle = median(times.iter().copied().map(ms).collect());
        let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
        let (first, last) = (ms(first.unwrap_or_default()), ms(last.unwrap_or_default()));
        let figure = Self::new(what, middle, Unit::Milliseconds);
        figure.details(format!("median of {}, {first:.2} to {last:.2} ms", times.len()))
    }

    /// It is held against this figure of the same unit, and passes below it.
    pub(crate) const fn at_most(mut self, floor: f64) -> Self {
        self.floor = Some(Floor::AtMost(floor));
        self
    }

    /// Its ratio is held against this one, and passes above it.
    pub(crate) const fn ratio_at_least(mut self, floor: f64) -> Self {
        self.floor = Some(Floor::RatioAtLeast(floor));
        self
    }

    /// What it is compared with, of the same unit.
    pub(crate) const fn beside(mut self, name: &'static str, figure: f64, ratio: f64) -> Self {
        self.bare = Some(Bare { name, figure, ratio });
        self
    }

    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    fn cells(&self) -> [String; 6] {
        let Self { what, ours, unit, floor, bare, details } = self;
        let ratio = bare.as_ref().map(|bare| bare.ratio);
        let floor = floor.map(|floor| {
            let (text, passed) = match floor {
                Floor::AtMost(most) => (format!("≤ {}", unit.floor(most)), *ours <= most),
                Floor::RatioAtLeast(least) => {
                    (format!("ratio ≥ {least:.2}"), ratio.is_some_and(|ratio| ratio >= least))
                }
            };
            if passed { text } else { format!("{text}, missed") }
        });
        [
            what.clone(),
            unit.of(*ours),
            floor.unwrap_or_default(),
            bare.as_ref().map(|bare| format!("{}, {}", unit.of(bare.figure), bare.name)).unwrap_or_default(),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            details.clone(),
        ]
    }
}

impl Unit {
    fn of(self, figure: f64) -> String {
        match self {
            Self::Milliseconds if figure < 100.0 => format!("{figure:.2} {self}"),
            Self::PerSecond if figure < 100.0 => format!("{figure:.1} {self}"),
            Self::Milliseconds | Self::PerSecond => format!("{figure:.0} {self}"),
            Self::Seconds | Self::Megabytes => format!("{figure:.1} {self}"),
            Self::Each => format!("{figure:.1}"),
        }
    }

    fn floor(self, figure: f64) -> String {
        format!("{figure} {self}").trim_end().to_owned()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Megabytes => "MB",
            Self::PerSecond => "/s",
            Self::Each => "",
        })
    }
}

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

/// The median of the ratios within each round.
pub(crate) fn ratio<T>(figures: &[T], others: &[T], value: impl Fn(&T) -> f64) -> f64 {
    median(figures.iter().zip(others).map(|(figure, other)| value(figure) / value(other)).collect())
}
