//! RETX_REPLY: what a server says before frames, or instead of them.

use super::Bounds;
use crate::publish::Arrival;
use crate::wire::auth::Keyring;
use crate::wire::{self, FrameBuf, Header, NO_RECORDS, RetxReply, flags, msg};

/// What a reply says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// One of [`wire::retx_code`].
    pub(super) code: u16,
    /// Frames that follow.
    pub(super) n_served: u64,
    /// What can be had; `None` = the question has no answer.
    pub(super) bounds: Option<Bounds>,
    pub(super) cookie: u64,
    /// Nanoseconds to wait before the next request.
    pub(super) wait_ns: u64,
}

/// Lays out the reply to a request: of its plane and session, with its number, marked REPLAY or TEST as it is, and signed
/// where there are keys.
pub(super) fn reply<'a>(
    buf: &'a mut FrameBuf,
    keys: Option<&Keyring>,
    request: &Header,
    at: Arrival,
    said: &Said,
) -> &'a [u8] {
    // The key by which the request passed: the consumer has it.
    let key = keys.map(|keys| keys.request_signer(request.channel, request.session).key);
    let auth = if key.is_some() { flags::AUTH } else { 0 };
    let header = Header {
        flags: request.flags & (flags::REPLAY | flags::TEST) | auth,
        channel_seq: request.channel_seq,
        exchange_ts: at.recv_ts,
        recv_ts: at.recv_ts,
        ..Header::new(msg::RETX_REPLY, request.channel, request.session, request.venue)
    };
    let root = RetxReply {
        oldest_seq: said.bounds.map_or(0, |bounds| bounds.oldest),
        newest_seq: said.bounds.and_then(|bounds| bounds.newest).unwrap_or(0),
        cookie: said.cookie,
        retry_after_us: u32::try_from(said.wait_ns.div_ceil(1_000)).unwrap_or(u32::MAX),
        code: said.code,
        n_served: u16::try_from(said.n_served).unwrap_or(u16::MAX),
    };
    wire::seal(buf.build(&header, &root, NO_RECORDS), 0, key.as_ref());
    buf.frame()
}
