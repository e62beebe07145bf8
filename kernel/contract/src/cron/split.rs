//! Finds the ways to split an annotation into entries.
//!
//! Entries end at commas only, so there are as many places as commas. From the last place to the first it is noted
//! where an entry that begins there may end such that the rest can be split too, two such ends at most: enough to tell
//! whether there is one way or more, and quadratic in the commas at worst, with a table look-up per step.

use std::collections::HashSet;

use super::{
    InvalidCron, Problem, Schedule, Splits,
    entry::{self, Segment},
    field,
};
use crate::limits;

/// Reads the annotation `tentacular.io/cron-schedule`.
///
/// # Errors
/// When no split makes every entry valid, when two entries share a name, and above [`limits::CRON_CHARACTERS`].
pub fn parse(annotation: &str) -> Result<Splits, InvalidCron> {
    let invalid = |(at, problem)| InvalidCron::new(annotation, at, problem);
    let characters = annotation.chars().count();
    if characters > limits::CRON_CHARACTERS {
        return Err(invalid((0, Problem::TooLong(characters, limits::CRON_CHARACTERS))));
    }
    let segments = segments(annotation);
    let ends = viable_ends(&segments);
    let Some(first) = path(&ends, None) else { return Err(invalid(furthest_failure(&segments))) };
    unique_names(&segments).map_err(invalid)?;
    let schedules = |path: Vec<(usize, usize)>| {
        path.into_iter()
            .map(|(start, end)| schedule(annotation, &segments[start..end]))
            .collect::<Result<Vec<_>, _>>()
    };
    let fork = first.iter().map(|(start, _)| *start).find(|start| ends[*start][1].is_some());
    match fork.and_then(|fork| path(&ends, Some(fork))) {
        None => Ok(Splits::One(schedules(first).map_err(invalid)?)),
        Some(second) => {
            Ok(Splits::Several([schedules(first).map_err(invalid)?, schedules(second).map_err(invalid)?]))
        }
    }
}

fn segments(annotation: &str) -> Vec<Segment<'_>> {
    let mut at = 0;
    let pieces = annotation.split(',').map(|piece| {
        let segment = Segment::new(piece, at);
        at += piece.len() + 1;
        segment
    });
    pieces.collect()
}

/// For each segment, up to two ends (the segment after the entry) of an entry that begins there, with a rest that can
/// be split.
fn viable_ends(segments: &[Segment<'_>]) -> Vec<[Option<usize>; 2]> {
    let mut ends = vec![[None; 2]; segments.len()];
    for start in (0..segments.len()).rev() {
        let mut found = [None; 2];
        walk(segments, start, |end| {
            let viable = end == segments.len() || ends[end][0].is_some();
            if let Some(free) = found.iter_mut().find(|free| viable && free.is_none()) {
                *free = Some(end);
            }
        });
        ends[start] = found;
    }
    ends
}

/// A way through: beginnings and ends of entries. At `fork` the second end is taken, everywhere else the first.
fn path(ends: &[[Option<usize>; 2]], fork: Option<usize>) -> Option<Vec<(usize, usize)>> {
    let mut path = Vec::new();
    let mut start = 0;
    while start < ends.len() {
        let end = ends[start][usize::from(fork == Some(start))]?;
        path.push((start, end));
        start = end;
    }
    Some(path)
}

/// Calls `end` with each place where an entry that begins at `start` may end, and says what stops it from going on.
fn walk(segments: &[Segment<'_>], start: usize, mut end: impl FnMut(usize)) -> (usize, Problem) {
    let first = &segments[start];
    if let Err(failure) = &first.head {
        return failure.clone();
    }
    if let Some(word) = first.descriptor {
        if let Err(problem) = entry::descriptor(word.text) {
            return (word.at, problem);
        }
        end(start + 1);
        return (first.at, Problem::Empty);
    }
    if first.words.is_empty() {
        return (first.at, Problem::Empty);
    }
    let mut number = 0;
    for (index, segment) in segments.iter().enumerate().skip(start) {
        for (place, word) in segment.words.iter().enumerate() {
            number += usize::from(place > 0);
            if number > field::LAST {
                return (word.at, Problem::ManyFields);
            }
            if !word.fits[number] {
                return (word.at, field::refusal(word.text, number));
            }
            if word.star && place == 0 && index > start {
                return (word.at, Problem::StarInList);
            }
        }
        if number == field::LAST {
            end(index + 1);
        }
        let star = segment.words.last().is_some_and(|word| word.star);
        let Some(next) = segments.get(index + 1).filter(|next| !next.opens() && !segment.blank_after) else {
            return (segment.end, Problem::FewFields(number + 1));
        };
        if star {
            return (
                next.at,
                if number == field::LAST { Problem::StarInList } else { Problem::FewFields(number + 1) },
            );
        }
    }
    (segments.last().map_or(0, |segment| segment.end), Problem::FewFields(number + 1))
}

/// Why there is no way through: of everything that can be reached from the beginning, what stops furthest on.
fn furthest_failure(segments: &[Segment<'_>]) -> (usize, Problem) {
    let mut reached = vec![false; segments.len() + 1];
    reached[0] = true;
    let mut furthest = (0, Problem::Empty);
    for start in 0..segments.len() {
        if reached[start] {
            let failure = walk(segments, start, |end| reached[end] = true);
            if failure.0 >= furthest.0 {
                furthest = failure;
            }
        }
    }
    furthest
}

/// A name opens an entry, so all ways to split share the names.
fn unique_names(segments: &[Segment<'_>]) -> Result<(), (usize, Problem)> {
    let mut names = HashSet::new();
    for segment in segments {
        if let Ok(entry::Head { name: Some(name), .. }) = segment.head
            && !names.insert(name)
        {
            return Err((segment.at, Problem::SameName(name.to_owned())));
        }
    }
    Ok(())
}

/// The schedule that an entry of these segments is.
fn schedule(annotation: &str, segments: &[Segment<'_>]) -> Result<Schedule, (usize, Problem)> {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Err((0, Problem::Empty)) };
    let head = first.head.clone()?;
    let at = first.descriptor.or(first.words.first().copied()).map_or(first.at, |word| word.at);
    let expression = annotation.get(at..last.end).unwrap_or_default().trim_end();
    let kind = match first.descriptor {
        Some(word) => entry::descriptor(word.text),
        None => entry::fields(&pattern(segments)),
    };
    Ok(Schedule {
        name: head.name.map(str::to_owned),
        expression: expression.to_owned(),
        timezone: head.timezone,
        kind: kind.map_err(|problem| (at, problem))?,
    })
}

/// The five fields of an entry as croner is given them.
fn pattern(segments: &[Segment<'_>]) -> String {
    let mut pattern = String::new();
    let mut number = 0;
    for (index, segment) in segments.iter().enumerate() {
        for (place, word) in segment.words.iter().enumerate() {
            number += usize::from(place > 0);
            pattern.push_str(match (index, place) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => " ",
            });
            pattern.push_str(&field::read(word.text, number).unwrap_or_default());
        }
    }
    pattern
}
