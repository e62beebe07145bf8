//! docs/architecture.md names files, functions and types that are there.

use std::{collections::HashSet, fs, path::Path};

use crate::threat_model::{ROOT, sources};

/// What stands before the folder that the files of a section are in.
const FOLDER: &str = "Files are those of `";
/// What stands before a name that is defined.
const DEFINES: [&str; 5] = ["fn", "struct", "enum", "trait", "mod"];

/// The texts between backticks.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a file of that name is where its section says, or is named from the top or from `kernel`.
fn is_file(name: &str, section: &str) -> bool {
    let folder = section.split_once(FOLDER).and_then(|(_, rest)| rest.split('`').next());
    let folders = [Some(""), Some("kernel"), folder];
    folders.into_iter().flatten().any(|folder| Path::new(ROOT).join(folder).join(name).is_file())
}

/// The words of a file, and those of them that it defines.
struct Words<'a> {
    all: HashSet<&'a str>,
    defined: HashSet<&'a str>,
}

impl<'a> Words<'a> {
    fn of(source: &'a str) -> Self {
        let words =
            source.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
        let words: Vec<_> = words.collect();
        let defined = words.windows(2).filter(|pair| DEFINES.contains(&pair[0])).map(|pair| pair[1]).collect();
        Self { all: words.into_iter().collect(), defined }
    }
}

/// Whether a file defines what is named as in `Type::function` or `module::Type`, and has the type.
fn is_defined(name: &str, files: &[Words<'_>]) -> bool {
    let path: Vec<_> = name.split("::").collect();
    let [.., owner, item] = path[..] else { return false };
    let is_module = owner.starts_with(char::is_lowercase);
    files.iter().any(|file| file.defined.contains(item) && (is_module || file.all.contains(owner)))
}

#[test]
fn what_the_page_on_architecture_names_is_there() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/architecture.md")).expect("the page");
    let sources = sources();
    let files: Vec<_> = sources.values().map(|source| Words::of(source)).collect();
    let (mut looked_at, mut gone) = (0, Vec::new());
    for section in page.split("\n## ") {
        // Drawings are no names.
        let text: String = section.split("```").step_by(2).collect();
        for name in names(&text) {
            let name = name.split('(').next().unwrap_or_default();
            let there = if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
                is_file(name, &text)
            } else if name.contains("::") {
                is_defined(name, &files)
            } else {
                continue;
            };
            looked_at += 1;
            if !there {
                gone.push(name.to_owned());
            }
        }
    }
    assert!(gone.is_empty(), "docs/architecture.md names what is not there: {}", gone.join(", "));
    assert!(looked_at > 100, "only {looked_at} names were found");
}
