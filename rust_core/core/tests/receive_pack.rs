//! A PACK at the receiver: each message is treated as if it had come alone, the frame has one number.

mod receive_support;

use outcrier_core::event::Level;
use outcrier_core::receive::rows::EventRow;
use outcrier_core::receive::{Collector, Config, Line, Receiver, Reported, WINDOW_DEFAULT_NS, Wanted};
use outcrier_core::wire::{self, HEADER_BYTES, flags, msg, status};
use receive_support::{Load, Log, Publisher, SESSION, Told, VENUE, definition, load};

const ID: u32 = 11;
const OTHER: u32 = 12;
const MS: u64 = 1_000_000;

fn started(packs: bool) -> Publisher {
    let mut publisher = Publisher::new(SESSION, 1).packing(packs);
    publisher.start(0);
    publisher.define(ID, definition("BTC/USDT", 1));
    publisher.define(OTHER, definition("ETH/USDT", 1));
    publisher
}

fn level(publisher: &mut Publisher, id: u32, price: i64) {
    publisher.delta(id, &[Level { price, qty: 1 }], &[], 7, 3);
}

fn hear(receiver: &mut Receiver, frame: &[u8], log: &mut Log) {
    receiver.on_datagram(Line::A, frame, 0, MS, log);
}

fn counter(receiver: &Receiver, name: &str) -> u64 {
    receiver.counters().into_iter().find(|&(known, _)| known == name).unwrap().1
}

/// A receiver that heard both definitions, LIVE, and the publisher, which packs from here on.
fn live(config: Config) -> (Receiver, Publisher, Log) {
    let (mut receiver, mut publisher, mut log) = (Receiver::new(config), started(false), Log::default());
    publisher.cycle();
    for (line, frame) in publisher.take() {
        receiver.on_datagram(line, &frame, 0, MS, &mut log);
    }
    log.take();
    (receiver, publisher.packing(true), log)
}

fn frame(msg_type: u8, instrument: u32, instr_seq: u32) -> Told {
    Told::Frame { msg_type, instrument, instr_seq, state: Reported::Live, unsure: false, recovered: false }
}

fn states(receiver: &Receiver) -> (Reported, Reported) {
    (receiver.book(VENUE, ID).unwrap().reported(), receiver.book(VENUE, OTHER).unwrap().reported())
}

fn is_equal(receiver: &Receiver, publisher: &Publisher) -> bool {
    [ID, OTHER]
        .iter()
        .all(|id| receiver.book(VENUE, *id).unwrap().book.hash() == publisher.instruments[id].book.hash())
}

/// Everything that a real session makes of a receiver: rows without the channel's own numbers, and all records.
fn rows(packs: bool, loads: &[Load]) -> (Vec<EventRow>, Vec<Vec<u8>>, u64) {
    let mut receiver = Receiver::new(Config::default());
    let mut collector = Collector::new(None, 1_000_000);
    let mut publisher = started(packs);
    for (at, load) in loads.iter().enumerate() {
        publisher.load([ID, OTHER][at % 2], load, 3);
        if at % 10 == 0 {
            publisher.bbo(ID);
            publisher.status(OTHER, status::state::HALTED, 0);
            publisher.deriv(ID, 5);
        }
        if at % 7 == 0 {
            for (line, frame) in publisher.take() {
                receiver.on_datagram(line, &frame, 9, MS, &mut collector);
            }
        }
    }
    for (line, frame) in publisher.take() {
        receiver.on_datagram(line, &frame, 9, MS, &mut collector);
    }
    assert!(is_equal(&receiver, &publisher));
    let batch = collector.take();
    let rows = batch.events.iter().map(|row| EventRow { channel_seq: 0, ..row }).collect();
    let records = batch.into_arrays().into_iter().skip(1).map(|(_, bytes)| bytes).collect();
    (rows, records, counter(&receiver, "packs"))
}

#[test]
fn rows_are_those_of_messages_that_came_alone() {
    let Some(loads) = load("binance/spot_ethusdt_2024-08-08.jsonl.gz", 400) else { return };
    let (alone, alone_records, packs) = rows(false, &loads);
    assert_eq!(packs, 0);
    let (packed, packed_records, packs) = rows(true, &loads);
    assert!(packs > 50, "{packs}");
    assert!(alone.len() > 500);
    assert_eq!(alone, packed);
    assert!(alone_records == packed_records, "records differ");
}

