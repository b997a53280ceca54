//! The publisher's side of one channel, sans-I/O: numbers frames, seals them, keeps the promises of the heartbeat.
//!
//! Incremental frames and snapshot-plane frames have numbers of their own (`docs/wire-format.md`, "Numbering").
//! Nothing here decides *what* is said; [`crate::feed`] does.

pub mod arbitration;
mod cut;
mod packer;

use zerocopy::{Immutable, IntoBytes};

pub(crate) use self::cut::{Cut, ImageFrames, PlaneFrames};
use self::packer::Packer;
use crate::event::NOT_GIVEN;
use crate::wire::auth::{Key, Signer};
use crate::wire::manifest::Signed;
use crate::wire::{self, CHANNEL_SNAPSHOT, FrameBuf, Header, NO_RECORDS, flags, msg};

/// The two planes of a channel: own group, own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// What happens, as it happens.
    Incremental,
    /// The state of every instrument, again and again, for those who join late or lost something.
    Snapshot,
}

/// What the outside gives to a channel: a way out and the time. The real one is in `outcrier-py`, tests bring their own.
pub trait Host {
    /// Takes one sealed frame, which leaves now or with the next [`Host::flush`]. Frames leave in the order in which they
    /// were given. Must not block; a frame that cannot leave is the host's to count.
    fn send(&mut self, plane: Plane, frame: &[u8]);
    /// Lets leave whatever is kept.
    fn flush(&mut self);
    /// Monotonic nanoseconds.
    fn mono_ns(&self) -> u64;
    /// UTC nanoseconds since the epoch, never going back within a session.
    fn wall_ns(&mut self) -> i64;
    /// Estimated error of the wall clock in nanoseconds; `u32::MAX` unknown.
    fn clock_error_ns(&mut self) -> u32;
    /// What the next heartbeat says of repair. Without a retransmit server there is none.
    fn repair(&mut self, _channel: u8, _session: u32) -> Repair {
        Repair::default()
    }
    /// The manifest that is ready to be told, each once.
    fn manifest(&mut self, _channel: u8, _session: u32) -> Option<Signed> {
        None
    }
}

/// Where lost frames can be asked for, as heartbeats tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Address of the retransmit server as an integer (127.0.0.1 = 0x7F000001); 0 = none.
    pub ipv4: u32,
    /// Its UDP port; 0 = none.
    pub udp_port: u16,
    /// TCP port of replay and image; 0 = none.
    pub tcp_port: u16,
    /// Oldest frame of the channel that it still has; `None` = none.
    pub oldest_seq: Option<u64>,
}

/// What SESSION_START says of the session before and of the instruments that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Last number of `prev_session`; 0 unknown.
    pub prev_last_seq: u64,
    /// Instruments that will be defined at once, all at version 1.
    pub n_instruments: u32,
    /// [`wire::digest::registry_crc`] of them.
    pub registry_crc: u32,
}

impl Opening {
    /// The opening of a session that will define these instruments.
    #[must_use]
    pub fn of(prev_last_seq: u64, instruments: &[u32]) -> Self {
        let mut live: Vec<(u32, u32)> = instruments.iter().map(|&instrument| (instrument, 1)).collect();
        live.sort_unstable();
        Self {
            prev_last_seq,
            n_instruments: u32::try_from(live.len()).unwrap_or(u32::MAX),
            registry_crc: wire::digest::registry_crc(live),
        }
    }
}

/// When the bytes of the exchange arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Wall clock, nanoseconds since the epoch; in a replay the recorded time.
    pub recv_ts: i64,
    /// Monotonic clock at the same moment; start of `proc_ns`.
    pub mono_ns: u64,
}

/// What a frame says of itself in the header, besides numbers that the channel gives.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Instrument id on the wire; 0 = not about one instrument.
    pub instrument: u32,
    /// Number of the frame in its instrument; 0 if `instrument` is 0.
    pub instr_seq: u32,
    /// Last exchange id covered; `None` = the venue has none.
    pub source_seq: Option<u64>,
    /// Exchange time; [`NOT_GIVEN`] = a copy of the receive time, flagged.
    pub exchange_ts: i64,
    /// Exponent of prices.
    pub price_exp: i8,
    /// Exponent of quantities.
    pub qty_exp: i8,
    /// Flags of this frame; session flags and those that follow from the fields above are added.
    pub flags: u16,
}

