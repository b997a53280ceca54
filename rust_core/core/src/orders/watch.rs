//! Places in queues that somebody cares about: an own order, or one that was never sent.
//!
//! [`WatchedQueues`] are queues that keep account of what stands before each of them.

use std::collections::HashMap;

use super::places::{Place, QueueAt};
use super::queues::{Handle, Order, Queues};
use super::{Fault, WATCHES_MAX};
use crate::event::Side;

/// Queues in which places are watched. Without a watch a change costs a look at an empty list more.
#[derive(Clone, Debug)]
pub(super) struct WatchedQueues {
    pub(super) queues: Queues,
    watches: Watches,
}

impl WatchedQueues {
    pub(super) fn new(tick: i64) -> Self {
        Self { queues: Queues::new(tick), watches: Watches::default() }
    }

    pub(super) fn unordered() -> Self {
        Self { queues: Queues::unordered(), watches: Watches::default() }
    }

    /// [`Queues::add`].
    #[inline]
    pub(super) fn add(&mut self, order: &Order) -> Result<Handle, Fault> {
        let handle = self.queues.add(order)?;
        self.see_joined(handle);
        Ok(handle)
    }

    /// [`Queues::join_back`].
    #[inline]
    pub(super) fn join_back(&mut self, order: &Order, place: Place) {
        let handle = self.queues.join_back(order, place);
        self.see_joined(handle);
    }

    /// [`Queues::append`].
    pub(super) fn append(&mut self, order: &Order) -> Result<Handle, Fault> {
        let handle = self.queues.append(order)?;
        self.see_joined(handle);
        Ok(handle)
    }

    /// [`Queues::resize`].
    #[inline]
    pub(super) fn resize(&mut self, handle: Handle, qty: i64) -> Result<(), Fault> {
        if self.watches.is_empty() {
            return self.queues.resize(handle, qty);
        }
        let old = self.queues.order(handle);
        self.queues.resize(handle, qty)?;
        {
            self.watches.change((old.side, old.price), self.queues.rank(handle), qty - old.qty, 0);
        }
        Ok(())
    }

    /// [`Queues::take_some`].
    #[inline(always)]
    pub(super) fn take_some(&mut self, queue: QueueAt, handle: Handle, qty: i64) -> Order {
        let rank = self.queues.rank(handle);
        let order = self.queues.take_some(queue, handle, qty);
        if self.is_watched() {
            let taken = qty.min(order.qty);
            let (level, is_gone) = ((order.side, order.price), taken == order.qty);
            self.watches.change(level, rank, -taken, if is_gone { -1 } else { 0 });
            if is_gone {
                self.watches.follow(level, handle, None);
            }
        }
        order
    }

    /// [`Queues::join_queue`].
    #[inline(always)]
    pub(super) fn join_queue(&mut self, order: &Order, queue: QueueAt) {
        let handle = self.queues.join_queue(order, queue);
        if self.is_watched() {
            self.see_joined(handle);
        }
    }

    /// [`Queues::begin_queue`].
    #[inline(always)]
    pub(super) fn begin_queue(&mut self, order: &Order, place: Place) {
        let handle = self.queues.begin_queue(order, place);
        if self.is_watched() {
            self.see_joined(handle);
        }
    }

    /// [`Queues::replace`]; whoever watches the order's place watches that of the new one. Gives the order that is gone.
    pub(super) fn replace(&mut self, handle: Handle, order: &Order) -> Result<(Order, Handle), Fault> {
        let (gone, joined) = self.queues.replace(handle, order)?;
        if self.watches.is_empty() {
            self.queues.take_renumbered();
            return Ok((gone.order, joined));
        }
        let from = (gone.order.side, gone.order.price);
        self.watches.change(from, gone.rank, -gone.order.qty, -1);
        self.see_joined(joined);
        let ahead = self.ahead(joined);
        self.watches.follow(from, handle, Some((joined, &self.queues, ahead)));
        Ok((gone.order, joined))
    }

    /// Takes an order out; nobody watches its place any more.
    #[inline]
    pub(super) fn remove(&mut self, handle: Handle) -> Order {
        let gone = self.queues.remove(handle);
        if !self.watches.is_empty() {
            let level = (gone.order.side, gone.order.price);
            self.watches.change(level, gone.rank, -gone.order.qty, -1);
            self.watches.follow(level, handle, None);
        }
        gone.order
    }

    /// Takes all orders of a queue out, which ends: [`Queues::drain`].
    #[inline(always)]
    pub(super) fn drain(&mut self, place: Place, gone: impl FnMut(&Order)) {
        if self.is_watched() {
            self.drain_watched(place, gone);
        } else {
            self.queues.drain(place, gone);
        }
    }

    #[cold]
    fn drain_watched(&mut self, place: Place, mut gone: impl FnMut(&Order)) {
        let mut next = place.queue.map(|queue| self.queues.first_at(queue));
        while let Some(handle) = next {
            next = self.queues.next(handle);
            gone(&self.remove(handle));
        }
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
        self.watches.clear();
    }

