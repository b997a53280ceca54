//! One connection with a real peer, in virtual time.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use outcrier_core::publish::Arrival;
use outcrier_core::retransmit::{Limits, ServerConfig, Store, Streams, Then};
use outcrier_core::wire::{
    self, FrameBuf, Header, NO_RECORDS, RetxRange, RetxRequest, SessionEnd, SessionStart, msg, zeroed,
};

use super::*;

/// A frame of some length with a number; what is in it does not matter here.
fn frame(channel_seq: u64) -> Vec<u8> {
    let mut buf = FrameBuf::default();
    let header = Header { channel_seq, ..Header::new(msg::SESSION_START, 1, 1, 0) };
    let root = SessionStart { start_ts: channel_seq as i64, ..zeroed() };
    wire::seal(buf.build(&header, &root, NO_RECORDS), 0, None);
    buf.frame().to_vec()
}

fn replay_from(begin_seq: u64, n_frames: u32, store: &Store) -> Replay {
    let mut buf = FrameBuf::default();
    let header = Header::new(msg::RETX_REQUEST, 1, 1, 0);
    let range = RetxRange { begin_seq, n_frames, reserved: 0 };
    wire::seal(buf.build(&header, &zeroed::<RetxRequest>(), &[range]), 0, None);
    let config = ServerConfig { secret: [0; 16], line_bytes_per_s: 1 << 30, keys: None };
    let at = Arrival { recv_ts: 0, mono_ns: 0 };
    match Streams::new(&config, 0).on_unit(Ipv4Addr::LOCALHOST, buf.frame(), at, store, None).1 {
        Then::Replay(replay) => replay,
        other => panic!("{other:?}"),
    }
}

struct Bench {
    connection: Connection,
    peer: TcpStream,
    store: Store,
    counters: ConnectionCounters,
}

impl Bench {
    fn open(frames: u64, kept: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let stream = listener.accept().unwrap().0;
        let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        let mut store = Store::new(Limits { frames: kept, ..Limits::default() });
        (1..=frames).for_each(|seq| {
            store.push(&frame(seq), 0);
        });
        let connection = Connection::new(stream, at, 0).unwrap();
        Self { connection, peer, store, counters: ConnectionCounters::default() }
    }

    /// One turn of the loop.
    fn turn(&mut self, now_ns: u64) -> Option<End> {
        let pulled = self.connection.pull(&self.store, None, &mut self.counters, now_ns);
        match self.connection.flush(&mut self.counters, now_ns) {
            Ok(_) => pulled.or_else(|| self.connection.tick(&mut self.counters, now_ns)),
            Err(end) => Some(end),
        }
    }

    fn unit(&mut self) -> Vec<u8> {
        let mut len = [0; 2];
        self.peer.read_exact(&mut len).unwrap();
        let mut unit = vec![0; usize::from(u16::from_le_bytes(len))];
        self.peer.read_exact(&mut unit).unwrap();
        unit
    }
}

#[test]
fn a_peer_that_does_not_read_is_dropped_and_takes_little_until_then() {
    let mut bench = Bench::open(100_000, 1 << 20);
    bench.connection.start_replay(replay_from(1, 0, &bench.store), 0);
    let mut turns = 0;
    // Until its buffers are full; nothing is read.
    while turns < 10_000 && bench.counters.bytes < 100_000 * 132 {
        assert_eq!(bench.turn(1), None);
        turns += 1;
    }
    assert!(bench.counters.bytes < 100_000 * 132, "the kernel takes no 13 MB");
    assert!(bench.connection.out.capacity() < 4 * OUT_BYTES);
    assert_eq!(bench.turn(STALLED_NS), None);
    assert_eq!(bench.turn(STALLED_NS + 1), Some(End::Slow));
    bench.connection.hold_back(STALLED_NS + 1);
    assert_eq!(bench.turn(2 * STALLED_NS), None, "the line's budget is not the peer's fault");
}

#[test]
fn a_peer_that_reads_slower_than_frames_are_given_up_is_dropped() {
    let mut bench = Bench::open(1_000, 1_000);
    bench.connection.start_replay(replay_from(1, 0, &bench.store), 0);
    assert_eq!(bench.turn(1), None);
    let sent = bench.counters.frames;
    assert!((1..1_000).contains(&sent), "{sent}: as much as may wait");
    (1_001..=3_000).for_each(|seq| {
        bench.store.push(&frame(seq), 0);
    });
    assert_eq!(bench.turn(2), Some(End::FellBehind));
    for seq in 1..=sent {
        assert_eq!(bench.unit(), frame(seq), "what was sent is whole");
    }
}

