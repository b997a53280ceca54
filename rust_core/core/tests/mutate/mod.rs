//! A seeded mutator of byte strings: what a fuzzer does, without one.

#[path = "../rng/mod.rs"]
mod rng;

pub(crate) use self::rng::Rng;

/// Bytes at which arithmetic breaks.
const EDGES: [u8; 8] = [0, 1, 7, 8, 0x7F, 0x80, 0xFE, 0xFF];
/// Where the header says lengths and types, which decide how a frame is read.
const SHAPE: [usize; 7] = [2, 3, 4, 5, 6, 7, 8];

/// Damages `bytes` in one to four places; `other` lends parts of itself. The result has at most `most` bytes.
pub(crate) fn damage(bytes: &mut Vec<u8>, other: &[u8], most: usize, rng: &mut Rng) {
    for _ in 0..=rng.place(4) {
        let (at, len) = (rng.place(bytes.len()), bytes.len());
        match rng.place(9) {
            _ if bytes.is_empty() => bytes.push(EDGES[rng.place(EDGES.len())]),
            0 => bytes[at] ^= 1 << rng.place(8),
            1 => bytes[at] = EDGES[rng.place(EDGES.len())],
            2 => bytes[at] = rng.next().to_le_bytes()[0],
            3 => bytes[at] = bytes[at].wrapping_add(1),
            4 => {
                let at = SHAPE[rng.place(SHAPE.len())];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = EDGES[rng.place(EDGES.len())];
                }
            }
            5 => bytes.truncate(at),
            6 => bytes.extend(std::iter::repeat_n(0, rng.place(64))),
            7 => {
                // A part of another frame in the place of a part of this one.
                let from = rng.place(other.len());
                let part = &other[from..][..rng.place(64).min(other.len() - from).min(len - at)];
                bytes[at..][..part.len()].copy_from_slice(part);
            }
            _ => {
                // A word of the whole range, as lengths, numbers and prices are read.
                let word =
                    [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64][rng.place(6)].to_le_bytes();
                let part = 8.min(len - at);
                bytes[at..][..part].copy_from_slice(&word[..part]);
            }
        }
    }
    bytes.truncate(most);
}
