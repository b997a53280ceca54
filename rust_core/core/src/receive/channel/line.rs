//! The incremental plane of a channel: which session speaks, which numbers are new, which are missing.

use super::{Channel, Context, SILENCE_NS, Session};
use crate::publish::Plane;
use crate::receive::chain::Chain;
use crate::receive::counters::Counters;
use crate::receive::instrument::Came;
use crate::receive::line::{Arrival, Line};
use crate::receive::numbers::{Heard, Numbers};
use crate::receive::plane::SnapshotPlane;
use crate::receive::registry::Registry;
use crate::receive::sink::{Delivered, Sink};
use crate::receive::state::Reported;
use crate::wire::{Frame, Header, Message, is_numbered, msg};

impl Channel {
    /// Whether the frame is of the current session, which may begin with it.
    pub(super) fn admit<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        authenticated: bool,
        cx: &mut Context<'_, S>,
    ) -> bool {
        let (heard, current) = (frame.header.session, self.session.number);
        if heard < current {
            cx.counters.old_session += 1;
            return false;
        }
        if heard == current {
            return true;
        }
        let names_current =
            matches!(frame.message(), Message::SessionStart(start) if start.prev_session == current);
        let session = &self.session;
        let is_silent = cx.now_ns.saturating_sub(session.last_alive_ns) > SILENCE_NS;
        if !(names_current || session.ended || session.split || is_silent) {
            cx.counters.split_brain += 1;
            if !authenticated {
                return false;
            }
        }
        self.start_session(heard, frame.header.venue, cx);
        true
    }

    pub(super) fn start_session<S: Sink>(&mut self, session: u32, venue: u16, cx: &mut Context<'_, S>) {
        cx.counters.sessions += 1;
        cx.gaps.end_session(self.number, cx.now_ns);
        cx.requester.forget(self.number);
        self.session = Session::new(session, cx.now_ns);
        self.plane = SnapshotPlane::default();
        self.overlay = None;
        self.registry.start_session();
        self.tracked.for_each_mut(|_, tracked| {
            tracked.start_session(session, &mut self.shared, cx.counters, cx.sink);
        });
        self.shared.gap_number = 0;
        if venue != 0 && venue != self.venue {
            // The channel was given to another venue: its old instruments exist nowhere any more.
            self.registry = Registry::default();
            self.tracked.clear();
            self.venue = venue;
        }
    }

    /// The first frame of a session tells where line A stands.
    pub(super) fn join(&mut self, frame: &Frame<'_>) {
        if self.session.numbers.is_some() {
            return;
        }
        if self.venue == 0 {
            self.venue = frame.header.venue;
        }
        let first = frame.header.channel_seq.max(1);
        self.session.numbers = Some(Numbers::starting_at(first));
        self.shared.gap_number = first - 1;
        self.shared.changed = true;
        if first == 1 {
            self.session.chain = Chain::from_start(self.session.number);
        }
    }

    pub(super) fn on_unnumbered<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        arrival: Arrival,
        cx: &mut Context<'_, S>,
    ) {
        let last = frame.header.channel_seq.saturating_sub(1);
        let (publisher_id, chain64) = match frame.message() {
            Message::Heartbeat(root, _) => {
                cx.counters.heartbeats += 1;
                if self.session.last_mono_ns.is_some_and(|newest| root.mono_ns <= newest) {
                    cx.counters.heartbeats_old += 1;
                } else {
                    self.session.last_mono_ns = Some(root.mono_ns);
                    self.be_alive(cx.now_ns);
                    self.learn_servers(&root);
                }
                (root.publisher_id, root.chain64)
            }
            Message::SessionEnd(root) => {
                cx.counters.session_ends += 1;
                self.session.ended = true;
                (root.publisher_id, root.chain64)
            }
            _ => return,
        };
        if !self.one_publisher(publisher_id, cx) {
            return;
        }
        self.reveal(last, arrival, cx);
        let gap_number = self.shared.gap_number;
        let Session { numbers: Some(numbers), chain, .. } = &mut self.session else { return };
        if chain.claim(last, chain64, gap_number, numbers) {
            cx.counters.chain_mismatch += 1;
        }
    }

    pub(super) fn on_numbered<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        arrival: Arrival,
        cx: &mut Context<'_, S>,
    ) {
        let header = &frame.header;
        self.reveal(header.channel_seq.saturating_sub(1), arrival, cx);
        let Some(delay_ns) = self.take_number(header, arrival, cx) else { return };
        cx.counters.frames += 1;
        cx.counters.line_won[arrival.line as usize] += 1;
        self.sums.frames += 1;
        self.sums.bytes += frame.bytes.len() as u64;
        if arrival.line.is_live() {
            self.be_alive(cx.now_ns);
        }
        self.refresh_overlay(cx);
        if header.msg_type == msg::SESSION_START
            && let Message::SessionStart(start) = frame.message()
            && !self.one_publisher(start.publisher_id, cx)
        {
            return;
        }
        if !self.venue_fits(frame, cx.counters) {
            return;
        }
        let came = Came { rx_ts: arrival.rx_ts, now_ns: cx.now_ns, delay_ns };
        if header.msg_type == msg::PACK
            && let Message::Pack(messages) = frame.message()
        {
            cx.counters.packs += 1;
            for message in messages {
                cx.counters.packed_messages += 1;
                self.on_message(&message, came, cx);
            }
        } else {
            self.on_message(frame, came, cx);
        }
    }

    /// Whether the number is new, and then for how long it was missing.
    fn take_number<S: Sink>(
        &mut self,
        header: &Header,
        arrival: Arrival,
        cx: &mut Context<'_, S>,
    ) -> Option<Option<u64>> {
        let seq = header.channel_seq;
        let Session { numbers: Some(numbers), chain, .. } = &mut self.session else { return None };
        let heard = numbers.hear(seq, header.crc32c, arrival.line, cx.now_ns);
        match heard {
            Heard::New | Heard::Filled(_) | Heard::Late(_) => {
                if chain.is_due(seq) && chain.follow(numbers) {
                    cx.counters.chain_mismatch += 1;
                }
            }
            Heard::Duplicate { copy } => {
                cx.counters.duplicates += 1;
                cx.counters.copies += u64::from(copy);
                self.sums.duplicates += 1;
            }
            Heard::Different => {
                cx.counters.different_bytes += 1;
                self.session.split = true;
            }
            Heard::TooOld => cx.counters.too_old += 1,
        }
        match heard {
            Heard::New => Some(None),
            Heard::Filled(delay_ns) => {
                cx.counters.filled += 1;
                self.on_filled(seq, false, delay_ns, arrival.line, cx);
                Some(Some(delay_ns))
            }
            Heard::Late(delay_ns) => {
                cx.counters.late += 1;
                if let Some(delay_ns) = delay_ns {
                    self.on_filled(seq, true, delay_ns, arrival.line, cx);
                }
                Some(Some(delay_ns.unwrap_or(0)))
            }
            Heard::Duplicate { .. } | Heard::Different | Heard::TooOld => None,
        }
    }

    /// A missing number came. Only what lines A and B do by themselves says how long to wait for them.
    fn on_filled<S>(
        &mut self,
        seq: u64,
        was_given_up: bool,
        delay_ns: u64,
        line: Line,
        cx: &mut Context<'_, S>,
    ) {
        if line.is_live() {
            self.skew.observe(delay_ns);
        }
        cx.gaps.fill(self.number, seq, was_given_up, line, cx.now_ns);
        // With the last hole closed the question whether the channel is whole is asked again.
        let missing = self.session.numbers.as_ref().map_or(0, Numbers::missing);
        self.shared.changed |= missing == 0;
    }

    /// One message of a new number: a frame, or one of those in a PACK.
    fn on_message<S: Sink>(&mut self, message: &Frame<'_>, came: Came, cx: &mut Context<'_, S>) {
        if !is_numbered(message.header.msg_type) {
            // Only in a PACK, of a later version: it has no number to take.
            cx.counters.unknown_type += 1;
        } else if message.header.instrument == 0 {
            deliver_channel(message, came, cx);
        } else {
            self.dispatch(message, came, cx);
        }
    }

    /// A frame of the current session that was never heard before: silence is over.
    pub(super) fn be_alive(&mut self, now_ns: u64) {
        self.session.last_alive_ns = now_ns;
        self.session.dead = false;
    }

    /// Whether the session still has one publisher; otherwise nothing of it is taken any more.
    pub(super) fn one_publisher<S: Sink>(&mut self, publisher_id: u64, cx: &mut Context<'_, S>) -> bool {
        let known = *self.session.publisher_id.get_or_insert(publisher_id);
        if known != publisher_id {
            cx.counters.second_publisher += 1;
            self.session.split = true;
        }
        known == publisher_id
    }

    /// A channel carries one venue, the first one that a frame with an instrument names.
    pub(super) fn venue_fits(&mut self, frame: &Frame<'_>, counters: &mut Counters) -> bool {
        let venue = frame.header.venue;
        if self.venue == 0 {
            self.venue = venue;
        }
        let fits = venue == self.venue || venue == 0 && frame.header.instrument == 0;
        counters.wrong_venue += u64::from(!fits);
        fits
    }
}

/// Frames about the channel, the venue or a connection go out as they come.
fn deliver_channel<S: Sink>(frame: &Frame<'_>, came: Came, cx: &mut Context<'_, S>) {
    if matches!(frame.message(), Message::Unknown { .. }) {
        cx.counters.unknown_type += 1;
        return;
    }
    cx.sink.deliver(&Delivered {
        frame,
        plane: Plane::Incremental,
        rx_ts: came.rx_ts,
        mirror: None,
        state: Reported::Live,
        unsure: false,
        recovered: came.delay_ns.is_some(),
        delay_ns: came.delay_ns.unwrap_or(0),
    });
}
