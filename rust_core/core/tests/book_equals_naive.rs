//! The book against the naive model, under random work that is made to hurt: jumps of the touch, prices off
//! the grid, negative and extreme prices, wrong ticks, changes of exponent.

mod naive;

use std::cmp::Ordering;

use naive::Naive;
use outcrier_core::book::{Book, Overflow};
use outcrier_core::event::{Level, Side};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Set(Side, i64, i64),
    /// Many levels from one price on: what makes a window appear and move.
    Ladder {
        side: Side,
        from: i64,
        step: i64,
        count: usize,
        qty: i64,
    },
    /// A whole book at once, after the old one or beside it, with one level more at some place.
    Whole {
        clears: bool,
        side: Side,
        from: i64,
        step: i64,
        count: usize,
        odd: (usize, i64, i64),
    },
    /// Updates of one level as often as it takes until the window is looked at again.
    Flap {
        side: Side,
        price: i64,
    },
    /// Deletes the best levels one by one: what is far becomes best, and the other way round.
    RemoveBest {
        side: Side,
        count: usize,
    },
    /// Puts the best price of one side on the other: a locked book.
    Lock(Side),
    Clear,
    SetTick(i64),
    Rescale(i64, i64),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Bid), Just(Side::Ask)]
}

fn price() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (-600i64..600).prop_map(|ticks| 1_000_000 + ticks * 10),
        3 => -40_000i64..40_000,
        2 => (0i64..40).prop_map(|jump| jump * 1_000_000),
        1 => any::<i64>(),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX), Just(i64::MAX - 4095), Just(0)],
    ]
}

fn qty() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0), 5 => 1i64..1_000, 1 => Just(i64::MAX)]
}

fn step() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1), Just(10), Just(-10), Just(7), Just(-96), Just(1 << 20), Just(i64::MAX / 512)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (side(), price(), qty()).prop_map(|(side, price, qty)| Op::Set(side, price, qty)),
        8 => (side(), price(), step(), 1usize..900, 1i64..9)
            .prop_map(|(side, from, step, count, qty)| Op::Ladder { side, from, step, count, qty }),
        4 => (any::<bool>(), side(), price(), step(), prop_oneof![0usize..4, 0usize..300], (0usize..300, price(), qty()))
            .prop_map(|(clears, side, from, step, count, odd)| Op::Whole { clears, side, from, step, count, odd }),
        4 => (side(), price()).prop_map(|(side, price)| Op::Flap { side, price }),
        12 => (side(), prop_oneof![4 => 1usize..4, 1 => 1usize..300])
            .prop_map(|(side, count)| Op::RemoveBest { side, count }),
        4 => side().prop_map(Op::Lock),
        1 => Just(Op::Clear),
        2 => prop_oneof![Just(0), Just(1), Just(10), Just(50), Just(-3), Just(i64::MAX), any::<i64>()]
            .prop_map(Op::SetTick),
        1 => prop_oneof![Just((1, 10)), Just((10, 1)), Just((100, 100)), Just((0, 1)), Just((1, i64::MAX))]
            .prop_map(|(price, qty)| Op::Rescale(price, qty)),
    ]
}

fn set_both(book: &mut Book, naive: &mut Naive, side: Side, price: i64, qty: i64) {
    assert_eq!(book.set(side, price, qty), naive.set(side, price, qty), "old quantity at {price}");
}

fn rescale_both(book: &mut Book, naive: &mut Naive, tick: &mut i64, price_factor: i64, qty_factor: i64) {
    let mut scaled = Naive::default();
    let fits = (|| {
        if price_factor < 1 || qty_factor < 1 {
            return None;
        }
        let tick = tick.checked_mul(price_factor)?;
        for side in [Side::Bid, Side::Ask] {
            for level in naive.levels(side) {
                let price = level.price.checked_mul(price_factor)?;
                scaled.set(side, price, level.qty.checked_mul(qty_factor)?);
            }
        }
        Some(tick)
    })();
    let before = book.hash();
    match fits {
        Some(finer) => {
            assert_eq!(book.rescale(price_factor, qty_factor), Ok(()));
            *tick = finer;
            *naive = scaled;
        }
        None => {
            assert_eq!(book.rescale(price_factor, qty_factor), Err(Overflow));
            assert_eq!(book.hash(), before, "a refused rescale changed the book");
        }
    }
}

