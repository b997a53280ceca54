//! Kinds of orders in continuous trading, with every report written out.

mod matching_support;

use matching_support::{Exchange, buy, order, sell};
use outcrier_core::event::{AGGRESSOR_BUY, AGGRESSOR_SELL, Side, Trade};
use outcrier_core::matching::{Engine, Kind, NewOrder, Phase, Rules, RulesError, TimeInForce};
use outcrier_core::orders::ORDERS_MAX;

fn exchange() -> Exchange {
    Exchange::new(Rules::default())
}

#[test]
fn a_limit_trades_at_the_price_of_who_rests_and_the_rest_of_it_rests() {
    let mut exchange = exchange();
    assert_eq!(exchange.enter(sell(1, 101, 3)), ["1 New: 3 0 3"]);
    assert_eq!(exchange.ops(), ["add 1 ask 3@101"]);
    exchange.enter(sell(2, 100, 2));
    assert_eq!(
        exchange.enter(buy(3, 101, 6)),
        [
            "3 New: 6 0 6",
            "3 Partial 2@100 Taker t1: 6 2 4",
            "2 Fill 2@100 Maker t1: 2 2 0",
            "3 Partial 3@101 Taker t2: 6 5 1",
            "1 Fill 3@101 Maker t2: 3 3 0",
        ]
    );
    assert_eq!(exchange.ops(), ["execute 2 ask 2@100 t1", "execute 1 ask 3@101 t2", "add 3 bid 1@101"]);
    let trade = Trade {
        price: 100,
        qty: 2,
        trade_id: 1,
        trade_ts: 3,
        aggressor: AGGRESSOR_BUY,
        trade_flags: 0,
        n_fills: 1,
        id_span: 0,
    };
    assert_eq!(exchange.out.trades, [trade, Trade { price: 101, qty: 3, trade_id: 2, ..trade }]);
    assert_eq!((exchange.engine.last(), exchange.engine.open(Side::Bid)), (Some(101), 1));
    exchange.enter(sell(4, 90, 1));
    assert_eq!(exchange.out.trades[0].aggressor, AGGRESSOR_SELL);
    assert!(exchange.engine.is_empty() && exchange.engine.book().queues().is_empty());
}

#[test]
fn at_one_price_the_first_trades_first() {
    let mut exchange = exchange();
    for id in 1..4 {
        exchange.enter(buy(id, 100, 2));
    }
    assert_eq!(
        exchange.enter(sell(4, 100, 3)),
        [
            "4 New: 3 0 3",
            "4 Partial 2@100 Taker t1: 3 2 1",
            "1 Fill 2@100 Maker t1: 2 2 0",
            "4 Fill 1@100 Taker t2: 3 3 0",
            "2 Partial 1@100 Maker t2: 2 1 1",
        ]
    );
    assert_eq!(exchange.shown(Side::Bid), [(2, 100, 1), (3, 100, 2)]);
}

#[test]
fn a_market_order_takes_what_there_is_and_never_rests() {
    let mut exchange = exchange();
    let market = |id, qty| order(id, Side::Bid, Kind::Market, qty);
    assert_eq!(exchange.enter(market(9, 1)), ["9 New: 1 0 1", "9 Cancelled(Unfilled): 1 0 0"]);
    exchange.enter(sell(1, 1_000, 2));
    assert_eq!(
        exchange.enter(market(2, 5)),
        [
            "2 New: 5 0 5",
            "2 Partial 2@1000 Taker t1: 5 2 3",
            "1 Fill 2@1000 Maker t1: 2 2 0",
            "2 Cancelled(Unfilled): 5 2 0",
        ]
    );
}

