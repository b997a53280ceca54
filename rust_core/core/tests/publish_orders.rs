//! Orders on the wire: real orders beside a real book, as changes, in-band and in groups of the snapshot plane.

mod es_orders;
mod publish_support;
mod shape_support;

use es_orders::Event;
use outcrier_core::event::{Ids, NOT_GIVEN, OrderOp, RestingOrder, Side, order_op};
use outcrier_core::feed::{BookState, Feed, OrderEvent};
use outcrier_core::instrument::Scale;
use outcrier_core::orders::{Fault, OrderBook, Queues};
use outcrier_core::wire::auth::{Keyring, MasterKey};
use outcrier_core::wire::{self, BookSnapshot, Header, Message, SnapWant, flags, msg, snap_kinds};
use publish_support::{Bench, cut, types, with_book, with_signed_book};
use shape_support::{captures, lines};

/// A message as it left, with what matters here of its parts.
enum Said {
    Ops(wire::OrderOps, Vec<OrderOp>),
    Orders(BookSnapshot, Vec<RestingOrder>),
    Other,
}

/// Header and parts of what left on the incremental plane since the last call.
fn said(bench: &mut Bench) -> Vec<(Header, Said)> {
    std::mem::take(&mut bench.sent).into_iter().map(|(_, _, bytes)| parts(&bytes)).collect()
}

fn parts(bytes: &[u8]) -> (Header, Said) {
    let frame = wire::check(bytes).unwrap();
    let said = match frame.message() {
        Message::OrderOps(root, records) => Said::Ops(root, records.collect()),
        Message::OrderSnapshot(root, records) => Said::Orders(root, records.collect()),
        _ => Said::Other,
    };
    (frame.header, said)
}

/// The events of the recording, and the book of its opening list.
fn recorded() -> Option<(OrderBook, Vec<Event>)> {
    let mut events = es_orders::events(|_| true)?;
    let opening = events.remove(0);
    let mut book = OrderBook::new(1);
    for op in &opening.ops {
        book.apply(op, opening.ts).unwrap();
    }
    assert_eq!(book.queues().len(), 8_726);
    Some((book, events))
}

/// A feed with a live recorded book, the opening list told, and the recording's events.
fn with_orders(bench: &mut Bench) -> Option<(Feed, Vec<Event>)> {
    let (mut feed, _) = with_book(bench, 0)?;
    let (book, events) = recorded()?;
    let arrival = bench.arrival();
    assert!(feed.orders(0).is_none() && !feed.has_orders(0));
    assert!(feed.on_orders(0, book, 1_703_541_600_000_000_000, bench, arrival));
    assert!(feed.has_orders(0));
    Some((feed, events))
}

/// The same orders in a book of its own.
fn copy_of(orders: &Queues) -> OrderBook {
    let mut book = OrderBook::new(1);
    let n_bids = orders.len_of(Side::Bid);
    for (at, order) in orders.snapshot().enumerate() {
        book.append(if at < n_bids { Side::Bid } else { Side::Ask }, &order).unwrap();
    }
    book
}

/// The CRC of `docs/wire-format.md`, section 9, of orders with so many bids.
fn digest(orders: &[RestingOrder], n_bids: usize) -> u32 {
    let counts = [n_bids, orders.len() - n_bids].map(|count| u16::try_from(count).unwrap_or(u16::MAX));
    let mut bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
    for order in orders {
        bytes.extend(order.order_id.to_le_bytes());
        bytes.extend(order.price.to_le_bytes());
        bytes.extend(order.qty.to_le_bytes());
    }
    crc32c::crc32c(&bytes)
}

/// Holds the fragments of one book to the orders that they are of.
fn check_fragments(fragments: &[(BookSnapshot, Vec<RestingOrder>)], book: &Queues, per_frame: usize) {
    let all: Vec<RestingOrder> = book.snapshot().collect();
    let n_bids = book.len_of(Side::Bid);
    assert_eq!(fragments.len(), all.len().div_ceil(per_frame).max(1));
    let (mut bids, checksum) = (0, digest(&all, n_bids));
    for (index, (root, orders)) in fragments.iter().enumerate() {
        assert_eq!((usize::from(root.frag_index), usize::from(root.frag_count)), (index, fragments.len()));
        assert_eq!(
            (usize::from(root.total_bids), usize::from(root.total_asks)),
            (n_bids, all.len() - n_bids)
        );
        assert_eq!((root.book_checksum, root.checksum_kind), (checksum, 3));
        assert_eq!(root.snapshot_id, fragments[0].0.snapshot_id);
        assert_eq!(orders.len(), per_frame.min(all.len() - index * per_frame));
        bids += usize::from(root.n_bids);
    }
    assert_eq!(bids, n_bids);
    let told: Vec<RestingOrder> = fragments.iter().flat_map(|(_, orders)| orders.clone()).collect();
    assert_eq!(told, all);
}

