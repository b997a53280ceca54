//! Orders that the venue tells: which number of ours an id has, and what a message does to the book.
//!
//! Ids that are texts or UUIDs are mapped to numbers of the session, from 1, in the order in which they are first told: the map
//! is exact, two ids are never one number, and a number is never given twice. An order keeps its number as long as it rests,
//! also over a snapshot that has it still. Ids that are numbers go out as they are.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasherDefault;

use crate::book::Decimals;
use crate::checksum::Algorithm;
use crate::event::{Ids as EventIds, NOT_GIVEN, ORDER_TOLD, OrderOp, OrderRow, OrderVerb, Side, order_op};
use crate::instrument::Scale;
use crate::orders::ids::{IdHasher, Ids};
use crate::orders::{Fault, Order, OrderBook};
use crate::sequence::{Continuity, Rule, Splice};
use crate::shape::{Decoder, OrdersInfo};

/// Events of orders held for one instrument while its snapshot is under way: the busiest products of Coinbase send some
/// hundreds a second, a snapshot takes seconds.
pub const HELD_ORDER_EVENTS_MAX: usize = 1 << 16;
/// Rows held with them: 24 MiB.
pub const HELD_ORDER_ROWS_MAX: usize = 1 << 18;

/// What the feed knows of all orders that its venue tells.
#[derive(Debug)]
pub(super) struct Natives {
    /// How events follow one another and a snapshot joins them; `None`: no shape is about orders.
    pub(super) rule: Option<(Rule, Splice)>,
    /// Neither numbers nor a checksum would show that a message is missing.
    pub(super) are_unproven: bool,
    /// The number that the next order gets.
    pub(super) next: u64,
    /// An instrument whose orders the frame in hand did not fit, and why.
    pub(super) misfit: Option<(u32, String)>,
    /// Buffers that keep their memory.
    pub(super) ops: Vec<OrderOp>,
    pub(super) text: Vec<u8>,
}

impl Natives {
    pub(super) fn new(decoder: &Decoder) -> Self {
        let rule = decoder.orders_rule();
        let mut shapes = decoder.shapes().iter().filter(|shape| !shape.rest).filter_map(|shape| shape.orders);
        let has_checksum = shapes.any(|orders| orders.checksum.is_some());
        Self {
            rule,
            are_unproven: rule.is_some_and(|(rule, _)| rule == Rule::None) && !has_checksum,
            next: 1,
            misfit: None,
            ops: Vec::new(),
            text: Vec::new(),
        }
    }
}

/// Why a message does not fit the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Book(Fault),
    /// A change tells another side than the order stands on.
    OtherSide,
    /// The checksum of the venue, and ours.
    Checksum(u64, u64),
}

impl From<Fault> for Misfit {
    fn from(fault: Fault) -> Self {
        Misfit::Book(fault)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Book(fault) => write!(f, "orders: {fault}"),
            Misfit::OtherSide => f.write_str("orders: an order stands on the other side"),
            Misfit::Checksum(..) => f.write_str("orders: the checksum differs"),
        }
    }
}

/// An order message that waits for the snapshot that it joins.
#[derive(Debug)]
pub(super) struct HeldOrders {
    pub(super) ids: EventIds,
    pub(super) exchange_ts: i64,
    pub(super) info: OrdersInfo,
    pub(super) rows: Vec<OrderRow>,
    mono_ns: u64,
}

impl HeldOrders {
    pub(super) fn new(
        ids: EventIds,
        exchange_ts: i64,
        info: OrdersInfo,
        rows: &[OrderRow],
        mono_ns: u64,
    ) -> Self {
        Self { ids, exchange_ts, info, rows: rows.to_vec(), mono_ns }
    }
}

/// What is known of an order beside the book.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: u128,
    decimals: Decimals,
}

/// Our numbers of a venue's ids.
#[derive(Debug, Default)]
struct Numbers {
    by_key: HashMap<u128, u64, BuildHasherDefault<IdHasher>>,
    known: Ids<Known>,
}

impl Numbers {
    fn insert(&mut self, number: u64, known: Known) {
        self.by_key.insert(known.key, number);
        self.known.insert(number, known);
    }

    fn remove(&mut self, number: u64) {
        if let Some(known) = self.known.remove(&number) {
            self.by_key.remove(&known.key);
        }
    }
}

/// The orders of one instrument that its venue tells.
#[derive(Debug)]
pub(super) struct Native {
    pub(super) chain: Continuity,
    /// Id of the snapshot that the next event must join.
    pub(super) joining: Option<u64>,
    /// The connection that the last event came on; 0 = none.
    pub(super) connection: u32,
    numbers: Numbers,
    held: VecDeque<HeldOrders>,
    held_rows: usize,
    has_overflowed: bool,
}

