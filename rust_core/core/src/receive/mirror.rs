//! The consumer's copy of one instrument.

use super::state::{Publisher, Reception, Reported, worse};
use crate::book::Book;
use crate::deriv::KnownDeriv;
use crate::event::{Bbo, DerivState, Level, NOT_GIVEN, Side};
use crate::wire::{
    BookDelta, BookSnapshot, Frame, InstrumentDef, Message, Records, Status, checksum_kind, flags, msg,
    status,
};

/// Levels of a book, both sides: 16 MiB of them. Full books of the busiest venues have 20,000 to 100,000.
pub const BOOK_LEVELS_MAX: usize = 1 << 20;
/// Levels of split events that wait for their last frame, per channel.
pub const STAGED_LEVELS_MAX: usize = 1 << 20;

/// Levels of split events for which an instrument keeps the memory: an event of 12 full frames, 24 KiB.
const STAGED_LEVELS_KEPT: usize = 1_000;

/// Why a frame cannot be part of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Checksum,
    Exponents,
    BadLevel,
    Limit,
}

/// What applying a frame did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Done,
    UnknownType,
    UnknownStatus,
    Broken(Broken),
}

/// One wanted instrument: definition, book, state, and what came last. Everything but `book` and what goes with it
/// survives until something newer comes; all of it is as of the last *whole* event.
#[derive(Debug)]
pub struct Mirror {
    /// Venue number.
    pub venue: u16,
    /// Number within the venue.
    pub instrument: u32,
    /// Channel that carries it.
    pub channel: u8,
    /// Session of the channel.
    pub session: u32,
    /// Definition in force; `None` until one came.
    pub def: Option<InstrumentDef>,
    /// The book at `price_exp` and `qty_exp`; empty until it came and after it was found wrong.
    pub book: Book,
    /// Exponent of the book's prices: the definition's, except between a new definition and the book that follows it.
    pub price_exp: i8,
    /// Exponent of the book's quantities.
    pub qty_exp: i8,
    /// Number of the last frame applied, 0 none. Frames of a split event count once it is whole.
    pub instr_seq: u32,
    /// Last exchange number that the book covers; 0 none.
    pub source_seq: u64,
    /// Exchange time of the book's last event, nanoseconds since the epoch.
    pub exchange_ts: i64,
    /// Publisher's receive time of the book's last event.
    pub recv_ts: i64,
    /// Header flags of the last frame applied.
    pub flags: u16,
    /// Last BBO message; `None` also after a snapshot, until the next one comes.
    pub bbo: Option<Bbo>,
    /// Derivative state put together from all messages.
    pub deriv: Option<KnownDeriv>,
    /// Trading status (STATUS.state): 1 trading, 4 halted …; 0 unknown.
    pub trading: u8,
    /// What the publisher says of its book.
    pub publisher: Publisher,
    /// How whole our copy is, without regard to silence.
    pub reception: Reception,
    /// Why it was last not LIVE: a number of [`super::state::reason`] or STATUS.reason; 0 never.
    pub reason: u16,
    /// Set while the channel as a whole cannot be trusted, with the reason.
    pub(super) overlay: Option<u16>,
    pub(super) announced: Reported,
    pub(super) publisher_reason: u16,
    ever_known: bool,
    staged: Staged,
}

/// Frames of a split event so far.
#[derive(Debug, Default)]
struct Staged {
    levels: Vec<(Side, Level)>,
    reset: bool,
    open: bool,
}

impl Mirror {
    pub(super) fn new(venue: u16, instrument: u32, channel: u8, session: u32) -> Self {
        Self {
            venue,
            instrument,
            channel,
            session,
            def: None,
            book: Book::new(0),
            price_exp: 0,
            qty_exp: 0,
            instr_seq: 0,
            source_seq: 0,
            exchange_ts: 0,
            recv_ts: 0,
            flags: 0,
            bbo: None,
            deriv: None,
            trading: 0,
            publisher: Publisher::Live,
            reception: Reception::Unknown,
            reason: 0,
            overlay: None,
            announced: Reported::Unknown,
            publisher_reason: 0,
            ever_known: false,
            staged: Staged::default(),
        }
    }

