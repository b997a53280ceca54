//! Inferred orders: whatever levels and trades come, a level is its quantity, and the changes that are told make the same book.

use std::collections::HashMap;

use outcrier_core::event::{Level, ORDER_INFERRED, Side, order_op};
use outcrier_core::orders::{Inference, ORDERS_MAX, OrderBook, Rule, Weights};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Input {
    Trade(Side, i64, i64, i64),
    Best(Side, i64, i64, i64),
    Levels(Vec<(Side, i64, i64)>, i64),
    Whole(Vec<(Side, i64, i64)>),
    Finer,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Bid), Just(Side::Ask)]
}

fn levels() -> impl Strategy<Value = Vec<(Side, i64, i64)>> {
    prop::collection::vec((side(), 1_i64..6, prop_oneof![9 => Just(0), 40 => 1_i64..40, 1 => Just(-1)]), 1..5)
}

/// A message as most venues send it: no price twice, each side in order, more than are taken together at a time.
fn many() -> impl Strategy<Value = Vec<(Side, i64, i64)>> {
    let level = (side(), 1_i64..200, prop_oneof![Just(0), 1_i64..9]);
    prop::collection::vec(level, 0..300).prop_map(|mut levels| {
        levels.sort_by_key(|&(side, price, _)| (side as u8, price));
        levels.dedup_by_key(|&mut (side, price, _)| (side, price));
        levels
    })
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => (side(), 1_i64..6, 1_i64..20, -300..300_i64)
            .prop_map(|(side, price, qty, ms)| Input::Trade(side, price, qty, ms)),
        4 => (side(), 1_i64..6, 1_i64..40, -100..300_i64)
            .prop_map(|(side, price, qty, ms)| Input::Best(side, price, qty, ms)),
        8 => (levels(), 0..200_i64).prop_map(|(levels, ms)| Input::Levels(levels, ms)),
        2 => (many(), 0..200_i64).prop_map(|(levels, ms)| Input::Levels(levels, ms)),
        1 => levels().prop_map(Input::Whole),
        1 => Just(Input::Finer),
    ]
}

/// Takes what is told into a copy, and holds it to the inferred orders.
fn follow(inference: &mut Inference, copy: &mut OrderBook, ts: i64) {
    inference.take_ops(|ops| {
        for op in ops {
            assert_ne!(op.op_flags & ORDER_INFERRED, 0);
            copy.apply(op, ts).unwrap();
            assert!(op.op != order_op::CLEAR || copy.queues().is_empty());
        }
    });
    let told = copy.snapshot().map(|order| (order.order_id, order.price, order.qty));
    let known = inference.queues().snapshot().map(|order| (order.order_id, order.price, order.qty));
    assert!(told.eq(known), "the changes make the orders");
    assert_eq!(copy.checksum(), inference.queues().checksum());
}

fn of_side(levels: &[(Side, i64, i64)], side: Side, scale: i64) -> Vec<Level> {
    let levels = levels.iter().filter(|(of, ..)| *of == side);
    levels.map(|&(_, price, qty)| Level { price: price * scale, qty: qty * scale }).collect()
}

/// All but their numbers, which are given in the order in which changes were made.
fn without_numbers(inference: &Inference) -> Vec<(i64, i64, i64, u16)> {
    let of = |side| inference.queues().orders(side);
    let orders = of(Side::Bid).chain(of(Side::Ask));
    orders.map(|order| (order.price, order.qty, order.ts, order.flags)).collect()
}