impl Native {
    pub(super) fn new((rule, splice): (Rule, Splice)) -> Self {
        Self {
            chain: Continuity::new(rule, splice),
            joining: None,
            connection: 0,
            numbers: Numbers::default(),
            held: VecDeque::new(),
            held_rows: 0,
            has_overflowed: false,
        }
    }

    /// Nothing is known any more; returns how many held events were dropped. Numbers are kept for orders that are told again.
    pub(super) fn forget(&mut self) -> u64 {
        self.chain.reset();
        self.joining = None;
        self.connection = 0;
        self.drop_held()
    }

    // Held events.

    /// Adds an event; returns how many the bounds pushed out, and whether they are the first.
    pub(super) fn hold(&mut self, event: HeldOrders, for_ns: u64) -> (u64, bool) {
        let now_ns = event.mono_ns;
        self.held_rows += event.rows.len();
        self.held.push_back(event);
        let mut dropped = 0;
        while self.held.len() > HELD_ORDER_EVENTS_MAX
            || self.held_rows > HELD_ORDER_ROWS_MAX
            || self.held.front().is_some_and(|first| now_ns.saturating_sub(first.mono_ns) > for_ns)
        {
            self.pop_held();
            dropped += 1;
        }
        let is_first = dropped > 0 && !self.has_overflowed;
        self.has_overflowed |= dropped > 0;
        (dropped, is_first)
    }

    pub(super) fn front(&self) -> Option<&HeldOrders> {
        self.held.front()
    }

    pub(super) fn pop_held(&mut self) -> Option<HeldOrders> {
        let event = self.held.pop_front()?;
        self.held_rows -= event.rows.len();
        Some(event)
    }

    pub(super) fn drop_held(&mut self) -> u64 {
        let dropped = self.held.len() as u64;
        self.held.clear();
        (self.held_rows, self.has_overflowed) = (0, false);
        dropped
    }

    /// Follows finer exponents; returns how many held events were dropped because a number does not fit.
    pub(super) fn rescale(&mut self, price_factor: i64, qty_factor: i64) -> u64 {
        let fit = self.held.iter_mut().flat_map(|event| event.rows.iter_mut()).all(|row| {
            [(&mut row.price, price_factor), (&mut row.qty, qty_factor)].into_iter().all(|(mantissa, by)| {
                *mantissa == NOT_GIVEN || mantissa.checked_mul(by).map(|scaled| *mantissa = scaled).is_some()
            })
        });
        if fit { 0 } else { self.drop_held() }
    }

    // Books.

    /// The book of all orders that a message tells. What it does not have any more loses its number.
    pub(super) fn whole(
        &mut self,
        tick: i64,
        rows: &[OrderRow],
        info: OrdersInfo,
        next: &mut u64,
    ) -> Result<OrderBook, Misfit> {
        let mut book = OrderBook::new(tick);
        let mut numbers = Numbers::default();
        for row in rows {
            if numbers.by_key.contains_key(&row.key) {
                return Err(Fault::Duplicate.into());
            }
            let known = self.numbers.by_key.get(&row.key).copied();
            let number = known.unwrap_or_else(|| take_number(row.key, info, next));
            book.add(&order_of(number, row, info))?;
            numbers.insert(number, Known { key: row.key, decimals: decimals_of(row) });
        }
        self.numbers = numbers;
        Ok(book)
    }

    /// Applies the rows of a message one by one, and cuts what they push out of the depth that the venue keeps; `ops` gets what
    /// was done. Returns how many rows were about orders that are not there, which said nothing.
    pub(super) fn apply(
        &mut self,
        book: &mut OrderBook,
        (rows, info): (&[OrderRow], OrdersInfo),
        ts: i64,
        next: &mut u64,
        ops: &mut Vec<OrderOp>,
    ) -> Result<u64, Misfit> {
        ops.clear();
        let mut absent = 0;
        for row in rows {
            let Some(op) = self.op(book, row, info, next)? else {
                absent += 1;
                continue;
            };
            book.apply(&op, ts)?;
            if book.get(op.order_id).is_none() {
                self.numbers.remove(op.order_id);
            }
            ops.push(op);
        }
        self.cut(book, info, ts, ops)?;
        Ok(absent)
    }

