//! The consumer's copy of orders: the same states, repair and joining as its levels have. The orders are those of a recording.

mod es_orders;
mod receive_support;

use es_orders::Event;
use outcrier_core::event::{Level, NOT_GIVEN, OrderOp, Side, order_op};
use outcrier_core::orders::OrderBook;
use outcrier_core::receive::{ChannelState, Config, Line, Reported, reason};
use outcrier_core::wire::{self, flags, msg};
use receive_support::pair::{ID, MS, OTHER, Pair};
use receive_support::{EXCHANGE_TS, ORDERS_A_FRAME, PRICE_EXP, SESSION, Told, VENUE, definition};

/// One order in so many of the recording: some 270 of them.
const ONE_IN: u64 = 32;

/// A pair whose first instrument tells of the opening list, and the events that follow it.
fn live() -> Option<(Pair, Vec<Event>)> {
    let mut events = es_orders::events(|id| id.is_multiple_of(ONE_IN))?;
    let mut book = OrderBook::new(1);
    for op in events.remove(0).ops {
        book.apply(&op, EXCHANGE_TS).unwrap();
    }
    let mut pair = Pair::live();
    pair.publisher.instruments.get_mut(&ID).unwrap().orders = Some(book);
    pair.publisher.whole_orders(ID);
    pair.hear_all();
    assert!(is_equal(&pair) && ours(&pair).unwrap().queues().len() > 200);
    assert_eq!(pair.state(ID), Reported::Live);
    pair.told();
    Some((pair, events))
}

fn ours(pair: &Pair) -> Option<&OrderBook> {
    pair.receiver.book(VENUE, ID).unwrap().orders.as_ref().map(|orders| &orders.book)
}

/// Whether every order stands where the publisher's stands, with all that the wire says of it.
fn is_equal(pair: &Pair) -> bool {
    match (ours(pair), &pair.publisher.instruments[&ID].orders) {
        (Some(ours), Some(theirs)) => ours.snapshot().eq(theirs.snapshot()) && pair.is_equal(),
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    }
}

fn unknown() -> OrderOp {
    OrderOp { order_id: 3, price: 100, qty: 1, op: order_op::DELETE, ..OrderOp::default() }
}

/// The first instrument went not live for this reason, and a group makes it live and equal.
fn is_mended(pair: &mut Pair, why: u16) {
    let stale = Told::State { instrument: ID, to: Reported::Stale, reason: why };
    assert!(pair.told().contains(&stale));
    assert!(ours(pair).is_none() && pair.receiver.book(VENUE, ID).unwrap().book.is_empty());
    pair.publisher.group(ID);
    pair.hear_all();
    assert_eq!(pair.state(ID), Reported::Live);
    assert!(is_equal(pair));
}

#[test]
fn every_change_of_a_recording_is_followed() {
    let Some((mut pair, events)) = live() else { return };
    for event in &events {
        pair.publisher.order_ops(ID, &event.ops);
        pair.hear_all();
        assert!(is_equal(&pair));
    }
    assert_eq!((pair.state(ID), pair.counter("bad_order")), (Reported::Live, 0));
    assert!(events.len() > 1_000);
}

#[test]
fn a_split_event_of_orders_shows_only_when_it_is_whole() {
    let Some((mut pair, events)) = live() else { return };
    let ops: Vec<OrderOp> = events[..40].iter().flat_map(|event| event.ops.clone()).collect();
    let before: Vec<_> = ours(&pair).unwrap().snapshot().collect();
    let seq = pair.receiver.book(VENUE, ID).unwrap().instr_seq;
    pair.publisher.order_ops(ID, &ops);
    let parts = pair.lose();
    assert_eq!(parts.len(), ops.len().div_ceil(ORDERS_A_FRAME));
    for part in &parts[..parts.len() - 1] {
        pair.hear(Line::A, part);
        let mirror = pair.receiver.book(VENUE, ID).unwrap();
        assert!(mirror.is_mid_event() && mirror.instr_seq == seq);
        assert!(ours(&pair).unwrap().snapshot().eq(before.iter().copied()));
    }
    pair.hear(Line::A, parts.last().unwrap());
    let mirror = pair.receiver.book(VENUE, ID).unwrap();
    assert_eq!((mirror.is_mid_event(), mirror.instr_seq as usize), (false, seq as usize + parts.len()));
    assert!(is_equal(&pair));
}

#[test]
fn a_missing_change_makes_stale_and_its_frame_mends() {
    let Some((mut pair, events)) = live() else { return };
    pair.publisher.order_ops(ID, &events[0].ops);
    let missing = pair.lose();
    pair.publisher.order_ops(ID, &events[1].ops);
    pair.hear_all();
    assert_eq!(pair.state(ID), Reported::Stale);
    assert_eq!(pair.state(OTHER), Reported::Live);
    missing.iter().for_each(|frame| pair.hear(Line::A, frame));
    assert_eq!(pair.state(ID), Reported::Live);
    assert!(is_equal(&pair));
}

