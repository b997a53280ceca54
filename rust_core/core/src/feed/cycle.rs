//! The snapshot plane: which instrument's group goes out next, and when.

use super::Feed;
use crate::publish::{About, Arrival, Host};
use crate::wire::{self, NO_RECORDS, flags, msg};

/// Frames a second on the snapshot plane: 1,000 instruments of 400 levels in a second, 7.4 MB/s
/// (`docs/wire-format.md`, numeric limits).
pub const SNAPSHOT_FRAMES_PER_S: u64 = 8_000;
const FRAME_NS: u64 = 1_000_000_000 / SNAPSHOT_FRAMES_PER_S;
/// A cycle starts at most this often: a late joiner waits no longer, and a few small books cost nearly nothing.
pub const CYCLE_MIN_NS: u64 = 1_000_000_000;
/// A late timer makes up this much, so that the pace holds with a loop that wakes every few milliseconds.
const CATCH_UP_NS: u64 = 10_000_000;
/// Groups sent in one call: the exchange's sockets wait meanwhile. A group itself is never cut.
pub const GROUPS_PER_TICK_MAX: usize = 32;

/// Where the cycle stands.
#[derive(Debug, Default)]
pub(crate) struct Cycle {
    pub(crate) id: u32,
    pub(crate) next_index: usize,
    pub(crate) first_seq: u64,
    pub(crate) started_ns: u64,
    groups: u32,
    due_ns: u64,
}

impl Cycle {
    /// Whether something may be sent now.
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns
    }

    /// When something may be sent.
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Begins a cycle whose first frame has this number.
    pub(crate) fn begin(&mut self, now_ns: u64, first_seq: u64) {
        self.id = self.id.wrapping_add(1);
        self.groups = 0;
        self.first_seq = first_seq;
        self.started_ns = now_ns;
    }

    /// Accounts for a group just sent, and for the instruments passed over before it.
    pub(crate) fn spent(&mut self, now_ns: u64, skipped: usize, frames: u32) {
        self.next_index += skipped + 1;
        self.groups += 1;
        self.due_ns = self.due_ns.max(now_ns.saturating_sub(CATCH_UP_NS)) + u64::from(frames) * FRAME_NS;
    }

    /// Ends the cycle and returns its length and its groups: the next one starts when the pace and the least length allow.
    pub(crate) fn end(&mut self, now_ns: u64) -> (u64, u32) {
        let length_ns = now_ns.saturating_sub(self.started_ns);
        self.due_ns = self.due_ns.max(self.started_ns + CYCLE_MIN_NS);
        self.next_index = 0;
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
        for _ in 0..GROUPS_PER_TICK_MAX {
            let now_ns = host.mono_ns();
            if self.instruments.is_empty() || !self.cycle.is_due(now_ns) {
                break;
            }
            self.cycle_step(now_ns, host);
        }
    }

    /// Sends the next instrument's group, or CYCLE_END behind the last one. Delisted instruments are left out, as they
    /// are of `registry_crc`.
    fn cycle_step(&mut self, now_ns: u64, host: &mut dyn Host) {
        let recv_ts = if self.channel.info().replay { self.last_recv_ts } else { host.wall_ns() };
        let arrival = Arrival { recv_ts, mono_ns: now_ns };
        if self.cycle.next_index == 0 {
            self.cycle.begin(now_ns, self.channel.next_snapshot_seq());
        }
        let rest = self.instruments[self.cycle.next_index..].iter();
        if let Some((skipped, instrument)) = rest.enumerate().find(|(_, known)| known.is_listed()) {
            let sent = instrument.publish_group(&mut self.channel, host, arrival);
            self.cycle.spent(now_ns, skipped, sent);
            return;
        }
        let (length_ns, n_instruments) = self.cycle.end(host.mono_ns());
        let root = wire::CycleEnd {
            cycle_id: self.cycle.id,
            n_instruments,
            first_snap_seq: self.cycle.first_seq,
            registry_crc: self.registry_crc(),
            cycle_us: u32::try_from(length_ns / 1_000).unwrap_or(u32::MAX),
        };
        let about = About { flags: flags::EVENT_END, ..About::channel() };
        self.channel.snapshot(host, arrival, msg::CYCLE_END, &about, &root, NO_RECORDS);
        let promised_ns = length_ns.max(CYCLE_MIN_NS);
        self.channel.set_snapshot_cycle_ms(u32::try_from(promised_ns / 1_000_000).unwrap_or(u32::MAX));
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
