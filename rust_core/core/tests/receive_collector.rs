//! Rows for NumPy: what a frame becomes, in which order, and what happens when nobody takes them.

mod receive_support;

use outcrier_core::event::{Level, OrderOp, RestingOrder, Trade, order_op};
use outcrier_core::orders::OrderBook;
use outcrier_core::receive::rows::{
    EventRow, KIND_LOST, KIND_ROWS_LOST, KIND_STATE, MARK_MID_EVENT, MARK_SNAPSHOT, layouts,
};
use outcrier_core::receive::{Collector, Config, Line, Receiver, Reported, WINDOW_DEFAULT_NS};
use outcrier_core::wire::{flags, msg, text_of};
use receive_support::{CHANNEL, PRICE_EXP, Publisher, QTY_EXP, SESSION, VENUE, definition};
use zerocopy::IntoBytes;

const ID: u32 = 11;

fn hear(receiver: &mut Receiver, publisher: &mut Publisher, collector: &mut Collector) {
    for (line, frame) in publisher.take() {
        receiver.on_datagram(line, &frame, 55, 1_000, collector);
    }
}

fn publisher() -> Publisher {
    let mut publisher = Publisher::new(SESSION, 1);
    publisher.start(0);
    publisher.define(ID, definition("BTC/USDT", 1));
    publisher
}

fn levels(first: i64, count: i64) -> Vec<Level> {
    (first..first + count).map(|price| Level { price, qty: price + 1 }).collect()
}

#[test]
fn rows_point_to_their_records() {
    let (mut receiver, mut collector) = (Receiver::new(Config::default()), Collector::new(None, 10_000));
    let mut publisher = publisher();
    publisher.delta(ID, &levels(100, 2), &levels(200, 1), 77, 3);
    let trade = Trade { price: 5, qty: 6, trade_id: 7, ..Trade::default() };
    publisher.trades(ID, &[trade, Trade { trade_id: 8, ..trade }]);
    publisher.delta(ID, &levels(300, 25), &[], 78, 0);
    publisher.bbo(ID);
    hear(&mut receiver, &mut publisher, &mut collector);
    let batch = collector.take();
    let kinds: Vec<u8> = batch.events.iter().map(|row| row.kind).collect();
    let delta = msg::BOOK_DELTA;
    let start = [msg::SESSION_START, KIND_STATE, msg::INSTRUMENT_DEF];
    assert_eq!(kinds, [&start[..], &[delta, msg::TRADE, delta, delta, msg::BBO]].concat());
    let event = |at| batch.events.get(at).unwrap();
    let row = event(3);
    let expected = EventRow {
        channel_seq: 3,
        source_seq: 77,
        exchange_ts: 1_700_000_000_000_000_000,
        recv_ts: 1_700_000_000_000_001_000,
        send_ts: 1_700_000_000_000_001_777,
        rx_ts: 55,
        instrument: ID,
        instr_seq: 2,
        proc_ns: 777,
        session: SESSION,
        venue: VENUE,
        flags: flags::EVENT_END,
        count: 3,
        n_bids: 2,
        kind: delta,
        trading: 1,
        channel: CHANNEL,
        price_exp: PRICE_EXP,
        qty_exp: QTY_EXP,
        checksum_kind: 3,
        ..EventRow::default()
    };
    assert_eq!(row, expected);
    let all_levels: Vec<Level> = batch.levels.iter().collect();
    assert_eq!(all_levels, [levels(100, 2), levels(200, 1), levels(300, 25)].concat());
    let (first, second) = (event(5), event(6));
    assert_eq!((first.start, first.count, first.marks), (3, 20, MARK_MID_EVENT));
    assert_eq!((second.start, second.count, second.marks), (23, 5, 0));
    assert_eq!(batch.trades.iter().map(|trade| trade.trade_id).collect::<Vec<_>>(), [7, 8]);
    assert_eq!((event(7).count, batch.bbos.len()), (1, 1));
    assert_eq!(batch.bbos.get(0).unwrap().bid_px, 324);
    assert_eq!(text_of(&batch.defs.get(0).unwrap().symbol), "BTC/USDT");
    assert_eq!((batch.defs.get(1), batch.bbos.get(usize::MAX)), (None, None));
    assert_eq!((collector.rows(), collector.take().rows()), (0, 0));
}

