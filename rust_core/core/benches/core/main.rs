//! What the core costs without Python around it: level updates of real sessions, sealing a frame, and keeping it.
//!
//! Each bench prints its answer before it measures; `benchmarks/` compares it with what Python found and takes
//! the times from criterion's `estimates.json`.

mod captures;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use outcrier_core::book::Book;
use outcrier_core::event::{Level, Side};
use outcrier_core::orders::{Inference, Rule, Weights};
use outcrier_core::retransmit::{Kept, Limits, Store};
use outcrier_core::wire::{self, BookSnapshot, FrameBuf, Header, zeroed};

use captures::{SETS, Set, Source, Update};

/// Levels of the frame that is encoded: 66 bytes of header, 32 of root, 18 levels of 16 make 386.
const FRAME_LEVELS: usize = 18;

fn set(books: &mut [Book], update: Update) {
    books[update.book].set(update.side, update.level.price, update.level.qty);
}

fn apply(books: &mut [Book], set_of: &Set) -> i64 {
    let mut sum = 0;
    for message in &set_of.messages {
        for &update in message {
            set(books, update);
        }
        // Whoever keeps a book looks at its touch after each message.
        let book = &books[message[0].book];
        sum ^= book.best(Side::Bid).map_or(0, |level| level.price);
        sum ^= book.best(Side::Ask).map_or(0, |level| level.price);
    }
    sum
}

/// Between two messages of a set: what the venues batch their changes by.
const MESSAGE_NS: i64 = 100_000_000;

/// The levels of each message as a feed gives them to inference: bids, then asks.
type Told = Vec<[Vec<Level>; 2]>;

fn told(read: &Set) -> Told {
    let of = |message: &[Update], side| {
        let updates = message.iter().filter(|update| update.side == side);
        updates.map(|update| update.level).collect()
    };
    read.messages.iter().map(|message| [Side::Bid, Side::Ask].map(|side| of(message, side))).collect()
}

/// The books with the orders that are inferred from them.
struct Inferred {
    books: Vec<Book>,
    orders: Vec<Inference>,
}

/// As [`apply`], with orders.
fn infer(Inferred { books, orders }: &mut Inferred, set_of: &Set, told: &Told) -> (i64, usize) {
    let (mut sum, mut ops, mut now_ns) = (0, 0, 0);
    for (message, [bids, asks]) in set_of.messages.iter().zip(told) {
        now_ns += MESSAGE_NS;
        for &update in message {
            set(books, update);
        }
        let inference = &mut orders[message[0].book];
        inference.levels(bids, asks, now_ns);
        inference.end_event(now_ns);
        ops += inference.take_ops(|ops| black_box(ops).len());
        let book = &books[message[0].book];
        sum ^= book.best(Side::Bid).map_or(0, |level| level.price);
        sum ^= book.best(Side::Ask).map_or(0, |level| level.price);
    }
    (sum, ops)
}

#[expect(clippy::print_stdout, reason = "the answer is what the caller reads")]
fn say(bench: &str, answer: u32) {
    println!("answer {bench} {answer:08x}");
}

/// A level of books alone, and of books with the orders inferred from them.
fn levels(criterion: &mut Criterion) {
    let Some(folder) = captures::folder() else {
        say("levels: no captures, set OUTCRIER_DATA", 0);
        return;
    };
    // A capture takes longer to read than to measure, so only those are read that the command line names, or all.
    let named: Vec<String> = std::env::args().filter(|argument| argument.contains('/')).collect();
    let is_asked = |source: &&Source| named.is_empty() || named.iter().any(|name| name.contains(source.name));
    for source in SETS.iter().filter(is_asked) {
        let read = captures::read(&folder, source);
        level_update(criterion, source, &read);
        order_inference(criterion, source, &read);
    }
}

fn fresh_books(read: &Set) -> Vec<Book> {
    let mut fresh: Vec<Book> = read.ticks.iter().map(|&tick| Book::new(tick)).collect();
    assert_eq!(fresh.len(), read.books);
    for &update in &read.snapshot {
        set(&mut fresh, update);
    }
    fresh
}

