//! The channel's numbers, digest and heartbeat schedule, with time as an argument.

use outcrier_core::event::{Bbo, NOT_GIVEN};
use outcrier_core::publish::{About, Arrival, Channel, Host, Opening, Plane, Repair, SessionInfo};
use outcrier_core::wire::manifest::Signed;
use outcrier_core::wire::{self, Message, NO_RECORDS, flags, msg};

const MS: u64 = 1_000_000;

#[derive(Default)]
struct Bench {
    now_ns: u64,
    clock_error_ns: u32,
    sent: Vec<(u64, Plane, Vec<u8>)>,
    repair: Repair,
    manifest: Option<Signed>,
}

impl Host for Bench {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.sent.push((self.now_ns, plane, frame.to_vec()));
    }
    fn flush(&mut self) {}
    fn mono_ns(&self) -> u64 {
        self.now_ns
    }
    fn wall_ns(&mut self) -> i64 {
        1_700_000_000_000_000_000 + self.now_ns.cast_signed()
    }
    fn clock_error_ns(&mut self) -> u32 {
        self.clock_error_ns
    }
    fn repair(&mut self, _: u8, _: u32) -> Repair {
        self.repair
    }
    fn manifest(&mut self, _: u8, _: u32) -> Option<Signed> {
        self.manifest.take()
    }
}

impl Bench {
    fn arrival(&mut self) -> Arrival {
        Arrival { recv_ts: self.wall_ns(), mono_ns: self.now_ns }
    }

    /// Runs the channel's timer until a moment.
    fn run_until(&mut self, channel: &mut Channel, until_ns: u64) {
        while let Some(deadline) = channel.deadline_ns().filter(|&deadline| deadline <= until_ns) {
            self.now_ns = deadline.max(self.now_ns);
            channel.tick(self);
        }
        self.now_ns = until_ns;
    }

    fn times_of(&self, msg_type: u8) -> Vec<u64> {
        let is = |frame: &[u8]| wire::check(frame).unwrap().header.msg_type == msg_type;
        self.sent.iter().filter(|(_, _, frame)| is(frame)).map(|&(at, _, _)| at).collect()
    }
}

fn info() -> SessionInfo {
    SessionInfo {
        venue: 2,
        channel: 2,
        session: 90_000_001,
        publisher_id: 7,
        prev_session: 90_000_000,
        reason: 2,
        opening: Opening::default(),
        replay: true,
        test: false,
        pack: false,
        signer: None,
        build: "outcrier 0.1.0".to_owned(),
    }
}

fn started(bench: &mut Bench) -> Channel {
    let mut channel = Channel::new(info());
    let arrival = bench.arrival();
    channel.start(bench, arrival);
    channel
}

fn bbo(channel: &mut Channel, bench: &mut Bench) {
    let root = Bbo { bid_px: 1, bid_qty: 2, ask_px: 3, ask_qty: 4, bid_orders: 0, ask_orders: 0 };
    let about =
        About { instrument: 9, instr_seq: 1, source_seq: Some(44), exchange_ts: 5, ..About::channel() };
    let arrival = bench.arrival();
    channel.numbered(bench, arrival, msg::BBO, &about, &root, NO_RECORDS);
}

#[test]
fn session_start_is_number_one_and_says_who() {
    let mut bench = Bench::default();
    started(&mut bench);
    let frame = wire::check(&bench.sent[0].2).unwrap();
    let header = frame.header;
    assert_eq!((header.channel_seq, header.session, header.venue, header.channel), (1, 90_000_001, 2, 2));
    assert!(header.has(flags::REPLAY | flags::NO_EXCH_TS | flags::NO_SRC_SEQ));
    let Message::SessionStart(start) = frame.message() else { panic!("not SESSION_START") };
    assert_eq!((start.publisher_id, start.prev_session, start.reason), (7, 90_000_000, 2));
    assert_eq!(wire::text_of(&start.build), "outcrier 0.1.0");
}

#[test]
fn heartbeats_decay_after_the_last_numbered_frame_and_go_on_every_100_ms() {
    let mut bench = Bench { now_ns: 1_000 * MS, ..Bench::default() };
    let mut channel = started(&mut bench);
    bench.run_until(&mut channel, 1_400 * MS);
    let times: Vec<u64> = bench.times_of(msg::HEARTBEAT).iter().map(|at| at / MS - 1_000).collect();
    assert_eq!(times, [0, 1, 4, 16, 64, 164, 264, 364]);
}