proptest! {
    /// Also: levels that are changed together are what they are one by one.
    #[test]
    fn a_level_is_its_quantity_and_the_changes_make_the_orders(
        inputs in prop::collection::vec(input(), 1..60), rule in 0..Rule::ALL.len(),
    ) {
        let mut inference = Inference::new(Rule::ALL[rule], Weights::default());
        let mut singly = inference.clone();
        let place = [&mut inference, &mut singly].map(|each| each.watch_back(Side::Bid, 3).unwrap());
        let (mut copy, mut truth) = (OrderBook::new(1), HashMap::<(Side, i64), i64>::new());
        let (mut now, mut scale, mut refused) = (1_000_000_000_000_i64, 1_i64, 0);
        for (number, input) in inputs.into_iter().enumerate() {
            match input {
                Input::Trade(side, price, qty, ms) => {
                    let ts = now + ms * 1_000_000;
                    for each in [&mut inference, &mut singly] {
                        each.trade((side, price * scale), qty * scale, number as u64, ts, now);
                    }
                }
                Input::Best(side, price, qty, ms) => {
                    for each in [&mut inference, &mut singly] {
                        each.best((side, price * scale), qty * scale, now + ms * 1_000_000);
                    }
                }
                Input::Levels(levels, ms) => {
                    now += ms * 1_000_000;
                    let [bids, asks] = [Side::Bid, Side::Ask].map(|side| of_side(&levels, side, scale));
                    inference.levels(&bids, &asks, now);
                    for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
                        for Level { price, qty } in levels {
                            if qty < 0 {
                                refused += 1;
                            } else {
                                truth.insert((side, price), qty);
                            }
                            singly.level((side, price), qty, now);
                        }
                    }
                    inference.end_event(now);
                    singly.end_event(now);
                }
                Input::Whole(levels) => {
                    let whole: HashMap<_, _> =
                        levels.into_iter().filter(|(_, _, qty)| *qty > 0).map(|(side, price, qty)| ((side, price * scale), qty * scale)).collect();
                    for each in [&mut inference, &mut singly] {
                        each.begin(whole.iter().map(|(&(side, price), &qty)| (side, Level { price, qty })), now);
                    }
                    prop_assert_eq!(inference.queues().len(), whole.len());
                    prop_assert!(inference.queues().snapshot().all(|order| order.order_flags == ORDER_INFERRED));
                    truth = whole;
                }
                // Whoever copied it hears all orders anew.
                Input::Finer if scale < 1_000 => {
                    follow(&mut inference, &mut copy, now);
                    scale *= 10;
                    inference = inference.rescaled(10, 10).unwrap();
                    singly = singly.rescaled(10, 10).unwrap();
                    copy = copy.rescaled(1, 10, 10).unwrap();
                    truth = truth.into_iter().map(|((side, price), qty)| ((side, price * 10), qty * 10)).collect();
                }
                Input::Finer => {}
            }
            follow(&mut inference, &mut copy, now);
            for (&(side, price), &qty) in &truth {
                prop_assert_eq!(inference.queues().level(side, price).0, qty, "level {:?} {}", side, price);
            }
            prop_assert!(!inference.is_off());
            prop_assert_eq!(without_numbers(&inference), without_numbers(&singly));
            prop_assert_eq!(inference.watched(place[0]), singly.watched(place[1]));
            prop_assert_eq!(inference.counters(), singly.counters());
        }
        prop_assert_eq!(inference.counters().refused, refused);
    }
}

#[test]
fn a_book_that_is_full_says_so_and_begins_anew() {
    let mut inference = Inference::new(Rule::NewestFirst, Weights::default());
    let level = |price| (Side::Bid, Level { price, qty: 1 });
    inference.begin((1..=ORDERS_MAX as i64).map(level), 0);
    assert!(!inference.is_off());
    inference.level((Side::Bid, 7), 3, 1);
    assert!(inference.is_off(), "the level is 1 and should be 3");
    assert_eq!(inference.take_counters().refused, 1);
    inference.begin((1..=3).map(level), 2);
    assert!(!inference.is_off());
    inference.level((Side::Bid, 2), 3, 3);
    assert_eq!((inference.queues().level(Side::Bid, 2), inference.queues().len()), ((3, 2), 4));
    assert_eq!(inference.counters().refused, 0);
}

