//! The orders of one instrument. Whatever may happen has a rate; the time to the next request is drawn from their sum, and what it is
//! from their shares (Cont, Stoikov, Talreja, "A stochastic model for order book dynamics", 2010):
//!
//! * an order arrives, at a rate of its distance from the best price of the other side;
//! * an order comes to trade, at a rate of the quantity at the best price that it meets;
//! * each order that stands is cancelled, moved or made smaller, at rates of its distance.

use super::PublicEvent;
use super::rates::{
    ARRIVALS, FAR_SIZES, FARTHER_PPM, JUMPS, LEAVES, MOVES, NEAR, NEAR_SIZES, NEARER_PPM, OPENING,
    OPENING_SIZES, PER_S, REDUCES, REQUESTS_PER_1000_S, REST_PPM, SWEEP_PPM, TAKER_SIZES, TAKERS, WINDOW,
};
use crate::draw::{Draw, EXPONENTIAL_BITS, PPM};
use crate::event::{Level, OrderOp, Side};
use crate::matching::{Amend, Engine, Kind, NewOrder, Output, Request, Rules, SelfTrade, TimeInForce};
use crate::orders::{Order, OrderBook};

/// price = mantissa × 10^this.
pub const PRICE_EXP: i8 = -2;
/// Least distance of prices, as a mantissa: 0.25, as of ES.
pub const TICK: i64 = 25;
/// quantity = mantissa × 10^this.
pub const QTY_EXP: i8 = 0;
/// Least quantity, as a mantissa.
pub const LOT: i64 = 1;

/// Prices at the opening, in ticks: 5,000 to 10,000. What a price walks in a day is far less.
const OPENING_TICKS: (u64, u64) = (20_000, 20_000);

/// Orders of an instrument: eight times as many as it opens with. What would be more is refused by the engine.
const ORDERS_MAX: usize = 1 << 14;

const NS_PER_S: u128 = 1_000_000_000;

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

/// A level whose orders may do something.
#[derive(Clone, Copy, Debug)]
struct Stand {
    side: Side,
    price: i64,
    /// Place in the tables.
    class: usize,
    orders: u64,
}

/// What the next request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Arrival(Side),
    Taker(Side),
    Leave,
    Move,
    Reduce,
}

/// One instrument: its engine, and what comes to it.
#[derive(Debug)]
pub(super) struct Flow {
    engine: Engine,
    out: Output,
    draw: Draw,
    /// By how much time is faster than that of the set: this over [`REQUESTS_PER_1000_S`].
    rate_per_1000_s: u64,
    due: i64,
    seq: u64,
    next_id: u64,
    /// The best bid and ask, or the last ones of a side that is empty.
    best: [i64; 2],
    stands: Vec<Stand>,
    /// Rates of what may happen, in the order of [`Flow::menu`].
    menu: Vec<u64>,
    levels: Vec<(Side, i64, i64)>,
}

impl Flow {
    pub(super) fn new(seed: u64, rate: u32) -> Self {
        let rules = Rules {
            tick: TICK,
            lot: LOT,
            band: Some((TICK, i64::MAX)),
            orders_max: ORDERS_MAX,
            ..Rules::default()
        };
        let Ok(engine) = Engine::new(rules) else { unreachable!("the rules are constants that fit") };
        let mut draw = Draw(seed);
        let (least, span) = OPENING_TICKS;
        let bid = TICK * signed(least + draw.below(span));
        let mut flow = Self {
            engine,
            out: Output::default(),
            draw,
            rate_per_1000_s: if rate == 0 { REQUESTS_PER_1000_S } else { 1_000 * u64::from(rate) },
            due: 0,
            seq: 0,
            next_id: 1,
            best: [bid, bid + TICK],
            stands: Vec::new(),
            menu: Vec::new(),
            levels: Vec::new(),
        };
        flow.open();
        flow.plan();
        flow
    }

    /// When the next request comes.
    pub(super) fn due(&self) -> i64 {
        self.due
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn book(&self) -> &OrderBook {
        self.engine.book()
    }

    /// What the last request did, which came at `ts`.
    pub(super) fn told(&self, instrument: u32, ts: i64) -> PublicEvent<'_> {
        let Output { ops, trades, .. } = &self.out;
        PublicEvent { instrument, seq: self.seq, ts, ops, trades, levels: &self.levels }
    }

