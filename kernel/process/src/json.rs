//! What JSON costs before anybody parses it.

/// How large JSON would be once it is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Levels of nesting.
    pub depth: usize,
    /// Values that it holds at most. In memory each may take a hundred times its text.
    pub values: usize,
}

/// The extent of `text`, also of what is no JSON.
pub fn extent(text: &[u8]) -> Extent {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
                values += 1;
            }
            // What is no JSON may close more than it opened.
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            b',' if !in_string => values += 1,
            _ => {}
        }
    }
    Extent { depth: deepest, values }
}
