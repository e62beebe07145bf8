//! The settings that all five processes share, parsed in one place so that no two of them disagree.

use clap::Args;

use crate::names::is_subdomain;

/// The `ClusterRole`s bound in each enclave by bindings of their names, and which of the accounts in the server's namespace
/// gets each of them there.
pub const ENCLAVE_BINDINGS: [(&str, &str); 3] = [
    ("tentacular-enclave-registrar", "tentacular-registrar"),
    ("tentacular-enclave-scheduler", "tentacular-scheduler"),
    ("tentacular-enclave-reader", "tentacular-mcp"),
];

/// What is the same for every process of one installation.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Platform (the same for every process)")]
pub struct Platform {
    /// Namespace in which the server itself runs; never an enclave.
    #[arg(long, env = "TENTACULAR_NAMESPACE", default_value = "tentacular-system")]
    pub server_namespace: String,
    /// Further names that are never an enclave, separated by commas; a `*` at the end stands for any rest.
    #[arg(long, env = "TENTACULAR_RESERVED_NAMES", value_delimiter = ',')]
    pub reserved_names: Vec<String>,
    /// DNS domain of the cluster.
    #[arg(long, env = "TENTACULAR_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// DNS domain under which every enclave has hosts for an Ingress (`<any>.<enclave>.<domain>`); left out, no tentacle
    /// has an Ingress.
    #[arg(long, env = "TENTACULAR_INGRESS_DOMAIN", value_parser = domain)]
    pub ingress_domain: Option<String>,
}

/// Reads a switch, in the words that installations have.
///
/// # Errors
/// For every other word.
pub fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("give true or false"),
    }
}

fn domain(text: &str) -> Result<String, &'static str> {
    is_subdomain(text).then(|| text.to_owned()).ok_or("use a DNS domain such as apps.example.org, in lower case")
}

/// Namespaces that are never an enclave, whatever the settings say.
const PROTECTED: [&str; 4] = ["default", "kube-*", "openshift-*", "tentacular-*"];

impl Platform {
    /// Whether `name` is protected or reserved: never an enclave, never read or written as one.
    pub fn is_protected(&self, name: &str) -> bool {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        name == self.server_namespace
            || PROTECTED.into_iter().any(matches)
            || self.reserved_names.iter().map(|pattern| pattern.trim()).any(matches)
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            server_namespace: "tentacular-system".to_owned(),
            reserved_names: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            ingress_domain: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off() {
        for (text, on) in [("true", true), ("1", true), ("Yes", true), ("FALSE", false), ("0", false), ("no", false)]
        {
            assert_eq!(switch(text), Ok(on), "{text}");
        }
        for text in ["", "perhaps", "2", "tru"] {
            assert!(switch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_ingress_domain_is_a_dns_domain() {
        assert_eq!(domain("apps.example.org").as_deref(), Ok("apps.example.org"));
        for text in ["", ".example.org", "*.example.org", "Example.org", "example.org/x"] {
            assert!(domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn system_namespaces_are_protected() {
        let platform = Platform {
            server_namespace: "agents".to_owned(),
            reserved_names: vec!["cert-manager".to_owned(), "istio-*".to_owned()],
            ..Platform::default()
        };
        for name in
            ["default", "kube-system", "openshift-x", "tentacular-support", "agents", "cert-manager", "istio-x"]
        {
            assert!(platform.is_protected(name), "{name}");
        }
        for name in ["team-a", "kube", "defaults", "cert-manager-2", "istio"] {
            assert!(!platform.is_protected(name), "{name}");
        }
    }
}
