//! The retransmit service: frames again by UDP, history and images by TCP.
//!
//! Two threads serve. One answers datagrams ([`outcrier_core::retransmit::Server`] decides), the other has the TCP listener and
//! its connections ([`outcrier_core::retransmit::Streams`] decides), so that the disk, when history comes from the log, delays
//! nobody's repair. The feed's thread is a third one: it keeps each frame that it sent by [`Shared::keep`] and looks for wishes
//! by [`Shared::take_wants`].
//!
//! # Threads
//!
//! Nothing here is lock-free, and so nothing needs a model checker of memory orders: every value that two threads see is in a
//! [`std::sync::Mutex`] of [`Shared`], and no call holds two of them at once or calls out while it holds one, so that no order of locks
//! can be wrong. What crosses by the kernel is three eventfds, which carry no data: a ring that comes too early finds nothing,
//! and none is lost, for whoever rings has changed the value under its lock before, and whoever listens silences the bell
//! before (or under the same lock as) it looks. A thread that serves holds the store's lock for the copy of one frame.
//!
//! The threads end when the [`Service`] is dropped.

mod counters;
mod shared;
mod wake;

pub use counters::{ConnectionCounters, DatagramCounters, ServiceCounters};
pub use shared::{IMAGE_BYTES_MAX, Shared, Units, WANTS_MAX, Want};
