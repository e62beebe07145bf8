//! What a profile means for whoever writes tentacles.

use super::Profile;

/// One sentence for each thing to know.
pub(super) fn guidance(profile: &Profile) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |applies: bool, sentence: &str| {
        if applies {
            said.push(sentence.to_owned());
        }
    };
    say(profile.gvisor, "gVisor is there: set runtimeClassName to isolate a tentacle's pods from the node's kernel");
    say(
        matches!(profile.distribution.as_str(), "kind" | "k3d"),
        "the cluster runs in containers on one machine: load images into it, and expect no volumes that outlive it",
    );
    say(
        !profile.network_policy.supported,
        "it is not known that network policies are enforced: do not rely on them to keep tentacles apart",
    );
    say(
        profile.network_policy.supported && profile.network_policy.in_use,
        "network policies are enforced: a tentacle reaches only what its own policy allows",
    );
    say(profile.extensions.istio, "Istio is there: pods may get a sidecar, which counts against the quota");
    say(profile.extensions.cert_manager, "cert-manager is there: an Ingress can get its certificate from it");
    say(
        !profile.storage_classes.is_empty() && !profile.storage_classes.iter().any(|class| class.rwx_capable),
        "claim volumes as ReadWriteOnce: none is known that several pods can write",
    );
    say(
        !profile.storage_classes.is_empty() && !profile.storage_classes.iter().any(|class| class.is_default),
        "name a storage class in each claim: there is no default",
    );
    say(
        profile.pod_security == "restricted",
        "pods must run as non-root, without privilege escalation and capabilities, with seccomp RuntimeDefault",
    );
    let mut architectures: Vec<_> = profile.nodes.iter().map(|node| node.arch.as_str()).collect();
    architectures.sort_unstable();
    architectures.dedup();
    say(
        architectures.len() > 1,
        "nodes have different architectures: use images for all of them, or select nodes by kubernetes.io/arch",
    );
    if let Some(quota) = &profile.quota {
        let limit = |amount: &str| if amount.is_empty() { "no limit".to_owned() } else { amount.to_owned() };
        said.push(format!(
            "all pods of the enclave together may ask for {} of cores and {} of memory",
            limit(&quota.cpu_request),
            limit(&quota.memory_request)
        ));
    }
    said
}
