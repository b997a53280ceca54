//! The snapshot plane: which instrument's group goes out next, and when.

use std::collections::VecDeque;

use super::Feed;
use super::instrument::Instrument;
use crate::publish::{About, Arrival, Cut, Host, PlaneFrames};
use crate::wire::{self, NO_RECORDS, flags, msg};

/// Frames a second on the snapshot plane: 1,000 instruments of 400 levels in a second, 7.4 MB/s
/// (`docs/wire-format.md`, numeric limits).
pub const SNAPSHOT_FRAMES_PER_S: u64 = 8_000;
const FRAME_NS: u64 = 1_000_000_000 / SNAPSHOT_FRAMES_PER_S;
/// Frames a second beside those, for instruments that are asked for again in a cycle that has had them. A quarter, so that
/// whoever asks without end delays no cycle.
pub const AGAIN_FRAMES_PER_S: u64 = SNAPSHOT_FRAMES_PER_S / 4;
const AGAIN_FRAME_NS: u64 = 1_000_000_000 / AGAIN_FRAMES_PER_S;
/// A cycle starts at most this often: a late joiner waits no longer, and a few small books cost nearly nothing.
pub const CYCLE_MIN_NS: u64 = 1_000_000_000;
/// An instrument is moved to the head of the cycle at most this often (`docs/wire-format.md`, TCP).
pub const HEAD_EVERY_NS: u64 = 100_000_000;
/// A late timer makes up this much, so that the pace holds with a loop that wakes every few milliseconds.
const CATCH_UP_NS: u64 = 10_000_000;
/// Groups sent in one call: the exchange's sockets wait meanwhile. A group itself is never cut.
pub const GROUPS_PER_TICK_MAX: usize = 32;

/// Where the cycle stands.
#[derive(Debug, Default)]
pub(crate) struct Cycle {
    pub(crate) id: u32,
    next_index: usize,
    first_seq: u64,
    started_ns: u64,
    /// Between the first group and CYCLE_END.
    is_under_way: bool,
    groups: u32,
    due_ns: u64,
    /// Instruments moved to the head, in the order asked for; each is in it once.
    head: VecDeque<u32>,
    /// When one that this cycle has had may be sent again.
    again_due_ns: u64,
}

impl Cycle {
    /// Begins a cycle whose first frame has this number.
    fn begin(&mut self, now_ns: u64, first_seq: u64) {
        self.id = self.id.wrapping_add(1).max(1);
        self.groups = 0;
        self.first_seq = first_seq;
        self.started_ns = now_ns;
        self.is_under_way = true;
    }

    /// Accounts for a group just sent in its turn.
    fn spent(&mut self, now_ns: u64, frames: u32) {
        self.groups += 1;
        self.due_ns = self.due_ns.max(now_ns.saturating_sub(CATCH_UP_NS)) + u64::from(frames) * FRAME_NS;
    }

    /// Accounts for a group sent once more.
    fn spent_again(&mut self, now_ns: u64, frames: u32) {
        self.again_due_ns =
            self.again_due_ns.max(now_ns.saturating_sub(CATCH_UP_NS)) + u64::from(frames) * AGAIN_FRAME_NS;
    }

    /// An instrument leaves: its group, if the cycle has had it, is none of those that count.
    pub(super) fn leave(&mut self, index: u32, sent_in_cycle: u32) {
        self.head.retain(|&other| other != index);
        if self.is_under_way && sent_in_cycle == self.id {
            self.groups -= 1;
        }
    }

    /// An instrument takes an index that the cycle may have passed by: it has its turn all the same.
    pub(super) fn enter(&mut self, index: u32, instrument: &mut Instrument) {
        if self.is_under_way && (index as usize) < self.next_index {
            instrument.at_head = true;
            self.head.push_back(index);
        }
    }

    /// Ends the cycle and returns its length and its groups: the next one starts when the pace and the least length allow.
    fn end(&mut self, now_ns: u64) -> (u64, u32) {
        let length_ns = now_ns.saturating_sub(self.started_ns);
        self.due_ns = self.due_ns.max(self.started_ns + CYCLE_MIN_NS);
        self.next_index = 0;
        self.is_under_way = false;
        (length_ns, self.groups)
    }
}

impl Feed {
    /// Heartbeats and the snapshot plane, as far as they are due.
    pub fn tick(&mut self, host: &mut dyn Host) {
        self.channel.tick(host);
        if self.channel.has_ended() {
            return;
        }
        self.tell_when_full();
        if !self.links.are_idle() {
            self.expire_waiting(host);
        }
        for _ in 0..GROUPS_PER_TICK_MAX {
            let now_ns = host.mono_ns();
            if !self.cycle_step(now_ns, host) {
                break;
            }
        }
    }