fn apply(book: &mut Book, naive: &mut Naive, tick: &mut i64, op: &Op) {
    match *op {
        Op::Set(side, price, qty) => set_both(book, naive, side, price, qty),
        Op::Ladder { side, from, step, count, qty } => {
            for index in 0..count as i64 {
                let price = from.wrapping_add(step.wrapping_mul(index));
                set_both(book, naive, side, price, qty + index);
            }
        }
        Op::Whole { clears, side, from, step, count, odd: (at, price, qty) } => {
            if clears {
                book.clear();
                *naive = Naive::default();
            }
            let price_at = |index| from.wrapping_add(step.wrapping_mul(index));
            let mut levels: Vec<_> =
                (0..count as i64).map(|index| Level { price: price_at(index), qty: 1 + index }).collect();
            levels.insert(at % (count + 1), Level { price, qty });
            book.set_all(side, &levels);
            for level in levels {
                naive.set(side, level.price, level.qty);
            }
        }
        Op::Flap { side, price } => {
            for turn in 0..600 {
                set_both(book, naive, side, price, turn % 3);
            }
        }
        Op::RemoveBest { side, count } => {
            for _ in 0..count {
                let Some(best) = naive.best(side) else { break };
                set_both(book, naive, side, best.price, 0);
                assert_eq!(book.best(side), naive.best(side));
            }
        }
        Op::Lock(side) => {
            let other = if side == Side::Bid { Side::Ask } else { Side::Bid };
            if let Some(best) = naive.best(other) {
                set_both(book, naive, side, best.price, 1);
            }
        }
        Op::Clear => {
            book.clear();
            *naive = Naive::default();
        }
        Op::SetTick(other) => {
            book.set_tick(other);
            *tick = other;
        }
        Op::Rescale(price_factor, qty_factor) => rescale_both(book, naive, tick, price_factor, qty_factor),
    }
}