impl About {
    /// A frame about the channel, venue or a connection: no instrument, no exchange.
    #[must_use]
    pub fn channel() -> Self {
        Self {
            instrument: 0,
            instr_seq: 0,
            source_seq: None,
            exchange_ts: NOT_GIVEN,
            price_exp: 0,
            qty_exp: 0,
            flags: 0,
        }
    }
}

/// Delays of the heartbeats after the last numbered frame: tail loss is found within 1 to 4 ms (`docs/wire-format.md`).
const HEARTBEAT_DECAY_NS: [u64; 4] = [1_000_000, 4_000_000, 16_000_000, 64_000_000];
/// A heartbeat leaves at least this often, whatever the traffic.
const HEARTBEAT_EVERY_NS: u64 = 100_000_000;
/// SESSION_END is repeated this often …
const SESSION_END_EVERY_NS: u64 = 100_000_000;
/// … for so long.
const SESSION_END_FOR_NS: u64 = 5_000_000_000;
/// Above this error of the wall clock frames carry CLOCK_BAD.
const CLOCK_BAD_NS: u32 = 1_000_000;
/// Numbers kept back below 2^64, which `channel_seq` never reaches: at a million frames a second an hour to end the session
/// by plan before it ends itself.
pub const SEQ_RESERVE: u64 = 1 << 32;

/// Who publishes what: constant for a session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Venue number.
    pub venue: u16,
    /// Channel number, 1–127.
    pub channel: u8,
    /// Session number, greater than every earlier one of the channel.
    pub session: u32,
    /// Random number of this process.
    pub publisher_id: u64,
    /// Session that this one continues by plan; 0 = none.
    pub prev_session: u32,
    /// 1 cold, 2 restart, 3 fail-over, 4 reconfiguration.
    pub reason: u32,
    /// What else its start says.
    pub opening: Opening,
    /// Every frame carries REPLAY.
    pub replay: bool,
    /// Every frame carries TEST.
    pub test: bool,
    /// Messages of one read share PACKs. Those that one call makes about many instruments always do.
    pub pack: bool,
    /// What every frame of both planes is signed with; `None` = no frame carries a MAC.
    pub signer: Option<Signer>,
    /// Version text of the publisher.
    pub build: String,
}

/// Sums over the life of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCounters {
    /// Numbered frames of the incremental plane.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames of the snapshot plane.
    pub snapshot_frames: u64,
    /// Frames of images, which leave by the retransmit server.
    pub image_frames: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Signed manifests, which are among `heartbeats`.
    pub manifests: u64,
    /// PACK frames, which are among `frames`.
    pub packs: u64,
    /// Messages in them.
    pub packed_messages: u64,
}

/// One channel's numbers, digest and heartbeat.
#[derive(Debug)]
pub struct Channel {
    info: SessionInfo,
    buf: FrameBuf,
    packer: Packer,
    next_seq: u64,
    next_snapshot_seq: u64,
    chain64: u64,
    clock_error_ns: u32,
    last_numbered_ns: u64,
    decay_step: usize,
    last_heartbeat_ns: u64,
    ended: Option<Ending>,
    snapshot_cycle_ms: u32,
    counters: ChannelCounters,
    /// Numbered messages so far, those that wait in a PACK among them.
    said: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ending {
    reason: u32,
    next_session: u32,
    since_ns: u64,
    last_ns: u64,
}

impl Channel {
    /// A channel that has said nothing yet; [`Channel::start`] says the first word.
    #[must_use]
    pub fn new(info: SessionInfo) -> Self {
        Self {
            chain64: wire::digest::chain64_start(info.session),
            packer: Packer::new(info.pack),
            info,
            buf: FrameBuf::default(),
            next_seq: 1,
            next_snapshot_seq: 1,
            clock_error_ns: u32::MAX,
            last_numbered_ns: 0,
            decay_step: 0,
            last_heartbeat_ns: 0,
            ended: None,
            snapshot_cycle_ms: 0,
            counters: ChannelCounters::default(),
            said: 0,
        }
    }

    /// Goes on with this number: how simulations and tests reach the edge of 2^64, which no session lives to see.
    pub fn jump_to(&mut self, next_seq: u64) {
        self.next_seq = next_seq.max(self.next_seq);
    }

