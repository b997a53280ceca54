//! Which messages of a channel share a PACK, when it leaves, and that numbers, digest and heartbeats stay right.

use outcrier_core::event::{Bbo, Level, Trade};
use outcrier_core::publish::{About, Arrival, Channel, Host, Opening, Plane, SessionInfo};
use outcrier_core::wire::{
    self, BookDelta, Frame, Message, NO_RECORDS, NO_ROOT, PACKED_PAYLOAD_MAX, Status, flags, msg,
};

const MS: u64 = 1_000_000;
const RECV_TS: i64 = 1_700_000_000_000_000_000;

#[derive(Default)]
struct Bench {
    now_ns: u64,
    clock_error_ns: u32,
    sent: Vec<(Plane, Vec<u8>)>,
}

impl Host for Bench {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.sent.push((plane, frame.to_vec()));
    }
    fn flush(&mut self) {}
    fn mono_ns(&self) -> u64 {
        self.now_ns
    }
    fn wall_ns(&mut self) -> i64 {
        RECV_TS + self.now_ns.cast_signed()
    }
    fn clock_error_ns(&mut self) -> u32 {
        self.clock_error_ns
    }
}

/// A channel and the numbers of one instrument.
struct Said {
    bench: Bench,
    channel: Channel,
    instr_seq: u32,
}

impl Said {
    /// SESSION_START has left.
    fn new(pack: bool) -> Self {
        let info = SessionInfo {
            venue: 2,
            channel: 2,
            session: 90_000_001,
            publisher_id: 7,
            prev_session: 0,
            reason: 1,
            opening: Opening::default(),
            replay: true,
            test: false,
            pack,
            signer: None,
            build: "test".to_owned(),
        };
        let mut said = Self {
            bench: Bench { now_ns: MS, ..Bench::default() },
            channel: Channel::new(info),
            instr_seq: 0,
        };
        let arrival = said.arrival();
        said.channel.start(&mut said.bench, arrival);
        said
    }

    fn arrival(&mut self) -> Arrival {
        Arrival { recv_ts: self.bench.wall_ns(), mono_ns: self.bench.now_ns }
    }

    fn about(&mut self) -> About {
        self.instr_seq += 1;
        About {
            instrument: 9,
            instr_seq: self.instr_seq,
            source_seq: Some(44),
            exchange_ts: RECV_TS,
            flags: flags::EVENT_END,
            ..About::channel()
        }
    }

    fn bbo(&mut self) {
        let root = Bbo { bid_px: 1, bid_qty: 2, ask_px: 3, ask_qty: 4, bid_orders: 0, ask_orders: 0 };
        let (arrival, about) = (self.arrival(), self.about());
        self.channel.numbered(&mut self.bench, arrival, msg::BBO, &about, &root, NO_RECORDS);
    }

    fn trade(&mut self) {
        let (arrival, about) = (self.arrival(), self.about());
        let trade = Trade { price: 5, qty: 6, trade_id: 7, n_fills: 1, ..Trade::default() };
        self.channel.numbered(&mut self.bench, arrival, msg::TRADE, &about, &NO_ROOT, &[trade]);
    }

    fn delta(&mut self, levels: usize) {
        let (arrival, about) = (self.arrival(), self.about());
        let levels = vec![Level { price: 1, qty: 2 }; levels];
        let root = BookDelta { checksum_kind: 0, ..wire::zeroed() };
        self.channel.numbered(&mut self.bench, arrival, msg::BOOK_DELTA, &about, &root, &levels);
    }

    fn status(&mut self) {
        let (arrival, about) = (self.arrival(), self.about());
        self.channel.numbered(
            &mut self.bench,
            arrival,
            msg::STATUS,
            &about,
            &wire::zeroed::<Status>(),
            NO_RECORDS,
        );
    }

    fn whole_book(&mut self) {
        let (arrival, about) = (self.arrival(), self.about());
        let root = wire::zeroed::<wire::BookSnapshot>();
        self.channel.numbered(&mut self.bench, arrival, msg::BOOK_SNAPSHOT, &about, &root, NO_RECORDS);
    }

    fn flush(&mut self) {
        self.channel.flush(&mut self.bench);
    }

