//! A live channel allocates nothing per frame: what a receiver takes from the heap while it applies real frames and
//! collects their rows is what the books alone take for their new levels.

mod counting;
mod receive_support;

use counting::ALLOCATIONS;
use outcrier_core::book::Book;
use outcrier_core::event::Side;
use outcrier_core::receive::{Collector, Config, Line, Mirror, Receiver, Reported};
use receive_support::{LEVELS_A_FRAME, Load, Publisher, SESSION, VENUE, definition, load};

/// Allocations while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const ID: u32 = 11;

/// The changes of a capture on a book of its own, in the order and with the tick of the receiver's mirror.
fn update(book: &mut Book, loads: &[Load]) {
    for load in loads {
        if let Load::Levels { bids, asks, .. } = load {
            for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
                levels.iter().for_each(|level| _ = book.set(side, level.price, level.qty));
            }
        }
    }
}

/// Sends each message, and the best quote after it.
fn frames(publisher: &mut Publisher, loads: &[Load]) -> Vec<Vec<u8>> {
    for load in loads {
        publisher.load(ID, load, 1);
        publisher.bbo(ID);
    }
    publisher.heartbeat();
    publisher.take().into_iter().map(|(_, frame)| frame).collect()
}

#[test]
fn a_live_channel_allocates_what_its_books_do() {
    let Some(mut loads) = load("binance_usdm/usdm_btcusdt_2024-08-08.jsonl.gz", 6_000) else { return };
    // A split event lists bids and asks part by part; a book of its own takes them in that order only if one side is
    // left out.
    for load in &mut loads {
        if let Load::Levels { bids, asks, .. } = load
            && bids.len() + asks.len() > LEVELS_A_FRAME
        {
            asks.clear();
        }
    }
    // What the longest event needs is kept from then on.
    let levels_of = |load: &Load| match load {
        Load::Levels { bids, asks, .. } => bids.len() + asks.len(),
        Load::Trade(_) => 0,
    };
    let longest = loads.iter().max_by_key(|load| levels_of(load)).cloned();
    loads.splice(0..0, longest);
    let is_split = |load: &Load| levels_of(load) > LEVELS_A_FRAME;
    let (warming, counted) = loads.split_at(4_000);
    assert!(counted.iter().filter(|load| is_split(load)).count() > 10);

    let mut publisher = Publisher::new(SESSION, 1);
    publisher.start(0);
    publisher.define(ID, definition("BTC/USDT", 1));
    let (mut receiver, mut collector) = (Receiver::new(Config::default()), Collector::new(None, 1_000_000));
    let mut hear = |frames: &[Vec<u8>]| {
        for frame in frames {
            receiver.on_datagram(Line::A, frame, 0, 1_000, &mut collector);
        }
        let taken = collector.rows();
        collector.take();
        taken
    };
    let mut book = Book::new(0);
    book.set_tick(1);

    let frames_before = frames(&mut publisher, warming);
    hear(&frames_before);
    update(&mut book, warming);

    let frames_counted = frames(&mut publisher, counted);
    let of_book = allocations(|| update(&mut book, counted));
    let mut rows = 0;
    // A batch takes the collector's memory along and leaves as much behind: four arrays of rows, made once.
    let of_receiver = allocations(|| rows = hear(&frames_counted)) - 4;
    assert_eq!(receiver.book(VENUE, ID).map(Mirror::reported), Some(Reported::Live));
    assert_eq!(receiver.book(VENUE, ID).unwrap().book.hash(), book.hash());
    assert!(rows > frames_counted.len() && frames_counted.len() > 4_000, "{rows} rows");
    assert_eq!(of_receiver, of_book, "of {} frames", frames_counted.len());
}
