//! The state machine of one instrument: which frame may be applied, held, or dropped.
//!
//! It removes head-of-line blocking: a hole in the channel stops only the instruments whose own numbers show it.

use std::collections::BTreeMap;

use super::counters::Counters;
use super::mirror::{Applied, Mirror};
use super::sink::{Delivered, Lost, Sink, StateChange};
use super::state::{Reception, Reported, reason};
use super::whole::Broken;
use crate::publish::Plane;
use crate::wire::{Frame, Header, Message, flags, msg};

/// Frames held for one instrument.
pub const HOLD_INSTRUMENT_MAX: usize = 4_096;
/// Frames held for all instruments of a channel.
pub const HOLD_CHANNEL_MAX: usize = 65_536;
/// Where extended instrument numbers begin, so that a number before the first one heard is not negative.
const EXTENDED_START: u64 = 1 << 33;

/// A checked frame kept for later.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) bytes: Box<[u8]>,
    pub(super) header: Header,
    pub(super) rx_ts: i64,
    pub(super) since_ns: u64,
}

impl Held {
    pub(super) fn new(frame: &Frame<'_>, rx_ts: i64, since_ns: u64) -> Self {
        Self { bytes: frame.bytes.into(), header: frame.header, rx_ts, since_ns }
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        Frame { bytes: &self.bytes, header: self.header }
    }
}

/// What an instrument shares with its channel.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Highest number of the channel given up; at a join the first one heard less one.
    pub(super) gap_number: u64,
    /// Frames held for all instruments.
    pub(super) holds: usize,
    /// Changes staged for all instruments.
    pub(super) staged: usize,
    /// A reception state changed since the channel last looked.
    pub(super) changed: bool,
}

/// When and how a frame came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) rx_ts: i64,
    pub(super) now_ns: u64,
    /// Nanoseconds that its channel number was missing; `None` = came in order.
    pub(super) delay_ns: Option<u64>,
}

/// One wanted (or not yet decided) instrument.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) mirror: Mirror,
    /// Next number to apply, extended; means nothing while UNKNOWN.
    next: u64,
    /// Highest number heard, extended; 0 none.
    heard: u64,
    last_channel_seq: u64,
    holds: BTreeMap<u64, Held>,
    needs_snapshot: bool,
}

impl Tracked {
    pub(super) fn new(mirror: Mirror) -> Self {
        Self { mirror, next: 0, heard: 0, last_channel_seq: 0, holds: BTreeMap::new(), needs_snapshot: false }
    }

    /// The instrument number as a position that never wraps: nearest to where the instrument stands.
    fn extend(&self, instr_seq: u32) -> u64 {
        let near = if self.next != 0 { self.next } else { self.heard };
        if near == 0 {
            return EXTENDED_START + u64::from(instr_seq);
        }
        near.wrapping_add_signed(i64::from(instr_seq.wrapping_sub(low(near)).cast_signed()))
    }

