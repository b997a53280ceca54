//! The bytes of a segment: a header of 64 bytes, then records without gaps. All little-endian.
//!
//! | offset | type | segment header |
//! |---|---|---|
//! | 0 | char\[8\] | `OCRLOG\r\n`: a transfer as text would show |
//! | 8 | u32 | version, 1 |
//! | 12 | u32 | bytes of this header, 64 |
//! | 16 | u64 | number of the segment, strictly increasing |
//! | 24 | i64 | created, UTC nanoseconds |
//! | 32 | char\[28\] | 0 |
//! | 60 | u32 | CRC32C of bytes 0–59 |
//!
//! | offset | type | record |
//! |---|---|---|
//! | 0 | u16 | bytes of the body |
//! | 2 | u8 | kind: 1 frame, 2 hole, 3 mark; 0 = nothing was written here yet |
//! | 3 | u8 | 0 |
//! | 4 | u32 | CRC32C of bytes 0–3, 8–15 and the body, begun with the segment's own CRC and the record's offset |
//! | 8 | i64 | UTC nanoseconds |
//! | 16 | | body |
//!
//! The CRC begins with where the record stands, so that a record in another place or of another segment (writes that were
//! swapped or misdirected, blocks that were used before) is as invalid as a damaged one.
//!
//! Bodies: a frame, exactly its bytes; a hole, `u8 channel ‖ char[3] 0 ‖ u32 session ‖ u64 first ‖ u64 last`; a mark, `u64`
//! offset up to which the segment was on the disk when it was written.

use outcrier_core::wire::{FRAME_BYTES_MAX, HEADER_BYTES};

/// Bytes before the first record.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes before the body of a record.
pub(crate) const RECORD_HEADER_BYTES: usize = 16;
/// Longest record.
pub(crate) const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + FRAME_BYTES_MAX;
/// Bytes of a hole with its header.
pub(crate) const HOLE_BYTES: usize = RECORD_HEADER_BYTES + HOLE_BODY;
/// Bytes of a mark with its header.
pub(crate) const MARK_BYTES: usize = RECORD_HEADER_BYTES + MARK_BODY;

const HOLE_BODY: usize = 24;
const MARK_BODY: usize = 8;
const MAGIC: [u8; 8] = *b"OCRLOG\r\n";
const VERSION: u32 = 1;
const HEADER_CRC_AT: usize = SEGMENT_HEADER_BYTES - 4;
const CRC_AT: usize = 4;
const STAMP_AT: usize = 8;

/// Frames that were published and are not in the log, because it could not be written fast enough or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Channel, 1–127.
    pub channel: u8,
    /// Session.
    pub session: u32,
    /// First number that is missing.
    pub first: u64,
    /// Last number that is missing.
    pub last: u64,
}

/// What opens a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) created_ns: i64,
    /// CRC of the header, with which those of the records begin.
    pub(crate) seed: u32,
}

impl SegmentHeader {
    /// The header as it stands on the disk, and what it says.
    pub(crate) fn encode(number: u64, created_ns: i64) -> ([u8; SEGMENT_HEADER_BYTES], Self) {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(SEGMENT_HEADER_BYTES as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&number.to_le_bytes());
        bytes[24..32].copy_from_slice(&created_ns.to_le_bytes());
        let seed = crc32c::crc32c(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&seed.to_le_bytes());
        (bytes, Self { number, created_ns, seed })
    }

    /// `None`: this is no header, or a damaged one, or one of a version that is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()?;
        let seed = u32_at(bytes, HEADER_CRC_AT);
        let whole = bytes[..8] == MAGIC
            && u32_at(bytes, 8) == VERSION
            && u32_at(bytes, 12) == SEGMENT_HEADER_BYTES as u32
            && crc32c::crc32c(&bytes[..HEADER_CRC_AT]) == seed;
        whole.then(|| Self { number: u64_at(bytes, 16), created_ns: u64_at(bytes, 24).cast_signed(), seed })
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Frame = 1,
    Hole = 2,
    Mark = 3,
}

impl Kind {
    /// The kind of a number, if a body of that length can be one.
    fn of(number: u8, body: usize) -> Option<Self> {
        match number {
            1 if (HEADER_BYTES..=FRAME_BYTES_MAX).contains(&body) => Some(Self::Frame),
            2 if body == HOLE_BODY => Some(Self::Hole),
            3 if body == MARK_BODY => Some(Self::Mark),
            _ => None,
        }
    }
}

/// A record whose CRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) wall_ns: i64,
    pub(crate) body: &'a [u8],
}

