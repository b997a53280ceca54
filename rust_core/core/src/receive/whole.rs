//! What books of levels and books of orders have in common when they come whole.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::book::Book;
use crate::event::{Level, NOT_GIVEN, RestingOrder, Side};
use crate::orders::{Fault, OrderBook};
use crate::wire::{BookSnapshot, Header, Records, checksum_kind};

/// Levels of a book, both sides: 16 MiB of them. Full books of the busiest venues have 20,000 to 100,000. A book of orders has
/// [`crate::orders::ORDERS_MAX`].
pub const BOOK_LEVELS_MAX: usize = 1 << 20;

/// Why a frame cannot be part of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Checksum,
    Exponents,
    BadLevel,
    BadOrder,
    Limit,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        if fault == Fault::Full { Self::Limit } else { Self::BadOrder }
    }
}

/// A book that fragments make.
pub(super) trait Whole {
    type Record: FromBytes + Immutable + KnownLayout;

    fn with_tick(tick: i64) -> Self;

    /// Takes a record of a fragment, or a level that changed.
    fn put(&mut self, side: Side, record: &Self::Record) -> Result<(), Broken>;

    fn is_too_long(&self) -> bool;

    /// Checksum of the whole, or of the best levels a side.
    fn checksum_of(&self, depth: Option<usize>) -> u32;
}

impl Whole for Book {
    type Record = Level;

    fn with_tick(tick: i64) -> Self {
        Self::new(tick)
    }

    fn put(&mut self, side: Side, level: &Level) -> Result<(), Broken> {
        if level.qty < 0 || level.price == NOT_GIVEN {
            return Err(Broken::BadLevel);
        }
        self.set(side, level.price, level.qty);
        Ok(())
    }

    fn is_too_long(&self) -> bool {
        self.len(Side::Bid) + self.len(Side::Ask) > BOOK_LEVELS_MAX
    }

    fn checksum_of(&self, depth: Option<usize>) -> u32 {
        self.checksum(depth)
    }
}

impl Whole for OrderBook {
    type Record = RestingOrder;

    fn with_tick(tick: i64) -> Self {
        Self::new(tick)
    }

    fn put(&mut self, side: Side, order: &RestingOrder) -> Result<(), Broken> {
        Ok(self.append(side, order)?)
    }

    fn is_too_long(&self) -> bool {
        false // It refuses one order too many.
    }

    fn checksum_of(&self, _: Option<usize>) -> u32 {
        self.checksum()
    }
}

/// A whole book and its exponents.
#[derive(Debug)]
pub(super) struct Scaled<B> {
    pub(super) book: B,
    pub(super) price_exp: i8,
    pub(super) qty_exp: i8,
}

pub(super) fn fill<B: Whole>(
    book: &mut B,
    side: Side,
    mut records: Records<'_, B::Record>,
) -> Result<(), Broken> {
    records.try_for_each(|record| book.put(side, &record))
}

/// Whether a book that was changed is as long as it may be, and the one that its publisher has.
pub(super) fn check<B: Whole>(book: &B, kind: u8, checksum: u32) -> Result<(), Broken> {
    if book.is_too_long() {
        return Err(Broken::Limit);
    }
    let holds = match kind {
        checksum_kind::OURS_25 => book.checksum_of(Some(checksum_kind::OURS_25_DEPTH)) == checksum,
        checksum_kind::OURS_ALL => book.checksum_of(None) == checksum,
        _ => true,
    };
    if holds { Ok(()) } else { Err(Broken::Checksum) }
}

/// The book that all its fragments make; `None` if there is none.
pub(super) fn whole<'a, B: Whole>(
    tick: i64,
    fragments: impl Iterator<Item = (Header, BookSnapshot, Records<'a, B::Record>)>,
) -> Result<Option<Scaled<B>>, Broken> {
    let mut built: Option<(Scaled<B>, BookSnapshot)> = None;
    let mut count = 0;
    for (header, root, records) in fragments {
        let Header { price_exp, qty_exp, .. } = header;
        let (Scaled { book, .. }, _) =
            built.get_or_insert_with(|| (Scaled { book: B::with_tick(tick), price_exp, qty_exp }, root));
        if root.frag_index != count {
            return Err(Broken::Checksum);
        }
        count += 1;
        let (bids, asks) = root.sides(records);
        fill(book, Side::Bid, bids)?;
        fill(book, Side::Ask, asks)?;
        if book.is_too_long() {
            return Err(Broken::Limit);
        }
    }
    let Some((scaled, root)) = built else { return Ok(None) };
    if count != root.frag_count {
        return Err(Broken::Checksum);
    }
    check(&scaled.book, root.checksum_kind, root.book_checksum)?;
    Ok(Some(scaled))
}
