//! The module proxy (esm.sh), from which tentacles load their modules: its settings, the objects that it consists of, and
//! what of these is otherwise in the cluster. The registrar writes the objects, the auditor tells how they are.

mod drift;
mod module;
mod objects;

use clap::{ArgAction, Args};

pub use self::{
    drift::drift,
    module::Module,
    objects::{Objects, is_marked},
};
use crate::{keys, names::is_label, platform::switch};

/// Name of its Deployment and its Service.
pub const NAME: &str = "esm-sh";
/// Name of its volume.
pub const CLAIM: &str = "esm-sh-cache";
/// Port of its Service and its container.
pub const PORT: u16 = 8080;
/// Where its container keeps modules.
pub const CACHE: &str = "/app/cache";
/// Labels of its objects and pods, which its Deployment and Service select by.
pub const LABELS: [(&str, &str); 3] =
    [(keys::MANAGED_BY, keys::TENTACULAR), (keys::NAME, NAME), ("app.kubernetes.io/component", "module-proxy")];
/// A version, never a moving tag: pods of one Deployment are to serve the same modules.
const IMAGE: &str = "ghcr.io/esm-dev/esm.sh:v136";

/// Its settings.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Module proxy (the same for registrar and auditor)")]
pub struct ModuleProxy {
    /// Namespace of the module proxy. An administrator makes it.
    #[arg(long = "proxy-namespace", env = "PROXY_NAMESPACE", default_value = "tentacular-support", value_parser = label)]
    pub namespace: String,
    /// Its image.
    #[arg(long = "proxy-image", env = "PROXY_IMAGE", default_value = IMAGE)]
    pub image: String,
    /// Size of the volume on which it keeps modules, such as 5Gi; left out, they go with its pod.
    #[arg(long = "proxy-storage-size", env = "PROXY_STORAGE_SIZE", value_parser = size)]
    pub storage_size: Option<String>,
    /// Leaves the module proxy to others, such as a chart that has its own: true, 1 or yes.
    #[arg(
        long = "proxy-reconciler-disabled", env = "TENTACULAR_PROXY_RECONCILER_DISABLED", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    pub disabled: bool,
}

impl ModuleProxy {
    /// A label selector for its pods.
    pub fn selector() -> String {
        LABELS.map(|(key, value)| format!("{key}={value}")).join(",")
    }
}

fn label(text: &str) -> Result<String, &'static str> {
    is_label(text).then(|| text.to_owned()).ok_or("use the name of a namespace, such as tentacular-support")
}

/// A quantity of Kubernetes as people write sizes: a whole number and a unit.
fn size(text: &str) -> Result<String, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let known = ["", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"].contains(&unit);
    let some = !number.is_empty() && !number.starts_with('0') && number.len() <= 15;
    (known && some).then(|| text.to_owned()).ok_or("use a size such as 5Gi")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_unit() {
        for text in ["5Gi", "500M", "1073741824", "1Ti"] {
            assert_eq!(size(text).as_deref(), Ok(text));
        }
        for text in ["", "Gi", "0Gi", "5 Gi", "5gi", "-5Gi", "1.5Gi", "5Gib", "1e9"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_namespace_is_a_label() {
        assert_eq!(label("modules").as_deref(), Ok("modules"));
        for text in ["", "a/b", "Modules", "a.b"] {
            assert!(label(text).is_err(), "{text}");
        }
    }
}