    /// Makes the next request; whether the public sees something of it.
    pub(super) fn step(&mut self) -> bool {
        self.out.clear();
        self.levels.clear();
        match self.next() {
            Next::Arrival(side) => self.arrive(side),
            Next::Taker(side) => self.take(side),
            Next::Leave => self.leave(),
            Next::Move => self.relocate(),
            Next::Reduce => self.reduce(),
        }
        self.tell_levels();
        self.plan();
        let is_public = !self.out.ops.is_empty();
        self.seq += u64::from(is_public);
        is_public
    }

    /// The orders that stand at the opening.
    fn open(&mut self) {
        for side in SIDES {
            for (class, orders) in OPENING.iter().enumerate() {
                let more = self.draw.below(1_000) < orders % 1_000;
                for _ in 0..orders / 1_000 + u64::from(more) {
                    let qty = self.size(&OPENING_SIZES);
                    self.enter(side, self.price_at(side, class), qty, TimeInForce::Day);
                }
            }
        }
        self.out.clear();
    }

    // What comes next.

    /// Looks at the book and draws when the next request comes.
    fn plan(&mut self) {
        for side in SIDES {
            if let Some(best) = self.engine.book().queues().best(side) {
                self.best[side.index()] = best.price;
            }
        }
        self.stands.clear();
        let (mut leaves, mut moves, mut reduces) = (0, 0, 0);
        for side in SIDES {
            for Level { price, .. } in self.engine.book().queues().levels(side) {
                let class = self.class_of(side, price);
                let orders = u64::from(self.engine.book().queues().level(side, price).1);
                self.stands.push(Stand { side, price, class, orders });
                leaves += orders * LEAVES[class];
                moves += orders * MOVES[class];
                reduces += orders * REDUCES[class];
            }
        }
        let arrivals: u64 = self.arrivals().iter().sum();
        let takers = SIDES.map(|side| self.takers(side));
        self.menu.clear();
        self.menu.extend([arrivals, arrivals, takers[0], takers[1], leaves, moves, reduces]);
        // -ln(u) / rate, in nanoseconds of a market that is as fast as asked.
        let rate = u128::from(self.menu.iter().sum::<u64>());
        let drawn = u128::from(self.draw.exponential());
        let span = drawn * u128::from(PER_S) * NS_PER_S / rate * u128::from(REQUESTS_PER_1000_S)
            / u128::from(self.rate_per_1000_s);
        let span = i64::try_from(span >> EXPONENTIAL_BITS).unwrap_or(i64::MAX);
        self.due = self.due.saturating_add(span);
    }

    fn next(&mut self) -> Next {
        match self.draw.weighted(&self.menu) {
            0 => Next::Arrival(Side::Bid),
            1 => Next::Arrival(Side::Ask),
            2 => Next::Taker(Side::Bid),
            3 => Next::Taker(Side::Ask),
            4 => Next::Leave,
            5 => Next::Move,
            _ => Next::Reduce,
        }
    }

