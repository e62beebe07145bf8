//! What the network policies of a namespace allow in effect: a pod that no policy governs is open, and one that is
//! governed is open to what any of these policies names. Source: the page "Network Policies" of Kubernetes'
//! documentation, and the fields' descriptions in `networking.k8s.io/v1`.
//!
//! Whether the cluster's network holds to its policies is not known here.

mod block;

use std::{fmt, net::IpAddr};

use k8s_openapi::{
    api::{
        core::v1::ContainerPort,
        networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

pub use block::Block;

use crate::{facts::Pairs, reach::Selector};

/// Which way a connection goes, seen from the pod that a policy governs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// How `policyTypes` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// How Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// A port of the one who is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol.as_str(), self.number)
    }
}

/// A pod, as network policies see it.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// The labels of its namespace.
    pub namespace_labels: &'a Pairs,
    /// Its labels.
    pub labels: &'a Pairs,
    /// Its address, which blocks of addresses are compared with; without one they leave it out.
    pub address: Option<IpAddr>,
    /// Its ports, which names of ports stand for.
    pub ports: &'a [ContainerPort],
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer<'a> {
    /// A pod.
    Pod(Pod<'a>),
    /// Something outside the cluster.
    Address(IpAddr),
}

/// Why one pod cannot reach another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// The first may not send it.
    Leaving,
    /// The second may not receive it.
    Arriving,
}

/// Whether pods like `from` can reach pods like `to` on `port`.
///
/// `policies` are those of both namespaces; those of others do not count.
pub fn reaches(policies: &[NetworkPolicy], from: &Pod<'_>, to: &Pod<'_>, port: Port) -> Result<(), Blocked> {
    if !allows(policies, Direction::Egress, from, &Peer::Pod(*to), port) {
        return Err(Blocked::Leaving);
    }
    if !allows(policies, Direction::Ingress, to, &Peer::Pod(*from), port) {
        return Err(Blocked::Arriving);
    }
    Ok(())
}

/// Whether the policies of the pod's namespace let a connection between it and `peer` pass in that direction.
pub fn allows(policies: &[NetworkPolicy], direction: Direction, pod: &Pod<'_>, peer: &Peer<'_>, port: Port) -> bool {
    let governing: Vec<_> = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(pod.namespace))
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| selects(spec.pod_selector.as_ref(), pod.labels))
        .filter_map(|spec| rules(spec, direction))
        .collect();
    let target = match (direction, peer) {
        (Direction::Ingress, _) => Some(pod),
        (Direction::Egress, Peer::Pod(peer)) => Some(peer),
        (Direction::Egress, Peer::Address(_)) => None,
    };
    governing.is_empty()
        || governing.iter().flatten().any(|rule| rule.names(pod.namespace, peer) && rule.opens(port, target))
}

/// A rule of a policy, of either direction.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// Whom it names; nobody in particular stands for everybody.
    pub peers: &'a [NetworkPolicyPeer],
    /// Which ports it names; none stands for all.
    pub ports: &'a [NetworkPolicyPort],
}

/// The rules of a policy for one direction; `None` where it does not govern that direction, whatever rules it has.
pub fn rules(spec: &NetworkPolicySpec, direction: Direction) -> Option<Vec<Rule<'_>>> {
    let types = spec.policy_types.as_deref().filter(|types| !types.is_empty());
    let egress = spec.egress.as_deref().unwrap_or_default();
    let governs = match (types, direction) {
        (Some(types), _) => types.iter().any(|named| named == direction.as_str()),
        (None, Direction::Ingress) => true,
        (None, Direction::Egress) => !egress.is_empty(),
    };
    let rules = match direction {
        Direction::Ingress => {
            let ingress = spec.ingress.iter().flatten();
            ingress.map(|rule| Rule { peers: list(rule.from.as_ref()), ports: list(rule.ports.as_ref()) }).collect()
        }
        Direction::Egress => {
            let egress = egress.iter();
            egress.map(|rule| Rule { peers: list(rule.to.as_ref()), ports: list(rule.ports.as_ref()) }).collect()
        }
    };
    governs.then_some(rules)
}

fn list<T>(items: Option<&Vec<T>>) -> &[T] {
    items.map_or(&[], Vec::as_slice)
}

/// Whether `selector` selects what has these labels. Without one, everything is selected.
pub fn selects(selector: Option<&LabelSelector>, labels: &Pairs) -> bool {
    selector.is_none_or(|selector| Selector::from(selector).matches(labels))
}

impl Rule<'_> {
    /// Whether it names `peer`, in a policy of `namespace`.
    pub fn names(&self, namespace: &str, peer: &Peer<'_>) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|named| is_named(named, namespace, peer))
    }

    /// Whether it opens `port`. A port that has a name is one of `target`, who is connected to.
    pub fn opens(&self, port: Port, target: Option<&Pod<'_>>) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|opened| includes(opened, port, target))
    }
}

fn is_named(named: &NetworkPolicyPeer, namespace: &str, peer: &Peer<'_>) -> bool {
    let NetworkPolicyPeer { ip_block, namespace_selector, pod_selector } = named;
    if let Some(block) = ip_block {
        let address = match peer {
            Peer::Pod(pod) => pod.address,
            Peer::Address(address) => Some(*address),
        };
        return address.is_some_and(|address| Block::of(block).is_some_and(|block| block.contains(address)));
    }
    let Peer::Pod(pod) = peer else { return false };
    let place = match namespace_selector {
        Some(selector) => selects(Some(selector), pod.namespace_labels),
        // A selector of pods alone means pods of the policy's own namespace.
        None => pod_selector.is_some() && pod.namespace == namespace,
    };
    place && selects(pod_selector.as_ref(), pod.labels)
}

fn includes(opened: &NetworkPolicyPort, port: Port, target: Option<&Pod<'_>>) -> bool {
    let NetworkPolicyPort { end_port, port: first, protocol } = opened;
    let spelled = |protocol: Option<&str>| protocol.unwrap_or("TCP") == port.protocol.as_str();
    let number = i32::from(port.number);
    spelled(protocol.as_deref())
        && match first {
            None => true,
            Some(IntOrString::Int(first)) => (*first..=end_port.unwrap_or(*first)).contains(&number),
            Some(IntOrString::String(name)) => target.is_some_and(|target| {
                target.ports.iter().any(|port| {
                    port.name.as_ref() == Some(name)
                        && port.container_port == number
                        && spelled(port.protocol.as_deref())
                })
            }),
        }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
