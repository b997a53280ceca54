//! The instruments of a channel: which are wanted, what is theirs, what the snapshot plane says of them.

use super::{Channel, Context};
use crate::publish::Plane;
use crate::receive::counters::Counters;
use crate::receive::instrument::{Came, Held, Tracked};
use crate::receive::line::Line;
use crate::receive::mirror::Mirror;
use crate::receive::plane::Item;
use crate::receive::registry::{INSTRUMENTS_MAX, Interest};
use crate::receive::sink::Sink;
use crate::wire::{Frame, InstrumentDef, Message, msg, status};

impl Channel {
    pub(super) fn dispatch<S: Sink>(&mut self, frame: &Frame<'_>, came: Came, cx: &mut Context<'_, S>) {
        let header = &frame.header;
        // Few frames concern the registry; the others are read once, where they are applied.
        if matches!(header.msg_type, msg::INSTRUMENT_DEF | msg::STATUS) {
            match frame.message() {
                Message::InstrumentDef(def) => self.define(header.instrument, &def, Plane::Incremental, cx),
                Message::Status(root) if root.scope == status::scope::INSTRUMENT => {
                    self.registry.set_state(header.instrument, root.state);
                    self.shared.changed = true;
                    if self.is_wanted(header.instrument, cx) {
                        let shown = (header.channel_seq, came.rx_ts);
                        self.report_exchange(header.instrument, &root, shown, cx);
                    }
                }
                _ => {}
            }
        }
        let instrument = header.instrument;
        if !self.tracked.contains(instrument) {
            self.track(instrument, cx);
        }
        if let Some(tracked) = self.tracked.get_mut(instrument) {
            tracked.on_frame(frame, came, &mut self.shared, cx.counters, cx.sink);
            if cx.gaps.has_exchange() {
                self.settle_exchange(instrument, cx);
            }
        } else {
            cx.counters.unwanted += 1;
        }
        if header.msg_type == msg::STATUS && self.registry.is_delisted(instrument) {
            self.forget_delisted(cx.counters);
        }
    }

    fn is_wanted<S>(&self, instrument: u32, cx: &Context<'_, S>) -> bool {
        self.registry.interest(instrument, self.venue, cx.wants) == Interest::Wanted
    }

    pub(super) fn define<S: Sink>(
        &mut self,
        instrument: u32,
        def: &InstrumentDef,
        plane: Plane,
        cx: &mut Context<'_, S>,
    ) {
        let was_open = cx.wants.is_open(self.venue);
        self.registry.define(self.venue, instrument, def, plane, cx.wants);
        self.shared.changed = true;
        let decided = self.registry.interest(instrument, self.venue, cx.wants);
        if decided == Interest::Unwanted {
            self.untrack(instrument, cx.counters);
        }
        if was_open && !cx.wants.is_open(self.venue) {
            // Every symbol is found: what was held for instruments without a definition is not wanted.
            let tracked = self.tracked.iter().map(|(held, _)| held);
            let undecided: Vec<u32> = tracked.filter(|&held| self.registry.get(held).is_none()).collect();
            undecided.into_iter().for_each(|held| self.untrack(held, cx.counters));
        }
    }

    pub(super) fn untrack(&mut self, instrument: u32, counters: &mut Counters) {
        if let Some(mut tracked) = self.tracked.remove(instrument) {
            tracked.drop_holds(&mut self.shared, counters);
            self.shared.staged -= tracked.mirror.staged_changes();
        }
    }

    /// Makes sure that a wanted or undecided instrument has its place.
    pub(super) fn track<S: Sink>(&mut self, instrument: u32, cx: &mut Context<'_, S>) {
        if self.tracked.contains(instrument)
            || self.registry.interest(instrument, self.venue, cx.wants) == Interest::Unwanted
        {
            return;
        }
        let is_new = self.registry.get(instrument).is_none();
        if self.tracked.len() >= INSTRUMENTS_MAX || is_new && self.registry.is_full() {
            cx.counters.instruments_beyond_limit += 1;
            return;
        }
        let mut mirror = Mirror::new(self.venue, instrument, self.number, self.session.number);
        mirror.overlay = self.overlay;
        self.tracked.insert(instrument, Tracked::new(mirror));
        self.shared.changed = true;
    }

    pub(super) fn on_items<S: Sink>(&mut self, mut items: Vec<Item>, cx: &mut Context<'_, S>) {
        let counts = self.plane.take_counts();
        cx.counters.snapshot_duplicates += counts.duplicates;
        cx.counters.snapshot_missing += counts.missing;
        cx.counters.groups_incomplete += counts.incomplete;
        for item in items.drain(..) {
            match item {
                Item::Group(group) => self.on_group(&group, Line::Snapshot, cx),
                Item::Cycle { root, contiguous } => {
                    cx.counters.cycles += 1;
                    let mut gone = Vec::new();
                    let (count, crc) = (root.n_instruments, root.registry_crc);
                    let is_known = self.registry.end_cycle(count, crc, contiguous, &mut gone);
                    self.close(&gone, cx);
                    if is_known {
                        self.all_known(cx);
                    } else {
                        cx.counters.cycles_not_known += 1;
                    }
                }
            }
        }
        self.items = items;
    }

    pub(super) fn on_group<S: Sink>(&mut self, group: &[Held], line: Line, cx: &mut Context<'_, S>) {
        let Some(first) = group.first() else { return };
        let instrument = first.header.instrument;
        // Cut before it left, and read after that: it does not list it again.
        let is_behind = |tracked: &Tracked| tracked.is_beyond(first.header.instr_seq);
        if self.registry.is_delisted(instrument) && self.tracked.get(instrument).is_some_and(is_behind) {
            cx.counters.groups_ignored += 1;
            return;
        }
        if let Message::InstrumentDef(def) = first.frame().message() {
            // An image is no part of the cycle that counts its groups.
            let plane = if line == Line::Image { Plane::Incremental } else { Plane::Snapshot };
            self.define(instrument, &def, plane, cx);
        }
        for held in group {
            if let Message::Status(root) = held.frame().message() {
                self.registry.set_state(instrument, root.state);
                if self.is_wanted(instrument, cx) {
                    let shown = (root.last_channel_seq, held.rx_ts);
                    self.report_exchange(instrument, &root, shown, cx);
                }
            }
        }
        self.track(instrument, cx);
        if let Some(tracked) = self.tracked.get_mut(instrument) {
            tracked.on_group(group, cx.now_ns, &mut self.shared, cx.counters, cx.sink);
            if cx.gaps.has_exchange() {
                self.settle_exchange(instrument, cx);
            }
        } else {
            cx.counters.groups_ignored += 1;
        }
    }

    /// CYCLE_END proved that we know every definition.
    pub(super) fn all_known<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        self.session.whole = true;
        self.session.known_since_gap = true;
        self.shared.changed = true;
        let gone = self.registry.drop_remembered();
        self.close(&gone, cx);
    }

    /// Tells that these are not there any more.
    fn close<S: Sink>(&mut self, gone: &[u32], cx: &mut Context<'_, S>) {
        for &instrument in gone {
            if let Some(tracked) = self.tracked.get_mut(instrument) {
                tracked.close(cx.sink);
            }
        }
        self.shared.changed |= !gone.is_empty();
        self.forget_delisted(cx.counters);
    }

    fn forget_delisted(&mut self, counters: &mut Counters) {
        for instrument in self.registry.forget_delisted() {
            self.untrack(instrument, counters);
        }
    }
}
