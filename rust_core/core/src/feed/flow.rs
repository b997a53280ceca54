//! How an event becomes frames: sequence rules, held diffs, and the way from stale to live.

use super::held::Held;
use super::instrument::Why;
use super::overlap::judge;
use super::proof::{Change, joined};
use super::{BookState, Feed, KindCounts, Notice, NoticeKind};
use crate::event::{Body, Decoded, Event, Level};
use crate::publish::{Arrival, Host};
use crate::sequence::{SpliceVerdict, Verdict};
use crate::wire::status;

/// How long events may all be covered already, by the clock of their arrival: a lagging copy of a stream catches up within
/// a second.
const OLD_FOR_NS: i64 = 5_000_000_000;

impl Feed {
    /// Publishes everything that one frame of the exchange says.
    pub(super) fn publish(
        &mut self,
        connection: u32,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let mut before = None;
        for event in &decoded.events {
            if let Body::Book { snapshot: true, .. } = event.body {
                self.fetch(event.instrument);
            }
            // A message with a hundred trades is one: a history says nothing of how often trades come.
            let kind = Some((event.instrument, std::mem::discriminant(&event.body)));
            if std::mem::replace(&mut before, kind) != kind {
                self.activity.note(event.instrument, &event.body, arrival.mono_ns);
            }
            self.kind_of(&event.body).received += events_of(&event.body);
            self.judge(event, decoded, arrival);
            if !self.links.are_idle() && !self.passes(connection, event, decoded, host, arrival) {
                self.count_marks(event.instrument);
                continue;
            }
            match event.body {
                Body::Book { snapshot, .. } => {
                    self.instruments[event.instrument as usize].book_connection = connection;
                    if snapshot {
                        self.in_stream_book(event, decoded, host, arrival);
                    } else {
                        self.book_event(event, decoded, host, arrival);
                    }
                }
                Body::Trades(run) | Body::Liquidations(run) => {
                    self.publish_trades(connection, event, run, decoded, host, arrival);
                }
                Body::Orders { .. } => self.order_message(connection, event, decoded, host, arrival),
                Body::Trading(state) => self.trading_event(event.instrument, state, host, arrival),
                Body::Bbo(_) | Body::Ticker(_) | Body::Candle(_) | Body::Deriv(_) => {
                    self.kind_of(&event.body).published += 1;
                    let instrument = &mut self.instruments[event.instrument as usize];
                    instrument.publish_event(&mut self.channel, host, arrival, event, &[]);
                    if let Body::Bbo(bbo) = &event.body {
                        instrument.infer_best(bbo, event.exchange_ts);
                    }
                }
            }
            self.count_marks(event.instrument);
        }
    }

    /// Reads what a first whole book is put into: it stands in many places, and no message has come for it lately.
    #[inline]
    fn fetch(&self, index: u32) {
        let instrument = &self.instruments[index as usize];
        if instrument.state != BookState::Live {
            self.activity.fetch(index);
            instrument.fetch();
        }
    }

    /// The sums that an event is counted in.
    pub(super) fn kind_of(&mut self, body: &Body) -> &mut KindCounts {
        let kinds = &mut self.kinds;
        match body {
            Body::Book { .. } => &mut kinds.book,
            Body::Trades(_) => &mut kinds.trade,
            Body::Bbo(_) => &mut kinds.bbo,
            Body::Ticker(_) => &mut kinds.ticker,
            Body::Candle(_) => &mut kinds.candle,
            Body::Deriv(_) | Body::Liquidations(_) => &mut kinds.deriv,
            Body::Trading(_) => &mut kinds.trading,
            Body::Orders { .. } => &mut kinds.order,
        }
    }

    /// A trading status that a message told; most tell the one that is known.
    fn trading_event(&mut self, index: u32, state: u8, host: &mut dyn Host, arrival: Arrival) {
        let known = self.instruments[index as usize].trading_status;
        if known == state {
            return;
        }
        let (expected, got) = (u64::from(known), u64::from(state));
        self.journal.notice(Notice { expected, got, ..Notice::about(NoticeKind::Trading, index) });
        self.set_trading_status(index, state, host, arrival);
    }

    /// One diff: applied and published, held, ignored, or the end of a live book.
    fn book_event(&mut self, event: &Event, decoded: &Decoded, host: &mut dyn Host, arrival: Arrival) {
        let index = event.instrument;
        let instrument = &mut self.instruments[index as usize];
        if !instrument.has_book {
            return;
        }
        if instrument.state != BookState::Live {
            self.hold(event, decoded, arrival);
            return;
        }
        let verdict = judge(&mut instrument.continuity, &mut instrument.joining, &event.ids);
        let verdict = self.without_old_run(index, verdict, event, arrival);
        match verdict {
            Verdict::Apply => self.apply_and_publish(event, decoded, host, arrival),
            Verdict::Old => self.journal.counters.old_events += 1,
            Verdict::Gap { expected, got } => {
                self.source_gap(index, expected, got, host, arrival);
                self.hold(event, decoded, arrival);
            }
        }
    }

