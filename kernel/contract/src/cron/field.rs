//! The grammar of one value in a field, on which the split rests: which list a value can belong to.
//!
//! Values are rewritten to what croner and robfig/cron read alike. As written, croner would take month names in any
//! field, let `5/2` reach Sunday as day 7, and match every day for `0 9 1 * */1`.

use super::Problem;

/// The last field: the one that ends an entry.
pub(super) const LAST: usize = FIELDS.len() - 1;

/// What one of the five fields holds.
struct Field {
    what: &'static str,
    allowed: &'static str,
    min: u16,
    max: u16,
    /// The largest value that a step reaches: day of week 7 is day 0 once more.
    last: u16,
    /// Names of the values, from `min` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        what: "minute",
        allowed: "use 0-59, ranges (0-30), steps (*/15) and lists of them",
        min: 0,
        max: 59,
        last: 59,
        names: &[],
    },
    Field {
        what: "hour",
        allowed: "use 0-23, ranges (9-17), steps (*/2) and lists of them",
        min: 0,
        max: 23,
        last: 23,
        names: &[],
    },
    Field {
        what: "day of month",
        allowed: "use 1-31, ranges (1-7), steps (*/2) and lists of them; L, W and # are not supported",
        min: 1,
        max: 31,
        last: 31,
        names: &[],
    },
    Field {
        what: "month",
        allowed: "use 1-12 or JAN-DEC, ranges, steps and lists of them",
        min: 1,
        max: 12,
        last: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    Field {
        what: "day of week",
        allowed: "use 0-6 or SUN-SAT (7 is Sunday too), ranges, steps and lists of them; L, # and + are not supported",
        min: 0,
        max: 7,
        last: 6,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
];

/// Largest step: what four digits hold. More than the field's range is legal cron and matches its first value alone.
const STEP: u16 = 9999;

/// What [`read`] returns for a value that stands for the whole field; croner takes no list beside it.
pub(super) const STAR: &str = "*";

/// `item` as croner reads it in the field of that number, or `None` when it is no value of the field.
pub(super) fn read(item: &str, number: usize) -> Option<String> {
    let field = FIELDS.get(number)?;
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(digits(step).filter(|step| (1..=STEP).contains(step))?)),
        None => (item, None),
    };
    if matches!(range, "*" | "?") {
        return Some(match step {
            None | Some(1) => STAR.to_owned(),
            Some(step) => format!("*/{step}"),
        });
    }
    let (start, end) = match range.split_once('-') {
        Some((start, end)) => {
            let start = field.value(start)?;
            (start, Some(field.range_end(end, start)?))
        }
        None => (field.value(range)?, step.map(|_| field.last)),
    };
    if end.is_some_and(|end| start > end) {
        return None;
    }
    Some(match (end, step) {
        (None, _) => start.to_string(),
        (Some(end), None) => format!("{start}-{end}"),
        (Some(end), Some(step)) => format!("{start}-{end}/{step}"),
    })
}

/// Why `item` is no value of the field of that number.
pub(super) fn refusal(item: &str, number: usize) -> Problem {
    let field = &FIELDS[number.min(LAST)];
    Problem::Field { text: super::shorten(item), what: field.what, allowed: field.allowed }
}

/// A number of digits only: `parse` alone would take a sign.
fn digits(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl Field {
    fn value(&self, text: &str) -> Option<u16> {
        let named = || (self.min..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        let value = digits(text).or_else(|| named().map(|(value, _)| value))?;
        (self.min..=self.max).contains(&value).then_some(value)
    }

    /// A range may end with Sunday: `FRI-SUN` is 5-7.
    fn range_end(&self, text: &str, start: u16) -> Option<u16> {
        let sunday = self.max > self.last && start > self.min && text.eq_ignore_ascii_case("SUN");
        if sunday { Some(self.max) } else { self.value(text) }
    }
}
