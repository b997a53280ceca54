//! The consumer's copy of the orders of an instrument, beside its levels.

use super::mirror::{Applied, Mirror};
use super::whole::{Broken, Scaled, Whole, check};
use crate::event::{OrderOp, RestingOrder, Side};
use crate::orders::OrderBook;
use crate::wire::{BookSnapshot, Frame, Header, Records, checksum_kind, flags};

/// The orders of an instrument that tells of them.
#[derive(Debug)]
pub struct Orders {
    /// Every order, at `price_exp` and `qty_exp`. Empty also while the publisher does not know them.
    pub book: OrderBook,
    /// Exponent of prices: the definition's, except between a new definition and the orders that follow it.
    pub price_exp: i8,
    /// Exponent of quantities.
    pub qty_exp: i8,
    /// Counts upward with every whole that began them anew: the places that are watched end with it.
    pub whole: u64,
}

/// A part of a split event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// An operation.
    Op(OrderOp),
    /// An order of the whole book.
    Rests(Side, RestingOrder),
}

impl Orders {
    /// `wholes` counts them.
    fn new(Scaled { book, price_exp, qty_exp }: Scaled<OrderBook>, wholes: &mut u64) -> Box<Self> {
        *wholes += 1;
        Box::new(Self { book, price_exp, qty_exp, whole: *wholes })
    }
}

impl Mirror {
    /// The orders that a group has, in place of those before; without them there are none.
    pub(super) fn take_orders(&mut self, orders: Option<Scaled<OrderBook>>) {
        self.orders = orders.map(|orders| Orders::new(orders, &mut self.wholes));
    }

    /// ORDER_OPS; `staged_others` as with [`Mirror::apply`].
    pub(super) fn order_ops(
        &mut self,
        frame: &Frame<'_>,
        mut ops: Records<'_, OrderOp>,
        staged_others: usize,
    ) -> Applied {
        let header = &frame.header;
        if header.has(flags::EVENT_END) && !self.staged_orders.is_open() && !header.has(flags::RESET) {
            let applied = self.orders_at(header).and_then(|orders| {
                let ts = order_ts(header);
                ops.try_for_each(|op| orders.book.apply(&op, ts).map(drop)).map_err(Broken::from)
            });
            return applied.into();
        }
        self.stage_orders(frame, ops.map(Change::Op), staged_others, (checksum_kind::NONE, 0)).into()
    }

    /// ORDER_SNAPSHOT in-band.
    pub(super) fn order_book(
        &mut self,
        frame: &Frame<'_>,
        root: &BookSnapshot,
        orders: Records<'_, RestingOrder>,
        staged_others: usize,
    ) -> Applied {
        let (bids, asks) = root.sides(orders);
        let of = |side| move |order| Change::Rests(side, order);
        let changes = bids.map(of(Side::Bid)).chain(asks.map(of(Side::Ask)));
        self.stage_orders(frame, changes, staged_others, (root.checksum_kind, root.book_checksum)).into()
    }

    /// Keeps the changes of a split event, and applies all of them at its end.
    fn stage_orders(
        &mut self,
        frame: &Frame<'_>,
        changes: impl Iterator<Item = Change>,
        staged_others: usize,
        (kind, checksum): (u8, u32),
    ) -> Result<(), Broken> {
        let header = &frame.header;
        if !self.staged_orders.push(header.flags, changes, staged_others)? {
            return Ok(());
        }
        let (changes, reset) = self.staged_orders.take();
        if reset {
            self.orders = None;
        }
        let ts = order_ts(header);
        let book = &mut self.orders_at(header)?.book;
        for change in &changes {
            match change {
                Change::Op(op) => drop(book.apply(op, ts)?),
                Change::Rests(side, order) => book.put(*side, order)?,
            }
        }
        check(book, kind, checksum)?;
        self.staged_orders.keep(changes);
        Ok(())
    }

    /// The orders, if what comes is at their exponents; without an order they take those.
    fn orders_at(&mut self, header: &Header) -> Result<&mut Orders, Broken> {
        let Header { price_exp, qty_exp, .. } = *header;
        let tick = self.def.as_ref().map_or(0, |def| def.tick_size);
        let Self { orders, wholes, .. } = self;
        let orders = orders.get_or_insert_with(|| {
            Orders::new(Scaled { book: OrderBook::new(tick), price_exp, qty_exp }, wholes)
        });
        if orders.book.queues().is_empty() {
            (orders.price_exp, orders.qty_exp) = (price_exp, qty_exp);
        }
        if (orders.price_exp, orders.qty_exp) == (price_exp, qty_exp) {
            Ok(orders)
        } else {
            Err(Broken::Exponents)
        }
    }
}

/// When orders of an event took their place: as the exchange says, else when its message came.
fn order_ts(header: &Header) -> i64 {
    if header.has(flags::NO_EXCH_TS) { header.recv_ts } else { header.exchange_ts }
}
