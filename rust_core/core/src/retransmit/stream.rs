//! Requests that came by a stream: history and what follows it, or the state of a channel.
//!
//! A stream proves the address of its peer, so there is no cookie. What all of them are sent has a share of the line; images
//! have a budget besides, for each takes the feed's time.

use std::net::Ipv4Addr;

use super::bucket::Bucket;
use super::counters::StreamCounters;
use super::reply::{Said, reply};
use super::server::{ServerConfig, limits};
use super::table::Table;
use super::{Archive, Bounds, Frames};
use crate::publish::Arrival;
use crate::wire::auth::Keyring;
use crate::wire::{
    self, CHANNEL_NUMBER, Frame, FrameBuf, Header, Message, Records, RetxRange, SnapWant, msg, retx_code,
};

/// Images a second, and twice as many at once, for one address and for all together: cutting 1,000 books of 400 levels takes
/// a feed about 3 ms, and so 3 % of its time.
pub const IMAGES_PER_S: u64 = 10;
/// Requests a second from one address, and twice as many at once: a stream lives long, and its request is its first unit.
const REQUESTS_PER_S: u64 = 100;
/// All streams together, in parts of the line's rate: 20 %, as the snapshot plane (`docs/wire-format.md`, numeric limits) …
const LINE_PART: u64 = 5;
/// … of which half a second may be at once: on a line of 1 Gbit/s an image of 7.4 MB.
const LINE_BURST_PART: u64 = 2;
/// Addresses whose budgets are kept.
const PEERS_MAX: usize = 1_024;

/// One address' budgets.
#[derive(Clone, Copy, Debug)]
struct Peer {
    requests: Bucket,
    images: Bucket,
    seen_ns: u64,
}

/// What follows the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing; the stream stays open for another request.
    Nothing,
    /// Frames.
    Replay(Replay),
    /// An image of a channel, numbered from 1 and closed by CYCLE_END.
    Image {
        /// Channel number, 1–127.
        channel: u8,
        /// Session that the consumer follows.
        session: u32,
        /// Venue of the instruments.
        venue: u16,
        /// The instruments; none = all of the channel.
        wants: Vec<SnapWant>,
    },
    /// The stream has had its answer, if any: it sent no request, or one without a MAC that holds.
    Close,
}

/// Answers requests of streams.
#[derive(Debug)]
pub struct Streams {
    line: Bucket,
    images: Bucket,
    peers: Table<Ipv4Addr, Peer>,
    keys: Option<Keyring>,
    counters: StreamCounters,
    buf: FrameBuf,
}

impl Streams {
    /// Without a peer; `now_ns` is monotonic time, as in [`Arrival::mono_ns`].
    #[must_use]
    pub fn new(config: &ServerConfig, now_ns: u64) -> Self {
        let line_per_s = config.line_bytes_per_s / LINE_PART;
        Self {
            line: Bucket::new(line_per_s, line_per_s / LINE_BURST_PART, now_ns),
            images: Bucket::new(IMAGES_PER_S, 2 * IMAGES_PER_S, now_ns),
            peers: Table::new(PEERS_MAX, config.secret.map(|byte| byte ^ 4)),
            keys: config.keys.clone(),
            counters: StreamCounters::default(),
            buf: FrameBuf::default(),
        }
    }

    /// Takes requests signed by other keys from now on.
    pub fn change_keys(&mut self, keys: Keyring) {
        self.keys = Some(keys);
    }

    /// Sums since it was made.
    #[must_use]
    pub fn counters(&self) -> StreamCounters {
        self.counters
    }