impl Record<'_> {
    /// Bytes in the segment.
    pub(crate) fn len(&self) -> usize {
        RECORD_HEADER_BYTES + self.body.len()
    }

    /// The hole that it tells of; the kind must be [`Kind::Hole`].
    pub(crate) fn hole(&self) -> Hole {
        let body = self.body;
        Hole { channel: body[0], session: u32_at(body, 4), first: u64_at(body, 8), last: u64_at(body, 16) }
    }

    /// The offset that it says is on the disk; the kind must be [`Kind::Mark`].
    pub(crate) fn synced_to(&self) -> u64 {
        u64_at(self.body, 0)
    }
}

/// Appends a record without its CRC, which depends on where it will stand.
pub(crate) fn push_frame(out: &mut Vec<u8>, wall_ns: i64, frame: &[u8]) {
    push_header(out, Kind::Frame, wall_ns, frame.len());
    out.extend_from_slice(frame);
}

/// As [`push_frame`].
pub(crate) fn push_hole(out: &mut Vec<u8>, wall_ns: i64, hole: &Hole) {
    push_header(out, Kind::Hole, wall_ns, HOLE_BODY);
    out.extend_from_slice(&[hole.channel, 0, 0, 0]);
    out.extend_from_slice(&hole.session.to_le_bytes());
    out.extend_from_slice(&hole.first.to_le_bytes());
    out.extend_from_slice(&hole.last.to_le_bytes());
}

/// As [`push_frame`].
pub(crate) fn push_mark(out: &mut Vec<u8>, wall_ns: i64, synced_to: u64) {
    push_header(out, Kind::Mark, wall_ns, MARK_BODY);
    out.extend_from_slice(&synced_to.to_le_bytes());
}

fn push_header(out: &mut Vec<u8>, kind: Kind, wall_ns: i64, body: usize) {
    debug_assert!(Kind::of(kind as u8, body).is_some(), "no {kind:?} has {body} bytes");
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..2].copy_from_slice(&(body as u16).to_le_bytes());
    header[2] = kind as u8;
    header[STAMP_AT..].copy_from_slice(&wall_ns.to_le_bytes());
    out.extend_from_slice(&header);
}

/// Bytes of the first record of `bytes`, which [`push_frame`] and its like have laid there.
pub(crate) fn laid_len(bytes: &[u8]) -> usize {
    RECORD_HEADER_BYTES + usize::from(u16_at(bytes, 0))
}

/// The first record of `bytes`, which [`push_frame`] and its like have laid there, without a look at its CRC.
pub(crate) fn laid(bytes: &[u8]) -> Record<'_> {
    let len = laid_len(bytes);
    let Some(kind) = Kind::of(bytes[2], len - RECORD_HEADER_BYTES) else {
        unreachable!("only whole records are laid into a group")
    };
    Record { kind, wall_ns: u64_at(bytes, STAMP_AT).cast_signed(), body: &bytes[RECORD_HEADER_BYTES..len] }
}

/// Fills the CRC of one record in, which will stand at `offset` of the segment of `seed`.
pub(crate) fn seal(record: &mut [u8], seed: u32, offset: u64) {
    let crc = crc(record, seed, offset);
    record[CRC_AT..STAMP_AT].copy_from_slice(&crc.to_le_bytes());
}

fn crc(record: &[u8], seed: u32, offset: u64) -> u32 {
    // A segment is shorter than 4 GiB (`SEGMENT_BYTES_MAX`), so nothing of the offset is lost.
    let begun = crc32c::crc32c_append(seed ^ offset as u32, &record[..CRC_AT]);
    crc32c::crc32c_append(begun, &record[STAMP_AT..])
}

/// What stands at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Record(Record<'a>),
    /// `bytes` end before the record does, or before its header does.
    Short,
    /// Zeros, or bytes that are no record.
    Invalid,
}

/// The record at the beginning of `bytes`, which stand at `offset` of the segment of `seed`.
pub(crate) fn decode(bytes: &[u8], seed: u32, offset: u64) -> Found<'_> {
    let Some(header) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else { return Found::Short };
    let body = usize::from(u16_at(header, 0));
    let Some(kind) = Kind::of(header[2], body).filter(|_| header[3] == 0) else { return Found::Invalid };
    let Some(record) = bytes.get(..RECORD_HEADER_BYTES + body) else { return Found::Short };
    if crc(record, seed, offset) != u32_at(header, CRC_AT) {
        return Found::Invalid;
    }
    Found::Record(Record {
        kind,
        wall_ns: u64_at(header, STAMP_AT).cast_signed(),
        body: &record[RECORD_HEADER_BYTES..],
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
