//! Every Binance capture through real sockets, each frame alone and with its read, packed and not: the same bytes, the
//! same books.

#[path = "../../../core/tests/shape_support/mod.rs"]
mod shape_support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use outcrier_core::feed::Feed;
use outcrier_core::publish::{self, Arrival, Host, Opening, SessionInfo};
use outcrier_core::receive::{Config, Delivered, Line, Lost, Receiver, Sink, StateChange};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef, text_field};
use outcrier_net::{Added, Batch, Plane, Sent, UdpPublisher, UdpSubscriber};
use serde_json::Value;
use shape_support::{captures, lines};

use crate::common::{drain, draw, line_a};

/// Declaration, files of one session behind each other, books that are live at its end.
const SESSIONS: [(&str, &[&str], usize); 10] = [
    ("binance_spot", &["binance/spot_2021-10-12"], 4),
    ("binance_spot", &["binance/spot_btcusdt_2024-08-08"], 1),
    ("binance_spot", &["binance/spot_ethusdt_2024-08-08"], 1),
    ("binance_spot", &["binance/spot_nexousdt_2024-07-23", "binance/spot_nexousdt_2024-07-24"], 1),
    ("binance_spot", &["binance_us/spot_2021-10-12"], 4),
    ("binance_spot", &["binance_tr/spot_2023-04-10"], 3),
    ("binance_usdm", &["binance_usdm/usdm_2021-07-22"], 4),
    ("binance_usdm", &["binance_usdm/usdm_btcusdt_2022-08-11"], 1),
    ("binance_usdm", &["binance_usdm/usdm_btcusdt_2024-08-08"], 1),
    ("binance_coinm", &["binance_coinm/coinm_2021-07-22", "binance_coinm/coinm_btcusd_perp_2024-08-08"], 11),
];

/// Messages of a made-up read on average: their frames fit the least receive buffer ten times.
const READ_MESSAGES: u64 = 23;

/// A way out: publisher and listeners to its planes.
struct Way {
    publisher: UdpPublisher,
    heard: [UdpSubscriber; 2],
}

impl Way {
    fn open() -> Way {
        let to = draw();
        let snapshot = outcrier_net::SubscriberConfig { group: to.group_snapshot, ..line_a(&to) };
        let heard = [line_a(&to), snapshot].map(|config| UdpSubscriber::open(&config).unwrap());
        Way { publisher: UdpPublisher::open(&to).unwrap(), heard }
    }

    /// What came since the last call, by plane.
    fn drain(&mut self) -> [Vec<Vec<u8>>; 2] {
        self.heard.each_mut().map(drain)
    }
}

/// Sends each frame both ways and keeps it.
struct Both {
    alone: Way,
    together: Way,
    batch: Batch,
    sent: [Vec<Vec<u8>>; 2],
    now_ns: u64,
}

impl Host for Both {
    fn send(&mut self, plane: publish::Plane, frame: &[u8]) {
        let plane = match plane {
            publish::Plane::Incremental => Plane::Incremental,
            publish::Plane::Snapshot => Plane::Snapshot,
        };
        self.sent[plane as usize].push(frame.to_vec());
        assert_eq!(self.alone.publisher.send(plane, frame), Sent::Sent);
        let publisher = &self.together.publisher;
        assert_eq!(self.batch.add(plane, frame, |full| publisher.send_batch(full)), Added::Kept);
    }

    fn flush(&mut self) {
        let publisher = &self.together.publisher;
        self.batch.leave(|rest| publisher.send_batch(rest));
    }

    fn mono_ns(&self) -> u64 {
        self.now_ns
    }

    fn wall_ns(&mut self) -> i64 {
        1_700_000_000_000_000_000 + self.now_ns as i64
    }

    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

struct Nobody;

impl Sink for Nobody {
    fn deliver(&mut self, _: &Delivered<'_>) {}
    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, lost: &Lost) {
        panic!("{lost:?}");
    }
}

/// A consumer behind the segments, and the counts of what it compared.
struct Consumer {
    receiver: Receiver,
    padded: usize,
    datagrams: usize,
}

impl Consumer {
    /// Holds what came to what was sent, byte by byte, and hands the padded datagrams on.
    fn hear(&mut self, host: &mut Both) {
        let (alone, together) = (host.alone.drain(), host.together.drain());
        for (plane, line) in [Line::A, Line::Snapshot].into_iter().enumerate() {
            let sent = std::mem::take(&mut host.sent[plane]);
            assert_eq!(alone[plane], sent);
            assert_eq!(together[plane].len(), sent.len());
            for (datagram, frame) in together[plane].iter().zip(&sent) {
                let len = 66 + usize::from(u16::from_le_bytes([datagram[6], datagram[7]]));
                assert_eq!(&datagram[..len], frame, "cut at its own length");
                assert!(datagram[len..].iter().all(|&byte| byte == 0));
                self.padded += usize::from(datagram.len() > len);
                self.datagrams += 1;
                self.receiver.on_datagram(line, datagram, 0, host.now_ns, &mut Nobody);
            }
        }
    }

