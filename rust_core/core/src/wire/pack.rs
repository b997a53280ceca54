//! PACK (0x30): several numbered messages of the incremental plane in one frame, each with a sub-header of its own.
//!
//! [`PackBuf`] lays one out; [`super::check`] refuses a frame whose sub-messages do not fit it exactly; [`Pack`] gives
//! each sub-message as the frame that it would have been alone. Rules: `docs/wire-format.md`, "0x30 PACK".

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::decode::{Frame, Refusal, parts_fit};
use super::header::Header;
use super::layout::wire_struct;
use super::{AUTH_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, flags, msg};

wire_struct! {
    /// What stands before each message of a PACK. Everything that is not here is in the header of the frame.
    #[repr(C)]
    pub struct SubHeader, 32 {
        /// Bytes of sub-header, payload and padding; a multiple of 8.
        0 len: u16,
        /// One of those allowed, or a type of a later version.
        2 msg_type: u8,
        /// As in the header of a frame.
        3 rec_len: u8,
        /// Bits of [`flags`] but those in [`SHARED_FLAGS`].
        4 flags: u16,
        /// As in the header of a frame.
        6 count: u8,
        /// As in the header of a frame.
        7 price_exp: i8,
        /// As in the header of a frame.
        8 instrument: u32,
        /// As in the header of a frame.
        12 instr_seq: u32,
        /// As in the header of a frame.
        16 source_seq: u64,
        /// Exchange time less that of the header, in nanoseconds.
        24 exch_off_ns: i32,
        /// Receive time less that of the header, in microseconds, rounded down.
        28 recv_off_us: u16,
        /// As in the header of a frame.
        30 qty_exp: i8,
        /// Bytes of padding at the end, at most 7.
        31 pad: u8,
    }
}

/// Bytes of a sub-header.
pub const SUB_HEADER_BYTES: usize = size_of::<SubHeader>();
/// Flags that stand in the header of a PACK and hold for every message in it; all others stand in the sub-headers.
pub const SHARED_FLAGS: u16 = flags::AUTH | flags::REPLAY | flags::TEST | flags::CLOCK_BAD;
/// Longest payload of a message that goes into a PACK without a MAC.
pub const PACKED_PAYLOAD_MAX: usize = FRAME_BYTES_MAX - FIRST_PAYLOAD;

/// Flags that may not stand in the header of a PACK: they say something about one message.
const OWN_FLAGS: u16 = flags::EVENT_END
    | flags::NO_EXCH_TS
    | flags::NO_SRC_SEQ
    | flags::SRC_GAP
    | flags::RESET
    | flags::CONFLATED
    | flags::CROSSED
    | flags::SUSPECT;
/// Sub-messages begin at multiples of this.
const ALIGN: usize = 8;
/// Where the payload of the first message lies in a frame.
const FIRST_PAYLOAD: usize = HEADER_BYTES + SUB_HEADER_BYTES;

/// Whether a type stands in the list of those that a PACK may carry; `None` for a type of a later version, which is
/// skipped as it would be alone.
fn is_allowed(msg_type: u8) -> Option<bool> {
    match msg_type {
        0x04 | 0x05 | 0x10 | 0x12..=0x14 | 0x18 | 0x20 | 0x28..=0x2A => Some(true),
        0x01..=0x03 | 0x11 | 0x19 | 0x21 | 0x30 | 0x40..=0x42 => Some(false),
        _ => None,
    }
}

/// Why a message cannot join a PACK. The first one joins if its type and length allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A type that no PACK carries, or a frame of the snapshot plane.
    Type,
    /// Another channel, venue, session, number or shared flag than the messages before it.
    Header,
    /// Times too far from those of the first message, or received before it.
    Time,
    /// The frame would be too long.
    Room,
}

/// Room for one PACK, used again for the next one. A PACK of one message leaves as an ordinary frame.
#[derive(Clone, Debug)]
pub struct PackBuf {
    /// A frame; the payload of its first message lies where that of an ordinary frame whose header begins at
    /// [`SUB_HEADER_BYTES`] would.
    bytes: [u8; FRAME_BYTES_MAX],
    /// Header of the first message as it would be alone.
    first: Header,
    end: usize,
    count: u8,
}

impl Default for PackBuf {
    fn default() -> Self {
        Self {
            bytes: [0; FRAME_BYTES_MAX],
            first: Header::new(msg::PACK, 0, 0, 0),
            end: HEADER_BYTES,
            count: 0,
        }
    }
}