    /// Answers one unit: the reply, empty where there is none, and what follows it.
    pub fn on_unit(
        &mut self,
        peer: Ipv4Addr,
        unit: &[u8],
        at: Arrival,
        frames: &dyn Frames,
        archive: Option<&mut (dyn Archive + '_)>,
    ) -> (&[u8], Then) {
        self.counters.requests += 1;
        let Some(frame) = wire::check(unit).ok().filter(is_request) else {
            self.counters.not_a_request += 1;
            return (&[], Then::Close);
        };
        let header = frame.header;
        let is_known = self.keys.as_mut().is_none_or(|keys| keys.verify(&frame).is_ok());
        let (said, then) = match frame.message() {
            _ if !is_known => {
                self.counters.bad_mac += 1;
                (Said { code: retx_code::BAD_MAC, ..Said::default() }, Then::Close)
            }
            Message::RetxRequest(_, ranges) => {
                self.replay(peer, &header, ranges, at.mono_ns, frames, archive)
            }
            Message::SnapRequest(_, wants) => self.image(peer, &header, wants, at.mono_ns, frames),
            _ => unreachable!("the other types were turned away"),
        };
        (reply(&mut self.buf, self.keys.as_ref(), &header, at, &said), then)
    }

    /// Whether frames may leave now; what leaves is told by [`Streams::sent`].
    pub fn may_send(&mut self, now_ns: u64) -> bool {
        self.line.wait_ns(1, now_ns) == 0
    }

    /// So many bytes of frames left.
    pub fn sent(&mut self, bytes: usize) {
        self.line.take(bytes as u64);
    }

    fn peer(&mut self, peer: Ipv4Addr, now_ns: u64) -> &mut Peer {
        let fresh = || Peer {
            requests: Bucket::new(REQUESTS_PER_S, 2 * REQUESTS_PER_S, now_ns),
            images: Bucket::new(IMAGES_PER_S, 2 * IMAGES_PER_S, now_ns),
            seen_ns: now_ns,
        };
        let is_old = |peer: &Peer| now_ns.saturating_sub(peer.seen_ns) >= 2_000_000_000;
        let peer = self.peers.entry(peer, fresh, is_old);
        peer.seen_ns = now_ns;
        peer
    }

    fn limited(&mut self, wait_ns: u64) -> (Said, Then) {
        self.counters.rate_limited += 1;
        (Said { code: retx_code::RATE_LIMITED, wait_ns, ..Said::default() }, Then::Nothing)
    }

    fn malformed(&mut self) -> (Said, Then) {
        self.counters.malformed += 1;
        (Said { code: retx_code::MALFORMED, ..Said::default() }, Then::Nothing)
    }

    fn bad_session(&mut self) -> (Said, Then) {
        self.counters.bad_session += 1;
        (Said { code: retx_code::BAD_SESSION, ..Said::default() }, Then::Nothing)
    }

    fn replay(
        &mut self,
        peer: Ipv4Addr,
        header: &Header,
        ranges: Records<'_, RetxRange>,
        now_ns: u64,
        frames: &dyn Frames,
        archive: Option<&mut (dyn Archive + '_)>,
    ) -> (Said, Then) {
        if let Err(wait_ns) = self.peer(peer, now_ns).requests.try_take(1, now_ns) {
            return self.limited(wait_ns);
        }
        let is_empty = ranges.is_empty();
        let Some(replay) = Replay::of(header, ranges) else { return self.malformed() };
        let Some(bounds) = Bounds::of(header.channel, header.session, frames, archive) else {
            return self.bad_session();
        };
        let said = Said { bounds: Some(bounds), ..Said::default() };
        if is_empty {
            self.counters.probes += 1;
            return (said, Then::Nothing);
        }
        if replay.spans.iter().any(|span| bounds.is_too_old(span.next)) {
            self.counters.too_old += 1;
            return (Said { code: retx_code::TOO_OLD, ..said }, Then::Nothing);
        }
        // What is asked for without an end may begin with the next frame.
        let is_too_new = |span: &Span| match span.end {
            None => span.next.checked_sub(1).is_some_and(|before| bounds.is_too_new(before)),
            Some(end) => bounds.is_too_new(end - 1),
        };
        if replay.spans.iter().any(is_too_new) {
            self.counters.too_new += 1;
            return (Said { code: retx_code::TOO_NEW, ..said }, Then::Nothing);
        }
        self.counters.replays += 1;
        let n_served = replay.spans.iter().map(|span| span.len(bounds.newest)).sum();
        (Said { n_served, ..said }, Then::Replay(replay))
    }

    fn image(
        &mut self,
        peer: Ipv4Addr,
        header: &Header,
        wants: Records<'_, SnapWant>,
        now_ns: u64,
        frames: &dyn Frames,
    ) -> (Said, Then) {
        let channel = header.channel_number();
        if { wants }.any(|want| want.instrument == 0) {
            return self.malformed();
        }
        if Bounds::of(channel, header.session, frames, None).is_none() {
            return self.bad_session();
        }
        let own_ns = self.peer(peer, now_ns).images.wait_ns(1, now_ns);
        let wait_ns = own_ns.max(self.images.wait_ns(1, now_ns));
        if wait_ns > 0 {
            return self.limited(wait_ns);
        }
        self.peer(peer, now_ns).images.take(1);
        self.images.take(1);
        self.counters.images += 1;
        let (session, venue) = (header.session, header.venue);
        (Said::default(), Then::Image { channel, session, venue, wants: wants.collect() })
    }
}

fn is_request(frame: &Frame<'_>) -> bool {
    matches!(frame.header.msg_type, msg::RETX_REQUEST | msg::SNAP_REQUEST)
}

/// Numbers that are wanted, those that were sent taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    next: u64,
    /// Behind the last one; `None` = without an end.
    end: Option<u64>,
}

impl Span {
    /// Numbers up to `newest`, which is none of a session that is over.
    fn len(&self, newest: Option<u64>) -> u64 {
        let end = self.end.unwrap_or_else(|| newest.map_or(self.next, |newest| newest.saturating_add(1)));
        end.saturating_sub(self.next)
    }
}

/// Frames on their way to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    channel: u8,
    session: u32,
    /// At most [`limits::RANGES`].
    spans: Vec<Span>,
    at: usize,
}

