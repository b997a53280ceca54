//! L3 book of one instrument: every order, in price-time priority.
//!
//! [`Queues`] holds the orders: a list a level, all of them in one piece of memory, found by [`Handle`] in constant time. Inferred
//! orders live there directly. [`OrderBook`] adds the venue's numbers, and places that are watched. A level's quantity is the sum of its
//! orders at any moment, so the L2 view needs no copy.
//!
//! Priority is by arrival at a level; venues that name a queue key are kept by it. A place is never inferred from anything else.

mod belief;
pub(crate) mod ids;
mod infer;
mod places;
mod queues;
mod rule;
mod sizes;
mod tape;
mod watch;

use std::fmt;

pub use self::belief::{Belief, Interval, Likely};
use self::ids::Ids;
pub use self::infer::{Edges, Inference, InferenceCounters, as_told};
pub use self::queues::{Handle, Order, Queues};
pub use self::rule::{Rule, Weights};
pub use self::tape::FILL_HORIZON_MAX_NS;
use self::watch::WatchedQueues;
pub use self::watch::{Ahead, WatchId};
use crate::event::{ORDER_INFERRED, OrderOp, RestingOrder, Side, order_op};

/// Orders of a book. The fullest real one so far has 13,600 (CME ES in 2024); with all of them a book takes 90 MB.
pub const ORDERS_MAX: usize = 1 << 20;

/// Places that are watched at a time in a book.
pub const WATCHES_MAX: usize = 1 << 16;

/// Flags of an order that is deleted because its level left those that the venue tells: inferred, without any confidence. Nobody
/// knows what stands before a place there from then on.
const UNSEEN: u16 = ORDER_INFERRED;

/// Why a change does not fit the book. The book is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No order has this number.
    Unknown,
    /// An order has this number already.
    Duplicate,
    /// A quantity of zero or less.
    BadQuantity,
    /// An order without a price.
    NoPrice,
    /// More was executed than is left.
    Overfill,
    /// The order keeps its place at another price.
    Moved,
    /// The quantities of a level do not fit 64 bits.
    Overflow,
    /// [`ORDERS_MAX`] or [`WATCHES_MAX`].
    Full,
    /// No side, or no operation, of this number.
    BadCode,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Unknown => "no order has this number",
            Fault::Duplicate => "an order has this number already",
            Fault::BadQuantity => "a quantity of zero or less",
            Fault::NoPrice => "an order without a price",
            Fault::Overfill => "more was executed than is left of the order",
            Fault::Moved => "an order keeps its place at another price",
            Fault::Overflow => "the quantities of a level do not fit 64 bits",
            Fault::Full => "the book is full",
            Fault::BadCode => "no such side or operation",
        })
    }
}

impl std::error::Error for Fault {}

/// The levels that a change touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// One level.
    Level((Side, i64)),
    /// An order moved from the first to the second.
    Levels((Side, i64), (Side, i64)),
    /// All: the book, or a side of it, was cleared.
    All,
}

/// What became of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The level.
    pub level: (Side, i64),
    /// Quantity left of the order; 0 = it is gone.
    pub left: i64,
    /// It was the first of its queue, as price-time priority has it.
    pub was_first: bool,
}

/// What was executed, in counts of executions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionCounts {
    /// All.
    pub all: u64,
    /// Of the first order of its queue, as price-time priority has it.
    pub of_first: u64,
}

/// The orders of one instrument by the venue's numbers.
///
/// ```
/// use outcrier_core::event::Side;
/// use outcrier_core::orders::{Order, OrderBook};
///
/// let mut book = OrderBook::new(1);
/// let order = |id, qty| Order { id, price: 100, qty, priority: 0, ts: 0, side: Side::Bid, flags: 0 };
/// book.add(&order(1, 5)).unwrap();
/// book.add(&order(2, 7)).unwrap();
/// assert_eq!(book.queues().level(Side::Bid, 100), (12, 2));
/// assert_eq!(book.ahead(2).unwrap().qty, 5);
/// assert!(book.execute(1, 5).unwrap().was_first);
/// assert_eq!(book.ahead(2).unwrap().qty, 0);
/// ```
#[derive(Clone, Debug)]
pub struct OrderBook {
    queues: WatchedQueues,
    ids: Ids<Handle>,
    executions: ExecutionCounts,
}

impl OrderBook {
    /// An empty book. `tick` as with [`crate::book::Book::new`].
    #[must_use]
    pub fn new(tick: i64) -> Self {
        Self { queues: WatchedQueues::new(tick), ids: Ids::default(), executions: ExecutionCounts::default() }
    }

