//! What a network policy allows that is too much, rule by rule.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};
use serde_json::{Value, json};
use tentacular_contract::{
    facts::Pairs,
    keys,
    network::{Direction, Port, Protocol, Rule, rules, selects},
    reach::Selector,
};

use super::{
    blocks::{self, METADATA},
    shown,
};
use crate::audit::{Finding, Method, Remedy, Severity, Target, remove, replace, test};

const API: &str = "networking.k8s.io/v1";
const KIND: &str = "NetworkPolicy";
/// The port of every tentacle.
const ENGINE: u16 = 8080;
/// The port on which the metadata service answers.
const HTTP: Port = Port { protocol: Protocol::Tcp, number: 80 };

/// Whether pods that no policy mentions are closed in both directions.
pub(super) fn is_closed(policies: &[NetworkPolicy]) -> bool {
    let opens = |(policy, direction): (&NetworkPolicy, Direction)| {
        let rules = policy.spec.as_ref().and_then(|spec| rules(spec, direction)).unwrap_or_default();
        governs_all(policy, direction) && rules.iter().any(|rule| rule.peers.is_empty())
    };
    open_directions(policies).is_empty()
        && !policies.iter().flat_map(|policy| Direction::ALL.map(|direction| (policy, direction))).any(opens)
}

/// The directions in which some pods are governed by no policy.
fn open_directions(policies: &[NetworkPolicy]) -> Vec<Direction> {
    let governed = |direction: &Direction| policies.iter().any(|policy| governs_all(policy, *direction));
    Direction::ALL.into_iter().filter(|direction| !governed(direction)).collect()
}

fn governs_all(policy: &NetworkPolicy, direction: Direction) -> bool {
    policy.spec.as_ref().is_some_and(|spec| {
        let all = spec.pod_selector.as_ref().is_none_or(|selector| Selector::from(selector).selects_all());
        all && rules(spec, direction).is_some()
    })
}

/// That pods are open unless a policy closes them.
pub(super) fn default_deny(enclave: &str, policies: &[NetworkPolicy]) -> Option<Finding> {
    let open: Vec<_> = open_directions(policies).into_iter().map(Direction::as_str).collect();
    if open.is_empty() {
        return None;
    }
    let object = Target::in_namespace(API, KIND, enclave, "default-deny");
    let patch = json!({
        "apiVersion": API, "kind": KIND,
        "metadata": {
            "name": "default-deny", "namespace": enclave, "labels": { keys::MANAGED_BY: keys::TENTACULAR },
        },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
    });
    Some(Finding {
        severity: Severity::High,
        object: object.title(),
        field: "spec.policyTypes".to_owned(),
        message: format!(
            "no policy of all pods has {}: a pod that no other policy selects is open in that direction",
            open.join(" and ")
        ),
        remediation: "make the policy default-deny, which governs all pods in both directions and allows nothing"
            .to_owned(),
        remedy: Remedy { object, method: Method::Apply, patch },
    })
}

/// What is to be said against the rules of one policy.
pub(super) fn policy(enclave: &str, policy: &NetworkPolicy) -> Vec<Finding> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let whole = serde_json::to_value(spec).unwrap_or_default();
    let mut found = Vec::new();
    for direction in Direction::ALL {
        for (index, rule) in rules(spec, direction).unwrap_or_default().into_iter().enumerate() {
            let list = if direction == Direction::Ingress { "ingress" } else { "egress" };
            let judged = Judged {
                target: Target::in_namespace(API, KIND, enclave, name),
                pods: shown::pods(spec.pod_selector.as_ref()),
                direction,
                list,
                index,
                as_it_is: &whole[list][index],
                rule,
            };
            found.extend(judged.findings());
        }
    }
    found
}

/// A rule that is judged.
struct Judged<'a> {
    target: Target,
    /// The pods that the policy governs, in words.
    pods: String,
    direction: Direction,
    list: &'static str,
    index: usize,
    as_it_is: &'a Value,
    rule: Rule<'a>,
}

