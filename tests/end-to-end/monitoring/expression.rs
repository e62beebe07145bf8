//! Whether an expression of Prometheus asks for what is exposed. Whether it is one, promtool says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

/// Labels that every sample gets from its target.
const OF_TARGETS: [&str; 4] = ["namespace", "job", "container", "pod"];

/// The values of each label of each metric.
pub(super) type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Reads what a process answers (the samples of `OpenMetrics` 1.0), and adds it.
pub(super) fn add(exposed: &mut Exposed, text: &str) -> anyhow::Result<()> {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let known = exposed.entry(name.to_owned()).or_default();
        for Matcher { label, value, .. } in matchers(labels.trim_end_matches('}')) {
            known.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }
    Ok(())
}

/// Labels that the text describing their metric does not name between backticks, from which docs/metrics.md is made.
pub(super) fn undescribed(text: &str) -> BTreeSet<String> {
    let (mut help, mut found) = ("", BTreeSet::new());
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described;
        }
        let labels = line.split_once('{').filter(|_| !line.starts_with('#')).map_or("", |(_, labels)| labels);
        // A histogram has `le` by itself.
        let own = matchers(labels).into_iter().map(|matcher| matcher.label).filter(|label| *label != "le");
        found.extend(
            own.filter(|label| !help.contains(&format!("`{label}`"))).map(|label| format!("{label}: {help}")),
        );
    }
    found
}

/// What a label must be.
struct Matcher<'a> {
    label: &'a str,
    operator: &'a str,
    value: &'a str,
}

/// The parts of `a="b",c=~"d"`. No value here has a quotation mark.
fn matchers(text: &str) -> Vec<Matcher<'_>> {
    let pieces: Vec<_> = text.split('"').collect();
    let pairs = pieces.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    pairs
        .map(|(before, value)| {
            let (label, operator) = before.split_at(before.find(['=', '!']).unwrap_or(before.len()));
            Matcher { label: label.trim_matches([',', ' ']), operator, value }
        })
        .collect()
}

/// A metric in an expression, and what it is asked for.
struct Asked<'a> {
    metric: &'a str,
    matchers: Vec<Matcher<'a>>,
}

/// The metrics in an expression.
fn metrics(expression: &str) -> Vec<Asked<'_>> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(begin) = ["tentacular_", "up{"].iter().filter_map(|name| rest.find(name)).min() {
        let before = rest[..begin].chars().next_back();
        rest = &rest[begin..];
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let (metric, after) = rest.split_at(end);
        if !before.is_some_and(is_name) {
            let asked =
                after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(asked, _)| asked);
            found.push(Asked { metric, matchers: matchers(asked) });
        }
        rest = after;
    }
    found
}

/// Labels that results are grouped by, or matched on.
fn grouped_by(expression: &str) -> Vec<&str> {
    let after = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    after.flat_map(|labels| labels.split(',').map(str::trim)).collect()
}

/// Why the expression does not fit what is exposed.
pub(super) fn misfits(expression: &str, exposed: &Exposed) -> Vec<String> {
    let (mut misfits, mut labels) = (Vec::new(), BTreeSet::from(OF_TARGETS.map(str::to_owned)));
    for Asked { metric, matchers } in metrics(expression) {
        let Some(known) = exposed.get(metric) else {
            misfits.push(format!("no process exposes {metric}"));
            continue;
        };
        labels.extend(known.keys().cloned());
        for Matcher { label, operator, value } in matchers {
            match known.get(label) {
                _ if OF_TARGETS.contains(&label) => {}
                None => misfits.push(format!("{metric} has no label {label}")),
                Some(values) if operator == "=" && !values.contains(value) => {
                    misfits.push(format!("{metric} was not seen with {label}={value:?}, only with {values:?}"));
                }
                Some(_) => {}
            }
        }
    }
    let unknown = grouped_by(expression).into_iter().filter(|label| !labels.contains(*label));
    misfits.extend(unknown.map(|label| format!("none of its metrics has a label {label}")));
    misfits
}

#[test]
fn e2e_monitoring_a_label_that_is_not_described_is_found() {
    let text =
        |help: &str| format!("# HELP a_calls {help}\n# TYPE a_calls counter\na_calls_total{{x=\"1\",le=\"2\"}} 1\n");
    assert!(undescribed(&text("Calls, by `x`")).is_empty());
    assert_eq!(undescribed(&text("Calls, by {x}")).len(), 1);
}

#[test]
fn e2e_monitoring_an_expression_that_fits_nothing_is_found() -> anyhow::Result<()> {
    let mut exposed = Exposed::new();
    add(
        &mut exposed,
        "# HELP x y\ntentacular_calls_total{tool=\"a b\",result=\"ok\"} 1.0\ntentacular_age 2\n# EOF\n",
    )?;
    let found = |expression| misfits(expression, &exposed).len();
    assert_eq!(found(r#"sum by (tool) (rate(tentacular_calls_total{result="ok"}[5m])) / tentacular_age"#), 0);
    assert_eq!(found(r#"tentacular_calls_total{result=~"x",namespace="n"}"#), 0);
    for wrong in [
        "tentacular_calls",
        r#"tentacular_calls_total{result="no"}"#,
        r#"tentacular_calls_total{outcome="ok"}"#,
        r#"tentacular_age{result="ok"}"#,
        "sum by (outcome) (tentacular_calls_total)",
        "tentacular_age > tentacular_calls",
    ] {
        assert_eq!(found(wrong), 1, "{wrong}");
    }
    Ok(())
}
