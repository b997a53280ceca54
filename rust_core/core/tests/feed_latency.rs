//! From the read of a socket until what it made has left, in virtual time.

mod shape_support;

use outcrier_core::event::NOT_GIVEN;
use outcrier_core::feed::Feed;
use outcrier_core::publish::{Arrival, Host, Opening, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef};
use shape_support::shapes;

/// A host whose clock stands until it is told, but for the time that a flush takes.
struct Slow {
    now_ns: u64,
    flush_ns: u64,
}

impl Host for Slow {
    fn send(&mut self, _: Plane, _: &[u8]) {}

    fn flush(&mut self) {
        self.now_ns += self.flush_ns;
    }

    fn mono_ns(&self) -> u64 {
        self.now_ns
    }

    fn wall_ns(&mut self) -> i64 {
        self.now_ns.cast_signed()
    }

    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

fn session(pack: bool) -> (Feed, Slow) {
    let info = SessionInfo {
        venue: 1,
        channel: 1,
        session: 1,
        publisher_id: 1,
        prev_session: 0,
        reason: 1,
        opening: Opening::default(),
        replay: false,
        test: true,
        pack,
        signer: None,
        build: String::new(),
    };
    let mut host = Slow { now_ns: 1_000_000, flush_ns: 0 };
    let arrival = Arrival { recv_ts: 1, mono_ns: 1 };
    let decoder = Decoder::compile(&shapes("binance_spot.json")).unwrap();
    let mut feed = Feed::start(info, decoder, &mut host, arrival).unwrap();
    let def = InstrumentDef { def_version: 1, strike: NOT_GIVEN, expiry_ts: NOT_GIVEN, ..wire::zeroed() };
    feed.add_instrument(1, "AB", &def, true, &mut host, arrival).unwrap();
    feed.flush(&mut host);
    (feed, host)
}

const QUOTE: &[u8] = br#"{"u":1,"s":"AB","b":"1","B":"2","a":"2","A":"1"}"#;
const DIFF: &[u8] = br#"{"e":"depthUpdate","E":1,"s":"AB","U":1,"u":2,"b":[["1","1"]],"a":[]}"#;

#[test]
fn messages_that_made_frames_count_from_their_read_to_the_end_of_the_flush() {
    for pack in [false, true] {
        let (mut feed, mut host) = session(pack);
        assert_eq!(feed.latency().count(), 0, "definitions are no messages of the exchange");
        let read = Arrival { recv_ts: 1, mono_ns: host.now_ns };
        for frame in [QUOTE, QUOTE, DIFF, b"{}", QUOTE] {
            host.now_ns += 1_000;
            feed.on_frame(1, frame, &mut host, read);
        }
        assert_eq!(feed.latency().count(), 0, "nothing has left");
        host.flush_ns = 15_000;
        feed.flush(&mut host);
        feed.flush(&mut host);
        // The diff is held and the object is nobody's.
        assert_eq!((feed.latency().count(), feed.latency().sum_ns()), (3, 3 * 20_000));
        let second = Arrival { recv_ts: 1, mono_ns: host.now_ns };
        feed.on_frame(1, QUOTE, &mut host, second);
        host.now_ns += 5_000_000_000;
        feed.flush(&mut host);
        let cumulative: Vec<(u64, u64)> = feed.latency().cumulative().collect();
        assert_eq!(cumulative.len(), 21);
        assert_eq!((cumulative[0], cumulative[20]), ((1 << 10, 0), (1 << 30, 3)));
        let of = |bound: u64| cumulative.iter().find(|(upper, _)| *upper == bound).unwrap().1;
        assert_eq!((of(1 << 14), of(1 << 15)), (0, 3), "20,000 ns lie between 16,384 and 32,768");
        let buckets: Vec<(u64, u64, u64)> = feed.latency().buckets().collect();
        assert_eq!(buckets.iter().map(|(_, _, count)| count).sum::<u64>(), 4);
        assert!(buckets[0].0 <= 20_000 && 20_000 < buckets[0].1 && buckets[0].2 == 3);
        assert!(buckets[1].0 <= 5_000_015_000 && 5_000_015_000 < buckets[1].1);
    }
}

#[test]
fn messages_of_two_reads_that_leave_together_count_from_the_first() {
    let (mut feed, mut host) = session(false);
    for mono_ns in [1_000_000, 1_400_000] {
        feed.on_frame(1, QUOTE, &mut host, Arrival { recv_ts: 1, mono_ns });
    }
    host.now_ns = 1_500_000;
    feed.flush(&mut host);
    assert_eq!((feed.latency().count(), feed.latency().sum_ns()), (2, 1_000_000));
}
