//! The queues of a book: orders in linked lists, one list a level, all in one piece of memory.

use super::{Fault, ORDERS_MAX};
use crate::book::Book;
use crate::event::{Level, NOT_GIVEN, OrderOp, RestingOrder, Side};
use crate::wire::digest::{self, OrderBytes};

/// No order, no queue.
const NONE: u32 = u32::MAX;

/// Ranks between two orders that follow each other: so many halvings leave room for an order with an older priority.
const RANK_STEP: u64 = 1 << 24;

/// An order of the book while it is there. What it names afterwards is another order or none: whoever keeps one watches for
/// the order's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u32);

/// One resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The venue's number, or ours where it is inferred.
    pub id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Quantity that is left.
    pub qty: i64,
    /// Queue key of the venue; 0 = none.
    pub priority: u64,
    /// When it took its place, nanoseconds since the epoch.
    pub ts: i64,
    /// Side of the book.
    pub side: Side,
    /// As on the wire: see [`crate::event::OrderOp::op_flags`].
    pub flags: u16,
}

impl Order {
    /// A change of it as it stands on the wire; `qty` and `ref_id` as the operation has them.
    pub(crate) fn op(&self, op: u8, qty: i64, ref_id: u64, op_flags: u16) -> OrderOp {
        OrderOp {
            order_id: self.id,
            price: self.price,
            qty,
            ref_id,
            priority: 0,
            op,
            side: self.side as u8,
            op_flags,
            reserved: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))] // An order is looked at by one line of the cache.
struct Node {
    id: u64,
    qty: i64,
    priority: u64,
    ts: i64,
    /// Grows from the front of a queue to its back, and for orders at the back also with time.
    rank: u64,
    queue: u32,
    prev: u32,
    next: u32,
    flags: u16,
}

/// The orders of one level.
#[derive(Clone, Copy, Debug)]
struct Queue {
    price: i64,
    qty: i64,
    first: u32,
    last: u32,
    orders: u32,
    side: Side,
}

/// What an order that is taken out leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) order: Order,
    pub(super) rank: u64,
}

/// The queue of a level while it has orders: found once, it is used for all that one change does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueAt(u32);

/// Orders by price and time. Nothing is looked up by number here: see [`super::OrderBook`].
#[derive(Clone, Debug)]
pub struct Queues {
    /// One more than the number of the queue, as the quantity of its level.
    places: Book,
    queues: Vec<Queue>,
    free_queues: Vec<u32>,
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    next_rank: u64,
    /// The last order that was added found no rank between its neighbours.
    has_renumbered: bool,
}

impl Queues {
    /// No orders. `tick` as with [`Book::new`].
    #[must_use]
    pub fn new(tick: i64) -> Self {
        Self {
            places: Book::new(tick),
            queues: Vec::new(),
            free_queues: Vec::new(),
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            next_rank: RANK_STEP,
            has_renumbered: false,
        }
    }

    /// Orders in the book.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }

