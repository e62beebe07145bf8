//! Who must leave when there are too many connections.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use tokio::task::AbortHandle;

use super::{Peer, site};

/// Connections of somebody known that end for nobody else: twice what the calls and streams of one caller take, and so few that
/// sixteen would have to agree to keep others out.
const SHARE: usize = 256;

/// Whether somebody known is at the other end of a connection, and who: an extension of each request.
#[derive(Debug, Clone, Default)]
pub struct Acquaintance(Arc<OnceLock<Known>>);

/// Who somebody known is, where connections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Known {
    /// Whoever is at an address from which all are taken for known.
    At(Option<IpAddr>),
    /// Who was vouched for, as a hash.
    As(u64),
}

impl Acquaintance {
    /// Whoever is there is known, by the address alone.
    pub(super) fn known(peer: Option<Peer>) -> Self {
        Self(Arc::new(OnceLock::from(Known::At(site_of(peer)))))
    }

    /// Whoever sent the request is known, as what `who` makes. What is said of a connection first counts, and nothing is made after
    /// that: one that a proxy shares among callers is the first one's.
    pub fn vouch<K: Hash>(&self, who: impl FnOnce() -> K) {
        self.0.get_or_init(|| Known::As(BuildHasherDefault::<DefaultHasher>::default().hash_one(who())));
    }

    pub(super) fn is_vouched_for(&self) -> bool {
        self.0.get().is_some()
    }
}

/// The connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Oldest first.
    order: VecDeque<Member>,
    refused: u64,
}

#[derive(Debug)]
struct Member {
    site: Option<IpAddr>,
    acquaintance: Acquaintance,
    task: AbortHandle,
}

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Strangers(Option<IpAddr>),
    Known(Known),
}

impl Member {
    fn party(&self) -> Party {
        self.acquaintance.0.get().map_or(Party::Strangers(self.site), |known| Party::Known(*known))
    }
}

impl Crowd {
    pub(super) fn add(&mut self, peer: Option<Peer>, acquaintance: Acquaintance, task: AbortHandle) {
        if self.order.len() == self.order.capacity() {
            self.order.retain(|member| !member.task.is_finished());
        }
        self.order.push_back(Member { site: site_of(peer), acquaintance, task });
    }

    /// Ends the oldest connection of whoever has most: of the strangers at one address, or of somebody known who has more than
    /// their share. Without such a one the newcomer has to go, and the answer is `false`.
    pub(super) fn make_room(&mut self) -> bool {
        self.order.retain(|member| !member.task.is_finished());
        let mut counts = HashMap::new();
        for member in &self.order {
            *counts.entry(member.party()).or_insert(0_usize) += 1;
        }
        counts.retain(|party, count| matches!(party, Party::Strangers(_)) || *count > SHARE);
        let most = counts.values().copied().max();
        let oldest =
            self.order.iter().position(|member| most.is_some() && counts.get(&member.party()).copied() == most);
        let room =
            oldest.and_then(|oldest| self.order.remove(oldest)).inspect(|member| member.task.abort()).is_some();
        self.refused += 1;
        if self.refused.is_power_of_two() {
            tracing::warn!(times = self.refused, room, "too many connections, one was ended for another");
        }
        room
    }
}

fn site_of(peer: Option<Peer>) -> Option<IpAddr> {
    peer.map(|peer| site(peer.0))
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer(address.parse().expect("an address"))
    }

    fn member(crowd: &mut Crowd, address: &str, acquaintance: Acquaintance) -> JoinHandle<()> {
        let task = tokio::spawn(std::future::pending());
        crowd.add(Some(peer(address)), acquaintance, task.abort_handle());
        task
    }

    fn stranger(crowd: &mut Crowd, address: &str) -> JoinHandle<()> {
        member(crowd, address, Acquaintance::default())
    }

    fn neighbour(crowd: &mut Crowd, address: &str) -> JoinHandle<()> {
        member(crowd, address, Acquaintance::known(Some(peer(address))))
    }

    fn caller(crowd: &mut Crowd, address: &str, who: &str) -> JoinHandle<()> {
        let acquaintance = Acquaintance::default();
        acquaintance.vouch(|| who);
        acquaintance.vouch(|| "somebody later");
        member(crowd, address, acquaintance)
    }

    async fn is_ended(task: JoinHandle<()>) -> bool {
        task.await.is_err_and(|error| error.is_cancelled())
    }

    #[tokio::test]
    async fn who_floods_pushes_out_his_own_and_who_is_known_stays() {
        let mut crowd = Crowd::default();
        let other = stranger(&mut crowd, "198.51.100.1");
        let known = caller(&mut crowd, "203.0.113.7", "ann");
        let first = stranger(&mut crowd, "203.0.113.7");
        let second = stranger(&mut crowd, "203.0.113.7");
        assert!(crowd.make_room());
        assert!(is_ended(first).await);
        assert!(crowd.make_room() && crowd.make_room(), "then strangers in their order");
        assert!(is_ended(other).await);
        assert!(is_ended(second).await);
        assert!(!crowd.make_room(), "nobody is left who must go");
        assert!(!known.is_finished());
    }

    #[tokio::test]
    async fn where_all_are_known_an_address_keeps_its_share_and_makes_room_with_the_rest() {
        let mut crowd = Crowd::default();
        let server = neighbour(&mut crowd, "198.51.100.1");
        // One IPv6 network is one address.
        let flood = (0..SHARE + 2).map(|host| neighbour(&mut crowd, &format!("2001:db8::{host:x}")));
        let mut flood = flood.collect::<Vec<_>>().into_iter();
        for _ in 0..2 {
            assert!(crowd.make_room());
            assert!(is_ended(flood.next().expect("one of the flood")).await, "the oldest goes");
        }
        assert!(!crowd.make_room(), "all have no more than their share");
        assert!(!server.is_finished() && flood.all(|connection| !connection.is_finished()));
    }

    #[tokio::test]
    async fn one_caller_does_not_take_the_room_of_all_others_wherever_he_calls_from() {
        let mut crowd = Crowd::default();
        let other = caller(&mut crowd, "203.0.113.7", "ann");
        let stranger = stranger(&mut crowd, "203.0.113.7");
        let flood = (0..=SHARE).map(|host| caller(&mut crowd, &format!("203.0.113.{}", host % 256), "eve"));
        let flood = flood.collect::<Vec<_>>();
        assert!(crowd.make_room());
        assert!(is_ended(flood.into_iter().next().expect("one of the flood")).await);
        assert!(!stranger.is_finished(), "who still has to say who they are has a moment for it");
        assert!(crowd.make_room());
        assert!(is_ended(stranger).await, "beside callers that have no more than their share a stranger goes");
        assert!(!other.is_finished());
    }
}
