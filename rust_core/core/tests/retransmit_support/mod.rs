//! A retransmit server over the frames of a real session, and consumers that ask it.
#![allow(dead_code)] // Each test binary uses its part.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use outcrier_core::publish::Arrival;
use outcrier_core::retransmit::{
    Answers, Archive, Limits, Server, ServerConfig, ServerCounters, SnapWanted, Store,
};
use outcrier_core::wire::auth::{Key, Keyring};
use outcrier_core::wire::{
    self, CHANNEL_SNAPSHOT, FrameBuf, Header, Message, RetxRange, RetxReply, RetxRequest, SnapRequest,
    SnapWant, flags, msg,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::receive_support::{CHANNEL, Publisher, SESSION, VENUE, definition, load};

pub(crate) const SNAPSHOT: u8 = CHANNEL | CHANNEL_SNAPSHOT;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
/// 1 Gbit/s: all answers together take 6.25 MB/s.
pub(crate) const LINE: u64 = 125_000_000;
const CAPTURE: &str = "binance/spot_btcusdt_2024-08-08.jsonl.gz";

pub(crate) fn header(frame: &[u8]) -> Header {
    Header::read_from_prefix(frame).unwrap().0
}

/// Frames of a real session: definitions, trades and book changes; a snapshot cycle after every `cycle_every` messages.
pub(crate) fn frames(messages: usize, cycle_every: usize) -> Option<Vec<Vec<u8>>> {
    let loads = load(CAPTURE, messages)?;
    let mut publisher = Publisher::new(SESSION, 7);
    publisher.start(0);
    publisher.define(11, definition("BTC/USDT", 1));
    for (at, message) in loads.iter().enumerate() {
        publisher.load(11, message, 0);
        if at % cycle_every == cycle_every - 1 {
            publisher.cycle();
            publisher.heartbeat();
        }
    }
    Some(publisher.take().into_iter().map(|(_, frame)| frame).collect())
}

/// An address of the documentation range.
pub(crate) fn consumer(number: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 40_000 + number)
}

pub(crate) fn range(begin_seq: u64, n_frames: u32) -> RetxRange {
    RetxRange { begin_seq, n_frames, reserved: 0 }
}

/// A request to be sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) channel: u8,
    pub(crate) session: u32,
    pub(crate) number: u64,
    pub(crate) cookie: u64,
    pub(crate) key: Option<Key>,
}

impl Ask {
    pub(crate) fn new(cookie: u64) -> Self {
        Self { channel: CHANNEL, session: SESSION, number: 77, cookie, key: None }
    }

    fn seal<T, R>(&self, msg_type: u8, root: &T, records: &[R]) -> Vec<u8>
    where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        let auth = if self.key.is_some() { flags::AUTH } else { 0 };
        let header = Header {
            channel_seq: self.number,
            flags: auth,
            ..Header::new(msg_type, self.channel, self.session, VENUE)
        };
        let mut buf = FrameBuf::default();
        wire::seal(buf.build(&header, root, records), 0, self.key.as_ref());
        buf.frame().to_vec()
    }

    pub(crate) fn frames(&self, ranges: &[RetxRange]) -> Vec<u8> {
        self.seal(msg::RETX_REQUEST, &RetxRequest { consumer_id: 5, cookie: self.cookie }, ranges)
    }

    pub(crate) fn state(&self, wants: &[SnapWant]) -> Vec<u8> {
        self.seal(msg::SNAP_REQUEST, &SnapRequest { consumer_id: 5, cookie: self.cookie }, wants)
    }
}

pub(crate) fn read_reply(frame: &[u8]) -> (Header, RetxReply) {
    let frame = wire::check(frame).unwrap();
    let Message::RetxReply(reply) = frame.message() else { panic!("{:?}", frame.header) };
    (frame.header, reply)
}

/// A log that has a part of the frames.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) frames: BTreeMap<(u8, u32, u64), Vec<u8>>,
    pub(crate) asked: usize,
}

impl Log {
    pub(crate) fn keep(&mut self, frame: &[u8]) {
        let header = header(frame);
        self.frames.insert((header.channel, header.session, header.channel_seq), frame.to_vec());
    }
}

impl Archive for Log {
    fn get(&mut self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool {
        self.asked += 1;
        let frame = self.frames.get(&(channel, session, seq));
        out.extend_from_slice(frame.map_or(&[], |frame| frame));
        frame.is_some()
    }

    fn oldest(&mut self, channel: u8, session: u32) -> Option<u64> {
        let of_session = (channel, session, 0)..=(channel, session, u64::MAX);
        self.frames.range(of_session).next().map(|(key, _)| key.2)
    }
}

/// What a server sent.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) unicast: Vec<(SocketAddrV4, Vec<u8>)>,
    pub(crate) repair: Vec<Vec<u8>>,
    pub(crate) wants: Vec<(u8, u32, u16, Vec<SnapWant>)>,
}

