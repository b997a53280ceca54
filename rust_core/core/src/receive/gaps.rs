//! What was missing, why, and how it came right: one report for each run of numbers found missing at once.

use std::collections::BTreeMap;

use super::line::Line;
use super::missing::GivenUp;
use crate::publish::Plane;
use crate::wire::CHANNEL_NUMBER;

/// Reports that are open at once; numbers missing beyond have none.
pub const GAPS_OPEN_MAX: usize = 4_096;
/// Closed reports that wait to be taken.
pub const GAPS_KEPT_MAX: usize = 4_096;
/// Kernel drops are blamed for what is found missing within this time of hearing of them: their count is read every
/// 100 ms, and what still lies in the buffer hides the hole.
const DROPS_BLAME_NS: u64 = 150_000_000;

/// Who lost it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The network, as far as we can tell.
    Network,
    /// Our own kernel: we read too slowly.
    KernelDrops,
    /// The exchange, or the publisher's connection to it.
    Exchange,
}

impl GapCause {
    /// The name that people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::KernelDrops => "kernel drops",
            Self::Exchange => "exchange",
        }
    }
}

/// What made it whole; where several did, the last of them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapRepair {
    /// Line B had what line A lost, or the other way round.
    OtherLine,
    /// It came after all.
    Late,
    /// The retransmit server sent it to us.
    Retransmit,
    /// The retransmit server sent it to everyone.
    RepairGroup,
    /// It was given up, and the snapshot plane or an image brought the state.
    Snapshot,
    /// A new session began.
    Session,
    /// The publisher rebuilt the book.
    Exchange,
}

impl GapRepair {
    /// The name that people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherLine => "other line",
            Self::Late => "late",
            Self::Retransmit => "retransmit",
            Self::RepairGroup => "repair group",
            Self::Snapshot => "snapshot",
            Self::Session => "session",
            Self::Exchange => "exchange",
        }
    }
}

/// One run of numbers found missing at once, or one time in which the publisher's own book was not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapReport {
    /// Channel number, 1–127.
    pub channel: u8,
    /// Venue number; 0 unknown.
    pub venue: u16,
    /// Session of the channel.
    pub session: u32,
    /// Plane whose numbers they are.
    pub plane: Plane,
    /// First missing number; of an exchange gap the number of the frame that told of it.
    pub first: u64,
    /// How many; 0 of an exchange gap.
    pub count: u64,
    /// When it was found, monotonic ns.
    pub opened_ns: u64,
    /// The kernel's stamp of the frame that showed it, wall clock ns; 0 unknown.
    pub opened_ts: i64,
    /// Who lost it.
    pub cause: GapCause,
    /// What made it whole; `None` while open.
    pub repair: Option<GapRepair>,
    /// How long that took, ns; 0 while open.
    pub after_ns: u64,
    /// Instrument of an exchange gap; 0 otherwise.
    pub instrument: u32,
    /// Of an exchange gap what STATUS says was expected; 0 otherwise.
    pub expected: u64,
    /// Of an exchange gap what came instead; 0 otherwise.
    pub got: u64,
}

#[derive(Debug)]
struct Open {
    report: GapReport,
    /// Numbers that may still come, and those given up.
    missing: u64,
    given_up: u64,
    /// The line that showed the hole.
    shown_by: Line,
}

/// All reports of a receiver.
#[derive(Debug, Default)]
pub(super) struct GapLog {
    /// By channel with the bit of the plane, and first number.
    open: BTreeMap<(u8, u64), Open>,
    /// By channel and instrument.
    exchange: BTreeMap<(u8, u32), GapReport>,
    closed: Vec<GapReport>,
    unreported: u64,
    drops_ns: Option<u64>,
}

impl GapLog {
    /// Numbers were found missing; `wire_channel` has the bit of the plane.
    pub(super) fn open(&mut self, wire_channel: u8, mut report: GapReport, shown_by: Line) {
        if self.open.len() >= GAPS_OPEN_MAX {
            self.unreported += 1;
            return;
        }
        if self.drops_ns.is_some_and(|at_ns| report.opened_ns.saturating_sub(at_ns) <= DROPS_BLAME_NS) {
            report.cause = GapCause::KernelDrops;
        }
        let open = Open { report, missing: report.count, given_up: 0, shown_by };
        self.open.insert((wire_channel, report.first), open);
    }