#[test]
fn ioc_takes_a_part_and_fok_all_or_nothing() {
    let mut exchange = exchange();
    exchange.enter(sell(1, 100, 2));
    exchange.enter(sell(2, 101, 2));
    let ioc = |id, qty| NewOrder { tif: TimeInForce::Ioc, ..buy(id, 100, qty) };
    let fok = |id, price, qty| NewOrder { tif: TimeInForce::Fok, ..buy(id, price, qty) };
    assert_eq!(exchange.enter(fok(3, 100, 3)), ["3 New: 3 0 3", "3 Cancelled(Unfilled): 3 0 0"]);
    assert_eq!(exchange.enter(fok(4, 101, 5)), ["4 New: 5 0 5", "4 Cancelled(Unfilled): 5 0 0"]);
    assert_eq!(exchange.out.ops, []);
    assert_eq!(
        exchange.enter(fok(5, 101, 3)),
        [
            "5 New: 3 0 3",
            "5 Partial 2@100 Taker t1: 3 2 1",
            "1 Fill 2@100 Maker t1: 2 2 0",
            "5 Fill 1@101 Taker t2: 3 3 0",
            "2 Partial 1@101 Maker t2: 2 1 1",
        ]
    );
    exchange.enter(sell(6, 100, 1));
    assert_eq!(
        exchange.enter(ioc(7, 4)),
        [
            "7 New: 4 0 4",
            "7 Partial 1@100 Taker t3: 4 1 3",
            "6 Fill 1@100 Maker t3: 1 1 0",
            "7 Cancelled(Unfilled): 4 1 0",
        ]
    );
}

/// What an iceberg hides counts for a fill-or-kill.
#[test]
fn fok_reaches_into_icebergs() {
    let mut exchange = exchange();
    exchange.enter(NewOrder { peak: 2, ..sell(1, 100, 7) });
    let fok = |id, qty| NewOrder { tif: TimeInForce::Fok, ..buy(id, 100, qty) };
    assert_eq!(exchange.enter(fok(2, 8)).last().unwrap(), "2 Cancelled(Unfilled): 8 0 0");
    assert_eq!(exchange.enter(fok(3, 7)).last().unwrap(), "1 Fill 1@100 Maker t4: 7 7 0");
    assert_eq!(exchange.out.trades.iter().map(|trade| trade.qty).collect::<Vec<_>>(), [2, 2, 2, 1]);
}

#[test]
fn post_only_is_rejected_where_it_would_trade() {
    let mut exchange = exchange();
    exchange.enter(sell(1, 101, 2));
    let post = |id, price| NewOrder { post_only: true, ..buy(id, price, 1) };
    assert_eq!(exchange.enter(post(2, 101)), ["2 Rejected(WouldTrade): 1 0 0"]);
    assert_eq!(exchange.enter(post(2, 100)), ["2 New: 1 0 1"]);
    assert_eq!(exchange.amend(2, 102, 1), ["2 AmendRejected(WouldTrade): 1 0 1"]);
    assert_eq!(exchange.shown(Side::Bid), [(2, 100, 1)]);
}

#[test]
fn an_iceberg_shows_its_next_peak_at_the_back() {
    let mut exchange = exchange();
    exchange.enter(NewOrder { peak: 3, ..sell(1, 100, 8) });
    exchange.enter(sell(2, 100, 2));
    assert_eq!(exchange.shown(Side::Ask), [(1, 100, 3), (2, 100, 2)]);
    assert_eq!(exchange.engine.get(1).unwrap().hidden, 5);
    exchange.enter(buy(3, 100, 1));
    assert_eq!(exchange.shown(Side::Ask), [(1, 100, 2), (2, 100, 2)]);
    assert_eq!(
        exchange.enter(buy(4, 100, 5)),
        [
            "4 New: 5 0 5",
            "4 Partial 2@100 Taker t2: 5 2 3",
            "1 Partial 2@100 Maker t2: 8 3 5",
            "4 Partial 2@100 Taker t3: 5 4 1",
            "2 Fill 2@100 Maker t3: 2 2 0",
            "4 Fill 1@100 Taker t4: 5 5 0",
            "1 Partial 1@100 Maker t4: 8 4 4",
        ]
    );
    assert_eq!(
        exchange.ops(),
        ["execute 1 ask 2@100 t2", "add 1 ask 3@100", "execute 2 ask 2@100 t3", "execute 1 ask 1@100 t4",]
    );
    assert_eq!(exchange.engine.get(1).unwrap().hidden, 2);
    // As one that comes it trades whole, and what rests shows a peak.
    exchange.enter(NewOrder { peak: 2, ..buy(5, 100, 9) });
    assert_eq!(exchange.shown(Side::Bid), [(5, 100, 2)]);
    assert_eq!(exchange.engine.get(5).map(|working| (working.filled, working.hidden)), Some((4, 3)));
}

