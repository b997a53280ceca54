//! The state machine of one channel: sessions, numbers, silence, and which plane is needed.

mod instruments;
mod line;

use super::chain::Chain;
use super::counters::Counters;
use super::id_map::IdMap;
use super::instrument::{Held, Shared, Tracked};
use super::line::Arrival;
use super::mirror::Mirror;
use super::numbers::Numbers;
use super::plane::{Item, SnapshotPlane};
use super::registry::{Registry, Wants};
use super::sink::Sink;
use super::skew::Skew;
use super::state::{ChannelState, Reception, reason};
use crate::wire::{Frame, Header, flags, is_numbered, msg};

/// Silence after which a channel is DEAD: three heartbeats of 100 ms and a margin.
pub const SILENCE_NS: u64 = 350_000_000;

/// What every call shares.
pub(in crate::receive) struct Context<'a, S> {
    pub(in crate::receive) now_ns: u64,
    pub(in crate::receive) wants: &'a mut Wants,
    pub(in crate::receive) counters: &'a mut Counters,
    pub(in crate::receive) sink: &'a mut S,
}

/// How far a channel got; [`Channel::state`] adds holes and silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Sync,
    Live,
    Repair,
}

/// What a receiver knows of one session of a channel. Made anew when the session changes.
#[derive(Debug)]
struct Session {
    number: u32,
    /// `None` until the first frame told where line A stands.
    numbers: Option<Numbers>,
    publisher_id: Option<u64>,
    chain: Chain,
    phase: Phase,
    dead: bool,
    ended: bool,
    split: bool,
    last_alive_ns: u64,
    last_mono_ns: Option<i64>,
    /// CYCLE_END proved that all definitions are known, ever and since the last give-up.
    whole: bool,
    known_since_gap: bool,
}

impl Session {
    fn new(number: u32, now_ns: u64) -> Self {
        Self {
            number,
            numbers: None,
            publisher_id: None,
            chain: Chain::default(),
            phase: Phase::Sync,
            dead: false,
            ended: false,
            split: false,
            last_alive_ns: now_ns,
            last_mono_ns: None,
            whole: false,
            known_since_gap: false,
        }
    }
}

/// Sums and facts of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Channel number, 1–127.
    pub channel: u8,
    /// Venue number; 0 until a frame said it.
    pub venue: u16,
    /// Current session.
    pub session: u32,
    /// Where the state machine stands.
    pub state: ChannelState,
    /// Highest number known to exist.
    pub high: u64,
    /// Numbered frames taken.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Numbers found missing.
    pub gaps: u64,
    /// Numbers given up.
    pub given_up: u64,
    /// Numbers that came again.
    pub duplicates: u64,
    /// Publisher of the session; `None` until it said so.
    pub publisher_id: Option<u64>,
    /// Frames carry TEST.
    pub test: bool,
    /// Frames carry REPLAY.
    pub replay: bool,
    /// No claim of chain64 differed in this session.
    pub chain_ok: bool,
    /// How long a missing number is waited for, in nanoseconds.
    pub window_ns: u64,
    /// SESSION_END was heard.
    pub ended: bool,
    /// Two publishers speak in the session.
    pub split: bool,
    /// CYCLE_END proved in this session that all definitions are known.
    pub whole_cycle: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    frames: u64,
    bytes: u64,
    gaps: u64,
    given_up: u64,
    duplicates: u64,
}

#[derive(Debug)]
pub(super) struct Channel {
    number: u8,
    venue: u16,
    flags: u16,
    session: Session,
    skew: Skew,
    plane: SnapshotPlane,
    registry: Registry,
    tracked: IdMap<Tracked>,
    shared: Shared,
    overlay: Option<u16>,
    needs_snapshots: bool,
    items: Vec<Item>,
    sums: Sums,
}

impl Channel {
    /// A channel whose first session is `session`; its first frame is still to be handed in.
    pub(super) fn new(number: u8, session: u32, now_ns: u64) -> Self {
        Self {
            number,
            venue: 0,
            flags: 0,
            session: Session::new(session, now_ns),
            skew: Skew::new(),
            plane: SnapshotPlane::default(),
            registry: Registry::default(),
            tracked: IdMap::default(),
            shared: Shared::default(),
            overlay: None,
            needs_snapshots: true,
            items: Vec::new(),
            sums: Sums::default(),
        }
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }

    pub(super) fn venue(&self) -> u16 {
        self.venue
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn mirror(&self, instrument: u32) -> Option<&Mirror> {
        self.tracked.get(instrument).map(|tracked| &tracked.mirror)
    }

    pub(super) fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        self.tracked.iter().map(|(_, tracked)| &tracked.mirror)
    }

    /// Whether the snapshot plane is needed to make something whole.
    pub(super) fn needs_snapshots(&self) -> bool {
        self.needs_snapshots
    }

    pub(super) fn is_whole(&self) -> bool {
        self.session.whole
    }

    pub(super) fn state(&self) -> ChannelState {
        let session = &self.session;
        let Some(numbers) = &session.numbers else { return ChannelState::Init };
        match session.phase {
            _ if self.overlay.is_some() => ChannelState::Dead,
            Phase::Live if numbers.missing() > 0 => ChannelState::Gap,
            Phase::Live => ChannelState::Live,
            Phase::Sync => ChannelState::Sync,
            Phase::Repair => ChannelState::Repair,
        }
    }

