//! Blocks of addresses, less those that are excepted.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::IPBlock;

/// A block of addresses (`ipBlock`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// All of it.
    pub cidr: IpNet,
    /// What is not of it, without overlaps.
    pub except: Vec<IpNet>,
}

impl Block {
    /// Reads a block; `None` where the API server would not have taken it.
    pub fn of(block: &IPBlock) -> Option<Self> {
        let net = |text: &String| text.parse::<IpNet>().ok().map(|net| net.trunc());
        let except: Option<Vec<_>> = block.except.iter().flatten().map(net).collect();
        Some(Self { cidr: net(&block.cidr)?, except: IpNet::aggregate(&except?) })
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|net| net.contains(&address))
    }

    /// Whether any address of `net`, which is within the block or apart from it, is in it.
    pub fn meets(&self, net: &IpNet) -> bool {
        self.cidr.contains(net) && !self.except.iter().any(|except| except.contains(net))
    }

    /// Which part of all addresses of its family it has, from 0 to 1.
    pub fn share(&self) -> f64 {
        let of = |net: &IpNet| 0.5_f64.powi(i32::from(net.prefix_len()));
        of(&self.cidr) - self.except.iter().map(of).sum::<f64>()
    }
}
