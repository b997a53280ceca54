//! Requests to retransmit servers: within a budget, with the server's cookie, and matched to its replies.

mod bucket;

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use zerocopy::{Immutable, IntoBytes};

use self::bucket::Bucket;
use super::counters::Counters;
use crate::draw::Draw;
use crate::wire::auth::Keyring;
use crate::wire::{
    self, AUTH_BYTES, FrameBuf, HEADER_BYTES, Header, RetxRange, RetxReply, RetxRequest, flags, msg,
    retx_code,
};

/// Ranges of one request.
pub const REQUEST_RANGES_MAX: usize = 16;
/// Numbers of one request: 256 frames of 1,400 bytes are 3 ms of a gigabit line.
pub const REQUEST_FRAMES_MAX: u64 = 256;
/// Requests a second to one server; it serves no more to one consumer.
pub const REQUESTS_PER_S: u64 = 2_000;
/// Numbers asked for a second at one server; it serves no more to one consumer.
pub const FRAMES_PER_S: u64 = 8_000;
/// Requests that may go out at once: 20 ms of the rate.
const REQUESTS_BURST: u64 = 40;
/// Numbers that may be asked for at once: as many as can be missing, and what a server grants.
const FRAMES_BURST: u64 = 4_096;
/// Requests made and not taken by the caller: more than a burst can make.
const QUEUE_MAX: usize = 64;
/// When to try again where the caller takes no requests.
const QUEUE_RETRY_NS: u64 = 1_000_000;
/// Requests whose reply is still expected: those of 100 ms.
const OUTSTANDING_MAX: usize = 256;
/// Servers known at once: one for each of 127 channels.
const SERVERS_MAX: usize = 127;
/// A server cannot silence us for longer: after a second its state is another one.
const RETRY_AFTER_MAX_US: u32 = 1_000_000;

/// A frame to send: from a connected, ephemeral UDP socket, one for each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The server.
    pub to: SocketAddrV4,
    /// The sealed frame.
    pub bytes: &'a [u8],
}

/// Whom a request goes to and what its numbers are numbers of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) to: SocketAddrV4,
    /// With the bit of the snapshot plane.
    pub(super) channel: u8,
    pub(super) session: u32,
    pub(super) venue: u16,
    /// REPLAY and TEST, as all frames of the session have them.
    pub(super) flags: u16,
}

impl Subject {
    /// Header of a request with this correlation id.
    pub(super) fn request(&self, msg_type: u8, id: u64) -> Header {
        Header {
            channel_seq: id,
            flags: self.flags,
            ..Header::new(msg_type, self.channel, self.session, self.venue)
        }
    }
}

#[derive(Debug)]
struct Ask {
    /// Correlation id; 0 until it is sent.
    id: u64,
    about: Subject,
    ranges: Vec<RetxRange>,
    frames: u64,
    /// It was sent again because of a cookie, which happens once.
    again: bool,
}

impl Ask {
    fn new(about: Subject) -> Self {
        Self { id: 0, about, ranges: Vec::with_capacity(REQUEST_RANGES_MAX), frames: 0, again: false }
    }

    /// Whether one more number still fits.
    fn has_room(&self, about: &Subject, seq: u64) -> bool {
        !self.again
            && self.about == *about
            && self.frames < REQUEST_FRAMES_MAX
            && (self.continues(seq) || self.ranges.len() < REQUEST_RANGES_MAX)
    }

    fn continues(&self, seq: u64) -> bool {
        let follows = |last: &RetxRange| last.begin_seq.checked_add(last.n_frames.into()) == Some(seq);
        self.ranges.last().is_some_and(follows)
    }

    fn push(&mut self, seq: u64) {
        self.frames += 1;
        if self.continues(seq)
            && let Some(last) = self.ranges.last_mut()
        {
            last.n_frames += 1;
        } else {
            self.ranges.push(RetxRange { begin_seq: seq, n_frames: 1, reserved: 0 });
        }
    }
}

