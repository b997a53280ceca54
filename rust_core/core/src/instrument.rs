//! The instruments of one venue as the decoder sees them: symbol text to dense index, and current exponents.

use std::collections::HashMap;

/// What the decoder must know of an instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Price = mantissa × 10^price_exp.
    pub price_exp: i8,
    /// Quantity = mantissa × 10^qty_exp.
    pub qty_exp: i8,
}

/// Symbol text of the venue → dense index (0, 1, 2 …) and current exponents.
///
/// A venue may bind a run-time number of a connection to an instrument too (Bitfinex `chanId`, Kraken v1).
#[derive(Debug, Default)]
pub struct InstrumentTable {
    by_symbol: HashMap<Box<[u8]>, u32>,
    bound: HashMap<(u32, u64), u32>,
    scales: Vec<Scale>,
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

    /// Binds a number that the venue chose on a connection to an instrument; replaces an earlier binding.
    pub fn bind(&mut self, connection: u32, number: u64, instrument: u32) {
        self.bound.insert((connection, number), instrument);
    }

    /// The instrument with that symbol text.
    #[must_use]
    pub fn find(&self, symbol: &[u8]) -> Option<u32> {
        self.by_symbol.get(symbol).copied()
    }

    /// The instrument bound to a number on a connection.
    #[must_use]
    pub fn find_bound(&self, connection: u32, number: u64) -> Option<u32> {
        self.bound.get(&(connection, number)).copied()
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
