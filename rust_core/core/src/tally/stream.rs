//! One plane of one channel: what each line brought of it, and what is left after arbitration.

use std::ops::RangeInclusive;

use super::gaps::Gaps;
use super::histogram::Histogram;
use super::numbers::{Arrival, Numbers};
use super::{Count, LINES};
use crate::receive::Line;
use crate::wire::{self, CHANNEL_SNAPSHOT, Frame, Header, Heartbeat, Message, flags, msg};

const TYPES: usize = 1 << u8::BITS;

/// Numbers whose first copy is remembered, to compare the second one: sockets are read in turns, and one turn is
/// shorter than this.
pub const COPIES_KEPT: usize = 8_192;

/// What one line brought of a stream.
#[derive(Clone, Debug)]
pub struct Heard {
    /// All its frames, copies too.
    pub total: Count,
    /// Its numbers alone. Those of the repair group have holes by nature.
    pub numbers: Numbers,
    /// Numbers that this line brought and no other had.
    pub filled: u64,
    /// Numbers that came by this line earlier than by another one, by the kernel's stamps.
    pub earlier: u64,
    /// Frames of an older session than the highest heard by it.
    pub old_session: u64,
    session: u32,
}

/// First copy of a number.
#[derive(Clone, Copy, Debug)]
struct Copy {
    number: u64,
    rx_ns: i64,
    crc32c: u32,
    line: Line,
}

/// Durations of the hops of one channel.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    /// From the exchange's time to the publisher's receipt. Not of frames without a time of the exchange.
    pub exchange_to_recv: Histogram,
    /// From receipt to sealing, by the publisher's monotonic clock.
    pub recv_to_send: Histogram,
    /// From sealing to this host's kernel. Not of REPLAY, whose times are long past.
    pub send_to_kernel: Histogram,
}

/// What was heard of one plane of one channel. Sums go on over sessions.
#[derive(Clone, Debug)]
pub struct Stream {
    /// 1–127.
    pub channel: u8,
    /// Whether it is the snapshot plane.
    pub is_snapshot: bool,
    /// Venue of the frame heard last.
    pub venue: u16,
    /// The highest session heard.
    pub session: u32,
    /// Sessions heard, this one included.
    pub sessions: u64,
    /// Whether the frame heard last has REPLAY.
    pub replay: bool,
    /// Whether the frame heard last has TEST.
    pub test: bool,
    /// Whether the session said its end.
    pub ended: bool,
    /// Whether two publishers spoke in this session.
    pub split: bool,
    /// Copies whose bytes differ from the first one's: two publishers, or worse.
    pub differing: u64,
    /// Frames of this session, each number and each heartbeat once.
    pub total: Count,
    /// Numbers after arbitration: `missing` is what no line brought.
    pub numbers: Numbers,
    /// The newest heartbeat of this session.
    pub heartbeat: Option<Heartbeat>,
    /// Durations; of the incremental plane only.
    pub hops: Hops,
    heard: [Option<Box<Heard>>; LINES],
    copies: Option<Box<[Option<Copy>]>>,
    types: Box<[Count; TYPES]>,
}

impl Stream {
    pub(super) fn new(header: &Header) -> Self {
        let mut stream = Self {
            channel: header.channel_number(),
            is_snapshot: header.is_snapshot_plane(),
            venue: header.venue,
            session: 0,
            sessions: 0,
            replay: false,
            test: false,
            ended: false,
            split: false,
            differing: 0,
            total: Count::default(),
            numbers: Numbers::new(1),
            heartbeat: None,
            hops: Hops::default(),
            heard: [const { None }; LINES],
            copies: None,
            types: Box::new([Count::default(); TYPES]),
        };
        stream.begin(header);
        stream
    }

    /// Type number and count of every type heard.
    pub fn types(&self) -> impl Iterator<Item = (u8, &Count)> {
        let types = RangeInclusive::new(0, u8::MAX).zip(self.types.iter());
        types.filter(|(_, count)| count.frames + count.packed > 0)
    }

    /// What one line brought; `None` if nothing.
    #[must_use]
    pub fn heard(&self, line: Line) -> Option<&Heard> {
        self.heard[line as usize].as_deref()
    }

    /// Frames of older sessions, of all lines.
    #[must_use]
    pub fn old_session(&self) -> u64 {
        self.heard.iter().flatten().map(|heard| heard.old_session).sum()
    }

    fn begin(&mut self, header: &Header) {
        self.session = header.session;
        self.sessions += 1;
        self.ended = false;
        self.split = false;
        self.heartbeat = None;
        self.numbers.begin(header.channel_seq);
        if let Some(copies) = &mut self.copies {
            copies.fill(None);
        }
    }

    /// Whether the frame is none that came before, and of this session.
    pub(super) fn take(&mut self, line: Line, frame: &Frame<'_>, rx_ns: i64, gaps: &mut Gaps) -> bool {
        let header = &frame.header;
        self.venue = header.venue;
        self.replay = header.has(flags::REPLAY);
        self.test = header.has(flags::TEST);
        if !self.hear(line, header, rx_ns) {
            return false;
        }
        if header.session > self.session {
            self.begin(header);
        }
        let is_new = if wire::is_numbered(header.msg_type) {
            self.number(line, header, rx_ns, gaps)
        } else {
            self.unnumbered(frame, rx_ns, gaps)
        };
        if is_new {
            self.count(frame, rx_ns);
        }
        is_new
    }

