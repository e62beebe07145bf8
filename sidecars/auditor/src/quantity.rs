//! Kubernetes quantities as numbers, to add and compare them, and back.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::api::resource::Quantity,
};

/// Amounts by the names of resources.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Suffixes and what they stand for, in thousandths.
const SUFFIXES: [(&str, i128); 16] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("n", 0),
    ("u", 0),
    ("", 1000),
];

/// A quantity in thousandths of its unit, rounded up; 0 where it cannot be read. The API server has checked its form.
pub(crate) fn millis(quantity: &Quantity) -> i128 {
    read(quantity.0.trim()).unwrap_or(0)
}

fn read(text: &str) -> Option<i128> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && !".+-".contains(letter)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let unit = match suffix.strip_prefix(['e', 'E']).and_then(|exponent| exponent.parse::<u32>().ok()) {
        Some(exponent) => 1000_i128.checked_mul(10_i128.checked_pow(exponent)?)?,
        None => SUFFIXES.iter().find(|(known, _)| *known == suffix)?.1,
    };
    // Below a thousandth, what is there at all counts as one.
    let unit = if unit == 0 { return Some(1) } else { unit };
    let fraction = &fraction[..fraction.len().min(9)];
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let value = format!("{whole}{fraction}").parse::<i128>().ok()?.checked_mul(unit)?;
    Some(value / scale + i128::from(value % scale > 0))
}

/// Cores, as Kubernetes writes them: `2` or `1500m`.
pub(crate) fn cores(millis: i128) -> String {
    if millis % 1000 == 0 { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Bytes, as Kubernetes writes them: with the largest binary suffix that leaves a whole number.
pub(crate) fn bytes(millis: i128) -> String {
    let bytes = (millis + 999) / 1000;
    let suffix = ["Ei", "Pi", "Ti", "Gi", "Mi", "Ki"].into_iter().zip([60, 50, 40, 30, 20, 10]);
    match suffix.into_iter().find(|(_, power)| bytes != 0 && bytes % (1_i128 << power) == 0) {
        Some((suffix, power)) => format!("{}{suffix}", bytes >> power),
        None => bytes.to_string(),
    }
}

/// `part` of `whole` in percent, with two decimals; 0 of nothing.
pub(crate) fn percent(part: i128, whole: i128) -> f64 {
    let hundredths = if whole > 0 { part.saturating_mul(10_000) / whole } else { 0 };
    f64::from(i32::try_from(hundredths).unwrap_or(i32::MAX)) / 100.0
}

/// What one resource of a list amounts to, in thousandths.
pub(crate) fn amount(amounts: Option<&Amounts>, resource: &str) -> i128 {
    amounts.and_then(|amounts| amounts.get(resource)).map_or(0, millis)
}

/// How much of a resource a pod asks for, as the scheduler counts it: its containers and sidecars together, or what one
/// init container needs beside the sidecars before it, whichever is more; and what running a pod costs.
pub(crate) fn requested(pod: &Pod, resource: &str) -> i128 {
    let Some(spec) = &pod.spec else { return 0 };
    let of = |container: &Container| {
        amount(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()), resource)
    };
    let (mut sidecars, mut starting) = (0, 0);
    for container in spec.init_containers.iter().flatten() {
        let asked = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars += asked;
            starting = starting.max(sidecars);
        } else {
            starting = starting.max(sidecars + asked);
        }
    }
    let running: i128 = spec.containers.iter().map(of).sum::<i128>() + sidecars;
    running.max(starting) + amount(spec.overhead.as_ref(), resource)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_means_them() {
        for (text, expected) in [
            ("0", 0),
            ("2", 2000),
            ("1.5", 1500),
            ("500m", 500),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("100n", 1),
            ("0.0001", 1),
            ("-1", -1000),
            ("", 0),
            ("x", 0),
            ("1Xi", 0),
        ] {
            assert_eq!(millis(&Quantity(text.to_owned())), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_as_kubernetes_writes_them() {
        for text in ["0", "2", "1500m"] {
            assert_eq!(cores(millis(&Quantity(text.to_owned()))), text);
        }
        for text in ["0", "1", "1023", "1Ki", "1536Mi", "3Gi", "256Gi", "2Ei"] {
            assert_eq!(bytes(millis(&Quantity(text.to_owned()))), text);
        }
        assert_eq!(bytes(millis(&Quantity("1M".to_owned()))), "1000000");
        assert!((percent(1, 3) - 33.33).abs() < f64::EPSILON);
        assert!((percent(1, 0)).abs() < f64::EPSILON);
    }

    #[test]
    fn a_pod_asks_for_the_most_it_needs_at_a_time() {
        let cpu = |amount: &str| json!({ "name": "c", "resources": { "requests": { "cpu": amount } } });
        let sidecar = |amount: &str| {
            let mut container = cpu(amount);
            container["restartPolicy"] = json!("Always");
            container
        };
        for (spec, expected) in [
            (json!({ "containers": [cpu("100m"), cpu("200m"), { "name": "c" }] }), 300),
            (json!({ "containers": [cpu("100m")], "initContainers": [cpu("1"), cpu("300m")] }), 1000),
            (json!({ "containers": [cpu("100m")], "initContainers": [sidecar("50m"), cpu("60m")] }), 150),
            (json!({ "containers": [cpu("100m")], "initContainers": [sidecar("50m"), cpu("1")] }), 1050),
            (json!({ "containers": [cpu("100m")], "overhead": { "cpu": "10m" } }), 110),
        ] {
            let pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).expect("a pod");
            assert_eq!(requested(&pod, "cpu"), expected, "{spec}");
        }
    }
}