impl Judged<'_> {
    fn findings(&self) -> Vec<Finding> {
        if self.rule.peers.is_empty() {
            return vec![self.everybody()];
        }
        let mut found: Vec<_> = [self.internet(), self.all_ports()].into_iter().flatten().collect();
        for (index, peer) in self.rule.peers.iter().enumerate() {
            found.extend(self.private_networks(index, peer));
            found.extend(self.metadata_service(index, peer));
            found.extend(self.namespaces(index, peer));
        }
        found
    }

    /// Nobody is named, which is everybody.
    fn everybody(&self) -> Finding {
        let remediation = format!("name in {} who is meant, or remove the rule as the patch does", self.peers());
        self.finding(Severity::High, self.field(""), "everybody", &remediation, self.without(|_| false))
    }

    /// Blocks of addresses that let in the internet. Going out to it is what a tentacle may be there for.
    fn internet(&self) -> Option<Finding> {
        if self.direction == Direction::Egress || !blocks::are_internet(self.rule.peers) {
            return None;
        }
        let kept = |peer: &NetworkPolicyPeer| blocks::block(peer).is_none_or(|block| !blocks::is_public(&block));
        let remediation = "let in the pods that bring connections from outside, such as an ingress controller's";
        Some(self.finding(Severity::High, self.field(""), "the internet", remediation, self.without(kept)))
    }

    /// A large block that has the cluster's own networks in it: an address goes past all selectors.
    fn private_networks(&self, index: usize, peer: &NetworkPolicyPeer) -> Option<Finding> {
        let block = blocks::block(peer)?;
        let private = blocks::private_within(&block);
        if self.direction == Direction::Ingress || private.is_empty() {
            return None;
        }
        let text = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
        let private = text(&private);
        let whom = format!("private networks ({}), pods, Services and nodes among them,", private.join(", "));
        let remediation = "except the private networks, and name by selectors the pods that are meant";
        let remedy = self.except(index, peer, &private);
        Some(self.finding(Severity::High, self.block(index), &whom, remediation, remedy))
    }

    /// A block that has the service in it which gives away the node's credentials.
    fn metadata_service(&self, index: usize, peer: &NetworkPolicyPeer) -> Option<Finding> {
        let block = blocks::block(peer)?;
        let reached = block.contains(METADATA) && self.rule.opens(HTTP, None);
        if self.direction == Direction::Ingress || !reached {
            return None;
        }
        let (remediation, remedy) = match blocks::without_metadata(&block) {
            Some(net) => ("except the link-local addresses", self.except(index, peer, &[net.to_string()])),
            None => ("leave it out", self.without(|other| other != peer)),
        };
        let whom = format!("the cloud's metadata service ({METADATA}), which may give away the node's credentials,");
        Some(self.finding(Severity::High, self.block(index), &whom, remediation, remedy))
    }

    /// Namespaces that nobody has named.
    fn namespaces(&self, index: usize, peer: &NetworkPolicyPeer) -> Option<Finding> {
        let selector = peer.namespace_selector.as_ref()?;
        let chosen = |labels: &[(&str, &str)]| {
            let labels: Pairs = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            selects(Some(selector), &labels)
        };
        // No namespace has such a name, so only selectors choose it that would choose any.
        let any = ("kubernetes.io/metadata.name", "?");
        let whose = match (chosen(&[any]), chosen(&[any, (keys::MANAGED_BY, keys::TENTACULAR)])) {
            (true, _) => "every namespace",
            (false, true) => "every other enclave",
            (false, false) => return None,
        };
        let all = peer.pod_selector.as_ref().is_none_or(|selector| Selector::from(selector).selects_all());
        let (severity, whom) = if all {
            (Severity::Medium, format!("all pods of {whose}"))
        } else {
            let pods = shown::pods(peer.pod_selector.as_ref());
            (Severity::Low, format!("pods of {whose} that give themselves the labels {pods}"))
        };
        let field = self.field(&format!("[{index}].namespaceSelector"));
        let remediation = "choose one namespace by its label kubernetes.io/metadata.name";
        Some(self.finding(severity, field, &whom, remediation, self.without(|other| other != peer)))
    }

    /// Whoever is named is named for all ports.
    fn all_ports(&self) -> Option<Finding> {
        if !self.rule.ports.is_empty() {
            return None;
        }
        let internet = blocks::are_internet(self.rule.peers);
        if internet && self.direction == Direction::Ingress {
            return None;
        }
        let (severity, port, what) = if internet {
            (Severity::Medium, 443, "the port of HTTPS")
        } else {
            (Severity::Low, ENGINE, "the port that tentacles answer on")
        };
        let whom: Vec<_> = self.rule.peers.iter().map(shown::peer).collect();
        let at = self.pointer();
        let ports = json!([{ "protocol": "TCP", "port": port }]);
        let patch =
            vec![test(&at, self.as_it_is), json!({ "op": "add", "path": format!("{at}/ports"), "value": ports })];
        let remediation = format!("name the ports that are needed; the patch names {what}");
        let field = format!("spec.{}[{}].ports", self.list, self.index);
        Some(self.finding(severity, field, &whom.join("; "), &remediation, Remedy::json(self.target.clone(), patch)))
    }

    fn finding(&self, severity: Severity, field: String, whom: &str, remediation: &str, remedy: Remedy) -> Finding {
        let (pods, ports) = (&self.pods, shown::ports(self.rule.ports));
        let message = match self.direction {
            Direction::Ingress => format!("{whom} can reach {pods} on {ports}"),
            Direction::Egress => format!("{pods} can reach {whom} on {ports}"),
        };
        let object = self.target.title();
        Finding { severity, object, field, message, remediation: remediation.to_owned(), remedy }
    }

    const fn peers(&self) -> &'static str {
        match self.direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        }
    }

    fn field(&self, within: &str) -> String {
        format!("spec.{}[{}].{}{within}", self.list, self.index, self.peers())
    }

    fn block(&self, index: usize) -> String {
        self.field(&format!("[{index}].ipBlock"))
    }

    fn pointer(&self) -> String {
        format!("/spec/{}/{}", self.list, self.index)
    }

    /// Keeps of the named only those that `keep` says. A rule that would name nobody goes, as nobody means everybody.
    fn without(&self, keep: impl Fn(&NetworkPolicyPeer) -> bool) -> Remedy {
        let at = self.pointer();
        let kept: Vec<_> = self.rule.peers.iter().filter(|peer| keep(peer)).collect();
        let change = if kept.is_empty() { remove(&at) } else { replace(&format!("{at}/{}", self.peers()), &kept) };
        Remedy::json(self.target.clone(), vec![test(&at, self.as_it_is), change])
    }

    /// Excepts further networks from a block.
    fn except(&self, index: usize, peer: &NetworkPolicyPeer, further: &[String]) -> Remedy {
        let at = self.pointer();
        let already = peer.ip_block.as_ref().and_then(|block| block.except.as_deref()).unwrap_or_default();
        let except: Vec<_> = already.iter().chain(further).collect();
        let path = format!("{at}/{}/{index}/ipBlock/except", self.peers());
        let change = json!({ "op": "add", "path": path, "value": except });
        Remedy::json(self.target.clone(), vec![test(&at, self.as_it_is), change])
    }
}

#[cfg(test)]
mod tests;