#[test]
fn a_pack_takes_one_channel_number_and_each_message_its_own() {
    let (mut receiver, mut publisher, mut log) = live(Config::default());
    level(&mut publisher, ID, 100);
    level(&mut publisher, OTHER, 200);
    level(&mut publisher, ID, 101);
    let before = receiver.channels().next().unwrap();
    let pack = publisher.one();
    hear(&mut receiver, &pack, &mut log);
    let delta = msg::BOOK_DELTA;
    assert_eq!(log.take(), [frame(delta, ID, 2), frame(delta, OTHER, 2), frame(delta, ID, 3)]);
    let after = receiver.channels().next().unwrap();
    assert_eq!((after.high, after.frames), (before.high + 1, before.frames + 1));
    assert_eq!(after.bytes, before.bytes + pack.len() as u64);
    assert_eq!((counter(&receiver, "packs"), counter(&receiver, "packed_messages")), (1, 3));
    assert!(is_equal(&receiver, &publisher));
    // A copy is dropped whole; another frame under its number is an alarm.
    hear(&mut receiver, &pack, &mut log);
    assert_eq!((counter(&receiver, "duplicates"), log.take()), (1, vec![]));
    publisher.heartbeat();
    let heartbeat = publisher.one();
    hear(&mut receiver, &heartbeat, &mut log);
    assert_eq!(counter(&receiver, "chain_mismatch"), 0);
    let mut other = pack;
    wire::seal(&mut other, 1, None);
    hear(&mut receiver, &other, &mut log);
    assert_eq!(counter(&receiver, "different_bytes"), 1);
}

#[test]
fn a_lost_pack_is_one_hole_and_every_instrument_in_it_heals_by_it() {
    let (mut receiver, mut publisher, mut log) = live(Config::default());
    level(&mut publisher, ID, 100);
    level(&mut publisher, OTHER, 200);
    level(&mut publisher, OTHER, 201);
    let lost = publisher.one();
    level(&mut publisher, ID, 102);
    level(&mut publisher, ID, 103);
    let next = publisher.one();
    hear(&mut receiver, &next, &mut log);
    assert_eq!(
        states(&receiver),
        (Reported::Stale, Reported::Live),
        "nothing says that OTHER lacks something"
    );
    assert_eq!((counter(&receiver, "missing"), counter(&receiver, "held")), (1, 2));
    receiver.on_timer(MS + WINDOW_DEFAULT_NS, &mut log);
    assert_eq!(states(&receiver), (Reported::Stale, Reported::Unsure));
    assert_eq!(counter(&receiver, "given_up"), 1);
    log.take();
    hear(&mut receiver, &lost, &mut log);
    assert!(is_equal(&receiver, &publisher));
    assert_eq!(
        receiver.book(VENUE, ID).unwrap().reported(),
        Reported::Live,
        "its last number is behind the hole"
    );
    let held = |instr_seq: u32, state: Reported| Told::Frame {
        msg_type: msg::BOOK_DELTA,
        instrument: ID,
        instr_seq,
        state,
        unsure: false,
        recovered: true,
    };
    let told = log.take();
    let of_id: Vec<_> =
        told.iter().filter(|told| matches!(told, Told::Frame { instrument: ID, .. })).cloned().collect();
    assert_eq!(of_id[1..], [held(3, Reported::Stale), held(4, Reported::Live)]);
    assert!(told.contains(&Told::State { instrument: ID, to: Reported::Live, reason: 0 }));
}

#[test]
fn the_end_of_an_event_is_that_of_its_message() {
    let (mut receiver, mut publisher, mut log) = live(Config::default());
    level(&mut publisher, ID, 100);
    level(&mut publisher, OTHER, 200);
    let (before, mut pack) = (receiver.book(VENUE, ID).unwrap().book.hash(), publisher.one());
    // The first message is not the last of its event: its book waits, the other's does not.
    pack[HEADER_BYTES + 4] &= !1;
    wire::seal(&mut pack, 1, None);
    hear(&mut receiver, &pack, &mut log);
    let waiting = receiver.book(VENUE, ID).unwrap();
    assert!(waiting.is_mid_event());
    assert_eq!(waiting.book.hash(), before);
    let whole = receiver.book(VENUE, OTHER).unwrap();
    assert_eq!(whole.book.hash(), publisher.instruments[&OTHER].book.hash());
    assert!(whole.flags & flags::EVENT_END != 0);
}

