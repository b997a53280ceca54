//! Stops: what triggers them, in which order they come, and how one leads to another.

mod matching_support;

use matching_support::{Exchange, buy, order, sell};
use outcrier_core::event::Side;
use outcrier_core::matching::{Amend, Engine, Kind, NewOrder, Phase, Request, Rules, STOPS_MAX, TimeInForce};

fn stop(id: u64, side: Side, stop: i64, qty: i64) -> NewOrder {
    order(id, side, Kind::Stop { stop }, qty)
}

/// An exchange whose last trade was at 100, with asks at 101 to 105 and bids at 99 to 95, ten each, numbers by price.
fn exchange() -> Exchange {
    let mut exchange = Exchange::new(Rules::default());
    exchange.enter(sell(1, 100, 1));
    exchange.enter(buy(2, 100, 1));
    for price in 101..106 {
        exchange.enter(sell(price as u64, price, 10));
        exchange.enter(buy(200 - price as u64, 200 - price, 10));
    }
    exchange
}

#[test]
fn a_stop_waits_for_a_trade_at_its_price_and_is_a_market_order_then() {
    let mut exchange = exchange();
    assert_eq!(exchange.enter(stop(1, Side::Bid, 102, 3)), ["1 New: 3 0 3"]);
    assert_eq!(exchange.ops(), [""; 0]);
    assert_eq!(exchange.enter(buy(2, 101, 10)).len(), 3);
    assert_eq!(
        exchange.enter(buy(3, 102, 1)),
        [
            "3 New: 1 0 1",
            "3 Fill 1@102 Taker t3: 1 1 0",
            "102 Partial 1@102 Maker t3: 10 1 9",
            "1 Triggered: 3 0 3",
            "1 Fill 3@102 Taker t4: 3 3 0",
            "102 Partial 3@102 Maker t4: 10 4 6",
        ]
    );
}

#[test]
fn a_stop_limit_rests_at_its_limit() {
    let mut exchange = exchange();
    exchange.enter(order(1, Side::Ask, Kind::StopLimit { stop: 99, price: 98 }, 25));
    assert_eq!(
        exchange.enter(sell(2, 99, 5)).split_off(3),
        [
            "1 Triggered: 25 0 25",
            "1 Partial 5@99 Taker t3: 25 5 20",
            "99 Fill 5@99 Maker t3: 10 10 0",
            "1 Partial 10@98 Taker t4: 25 15 10",
            "98 Fill 10@98 Maker t4: 10 10 0",
        ]
    );
    assert_eq!(exchange.shown(Side::Ask)[0], (1, 98, 10));
}

#[test]
fn a_stop_that_the_last_trade_has_reached_comes_at_once() {
    let mut exchange = exchange();
    assert_eq!(
        exchange.enter(stop(1, Side::Ask, 100, 1)),
        [
            "1 New: 1 0 1",
            "1 Triggered: 1 0 1",
            "1 Fill 1@99 Taker t2: 1 1 0",
            "99 Partial 1@99 Maker t2: 10 1 9"
        ]
    );
}

