//! What is done about missing numbers of a channel: ask, wait, give up; and how that is reported.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Channel, Context, Phase};
use crate::publish::Plane;
use crate::receive::gaps::{GapCause, GapRepair, GapReport};
use crate::receive::line::Arrival;
use crate::receive::missing::{Fate, GivenUp, MISSING_NS_MAX, Missing, TRIES, retry_ns};
use crate::receive::requester::{Answer, Requester, Subject};
use crate::receive::sink::Sink;
use crate::receive::state::Publisher;
use crate::wire::{CHANNEL_SNAPSHOT, Heartbeat, Status, status};

impl Channel {
    /// Where the publisher says that frames and images can be had.
    pub(super) fn learn_servers(&mut self, heartbeat: &Heartbeat) {
        let address = |port: u16| {
            let is_told = heartbeat.retx_ipv4 != 0 && port != 0;
            is_told.then(|| SocketAddrV4::new(Ipv4Addr::from(heartbeat.retx_ipv4), port))
        };
        self.session.server = address(heartbeat.retx_udp_port);
        self.session.image_server = address(heartbeat.replay_tcp_port);
    }

    /// Whom to ask for numbers of a plane, if anyone.
    fn subject<S>(&self, wire_channel: u8, cx: &Context<'_, S>) -> Option<Subject> {
        let to = self.session.server.filter(|_| cx.may_ask && !self.session.split)?;
        Some(self.subject_at(to, wire_channel))
    }

    pub(super) fn subject_at(&self, to: SocketAddrV4, wire_channel: u8) -> Subject {
        Subject {
            to,
            channel: wire_channel,
            session: self.session.number,
            venue: self.venue,
            flags: self.flags,
        }
    }

