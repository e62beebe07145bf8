//! Room in memory for reviews. Whoever reaches the port may send them: there is so much for all that are held at once,
//! and less for those of one address, so that nobody takes all of it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tentacular_process::http::site;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long a review waits for room, of the 5 s that the API server waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Room of one measure, such as bytes. Cheap to clone; clones are the same room.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    all: Arc<Semaphore>,
    of_one: usize,
    /// Those addresses, as [`site`] tells them apart, of which something is held or waits.
    addresses: Mutex<HashMap<Option<IpAddr>, Weak<Semaphore>>>,
}

/// What one review holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _permits: [OwnedSemaphorePermit; 2],
}

/// There was no room in time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the webhook holds as many reviews as it has memory for, and had no room for another within {} s: try again",
    PATIENCE.as_secs()
)]
pub(crate) struct Full;

impl Room {
    /// So much for the reviews of one address, and for all of them together half as much again.
    pub(crate) fn new(of_one: usize) -> Self {
        let all = Arc::new(Semaphore::new(of_one + of_one / 2));
        Self(Arc::new(Shares { all, of_one, addresses: Mutex::default() }))
    }

    /// Takes room for a review from `address`, in its turn. A size above what its address may have counts as that.
    pub(crate) async fn take(&self, address: Option<IpAddr>, size: usize) -> Result<Held, Full> {
        let Shares { all, of_one, .. } = &*self.0;
        let size = u32::try_from(size.min(*of_one)).unwrap_or(u32::MAX);
        let own = self.own(address.map(site));
        let both = async {
            let of_one = own.acquire_many_owned(size).await.ok()?;
            let of_all = Arc::clone(all).acquire_many_owned(size).await.ok()?;
            Some(Held { _permits: [of_one, of_all] })
        };
        timeout(PATIENCE, both).await.ok().flatten().ok_or(Full)
    }

    /// What an address may have.
    fn own(&self, address: Option<IpAddr>) -> Arc<Semaphore> {
        let mut addresses = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, own| own.strong_count() > 0);
        let known = addresses.get(&address).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new(self.0.of_one));
            addresses.insert(address, Arc::downgrade(&own));
            own
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// What the room has for the review at once.
    async fn at_once(room: &Room, last: u8, size: usize) -> Option<Held> {
        let address = Ipv4Addr::new(192, 0, 2, last).into();
        timeout(Duration::ZERO, room.take(Some(address), size)).await.ok()?.ok()
    }

    #[tokio::test]
    async fn one_address_takes_its_share_and_leaves_others_theirs() {
        let room = Room::new(100);
        let flood = at_once(&room, 1, usize::MAX).await.expect("all that an address may have");
        assert!(at_once(&room, 1, 1).await.is_none());
        let other = at_once(&room, 2, 50).await.expect("the rest");
        assert!(at_once(&room, 3, 1).await.is_none(), "there is no more for anybody");
        drop(flood);
        drop(at_once(&room, 3, 100).await.expect("what was given back"));
        drop(other);
        drop(room.own(None));
        assert_eq!(room.0.addresses.lock().expect("the map").len(), 1, "who holds nothing is forgotten");
    }

    #[tokio::test]
    async fn who_has_a_network_of_addresses_has_one_share() {
        let room = Room::new(100);
        let take = |subnet, host| {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 0, 0, 0, host).into();
            timeout(Duration::ZERO, room.take(Some(address), 50))
        };
        let _held = [take(1, 1).await, take(1, 2).await].map(|taken| taken.expect("at once").expect("room"));
        take(1, 3).await.expect_err("the network's share is taken");
        take(2, 3).await.expect("at once").expect("another network's room");
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back() {
        let room = Room::new(100);
        let held = at_once(&room, 1, 100).await.expect("room");
        let (waiting, ()) =
            tokio::join!(room.take(Some(Ipv4Addr::new(192, 0, 2, 1).into()), 60), async { drop(held) });
        waiting.expect("room");
    }
}