    /// Events of a live book are missing.
    pub(super) fn source_gap(
        &mut self,
        index: u32,
        expected: u64,
        got: u64,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        self.journal.counters.gaps += 1;
        self.kinds.book.gaps += 1;
        self.journal.notice(Notice { expected, got, ..Notice::about(NoticeKind::Gap, index) });
        self.go_stale(index, status::reason::SOURCE_GAP, expected, got, host, arrival);
    }

    /// A run of events that are all covered already becomes a gap: a venue that restarts its numbers from a low id would
    /// otherwise be ignored for ever, with a book that looks live.
    pub(super) fn without_old_run(
        &mut self,
        index: u32,
        verdict: Verdict,
        event: &Event,
        arrival: Arrival,
    ) -> Verdict {
        let instrument = &mut self.instruments[index as usize];
        if verdict != Verdict::Old {
            instrument.old_since = None;
            return verdict;
        }
        let since = *instrument.old_since.get_or_insert(arrival.recv_ts);
        if arrival.recv_ts.saturating_sub(since) < OLD_FOR_NS {
            return verdict;
        }
        instrument.old_since = None;
        let expected = instrument.source_seq.map_or(0, |last| last.wrapping_add(1));
        Verdict::Gap { expected, got: event.ids.last.unwrap_or(0) }
    }

    pub(super) fn apply_and_publish(
        &mut self,
        event: &Event,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Body::Book { bids, asks, .. } = event.body else {
            return;
        };
        let Some(change) = Change::of(event, decoded, self.decoder.shapes()) else {
            return;
        };
        if !self.apply_change(event, &change, &decoded.levels[joined(bids, asks)], host, arrival) {
            self.hold(event, decoded, arrival);
        }
    }

    /// Applies and publishes a change whose `levels` lie one behind the other; `false`: its checksum differs, and the book is
    /// no more.
    pub(super) fn apply_change(
        &mut self,
        event: &Event,
        change: &Change<'_>,
        levels: &[Level],
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let instrument = &mut self.instruments[event.instrument as usize];
        instrument.apply(change, &mut self.proof.cut);
        instrument.source_seq = event.ids.last.or(instrument.source_seq);
        instrument.exchange_ts = event.exchange_ts;
        if !self.verify(event.instrument, change.checksum, host, arrival) {
            return false;
        }
        let cut = self.proof.cut.with(levels, change.bids.len());
        let instrument = &mut self.instruments[event.instrument as usize];
        let counters = &mut self.journal.counters;
        self.kinds.book.published += 1;
        instrument.publish_change(event, cut, counters, &mut self.channel, host, arrival);
        true
    }

    /// A whole book in the stream: while live it becomes the difference to ours, else it is the way back.
    pub(super) fn in_stream_book(
        &mut self,
        event: &Event,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Some(whole) = Change::of(event, decoded, self.decoder.shapes()) else {
            return;
        };
        let instrument = &mut self.instruments[event.instrument as usize];
        if !instrument.has_book {
            return;
        }
        instrument.continuity.restart_at(event.ids.last);
        instrument.old_since = None;
        instrument.source_seq = event.ids.last.or(instrument.source_seq);
        instrument.exchange_ts = event.exchange_ts;
        if instrument.state != BookState::Live {
            instrument.joining = None;
            instrument.held.clear();
            debug_assert!(instrument.book.is_empty(), "a book that is not live is forgotten");
            instrument.apply(&whole, &mut self.proof.cut);
            if self.verify(event.instrument, whole.checksum, host, arrival) {
                self.go_live(event.instrument, host, arrival);
            }
            return;
        }
        self.difference.find(&instrument.book, whole.bids, whole.asks);
        instrument.replace(&whole, self.difference.sides(), &mut self.proof.cut);
        if !self.verify(event.instrument, whole.checksum, host, arrival) {
            return;
        }
        let cut = self.proof.cut.with(&self.difference.levels, self.difference.n_bids);
        let instrument = &mut self.instruments[event.instrument as usize];
        let counters = &mut self.journal.counters;
        self.kinds.book.published += 1;
        instrument.publish_change(event, cut, counters, &mut self.channel, host, arrival);
    }

    fn hold(&mut self, event: &Event, decoded: &Decoded, arrival: Arrival) {
        let Some(change) = Change::of(event, decoded, self.decoder.shapes()) else {
            return;
        };
        let instrument = &mut self.instruments[event.instrument as usize];
        let pushed = instrument.held.push(Held::new(event.ids, event.exchange_ts, arrival, &change));
        self.journal.counters.held += 1;
        self.journal.counters.held_dropped += pushed.dropped;
        if pushed.is_first {
            self.journal.notice(Notice::about(NoticeKind::HeldOverflow, event.instrument));
        }
    }