fn level_update(criterion: &mut Criterion, source: &Source, read: &Set) {
    let fresh = fresh_books(read);
    let mut books = fresh.clone();
    apply(&mut books, read);
    let sides = |book: &Book| [Side::Bid, Side::Ask].map(|side| book.levels(side).collect());
    say(&format!("level_update/{}", source.name), captures::answer(books.iter().map(sides)));
    let mut group = criterion.benchmark_group("level_update");
    group.throughput(Throughput::Elements(read.updates() as u64));
    group.bench_function(source.name, |bencher| {
        bencher.iter_batched_ref(|| fresh.clone(), |books| apply(books, read), BatchSize::LargeInput);
    });
    group.finish();
}

fn order_inference(criterion: &mut Criterion, source: &Source, read: &Set) {
    let books = fresh_books(read);
    let begun = |book: &Book| {
        let mut inference = Inference::new(Rule::Likeliest, Weights::default());
        let of = |side| book.levels(side).map(move |level| (side, level));
        inference.begin(of(Side::Bid).chain(of(Side::Ask)), 0);
        inference.take_ops(|_| ());
        inference
    };
    // Begun anew and not cloned, which would lose the memory that is taken ahead.
    let fresh = || Inferred { books: books.clone(), orders: books.iter().map(begun).collect() };
    let mut inferred = fresh();
    let told = told(read);
    infer(&mut inferred, read, &told);
    let sides = |of: &Inference| [Side::Bid, Side::Ask].map(|side| of.queues().levels(side).collect());
    // The levels as sums of orders: the same answer as of the books.
    say(&format!("order_inference/{}", source.name), captures::answer(inferred.orders.iter().map(sides)));
    let mut group = criterion.benchmark_group("order_inference");
    group.throughput(Throughput::Elements(read.updates() as u64));
    group.bench_function(source.name, |bencher| {
        bencher.iter_batched_ref(fresh, |inferred| infer(inferred, read, &told), BatchSize::LargeInput);
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut header: Header = zeroed();
    header.magic = wire::MAGIC;
    header.version = wire::VERSION;
    header.msg_type = wire::msg::BOOK_SNAPSHOT;
    header.channel = 3;
    header.session = 1;
    header.instrument = 7;
    let root = BookSnapshot { frag_count: 1, n_bids: 9, ..zeroed() };
    let levels: [Level; FRAME_LEVELS] =
        std::array::from_fn(|place| Level { price: 123_456_789_012 + place as i64, qty: 5 });
    let mut frame = FrameBuf::default();
    let mut seal = |number: u64, header: &mut Header| {
        header.channel_seq = number;
        header.instr_seq = number as u32;
        header.exchange_ts = number as i64;
        header.recv_ts = number as i64;
        wire::seal(frame.build(header, &root, black_box(&levels)), 1, None)
    };
    say("encode/386", seal(1, &mut header));
    let mut number = 0;
    criterion.benchmark_group("encode").throughput(Throughput::Elements(1)).bench_function(
        "386",
        |bencher| {
            bencher.iter(|| {
                number += 1;
                seal(black_box(number), &mut header)
            });
        },
    );
}

/// What the send path pays for a frame that can be asked for again: the store is full, so that each push gives one up.
fn keep(criterion: &mut Criterion) {
    let limits = Limits { frames: 1 << 18, ..Limits::default() };
    let mut store = Store::new(limits);
    let mut frame = FrameBuf::default();
    let header = Header::new(wire::msg::BOOK_SNAPSHOT, 3, 1, 0);
    let levels: [Level; FRAME_LEVELS] = zeroed();
    let root = BookSnapshot { frag_count: 1, n_bids: 9, ..zeroed() };
    let mut push = |number: u64| {
        // The number is all that differs; nobody checks a CRC here.
        let frame = frame.build(&Header { channel_seq: number, ..header }, black_box(&root), &levels);
        store.push(black_box(frame), number)
    };
    let mut number = 0;
    while number < 2 * limits.frames as u64 {
        number += 1;
        assert_eq!(push(number), Kept::Kept);
    }
    say("keep/386", 1);
    criterion.benchmark_group("keep").throughput(Throughput::Elements(1)).bench_function("386", |bencher| {
        bencher.iter(|| {
            number += 1;
            push(number)
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    levels(&mut criterion);
    encode(&mut criterion);
    keep(&mut criterion);
    criterion.final_summary();
}
