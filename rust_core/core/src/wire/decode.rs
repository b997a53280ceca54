//! Checking datagrams and reading frames. Nothing here allocates, and no bytes make it panic.

use std::fmt;
use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::header::Header;
use super::messages::{BookDelta, BookSnapshot, Message, known_bytes};
use super::{AUTH_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, SYNC, flags, frame_crc, msg, pack};
use crate::event::Level;

/// Why a datagram is not a frame of ours, in the order in which the causes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Shorter than a header.
    TooShort,
    /// Longer than [`FRAME_BYTES_MAX`].
    TooLong,
    /// Does not begin with magic and version.
    Sync,
    /// The frame is longer than the datagram.
    Length,
    /// Records do not fit the payload, or root or records are shorter than the type has them.
    Records,
    /// Header or sub-messages of a PACK are not as [`super::PackBuf`] would lay them out.
    Pack,
    /// A flag that changes how a frame must be read, and that this version does not know.
    CriticalFlags,
    /// Channel number 0.
    Channel,
    /// The CRC differs.
    Crc,
}

impl Refusal {
    /// Every cause, in order: `ALL[refusal as usize] == refusal`.
    pub const ALL: [Self; 9] = [
        Self::TooShort,
        Self::TooLong,
        Self::Sync,
        Self::Length,
        Self::Records,
        Self::Pack,
        Self::CriticalFlags,
        Self::Channel,
        Self::Crc,
    ];

    /// Name for counters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Sync => "sync",
            Self::Length => "length",
            Self::Records => "records",
            Self::Pack => "pack",
            Self::CriticalFlags => "critical_flags",
            Self::Channel => "channel",
            Self::Crc => "crc",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::error::Error for Refusal {}

/// A frame that passed [`check`], or a message of a PACK that did.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Header, payload and MAC trailer; no padding. Of a message in a PACK sub-header and payload.
    pub bytes: &'a [u8],
    /// The header, by copy. Of a message in a PACK the one that it would have alone.
    pub header: Header,
}

/// Checks a datagram, cheapest first; what follows the frame up to the end of the datagram is padding and never read.
///
/// The MAC of a frame with [`flags::AUTH`] is for [`super::auth::Keyring::verify`], which comes next where there are keys;
/// whether REPLAY and TEST are wanted, the session and the sequence are for the receiver to decide.
///
/// # Errors
///
/// The first cause that holds.
pub fn check(datagram: &[u8]) -> Result<Frame<'_>, Refusal> {
    if datagram.len() < HEADER_BYTES {
        return Err(Refusal::TooShort);
    }
    if datagram.len() > FRAME_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let Ok((header, _)) = Header::read_from_prefix(datagram) else {
        return Err(Refusal::TooShort);
    };
    if datagram[..SYNC.len()] != SYNC {
        return Err(Refusal::Sync);
    }
    let Some(bytes) = datagram.get(..header.frame_bytes()) else {
        return Err(Refusal::Length);
    };
    let mut bits = header.flags;
    if header.msg_type == msg::PACK {
        bits |= pack::check(&header, &bytes[HEADER_BYTES..][..usize::from(header.payload_len)])?;
    } else if !parts_fit(header.msg_type, header.payload_len.into(), header.count, header.rec_len) {
        return Err(Refusal::Records);
    }
    if bits & flags::CRITICAL != 0 {
        return Err(Refusal::CriticalFlags);
    }
    if header.channel_number() == 0 {
        return Err(Refusal::Channel);
    }
    if frame_crc(bytes, HEADER_BYTES + usize::from(header.payload_len)) != header.crc32c {
        return Err(Refusal::Crc);
    }
    Ok(Frame { bytes, header })
}

/// Whether the records fit the payload and root and records are at least as long as the type has them.
pub(super) fn parts_fit(msg_type: u8, payload_len: usize, count: u8, rec_len: u8) -> bool {
    let Some(root_len) = payload_len.checked_sub(usize::from(count) * usize::from(rec_len)) else {
        return false;
    };
    match known_bytes(msg_type) {
        None => true,
        Some((root, record)) => root_len >= root && (count == 0 || usize::from(rec_len) >= record),
    }
}

impl<'a> Frame<'a> {
    /// The bytes between header and trailer.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        let trailer = if self.header.has(flags::AUTH) { AUTH_BYTES } else { 0 };
        let end = self.bytes.len() - trailer;
        &self.bytes[end - usize::from(self.header.payload_len)..end]
    }

    /// The payload as the message that the type says.
    #[must_use]
    pub fn message(&self) -> Message<'a> {
        Message::read(self)
    }

    /// The known prefix of the root.
    pub(super) fn root<Root: FromBytes>(&self) -> Root {
        let (root, _) = self.payload().split_at(self.root_bytes());
        match Root::read_from_prefix(root) {
            Ok((root, _)) => root,
            Err(_) => unreachable!("check() refuses a frame whose root is shorter than its type has it"),
        }
    }

    /// The known prefixes of the records.
    pub(super) fn records<Record>(&self) -> Records<'a, Record> {
        Records {
            bytes: &self.payload()[self.root_bytes()..],
            left: self.header.count,
            rec_len: self.header.rec_len,
            record: PhantomData,
        }
    }

    fn root_bytes(&self) -> usize {
        usize::from(self.header.payload_len)
            - usize::from(self.header.count) * usize::from(self.header.rec_len)
    }
}

/// The records of a frame, read by copy as they are iterated; longer ones are read by their known prefix.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a, Record> {
    bytes: &'a [u8],
    left: u8,
    rec_len: u8,
    record: PhantomData<Record>,
}

impl<'a, Record> Records<'a, Record> {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The records as they lie in the frame, if each is as long as this version has it; `None` if they are longer.
    #[must_use]
    pub fn dense_bytes(&self) -> Option<&'a [u8]> {
        (usize::from(self.rec_len) == size_of::<Record>() || self.left == 0)
            .then(|| &self.bytes[..usize::from(self.left) * usize::from(self.rec_len)])
    }

    /// The first `first` records and the others; all of them first if there are fewer.
    #[must_use]
    pub fn split_at(self, first: u8) -> (Self, Self) {
        let first = first.min(self.left);
        let (head, tail) = self.bytes.split_at(usize::from(first) * usize::from(self.rec_len));
        (Self { bytes: head, left: first, ..self }, Self { bytes: tail, left: self.left - first, ..self })
    }
}

impl<Record: FromBytes + Immutable + KnownLayout> Iterator for Records<'_, Record> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.left == 0 {
            return None;
        }
        let (record, rest) = self.bytes.split_at(usize::from(self.rec_len));
        self.bytes = rest;
        self.left -= 1;
        match Record::read_from_prefix(record) {
            Ok((record, _)) => Some(record),
            Err(_) => {
                unreachable!("check() refuses a frame whose records are shorter than its type has them")
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl<Record: FromBytes + Immutable + KnownLayout> ExactSizeIterator for Records<'_, Record> {}

impl BookDelta {
    /// The records as bids and asks.
    #[must_use]
    pub fn sides<'a>(&self, records: Records<'a, Level>) -> (Records<'a, Level>, Records<'a, Level>) {
        records.split_at(self.n_bids)
    }
}

impl BookSnapshot {
    /// The records of this fragment, levels or orders, as bids and asks.
    #[must_use]
    pub fn sides<'a, R>(&self, records: Records<'a, R>) -> (Records<'a, R>, Records<'a, R>) {
        records.split_at(self.n_bids)
    }
}
