//! Counting what is on the wire, sans-I/O: per channel, plane and message type, without books and instruments.
//!
//! A [`Tally`] checks every datagram as a receiver does and then only counts it, so that a monitor keeps up with
//! whatever the machine can receive. Frames with REPLAY and TEST are counted like all others.

use std::ops::RangeInclusive;

use crate::receive::Line;
use crate::wire::{self, Frame, Header, Message, Refusal, flags, msg};

/// Numbers behind the highest one of which it is known whether they were seen; a later frame is only counted.
pub const NUMBERS_KEPT: u64 = 65_536;

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = (NUMBERS_KEPT / WORD_BITS) as usize;
const CHANNELS: usize = 1 << u8::BITS;
const TYPES: usize = 1 << u8::BITS;

/// Frames of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub frames: u64,
    /// Their bytes, padding not among them.
    pub bytes: u64,
    /// Messages of this kind inside PACKs, whose bytes are those of the PACKs.
    pub packed: u64,
    /// Receive stamp of the last one, nanoseconds since the epoch.
    pub last_ns: i64,
}

impl Count {
    fn add(&mut self, bytes: usize, rx_ns: i64) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.last_ns = rx_ns;
    }
}

/// What was heard of one plane of one channel. Sums go on over sessions.
#[derive(Clone, Debug)]
pub struct Stream {
    /// 1–127.
    pub channel: u8,
    /// The plane.
    pub line: Line,
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
    /// All frames.
    pub total: Count,
    /// Times numbers were found missing.
    pub gaps: u64,
    /// Numbers that are missing: neither here nor come later.
    pub missing: u64,
    /// Numbers that came after a higher one.
    pub late: u64,
    /// Numbers seen before.
    pub duplicates: u64,
    /// Numbers too far behind to know whether they were seen, and 0, which is none.
    pub too_old: u64,
    /// Frames of an older session than the highest heard.
    pub old_session: u64,
    types: Box<[Count; TYPES]>,
    /// First number heard in this session.
    first: u64,
    /// Highest number known to exist in this session.
    high: u64,
    /// One bit for each of the last [`NUMBERS_KEPT`] numbers.
    seen: Box<[u64; WORDS]>,
}

impl Stream {
    fn new(header: &Header) -> Self {
        let mut stream = Self {
            channel: header.channel_number(),
            line: if header.is_snapshot_plane() { Line::Snapshot } else { Line::A },
            venue: header.venue,
            session: 0,
            sessions: 0,
            replay: false,
            test: false,
            ended: false,
            total: Count::default(),
            gaps: 0,
            missing: 0,
            late: 0,
            duplicates: 0,
            too_old: 0,
            old_session: 0,
            types: Box::new([Count::default(); TYPES]),
            first: 0,
            high: 0,
            seen: Box::new([0; WORDS]),
        };
        stream.begin(header);
        stream
    }

    /// Type number and count of every type heard.
    pub fn types(&self) -> impl Iterator<Item = (u8, &Count)> {
        let types = RangeInclusive::new(0, u8::MAX).zip(self.types.iter());
        types.filter(|(_, count)| count.frames + count.packed > 0)
    }

    fn begin(&mut self, header: &Header) {
        self.session = header.session;
        self.sessions += 1;
        self.ended = false;
        self.first = header.channel_seq.max(1);
        self.high = self.first - 1;
        self.seen.fill(0);
    }

    fn take(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        let header = &frame.header;
        let bytes = header.frame_bytes();
        self.total.add(bytes, rx_ns);
        self.types[usize::from(header.msg_type)].add(bytes, rx_ns);
        if header.msg_type == msg::PACK {
            self.take_packed(frame, rx_ns);
        }
        self.venue = header.venue;
        self.replay = header.has(flags::REPLAY);
        self.test = header.has(flags::TEST);
        if header.session < self.session {
            self.old_session += 1;
            return;
        }
        if header.session > self.session {
            self.begin(header);
        }
        if wire::is_numbered(header.msg_type) {
            self.number(header.channel_seq);
        } else if matches!(header.msg_type, msg::HEARTBEAT | msg::SESSION_END) {
            // They carry the next number: those before it exist, also where the last ones were lost.
            self.reach(header.channel_seq.saturating_sub(1));
            self.ended |= header.msg_type == msg::SESSION_END;
        }
    }

