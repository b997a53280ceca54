//! Counting what is on the wire, sans-I/O: per channel, plane, line, message type and instrument, without books.
//!
//! A [`Tally`] checks every datagram as a receiver does and then only counts it, so that a monitor keeps up with
//! whatever the machine can receive. Frames with REPLAY and TEST are counted like all others.

mod gaps;
mod histogram;
mod instruments;
mod numbers;
mod stream;
mod texts;
mod told;

pub use self::gaps::{GAPS_KEPT, Gap, Gaps};
pub use self::histogram::Histogram;
pub use self::instruments::{CHANGES_KEPT, Change, INSTRUMENTS_MAX, Instrument, Instruments, SAMPLE_MAX};
pub use self::numbers::{NUMBERS_KEPT, Numbers};
pub use self::stream::{COPIES_KEPT, Heard, Hops, Stream};
pub use self::texts::{LINE_BYTES_MAX, LINES_KEPT, TextLine, Texts};
pub use self::told::{Saying, TOLD_KEPT, Tellings, Told};

use crate::receive::Line;
use crate::wire::{self, Refusal, msg};

const CHANNELS: usize = 1 << u8::BITS;
const LINES: usize = Line::ALL.len();

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

/// What came by one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCount {
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

/// Sums of everything heard. Takes at most about 90 MB, whatever is sent; about 0.3 MB for a channel on two lines.
#[derive(Debug)]
pub struct Tally {
    lines: [LineCount; LINES],
    /// By the header's `channel`, whose highest bit is the plane.
    streams: Vec<Option<Box<Stream>>>,
    gaps: Gaps,
    instruments: Instruments,
    /// Lines of the text group.
    pub texts: Texts,
    /// What publishers say of themselves.
    pub tellings: Tellings,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            lines: Default::default(),
            streams: (0..CHANNELS).map(|_| None).collect(),
            gaps: Gaps::default(),
            instruments: Instruments::default(),
            texts: Texts::default(),
            tellings: Tellings::default(),
        }
    }
}

impl Tally {
    /// Takes one datagram. `rx_ns` is the kernel's stamp, nanoseconds since the epoch.
    pub fn on_datagram(&mut self, line: Line, datagram: &[u8], rx_ns: i64) {
        let count = &mut self.lines[line as usize];
        count.datagrams += 1;
        count.bytes += datagram.len() as u64;
        let frame = match wire::check(datagram) {
            Ok(frame) => frame,
            Err(refusal) => {
                count.refused[refusal as usize] += 1;
                return;
            }
        };
        count.padding_bytes += (datagram.len() - frame.bytes.len()) as u64;
        let header = &frame.header;
        let is_snapshot = header.is_snapshot_plane();
        if !line.carries(is_snapshot) {
            count.wrong_plane += 1;
            return;
        }
        let is_unknown = wire::known_bytes(header.msg_type).is_none() && header.msg_type != msg::PACK;
        count.unknown_type += u64::from(is_unknown);
        let is_new = self.streams[usize::from(header.channel)]
            .get_or_insert_with(|| Box::new(Stream::new(header)))
            .take(line, &frame, rx_ns, &mut self.gaps);
        match (is_new, is_snapshot) {
            (true, false) => {
                self.instruments.take(&frame, rx_ns);
                self.tellings.take_frame(&frame, rx_ns);
            }
            (true, true) => self.instruments.describe(&frame, rx_ns),
            (false, _) => {}
        }
    }

    /// What came by the socket of a line.
    #[must_use]
    pub fn line(&self, line: Line) -> &LineCount {
        &self.lines[line as usize]
    }

    /// Every plane of every channel heard, the incremental ones first, by channel.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().flatten().map(Box::as_ref)
    }

    /// The last gaps of all channels.
    #[must_use]
    pub fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// Every instrument heard.
    #[must_use]
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Those that the running sessions speak of: an instrument that the newest session of its channel does not have is
    /// none of it.
    pub fn standing(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter().filter(|each| {
            let stream = self.streams[usize::from(each.channel)].as_ref();
            stream.is_none_or(|stream| stream.session == each.session)
        })
    }

    /// Every instrument heard, to take a sample of them.
    pub fn instruments_mut(&mut self) -> &mut Instruments {
        &mut self.instruments
    }
}
