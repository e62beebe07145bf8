//! What stands between two commas: the head that opens an entry, and the words that are values of fields.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use super::{Kind, Problem, field, options, shorten};

/// Longest name of a schedule, in characters.
const NAME: usize = 63;
/// Nanoseconds that a Go duration can hold: `i64::MAX`, some 292 years.
const LONGEST: u128 = i64::MAX as u128;

/// A piece of the annotation between two commas.
pub(super) struct Segment<'a> {
    /// Its byte in the annotation.
    pub(super) at: usize,
    /// Name and zone, or why what stands there is none.
    pub(super) head: Result<Head<'a>, (usize, Problem)>,
    /// What follows the head: a descriptor, ...
    pub(super) descriptor: Option<Word<'a>>,
    /// ... or values with blanks between.
    pub(super) words: Vec<Word<'a>>,
    /// A blank stands before its first word, so that it goes on no list.
    pub(super) blank_before: bool,
    /// A blank stands after its last word.
    pub(super) blank_after: bool,
    /// The byte after it.
    pub(super) end: usize,
}

/// What may stand before an expression.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Head<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) timezone: Option<Tz>,
}

/// One value of a list, or a descriptor.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
    /// In which of the five fields it is a value.
    pub(super) fits: [bool; field::LAST + 1],
    /// It stands for the whole field.
    pub(super) star: bool,
}

impl<'a> Segment<'a> {
    /// The segment `text`, which stands at byte `at` of the annotation.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        let (head, rest) = match Head::read(text) {
            Ok((head, rest)) => (Ok(head), rest),
            Err((found, problem)) => (Err((at + offset(text, found), problem)), ""),
        };
        let word = |word: &'a str| Word::new(word, at + offset(text, word));
        let descriptor = rest.trim_start().starts_with('@').then(|| word(rest.trim()));
        let words =
            if descriptor.is_some() { Vec::new() } else { rest.split_whitespace().map(word).collect::<Vec<_>>() };
        Self {
            at,
            head,
            descriptor,
            words,
            blank_before: text.starts_with(char::is_whitespace),
            blank_after: text.ends_with(char::is_whitespace),
            end: at + text.len(),
        }
    }

    /// Whether it can only be the beginning of an entry.
    pub(super) fn opens(&self) -> bool {
        self.blank_before
            || self.descriptor.is_some()
            || self.words.is_empty()
            || self.head.as_ref().map_or(true, |head| *head != Head::default())
    }
}

/// Where `part`, a slice of `text`, begins.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

impl<'a> Head<'a> {
    /// The head of `text` and what follows it, or the piece that is wrong.
    fn read(text: &'a str) -> Result<(Self, &'a str), (&'a str, Problem)> {
        let Some((first, rest)) = text.split_once('=') else { return Ok((Self::default(), text)) };
        let first = first.trim();
        if is_zone(first) {
            let (timezone, rest) = zone(rest)?;
            return Ok((Self { name: None, timezone: Some(timezone) }, rest));
        }
        if !is_name(first) {
            return Err((first, Problem::Name(shorten(first))));
        }
        let (timezone, rest) = match rest.split_once('=') {
            Some((key, rest)) if is_zone(key.trim()) => zone(rest).map(|(zone, rest)| (Some(zone), rest))?,
            _ => (None, rest),
        };
        Ok((Self { name: Some(first), timezone }, rest))
    }
}

fn is_zone(key: &str) -> bool {
    matches!(key, "TZ" | "CRON_TZ")
}

/// Whether it can be the name of a schedule.
pub(super) fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= NAME && text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

fn zone(text: &str) -> Result<(Tz, &str), (&str, Problem)> {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let zone = options::timezone(name).map_err(|_| (text, Problem::Zone(shorten(name))))?;
    Ok((zone, rest))
}

impl<'a> Word<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        let read = std::array::from_fn::<_, { field::LAST + 1 }, _>(|number| field::read(text, number));
        Self { at, text, fits: read.each_ref().map(Option::is_some), star: read[0].as_deref() == Some(field::STAR) }
    }
}

/// What a descriptor means.
pub(super) fn descriptor(text: &str) -> Result<Kind, Problem> {
    if let Some(("@every", duration)) = text.split_once(char::is_whitespace) {
        let every = go_duration(duration.trim()).filter(|every| !every.is_zero());
        return every.map(Kind::Every).ok_or_else(|| Problem::Duration(shorten(duration.trim())));
    }
    fields(match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@every" => return Err(Problem::Duration(String::new())),
        _ => return Err(Problem::Descriptor(shorten(text))),
    })
}

/// Five fields in the spelling of [`field::read`].
pub(super) fn fields(pattern: &str) -> Result<Kind, Problem> {
    static SHARED: LazyLock<Mutex<HashMap<String, Weak<Cron>>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cron) = shared.get(pattern).and_then(Weak::upgrade) {
        return Ok(Kind::Fields(cron));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(pattern).map_err(|error| Problem::Refused(error.to_string()))?;
    let cron = Arc::new(cron);
    shared.retain(|_, cron| cron.strong_count() > 0);
    shared.insert(pattern.to_owned(), Arc::downgrade(&cron));
    Ok(Kind::Fields(cron))
}

/// A duration as Go's `time.ParseDuration` reads it, without a sign, cut to whole seconds.
fn go_duration(text: &str) -> Option<Duration> {
    const SECOND: u128 = 1_000_000_000;
    let mut rest = text;
    let mut nanoseconds = 0_u128;
    while !rest.is_empty() {
        let unit_at = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3_600 * SECOND,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        nanoseconds += amount(whole)?.checked_mul(unit)?;
        // Nine digits reach below a nanosecond for every unit up to a second, and below a microsecond for an hour.
        let fraction = &fraction[..fraction.len().min(9)];
        nanoseconds +=
            amount(fraction)?.checked_mul(unit)? / 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        if nanoseconds > LONGEST {
            return None;
        }
        rest = next;
    }
    Some(Duration::from_secs(u64::try_from(nanoseconds / SECOND).ok()?))
}

/// The number that these digits are; no digits are 0.
fn amount(digits: &str) -> Option<u128> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|amount| *amount <= LONGEST) }
}