fn assert_equal(book: &Book, naive: &Naive) {
    for side in [Side::Bid, Side::Ask] {
        let expected = naive.levels(side);
        assert_eq!(book.levels(side).collect::<Vec<_>>(), expected);
        assert_eq!(book.best(side), expected.first().copied());
        assert_eq!(book.len(side), expected.len());
        for depth in [0, 1, 25, expected.len() + 1] {
            let top: Vec<Level> = book.top(side, depth).collect();
            assert_eq!(top, expected[..depth.min(expected.len())]);
        }
    }
    assert_eq!(book.is_empty(), naive.digest_bytes(usize::MAX).len() == 4);
    assert_eq!(book.checksum(Some(25)), crc32c::crc32c(&naive.digest_bytes(25)));
    assert_eq!(book.checksum(None), crc32c::crc32c(&naive.digest_bytes(usize::MAX)));
    assert_eq!(book.hash(), xxhash_rust::xxh3::xxh3_64(&naive.digest_bytes(usize::MAX)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_work_leaves_the_same_book(
        tick in prop_oneof![Just(0), Just(1), Just(10), Just(100), Just(-5), Just(i64::MAX)],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let (mut book, mut naive, mut tick) = (Book::new(tick), Naive::default(), tick);
        for (turn, op) in ops.iter().enumerate() {
            apply(&mut book, &mut naive, &mut tick, op);
            for side in [Side::Bid, Side::Ask] {
                prop_assert_eq!(book.best(side), naive.best(side));
            }
            let touch = naive.best(Side::Bid).zip(naive.best(Side::Ask)).map(|(bid, ask)| bid.price.cmp(&ask.price));
            prop_assert_eq!(book.is_crossed(), touch == Some(Ordering::Greater));
            prop_assert_eq!(book.is_locked(), touch == Some(Ordering::Equal));
            if turn % 8 == 0 {
                assert_equal(&book, &naive);
            }
        }
        assert_equal(&book, &naive);
    }
}

#[test]
fn checksum_and_hash_match_the_wire_format_vector() {
    let mut book = Book::new(1);
    book.set(Side::Bid, 99, 7);
    book.set(Side::Ask, 101, 3);
    book.set(Side::Bid, 100, 5);
    assert_eq!(book.checksum(None), 0x8d8b_99d4);
    assert_eq!(book.checksum(Some(25)), 0x8d8b_99d4);
    assert_ne!(book.checksum(Some(1)), 0x8d8b_99d4);
    let mut bytes = vec![2, 0, 1, 0];
    for number in [100i64, 5, 99, 7, 101, 3] {
        bytes.extend(number.to_le_bytes());
    }
    assert_eq!(crc32c::crc32c(&bytes), 0x8d8b_99d4);
    assert_eq!(book.hash(), xxhash_rust::xxh3::xxh3_64(&bytes));
}

#[test]
fn locked_is_not_crossed_and_one_side_is_neither() {
    let mut book = Book::new(1);
    book.set(Side::Bid, -3, 1);
    assert_eq!((book.is_locked(), book.is_crossed()), (false, false));
    book.set(Side::Ask, -3, 1);
    assert_eq!((book.is_locked(), book.is_crossed()), (true, false));
    book.set(Side::Bid, -2, 1);
    assert_eq!((book.is_locked(), book.is_crossed()), (false, true));
    book.set(Side::Bid, -2, 0);
    book.set(Side::Bid, -3, 0);
    assert_eq!((book.is_locked(), book.is_crossed()), (false, false));
}

#[test]
fn counts_in_the_digest_saturate() {
    let (mut book, mut naive) = (Book::new(1), Naive::default());
    for price in 0..70_000 {
        set_both(&mut book, &mut naive, Side::Bid, price, 1);
    }
    assert_equal(&book, &naive);
}

#[test]
fn a_window_follows_the_touch_and_leaves_nothing_behind() {
    let (mut book, mut naive) = (Book::new(0), Naive::default());
    for walk in 0..400i64 {
        // Up by 50 ticks of 10 a turn: 20,000 ticks in all, five windows.
        let mid = 1_000_000 + walk * 500;
        for level in 0..120 {
            set_both(&mut book, &mut naive, Side::Bid, mid - 10 - level * 10, walk + level + 1);
            set_both(&mut book, &mut naive, Side::Ask, mid + 10 + level * 10, walk + level + 1);
        }
        for stale in 0..=50 {
            set_both(&mut book, &mut naive, Side::Ask, mid - stale * 10, 0);
        }
        assert!(!book.is_crossed());
    }
    assert_equal(&book, &naive);
}

#[test]
fn a_small_book_stays_small_and_a_thousand_deep_ones_fit() {
    let mut small = Book::new(1);
    for turn in 0..100_000i64 {
        small.set(Side::Bid, 500 + turn % 20, 1 + turn % 2);
        small.set(Side::Ask, 530 + turn % 20, 1 + turn % 2);
    }
    assert!(small.memory_bytes() < 4_096, "{} bytes for 40 levels", small.memory_bytes());

    let mut deep = Book::new(1);
    for turn in 0..5_000 {
        deep.set(Side::Bid, 100_000 - turn, 1);
        deep.set(Side::Ask, 100_001 + turn, 1);
    }
    assert_eq!(deep.len(Side::Bid) + deep.len(Side::Ask), 10_000);
    // 1,000 books at full depth in 128 MB.
    assert!(deep.memory_bytes() < 128_000, "{} bytes for 10,000 levels", deep.memory_bytes());

    // The most that pages can take: every page of both windows is busy. 1,000 such books stay below 512 MB.
    for turn in 0..40 * 20_000 {
        deep.set(Side::Bid, 100_000 - turn % 20_000, turn % 2);
        deep.set(Side::Ask, 100_001 + turn % 20_000, turn % 2);
    }
    assert!(deep.memory_bytes() < 512_000, "{} bytes at worst", deep.memory_bytes());
}