impl PackBuf {
    /// Messages so far.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Adds a message. `header` is the one that it would have alone; `payload_len`, `count` and `rec_len` are filled in.
    ///
    /// # Errors
    ///
    /// Why it has to go into another frame; nothing is changed.
    ///
    /// # Panics
    ///
    /// If there are more than 255 records.
    pub fn push<Root, Record>(
        &mut self,
        header: &Header,
        root: &Root,
        records: &[Record],
    ) -> Result<(), Unfit>
    where
        Root: IntoBytes + Immutable,
        Record: IntoBytes + Immutable,
    {
        let (root, record_bytes) = (root.as_bytes(), records.as_bytes());
        let payload_len = root.len() + record_bytes.len();
        let len = (SUB_HEADER_BYTES + payload_len).next_multiple_of(ALIGN);
        if is_allowed(header.msg_type) != Some(true) || header.is_snapshot_plane() {
            return Err(Unfit::Type);
        }
        if payload_len > PACKED_PAYLOAD_MAX || self.end + len > FRAME_BYTES_MAX - trailer(header) {
            return Err(Unfit::Room);
        }
        let first = if self.count == 0 { header } else { &self.first };
        if !shares_header(first, header) {
            return Err(Unfit::Header);
        }
        let (exch_off_ns, recv_off_us) = offsets(first, header).ok_or(Unfit::Time)?;
        let record_size = if records.is_empty() { 0 } else { size_of::<Record>() };
        let mut header = *header;
        header.payload_len = small(payload_len);
        header.count = u8::try_from(records.len()).expect("at most 255 records a message");
        header.rec_len = u8::try_from(record_size).expect("records are at most 255 bytes");
        if self.count == 0 {
            self.first = header;
        }
        let sub = SubHeader {
            len: small(len),
            msg_type: header.msg_type,
            rec_len: header.rec_len,
            flags: header.flags & !SHARED_FLAGS,
            count: header.count,
            price_exp: header.price_exp,
            instrument: header.instrument,
            instr_seq: header.instr_seq,
            source_seq: header.source_seq,
            exch_off_ns,
            recv_off_us,
            qty_exp: header.qty_exp,
            pad: u8::try_from(len - SUB_HEADER_BYTES - payload_len).expect("less than ALIGN"),
        };
        let (head, payload) = self.bytes[self.end..][..len].split_at_mut(SUB_HEADER_BYTES);
        head.copy_from_slice(sub.as_bytes());
        payload[..root.len()].copy_from_slice(root);
        payload[root.len()..payload_len].copy_from_slice(record_bytes);
        payload[payload_len..].fill(0);
        self.end += len;
        self.count += 1;
        Ok(())
    }