impl Answers for Out {
    fn unicast(&mut self, to: SocketAddrV4, bytes: &[u8]) {
        self.unicast.push((to, bytes.to_vec()));
    }

    fn repair(&mut self, bytes: &[u8]) {
        self.repair.push(bytes.to_vec());
    }

    fn want(&mut self, wanted: &SnapWanted<'_>) {
        self.wants.push((wanted.channel, wanted.session, wanted.venue, wanted.wants.collect()));
    }
}

/// Reply, frames by unicast, frames by the group.
pub(crate) struct Got {
    pub(crate) header: Header,
    pub(crate) reply: RetxReply,
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) repair: Vec<Vec<u8>>,
}

impl Got {
    pub(crate) fn code(&self) -> u16 {
        self.reply.code
    }

    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.frames.iter().map(|frame| header(frame).channel_seq).collect()
    }

    pub(crate) fn repaired(&self) -> Vec<u64> {
        self.repair.iter().map(|frame| header(frame).channel_seq).collect()
    }
}

/// Server, store and log, and the time.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) log: Option<Log>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) now_ns: u64,
}

impl Bench {
    pub(crate) fn of(frames: Vec<Vec<u8>>, line_bytes_per_s: u64, keys: Option<Keyring>) -> Self {
        let now_ns = 1_000 * SECOND;
        let config = ServerConfig { secret: [7; 16], line_bytes_per_s, keys };
        let mut store = Store::new(Limits::default());
        for frame in &frames {
            store.push(frame, now_ns);
        }
        Self { server: Server::new(&config, now_ns), store, log: None, sent: frames, now_ns }
    }

    /// Over a real session; `None` where the captures are missing.
    pub(crate) fn open() -> Option<Self> {
        frames(1_500, 300).map(|frames| Self::of(frames, LINE, None))
    }

    pub(crate) fn give(&mut self, from: SocketAddrV4, datagram: &[u8]) -> Out {
        let mut out = Out::default();
        let at = Arrival { recv_ts: 1_700_000_000_000_000_000 + self.now_ns as i64, mono_ns: self.now_ns };
        let archive = self.log.as_mut().map(|log| log as &mut dyn Archive);
        self.server.on_request(from, datagram, at, &self.store, archive, &mut out);
        out
    }

    /// The one reply to a datagram and what follows it.
    pub(crate) fn got(&mut self, from: SocketAddrV4, datagram: &[u8]) -> Got {
        let out = self.give(from, datagram);
        assert!(out.unicast.iter().all(|(to, _)| *to == from));
        let mut unicast = out.unicast.into_iter().map(|(_, bytes)| bytes);
        let (header, reply) = read_reply(&unicast.next().expect("a reply comes first"));
        let frames: Vec<_> = unicast.collect();
        let served = frames.len() + out.repair.len();
        assert_eq!(usize::from(reply.n_served), served);
        for frame in frames.iter().chain(&out.repair) {
            assert!(self.sent.contains(frame), "as it was sent");
        }
        Got { header, reply, frames, repair: out.repair }
    }

    /// The cookie of an address that proves itself now.
    pub(crate) fn cookie(&mut self, of: SocketAddrV4) -> u64 {
        let got = self.got(of, &Ask::new(0).frames(&[range(1, 1)]));
        assert_eq!((got.code(), got.frames.len()), (wire::retx_code::NEED_COOKIE, 0));
        got.reply.cookie
    }

    /// A consumer that has proved itself asks for numbers of the incremental plane.
    pub(crate) fn ask(&mut self, of: SocketAddrV4, ranges: &[RetxRange]) -> Got {
        let cookie = self.cookie(of);
        self.got(of, &Ask::new(cookie).frames(ranges))
    }

    pub(crate) fn counters(&self) -> ServerCounters {
        self.server.counters()
    }

    /// The frames of the incremental plane by number.
    pub(crate) fn numbered(&self, first: u64, count: u64) -> Vec<Vec<u8>> {
        let is_asked = |frame: &&Vec<u8>| {
            let header = header(frame);
            let is_numbered = wire::is_numbered(header.msg_type) && header.channel == CHANNEL;
            is_numbered && (first..first + count).contains(&{ header.channel_seq })
        };
        self.sent.iter().filter(is_asked).cloned().collect()
    }
}