    /// A REST snapshot meets the held diffs: the book goes live, or the snapshot is too old.
    pub(super) fn join_snapshot(
        &mut self,
        event: &Event,
        decoded: &Decoded,
        body: &[u8],
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Some(whole) = Change::of(event, decoded, self.decoder.shapes()) else {
            return;
        };
        let index = event.instrument;
        let Some(id) = event.ids.last else {
            self.fault("snapshot without id", 0, body, arrival, Some(index));
            return;
        };
        let instrument = &mut self.instruments[index as usize];
        instrument.continuity.reset();
        let joins = loop {
            let Some(front) = instrument.held.front() else {
                break false;
            };
            match instrument.continuity.splice(id, &front.ids) {
                SpliceVerdict::Old => drop(instrument.held.pop()),
                SpliceVerdict::Apply => break true,
                SpliceVerdict::SnapshotTooOld { expected, got } => {
                    self.journal.counters.snapshots_old += 1;
                    self.journal.notice(Notice {
                        expected,
                        got,
                        ..Notice::about(NoticeKind::SnapshotOld, index)
                    });
                    return;
                }
            }
        };
        debug_assert!(instrument.book.is_empty(), "a book that is not live is forgotten");
        instrument.apply(&whole, &mut self.proof.cut);
        instrument.source_seq = Some(id);
        instrument.exchange_ts = event.exchange_ts;
        instrument.joining = if joins { None } else { Some(id) };
        self.journal.counters.snapshots_used += 1;
        let is_whole = self.verify(index, whole.checksum, host, arrival);
        if !is_whole || (joins && !self.apply_held(index, host, arrival)) {
            return;
        }
        self.go_live(index, host, arrival);
    }

    /// Applies the held diffs, the first of which has joined. `false`: they have a hole, the book needs a later snapshot.
    fn apply_held(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) -> bool {
        let mut joined = false;
        loop {
            let instrument = &mut self.instruments[index as usize];
            let Some(diff) = instrument.held.front() else { return true };
            let verdict = if joined { instrument.continuity.check(&diff.ids) } else { Verdict::Apply };
            joined = true;
            if let Verdict::Gap { expected, got } = verdict {
                instrument.clear_book();
                self.journal.counters.gaps += 1;
                self.kinds.book.gaps += 1;
                self.journal.notice(Notice { expected, got, ..Notice::about(NoticeKind::Gap, index) });
                self.journal.notice(Notice::about(NoticeKind::NeedSnapshot, index));
                return false;
            }
            let Some(diff) = instrument.held.pop() else { return true };
            if verdict != Verdict::Apply {
                continue;
            }
            let change = diff.change();
            instrument.apply(&change, &mut self.proof.cut);
            instrument.source_seq = diff.ids.last.or(instrument.source_seq);
            instrument.exchange_ts = diff.exchange_ts;
            if !self.verify(index, change.checksum, host, arrival) {
                return false;
            }
            self.kinds.book.published += 1;
        }
    }

    /// The book is whole: in-band book with RESET, then STATUS(live), then the trading status that was held back.
    fn go_live(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) {
        let instrument = &mut self.instruments[index as usize];
        instrument.held.clear(); // All of it is in the book: the next recovery begins anew.
        instrument.publish_book(&mut self.whole, &mut self.channel, host, arrival);
        instrument.begin_orders(arrival);
        instrument.publish_orders(&mut self.channel, host, arrival);
        instrument.state = BookState::Live;
        let trading_status = std::mem::replace(&mut instrument.trading_status, status::state::LIVE);
        instrument.tell_status(&mut self.channel, host, arrival, Why::default());
        if trading_status != status::state::LIVE {
            instrument.trading_status = trading_status;
            instrument.tell_status(&mut self.channel, host, arrival, Why::default());
        }
        self.count_marks(index);
        self.journal.counters.went_live += 1;
        self.journal.notice(Notice::about(NoticeKind::Live, index));
    }

    /// Something is missing: STATUS(stale) leaves before anything else of the instrument, the book is forgotten.
    pub(super) fn go_stale(
        &mut self,
        index: u32,
        reason: u16,
        expected: u64,
        got: u64,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Some(instrument) = self.instruments.get_mut(index as usize) else {
            return;
        };
        if instrument.state == BookState::Live {
            self.give_up(index, reason, expected, got, host, arrival);
        }
    }

    /// The same of a book in any state: one that was not live yet stays as it is, but its levels are no good.
    pub(super) fn give_up(
        &mut self,
        index: u32,
        reason: u16,
        expected: u64,
        got: u64,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let instrument = &mut self.instruments[index as usize];
        if instrument.state == BookState::Live {
            instrument.state = BookState::Stale;
            instrument.source_gap = true;
            self.journal.counters.went_stale += 1;
            self.journal.notice(Notice { expected, got, ..Notice::about(NoticeKind::Stale, index) });
        }
        instrument.tell_status(&mut self.channel, host, arrival, Why { reason, expected, got });
        instrument.clear_book();
        if let Some(orders) = instrument.orders.as_mut().filter(|_| instrument.native.is_none()) {
            orders.forget();
        }
        instrument.continuity.reset();
        instrument.joining = None;
        instrument.old_since = None;
        self.journal.counters.overlap_dropped += instrument.forget_places();
        if instrument.has_book {
            self.journal.notice(Notice::about(NoticeKind::NeedSnapshot, index));
        }
    }
}

/// How many events of its kind one of the decoder is.
fn events_of(body: &Body) -> u64 {
    match body {
        Body::Trades(run) | Body::Liquidations(run) => u64::from(run.len),
        _ => 1,
    }
}
