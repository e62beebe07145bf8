//! The file with the server's users, of which tentacles are some. Only what is a tentacle's is written, every other byte stays.

use std::{collections::BTreeSet, ops::Range};

use super::syntax::{self, File, Node, Value};

/// A user who may nothing, in place of the last one: a server with an empty list admits everybody.
const NOBODY: &str =
    r#"{ user = "tentacular-nobody", permissions = { publish = { deny = [">"] }, subscribe = { deny = [">"] } } }"#;
/// What stands before an entry on a line of its own.
const INDENT: &str = "    ";

/// A file that was read.
struct Document<'a> {
    text: &'a str,
    /// Where the list of users begins, after its bracket.
    begin: usize,
    entries: Vec<Entry<'a>>,
}

/// A user of the list.
struct Entry<'a> {
    span: Range<usize>,
    /// Its name as it is written, where it has one.
    user: Option<&'a str>,
    /// What it may publish and subscribe to, where it says that and no more.
    rights: Option<[BTreeSet<&'a str>; 2]>,
}

/// The file with a user who may publish and subscribe to these subjects and to nothing else; nothing where it is so already. The
/// error says what of the file is in the way.
pub(super) fn with(text: &str, user: &str, subjects: &[String]) -> Result<Option<String>, String> {
    let begun = format!("authorization {{\n  users = [\n{INDENT}{NOBODY}\n  ]\n}}\n");
    let text = if text.trim().is_empty() { &begun } else { text };
    let document = Document::read(text)?;
    let wanted: BTreeSet<_> = subjects.iter().map(String::as_str).collect();
    let (at, entry) = match document.of(user)[..] {
        [] => document.room(user, subjects),
        [Entry { rights: Some(rights), .. }] if rights.iter().all(|side| *side == wanted) => return Ok(None),
        [Entry { span, rights: Some(rights), .. }] if rights.iter().all(|side| side.is_subset(&wanted)) => {
            let indent = document.before(span.start);
            (span.clone(), written(user, subjects, is_blank(indent).then_some(indent)))
        }
        [_] => {
            return Err(format!("the entry of {user} says more than is written for a tentacle; take it out"));
        }
        _ => return Err(format!("{user} has several entries; leave one")),
    };
    Ok(Some([&text[..at.start], &entry, &text[at.end..]].concat()))
}

/// The file without that user; nothing where there is none.
pub(super) fn without(text: &str, user: &str) -> Result<Option<String>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let document = Document::read(text)?;
    let mut entries = document.of(user);
    let all = entries.len() == document.entries.len() && !entries.is_empty();
    let last = if all { Some(entries.remove(0)) } else { None };
    let mut left = text.to_owned();
    for entry in entries.into_iter().rev() {
        left.replace_range(document.taken_with(&entry.span), "");
    }
    if let Some(last) = last {
        left.replace_range(last.span.clone(), NOBODY);
    }
    Ok((left != text).then_some(left))
}

/// Whether the file has a list of users with nobody in it, so that the server admits everybody.
pub(super) fn admits_everybody(text: &str) -> Result<bool, String> {
    Ok(text.trim().is_empty() || Document::read(text)?.entries.is_empty())
}