#[derive(Debug)]
struct Server {
    address: SocketAddrV4,
    cookie: u64,
    requests: Bucket,
    frames: Bucket,
    /// It said that it is not to be asked before.
    quiet_until_ns: u64,
}

/// What a reply means for the numbers that it answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not kept any more: those below `oldest`.
    TooOld { channel: u8, session: u32, ranges: Vec<(u64, u64)>, oldest: u64 },
    /// Not served now; ask again at `at_ns`.
    Wait { channel: u8, session: u32, ranges: Vec<(u64, u64)>, at_ns: u64 },
}

/// The requests of one receiver.
#[derive(Debug)]
pub(super) struct Requester {
    consumer_id: u64,
    random: Draw,
    servers: Vec<Server>,
    queue: VecDeque<Ask>,
    outstanding: VecDeque<Ask>,
    buf: FrameBuf,
}

impl Requester {
    pub(super) fn new(consumer_id: u64, seed: u64) -> Self {
        Self {
            consumer_id,
            random: Draw(seed),
            servers: Vec::new(),
            queue: VecDeque::new(),
            outstanding: VecDeque::new(),
            buf: FrameBuf::default(),
        }
    }

    /// A number to spread retries and to name requests.
    pub(super) fn draw(&mut self) -> u64 {
        self.random.next()
    }

    /// Asks for a number, in one request with those before it where they fit; or gives when that can be tried again.
    pub(super) fn ask(&mut self, about: &Subject, seq: u64, now_ns: u64) -> Result<(), u64> {
        let has_queue_room = self.queue.len() < QUEUE_MAX;
        let joins = self.queue.back().is_some_and(|ask| ask.has_room(about, seq));
        let server = self.server(about.to, now_ns);
        if now_ns < server.quiet_until_ns {
            return Err(server.quiet_until_ns);
        }
        server.frames.ready(now_ns)?;
        if !joins {
            server.requests.ready(now_ns)?;
            if !has_queue_room {
                return Err(now_ns.saturating_add(QUEUE_RETRY_NS));
            }
            server.requests.take();
        }
        server.frames.take();
        if !joins {
            self.queue.push_back(Ask::new(*about));
        }
        if let Some(ask) = self.queue.back_mut() {
            ask.push(seq);
        }
        Ok(())
    }

    fn server(&mut self, address: SocketAddrV4, now_ns: u64) -> &mut Server {
        let at = match self.servers.iter().position(|server| server.address == address) {
            Some(at) => at,
            None => {
                if self.servers.len() >= SERVERS_MAX {
                    // The one known longest; if it is still in use it will ask for a cookie again.
                    self.servers.remove(0);
                }
                self.servers.push(Server {
                    address,
                    cookie: 0,
                    requests: Bucket::new(REQUESTS_PER_S, REQUESTS_BURST, now_ns),
                    frames: Bucket::new(FRAMES_PER_S, FRAMES_BURST, now_ns),
                    quiet_until_ns: 0,
                });
                self.servers.len() - 1
            }
        };
        &mut self.servers[at]
    }

    /// The next request to send, signed if there are keys.
    pub(super) fn next(
        &mut self,
        now_ns: u64,
        keys: Option<&Keyring>,
        counters: &mut Counters,
    ) -> Option<Request<'_>> {
        let mut ask = self.queue.pop_front()?;
        ask.id = self.draw().max(1);
        let (to, consumer_id) = (ask.about.to, self.consumer_id);
        let root = RetxRequest { consumer_id, cookie: self.server(to, now_ns).cookie };
        counters.requests += 1;
        counters.requested += ask.frames;
        seal_request(&mut self.buf, ask.about.request(msg::RETX_REQUEST, ask.id), keys, &root, &ask.ranges);
        if self.outstanding.len() >= OUTSTANDING_MAX {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(ask);
        Some(Request { to, bytes: self.buf.frame() })
    }