    /// Orders of a side.
    #[must_use]
    pub fn len_of(&self, side: Side) -> usize {
        self.places.levels(side).map(|place| self.queues[(place.qty - 1) as usize].orders as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all orders and keeps the memory.
    pub fn clear(&mut self) {
        self.places.clear();
        self.queues.clear();
        self.free_queues.clear();
        self.nodes.clear();
        self.free_nodes.clear();
    }

    /// Puts an order at the back of its queue; with a priority, behind the last order whose priority is not higher.
    ///
    /// # Errors
    /// [`Fault::BadQuantity`], [`Fault::NoPrice`], [`Fault::Overflow`] of the level, [`Fault::Full`].
    #[inline]
    pub fn add(&mut self, order: &Order) -> Result<Handle, Fault> {
        self.put(order, order.priority)
    }

    /// Puts an order at the back of its queue whatever its priority: what is copied queue by queue, the front first, has its
    /// places already.
    ///
    /// # Errors
    /// As [`Queues::add`].
    pub fn append(&mut self, order: &Order) -> Result<Handle, Fault> {
        self.put(order, 0)
    }

    /// Puts an order where `place` as a priority puts it.
    #[inline]
    fn put(&mut self, order: &Order, place: u64) -> Result<Handle, Fault> {
        let queue = self.at(order.side, order.price);
        self.put_into(order, queue, place)
    }

    /// Puts an order into a queue that was found, where `place` as a priority puts it; `None` = there is none at its level.
    #[inline]
    fn put_into(&mut self, order: &Order, queue: Option<QueueAt>, place: u64) -> Result<Handle, Fault> {
        check(order)?;
        if self.free_nodes.is_empty() && self.nodes.len() >= ORDERS_MAX {
            return Err(Fault::Full);
        }
        if let Some(QueueAt(queue)) = queue {
            self.queues[queue as usize].qty.checked_add(order.qty).ok_or(Fault::Overflow)?;
        }
        Ok(self.join(order, queue.map(|QueueAt(queue)| queue), place))
    }

    /// The same at the back of a queue that was found, `None` = there is none at its level.
    ///
    /// # Errors
    /// As [`Queues::add`].
    #[inline]
    pub(super) fn push(&mut self, order: &Order, queue: Option<QueueAt>) -> Result<Handle, Fault> {
        self.put_into(order, queue, 0)
    }

    /// Takes an order out and puts another one in as [`Queues::add`] does.
    ///
    /// # Errors
    /// As there; nothing has changed then.
    pub(super) fn replace(&mut self, handle: Handle, order: &Order) -> Result<(Gone, Handle), Fault> {
        check(order)?;
        let old = self.order(handle);
        let own = if (old.side, old.price) == (order.side, order.price) { old.qty } else { 0 };
        let others = self.level(order.side, order.price).0 - own;
        others.checked_add(order.qty).ok_or(Fault::Overflow)?;
        let gone = self.remove(handle);
        let queue = self.find_number(order.side, order.price);
        Ok((gone, self.join(order, queue, order.priority)))
    }

    /// Puts an order, which fits, into its queue, which is made if it is not there.
    #[inline]
    fn join(&mut self, order: &Order, queue: Option<u32>, place: u64) -> Handle {
        let queue = queue.unwrap_or_else(|| self.begin(order.side, order.price));
        let node = Node {
            id: order.id,
            qty: order.qty,
            priority: order.priority,
            ts: order.ts,
            rank: self.take_rank(),
            queue,
            prev: NONE,
            next: NONE,
            flags: order.flags,
        };
        let at = if let Some(at) = self.free_nodes.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        self.queues[queue as usize].qty += order.qty;
        self.link(at, place);
        Handle(at)
    }

    /// Takes an order out.
    #[inline]
    pub(super) fn remove(&mut self, handle: Handle) -> Gone {
        let order = self.order(handle);
        let rank = self.nodes[handle.0 as usize].rank;
        self.unlink(handle.0, order.qty);
        self.free_nodes.push(handle.0);
        Gone { order, rank }
    }

    /// Leaves an order another quantity and its place.
    ///
    /// # Errors
    /// [`Fault::BadQuantity`], [`Fault::Overflow`] of the level; nothing has changed then.
    #[inline]
    pub fn resize(&mut self, handle: Handle, qty: i64) -> Result<(), Fault> {
        if qty <= 0 {
            return Err(Fault::BadQuantity);
        }
        let node = &mut self.nodes[handle.0 as usize];
        let queue = &mut self.queues[node.queue as usize];
        queue.qty = (queue.qty - node.qty).checked_add(qty).ok_or(Fault::Overflow)?;
        node.qty = qty;
        Ok(())
    }

    /// The order.
    #[inline]
    #[must_use]
    pub fn order(&self, handle: Handle) -> Order {
        let node = &self.nodes[handle.0 as usize];
        let queue = &self.queues[node.queue as usize];
        Order {
            id: node.id,
            price: queue.price,
            qty: node.qty,
            priority: node.priority,
            ts: node.ts,
            side: queue.side,
            flags: node.flags,
        }
    }

    /// Grows from the front of a queue to its back; an order that joins the back of any queue has a higher one than all that
    /// were there before it.
    #[inline]
    pub(super) fn rank(&self, handle: Handle) -> u64 {
        self.nodes[handle.0 as usize].rank
    }

    /// The rank of whoever joins the back of a queue now.
    pub(super) fn take_rank(&mut self) -> u64 {
        let rank = self.next_rank;
        self.next_rank += RANK_STEP;
        rank
    }

    /// Whether all orders of the queue to which the last one was added have new ranks. Says it once.
    #[inline]
    pub(super) fn take_renumbered(&mut self) -> bool {
        std::mem::take(&mut self.has_renumbered)
    }

    /// The lowest rank that is behind the first `orders` of a level, `without` not counted.
    pub(super) fn rank_behind(&self, level: (Side, i64), orders: u32, without: Handle) -> u64 {
        let before = self.queue(level.0, level.1).filter(|handle| *handle != without);
        before.take(orders as usize).last().map_or(0, |handle| self.rank(handle) + 1)
    }

    /// Whether no order stands before this one.
    #[inline]
    #[must_use]
    pub fn is_first(&self, handle: Handle) -> bool {
        self.nodes[handle.0 as usize].prev == NONE
    }

    /// The order at the front of a level.
    #[must_use]
    pub fn first(&self, side: Side, price: i64) -> Option<Handle> {
        self.find(side, price).map(|queue| Handle(queue.first))
    }

    /// The order at the back of a level.
    #[must_use]
    pub fn last(&self, side: Side, price: i64) -> Option<Handle> {
        self.find(side, price).map(|queue| Handle(queue.last))
    }

    /// The order behind this one.
    #[must_use]
    pub fn next(&self, handle: Handle) -> Option<Handle> {
        some(self.nodes[handle.0 as usize].next)
    }

    /// The order before this one.
    #[must_use]
    pub fn previous(&self, handle: Handle) -> Option<Handle> {
        some(self.nodes[handle.0 as usize].prev)
    }

    /// The queue of a level, if it has orders.
    #[inline]
    pub(super) fn at(&self, side: Side, price: i64) -> Option<QueueAt> {
        self.find_number(side, price).map(QueueAt)
    }

    /// Quantity of a queue.
    #[inline]
    pub(super) fn qty_at(&self, QueueAt(queue): QueueAt) -> i64 {
        self.queues[queue as usize].qty
    }

    /// The order at the back of a queue.
    #[inline]
    pub(super) fn last_at(&self, QueueAt(queue): QueueAt) -> Handle {
        Handle(self.queues[queue as usize].last)
    }

    /// The order at the front of a queue.
    #[inline]
    pub(super) fn first_at(&self, QueueAt(queue): QueueAt) -> Handle {
        Handle(self.queues[queue as usize].first)
    }

    /// The quantity of an order, and when it took its place.
    #[inline]
    pub(super) fn qty_and_ts(&self, handle: Handle) -> (i64, i64) {
        let node = &self.nodes[handle.0 as usize];
        (node.qty, node.ts)
    }

    /// Quantity and number of orders of a level; zeros = there is none.
    #[inline]
    #[must_use]
    pub fn level(&self, side: Side, price: i64) -> (i64, u32) {
        self.find(side, price).map_or((0, 0), |queue| (queue.qty, queue.orders))
    }

    /// The best level of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.places.best(side).map(|place| self.sum(place))
    }

    /// Levels of a side that have orders.
    #[must_use]
    pub fn n_levels(&self, side: Side) -> usize {
        self.places.len(side)
    }

    /// Price of the level that is farthest from the best.
    #[must_use]
    pub fn worst(&self, side: Side) -> Option<i64> {
        self.places.worst(side).map(|place| place.price)
    }

    /// The levels of a side with the sums of their orders, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.places.levels(side).map(|place| self.sum(place))
    }

