//! Blocks of addresses that a rule names: how much of the world they are, and what they take in on the way.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use tentacular_contract::network::Block;

/// A rule that names a larger part of all addresses than this, private ones aside, names the internet.
const INTERNET: f64 = 1.0 / 256.0;

/// Where clouds answer questions about the node, its credentials among them; the same in all large ones.
pub(super) const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// The addresses of that kind, link-local ones.
const LINK_LOCAL: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16));

/// Addresses that are not of the internet: in a cluster those of pods, Services and nodes (RFC 1918, RFC 4193).
const PRIVATE: [IpNet; 4] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
];

/// The block that a peer is, if it is one.
pub(super) fn block(peer: &NetworkPolicyPeer) -> Option<Block> {
    Block::of(peer.ip_block.as_ref()?)
}

/// Whether the block is more than some private network.
pub(super) fn is_public(block: &Block) -> bool {
    !PRIVATE.iter().any(|private| private.contains(&block.cidr))
}

/// Whether the blocks that a rule names are, together, the internet.
pub(super) fn are_internet(peers: &[NetworkPolicyPeer]) -> bool {
    let blocks: Vec<_> = peers.iter().filter_map(block).filter(is_public).collect();
    let share = |is_v4: bool| -> f64 {
        blocks.iter().filter(|block| block.cidr.addr().is_ipv4() == is_v4).map(Block::share).sum()
    };
    share(true) > INTERNET || share(false) > INTERNET
}

/// The private networks that a block takes in although it is not one of them.
pub(super) fn private_within(block: &Block) -> Vec<IpNet> {
    let taken_in = |private: &&IpNet| block.meets(private) && block.cidr != **private;
    PRIVATE.iter().filter(taken_in).copied().collect()
}

/// What to except so that the metadata service is not in the block; `None` where the block is too small for that.
pub(super) fn without_metadata(block: &Block) -> Option<IpNet> {
    (block.cidr.contains(&LINK_LOCAL) && block.cidr != LINK_LOCAL).then_some(LINK_LOCAL)
}