    fn frames(&self) -> Vec<Frame<'_>> {
        self.bench.sent[1..].iter().map(|(_, bytes)| wire::check(bytes).unwrap()).collect()
    }

    /// Types of the frames after SESSION_START, of a PACK those of its messages.
    fn types(&self) -> Vec<Vec<u8>> {
        let types = |frame: &Frame<'_>| match frame.message() {
            Message::Pack(messages) => messages.map(|message| message.header.msg_type).collect(),
            _ => vec![frame.header.msg_type],
        };
        self.frames().iter().map(types).collect()
    }

    /// Numbers of the instrument in the order of the wire.
    fn instr_seqs(&self) -> Vec<u32> {
        let of = |frame: &Frame<'_>| match frame.message() {
            Message::Pack(messages) => messages.map(|message| message.header.instr_seq).collect(),
            _ => vec![frame.header.instr_seq],
        };
        self.frames().iter().flat_map(of).collect()
    }

    fn channel_seqs(&self) -> Vec<u64> {
        self.frames().iter().map(|frame| frame.header.channel_seq).collect()
    }
}

#[test]
fn messages_share_a_pack_until_it_is_flushed() {
    let mut said = Said::new(true);
    said.bbo();
    said.trade();
    assert_eq!(said.bench.sent.len(), 1, "they wait for what the read still makes");
    said.flush();
    said.bbo();
    said.flush();
    said.flush();
    assert_eq!(said.types(), [vec![msg::BBO, msg::TRADE], vec![msg::BBO]]);
    assert_eq!((said.channel_seqs(), said.instr_seqs()), (vec![2, 3], vec![1, 2, 3]));
    let counters = said.channel.counters();
    assert_eq!((counters.frames, counters.packs, counters.packed_messages), (3, 1, 2));
    let bytes: usize = said.bench.sent.iter().map(|(_, frame)| frame.len()).sum();
    assert_eq!(counters.bytes, bytes as u64);
}

#[test]
fn without_packing_every_message_leaves_at_once() {
    let mut said = Said::new(false);
    said.bbo();
    said.trade();
    assert_eq!(said.types(), [[msg::BBO], [msg::TRADE]]);
    assert_eq!(said.channel.counters().packs, 0);
}

#[test]
fn a_message_alone_is_the_same_frame_with_and_without_packing() {
    let [alone, packed] = [false, true].map(|pack| {
        let mut said = Said::new(pack);
        said.trade();
        said.flush();
        said.bench.sent
    });
    assert_eq!(alone, packed);
}