/// The one book of orders in-band among what left: RESET on its first frame, EVENT_END on its last.
fn in_band(said: Vec<(Header, Said)>) -> Vec<(BookSnapshot, Vec<RestingOrder>)> {
    let orders = said.into_iter().filter_map(|(header, said)| match said {
        Said::Orders(root, orders) => Some((header, (root, orders))),
        _ => None,
    });
    let (headers, fragments): (Vec<Header>, Vec<_>) = orders.unzip();
    let last = headers.len() - 1;
    for (index, (header, (root, _))) in headers.iter().zip(&fragments).enumerate() {
        let bits = header.flags & (flags::RESET | flags::EVENT_END);
        let expected =
            if index == 0 { flags::RESET } else { 0 } | if index == last { flags::EVENT_END } else { 0 };
        assert_eq!(bits, expected, "fragment {index}");
        assert_eq!({ header.instr_seq }, headers[0].instr_seq + index as u32);
        assert_eq!(
            { root.last_channel_seq },
            headers[0].channel_seq - 1,
            "the number before the first fragment"
        );
    }
    fragments
}

#[test]
fn all_orders_leave_in_band_where_the_book_is_live() {
    let mut bench = Bench::default();
    let Some((feed, _)) = with_orders(&mut bench) else { return };
    let told = said(&mut bench);
    assert!(told.iter().all(|(header, _)| header.msg_type == msg::ORDER_SNAPSHOT));
    assert_eq!({ told[0].0.exchange_ts }, 1_703_541_600_000_000_000);
    check_fragments(&in_band(told), feed.orders(0).unwrap(), 27);
}

#[test]
fn an_event_leaves_as_one_split_at_27_changes_and_ends_on_the_last() {
    let mut bench = Bench::default();
    let Some((mut feed, events)) = with_orders(&mut bench) else { return };
    let mut mine = copy_of(feed.orders(0).unwrap());
    said(&mut bench);
    let mut expected = feed.numbers(0).unwrap().0;
    let (mut split, mut id) = (0, 5_000);
    for event in &events {
        let ids = Ids { first: Some(id + 1), last: Some(id + 3), prev: Some(id) };
        let told = OrderEvent { exchange_ts: event.ts, ids, ops: &event.ops };
        let arrival = bench.arrival();
        assert_eq!(feed.on_order_event(0, &told, &mut bench, arrival), Ok(true));
        let frames = said(&mut bench);
        assert_eq!(frames.len(), event.ops.len().div_ceil(27));
        split += usize::from(frames.len() > 1);
        let mut ops = Vec::new();
        for (at, (header, said)) in frames.iter().enumerate() {
            let Said::Ops(root, records) = said else { panic!("type {}", header.msg_type) };
            assert_eq!(header.has(flags::EVENT_END), at + 1 == frames.len());
            assert!(!header.has(flags::RESET) && records.len() <= 27);
            expected += 1;
            assert_eq!(({ header.instr_seq }, { header.source_seq }), (expected, id + 3));
            assert_eq!({ header.exchange_ts }, event.ts);
            assert_eq!((root.first_source_seq, root.prev_source_seq), (id + 1, id));
            ops.extend_from_slice(records);
        }
        assert_eq!(ops, event.ops);
        for op in &ops {
            mine.apply(op, event.ts).unwrap();
        }
        id += 3;
    }
    assert!(split > 5, "{split} events are longer than a frame");
    let book = feed.orders(0).unwrap();
    assert!(book.snapshot().eq(mine.snapshot()), "the changes make the book");
    assert!(book.len() > 5_000);
    let (counters, _) = feed.counters();
    let ops: usize = events.iter().map(|event| event.ops.len()).sum();
    assert_eq!((counters.order_events, counters.order_ops), (events.len() as u64, ops as u64));
}

