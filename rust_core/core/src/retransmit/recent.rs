//! What was asked for and sent just now: no number twice to one consumer, and one answer for many consumers.
//!
//! `docs/wire-format.md`, "Retransmit server": the third and later consumer asking for a number within 2 ms get one answer on
//! the repair group; a number is not resent to the same consumer, nor to the group, twice within 1 ms. What goes to the group
//! goes to every consumer.

use std::net::SocketAddrV4;

use super::table::Table;

/// Consumers asking for one number within this time are answered together from the third on.
pub const TOGETHER_NS: u64 = 2_000_000;
/// A number is not sent again to the same listener within this time.
pub const AGAIN_NS: u64 = 1_000_000;
/// Numbers remembered: what all budgets together send in [`TOGETHER_NS`] on a line of 10 Gbit/s is 600 frames, and the bursts
/// of three consumers are 12,288.
pub const NUMBERS_MAX: usize = 16_384;

/// How a number is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the consumer.
    Unicast,
    /// To the repair group.
    Repair,
    /// Not at all: the consumer was sent it a moment ago.
    SentBefore,
    /// Not at all: the group was sent it a moment ago.
    RepairedBefore,
}

/// One who asked, and when it was last asked and answered.
#[derive(Clone, Copy, Debug)]
struct Asker {
    who: SocketAddrV4,
    asked_ns: u64,
    sent_ns: Option<u64>,
}

/// One number.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    /// The two that asked last.
    askers: [Option<Asker>; 2],
    repaired_ns: Option<u64>,
}

/// Channel with plane, session and number.
type Key = (u8, u32, u64);

/// The numbers asked for within the last 2 ms.
#[derive(Debug)]
pub(super) struct Recent {
    numbers: Table<Key, Number>,
}

fn is_within(then_ns: u64, now_ns: u64, span_ns: u64) -> bool {
    now_ns.saturating_sub(then_ns) < span_ns
}

impl Recent {
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Self { numbers: Table::new(NUMBERS_MAX, secret) }
    }

    /// Numbers forgotten early; their next askers count as the first ones.
    pub(super) fn evicted(&self) -> u64 {
        self.numbers.evicted()
    }

    /// Decides how `who` is answered, and takes it as done.
    pub(super) fn ask(&mut self, key: Key, who: SocketAddrV4, now_ns: u64) -> Way {
        let is_old = |number: &Number| {
            let asked = number.askers.iter().flatten().map(|asker| asker.asked_ns);
            !asked.chain(number.repaired_ns).any(|then_ns| is_within(then_ns, now_ns, TOGETHER_NS))
        };
        self.numbers.entry(key, Number::default, is_old).ask(who, now_ns)
    }
}

impl Number {
    fn ask(&mut self, who: SocketAddrV4, now_ns: u64) -> Way {
        let is_recent = |asker: &&Asker| is_within(asker.asked_ns, now_ns, TOGETHER_NS);
        let others = self.askers.iter().flatten().filter(is_recent).filter(|asker| asker.who != who).count();
        let asker = self.asker(who, now_ns);
        let sent_ns = asker.sent_ns;
        if self.repaired_ns.is_some_and(|then_ns| is_within(then_ns, now_ns, AGAIN_NS)) {
            return Way::RepairedBefore;
        }
        if sent_ns.is_some_and(|then_ns| is_within(then_ns, now_ns, AGAIN_NS)) {
            return Way::SentBefore;
        }
        if others >= self.askers.len() {
            self.repaired_ns = Some(now_ns);
            return Way::Repair;
        }
        self.asker(who, now_ns).sent_ns = Some(now_ns);
        Way::Unicast
    }

    /// The entry of `who`, who asks now; in the place of the one that asked least recently, if it has none.
    fn asker(&mut self, who: SocketAddrV4, now_ns: u64) -> &mut Asker {
        let rank = |asker: &Option<Asker>| match asker {
            Some(asker) if asker.who == who => (0, 0),
            None => (1, 0),
            Some(asker) => (2, asker.asked_ns),
        };
        let place = if rank(&self.askers[0]) <= rank(&self.askers[1]) { 0 } else { 1 };
        let place = &mut self.askers[place];
        if place.is_none_or(|asker| asker.who != who) {
            *place = None;
        }
        let asker = place.get_or_insert(Asker { who, asked_ns: now_ns, sent_ns: None });
        asker.asked_ns = now_ns;
        asker
    }
}
