//! Requests that came by datagram: who may ask, how much, and what is answered to whom.

mod answer;

use std::net::SocketAddrV4;

use super::bucket::Bucket;
use super::cookie::Cookies;
use super::counters::{ServerCounters, ServerRefusals};
use super::recent::Recent;
use super::reply::{Said, reply};
use super::table::Table;
use super::{Archive, Bounds, Frames};
use crate::publish::Arrival;
use crate::wire::auth::Keyring;
use crate::wire::{self, Frame, FrameBuf, Header, Message, Records, RetxRange, SnapWant, retx_code};

/// The limits of a consumer and of a request (`docs/wire-format.md`, numeric limits: NAK).
pub mod limits {
    /// Ranges in a request.
    pub const RANGES: usize = 16;
    /// Frames in a request.
    pub const FRAMES: u64 = 256;
    /// Requests a second and consumer …
    pub const REQUESTS_PER_S: u64 = 2_000;
    /// … of which so many may come at once: a burst of 4,096 frames in requests of 16 single ones, and again for retries.
    pub const REQUESTS_BURST: u64 = 512;
    /// Frames a second and consumer: 5 % loss of 20,000 frames/s needs 1,062.
    pub const FRAMES_PER_S: u64 = 8_000;
    /// Frames that a consumer may ask for at once; a receiver gives up above this.
    pub const FRAMES_BURST: u64 = 4_096;
    /// All answers together, in parts of the line's rate: 5 %.
    pub const TOTAL_PART: u64 = 20;
    /// All answers together may take so much of a second at once: a burst loss of many consumers in 100 ms.
    pub const TOTAL_BURST_PART: u64 = 10;
}

/// Consumers whose budgets are kept: a host with 4,096 processes is none of ours, and each takes 100 bytes.
pub const CONSUMERS_MAX: usize = 4_096;
/// Answers a second to addresses that have not proved themselves, of which a tenth may be at once. Their senders may be
/// forged, and no group of consumers starts faster.
pub const COOKIES_PER_S: u64 = 10_000;
/// Who is over its budget is told so once in this time.
const TOLD_EVERY_NS: u64 = 1_000_000;

/// What a server is made with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Random, and of this process only: makes cookies and the order in the tables unforeseeable.
    pub secret: [u8; 16],
    /// Bytes a second of the line that answers leave by; they take 5 % of it.
    pub line_bytes_per_s: u64,
    /// The masters of the channels' keys; requests without a MAC of theirs are refused, replies carry one. `None` = neither.
    pub keys: Option<Keyring>,
}

/// Where answers go.
pub trait Answers {
    /// One datagram to a consumer.
    fn unicast(&mut self, to: SocketAddrV4, bytes: &[u8]);
    /// One datagram to the repair group.
    fn repair(&mut self, bytes: &[u8]);
    /// Instruments to be moved to the head of the snapshot cycle.
    fn want(&mut self, wanted: &SnapWanted<'_>);
}

/// Instruments whose state is wanted.
#[derive(Clone, Copy, Debug)]
pub struct SnapWanted<'a> {
    /// Channel number, 1–127.
    pub channel: u8,
    /// Session that the consumer follows.
    pub session: u32,
    /// Venue of the instruments.
    pub venue: u16,
    /// The instruments; empty = all of the channel. Whoever moves them sees to it that each moves once in 100 ms.
    pub wants: Records<'a, SnapWant>,
}

/// One consumer's budgets.
#[derive(Clone, Copy, Debug)]
struct Consumer {
    requests: Bucket,
    frames: Bucket,
    /// When it was last told that it is over its budget.
    told_ns: Option<u64>,
    seen_ns: u64,
}

impl Consumer {
    fn new(now_ns: u64) -> Self {
        Self {
            requests: Bucket::new(limits::REQUESTS_PER_S, limits::REQUESTS_BURST, now_ns),
            frames: Bucket::new(limits::FRAMES_PER_S, limits::FRAMES_BURST, now_ns),
            told_ns: None,
            seen_ns: now_ns,
        }
    }

