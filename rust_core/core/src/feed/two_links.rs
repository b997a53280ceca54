//! What a feed does with the events of two links that carry the same streams.

use super::held::Held;
use super::overlap::{Link, Overlap, is_numbered};
use super::proof::Change;
use super::{BookState, Feed};
use crate::event::{Body, Decoded, Event, NOT_GIVEN, Run};
use crate::publish::{Arrival, Host};
use crate::sequence::{Splice, Verdict};

impl Feed {
    /// Whether an event goes the usual way. In an overlap it does not if the other link has its turn, or has brought it.
    pub(super) fn passes(
        &mut self,
        connection: u32,
        event: &Event,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let index = event.instrument;
        let instrument = &mut self.instruments[index as usize];
        let mut overlaps = instrument.overlaps.iter_mut().enumerate();
        let found =
            overlaps.find_map(|(at, overlap)| overlap.link(connection).map(|link| (at, overlap, link)));
        let Some((at, overlap, link)) = found else { return true };
        if let Body::Book { .. } = event.body {
            if !instrument.has_book {
                return true;
            }
            overlap.carries_book = true;
            overlap.heard |= link == Link::New;
            return if is_numbered(instrument.continuity.rule()) {
                self.numbered_book(at, link, event, decoded, host, arrival)
            } else {
                self.carried_book(at, link, event, decoded)
            };
        }
        if !overlap.carries_book {
            self.switch(index, at, link);
        }
        let has_turn = self.instruments[index as usize].overlaps[at].has_turn(link, &event.body);
        self.journal.counters.overlap_dropped += u64::from(!has_turn);
        has_turn
    }

    /// A book event of a venue that numbers nothing by which two links could be compared: one link carries the book.
    fn carried_book(&mut self, at: usize, link: Link, event: &Event, decoded: &Decoded) -> bool {
        let Body::Book { snapshot, bids, asks, .. } = event.body else { return true };
        let instrument = &mut self.instruments[event.instrument as usize];
        let counters = &mut self.journal.counters;
        let overlap = &instrument.overlaps[at];
        if overlap.switched == (link == Link::New) {
            return true;
        }
        if link == Link::Old || !snapshot {
            counters.overlap_dropped += 1;
            return false;
        }
        let is_whole = instrument.state == BookState::Live;
        let is_behind = event.exchange_ts != NOT_GIVEN && event.exchange_ts < instrument.exchange_ts;
        if is_whole && self.always_whole && is_behind {
            counters.overlap_repeats += 1; // The next whole book comes soon, and ours shall not go back.
            return false;
        }
        self.switch(event.instrument, at, link);
        let instrument = &mut self.instruments[event.instrument as usize];
        // Even where it says nothing new: what is missing on this link is missing in the book from now on.
        instrument.book_connection = instrument.overlaps[at].connection(link);
        self.difference.find(&instrument.book, decoded.levels(bids), decoded.levels(asks));
        if is_whole && self.difference.levels.is_empty() {
            instrument.exchange_ts = event.exchange_ts;
            self.journal.counters.overlap_repeats += 1;
            return false;
        }
        true
    }

    /// A book event of a venue that numbers them by instrument: what comes first is applied.
    fn numbered_book(
        &mut self,
        at: usize,
        link: Link,
        event: &Event,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let Body::Book { snapshot, bids, asks, .. } = event.body else { return true };
        let index = event.instrument;
        let instrument = &mut self.instruments[index as usize];
        let overlap = &mut instrument.overlaps[at];
        if instrument.state != BookState::Live {
            return self.rebuilds(at, link, event);
        }
        let verdict = if snapshot {
            let place = instrument.joining.or(instrument.continuity.local());
            if overlap.is_news(link, event.ids.last, place) { Verdict::Apply } else { Verdict::Old }
        } else {
            let is_empty = bids.len + asks.len == 0;
            overlap.judge(&mut instrument.continuity, &mut instrument.joining, &event.ids, is_empty)
        };
        overlap.passed(link, event.ids.last);
        let is_ending = overlap.left.is_some();
        let verdict = if is_ending { self.without_old_run(index, verdict, event, arrival) } else { verdict };
        match verdict {
            Verdict::Apply => {
                self.switch(index, at, link);
                if snapshot {
                    self.instruments[index as usize].joining = None;
                    self.in_stream_book(event, decoded, host, arrival);
                } else {
                    self.apply_and_publish(event, decoded, host, arrival);
                }
                if is_ending {
                    self.instruments[index as usize].overlaps.remove(at);
                    self.count_overlaps();
                } else {
                    self.instruments[index as usize].old_since = None;
                    self.drain(index, at, host);
                }
            }
            Verdict::Old => {
                self.switch(index, at, link);
                self.journal.counters.overlap_repeats += 1;
            }
            Verdict::Gap { expected, got } => {
                let overlap = &mut self.instruments[index as usize].overlaps[at];
                if event.ids.last.is_some() && overlap.may_wait(link, arrival.recv_ts) {
                    let Some(change) = Change::of(event, decoded, self.decoder.shapes()) else {
                        return false;
                    };
                    let held = Held::new(event.ids, event.exchange_ts, arrival, &change);
                    self.journal.counters.overlap_dropped += overlap.wait(link, held);
                    self.journal.counters.overlap_waited += 1;
                } else {
                    self.lose_place(index, at, expected, got, host, arrival);
                    return self.rebuilds(at, link, event);
                }
            }
        }
        false
    }