    /// What a row does to the orders; `None`: it is about one that is not there, and the venue says that this means nothing.
    fn op(
        &mut self,
        book: &OrderBook,
        row: &OrderRow,
        info: OrdersInfo,
        next: &mut u64,
    ) -> Result<Option<OrderOp>, Misfit> {
        let number = self.numbers.by_key.get(&row.key).copied();
        let resting = number.and_then(|number| book.get(number));
        let Some(order) = resting else {
            let may_miss = match row.verb {
                OrderVerb::Add => {
                    let number = number.unwrap_or_else(|| take_number(row.key, info, next));
                    self.numbers.insert(number, Known { key: row.key, decimals: decimals_of(row) });
                    let order = order_of(number, row, info);
                    let op = order.op(order_op::ADD, row.qty, 0, ORDER_TOLD);
                    return Ok(Some(OrderOp { priority: order.priority, ..op }));
                }
                OrderVerb::Delete => info.absent_delete,
                OrderVerb::Modify => info.absent_modify,
                OrderVerb::Execute => false,
            };
            return if may_miss { Ok(None) } else { Err(Fault::Unknown.into()) };
        };
        if order.side != row.side {
            return Err(Misfit::OtherSide);
        }
        Ok(Some(match row.verb {
            OrderVerb::Add => return Err(Fault::Duplicate.into()),
            OrderVerb::Delete => order.op(order_op::DELETE, 0, 0, ORDER_TOLD),
            OrderVerb::Modify if row.qty == 0 => order.op(order_op::DELETE, 0, 0, ORDER_TOLD),
            OrderVerb::Modify => self.modified(&order, row, info),
            OrderVerb::Execute => order.op(order_op::EXECUTE, row.qty, row.trade_id, ORDER_TOLD),
        }))
    }

    /// Where the venue tells the time of a place, an order stands by it. Elsewhere a smaller quantity at the same price keeps
    /// the place, and everything else loses it.
    fn modified(&mut self, order: &Order, row: &OrderRow, info: OrdersInfo) -> OrderOp {
        let price = if row.price == NOT_GIVEN { order.price } else { row.price };
        let priority = priority_of(row, info);
        let is_same_place = if info.by_time { priority == order.priority } else { row.qty <= order.qty };
        let keeps = price == order.price && is_same_place;
        if let Some(known) = self.numbers.known.get_mut(&order.id) {
            known.decimals.qty = row.qty_decimals;
            if row.price != NOT_GIVEN {
                known.decimals.price = row.price_decimals;
            }
        }
        let op = if keeps { order_op::MODIFY_KEEP } else { order_op::MODIFY_LOSE };
        OrderOp { price, priority, ..order.op(op, row.qty, 0, ORDER_TOLD) }
    }

    /// Takes the levels out that stand behind those that the venue keeps, each order as a deletion.
    pub(super) fn cut(
        &mut self,
        book: &mut OrderBook,
        info: OrdersInfo,
        ts: i64,
        ops: &mut Vec<OrderOp>,
    ) -> Result<(), Misfit> {
        let Some(depth) = info.depth else { return Ok(()) };
        for side in [Side::Bid, Side::Ask] {
            while book.queues().n_levels(side) > depth as usize
                && let Some(price) = book.queues().worst(side)
                && let Some(first) = book.queues().first(side, price)
            {
                let op = book.queues().order(first).op(order_op::DELETE, 0, 0, ORDER_TOLD);
                book.apply(&op, ts)?;
                self.numbers.remove(op.order_id);
                ops.push(op);
            }
        }
        Ok(())
    }

    /// Compares the orders with the checksum that came with a message; whether there was one.
    pub(super) fn check(
        &self,
        book: &OrderBook,
        told: Option<(Algorithm, i64)>,
        scale: &Scale,
        text: &mut Vec<u8>,
    ) -> Result<bool, Misfit> {
        let Some((algorithm, told)) = told else { return Ok(false) };
        let printed =
            |number| self.numbers.known.get(&number).map_or_else(Decimals::default, |known| known.decimals);
        let Some(ours) = algorithm.of_orders(book, printed, scale, text) else { return Ok(false) };
        let bits = |value: i64| u64::from(value as u32);
        if ours == told { Ok(true) } else { Err(Misfit::Checksum(bits(told), bits(ours))) }
    }
}

fn take_number(key: u128, info: OrdersInfo, next: &mut u64) -> u64 {
    if info.has_numbers {
        return key as u64; // It was read as a number of 64 bits.
    }
    let number = *next;
    *next += 1;
    number
}

/// The queue key of a row, where the venue's times are one; 0 = its place is by its arrival.
fn priority_of(row: &OrderRow, info: OrdersInfo) -> u64 {
    if info.by_time { u64::try_from(row.order_ts).unwrap_or(0) } else { 0 }
}

fn decimals_of(row: &OrderRow) -> Decimals {
    Decimals { price: row.price_decimals, qty: row.qty_decimals }
}

fn order_of(number: u64, row: &OrderRow, info: OrdersInfo) -> Order {
    Order {
        id: number,
        price: row.price,
        qty: row.qty,
        priority: priority_of(row, info),
        ts: if row.order_ts == NOT_GIVEN { 0 } else { row.order_ts },
        side: row.side,
        flags: ORDER_TOLD,
    }
}
