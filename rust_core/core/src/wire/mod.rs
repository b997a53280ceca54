//! The binary wire format, version 1, as `docs/wire-format.md` specifies it.
//!
//! A frame is a [`Header`] of 66 bytes, a root, and a number of equal records; a PACK is a header and several messages. A
//! sender lays a frame out with [`FrameBuf::build`], a PACK with [`PackBuf::push`], and finishes both with [`seal`]; a
//! receiver passes a datagram to [`check`] and reads [`Frame::message`]. Both ends are pure, never allocate and keep
//! nothing but the frame at hand: numbers and recovery are the business of [`crate::publish`] and [`crate::receive`].
//!
//! ```
//! use outcrier_core::event::Trade;
//! use outcrier_core::wire::{self, FrameBuf, Header, Message, NO_ROOT, flags, msg};
//!
//! let trade = Trade { price: 6_183_763, qty: 12, trade_id: 7, n_fills: 1, ..Trade::default() };
//! let header = Header { flags: flags::EVENT_END, channel_seq: 9, ..Header::new(msg::TRADE, 1, 90_000_001, 1) };
//! let mut buffer = FrameBuf::default();
//! let frame = buffer.build(&header, &NO_ROOT, &[trade]);
//! wire::seal(frame, 1_500, None);
//!
//! let frame = wire::check(buffer.frame()).unwrap();
//! let Message::Trade(mut trades) = frame.message() else { panic!("a trade was sent") };
//! assert_eq!(trades.next(), Some(trade));
//! ```

pub mod auth;
mod codes;
mod decode;
pub mod digest;
mod encode;
mod header;
mod layout;
pub mod manifest;
mod messages;
mod pack;
mod records;
mod text;

pub use codes::{
    CLOCK_ERROR_UNKNOWN, book_proof, checksum_kind, flags, kind, option_type, publisher_state, qty_unit,
    retx_code, snap_kinds, start_reason, status,
};
pub use decode::{Frame, Records, Refusal, check};
pub use encode::{FrameBuf, NO_RECORDS, NO_ROOT, seal, zeroed};
pub use header::{CHANNEL_NUMBER, CHANNEL_SNAPSHOT, Header};
pub use layout::{Field, FieldLayout, Layout, PartLayout, Value, Values};
pub use messages::{
    BookDelta, BookSnapshot, Conn, CycleEnd, Described, Heartbeat, InstrumentDef, Manifest, Message,
    OrderOps, RetxRange, RetxReply, RetxRequest, SessionEnd, SessionStart, SnapRequest, SnapWant, Status,
    describe, known_bytes, layouts, msg, name,
};
pub use pack::{PACKED_PAYLOAD_MAX, Pack, PackBuf, SHARED_FLAGS, SUB_HEADER_BYTES, SubHeader, Unfit};
pub use text::{NATIVE_SYMBOL_BYTES, split_native_symbol, text_field, text_of};

use crate::event::Level;

/// First byte of every frame: never legal in UTF-8, so a text line and a frame cannot be confused.
pub const MAGIC: u8 = 0xFB;
/// Major version, the second byte.
pub const VERSION: u8 = 1;
const SYNC: [u8; 2] = [MAGIC, VERSION];
/// Bytes of the header.
pub const HEADER_BYTES: usize = size_of::<Header>();
/// Longest frame and longest datagram: leaves room for VXLAN or WireGuard over IPv4 on an Ethernet of 1,500.
pub const FRAME_BYTES_MAX: usize = 1_400;
/// Longest payload of a frame without a MAC; see [`payload_max`].
pub const PAYLOAD_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
/// Bytes of the MAC trailer that [`flags::AUTH`] announces.
pub const AUTH_BYTES: usize = 8;

const FLAGS_OFFSET: usize = std::mem::offset_of!(Header, flags);
const PROC_NS_OFFSET: usize = std::mem::offset_of!(Header, proc_ns);
const CRC_OFFSET: usize = std::mem::offset_of!(Header, crc32c);

/// Whether frames of a type consume a `channel_seq` and, on the incremental plane and with an instrument, an
/// `instr_seq`. Holds for types of later versions too.
#[must_use]
pub fn is_numbered(msg_type: u8) -> bool {
    msg_type <= 0x3F && msg_type != msg::HEARTBEAT && msg_type != msg::SESSION_END
}

/// Longest payload of a frame, with the room that a MAC takes if there is to be one.
#[must_use]
pub const fn payload_max(is_signed: bool) -> usize {
    if is_signed { PAYLOAD_MAX - AUTH_BYTES } else { PAYLOAD_MAX }
}

/// How many records of `record_bytes` fit a frame, with a MAC or without, beside a root of `root_bytes`.
///
/// # Panics
///
/// If the root does not fit or a record has no bytes.
#[must_use]
pub const fn records_per_frame(root_bytes: usize, record_bytes: usize, is_signed: bool) -> usize {
    let fit = (payload_max(is_signed) - root_bytes) / record_bytes;
    if fit < u8::MAX as usize { fit } else { u8::MAX as usize }
}

/// How many levels fit a frame beside a root of `root_bytes`: 81 beside those of BOOK_DELTA and BOOK_SNAPSHOT, with a MAC
/// 80 beside the latter.
#[must_use]
pub const fn levels_per_frame(root_bytes: usize, is_signed: bool) -> usize {
    records_per_frame(root_bytes, size_of::<Level>(), is_signed)
}

/// CRC32C over bytes 0–61 and the payload, which ends at `payload_end`.
fn frame_crc(frame: &[u8], payload_end: usize) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CRC_OFFSET]), &frame[HEADER_BYTES..payload_end])
}
