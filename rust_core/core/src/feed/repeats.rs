//! Trades that come twice: history that a venue sends at a subscription, and the second link of an overlap.

use std::collections::{HashMap, VecDeque};

use super::Feed;
use super::instrument::Instrument;
use crate::event::{Body, Decoded, Event, Run, TRADE_CANCEL, TRADE_CORRECTION, Trade};
use crate::publish::{Arrival, Host};

/// Trades of an instrument that are remembered. The longest history sent at a subscription in the captures has 100 trades
/// (Coinbase, Kraken Futures, dYdX); the rest is for two links, one of which lags. 3 KiB an instrument.
pub const RECENT_TRADES: usize = 256;
/// The same during an overlap: what the busiest instruments trade in a second, by which one link may lag. Only they need
/// the memory, 96 KiB, and only so long.
pub const OVERLAP_TRADES: usize = 8_192;
/// Marks that are compared without a branch in between.
const MARKS_AT_ONCE: usize = 64;
/// Trades without id that are compared during an overlap.
const NAMELESS_MAX: usize = 4_096;

/// 2^64 divided by the golden ratio, odd: a product's upper half differs for neighbours.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What tells one trade of an instrument from another; `None` where the venue gives no id, or where the same one has to come
/// again (a correction, a cancellation). Ids of trades that the venue folded are a space of their own: Binance counts
/// `aggTrade` and `trade` apart.
pub(super) fn key_of(trade: &Trade, is_folded: bool, is_liquidation: bool) -> Option<u64> {
    let comes_again = trade.trade_flags & (TRADE_CORRECTION | TRADE_CANCEL) != 0;
    let space = u64::from(is_folded) + 2 * u64::from(is_liquidation);
    (trade.trade_id != 0 && !comes_again).then(|| trade.trade_id.wrapping_add(space.wrapping_mul(SPREAD)))
}

impl Feed {
    /// Publishes trades or liquidations, but for those that had come before.
    pub(super) fn publish_trades(
        &mut self,
        connection: u32,
        event: &Event,
        run: Run,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let trades = decoded.trades(run);
        let is_liquidation = matches!(event.body, Body::Liquidations(_));
        let is_folded =
            self.decoder.shapes().get(usize::from(decoded.shape)).is_some_and(|shape| shape.folds);
        let Instrument { recent, overlaps, .. } = &mut self.instruments[event.instrument as usize];
        let limit = if overlaps.is_empty() { RECENT_TRADES } else { OVERLAP_TRADES };
        let mut nameless = overlaps
            .iter_mut()
            .find_map(|known| known.link(connection).map(|link| (&mut known.nameless, link)));
        self.fresh.clear();
        let mut repeats = 0;
        for (at, trade) in trades.iter().enumerate() {
            let is_repeat = match (key_of(trade, is_folded, is_liquidation), &mut nameless) {
                (Some(key), _) => recent.is_repeat(key, limit),
                (None, Some((seen, link))) if trade.trade_id == 0 => {
                    seen.is_repeat(trade, event, *link as usize)
                }
                (None, _) => false,
            };
            if !is_repeat && repeats > 0 {
                self.fresh.push(*trade);
            } else if is_repeat {
                if repeats == 0 {
                    self.fresh.extend_from_slice(&trades[..at]);
                }
                repeats += 1;
            }
        }
        let fresh = if repeats == 0 { trades } else { &self.fresh };
        self.journal.counters.trade_repeats += repeats;
        if fresh.is_empty() && repeats > 0 {
            return;
        }
        let published = fresh.len() as u64;
        self.journal.counters.trades += published;
        let instrument = &mut self.instruments[event.instrument as usize];
        instrument.publish_event(&mut self.channel, host, arrival, event, fresh);
        if !is_liquidation {
            instrument.infer_trades(
                fresh,
                event,
                &mut self.journal.counters,
                &mut self.channel,
                host,
                arrival,
            );
        }
        self.kind_of(&event.body).published += published;
    }
}

/// The keys that came last, each once: [`RECENT_TRADES`] of them, more while two links bring the same.
///
/// Most venues count their trades upward, so that a key above all others is new without a search. Others are searched for
/// by the marks, which the processor compares several at a time: 1 KiB, without a branch for each.
#[derive(Debug, Default)]
pub(super) struct RecentTrades {
    /// In a ring, the oldest at `next` once it is full.
    keys: Vec<u64>,
    /// The same as marks of 32 bits.
    marks: Vec<u32>,
    next: usize,
    highest: u64,
}

impl RecentTrades {
    /// An empty window with the memory that it needs outside an overlap.
    pub(super) fn new() -> Self {
        let (keys, marks) = (Vec::with_capacity(RECENT_TRADES), Vec::with_capacity(RECENT_TRADES));
        Self { keys, marks, ..Self::default() }
    }

    /// Remembers a key, of at most `limit`; `true`: it is remembered already.
    pub(super) fn is_repeat(&mut self, key: u64, limit: usize) -> bool {
        let mark = mark_of(key);
        if key > self.highest {
            self.highest = key;
        } else if self.holds(key, mark) {
            return true;
        }
        if self.keys.len() != limit {
            self.resize(limit);
        }
        if self.keys.len() < limit {
            self.keys.push(key);
            self.marks.push(mark);
        } else {
            self.keys[self.next] = key;
            self.marks[self.next] = mark;
            self.next = (self.next + 1) % limit;
        }
        false
    }

