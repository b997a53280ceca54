//! Auctions: how the price comes about, step by step, and who trades at it.

mod matching_support;

use matching_support::{Exchange, buy, order, sell};
use outcrier_core::event::{AGGRESSOR_UNKNOWN, Side, TRADE_AUCTION};
use outcrier_core::matching::{Indicative, Kind, NewOrder, Phase, Reject, Rules, SelfTrade, TimeInForce};

fn call(tick: i64) -> Exchange {
    let mut exchange = Exchange::new(Rules { tick, ..Rules::default() });
    exchange.phase(Phase::Call);
    exchange
}

/// A call with bids and asks by price and quantity.
fn collected(tick: i64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Exchange {
    let mut exchange = call(tick);
    for (id, (price, qty)) in (1..).zip(bids) {
        exchange.enter(buy(id, *price, *qty));
    }
    for (id, (price, qty)) in (101..).zip(asks) {
        exchange.enter(sell(id, *price, *qty));
    }
    exchange
}

fn indicates(exchange: &Exchange, price: i64, qty: i64, surplus: i64) {
    assert_eq!(exchange.engine.indicative(), Some(Indicative { price, qty, surplus }));
}

fn market(id: u64, side: Side, qty: i64) -> NewOrder {
    order(id, side, Kind::Market, qty)
}

#[test]
fn the_price_is_the_one_at_which_most_trades() {
    indicates(
        &collected(1, &[(102, 200), (101, 200), (100, 300)], &[(98, 200), (99, 200), (100, 300)]),
        100,
        700,
        0,
    );
    assert_eq!(collected(1, &[(100, 1)], &[(101, 1)]).engine.indicative(), None);
    assert_eq!(call(1).engine.indicative(), None);
}

#[test]
fn of_those_the_one_with_the_least_surplus() {
    // 500 trade at 100 and at 101; there 300 are left over, here none.
    indicates(&collected(1, &[(101, 500), (100, 300)], &[(100, 500)]), 101, 500, 0);
}

#[test]
fn a_surplus_of_buyers_takes_the_highest_and_one_of_sellers_the_lowest() {
    indicates(&collected(1, &[(105, 5)], &[(100, 3)]), 105, 3, 2);
    indicates(&collected(1, &[(105, 3)], &[(100, 5)]), 100, 3, -2);
}

#[test]
fn otherwise_the_one_closest_to_the_reference() {
    let mut exchange = collected(2, &[(110, 5)], &[(100, 5)]);
    // Without a reference the middle, on the tick.
    indicates(&exchange, 104, 5, 0);
    for (reference, price) in [(90, 100), (100, 100), (106, 106), (120, 110)] {
        exchange.engine.set_reference(Some(reference)).unwrap();
        indicates(&exchange, price, 5, 0);
    }
    assert_eq!(exchange.engine.set_reference(Some(101)), Err(Reject::Price));
    exchange.does(|engine, now, out| engine.set_band(Some((100, 110)), now, out).unwrap());
    assert_eq!(exchange.engine.set_reference(Some(98)), Err(Reject::Band));
    // 120 was forgotten with the band.
    indicates(&exchange, 104, 5, 0);
}

/// As much buying as selling is left over at two prices with nothing between them.
#[test]
fn buyers_left_below_and_sellers_above_leave_it_to_the_reference() {
    let mut exchange = collected(1, &[(101, 5), (100, 2)], &[(100, 5), (101, 2)]);
    indicates(&exchange, 100, 5, 2);
    exchange.engine.set_reference(Some(101)).unwrap();
    indicates(&exchange, 101, 5, -2);
}

#[test]
fn market_orders_trade_first_and_at_any_price() {
    let mut exchange = collected(1, &[(102, 4)], &[(100, 5), (101, 5)]);
    assert_eq!(exchange.enter(market(50, Side::Bid, 3)), ["50 New: 3 0 3"]);
    assert_eq!(exchange.ops(), [""; 0]);
    assert_eq!(exchange.enter(market(51, Side::Bid, 1)), ["51 New: 1 0 1"]);
    indicates(&exchange, 101, 8, -2);
    assert_eq!(
        exchange.phase(Phase::Continuous),
        [
            "50 Fill 3@101 Auction t1: 3 3 0",
            "101 Partial 3@101 Auction t1: 5 3 2",
            "51 Fill 1@101 Auction t2: 1 1 0",
            "101 Partial 1@101 Auction t2: 5 4 1",
            "1 Partial 1@101 Auction t3: 4 1 3",
            "101 Fill 1@101 Auction t3: 5 5 0",
            "1 Fill 3@101 Auction t4: 4 4 0",
            "102 Partial 3@101 Auction t4: 5 3 2",
        ]
    );
    assert_eq!(
        exchange.ops(),
        [
            "execute 101 ask 3@100 t1",
            "execute 101 ask 1@100 t2",
            "execute 1 bid 1@102 t3",
            "execute 101 ask 1@100 t3",
            "execute 1 bid 3@102 t4",
            "execute 102 ask 3@101 t4",
        ]
    );
    let is_of_auction = |trade: &&outcrier_core::event::Trade| {
        trade.trade_flags == TRADE_AUCTION && trade.aggressor == AGGRESSOR_UNKNOWN && trade.price == 101
    };
    assert_eq!(exchange.out.trades.iter().filter(is_of_auction).count(), 4);
    assert_eq!(exchange.shown(Side::Ask), [(102, 101, 2)]);
}

#[test]
fn market_orders_alone_trade_at_the_reference() {
    let mut exchange = call(1);
    exchange.enter(market(1, Side::Bid, 3));
    exchange.enter(market(2, Side::Ask, 2));
    assert_eq!(exchange.engine.indicative(), None);
    exchange.engine.set_reference(Some(77)).unwrap();
    indicates(&exchange, 77, 2, 1);
    assert_eq!(
        exchange.phase(Phase::Continuous),
        ["1 Partial 2@77 Auction t1: 3 2 1", "2 Fill 2@77 Auction t1: 2 2 0", "1 Cancelled(Unfilled): 3 2 0"]
    );
    assert!(exchange.engine.is_empty());
}

/// Hidden quantity counts, and comes behind what is shown at its price.
#[test]
fn icebergs_take_part_with_all_they_have() {
    let mut exchange = call(1);
    exchange.enter(NewOrder { peak: 2, ..sell(1, 100, 6) });
    exchange.enter(sell(2, 100, 2));
    exchange.enter(buy(3, 100, 5));
    indicates(&exchange, 100, 5, -3);
    assert_eq!(
        exchange.phase(Phase::Continuous),
        [
            "3 Partial 2@100 Auction t1: 5 2 3",
            "1 Partial 2@100 Auction t1: 6 2 4",
            "3 Partial 2@100 Auction t2: 5 4 1",
            "2 Fill 2@100 Auction t2: 2 2 0",
            "3 Fill 1@100 Auction t3: 5 5 0",
            "1 Partial 1@100 Auction t3: 6 3 3",
        ]
    );
    assert_eq!(exchange.shown(Side::Ask), [(1, 100, 1)]);
}

#[test]
fn a_call_takes_what_can_wait() {
    let mut exchange = collected(1, &[(105, 5)], &[]);
    assert_eq!(
        exchange.enter(NewOrder { tif: TimeInForce::Ioc, ..sell(2, 100, 1) }),
        ["2 Rejected(Phase): 1 0 0"]
    );
    assert_eq!(
        exchange.enter(NewOrder { tif: TimeInForce::Fok, ..sell(2, 100, 1) }),
        ["2 Rejected(Phase): 1 0 0"]
    );
    assert_eq!(exchange.enter(NewOrder { post_only: true, ..sell(2, 110, 1) }), ["2 Rejected(Phase): 1 0 0"]);
    exchange.enter(sell(2, 110, 1));
    // An amend over the best bid does not trade now; own orders trade in an auction.
    assert_eq!(exchange.amend(2, 100, 1), ["2 Replaced lost: 1 0 1"]);
    assert_eq!(exchange.ops(), ["lose 2 ask 1@100"]);
    assert_eq!(
        (exchange.shown(Side::Bid), exchange.shown(Side::Ask)),
        (vec![(1, 105, 5)], vec![(2, 100, 1)])
    );
    exchange.enter(NewOrder { self_trade: SelfTrade::CancelBoth, ..sell(3, 100, 1) });
    exchange.phase(Phase::Halted);
    assert_eq!(exchange.cancel(3), ["3 Cancelled(Asked): 1 0 0"]);
    assert_eq!(
        exchange.phase(Phase::Continuous),
        ["1 Partial 1@105 Auction t1: 5 1 4", "2 Fill 1@105 Auction t1: 1 1 0"]
    );
}

#[test]
fn market_orders_of_a_call_are_amended_and_cancelled() {
    let mut exchange = call(1);
    for id in 1..4 {
        exchange.enter(market(id, Side::Ask, 5));
    }
    let amend = |id, qty| {
        outcrier_core::matching::Request::Amend(outcrier_core::matching::Amend {
            id,
            owner: 1,
            kind: Kind::Market,
            qty,
        })
    };
    assert_eq!(exchange.request(amend(1, 6)), ["1 Replaced lost: 6 0 6"]);
    assert_eq!(exchange.request(amend(2, 4)), ["2 Replaced kept: 4 0 4"]);
    assert_eq!(exchange.cancel(3), ["3 Cancelled(Asked): 5 0 0"]);
    exchange.enter(buy(9, 100, 9));
    assert_eq!(
        exchange.phase(Phase::Continuous),
        [
            "9 Partial 4@100 Auction t1: 9 4 5",
            "2 Fill 4@100 Auction t1: 4 4 0",
            "9 Fill 5@100 Auction t2: 9 9 0",
            "1 Partial 5@100 Auction t2: 6 5 1",
            "1 Cancelled(Unfilled): 6 5 0",
        ]
    );
}

#[test]
fn the_price_of_an_auction_triggers_stops() {
    let mut exchange = collected(1, &[(100, 5)], &[(100, 5), (103, 2)]);
    exchange.enter(order(50, Side::Bid, Kind::Stop { stop: 100 }, 1));
    exchange.enter(order(51, Side::Bid, Kind::Stop { stop: 104 }, 1));
    assert_eq!(
        exchange.phase(Phase::Continuous),
        [
            "1 Fill 5@100 Auction t1: 5 5 0",
            "101 Fill 5@100 Auction t1: 5 5 0",
            "50 Triggered: 1 0 1",
            "50 Fill 1@103 Taker t2: 1 1 0",
            "102 Partial 1@103 Maker t2: 2 1 1",
        ]
    );
    assert_eq!(exchange.engine.len(), 2);
}

/// Prices at both ends of 64 bits.
#[test]
fn the_ends_of_the_range_are_prices_too() {
    let mut exchange = collected(1, &[(i64::MAX, 5)], &[(i64::MIN + 1, 5)]);
    indicates(&exchange, 0, 5, 0);
    exchange.enter(market(50, Side::Bid, 1));
    indicates(&exchange, i64::MAX, 5, 1);
    assert_eq!(exchange.phase(Phase::Continuous).len(), 4);
}
