//! The queues of levels, and where each is.

use std::num::NonZero;

use super::queues::NONE;
use crate::book::Book;
use crate::event::{Level, Side};

/// The orders of one level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) price: i64,
    pub(super) qty: i64,
    /// Numbers of orders, and how many they are.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) orders: u32,
    pub(super) side: Side,
}

impl Queue {
    /// Stands where there is no queue.
    pub(super) const NONE: Self =
        Self { price: 0, qty: 0, first: NONE, last: NONE, orders: 0, side: Side::Bid };
}

/// The queue of a level while it has orders: found once, it is used for all that one change does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueAt(NonZero<u32>);

impl QueueAt {
    /// The first one.
    pub(super) const FIRST: Self = Self(NonZero::<u32>::MIN);

    /// Of a number; 0 = none.
    #[inline]
    pub(super) fn new(number: u32) -> Option<Self> {
        NonZero::new(number).map(Self)
    }

    #[inline]
    pub(super) fn number(self) -> u32 {
        self.0.get()
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        self.number() as usize
    }

    /// The next one, behind at least [`Queue::NONE`].
    pub(super) fn after(queues: &[Queue]) -> Self {
        Self(NonZero::<u32>::MIN.saturating_add(queues.len() as u32 - 1))
    }

    /// The queue, or [`Queue::NONE`].
    #[inline]
    pub(super) fn of(queues: &[Queue], at: Option<Self>) -> &Queue {
        &queues[at.map_or(0, Self::index)]
    }

    /// Grows from the best level of a side to the worst.
    pub(super) fn worse(self, queues: &[Queue]) -> i64 {
        let Queue { side, price, .. } = queues[self.index()];
        side.key(price)
    }
}

/// What was found at a level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Where its queue is, or would be.
    slot: u32,
    pub(super) queue: Option<QueueAt>,
}

/// The queues of the levels.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "either lies in queues, which lie in one piece of memory")]
pub(super) enum Places {
    /// Its number as the quantity of the level.
    InOrder(Book),
    /// Of bids and asks by price: sorted for whoever asks for the levels in order.
    Unordered([Table; 2]),
}

impl Places {
    /// None; `tick` as with [`Book::new`].
    pub(super) fn in_order(tick: i64) -> Self {
        Self::InOrder(Book::new(tick))
    }

    pub(super) fn unordered() -> Self {
        Self::Unordered([Table::new(), Table::new()])
    }

    /// Finds levels, each of a price and what comes with it, with their quantities.
    #[inline(always)]
    pub(super) fn find_each(
        &self,
        queues: &[Queue],
        side: Side,
        told: impl Iterator<Item = (i64, i64)>,
        mut found: impl FnMut((i64, i64), Place, i64),
    ) {
        match self {
            Self::InOrder(_) => {
                for told in told {
                    let place = self.find(queues, side, told.0);
                    found(told, place, QueueAt::of(queues, place.queue).qty);
                }
            }
            Self::Unordered(sides) => {
                let table = &sides[side.index()];
                for told in told {
                    let (place, qty) = table.find_with_qty(queues, told.0);
                    found(told, place, qty);
                }
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, queues: &[Queue], side: Side, price: i64) -> Place {
        match self {
            Self::InOrder(book) => Place { slot: 0, queue: QueueAt::new(book.get(side, price) as u32) },
            Self::Unordered(sides) => sides[side.index()].find(queues, price),
        }
    }

    /// Puts the queue of a level that has none; since it was found, others may have been put, but none removed.
    #[inline(always)]
    pub(super) fn insert(
        &mut self,
        queues: &[Queue],
        side: Side,
        price: i64,
        place: Place,
        queue_at: QueueAt,
    ) {
        match self {
            Self::InOrder(book) => {
                book.set(side, price, i64::from(queue_at.number()));
            }
            Self::Unordered(sides) => sides[side.index()].insert(queues, place.slot as usize, queue_at),
        }
    }

    /// Takes memory for so many levels more of each side.
    #[inline]
    pub(super) fn make_room(&mut self, queues: &[Queue], levels: usize) {
        if let Self::Unordered(sides) = self {
            for side in sides {
                while (side.len + levels) * SLOTS_PER_LEVEL > side.slots.len() {
                    side.grow(queues);
                }
            }
        }
    }

    /// Takes the queue of a level out.
    #[inline]
    pub(super) fn remove(&mut self, queues: &[Queue], side: Side, price: i64, place: Place) {
        match self {
            Self::InOrder(book) => {
                book.set(side, price, 0);
            }
            Self::Unordered(sides) => sides[side.index()].remove(queues, price, place),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::InOrder(book) => book.clear(),
            Self::Unordered(sides) => sides.iter_mut().for_each(Table::clear),
        }
    }

    /// Number of levels of a side.
    pub(super) fn len(&self, side: Side) -> usize {
        match self {
            Self::InOrder(book) => book.len(side),
            Self::Unordered(sides) => sides[side.index()].len,
        }
    }

    pub(super) fn best(&self, queues: &[Queue], side: Side) -> Option<QueueAt> {
        match self {
            Self::InOrder(book) => book.best(side).and_then(of_level),
            Self::Unordered(sides) => sides[side.index()].queues().min_by_key(|at| at.worse(queues)),
        }
    }

    pub(super) fn worst(&self, queues: &[Queue], side: Side) -> Option<QueueAt> {
        match self {
            Self::InOrder(book) => book.worst(side).and_then(of_level),
            Self::Unordered(sides) => sides[side.index()].queues().max_by_key(|at| at.worse(queues)),
        }
    }

    /// The queues of a side, in no order.
    pub(super) fn queues(&self, side: Side) -> impl Iterator<Item = QueueAt> + '_ {
        self.in_order_of(side).chain(self.without_order(side))
    }

    /// The queues of a side, best level first.
    pub(super) fn sorted(&self, queues: &[Queue], side: Side) -> impl Iterator<Item = QueueAt> + '_ {
        let mut sorted: Vec<QueueAt> = self.without_order(side).collect();
        sorted.sort_unstable_by_key(|at| at.worse(queues));
        self.in_order_of(side).chain(sorted)
    }

