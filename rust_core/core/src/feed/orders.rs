//! The orders of an instrument beside its levels: how their changes and the whole of them become frames.
//!
//! A venue tells of them, or they are inferred from levels and trades (`inferred.rs`). Of a venue all orders come first and then every event
//! that changes them. Those that are inferred, or given from outside, go stale with the levels, and what left is forgotten: until all are
//! given again the wire has none. Those that the venue's messages tell (`native_flow`) stay known, and are told once more when the
//! levels are back. Orders that turn out wrong say nothing against the levels, which are proven by themselves.

use super::fragments::{Fragments, parts};
use super::instrument::Instrument;
use super::{BookState, Feed};
use crate::event::{Ids, NOT_GIVEN, OrderOp, RestingOrder};
use crate::orders::{Fault, Inference, OrderBook, Queues};
use crate::publish::{Arrival, Channel, Host};
use crate::wire::{self, flags, msg};

/// One event of the exchange that changed orders.
#[derive(Clone, Copy, Debug)]
pub struct OrderEvent<'a> {
    /// Exchange time, nanoseconds since the epoch; [`NOT_GIVEN`] where there is none.
    pub exchange_ts: i64,
    /// Exchange sequence numbers.
    pub ids: Ids,
    /// What changed, in order.
    pub ops: &'a [OrderOp],
}

/// Where orders come from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies in the box of the instrument's orders")]
pub(super) enum Source {
    /// The venue tells of them.
    Told(OrderBook),
    /// They are what levels and trades say.
    Inferred(Inference),
}

/// The orders of an instrument that has any.
#[derive(Debug)]
pub(super) struct Orders {
    /// Empty while they are not known.
    pub(super) source: Source,
    pub(super) is_whole: bool,
    /// Exchange time of the last event.
    pub(super) exchange_ts: i64,
}

impl Orders {
    /// They are not known any more.
    pub(super) fn forget(&mut self) {
        match &mut self.source {
            Source::Told(book) => book.clear(),
            Source::Inferred(inference) => inference.forget(),
        }
        self.is_whole = false;
    }

    pub(super) fn queues(&self) -> &Queues {
        match &self.source {
            Source::Told(book) => book.queues(),
            Source::Inferred(inference) => inference.queues(),
        }
    }

    /// All of them as they are told.
    pub(super) fn snapshot(&self) -> Vec<RestingOrder> {
        match &self.source {
            Source::Told(book) => book.snapshot().collect(),
            Source::Inferred(inference) => inference.snapshot().collect(),
        }
    }

    /// The orders at finer exponents; `None` if a number does not fit.
    pub(super) fn rescaled(&self, tick: i64, price_factor: i64, qty_factor: i64) -> Option<Box<Self>> {
        let source = match &self.source {
            Source::Told(book) => Source::Told(book.rescaled(tick, price_factor, qty_factor)?),
            Source::Inferred(inference) => Source::Inferred(inference.rescaled(price_factor, qty_factor)?),
        };
        Some(Box::new(Self { source, ..*self }))
    }

    /// Applies an event of the venue; if a part of it does not fit, nothing is known any more. `None`: no orders are known that
    /// it could change.
    fn apply(&mut self, event: &OrderEvent<'_>, arrival: Arrival) -> Option<Result<(), Fault>> {
        let Source::Told(book) = &mut self.source else { return None };
        if !self.is_whole {
            return None;
        }
        let order_ts = time_of(event.exchange_ts, arrival);
        let applied = event.ops.iter().try_for_each(|op| book.apply(op, order_ts).map(drop));
        if applied.is_err() {
            self.forget();
        }
        self.exchange_ts = event.exchange_ts;
        Some(applied)
    }
}

/// The exchange's time of an event, else when it came: orders that join by it have that for their time.
pub(super) fn time_of(exchange_ts: i64, arrival: Arrival) -> i64 {
    if exchange_ts == NOT_GIVEN { arrival.recv_ts } else { exchange_ts }
}