    /// Moves instruments to the head of the cycle, each at most every [`HEAD_EVERY_NS`]; empty = all that are listed.
    /// Unknown ones are ignored. Returns how many were moved.
    pub fn move_to_head(&mut self, instruments: &[u32], now_ns: u64) -> usize {
        let mut moved = 0;
        for index in 0..self.instruments.len() {
            let known = &mut self.instruments[index];
            let is_wanted = instruments.is_empty() || instruments.contains(&known.id);
            if !is_wanted || !known.is_listed() {
                continue;
            }
            if known.headed_ns.is_some_and(|last| now_ns.saturating_sub(last) < HEAD_EVERY_NS) {
                self.journal.counters.heads_limited += 1;
                continue;
            }
            known.headed_ns = Some(now_ns);
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if !std::mem::replace(&mut known.at_head, true) {
                self.cycle.head.push_back(index);
            }
            moved += 1;
        }
        self.journal.counters.heads_moved += moved as u64;
        moved
    }

    /// Sends one group that is due, or CYCLE_END; `false`: nothing is.
    ///
    /// What was moved to the head and has not had its turn in this cycle takes it now. What has had it is sent once more, at
    /// a pace of its own. Delisted instruments are left out, as they are of `registry_crc`.
    fn cycle_step(&mut self, now_ns: u64, host: &mut dyn Host) -> bool {
        if self.instruments.is_empty() {
            return false;
        }
        let in_turn = now_ns >= self.cycle.due_ns;
        if in_turn && !self.cycle.is_under_way {
            self.cycle.begin(now_ns, self.channel.next_snapshot_seq());
            self.journal.counters.cycles_begun += 1;
        }
        if let Some(index) = self.take_head(now_ns, in_turn) {
            let is_again = self.has_had_its_turn(index);
            let sent = self.send_group(index, now_ns, host);
            if is_again {
                self.cycle.spent_again(now_ns, sent);
            } else {
                self.cycle.spent(now_ns, sent);
            }
            return true;
        }
        if !in_turn {
            return false;
        }
        while self.cycle.next_index < self.instruments.len() {
            let index = self.cycle.next_index;
            self.cycle.next_index += 1;
            if self.instruments[index].is_listed() && !self.has_had_its_turn(index) {
                let sent = self.send_group(index, now_ns, host);
                self.cycle.spent(now_ns, sent);
                return true;
            }
        }
        self.end_cycle(now_ns, host);
        true
    }

    /// When something of the snapshot plane may be sent.
    pub(super) fn cycle_due_ns(&self) -> u64 {
        let Cycle { due_ns, again_due_ns, head, .. } = &self.cycle;
        let may_again = head.iter().any(|&index| self.has_had_its_turn(index as usize));
        if may_again { *due_ns.min(again_due_ns) } else { *due_ns }
    }

    fn has_had_its_turn(&self, index: usize) -> bool {
        !self.cycle.is_under_way || self.instruments[index].sent_in_cycle == self.cycle.id
    }

    /// The first instrument at the head that may be sent now.
    fn take_head(&mut self, now_ns: u64, in_turn: bool) -> Option<usize> {
        let may_again = now_ns >= self.cycle.again_due_ns;
        let place = self
            .cycle
            .head
            .iter()
            .position(|&index| if self.has_had_its_turn(index as usize) { may_again } else { in_turn })?;
        self.cycle.head.remove(place).map(|index| index as usize)
    }

    fn send_group(&mut self, index: usize, now_ns: u64, host: &mut dyn Host) -> u32 {
        let arrival = self.standing(now_ns, host);
        let cycle = if self.cycle.is_under_way { self.cycle.id } else { 0 };
        let Self { instruments, channel, .. } = self;
        let instrument = &mut instruments[index];
        instrument.sent_in_cycle = cycle;
        instrument.at_head = false;
        instrument.cut_group(u32::MAX, &mut PlaneFrames { channel, host, arrival })
    }

    fn end_cycle(&mut self, now_ns: u64, host: &mut dyn Host) {
        let arrival = self.standing(now_ns, host);
        let (length_ns, n_instruments) = self.cycle.end(host.mono_ns());
        let root = wire::CycleEnd {
            cycle_id: self.cycle.id,
            n_instruments,
            first_snap_seq: self.cycle.first_seq,
            registry_crc: self.registry_crc(),
            cycle_us: u32::try_from(length_ns / 1_000).unwrap_or(u32::MAX),
        };
        let about = About { flags: flags::EVENT_END, ..About::channel() };
        PlaneFrames { channel: &mut self.channel, host, arrival }.frame(
            msg::CYCLE_END,
            &about,
            &root,
            NO_RECORDS,
        );
        self.journal.counters.cycles += 1;
        let promised_ns = length_ns.max(CYCLE_MIN_NS);
        self.channel.set_snapshot_cycle_ms(u32::try_from(promised_ns / 1_000_000).unwrap_or(u32::MAX));
    }

    /// The moment at which state is cut; a replay's stands at its last frame.
    pub(super) fn standing(&self, now_ns: u64, host: &mut dyn Host) -> Arrival {
        let recv_ts = if self.channel.info().replay { self.last_recv_ts } else { host.wall_ns() };
        Arrival { recv_ts, mono_ns: now_ns }
    }

    /// Digest of the definitions in force (`docs/wire-format.md`, Digests).
    #[must_use]
    pub fn registry_crc(&self) -> u32 {
        let mut live: Vec<(u32, u32)> = self
            .instruments
            .iter()
            .filter(|known| known.is_listed())
            .map(|known| (known.id, known.def.def_version))
            .collect();
        live.sort_unstable();
        wire::digest::registry_crc(live)
    }
}