    /// Those that are kept in order, best level first.
    fn in_order_of(&self, side: Side) -> impl Iterator<Item = QueueAt> + '_ {
        let book = if let Self::InOrder(book) = self { Some(book) } else { None };
        book.into_iter().flat_map(move |book| book.levels(side).filter_map(of_level))
    }

    /// Those that are not.
    fn without_order(&self, side: Side) -> impl Iterator<Item = QueueAt> + '_ {
        let sides = if let Self::Unordered(sides) = self { Some(sides) } else { None };
        sides.into_iter().flat_map(move |sides| sides[side.index()].queues())
    }

    /// Bytes that it holds besides its own.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::InOrder(book) => book.memory_bytes() - size_of::<Book>(),
            Self::Unordered(sides) => {
                sides.iter().map(|side| side.slots.capacity() * size_of::<Option<QueueAt>>()).sum()
            }
        }
    }
}

fn of_level(level: Level) -> Option<QueueAt> {
    QueueAt::new(level.qty as u32)
}

/// Slots that a table begins with; a power of two, as ever after.
const SLOTS_FIRST: usize = 16;
/// Slots of a table for each level at least: nearly every look ends at its first slot then, whether there is a queue or not. With 4 a
/// change of a level takes 1 to 2 ns more, with 2 4 to 6.
const SLOTS_PER_LEVEL: usize = 8;

/// Queues by price. Open addressing with linear probing; what is removed leaves no trace, as those behind it move up (Knuth,
/// The Art of Computer Programming 3, 6.4, algorithm R). A slot has the number of the queue, and the queue its price.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// `None`: the slot is free.
    slots: Vec<Option<QueueAt>>,
    len: usize,
    /// 64 less the bits of the number of a slot.
    shift: u32,
}

impl Table {
    fn new() -> Self {
        Self { slots: vec![None; SLOTS_FIRST], len: 0, shift: 64 - SLOTS_FIRST.ilog2() }
    }

    #[inline]
    fn home(&self, price: i64) -> usize {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        // Prices are multiples of a step, which one half of the product alone would spread in clumps.
        let product = u128::from(price as u64) * u128::from(GOLDEN);
        let folded = product as u64 ^ (product >> 64) as u64;
        (folded.wrapping_mul(GOLDEN) >> self.shift) as usize
    }

    #[inline]
    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// The slot of a price, or the free one where it would be.
    #[inline]
    fn find(&self, queues: &[Queue], price: i64) -> Place {
        self.find_with_qty(queues, price).0
    }

