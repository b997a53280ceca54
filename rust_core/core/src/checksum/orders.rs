//! The checksum that is over single orders.

use super::{Algorithm, KRAKEN_LEVELS, Number, Text};
use crate::book::Decimals;
use crate::event::Side;
use crate::instrument::Scale;
use crate::orders::OrderBook;

impl Algorithm {
    /// The checksum over the orders of a book; `printed` tells how the numbers of an order were printed. `None`: the venue
    /// makes none. `text` is a buffer that is used again.
    ///
    /// Kraken (guide spot-ws-l3-v2, read 2026-05): as over levels, with price and quantity of every order of the best ten
    /// levels of a side, in the order of their queue.
    #[must_use]
    pub fn of_orders(
        self,
        book: &OrderBook,
        printed: impl Fn(u64) -> Decimals,
        scale: &Scale,
        text: &mut Vec<u8>,
    ) -> Option<i64> {
        if self != Algorithm::Kraken {
            return None;
        }
        let mut text = Text::new(text);
        let queues = book.queues();
        for side in [Side::Ask, Side::Bid] {
            for level in queues.levels(side).take(KRAKEN_LEVELS) {
                for handle in queues.queue(side, level.price) {
                    let order = queues.order(handle);
                    let decimals = printed(order.id);
                    for (mantissa, exp, decimals) in [
                        (order.price, scale.price_exp, decimals.price),
                        (order.qty, scale.qty_exp, decimals.qty),
                    ] {
                        text.digits(Number { mantissa, exp, decimals });
                    }
                }
            }
        }
        Some(i64::from(crc32fast::hash(text.written())))
    }
}
