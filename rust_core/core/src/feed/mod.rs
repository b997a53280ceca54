//! One channel of one venue: frames of the exchange in, numbered frames of the wire out.
//!
//! The feed is the single writer of its books: the frames on the incremental plane, the in-band books after a fault and
//! the groups of the snapshot plane are all cut from the same state, so they cannot disagree.
//!
//! A book is in one of three states. *Recovering*: diffs are held until a snapshot joins them. *Live*: every event
//! continues the last one. *Stale*: something is missing; STATUS(stale) has gone out, the book is forgotten, diffs are held
//! again. The way back to live is always the same: the whole book in-band with RESET, then STATUS(live).

mod activity;
mod cycle;
mod difference;
mod flow;
mod fragments;
mod held;
mod history;
mod image;
mod inferred;
mod instrument;
mod kinds;
mod latency;
mod native;
mod native_flow;
mod notice;
mod orders;
mod overlap;
mod proof;
mod quality;
mod refusals;
mod removal;
mod repeats;
mod rotation;
mod two_links;
mod unread;

pub use activity::{ACTIVITY_KINDS, Activity};
pub use cycle::{
    AGAIN_FRAMES_PER_S, CYCLE_MIN_NS, GROUPS_PER_TICK_MAX, HEAD_EVERY_NS, SNAPSHOT_FRAMES_PER_S,
};
pub use held::{HELD_DIFFS_MAX, HELD_FOR_NS, HELD_LEVELS_MAX};
pub use history::{HISTORY_MESSAGES_MAX, Kept};
pub use image::Image;
pub use instrument::BookState;
pub use kinds::{KindCounts, Kinds};
pub use latency::Latency;
pub use native::{HELD_ORDER_EVENTS_MAX, HELD_ORDER_ROWS_MAX};
pub use notice::{
    FAULT_BYTES_MAX, FAULTS_MAX, Fault, FeedCounters, Journal, NOTICES_MAX, Notice, NoticeKind,
};
pub use orders::OrderEvent;
pub use overlap::AHEAD_FOR_NS;
pub use quality::{Cause, QualityCounts, TIME_BACK_NS, VenueClock, WINDOW_NS, WINDOWS};
pub use refusals::{AddError, Sizes, Unsupported};
pub use removal::{INDICES_RESTING, NUMBERS_KEPT};
pub use repeats::{OVERLAP_TRADES, RECENT_TRADES};
pub use rotation::Overlapping;

use crate::book::{Book, Printed};
use crate::event::{Decoded, Level, Trade};
use crate::instrument::{InstrumentTable, Scale};
use crate::publish::{About, Arrival, Channel, ChannelCounters, Host, SessionInfo};
use crate::sequence::{Continuity, Rule};
use crate::shape::{Decoder, Outcome};
use crate::wire::auth::Signer;
use crate::wire::{self, InstrumentDef, NO_RECORDS, flags, msg};
use activity::Activities;
use cycle::Cycle;
use difference::Difference;
use history::History;
use instrument::{Instrument, Why};
use native::Natives;
use proof::Proof;
use removal::Departed;
use rotation::Links;

/// Refinements that one frame may cause: prices and quantities, each once, and room for a second look.
const REFINES_PER_FRAME_MAX: usize = 4;
/// Names of unknown instruments told to the owner; the rest is only counted.
const UNKNOWN_NAMES_MAX: usize = 256;
/// Bytes kept of such a name; no venue has longer symbols.
const UNKNOWN_NAME_BYTES_MAX: usize = 64;

/// What became of a frame; both bits may be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// No shape takes the frame: a control message or an unknown one.
    pub for_python: bool,
    /// [`Feed::take_notices`] has something.
    pub notices: bool,
}

/// Counters of one connection, as CONN (0x05) says them.
pub type ConnectionCounters = wire::Conn;

/// One channel of one venue.
#[derive(Debug)]
pub struct Feed {
    decoder: Decoder,
    table: InstrumentTable,
    instruments: Vec<Instrument>,
    /// Absent while it is used: what is moved is a pointer.
    decoded: Option<Box<Decoded>>,
    channel: Channel,
    cycle: Cycle,
    journal: Journal,
    unknown_names: Vec<Box<[u8]>>,
    venue_clock: VenueClock,
    quality: QualityCounts,
    history: History,
    latency: Latency,
    /// Receive time of the last frame: a replay's snapshot plane stands at it, not at the clock on the wall.
    last_recv_ts: i64,
    kinds: Kinds,
    activity: Activities,
    proof: Proof,
    difference: Difference,
    links: Links,
    natives: Natives,
    departed: Departed,
    /// Every message about a book is a whole one.
    always_whole: bool,
    /// Trades of a message that are no repeats; its memory is used again.
    fresh: Vec<Trade>,
    /// Levels of a whole book that leaves; its memory is used again.
    whole: Vec<Level>,
    /// That the numbers run out was told.
    told_full: bool,
    infers_orders: bool,
}

