//! Amends and self-trade prevention.

mod matching_support;

use matching_support::{Exchange, buy, sell};
use outcrier_core::event::Side;
use outcrier_core::matching::{NewOrder, Phase, Request, Rules, SelfTrade, TimeInForce};

fn exchange() -> Exchange {
    Exchange::new(Rules::default())
}

#[test]
fn less_keeps_the_place_and_anything_else_loses_it() {
    let mut exchange = exchange();
    for id in 1..4 {
        exchange.enter(buy(id, 100, 5));
    }
    assert_eq!(exchange.amend(1, 100, 3), ["1 Replaced kept: 3 0 3"]);
    assert_eq!(exchange.ops(), ["keep 1 bid 3@100"]);
    assert_eq!(exchange.amend(1, 100, 3), ["1 Replaced kept: 3 0 3"]);
    assert_eq!(exchange.ops(), [""; 0]);
    assert_eq!(exchange.shown(Side::Bid), [(1, 100, 3), (2, 100, 5), (3, 100, 5)]);
    assert_eq!(exchange.amend(1, 100, 4), ["1 Replaced lost: 4 0 4"]);
    assert_eq!(exchange.ops(), ["lose 1 bid 4@100"]);
    assert_eq!(exchange.shown(Side::Bid), [(2, 100, 5), (3, 100, 5), (1, 100, 4)]);
    assert_eq!(exchange.amend(2, 101, 2), ["2 Replaced lost: 2 0 2"]);
    assert_eq!(exchange.amend(2, 100, 2), ["2 Replaced lost: 2 0 2"]);
    assert_eq!(exchange.shown(Side::Bid), [(3, 100, 5), (1, 100, 4), (2, 100, 2)]);
    assert_eq!(exchange.engine.open(Side::Bid), 11);
}

/// The quantity of an amend is the whole one, so that what was filled on the way is not bought again.
#[test]
fn what_was_filled_counts() {
    let mut exchange = exchange();
    exchange.enter(buy(1, 100, 10));
    exchange.enter(sell(2, 100, 4));
    assert_eq!(exchange.amend(1, 100, 6), ["1 Replaced kept: 6 4 2"]);
    assert_eq!(exchange.shown(Side::Bid), [(1, 100, 2)]);
    assert_eq!(exchange.amend(1, 99, 9), ["1 Replaced lost: 9 4 5"]);
    assert_eq!(exchange.amend(1, 99, 4), ["1 Cancelled(Amended): 9 4 0"]);
    assert_eq!(exchange.ops(), ["delete 1 bid 5@99"]);
    assert_eq!(exchange.amend(1, 99, 4), ["1 AmendRejected(Unknown): 0 0 0"]);
}

#[test]
fn another_price_may_trade() {
    let mut exchange = exchange();
    exchange.enter(sell(1, 101, 2));
    exchange.enter(buy(2, 100, 5));
    assert_eq!(
        exchange.amend(2, 101, 6),
        ["2 Replaced lost: 6 0 6", "2 Partial 2@101 Taker t1: 6 2 4", "1 Fill 2@101 Maker t1: 2 2 0"]
    );
    assert_eq!(exchange.ops(), ["delete 2 bid 5@100", "execute 1 ask 2@101 t1", "add 2 bid 4@101"]);
}

#[test]
fn an_iceberg_gives_up_what_it_hides_first() {
    let mut exchange = exchange();
    exchange.enter(NewOrder { peak: 3, ..buy(1, 100, 10) });
    assert_eq!(exchange.amend(1, 100, 5), ["1 Replaced kept: 5 0 5"]);
    assert_eq!(exchange.ops(), [""; 0]);
    assert_eq!(exchange.amend(1, 100, 2), ["1 Replaced kept: 2 0 2"]);
    assert_eq!(exchange.ops(), ["keep 1 bid 2@100"]);
    assert_eq!(exchange.amend(1, 99, 9), ["1 Replaced lost: 9 0 9"]);
    assert_eq!(exchange.shown(Side::Bid), [(1, 99, 3)]);
    assert_eq!(exchange.engine.get(1).unwrap().hidden, 6);
}

#[test]
fn an_order_is_its_owners() {
    let mut exchange = exchange();
    exchange.enter(buy(1, 100, 10));
    let theirs = Request::Cancel { id: 1, owner: 2 };
    assert_eq!(exchange.request(theirs), ["1 CancelRejected(Unknown): 0 0 0"]);
    assert_eq!(exchange.cancel(1), ["1 Cancelled(Asked): 10 0 0"]);
    assert_eq!(exchange.cancel(1), ["1 CancelRejected(Unknown): 0 0 0"]);
    // The number is free again.
    assert_eq!(exchange.enter(buy(1, 100, 10)), ["1 New: 10 0 10"]);
}