    /// Rates of orders that arrive, by distance.
    fn arrivals(&self) -> &'static [u64; WINDOW] {
        let is_wide = self.best[1] - self.best[0] > TICK;
        &ARRIVALS[usize::from(is_wide)]
    }

    /// Rate of orders of a side that come to trade; nobody comes where nothing is offered.
    fn takers(&self, side: Side) -> u64 {
        let offered = self.engine.book().queues().best(side.other()).map_or(0, |best| best.qty);
        match offered.unsigned_abs().checked_ilog2() {
            Some(class) => TAKERS[(class as usize).min(TAKERS.len() - 1)],
            None => 0,
        }
    }

    /// Class of the distance of a price; those beyond the window are of its last class.
    fn class_of(&self, side: Side, price: i64) -> usize {
        let ticks = (self.best[1 - side.index()] - price).abs() / TICK;
        usize::try_from(ticks).unwrap_or(WINDOW).clamp(1, WINDOW) - 1
    }

    fn price_at(&self, side: Side, class: usize) -> i64 {
        let away = TICK * signed(class as u64 + 1);
        match side {
            Side::Bid => self.best[1] - away,
            Side::Ask => self.best[0] + away,
        }
    }

    /// An order drawn by rates of its class.
    fn one_of(&mut self, rates: &[u64; WINDOW]) -> Option<Order> {
        let total: u64 = self.stands.iter().map(|stand| stand.orders * rates[stand.class]).sum();
        let mut left = self.draw.below(total);
        for Stand { side, price, class, orders } in self.stands.iter().copied() {
            if left < orders * rates[class] {
                let queues = self.engine.book().queues();
                let handle = queues.queue(side, price).nth(usize::try_from(left / rates[class]).ok()?)?;
                return Some(queues.order(handle));
            }
            left -= orders * rates[class];
        }
        None
    }

    fn size(&mut self, sizes: &[(u64, u32)]) -> i64 {
        let mut left = self.draw.below(PPM.into());
        let mut above = 0;
        for (most, share) in sizes {
            if left < u64::from(*share) {
                return signed(above + 1 + self.draw.below(most - above));
            }
            left -= u64::from(*share);
            above = *most;
        }
        LOT
    }

    // What is asked of the engine.

    fn arrive(&mut self, side: Side) {
        let rates = self.arrivals();
        let class = self.draw.weighted(rates);
        let qty = self.size(if class < NEAR { &NEAR_SIZES } else { &FAR_SIZES });
        self.enter(side, self.price_at(side, class), qty, TimeInForce::Day);
    }

    /// An order that trades. One that takes all of the best price may go on at the next one, or stay with what is left.
    fn take(&mut self, side: Side) {
        let Some(best) = self.engine.book().queues().best(side.other()) else { return };
        let qty = self.size(&TAKER_SIZES);
        let (sweeps, rests) = (self.draw.chance(SWEEP_PPM), self.draw.chance(REST_PPM));
        let more = self.size(&NEAR_SIZES);
        if qty < best.qty {
            self.enter(side, best.price, qty, TimeInForce::Ioc);
        } else if sweeps {
            self.request(side, Kind::Market, qty + more, TimeInForce::Ioc);
        } else if rests {
            self.enter(side, best.price, qty + more, TimeInForce::Day);
        } else {
            self.enter(side, best.price, best.qty, TimeInForce::Ioc);
        }
    }

    fn leave(&mut self) {
        let Some(order) = self.one_of(&LEAVES) else { return };
        self.engine.request(&Request::Cancel { id: order.id, owner: order.id }, self.due, &mut self.out);
    }

    fn relocate(&mut self) {
        let Some(order) = self.one_of(&MOVES) else { return };
        let from = self.class_of(order.side, order.price);
        let drawn = self.draw.below(PPM.into());
        let jump = self.draw.weighted(&JUMPS);
        let to = if drawn < u64::from(NEARER_PPM) {
            from.saturating_sub(1)
        } else if drawn < u64::from(NEARER_PPM + FARTHER_PPM) {
            from + 1
        } else {
            jump
        };
        let price = self.price_at(order.side, to);
        self.amend(&order, price, order.qty);
        self.touch(order.side, order.price);
    }

    /// Part of an order is cancelled; one of a single lot has no part.
    fn reduce(&mut self) {
        let Some(order) = self.one_of(&REDUCES).filter(|order| order.qty > LOT) else { return };
        let left = signed(1 + self.draw.below(order.qty.unsigned_abs() - 1));
        self.amend(&order, order.price, left);
    }

    /// `left` = what is to be left of the order.
    fn amend(&mut self, order: &Order, price: i64, left: i64) {
        let filled = self.engine.get(order.id).map_or(0, |working| working.filled);
        let kind = Kind::Limit { price };
        let amend = Amend { id: order.id, owner: order.id, kind, qty: filled + left };
        self.engine.request(&Request::Amend(amend), self.due, &mut self.out);
    }

    fn enter(&mut self, side: Side, price: i64, qty: i64, tif: TimeInForce) {
        self.request(side, Kind::Limit { price }, qty, tif);
    }

    /// Every order is of somebody else, so that nobody trades with himself.
    fn request(&mut self, side: Side, kind: Kind, qty: i64, tif: TimeInForce) {
        let id = self.next_id;
        self.next_id += 1;
        let order = NewOrder {
            id,
            owner: id,
            side,
            kind,
            qty,
            tif,
            post_only: false,
            peak: 0,
            self_trade: SelfTrade::Allow,
        };
        self.engine.request(&Request::New(order), self.due, &mut self.out);
    }

    // What the public is told.

    fn tell_levels(&mut self) {
        for at in 0..self.out.ops.len() {
            let OrderOp { side, price, .. } = self.out.ops[at];
            self.touch(if side == Side::Bid as u8 { Side::Bid } else { Side::Ask }, price);
        }
    }

    /// A level that may have changed, once.
    fn touch(&mut self, side: Side, price: i64) {
        if !self.levels.iter().any(|level| (level.0, level.1) == (side, price)) {
            let (qty, _) = self.engine.book().queues().level(side, price);
            self.levels.push((side, price, qty));
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