#[test]
fn what_was_given_up_is_mended_by_a_group_and_goes_on() {
    let Some((mut pair, events)) = live() else { return };
    let (gone, rest) = events.split_at(100);
    gone.iter().for_each(|event| pair.publisher.order_ops(ID, &event.ops));
    pair.lose();
    pair.publisher.heartbeat();
    pair.hear_all();
    pair.give_up();
    assert_eq!(pair.state(ID), Reported::Unsure);
    pair.publisher.cycle();
    pair.hear_all();
    assert_eq!((pair.state(ID), pair.channel()), (Reported::Live, ChannelState::Live));
    for event in &rest[..50] {
        pair.publisher.order_ops(ID, &event.ops);
        pair.hear_all();
    }
    assert!(is_equal(&pair));
}

#[test]
fn a_late_joiner_has_the_orders_with_the_group_and_applies_what_it_held() {
    let Some((mut pair, events)) = live() else { return };
    let mut late = Pair::new(&Config::default());
    std::mem::swap(&mut late.publisher, &mut pair.publisher);
    late.publisher.order_ops(ID, &events[0].ops);
    late.hear_all();
    late.publisher.cycle();
    let cycle = late.lose();
    late.publisher.order_ops(ID, &events[1].ops);
    late.publisher.order_ops(ID, &events[2].ops);
    late.hear_all();
    cycle.iter().for_each(|frame| late.hear(Line::Snapshot, frame));
    assert_eq!(late.state(ID), Reported::Live);
    assert!(is_equal(&late));
    let shown = late.told();
    let group = |told: &&Told| matches!(told, Told::Snapshot { msg_type: msg::ORDER_SNAPSHOT, .. });
    assert!(shown.iter().filter(group).count() > 20);
}

#[test]
fn a_change_that_does_not_fit_makes_the_book_not_live() {
    let Some((mut pair, _)) = live() else { return };
    let known = ours(&pair).unwrap().snapshot().next().unwrap();
    let of_known =
        OrderOp { order_id: known.order_id, price: known.price, qty: known.qty, side: 1, ..unknown() };
    let wrong = [
        unknown(),
        OrderOp { op: order_op::ADD, ..of_known },
        OrderOp { op: order_op::EXECUTE, qty: known.qty + 1, ..of_known },
        OrderOp { op: order_op::MODIFY_KEEP, price: known.price + 1, ..of_known },
        OrderOp { op: order_op::ADD, side: 3, ..unknown() },
        OrderOp { op: order_op::ADD, side: 1, qty: 0, ..unknown() },
        OrderOp { op: order_op::ADD, side: 1, price: NOT_GIVEN, ..unknown() },
        OrderOp { op: 200, ..unknown() },
    ];
    for (count, op) in (1..).zip(wrong) {
        pair.publisher.order_ops(ID, &[op]);
        pair.hear_all();
        assert_eq!((pair.state(ID), pair.counter("bad_order")), (Reported::Stale, count), "{op:?}");
        is_mended(&mut pair, reason::BAD_ORDER);
    }
    // The same in a split event, found at its end.
    let mut ops = vec![OrderOp { op: order_op::MODIFY_KEEP, ..of_known }; ORDERS_A_FRAME];
    ops.push(unknown());
    pair.publisher.order_ops(ID, &ops);
    pair.hear_all();
    assert_eq!(pair.counter("bad_order"), wrong.len() as u64 + 1);
    is_mended(&mut pair, reason::BAD_ORDER);
}

#[test]
fn orders_that_differ_from_their_checksum_are_not_taken_in_band_and_not_in_a_group() {
    let Some((mut pair, events)) = live() else { return };
    // Quantity of the last order of a fragment, sealed again.
    let spoil = |frames: &mut Vec<Vec<u8>>| {
        let is_orders = |frame: &&mut Vec<u8>| frame[2] == msg::ORDER_SNAPSHOT;
        let frame = frames.iter_mut().find(is_orders).unwrap();
        let at = frame.len() - 48 + 16;
        frame[at] ^= 1;
        wire::seal(frame, 0, None);
    };
    pair.publisher.whole_orders(ID);
    let mut frames = pair.lose();
    spoil(&mut frames);
    frames.iter().for_each(|frame| pair.hear(Line::A, frame));
    assert_eq!((pair.state(ID), pair.counter("checksum_mismatch")), (Reported::Stale, 1));
    pair.publisher.group(ID);
    let mut group = pair.lose();
    spoil(&mut group);
    group.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
    assert_eq!((pair.state(ID), pair.counter("groups_bad")), (Reported::Stale, 1));
    pair.publisher.order_ops(ID, &events[0].ops);
    pair.hear_all();
    is_mended(&mut pair, reason::BOOK_CHECKSUM);
}