/// What waits for the message of its level is at finer exponents, too: a trade, a best price, and what was taken for cancelled.
#[test]
fn what_waits_is_at_finer_exponents_too() {
    let finer = |inference: &mut Inference| {
        inference.take_ops(|_| ());
        *inference = inference.rescaled(10, 100).unwrap();
    };
    let last = |inference: &mut Inference| inference.take_ops(|ops| *ops.last().unwrap());
    let begun = || {
        let mut inference = Inference::new(Rule::NewestFirst, Weights::default());
        inference.level((Side::Bid, 10), 5, 1);
        inference.end_event(1);
        inference.level((Side::Bid, 10), 8, 2);
        inference.end_event(2);
        inference
    };
    let mut inference = begun();
    inference.trade((Side::Bid, 10), 2, 77, 3, 3);
    finer(&mut inference);
    inference.level((Side::Bid, 100), 600, 4);
    let op = last(&mut inference);
    assert_eq!((op.op, op.price, op.qty, op.ref_id), (order_op::EXECUTE, 100, 200, 77));

    let mut inference = begun();
    inference.best((Side::Bid, 10), 3, 3);
    finer(&mut inference);
    inference.level((Side::Bid, 100), 800, 4);
    let op = last(&mut inference);
    assert_eq!((op.op, op.price, op.qty), (order_op::ADD, 100, 500));

    let mut inference = begun();
    inference.level((Side::Bid, 10), 7, 4);
    inference.end_event(4);
    finer(&mut inference);
    inference.trade((Side::Bid, 100), 100, 78, 4, 5);
    assert_eq!(inference.counters().late, 1);
    let first = inference.take_ops(|ops| ops[0]);
    assert_eq!((first.op, first.order_id, first.qty, first.ref_id), (order_op::EXECUTE, 1, 100, 78));
}

/// Behind the last level of a whole book, or of the best so many, nobody knows what stood there before it was told of.
#[test]
fn a_level_that_was_never_told_has_an_order_that_nobody_is_sure_of() {
    let mut inference = Inference::new(Rule::NewestFirst, Weights::default());
    let whole = [(Side::Bid, 10), (Side::Bid, 8), (Side::Ask, 12), (Side::Ask, 15)];
    inference.begin(whole.into_iter().map(|(side, price)| (side, Level { price, qty: 4 })), 0);
    inference.take_ops(|_| ());
    let confidences = |inference: &mut Inference, levels: &[(Side, i64)]| {
        for &level in levels {
            inference.level(level, 6, 1);
        }
        inference.end_event(1);
        inference.take_ops(|ops| ops.iter().map(|op| op.op_flags >> 8).collect::<Vec<_>>())
    };
    let levels =
        [(Side::Bid, 9), (Side::Bid, 7), (Side::Ask, 11), (Side::Ask, 16), (Side::Bid, 8), (Side::Bid, 7)];
    assert_eq!(confidences(&mut inference, &levels), [255, 0, 255, 0, 255], "8 was told, 7 is what it was");
    inference.set_edges([Some(9), None]);
    assert_eq!(confidences(&mut inference, &[(Side::Bid, 6), (Side::Ask, 99)]), [0, 255]);
}

/// Which of a level's orders left is a guess only while others stay.
#[test]
fn a_level_that_goes_takes_each_of_its_orders_for_sure() {
    let level = (Side::Ask, 12);
    for rule in Rule::ALL {
        let mut inference = Inference::new(rule, Weights::default());
        for (ts, qty) in [(1, 5), (2, 9), (3, 12)] {
            inference.level(level, qty, ts);
        }
        inference.take_ops(|_| ());
        inference.level(level, 0, 4);
        inference.take_ops(|ops| {
            let told: Vec<_> =
                ops.iter().map(|op| (op.op, op.order_id, op.price, op.qty, op.op_flags >> 8)).collect();
            let gone = |id, qty| (order_op::DELETE, id, 12, qty, 255);
            assert_eq!(told, [gone(1, 5), gone(2, 4), gone(3, 3)], "{rule:?}");
        });
        assert!(inference.queues().is_empty());
        let memory = inference.queues().memory_bytes();
        for ts in 5..500 {
            inference.level(level, ts % 4 * 3, ts);
        }
        assert_eq!(inference.queues().memory_bytes(), memory, "the places of those that went are used again");
    }
}