    /// One frame of line A, seen for the first time.
    pub(super) fn on_frame<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        came: Came,
        shared: &mut Shared,
        counters: &mut Counters,
        sink: &mut S,
    ) {
        let at = self.extend(frame.header.instr_seq);
        let is_known = self.mirror.reception != Reception::Unknown;
        if is_known && at < self.next {
            counters.instrument_duplicates += 1;
            return;
        }
        self.heard = self.heard.max(at);
        let begins = !is_known && frame.header.msg_type == msg::INSTRUMENT_DEF && frame.header.instr_seq == 1;
        if begins || is_known && at == self.next && !self.needs_snapshot {
            self.take(at, frame, came, shared, counters, sink);
            self.drain(came.now_ns, shared, counters, sink);
        } else {
            self.hold(at, frame, came, shared, counters);
            if is_known {
                self.settle(Reception::Stale, reason::INSTRUMENT_GAP, shared, sink);
            }
        }
    }

    /// A complete group of the snapshot plane; its frames agree in instrument and instrument number.
    pub(super) fn on_group<S: Sink>(
        &mut self,
        group: &[Held],
        now_ns: u64,
        shared: &mut Shared,
        counters: &mut Counters,
        sink: &mut S,
    ) {
        let Some(first) = group.first() else { return };
        let covered = self.extend(first.header.instr_seq);
        let reception = self.mirror.reception;
        let is_behind = reception != Reception::Unknown && covered.saturating_add(1) < self.next;
        if reception == Reception::Live || is_behind {
            counters.groups_ignored += 1;
            return;
        }
        let frames = || group.iter().map(Held::frame);
        let Ok(books) = Mirror::books_of_group(tick_of(group), frames()) else {
            counters.groups_bad += 1;
            return;
        };
        counters.groups_applied += 1;
        if reception != Reception::Unknown && covered >= self.next {
            self.announce_lost(covered - self.next + 1, counters, sink);
        }
        shared.staged -= self.mirror.staged_changes();
        if self.mirror.take_group(books, frames()) == Applied::UnknownStatus {
            counters.unknown_status += 1;
        }
        self.next = covered + 1;
        self.heard = self.heard.max(covered);
        self.last_channel_seq = included(group);
        self.needs_snapshot = false;
        self.drop_covered(shared, counters);
        for held in group {
            self.deliver(
                &held.frame(),
                Plane::Snapshot,
                held.rx_ts,
                true,
                now_ns.saturating_sub(held.since_ns),
                sink,
            );
        }
        self.settle(self.after(Reception::Stale, shared), reason::INSTRUMENT_GAP, shared, sink);
        self.drain(now_ns, shared, counters, sink);
    }

    /// Whether more was applied than up to this number.
    pub(super) fn is_beyond(&self, instr_seq: u32) -> bool {
        self.mirror.reception != Reception::Unknown && self.extend(instr_seq).saturating_add(1) < self.next
    }

    /// Numbers of the channel were given up.
    pub(super) fn on_give_up<S: Sink>(&mut self, shared: &mut Shared, sink: &mut S) {
        if self.mirror.reception == Reception::Live {
            self.settle(Reception::Unsure, reason::GIVEN_UP, shared, sink);
        }
    }

    /// Everything of the old session is gone.
    pub(super) fn start_session<S: Sink>(
        &mut self,
        session: u32,
        shared: &mut Shared,
        counters: &mut Counters,
        sink: &mut S,
    ) {
        self.drop_holds(shared, counters);
        shared.staged -= self.mirror.staged_changes();
        self.mirror.start_session(session);
        (self.next, self.heard, self.last_channel_seq, self.needs_snapshot) = (0, 0, 0, false);
        shared.changed = true;
        self.announce(reason::NEW_SESSION, sink);
    }

    /// Forgets what is held: the instrument turned out not to be wanted, or its session ended.
    pub(super) fn drop_holds(&mut self, shared: &mut Shared, counters: &mut Counters) {
        shared.holds -= self.holds.len();
        counters.held_dropped += self.holds.len() as u64;
        self.holds.clear();
    }

    /// The channel as a whole is not to be trusted (`Some(reason)`), or is again (`None`).
    pub(super) fn set_overlay<S: Sink>(&mut self, overlay: Option<u16>, sink: &mut S) {
        self.mirror.overlay = overlay;
        self.announce(overlay.unwrap_or(self.mirror.reason), sink);
    }

    /// The publisher does not define the instrument any more.
    pub(super) fn close<S: Sink>(&mut self, sink: &mut S) {
        self.mirror.publisher = super::state::Publisher::Closed;
        self.announce(reason::NOT_DEFINED, sink);
    }

    fn take<S: Sink>(
        &mut self,
        at: u64,
        frame: &Frame<'_>,
        came: Came,
        shared: &mut Shared,
        counters: &mut Counters,
        sink: &mut S,
    ) {
        let before = self.mirror.staged_changes();
        let applied = self.mirror.apply(frame, shared.staged - before);
        self.next = at + 1;
        self.last_channel_seq = self.last_channel_seq.max(frame.header.channel_seq);
        let mut why = reason::INSTRUMENT_GAP;
        let state = match applied {
            Applied::Broken(broken) => {
                why = self.break_book(broken, counters);
                Reception::Stale
            }
            Applied::UnknownStatus => {
                counters.unknown_status += 1;
                self.after(self.mirror.reception, shared)
            }
            Applied::Done | Applied::UnknownType => self.after(self.mirror.reception, shared),
        };
        shared.staged = shared.staged - before + self.mirror.staged_changes();
        self.settle(state, why, shared, sink);
        if applied == Applied::UnknownType {
            counters.unknown_type += 1;
            return;
        }
        let recovered = came.delay_ns.is_some();
        self.deliver(frame, Plane::Incremental, came.rx_ts, recovered, came.delay_ns.unwrap_or(0), sink);
    }

    /// Applies what was held, as far as nothing is missing.
    fn drain<S: Sink>(&mut self, now_ns: u64, shared: &mut Shared, counters: &mut Counters, sink: &mut S) {
        while !self.needs_snapshot {
            let Some(entry) = self.holds.first_entry() else { break };
            let at = *entry.key();
            if at > self.next {
                break;
            }
            let held = entry.remove();
            shared.holds -= 1;
            if at < self.next {
                counters.instrument_duplicates += 1;
                continue;
            }
            let delay_ns = Some(now_ns.saturating_sub(held.since_ns));
            let came = Came { rx_ts: held.rx_ts, now_ns, delay_ns };
            self.take(at, &held.frame(), came, shared, counters, sink);
        }
    }

    fn hold(&mut self, at: u64, frame: &Frame<'_>, came: Came, shared: &mut Shared, counters: &mut Counters) {
        if self.holds.len() >= HOLD_INSTRUMENT_MAX || shared.holds >= HOLD_CHANNEL_MAX {
            shared.holds -= self.holds.len();
            counters.held_overflow += self.holds.len() as u64 + 1;
            self.holds.clear();
            // `heard` remembers that there was more: only a snapshot that reaches it makes the instrument whole.
            self.mirror.reason = reason::HOLD_OVERFLOW;
            return;
        }
        if self.holds.insert(at, Held::new(frame, came.rx_ts, came.now_ns)).is_none() {
            shared.holds += 1;
            counters.held += 1;
        } else {
            counters.instrument_duplicates += 1;
        }
    }

    fn drop_covered(&mut self, shared: &mut Shared, counters: &mut Counters) {
        let kept = self.holds.split_off(&self.next);
        shared.holds -= self.holds.len();
        counters.held_covered += self.holds.len() as u64;
        self.holds = kept;
    }

    /// Where an instrument that was in `before` stands once everything below `next` is applied.
    fn after(&self, before: Reception, shared: &Shared) -> Reception {
        if self.needs_snapshot || !self.holds.is_empty() || self.heard >= self.next {
            return Reception::Stale;
        }
        let is_confirmed = match before {
            Reception::Live => true,
            Reception::Unsure => self.last_channel_seq > shared.gap_number,
            Reception::Stale | Reception::Unknown => self.last_channel_seq >= shared.gap_number,
        };
        if is_confirmed { Reception::Live } else { Reception::Unsure }
    }

    fn break_book(&mut self, broken: Broken, counters: &mut Counters) -> u16 {
        self.mirror.discard_books();
        self.needs_snapshot = true;
        let (counter, why) = match broken {
            Broken::Checksum => (&mut counters.checksum_mismatch, reason::BOOK_CHECKSUM),
            Broken::Exponents => (&mut counters.exponent_mismatch, reason::EXPONENTS),
            Broken::BadLevel => (&mut counters.bad_level, reason::BAD_LEVEL),
            Broken::BadOrder => (&mut counters.bad_order, reason::BAD_ORDER),
            Broken::Limit => (&mut counters.book_overflow, reason::BOOK_LIMIT),
        };
        *counter += 1;
        why
    }

    fn settle<S: Sink>(&mut self, state: Reception, why: u16, shared: &mut Shared, sink: &mut S) {
        if self.mirror.reception != state {
            self.mirror.reception = state;
            shared.changed = true;
        }
        let why = match state {
            Reception::Live => self.mirror.publisher_reason,
            Reception::Unsure => reason::GIVEN_UP,
            Reception::Unknown => reason::JOINING,
            Reception::Stale => why,
        };
        self.announce(why, sink);
    }

    /// Tells the reported state if it changed.
    fn announce<S: Sink>(&mut self, why: u16, sink: &mut S) {
        let mirror = &mut self.mirror;
        let (from, to) = (mirror.announced, mirror.reported());
        if from == to {
            return;
        }
        mirror.announced = to;
        if to != Reported::Live {
            mirror.reason = why;
        }
        sink.state(&StateChange {
            venue: mirror.venue,
            instrument: mirror.instrument,
            channel: mirror.channel,
            session: mirror.session,
            instr_seq: mirror.instr_seq,
            source_seq: mirror.source_seq,
            exchange_ts: mirror.exchange_ts,
            recv_ts: mirror.recv_ts,
            from,
            to,
            reason: if to == Reported::Live { 0 } else { why },
            trading: mirror.trading,
        });
    }

    fn announce_lost<S: Sink>(&self, count: u64, counters: &mut Counters, sink: &mut S) {
        counters.lost_events += count;
        sink.lost(&Lost {
            venue: self.mirror.venue,
            instrument: self.mirror.instrument,
            channel: self.mirror.channel,
            session: self.mirror.session,
            first: low(self.next),
            count,
            state: self.mirror.announced,
        });
    }

    fn deliver<S: Sink>(
        &self,
        frame: &Frame<'_>,
        plane: Plane,
        rx_ts: i64,
        recovered: bool,
        delay_ns: u64,
        sink: &mut S,
    ) {
        sink.deliver(&Delivered {
            frame,
            plane,
            rx_ts,
            mirror: Some(&self.mirror),
            state: self.mirror.announced,
            unsure: self.mirror.reception == Reception::Unsure,
            recovered,
            delay_ns,
        });
    }
}