#[test]
fn an_order_ends_at_its_time_and_not_before() {
    let mut exchange = exchange();
    let until = |id, at| NewOrder { tif: TimeInForce::Gtd(at), ..buy(id, 100, 1) };
    exchange.enter(until(8, 20));
    exchange.enter(until(7, 20));
    exchange.enter(until(6, 10));
    assert_eq!(exchange.enter(until(5, 4)), ["5 Rejected(Time): 1 0 0"]);
    exchange.now = 8;
    assert_eq!(exchange.does(Engine::expire), [""; 0]);
    assert_eq!(exchange.does(Engine::expire), ["6 Expired: 1 0 0"]);
    exchange.now = 19;
    // Nobody trades with an order whose time is over.
    assert_eq!(exchange.enter(sell(9, 100, 1)), ["7 Expired: 1 0 0", "8 Expired: 1 0 0", "9 New: 1 0 1"]);
    assert_eq!(exchange.ops(), ["delete 7 bid 1@100", "delete 8 bid 1@100", "add 9 ask 1@100"]);
}

#[test]
fn a_close_ends_orders_of_the_day_and_takes_cancels_only() {
    let mut exchange = exchange();
    exchange.enter(NewOrder { tif: TimeInForce::Gtc, ..buy(1, 99, 1) });
    exchange.enter(buy(2, 100, 1));
    exchange.enter(order(3, Side::Ask, Kind::Stop { stop: 90 }, 1));
    assert_eq!(exchange.phase(Phase::Closed), ["2 Expired: 1 0 0", "3 Expired: 1 0 0"]);
    assert_eq!(exchange.enter(buy(4, 100, 1)), ["4 Rejected(Phase): 1 0 0"]);
    assert_eq!(exchange.amend(1, 98, 1), ["1 AmendRejected(Phase): 1 0 1"]);
    assert_eq!(exchange.cancel(1), ["1 Cancelled(Asked): 1 0 0"]);
}

#[test]
fn what_does_not_fit_the_rules_is_rejected() {
    let rules = Rules { tick: 5, lot: 10, qty_max: 100_000, band: Some((50, 150)), orders_max: 2 };
    let mut exchange = Exchange::new(rules);
    let mut refuses = |order: NewOrder, reason: &str| {
        assert_eq!(exchange.enter(order), [format!("{} Rejected({reason}): {} 0 0", order.id, order.qty)]);
    };
    refuses(buy(1, 101, 10), "Price");
    refuses(order(1, Side::Bid, Kind::Stop { stop: 101 }, 10), "Price");
    refuses(buy(1, 100, 15), "Quantity");
    refuses(buy(1, 100, 0), "Quantity");
    refuses(buy(1, 100, -10), "Quantity");
    refuses(buy(1, 100, 100_010), "Quantity");
    refuses(buy(1, 155, 10), "Band");
    refuses(buy(1, 45, 10), "Band");
    refuses(NewOrder { peak: 5, ..buy(1, 100, 10) }, "Peak");
    refuses(NewOrder { peak: -10, ..buy(1, 100, 10) }, "Peak");
    refuses(NewOrder { peak: 10, ..buy(1, 100, 10_010) }, "Peak");
    refuses(NewOrder { peak: 10, tif: TimeInForce::Ioc, ..buy(1, 100, 20) }, "Combination");
    refuses(NewOrder { peak: 10, ..order(1, Side::Bid, Kind::Market, 20) }, "Combination");
    refuses(NewOrder { post_only: true, tif: TimeInForce::Fok, ..buy(1, 100, 20) }, "Combination");
    let ioc = TimeInForce::Ioc;
    refuses(NewOrder { tif: ioc, ..order(1, Side::Bid, Kind::Stop { stop: 100 }, 20) }, "Combination");

    assert_eq!(exchange.enter(NewOrder { peak: 10, ..buy(1, 150, 10_000) }), ["1 New: 10000 0 10000"]);
    assert_eq!(exchange.enter(buy(1, 100, 10)), ["1 Rejected(Duplicate): 10 0 0"]);
    exchange.enter(buy(2, 50, 10));
    assert_eq!(exchange.enter(sell(3, 150, 10)), ["3 Rejected(Full): 10 0 0"]);
    assert_eq!(exchange.cancel(4), ["4 CancelRejected(Unknown): 0 0 0"]);
}