impl Feed {
    /// Opens the session: SESSION_START leaves at once. A declaration that the feed cannot carry out is refused, because
    /// its books would be wrong.
    pub fn start(
        info: SessionInfo,
        decoder: Decoder,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> Result<Self, Unsupported> {
        for shape in decoder.shapes() {
            Unsupported::check(shape)?;
        }
        let venue_clock = VenueClock::new(!info.replay && !info.test);
        let proof = Proof::new(decoder.rule().0);
        let natives = Natives::new(&decoder);
        let mut channel = Channel::new(info);
        channel.start(host, arrival);
        Ok(Self {
            always_whole: decoder.has_whole_books(),
            decoder,
            table: InstrumentTable::default(),
            instruments: Vec::new(),
            decoded: None,
            channel,
            cycle: Cycle::default(),
            journal: Journal::default(),
            unknown_names: Vec::new(),
            venue_clock,
            quality: QualityCounts::default(),
            history: History::default(),
            latency: Latency::default(),
            last_recv_ts: arrival.recv_ts,
            kinds: Kinds::default(),
            activity: Activities::default(),
            proof,
            difference: Difference::default(),
            links: Links::default(),
            natives,
            departed: Departed::default(),
            fresh: Vec::new(),
            whole: Vec::new(),
            told_full: false,
            infers_orders: false,
        })
    }

    /// Adds an instrument under the text that the venue's frames use and publishes its definition. One that was here before
    /// goes on from its numbers: the definition has a version one higher than the last.
    pub fn add_instrument(
        &mut self,
        id: u32,
        native_symbol: &str,
        def: &InstrumentDef,
        has_book: bool,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> Result<u32, AddError> {
        if id == 0 || self.instruments.iter().any(|known| known.id == id) {
            return Err(AddError::IdTaken(id));
        }
        let (rule, splice) = self.decoder.rule();
        // Numbers over a connection are followed there; the events of a book have none.
        let rule = if rule == Rule::ConnectionPlusOne { Rule::None } else { rule };
        let mut instrument = Instrument::new(id, *def, has_book, Continuity::new(rule, splice));
        if has_book && self.decoder.shapes().iter().any(|shape| shape.keep_decimals) {
            let scale = Scale { price_exp: def.price_exp, qty_exp: def.qty_exp };
            instrument.printed = Some(Printed::new(def.tick_size, scale));
        }
        if self.infers_orders {
            instrument.infer_orders();
        }
        let index = self
            .admit(native_symbol.as_bytes(), &mut instrument)
            .ok_or_else(|| AddError::SymbolTaken(native_symbol.to_owned()))?;
        instrument.define(&mut self.channel, host, arrival);
        match self.instruments.get_mut(index as usize) {
            Some(vacant) => *vacant = instrument,
            None => self.instruments.push(instrument),
        }
        self.activity.add(index);
        Ok(index)
    }

    /// The end of a socket read, or of any other call: the frames it made leave.
    ///
    /// Everything that takes a host may leave frames with it. Whoever drives a feed calls this behind the last message of a
    /// read, and behind every other call.
    pub fn flush(&mut self, host: &mut dyn Host) {
        self.channel.flush(host);
        host.flush();
        self.has_left(host);
    }

    /// Takes one frame of the exchange.
    pub fn on_frame(
        &mut self,
        connection: u32,
        frame: &[u8],
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> Taken {
        if self.channel.has_ended() {
            self.journal.counters.after_end += 1;
            return Taken::default();
        }
        self.last_recv_ts = arrival.recv_ts;
        let said = self.channel.said();
        self.journal.counters.frames_in += 1;
        self.journal.counters.bytes_in += frame.len() as u64;
        let mut decoded = self.decoded.take().unwrap_or_default();
        let mut is_first = true;
        let outcome = self.refining(host, arrival, |feed, host| {
            let outcome = feed.decoder.decode(connection, frame, &feed.table, &mut decoded);
            if std::mem::take(&mut is_first) {
                feed.follow_connection(connection, decoded.connection_seq, host, arrival);
            }
            outcome
        });
        let mut for_python = false;
        self.remember(&decoded, connection, frame, arrival);
        match outcome {
            Outcome::Handled if self.links.is_retired(connection) => {
                self.journal.counters.after_overlap += decoded.events.len() as u64;
            }
            Outcome::Handled => self.publish(connection, &decoded, host, arrival),
            Outcome::NotMine => {
                self.journal.counters.for_python += 1;
                for_python = true;
            }
            Outcome::UnknownInstrument { text } => self.unknown_instrument(text.of(frame)),
            Outcome::NeedsFiner { instrument, .. } => {
                self.fault("more digits than 64 bits hold", connection, frame, arrival, Some(instrument));
            }
            Outcome::Fault(kind) => {
                let reason = self.decoder.reason(kind);
                self.fault(&reason, connection, frame, arrival, decoded.unread_books.first().copied());
            }
        }
        self.lose_unread(&decoded, connection, host, arrival);
        self.lose_unread_orders(&decoded, connection, host, arrival);
        self.keep_unproven(connection, frame, arrival);
        self.keep_misfit(connection, frame, arrival);
        if self.channel.said() != said {
            self.waits(arrival);
        }
        self.decoded = Some(decoded);
        Taken { for_python, notices: self.journal.has_notices() }
    }

    /// Takes the REST answer with an instrument's book.
    pub fn on_snapshot(&mut self, index: u32, body: &[u8], host: &mut dyn Host, arrival: Arrival) -> Taken {
        if self.channel.has_ended() {
            self.journal.counters.after_end += 1;
            return Taken::default();
        }
        if self.is_removed(index) {
            self.journal.counters.after_removal += 1;
            return Taken { for_python: false, notices: self.journal.has_notices() };
        }
        let waiting = self
            .instruments
            .get(index as usize)
            .is_some_and(|known| known.has_book && known.state != BookState::Live);
        if !waiting {
            self.journal.counters.snapshots_ignored += 1;
            return Taken { for_python: false, notices: self.journal.has_notices() };
        }
        let mut decoded = self.decoded.take().unwrap_or_default();
        let outcome = self.refining(host, arrival, |feed, _| {
            feed.decoder.decode_snapshot(index, body, &feed.table, &mut decoded)
        });
        self.remember(&decoded, 0, body, arrival);
        match outcome {
            Outcome::Handled => {
                if let Some(&event) = decoded.events.first() {
                    self.join_snapshot(&event, &decoded, body, host, arrival);
                }
            }
            Outcome::Fault(kind) => {
                let reason = self.decoder.reason(kind);
                self.fault(&reason, 0, body, arrival, Some(index));
            }
            Outcome::NeedsFiner { .. } => {
                self.fault("more digits than 64 bits hold", 0, body, arrival, Some(index));
            }
            Outcome::NotMine | Outcome::UnknownInstrument { .. } => {
                self.fault("not the snapshot that the venue declares", 0, body, arrival, Some(index));
            }
        }
        self.keep_unproven(0, body, arrival);
        self.decoded = Some(decoded);
        Taken { for_python: false, notices: self.journal.has_notices() }
    }

    /// The streams of these instruments are subscribed, on a connection (0 = not told): those without a book are live by
    /// that, the others wait for theirs. In an overlap, the new link is known to bring what changes from now on.
    pub fn connected(&mut self, indices: &[u32], connection: u32, host: &mut dyn Host, arrival: Arrival) {
        self.channel.begin_together();
        for &index in indices {
            self.subscribed(index, connection);
            let waits = |known: &&mut Instrument| {
                !known.has_book && known.state != BookState::Live && !known.is_vacant()
            };
            if let Some(instrument) = self.instruments.get_mut(index as usize).filter(waits)
                && !self.channel.has_ended()
            {
                instrument.state = BookState::Live;
                instrument.tell_status(&mut self.channel, host, arrival, Why::default());
            }
        }
        self.channel.end_together(host);
    }

    /// Takes the venue's trading status (STATUS.state); held back while the book is not live.
    pub fn set_trading_status(&mut self, index: u32, state: u8, host: &mut dyn Host, arrival: Arrival) {
        let known = self.instruments.get_mut(index as usize);
        let Some(instrument) = known.filter(|known| !known.is_vacant()) else { return };
        let told = instrument.wire_status();
        instrument.trading_status = state;
        if instrument.wire_status() != told && !self.channel.has_ended() {
            let why = Why { reason: instrument.reason, ..Why::default() };
            instrument.tell_status(&mut self.channel, host, arrival, why);
        }
    }

    /// Takes new tick, lot and least quantity from the venue's list, at exponents of their own. A change goes out as a new
    /// version of the definition. `false`: a mantissa would not fit, nothing changed.
    pub fn update_sizes(&mut self, index: u32, sizes: &Sizes, host: &mut dyn Host, arrival: Arrival) -> bool {
        let Some(known) = self.definition(index) else { return false };
        let finer = Scale {
            price_exp: known.price_exp.min(sizes.scale.price_exp),
            qty_exp: known.qty_exp.min(sizes.scale.qty_exp),
        };
        let is_finer = finer.price_exp < known.price_exp || finer.qty_exp < known.qty_exp;
        let rescaled = InstrumentDef { price_exp: finer.price_exp, qty_exp: finer.qty_exp, ..*known };
        if self.channel.has_ended()
            || sizes.applied_to(&rescaled).is_none()
            || (is_finer && !self.refine(index, &finer, host, arrival))
        {
            return false;
        }
        let instrument = &mut self.instruments[index as usize];
        let Some(def) = sizes.applied_to(&instrument.def) else { return false };
        if def != instrument.def {
            instrument.def = InstrumentDef { def_version: def.def_version + 1, ..def };
            instrument.book.set_tick(def.tick_size);
            if let Some(printed) = &mut instrument.printed {
                printed.set_tick(def.tick_size);
            }
            instrument.define(&mut self.channel, host, arrival);
        }
        true
    }

    /// CONN: counters of one connection, or of the venue where `conn_id` is 0.
    pub fn publish_connection(&mut self, conn: &ConnectionCounters, host: &mut dyn Host, arrival: Arrival) {
        self.tell(msg::CONN, conn, host, arrival);
    }

    /// STATUS of scope channel, venue or connection: for monitors, no book depends on it.
    pub fn publish_status(&mut self, root: &wire::Status, host: &mut dyn Host, arrival: Arrival) {
        self.tell(msg::STATUS, root, host, arrival);
    }

    fn tell<T>(&mut self, msg_type: u8, root: &T, host: &mut dyn Host, arrival: Arrival)
    where
        T: zerocopy::IntoBytes + zerocopy::Immutable,
    {
        if !self.channel.has_ended() {
            let about = About { flags: flags::EVENT_END, ..About::channel() };
            self.channel.numbered(host, arrival, msg_type, &about, root, NO_RECORDS);
        }
    }

    /// Monotonic time at which [`Feed::tick`] has something to do; `None` when the session is over for good.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        let beat = self.channel.deadline_ns()?;
        if self.channel.has_ended() || self.instruments.is_empty() {
            return Some(beat);
        }
        Some(beat.min(self.cycle_due_ns()))
    }

    /// Ends the session: SESSION_END now and, by [`Feed::tick`], for 5 s. `next_session` is the one that follows at once;
    /// 0 unknown.
    pub fn close(&mut self, reason: u32, next_session: u32, host: &mut dyn Host) {
        self.channel.end(host, reason, next_session);
    }

    /// Whether the session has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.channel.has_ended()
    }

    /// Number of the last frame of the session so far; messages that wait leave first.
    pub fn last_seq(&mut self, host: &mut dyn Host) -> u64 {
        self.channel.last_seq(host)
    }

    /// Goes on with these numbers: how simulations and tests reach the edges of 2^64 and 2^32, which no session lives to
    /// see. Numbers never go back.
    pub fn jump_to(&mut self, channel_seq: u64, instr_seq: u32, host: &mut dyn Host) {
        self.channel.flush(host);
        self.channel.jump_to(channel_seq);
        for instrument in &mut self.instruments {
            instrument.instr_seq = instr_seq;
        }
    }

    /// Tells the owner once that the numbers of the session run out.
    fn tell_when_full(&mut self) {
        if self.channel.is_full() && !self.told_full {
            self.told_full = true;
            self.journal.notice(Notice {
                kind: NoticeKind::SessionFull,
                instrument: None,
                expected: 0,
                got: 0,
                text: "the frame numbers of the session run out".to_owned(),
            });
        }
    }

    /// What came in and went out, by kind of message.
    #[must_use]
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Messages by index of the instrument and kind.
    #[must_use]
    pub fn activity(&self) -> &[[Activity; ACTIVITY_KINDS]] {
        self.activity.rows()
    }

    /// What frames hold that the declaration does not know, and what is gone; see [`Decoder::drift`].
    pub fn drift(&self) -> impl Iterator<Item = (&str, u64)> {
        self.decoder.drift()
    }

    /// Books that the venue has and that are not live now.
    #[must_use]
    pub fn books_not_live(&self) -> usize {
        self.instruments.iter().filter(|known| known.has_book && known.state != BookState::Live).count()
    }

    /// Signs with another key of the same channel and session from the next frame on; see [`Channel::change_key`].
    pub fn change_key(&mut self, host: &mut dyn Host, signer: Signer) {
        self.channel.change_key(host, signer);
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.journal.take_notices()
    }

    /// The last faults with their frames.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.journal.faults()
    }