#[test]
fn what_no_pack_takes_closes_it_and_the_order_is_that_of_making() {
    let mut said = Said::new(true);
    said.bbo();
    said.bbo();
    said.whole_book();
    said.trade();
    said.delta(81);
    said.delta(1);
    said.trade();
    said.flush();
    let (delta, book) = (msg::BOOK_DELTA, msg::BOOK_SNAPSHOT);
    assert_eq!(
        said.types(),
        [vec![msg::BBO; 2], vec![book], vec![msg::TRADE], vec![delta], vec![delta, msg::TRADE]]
    );
    assert_eq!(said.instr_seqs(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(said.channel_seqs(), [2, 3, 4, 5, 6]);
}

#[test]
fn a_full_pack_leaves_and_the_next_one_begins() {
    let mut said = Said::new(true);
    (0..40).for_each(|_| said.bbo());
    said.flush();
    let counts: Vec<usize> = said.types().iter().map(Vec::len).collect();
    assert_eq!(counts, [18, 18, 4], "18 x 72 bytes fit 1,334");
    assert_eq!(said.instr_seqs(), (1..=40).collect::<Vec<_>>());
    assert!(said.bench.sent.iter().all(|(_, frame)| frame.len() <= wire::FRAME_BYTES_MAX));
}

#[test]
fn times_that_do_not_fit_begin_another_pack() {
    let mut said = Said::new(true);
    said.bbo();
    said.bbo();
    said.bench.now_ns += 66 * MS;
    said.bbo();
    said.bbo();
    said.flush();
    assert_eq!(said.types(), [[msg::BBO; 2], [msg::BBO; 2]]);
    let recv: Vec<i64> = said.frames().iter().map(|frame| frame.header.recv_ts - RECV_TS).collect();
    assert_eq!(recv, [1_000_000, 67_000_000]);
}

#[test]
fn proc_ns_is_the_time_from_the_first_arrival_to_the_close() {
    let mut said = Said::new(true);
    said.bbo();
    said.bench.now_ns += 5_000;
    said.bbo();
    said.bench.now_ns += 2_000;
    said.flush();
    let frames = said.frames();
    let Message::Pack(messages) = frames[0].message() else { panic!("not a PACK") };
    assert_eq!({ frames[0].header.proc_ns }, 7_000);
    let each: Vec<_> =
        messages.map(|message| (message.header.recv_ts - RECV_TS, message.header.proc_ns)).collect();
    assert_eq!(each, [(1_000_000, 7_000), (1_005_000, 2_000)]);
}

#[test]
fn everything_that_tells_a_number_lets_the_pack_leave_first() {
    let mut said = Said::new(true);
    said.bbo();
    said.bbo();
    assert_eq!(said.channel.last_seq(&mut said.bench), 2);
    assert_eq!(said.types(), [[msg::BBO; 2]]);

    // A heartbeat: the next number, and the digest of what has left.
    said.trade();
    said.trade();
    said.bench.now_ns += 200 * MS;
    said.channel.tick(&mut said.bench);
    assert_eq!(said.types()[1..], [vec![msg::TRADE; 2], vec![msg::HEARTBEAT]]);
    let mut chain = wire::digest::chain64_start(90_000_001);
    for (number, (_, bytes)) in (1..).zip(&said.bench.sent[..3]) {
        chain = wire::digest::chain64(chain, number, wire::check(bytes).unwrap().header.crc32c);
    }
    let frames = said.frames();
    let Message::Heartbeat(beat, _) = frames[2].message() else { panic!("not HEARTBEAT") };
    assert_eq!(({ frames[2].header.channel_seq }, beat.chain64), (4, chain));

    // A frame of the other plane.
    said.bbo();
    said.bbo();
    let (arrival, root) = (said.arrival(), wire::zeroed::<wire::CycleEnd>());
    said.channel.snapshot(&mut said.bench, arrival, msg::CYCLE_END, &About::channel(), &root, NO_RECORDS);
    let planes: Vec<Plane> = said.bench.sent.iter().skip(4).map(|sent| sent.0).collect();
    assert_eq!(planes, [Plane::Incremental, Plane::Snapshot]);

    // SESSION_END: its last number is a promise.
    said.bbo();
    said.bbo();
    said.channel.end(&mut said.bench, 0, 0);
    let frames = said.frames();
    let Some(Message::SessionEnd(end)) = frames.last().map(Frame::message) else { panic!("not SESSION_END") };
    assert_eq!((end.last_seq, said.types()[said.types().len() - 2].len()), (5, 2));
}

#[test]
fn heartbeats_are_timed_from_the_close() {
    let mut said = Said::new(true);
    said.bench.now_ns = 1_000 * MS;
    said.channel.tick(&mut said.bench);
    said.bbo();
    said.bbo();
    said.bench.now_ns += MS / 2;
    said.flush();
    assert_eq!(said.channel.deadline_ns(), Some(1_001 * MS + MS / 2));
}

#[test]
fn a_clock_that_goes_bad_begins_another_pack() {
    let mut said = Said::new(true);
    said.bbo();
    said.bbo();
    said.bench.clock_error_ns = 2_000_000;
    said.channel.tick(&mut said.bench);
    said.bbo();
    said.bbo();
    said.flush();
    let flagged: Vec<bool> = said
        .frames()
        .iter()
        .filter(|frame| frame.header.msg_type == msg::PACK)
        .map(|frame| frame.header.has(flags::CLOCK_BAD))
        .collect();
    assert_eq!(flagged, [false, true]);
}

#[test]
fn what_is_said_together_shares_packs_whatever_its_size() {
    let mut said = Said::new(false);
    said.channel.begin_together();
    (0..31).for_each(|_| said.status());
    let longest = (PACKED_PAYLOAD_MAX - 24) / 16;
    said.delta(longest + 1);
    said.channel.end_together(&mut said.bench);
    said.status();
    said.status();
    let counts: Vec<usize> = said.types().iter().map(Vec::len).collect();
    assert_eq!(counts, [15, 15, 1, 1, 1, 1]);
    assert_eq!(said.instr_seqs(), (1..=34).collect::<Vec<_>>());
}
