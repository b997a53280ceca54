//! The state machine of one channel: sessions, numbers, silence, and which plane is needed.

mod image;
mod info;
mod instruments;
mod line;
mod repair;

use std::net::SocketAddrV4;

use self::image::Image;
pub use self::image::{IMAGE_EVERY_NS, IMAGE_GIVEN_UP_MIN, ImageWanted};
pub use self::info::ChannelInfo;
use super::chain::Chain;
use super::counters::Counters;
use super::gaps::GapLog;
use super::id_map::IdMap;
use super::instrument::{Held, Shared, Tracked};
use super::line::{Arrival, Line};
use super::mirror::Mirror;
use super::numbers::Numbers;
use super::orders::Orders;
use super::plane::{Item, Pushed, SnapshotPlane};
use super::registry::{Registry, Wants};
use super::requester::Requester;
use super::sink::Sink;
use super::skew::Skew;
use super::state::{Reception, reason};
use crate::publish::Plane;
use crate::wire::{CHANNEL_SNAPSHOT, Frame, Header, flags, is_numbered, msg};

/// Silence after which a channel is DEAD: three heartbeats of 100 ms and a margin.
pub const SILENCE_NS: u64 = 350_000_000;

/// What every call shares.
pub(in crate::receive) struct Context<'a, S> {
    pub(in crate::receive) now_ns: u64,
    pub(in crate::receive) wants: &'a mut Wants,
    pub(in crate::receive) counters: &'a mut Counters,
    pub(in crate::receive) requester: &'a mut Requester,
    pub(in crate::receive) gaps: &'a mut GapLog,
    /// Whether missing frames may be asked for at all.
    pub(in crate::receive) may_ask: bool,
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
    /// Numbers given up.
    given_up: u64,
    /// Where missing frames can be asked for, and images, as the last heartbeat says.
    server: Option<SocketAddrV4>,
    image_server: Option<SocketAddrV4>,
    image: Image,
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
            given_up: 0,
            server: None,
            image_server: None,
            image: Image::default(),
        }
    }
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

    pub(super) fn session(&self) -> u32 {
        self.session.number
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

    pub(super) fn orders_mut(&mut self, instrument: u32) -> Option<&mut Orders> {
        self.tracked.get_mut(instrument)?.mirror.orders.as_deref_mut()
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
            self.on_unnumbered(frame, arrival, cx);
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
        match arrival.line {
            Line::Image => self.on_image(frame, arrival, cx),
            // What others asked for is not ours to follow.
            Line::Repair | Line::Retransmit if !self.plane.is_missing(frame.header.channel_seq) => {
                cx.counters.repair_unneeded += 1;
            }
            _ => self.on_plane(frame, arrival, cx),
        }
        self.refresh(cx);
    }

    fn on_plane<S: Sink>(&mut self, frame: &Frame<'_>, arrival: Arrival, cx: &mut Context<'_, S>) {
        let seq = frame.header.channel_seq;
        let wire_channel = self.number | CHANNEL_SNAPSHOT;
        let mut items = std::mem::take(&mut self.items);
        let pushed = self.plane.push(Held::new(frame, arrival.rx_ts, cx.now_ns), cx.now_ns, &mut items);
        match pushed {
            Pushed::Taken { first, count } if count > 0 && self.needs_snapshots => {
                let report = self.report(Plane::Snapshot, (first, count), arrival.rx_ts, cx.now_ns);
                cx.gaps.open(wire_channel, report, arrival.line);
            }
            Pushed::Filled => {
                cx.counters.snapshot_filled += 1;
                cx.gaps.fill(wire_channel, seq, false, arrival.line, cx.now_ns);
            }
            Pushed::Taken { .. } | Pushed::Duplicate => {}
        }
        if pushed != Pushed::Duplicate {
            cx.counters.line_won[arrival.line as usize] += 1;
        }
        self.on_items(items, cx);
    }

    /// Whether a frame that came by another way than line A or B can be one of the session heard, sent again.
    fn is_resent(&self, header: &Header) -> bool {
        let session = &self.session;
        header.session == session.number && session.numbers.is_some() && is_numbered(header.msg_type)
    }

    /// Asks for what is missing or gives it up, and notices silence.
    pub(super) fn on_timer<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        self.ask_missing(cx);
        self.ask_plane(cx);
        if self.silence_deadline_ns().is_some_and(|deadline| cx.now_ns > deadline) {
            self.session.dead = true;
            cx.counters.silences += 1;
        }
        self.refresh(cx);
    }

    /// When [`Channel::on_timer`] has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        let numbers = self.session.numbers.as_ref();
        let missing = numbers.and_then(Numbers::deadline_ns);
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
        let needs_snapshots = !is_complete && !may_fill && !session.split && !session.ended;
        if needs_snapshots && !self.needs_snapshots {
            self.plane.rejoin();
        }
        self.needs_snapshots = needs_snapshots;
        if is_complete {
            self.session.phase = Phase::Live;
            cx.gaps.heal(self.number, cx.now_ns);
        }
    }
}

/// Whether the un-numbered type carries the next number of line A.
fn speaks_of_line(msg_type: u8) -> bool {
    matches!(msg_type, msg::HEARTBEAT | msg::SESSION_END)
}
