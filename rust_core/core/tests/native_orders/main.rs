//! Orders that a venue tells, from its messages to the consumer's copy: held to a reading by texts alone.
//!
//! Messages are those of the documentation (`documented/`), and changes of them that the venue's rules make.

mod coinbase;
mod damaged;
mod kraken;
mod naive;
#[path = "../rng/mod.rs"]
mod rng;
mod scene;
#[path = "../shape_support/mod.rs"]
mod shape_support;