    /// The frame, which [`super::seal`] finishes, and an empty buffer for the next; `None` if there is no message.
    pub fn close(&mut self) -> Option<&mut [u8]> {
        let (count, end) = (self.count, self.end);
        (self.count, self.end) = (0, HEADER_BYTES);
        if count == 0 {
            return None;
        }
        let first = self.first;
        let (start, header) = if count == 1 {
            (SUB_HEADER_BYTES, first)
        } else {
            let pack = Header {
                flags: first.flags & SHARED_FLAGS,
                payload_len: small(end - HEADER_BYTES),
                count,
                channel_seq: first.channel_seq,
                exchange_ts: first.exchange_ts,
                recv_ts: first.recv_ts,
                ..Header::new(msg::PACK, first.channel, first.session, first.venue)
            };
            (0, pack)
        };
        let frame = &mut self.bytes[start..][..header.frame_bytes()];
        frame[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        Some(frame)
    }
}

/// Bytes that a frame with these flags has behind its payload.
fn trailer(header: &Header) -> usize {
    if header.has(flags::AUTH) { AUTH_BYTES } else { 0 }
}

/// Whether two messages have everything in common that a PACK says once.
fn shares_header(first: &Header, next: &Header) -> bool {
    let said_once = |header: &Header| {
        (header.channel, header.venue, header.session, header.channel_seq, header.flags & SHARED_FLAGS)
    };
    said_once(first) == said_once(next)
}

/// (`exch_off_ns`, `recv_off_us`) of a message; `None` if they do not fit. A copied receive time is rounded like the
/// receive time, so that it stays a copy.
fn offsets(first: &Header, next: &Header) -> Option<(i32, u16)> {
    let (first_recv_ts, recv_ts) = (first.recv_ts, next.recv_ts);
    let late_ns = u64::try_from(recv_ts.checked_sub(first_recv_ts)?).ok()?;
    let recv_off_us = u16::try_from(late_ns / 1_000).ok()?;
    let exchange_ts = if next.has(flags::NO_EXCH_TS) {
        first_recv_ts.checked_add(i64::from(recv_off_us) * 1_000)?
    } else {
        next.exchange_ts
    };
    let exch_off_ns = i32::try_from(exchange_ts.checked_sub(first.exchange_ts)?).ok()?;
    Some((exch_off_ns, recv_off_us))
}

/// A length within a frame.
fn small(len: usize) -> u16 {
    u16::try_from(len).expect("FRAME_BYTES_MAX fits u16")
}

/// Whether header and sub-messages are those of a PACK; gives the flags of all sub-messages together.
pub(super) fn check(header: &Header, payload: &[u8]) -> Result<u16, Refusal> {
    let said = (header.instrument, header.instr_seq, header.source_seq, header.price_exp, header.qty_exp);
    if said != (0, 0, 0, 0, 0)
        || header.rec_len != 0
        || header.flags & OWN_FLAGS != 0
        || header.is_snapshot_plane()
    {
        return Err(Refusal::Pack);
    }
    let mut rest = payload;
    let mut bits = 0;
    for _ in 0..header.count {
        let (sub, after) = split(rest).ok_or(Refusal::Pack)?;
        let fits = sub.flags & SHARED_FLAGS == 0
            && is_allowed(sub.msg_type) != Some(false)
            && parts_fit(sub.msg_type, payload_bytes(&sub), sub.count, sub.rec_len);
        if !fits {
            return Err(Refusal::Pack);
        }
        bits |= sub.flags;
        rest = after;
    }
    if rest.is_empty() { Ok(bits) } else { Err(Refusal::Pack) }
}

/// The sub-header at the start of `bytes` and what follows its message; `None` if its lengths do not fit.
fn split(bytes: &[u8]) -> Option<(SubHeader, &[u8])> {
    let (sub, _) = SubHeader::read_from_prefix(bytes).ok()?;
    let len = usize::from(sub.len);
    let pad = usize::from(sub.pad);
    if !len.is_multiple_of(ALIGN) || pad >= ALIGN || len < SUB_HEADER_BYTES + pad {
        return None;
    }
    Some((sub, bytes.get(len..)?))
}

/// Bytes of the message's payload, given lengths that fit.
fn payload_bytes(sub: &SubHeader) -> usize {
    usize::from(sub.len) - SUB_HEADER_BYTES - usize::from(sub.pad)
}

/// The sub-messages of a checked PACK, each as the frame that it would have been alone: with the header's
/// `channel_seq`, `session`, `venue`, `crc32c` and shared flags but AUTH, because no trailer follows it, and with a
/// `proc_ns` that gives the same time of sending.
#[derive(Clone, Copy, Debug)]
pub struct Pack<'a> {
    header: Header,
    bytes: &'a [u8],
    left: u8,
}

impl<'a> Pack<'a> {
    /// The messages of a checked PACK.
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        Self { header: frame.header, bytes: frame.payload(), left: frame.header.count }
    }

    /// The sub-headers as they lie on the wire.
    pub(super) fn sub_headers(self) -> impl Iterator<Item = SubHeader> {
        let mut rest = self.bytes;
        (0..self.left).map_while(move |_| {
            let (sub, after) = split(rest)?;
            rest = after;
            Some(sub)
        })
    }
}

impl<'a> Iterator for Pack<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.left == 0 {
            return None;
        }
        let Some((sub, rest)) = split(self.bytes) else {
            unreachable!("check() refuses a PACK whose sub-messages do not fit it");
        };
        let bytes = &self.bytes[..SUB_HEADER_BYTES + payload_bytes(&sub)];
        self.bytes = rest;
        self.left -= 1;
        Some(Frame { bytes, header: derived(&self.header, &sub) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Pack<'_> {}

/// The header that a sub-message would have alone. Sums that no i64 holds saturate.
fn derived(header: &Header, sub: &SubHeader) -> Header {
    let recv_off_ns = u32::from(sub.recv_off_us) * 1_000;
    // A saturated time says "longer than this" and stays so.
    let proc_ns =
        if header.proc_ns == u32::MAX { u32::MAX } else { header.proc_ns.saturating_sub(recv_off_ns) };
    Header {
        msg_type: sub.msg_type,
        rec_len: sub.rec_len,
        flags: sub.flags | header.flags & !flags::AUTH,
        payload_len: small(payload_bytes(sub)),
        count: sub.count,
        price_exp: sub.price_exp,
        qty_exp: sub.qty_exp,
        instrument: sub.instrument,
        instr_seq: sub.instr_seq,
        source_seq: sub.source_seq,
        exchange_ts: header.exchange_ts.saturating_add(i64::from(sub.exch_off_ns)),
        recv_ts: header.recv_ts.saturating_add(i64::from(recv_off_ns)),
        proc_ns,
        ..*header
    }
}