    /// Sums of the feed and of its channel.
    #[must_use]
    pub fn counters(&self) -> (FeedCounters, ChannelCounters) {
        (self.journal.counters, self.channel.counters())
    }

    fn known(&self, index: u32) -> Option<&Instrument> {
        self.instruments.get(index as usize).filter(|known| !known.is_vacant())
    }

    /// State of a book.
    #[must_use]
    pub fn state(&self, index: u32) -> Option<BookState> {
        self.known(index).map(|known| known.state)
    }

    /// The book itself; empty while it is not live.
    #[must_use]
    pub fn book(&self, index: u32) -> Option<&Book> {
        self.known(index).map(|known| &known.book)
    }

    /// Definition in force.
    #[must_use]
    pub fn definition(&self, index: u32) -> Option<&InstrumentDef> {
        self.known(index).map(|known| &known.def)
    }

    /// (last instr_seq, last exchange id; 0 = none).
    #[must_use]
    pub fn numbers(&self, index: u32) -> Option<(u32, u64)> {
        self.known(index).map(|known| (known.instr_seq, known.source_seq.unwrap_or(0)))
    }

    /// Who publishes.
    #[must_use]
    pub fn info(&self) -> &SessionInfo {
        self.channel.info()
    }

    /// Decodes, taking finer exponents as often as the frame asks for them.
    fn refining(
        &mut self,
        host: &mut dyn Host,
        arrival: Arrival,
        mut decode: impl FnMut(&mut Self, &mut dyn Host) -> Outcome,
    ) -> Outcome {
        for _ in 0..REFINES_PER_FRAME_MAX {
            match decode(self, host) {
                Outcome::NeedsFiner { instrument, price_exp, qty_exp } => {
                    if !self.refine(instrument, &Scale { price_exp, qty_exp }, host, arrival) {
                        return Outcome::NeedsFiner { instrument, price_exp, qty_exp };
                    }
                }
                outcome => return outcome,
            }
        }
        decode(self, host)
    }