    pub(super) fn info(&self) -> ChannelInfo {
        ChannelInfo {
            channel: self.number,
            venue: self.venue,
            session: self.session.number,
            state: self.state(),
            high: self.session.numbers.as_ref().map_or(0, Numbers::high),
            frames: self.sums.frames,
            bytes: self.sums.bytes,
            gaps: self.sums.gaps,
            given_up: self.sums.given_up,
            duplicates: self.sums.duplicates,
            publisher_id: self.session.publisher_id,
            test: self.flags & flags::TEST != 0,
            replay: self.flags & flags::REPLAY != 0,
            chain_ok: self.session.chain.is_ok(),
            window_ns: self.skew.window_ns(),
            ended: self.session.ended,
            split: self.session.split,
            whole_cycle: self.session.whole,
        }
    }

    /// One checked frame of the incremental plane.
    pub(super) fn on_incremental<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        arrival: Arrival,
        cx: &mut Context<'_, S>,
    ) {
        if !is_numbered(frame.header.msg_type) && !speaks_of_line(frame.header.msg_type) {
            // Its channel_seq may be a correlation id, so that it says nothing about the numbers.
            cx.counters.unknown_type += 1;
            return;
        }
        if !arrival.line.is_live() && !self.is_resent(&frame.header) {
            cx.counters.repair_foreign += 1;
            return;
        }
        if !self.admit(frame, arrival.authenticated, cx) {
            return;
        }
        if self.session.split {
            cx.counters.split_dropped += 1;
            return;
        }
        self.flags = frame.header.flags & (flags::TEST | flags::REPLAY);
        self.join(frame);
        if is_numbered(frame.header.msg_type) {
            self.on_numbered(frame, arrival, cx);
        } else {
            self.on_unnumbered(frame, cx);
        }
        self.refresh(cx);
    }

    /// One checked frame of the snapshot plane.
    pub(super) fn on_snapshot<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        arrival: Arrival,
        cx: &mut Context<'_, S>,
    ) {
        let session = &self.session;
        cx.counters.snapshot_frames += 1;
        if frame.header.session != session.number || session.numbers.is_none() || session.split {
            cx.counters.snapshot_foreign += 1;
            return;
        }
        if !is_numbered(frame.header.msg_type) {
            cx.counters.unknown_type += 1;
            return;
        }
        if !self.venue_fits(frame, cx.counters) {
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        self.plane.push(Held::new(frame, arrival.rx_ts, cx.now_ns), cx.now_ns, &mut items);
        self.on_items(items, cx);
        self.refresh(cx);
    }

    /// Whether a frame that came by another way than line A or B can be one of the session heard, sent again.
    fn is_resent(&self, header: &Header) -> bool {
        let session = &self.session;
        header.session == session.number && session.numbers.is_some() && is_numbered(header.msg_type)
    }

    /// Gives up what is missing for too long, and notices silence.
    pub(super) fn on_timer<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        let window_ns = self.skew.window_ns();
        if let Some(given) =
            self.session.numbers.as_mut().and_then(|numbers| numbers.expire(cx.now_ns, window_ns))
        {
            self.give_up(given, cx);
        }
        let mut items = std::mem::take(&mut self.items);
        self.plane.timer(cx.now_ns, &mut items);
        self.on_items(items, cx);
        if self.silence_deadline_ns().is_some_and(|deadline| cx.now_ns > deadline) {
            self.session.dead = true;
            cx.counters.silences += 1;
        }
        self.refresh(cx);
    }

    /// When [`Channel::on_timer`] has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        let numbers = self.session.numbers.as_ref();
        let missing = numbers.and_then(|numbers| numbers.deadline_ns(self.skew.window_ns()));
        let silence = self.silence_deadline_ns().map(|deadline| deadline + 1);
        [missing, self.plane.deadline_ns(), silence].into_iter().flatten().min()
    }

    fn silence_deadline_ns(&self) -> Option<u64> {
        let session = &self.session;
        (!session.dead && !session.ended && !session.split)
            .then_some(session.last_alive_ns.saturating_add(SILENCE_NS))
    }

    /// Tells every instrument whether the channel as a whole can be trusted.
    fn refresh_overlay<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        let session = &self.session;
        let missing = session.numbers.as_ref().map_or(0, Numbers::missing);
        let overlay = if session.split {
            Some(reason::TWO_PUBLISHERS)
        } else if session.ended && missing == 0 {
            Some(reason::SESSION_ENDED)
        } else {
            session.dead.then_some(reason::SILENCE)
        };
        if overlay != self.overlay {
            self.overlay = overlay;
            self.shared.changed = true;
            self.tracked.for_each_mut(|_, tracked| tracked.set_overlay(overlay, cx.sink));
        }
    }

    /// Draws the consequences of what happened for the channel as a whole.
    fn refresh<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        self.refresh_overlay(cx);
        if !std::mem::take(&mut self.shared.changed) {
            return;
        }
        let session = &self.session;
        let missing = session.numbers.as_ref().map_or(0, Numbers::missing);
        let mut needed = self.tracked.iter().filter(|(instrument, _)| self.registry.is_expected(*instrument));
        let all_live = needed.all(|(_, tracked)| tracked.mirror.reception == Reception::Live);
        let is_set_complete = !cx.wants.is_all() && !cx.wants.is_open(self.venue);
        let is_complete = self.venue != 0 && all_live && (session.known_since_gap || is_set_complete);
        // A hole that may still be filled in time is no reason to join the snapshot plane.
        let may_fill = session.phase == Phase::Live && missing > 0;
        self.needs_snapshots = !is_complete && !may_fill && !session.split && !session.ended;
        if is_complete {
            self.session.phase = Phase::Live;
        }
        // Once the hole is filled or given up the question is asked again.
        self.shared.changed = may_fill;
    }
}

/// Whether the un-numbered type carries the next number of line A.
fn speaks_of_line(msg_type: u8) -> bool {
    matches!(msg_type, msg::HEARTBEAT | msg::SESSION_END)
}
