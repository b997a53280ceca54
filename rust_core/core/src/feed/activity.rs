//! How often and when last each kind of message came for each instrument: what an owner learns a stream's own rate from.

use crate::event::Body;
use crate::fetch::fetch;

/// Kinds told apart, in this order: book, trade, bbo, ticker, candle, derivative, orders.
pub const ACTIVITY_KINDS: usize = 7;

/// Messages of one kind of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// So far.
    pub messages: u64,
    /// Monotonic time of the last one; 0 = none came.
    pub last_ns: u64,
}

/// One row for each index of an instrument.
#[derive(Debug, Default)]
pub(super) struct Activities {
    rows: Vec<[Activity; ACTIVITY_KINDS]>,
}

impl Activities {
    /// An instrument has this index now; whoever had it before is forgotten.
    pub(super) fn add(&mut self, index: u32) {
        let at = index as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, Default::default());
        }
        self.rows[at] = Default::default();
    }

    pub(super) fn note(&mut self, index: u32, body: &Body, mono_ns: u64) {
        let kind = match body {
            Body::Book { .. } => 0,
            Body::Trades(_) => 1,
            Body::Bbo(_) => 2,
            Body::Ticker(_) => 3,
            Body::Candle(_) => 4,
            Body::Deriv(_) | Body::Liquidations(_) => 5,
            Body::Orders { .. } => 6,
            // Told only with other messages.
            Body::Trading(_) => return,
        };
        if let Some(row) = self.rows.get_mut(index as usize) {
            row[kind].messages += 1;
            row[kind].last_ns = mono_ns;
        }
    }

    /// Reads what is counted with a book.
    #[inline]
    pub(super) fn fetch(&self, index: u32) {
        fetch(self.rows.get(index as usize).map(|row| row[0].messages));
    }

    pub(super) fn rows(&self) -> &[[Activity; ACTIVITY_KINDS]] {
        &self.rows
    }
}