    /// Number of live books, each equal to the publisher's.
    fn live(&self, feed: &Feed, symbols: &HashMap<String, u32>) -> usize {
        let equal = symbols.values().filter(|&&index| {
            let mirror = self.receiver.book(1, index + 1).unwrap();
            let live = mirror.reported().as_str() == "LIVE";
            let book = feed.book(index).unwrap();
            assert_eq!(live, !book.is_empty());
            assert_eq!((mirror.book.len_of_both(), mirror.book.hash()), (book.len_of_both(), book.hash()));
            live
        });
        equal.count()
    }
}

trait Lengths {
    fn len_of_both(&self) -> (usize, usize);
}

impl Lengths for outcrier_core::book::Book {
    fn len_of_both(&self) -> (usize, usize) {
        use outcrier_core::event::Side;
        (self.len(Side::Bid), self.len(Side::Ask))
    }
}

/// The symbol of a message: named in it, in the URL of a REST answer, or that of the file.
fn symbol_of(message: &[u8], url: &str, file: &str) -> String {
    let message: Value = serde_json::from_slice(message).unwrap();
    let data = message.get("data").unwrap_or(&message);
    let named = data.get("s").or_else(|| data.get("symbol")).or_else(|| data.get("ps"));
    let in_url = url.split("symbol=").nth(1).and_then(|rest| rest.split('&').next());
    match (named.and_then(Value::as_str), in_url) {
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        // usdm_btcusdt_2024-08-08: after the product, before the date.
        (None, None) => file.split_once('_').unwrap().1.rsplit_once('_').unwrap().0.to_uppercase(),
    }
}

fn definition(symbol: &str) -> InstrumentDef {
    InstrumentDef {
        def_version: 1,
        kind: 1,
        status: 1,
        contract_size: 1,
        qty_unit: 1,
        book_proof: 1,
        native_symbol: text_field(symbol),
        symbol: text_field(symbol),
        ..wire::zeroed()
    }
}

fn session(folder: &Path, declaration: &str, files: &[&str], live: usize, pack: bool) {
    let shapes = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/shapes");
    let shapes = std::fs::read_to_string(shapes.join(format!("{declaration}.json"))).unwrap();
    let mut host = Both {
        alone: Way::open(),
        together: Way::open(),
        batch: Batch::new(),
        sent: [Vec::new(), Vec::new()],
        now_ns: 1,
    };
    let mut consumer = Consumer { receiver: Receiver::new(Config::default()), padded: 0, datagrams: 0 };
    let info = SessionInfo {
        venue: 1,
        channel: 1,
        session: 1,
        publisher_id: 1,
        prev_session: 0,
        reason: 1,
        opening: Opening::default(),
        replay: false,
        test: false,
        pack,
        signer: None,
        build: String::new(),
    };
    let at = |host: &Both| Arrival { recv_ts: host.now_ns as i64, mono_ns: host.now_ns };
    let arrival = at(&host);
    let mut feed = Feed::start(info, Decoder::compile(&shapes).unwrap(), &mut host, arrival).unwrap();
    let mut symbols = HashMap::new();
    let mut read = Read(1);
    for (file, line) in files.iter().flat_map(|file| {
        lines(&folder.join(format!("{file}.jsonl.gz"))).into_iter().map(move |line| (file, line))
    }) {
        host.now_ns += 1_000;
        let arrival = at(&host);
        let is_book = line.kind == "http" && line.message.windows(12).any(|part| part == b"lastUpdateId");
        if !is_book && line.kind != "recv" {
            continue;
        }
        let symbol = symbol_of(&line.message, &line.url, file.rsplit('/').next().unwrap());
        let index = *symbols.entry(symbol).or_insert_with_key(|symbol| {
            let id = feed_len(&feed) + 1;
            feed.add_instrument(id, symbol, &definition(symbol), true, &mut host, arrival).unwrap()
        });
        if is_book {
            feed.on_snapshot(index, &line.message, &mut host, arrival);
        } else {
            feed.on_frame(1, &line.message, &mut host, arrival);
        }
        feed.take_notices();
        if is_book || read.ends() {
            feed.flush(&mut host);
            consumer.hear(&mut host);
        }
    }
    // The snapshot plane too: heartbeat and groups in one call, of two planes.
    host.now_ns += 2_000_000_000;
    feed.tick(&mut host);
    feed.flush(&mut host);
    consumer.hear(&mut host);
    let (counters, channel) = feed.counters();
    assert_eq!((counters.gaps, counters.faults), (0, 0), "{files:?}");
    assert_eq!(consumer.live(&feed, &symbols), live, "{files:?}");
    let sums = host.together.publisher.counters();
    assert_eq!(sums.frames, channel.frames + channel.snapshot_frames + channel.heartbeats);
    assert_eq!(consumer.datagrams as u64, sums.frames);
    assert_eq!((sums.bytes, sums.segment_refused), (host.alone.publisher.counters().bytes, 0));
    assert!(sums.sends * 2 < sums.frames && sums.padding_bytes <= sums.bytes, "{sums:?}");
    assert!(consumer.padded > 0);
    assert_eq!(channel.packs > 0, pack);
}

fn feed_len(feed: &Feed) -> u32 {
    (0..).find(|&index| feed.definition(index).is_none()).unwrap()
}

/// Where reads end: a fixed sequence of numbers.
struct Read(u64);

impl Read {
    fn ends(&mut self) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).is_multiple_of(READ_MESSAGES)
    }
}

#[test]
fn the_books_of_every_binance_capture_are_the_same_alone_and_together() {
    let Some(folder) = captures() else { return };
    for (declaration, files, live) in SESSIONS {
        session(&folder, declaration, files, live, false);
    }
}

#[test]
fn the_books_of_every_binance_capture_are_the_same_packed() {
    let Some(folder) = captures() else { return };
    for (declaration, files, live) in SESSIONS {
        session(&folder, declaration, files, live, true);
    }
}