    /// The state a consumer goes by: the worse of reception and publisher; STALE while the channel is silent, ended
    /// or spoken by two; UNKNOWN while neither definition nor snapshot ever came.
    #[must_use]
    pub fn reported(&self) -> Reported {
        if !self.ever_known {
            return Reported::Unknown;
        }
        let reception = if self.overlay.is_some() { Reception::Stale } else { self.reception };
        worse(reception, self.publisher)
    }

    /// Whether frames of a split event wait for the last one. The book is whole, but as of the event before.
    #[must_use]
    pub fn is_mid_event(&self) -> bool {
        self.staged.open
    }

    /// A new session: nothing of the old one holds but the definition, until the new one comes.
    pub(super) fn start_session(&mut self, session: u32) {
        self.session = session;
        self.discard_book();
        self.instr_seq = 0;
        self.source_seq = 0;
        self.bbo = None;
        self.deriv = None;
        self.publisher = Publisher::Live;
        self.reception = Reception::Unknown;
        self.overlay = None;
    }

    pub(super) fn discard_book(&mut self) {
        self.book.clear();
        self.staged = Staged::default();
    }

    /// Levels that wait for the end of their event.
    pub(super) fn staged_levels(&self) -> usize {
        self.staged.levels.len()
    }

    /// Applies one frame; `staged_others` are the staged levels of other instruments of the channel.
    pub(super) fn apply(&mut self, frame: &Frame<'_>, staged_others: usize) -> Applied {
        let applied = match frame.message() {
            Message::InstrumentDef(def) => self.define(def),
            Message::Status(root) => self.status(&root),
            Message::BookDelta(root, records) => self.delta(frame, &root, records, staged_others),
            Message::BookSnapshot(root, records) => self.whole_book(frame, &root, records, staged_others),
            Message::Bbo(bbo) => {
                self.bbo = Some(bbo);
                Applied::Done
            }
            Message::DerivState(deriv) => {
                self.derive(&deriv, frame);
                Applied::Done
            }
            Message::Unknown { .. } => Applied::UnknownType,
            _ => Applied::Done,
        };
        if !self.staged.open {
            self.position(frame);
            if matches!(frame.header.msg_type, msg::BOOK_DELTA | msg::BOOK_SNAPSHOT) {
                self.book_position(frame);
            }
        }
        applied
    }

