//! What a consumer was told, held against what was published, at every call.

use std::collections::HashMap;

use outcrier_core::orders::Queues;
use outcrier_core::publish::Plane;
use outcrier_core::receive::{Delivered, Lost, Mirror, Reported, Sink, StateChange, reason};
use outcrier_core::wire::{flags, msg, status};

use crate::truth::{Truth, hash_of};
use crate::world::MS;

/// A LIVE book is behind the publisher's by no more than this: silence is noticed after 350 ms, and the slowest network
/// here takes less than 10 ms; 40 ms and margin for what is missing.
pub(crate) const BEHIND_NS_MAX: u64 = 420 * MS;

/// What of a mirror is held against the publisher's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) levels: bool,
    pub(crate) orders: bool,
}

impl Held {
    pub(crate) const ALL: Self = Self { levels: true, orders: true };
}

/// A mirror that never heard of orders has none.
pub(crate) fn orders_hash(mirror: &Mirror) -> u64 {
    mirror.orders.as_ref().map_or_else(|| hash_of(&Queues::new(0)), |orders| hash_of(orders.book.queues()))
}

/// What one consumer was told.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Instrument → session and last number accounted for.
    last: HashMap<u32, (u32, u32)>,
    /// Instrument → state told last, and why.
    told: HashMap<u32, (Reported, u16)>,
    /// Books that were LIVE again, in the same session, after silence.
    pub(crate) returns: u64,
    /// Session, number and call of the last frames that are not about an instrument.
    channel_frames: HashMap<(u32, u64), u64>,
    calls: u64,
    /// Highest session of which anything was delivered.
    session: u32,
    /// Times a book that was called LIVE was held against the publisher's.
    pub(crate) live_checks: u64,
    /// Frames of events of orders that were too long for one.
    pub(crate) orders_split: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) lost_calls: u64,
    pub(crate) recovered: u64,
    /// Delays of incremental frames from leaving to delivery, where they are asked for.
    pub(crate) delays: Option<Vec<u64>>,
    /// Digest of everything told, in order.
    pub(crate) digest: u64,
}

impl Oracle {
    fn account(&mut self, session: u32, instrument: u32, first: u32, last: u32) {
        if let Some(&(of, before)) = self.last.get(&instrument)
            && of == session
        {
            assert_eq!(
                first,
                before.wrapping_add(1),
                "instrument {instrument}: a silent hole, or told twice"
            );
        }
        self.last.insert(instrument, (session, last));
    }