/// The names of all users of the file, as they are written.
pub(super) fn users(text: &str) -> Result<Vec<&str>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    Ok(Document::read(text)?.entries.iter().filter_map(|entry| entry.user).collect())
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let File { top, comments } = syntax::read(text)?;
        let none = || "it has no list of users; write authorization { users = [] } into it".to_owned();
        let Value::Map(authorization) = &top.get("authorization")?.ok_or_else(none)?.value else {
            return Err("authorization has no braces".to_owned());
        };
        let Node { span, value } = authorization.get("users")?.ok_or_else(none)?;
        let Value::List(users) = value else { return Err("users of authorization is no list".to_owned()) };
        let entries = users.iter().map(|user| Entry::of(user, &comments)).collect::<Result<_, _>>()?;
        Ok(Self { text, begin: span.start + 1, entries })
    }

    fn of(&self, user: &str) -> Vec<&Entry<'a>> {
        self.entries.iter().filter(|entry| entry.user == Some(user)).collect()
    }

    /// Where a new entry goes, and how it is written there: on lines of its own, unless the list goes on in the bracket's line.
    fn room(&self, user: &str, subjects: &[String]) -> (Range<usize>, String) {
        match self.text[self.begin..].split_once('\n') {
            Some((rest, _)) if is_blank(rest) => {
                let at = self.begin + rest.len() + 1;
                (at..at, format!("{INDENT}{}\n", written(user, subjects, Some(INDENT))))
            }
            _ => (self.begin..self.begin, format!("{},", written(user, subjects, None))),
        }
    }

    /// What goes with an entry: the comma after it, and the lines that have nothing else.
    fn taken_with(&self, Range { start, end }: &Range<usize>) -> Range<usize> {
        let after = &self.text[*end..];
        let spaces = after.len() - after.trim_start_matches([' ', '\t']).len();
        let end = if after[spaces..].starts_with(',') { end + spaces + 1 } else { *end };
        let before = self.before(*start);
        match self.text[end..].split_once('\n') {
            Some((rest, _)) if is_blank(before) && is_blank(rest) => start - before.len()..end + rest.len() + 1,
            _ => *start..end,
        }
    }

    /// What stands before that in its line.
    fn before(&self, at: usize) -> &'a str {
        let before = &self.text[..at];
        &before[before.rfind('\n').map_or(0, |line| line + 1)..]
    }
}

impl<'a> Entry<'a> {
    fn of(Node { span, value }: &Node<'a>, comments: &[usize]) -> Result<Self, String> {
        let (mut user, mut rights) = (None, None);
        if let Value::Map(map) = value {
            let named = [map.get("user")?, map.get("username")?];
            user = named.into_iter().flatten().find_map(|named| text(named));
            let commented = comments.iter().any(|at| span.contains(at));
            if let ([(_, _), (_, _)], Some(permissions), false) = (&map.0[..], map.get("permissions")?, commented) {
                rights = allowed(permissions);
            }
        }
        Ok(Self { span: span.clone(), user, rights })
    }
}

/// The subjects of `{ publish = { allow = […] } subscribe = { allow = […] } }`, where it says nothing else.
fn allowed<'a>(Node { value, .. }: &Node<'a>) -> Option<[BTreeSet<&'a str>; 2]> {
    let Value::Map(sides) = value else { return None };
    let side = |name: &str| {
        let Value::Map(side) = &sides.get(name).ok()??.value else { return None };
        let Value::List(subjects) = &side.get("allow").ok()??.value else { return None };
        (side.0.len() == 1).then(|| subjects.iter().map(text).collect::<Option<_>>())?
    };
    let rights = [side("publish")?, side("subscribe")?];
    (sides.0.len() == 2).then_some(rights)
}

const fn text<'a>(Node { value, .. }: &Node<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// An entry, in one line or in several with that before each. Nothing of it needs an escape.
fn written(user: &str, subjects: &[String], indent: Option<&str>) -> String {
    let subjects: Vec<_> = subjects.iter().map(|subject| format!("{subject:?}")).collect();
    let allow = format!("allow = [{}]", subjects.join(", "));
    let Some(indent) = indent else {
        return format!(
            "{{ user = {user:?}, permissions = {{ publish = {{ {allow} }}, subscribe = {{ {allow} }} }} }}"
        );
    };
    let side = |name: &str| [format!("    {name} = {{"), format!("      {allow}"), "    }".to_owned()];
    let begin = ["{".to_owned(), format!("  user = {user:?}"), "  permissions = {".to_owned()];
    let end = ["  }".to_owned(), "}".to_owned()];
    let lines = begin.into_iter().chain(side("publish")).chain(side("subscribe")).chain(end);
    lines.collect::<Vec<_>>().join(&format!("\n{indent}"))
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests;