    /// The same with the quantity of its queue.
    #[inline]
    pub(super) fn find_with_qty(&self, queues: &[Queue], price: i64) -> (Place, i64) {
        let mut slot = self.home(price);
        loop {
            let queue = self.slots[slot];
            let number = queue.map_or(0, QueueAt::number);
            let found = &queues[number as usize];
            // Whether the level is known has no pattern that a processor could learn: one branch for both ends.
            if ((found.price ^ price) as u64).min(number.into()) == 0 {
                return (Place { slot: slot as u32, queue }, found.qty);
            }
            slot = self.next(slot);
        }
    }

    /// Puts the queue of a price into the free slot that was found for it, or the next one if another price took that.
    #[inline(always)]
    fn insert(&mut self, queues: &[Queue], mut slot: usize, queue: QueueAt) {
        while self.slots[slot].is_some() {
            slot = self.next(slot);
        }
        self.slots[slot] = Some(queue);
        self.len += 1;
        if self.len * SLOTS_PER_LEVEL > self.slots.len() {
            self.grow(queues);
        }
    }

    #[cold]
    fn grow(&mut self, queues: &[Queue]) {
        let slots = vec![None; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, slots);
        self.shift -= 1;
        for queue in old.into_iter().filter(Option::is_some) {
            let slot = self.find(queues, QueueAt::of(queues, queue).price).slot as usize;
            self.slots[slot] = queue;
        }
    }

    /// Frees the slot of a price: that where its queue was found, if no other moved it since.
    #[inline]
    fn remove(&mut self, queues: &[Queue], price: i64, place: Place) {
        let mut free = place.slot as usize;
        if self.slots[free] != place.queue {
            free = self.find(queues, price).slot as usize;
        }
        self.len -= 1;
        let mut slot = free;
        loop {
            slot = self.next(slot);
            let queue = self.slots[slot];
            if queue.is_none() {
                break;
            }
            // It may stand in the free slot if that is not before its home.
            let mask = self.slots.len() - 1;
            let from_home = slot.wrapping_sub(self.home(QueueAt::of(queues, queue).price)) & mask;
            if from_home >= slot.wrapping_sub(free) & mask {
                self.slots[free] = queue;
                free = slot;
            }
        }
        self.slots[free] = None;
    }

    fn clear(&mut self) {
        self.slots.fill(None);
        self.len = 0;
    }

    fn queues(&self) -> impl Iterator<Item = QueueAt> + '_ {
        self.slots.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Queues of one side, each of a price.
    fn queues(prices: &[i64]) -> Vec<Queue> {
        let of_prices = prices.iter().map(|&price| Queue { price, ..Queue::NONE });
        std::iter::once(Queue::NONE).chain(of_prices).collect()
    }

    proptest! {
        /// Prices on a grid and off it, many of them in one clump of slots. Some are found, then all that are not there are put and
        /// all that were there removed.
        #[test]
        fn a_table_is_a_map(
            step in prop_oneof![Just(1), Just(10_000_000), Just(i64::MAX / 64)],
            picks in prop::collection::vec(prop::collection::btree_set(0_usize..64, 1..12), 0..80),
        ) {
            let prices: Vec<i64> = (0..64).map(|at: i64| (at - 32) * step).collect();
            let queues = queues(&prices);
            let (mut table, mut map) = (Table::new(), BTreeMap::new());
            for together in picks {
                // None moves while they are put.
                while (table.len + together.len()) * SLOTS_PER_LEVEL > table.slots.len() {
                    table.grow(&queues);
                }
                let found: Vec<_> = together.iter().map(|pick| (*pick, table.find(&queues, prices[*pick]))).collect();
                for (pick, place) in &found {
                    prop_assert_eq!(place.queue, map.get(&prices[*pick]).copied());
                }
                let (known, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, place)| place.queue.is_some());
                for (pick, place) in new {
                    let queue = QueueAt::new(pick as u32 + 1).unwrap();
                    table.insert(&queues, place.slot as usize, queue);
                    map.insert(prices[pick], queue);
                }
                for (pick, place) in known {
                    table.remove(&queues, prices[pick], place);
                    map.remove(&prices[pick]);
                }
                for price in &prices {
                    prop_assert_eq!(table.find(&queues, *price).queue, map.get(price).copied());
                }
                prop_assert_eq!(table.len, map.len());
                prop_assert!(table.len * SLOTS_PER_LEVEL <= table.slots.len());
            }
            let mut all: Vec<_> = table.queues().collect();
            all.sort_by_key(|queue| queue.number());
            prop_assert_eq!(all, map.into_values().collect::<Vec<_>>());
        }
    }
}