    /// Nothing is known any more, of no watched place either: other orders come in their place.
    pub(super) fn forget(&mut self) {
        self.queues.clear();
        self.watches.forget();
    }

    /// What stands before an order, by a walk.
    pub(super) fn ahead(&self, handle: Handle) -> Ahead {
        let mut ahead = Ahead::default();
        let mut at = handle;
        while let Some(before) = self.queues.previous(at) {
            ahead.qty += self.queues.order(before).qty;
            ahead.orders += 1;
            at = before;
        }
        ahead
    }

    pub(super) fn watch(&mut self, handle: Handle) -> Result<WatchId, Fault> {
        let order = self.queues.order(handle);
        let (rank, ahead) = (self.queues.rank(handle), self.ahead(handle));
        self.watches.begin((order.side, order.price), rank, ahead, Some(handle))
    }

    pub(super) fn watch_back(&mut self, side: Side, price: i64) -> Result<WatchId, Fault> {
        let (qty, orders) = self.queues.level(side, price);
        let rank = self.queues.take_rank();
        self.watches.begin((side, price), rank, Ahead { qty, orders }, None)
    }

    pub(super) fn watched(&self, id: WatchId) -> Option<Ahead> {
        self.watches.ahead(id)
    }

    /// Takes all orders of a level out, front first. What stands before a place that is watched there stays as it is.
    pub(super) fn take_out(&mut self, (side, price): (Side, i64)) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Some(first) = self.queues.first(side, price) {
            orders.push(self.queues.remove(first).order);
        }
        orders
    }

    /// Puts the orders of a level back, front first, with the places between them where they were.
    ///
    /// # Errors
    /// [`Queues::append`].
    pub(super) fn put_back(&mut self, orders: &[Order]) -> Result<(), Fault> {
        for order in orders {
            self.queues.append(order)?;
        }
        if let Some(order) = orders.first() {
            self.watches.follow_queue((order.side, order.price), &self.queues);
        }
        Ok(())
    }

    /// Nothing stands before any place of a level.
    pub(super) fn go_first(&mut self, level: (Side, i64)) {
        for at in self.watches.by_level.get(&level).into_iter().flatten() {
            if let Some(watch) = &mut self.watches.all[*at as usize] {
                watch.ahead = Ahead::default();
            }
        }
    }

    /// So much stands before a place.
    pub(super) fn stand(&mut self, id: WatchId, ahead: Ahead) {
        if let Some(Some(watch)) = self.watches.all.get_mut(id.0 as usize) {
            watch.ahead = ahead;
        }
    }

    /// Nobody knows what stands before any place of a level.
    pub(super) fn lose(&mut self, level: (Side, i64)) {
        for at in self.watches.by_level.remove(&level).into_iter().flatten() {
            self.watches.all[at as usize] = None;
        }
    }

    /// The places of others in these queues, which are the same ones at finer exponents; `None` if a number does not fit.
    pub(super) fn watch_as(&mut self, other: &Self, price_factor: i64, qty_factor: i64) -> Option<()> {
        self.watches = other.watches.rescaled(price_factor, qty_factor)?;
        for level in self.watches.by_level.keys().copied().collect::<Vec<_>>() {
            self.watches.follow_queue(level, &self.queues);
        }
        Some(())
    }

    /// Whether any place is watched.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Numbers of the watches at a level.
    #[inline]
    pub(super) fn watches_at(&self, level: (Side, i64)) -> &[u32] {
        if self.watches.is_empty() {
            return &[];
        }
        self.watches.by_level.get(&level).map_or(&[], Vec::as_slice)
    }

    /// The level of a watched place.
    pub(super) fn level_of(&self, id: WatchId) -> Option<(Side, i64)> {
        self.watches.all.get(id.0 as usize)?.map(|watch| watch.level)
    }

    pub(super) fn unwatch(&mut self, id: WatchId) {
        self.watches.end(id);
    }

    #[inline]
    fn see_joined(&mut self, handle: Handle) {
        let is_renumbered = self.queues.take_renumbered();
        if self.watches.is_empty() {
            return;
        }
        let order = self.queues.order(handle);
        let level = (order.side, order.price);
        if is_renumbered {
            self.watches.renumber(level, &self.queues, handle);
        }
        self.watches.change(level, self.queues.rank(handle), order.qty, 1);
    }
}

/// A place that is watched, until [`super::OrderBook::unwatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(pub(super) u32);

/// What stands before a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Quantity of the orders before it.
    pub qty: i64,
    /// Orders before it.
    pub orders: u32,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    level: (Side, i64),
    rank: u64,
    ahead: Ahead,
    /// The order whose place it is.
    order: Option<Handle>,
}

/// All watched places of a book.
#[derive(Clone, Debug, Default)]
struct Watches {
    /// `None`: free, or its order is gone.
    all: Vec<Option<Watch>>,
    free: Vec<u32>,
    by_level: HashMap<(Side, i64), Vec<u32>>,
}

impl Watches {
    #[inline]
    fn is_empty(&self) -> bool {
        self.by_level.is_empty()
    }