/// A new band cancels what is outside, so that a market order finds nothing there.
#[test]
fn nothing_trades_outside_the_band() {
    let mut exchange = exchange();
    for (id, price) in [(1, 100), (2, 110), (3, 120)] {
        exchange.enter(sell(id, price, 1));
    }
    exchange.enter(order(4, Side::Bid, Kind::StopLimit { stop: 200, price: 130 }, 1));
    let set = |engine: &mut Engine, now, out: &mut _| engine.set_band(Some((90, 110)), now, out).unwrap();
    assert_eq!(exchange.does(set), ["3 Cancelled(Band): 1 0 0", "4 Cancelled(Band): 1 0 0"]);
    let set = |engine: &mut Engine, now, out: &mut _| engine.set_band(Some((90, 105)), now, out).unwrap();
    exchange.does(set);
    exchange.enter(sell(5, 105, 1));
    exchange.does(|engine, now, out| engine.set_band(Some((90, 104)), now, out).unwrap());
    assert_eq!(
        exchange.enter(order(6, Side::Bid, Kind::Market, 3)),
        [
            "6 New: 3 0 3",
            "6 Partial 1@100 Taker t1: 3 1 2",
            "1 Fill 1@100 Maker t1: 1 1 0",
            "6 Cancelled(Unfilled): 3 1 0",
        ]
    );
    exchange.does(|engine, now, out| {
        assert_eq!(engine.set_band(Some((2, 1)), now, out), Err(RulesError::Band));
    });
}

#[test]
fn the_open_quantity_of_a_side_fits_64_bits() {
    let mut exchange = exchange();
    exchange.enter(buy(1, 100, i64::MAX - 1));
    assert_eq!(exchange.enter(buy(2, 99, 2)), ["2 Rejected(Overflow): 2 0 0"]);
    assert_eq!(exchange.enter(order(2, Side::Bid, Kind::Stop { stop: 101 }, 1)), ["2 New: 1 0 1"]);
    assert_eq!(
        exchange.amend(1, 100, i64::MAX),
        [format!("1 AmendRejected(Overflow): {0} 0 {0}", i64::MAX - 1)]
    );
    exchange.enter(sell(3, 100, i64::MAX));
    assert_eq!(exchange.engine.open(Side::Bid), 1);
    assert_eq!(exchange.shown(Side::Ask), [(3, 100, 1)]);
}

#[test]
fn rules_that_cannot_be_are_refused() {
    let with = |rules| Engine::new(rules).err();
    assert_eq!(with(Rules { tick: 0, ..Rules::default() }), Some(RulesError::Positive));
    assert_eq!(with(Rules { lot: -1, ..Rules::default() }), Some(RulesError::Positive));
    assert_eq!(with(Rules { qty_max: 0, ..Rules::default() }), Some(RulesError::Positive));
    assert_eq!(with(Rules { band: Some((2, 1)), ..Rules::default() }), Some(RulesError::Band));
    assert_eq!(with(Rules { orders_max: ORDERS_MAX + 1, ..Rules::default() }), Some(RulesError::Orders));
}

#[test]
fn what_stands_for_no_price_on_the_wire_is_none() {
    let mut exchange = exchange();
    assert_eq!(exchange.enter(buy(1, i64::MIN, 1)), ["1 Rejected(Price): 1 0 0"]);
    assert_eq!(exchange.enter(buy(2, i64::MIN + 1, 1)), ["2 New: 1 0 1"]);
}
