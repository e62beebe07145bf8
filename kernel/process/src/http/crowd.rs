//! Who must leave when there are too many connections.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use tokio::task::AbortHandle;

use super::{Peer, Standing, site};

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
    standing: Standing,
    task: AbortHandle,
}

impl Crowd {
    pub(super) fn add(&mut self, peer: Option<Peer>, standing: Standing, task: AbortHandle) {
        if self.order.len() == self.order.capacity() {
            self.order.retain(|member| !member.task.is_finished());
        }
        self.order.push_back(Member { site: peer.map(|peer| site(peer.0)), standing, task });
    }

    /// Ends the oldest connection of the address that has most, among those that nobody vouches for. Without such a one the
    /// newcomer has to go, and the answer is `false`.
    pub(super) fn make_room(&mut self) -> bool {
        self.order.retain(|member| !member.task.is_finished());
        let mut counts = HashMap::new();
        for member in self.order.iter().filter(|member| !member.standing.is_vouched_for()) {
            *counts.entry(member.site).or_insert(0_usize) += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let oldest = self.order.iter().position(|member| {
            !member.standing.is_vouched_for() && counts.get(&member.site).is_some_and(|count| *count == most)
        });
        let room =
            oldest.and_then(|oldest| self.order.remove(oldest)).inspect(|member| member.task.abort()).is_some();
        self.refused += 1;
        if self.refused.is_power_of_two() {
            tracing::warn!(times = self.refused, room, "too many connections, one was ended for another");
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use super::*;

    fn member(crowd: &mut Crowd, address: &str, known: bool) -> tokio::task::JoinHandle<()> {
        let task = tokio::spawn(std::future::pending());
        let peer = Peer(address.parse().expect("an address"));
        crowd.add(Some(peer), Standing(Arc::new(AtomicBool::new(known))), task.abort_handle());
        task
    }

    #[tokio::test]
    async fn who_floods_pushes_out_his_own_and_who_is_known_stays() {
        let mut crowd = Crowd::default();
        let other = member(&mut crowd, "198.51.100.1", false);
        let known = member(&mut crowd, "203.0.113.7", true);
        let first = member(&mut crowd, "203.0.113.7", false);
        let second = member(&mut crowd, "203.0.113.7", false);
        assert!(crowd.make_room());
        assert!(first.await.expect_err("ended").is_cancelled());
        assert!(crowd.make_room() && crowd.make_room(), "then strangers in their order");
        assert!(other.await.expect_err("ended").is_cancelled());
        assert!(second.await.expect_err("ended").is_cancelled());
        assert!(!crowd.make_room(), "nobody is left who must go");
        assert!(!known.is_finished());
    }
}