/// The nearest price first, at one price who came first, buys before sales; whoever is triggered by those comes behind them.
#[test]
fn stops_come_in_a_fixed_order() {
    let mut exchange = exchange();
    exchange.enter(stop(10, Side::Bid, 102, 1));
    exchange.enter(stop(11, Side::Bid, 101, 9));
    exchange.enter(stop(12, Side::Bid, 101, 1));
    exchange.enter(stop(13, Side::Bid, 101, 1));
    let reports = exchange.enter(buy(20, 101, 1));
    let names = |reports: &[String], word: &str| -> Vec<String> {
        let of_it = reports.iter().filter(|line| line.contains(word));
        of_it.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    // 11 takes the last at 101, 12 the first at 102, which triggers 10 behind 13.
    assert_eq!(names(&reports, "Triggered"), ["11", "12", "13", "10"]);
    assert_eq!(names(&reports, "Taker"), ["20", "11", "12", "13", "10"]);
}

/// A sweep upwards that begins below the last trade triggers sales too.
#[test]
fn every_trade_of_a_sweep_counts() {
    let mut exchange = exchange();
    exchange.enter(stop(10, Side::Ask, 98, 1));
    exchange.enter(sell(20, 105, 1));
    exchange.cancel(99);
    exchange.cancel(98);
    exchange.enter(sell(21, 98, 1));
    let reports = exchange.enter(buy(22, 101, 2));
    assert!(reports.contains(&"22 Partial 1@98 Taker t2: 2 1 1".to_owned()), "{reports:?}");
    assert!(reports.contains(&"22 Fill 1@101 Taker t3: 2 2 0".to_owned()), "{reports:?}");
    assert!(reports.contains(&"10 Fill 1@97 Taker t4: 1 1 0".to_owned()), "{reports:?}");
}

#[test]
fn a_cascade_ends() {
    let mut exchange = exchange();
    for at in 0..5_u64 {
        exchange.enter(stop(10 + at, Side::Bid, 101 + at as i64, 10));
    }
    let reports = exchange.enter(buy(30, 101, 1));
    assert_eq!(reports.iter().filter(|line| line.contains("Triggered")).count(), 5);
    // 49 were left of 50, and five times 10 were asked for.
    assert_eq!(reports.last().unwrap(), "14 Cancelled(Unfilled): 10 9 0");
    assert_eq!((exchange.engine.len(), exchange.engine.open(Side::Ask)), (5, 0));
}

#[test]
fn stops_are_amended_cancelled_and_expire() {
    let mut exchange = exchange();
    let gtd = NewOrder { tif: TimeInForce::Gtd(100), ..stop(1, Side::Bid, 104, 5) };
    exchange.enter(gtd);
    exchange.enter(stop(2, Side::Bid, 104, 5));
    exchange.enter(stop(3, Side::Bid, 104, 5));
    let amend = |id, stop, qty| Request::Amend(Amend { id, owner: 1, kind: Kind::Stop { stop }, qty });
    assert_eq!(exchange.request(amend(2, 104, 4)), ["2 Replaced kept: 4 0 4"]);
    assert_eq!(exchange.request(amend(2, 104, 6)), ["2 Replaced lost: 6 0 6"]);
    assert_eq!(exchange.request(amend(2, 104, 1)), ["2 Replaced kept: 1 0 1"]);
    assert_eq!(exchange.amend(2, 104, 1), ["2 AmendRejected(Combination): 1 0 1"]);
    assert_eq!(exchange.request(amend(3, 100, 5))[..2], ["3 Replaced lost: 5 0 5", "3 Triggered: 5 0 5"]);
    assert_eq!(exchange.cancel(2), ["2 Cancelled(Asked): 1 0 0"]);
    exchange.now = 99;
    assert_eq!(exchange.does(Engine::expire), ["1 Expired: 5 0 0"]);
    assert_eq!(exchange.engine.open(Side::Bid), 50);
}

#[test]
fn stops_of_a_call_wait_for_continuous_trading() {
    let mut exchange = exchange();
    exchange.phase(Phase::Call);
    assert_eq!(exchange.enter(stop(1, Side::Bid, 100, 1)), ["1 New: 1 0 1"]);
    exchange.phase(Phase::Halted);
    assert_eq!(exchange.enter(stop(2, Side::Bid, 100, 1)), ["2 Rejected(Phase): 1 0 0"]);
    assert_eq!(
        exchange.phase(Phase::Continuous),
        ["1 Triggered: 1 0 1", "1 Fill 1@101 Taker t2: 1 1 0", "101 Partial 1@101 Maker t2: 10 1 9"]
    );
}

#[test]
fn there_are_no_more_stops_than_fit() {
    let mut exchange = Exchange::new(Rules::default());
    let mut out = outcrier_core::matching::Output::default();
    for id in 0..STOPS_MAX as u64 {
        exchange.engine.request(&Request::New(stop(id, Side::Bid, 100, 1)), 0, &mut out);
    }
    assert_eq!(exchange.engine.len(), STOPS_MAX);
    let one_more = STOPS_MAX as u64;
    assert_eq!(
        exchange.enter(stop(one_more, Side::Ask, 100, 1)),
        [format!("{one_more} Rejected(Full): 1 0 0")]
    );
    assert_eq!(exchange.enter(buy(one_more, 100, 1)), [format!("{one_more} New: 1 0 1")]);
}
