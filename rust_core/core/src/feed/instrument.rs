//! One instrument on the publisher's side: its definition, its book, and the frames about it.

use super::fragments::{Fragments, parts, small};
use super::held::HeldDiffs;
use super::native::Native;
use super::notice::FeedCounters;
use super::orders::Orders;
use super::overlap::Overlap;
use super::quality::Quality;
use super::repeats::RecentTrades;
use crate::book::{Book, Printed};
use crate::deriv::{KnownDeriv, factor};
use crate::event::{Body, Event, Level, NOT_GIVEN, Side, Trade};
use crate::fetch::fetch;
use crate::instrument::Scale;
use crate::publish::{About, Arrival, Channel, Cut, Host};
use crate::sequence::{Continuity, Rule, Splice};
use crate::wire::{self, InstrumentDef, NO_RECORDS, NO_ROOT, checksum_kind, flags, msg, status};

/// The finest exponent an instrument may take: 64 bits hold 18 digits.
const EXP_MIN: i8 = -18;
/// Digits that prices and quantities may have beyond those of tick and lot. Binance prints none; a list of 2021 beside
/// prices of 2024 needs one or two.
const FINER_THAN_LIST_MAX: i8 = 8;
/// The same where the venue names no step, from the digits first printed.
const FINER_UNLISTED_MAX: i8 = 12;
/// A finer exponent must leave room for numbers a thousand times those of the book.
const ROOM: i64 = 1_000;
/// Our checksum goes out with a delta when this time has passed since the last (`docs/wire-format.md`, Checksum).
const CHECKSUM_EVERY_NS: u64 = 100_000_000;

/// Where the book of an instrument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookState {
    /// Not yet whole in this session.
    Recovering,
    /// Whole and continued event by event.
    Live,
    /// Was live; something is missing.
    Stale,
}

impl BookState {
    /// Name as Python sees it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovering => "RECOVERING",
            Self::Live => "LIVE",
            Self::Stale => "STALE",
        }
    }
}

/// Instrument state and the frames that tell it.
#[derive(Debug)]
pub(crate) struct Instrument {
    pub(crate) id: u32,
    pub(crate) def: InstrumentDef,
    pub(crate) has_book: bool,
    pub(crate) book: Book,
    /// Its orders, if it tells of them.
    pub(super) orders: Option<Box<Orders>>,
    /// Where they stand, if the venue tells them.
    pub(super) native: Option<Box<Native>>,
    /// How its numbers were printed, where the venue's checksum asks for it.
    pub(crate) printed: Option<Printed>,
    /// Levels a side that the venue keeps; 0 = all.
    pub(crate) depth_limit: u16,
    pub(crate) state: BookState,
    pub(crate) reason: u16,
    pub(crate) trading_status: u8,
    pub(crate) continuity: Continuity,
    /// Id of the snapshot that the next diff must join; `None` when a diff has joined.
    pub(crate) joining: Option<u64>,
    /// Receive time of the first of a run of events that are already covered; a whole book ends the run.
    pub(crate) old_since: Option<i64>,
    pub(crate) held: HeldDiffs,
    pub(crate) source_gap: bool,
    pub(crate) instr_seq: u32,
    pub(crate) source_seq: Option<u64>,
    pub(crate) exchange_ts: i64,
    /// Exponents of the first definition.
    listed: Scale,
    since_ts: i64,
    last_checksum_ns: u64,
    deriv: Option<KnownDeriv>,
    pub(crate) quality: Quality,
    /// Snapshot cycle that its group was last sent in; 0 = none.
    pub(crate) sent_in_cycle: u32,
    /// Monotonic time at which it was last moved to the head of the cycle.
    pub(crate) headed_ns: Option<u64>,
    /// It waits there.
    pub(crate) at_head: bool,
    /// Connection that the last event of the book came on; 0 = not known.
    pub(crate) book_connection: u32,
    /// Planned changes of socket that concern it: one for each pair of connections.
    pub(super) overlaps: Vec<Overlap>,
    /// Trades that came lately.
    pub(super) recent: RecentTrades,
}