    /// Whether both budgets are full again, so that nothing is lost with it.
    fn is_old(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.seen_ns) >= 1_000_000_000
    }
}

/// A request of somebody who may ask.
#[derive(Clone, Copy, Debug)]
struct Asked {
    header: Header,
    from: SocketAddrV4,
    at: Arrival,
}

/// What is asked for.
enum Body<'a> {
    Frames(Records<'a, RetxRange>),
    State(Records<'a, SnapWant>),
}

/// The retransmit server. Everything it keeps is bounded and taken at the start.
#[derive(Debug)]
pub struct Server {
    cookies: Cookies,
    /// Answers to addresses that have not proved themselves.
    unproved: Bucket,
    total: Bucket,
    consumers: Table<SocketAddrV4, Consumer>,
    recent: Recent,
    keys: Option<Keyring>,
    counters: ServerCounters,
    refusals: ServerRefusals,
    buf: FrameBuf,
    scratch: answer::Scratch,
}

impl Server {
    /// A server without a consumer; `now_ns` is monotonic time, as in [`Arrival::mono_ns`].
    #[must_use]
    pub fn new(config: &ServerConfig, now_ns: u64) -> Self {
        let total_per_s = config.line_bytes_per_s / limits::TOTAL_PART;
        // Each use of the secret has a key of its own.
        let key = |purpose: u8| config.secret.map(|byte| byte ^ purpose);
        Self {
            cookies: Cookies::new(key(0)),
            unproved: Bucket::new(COOKIES_PER_S, COOKIES_PER_S / 10, now_ns),
            total: Bucket::new(total_per_s, total_per_s / limits::TOTAL_BURST_PART, now_ns),
            consumers: Table::new(CONSUMERS_MAX, key(1)),
            recent: Recent::new(key(2)),
            keys: config.keys.clone(),
            counters: ServerCounters::default(),
            refusals: ServerRefusals::default(),
            buf: FrameBuf::default(),
            scratch: answer::Scratch::default(),
        }
    }

    /// Takes requests signed by other keys from now on.
    pub fn change_keys(&mut self, keys: Keyring) {
        self.keys = Some(keys);
    }

    /// Sums since the server was made.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        ServerCounters {
            consumers_evicted: self.consumers.evicted(),
            numbers_evicted: self.recent.evicted(),
            ..self.counters
        }
    }

    /// Datagrams that were no frame of ours, by cause.
    #[must_use]
    pub fn refusals(&self) -> &ServerRefusals {
        &self.refusals
    }

    /// Answers one datagram. Until the address of `from` has proved itself by its cookie, the answer is one frame, never
    /// longer than the datagram, and nothing is kept of it.
    pub fn on_request(
        &mut self,
        from: SocketAddrV4,
        datagram: &[u8],
        at: Arrival,
        frames: &dyn Frames,
        archive: Option<&mut (dyn Archive + '_)>,
        out: &mut dyn Answers,
    ) {
        self.counters.requests += 1;
        let frame = match wire::check(datagram) {
            Ok(frame) => frame,
            Err(refusal) => {
                self.counters.not_a_frame += 1;
                self.refusals[refusal as usize] += 1;
                return;
            }
        };
        let Some((cookie, body)) = read(&frame) else {
            self.counters.not_a_request += 1;
            return;
        };
        let asked = Asked { header: frame.header, from, at };
        if self.keys.as_mut().is_some_and(|keys| keys.verify(&frame).is_err()) {
            self.counters.bad_mac += 1;
            self.answer_stranger(&asked, datagram.len(), retx_code::BAD_MAC, out);
            return;
        }
        if !self.cookies.is_right(from, cookie, at.mono_ns) {
            self.counters.need_cookie += 1;
            self.answer_stranger(&asked, datagram.len(), retx_code::NEED_COOKIE, out);
            return;
        }
        if self.limit(&asked, &body, out) {
            return;
        }
        match body {
            Body::Frames(ranges) => self.answer_frames(&asked, ranges, frames, archive, out),
            Body::State(wants) => self.answer_state(&asked, wants, frames, out),
        }
    }

    /// Answers an address that has not proved itself, at most as long as it asked, and few in all: it may be forged.
    fn answer_stranger(&mut self, asked: &Asked, datagram_bytes: usize, code: u16, out: &mut dyn Answers) {
        let is_cookie = code == retx_code::NEED_COOKIE;
        let cookie = if is_cookie { self.cookies.give(asked.from, asked.at.mono_ns) } else { 0 };
        let said = Said { code, cookie, ..Said::default() };
        let reply = reply(&mut self.buf, self.keys.as_ref(), &asked.header, asked.at, &said);
        if reply.len() > datagram_bytes {
            self.counters.unproved_short += 1;
        } else if self.unproved.try_take(1, asked.at.mono_ns).is_err() {
            self.counters.unproved_limited += 1;
        } else {
            out.unicast(asked.from, reply);
        }
    }

    /// Takes the request from the budgets; if they do not have it, says when to ask again and returns true.
    fn limit(&mut self, asked: &Asked, body: &Body<'_>, out: &mut dyn Answers) -> bool {
        let now_ns = asked.at.mono_ns;
        let fresh = || Consumer::new(now_ns);
        let consumer = self.consumers.entry(asked.from, fresh, |consumer| consumer.is_old(now_ns));
        consumer.seen_ns = now_ns;
        let tokens = body.tokens();
        let own_ns = consumer.requests.wait_ns(1, now_ns).max(consumer.frames.wait_ns(tokens, now_ns));
        let total_ns = self.total.wait_ns(1, now_ns);
        let wait_ns = own_ns.max(total_ns);
        if wait_ns == 0 {
            consumer.requests.take(1);
            consumer.frames.take(tokens);
            return false;
        }
        let is_told = consumer.told_ns.is_some_and(|told_ns| now_ns.saturating_sub(told_ns) < TOLD_EVERY_NS);
        if is_told {
            self.counters.limited_silent += 1;
            return true;
        }
        consumer.told_ns = Some(now_ns);
        let counter =
            if own_ns > 0 { &mut self.counters.rate_limited } else { &mut self.counters.total_limited };
        *counter += 1;
        self.say(asked, Said { code: retx_code::RATE_LIMITED, wait_ns, ..Said::default() }, out);
        true
    }

    /// Sends a reply to somebody who has proved itself.
    fn say(&mut self, asked: &Asked, said: Said, out: &mut dyn Answers) {
        let cookie = self.cookies.give(asked.from, asked.at.mono_ns);
        let reply =
            reply(&mut self.buf, self.keys.as_ref(), &asked.header, asked.at, &Said { cookie, ..said });
        self.total.take(reply.len() as u64);
        out.unicast(asked.from, reply);
    }
}

/// The cookie and what is asked for; `None` for another type of frame.
fn read<'a>(frame: &Frame<'a>) -> Option<(u64, Body<'a>)> {
    match frame.message() {
        Message::RetxRequest(root, ranges) => Some((root.cookie, Body::Frames(ranges))),
        Message::SnapRequest(root, wants) => Some((root.cookie, Body::State(wants))),
        _ => None,
    }
}

impl Body<'_> {
    /// What the request takes from the budget of frames: the numbers or instruments asked for, as far as a request may.
    fn tokens(&self) -> u64 {
        match self {
            Self::Frames(ranges) => {
                let asked = ranges.map(|range| u64::from(range.n_frames)).sum::<u64>();
                asked.min(limits::FRAMES)
            }
            Self::State(wants) => wants.len() as u64,
        }
    }
}
