//! Orders come, trade and go without memory being asked for, once an exchange has been as full as it gets.

mod counting;
mod matching_support;
mod rng;

use counting::ALLOCATIONS;
use matching_support::{buy, sell};
use outcrier_core::matching::{Amend, Engine, Kind, NewOrder, Output, Request, Rules, SelfTrade};
use rng::Rng;

/// Limit orders and icebergs around a price, amends and cancels; `out` is cleared after each, as its reader would.
fn trade(engine: &mut Engine, rng: &mut Rng, out: &mut Output, requests: u64) -> usize {
    let mut trades = 0;
    for now in 0..requests {
        let (id, price, qty) = (rng.below(1_500), 10_000 + rng.below(200) as i64, 1 + rng.below(50) as i64);
        let owner = id % 8;
        let order = if rng.chance(500) { buy(id, price, qty) } else { sell(id, price, qty) };
        let peak = if rng.chance(100) { 5 } else { 0 };
        let request = match engine.get(id) {
            None => Request::New(NewOrder { owner, peak, self_trade: SelfTrade::CancelOldest, ..order }),
            Some(_) if rng.chance(700) => Request::Cancel { id, owner },
            Some(_) => Request::Amend(Amend { id, owner, kind: Kind::Limit { price }, qty }),
        };
        engine.request(&request, now as i64, out);
        trades += out.trades.len();
        out.clear();
    }
    trades
}

#[test]
fn limit_orders_allocate_nothing() {
    let mut engine = Engine::new(Rules::default()).unwrap();
    let (mut rng, mut out) = (Rng::new(11), Output::default());
    out.reports.reserve(10_000);
    out.ops.reserve(10_000);
    out.trades.reserve(10_000);
    trade(&mut engine, &mut rng, &mut out, 200_000);
    let before = ALLOCATIONS.get();
    let trades = trade(&mut engine, &mut rng, &mut out, 100_000);
    assert_eq!(ALLOCATIONS.get() - before, 0, "{} orders rest", engine.len());
    assert!(trades > 20_000, "{trades}");
    assert!(engine.len() > 100, "{}", engine.len());
}
