//! A retransmit server by hand: reads the requests of a receiver, replies what a test wants.

use std::net::{Ipv4Addr, SocketAddrV4};

use outcrier_core::receive::{Config, Line};
use outcrier_core::wire::{self, FrameBuf, Header, Message, NO_RECORDS, RetxReply, msg, zeroed};

use super::pair::Pair;
use super::{SESSION, VENUE};

pub(crate) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9_011);
pub(crate) const IMAGES: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9_021);
pub(crate) const CONSUMER: u64 = 0xC0FF_EE00;

/// A request as the server reads it; ranges are first number and count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) to: SocketAddrV4,
    pub(crate) channel: u8,
    pub(crate) session: u32,
    pub(crate) id: u64,
    pub(crate) cookie: u64,
    pub(crate) ranges: Vec<(u64, u32)>,
}

impl Asked {
    pub(crate) fn numbers(&self) -> u64 {
        self.ranges.iter().map(|&(_, count)| u64::from(count)).sum()
    }
}

/// A pair that is live and knows its servers.
pub(crate) fn live() -> Pair {
    live_with(&config())
}

pub(crate) fn config() -> Config {
    Config { consumer_id: CONSUMER, seed: 7, ..Config::default() }
}

pub(crate) fn live_with(config: &Config) -> Pair {
    let mut pair = Pair::live_with(config);
    pair.publisher.retx = (u32::from(*SERVER.ip()), SERVER.port(), IMAGES.port());
    pair.publisher.heartbeat();
    pair.hear_all();
    pair
}

/// Every request that waits to be sent.
pub(crate) fn asked(pair: &mut Pair) -> Vec<Asked> {
    let mut all = Vec::new();
    while let Some(request) = pair.receiver.next_request(pair.now_ns) {
        let frame = wire::check(request.bytes).expect("a request is a frame");
        assert_eq!((frame.header.msg_type, frame.header.venue), (msg::RETX_REQUEST, VENUE));
        let Message::RetxRequest(root, ranges) = frame.message() else { panic!("no request") };
        assert_eq!(root.consumer_id, CONSUMER);
        all.push(Asked {
            to: request.to,
            channel: frame.header.channel,
            session: frame.header.session,
            id: frame.header.channel_seq,
            cookie: root.cookie,
            ranges: ranges.map(|range| (range.begin_seq, range.n_frames)).collect(),
        });
    }
    all
}

/// The server's reply to a request.
pub(crate) fn reply(pair: &mut Pair, asked: &Asked, code: u16, root: RetxReply) {
    let bytes = reply_frame(asked, code, root);
    pair.hear(Line::Retransmit, &bytes);
}

pub(crate) fn reply_frame(asked: &Asked, code: u16, root: RetxReply) -> Vec<u8> {
    let header =
        Header { channel_seq: asked.id, ..Header::new(msg::RETX_REPLY, asked.channel, SESSION, VENUE) };
    let mut buf = FrameBuf::default();
    let frame = buf.build(&header, &RetxReply { code, ..root }, NO_RECORDS);
    wire::seal(frame, 0, None);
    frame.to_vec()
}

/// A reply with nothing in it.
pub(crate) fn empty() -> RetxReply {
    zeroed()
}

/// Steps through the receiver's deadlines until `until_ns`; gives the requests with their times.
pub(crate) fn run(pair: &mut Pair, until_ns: u64) -> Vec<(u64, Asked)> {
    let mut all = Vec::new();
    let mut steps = 0;
    loop {
        let now_ns = pair.now_ns;
        all.extend(asked(pair).into_iter().map(|asked| (now_ns, asked)));
        let Some(at_ns) = pair.receiver.deadline_ns().filter(|&at_ns| at_ns <= until_ns) else { break };
        assert!(at_ns > pair.now_ns || steps == 0, "a timer that changes nothing");
        pair.pass(at_ns.saturating_sub(pair.now_ns));
        steps += 1;
        assert!(steps < 10_000, "timers without end");
    }
    pair.now_ns = until_ns;
    all
}