#[test]
fn losses_and_changes_stand_before_what_follows_them() {
    let (mut receiver, mut collector) = (Receiver::new(Config::default()), Collector::new(None, 10_000));
    let mut publisher = publisher();
    hear(&mut receiver, &mut publisher, &mut collector);
    publisher.delta(ID, &levels(100, 1), &[], 1, 0);
    publisher.take();
    publisher.heartbeat();
    hear(&mut receiver, &mut publisher, &mut collector);
    receiver.on_timer(1_000 + WINDOW_DEFAULT_NS, &mut collector);
    collector.take();
    publisher.group(ID);
    publisher.bbo(ID);
    hear(&mut receiver, &mut publisher, &mut collector);
    let rows: Vec<EventRow> = collector.take().events.iter().collect();
    let kinds: Vec<u8> = rows.iter().map(|row| row.kind).collect();
    assert_eq!(
        kinds,
        [KIND_LOST, msg::INSTRUMENT_DEF, msg::STATUS, msg::BOOK_SNAPSHOT, KIND_STATE, msg::BBO]
    );
    assert_eq!((rows[0].instr_seq, rows[0].start, rows[0].state), (2, 1, Reported::Unsure as u8));
    assert_eq!((rows[3].marks & MARK_SNAPSHOT, rows[3].flags & flags::RESET), (MARK_SNAPSHOT, flags::RESET));
    assert_eq!((rows[3].frag_index, rows[3].frag_count, rows[3].n_bids), (0, 1, 1));
    assert_eq!((rows[4].state, rows[4].reason), (Reported::Live as u8, 0));
    assert_eq!(rows[5].state, Reported::Live as u8);
}

#[test]
fn types_that_nobody_asked_for_are_not_kept_but_losses_and_states_are() {
    let (mut receiver, mut collector) =
        (Receiver::new(Config::default()), Collector::new(Some(&[msg::TRADE]), 10_000));
    let mut publisher = publisher();
    publisher.delta(ID, &levels(100, 1), &[], 1, 0);
    publisher.trades(ID, &[Trade::default()]);
    hear(&mut receiver, &mut publisher, &mut collector);
    let batch = collector.take();
    assert_eq!(batch.events.iter().map(|row| row.kind).collect::<Vec<_>>(), [KIND_STATE, msg::TRADE]);
    assert_eq!((batch.levels.len(), collector.counts().filtered), (0, 3));
    assert_eq!(receiver.book(VENUE, ID).unwrap().book.hash(), publisher.instruments[&ID].book.hash());
}

#[test]
fn the_oldest_rows_are_lost_counted_and_told() {
    let (mut receiver, mut collector) = (Receiver::new(Config::default()), Collector::new(None, 4_000));
    let mut publisher = publisher();
    for at in 0..1_000 {
        publisher.delta(ID, &levels(at, 3), &[], 1, 0);
        hear(&mut receiver, &mut publisher, &mut collector);
        assert!(collector.rows() <= 4_000);
    }
    // Parts of 500 rows are joined again, so every start must have been moved.
    let counts = collector.counts();
    assert_eq!(collector.rows() as u64 + counts.rows_lost, 1_000 * 4 + 3 + 1);
    assert!(counts.events_lost > 0);
    let batch = collector.take();
    let (events, kept): (Vec<EventRow>, Vec<Level>) =
        (batch.events.iter().collect(), batch.levels.iter().collect());
    assert_eq!((events[0].kind, u64::from(events[0].start)), (KIND_ROWS_LOST, counts.events_lost));
    let first = events[1].instr_seq;
    for (at, row) in events[1..].iter().enumerate() {
        assert_eq!(row.instr_seq, first + u32::try_from(at).unwrap());
        let price = i64::from(row.instr_seq) - 2;
        assert_eq!(kept[row.start as usize..][..3], levels(price, 3));
    }
    assert_eq!(events.last().unwrap().instr_seq, 1_001);
    assert_eq!(collector.take().rows(), 0);
}