#[test]
fn a_rebuilt_book_leaves_the_other_one_alone() {
    let Some((mut pair, events)) = live() else { return };
    let before: Vec<_> = ours(&pair).unwrap().snapshot().collect();
    pair.publisher.whole_book(ID);
    pair.hear_all();
    assert!(ours(&pair).unwrap().snapshot().eq(before), "RESET on 0x11 clears levels only");
    let levels = pair.receiver.book(VENUE, ID).unwrap().book.hash();
    pair.publisher.instruments.get_mut(&ID).unwrap().orders.as_mut().unwrap().clear();
    pair.publisher.whole_orders(ID);
    pair.hear_all();
    assert!(ours(&pair).unwrap().queues().is_empty());
    assert_eq!(
        pair.receiver.book(VENUE, ID).unwrap().book.hash(),
        levels,
        "RESET on 0x19 clears orders only"
    );
    assert_eq!(pair.state(ID), Reported::Live);
    // Not known any more: the next change is of an order that is not there.
    let change = events.iter().flat_map(|event| &event.ops).find(|op| op.op == order_op::DELETE).unwrap();
    pair.publisher.order_ops(ID, &[*change]);
    pair.hear_all();
    is_mended(&mut pair, reason::BAD_ORDER);
}

#[test]
fn orders_of_other_exponents_are_never_mixed_in_and_a_whole_book_brings_its_own() {
    let Some((mut pair, events)) = live() else { return };
    let finer = wire::InstrumentDef { price_exp: PRICE_EXP - 1, ..definition("BTC/USDT", 2) };
    pair.publisher.define(ID, finer);
    let known = pair.publisher.instruments.get_mut(&ID).unwrap();
    known.book.rescale(10, 1).unwrap();
    known.orders = known.orders.as_ref().unwrap().rescaled(1, 10, 1);
    pair.publisher.whole_book(ID);
    pair.hear_all();
    let exponents = |pair: &Pair| {
        let mirror = pair.receiver.book(VENUE, ID).unwrap();
        (mirror.price_exp, mirror.orders.as_ref().unwrap().price_exp)
    };
    assert_eq!(exponents(&pair), (PRICE_EXP - 1, PRICE_EXP), "the orders are still the old ones");
    pair.publisher.whole_orders(ID);
    pair.hear_all();
    assert_eq!(exponents(&pair), (PRICE_EXP - 1, PRICE_EXP - 1));
    assert!(is_equal(&pair));
    pair.publisher.define(ID, wire::InstrumentDef { def_version: 3, price_exp: PRICE_EXP - 2, ..finer });
    pair.publisher.order_ops(ID, &events[0].ops);
    pair.hear_all();
    assert_eq!((pair.counter("exponent_mismatch"), pair.state(ID)), (1, Reported::Stale));
}

#[test]
fn a_new_session_has_no_orders_of_the_old_one() {
    let Some((mut pair, _)) = live() else { return };
    pair.publisher = receive_support::Publisher::new(SESSION + 1, 2);
    pair.publisher.start(SESSION);
    pair.publisher.define(ID, definition("BTC/USDT", 1));
    pair.hear_all();
    assert!(ours(&pair).is_none());
    // Orders that begin with nothing need no whole book.
    pair.publisher.instruments.get_mut(&ID).unwrap().orders = Some(OrderBook::new(1));
    pair.publisher.delta(ID, &[Level { price: 100, qty: 5 }], &[], 7, 3);
    let add = OrderOp { op: order_op::ADD, side: Side::Bid as u8, qty: 5, ..unknown() };
    pair.publisher.order_ops(ID, &[add]);
    pair.hear_all();
    assert!(is_equal(&pair) && ours(&pair).unwrap().queues().len() == 1);
    pair.pass(MS);
    assert_eq!(pair.state(ID), Reported::Live);
}

#[test]
fn orders_in_a_pack_are_as_alone() {
    let Some((mut pair, events)) = live() else { return };
    pair.publisher.packs = true;
    for event in &events[..30] {
        pair.publisher.order_ops(ID, &event.ops);
    }
    let frames = pair.lose();
    assert!(frames.len() < 30 && frames.iter().all(|frame| frame[2] == msg::PACK));
    frames.iter().for_each(|frame| pair.hear(Line::A, frame));
    assert!(is_equal(&pair));
    assert_eq!((pair.state(ID), pair.counter("packed_messages") >= 30), (Reported::Live, true));
}

#[test]
fn the_first_fragment_of_a_group_shows_that_it_replaces_the_orders() {
    use outcrier_core::receive::Collector;
    let Some((mut pair, _)) = live() else { return };
    let mut collector = Collector::new(None, 1 << 20);
    let mut late = outcrier_core::receive::Receiver::new(Config::default());
    pair.publisher.heartbeat();
    pair.publisher.cycle();
    for (line, frame) in pair.publisher.take() {
        late.on_datagram(line, &frame, 0, MS, &mut collector);
    }
    let rows: Vec<_> = collector.take().events.iter().filter(|row| row.kind == msg::ORDER_SNAPSHOT).collect();
    let shown: Vec<bool> = rows.iter().map(|row| row.flags & flags::RESET != 0).collect();
    assert_eq!(shown, (0..rows.len()).map(|at| at == 0).collect::<Vec<_>>());
}
