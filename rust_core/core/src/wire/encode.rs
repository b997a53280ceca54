//! Making frames: build, then seal. Nothing here allocates.

use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::header::Header;
use super::{CRC_OFFSET, FRAME_BYTES_MAX, HEADER_BYTES, PAYLOAD_MAX, PROC_NS_OFFSET, flags, frame_crc};
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
    /// Lays out header, root and records, fills in `payload_len`, `count` and `rec_len`, and gives the frame, which
    /// [`seal`] finishes.
    ///
    /// # Panics
    ///
    /// If it does not fit [`FRAME_BYTES_MAX`], if there are more than 255 records (see [`super::records_per_frame`]),
    /// or if [`flags::AUTH`] is set, whose trailer this version does not write. All three are mistakes of the caller.
    pub fn build<Root, Record>(&mut self, header: &Header, root: &Root, records: &[Record]) -> &mut [u8]
    where
        Root: IntoBytes + Immutable,
        Record: IntoBytes + Immutable,
    {
        let (root, record_bytes) = (root.as_bytes(), records.as_bytes());
        let payload_len = root.len() + record_bytes.len();
        assert!(payload_len <= PAYLOAD_MAX, "a payload of {payload_len} bytes does not fit a frame");
        assert!(!header.has(flags::AUTH), "this version writes no MAC");
        let mut header = *header;
        header.payload_len = u16::try_from(payload_len).expect("PAYLOAD_MAX fits u16");
        header.count = u8::try_from(records.len()).expect("at most 255 records a frame");
        let record_size = if records.is_empty() { 0 } else { size_of::<Record>() };
        header.rec_len = u8::try_from(record_size).expect("records are at most 255 bytes");
        self.len = HEADER_BYTES + payload_len;
        let frame = &mut self.bytes[..self.len];
        frame[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        frame[HEADER_BYTES..][..root.len()].copy_from_slice(root);
        frame[HEADER_BYTES + root.len()..].copy_from_slice(record_bytes);
        frame
    }

    /// The frame built last; empty before the first.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Writes `proc_ns` and then the CRC, which makes the frame ready to send, and returns the CRC for
/// [`super::digest::chain64`].
///
/// # Panics
///
/// If `frame` is shorter than a header.
pub fn seal(frame: &mut [u8], proc_ns: u32) -> u32 {
    frame[PROC_NS_OFFSET..CRC_OFFSET].copy_from_slice(&proc_ns.to_le_bytes());
    let crc = frame_crc(frame, frame.len());
    frame[CRC_OFFSET..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// A root or record with every byte 0, to be filled in: `InstrumentDef { kind: 1, ..zeroed() }`.
#[must_use]
pub fn zeroed<T: FromZeros>() -> T {
    T::new_zeroed()
}
