//! The engine against the plainest exchange that can be right, and against the laws that any exchange must keep.

mod matching_naive;

use std::collections::HashMap;

use matching_naive::{Kept, Naive};
use outcrier_core::event::{Side, order_op};
use outcrier_core::matching::{
    Amend, Engine, Event, Kind, NewOrder, Output, Phase, Report, Request, Rules, SelfTrade, TimeInForce,
};
use outcrier_core::orders::OrderBook;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    New(NewOrder),
    /// Prices, of which the first is kept as it is where the flag says so; quantity; the owner is a wrong one, the kind is another.
    Amend(u64, (i64, i64), bool, i64, bool, bool),
    Cancel(u64, u64),
    Phase(Phase),
    Reference(Option<i64>),
    Band(Option<(i64, i64)>),
    Expire,
}

/// Multiples of the tick of 2, now and then off it.
fn price() -> impl Strategy<Value = i64> {
    prop_oneof![40 => (46_i64..55).prop_map(|half| 2 * half), 1 => 92_i64..109]
}

fn kind() -> impl Strategy<Value = Kind> {
    let prices = (price(), price());
    (0_u8..12, prices).prop_map(|(kind, (price, stop))| match kind {
        0 | 1 => Kind::Market,
        2 => Kind::Stop { stop },
        3 => Kind::StopLimit { stop, price },
        _ => Kind::Limit { price },
    })
}

