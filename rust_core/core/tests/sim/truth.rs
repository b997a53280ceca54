//! What was published: the state of every instrument at every number, read off the frames as they leave.
//!
//! It is held to the publisher's own books after every call, so it is the publisher's word and not a second opinion.

use std::collections::HashMap;

use outcrier_core::book::Book;
use outcrier_core::event::{Level, OrderOp, RestingOrder, Side};
use outcrier_core::orders::{OrderBook, Queues};
use outcrier_core::wire::{self, Frame, Header, Message, digest, flags, is_numbered, msg, status};

/// An instrument at one of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) book: u64,
    pub(crate) orders: u64,
    /// Last STATUS.state that is not about the book alone; 0 none.
    pub(crate) trading: u8,
    /// The state is about the whole event, so a receiver may stand here.
    pub(crate) is_whole: bool,
    /// When it left.
    pub(crate) left_ns: u64,
}

#[derive(Debug)]
struct Instrument {
    first: u32,
    at: Vec<At>,
    book: Book,
    hash: u64,
    trading: u8,
    staged: Vec<(Side, Level)>,
    reset: bool,
    orders: OrderBook,
    orders_hash: u64,
    staged_orders: Vec<Change>,
    orders_reset: bool,
}

/// A part of an event of orders.
#[derive(Debug)]
enum Change {
    Op(OrderOp),
    Rests(Side, RestingOrder),
}

/// Everything that the wire says of the orders of a book, in the order in which they stand.
pub(crate) fn hash_of(orders: &Queues) -> u64 {
    let mut hash = orders.len_of(Side::Bid) as u64;
    for order in orders.snapshot() {
        let RestingOrder { order_id, price, qty, priority, order_ts, order_flags, .. } = order;
        let fields = [price.cast_unsigned(), qty.cast_unsigned(), priority, order_ts.cast_unsigned()];
        for field in [order_id, u64::from(order_flags)].into_iter().chain(fields) {
            hash = (hash ^ field).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
    }
    hash
}

/// One session of one publisher.
#[derive(Debug, Default)]
pub(crate) struct Session {
    instruments: HashMap<u32, Instrument>,
    /// Number of the first frame, and when each one left.
    first_seq: u64,
    left_ns: Vec<u64>,
    chain: Option<u64>,
    pub(crate) bytes: u64,
}

impl Session {
    /// When a number left.
    pub(crate) fn left_ns(&self, seq: u64) -> Option<u64> {
        let at = seq.checked_sub(self.first_seq)?;
        self.left_ns.get(usize::try_from(at).ok()?).copied()
    }

    /// The last number that left.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + (self.frames() - 1)
    }

    /// Frames so far.
    pub(crate) fn frames(&self) -> u64 {
        self.left_ns.len() as u64
    }

    /// The instrument at a number, if it was published.
    pub(crate) fn at(&self, instrument: u32, seq: u32) -> Option<At> {
        let known = self.instruments.get(&instrument)?;
        known.at.get(seq.wrapping_sub(known.first) as usize).copied()
    }

    /// Book hash at the last number.
    pub(crate) fn book_hash(&self, instrument: u32) -> Option<u64> {
        self.instruments.get(&instrument).map(|known| known.hash)
    }

    /// Hash of the orders at the last number.
    pub(crate) fn orders_hash(&self, instrument: u32) -> Option<u64> {
        self.instruments.get(&instrument).map(|known| known.orders_hash)
    }

    fn observe(&mut self, frame: &[u8], now_ns: u64) {
        let frame = wire::check(frame).expect("a publisher's frames are good");
        let header = &frame.header;
        let last = || self.first_seq + self.left_ns.len() as u64;
        if !is_numbered(header.msg_type) {
            if let Message::Heartbeat(root, records) = frame.message()
                && records.is_empty()
                && !self.left_ns.is_empty()
            {
                assert_eq!({ header.channel_seq }, last(), "a heartbeat carries the next number");
                assert!(
                    self.chain.is_none_or(|chain| chain == root.chain64),
                    "chain64 of the frames that left"
                );
            }
            return;
        }
        if self.left_ns.is_empty() {
            self.first_seq = header.channel_seq;
            self.chain = (header.channel_seq == 1).then(|| digest::chain64_start(header.session));
        }
        assert_eq!(
            { header.channel_seq },
            self.first_seq + self.left_ns.len() as u64,
            "numbers without a hole"
        );
        self.left_ns.push(now_ns);
        self.bytes += frame.bytes.len() as u64;
        self.chain = self.chain.map(|chain| digest::chain64(chain, header.channel_seq, header.crc32c));
        if header.msg_type == msg::PACK
            && let Message::Pack(messages) = frame.message()
        {
            messages.for_each(|message| self.message(&message, now_ns));
        } else {
            self.message(&frame, now_ns);
        }
    }

    fn message(&mut self, frame: &Frame<'_>, left_ns: u64) {
        let header = &frame.header;
        if header.instrument == 0 {
            return;
        }
        let known = self.instruments.entry(header.instrument).or_insert_with(|| Instrument {
            first: header.instr_seq,
            at: Vec::new(),
            book: Book::new(0),
            hash: Book::new(0).hash(),
            trading: 0,
            staged: Vec::new(),
            reset: false,
            orders: OrderBook::new(0),
            orders_hash: hash_of(&Queues::new(0)),
            staged_orders: Vec::new(),
            orders_reset: false,
        });
        let expected = known.first.wrapping_add(u32::try_from(known.at.len()).expect("a short session"));
        assert_eq!({ header.instr_seq }, expected, "instrument numbers without a hole");
        match frame.message() {
            Message::InstrumentDef(def) => known.state(def.status),
            Message::Status(root) if root.scope == status::scope::INSTRUMENT => known.state(root.state),
            Message::BookDelta(root, records) => {
                let (bids, asks) = root.sides(records);
                known.levels(header.flags, bids, asks);
            }
            Message::BookSnapshot(root, records) => {
                let (bids, asks) = root.sides(records);
                known.levels(header.flags, bids, asks);
            }
            Message::OrderOps(_, records) => known.orders(header, records.map(Change::Op)),
            Message::OrderSnapshot(root, records) => {
                let (bids, asks) = root.sides(records);
                let of = |side| move |order| Change::Rests(side, order);
                known.orders(header, bids.map(of(Side::Bid)).chain(asks.map(of(Side::Ask))));
            }
            _ => {}
        }
        let is_whole = known.staged.is_empty() && !known.reset;
        let is_whole = is_whole && known.staged_orders.is_empty() && !known.orders_reset;
        known.at.push(At {
            book: known.hash,
            orders: known.orders_hash,
            trading: known.trading,
            is_whole,
            left_ns,
        });
    }
}

