//! The simulated market: the same for a seed, whole for its public, and like the set that it was estimated from.

use std::collections::BTreeMap;

use outcrier_core::event::{Side, order_op};
use outcrier_core::market::{INSTRUMENTS_MAX, Market, PublicEvent, RATE_MAX, Settings, SettingsError};
use outcrier_core::orders::OrderBook;

const S: i64 = 1_000_000_000;

fn market(seed: u64, instruments: u32) -> Market {
    Market::new(Settings { seed, instruments, rate: 0 }).unwrap()
}

/// A number for all that was told up to a time, in steps of `step`.
fn digest(market: &mut Market, until: i64, step: i64, only: Option<u32>) -> u32 {
    let mut crc = 0;
    for now in (0..=until / step).map(|number| number * step) {
        while let Some(event) = market.advance(now) {
            assert!(event.ts <= now);
            if only.is_none_or(|only| event.instrument == only) {
                crc = crc32c::crc32c_append(crc, format!("{:?}", (event.seq, event.ts)).as_bytes());
                crc = crc32c::crc32c_append(crc, format!("{event:?}").split_once(',').unwrap().1.as_bytes());
            }
        }
    }
    crc
}

#[test]
fn the_same_seed_gives_the_same_events_however_far_one_goes_at_a_time() {
    let whole = digest(&mut market(5, 3), 60 * S, 60 * S, None);
    assert_eq!(digest(&mut market(5, 3), 60 * S, 7_000_000, None), whole);
    assert_ne!(digest(&mut market(6, 3), 60 * S, 60 * S, None), whole);
    // Every machine draws these.
    assert_eq!(whole, 1_502_358_336);
}

#[test]
fn an_instrument_is_the_same_beside_others() {
    let alone = digest(&mut market(5, 1), 60 * S, 60 * S, None);
    assert_eq!(digest(&mut market(5, 4), 60 * S, 60 * S, Some(0)), alone);
    assert_ne!(digest(&mut market(5, 4), 60 * S, 60 * S, Some(1)), alone);
}

/// What a public sees: the book by orders, the book by levels, and the quantities of orders.
struct Public {
    orders: OrderBook,
    levels: [BTreeMap<i64, i64>; 2],
    seq: u64,
    entered: i64,
    traded: i64,
    cancelled: i64,
}

impl Public {
    fn of(book: &OrderBook) -> Self {
        let side = |side| book.queues().levels(side).map(|level| (level.price, level.qty)).collect();
        let levels: [BTreeMap<i64, i64>; 2] = [side(Side::Bid), side(Side::Ask)];
        let entered = levels.iter().flat_map(BTreeMap::values).sum();
        Self { orders: book.clone(), levels, seq: 0, entered, traded: 0, cancelled: 0 }
    }

    fn take(&mut self, event: &PublicEvent<'_>) {
        self.seq += 1;
        assert_eq!(event.seq, self.seq, "numbered one by one");
        let mut executed = 0;
        for op in event.ops {
            let before = self.orders.get(op.order_id);
            match op.op {
                order_op::ADD => self.entered += op.qty,
                order_op::EXECUTE => executed += op.qty,
                order_op::DELETE => self.cancelled += before.unwrap().qty,
                order_op::MODIFY_KEEP | order_op::MODIFY_LOSE => {
                    self.cancelled += before.unwrap().qty - op.qty;
                }
                other => panic!("operation {other}"),
            }
            self.orders.apply(op, event.ts).unwrap();
        }
        assert_eq!(executed, event.trades.iter().map(|trade| trade.qty).sum::<i64>());
        self.traded += executed;
        for (side, price, qty) in event.levels {
            let levels = &mut self.levels[usize::from(*side == Side::Ask)];
            if *qty == 0 {
                levels.remove(price)
            } else {
                levels.insert(*price, *qty)
            };
        }
    }

    fn check(&self, book: &OrderBook) {
        assert_eq!(self.orders.checksum(), book.checksum(), "orders");
        let now = Self::of(book);
        assert_eq!(self.levels, now.levels, "levels");
        assert_eq!(self.entered, self.traded + self.cancelled + now.entered, "no quantity is lost");
        let (bid, ask) =
            (self.levels[0].last_key_value().unwrap(), self.levels[1].first_key_value().unwrap());
        assert!(bid.0 < ask.0, "crossed: {bid:?} {ask:?}");
    }
}

#[test]
fn the_public_has_the_book_of_the_engine_at_every_event() {
    for seed in [1, 2] {
        let mut market = market(seed, 2);
        let mut publics = [0, 1].map(|number| Public::of(market.book(number).unwrap()));
        for now in 0..150 {
            while let Some(event) = market.advance(now * 2 * S) {
                publics[event.instrument as usize].take(&event);
            }
            for (number, public) in (0..).zip(&publics) {
                public.check(market.book(number).unwrap());
                assert_eq!(market.seq(number), Some(public.seq));
            }
        }
        assert!(
            publics.iter().all(|public| public.seq > 1_000 && public.traded > 100 && public.cancelled > 100)
        );
    }
}

#[test]
fn a_rate_is_kept() {
    for (rate, seconds) in [(0, 600), (1_000, 10)] {
        let mut market = Market::new(Settings { seed: 3, instruments: 4, rate }).unwrap();
        while market.advance(seconds * S).is_some() {}
        let events: u64 = (0..4).map(|number| market.seq(number).unwrap()).sum();
        let wanted = if rate == 0 { 12 } else { u64::from(rate) } * 4 * u64::try_from(seconds).unwrap();
        assert!(events.abs_diff(wanted) < wanted / 5, "{events} of {wanted}");
    }
}

#[test]
fn settings_are_bounded() {
    let tried = |instruments, rate| Market::new(Settings { seed: 0, instruments, rate }).err();
    assert_eq!(tried(0, 0), Some(SettingsError::Instruments));
    assert_eq!(tried(INSTRUMENTS_MAX + 1, 0), Some(SettingsError::Instruments));
    assert_eq!(tried(1, RATE_MAX + 1), Some(SettingsError::Rate));
    assert!(SettingsError::Rate.to_string().contains("100000"));
    let market = market(1, 2);
    assert!(market.book(2).is_none() && market.seq(2).is_none() && market.len() == 2 && !market.is_empty());
}
