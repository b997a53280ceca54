//! The pure core of Outcrier: bytes and times in, frames and events out.
//!
//! Nothing here opens a socket, reads a clock, starts a thread or knows Python, and no price or quantity is
//! ever a float. Data flows one way on each side of the wire:
//!
//! * feeder: [`shape`] scans a venue's frame into [`event`]s, [`sequence`] decides what may be applied,
//!   [`book`] keeps the levels, [`orders`] the orders in them, [`checksum`] compares them with what the venue says, [`feed`] ties them together, [`publish`] numbers and seals [`wire`] frames and
//!   [`retransmit`] keeps them for whoever lost some;
//! * consumer: [`receive`] checks frames, follows the state of every instrument and keeps a mirror of its book;
//! * between them: [`chaos`] is the bad network that both are tried with;
//! * instead of a venue: [`matching`] is an exchange's own side of [`orders`], [`market`] draws orders for it by a seed.
#![forbid(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("the wire format is little-endian and its records are read in place");

pub mod book;
pub mod chaos;
pub mod checksum;
pub mod decimal;
pub mod deriv;
mod draw;
pub mod event;
pub mod feed;
mod fetch;
pub mod instrument;
pub mod market;
pub mod matching;
pub mod orders;
pub mod publish;
pub mod receive;
pub mod retransmit;
pub mod sequence;
pub mod shape;
pub mod tally;
pub mod wire;
