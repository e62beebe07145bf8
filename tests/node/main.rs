//! The product as pods on real nodes, installed by helm out of its own images. `make e2e-node` runs it.

mod clock;
mod installs;
mod lifecycle;
mod load;
mod losses;
mod pods;
mod release;
mod support;
mod tentacles;
mod upgrades;