    /// A reply: what it means for the channel whose numbers were asked for.
    pub(super) fn on_reply(
        &mut self,
        header: &Header,
        reply: &RetxReply,
        now_ns: u64,
        counters: &mut Counters,
    ) -> Option<Answer> {
        let (id, channel) = (header.channel_seq, header.channel);
        let asked = self.outstanding.iter().position(|ask| ask.id == id && ask.about.channel == channel);
        let Some(mut ask) = asked.and_then(|at| self.outstanding.remove(at)) else {
            counters.replies_unmatched += 1;
            return None;
        };
        counters.replies += 1;
        let server = self.server(ask.about.to, now_ns);
        if reply.cookie != 0 {
            server.cookie = reply.cookie;
        }
        let session = ask.about.session;
        match reply.code {
            retx_code::OK => {}
            retx_code::TOO_OLD => {
                counters.replies_too_old += 1;
                return Some(Answer::TooOld {
                    channel,
                    session,
                    ranges: runs(&ask),
                    oldest: reply.oldest_seq,
                });
            }
            retx_code::TOO_NEW => counters.replies_too_new += 1,
            retx_code::RATE_LIMITED => {
                counters.replies_rate_limited += 1;
                let wait_us = reply.retry_after_us.min(RETRY_AFTER_MAX_US);
                let at_ns = now_ns.saturating_add(u64::from(wait_us) * 1_000);
                server.quiet_until_ns = server.quiet_until_ns.max(at_ns);
                return Some(Answer::Wait { channel, session, ranges: runs(&ask), at_ns });
            }
            retx_code::BAD_SESSION => counters.replies_bad_session += 1,
            retx_code::BAD_MAC => counters.replies_bad_mac += 1,
            retx_code::NEED_COOKIE => {
                counters.replies_need_cookie += 1;
                if !ask.again && reply.cookie != 0 {
                    ask.again = true;
                    self.queue.push_front(ask);
                }
            }
            _ => counters.replies_malformed += 1,
        }
        None
    }

    /// Forgets what was not sent yet for a channel: its session changed.
    pub(super) fn forget(&mut self, number: u8) {
        self.queue.retain(|ask| ask.about.channel & wire::CHANNEL_NUMBER != number);
    }
}

/// The numbers of a request as (first, last).
fn runs(ask: &Ask) -> Vec<(u64, u64)> {
    let run = |range: &RetxRange| {
        (range.begin_seq, range.begin_seq.saturating_add(u64::from(range.n_frames).saturating_sub(1)))
    };
    ask.ranges.iter().map(run).collect()
}

/// RETX_REQUEST without ranges, `about` a channel, with its padding: asks a server whether it is there. Until the cookie is
/// right, a server answers with no more bytes than it was asked with, so the request is as long as a signed reply.
#[must_use]
pub fn health_probe(about: Header, root: RetxRequest, keys: Option<&Keyring>) -> Vec<u8> {
    let mut buf = FrameBuf::default();
    seal_request(&mut buf, about, keys, &root, &[] as &[RetxRange]);
    let mut datagram = buf.frame().to_vec();
    datagram.resize(HEADER_BYTES + size_of::<RetxReply>() + AUTH_BYTES, 0);
    datagram
}

/// Builds, signs and seals a request of ours. The only place where that is done, so that a key needs no other.
pub(super) fn seal_request<Root, Record>(
    buf: &mut FrameBuf,
    header: Header,
    keys: Option<&Keyring>,
    root: &Root,
    records: &[Record],
) where
    Root: IntoBytes + Immutable,
    Record: IntoBytes + Immutable,
{
    let signer = keys.map(|keys| keys.request_signer(header.channel, header.session));
    let auth = if signer.is_some() { flags::AUTH } else { 0 };
    let header = Header { flags: header.flags | auth, ..header };
    wire::seal(buf.build(&header, root, records), 0, signer.as_ref().map(|signer| &signer.key));
}
