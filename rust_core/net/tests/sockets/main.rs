//! Sockets as a feeder and a consumer use them, over 127.0.0.1 with TTL 0.

mod batches;
mod captures;
mod common;
mod guard;
mod lines;
mod loopback;
mod refused;
mod relay;
mod segments;
