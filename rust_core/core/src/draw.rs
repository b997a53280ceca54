//! Random numbers of a seed: whoever needs some draws them here.

/// Probabilities are integers in parts per million: 10,000 = 1 %.
pub const PPM: u32 = 1_000_000;

/// Numbers that depend on a seed and nothing else: `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end` - 1; the remainder's bias is below 2^-30 for any `end` used here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn index(&mut self, end: usize) -> usize {
        // Below `end`, which is a usize.
        self.below(end as u64) as usize
    }

    pub(crate) fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(PPM.into()) < u64::from(ppm)
    }
}
