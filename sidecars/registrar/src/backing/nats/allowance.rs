//! How much of `JetStream` a tentacle may have.

use clap::Args;

/// Arguments about it.
#[derive(Debug, Args)]
pub(super) struct AllowanceArgs {
    /// Room for a tentacle's streams on disk, in MiB, where tentacles have accounts of their own. 0 for none.
    #[arg(
        id = "nats-jetstream-disk-mib",
        long = "nats-jetstream-disk-mib",
        env = "TENTACULAR_NATS_JETSTREAM_DISK_MIB",
        default_value_t = 0
    )]
    disk_mib: u32,
    /// The same in memory.
    #[arg(
        id = "nats-jetstream-memory-mib",
        long = "nats-jetstream-memory-mib",
        env = "TENTACULAR_NATS_JETSTREAM_MEMORY_MIB",
        default_value_t = 0
    )]
    memory_mib: u32,
    /// How many streams a tentacle may have, where there is room for any.
    #[arg(
        id = "nats-jetstream-streams", long = "nats-jetstream-streams", env = "TENTACULAR_NATS_JETSTREAM_STREAMS",
        default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..)
    )]
    streams: u32,
    /// How many consumers a stream of a tentacle may have.
    #[arg(
        id = "nats-jetstream-consumers", long = "nats-jetstream-consumers", env = "TENTACULAR_NATS_JETSTREAM_CONSUMERS",
        default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..)
    )]
    consumers: u32,
}

/// How much of it there may be in an account. -1 is no limit; without bytes in memory or on disk there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Bytes.
    pub(super) disk: i64,
    /// Bytes.
    pub(super) memory: i64,
    pub(super) streams: i64,
    /// Of one stream.
    pub(super) consumers: i64,
}

impl Allowance {
    /// Nothing.
    pub(super) const NONE: Self = Self { disk: 0, memory: 0, streams: 0, consumers: 0 };
    /// As much as the server has.
    pub(super) const ALL: Self = Self { disk: -1, memory: -1, streams: -1, consumers: -1 };

    /// Whether there may be any streams.
    pub(super) const fn any(self) -> bool {
        self.disk != 0 || self.memory != 0
    }
}

impl AllowanceArgs {
    /// What a tentacle may have by them.
    pub(super) fn allowance(&self) -> Allowance {
        let Self { disk_mib, memory_mib, streams, consumers } = *self;
        let bytes = |mib: u32| i64::from(mib) << 20;
        let allowance = Allowance {
            disk: bytes(disk_mib),
            memory: bytes(memory_mib),
            streams: streams.into(),
            consumers: consumers.into(),
        };
        if allowance.any() { allowance } else { Allowance::NONE }
    }
}
