//! The evaluator beside a naive model of policies: every connection of a small world is listed, and each policy ticks off
//! what it allows.

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{Blocked, Pod, Port, Protocol, reaches};
use crate::facts::Pairs;

/// The pods of the world: namespace and app, and the address `10.<namespace>.0.<app>`.
const PODS: [(u8, u8); 6] = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)];
/// The ports of the world.
const PORTS: [u16; 3] = [80, 81, 443];

/// A policy as the model has it.
#[derive(Debug, Clone)]
struct Plain {
    namespace: u8,
    /// Governed pods; all where it is empty.
    apps: Vec<u8>,
    ingress: Option<Vec<PlainRule>>,
    egress: Option<Vec<PlainRule>>,
}

#[derive(Debug, Clone)]
struct PlainRule {
    peers: Vec<PlainPeer>,
    /// First and last.
    ports: Vec<(u16, u16)>,
}

#[derive(Debug, Clone)]
enum PlainPeer {
    /// Apps of the policy's own namespace.
    Near(Vec<u8>),
    /// Apps of a namespace, or of all.
    Far(Option<u8>, Vec<u8>),
    /// Addresses of a namespace, without those of one app.
    Addresses(u8, Option<u8>),
}

impl PlainPeer {
    fn has(&self, namespace: u8, (place, app): (u8, u8)) -> bool {
        match self {
            Self::Near(apps) => place == namespace && (apps.is_empty() || apps.contains(&app)),
            Self::Far(where_, apps) => {
                where_.is_none_or(|where_| where_ == place) && (apps.is_empty() || apps.contains(&app))
            }
            Self::Addresses(where_, without) => *where_ == place && *without != Some(app),
        }
    }

    fn spelled(&self) -> Value {
        match self {
            Self::Near(apps) => json!({ "podSelector": selector(apps) }),
            Self::Far(place, apps) => {
                let place =
                    place.map_or_else(|| json!({}), |place| json!({ "matchLabels": { "n": place.to_string() } }));
                let mut peer = json!({ "namespaceSelector": place });
                if !apps.is_empty() {
                    peer["podSelector"] = selector(apps);
                }
                peer
            }
            Self::Addresses(place, without) => {
                let except: Vec<_> = without.iter().map(|app| format!("10.{place}.0.{app}/32")).collect();
                json!({ "ipBlock": { "cidr": format!("10.{place}.0.0/16"), "except": except } })
            }
        }
    }
}

impl PlainRule {
    fn has(&self, namespace: u8, peer: (u8, u8), port: u16) -> bool {
        (self.peers.is_empty() || self.peers.iter().any(|named| named.has(namespace, peer)))
            && (self.ports.is_empty() || self.ports.iter().any(|(first, last)| (first..=last).contains(&&port)))
    }

    fn spelled(&self, peers: &str) -> Value {
        let mut rule = json!({});
        if !self.peers.is_empty() {
            rule[peers] = self.peers.iter().map(PlainPeer::spelled).collect();
        }
        if !self.ports.is_empty() {
            let ports = self.ports.iter().map(|(first, last)| json!({ "port": first, "endPort": last }));
            rule["ports"] = ports.collect();
        }
        rule
    }
}

impl Plain {
    fn spelled(&self) -> Value {
        let types = [("Ingress", &self.ingress), ("Egress", &self.egress)];
        let types: Vec<_> = types.iter().filter(|(_, rules)| rules.is_some()).map(|(name, _)| *name).collect();
        let spell = |rules: &Option<Vec<PlainRule>>, peers: &str| -> Vec<Value> {
            rules.iter().flatten().map(|rule| rule.spelled(peers)).collect()
        };
        json!({
            "podSelector": selector(&self.apps), "policyTypes": types,
            "ingress": spell(&self.ingress, "from"), "egress": spell(&self.egress, "to"),
        })
    }

    fn governs(&self, (place, app): (u8, u8)) -> bool {
        self.namespace == place && (self.apps.is_empty() || self.apps.contains(&app))
    }
}

fn selector(apps: &[u8]) -> Value {
    let values: Vec<_> = apps.iter().map(u8::to_string).collect();
    match values.as_slice() {
        [] => json!({}),
        [one] => json!({ "matchLabels": { "app": one } }),
        several => json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": several }] }),
    }
}

/// What one end allows: nothing governs it, or one of those that do has it.
fn end(policies: &[Plain], is_ingress: bool, pod: (u8, u8), peer: (u8, u8), port: u16) -> bool {
    let (mut governed, mut allowed) = (false, false);
    for policy in policies.iter().filter(|policy| policy.governs(pod)) {
        let Some(rules) = (if is_ingress { &policy.ingress } else { &policy.egress }) else { continue };
        governed = true;
        allowed |= rules.iter().any(|rule| rule.has(policy.namespace, peer, port));
    }
    allowed || !governed
}

fn apps() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..3, 0..3)
}

fn peer() -> impl Strategy<Value = PlainPeer> {
    prop_oneof![
        apps().prop_map(PlainPeer::Near),
        (prop::option::of(0_u8..2), apps()).prop_map(|(place, apps)| PlainPeer::Far(place, apps)),
        (0_u8..2, prop::option::of(0_u8..3)).prop_map(|(place, app)| PlainPeer::Addresses(place, app)),
    ]
}

fn rule() -> impl Strategy<Value = PlainRule> {
    let port = prop::sample::select(PORTS.to_vec());
    let ports = vec((port.clone(), port).prop_map(|(one, other)| (one.min(other), one.max(other))), 0..2);
    (vec(peer(), 0..3), ports).prop_map(|(peers, ports)| PlainRule { peers, ports })
}

fn plain() -> impl Strategy<Value = Plain> {
    let rules = || prop::option::of(vec(rule(), 0..3));
    let policy = (0_u8..2, apps(), rules(), rules());
    policy
        .prop_filter("a policy has a type", |(_, _, ingress, egress)| ingress.is_some() || egress.is_some())
        .prop_map(|(namespace, apps, ingress, egress)| Plain { namespace, apps, ingress, egress })
}

proptest! {
    #[test]
    fn every_connection_is_decided_as_in_the_model(world in vec(plain(), 0..5)) {
        let name = |place: u8| format!("team-{place}");
        let policies: Vec<_> = world.iter().map(|plain| {
            let mut policy = super::tests::policy(&plain.spelled());
            policy.metadata.namespace = Some(name(plain.namespace));
            policy
        }).collect();
        let names = [name(0), name(1)];
        let places = [0, 1].map(|place| Pairs::from([("n".to_owned(), place.to_string())]));
        let labels = [0, 1, 2].map(|app| Pairs::from([("app".to_owned(), app.to_string())]));
        let pod = |(place, app): (u8, u8)| Pod {
            namespace: &names[usize::from(place)],
            namespace_labels: &places[usize::from(place)],
            labels: &labels[usize::from(app)],
            address: Some([10, place, 0, app].into()),
            ports: &[],
        };
        for from in PODS {
            for to in PODS {
                for number in PORTS {
                    let expected = if !end(&world, false, from, to, number) {
                        Err(Blocked::Leaving)
                    } else if !end(&world, true, to, from, number) {
                        Err(Blocked::Arriving)
                    } else {
                        Ok(())
                    };
                    let port = Port { protocol: Protocol::Tcp, number };
                    let found = reaches(&policies, &pod(from), &pod(to), port);
                    prop_assert_eq!(found, expected, "{:?} to {:?} on {}", from, to, number);
                }
            }
        }
    }
}
