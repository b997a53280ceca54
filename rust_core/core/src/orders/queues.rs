//! The queues of a book: orders in linked lists, one list a level, all in one piece of memory.

use std::hint::select_unpredictable;

use super::places::{Place, Places, Queue, QueueAt};
use super::{Fault, ORDERS_MAX};
use crate::event::{Level, NOT_GIVEN, OrderOp, RestingOrder, Side};
use crate::wire::digest::{self, OrderBytes};

/// No order: what is written to it is never read, so an order at the end of a queue needs no branch.
pub(super) const NONE: u32 = 0;

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
    queue: QueueAt,
    prev: u32,
    next: u32,
    flags: u16,
}

impl Node {
    /// Stands where there is no order.
    const NONE: Self = Self {
        id: 0,
        qty: 0,
        priority: 0,
        ts: 0,
        rank: 0,
        queue: QueueAt::FIRST,
        prev: NONE,
        next: NONE,
        flags: 0,
    };

    #[inline]
    fn order(&self, side: Side, price: i64) -> Order {
        let Self { id, qty, priority, ts, flags, .. } = *self;
        Order { id, price, qty, priority, ts, side, flags }
    }
}

/// What an order that is taken out leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) order: Order,
    pub(super) rank: u64,
}

/// Orders by price and time. Nothing is looked up by number here: see [`super::OrderBook`].
#[derive(Clone, Debug)]
pub struct Queues {
    /// The queues of the levels.
    places: Places,
    /// By number; the first one is [`Queue::NONE`].
    queues: Vec<Queue>,
    /// The first free queue; its `first` is the next one. 0 = none.
    free_queue: u32,
    /// By number; the first one is [`Node::NONE`].
    nodes: Vec<Node>,
    /// The first free order; its `next` is the next one.
    free_node: u32,
    /// Orders in the book.
    len: usize,
    next_rank: u64,
    /// The last order that was added found no rank between its neighbours.
    has_renumbered: bool,
}

impl Queues {
    /// No orders. `tick` as with [`crate::book::Book::new`].
    #[must_use]
    pub fn new(tick: i64) -> Self {
        Self::with(Places::in_order(tick))
    }

    /// No orders, for one who hardly asks for the best level, or for all: these are sorted then, and a new level costs less.
    pub(super) fn unordered() -> Self {
        Self::with(Places::unordered())
    }

    fn with(places: Places) -> Self {
        Self {
            places,
            queues: vec![Queue::NONE],
            free_queue: 0,
            nodes: vec![Node::NONE],
            free_node: NONE,
            len: 0,
            next_rank: RANK_STEP,
            has_renumbered: false,
        }
    }