/// What a status frame says beside the state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Why {
    pub(crate) reason: u16,
    pub(crate) expected: u64,
    pub(crate) got: u64,
}

impl Instrument {
    pub(crate) fn new(id: u32, def: InstrumentDef, has_book: bool, continuity: Continuity) -> Self {
        Self {
            id,
            has_book,
            book: Book::new(def.tick_size),
            orders: None,
            native: None,
            printed: None,
            depth_limit: 0,
            state: BookState::Recovering,
            reason: 0,
            trading_status: def.status,
            continuity,
            joining: None,
            old_since: None,
            held: HeldDiffs::default(),
            source_gap: false,
            instr_seq: 0,
            source_seq: None,
            exchange_ts: NOT_GIVEN,
            listed: Scale { price_exp: def.price_exp, qty_exp: def.qty_exp },
            since_ts: 0,
            last_checksum_ns: 0,
            deriv: None,
            quality: Quality::default(),
            sent_in_cycle: 0,
            headed_ns: None,
            at_head: false,
            book_connection: 0,
            overlaps: Vec::new(),
            recent: RecentTrades::new(),
            def,
        }
    }

    /// Reads what a whole book is put into.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(self.def.price_exp);
        fetch(self.exchange_ts);
        fetch(self.held.front().is_some());
        self.quality.fetch();
        self.book.fetch();
        if let Some(printed) = &self.printed {
            printed.fetch();
        }
    }

    /// The place of an instrument that was removed.
    pub(super) fn vacant() -> Self {
        let mut vacant = Self::new(0, wire::zeroed(), false, Continuity::new(Rule::None, Splice::None));
        vacant.trading_status = status::state::DELISTED;
        vacant.recent = RecentTrades::default();
        vacant
    }

    /// Whether nothing stands here.
    pub(super) fn is_vacant(&self) -> bool {
        self.id == 0
    }

    /// STATUS.state that the wire says now: the book's while it is not live, else the venue's trading status.
    ///
    /// A market that is closed or an instrument that is gone is told at once: for a consumer that is worse than stale, and
    /// its book may never come.
    pub(crate) fn wire_status(&self) -> u8 {
        match (self.state, self.trading_status) {
            (_, status::state::CLOSED | status::state::DELISTED) | (BookState::Live, _) => {
                self.trading_status
            }
            (BookState::Recovering, _) => status::state::RECOVERING,
            (BookState::Stale, _) => status::state::STALE,
        }
    }

    pub(super) fn about(&mut self, exchange_ts: i64, flags: u16) -> About {
        self.instr_seq = self.instr_seq.wrapping_add(1);
        About { flags, instr_seq: self.instr_seq, ..self.standing(exchange_ts) }
    }

    /// Whether the venue still lists it: `registry_crc` and the snapshot plane leave out what is gone for good.
    pub(crate) fn is_listed(&self) -> bool {
        self.trading_status != status::state::DELISTED
    }

    /// Header fields without a number of its own: what the snapshot plane repeats.
    fn standing(&self, exchange_ts: i64) -> About {
        About {
            instrument: self.id,
            instr_seq: self.instr_seq,
            source_seq: self.source_seq,
            exchange_ts,
            price_exp: self.def.price_exp,
            qty_exp: self.def.qty_exp,
            flags: 0,
        }
    }

    /// INSTRUMENT_DEF on the incremental plane.
    pub(crate) fn define(&mut self, channel: &mut Channel, host: &mut dyn Host, arrival: Arrival) {
        self.def.status = self.wire_status();
        if self.since_ts == 0 {
            self.since_ts = arrival.recv_ts;
        }
        let about = self.about(NOT_GIVEN, flags::EVENT_END);
        let def = self.def;
        channel.numbered(host, arrival, msg::INSTRUMENT_DEF, &about, &def, NO_RECORDS);
    }

    /// STATUS of scope 3 with the state in force.
    pub(crate) fn tell_status(
        &mut self,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
        why: Why,
    ) {
        self.reason = why.reason;
        self.since_ts = arrival.recv_ts;
        let about = self.about(NOT_GIVEN, flags::EVENT_END);
        let root = self.status_root(why, 0);
        channel.numbered(host, arrival, msg::STATUS, &about, &root, NO_RECORDS);
    }

    fn status_root(&self, why: Why, last_channel_seq: u64) -> wire::Status {
        wire::Status {
            scope: status::scope::INSTRUMENT,
            state: self.wire_status(),
            reason: why.reason,
            conn_id: 0,
            since_ts: self.since_ts,
            expected: why.expected,
            got: why.got,
            text: [0; 16],
            last_channel_seq,
        }
    }

    /// Takes finer exponents: definition, book and held diffs are multiplied. `None` if they are refused, and nothing
    /// changed; else how many held diffs did not fit and were dropped.
    pub(crate) fn refine(&mut self, scale: &Scale) -> Option<u64> {
        let price_factor = factor(self.def.price_exp, scale.price_exp)?;
        let qty_factor = factor(self.def.qty_exp, scale.qty_exp)?;
        if !self.allows(scale) || !self.has_room(price_factor, qty_factor) {
            return None;
        }
        let mut def = self.def;
        for (field, by) in [
            (&mut def.tick_size, price_factor),
            (&mut def.strike, price_factor),
            (&mut def.lot_size, qty_factor),
            (&mut def.min_qty, qty_factor),
        ] {
            if *field != NOT_GIVEN {
                *field = field.checked_mul(by)?;
            }
        }
        let orders = match &self.orders {
            Some(orders) => Some(orders.rescaled(def.tick_size, price_factor, qty_factor)?),
            None => None,
        };
        self.book.rescale(price_factor, qty_factor).ok()?;
        self.orders = orders;
        if let Some(printed) = &mut self.printed {
            // The prices are those of the book, which fitted.
            printed.rescale(price_factor, scale).ok()?;
        }
        let waiting = self.overlaps.iter_mut().map(|overlap| &mut overlap.waiting);
        let dropped: u64 = waiting
            .chain([&mut self.held])
            .map(|held| if held.rescale(price_factor, qty_factor) { 0 } else { held.clear() })
            .sum();
        let of_orders = self.native.as_mut().map_or(0, |native| native.rescale(price_factor, qty_factor));
        self.quality.rescale(price_factor, qty_factor);
        def.price_exp = scale.price_exp;
        def.qty_exp = scale.qty_exp;
        def.def_version += 1;
        self.def = def;
        Some(dropped + of_orders)
    }

    /// Whether exponents are near enough to those that the venue's list gave: one absurd number must not make every later
    /// one too long for 64 bits.
    fn allows(&self, scale: &Scale) -> bool {
        let limit = |listed: i8, step: i64| {
            let digits = if step > 0 { FINER_THAN_LIST_MAX } else { FINER_UNLISTED_MAX };
            listed.saturating_sub(digits).max(EXP_MIN)
        };
        scale.price_exp >= limit(self.listed.price_exp, self.def.tick_size)
            && scale.qty_exp >= limit(self.listed.qty_exp, self.def.lot_size)
    }

    /// Whether every number of the book would have room to grow.
    fn has_room(&self, price_factor: i64, qty_factor: i64) -> bool {
        let grows =
            |mantissa: i64, by: i64| mantissa.checked_mul(by).and_then(|n| n.checked_mul(ROOM)).is_some();
        self.book
            .levels(Side::Bid)
            .chain(self.book.levels(Side::Ask))
            .all(|level| grows(level.price, price_factor) && grows(level.qty, qty_factor))
    }

    /// The book begins anew: where the links of an overlap were says nothing any more. Returns how many events waited.
    pub(crate) fn forget_places(&mut self) -> u64 {
        self.overlaps.iter_mut().map(Overlap::forget_places).sum()
    }

    /// An event that is already applied, as its `levels`, so many of them bids: BOOK_DELTA, and what it says of orders.
    pub(super) fn publish_change(
        &mut self,
        event: &Event,
        (levels, n_bids): (&[Level], usize),
        counters: &mut FeedCounters,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        counters.book_events += 1;
        counters.levels += levels.len() as u64;
        self.publish_delta(channel, host, arrival, event, levels, n_bids);
        self.infer_change((levels, n_bids), event, counters, channel, host, arrival);
    }

    /// BOOK_DELTA of one event that is already applied; split where it is too long, whole only at EVENT_END.
    fn publish_delta(
        &mut self,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
        event: &Event,
        levels: &[Level],
        n_bids: usize,
    ) {
        // As many fit beside a MAC as without.
        const PER_FRAME: usize = wire::levels_per_frame(size_of::<wire::BookDelta>(), true);
        self.quality.see_book(&self.book, arrival.recv_ts);
        for (part, is_last) in parts(levels.len(), PER_FRAME) {
            let mut bits = 0;
            let mut checksum = (checksum_kind::NONE, 0);
            if is_last {
                bits |= flags::EVENT_END | self.quality.flags();
                if arrival.mono_ns.saturating_sub(self.last_checksum_ns) >= CHECKSUM_EVERY_NS {
                    self.last_checksum_ns = arrival.mono_ns;
                    checksum =
                        (checksum_kind::OURS_25, self.book.checksum(Some(checksum_kind::OURS_25_DEPTH)));
                }
            }
            let root = wire::BookDelta {
                first_source_seq: event.ids.first_covered(),
                prev_source_seq: event.ids.prev.unwrap_or(0),
                book_checksum: checksum.1,
                n_bids: small(n_bids.clamp(part.start, part.end) - part.start),
                checksum_kind: checksum.0,
                depth_limit: self.depth_limit,
            };
            let about = self.about(event.exchange_ts, bits);
            channel.numbered(host, arrival, msg::BOOK_DELTA, &about, &root, &levels[part]);
        }
    }

    /// The whole book in-band: RESET on the first fragment, EVENT_END on the last.
    ///
    /// `levels` is a buffer that is used again.
    pub(crate) fn publish_book(
        &mut self,
        levels: &mut Vec<Level>,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        self.book.copy_to(levels);
        let fragments = Fragments::of_levels(self, levels, channel.last_seq(host), channel.is_signed());
        self.quality.see_book(&self.book, arrival.recv_ts);
        let first = if self.source_gap { flags::SRC_GAP } else { 0 };
        let (what, bits) = ((msg::BOOK_SNAPSHOT, self.exchange_ts), (first, self.quality.flags()));
        fragments.tell(self, what, bits, channel, host, arrival);
        self.source_gap = false;
        self.last_checksum_ns = arrival.mono_ns;
        self.book.reserve();
        if let Some(printed) = &mut self.printed {
            printed.reserve();
        }
    }

    /// Any other event: one frame, or several where the records do not fit into one.
    pub(crate) fn publish_event(
        &mut self,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
        event: &Event,
        trades: &[Trade],
    ) {
        const PER_FRAME: usize = wire::records_per_frame(0, size_of::<Trade>(), true);
        let marked = self.quality.flags();
        let mut about = self.about(event.exchange_ts, flags::EVENT_END | marked);
        about.source_seq = event.ids.last;
        about.price_exp = event.price_exp;
        about.qty_exp = event.qty_exp;
        match event.body {
            Body::Book { .. } => unreachable!("book events go through the sequence rules"),
            Body::Orders { .. } => unreachable!("orders go out as changes of their book"),
            Body::Trading(_) => unreachable!("a trading status goes out as STATUS"),
            Body::Bbo(bbo) => {
                channel.numbered(host, arrival, msg::BBO, &about, &bbo, NO_RECORDS);
            }
            Body::Ticker(ticker) => {
                channel.numbered(host, arrival, msg::TICKER_24H, &about, &ticker, NO_RECORDS);
            }
            Body::Candle(candle) => {
                channel.numbered(host, arrival, msg::CANDLE, &about, &NO_ROOT, &[candle]);
            }
            Body::Deriv(deriv) => {
                self.deriv = Some(KnownDeriv::merged(self.deriv, &deriv, event.price_exp, event.qty_exp));
                channel.numbered(host, arrival, msg::DERIV_STATE, &about, &deriv, NO_RECORDS);
            }
            Body::Trades(_) | Body::Liquidations(_) => {
                let kind = if matches!(event.body, Body::Trades(_)) { msg::TRADE } else { msg::LIQUIDATION };
                let mut parts = trades.chunks(PER_FRAME).peekable();
                while let Some(part) = parts.next() {
                    about.flags = marked | if parts.peek().is_none() { flags::EVENT_END } else { 0 };
                    channel.numbered(host, arrival, kind, &about, &NO_ROOT, part);
                    if parts.peek().is_some() {
                        about.instr_seq = self.about(event.exchange_ts, 0).instr_seq;
                    }
                }
            }
        }
    }

    /// The instrument's group as the snapshot plane has it, cut now, with what `kinds` ([`wire::snap_kinds`]) names of its
    /// state; returns the frames made. Definition and status are always there: a group begins with the one, and a book means
    /// nothing without the other.
    pub(crate) fn cut_group(&self, kinds: u32, to: &mut impl Cut) -> u32 {
        let last_seq = to.last_seq();
        let is_live = self.has_book && self.state == BookState::Live;
        let whole = is_live && kinds & wire::snap_kinds::L2 != 0;
        let levels: Vec<Level> = if whole { self.book.all_levels() } else { Vec::new() };
        let levels = whole.then(|| Fragments::of_levels(self, &levels, last_seq, to.is_signed()));
        let orders = self.orders.as_ref().filter(|_| is_live && kinds & wire::snap_kinds::L3 != 0);
        let resting = orders.map(|orders| orders.snapshot()).unwrap_or_default();
        let orders = orders
            .map(|orders| Fragments::of_orders(self, orders.queues(), &resting, last_seq, to.is_signed()));
        let deriv = self.deriv.filter(|_| kinds & wire::snap_kinds::DERIV != 0);
        let n_fragments =
            levels.as_ref().map_or(0, Fragments::count) + orders.as_ref().map_or(0, Fragments::count);
        let mut left = 2 + n_fragments + usize::from(deriv.is_some());
        let made = small_u32(left);
        let mut about = self.standing(self.exchange_ts);
        let mut next = |about: &mut About| {
            left -= 1;
            about.flags = if left == 0 { flags::EVENT_END } else { 0 };
        };

        next(&mut about);
        let def = InstrumentDef { status: self.wire_status(), ..self.def };
        to.frame(msg::INSTRUMENT_DEF, &about, &def, NO_RECORDS);
        next(&mut about);
        let why = Why { reason: self.reason, ..Why::default() };
        to.frame(msg::STATUS, &about, &self.status_root(why, last_seq), NO_RECORDS);
        for (root, records) in levels.iter().flat_map(Fragments::iter) {
            next(&mut about);
            to.frame(msg::BOOK_SNAPSHOT, &about, &root, records);
        }
        for (root, records) in orders.iter().flat_map(Fragments::iter) {
            next(&mut about);
            to.frame(msg::ORDER_SNAPSHOT, &about, &root, records);
        }
        if let Some(deriv) = deriv {
            next(&mut about);
            let about = About { price_exp: deriv.price_exp, qty_exp: deriv.qty_exp, ..about };
            to.frame(msg::DERIV_STATE, &about, &deriv.state, NO_RECORDS);
        }
        made
    }
}

fn small_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
