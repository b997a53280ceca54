//! An engine that is spoken to in few words, and whose answers are lines.
#![allow(dead_code)] // Each test binary uses a part of it.

use outcrier_core::event::{OrderOp, Side, order_op};
use outcrier_core::matching::{
    Amend, Engine, Event, Fill, Kind, NewOrder, Output, Phase, Report, Request, Rules, SelfTrade, TimeInForce,
};
use outcrier_core::orders::OrderBook;

/// An order of the day of owner 1.
pub(crate) fn order(id: u64, side: Side, kind: Kind, qty: i64) -> NewOrder {
    NewOrder {
        id,
        owner: 1,
        side,
        kind,
        qty,
        tif: TimeInForce::Day,
        post_only: false,
        peak: 0,
        self_trade: SelfTrade::Allow,
    }
}

pub(crate) fn buy(id: u64, price: i64, qty: i64) -> NewOrder {
    order(id, Side::Bid, Kind::Limit { price }, qty)
}

pub(crate) fn sell(id: u64, price: i64, qty: i64) -> NewOrder {
    order(id, Side::Ask, Kind::Limit { price }, qty)
}

/// An engine beside a book that is made of its operations alone.
pub(crate) struct Exchange {
    pub(crate) engine: Engine,
    pub(crate) mirror: OrderBook,
    pub(crate) out: Output,
    pub(crate) now: i64,
}

impl Exchange {
    pub(crate) fn new(rules: Rules) -> Self {
        let engine = Engine::new(rules).unwrap();
        Self { engine, mirror: OrderBook::new(rules.tick), out: Output::default(), now: 0 }
    }

    pub(crate) fn enter(&mut self, order: NewOrder) -> Vec<String> {
        self.request(Request::New(order))
    }

    pub(crate) fn amend(&mut self, id: u64, price: i64, qty: i64) -> Vec<String> {
        self.request(Request::Amend(Amend { id, owner: 1, kind: Kind::Limit { price }, qty }))
    }

    pub(crate) fn cancel(&mut self, id: u64) -> Vec<String> {
        self.request(Request::Cancel { id, owner: 1 })
    }

    pub(crate) fn request(&mut self, request: Request) -> Vec<String> {
        self.does(|engine, now, out| engine.request(&request, now, out))
    }

    pub(crate) fn phase(&mut self, phase: Phase) -> Vec<String> {
        self.does(|engine, now, out| engine.set_phase(phase, now, out))
    }

    /// Lets the engine do something, makes the same changes to the mirror, and gives the reports.
    pub(crate) fn does(&mut self, something: impl FnOnce(&mut Engine, i64, &mut Output)) -> Vec<String> {
        self.now += 1;
        self.out.clear();
        something(&mut self.engine, self.now, &mut self.out);
        for op in &self.out.ops {
            self.mirror.apply(op, self.now).unwrap();
        }
        assert!(self.mirror.snapshot().eq(self.engine.book().snapshot()), "the mirror is another book");
        assert!(self.out.reports.iter().all(|report| report.ts == self.now));
        self.out.reports.iter().map(line).collect()
    }

    /// The operations of the last request: name, number, side, price, quantity, trade.
    pub(crate) fn ops(&self) -> Vec<String> {
        self.out.ops.iter().map(op_line).collect()
    }

    /// The orders of the book from its front: number, price, quantity.
    pub(crate) fn shown(&self, side: Side) -> Vec<(u64, i64, i64)> {
        self.engine.book().queues().orders(side).map(|order| (order.id, order.price, order.qty)).collect()
    }
}

/// Number, event, then quantity, filled and left.
pub(crate) fn line(report: &Report) -> String {
    let Report { order_id, qty, filled, leaves, event, .. } = report;
    let fill = |name, Fill { trade_id, price, qty, liquidity }: Fill| {
        format!("{name} {qty}@{price} {liquidity:?} t{trade_id}")
    };
    let event = match *event {
        Event::PartialFill(its) => fill("Partial", its),
        Event::Fill(its) => fill("Fill", its),
        Event::Replaced { has_kept_place, .. } => {
            format!("Replaced {}", if has_kept_place { "kept" } else { "lost" })
        }
        other => format!("{other:?}"),
    };
    format!("{order_id} {event}: {qty} {filled} {leaves}")
}

fn op_line(op: &OrderOp) -> String {
    let name = match op.op {
        order_op::ADD => "add",
        order_op::MODIFY_KEEP => "keep",
        order_op::MODIFY_LOSE => "lose",
        order_op::DELETE => "delete",
        order_op::EXECUTE => "execute",
        other => panic!("operation {other}"),
    };
    let side = if op.side == Side::Bid as u8 { "bid" } else { "ask" };
    let trade = if op.ref_id == 0 { String::new() } else { format!(" t{}", op.ref_id) };
    format!("{name} {} {side} {}@{}{trade}", op.order_id, op.qty, op.price)
}