    /// Orders in the book.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Orders of a side.
    #[must_use]
    pub fn len_of(&self, side: Side) -> usize {
        self.places.queues(side).map(|queue| self.queues[queue.index()].orders as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all orders and keeps the memory.
    pub fn clear(&mut self) {
        self.places.clear();
        self.queues.truncate(1);
        self.nodes.truncate(1);
        (self.free_queue, self.free_node, self.len) = (0, NONE, 0);
    }

    /// Takes memory ahead: changes need none, unless orders or levels become twice as many. Belongs to the moments in which a whole
    /// book arrives.
    pub(super) fn reserve(&mut self) {
        self.nodes.reserve(self.len);
        self.queues.reserve(self.queues.len());
        // Memory that nobody has touched yet costs a fault of its page.
        let (orders, queues) = (self.nodes.len(), self.queues.len());
        self.nodes.resize(self.nodes.capacity(), Node::NONE);
        self.nodes.truncate(orders);
        self.queues.resize(self.queues.capacity(), Queue::NONE);
        self.queues.truncate(queues);
    }

    /// Puts an order at the back of its queue; with a priority, behind the last order whose priority is not higher.
    ///
    /// # Errors
    /// [`Fault::BadQuantity`], [`Fault::NoPrice`], [`Fault::Overflow`] of the level, [`Fault::Full`].
    #[inline]
    pub fn add(&mut self, order: &Order) -> Result<Handle, Fault> {
        let place = self.at(order.side, order.price);
        self.check(order.price, order.qty, place)?;
        Ok(self.join(order, place))
    }

    /// Puts an order at the back of its queue whatever its priority: what is copied queue by queue, the front first, has its
    /// places already.
    ///
    /// # Errors
    /// As [`Queues::add`].
    pub fn append(&mut self, order: &Order) -> Result<Handle, Fault> {
        let place = self.at(order.side, order.price);
        self.check(order.price, order.qty, place)?;
        Ok(self.join_back(order, place))
    }

    /// Whether an order fits at a level.
    ///
    /// # Errors
    /// As [`Queues::add`].
    #[inline]
    pub(super) fn check(&self, price: i64, qty: i64, place: Place) -> Result<(), Fault> {
        check(price, qty, self.qty_at(place), self.len)
    }

    /// Whether there is no room for another order.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len >= ORDERS_MAX
    }

    /// Takes an order out and puts another one in as [`Queues::add`] does.
    ///
    /// # Errors
    /// As there; nothing has changed then.
    pub(super) fn replace(&mut self, handle: Handle, order: &Order) -> Result<(Gone, Handle), Fault> {
        let old = self.order(handle);
        let own = if (old.side, old.price) == (order.side, order.price) { old.qty } else { 0 };
        check(order.price, order.qty, self.level(order.side, order.price).0 - own, self.len - 1)?;
        let gone = self.remove(handle);
        let place = self.at(order.side, order.price);
        Ok((gone, self.join(order, place)))
    }

    /// Puts an order, which fits, into its queue, which is made if it is not there: where its priority puts it.
    #[inline]
    fn join(&mut self, order: &Order, place: Place) -> Handle {
        let joined = self.join_back(order, place);
        if order.priority != 0 {
            self.advance(joined.0, order.priority);
        }
        joined
    }

    /// The same at the back.
    #[inline(always)]
    pub(super) fn join_back(&mut self, order: &Order, place: Place) -> Handle {
        match place.queue {
            Some(queue) => self.join_queue(order, queue),
            None => self.begin_queue(order, place),
        }
    }

    /// Puts an order at the back of a queue.
    #[inline(always)]
    pub(super) fn join_queue(&mut self, order: &Order, queue_at: QueueAt) -> Handle {
        let prev = self.queues[queue_at.index()].last;
        let at = self.put(order, queue_at, prev);
        self.nodes[prev as usize].next = at;
        let queue = &mut self.queues[queue_at.index()];
        queue.last = at;
        queue.qty += order.qty;
        queue.orders += 1;
        Handle(at)
    }

    /// Puts an order at a level that has none.
    #[inline(always)]
    pub(super) fn begin_queue(&mut self, order: &Order, place: Place) -> Handle {
        let Order { price, qty, side, .. } = *order;
        let queue_at = QueueAt::new(self.free_queue).unwrap_or_else(|| QueueAt::after(&self.queues));
        let at = self.put(order, queue_at, NONE);
        let queue = Queue { price, qty, first: at, last: at, orders: 1, side };
        match self.queues.get_mut(queue_at.index()) {
            Some(free) => {
                self.free_queue = free.first;
                *free = queue;
            }
            None => self.queues.push(queue),
        }
        self.places.insert(&self.queues, side, price, place, queue_at);
        Handle(at)
    }

    /// Puts an order behind another one, which is not told of it.
    #[inline(always)]
    fn put(&mut self, order: &Order, queue: QueueAt, prev: u32) -> u32 {
        let Order { id, qty, priority, ts, flags, .. } = *order;
        let rank = self.take_rank();
        let node = Node { id, qty, priority, ts, rank, queue, prev, next: NONE, flags };
        self.len += 1;
        let at = self.free_node;
        if at == NONE {
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        let free = &mut self.nodes[at as usize];
        self.free_node = free.next;
        *free = node;
        at
    }

    /// Takes an order out.
    #[inline]
    pub(super) fn remove(&mut self, handle: Handle) -> Gone {
        let Node { queue, rank, .. } = self.nodes[handle.0 as usize];
        let order = self.take_some(queue, handle, i64::MAX);
        if self.queues[queue.index()].orders == 0 {
            let place = self.at(order.side, order.price);
            self.end_queue(queue, place);
        }
        Gone { order, rank }
    }

    /// Takes all orders of a queue out, which ends.
    #[inline(always)]
    pub(super) fn drain(&mut self, place: Place, mut gone: impl FnMut(&Order)) {
        let Some(queue) = place.queue else { return };
        let Queue { side, price, first, last, orders, .. } = self.queues[queue.index()];
        self.end_queue(queue, place);
        let mut at = first;
        for _ in 0..orders {
            let node = &self.nodes[at as usize];
            gone(&node.order(side, price));
            at = node.next;
        }
        self.nodes[last as usize].next = std::mem::replace(&mut self.free_node, first);
        self.len -= orders as usize;
    }

    /// The level of a queue is gone.
    #[inline(always)]
    fn end_queue(&mut self, queue_at: QueueAt, place: Place) {
        let queue = &mut self.queues[queue_at.index()];
        let Queue { side, price, .. } = *queue;
        queue.first = std::mem::replace(&mut self.free_queue, queue_at.number());
        self.places.remove(&self.queues, side, price, place);
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
        let queue = &mut self.queues[node.queue.index()];
        queue.qty = (queue.qty - node.qty).checked_add(qty).ok_or(Fault::Overflow)?;
        node.qty = qty;
        Ok(())
    }

    /// Takes at most so much from an order of a queue, which stays if nothing is left of it: [`Queues::end_queue`]. Gives the order
    /// as it was.
    #[inline(always)]
    pub(super) fn take_some(&mut self, queue: QueueAt, handle: Handle, qty: i64) -> Order {
        let at = handle.0;
        let queue = &mut self.queues[queue.index()];
        let node = &mut self.nodes[at as usize];
        let order = node.order(queue.side, queue.price);
        let taken = qty.min(order.qty);
        node.qty -= taken;
        // Whether it is gone has no pattern that a processor could learn: what is not to be linked anew is written to no order.
        let is_gone = taken == order.qty;
        let Node { prev, next, .. } = *node;
        node.next = select_unpredictable(is_gone, self.free_node, next);
        self.free_node = select_unpredictable(is_gone, at, self.free_node);
        self.len -= usize::from(is_gone);
        queue.qty -= taken;
        queue.orders -= u32::from(is_gone);
        queue.first = select_unpredictable(is_gone & (prev == NONE), next, queue.first);
        queue.last = select_unpredictable(is_gone & (next == NONE), prev, queue.last);
        self.nodes[select_unpredictable(is_gone, prev, NONE) as usize].next = next;
        self.nodes[select_unpredictable(is_gone, next, NONE) as usize].prev = prev;
        order
    }

    /// The order.
    #[inline]
    #[must_use]
    pub fn order(&self, handle: Handle) -> Order {
        let node = &self.nodes[handle.0 as usize];
        let queue = &self.queues[node.queue.index()];
        node.order(queue.side, queue.price)
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

    /// What is at levels: [`Places::find_each`].
    #[inline(always)]
    pub(super) fn find_each(
        &self,
        side: Side,
        told: impl Iterator<Item = (i64, i64)>,
        found: impl FnMut((i64, i64), Place, i64),
    ) {
        self.places.find_each(&self.queues, side, told, found);
    }

    /// What is at a level.
    #[inline]
    pub(super) fn at(&self, side: Side, price: i64) -> Place {
        self.places.find(&self.queues, side, price)
    }

    /// So many levels more of each side fit without a move of those that are there.
    #[inline]
    pub(super) fn make_room(&mut self, levels: usize) {
        self.places.make_room(&self.queues, levels);
    }

    /// Quantity of the orders there.
    #[inline]
    pub(super) fn qty_at(&self, place: Place) -> i64 {
        QueueAt::of(&self.queues, place.queue).qty
    }

    /// Quantity of a queue.
    pub(super) fn qty_of(&self, queue: QueueAt) -> i64 {
        self.queues[queue.index()].qty
    }

    /// The order at the back of a queue.
    #[inline]
    pub(super) fn last_at(&self, queue: QueueAt) -> Handle {
        Handle(self.queues[queue.index()].last)
    }

    /// The order at the front of a queue.
    #[inline]
    pub(super) fn first_at(&self, queue: QueueAt) -> Handle {
        Handle(self.queues[queue.index()].first)
    }

    /// Orders of a queue.
    #[inline]
    pub(super) fn count_at(&self, queue: QueueAt) -> usize {
        self.queues[queue.index()].orders as usize
    }

    /// The quantity of an order, when it took its place, and the order before it.
    #[inline]
    pub(super) fn qty_ts_and_previous(&self, handle: Handle) -> (i64, i64, Handle) {
        let node = &self.nodes[handle.0 as usize];
        (node.qty, node.ts, Handle(node.prev))
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
        self.places.best(&self.queues, side).map(|queue| self.sum(queue))
    }

    /// Levels of a side that have orders.
    #[must_use]
    pub fn n_levels(&self, side: Side) -> usize {
        self.places.len(side)
    }

    /// Price of the level that is farthest from the best.
    #[must_use]
    pub fn worst(&self, side: Side) -> Option<i64> {
        self.places.worst(&self.queues, side).map(|queue| self.sum(queue).price)
    }

    /// The levels of a side with the sums of their orders, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.places.sorted(&self.queues, side).map(|queue| self.sum(queue))
    }

    /// The prices of a side, in no order.
    pub(super) fn prices(&self, side: Side) -> impl Iterator<Item = i64> + '_ {
        self.places.queues(side).map(|queue| self.sum(queue).price)
    }

    /// The orders of a level, front first.
    pub fn queue(&self, side: Side, price: i64) -> impl Iterator<Item = Handle> + '_ {
        std::iter::successors(self.first(side, price), |handle| self.next(*handle))
    }