    /// The queues, to read.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues.queues
    }

    /// The order of a number.
    #[inline]
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Order> {
        self.ids.get(&id).map(|handle| self.queues().order(*handle))
    }

    /// A new order at the back of its level, or where its priority puts it.
    ///
    /// # Errors
    /// [`Fault::Duplicate`] and those of [`Queues::add`].
    #[inline]
    pub fn add(&mut self, order: &Order) -> Result<Touched, Fault> {
        if self.ids.contains_key(&order.id) {
            return Err(Fault::Duplicate);
        }
        let handle = self.queues.add(order)?;
        self.ids.insert(order.id, handle);
        Ok(Touched::Level((order.side, order.price)))
    }

    /// An order of a whole book that is read from the front of each level to its back: its place is behind those before it,
    /// whatever its priority.
    ///
    /// # Errors
    /// [`Fault::Duplicate`] and those of [`Queues::append`].
    pub fn append(&mut self, side: Side, order: &RestingOrder) -> Result<(), Fault> {
        if self.ids.contains_key(&order.order_id) {
            return Err(Fault::Duplicate);
        }
        let handle = self.queues.append(&Order {
            id: order.order_id,
            price: order.price,
            qty: order.qty,
            priority: order.priority,
            ts: order.order_ts,
            side,
            flags: order.order_flags,
        })?;
        self.ids.insert(order.order_id, handle);
        Ok(())
    }

    /// The same orders with prices and quantities multiplied; `None` if a number does not fit. Watches stay behind.
    #[must_use]
    pub fn rescaled(&self, tick: i64, price_factor: i64, qty_factor: i64) -> Option<Self> {
        let mut book = Self::new(tick);
        let n_bids = self.queues().len_of(Side::Bid);
        for (at, order) in self.snapshot().enumerate() {
            let price = order.price.checked_mul(price_factor)?;
            let qty = order.qty.checked_mul(qty_factor)?;
            let side = if at < n_bids { Side::Bid } else { Side::Ask };
            book.append(side, &RestingOrder { price, qty, ..order }).ok()?;
        }
        Some(book)
    }

    /// Another quantity at the same place.
    ///
    /// # Errors
    /// [`Fault::Unknown`], [`Fault::BadQuantity`], [`Fault::Overflow`].
    #[inline]
    pub fn resize(&mut self, id: u64, qty: i64) -> Result<Touched, Fault> {
        let handle = self.handle(id)?;
        self.queues.resize(handle, qty)?;
        let order = self.queues().order(handle);
        Ok(Touched::Level((order.side, order.price)))
    }

    /// Another price or quantity at the back of the level, under the same number or another one.
    ///
    /// # Errors
    /// [`Fault::Unknown`], [`Fault::Duplicate`], and those of [`Queues::add`].
    pub fn replace(&mut self, id: u64, new: &Order) -> Result<Touched, Fault> {
        let handle = self.handle(id)?;
        if new.id != id && self.ids.contains_key(&new.id) {
            return Err(Fault::Duplicate);
        }
        let order = Order { side: self.queues().order(handle).side, ..*new };
        let (gone, joined) = self.queues.replace(handle, &order)?;
        self.ids.remove(&id);
        self.ids.insert(order.id, joined);
        let (from, to) = ((gone.side, gone.price), (order.side, order.price));
        Ok(if from == to { Touched::Level(from) } else { Touched::Levels(from, to) })
    }

    /// The order is gone.
    ///
    /// # Errors
    /// [`Fault::Unknown`].
    #[inline]
    pub fn delete(&mut self, id: u64) -> Result<Touched, Fault> {
        let handle = self.ids.remove(&id).ok_or(Fault::Unknown)?;
        let gone = self.queues.remove(handle);
        Ok(Touched::Level((gone.side, gone.price)))
    }

    /// The order traded.
    ///
    /// # Errors
    /// [`Fault::Unknown`], [`Fault::BadQuantity`], [`Fault::Overfill`].
    #[inline]
    pub fn execute(&mut self, id: u64, qty: i64) -> Result<Executed, Fault> {
        let handle = self.handle(id)?;
        let order = self.queues().order(handle);
        if qty <= 0 {
            return Err(Fault::BadQuantity);
        }
        let left = order.qty.checked_sub(qty).filter(|left| *left >= 0).ok_or(Fault::Overfill)?;
        let was_first = self.queues().is_first(handle);
        let level = (order.side, order.price);
        self.executions.all += 1;
        self.executions.of_first += u64::from(was_first);
        if left == 0 {
            self.ids.remove(&id);
            self.queues.remove(handle);
        } else {
            self.queues.resize(handle, left)?;
        }
        Ok(Executed { level, left, was_first })
    }

    /// What was executed since the book was made.
    #[must_use]
    pub fn executions(&self) -> ExecutionCounts {
        self.executions
    }

    /// Removes all orders of the book.
    pub fn clear(&mut self) {
        self.queues.clear();
        self.ids.clear();
    }

    /// Makes a change as it stands on the wire; `ts` is the time of the event.
    ///
    /// # Errors
    /// Those of the operation; [`Fault::Moved`], [`Fault::BadCode`].
    pub fn apply(&mut self, op: &OrderOp, ts: i64) -> Result<Touched, Fault> {
        let order = |id, side| Order {
            id,
            price: op.price,
            qty: op.qty,
            priority: op.priority,
            ts,
            side,
            flags: op.op_flags,
        };
        match op.op {
            order_op::ADD => self.add(&order(op.order_id, side_of(op.side)?)),
            order_op::MODIFY_KEEP => {
                if self.get(op.order_id).ok_or(Fault::Unknown)?.price != op.price {
                    return Err(Fault::Moved);
                }
                self.resize(op.order_id, op.qty)
            }
            order_op::MODIFY_LOSE => self.replace(op.order_id, &order(op.order_id, Side::Bid)),
            order_op::DELETE => {
                let touched = self.delete(op.order_id)?;
                if op.op_flags == UNSEEN
                    && let Touched::Level(level) = touched
                {
                    self.queues.lose(level);
                }
                Ok(touched)
            }
            order_op::EXECUTE => self.execute(op.order_id, op.qty).map(|done| Touched::Level(done.level)),
            order_op::REPLACE => self.replace(op.order_id, &order(op.ref_id, Side::Bid)),
            order_op::CLEAR => {
                self.clear();
                Ok(Touched::All)
            }
            _ => Err(Fault::BadCode),
        }
    }

    /// What stands before an order. Walks its queue from the front; a place that is asked for often is watched instead.
    #[must_use]
    pub fn ahead(&self, id: u64) -> Option<Ahead> {
        self.ids.get(&id).map(|handle| self.queues.ahead(*handle))
    }

    /// Watches the place of an order, wherever it goes.
    ///
    /// # Errors
    /// [`Fault::Unknown`], [`Fault::Full`].
    pub fn watch_order(&mut self, id: u64) -> Result<WatchId, Fault> {
        let handle = self.handle(id)?;
        self.queues.watch(handle)
    }

    /// Watches the place at the back of a level, as of an order that joins now and stays.
    ///
    /// # Errors
    /// [`Fault::Full`].
    pub fn watch_back(&mut self, side: Side, price: i64) -> Result<WatchId, Fault> {
        self.queues.watch_back(side, price)
    }

    /// What stands before a watched place; `None` = its order is gone.
    #[must_use]
    pub fn watched(&self, id: WatchId) -> Option<Ahead> {
        self.queues.watched(id)
    }

    /// Ends a watch, also one whose order is gone.
    pub fn unwatch(&mut self, id: WatchId) {
        self.queues.unwatch(id);
    }

    /// The orders in the order of a snapshot: bids, then asks, each best level first and its front first.
    pub fn snapshot(&self) -> impl Iterator<Item = RestingOrder> + '_ {
        self.queues().snapshot()
    }

    /// CRC32C of all orders: "Checksum. Ours" of the wire format for 0x19.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.queues().checksum()
    }

    /// Bytes that the book holds, its own included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        // A slot of the table is a number, a handle and a byte of its own.
        let slot = size_of::<(u64, Handle)>() + 1;
        size_of::<Self>() - size_of::<Queues>() + self.queues().memory_bytes() + self.ids.capacity() * slot
    }

    #[inline]
    fn handle(&self, id: u64) -> Result<Handle, Fault> {
        self.ids.get(&id).copied().ok_or(Fault::Unknown)
    }
}

impl From<Order> for RestingOrder {
    fn from(order: Order) -> Self {
        Self {
            order_id: order.id,
            price: order.price,
            qty: order.qty,
            priority: order.priority,
            order_ts: order.ts,
            order_flags: order.flags,
            reserved: [0; 6],
        }
    }
}

fn side_of(side: u8) -> Result<Side, Fault> {
    match side {
        1 => Ok(Side::Bid),
        2 => Ok(Side::Ask),
        _ => Err(Fault::BadCode),
    }
}