    /// The book of a snapshot group, built beside the one in use; `None` if the group has no book.
    pub(super) fn book_of_group<'a>(
        tick: i64,
        frames: impl Iterator<Item = Frame<'a>>,
    ) -> Result<Option<(Book, i8, i8)>, Broken> {
        let mut built: Option<(Book, i8, i8, BookSnapshot)> = None;
        let mut fragments = 0;
        for frame in frames {
            let Message::BookSnapshot(root, records) = frame.message() else { continue };
            let (price_exp, qty_exp) = (frame.header.price_exp, frame.header.qty_exp);
            let (book, ..) = built.get_or_insert_with(|| (Book::new(tick), price_exp, qty_exp, root));
            if root.frag_index != fragments {
                return Err(Broken::Checksum);
            }
            fragments += 1;
            let (bids, asks) = root.sides(records);
            fill(book, Side::Bid, bids)?;
            fill(book, Side::Ask, asks)?;
            if too_long(book) {
                return Err(Broken::Limit);
            }
        }
        let Some((book, price_exp, qty_exp, root)) = built else { return Ok(None) };
        if fragments != root.frag_count || !checksum_holds(&book, root.checksum_kind, root.book_checksum) {
            return Err(Broken::Checksum);
        }
        Ok(Some((book, price_exp, qty_exp)))
    }

    /// Takes over a complete snapshot group whose book was built by [`Mirror::book_of_group`].
    pub(super) fn take_group<'a>(
        &mut self,
        book: Option<(Book, i8, i8)>,
        frames: impl Iterator<Item = Frame<'a>>,
    ) -> Applied {
        let mut applied = Applied::Done;
        self.discard_book();
        // A BBO is not repeated on the snapshot plane: the one from before the jump would be older than the book.
        self.bbo = None;
        self.deriv = None;
        for frame in frames {
            match frame.message() {
                Message::InstrumentDef(def) => applied = self.define(def),
                Message::Status(root) => applied = self.status(&root),
                Message::DerivState(deriv) => self.derive(&deriv, &frame),
                _ => {}
            }
            self.position(&frame);
            self.book_position(&frame);
        }
        if let Some((book, price_exp, qty_exp)) = book {
            (self.book, self.price_exp, self.qty_exp) = (book, price_exp, qty_exp);
        }
        applied
    }

    fn position(&mut self, frame: &Frame<'_>) {
        let header = &frame.header;
        self.instr_seq = header.instr_seq;
        self.flags = header.flags;
        self.ever_known = true;
    }

    /// Takes what a frame says of the book's place at the exchange; a trade or a best quote is ahead of it or behind.
    fn book_position(&mut self, frame: &Frame<'_>) {
        let header = &frame.header;
        if !header.has(flags::NO_SRC_SEQ) && header.source_seq != 0 {
            self.source_seq = header.source_seq;
        }
        self.exchange_ts = header.exchange_ts;
        self.recv_ts = header.recv_ts;
    }

    fn derive(&mut self, update: &DerivState, frame: &Frame<'_>) {
        let header = &frame.header;
        self.deriv = Some(KnownDeriv::merged(self.deriv, update, header.price_exp, header.qty_exp));
    }

    fn define(&mut self, def: InstrumentDef) -> Applied {
        let same_scale = self.price_exp == def.price_exp && self.qty_exp == def.qty_exp;
        self.def = Some(def);
        if self.book.is_empty() && !self.staged.open {
            (self.price_exp, self.qty_exp) = (def.price_exp, def.qty_exp);
            self.book.set_tick(def.tick_size);
        } else if same_scale {
            self.book.set_tick(def.tick_size);
        }
        self.set_publisher(def.status, status::reason::NONE)
    }

    fn status(&mut self, root: &Status) -> Applied {
        if root.scope != status::scope::INSTRUMENT {
            return Applied::Done;
        }
        if root.state == status::state::DELISTED && root.reason == status::reason::REMOVED {
            // Nothing follows: what it needed is free for others.
            self.discard_book();
            self.book = Book::new(0);
            self.bbo = None;
            self.deriv = None;
        }
        self.set_publisher(root.state, root.reason)
    }

    /// An unknown state is taken for STALE: it may mean anything.
    fn set_publisher(&mut self, state: u8, reason: u16) -> Applied {
        let known = Publisher::from_wire(state);
        self.publisher = known.unwrap_or(Publisher::Stale);
        self.publisher_reason = reason;
        if !matches!(known, Some(Publisher::Stale | Publisher::Recovering) | None) {
            self.trading = state;
        }
        if known.is_some() { Applied::Done } else { Applied::UnknownStatus }
    }

    fn delta(
        &mut self,
        frame: &Frame<'_>,
        root: &BookDelta,
        records: Records<'_, Level>,
        staged_others: usize,
    ) -> Applied {
        let header = &frame.header;
        let (bids, asks) = root.sides(records);
        if header.has(flags::EVENT_END) && !self.staged.open && !header.has(flags::RESET) {
            if !self.scale_fits(header.price_exp, header.qty_exp) {
                return Applied::Broken(Broken::Exponents);
            }
            let filled =
                fill(&mut self.book, Side::Bid, bids).and_then(|()| fill(&mut self.book, Side::Ask, asks));
            return self.finish(filled, root.checksum_kind, root.book_checksum);
        }
        self.stage(frame, [bids, asks], staged_others, (root.checksum_kind, root.book_checksum))
    }

    fn whole_book(
        &mut self,
        frame: &Frame<'_>,
        root: &BookSnapshot,
        records: Records<'_, Level>,
        staged_others: usize,
    ) -> Applied {
        let (bids, asks) = root.sides(records);
        self.stage(frame, [bids, asks], staged_others, (root.checksum_kind, root.book_checksum))
    }

    /// Keeps the levels of a split event, and applies all of them at its end.
    fn stage(
        &mut self,
        frame: &Frame<'_>,
        sides: [Records<'_, Level>; 2],
        staged_others: usize,
        (kind, checksum): (u8, u32),
    ) -> Applied {
        let header = &frame.header;
        let staged = &mut self.staged;
        staged.open = true;
        if header.has(flags::RESET) {
            staged.levels.clear();
            staged.reset = true;
        }
        for (side, records) in [Side::Bid, Side::Ask].into_iter().zip(sides) {
            staged.levels.extend(records.map(|level| (side, level)));
        }
        if staged.levels.len() + staged_others > STAGED_LEVELS_MAX {
            return Applied::Broken(Broken::Limit);
        }
        if !header.has(flags::EVENT_END) {
            return Applied::Done;
        }
        let Staged { mut levels, reset, .. } = std::mem::take(&mut self.staged);
        if reset {
            self.book.clear();
            (self.price_exp, self.qty_exp) = (header.price_exp, header.qty_exp);
            if let Some(def) = &self.def {
                self.book.set_tick(def.tick_size);
            }
        } else if !self.scale_fits(header.price_exp, header.qty_exp) {
            return Applied::Broken(Broken::Exponents);
        }
        let filled = levels.iter().try_for_each(|&(side, level)| put(&mut self.book, side, level));
        // Split events come all the time, whole books do not.
        levels.clear();
        levels.shrink_to(STAGED_LEVELS_KEPT);
        self.staged.levels = levels;
        self.finish(filled, kind, checksum)
    }

    fn scale_fits(&mut self, price_exp: i8, qty_exp: i8) -> bool {
        if self.book.is_empty() {
            (self.price_exp, self.qty_exp) = (price_exp, qty_exp);
        }
        (self.price_exp, self.qty_exp) == (price_exp, qty_exp)
    }

    fn finish(&self, filled: Result<(), Broken>, kind: u8, checksum: u32) -> Applied {
        match filled {
            Err(broken) => Applied::Broken(broken),
            Ok(()) if too_long(&self.book) => Applied::Broken(Broken::Limit),
            Ok(()) if !checksum_holds(&self.book, kind, checksum) => Applied::Broken(Broken::Checksum),
            Ok(()) => Applied::Done,
        }
    }
}

fn put(book: &mut Book, side: Side, level: Level) -> Result<(), Broken> {
    if level.qty < 0 || level.price == NOT_GIVEN {
        return Err(Broken::BadLevel);
    }
    book.set(side, level.price, level.qty);
    Ok(())
}

fn fill(book: &mut Book, side: Side, mut levels: Records<'_, Level>) -> Result<(), Broken> {
    levels.try_for_each(|level| put(book, side, level))
}

fn too_long(book: &Book) -> bool {
    book.len(Side::Bid) + book.len(Side::Ask) > BOOK_LEVELS_MAX
}

fn checksum_holds(book: &Book, kind: u8, checksum: u32) -> bool {
    match kind {
        checksum_kind::OURS_25 => book.checksum(Some(checksum_kind::OURS_25_DEPTH)) == checksum,
        checksum_kind::OURS_ALL => book.checksum(None) == checksum,
        _ => true,
    }
}
