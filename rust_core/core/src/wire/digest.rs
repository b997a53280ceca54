//! Digests that let a receiver prove that it holds what the publisher holds. All input is little-endian.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::event::Level;

/// Levels hashed at once: 1 KiB of stack, long enough that the cost of a call does not show.
const LEVELS_AT_ONCE: usize = 64;

/// chain(0) of a session.
#[must_use]
pub fn chain64_start(session: u32) -> u64 {
    u64::from(session)
}

/// chain(n): XXH3-64 over `u64 n ‖ u32 crc32c of frame n`, seeded with chain(n − 1).
///
/// It covers every numbered frame of the incremental plane, so two ends with the same value have seen the same
/// frames in the same order.
#[must_use]
pub fn chain64(previous: u64, channel_seq: u64, crc32c: u32) -> u64 {
    let mut input = [0; 12];
    input[..8].copy_from_slice(&channel_seq.to_le_bytes());
    input[8..].copy_from_slice(&crc32c.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64_with_seed(&input, previous)
}

/// CRC32C over `u32 instrument ‖ u32 def_version` of the instruments that are defined and not delisted.
///
/// # Panics
///
/// In debug builds, if the instruments do not ascend.
#[must_use]
pub fn registry_crc(instruments: impl IntoIterator<Item = (u32, u32)>) -> u32 {
    let mut crc = 0;
    let mut last = None;
    for (instrument, def_version) in instruments {
        debug_assert!(last < Some(instrument), "the digest is over ascending instruments");
        last = Some(instrument);
        crc = crc32c::crc32c_append(crc, [instrument, def_version].as_bytes());
    }
    crc
}

/// The bytes that a book's digests are over: `u16 bids ‖ u16 asks` (saturating), then bids, then asks, best first, each
/// `i64 price ‖ i64 qty`; of orders each [`OrderBytes`], the front of a level first. Each side comes with its length, because the
/// lengths come first.
pub fn book_bytes<R, Bids, Asks>(bids: (usize, Bids), asks: (usize, Asks), mut take: impl FnMut(&[u8]))
where
    R: Copy + FromZeros + IntoBytes + Immutable,
    Bids: Iterator<Item = R>,
    Asks: Iterator<Item = R>,
{
    take([bids.0, asks.0].map(|count| u16::try_from(count).unwrap_or(u16::MAX)).as_bytes());
    side_bytes(bids.1, &mut take);
    side_bytes(asks.1, &mut take);
}

/// CRC32C of the same bytes, of levels that lie side by side.
#[must_use]
pub fn book_crc(bids: &[Level], asks: &[Level]) -> u32 {
    let counts = [bids, asks].map(|levels| u16::try_from(levels.len()).unwrap_or(u16::MAX));
    let parts = [counts.as_bytes(), bids.as_bytes(), asks.as_bytes()];
    parts.into_iter().fold(0, crc32c::crc32c_append)
}

/// What the digest of an order book takes of an order.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct OrderBytes {
    /// Number of the order.
    pub order_id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub qty: i64,
}

fn side_bytes<R: Copy + FromZeros + IntoBytes + Immutable>(
    records: impl Iterator<Item = R>,
    take: &mut impl FnMut(&[u8]),
) {
    let mut chunk = [R::new_zeroed(); LEVELS_AT_ONCE];
    let mut filled = 0;
    for record in records {
        if filled == LEVELS_AT_ONCE {
            take(chunk.as_bytes());
            filled = 0;
        }
        chunk[filled] = record;
        filled += 1;
    }
    take(chunk[..filled].as_bytes());
}
