//! The format of the NATS server's configuration, read to know what stands where.
//!
//! As the server's own reader has it (`conf/lex.go`): keys and values with `=`, `:` or a space between them, `{}`, `[]`, `#` and
//! `//`, three kinds of quotes, and texts without. What that one takes only by accident is an error here.

use std::ops::Range;

/// Values within values. The server's own files have six.
const DEEPEST: usize = 32;

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) span: Range<usize>,
    pub(super) value: Value<'a>,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// A text, a number or a variable, as it is written, without its quotes.
    Text(&'a str),
    List(Vec<Node<'a>>),
    Map(Map<'a>),
}

/// Keys with their values, in order. What other files say that are included here is not known.
#[derive(Debug, Default)]
pub(super) struct Map<'a>(pub(super) Vec<(&'a str, Node<'a>)>);

/// A file.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) top: Map<'a>,
    /// Where comments begin.
    pub(super) comments: Vec<usize>,
}

impl<'a> Map<'a> {
    /// The value of a key, which the server reads in upper and lower case alike. The error says that it stands there twice.
    pub(super) fn get(&self, key: &str) -> Result<Option<&Node<'a>>, String> {
        let mut found = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(format!("{key} stands there twice")),
            (found, None) => Ok(found),
        }
    }
}

/// Reads a file. The error names the line, and nothing that stands there.
pub(super) fn read(text: &str) -> Result<File<'_>, String> {
    let mut reader = Reader { text, at: 0, depth: 0, comments: Vec::new() };
    let read = if text.contains('\0') { Err("a byte 0") } else { reader.file() };
    let line = text[..reader.at].matches('\n').count() + 1;
    let top = read.map_err(|what| format!("line {line}: {what}, which is not understood"))?;
    Ok(File { top, comments: reader.comments })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    comments: Vec<usize>,
}

/// What is not understood.
type Found<T> = Result<T, &'static str>;

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Goes on while the characters are such, and returns them.
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|character| !wanted(character)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn blanks(&mut self) {
        self.take(is_blank);
    }

    /// Goes to what comes next beyond spaces, lines and comments.
    fn skip(&mut self) -> Option<char> {
        loop {
            self.take(char::is_whitespace);
            if !self.comment() {
                return self.peek();
            }
        }
    }

    fn comment(&mut self) -> bool {
        let is_one = self.rest().starts_with('#') || self.rest().starts_with("//");
        if is_one {
            self.comments.push(self.at);
            self.take(|character| !is_line_end(character));
        }
        is_one
    }

    /// Members, between braces or not.
    fn file(&mut self) -> Found<Map<'a>> {
        let mut top = Map::default();
        loop {
            match self.skip() {
                None => return Ok(top),
                Some('{') => self.at += 1,
                Some('}') => {
                    self.at += 1;
                    return if self.skip().is_none() { Ok(top) } else { Err("something after the last }") };
                }
                Some(_) => {
                    self.member(&mut top)?;
                    self.end_of_member()?;
                }
            }
        }
    }

    fn map(&mut self) -> Found<Map<'a>> {
        self.at += 1;
        let mut map = Map::default();
        loop {
            match self.skip() {
                None => return Err("a { without its }"),
                Some('}') => {
                    self.at += 1;
                    return Ok(map);
                }
                Some(_) => {
                    self.member(&mut map)?;
                    self.end_of_member()?;
                }
            }
        }
    }

    fn list(&mut self) -> Found<Vec<Node<'a>>> {
        self.at += 1;
        let mut list = Vec::new();
        loop {
            match self.skip() {
                None => return Err("a [ without its ]"),
                Some(',') => return Err("a comma without a value before it"),
                Some(']') => {
                    self.at += 1;
                    return Ok(list);
                }
                Some(_) => list.push(self.value()?),
            }
            self.blanks();
            if self.comment() {
                continue;
            }
            match self.peek() {
                Some(',' | '\n' | '\r') => self.at += 1,
                Some(']') | None => {}
                Some(_) => return Err("two values without a comma or a line between them"),
            }
        }
    }

    /// A key with its value. Of an `include` nothing is kept.
    fn member(&mut self, map: &mut Map<'a>) -> Found<()> {
        let key = if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.quoted(quote, false)?
        } else {
            let key = self.take(|character| !character.is_whitespace() && !matches!(character, '=' | ':'));
            if key.is_empty() || key.contains(['{', '}', '[', ']', '(', ')', '"', '\'']) {
                return Err("a key that is none");
            }
            if key.eq_ignore_ascii_case("include") && self.peek().is_some_and(char::is_whitespace) {
                self.blanks();
                return self.value().map(drop);
            }
            key
        };
        self.take(char::is_whitespace);
        if matches!(self.peek(), Some('=' | ':')) {
            self.at += 1;
            self.take(char::is_whitespace);
        }
        let value = self.value()?;
        map.0.push((key, value));
        Ok(())
    }

    fn end_of_member(&mut self) -> Found<()> {
        self.blanks();
        match self.peek() {
            Some(',' | ';' | '\n' | '\r') => self.at += 1,
            Some('}' | '#') | None => {}
            Some('/') if self.rest().starts_with("//") => {}
            Some(_) => return Err("a value that goes on after its end"),
        }
        Ok(())
    }

    fn value(&mut self) -> Found<Node<'a>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("too many values within each other");
        }
        let start = self.at;
        let value = match self.peek() {
            Some('{') => Value::Map(self.map()?),
            Some('[') => Value::List(self.list()?),
            Some(quote @ ('"' | '\'')) => Value::Text(self.quoted(quote, true)?),
            Some('(') => Value::Text(self.block()?),
            _ => Value::Text(self.bare()?),
        };
        self.depth -= 1;
        Ok(Node { span: start..self.at, value })
    }

    /// A text in quotes. In double ones of a value `\` keeps what follows from ending it.
    fn quoted(&mut self, quote: char, value: bool) -> Found<&'a str> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        let ends = |character| {
            let ends = character == quote && !escaped;
            escaped = value && quote == '"' && character == '\\' && !escaped;
            ends
        };
        let length = self.rest().find(ends).ok_or("a quote without its end")?;
        self.at = start + length + 1;
        Ok(&self.text[start..start + length])
    }

    /// A text that goes on until a line has nothing but `)`.
    fn block(&mut self) -> Found<&'a str> {
        let start = self.at + 1;
        let ends = |&(at, _): &(usize, _)| matches!(self.text.as_bytes().get(at + 2), None | Some(b'\n'));
        let end = self.text[self.at..].match_indices("\n)").map(|(at, text)| (self.at + at, text)).find(ends);
        let (end, _) = end.ok_or("a ( without its )")?;
        self.at = end + 2;
        Ok(self.text.get(start..end).unwrap_or_default())
    }

    fn bare(&mut self) -> Found<&'a str> {
        let ends = |character: char| {
            is_blank(character) || is_line_end(character) || matches!(character, ';' | ',' | ']' | '}' | '\'')
        };
        let text = self.take(|character| !ends(character));
        // The server ends a number at its last digit, so that a comment can follow.
        let number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        match text {
            "" => Err("a key without a value"),
            _ if text.contains('\\') => Err("an escape outside of quotes"),
            _ if number && (text.contains('#') || text.contains("//")) => Err("a number that goes on after its end"),
            _ => {
                if self.peek() == Some('\'') {
                    self.at += 1;
                }
                Ok(text)
            }
        }
    }
}

const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

const fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r')
}
