//! The header that opens every frame.

use zerocopy::{FromZeros, Unaligned};

use super::layout::wire_struct;
use super::{AUTH_BYTES, HEADER_BYTES, MAGIC, VERSION, flags};

/// Bit 7 of `Header::channel`: the snapshot plane of that channel.
pub const CHANNEL_SNAPSHOT: u8 = 0x80;
/// The bits of `Header::channel` that number the channel, 1–127.
pub const CHANNEL_NUMBER: u8 = 0x7F;

wire_struct! {
    /// The first 66 bytes of a frame. Packed: the fields are aligned only where the frame starts at 62 modulo 64,
    /// so they are read by copy.
    #[derive(Unaligned)]
    #[repr(C, packed)]
    pub struct Header, 66 {
        /// [`MAGIC`].
        0 magic: u8,
        /// [`VERSION`].
        1 version: u8,
        /// One of [`super::msg`], or a type of a later version.
        2 msg_type: u8,
        /// Bytes per record; 0 if there is none.
        3 rec_len: u8,
        /// Bits of [`flags`].
        4 flags: u16,
        /// Bytes after the header, without the MAC trailer.
        6 payload_len: u16,
        /// Records in the payload.
        8 count: u8,
        /// 1–127; with [`CHANNEL_SNAPSHOT`] the snapshot plane of it.
        9 channel: u8,
        /// Number of the frame in its plane, channel and session, from 1; un-numbered types carry the next number.
        10 channel_seq: u64,
        /// Incarnation of the publisher; strictly increasing.
        18 session: u32,
        /// Venue × product, 1–126; 0 = none.
        22 venue: u16,
        /// Price = mantissa × 10^`price_exp`.
        24 price_exp: i8,
        /// Quantity = mantissa × 10^`qty_exp`.
        25 qty_exp: i8,
        /// Unique within its venue; 0 = the frame is not about one instrument.
        26 instrument: u32,
        /// Number of the frame in its instrument and session, from 1, serial arithmetic; snapshot plane: last included.
        30 instr_seq: u32,
        /// Last sequence number of the exchange that is covered; 0 = the venue has none.
        34 source_seq: u64,
        /// Nanoseconds since the epoch, from the exchange; see [`flags::NO_EXCH_TS`].
        42 exchange_ts: i64,
        /// Nanoseconds since the epoch, when the exchange's bytes arrived.
        50 recv_ts: i64,
        /// Nanoseconds from arrival to sealing; saturates.
        58 proc_ns: u32,
        /// CRC32C of bytes 0–61 and the payload.
        62 crc32c: u32,
    }
}

impl Header {
    /// A header with everything else 0; `payload_len`, `count`, `rec_len`, `proc_ns` and `crc32c` are filled in by
    /// [`super::FrameBuf::build`] and [`super::seal`].
    ///
    /// ```
    /// use outcrier_core::wire::{Header, flags, msg};
    /// let header = Header { flags: flags::EVENT_END, instrument: 1001, ..Header::new(msg::BBO, 1, 90_000_001, 1) };
    /// assert_eq!(header.frame_bytes(), 66);
    /// ```
    #[must_use]
    pub fn new(msg_type: u8, channel: u8, session: u32, venue: u16) -> Self {
        Self { magic: MAGIC, version: VERSION, msg_type, channel, session, venue, ..Self::new_zeroed() }
    }

    /// Length of the frame: header, payload and the trailer that [`flags::AUTH`] announces.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        let trailer = if self.has(flags::AUTH) { AUTH_BYTES } else { 0 };
        HEADER_BYTES + usize::from(self.payload_len) + trailer
    }

    /// Whether every one of these bits of [`flags`] is set.
    #[must_use]
    pub fn has(&self, bits: u16) -> bool {
        self.flags & bits == bits
    }

    /// Number of the channel without the bit that names the plane.
    #[must_use]
    pub fn channel_number(&self) -> u8 {
        self.channel & CHANNEL_NUMBER
    }

    /// Whether the frame belongs to the snapshot plane.
    #[must_use]
    pub fn is_snapshot_plane(&self) -> bool {
        self.channel & CHANNEL_SNAPSHOT != 0
    }

    /// Nanoseconds since the epoch at which the frame was sealed.
    #[must_use]
    pub fn send_ts(&self) -> i64 {
        self.recv_ts.saturating_add(i64::from(self.proc_ns))
    }
}