#[test]
fn a_heartbeat_leaves_every_100_ms_under_traffic_that_never_pauses() {
    let mut bench = Bench { now_ns: 1_000 * MS, ..Bench::default() };
    let mut channel = started(&mut bench);
    for step in 0..2_000_u64 {
        bench.run_until(&mut channel, 1_000 * MS + step * MS / 4);
        bbo(&mut channel, &mut bench);
    }
    let times = bench.times_of(msg::HEARTBEAT);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100 * MS), "{times:?}");
    assert_eq!(times.len(), 5);
}

#[test]
fn heartbeat_carries_the_next_number_and_the_digest_of_all_before() {
    let mut bench = Bench { now_ns: 5, ..Bench::default() };
    let mut channel = started(&mut bench);
    bbo(&mut channel, &mut bench);
    bbo(&mut channel, &mut bench);
    let mut chain = wire::digest::chain64_start(90_000_001);
    for (number, (_, _, bytes)) in (1..).zip(&bench.sent) {
        chain = wire::digest::chain64(chain, number, wire::check(bytes).unwrap().header.crc32c);
    }
    bench.run_until(&mut channel, 200 * MS);
    let (_, _, bytes) = bench.sent.last().unwrap();
    let frame = wire::check(bytes).unwrap();
    let Message::Heartbeat(beat, _) = frame.message() else { panic!("not HEARTBEAT") };
    let header = frame.header;
    assert_eq!((header.channel_seq, header.instrument, header.instr_seq), (4, 0, 0));
    assert_eq!({ header.exchange_ts }, { header.recv_ts });
    assert!(!header.has(flags::NO_EXCH_TS) && !header.has(flags::NO_SRC_SEQ) && header.has(flags::REPLAY));
    assert_eq!((beat.chain64, beat.publisher_id, beat.max_silence_us), (chain, 7, 100_000));
}

#[test]
fn planes_have_numbers_of_their_own() {
    let mut bench = Bench::default();
    let mut channel = started(&mut bench);
    bbo(&mut channel, &mut bench);
    let arrival = bench.arrival();
    let root = wire::CycleEnd { n_instruments: 3, ..wire::zeroed() };
    channel.snapshot(&mut bench, arrival, msg::CYCLE_END, &About::channel(), &root, NO_RECORDS);
    bbo(&mut channel, &mut bench);
    let numbers: Vec<(u8, u64)> = bench
        .sent
        .iter()
        .map(|(_, _, bytes)| wire::check(bytes).unwrap().header)
        .map(|header| (header.channel, header.channel_seq))
        .collect();
    assert_eq!(numbers, [(2, 1), (2, 2), (0x82, 1), (2, 3)]);
    assert_eq!(bench.sent[2].1, Plane::Snapshot);
}

#[test]
fn a_missing_exchange_time_is_a_flagged_copy() {
    let mut bench = Bench::default();
    let mut channel = started(&mut bench);
    let arrival = bench.arrival();
    let about = About { exchange_ts: NOT_GIVEN, ..About::channel() };
    channel.numbered(&mut bench, arrival, msg::CONN, &about, &wire::zeroed::<wire::Conn>(), NO_RECORDS);
    let header = wire::check(&bench.sent[1].2).unwrap().header;
    assert!(header.has(flags::NO_EXCH_TS));
    assert_eq!({ header.exchange_ts }, arrival.recv_ts);
}

#[test]
fn proc_ns_is_the_time_from_arrival_to_sealing_and_saturates() {
    let mut bench = Bench { now_ns: 1_000, ..Bench::default() };
    let mut channel = started(&mut bench);
    let arrival = bench.arrival();
    bench.now_ns = 3_500;
    channel.numbered(
        &mut bench,
        arrival,
        msg::CONN,
        &About::channel(),
        &wire::zeroed::<wire::Conn>(),
        NO_RECORDS,
    );
    bench.now_ns = 10_000_000_000;
    channel.numbered(
        &mut bench,
        arrival,
        msg::CONN,
        &About::channel(),
        &wire::zeroed::<wire::Conn>(),
        NO_RECORDS,
    );
    let proc: Vec<u32> =
        bench.sent[1..].iter().map(|sent| wire::check(&sent.2).unwrap().header.proc_ns).collect();
    assert_eq!(proc, [2_500, u32::MAX]);
}

#[test]
fn a_clock_error_above_1_ms_is_flagged_and_an_unknown_one_is_not() {
    for (error, flagged) in [(999_999, false), (1_000_001, true), (u32::MAX, false)] {
        let mut bench = Bench { clock_error_ns: error, ..Bench::default() };
        started(&mut bench);
        assert_eq!(wire::check(&bench.sent[0].2).unwrap().header.has(flags::CLOCK_BAD), flagged, "{error}");
    }
}