#[test]
fn the_group_has_the_orders_behind_the_levels_with_a_mac_and_without() {
    for is_signed in [false, true] {
        let keys = || Keyring::new(vec![(1, MasterKey::new([1; 32]))]).unwrap();
        let signer = is_signed.then(|| keys().signer(2, 90_000_001));
        let mut bench = Bench::default();
        let Some((mut feed, id)) = with_signed_book(&mut bench, 0, signer) else { return };
        let Some((book, _)) = recorded() else { return };
        let arrival = bench.arrival();
        feed.on_orders(0, book, NOT_GIVEN, &mut bench, arrival);
        let last_seq = feed.last_seq(&mut bench);
        let (frames, _) = cut(&mut feed, &mut bench, &[], 100);
        let frames: Vec<_> = frames.iter().map(|frame| parts(frame)).collect();
        let order: Vec<u8> = frames.iter().map(|(header, _)| header.msg_type).collect();
        let count = |msg_type| order.iter().filter(|&&of| of == msg_type).count();
        let expected: Vec<u8> = [
            vec![msg::INSTRUMENT_DEF, msg::STATUS],
            vec![msg::BOOK_SNAPSHOT; count(msg::BOOK_SNAPSHOT)],
            vec![msg::ORDER_SNAPSHOT; count(msg::ORDER_SNAPSHOT)],
            vec![msg::CYCLE_END],
        ]
        .concat();
        assert_eq!(order, expected);
        assert!(count(msg::BOOK_SNAPSHOT) > 10);
        let group = &frames[..frames.len() - 1];
        for (at, (header, _)) in group.iter().enumerate() {
            assert_eq!(header.has(flags::EVENT_END), at + 1 == group.len(), "only the last ends the group");
            assert_eq!(({ header.instr_seq }, header.has(flags::RESET)), (feed.numbers(0).unwrap().0, false));
        }
        let fragments: Vec<_> = frames
            .into_iter()
            .filter_map(
                |(_, said)| if let Said::Orders(root, orders) = said { Some((root, orders)) } else { None },
            )
            .collect();
        assert!(fragments.iter().all(|(root, _)| root.last_channel_seq == last_seq));
        check_fragments(&fragments, feed.orders(0).unwrap(), if is_signed { 26 } else { 27 });
        // Levels and orders are asked for apart.
        for (kinds, with_levels, with_orders) in
            [(snap_kinds::L2, true, false), (snap_kinds::L3, false, true)]
        {
            let (frames, _) = cut(&mut feed, &mut bench, &[SnapWant { instrument: id, kinds }], 100);
            let types = types(&frames);
            assert_eq!(types.contains_key(&msg::BOOK_SNAPSHOT), with_levels);
            assert_eq!(types.contains_key(&msg::ORDER_SNAPSHOT), with_orders);
        }
    }
}

#[test]
fn a_change_that_does_not_fit_ends_the_orders_and_not_the_book() {
    let mut bench = Bench::default();
    let Some((mut feed, events)) = with_orders(&mut bench) else { return };
    said(&mut bench);
    let unknown = OrderOp { order_id: 3, op: order_op::DELETE, ..OrderOp::default() };
    let ops = [events[0].ops[0], unknown];
    let event = OrderEvent { exchange_ts: 5, ids: Ids::default(), ops: &ops };
    let arrival = bench.arrival();
    assert_eq!(feed.on_order_event(0, &event, &mut bench, arrival), Err(Fault::Unknown));
    let fragments = in_band(said(&mut bench));
    check_fragments(&fragments, &Queues::new(1), 27);
    assert!(feed.orders(0).unwrap().is_empty() && !feed.has_orders(0));
    assert_eq!(feed.state(0), Some(BookState::Live));
    let event = OrderEvent { ops: &events[0].ops, ..event };
    assert_eq!(feed.on_order_event(0, &event, &mut bench, arrival), Ok(false), "all orders come first");
    assert!(said(&mut bench).is_empty());
    let (counters, _) = feed.counters();
    assert_eq!((counters.order_faults, counters.orders_unknown, counters.order_events), (1, 1, 0));
}

#[test]
fn orders_go_with_the_book_and_come_back_with_it() {
    let mut bench = Bench::default();
    let Some((mut feed, events)) = with_orders(&mut bench) else { return };
    let whole = copy_of(feed.orders(0).unwrap());
    said(&mut bench);
    let arrival = bench.arrival();
    feed.disconnected(&[0], 0, &mut bench, arrival);
    assert!(!feed.has_orders(0), "a new connection begins anew");
    assert_eq!(said(&mut bench).len(), 1, "STATUS(stale)");
    let event = |ops| OrderEvent { exchange_ts: 7, ids: Ids::default(), ops };
    assert_eq!(feed.on_order_event(0, &event(&events[0].ops), &mut bench, arrival), Ok(false));
    // They are known before the book is: changes count, and nothing leaves between the two STATUS.
    assert!(feed.on_orders(0, whole, 6, &mut bench, arrival));
    assert_eq!(feed.on_order_event(0, &event(&events[0].ops), &mut bench, arrival), Ok(true));
    assert!(said(&mut bench).is_empty());
    let (frames, _) = cut(&mut feed, &mut bench, &[], 100);
    assert!(!types(&frames).contains_key(&msg::ORDER_SNAPSHOT), "as the levels");
    let file = captures().unwrap().join("binance_usdm/usdm_btcusdt_2024-08-08.jsonl.gz");
    for line in lines(&file) {
        if line.kind == "http" {
            feed.on_snapshot(0, &line.message, &mut bench, arrival);
        } else {
            feed.on_frame(1, &line.message, &mut bench, arrival);
        }
        if feed.state(0) == Some(BookState::Live) {
            break;
        }
    }
    let told = said(&mut bench);
    let books = |(header, _): &&(Header, Said)| {
        [msg::BOOK_SNAPSHOT, msg::ORDER_SNAPSHOT, msg::STATUS].contains(&header.msg_type)
    };
    let mut order: Vec<u8> = told.iter().filter(books).map(|(header, _)| header.msg_type).collect();
    order.dedup();
    assert_eq!(order, [msg::BOOK_SNAPSHOT, msg::ORDER_SNAPSHOT, msg::STATUS]);
    check_fragments(&in_band(told), feed.orders(0).unwrap(), 27);
}

