//! The consumer's copy of one instrument.

use super::orders::{Change, Orders};
use super::staged::Staged;
use super::state::{Publisher, Reception, Reported, worse};
use super::whole::{Broken, Scaled, Whole, check, fill, whole};
use crate::book::Book;
use crate::deriv::KnownDeriv;
use crate::event::{Bbo, DerivState, Level, Side};
use crate::orders::OrderBook;
use crate::wire::{
    BookDelta, BookSnapshot, Frame, InstrumentDef, Message, Records, Status, flags, msg, status,
};

/// What applying a frame did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Done,
    UnknownType,
    UnknownStatus,
    Broken(Broken),
}

impl From<Result<(), Broken>> for Applied {
    fn from(applied: Result<(), Broken>) -> Self {
        applied.map_or_else(Self::Broken, |()| Self::Done)
    }
}

/// What a snapshot group has of books.
#[derive(Debug)]
pub(super) struct GroupBooks {
    levels: Option<Scaled<Book>>,
    orders: Option<Scaled<OrderBook>>,
}

/// One wanted instrument: definition, books, state, and what came last. Everything but the books and what goes with them
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
    /// Its orders; `None` if nothing was heard of any, and after a book was found wrong.
    pub orders: Option<Box<Orders>>,
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
    staged: Staged<(Side, Level)>,
    pub(super) staged_orders: Staged<Change>,
    /// Times the orders began anew.
    pub(super) wholes: u64,
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
            orders: None,
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
            staged_orders: Staged::default(),
            wholes: 0,
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

    /// Whether frames of a split event wait for the last one. The books are whole, but as of the event before.
    #[must_use]
    pub fn is_mid_event(&self) -> bool {
        self.staged.is_open() || self.staged_orders.is_open()
    }

    /// A new session: nothing of the old one holds but the definition, until the new one comes.
    pub(super) fn start_session(&mut self, session: u32) {
        self.session = session;
        self.discard_books();
        self.instr_seq = 0;
        self.source_seq = 0;
        self.bbo = None;
        self.deriv = None;
        self.publisher = Publisher::Live;
        self.reception = Reception::Unknown;
        self.overlay = None;
    }

    pub(super) fn discard_books(&mut self) {
        self.book.clear();
        self.orders = None;
        self.staged = Staged::default();
        self.staged_orders = Staged::default();
    }

    /// Changes that wait for the end of their event.
    pub(super) fn staged_changes(&self) -> usize {
        self.staged.len() + self.staged_orders.len()
    }

    /// Applies one frame; `staged_others` are the staged changes of other instruments of the channel.
    pub(super) fn apply(&mut self, frame: &Frame<'_>, staged_others: usize) -> Applied {
        let applied = match frame.message() {
            Message::InstrumentDef(def) => self.define(def),
            Message::Status(root) => self.status(&root),
            Message::BookDelta(root, records) => self.delta(frame, &root, records, staged_others),
            Message::BookSnapshot(root, records) => self.whole_book(frame, &root, records, staged_others),
            Message::OrderOps(_, records) => self.order_ops(frame, records, staged_others),
            Message::OrderSnapshot(root, records) => self.order_book(frame, &root, records, staged_others),
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
        if !self.is_mid_event() {
            self.position(frame);
            if matches!(frame.header.msg_type, msg::BOOK_DELTA | msg::BOOK_SNAPSHOT) {
                self.book_position(frame);
            }
        }
        applied
    }

    /// The books of a snapshot group, built beside those in use.
    pub(super) fn books_of_group<'a>(
        tick: i64,
        frames: impl Iterator<Item = Frame<'a>> + Clone,
    ) -> Result<GroupBooks, Broken> {
        let levels = frames.clone().filter_map(|frame| match frame.message() {
            Message::BookSnapshot(root, records) => Some((frame.header, root, records)),
            _ => None,
        });
        let orders = frames.filter_map(|frame| match frame.message() {
            Message::OrderSnapshot(root, records) => Some((frame.header, root, records)),
            _ => None,
        });
        Ok(GroupBooks { levels: whole(tick, levels)?, orders: whole(tick, orders)? })
    }

    /// Takes over a complete snapshot group whose books were built by [`Mirror::books_of_group`].
    pub(super) fn take_group<'a>(
        &mut self,
        books: GroupBooks,
        frames: impl Iterator<Item = Frame<'a>>,
    ) -> Applied {
        let mut applied = Applied::Done;
        self.discard_books();
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
        if let Some(levels) = books.levels {
            (self.book, self.price_exp, self.qty_exp) = (levels.book, levels.price_exp, levels.qty_exp);
        }
        self.take_orders(books.orders);
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
        if self.book.is_empty() && !self.staged.is_open() {
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
            self.discard_books();
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
        if header.has(flags::EVENT_END) && !self.staged.is_open() && !header.has(flags::RESET) {
            if !self.scale_fits(header.price_exp, header.qty_exp) {
                return Applied::Broken(Broken::Exponents);
            }
            let filled =
                fill(&mut self.book, Side::Bid, bids).and_then(|()| fill(&mut self.book, Side::Ask, asks));
            let checked = filled.and_then(|()| check(&self.book, root.checksum_kind, root.book_checksum));
            return checked.into();
        }
        self.stage(frame, [bids, asks], staged_others, (root.checksum_kind, root.book_checksum)).into()
    }

    fn whole_book(
        &mut self,
        frame: &Frame<'_>,
        root: &BookSnapshot,
        records: Records<'_, Level>,
        staged_others: usize,
    ) -> Applied {
        let (bids, asks) = root.sides(records);
        self.stage(frame, [bids, asks], staged_others, (root.checksum_kind, root.book_checksum)).into()
    }

    /// Keeps the levels of a split event, and applies all of them at its end.
    fn stage(
        &mut self,
        frame: &Frame<'_>,
        sides: [Records<'_, Level>; 2],
        staged_others: usize,
        (kind, checksum): (u8, u32),
    ) -> Result<(), Broken> {
        let header = &frame.header;
        let of = |side| move |level| (side, level);
        let [bids, asks] = sides;
        let levels = bids.map(of(Side::Bid)).chain(asks.map(of(Side::Ask)));
        if !self.staged.push(header.flags, levels, staged_others)? {
            return Ok(());
        }
        let (levels, reset) = self.staged.take();
        if reset {
            self.book.clear();
            (self.price_exp, self.qty_exp) = (header.price_exp, header.qty_exp);
            if let Some(def) = &self.def {
                self.book.set_tick(def.tick_size);
            }
        } else if !self.scale_fits(header.price_exp, header.qty_exp) {
            return Err(Broken::Exponents);
        }
        levels.iter().try_for_each(|(side, level)| self.book.put(*side, level))?;
        check(&self.book, kind, checksum)?;
        self.staged.keep(levels);
        Ok(())
    }

    fn scale_fits(&mut self, price_exp: i8, qty_exp: i8) -> bool {
        if self.book.is_empty() {
            (self.price_exp, self.qty_exp) = (price_exp, qty_exp);
        }
        (self.price_exp, self.qty_exp) == (price_exp, qty_exp)
    }
}