impl Instrument {
    fn state(&mut self, state: u8) {
        if !matches!(state, status::state::STALE | status::state::RECOVERING) {
            self.trading = state;
        }
    }

    fn levels(&mut self, bits: u16, bids: impl Iterator<Item = Level>, asks: impl Iterator<Item = Level>) {
        if bits & flags::RESET != 0 {
            self.staged.clear();
            self.reset = true;
        }
        self.staged.extend(bids.map(|level| (Side::Bid, level)));
        self.staged.extend(asks.map(|level| (Side::Ask, level)));
        if bits & flags::EVENT_END == 0 {
            return;
        }
        if std::mem::take(&mut self.reset) {
            self.book.clear();
        }
        for (side, level) in self.staged.drain(..) {
            self.book.set(side, level.price, level.qty);
        }
        self.hash = self.book.hash();
    }

    fn orders(&mut self, header: &Header, changes: impl Iterator<Item = Change>) {
        if header.has(flags::RESET) {
            self.staged_orders.clear();
            self.orders_reset = true;
        }
        self.staged_orders.extend(changes);
        if !header.has(flags::EVENT_END) {
            return;
        }
        if std::mem::take(&mut self.orders_reset) {
            self.orders.clear();
        }
        let ts = if header.has(flags::NO_EXCH_TS) { header.recv_ts } else { header.exchange_ts };
        for change in self.staged_orders.drain(..) {
            match change {
                Change::Op(op) => {
                    self.orders.apply(&op, ts).expect("a publisher's changes fit");
                }
                Change::Rests(side, order) => {
                    self.orders.append(side, &order).expect("a publisher's orders fit");
                }
            }
        }
        self.orders_hash = hash_of(self.orders.queues());
    }
}

/// Every session published so far.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    sessions: HashMap<u32, Session>,
    /// Sessions in which two publishers spoke, or frames were forged: since when.
    tainted: HashMap<u32, u64>,
}

impl Truth {
    pub(crate) fn session(&self, session: u32) -> Option<&Session> {
        self.sessions.get(&session)
    }

    pub(crate) fn at(&self, session: u32, instrument: u32, seq: u32) -> Option<At> {
        self.session(session)?.at(instrument, seq)
    }

    /// From now on nobody can know what is true in this session.
    pub(crate) fn taint(&mut self, session: u32, now_ns: u64) {
        self.tainted.entry(session).or_insert(now_ns);
    }

    pub(crate) fn tainted_ns(&self, session: u32) -> Option<u64> {
        self.tainted.get(&session).copied()
    }

    /// One frame of the snapshot plane leaves: it says what is included, no less and no more.
    pub(crate) fn observe_snapshot(&self, session: u32, frame: &[u8]) {
        let Some(session) = self.session(session).filter(|session| session.frames() > 0) else { return };
        let frame = wire::check(frame).expect("a publisher's frames are good");
        let header = &frame.header;
        let Some(known) = session.instruments.get(&{ header.instrument }) else { return };
        let last = known.first.wrapping_add(u32::try_from(known.at.len()).expect("a short session") - 1);
        assert_eq!({ header.instr_seq }, last, "a snapshot is of the last number");
        let included = match frame.message() {
            Message::BookSnapshot(root, _) | Message::OrderSnapshot(root, _) => root.last_channel_seq,
            Message::Status(root) => root.last_channel_seq,
            _ => return,
        };
        assert_eq!(included, session.last_seq(), "a snapshot includes what has left");
    }

    /// One frame of the incremental plane leaves.
    pub(crate) fn observe(&mut self, session: u32, frame: &[u8], now_ns: u64) {
        self.sessions.entry(session).or_default().observe(frame, now_ns);
    }
}