#[test]
fn session_end_is_repeated_every_100_ms_for_5_s_and_then_nothing() {
    let mut bench = Bench { now_ns: 1_000 * MS, ..Bench::default() };
    let mut channel = started(&mut bench);
    bbo(&mut channel, &mut bench);
    channel.end(&mut bench, 0, 0);
    bench.run_until(&mut channel, 20_000 * MS);
    let ends = bench.times_of(msg::SESSION_END);
    assert_eq!(ends.len(), 51);
    assert_eq!(ends[50] - ends[0], 5_000 * MS);
    assert_eq!(channel.deadline_ns(), None);
    let frame = wire::check(&bench.sent.last().unwrap().2).unwrap();
    let Message::SessionEnd(end) = frame.message() else { panic!("not SESSION_END") };
    assert_eq!((end.last_seq, { frame.header.channel_seq }), (2, 3));
}

#[test]
fn session_start_names_the_session_before_and_the_instruments_that_follow() {
    let mut bench = Bench::default();
    let opening = Opening::of(4_711, &[1_002, 1_001]);
    let mut channel = Channel::new(SessionInfo { opening, ..info() });
    let arrival = bench.arrival();
    channel.start(&mut bench, arrival);
    let frame = wire::check(&bench.sent[0].2).unwrap();
    let Message::SessionStart(start) = frame.message() else { panic!("not SESSION_START") };
    assert_eq!((start.prev_last_seq, start.n_instruments), (4_711, 2));
    assert_eq!(start.registry_crc, wire::digest::registry_crc([(1_001, 1), (1_002, 1)]));
    assert_eq!(Opening::of(0, &[]), Opening::default());
}

#[test]
fn session_end_names_the_session_that_follows() {
    let mut bench = Bench { now_ns: 1_000 * MS, ..Bench::default() };
    let mut channel = started(&mut bench);
    channel.end(&mut bench, 4, 90_000_002);
    channel.end(&mut bench, 1, 5);
    bench.run_until(&mut channel, 1_500 * MS);
    for (_, _, bytes) in &bench.sent[1..] {
        let Message::SessionEnd(end) = wire::check(bytes).unwrap().message() else {
            panic!("not SESSION_END")
        };
        assert_eq!((end.reason, end.next_session), (4, 90_000_002));
    }
    assert_eq!(bench.sent.len(), 1 + 6);
}

#[test]
fn heartbeats_tell_where_lost_frames_can_be_asked_for() {
    let mut bench = Bench { now_ns: 1_000 * MS, ..Bench::default() };
    let mut channel = started(&mut bench);
    bench.repair = Repair { ipv4: 0x7F00_0001, udp_port: 9_011, tcp_port: 9_021, oldest_seq: None };
    bench.run_until(&mut channel, 1_001 * MS);
    bench.repair.oldest_seq = Some(1);
    bench.run_until(&mut channel, 1_004 * MS);
    let beats: Vec<wire::Heartbeat> = bench.sent[1..]
        .iter()
        .map(|(_, _, bytes)| match wire::check(bytes).unwrap().message() {
            Message::Heartbeat(beat, _) => beat,
            other => panic!("{other:?}"),
        })
        .collect();
    let told = |beat: &wire::Heartbeat| (beat.retx_ipv4, beat.retx_udp_port, beat.replay_tcp_port);
    assert!(beats.len() >= 2 && beats.iter().all(|beat| told(beat) == (0x7F00_0001, 9_011, 9_021)));
    assert_eq!(beats[0].oldest_retx_seq, 2, "nothing is kept: the next number");
    assert_eq!(beats.last().unwrap().oldest_retx_seq, 1);
}

#[test]
fn a_manifest_leaves_at_once_in_a_heartbeat_of_its_own_number() {
    let mut bench = Bench { now_ns: 1_000 * MS, ..Bench::default() };
    let mut channel = started(&mut bench);
    for _ in 0..5 {
        bbo(&mut channel, &mut bench);
    }
    bench.run_until(&mut channel, 1_000 * MS);
    bench.sent.clear();
    bench.manifest = Some(Signed { next: 4, chain64: 99, signature: [5; 64] });
    channel.tick(&mut bench);
    channel.tick(&mut bench);
    assert_eq!(bench.sent.len(), 1, "once");
    let frame = wire::check(&bench.sent[0].2).unwrap();
    let Message::Heartbeat(beat, records) = frame.message() else { panic!("not HEARTBEAT") };
    assert_eq!(({ frame.header.channel_seq }, beat.chain64), (4, 99));
    assert_eq!(records.map(|record| record.signature).collect::<Vec<_>>(), [[5; 64]]);
    assert_eq!((channel.counters().manifests, channel.last_seq(&mut bench)), (1, 6));
}