    /// Asks for what is due on the incremental plane, or gives it up.
    pub(super) fn ask_missing<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        let window_ns = self.skew.window_ns();
        let about = self.subject(self.number, cx);
        let Some(numbers) = &mut self.session.numbers else { return };
        if numbers.deadline_ns().is_none_or(|at_ns| cx.now_ns < at_ns) {
            return;
        }
        let draw = cx.requester.draw();
        let (requester, counters, now_ns) = (&mut *cx.requester, &mut *cx.counters, cx.now_ns);
        let given = numbers.visit(now_ns, window_ns, |seq, missing| {
            decide(requester, about.as_ref(), seq, missing, draw, now_ns, &mut counters.requests_deferred)
        });
        if let Some(given) = given {
            self.give_up(&given, cx);
        }
    }

    /// Asks for what is due on the snapshot plane, while it is needed, or gives it up.
    pub(super) fn ask_plane<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        if self.plane.deadline_ns().is_none_or(|at_ns| cx.now_ns < at_ns) {
            return;
        }
        let wire_channel = self.number | CHANNEL_SNAPSHOT;
        let about = self.subject(wire_channel, cx).filter(|_| self.needs_snapshots);
        let draw = cx.requester.draw();
        let mut items = std::mem::take(&mut self.items);
        let (requester, counters, now_ns) = (&mut *cx.requester, &mut *cx.counters, cx.now_ns);
        let given = self.plane.visit(now_ns, &mut items, |seq, missing| {
            decide(requester, about.as_ref(), seq, missing, draw, now_ns, &mut counters.requests_deferred)
        });
        if let Some(given) = given {
            cx.gaps.give_up(wire_channel, &given);
        }
        self.on_items(items, cx);
    }

    /// What a server said about a request for this channel.
    pub(in crate::receive) fn on_answer<S: Sink>(&mut self, answer: Answer, cx: &mut Context<'_, S>) {
        let (Answer::TooOld { channel, session, .. } | Answer::Wait { channel, session, .. }) = answer;
        if session != self.session.number {
            return;
        }
        let of_plane = channel & CHANNEL_SNAPSHOT != 0;
        match answer {
            Answer::TooOld { ranges, oldest, .. } => {
                for (first, last) in ranges {
                    self.give_up_range(of_plane, first, last.min(oldest.saturating_sub(1)), cx);
                }
            }
            Answer::Wait { ranges, at_ns, .. } => {
                for (first, last) in ranges {
                    match &mut self.session.numbers {
                        _ if of_plane => self.plane.postpone(first, last, at_ns),
                        Some(numbers) => numbers.postpone(first, last, at_ns),
                        None => {}
                    }
                }
            }
        }
        self.refresh(cx);
    }

    /// Our own kernel drops more than may be asked for: nothing is asked for, the snapshot plane repairs.
    pub(in crate::receive) fn give_up_all<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        for of_plane in [false, true] {
            self.give_up_range(of_plane, 0, u64::MAX, cx);
        }
        self.refresh(cx);
    }

    fn give_up_range<S: Sink>(&mut self, of_plane: bool, first: u64, last: u64, cx: &mut Context<'_, S>) {
        if of_plane {
            let mut items = std::mem::take(&mut self.items);
            if let Some(given) = self.plane.give_up_range(first, last, &mut items) {
                cx.gaps.give_up(self.number | CHANNEL_SNAPSHOT, &given);
            }
            self.on_items(items, cx);
        } else if let Some(numbers) = &mut self.session.numbers
            && let Some(given) = numbers.give_up_range(first, last)
        {
            self.give_up(&given, cx);
        }
    }

    /// Numbers exist up to this one.
    #[inline]
    pub(super) fn reveal<S: Sink>(&mut self, up_to: u64, arrival: Arrival, cx: &mut Context<'_, S>) {
        let Some(numbers) = &mut self.session.numbers else { return };
        let Some(revealed) = numbers.reveal(up_to, cx.now_ns, self.skew.window_ns()) else { return };
        cx.counters.gaps += 1;
        cx.counters.missing = cx.counters.missing.saturating_add(revealed.count);
        self.sums.gaps = self.sums.gaps.saturating_add(revealed.count);
        let report =
            self.report(Plane::Incremental, (revealed.first, revealed.count), arrival.rx_ts, cx.now_ns);
        cx.gaps.open(self.number, report, arrival.line);
        if let Some(given) = revealed.given {
            self.give_up(&given, cx);
        }
    }

    /// Numbers of the incremental plane are given up: every LIVE instrument is UNSURE, and the snapshot plane is needed.
    pub(super) fn give_up<S: Sink>(&mut self, given: &GivenUp, cx: &mut Context<'_, S>) {
        cx.counters.given_up = cx.counters.given_up.saturating_add(given.count);
        self.sums.given_up = self.sums.given_up.saturating_add(given.count);
        cx.gaps.give_up(self.number, given);
        self.shared.gap_number = self.shared.gap_number.max(given.highest);
        self.shared.changed = true;
        let session = &mut self.session;
        session.given_up = session.given_up.saturating_add(given.count);
        session.chain.give_up(self.shared.gap_number);
        session.known_since_gap = false;
        if session.phase == Phase::Live {
            session.phase = Phase::Repair;
        }
        self.tracked.for_each_mut(|_, tracked| tracked.on_give_up(&mut self.shared, cx.sink));
    }

    /// A report that opens now.
    pub(super) fn report(
        &self,
        plane: Plane,
        (first, count): (u64, u64),
        opened_ts: i64,
        opened_ns: u64,
    ) -> GapReport {
        GapReport {
            channel: self.number,
            venue: self.venue,
            session: self.session.number,
            plane,
            first,
            count,
            opened_ns,
            opened_ts,
            cause: GapCause::Network,
            repair: None,
            after_ns: 0,
            instrument: 0,
            expected: 0,
            got: 0,
        }
    }

    /// The publisher says how its book of a wanted instrument stands: a report is open while it is not whole.
    pub(super) fn report_exchange<S>(
        &self,
        instrument: u32,
        root: &Status,
        (channel_seq, rx_ts): (u64, i64),
        cx: &mut Context<'_, S>,
    ) {
        if !matches!(Publisher::from_wire(root.state), Some(Publisher::Stale | Publisher::Recovering)) {
            cx.gaps.close_exchange(self.number, instrument, GapRepair::Exchange, cx.now_ns);
        } else if root.reason != status::reason::NONE {
            cx.gaps.open_exchange(GapReport {
                cause: GapCause::Exchange,
                instrument,
                expected: root.expected,
                got: root.got,
                ..self.report(Plane::Incremental, (channel_seq, 0), rx_ts, cx.now_ns)
            });
        }
    }
}

/// Asks for a number that is due, or says that it is given up.
fn decide(
    requester: &mut Requester,
    about: Option<&Subject>,
    seq: u64,
    missing: &mut Missing,
    draw: u64,
    now_ns: u64,
    deferred: &mut u64,
) -> Fate {
    let Some(about) = about.filter(|_| missing.tries < TRIES) else { return Fate::GiveUp };
    match requester.ask(about, seq, now_ns) {
        Ok(()) => {
            missing.due_ns = now_ns.saturating_add(retry_ns(missing.tries, draw));
            missing.tries += 1;
            Fate::Wait
        }
        Err(at_ns) => {
            *deferred += 1;
            let latest_ns = missing.since_ns.saturating_add(MISSING_NS_MAX);
            missing.due_ns = at_ns.min(latest_ns).max(now_ns.saturating_add(1));
            if now_ns >= latest_ns { Fate::GiveUp } else { Fate::Wait }
        }
    }
}
