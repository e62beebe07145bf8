//! Text of the tools as Markdown shows it.

/// Text on one line in which Markdown sees no markup of its own, except what stands between backticks.
pub(crate) fn line(text: &str) -> String {
    let mut code = false;
    let mut shown = String::new();
    for character in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        code ^= character == '`';
        if !code && matches!(character, '<' | '*' | '[' | '\\') {
            shown.push('\\');
        }
        shown.push(character);
    }
    shown
}

/// A table without the columns that have nothing in any row. Empty without rows.
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let told: Vec<_> = (0..columns.len()).filter(|&column| rows.iter().any(|row| !row[column].is_empty())).collect();
    let written = |cells: &[String]| {
        let cells: Vec<_> = told.iter().map(|&column| cells[column].replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    if told.is_empty() {
        return String::new();
    }
    let columns: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(told.len()));
    [written(&columns), rule].into_iter().chain(rows.iter().map(|row| written(row))).collect()
}

/// `a`, `b` or `c`.
pub(crate) fn either(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_it_is() {
        assert_eq!(line("called <name>-code\nor  `<name>`, a*b"), "called \\<name>-code or `<name>`, a\\*b");
    }

    #[test]
    fn a_column_with_nothing_in_it_is_left_out() {
        let rows = [vec!["a|b".to_owned(), String::new(), "c".to_owned()]];
        assert_eq!(table(&["x", "y", "z"], &rows), "| x | z |\n|---|---|\n| a\\|b | c |\n");
        assert_eq!(table(&["x"], &[]), "");
    }
}
