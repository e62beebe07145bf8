//! Names and texts within a statement, where no parameter can stand.

/// An identifier, as PostgreSQL's `quote_ident` writes it. A NUL ends a statement on the wire, so it is left out: no name has
/// one.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// A text, whatever `standard_conforming_strings` is set to, as PostgreSQL's `quote_literal` writes it.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\0', "").replace('\\', "\\\\").replace('\'', "''"))
}

/// Identifiers with commas between them.
pub(super) fn identifiers(names: &[String]) -> String {
    names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_do_not_end_what_they_are_in() {
        assert_eq!(identifier(r#"a"; DROP ROLE b; --"#), r#""a""; DROP ROLE b; --""#);
        assert_eq!(literal(r"a'; DROP ROLE b; --"), r"E'a''; DROP ROLE b; --'");
        assert_eq!(literal(r"\'; --"), r"E'\\''; --'");
        assert_eq!(literal("$$\0x"), "E'$$x'");
    }
}
