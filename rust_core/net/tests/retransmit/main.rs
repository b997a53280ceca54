//! The retransmit service over 127.0.0.1, with the frames of a real session.

#[path = "../../../core/tests/receive_support/mod.rs"]
mod receive_support;
#[path = "../../../core/tests/retransmit_support/mod.rs"]
mod retransmit_support;

mod common;
mod datagrams;
mod hand_over;
mod streams;