    fn queue_at(&self, queue: QueueAt) -> impl Iterator<Item = Handle> + '_ {
        std::iter::successors(some(self.queues[queue.index()].first), |handle| self.next(*handle))
    }

    /// All orders of a side: best level first, each from its front.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Order> + '_ {
        let queues = self.places.sorted(&self.queues, side);
        queues.flat_map(|queue| self.queue_at(queue)).map(|handle| self.order(handle))
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
        size_of::<Self>()
            + self.places.memory_bytes()
            + self.nodes.capacity() * size_of::<Node>()
            + self.queues.capacity() * size_of::<Queue>()
    }

    fn sum(&self, queue: QueueAt) -> Level {
        let Queue { price, qty, .. } = self.queues[queue.index()];
        Level { price, qty }
    }

    #[inline]
    fn find(&self, side: Side, price: i64) -> Option<&Queue> {
        self.at(side, price).queue.map(|queue| &self.queues[queue.index()])
    }

    /// Moves the last order of a queue to the place behind the last of those before it whose priority is not higher.
    fn advance(&mut self, at: u32, priority: u64) {
        let Node { queue, prev, .. } = self.nodes[at as usize];
        let mut before = prev;
        while before != NONE && self.nodes[before as usize].priority > priority {
            before = self.nodes[before as usize].prev;
        }
        if before == prev {
            return;
        }
        let queue = &mut self.queues[queue.index()];
        queue.last = prev;
        self.nodes[prev as usize].next = NONE;
        let next = match before {
            NONE => std::mem::replace(&mut queue.first, at),
            _ => std::mem::replace(&mut self.nodes[before as usize].next, at),
        };
        self.nodes[next as usize].prev = at;
        let node = &mut self.nodes[at as usize];
        (node.prev, node.next) = (before, next);
        self.rank_between(at);
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
        let mut each = self.queues[queue.index()].first;
        while each != NONE {
            self.nodes[each as usize].rank = self.take_rank();
            each = self.nodes[each as usize].next;
        }
        self.has_renumbered = true;
    }
}

/// Whether an order fits beside a quantity of its level and so many orders of the book.
#[inline]
fn check(price: i64, qty: i64, beside: i64, orders: usize) -> Result<(), Fault> {
    if qty <= 0 {
        return Err(Fault::BadQuantity);
    }
    if price == NOT_GIVEN {
        return Err(Fault::NoPrice);
    }
    if orders >= ORDERS_MAX {
        return Err(Fault::Full);
    }
    beside.checked_add(qty).map(drop).ok_or(Fault::Overflow)
}

fn some(at: u32) -> Option<Handle> {
    (at != NONE).then_some(Handle(at))
}