fn order() -> impl Strategy<Value = NewOrder> {
    let tif = prop_oneof![
        6 => Just(TimeInForce::Day),
        2 => Just(TimeInForce::Gtc),
        1 => Just(TimeInForce::Ioc),
        1 => Just(TimeInForce::Fok),
        2 => (0_i64..400).prop_map(TimeInForce::Gtd),
    ];
    let self_trade = prop_oneof![
        Just(SelfTrade::Allow),
        Just(SelfTrade::CancelNewest),
        Just(SelfTrade::CancelOldest),
        Just(SelfTrade::CancelBoth),
        Just(SelfTrade::Decrement),
    ];
    let side = prop_oneof![Just(Side::Bid), Just(Side::Ask)];
    let qty = prop_oneof![30 => (1_i64..20).prop_map(|half| 2 * half), 1 => -1_i64..50];
    let peak = prop_oneof![30 => Just(0_i64), 10 => (1_i64..4).prop_map(|half| 2 * half), 1 => -2_i64..2];
    let post_only = prop::bool::weighted(0.1);
    ((1_u64..16, 1_u64..4), side, kind(), qty, tif, post_only, peak, self_trade).prop_map(
        |((id, owner), side, kind, qty, tif, post_only, peak, self_trade)| NewOrder {
            id,
            owner,
            side,
            kind,
            qty,
            tif,
            post_only,
            peak,
            self_trade,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let amend = (
        1_u64..16,
        (price(), price()),
        any::<bool>(),
        0_i64..24,
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
    );
    let phase = prop_oneof![
        8 => Just(Phase::Continuous), 3 => Just(Phase::Call), 1 => Just(Phase::Halted), 1 => Just(Phase::Closed)
    ];
    let even = || (44_i64..57).prop_map(|half| 2 * half);
    prop_oneof![
        24 => order().prop_map(Step::New),
        8 => amend.prop_map(|(id, prices, keeps, half, other_owner, other_kind)| {
            Step::Amend(id, prices, keeps, 2 * half, other_owner, other_kind)
        }),
        3 => (1_u64..16, 1_u64..4).prop_map(|(id, owner)| Step::Cancel(id, owner)),
        3 => phase.prop_map(Step::Phase),
        1 => prop::option::of(even()).prop_map(Step::Reference),
        1 => prop::option::of((even(), even())).prop_map(Step::Band),
        1 => Just(Step::Expire),
    ]
}

fn rules() -> Rules {
    Rules { tick: 2, lot: 2, qty_max: 40, band: None, orders_max: 12 }
}

/// The request of a step that has one; the terms of an amend come from the order as it is.
fn request(step: &Step, engine: &Engine) -> Option<Request> {
    match *step {
        Step::New(order) => Some(Request::New(order)),
        Step::Cancel(id, owner) => Some(Request::Cancel { id, owner }),
        Step::Amend(id, (price, stop), keeps, qty, other_owner, other_kind) => {
            let known = engine.get(id).map(|working| working.order);
            let owner = known.map_or(1, |order| order.owner + u64::from(other_owner));
            let kind = match known.map_or(Kind::Market, |order| order.kind) {
                _ if other_kind => Kind::StopLimit { stop, price },
                kind if keeps => kind,
                Kind::Market => Kind::Market,
                Kind::Limit { .. } => Kind::Limit { price },
                Kind::Stop { .. } => Kind::Stop { stop },
                Kind::StopLimit { .. } => Kind::StopLimit { stop, price },
            };
            Some(Request::Amend(Amend { id, owner, kind, qty }))
        }
        _ => None,
    }
}

fn run(engine: &mut Engine, step: &Step, now: i64, out: &mut Output) {
    match *step {
        Step::Phase(phase) => engine.set_phase(phase, now, out),
        Step::Reference(price) => drop(engine.set_reference(price)),
        Step::Band(band) => drop(engine.set_band(band, now, out)),
        Step::Expire => engine.expire(now, out),
        _ => engine.request(&request(step, engine).expect("a request"), now, out),
    }
}

fn run_naive(naive: &mut Naive, engine: &Engine, step: &Step, now: i64) {
    match *step {
        Step::Phase(phase) => naive.set_phase(phase, now),
        Step::Reference(price) => {
            let is_outside =
                |price| naive.rules.band.is_some_and(|(low, high)| !(low..=high).contains(&price));
            if !price.is_some_and(is_outside) {
                naive.reference = price;
            }
        }
        Step::Band(Some((low, high))) if low > high => {}
        Step::Band(band) => naive.set_band(band, now),
        Step::Expire => naive.expire(now),
        _ => naive.request(&request(step, engine).expect("a request"), now),
    }
}

/// What the reports of an owner tell of an order.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    qty: i64,
    filled: i64,
}

/// Quantities, from the reports alone.
#[derive(Default)]
struct Accounts {
    open: HashMap<u64, Account>,
    /// What was ordered less what amends and prevention took back, what was filled, what was cancelled.
    ordered: i64,
    filled: i64,
    cancelled: i64,
}

impl Accounts {
    fn take(&mut self, report: &Report) -> Result<(), TestCaseError> {
        let Report { order_id, qty, filled, leaves, event, .. } = *report;
        let refused =
            matches!(event, Event::Rejected(_) | Event::AmendRejected(_) | Event::CancelRejected(_));
        if refused {
            return Ok(());
        }
        if event == Event::New {
            prop_assert!(self.open.insert(order_id, Account::default()).is_none());
        }
        let account = self.open.get_mut(&order_id).expect("the order works");
        self.ordered += qty - account.qty;
        let traded = match event {
            Event::PartialFill(fill) | Event::Fill(fill) => fill.qty,
            _ => 0,
        };
        self.filled += traded;
        prop_assert_eq!(filled, account.filled + traded);
        *account = Account { qty, filled };
        match event {
            Event::Cancelled(_) | Event::Expired => {
                prop_assert_eq!(leaves, 0);
                self.cancelled += qty - filled;
            }
            _ => prop_assert_eq!(leaves, qty - filled),
        }
        prop_assert_eq!(matches!(event, Event::Fill(_) | Event::Cancelled(_) | Event::Expired), leaves == 0);
        if leaves == 0 {
            self.open.remove(&order_id);
        }
        Ok(())
    }
}

/// Makes the changes to a book that knows nothing else, and sees that only the first in priority trade, at their price or, in an
/// auction, at that price or a worse one for them.
fn follow(mirror: &mut OrderBook, out: &Output, now: i64, is_auction: bool) -> Result<(), TestCaseError> {
    for op in &out.ops {
        if op.op == order_op::EXECUTE {
            let order = mirror.get(op.order_id).expect("the order is there");
            let best = mirror.queues().best(order.side).expect("there is a level");
            let first =
                mirror.queues().first(order.side, best.price).map(|first| mirror.queues().order(first));
            prop_assert_eq!(first, Some(order));
            let trade = out.trades.iter().find(|trade| trade.trade_id == op.ref_id).expect("a trade");
            prop_assert_eq!(trade.qty, op.qty);
            prop_assert_eq!(order.price, op.price);
            match order.side {
                _ if !is_auction => prop_assert_eq!(trade.price, order.price),
                Side::Bid => prop_assert!(trade.price <= order.price),
                Side::Ask => prop_assert!(trade.price >= order.price),
            }
        }
        prop_assert!(mirror.apply(op, now).is_ok());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, ..ProptestConfig::default() })]

    #[test]
    fn any_requests_give_the_same_reports(steps in prop::collection::vec((step(), 0_i64..6), 1..160)) {
        let mut engine = Engine::new(rules()).expect("good rules");
        let mut twin = engine.clone();
        let mut naive = Naive::new(rules());
        let mut mirror = OrderBook::new(1);
        let mut accounts = Accounts::default();
        let (mut out, mut twin_out) = (Output::default(), Output::default());
        let (mut now, mut trades) = (0, 0);
        for (step, later) in &steps {
            now += later;
            let before = engine.phase();
            prop_assert_eq!(engine.indicative(), naive.indicative());
            run_naive(&mut naive, &engine, step, now);
            run(&mut twin, step, now, &mut twin_out);
            out.clear();
            run(&mut engine, step, now, &mut out);

            prop_assert_eq!(&out.reports, &naive.reports);
            prop_assert_eq!(&out.trades, &naive.trades);
            naive.reports.clear();
            naive.trades.clear();
            prop_assert_eq!((engine.phase(), engine.last()), (naive.phase, naive.last));

            let is_auction = before != Phase::Continuous && engine.phase() == Phase::Continuous;
            if !is_auction {
                follow(&mut mirror, &out, now, false)?;
            } else {
                let of_auction = out.trades.iter().filter(|trade| trade.trade_flags != 0).count() as u64;
                let is_of_it = |id: u64| id <= trades + of_auction;
                let split = out.ops.iter().position(|op| op.op == order_op::EXECUTE && !is_of_it(op.ref_id));
                let (first, second) = out.ops.split_at(split.unwrap_or(out.ops.len()));
                let part = |ops: &[_]| Output { ops: ops.to_vec(), ..out.clone() };
                follow(&mut mirror, &part(first), now, true)?;
                follow(&mut mirror, &part(second), now, false)?;
            }
            for trade in &out.trades {
                trades += 1;
                prop_assert_eq!(trade.trade_id, trades);
            }
            prop_assert!(mirror.snapshot().eq(engine.book().snapshot()), "the mirror is another book");

            for side in [Side::Bid, Side::Ask] {
                let shown = engine.book().queues().orders(side).map(|order| (order.id, order.qty));
                let expected = naive.book(side);
                let expected = expected.iter().map(|kept| (kept.order.id, kept.shown));
                prop_assert_eq!(shown.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                let of_side = naive.orders.iter().filter(|kept| kept.order.side == side);
                prop_assert_eq!(engine.open(side), of_side.map(Kept::leaves).sum::<i64>());
            }
            prop_assert_eq!(engine.len(), naive.orders.len());
            for kept in &naive.orders {
                let working = engine.get(kept.order.id).expect("it works");
                prop_assert_eq!((working.order, working.filled), (kept.order, kept.filled));
                let shown = engine.book().get(kept.order.id).map(|order| order.qty + working.hidden);
                prop_assert_eq!(shown.unwrap_or(kept.leaves()), kept.leaves());
            }
            if engine.phase() == Phase::Continuous {
                let touch = [Side::Bid, Side::Ask].map(|side| engine.book().queues().best(side));
                if let [Some(bid), Some(ask)] = touch {
                    prop_assert!(bid.price < ask.price, "crossed: {} {}", bid.price, ask.price);
                }
            }

            for report in &out.reports {
                accounts.take(report)?;
            }
            let open = engine.open(Side::Bid) + engine.open(Side::Ask);
            prop_assert_eq!(accounts.ordered, accounts.filled + accounts.cancelled + open);
            prop_assert_eq!(accounts.open.len(), engine.len());
            let traded = twin_out.trades.iter().map(|trade| trade.qty).sum::<i64>();
            prop_assert_eq!(accounts.filled, 2 * traded);
        }
        // One answer after the other, or all of them in one buffer: the same bytes.
        let mut again = Engine::new(rules()).expect("good rules");
        let mut all = Output::default();
        let mut now = 0;
        for (step, later) in &steps {
            now += later;
            run(&mut again, step, now, &mut all);
        }
        prop_assert_eq!(all, twin_out);
    }
}