/// The instrument number of an extended position.
#[allow(clippy::cast_possible_truncation)]
fn low(at: u64) -> u32 {
    at as u32
}

fn tick_of(group: &[Held]) -> i64 {
    match group.first().map(|held| held.frame().message()) {
        Some(Message::InstrumentDef(def)) => def.tick_size,
        _ => 0,
    }
}

/// Highest number of line A that the group says is included; 0 if nothing in it says so.
pub(super) fn included(group: &[Held]) -> u64 {
    let said = group.iter().filter_map(|held| match held.frame().message() {
        Message::BookSnapshot(root, _) | Message::OrderSnapshot(root, _) => Some(root.last_channel_seq),
        Message::Status(root) => Some(root.last_channel_seq),
        _ => None,
    });
    said.max().unwrap_or(0)
}

/// Flags that a row of the snapshot plane shows: the first fragment of a book replaces it, as in-band with RESET.
pub(super) fn shown_flags(frame: &Frame<'_>, plane: Plane) -> u16 {
    let mut shown = frame.header.flags;
    if plane == Plane::Snapshot
        && let Message::BookSnapshot(root, _) | Message::OrderSnapshot(root, _) = frame.message()
        && root.frag_index == 0
    {
        shown |= flags::RESET;
    }
    shown
}