    /// A number that was missing, or given up (`was_given_up`), came on a line.
    pub(super) fn fill(&mut self, wire_channel: u8, seq: u64, was_given_up: bool, line: Line, now_ns: u64) {
        let Some((&key, open)) = self.open.range_mut((wire_channel, 0)..=(wire_channel, seq)).next_back()
        else {
            return;
        };
        if seq - open.report.first >= open.report.count {
            return;
        }
        let left = if was_given_up { &mut open.given_up } else { &mut open.missing };
        *left = left.saturating_sub(1);
        let way = match line {
            Line::Retransmit => GapRepair::Retransmit,
            Line::Repair => GapRepair::RepairGroup,
            Line::A | Line::B if line != open.shown_by && open.shown_by.is_live() => GapRepair::OtherLine,
            _ => GapRepair::Late,
        };
        open.report.repair = open.report.repair.max(Some(way));
        if open.missing == 0 && open.given_up == 0 {
            self.close(key, None, now_ns);
        }
    }

    /// Numbers were given up.
    pub(super) fn give_up(&mut self, wire_channel: u8, given: &GivenUp) {
        for &(first, count) in &given.runs {
            let last = first + (count - 1);
            for (_, open) in self.open.range_mut((wire_channel, 0)..=(wire_channel, last)).rev() {
                let end = open.report.first + (open.report.count - 1);
                if end < first {
                    break;
                }
                let lost = (end.min(last) - open.report.first.max(first)).saturating_add(1).min(open.missing);
                open.missing -= lost;
                open.given_up += lost;
            }
        }
    }

    /// Everything given up on a channel is made whole by the snapshot plane or an image.
    pub(super) fn heal(&mut self, number: u8, now_ns: u64) {
        self.close_where(number, GapRepair::Snapshot, now_ns, |open| open.missing == 0);
    }

    /// The session of a channel is over: what was missing in it never comes.
    pub(super) fn end_session(&mut self, number: u8, now_ns: u64) {
        self.close_where(number, GapRepair::Session, now_ns, |_| true);
        let of_channel = self.exchange.range((number, 0)..=(number, u32::MAX)).map(|(&key, _)| key);
        for (_, instrument) in of_channel.collect::<Vec<_>>() {
            self.close_exchange(number, instrument, GapRepair::Session, now_ns);
        }
    }

    fn close_where(&mut self, number: u8, how: GapRepair, now_ns: u64, which: impl Fn(&Open) -> bool) {
        if self.open.is_empty() {
            return;
        }
        let of_channel = |key: &(u8, u64), open: &Open| key.0 & CHANNEL_NUMBER == number && which(open);
        let keys: Vec<_> =
            self.open.iter().filter(|(key, open)| of_channel(key, open)).map(|(&key, _)| key).collect();
        keys.into_iter().for_each(|key| self.close(key, Some(how), now_ns));
    }

    fn close(&mut self, key: (u8, u64), how: Option<GapRepair>, now_ns: u64) {
        if let Some(open) = self.open.remove(&key) {
            self.keep(GapReport { repair: open.report.repair.max(how), ..open.report }, now_ns);
        }
    }

    fn keep(&mut self, report: GapReport, now_ns: u64) {
        if self.closed.len() >= GAPS_KEPT_MAX {
            self.unreported += 1;
        } else {
            let after_ns = now_ns.saturating_sub(report.opened_ns);
            self.closed.push(GapReport { after_ns, ..report });
        }
    }

    /// The publisher's book of an instrument is not whole.
    pub(super) fn open_exchange(&mut self, report: GapReport) {
        let key = (report.channel, report.instrument);
        if self.exchange.contains_key(&key) {
            return;
        }
        if self.exchange.len() >= GAPS_OPEN_MAX {
            self.unreported += 1;
            return;
        }
        self.exchange.insert(key, report);
    }

    /// It is whole again, or will never be told to be.
    pub(super) fn close_exchange(&mut self, number: u8, instrument: u32, how: GapRepair, now_ns: u64) {
        if self.exchange.is_empty() {
            return;
        }
        if let Some(report) = self.exchange.remove(&(number, instrument)) {
            self.keep(GapReport { repair: Some(how), ..report }, now_ns);
        }
    }

    /// Our kernel dropped something: it is to blame for what was found missing lately, and for what will be.
    pub(super) fn blame_kernel(&mut self, now_ns: u64) {
        self.drops_ns = Some(now_ns);
        let open = self.open.values_mut().map(|open| &mut open.report);
        for report in open.chain(&mut self.closed) {
            let is_late = now_ns.saturating_sub(report.opened_ns) > DROPS_BLAME_NS;
            if report.cause == GapCause::Network && !is_late {
                report.cause = GapCause::KernelDrops;
            }
        }
    }

    pub(super) fn take(&mut self) -> Vec<GapReport> {
        std::mem::take(&mut self.closed)
    }

    pub(super) fn opened(&self) -> impl Iterator<Item = GapReport> + '_ {
        self.open
            .values()
            .map(|open| GapReport { repair: None, ..open.report })
            .chain(self.exchange.values().copied())
    }

    pub(super) fn unreported(&self) -> u64 {
        self.unreported
    }
}
