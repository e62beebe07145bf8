//! What the settings of the services have in common.

use std::{fmt, fs, io, path::Path};

/// A password, which shows nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Reads a label.
pub(super) fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("give labels as key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// What is set of each field: by an argument that is not empty, else by the file of its name in the folder of a mounted Secret.
/// What cannot be read is told in `problems`.
pub(super) fn given<const N: usize>(
    names: [&str; N],
    arguments: [Option<&String>; N],
    folder: Option<&Path>,
    problems: &mut Vec<String>,
) -> [Option<String>; N] {
    let mut arguments = arguments.into_iter();
    names.map(|name| {
        let argument = arguments.next().flatten().filter(|text| !text.is_empty()).cloned();
        argument.or_else(|| {
            from_file(folder?, name).unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        })
    })
}

/// Names the fields that are not set, where any is not.
pub(super) fn missing<const N: usize>(are_set: [(&str, bool); N]) -> Option<String> {
    let missing: Vec<_> = are_set.into_iter().filter(|(_, is_set)| !is_set).map(|(name, _)| name).collect();
    (!missing.is_empty()).then(|| format!("missing: {}", missing.join(", ")))
}

/// What a file of a mounted Secret says, without the line's end that editors add. An empty one says nothing.
fn from_file(folder: &Path, name: &str) -> Result<Option<String>, String> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