    /// An event of a numbered book that is not live: it is rebuilt from the new link alone, once that is heard, because what
    /// is held has to follow one upon the other. A whole book in the stream is right by whichever link it comes.
    fn rebuilds(&mut self, at: usize, link: Link, event: &Event) -> bool {
        let index = event.instrument;
        let instrument = &mut self.instruments[index as usize];
        let overlap = &mut instrument.overlaps[at];
        if overlap.left.is_some() {
            instrument.overlaps.remove(at);
            self.count_overlaps();
            return true;
        }
        if matches!(event.body, Body::Book { snapshot: true, .. }) {
            overlap.passed(link, event.ids.last);
        } else if instrument.continuity.splices() != Splice::InStream {
            if link == Link::Old && overlap.heard {
                self.journal.counters.overlap_dropped += 1;
                return false;
            }
            if link == Link::New && !overlap.switched {
                self.journal.counters.held_dropped += instrument.held.clear();
            }
        }
        self.switch(index, at, link);
        true
    }

    /// Publishes what waited, as far as nothing is missing.
    fn drain(&mut self, index: u32, at: usize, host: &mut dyn Host) {
        loop {
            let instrument = &mut self.instruments[index as usize];
            let overlap = &mut instrument.overlaps[at];
            let (Some(link), Some(front)) = (overlap.ahead, overlap.waiting.front()) else {
                overlap.ahead = None;
                return;
            };
            let (ids, is_empty) = (front.ids, front.levels().is_empty());
            let verdict = overlap.judge(&mut instrument.continuity, &mut instrument.joining, &ids, is_empty);
            if matches!(verdict, Verdict::Gap { .. }) {
                return;
            }
            let Some(held) = overlap.waiting.pop() else { return };
            self.switch(index, at, link);
            if verdict == Verdict::Old {
                self.journal.counters.overlap_repeats += 1;
                continue;
            }
            let change = held.change();
            let (n_bids, n_levels) = (change.bids.len(), held.levels().len());
            let run = |start: usize, end: usize| Run { start: count(start), len: count(end - start) };
            let body = Body::Book {
                snapshot: false,
                bids: run(0, n_bids),
                asks: run(n_bids, n_levels),
                checksum: None,
            };
            let (price_exp, qty_exp) = self.exponents(index);
            let event = Event {
                instrument: index,
                exchange_ts: held.exchange_ts,
                ids: held.ids,
                price_exp,
                qty_exp,
                body,
            };
            if !self.apply_change(&event, &change, held.levels(), host, held.arrival) {
                return;
            }
        }
    }

    fn exponents(&self, index: u32) -> (i8, i8) {
        let def = &self.instruments[index as usize].def;
        (def.price_exp, def.qty_exp)
    }

    /// What is missing will not come by either link. What waited of the new one is held for the snapshot.
    fn lose_place(
        &mut self,
        index: u32,
        at: usize,
        expected: u64,
        got: u64,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let overlap = &mut self.instruments[index as usize].overlaps[at];
        let held = (overlap.ahead == Some(Link::New)).then(|| std::mem::take(&mut overlap.waiting));
        self.source_gap(index, expected, got, host, arrival);
        if let Some(held) = held {
            self.instruments[index as usize].held = held;
            self.switch(index, at, Link::New);
        }
    }

    /// Gives up books whose events have waited too long for the other link.
    pub(super) fn expire_waiting(&mut self, host: &mut dyn Host) {
        let now_ns = host.mono_ns();
        let arrival = self.standing(now_ns, host);
        for index in 0..u32::try_from(self.instruments.len()).unwrap_or(u32::MAX) {
            let instrument = &mut self.instruments[index as usize];
            let is_late = |overlap: &Overlap| overlap.is_late(arrival.recv_ts);
            let Some(at) = instrument.overlaps.iter().position(is_late) else { continue };
            let expected = instrument.continuity.local().map_or(0, |place| place.wrapping_add(1));
            let first = instrument.overlaps[at].waiting.front().map(|front| front.ids);
            let got = first.and_then(|ids| ids.prev.or(ids.first).or(ids.last)).unwrap_or(0);
            self.lose_place(index, at, expected, got, host, arrival);
        }
    }
}

/// An index into the arena of a frame, which is at most 16 MiB long.
fn count(levels: usize) -> u32 {
    u32::try_from(levels).unwrap_or(u32::MAX)
}