#[test]
fn only_wanted_instruments_of_a_pack_are_told() {
    let symbol = Wanted::symbols([format!("ETH/USDT@{VENUE}").as_str()]).unwrap();
    let (mut receiver, mut publisher, mut log) = live(Config { wanted: symbol, ..Config::default() });
    let before = counter(&receiver, "unwanted");
    level(&mut publisher, ID, 100);
    level(&mut publisher, OTHER, 200);
    level(&mut publisher, ID, 101);
    hear(&mut receiver, &publisher.one(), &mut log);
    assert_eq!(log.take(), [frame(msg::BOOK_DELTA, OTHER, 2)]);
    assert_eq!(counter(&receiver, "unwanted"), before + 2);
}

#[test]
fn a_message_of_a_later_version_takes_its_number_and_one_without_number_takes_none() {
    let (mut receiver, mut publisher, mut log) = live(Config::default());
    for later in [0x3E, 0x90] {
        level(&mut publisher, ID, 100);
        level(&mut publisher, OTHER, 200);
        level(&mut publisher, ID, 101);
        let mut pack = publisher.one();
        pack[HEADER_BYTES + 2] = later;
        wire::seal(&mut pack, 1, None);
        hear(&mut receiver, &pack, &mut log);
        let told = log.take().into_iter().filter(|told| matches!(told, Told::Frame { .. })).count();
        assert_eq!(told, if later == 0x3E { 2 } else { 1 }, "type {later:#x}");
    }
    assert_eq!(counter(&receiver, "unknown_type"), 2);
    // The first one took its number, so that nothing was held; the second did not, so that a hole shows.
    assert_eq!(counter(&receiver, "held"), 1);
    assert_eq!(states(&receiver).0, Reported::Stale);
}

#[test]
fn messages_about_the_channel_are_told_from_a_pack_too() {
    let (mut receiver, mut publisher, mut log) = live(Config::default());
    let conn = wire::Conn { connected: 1, total: 1, ..wire::zeroed() };
    publisher.numbered(msg::CONN, 0, flags::EVENT_END, &conn, wire::NO_RECORDS);
    publisher.status(ID, status::state::STALE, status::reason::DISCONNECT);
    hear(&mut receiver, &publisher.one(), &mut log);
    let stale = Told::Frame {
        msg_type: msg::STATUS,
        instrument: ID,
        instr_seq: 2,
        state: Reported::Stale,
        unsure: false,
        recovered: false,
    };
    let becomes = Told::State { instrument: ID, to: Reported::Stale, reason: status::reason::DISCONNECT };
    assert_eq!(log.take(), [frame(msg::CONN, 0, 0), becomes, stale]);
}

#[test]
fn a_pack_of_another_venue_is_dropped_whole_and_a_malformed_one_is_a_hole() {
    let (mut receiver, mut publisher, mut log) = live(Config::default());
    level(&mut publisher, ID, 100);
    level(&mut publisher, ID, 101);
    let good = publisher.one();
    let mut malformed = good.clone();
    malformed[8] = 1;
    wire::seal(&mut malformed, 1, None);
    hear(&mut receiver, &malformed, &mut log);
    assert_eq!((counter(&receiver, "refused_pack"), counter(&receiver, "packs")), (1, 0));
    let high = receiver.channels().next().unwrap().high;
    let mut foreign = good;
    foreign[22] = VENUE.to_le_bytes()[0] + 1;
    wire::seal(&mut foreign, 1, None);
    hear(&mut receiver, &foreign, &mut log);
    assert_eq!((counter(&receiver, "wrong_venue"), log.take()), (1, vec![]));
    assert_eq!(receiver.channels().next().unwrap().high, high + 1, "its number is taken");
}

#[test]
fn an_instrument_begins_with_a_definition_in_a_pack() {
    let (mut receiver, mut publisher, mut log) =
        (Receiver::new(Config::default()), Publisher::new(SESSION, 1).packing(true), Log::default());
    publisher.start(0);
    publisher.define(ID, definition("BTC/USDT", 1));
    level(&mut publisher, ID, 100);
    publisher.define(OTHER, definition("ETH/USDT", 1));
    for (_, frame) in publisher.take() {
        hear(&mut receiver, &frame, &mut log);
    }
    assert_eq!(counter(&receiver, "packs"), 1);
    assert_eq!(states(&receiver), (Reported::Live, Reported::Live));
    assert!(is_equal(&receiver, &publisher));
}