    /// Takes finer exponents: new definition, then the whole book in-band where there is one.
    fn refine(&mut self, index: u32, scale: &Scale, host: &mut dyn Host, arrival: Arrival) -> bool {
        let Some(instrument) = self.instruments.get_mut(index as usize) else { return false };
        let Some(dropped) = instrument.refine(scale) else { return false };
        self.journal.counters.held_dropped += dropped;
        self.table.set_scale(index, *scale);
        self.journal.counters.refined += 1;
        self.journal.notice(Notice {
            expected: u64::from(scale.price_exp.unsigned_abs()),
            got: u64::from(scale.qty_exp.unsigned_abs()),
            ..Notice::about(NoticeKind::Refined, index)
        });
        instrument.define(&mut self.channel, host, arrival);
        if instrument.has_book && instrument.state == BookState::Live {
            instrument.publish_book(&mut self.whole, &mut self.channel, host, arrival);
            instrument.publish_orders(&mut self.channel, host, arrival);
        }
        true
    }

    fn unknown_instrument(&mut self, name: &[u8]) {
        if self.departed.knows(name) {
            self.journal.counters.after_removal += 1;
            return;
        }
        let name = &name[..name.len().min(UNKNOWN_NAME_BYTES_MAX)];
        self.journal.counters.unknown_instrument += 1;
        if self.unknown_names.len() < UNKNOWN_NAMES_MAX
            && !self.unknown_names.iter().any(|known| **known == *name)
        {
            self.unknown_names.push(name.into());
            self.journal.notice(Notice {
                kind: NoticeKind::UnknownInstrument,
                instrument: None,
                expected: 0,
                got: 0,
                text: String::from_utf8_lossy(name).into_owned(),
            });
        }
    }

    /// Keeps a frame whose checksum differed from that of the book.
    fn keep_unproven(&mut self, connection: u32, frame: &[u8], arrival: Arrival) {
        if let Some(index) = self.proof.failed.take() {
            self.fault("the checksum differs", connection, frame, arrival, Some(index));
        }
    }

    fn fault(
        &mut self,
        reason: &str,
        connection: u32,
        frame: &[u8],
        arrival: Arrival,
        instrument: Option<u32>,
    ) {
        let fault = Fault {
            reason: reason.to_owned(),
            recv_ts: arrival.recv_ts,
            connection,
            frame: frame[..frame.len().min(FAULT_BYTES_MAX)].to_vec(),
        };
        self.journal.fault(fault, instrument);
    }
}