    /// Whether the numbers run out: a new session is due, while [`SEQ_RESERVE`] frames can still be sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.next_seq >= u64::MAX - SEQ_RESERVE
    }

    /// Who publishes what.
    #[must_use]
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Whether frames carry a MAC, beside which less fits.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.info.signer.is_some()
    }

    /// Sums so far.
    #[must_use]
    pub fn counters(&self) -> ChannelCounters {
        self.counters
    }

    /// Number of the last frame of the incremental plane; 0 = none yet. Messages that wait in a PACK leave first, so that
    /// the number covers everything said so far.
    pub fn last_seq(&mut self, host: &mut dyn Host) -> u64 {
        self.flush(host);
        self.next_seq - 1
    }

    /// Numbered messages so far, those that wait in a PACK among them.
    #[must_use]
    pub fn said(&self) -> u64 {
        self.said
    }

    /// Signs with another key from the next frame on; nothing happens in a session that began without one, because a
    /// session is signed whole or not at all.
    pub fn change_key(&mut self, host: &mut dyn Host, signer: Signer) {
        if self.info.signer.is_some() {
            self.flush(host);
            self.info.signer = Some(signer);
        }
    }

    /// Seals and sends the PACK that is being filled, if any.
    pub fn flush(&mut self, host: &mut dyn Host) {
        let Some(full) = self.packer.close() else { return };
        let now_ns = host.mono_ns();
        let crc = wire::seal(full.frame, elapsed(full.arrival, now_ns), key(&self.info));
        host.send(Plane::Incremental, full.frame);
        let (bytes, messages) = (full.frame.len(), full.messages);
        if messages > 1 {
            self.counters.packs += 1;
            self.counters.packed_messages += u64::from(messages);
        }
        self.count_numbered(crc, bytes, now_ns);
    }

    /// What is said until [`Channel::end_together`] shares PACKs as far as it fits, whatever the session says of packing.
    pub fn begin_together(&mut self) {
        self.packer.set_together(true);
    }

    /// Ends what [`Channel::begin_together`] began; the last PACK leaves.
    pub fn end_together(&mut self, host: &mut dyn Host) {
        self.packer.set_together(false);
        self.flush(host);
    }

    /// Number that the next frame of the snapshot plane will carry.
    #[must_use]
    pub fn next_snapshot_seq(&self) -> u64 {
        self.next_snapshot_seq
    }

    /// What heartbeats promise as the time of one snapshot cycle.
    pub fn set_snapshot_cycle_ms(&mut self, cycle_ms: u32) {
        self.snapshot_cycle_ms = cycle_ms;
    }

    /// SESSION_START, number 1. Its definitions follow one by one; it says which they will be.
    pub fn start(&mut self, host: &mut dyn Host, arrival: Arrival) {
        debug_assert_eq!(self.next_seq, 1);
        self.clock_error_ns = host.clock_error_ns();
        let root = wire::SessionStart {
            publisher_id: self.info.publisher_id,
            prev_last_seq: self.info.opening.prev_last_seq,
            start_ts: arrival.recv_ts,
            prev_session: self.info.prev_session,
            reason: self.info.reason,
            n_instruments: self.info.opening.n_instruments,
            registry_crc: self.info.opening.registry_crc,
            build: wire::text_field(&self.info.build),
        };
        self.numbered(host, arrival, msg::SESSION_START, &About::channel(), &root, NO_RECORDS);
    }

    /// One numbered message of the incremental plane: a frame, or a part of the PACK that is being filled.
    pub fn numbered<T, R>(
        &mut self,
        host: &mut dyn Host,
        arrival: Arrival,
        msg_type: u8,
        about: &About,
        root: &T,
        records: &[R],
    ) where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        if self.next_seq >= u64::MAX - 1 {
            self.end(host, wire::start_reason::RECONFIGURATION, 0); // It never wraps, whatever the owner does.
        }
        if self.ended.is_some() {
            return; // After SESSION_END its last number is a promise.
        }
        self.said += 1;
        let mut header = self.header(msg_type, self.info.channel, self.next_seq, about, arrival);
        let packs = self.packer.is_on();
        if packs && self.packer.push(&header, arrival, root, records) {
            return;
        }
        self.flush(host);
        header.channel_seq = self.next_seq;
        if packs && self.packer.push(&header, arrival, root, records) {
            return;
        }
        let (crc, now_ns) = self.send(host, Plane::Incremental, &header, arrival, root, records);
        self.count_numbered(crc, self.buf.frame().len(), now_ns);
    }

    fn count_numbered(&mut self, crc: u32, bytes: usize, now_ns: u64) {
        self.chain64 = wire::digest::chain64(self.chain64, self.next_seq, crc);
        self.next_seq += 1;
        self.last_numbered_ns = now_ns;
        self.decay_step = 0;
        self.counters.frames += 1;
        self.counters.bytes += bytes as u64;
    }

    /// One frame of the snapshot plane.
    pub fn snapshot<T, R>(
        &mut self,
        host: &mut dyn Host,
        arrival: Arrival,
        msg_type: u8,
        about: &About,
        root: &T,
        records: &[R],
    ) where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        self.flush(host);
        let channel = self.info.channel | CHANNEL_SNAPSHOT;
        let header = self.header(msg_type, channel, self.next_snapshot_seq, about, arrival);
        self.send(host, Plane::Snapshot, &header, arrival, root, records);
        self.next_snapshot_seq += 1;
        self.counters.snapshot_frames += 1;
    }

    /// Ends the session: nothing numbered leaves any more, [`Channel::tick`] repeats SESSION_END for 5 s.
    /// `next_session` is the one that follows at once; 0 unknown.
    pub fn end(&mut self, host: &mut dyn Host, reason: u32, next_session: u32) {
        if self.ended.is_none() {
            self.flush(host);
            let now_ns = host.mono_ns();
            let ending = Ending { reason, next_session, since_ns: now_ns, last_ns: now_ns };
            self.ended = Some(ending);
            self.session_end(host, ending);
        }
    }

    /// Whether [`Channel::end`] was called.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Sends the heartbeat or SESSION_END that is due.
    pub fn tick(&mut self, host: &mut dyn Host) {
        self.flush(host);
        let now_ns = host.mono_ns();
        self.clock_error_ns = host.clock_error_ns();
        match self.ended {
            Some(ending) => {
                if self.deadline_ns().is_some_and(|deadline| now_ns >= deadline) {
                    self.ended = Some(Ending { last_ns: now_ns, ..ending });
                    self.session_end(host, ending);
                }
            }
            None => {
                if self.deadline_ns().is_some_and(|deadline| now_ns >= deadline) {
                    while self.decay_due().is_some_and(|due| now_ns >= due) {
                        self.decay_step += 1;
                    }
                    self.last_heartbeat_ns = now_ns;
                    self.heartbeat(host);
                }
                if let Some(manifest) = host.manifest(self.info.channel, self.info.session) {
                    self.tell_manifest(host, &manifest);
                }
            }
        }
    }

    /// Monotonic time of the next heartbeat or SESSION_END; `None` when the session is over for good.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        match self.ended {
            Some(ending) => {
                let next = ending.last_ns + SESSION_END_EVERY_NS;
                (next <= ending.since_ns + SESSION_END_FOR_NS).then_some(next)
            }
            None => {
                let regular = self.last_heartbeat_ns + HEARTBEAT_EVERY_NS;
                Some(self.decay_due().map_or(regular, |due| due.min(regular)))
            }
        }
    }

    fn decay_due(&self) -> Option<u64> {
        HEARTBEAT_DECAY_NS.get(self.decay_step).map(|delay| self.last_numbered_ns + delay)
    }

    fn header(&self, msg_type: u8, channel: u8, seq: u64, about: &About, arrival: Arrival) -> Header {
        let mut flags = about.flags | self.session_flags();
        let exchange_ts = if about.exchange_ts == NOT_GIVEN {
            flags |= flags::NO_EXCH_TS;
            arrival.recv_ts
        } else {
            about.exchange_ts
        };
        if about.source_seq.is_none() {
            flags |= flags::NO_SRC_SEQ;
        }
        Header {
            flags,
            channel_seq: seq,
            price_exp: about.price_exp,
            qty_exp: about.qty_exp,
            instrument: about.instrument,
            instr_seq: about.instr_seq,
            source_seq: about.source_seq.unwrap_or(0),
            exchange_ts,
            recv_ts: arrival.recv_ts,
            ..Header::new(msg_type, channel, self.info.session, self.info.venue)
        }
    }

    fn session_flags(&self) -> u16 {
        let mut bits = if self.info.signer.is_some() { flags::AUTH } else { 0 };
        if self.info.replay {
            bits |= flags::REPLAY;
        }
        if self.info.test {
            bits |= flags::TEST;
        }
        if self.clock_error_ns != u32::MAX && self.clock_error_ns > CLOCK_BAD_NS {
            bits |= flags::CLOCK_BAD;
        }
        bits
    }

    fn heartbeat(&mut self, host: &mut dyn Host) {
        let root = self.beat(host, self.chain64);
        self.unnumbered(host, msg::HEARTBEAT, self.next_seq, &root, NO_RECORDS);
        self.counters.heartbeats += 1;
    }

    /// A heartbeat of its own, which carries the number that the manifest ends before: receivers take it as no news.
    fn tell_manifest(&mut self, host: &mut dyn Host, manifest: &Signed) {
        let root = self.beat(host, manifest.chain64);
        let record = wire::Manifest { signature: manifest.signature };
        self.unnumbered(host, msg::HEARTBEAT, manifest.next, &root, &[record]);
        self.counters.heartbeats += 1;
        self.counters.manifests += 1;
    }

    fn beat(&self, host: &mut dyn Host, chain64: u64) -> wire::Heartbeat {
        let repair = host.repair(self.info.channel, self.info.session);
        wire::Heartbeat {
            publisher_id: self.info.publisher_id,
            oldest_retx_seq: repair.oldest_seq.unwrap_or(self.next_seq),
            chain64,
            mono_ns: i64::try_from(host.mono_ns()).unwrap_or(i64::MAX),
            max_silence_us: u32::try_from(HEARTBEAT_EVERY_NS / 1_000).unwrap_or(u32::MAX),
            snapshot_cycle_ms: self.snapshot_cycle_ms,
            retx_ipv4: repair.ipv4,
            retx_udp_port: repair.udp_port,
            replay_tcp_port: repair.tcp_port,
            clock_err_ns: self.clock_error_ns,
            state: wire::publisher_state::LIVE,
            key_id: self.info.signer.map_or(0, |signer| signer.key_id),
            reserved: 0,
        }
    }

    fn session_end(&mut self, host: &mut dyn Host, ending: Ending) {
        let root = wire::SessionEnd {
            publisher_id: self.info.publisher_id,
            last_seq: self.next_seq - 1,
            chain64: self.chain64,
            reason: ending.reason,
            next_session: ending.next_session,
        };
        self.unnumbered(host, msg::SESSION_END, self.next_seq, &root, NO_RECORDS);
    }

    /// Un-numbered frames carry the next number and consume nothing; both times are the time of sending.
    fn unnumbered<T, R>(&mut self, host: &mut dyn Host, msg_type: u8, next_seq: u64, root: &T, records: &[R])
    where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        let arrival = Arrival { recv_ts: host.wall_ns(), mono_ns: host.mono_ns() };
        let mut header = self.header(msg_type, self.info.channel, next_seq, &About::channel(), arrival);
        header.flags &= !(flags::NO_EXCH_TS | flags::NO_SRC_SEQ);
        self.send(host, Plane::Incremental, &header, arrival, root, records);
    }

    /// Builds, seals and sends one frame; returns its CRC and the monotonic time of sealing.
    fn send<T, R>(
        &mut self,
        host: &mut dyn Host,
        plane: Plane,
        header: &Header,
        arrival: Arrival,
        root: &T,
        records: &[R],
    ) -> (u32, u64)
    where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        let frame = self.buf.build(header, root, records);
        let now_ns = host.mono_ns();
        let crc = wire::seal(frame, elapsed(arrival, now_ns), key(&self.info));
        host.send(plane, self.buf.frame());
        (crc, now_ns)
    }
}

/// What frames are signed with.
fn key(info: &SessionInfo) -> Option<&Key> {
    info.signer.as_ref().map(|signer| &signer.key)
}

fn elapsed(arrival: Arrival, now_ns: u64) -> u32 {
    u32::try_from(now_ns.saturating_sub(arrival.mono_ns)).unwrap_or(u32::MAX)
}
