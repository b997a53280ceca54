//! Making frames: build, then seal. Nothing here allocates.

use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::auth::{self, Key};
use super::header::Header;
use super::{
    AUTH_BYTES, CRC_OFFSET, FLAGS_OFFSET, FRAME_BYTES_MAX, HEADER_BYTES, PROC_NS_OFFSET, flags, frame_crc,
    payload_max,
};
use crate::event::Level;

/// For [`FrameBuf::build`] where a message has no root.
pub const NO_ROOT: () = ();
/// For [`FrameBuf::build`] where a message has no records.
pub const NO_RECORDS: &[Level] = &[];

/// Room for one frame, used again for the next one.
#[derive(Clone, Debug)]
pub struct FrameBuf {
    bytes: [u8; FRAME_BYTES_MAX],
    len: usize,
}

impl Default for FrameBuf {
    fn default() -> Self {
        Self { bytes: [0; FRAME_BYTES_MAX], len: 0 }
    }
}

impl FrameBuf {
    /// Lays out header, root and records, leaves room for a MAC if [`flags::AUTH`] is set, fills in `payload_len`, `count`
    /// and `rec_len`, and gives the frame, which [`seal`] finishes.
    ///
    /// # Panics
    ///
    /// If it does not fit [`FRAME_BYTES_MAX`] or if there are more than 255 records (see [`super::records_per_frame`]).
    /// Both are mistakes of the caller.
    pub fn build<Root, Record>(&mut self, header: &Header, root: &Root, records: &[Record]) -> &mut [u8]
    where
        Root: IntoBytes + Immutable,
        Record: IntoBytes + Immutable,
    {
        let (root, record_bytes) = (root.as_bytes(), records.as_bytes());
        let payload_len = root.len() + record_bytes.len();
        let room = payload_max(header.has(flags::AUTH));
        assert!(payload_len <= room, "a payload of {payload_len} bytes does not fit a frame");
        let mut header = *header;
        header.payload_len = u16::try_from(payload_len).expect("PAYLOAD_MAX fits u16");
        header.count = u8::try_from(records.len()).expect("at most 255 records a frame");
        let record_size = if records.is_empty() { 0 } else { size_of::<Record>() };
        header.rec_len = u8::try_from(record_size).expect("records are at most 255 bytes");
        self.len = header.frame_bytes();
        let frame = &mut self.bytes[..self.len];
        frame[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        frame[HEADER_BYTES..][..root.len()].copy_from_slice(root);
        frame[HEADER_BYTES + root.len()..][..record_bytes.len()].copy_from_slice(record_bytes);
        frame
    }

    /// The frame built last; empty before the first.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Writes `proc_ns`, then the CRC, then with a key the MAC, which makes the frame ready to send, and returns the CRC for
/// [`super::digest::chain64`].
///
/// # Panics
///
/// If `frame` is shorter than a header and the trailer that [`flags::AUTH`] announces, or if there is a key although
/// AUTH is not set or the other way round: a frame must not leave with a trailer that nobody wrote.
pub fn seal(frame: &mut [u8], proc_ns: u32, key: Option<&Key>) -> u32 {
    let has_trailer = u16::from_le_bytes([frame[FLAGS_OFFSET], frame[FLAGS_OFFSET + 1]]) & flags::AUTH != 0;
    assert_eq!(has_trailer, key.is_some(), "AUTH is set on the frames that a key signs, and on no others");
    let payload_end = frame.len() - if has_trailer { AUTH_BYTES } else { 0 };
    frame[PROC_NS_OFFSET..CRC_OFFSET].copy_from_slice(&proc_ns.to_le_bytes());
    let crc = frame_crc(frame, payload_end);
    frame[CRC_OFFSET..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    if let Some(key) = key {
        let (signed, trailer) = frame.split_at_mut(payload_end);
        trailer.copy_from_slice(&auth::mac(key, signed).to_le_bytes());
    }
    crc
}

/// A root or record with every byte 0, to be filled in: `InstrumentDef { kind: 1, ..zeroed() }`.
#[must_use]
pub fn zeroed<T: FromZeros>() -> T {
    T::new_zeroed()
}