#[test]
fn changes_of_orders_and_all_orders_have_rows_of_their_own() {
    let (mut receiver, mut collector) = (Receiver::new(Config::default()), Collector::new(None, 4_000));
    let mut publisher = publisher();
    publisher.instruments.get_mut(&ID).unwrap().orders = Some(OrderBook::new(1));
    hear(&mut receiver, &mut publisher, &mut collector);
    collector.take();
    let add =
        |order_id| OrderOp { order_id, price: 7, qty: 1, op: order_op::ADD, side: 2, ..OrderOp::default() };
    for id in 1..=600 {
        publisher.order_ops(ID, &[add(2 * id), add(2 * id + 1)]);
        hear(&mut receiver, &mut publisher, &mut collector);
    }
    publisher.whole_orders(ID);
    hear(&mut receiver, &mut publisher, &mut collector);
    assert_eq!(collector.counts().rows_lost, 0);
    // Parts of 500 rows are joined again, so every start must have been moved.
    let batch = collector.take();
    let (ops, orders): (Vec<OrderOp>, Vec<RestingOrder>) =
        (batch.ops.iter().collect(), batch.orders.iter().collect());
    let theirs = publisher.instruments[&ID].orders.as_ref().unwrap();
    assert!(theirs.snapshot().eq(orders.iter().copied()) && orders.len() == 1_200);
    let (mut changes, mut id) = (0, 0);
    for row in batch.events.iter().filter(|row| row.kind == msg::ORDER_OPS) {
        id += 2;
        assert_eq!(ops[row.start as usize..][..usize::from(row.count)], [add(id), add(id + 1)]);
        changes += 1;
    }
    assert_eq!(changes, 600);
    let mut next = 0;
    for row in batch.events.iter().filter(|row| row.kind == msg::ORDER_SNAPSHOT) {
        assert_eq!((row.start, row.n_bids, row.checksum_kind), (next, 0, 3));
        assert_eq!(u32::from(row.frag_index) * 10, next);
        next += u32::from(row.count);
    }
    assert_eq!(next, 1_200);
}

#[test]
fn arrays_and_layouts_agree() {
    let (mut receiver, mut collector) = (Receiver::new(Config::default()), Collector::new(None, 10_000));
    let mut publisher = publisher();
    publisher.status(ID, 4, 0);
    for (_, frame) in publisher.take() {
        receiver.on_datagram(Line::A, &frame, 0, 1, &mut collector);
    }
    let batch = collector.take();
    let layouts = layouts();
    let row = batch.events.get(0).unwrap();
    let counts: Vec<usize> = [batch.events.len(), batch.statuses.len()].into();
    for ((name, bytes), (layout, _, itemsize)) in batch.into_arrays().into_iter().zip(&layouts) {
        assert_eq!(name, *layout);
        assert_eq!(bytes.len() % itemsize, 0, "{name}");
        match name {
            "events" => assert_eq!((bytes.len(), &bytes[..104]), (counts[0] * 104, row.as_bytes())),
            "statuses" => assert_eq!(bytes.len(), counts[1] * 56),
            _ => {}
        }
    }
    let (_, events, itemsize) = &layouts[0];
    assert_eq!(*itemsize, 104);
    assert!(events.contains(&("instr_seq", "<u4", 52)));
    let defs = layouts.iter().find(|(name, ..)| *name == "defs").unwrap();
    assert!(defs.1.contains(&("symbol", "|S32", 96)));
}
