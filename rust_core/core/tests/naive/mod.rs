//! The plainest book that can be right: two maps. The fast one must never differ from it.

use std::collections::BTreeMap;

use outcrier_core::event::{Level, Side};

#[derive(Clone, Default)]
pub(crate) struct Naive {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Naive {
    pub(crate) fn set(&mut self, side: Side, price: i64, qty: i64) -> i64 {
        let levels = if side == Side::Bid { &mut self.bids } else { &mut self.asks };
        let old = if qty == 0 { levels.remove(&price) } else { levels.insert(price, qty) };
        old.unwrap_or(0)
    }

    pub(crate) fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(&price, &qty)| Level { price, qty };
        match side {
            Side::Bid => self.bids.iter().rev().map(level).collect(),
            Side::Ask => self.asks.iter().map(level).collect(),
        }
    }

    pub(crate) fn best(&self, side: Side) -> Option<Level> {
        let best = if side == Side::Bid { self.bids.last_key_value() } else { self.asks.first_key_value() };
        best.map(|(&price, &qty)| Level { price, qty })
    }

    pub(crate) fn digest_bytes(&self, depth: usize) -> Vec<u8> {
        let (bids, asks) = (self.levels(Side::Bid), self.levels(Side::Ask));
        let (bids, asks) = (&bids[..depth.min(bids.len())], &asks[..depth.min(asks.len())]);
        let mut bytes = Vec::new();
        bytes.extend((bids.len().min(65_535) as u16).to_le_bytes());
        bytes.extend((asks.len().min(65_535) as u16).to_le_bytes());
        for level in bids.iter().chain(asks) {
            bytes.extend(level.price.to_le_bytes());
            bytes.extend(level.qty.to_le_bytes());
        }
        bytes
    }
}
