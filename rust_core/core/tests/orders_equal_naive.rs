//! The order book against the plainest one that can be right: a vector for each level.

use std::collections::BTreeMap;

use outcrier_core::event::{Level, NOT_GIVEN, OrderOp, RestingOrder, Side, order_op};
use outcrier_core::orders::{Ahead, Fault, Order, OrderBook, Touched, WatchId};
use proptest::prelude::*;

/// Keys order as the snapshot does within a side: bids by falling price.
type Key = (u8, i64);

fn key(side: Side, price: i64) -> Key {
    (side as u8, if side == Side::Bid { -price } else { price })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Order(Order),
    /// Somebody who only watches.
    Mark(usize),
}

#[derive(Default)]
struct Naive {
    levels: BTreeMap<Key, Vec<Place>>,
}

impl Naive {
    fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        self.levels.values().flatten().filter_map(|place| match place {
            Place::Order(order) => Some(*order),
            Place::Mark(_) => None,
        })
    }

    fn find(&self, id: u64) -> Option<Order> {
        self.orders().find(|order| order.id == id)
    }

    fn join(&mut self, order: Order) {
        let queue = self.levels.entry(key(order.side, order.price)).or_default();
        let older = |place: &Place| match place {
            Place::Order(other) => order.priority == 0 || other.priority <= order.priority,
            Place::Mark(_) => true,
        };
        let at = queue.iter().rposition(older).map_or(0, |at| at + 1);
        queue.insert(at, Place::Order(order));
    }

    fn leave(&mut self, id: u64) {
        for queue in self.levels.values_mut() {
            queue.retain(|place| !matches!(place, Place::Order(order) if order.id == id));
        }
        self.levels.retain(|_, queue| !queue.is_empty());
    }

    fn resize(&mut self, id: u64, qty: i64) {
        for place in self.levels.values_mut().flatten() {
            match place {
                Place::Order(order) if order.id == id => order.qty = qty,
                _ => {}
            }
        }
    }

    /// What stands before a place.
    fn ahead(&self, is_it: impl Fn(&Place) -> bool) -> Option<Ahead> {
        let queue = self.levels.values().find(|queue| queue.iter().any(&is_it))?;
        let mut ahead = Ahead::default();
        for place in queue.iter().take_while(|place| !is_it(place)) {
            if let Place::Order(order) = place {
                ahead.qty += order.qty;
                ahead.orders += 1;
            }
        }
        Some(ahead)
    }

    fn side(&self, side: Side) -> Vec<Level> {
        let mut levels: Vec<Level> = Vec::new();
        for order in self.orders().filter(|order| order.side == side) {
            match levels.last_mut().filter(|last| last.price == order.price) {
                Some(last) => last.qty += order.qty,
                None => levels.push(Level { price: order.price, qty: order.qty }),
            }
        }
        levels
    }

    /// What the change does, or why it cannot be.
    fn apply(&mut self, op: &OrderOp, ts: i64) -> Result<Touched, Fault> {
        let side = match op.side {
            1 => Side::Bid,
            2 => Side::Ask,
            _ => Side::Bid,
        };
        let new = Order {
            id: op.order_id,
            price: op.price,
            qty: op.qty,
            priority: op.priority,
            ts,
            side,
            flags: op.op_flags,
        };
        let old = self.find(op.order_id);
        match op.op {
            order_op::ADD if !matches!(op.side, 1 | 2) => Err(Fault::BadCode),
            order_op::ADD if old.is_some() => Err(Fault::Duplicate),
            order_op::ADD if op.qty <= 0 => Err(Fault::BadQuantity),
            order_op::ADD => {
                self.join(new);
                Ok(Touched::Level((side, op.price)))
            }
            order_op::CLEAR => {
                for queue in self.levels.values_mut() {
                    queue.retain(|place| matches!(place, Place::Mark(_)));
                }
                self.levels.retain(|_, queue| !queue.is_empty());
                Ok(Touched::All)
            }
            2..=6 => {
                let old = old.ok_or(Fault::Unknown)?;
                let level = (old.side, old.price);
                match op.op {
                    order_op::MODIFY_KEEP if op.price != old.price => return Err(Fault::Moved),
                    order_op::MODIFY_KEEP if op.qty <= 0 => return Err(Fault::BadQuantity),
                    order_op::MODIFY_KEEP => self.resize(old.id, op.qty),
                    order_op::DELETE => self.leave(old.id),
                    order_op::EXECUTE if op.qty <= 0 => return Err(Fault::BadQuantity),
                    order_op::EXECUTE if op.qty > old.qty => return Err(Fault::Overfill),
                    order_op::EXECUTE if op.qty == old.qty => self.leave(old.id),
                    order_op::EXECUTE => self.resize(old.id, old.qty - op.qty),
                    _ => {
                        let id = if op.op == order_op::REPLACE { op.ref_id } else { old.id };
                        if id != old.id && self.find(id).is_some() {
                            return Err(Fault::Duplicate);
                        }
                        if op.qty <= 0 {
                            return Err(Fault::BadQuantity);
                        }
                        self.leave(old.id);
                        self.join(Order { id, side: old.side, ..new });
                        if op.price != old.price {
                            return Ok(Touched::Levels(level, (old.side, op.price)));
                        }
                    }
                }
                Ok(Touched::Level(level))
            }
            _ => Err(Fault::BadCode),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Op(OrderOp),
    WatchOrder(u64),
    WatchBack(Side, i64),
    Unwatch(prop::sample::Index),
}

fn op(has_priority: bool) -> impl Strategy<Value = OrderOp> {
    let numbers = (0_u64..24, 0_u64..24, 0_u64..6);
    let op = prop_oneof![8 => Just(1_u8), 2 => Just(2), 2 => Just(3), 3 => Just(4), 3 => Just(5), 2 => Just(6), 1 => 7_u8..9];
    (op, numbers, 98_i64..103, -1_i64..9, prop_oneof![9 => 1_u8..3, 1 => 0_u8..4]).prop_map(
        move |(op, (order_id, ref_id, priority), price, qty, side)| OrderOp {
            order_id,
            price,
            qty,
            ref_id,
            priority: if has_priority { priority } else { 0 },
            op: if op == 7 && order_id > 2 { 1 } else { op },
            side,
            op_flags: 0xFF00,
            reserved: 0,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    any::<bool>().prop_flat_map(|has_priority| {
        let side = prop_oneof![Just(Side::Bid), Just(Side::Ask)];
        let back = (side, 98_i64..103).prop_map(|(side, price)| Step::WatchBack(side, price));
        let step = prop_oneof![
            12 => op(has_priority).prop_map(Step::Op),
            1 => (0_u64..24).prop_map(Step::WatchOrder),
            // Where a place between two orders is when one with a priority comes between them is nobody's to say.
            u32::from(!has_priority) => back,
            1 => any::<prop::sample::Index>().prop_map(Step::Unwatch),
        ];
        prop::collection::vec(step, 1..150)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_work_leaves_the_same_orders(steps in steps()) {
        let (mut book, mut naive) = (OrderBook::new(1), Naive::default());
        let mut watches: Vec<(WatchId, Option<u64>)> = Vec::new();
        let mut marks = 0;
        for (ts, step) in steps.iter().enumerate() {
            match step {
                Step::Op(op) => {
                    let ts = ts as i64;
                    let moved = matches!(op.op, order_op::MODIFY_LOSE | order_op::REPLACE);
                    let result = book.apply(op, ts);
                    prop_assert_eq!(result, naive.apply(op, ts));
                    for (_, watched) in &mut watches {
                        if moved && result.is_ok() && *watched == Some(op.order_id) && op.op == order_op::REPLACE {
                            *watched = Some(op.ref_id);
                        } else if watched.is_some_and(|id| naive.find(id).is_none()) {
                            // Another order may have the number later.
                            *watched = Some(u64::MAX);
                        }
                    }
                }
                Step::WatchOrder(id) => match book.watch_order(*id) {
                    Ok(watch) => watches.push((watch, Some(*id))),
                    Err(fault) => {
                        prop_assert_eq!(fault, Fault::Unknown);
                        prop_assert!(naive.find(*id).is_none());
                    }
                },
                Step::WatchBack(side, price) => {
                    let watch = book.watch_back(*side, *price).expect("there is room");
                    naive.levels.entry(key(*side, *price)).or_default().push(Place::Mark(marks));
                    watches.push((watch, None));
                    marks += 1;
                }
                Step::Unwatch(index) => {
                    let ends: Vec<usize> = (0..watches.len()).filter(|at| watches[*at].1.is_some()).collect();
                    if let Some(at) = ends.get(index.index(ends.len().max(1))) {
                        book.unwatch(watches.remove(*at).0);
                    }
                }
            }
            let expected: Vec<Order> = naive.orders().collect();
            let bids = book.queues().orders(Side::Bid);
            prop_assert_eq!(&bids.chain(book.queues().orders(Side::Ask)).collect::<Vec<_>>(), &expected);
            prop_assert_eq!(book.queues().len(), expected.len());
            for side in [Side::Bid, Side::Ask] {
                let levels = naive.side(side);
                prop_assert_eq!(book.queues().levels(side).collect::<Vec<_>>(), levels.clone());
                prop_assert_eq!(book.queues().best(side), levels.first().copied());
            }
            for order in &expected {
                let ahead = naive.ahead(|place| matches!(place, Place::Order(other) if other.id == order.id));
                prop_assert_eq!(book.ahead(order.id), ahead);
                prop_assert_eq!(book.get(order.id), Some(*order));
            }
            let mut mark = 0;
            for (watch, order) in &watches {
                let ahead = match order {
                    Some(id) => naive.ahead(|place| matches!(place, Place::Order(other) if other.id == *id)),
                    None => {
                        mark += 1;
                        naive.ahead(|place| *place == Place::Mark(mark - 1))
                    }
                };
                prop_assert_eq!(book.watched(*watch), ahead);
            }
        }
    }
}

/// The same orders, read from the front of each level to its back.
fn read(book: &OrderBook) -> OrderBook {
    let mut copy = OrderBook::new(1);
    let n_bids = book.queues().len_of(Side::Bid);
    for (at, order) in book.snapshot().enumerate() {
        copy.append(if at < n_bids { Side::Bid } else { Side::Ask }, &order).unwrap();
    }
    copy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Also where some orders of a level have a priority and others have none, so that priorities do not ascend.
    #[test]
    fn orders_that_were_read_stand_as_they_stood_and_go_on_the_same(
        before in prop::collection::vec(op(true), 1..100), after in prop::collection::vec(op(true), 1..50),
    ) {
        let mut book = OrderBook::new(1);
        for op in &before {
            let _ = book.apply(op, 5);
        }
        let mut copy = read(&book);
        prop_assert!(copy.snapshot().eq(book.snapshot()));
        prop_assert_eq!(copy.checksum(), book.checksum());
        for op in &after {
            prop_assert_eq!(copy.apply(op, 6), book.apply(op, 6));
            prop_assert!(copy.snapshot().eq(book.snapshot()));
        }
        let scaled = book.rescaled(1, 10, 3).unwrap();
        let expected = book.snapshot().map(|order| RestingOrder { price: order.price * 10, qty: order.qty * 3, ..order });
        prop_assert!(scaled.snapshot().eq(expected));
        prop_assert!(book.queues().is_empty() || book.rescaled(1, i64::MAX, 1).is_none());
    }
}

fn told(id: u64, price: i64, qty: i64, priority: u64) -> Order {
    Order { id, price, qty, priority, ts: 7, side: Side::Ask, flags: 0xFF00 }
}

/// More halvings between two ranks than there is room for: all of the level get new ones, and nobody's place changes.
#[test]
fn orders_that_come_by_falling_priority_push_in_for_ever() {
    let mut book = OrderBook::new(1);
    for (id, priority) in [(1, 10), (2, 1_000)] {
        book.add(&told(id, 100, 1, priority)).unwrap();
    }
    let last = book.watch_order(2).unwrap();
    let back = book.watch_back(Side::Ask, 100).unwrap();
    for (id, priority) in (3..103).zip((11..999).rev()) {
        book.add(&told(id, 100, 2, priority)).unwrap();
        let ahead = Ahead { qty: 1 + 2 * (id as i64 - 2), orders: id as u32 - 1 };
        assert_eq!(book.watched(last), Some(ahead));
        assert_eq!(book.watched(back), Some(Ahead { qty: ahead.qty + 1, orders: ahead.orders + 1 }));
    }
    let ids: Vec<u64> = book.queues().orders(Side::Ask).map(|order| order.id).collect();
    assert_eq!(ids, std::iter::once(1).chain((3..103).rev()).chain([2]).collect::<Vec<_>>());
    book.delete(1).unwrap();
    assert_eq!(book.watched(last), Some(Ahead { qty: 200, orders: 100 }));
}

/// CRC32C over counts and orders, written out by hand.
#[test]
fn the_checksum_is_over_counts_numbers_prices_and_quantities() {
    let mut book = OrderBook::new(1);
    book.add(&told(9, 101, 3, 0)).unwrap();
    book.add(&told(8, 101, 4, 0)).unwrap();
    book.add(&Order { side: Side::Bid, ..told(7, 100, 5, 0) }).unwrap();
    let mut bytes = vec![1, 0, 2, 0];
    for (id, price, qty) in [(7_u64, 100_i64, 5_i64), (9, 101, 3), (8, 101, 4)] {
        bytes.extend(id.to_le_bytes());
        bytes.extend(price.to_le_bytes());
        bytes.extend(qty.to_le_bytes());
    }
    assert_eq!(book.checksum(), crc32c::crc32c(&bytes));
    let ids: Vec<u64> = book.snapshot().map(|order| order.order_id).collect();
    assert_eq!(ids, [7, 9, 8]);
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut book = OrderBook::new(1);
    book.add(&told(1, 100, i64::MAX, 0)).unwrap();
    assert_eq!(book.add(&told(2, 100, 1, 0)), Err(Fault::Overflow));
    assert_eq!((book.queues().level(Side::Ask, 100), book.get(2)), ((i64::MAX, 1), None));
    book.add(&told(2, 101, 1, 0)).unwrap();
    assert_eq!(book.replace(2, &told(3, 100, 1, 0)), Err(Fault::Overflow));
    assert_eq!(book.get(2), Some(told(2, 101, 1, 0)));
    assert_eq!(book.add(&told(3, NOT_GIVEN, 1, 0)), Err(Fault::NoPrice));
    assert_eq!(book.replace(2, &told(3, NOT_GIVEN, 1, 0)), Err(Fault::NoPrice));
    let again = RestingOrder { order_id: 2, price: 101, qty: 1, ..outcrier_core::wire::zeroed() };
    assert_eq!(book.append(Side::Ask, &again), Err(Fault::Duplicate));
    assert_eq!(book.queues().len(), 2);
}