/// What [`Replay::pull`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// The next frame.
    Frame,
    /// It does not exist yet.
    Wait,
    /// All were sent, or the session is over.
    Over,
    /// It is not kept any more: the stream fell behind.
    Lost,
}

impl Replay {
    /// `None` = there are too many ranges, or one is not of numbers, or something comes behind one without an end.
    fn of(header: &Header, ranges: Records<'_, RetxRange>) -> Option<Self> {
        let count = ranges.len();
        if count > limits::RANGES {
            return None;
        }
        let mut spans = Vec::with_capacity(count);
        for (range, place) in ranges.zip(1..) {
            let end = match range.n_frames {
                0 if place < count => return None,
                0 => None,
                n_frames => Some(range.begin_seq.checked_add(u64::from(n_frames))?),
            };
            if range.begin_seq == 0 {
                return None;
            }
            spans.push(Span { next: range.begin_seq, end });
        }
        Some(Self { channel: header.channel, session: header.session, spans, at: 0 })
    }

    /// Whether it follows what is published, without an end.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.spans.last().is_some_and(|span| span.end.is_none())
    }

    /// Appends the next frame to `out`, which keeps what it held.
    pub fn pull(
        &mut self,
        frames: &dyn Frames,
        archive: Option<&mut (dyn Archive + '_)>,
        out: &mut Vec<u8>,
    ) -> Pull {
        while self.spans.get(self.at).is_some_and(|span| span.end == Some(span.next)) {
            self.at += 1;
        }
        let Some(&Span { next: seq, .. }) = self.spans.get(self.at) else { return Pull::Over };
        let (channel, session) = (self.channel, self.session);
        // Asked before the frame is looked for: a frame kept in between is found.
        let is_published = frames.session(channel) == Some(session);
        let newest = frames.newest(channel);
        let is_found = frames.append(channel, session, seq, out)
            || archive.is_some_and(|archive| {
                channel & CHANNEL_NUMBER == channel && archive.get(channel, session, seq, out)
            });
        if is_found {
            self.spans[self.at].next += 1;
            return Pull::Frame;
        }
        match newest {
            Some(newest) if is_published && seq > newest => Pull::Wait,
            Some(_) if is_published => Pull::Lost,
            // The archive gives the rest of a session that is over; where it ends, nobody can say.
            _ if self.spans[self.at].end.is_none() => Pull::Over,
            _ => Pull::Lost,
        }
    }
}
