//! The instruments of one venue as the decoder sees them: symbol text to dense index, and current exponents.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What the decoder must know of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Price = mantissa × 10^price_exp.
    pub price_exp: i8,
    /// Quantity = mantissa × 10^qty_exp.
    pub qty_exp: i8,
}

/// What a number of a connection stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Index of the instrument.
    pub instrument: u32,
    /// Name of the channel; empty where nobody asks for it.
    pub channel: Box<str>,
}

/// Symbol text of the venue → dense index (0, 1, 2 …) and current exponents.
///
/// A venue may bind a run-time number of a connection to an instrument too (Bitfinex `chanId`, Kraken v1).
#[derive(Debug, Default)]
pub struct InstrumentTable {
    by_symbol: HashMap<Box<[u8]>, u32, BuildHasherDefault<WordHasher>>,
    bound: HashMap<(u32, u64), Bound, BuildHasherDefault<WordHasher>>,
    scales: Vec<Scale>,
}

/// A multiplication per 8 bytes. The keys are those of the owner: nobody can fill a table with keys that collide.
#[derive(Clone, Copy, Debug, Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (mut rest, mut word) = (bytes, 0);
        while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
            self.write_u64(u64::from_le_bytes(*chunk));
            rest = after;
        }
        // The rest without a loop: its halves may lie over each other.
        if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            word = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
        } else if let (Some(first), Some(last)) = (rest.first(), rest.last()) {
            word = u64::from(*first) | u64::from(rest[rest.len() / 2]) << 8 | u64::from(*last) << 16;
        }
        if !rest.is_empty() {
            self.write_u64(word);
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The table takes its bits from both ends; a product is poor at the low one.
        self.0 ^ self.0 >> 32
    }
}

impl InstrumentTable {
    /// Adds an instrument under the text that the venue's frames use; `None` if the text is taken.
    pub fn add(&mut self, symbol: &[u8], scale: Scale) -> Option<u32> {
        if self.by_symbol.contains_key(symbol) {
            return None;
        }
        let index = u32::try_from(self.scales.len()).ok()?;
        self.by_symbol.insert(symbol.into(), index);
        self.scales.push(scale);
        Some(index)
    }

    /// Puts an instrument where one was removed. The symbol must be free.
    pub(crate) fn put(&mut self, index: u32, symbol: &[u8], scale: Scale) {
        self.by_symbol.insert(symbol.into(), index);
        self.scales[index as usize] = scale;
    }

    /// Takes out an instrument and returns by which texts frames name it: its symbol, and numbers that are bound to it.
    pub(crate) fn remove(&mut self, index: u32) -> Vec<Box<[u8]>> {
        let mut names = Vec::new();
        self.by_symbol.retain(|symbol, &mut of| {
            if of == index {
                names.push(symbol.clone());
            }
            of != index
        });
        self.bound.retain(|(_, number), bound| {
            if bound.instrument == index {
                names.push(number.to_string().into_bytes().into());
            }
            bound.instrument != index
        });
        names
    }

    /// Binds a number that the venue chose on a connection to an instrument and a channel, as the shapes name it;
    /// replaces an earlier binding.
    pub fn bind(&mut self, connection: u32, number: u64, instrument: u32, channel: &str) {
        self.bound.insert((connection, number), Bound { instrument, channel: channel.into() });
    }

    /// The instrument with that symbol text.
    #[must_use]
    pub fn find(&self, symbol: &[u8]) -> Option<u32> {
        self.by_symbol.get(symbol).copied()
    }

    /// What is bound to a number on a connection.
    #[must_use]
    pub fn find_bound(&self, connection: u32, number: u64) -> Option<&Bound> {
        self.bound.get(&(connection, number))
    }

    /// Current exponents.
    #[must_use]
    pub fn scale(&self, instrument: u32) -> &Scale {
        &self.scales[instrument as usize]
    }

    /// Sets finer exponents.
    pub fn set_scale(&mut self, instrument: u32, scale: Scale) {
        self.scales[instrument as usize] = scale;
    }

    /// How many instruments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }
}