    fn note(&mut self, what: [u64; 4]) {
        for part in what {
            self.digest = (self.digest ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    fn session_is_not_older(&mut self, session: u32) {
        assert!(session >= self.session, "session {session} after {}", self.session);
        self.session = session;
    }

    /// A book that is called LIVE equals the publisher's at its number, and so does its trading status.
    pub(crate) fn check(&mut self, mirror: &Mirror, truth: &Truth, held: Held) {
        if mirror.reported() != Reported::Live || truth.tainted_ns(mirror.session).is_some() {
            return;
        }
        let (instrument, seq) = (mirror.instrument, mirror.instr_seq);
        let Some(at) = truth.at(mirror.session, instrument, seq) else {
            panic!("instrument {instrument} is LIVE at {seq} of session {}, never published", mirror.session);
        };
        self.live_checks += 1;
        assert!(at.is_whole, "instrument {instrument} stands within an event at {seq}");
        assert_eq!(at.trading, mirror.trading, "trading status of instrument {instrument} at {seq}");
        if held.levels {
            assert_eq!(at.book, mirror.book.hash(), "book of instrument {instrument} at {seq}");
        }
        if held.orders {
            assert_eq!(at.orders, orders_hash(mirror), "orders of instrument {instrument} at {seq}");
        }
    }
}

impl Oracle {
    /// Whether a book is called LIVE although more of it left long ago.
    pub(crate) fn is_old(mirror: &Mirror, truth: &Truth, now_ns: u64) -> bool {
        if mirror.reported() != Reported::Live || truth.tainted_ns(mirror.session).is_some() {
            return false;
        }
        let next = truth.at(mirror.session, mirror.instrument, mirror.instr_seq.wrapping_add(1));
        !mirror.is_mid_event() && next.is_some_and(|at| now_ns > at.left_ns + BEHIND_NS_MAX)
    }

    /// For one call of the receiver.
    pub(crate) fn view<'a>(&'a mut self, truth: &'a Truth, now_ns: u64) -> View<'a> {
        self.calls += 1;
        View { oracle: self, truth, now_ns }
    }
}

/// An [`Oracle`] during one call of the receiver.
pub(crate) struct View<'a> {
    oracle: &'a mut Oracle,
    truth: &'a Truth,
    now_ns: u64,
}

impl View<'_> {
    fn delay(&mut self, delivered: &Delivered<'_>) {
        let Some(delays) = &mut self.oracle.delays else { return };
        let header = &delivered.frame.header;
        let left = self.truth.session(header.session).and_then(|session| session.left_ns(header.channel_seq));
        if delivered.plane == Plane::Incremental
            && let Some(left_ns) = left
        {
            delays.push(self.now_ns - left_ns);
        }
    }
}

impl Sink for View<'_> {
    fn deliver(&mut self, delivered: &Delivered<'_>) {
        let header = &delivered.frame.header;
        let (session, instrument, seq) = (header.session, header.instrument, header.instr_seq);
        self.delay(delivered);
        let oracle = &mut *self.oracle;
        oracle.delivered += 1;
        oracle.recovered += u64::from(delivered.recovered);
        oracle.session_is_not_older(session);
        oracle.note([1, u64::from(instrument), u64::from(seq), self.now_ns]);
        let Some(mirror) = delivered.mirror else {
            // Messages of one PACK share a number and come in one call.
            let call = oracle.calls;
            let first = *oracle.channel_frames.entry((session, header.channel_seq)).or_insert(call);
            assert_eq!(first, call, "frame {} is told twice", { header.channel_seq });
            return;
        };
        match delivered.plane {
            Plane::Incremental => oracle.account(session, instrument, seq, seq),
            Plane::Snapshot => {
                let known = oracle.last.insert(instrument, (session, seq));
                if let Some((of, before)) = known
                    && of == session
                {
                    assert_eq!(before, seq, "a snapshot jumped without a loss being told");
                }
            }
        }
        let (told, _) = oracle.told.get(&instrument).copied().unwrap_or((Reported::Unknown, 0));
        assert_eq!(
            delivered.state, told,
            "instrument {instrument}: the state of an event was told before it"
        );
        if delivered.state == Reported::Live {
            let held = Held {
                levels: matches!(header.msg_type, msg::BOOK_DELTA | msg::BOOK_SNAPSHOT),
                orders: matches!(header.msg_type, msg::ORDER_OPS | msg::ORDER_SNAPSHOT),
            };
            let is_split = header.msg_type == msg::ORDER_OPS && !header.has(flags::EVENT_END);
            oracle.orders_split += u64::from(is_split);
            oracle.check(mirror, self.truth, held);
        }
    }

    fn state(&mut self, change: &StateChange) {
        let oracle = &mut *self.oracle;
        oracle.session_is_not_older(change.session);
        let told = oracle.told.insert(change.instrument, (change.to, change.reason));
        let (before, why) = told.unwrap_or((Reported::Unknown, 0));
        oracle.returns += u64::from(why == reason::SILENCE && change.to == Reported::Live);
        assert_eq!(before, change.from, "instrument {}: every change is told", change.instrument);
        assert_ne!(change.from, change.to);
        oracle.note([2, u64::from(change.instrument), change.to as u64, self.now_ns]);
        if change.to == Reported::Closed {
            assert!(matches!(change.trading, status::state::CLOSED | status::state::DELISTED | 0));
        }
    }

    fn lost(&mut self, lost: &Lost) {
        let oracle = &mut *self.oracle;
        assert!(lost.count > 0);
        let last = lost.first.wrapping_add(u32::try_from(lost.count).expect("a short session") - 1);
        let was_published = self.truth.at(lost.session, lost.instrument, last).is_some();
        assert!(
            was_published || self.truth.tainted_ns(lost.session).is_some(),
            "{lost:?}: what never was cannot be lost"
        );
        oracle.account(lost.session, lost.instrument, lost.first, last);
        oracle.lost += lost.count;
        oracle.lost_calls += 1;
        oracle.note([3, u64::from(lost.instrument), u64::from(last), self.now_ns]);
    }
}