    /// The orders of a level, front first.
    pub fn queue(&self, side: Side, price: i64) -> impl Iterator<Item = Handle> + '_ {
        std::iter::successors(self.first(side, price), |handle| self.next(*handle))
    }

    /// All orders of a side: best level first, each from its front.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Order> + '_ {
        let queues = self.places.levels(side);
        queues.flat_map(move |place| self.queue(side, place.price)).map(|handle| self.order(handle))
    }

    /// All orders in the order of a snapshot: bids, then asks, each best level first and its front first.
    pub fn snapshot(&self) -> impl Iterator<Item = RestingOrder> + '_ {
        self.orders(Side::Bid).chain(self.orders(Side::Ask)).map(RestingOrder::from)
    }

    /// CRC32C of all orders: "Checksum. Ours" of the wire format for 0x19.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        let bytes = |order: Order| OrderBytes { order_id: order.id, price: order.price, qty: order.qty };
        let side = |side| (self.len_of(side), self.orders(side).map(bytes));
        let mut crc = 0;
        digest::book_bytes(side(Side::Bid), side(Side::Ask), |bytes| crc = crc32c::crc32c_append(crc, bytes));
        crc
    }

    /// Bytes that it holds, its own included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() - size_of::<Book>()
            + self.places.memory_bytes()
            + self.nodes.capacity() * size_of::<Node>()
            + self.queues.capacity() * size_of::<Queue>()
            + (self.free_nodes.capacity() + self.free_queues.capacity()) * size_of::<u32>()
    }

    fn sum(&self, place: Level) -> Level {
        Level { price: place.price, qty: self.queues[(place.qty - 1) as usize].qty }
    }

    #[inline]
    fn find(&self, side: Side, price: i64) -> Option<&Queue> {
        self.find_number(side, price).map(|queue| &self.queues[queue as usize])
    }

    #[inline]
    fn find_number(&self, side: Side, price: i64) -> Option<u32> {
        let place = self.places.get(side, price);
        (place > 0).then(|| (place - 1) as u32)
    }

    /// Makes the queue of a level.
    fn begin(&mut self, side: Side, price: i64) -> u32 {
        let queue = Queue { price, qty: 0, first: NONE, last: NONE, orders: 0, side };
        let at = if let Some(at) = self.free_queues.pop() {
            self.queues[at as usize] = queue;
            at
        } else {
            self.queues.push(queue);
            (self.queues.len() - 1) as u32
        };
        self.places.set(side, price, i64::from(at) + 1);
        at
    }

    /// Hangs an order into its queue; with a priority, behind the last order whose priority is not higher.
    #[inline]
    fn link(&mut self, at: u32, priority: u64) {
        let queue = self.nodes[at as usize].queue;
        let last = self.queues[queue as usize].last;
        let mut before = last;
        if priority != 0 {
            while before != NONE && self.nodes[before as usize].priority > priority {
                before = self.nodes[before as usize].prev;
            }
        }
        let next = if before == last { NONE } else { self.next_of(before, queue) };
        self.nodes[at as usize].prev = before;
        self.nodes[at as usize].next = next;
        let queue = &mut self.queues[queue as usize];
        queue.orders += 1;
        match before {
            NONE => queue.first = at,
            _ => self.nodes[before as usize].next = at,
        }
        match next {
            NONE => queue.last = at,
            _ => {
                self.nodes[next as usize].prev = at;
                self.rank_between(at);
            }
        }
    }

    fn next_of(&self, before: u32, queue: u32) -> u32 {
        if before == NONE { self.queues[queue as usize].first } else { self.nodes[before as usize].next }
    }

    /// Takes an order out of its queue; the queue ends with its last order.
    #[inline]
    fn unlink(&mut self, at: u32, qty: i64) {
        let Node { queue: number, prev, next, .. } = self.nodes[at as usize];
        let queue = &mut self.queues[number as usize];
        queue.qty -= qty;
        queue.orders -= 1;
        match prev {
            NONE => queue.first = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NONE => queue.last = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        if queue.orders == 0 {
            let (side, price) = (queue.side, queue.price);
            self.places.set(side, price, 0);
            self.free_queues.push(number);
        }
    }

    /// Gives an order between two others a rank between theirs.
    #[cold]
    fn rank_between(&mut self, at: u32) {
        let Node { queue, prev, next, .. } = self.nodes[at as usize];
        let before = if prev == NONE { 0 } else { self.nodes[prev as usize].rank };
        let behind = self.nodes[next as usize].rank;
        let middle = before + (behind - before) / 2;
        if middle > before {
            self.nodes[at as usize].rank = middle;
            return;
        }
        // As if all had joined now, one after the other.
        let mut each = self.queues[queue as usize].first;
        while each != NONE {
            self.nodes[each as usize].rank = self.take_rank();
            each = self.nodes[each as usize].next;
        }
        self.has_renumbered = true;
    }
}

fn check(order: &Order) -> Result<(), Fault> {
    if order.qty <= 0 {
        return Err(Fault::BadQuantity);
    }
    if order.price == NOT_GIVEN { Err(Fault::NoPrice) } else { Ok(()) }
}

fn some(at: u32) -> Option<Handle> {
    (at != NONE).then_some(Handle(at))
}