/// As many trades wait as venues have levels between two messages: each is found when its level changes.
#[test]
fn each_of_many_trades_that_wait_is_found_by_its_level() {
    let mut inference = Inference::new(Rule::NewestFirst, Weights::default());
    for price in 0..300 {
        inference.level((Side::Ask, price), 5, 1);
        inference.level((Side::Ask, price), 9, 1);
    }
    inference.end_event(1);
    for price in 0..200 {
        inference.trade((Side::Ask, price), 3, price as u64, 2, 2);
    }
    inference.take_ops(|_| ());
    for price in 0..300 {
        inference.level((Side::Ask, price), 6, 3);
        if price == 100 {
            inference.end_event(3); // What waits still does.
        }
    }
    inference.end_event(3);
    inference.take_ops(|ops| {
        let told: Vec<_> = ops.iter().map(|op| (op.op, op.price, op.qty)).collect();
        let executed = (0..200).map(|price| (order_op::EXECUTE, price, 3));
        let cancelled = (200..300).map(|price| (order_op::MODIFY_KEEP, price, 1));
        assert_eq!(told, executed.chain(cancelled).collect::<Vec<_>>());
    });
}

/// Between two messages of levels the best one grew by 3 and shrank by 3: the order that left was there before, and another one
/// stands behind the rest.
#[test]
fn best_prices_tell_what_came_and_went_between_two_messages() {
    let told = |with_best: bool, names_it: bool| {
        let mut inference = Inference::new(Rule::ExactSize, Weights::default());
        let level = (Side::Bid, 10);
        for (at, qty) in [(1, 3), (2, 8)] {
            inference.level(level, qty, at);
            inference.end_event(at);
        }
        if with_best {
            inference.best(level, 8, 2);
            inference.best(level, 5, 3);
            inference.best(level, 5, 3);
            inference.best((Side::Ask, 12), 4, 3);
            inference.best(level, 8, 4);
            inference.best(level, 9, 6); // After the message: it waits.
        }
        if names_it {
            inference.level(level, 8, 5);
        }
        inference.end_event(5);
        assert_eq!(inference.queues().level(Side::Ask, 12), (0, 0), "levels alone say what there is");
        let queue = inference.queues().queue(Side::Bid, 10);
        queue
            .map(|handle| inference.queues().order(handle))
            .map(|order| (order.id, order.qty, order.ts))
            .collect::<Vec<_>>()
    };
    for names_it in [true, false] {
        assert_eq!(told(false, names_it), [(1, 3, 1), (2, 5, 2)]);
        assert_eq!(told(true, names_it), [(2, 5, 2), (3, 3, 5)]);
    }
}

/// Times of a venue's levels are in milliseconds, those of its trades in nanoseconds: the trade is not later than the change that
/// it made.
#[test]
fn a_trade_belongs_to_the_change_within_its_millisecond() {
    let mut inference = Inference::new(Rule::NewestFirst, Weights::default());
    let at = |ms: i64| 1_700_000_000_000_000_000 + ms * 1_000_000;
    for (qty, ms) in [(5, 0), (8, 1)] {
        inference.level((Side::Ask, 10), qty, at(ms));
        inference.end_event(at(ms));
    }
    inference.trade((Side::Ask, 10), 5, 77, at(2) + 345_678, at(2));
    inference.level((Side::Ask, 10), 3, at(2));
    let last = inference.take_ops(|ops| *ops.last().unwrap());
    assert_eq!(
        (last.op, last.order_id, last.ref_id),
        (order_op::EXECUTE, 1, 77),
        "the front, not the newest"
    );
    // Once a level has come with microseconds, that is how exact its times are.
    inference.level((Side::Ask, 10), 4, at(3) + 1_000);
    inference.end_event(at(3) + 1_000);
    inference.trade((Side::Ask, 10), 1, 78, at(4) + 345_678, at(4));
    inference.level((Side::Ask, 10), 3, at(4));
    let last = inference.take_ops(|ops| *ops.last().unwrap());
    assert_eq!(last.op, order_op::DELETE, "the trade was later: the newest is gone");
}
