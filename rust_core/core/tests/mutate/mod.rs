//! A seeded mutator of byte strings: what a fuzzer does, without one.

/// XorShift64*: the same damage for the same seed.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % end.max(1)
    }
}

/// Bytes at which arithmetic breaks.
const EDGES: [u8; 8] = [0, 1, 7, 8, 0x7F, 0x80, 0xFE, 0xFF];
/// Where the header says lengths and types, which decide how a frame is read.
const SHAPE: [usize; 7] = [2, 3, 4, 5, 6, 7, 8];

/// Damages `bytes` in one to four places; `other` lends parts of itself. The result has at most `most` bytes.
pub(crate) fn damage(bytes: &mut Vec<u8>, other: &[u8], most: usize, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let (at, len) = (rng.below(bytes.len()), bytes.len());
        match rng.below(9) {
            _ if bytes.is_empty() => bytes.push(EDGES[rng.below(EDGES.len())]),
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = EDGES[rng.below(EDGES.len())],
            2 => bytes[at] = rng.next().to_le_bytes()[0],
            3 => bytes[at] = bytes[at].wrapping_add(1),
            4 => {
                let at = SHAPE[rng.below(SHAPE.len())];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = EDGES[rng.below(EDGES.len())];
                }
            }
            5 => bytes.truncate(at),
            6 => bytes.extend(std::iter::repeat_n(0, rng.below(64))),
            7 => {
                // A part of another frame in the place of a part of this one.
                let from = rng.below(other.len());
                let part = &other[from..][..rng.below(64).min(other.len() - from).min(len - at)];
                bytes[at..][..part.len()].copy_from_slice(part);
            }
            _ => {
                // A word of the whole range, as lengths, numbers and prices are read.
                let word =
                    [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64][rng.below(6)].to_le_bytes();
                let part = 8.min(len - at);
                bytes[at..][..part].copy_from_slice(&word[..part]);
            }
        }
    }
    bytes.truncate(most);
}
