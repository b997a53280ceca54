//! The store: the frames of every channel and both planes, as they were sent, for as long as the limits allow.

use zerocopy::FromBytes;

use super::queue::Queue;
use super::ring::Ring;
use crate::wire::{CHANNEL_SNAPSHOT, FRAME_BYTES_MAX, Header, is_numbered, msg};

/// Frames beyond their age, or of a snapshot cycle that is over, given up with each one kept: more than come in, so that
/// the store shrinks, and few enough for the send path. [`Store::trim`] gives up the rest.
const GIVE_UP_PER_PUSH: usize = 4;

/// Frames that one [`Store::trim`] gives up: about 0.1 ms, for the send path may wait for it.
const GIVE_UP_PER_TRIM: usize = 4_096;

/// Channels with a bit for the plane: all that a header can say.
const CHANNELS: usize = 256;

/// How much is kept. The least limit holds (`docs/wire-format.md`, numeric limits: ring).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames of the incremental planes, all channels together.
    pub frames: usize,
    /// Nanoseconds that a frame of an incremental plane is kept for.
    pub age_ns: u64,
    /// Bytes of frames of the incremental planes, all channels together.
    pub bytes: u64,
    /// Bytes of frames of each channel's snapshot plane, of which the last two whole cycles and the one under way are kept.
    pub snapshot_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frames: 1 << 20, age_ns: 60_000_000_000, bytes: 256 << 20, snapshot_bytes: 64 << 20 }
    }
}

/// What [`Store::push`] did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It can be asked for.
    Kept,
    /// It consumes no number, so nobody can ask for it.
    Unnumbered,
    /// The number is kept already, or was.
    Repeated,
    /// The channel has a newer session.
    OldSession,
    /// Shorter than a header, longer than a frame may be, or without a channel or a number.
    NotAFrame,
}

/// Sums over the life of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Frames kept.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Kept frames given up by a limit.
    pub given_up: u64,
    /// Times that numbers were missing before the frame given; what was before them is not found any more.
    pub holes: u64,
    /// Frames refused because their number is kept already, or was.
    pub repeated: u64,
    /// Frames refused because the channel has a newer session.
    pub old_session: u64,
    /// Times that a newer session of a channel began.
    pub sessions: u64,
    /// Frames refused because they are none.
    pub not_a_frame: u64,
}

/// The frames of one plane of one channel: numbers without a hole.
#[derive(Debug, Default)]
struct Lane {
    session: u32,
    /// Number of the first frame found.
    first_seq: u64,
    /// Position in the ring of each.
    positions: Queue<u64>,
    /// The snapshot plane keeps frames of its own.
    own: Option<Box<Cycles>>,
}

/// The ring of one snapshot plane.
#[derive(Debug, Default)]
struct Cycles {
    ring: Ring,
    /// Number of CYCLE_END of the cycle before the last two, and of those; 0 = none yet.
    ends: [u64; 3],
}

/// Frames by channel, session and number. See [`Limits`].
///
/// [`Store::push`] is on the send path: one copy, no system call but for a new chunk of a MiB while the store still grows.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    lanes: Vec<Option<Box<Lane>>>,
    /// The incremental planes of all channels, in the order in which their frames came.
    ring: Ring,
    counters: StoreCounters,
}