/// Two of owner 1 with one of owner 2 between them, and one of owner 1 that comes.
fn meets(self_trade: SelfTrade, qty: i64) -> (Vec<String>, Vec<(u64, i64, i64)>) {
    let mut exchange = exchange();
    exchange.enter(sell(1, 100, 3));
    exchange.enter(NewOrder { owner: 2, ..sell(2, 100, 2) });
    exchange.enter(sell(3, 100, 4));
    let reports = exchange.enter(NewOrder { self_trade, ..buy(4, 100, qty) });
    (reports, [exchange.shown(Side::Bid), exchange.shown(Side::Ask)].concat())
}

#[test]
fn owners_trade_with_themselves_where_they_allow_it() {
    let (reports, shown) = meets(SelfTrade::Allow, 4);
    assert_eq!(reports.last().unwrap(), "2 Partial 1@100 Maker t2: 2 1 1");
    assert_eq!(shown, [(2, 100, 1), (3, 100, 4)]);
}

#[test]
fn the_newest_is_cancelled() {
    let (reports, shown) = meets(SelfTrade::CancelNewest, 9);
    assert_eq!(reports, ["4 New: 9 0 9", "4 Cancelled(SelfTrade): 9 0 0"]);
    assert_eq!(shown, [(1, 100, 3), (2, 100, 2), (3, 100, 4)]);
}

#[test]
fn the_oldest_is_cancelled() {
    let (reports, shown) = meets(SelfTrade::CancelOldest, 9);
    assert_eq!(
        reports,
        [
            "4 New: 9 0 9",
            "1 Cancelled(SelfTrade): 3 0 0",
            "4 Partial 2@100 Taker t1: 9 2 7",
            "2 Fill 2@100 Maker t1: 2 2 0",
            "3 Cancelled(SelfTrade): 4 0 0",
        ]
    );
    assert_eq!(shown, [(4, 100, 7)]);
}

#[test]
fn both_are_cancelled() {
    let (reports, shown) = meets(SelfTrade::CancelBoth, 9);
    assert_eq!(reports, ["4 New: 9 0 9", "4 Cancelled(SelfTrade): 9 0 0", "1 Cancelled(SelfTrade): 3 0 0"]);
    assert_eq!(shown, [(2, 100, 2), (3, 100, 4)]);
}

#[test]
fn the_smaller_is_cancelled_and_the_larger_becomes_smaller() {
    let (reports, shown) = meets(SelfTrade::Decrement, 6);
    assert_eq!(
        reports,
        [
            "4 New: 6 0 6",
            "4 Restated: 3 0 3",
            "1 Cancelled(SelfTrade): 3 0 0",
            "4 Partial 2@100 Taker t1: 3 2 1",
            "2 Fill 2@100 Maker t1: 2 2 0",
            "4 Cancelled(SelfTrade): 3 2 0",
            "3 Restated: 3 0 3",
        ]
    );
    assert_eq!(shown, [(3, 100, 3)]);
    let (reports, shown) = meets(SelfTrade::Decrement, 3);
    assert_eq!(reports, ["4 New: 3 0 3", "4 Cancelled(SelfTrade): 3 0 0", "1 Cancelled(SelfTrade): 3 0 0"]);
    assert_eq!(shown, [(2, 100, 2), (3, 100, 4)]);
}

/// An order that would have to be all filled is, or nothing is done, own orders included.
#[test]
fn a_fill_or_kill_that_meets_its_owner_cancels_nobody() {
    for (self_trade, is_filled) in [
        (SelfTrade::Allow, true),
        (SelfTrade::CancelNewest, false),
        (SelfTrade::CancelBoth, false),
        (SelfTrade::Decrement, false),
        (SelfTrade::CancelOldest, true),
    ] {
        let mut exchange = exchange();
        exchange.enter(NewOrder { owner: 2, peak: 1, ..sell(1, 100, 5) });
        exchange.enter(sell(2, 100, 4));
        let fok = NewOrder { self_trade, tif: TimeInForce::Fok, ..buy(3, 100, 5) };
        let reports = exchange.enter(fok);
        assert_eq!(reports.contains(&"3 Cancelled(Unfilled): 5 0 0".to_owned()), !is_filled, "{reports:?}");
        assert_eq!(exchange.out.ops.is_empty(), !is_filled);
        assert_eq!(exchange.engine.get(2).is_none(), is_filled);
        // What the other shows at first is before the own order.
        let one = NewOrder { self_trade, tif: TimeInForce::Fok, ..buy(4, 100, 1) };
        let mut exchange = self::exchange();
        exchange.enter(NewOrder { owner: 2, peak: 1, ..sell(1, 100, 5) });
        exchange.enter(sell(2, 100, 4));
        assert_eq!(exchange.enter(one)[1], "4 Fill 1@100 Taker t1: 1 1 0");
    }
}

#[test]
fn a_halt_takes_cancels_only() {
    let mut exchange = exchange();
    exchange.enter(buy(1, 100, 10));
    exchange.phase(Phase::Halted);
    assert_eq!(exchange.amend(1, 100, 5), ["1 AmendRejected(Phase): 10 0 10"]);
    assert_eq!(exchange.enter(buy(2, 100, 1)), ["2 Rejected(Phase): 1 0 0"]);
    assert_eq!(exchange.cancel(1), ["1 Cancelled(Asked): 10 0 0"]);
}