#[test]
fn finer_exponents_take_the_orders_along() {
    let mut bench = Bench::default();
    let Some((mut feed, _)) = with_orders(&mut bench) else { return };
    let before: Vec<RestingOrder> = feed.orders(0).unwrap().snapshot().collect();
    said(&mut bench);
    let def = *feed.definition(0).unwrap();
    let scale = Scale { price_exp: def.price_exp - 2, qty_exp: def.qty_exp - 1 };
    let sizes = outcrier_core::feed::Sizes { scale, tick_size: 1, lot_size: 1, min_qty: 1 };
    let arrival = bench.arrival();
    assert!(feed.update_sizes(0, &sizes, &mut bench, arrival));
    let told = said(&mut bench);
    let mut order: Vec<u8> = told.iter().map(|(header, _)| header.msg_type).collect();
    order.dedup();
    assert_eq!(order[..3], [msg::INSTRUMENT_DEF, msg::BOOK_SNAPSHOT, msg::ORDER_SNAPSHOT]);
    for (header, said) in &told {
        if let Said::Orders(root, _) = said {
            assert_eq!((header.price_exp, header.qty_exp), (scale.price_exp, scale.qty_exp));
            assert_eq!(root.def_version, def.def_version + 1);
        }
    }
    let book = feed.orders(0).unwrap();
    let finer =
        before.iter().map(|order| RestingOrder { price: order.price * 100, qty: order.qty * 10, ..*order });
    assert!(book.snapshot().eq(finer));
    check_fragments(&in_band(told), book, 27);
}

#[test]
fn totals_saturate() {
    let mut bench = Bench::default();
    let Some((mut feed, _)) = with_book(&mut bench, 0) else { return };
    let mut book = OrderBook::new(1);
    let order = |order_id, price| RestingOrder { order_id, price, qty: 1, ..wire::zeroed() };
    for id in 0..70_000 {
        book.append(Side::Ask, &order(id, 5)).unwrap();
    }
    book.append(Side::Bid, &order(70_000, 4)).unwrap();
    let arrival = bench.arrival();
    bench.sent.clear();
    feed.on_orders(0, book.clone(), NOT_GIVEN, &mut bench, arrival);
    let fragments = in_band(said(&mut bench));
    assert_eq!(fragments.len(), 70_001_usize.div_ceil(27));
    let all: Vec<RestingOrder> = book.snapshot().collect();
    let checksum = digest(&all, 1);
    for (root, _) in fragments {
        assert_eq!((root.total_bids, root.total_asks), (1, u16::MAX));
        assert_eq!(root.book_checksum, checksum);
    }
}

#[test]
fn an_instrument_that_is_gone_or_ended_takes_no_orders() {
    let mut bench = Bench::default();
    let Some((mut feed, events)) = with_orders(&mut bench) else { return };
    let arrival = bench.arrival();
    let event = OrderEvent { exchange_ts: 5, ids: Ids::default(), ops: &events[0].ops };
    assert!(!feed.on_orders(7, OrderBook::new(1), 0, &mut bench, arrival));
    assert_eq!(feed.on_order_event(7, &event, &mut bench, arrival), Ok(false));
    feed.close(0, 0, &mut bench);
    said(&mut bench);
    assert_eq!(feed.on_order_event(0, &event, &mut bench, arrival), Ok(false));
    assert!(!feed.on_orders(0, OrderBook::new(1), 0, &mut bench, arrival));
    assert!(said(&mut bench).is_empty());
    assert_eq!(feed.counters().0.after_end, 2);
}