impl Store {
    /// An empty store, which takes no memory for frames yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: (0..CHANNELS).map(|_| None).collect(),
            ring: Ring::default(),
            counters: StoreCounters::default(),
        }
    }

    /// Keeps a numbered frame as it is; un-numbered ones are passed over. The frames of a plane come in the order of their
    /// numbers; the first of a higher session drops what the older one left.
    pub fn push(&mut self, frame: &[u8], now_ns: u64) -> Kept {
        let header = match Header::ref_from_prefix(frame) {
            Ok((header, _)) if frame.len() <= FRAME_BYTES_MAX && header.channel_number() != 0 => header,
            _ => {
                self.counters.not_a_frame += 1;
                return Kept::NotAFrame;
            }
        };
        if !is_numbered(header.msg_type) {
            return Kept::Unnumbered;
        }
        let (channel, session, seq) = (header.channel, header.session, header.channel_seq);
        // Numbers begin at 1, and a session ends before there is no next one.
        if seq == 0 || seq == u64::MAX {
            self.counters.not_a_frame += 1;
            return Kept::NotAFrame;
        }
        let lane = self.lanes[usize::from(channel)].get_or_insert_with(|| Box::new(Lane::new(channel)));
        if let Err(refused) = lane.admit(session, seq, &mut self.counters) {
            return refused;
        }
        let ring = lane.own.as_mut().map_or(&mut self.ring, |own| &mut own.ring);
        lane.positions.push(ring.push(channel, frame, now_ns));
        self.counters.kept += 1;
        self.counters.kept_bytes += frame.len() as u64;
        if channel & CHANNEL_SNAPSHOT == 0 {
            self.limit(now_ns, GIVE_UP_PER_PUSH);
        } else {
            if header.msg_type == msg::CYCLE_END {
                lane.cycle_ended(seq);
            }
            lane.limit_cycles(self.limits.snapshot_bytes, GIVE_UP_PER_PUSH, &mut self.counters);
        }
        Kept::Kept
    }

    /// Gives up what is too old, as far as pushes did not yet, and gives unused memory back: a part of it, so that whoever
    /// sends waits about 0.1 ms at most. For another thread than that one, about once a second. Returns whether more is left.
    pub fn trim(&mut self, now_ns: u64) -> bool {
        let mut left = self.limit(now_ns, GIVE_UP_PER_TRIM);
        left |= self.ring.release();
        for lane in self.lanes.iter_mut().flatten() {
            left |= lane.limit_cycles(self.limits.snapshot_bytes, GIVE_UP_PER_TRIM, &mut self.counters);
            if let Some(own) = &mut lane.own {
                left |= own.ring.release();
            }
        }
        left
    }

    /// The frame of that number; `channel` as in the header, with bit 7 for the snapshot plane.
    #[must_use]
    pub fn get(&self, channel: u8, session: u32, seq: u64) -> Option<&[u8]> {
        let lane = self.lane(channel).filter(|lane| lane.session == session)?;
        let index = usize::try_from(seq.checked_sub(lane.first_seq)?).ok()?;
        let position = *lane.positions.get(index)?;
        lane.own.as_ref().map_or(&self.ring, |own| &own.ring).get(position)
    }

    /// Session of the plane's newest frame; `None` before the first.
    #[must_use]
    pub fn session(&self, channel: u8) -> Option<u32> {
        self.lane(channel).map(|lane| lane.session)
    }

    /// Lowest number of the plane that is kept, in its newest session.
    #[must_use]
    pub fn oldest(&self, channel: u8) -> Option<u64> {
        self.lane(channel).filter(|lane| !lane.positions.is_empty()).map(|lane| lane.first_seq)
    }

    /// Highest number of the plane that was kept, in its newest session, also if it was given up since.
    #[must_use]
    pub fn newest(&self, channel: u8) -> Option<u64> {
        self.lane(channel).map(|lane| lane.next_seq() - 1)
    }

    /// Frames and bytes held by all incremental planes together, those of sessions gone by too.
    #[must_use]
    pub fn held(&self) -> (usize, u64) {
        (self.ring.len(), self.ring.bytes())
    }

    /// Frames and bytes held by the snapshot plane of a channel.
    #[must_use]
    pub fn held_snapshot(&self, channel: u8) -> (usize, u64) {
        let own = self.lane(channel | CHANNEL_SNAPSHOT).and_then(|lane| lane.own.as_ref());
        own.map_or((0, 0), |own| (own.ring.len(), own.ring.bytes()))
    }

    /// Sums since the store was made.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        self.counters
    }

    fn lane(&self, channel: u8) -> Option<&Lane> {
        self.lanes[usize::from(channel)].as_deref()
    }

    /// Applies the limits of the incremental planes; those of age to at most `most` frames. Returns whether more are old.
    fn limit(&mut self, now_ns: u64, most: usize) -> bool {
        while self.ring.len() > self.limits.frames || self.ring.bytes() > self.limits.bytes {
            self.give_up();
        }
        for _ in 0..most {
            let Some(oldest) = self.ring.oldest() else { return false };
            if now_ns.saturating_sub(oldest.at_ns) <= self.limits.age_ns {
                return false;
            }
            self.give_up();
        }
        true
    }

    fn give_up(&mut self) {
        let Some((position, place)) = self.ring.pop() else { return };
        self.counters.given_up += 1;
        if let Some(lane) = &mut self.lanes[usize::from(place.channel)] {
            lane.forget(position);
        }
    }
}

impl Lane {
    fn new(channel: u8) -> Self {
        let own = (channel & CHANNEL_SNAPSHOT != 0).then(Box::default);
        Self { own, ..Self::default() }
    }

    fn next_seq(&self) -> u64 {
        self.first_seq + self.positions.len() as u64
    }

    /// Makes the number the plane's next one, or says why it cannot be.
    fn admit(&mut self, session: u32, seq: u64, counters: &mut StoreCounters) -> Result<(), Kept> {
        if session < self.session {
            counters.old_session += 1;
            return Err(Kept::OldSession);
        }
        let is_fresh = self.first_seq == 0;
        if session > self.session || is_fresh {
            counters.sessions += u64::from(!is_fresh);
            self.begin(session, seq);
        } else if seq < self.next_seq() {
            counters.repeated += 1;
            return Err(Kept::Repeated);
        } else if seq > self.next_seq() {
            counters.holes += 1;
            self.begin(session, seq);
        }
        Ok(())
    }

    /// Begins at a number; frames before it are not found any more, and leave the ring in their turn.
    fn begin(&mut self, session: u32, seq: u64) {
        (self.session, self.first_seq) = (session, seq);
        self.positions.clear();
        if let Some(own) = &mut self.own {
            own.ends = [0; 3];
        }
    }

    /// The ring gave up that position.
    fn forget(&mut self, position: u64) {
        if self.positions.front() == Some(&position) {
            self.positions.pop();
            self.first_seq += 1;
        }
    }

    fn cycle_ended(&mut self, seq: u64) {
        if let Some(own) = &mut self.own {
            own.ends = [own.ends[1], own.ends[2], seq];
        }
    }

    /// Gives up frames of the snapshot plane: all beyond the bytes, and at most `most` of cycles before the last two, or
    /// of a session or stretch of numbers that is over. Returns whether more of those are left.
    fn limit_cycles(&mut self, bytes: u64, most: usize, counters: &mut StoreCounters) -> bool {
        let Some(own) = &mut self.own else { return false };
        let mut gone = 0;
        loop {
            let is_over = own.ring.len() > self.positions.len() || self.first_seq <= own.ends[0];
            let is_beyond = own.ring.bytes() > bytes;
            if !is_beyond && (!is_over || gone == most) {
                return is_over && own.ring.len() > 0;
            }
            let Some((position, _)) = own.ring.pop() else { return false };
            gone += 1;
            counters.given_up += 1;
            if self.positions.front() == Some(&position) {
                self.positions.pop();
                self.first_seq += 1;
            }
        }
    }
}
