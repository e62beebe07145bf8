//! The chart's README: its values as values.yaml has them, each with the comment above it.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};

const HEAD: &str = "\
# tentacular-mcp, the chart

<!-- Written by `make docs` from values.yaml. -->

Installs the server (two pods, each with the kernel and its three sidecars), the admission webhook, their accounts and rights,
and the admission policies that narrow these. One release in a cluster; Kubernetes 1.30 or newer.

```sh
helm install tentacular-mcp charts/tentacular-mcp --namespace tentacular-system --create-namespace --wait
helm test tentacular-mcp --namespace tentacular-system
```

A part is upgraded by its own image tag, which leaves the others' as they are:

```sh
helm upgrade tentacular-mcp charts/tentacular-mcp --namespace tentacular-system --reuse-values --set scheduler.image.tag=1.2.3
```

An uninstall removes the webhook's configuration and leaves every enclave as it is. A generated token stays in the Secret
`tentacular-mcp-auth`, and counts again after the next install.

## Values
| value | default | meaning |
|---|---|---|
";

/// A value that is set by one line.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    path: String,
    default: String,
    meaning: String,
}

/// The page for a values.yaml.
///
/// # Errors
/// Names the line that it cannot read.
pub(crate) fn page(values: &str) -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    for Row { path, default, meaning } in rows(values)? {
        writeln!(page, "| `{path}` | `{default}` | {} |", meaning.replace('|', "\\|"))?;
    }
    Ok(page)
}

/// Every line `key: value`, under the keys above it. A key without a value on its line begins a group, and what its comment
/// says stands before the first value of the group.
fn rows(values: &str) -> anyhow::Result<Vec<Row>> {
    let (mut rows, mut keys, mut comment) = (Vec::new(), Vec::<(usize, &str)>::new(), Vec::<&str>::new());
    for (number, line) in values.lines().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.is_empty() {
            comment.clear();
        } else if let Some(words) = text.strip_prefix('#') {
            comment.push(words.trim());
        } else {
            let (key, value) = text
                .split_once(':')
                .with_context(|| format!("line {} of values.yaml is no `key: value`", number + 1))?;
            keys.retain(|(above, _)| *above < indent);
            keys.push((indent, key));
            if value.trim().is_empty() {
                continue;
            }
            let path = keys.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
            rows.push(Row { path, default: value.trim().to_owned(), meaning: comment.join(" ") });
            comment.clear();
        }
    }
    ensure!(!rows.is_empty(), "values.yaml has no value");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_path_and_the_comment_above_it() {
        let values = "# Of the group.\ngroup:\n  # One.\n  # More of it.\n  one: 1\n  deep: { a: b }\n\n# Gone.\n\nlast: \"\"\n";
        let row = |path: &str, default: &str, meaning: &str| Row {
            path: path.to_owned(),
            default: default.to_owned(),
            meaning: meaning.to_owned(),
        };
        let expected = [
            row("group.one", "1", "Of the group. One. More of it."),
            row("group.deep", "{ a: b }", ""),
            row("last", "\"\"", ""),
        ];
        assert_eq!(rows(values).expect("rows"), expected);
        assert!(rows("- a\n").expect_err("a list").to_string().contains("line 1"));
    }
}
