//! What a process says of its settings, by `--help`.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use tentacular_test_harness::Part;
use tokio::process::Command;

/// Settings under one heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) settings: Vec<Setting>,
}

/// A setting of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) flag: String,
    pub(super) variable: String,
    pub(super) default: String,
    pub(super) meaning: String,
}

/// All settings of a process.
pub(super) async fn of(part: Part) -> anyhow::Result<Vec<Section>> {
    let output = Command::new(part.binary()?).arg("--help").env_clear().output().await?;
    let sections = sections(&String::from_utf8(output.stdout)?).context(part.name())?;
    let flags: BTreeSet<_> = sections.iter().flat_map(|section| &section.settings).map(|it| &it.flag).collect();
    ensure!(flags.len() > 5, "the {} tells of {flags:?}", part.name());
    Ok(sections)
}

/// Sections of clap's help: `Heading:`, then for each flag a line that begins with it, and what it means behind or below it.
fn sections(help: &str) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::<(String, Vec<String>)>::new();
    for line in help.lines() {
        let text = line.trim();
        if let Some(heading) = line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            sections.push((heading.to_owned(), Vec::new()));
        } else if let Some((_, flags)) = sections.last_mut() {
            if text.starts_with('-') && !text.starts_with("- ") {
                flags.push(text.to_owned());
            } else if let Some(flag) = flags.last_mut() {
                *flag = format!("{flag} {text}");
            }
        }
    }
    let read = |(heading, flags): (String, Vec<String>)| {
        let own = |flag: &&String| flag.starts_with("--");
        let settings = flags.iter().filter(own).map(|text| setting(text)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Section { heading, settings })
    };
    let sections = sections.into_iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(sections.into_iter().filter(|section| !section.settings.is_empty()).collect())
}

/// `--flag <VALUE> What it means [env: NAME=] [default: value]`.
fn setting(text: &str) -> anyhow::Result<Setting> {
    let (flag, rest) = text.split_once(' ').context("a flag without a meaning")?;
    let rest = rest.trim_start();
    let told = if rest.starts_with('<') { rest.split_once("> ").map_or("", |(_, told)| told) } else { rest };
    let within =
        |begin: &str| told.split_once(begin).and_then(|(_, rest)| rest.split_once(']')).map(|(value, _)| value);
    let variable = within("[env: ").with_context(|| format!("{flag} has no variable"))?;
    let ends = ["[env: ", "[default: ", "[possible values: ", "Possible values: "];
    let end = ends.iter().filter_map(|end| told.find(end)).min().unwrap_or(told.len());
    let meaning = told[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(!meaning.is_empty(), "{flag} does not say what it means");
    let default = within("[default: ").unwrap_or_default().trim_matches('"');
    let values = within("[possible values: ").filter(|values| *values != "true, false");
    Ok(Setting {
        flag: flag.to_owned(),
        variable: variable.split('=').next().unwrap_or_default().to_owned(),
        default: default.to_owned(),
        meaning: values.map_or(meaning.clone(), |values| format!("{meaning}: {values}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_in_which_help_is_written_are_read() {
        let help = "A program\n\nUsage: a [OPTIONS]\n\nOptions:\n      --one <ONE>  Of one line [env: A_ONE=] [default: 1]\n  -h, --help\n          \
                    Print help\n\nMore (of all):\n      --two <TWO>\n          Of two,\n          with words\n\n          Possible \
                    values:\n          - a: An a\n\n          [env: A_TWO]\n          [default: a]\n      --three <three>\n          \
                    Which [default: none] [env: B=] [possible values: x, y]\n";
        let setting = |flag: &str, variable: &str, default: &str, meaning: &str| Setting {
            flag: flag.to_owned(),
            variable: variable.to_owned(),
            default: default.to_owned(),
            meaning: meaning.to_owned(),
        };
        let section = |heading: &str, settings| Section { heading: heading.to_owned(), settings };
        let more = vec![
            setting("--two", "A_TWO", "a", "Of two, with words"),
            setting("--three", "B", "none", "Which: x, y"),
        ];
        let expected =
            [section("Options", vec![setting("--one", "A_ONE", "1", "Of one line")]), section("More (of all)", more)];
        assert_eq!(sections(help).expect("sections"), expected);
        assert!(setting_error("--one <ONE>  Of one line").contains("no variable"));
        assert!(setting_error("--one <ONE>  [env: A=]").contains("what it means"));
    }

    fn setting_error(text: &str) -> String {
        setting(text).expect_err(text).to_string()
    }
}