    /// Watches a place with all that is before it.
    fn begin(
        &mut self,
        level: (Side, i64),
        rank: u64,
        ahead: Ahead,
        order: Option<Handle>,
    ) -> Result<WatchId, Fault> {
        let watch = Some(Watch { level, rank, ahead, order });
        let at = if let Some(at) = self.free.pop() {
            self.all[at as usize] = watch;
            at
        } else if self.all.len() < WATCHES_MAX {
            self.all.push(watch);
            (self.all.len() - 1) as u32
        } else {
            return Err(Fault::Full);
        };
        self.by_level.entry(level).or_default().push(at);
        Ok(WatchId(at))
    }

    fn end(&mut self, id: WatchId) {
        self.leave_level(id.0);
        self.all[id.0 as usize] = None;
        self.free.push(id.0);
    }

    fn ahead(&self, id: WatchId) -> Option<Ahead> {
        self.all.get(id.0 as usize)?.map(|watch| watch.ahead)
    }

    /// An order of a rank came, went or changed: by so much quantity and so many orders.
    fn change(&mut self, level: (Side, i64), rank: u64, qty: i64, orders: i32) {
        let Some(here) = self.by_level.get(&level) else { return };
        for at in here {
            if let Some(watch) = self.all[*at as usize].as_mut().filter(|watch| rank < watch.rank) {
                watch.ahead.qty += qty;
                watch.ahead.orders = watch.ahead.orders.wrapping_add_signed(orders);
            }
        }
    }

    /// An order is gone: whoever watched it has no place any more, or the place of the one that came instead of it.
    fn follow(&mut self, level: (Side, i64), order: Handle, now: Option<(Handle, &Queues, Ahead)>) {
        let Some(here) = self.by_level.get(&level) else { return };
        let is_its = |at: &u32| self.all[*at as usize].is_some_and(|watch| watch.order == Some(order));
        let its: Vec<u32> = here.iter().copied().filter(is_its).collect();
        for at in its {
            self.leave_level(at);
            self.all[at as usize] = now.map(|(handle, queues, ahead)| {
                let order = queues.order(handle);
                let level = (order.side, order.price);
                self.by_level.entry(level).or_default().push(at);
                Watch { level, rank: queues.rank(handle), ahead, order: Some(handle) }
            });
        }
    }

    /// The ranks of a level are others now, except that of the order that joined.
    fn renumber(&mut self, level: (Side, i64), queues: &Queues, joined: Handle) {
        let Some(here) = self.by_level.get(&level) else { return };
        for at in here {
            let Some(watch) = &mut self.all[*at as usize] else { continue };
            watch.rank = watch.order.map_or_else(
                || queues.rank_behind(level, watch.ahead.orders, joined),
                |order| queues.rank(order),
            );
        }
    }

    /// The orders of a level have other ranks: places of no order are behind as many of them as before.
    fn follow_queue(&mut self, level: (Side, i64), queues: &Queues) {
        for at in self.by_level.get(&level).into_iter().flatten() {
            let Some(watch) = &mut self.all[*at as usize] else { continue };
            let before = queues.queue(level.0, level.1).take(watch.ahead.orders as usize);
            watch.rank = before.last().map_or(0, |last| queues.rank(last) + 1);
        }
    }

    /// Places of no order at finer exponents, without ranks.
    fn rescaled(&self, price_factor: i64, qty_factor: i64) -> Option<Self> {
        let finer = |(side, price): (Side, i64)| Some((side, price.checked_mul(price_factor)?));
        let mut all = Vec::with_capacity(self.all.len());
        for watch in &self.all {
            all.push(match watch.filter(|watch| watch.order.is_none()) {
                Some(watch) => {
                    let qty = watch.ahead.qty.checked_mul(qty_factor)?;
                    let ahead = Ahead { qty, ..watch.ahead };
                    Some(Watch { level: finer(watch.level)?, ahead, ..watch })
                }
                None => None,
            });
        }
        let levels = self.by_level.iter().map(|(level, here)| Some((finer(*level)?, here.clone())));
        Some(Self { all, free: self.free.clone(), by_level: levels.collect::<Option<_>>()? })
    }

    /// All orders are gone; who stood behind them is first.
    fn clear(&mut self) {
        for watch in &mut self.all {
            *watch = watch
                .filter(|watch| watch.order.is_none())
                .map(|watch| Watch { ahead: Ahead::default(), ..watch });
        }
        let all = &self.all;
        self.by_level.retain(|_, here| {
            here.retain(|at| all[*at as usize].is_some());
            !here.is_empty()
        });
    }

    /// Nobody knows what stands before any place.
    fn forget(&mut self) {
        self.all.fill(None);
        self.by_level.clear();
    }

    fn leave_level(&mut self, at: u32) {
        let Some(watch) = self.all[at as usize] else { return };
        let Some(here) = self.by_level.get_mut(&watch.level) else { return };
        here.retain(|other| *other != at);
        if here.is_empty() {
            self.by_level.remove(&watch.level);
        }
    }
}