    /// Follows the numbers of one line alone; `false` if the frame's session is over.
    fn hear(&mut self, line: Line, header: &Header, rx_ns: i64) -> bool {
        let heard = self.heard[line as usize].get_or_insert_with(|| {
            Box::new(Heard {
                total: Count::default(),
                numbers: Numbers::new(header.channel_seq),
                filled: 0,
                earlier: 0,
                old_session: 0,
                session: header.session,
            })
        });
        heard.total.add(header.frame_bytes(), rx_ns);
        if header.session < heard.session.max(self.session) {
            heard.old_session += 1;
            return false;
        }
        if header.session > heard.session {
            heard.session = header.session;
            heard.numbers.begin(header.channel_seq);
        }
        if wire::is_numbered(header.msg_type) {
            heard.numbers.number(header.channel_seq);
        } else if tells_the_next_number(header.msg_type) {
            heard.numbers.reach(header.channel_seq.saturating_sub(1));
        }
        true
    }

    fn number(&mut self, line: Line, header: &Header, rx_ns: i64, gaps: &mut Gaps) -> bool {
        let number = header.channel_seq;
        match self.numbers.number(number) {
            Arrival::Higher(gap) => self.open(gap, rx_ns, gaps),
            Arrival::Late => {
                if let Some(heard) = &mut self.heard[line as usize] {
                    heard.filled += 1;
                }
                gaps.fill(self.wire_channel(), self.session, number, line, rx_ns);
            }
            Arrival::Before => {}
            Arrival::Duplicate => {
                self.compare(line, header, rx_ns);
                return false;
            }
            Arrival::TooOld => return false,
        }
        if line != Line::A && self.copies.is_none() {
            self.copies = Some(vec![None; COPIES_KEPT].into_boxed_slice());
        }
        if let Some(copies) = &mut self.copies {
            copies[slot(number)] = Some(Copy { number, rx_ns, crc32c: header.crc32c, line });
        }
        true
    }

    /// The second copy of a number tells which line was the earlier one.
    fn compare(&mut self, line: Line, header: &Header, rx_ns: i64) {
        if self.copies.is_none() && line != Line::A {
            self.copies = Some(vec![None; COPIES_KEPT].into_boxed_slice());
        }
        let Some(entry) = self.copies.as_mut().map(|copies| &mut copies[slot(header.channel_seq)]) else {
            return;
        };
        let Some(copy) = entry.filter(|copy| copy.number == header.channel_seq) else { return };
        self.differing += u64::from(copy.crc32c != header.crc32c);
        if copy.line == line {
            return;
        }
        let earlier = if rx_ns < copy.rx_ns { line } else { copy.line };
        if let Some(heard) = &mut self.heard[earlier as usize] {
            heard.earlier += 1;
        }
        // A third copy, by the repair group, is not compared once more.
        *entry = None;
    }

    /// Heartbeats are copied too: one is new if its clock is.
    fn unnumbered(&mut self, frame: &Frame<'_>, rx_ns: i64, gaps: &mut Gaps) -> bool {
        let header = &frame.header;
        if tells_the_next_number(header.msg_type) {
            // Those before it exist, also where the last ones were lost.
            let gap = self.numbers.reach(header.channel_seq.saturating_sub(1));
            self.open(gap, rx_ns, gaps);
        }
        self.ended |= header.msg_type == msg::SESSION_END;
        let Message::Heartbeat(heartbeat, _) = frame.message() else { return true };
        let is_first = self.heartbeat.is_none_or(|before| {
            self.split |= before.publisher_id != heartbeat.publisher_id;
            heartbeat.mono_ns > before.mono_ns
        });
        if is_first {
            self.heartbeat = Some(heartbeat);
        }
        is_first
    }

    fn open(&self, gap: Option<(u64, u64)>, rx_ns: i64, gaps: &mut Gaps) {
        if let Some((first, count)) = gap {
            gaps.open(self.wire_channel(), self.session, first, count, rx_ns);
        }
    }

    /// Channel and plane in one, as the header has it.
    fn wire_channel(&self) -> u8 {
        self.channel | if self.is_snapshot { CHANNEL_SNAPSHOT } else { 0 }
    }

    fn count(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        let header = &frame.header;
        let bytes = header.frame_bytes();
        self.total.add(bytes, rx_ns);
        self.types[usize::from(header.msg_type)].add(bytes, rx_ns);
        if let Message::Pack(pack) = frame.message() {
            for packed in pack {
                let count = &mut self.types[usize::from(packed.header.msg_type)];
                count.packed += 1;
                count.last_ns = rx_ns;
                self.measure(&packed.header, rx_ns);
            }
        } else {
            self.measure(header, rx_ns);
        }
    }

    fn measure(&mut self, header: &Header, rx_ns: i64) {
        if self.is_snapshot || header.instrument == 0 {
            return;
        }
        let (recv_ts, proc_ns) = (header.recv_ts, i64::from(header.proc_ns));
        if !header.has(flags::NO_EXCH_TS) {
            self.hops.exchange_to_recv.add(recv_ts.saturating_sub(header.exchange_ts));
        }
        self.hops.recv_to_send.add(proc_ns);
        if !header.has(flags::REPLAY) {
            self.hops.send_to_kernel.add(rx_ns.saturating_sub(recv_ts.saturating_add(proc_ns)));
        }
    }
}

fn tells_the_next_number(msg_type: u8) -> bool {
    matches!(msg_type, msg::HEARTBEAT | msg::SESSION_END)
}

fn slot(number: u64) -> usize {
    (number % COPIES_KEPT as u64) as usize
}