impl Instrument {
    /// ORDER_OPS of one event that is already applied; split where it is too long, whole only at EVENT_END.
    pub(super) fn publish_ops(
        &mut self,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
        event: &OrderEvent<'_>,
    ) {
        // As many fit beside a MAC as without.
        const PER_FRAME: usize =
            wire::records_per_frame(size_of::<wire::OrderOps>(), size_of::<OrderOp>(), true);
        let root = wire::OrderOps {
            first_source_seq: event.ids.first_covered(),
            prev_source_seq: event.ids.prev.unwrap_or(0),
        };
        for (part, is_last) in parts(event.ops.len(), PER_FRAME) {
            let mut about = self.about(event.exchange_ts, if is_last { flags::EVENT_END } else { 0 });
            about.source_seq = event.ids.last;
            channel.numbered(host, arrival, msg::ORDER_OPS, &about, &root, &event.ops[part]);
        }
    }

    /// All orders in-band, where the instrument tells of them: RESET on the first fragment, EVENT_END on the last.
    pub(super) fn publish_orders(&mut self, channel: &mut Channel, host: &mut dyn Host, arrival: Arrival) {
        let Some(orders) = self.orders.take() else { return };
        let queues = orders.queues();
        let resting = orders.snapshot();
        let (last_seq, is_signed) = (channel.last_seq(host), channel.is_signed());
        let fragments = Fragments::of_orders(self, queues, &resting, last_seq, is_signed);
        let what = (msg::ORDER_SNAPSHOT, orders.exchange_ts);
        fragments.tell(self, what, (0, 0), channel, host, arrival);
        self.orders = Some(orders);
    }
}

impl Feed {
    /// Takes all orders of a book, at the exponents in force, in place of those before. From now on the instrument tells of
    /// orders: these leave in-band at once if its book is live, else with it. `false`: there is no such instrument, or the
    /// session has ended.
    pub fn on_orders(
        &mut self,
        index: u32,
        book: OrderBook,
        exchange_ts: i64,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let Some(instrument) = self.with_orders(index) else { return false };
        instrument.orders =
            Some(Box::new(Orders { source: Source::Told(book), is_whole: true, exchange_ts }));
        self.tell_orders(index, host, arrival);
        true
    }

    /// Takes one event of the exchange that changed orders, and publishes it if the book is live. `false`: no orders are known
    /// that it could change; [`Feed::on_orders`] comes first.
    ///
    /// # Errors
    /// Why a change does not fit the orders. They are forgotten, and consumers are told so at once by a book without orders.
    pub fn on_order_event(
        &mut self,
        index: u32,
        event: &OrderEvent<'_>,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> Result<bool, Fault> {
        let Some(instrument) = self.with_orders(index) else { return Ok(false) };
        let is_live = instrument.state == BookState::Live;
        let Some(applied) = instrument.orders.as_mut().and_then(|orders| orders.apply(event, arrival)) else {
            self.journal.counters.orders_unknown += 1;
            return Ok(false);
        };
        if let Err(fault) = applied {
            self.journal.counters.order_faults += 1;
            self.tell_orders(index, host, arrival);
            return Err(fault);
        }
        if is_live {
            self.journal.counters.order_events += 1;
            self.journal.counters.order_ops += event.ops.len() as u64;
            self.instruments[index as usize].publish_ops(&mut self.channel, host, arrival, event);
        }
        Ok(true)
    }

    /// The orders of an instrument; `None` if it has none to tell of. Empty while they are not known.
    #[must_use]
    pub fn orders(&self, index: u32) -> Option<&Queues> {
        self.known(index)?.orders.as_deref().map(Orders::queues)
    }

    /// Whether the orders of an instrument are known; if not, it waits for [`Feed::on_orders`], or for its book where they are
    /// inferred.
    #[must_use]
    pub fn has_orders(&self, index: u32) -> bool {
        let orders = self.known(index).and_then(|known| known.orders.as_deref());
        orders.is_some_and(|orders| orders.is_whole)
    }

    /// An instrument that may say something about orders.
    fn with_orders(&mut self, index: u32) -> Option<&mut Instrument> {
        if self.channel.has_ended() {
            self.journal.counters.after_end += 1;
            return None;
        }
        if self.is_removed(index) {
            self.journal.counters.after_removal += 1;
            return None;
        }
        self.instruments.get_mut(index as usize).filter(|known| known.has_book)
    }

    pub(super) fn tell_orders(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) {
        let instrument = &mut self.instruments[index as usize];
        if instrument.state == BookState::Live {
            instrument.publish_orders(&mut self.channel, host, arrival);
        }
    }
}