#[test]
fn a_replay_that_is_through_leaves_room_for_another_request() {
    let mut bench = Bench::open(20, 100);
    bench.connection.start_replay(replay_from(3, 2, &bench.store), 0);
    assert_eq!(bench.connection.is_caught_up(), Some(false));
    assert_eq!(bench.turn(1), None);
    assert!(bench.connection.is_listening());
    bench.connection.start_replay(replay_from(20, 0, &bench.store), 2);
    assert_eq!(bench.turn(2), None);
    assert_eq!(bench.connection.is_caught_up(), Some(true));
    for seq in [3, 4, 20] {
        assert_eq!(bench.unit(), frame(seq));
    }
    let next = {
        let header = Header { channel_seq: 1, ..Header::new(msg::SESSION_START, 1, 2, 0) };
        let mut buf = FrameBuf::default();
        wire::seal(buf.build(&header, &zeroed::<SessionStart>(), NO_RECORDS), 0, None);
        buf.frame().to_vec()
    };
    bench.store.push(&next, 0);
    assert_eq!(bench.turn(3), Some(End::Done), "another session: the one followed is over");
}

#[test]
fn keep_alives_leave_each_second_and_idle_peers_are_dropped() {
    let mut bench = Bench::open(5, 100);
    bench.connection.start_replay(replay_from(6, 0, &bench.store), 0);
    for tenth in 1..=100 {
        assert_eq!(bench.turn(tenth * KEEP_ALIVE_NS / 10), None);
    }
    assert_eq!((bench.counters.keep_alives, bench.counters.bytes), (9, 18), "and the tenth is next");
    assert!((0..9).all(|_| bench.unit().is_empty()));
    bench.connection.listen_on(0);
    assert_eq!(bench.connection.tick(&mut bench.counters, IDLE_NS - 1), None);
    bench.connection.out.clear();
    bench.connection.gone = 0;
    assert_eq!(bench.connection.tick(&mut bench.counters, IDLE_NS), Some(End::Idle));
    bench.connection.await_image(1, 0);
    assert_eq!(bench.connection.tick(&mut bench.counters, IMAGE_WAIT_NS), Some(End::WithoutImage));
    bench.connection.end(End::Refused, 0);
    assert_eq!(bench.connection.tick(&mut bench.counters, 0), Some(End::Refused));
}

#[test]
fn units_come_byte_by_byte_and_keep_alives_are_passed_over() {
    let mut bench = Bench::open(1, 100);
    let header = Header::new(msg::SESSION_END, 1, 1, 0);
    let mut buf = FrameBuf::default();
    wire::seal(buf.build(&header, &zeroed::<SessionEnd>(), NO_RECORDS), 0, None);
    let unit = buf.frame().to_vec();
    let bytes = [&[0, 0][..], &(unit.len() as u16).to_le_bytes(), &unit].concat();
    for (at, byte) in bytes.iter().enumerate() {
        bench.peer.write_all(&[*byte]).unwrap();
        // What was written is there: the peer is on this host, and one byte is awaited.
        bench.connection.stream.set_nonblocking(false).unwrap();
        bench.connection.stream.peek(&mut [0]).unwrap();
        bench.connection.stream.set_nonblocking(true).unwrap();
        match bench.connection.hear() {
            Heard::Unit(len) => {
                assert_eq!((at + 1, bench.connection.unit(len)), (bytes.len(), &unit[..]));
            }
            Heard::Nothing => assert!(at + 1 < bytes.len()),
            Heard::End(end) => panic!("{end:?}"),
        }
    }
    bench.peer.write_all(&1_401_u16.to_le_bytes()).unwrap();
    bench.connection.stream.set_nonblocking(false).unwrap();
    assert!(matches!(bench.connection.hear(), Heard::End(End::Refused)));
    drop(bench.peer);
    bench.connection.filled = 0;
    assert!(matches!(bench.connection.hear(), Heard::End(End::Done)));
}