    fn take_packed(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        if let Message::Pack(pack) = frame.message() {
            for packed in pack {
                let count = &mut self.types[usize::from(packed.header.msg_type)];
                count.packed += 1;
                count.last_ns = rx_ns;
            }
        }
    }

    fn number(&mut self, number: u64) {
        if number > self.high {
            self.reach(number - 1);
            self.high = number;
            self.mark(number);
        } else if number == 0 || self.high - number >= NUMBERS_KEPT {
            self.too_old += 1;
        } else if self.is_marked(number) {
            self.duplicates += 1;
        } else {
            self.mark(number);
            self.late += 1;
            // What was sent before the first number heard was not counted as missing.
            self.missing -= u64::from(number >= self.first);
        }
    }

    /// Numbers up to `number` exist.
    fn reach(&mut self, number: u64) {
        if number > self.high {
            self.gaps += 1;
            self.missing += number - self.high;
            self.forget(self.high + 1, number);
            self.high = number;
        }
    }

    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= NUMBERS_KEPT {
            self.seen.fill(0);
            return;
        }
        for number in from..=to {
            self.seen[word(number)] &= !bit(number);
        }
    }

    /// Sets the bit, which may still be that of the number [`NUMBERS_KEPT`] before: it is the same one.
    fn mark(&mut self, number: u64) {
        self.seen[word(number)] |= bit(number);
    }

    fn is_marked(&self, number: u64) -> bool {
        self.seen[word(number)] & bit(number) != 0
    }
}

fn word(number: u64) -> usize {
    (number % NUMBERS_KEPT / WORD_BITS) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % WORD_BITS)
}

/// What came by one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneCount {
    /// Datagrams handed in.
    pub datagrams: u64,
    /// Their bytes, padding included.
    pub bytes: u64,
    /// Bytes of padding behind frames.
    pub padding_bytes: u64,
    /// Frames of the other plane: counted here and nowhere else.
    pub wrong_plane: u64,
    /// Frames of types that this version does not know; counted by their number too.
    pub unknown_type: u64,
    /// Datagrams that are no frame of ours, by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
}

/// Sums of everything heard. Takes at most about 4 MB, whatever is sent.
#[derive(Debug)]
pub struct Tally {
    planes: [PlaneCount; Line::ALL.len()],
    /// By the header's `channel`, whose highest bit is the plane.
    streams: Vec<Option<Box<Stream>>>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { planes: Default::default(), streams: (0..CHANNELS).map(|_| None).collect() }
    }
}

impl Tally {
    /// Takes one datagram. `rx_ns` is the kernel's stamp, nanoseconds since the epoch.
    pub fn on_datagram(&mut self, line: Line, datagram: &[u8], rx_ns: i64) {
        let plane = &mut self.planes[line as usize];
        plane.datagrams += 1;
        plane.bytes += datagram.len() as u64;
        let frame = match wire::check(datagram) {
            Ok(frame) => frame,
            Err(refusal) => {
                plane.refused[refusal as usize] += 1;
                return;
            }
        };
        plane.padding_bytes += (datagram.len() - frame.bytes.len()) as u64;
        let header = &frame.header;
        if !line.carries(header.is_snapshot_plane()) {
            plane.wrong_plane += 1;
            return;
        }
        let is_unknown = wire::known_bytes(header.msg_type).is_none() && header.msg_type != msg::PACK;
        plane.unknown_type += u64::from(is_unknown);
        self.streams[usize::from(header.channel)]
            .get_or_insert_with(|| Box::new(Stream::new(header)))
            .take(&frame, rx_ns);
    }

    /// What came by the socket of a plane.
    #[must_use]
    pub fn plane(&self, line: Line) -> &PlaneCount {
        &self.planes[line as usize]
    }

    /// Every plane of every channel heard, the incremental ones first, by channel.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().flatten().map(Box::as_ref)
    }
}