    /// Puts the oldest first, and drops as many as are beyond the limit: an overlap began or is over.
    fn resize(&mut self, limit: usize) {
        if self.next != 0 {
            self.keys.rotate_left(self.next);
            self.marks.rotate_left(self.next);
            self.next = 0;
        }
        let beyond = self.keys.len().saturating_sub(limit);
        if beyond > 0 {
            self.keys.drain(..beyond);
            self.marks.drain(..beyond);
            self.keys.shrink_to(limit);
            self.marks.shrink_to(limit);
        }
    }

    fn holds(&self, key: u64, mark: u32) -> bool {
        let mut parts = self.marks.chunks(MARKS_AT_ONCE).zip(self.keys.chunks(MARKS_AT_ONCE));
        parts.any(|(marks, keys)| {
            let is_marked = marks.iter().fold(false, |found, &known| found | (known == mark));
            is_marked && keys.contains(&key)
        })
    }
}

fn mark_of(key: u64) -> u32 {
    u32::try_from(key.wrapping_mul(SPREAD) >> u32::BITS).unwrap_or(0)
}

/// Trades without id during an overlap: equal ones are common, so each link is counted by itself, and what the other had
/// before is a repeat.
#[derive(Debug, Default)]
pub(super) struct NamelessTrades {
    seen: HashMap<Nameless, [u32; 2]>,
    order: VecDeque<Nameless>,
}

/// Time, price, quantity and side, the same at any exponents.
type Nameless = (i64, (i64, i8), (i64, i8), u8);

impl NamelessTrades {
    /// Counts a trade of one of two links; `true`: the other had it.
    pub(super) fn is_repeat(&mut self, trade: &Trade, event: &Event, link: usize) -> bool {
        let price = plain(trade.price, event.price_exp);
        let nameless = (trade.trade_ts, price, plain(trade.qty, event.qty_exp), trade.aggressor);
        let counts = self.seen.entry(nameless).or_insert_with(|| {
            self.order.push_back(nameless);
            [0; 2]
        });
        counts[link] += 1;
        let is_repeat = counts[link] <= counts[1 - link];
        if self.order.len() > NAMELESS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        is_repeat
    }
}

/// A decimal without zeros at its end.
fn plain(mut mantissa: i64, mut exp: i8) -> (i64, i8) {
    while mantissa != 0 && mantissa % 10 == 0 && exp < i8::MAX {
        mantissa /= 10;
        exp += 1;
    }
    (mantissa, if mantissa == 0 { 0 } else { exp })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{NamelessTrades, RECENT_TRADES, RecentTrades, plain};
    use crate::event::{Body, Event, Ids, Run, Trade};

    /// Drawn keys, many of them near each other and many of them twice, against a plain window.
    #[test]
    fn the_window_is_that_of_a_plain_one() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut recent = RecentTrades::new();
        let mut plain: VecDeque<u64> = VecDeque::new();
        let mut repeats = 0;
        for step in 0..200_000_u64 {
            let limit = if step % 20_000 >= 5_000 { RECENT_TRADES } else { 4 * RECENT_TRADES };
            let key = match draw() % 3 {
                0 => step,
                1 => step.saturating_sub(draw() % 600),
                _ => draw() % 5_000 * 0x1_0000_0000,
            };
            let is_known = plain.contains(&key);
            assert_eq!(recent.is_repeat(key, limit), is_known, "step {step}");
            repeats += u64::from(is_known);
            if !is_known {
                plain.push_back(key);
                while plain.len() > limit {
                    plain.pop_front();
                }
            }
        }
        assert_eq!(recent.keys.capacity(), RECENT_TRADES, "what an overlap took is free again");
        assert!((10_000..150_000).contains(&repeats), "{repeats}");
    }

    #[test]
    fn equal_trades_without_id_are_as_many_as_one_link_had() {
        let event = |price_exp| Event {
            instrument: 0,
            exchange_ts: 1,
            ids: Ids::default(),
            price_exp,
            qty_exp: 0,
            body: Body::Trades(Run::default()),
        };
        let trade = Trade { price: 50, qty: 3, trade_ts: 9, ..Trade::default() };
        let finer = Trade { price: 5_000, ..trade };
        let mut seen = NamelessTrades::default();
        let links = [(0, -1), (0, -1), (1, -1), (1, -3), (1, -3), (0, -1), (0, -3)];
        let told: Vec<bool> = links
            .iter()
            .map(|&(link, exp)| seen.is_repeat(if exp == -1 { &trade } else { &finer }, &event(exp), link))
            .collect();
        assert_eq!(told, [false, false, true, true, false, true, false]);
    }

    #[test]
    fn zeros_at_the_end_say_nothing() {
        assert_eq!(plain(1_200, -4), plain(12, -2));
        assert_eq!(plain(0, -4), plain(0, 3));
        assert_ne!(plain(12, -2), plain(12, -3));
    }
}
