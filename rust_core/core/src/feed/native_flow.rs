//! How order messages of the venue become frames: sequence rules, held events, snapshots, and what is done where one does not
//! fit.
//!
//! The orders of an instrument stand beside its levels and are proven by their own numbers or checksum. They are told while its
//! book is live, and all of them in-band whenever it becomes live; a book that goes stale takes nothing from what is known of
//! them. Sums of orders are not compared with levels: the two come by streams of their own, which no venue keeps in step.

use super::held::HELD_FOR_NS;
use super::native::{HeldOrders, Misfit, Native};
use super::orders::{OrderEvent, Orders, Source, time_of};
use super::overlap::{is_numbered, judge};
use super::{BookState, Feed, Notice, NoticeKind, Taken};
use crate::event::{Body, Decoded, Event, OrderRow};
use crate::instrument::Scale;
use crate::publish::{Arrival, Host};
use crate::sequence::{Splice, SpliceVerdict, Verdict};
use crate::shape::{OrdersInfo, Outcome};

/// What a message about orders says.
struct Message<'a> {
    rows: &'a [OrderRow],
    info: OrdersInfo,
    checksum: Option<i64>,
}

impl Feed {
    /// From now on the orders of an instrument are those that the venue's messages tell, and none are inferred. To be called before its
    /// book is live. `false`: no shape is about orders, or the instrument has no book.
    pub fn want_orders(&mut self, index: u32) -> bool {
        let (Some(rule), Some(instrument)) = (self.natives.rule, self.instruments.get_mut(index as usize))
        else {
            return false;
        };
        if instrument.has_book && instrument.native.is_none() {
            instrument.native = Some(Box::new(Native::new(rule)));
            instrument.orders = None;
        }
        instrument.has_book
    }

    /// A message about orders. Where nobody wants them it is none: a match is a trade as well.
    pub(super) fn order_message(
        &mut self,
        connection: u32,
        event: &Event,
        decoded: &Decoded,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Some((snapshot, message)) = self.message_of(event, decoded) else { return };
        let index = event.instrument;
        let is_whole = self.has_orders(index);
        let instrument = &mut self.instruments[index as usize];
        let Some(native) = instrument.native.as_mut() else { return };
        if snapshot {
            native.connection = connection;
            self.journal.counters.orders_held_dropped += native.drop_held();
            self.whole_orders(&message, event, host, arrival);
            return;
        }
        let is_other = ![0, connection].contains(&native.connection);
        if is_other && is_whole && !is_numbered(native.chain.rule()) {
            // Two links are not in step: the one that brought all orders goes on with them.
            self.journal.counters.overlap_dropped += 1;
            return;
        }
        if !is_whole {
            if is_other {
                self.journal.counters.orders_held_dropped += native.drop_held();
            }
            native.connection = connection;
            self.hold_orders(event, &message, arrival);
            return;
        }
        match judge(&mut native.chain, &mut native.joining, &event.ids) {
            Verdict::Apply => {
                native.connection = connection;
                self.change_orders(&message, event, host, arrival);
            }
            Verdict::Old => self.journal.counters.old_events += 1,
            Verdict::Gap { .. } if is_other => self.journal.counters.overlap_dropped += 1,
            Verdict::Gap { expected, got } => {
                self.journal.counters.gaps += 1;
                self.kinds.order.gaps += 1;
                self.journal.notice(Notice { expected, got, ..Notice::about(NoticeKind::Gap, index) });
                self.lose_orders(index, true, host, arrival);
                if let Some(native) = &mut self.instruments[index as usize].native {
                    native.connection = connection;
                }
                self.hold_orders(event, &message, arrival);
            }
        }
    }

    fn message_of<'a>(&self, event: &Event, decoded: &'a Decoded) -> Option<(bool, Message<'a>)> {
        let Body::Orders { snapshot, rows, checksum, shape } = event.body else { return None };
        let info = self.decoder.shapes().get(usize::from(shape))?.orders?;
        let checksum = checksum.map(|checksum| checksum.0);
        Some((snapshot, Message { rows: decoded.orders(rows), info, checksum }))
    }

    /// An event that came before all orders were known: held where a snapshot will join it.
    fn hold_orders(&mut self, event: &Event, message: &Message<'_>, arrival: Arrival) {
        let Some(native) = &mut self.instruments[event.instrument as usize].native else { return };
        let counters = &mut self.journal.counters;
        counters.orders_unknown += 1;
        if matches!(native.chain.splices(), Splice::InStream | Splice::None) {
            return;
        }
        let held = HeldOrders::new(event.ids, event.exchange_ts, message.info, message.rows, arrival.mono_ns);
        let (dropped, is_first) = native.hold(held, HELD_FOR_NS);
        counters.orders_held += 1;
        counters.orders_held_dropped += dropped;
        if is_first {
            self.journal.notice(Notice::about(NoticeKind::OrdersHeldOverflow, event.instrument));
        }
    }

    /// All orders, in the stream.
    fn whole_orders(&mut self, message: &Message<'_>, event: &Event, host: &mut dyn Host, arrival: Arrival) {
        if self.set_orders(message, event, host, arrival) {
            if let Some(native) = &mut self.instruments[event.instrument as usize].native {
                native.chain.restart_at(event.ids.last);
                native.joining = None;
            }
            self.told_whole(event.instrument, host, arrival);
        }
    }

    /// Takes all orders, without telling them; `false`: they do not fit together, and nothing is known.
    fn set_orders(
        &mut self,
        message: &Message<'_>,
        event: &Event,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let index = event.instrument;
        let Self { instruments, natives, .. } = self;
        let instrument = &mut instruments[index as usize];
        let Some(native) = instrument.native.as_mut() else { return false };
        let scale = Scale { price_exp: instrument.def.price_exp, qty_exp: instrument.def.qty_exp };
        let tick = instrument.def.tick_size;
        let made = native.whole(tick, message.rows, message.info, &mut natives.next).and_then(|mut book| {
            natives.ops.clear();
            native.cut(&mut book, message.info, 0, &mut natives.ops)?;
            let told = message.info.checksum.zip(message.checksum);
            let is_proven = native.check(&book, told, &scale, &mut natives.text)?;
            Ok((book, is_proven))
        });
        match made {
            Ok((book, is_proven)) => {
                self.journal.counters.checksums_verified += u64::from(is_proven);
                instrument.orders = Some(Box::new(Orders {
                    source: Source::Told(book),
                    is_whole: false,
                    exchange_ts: event.exchange_ts,
                }));
                true
            }
            Err(misfit) => {
                self.refuse(index, misfit, host, arrival);
                false
            }
        }
    }

    /// All orders are known: they leave in-band if the book is live.
    fn told_whole(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) {
        if let Some(orders) = &mut self.instruments[index as usize].orders {
            orders.is_whole = true;
        }
        self.journal.counters.orders_live += 1;
        self.kinds.order.published += 1;
        self.tell_orders(index, host, arrival);
        self.journal.notice(Notice::about(NoticeKind::OrdersLive, index));
    }

    /// Applies an event that continues the orders, and publishes it if the book is live.
    fn change_orders(&mut self, message: &Message<'_>, event: &Event, host: &mut dyn Host, arrival: Arrival) {
        if !self.apply_orders(message, event, host, arrival) {
            return;
        }
        let Self { instruments, natives, channel, journal, .. } = self;
        let instrument = &mut instruments[event.instrument as usize];
        if instrument.state != BookState::Live || natives.ops.is_empty() {
            return;
        }
        journal.counters.order_events += 1;
        journal.counters.order_ops += natives.ops.len() as u64;
        self.kinds.order.published += 1;
        let told = OrderEvent { exchange_ts: event.exchange_ts, ids: event.ids, ops: &natives.ops };
        instrument.publish_ops(channel, host, arrival, &told);
    }

    /// Applies an event; `false`: it does not fit, and nothing is known any more.
    fn apply_orders(
        &mut self,
        message: &Message<'_>,
        event: &Event,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let index = event.instrument;
        let Self { instruments, natives, .. } = self;
        let instrument = &mut instruments[index as usize];
        let (Some(native), Some(orders)) = (instrument.native.as_mut(), instrument.orders.as_mut()) else {
            return false;
        };
        let Source::Told(book) = &mut orders.source else { return false };
        let scale = Scale { price_exp: instrument.def.price_exp, qty_exp: instrument.def.qty_exp };
        let ts = time_of(event.exchange_ts, arrival);
        let said = (message.rows, message.info);
        let applied = native.apply(book, said, ts, &mut natives.next, &mut natives.ops).and_then(|absent| {
            let told = message.info.checksum.zip(message.checksum);
            Ok((absent, native.check(book, told, &scale, &mut natives.text)?))
        });
        match applied {
            Ok((absent, is_proven)) => {
                orders.exchange_ts = event.exchange_ts;
                self.journal.counters.order_absent += absent;
                self.journal.counters.checksums_verified += u64::from(is_proven);
                true
            }
            Err(misfit) => {
                self.refuse(index, misfit, host, arrival);
                false
            }
        }
    }

    /// What a message said does not fit: nothing is known of the orders any more, and all are asked for.
    fn refuse(&mut self, index: u32, misfit: Misfit, host: &mut dyn Host, arrival: Arrival) {
        let counters = &mut self.journal.counters;
        counters.order_faults += 1;
        counters.checksum_mismatch += u64::from(matches!(misfit, Misfit::Checksum(..)));
        self.kinds.order.rejected += 1;
        let mut reason = misfit.to_string();
        if let Misfit::Checksum(told, ours) = misfit {
            reason = format!("{reason}: {told} was sent, {ours} is ours");
        }
        self.natives.misfit.get_or_insert((index, reason));
        self.lose_orders(index, true, host, arrival);
    }

    /// Keeps a frame that did not fit.
    pub(super) fn keep_misfit(&mut self, connection: u32, frame: &[u8], arrival: Arrival) {
        if let Some((index, reason)) = self.natives.misfit.take() {
            self.fault(&reason, connection, frame, arrival, Some(index));
        }
    }

    /// The orders of an instrument are not known any more. Consumers are told by a book without orders.
    fn lose_orders(&mut self, index: u32, ask: bool, host: &mut dyn Host, arrival: Arrival) {
        let instrument = &mut self.instruments[index as usize];
        let Some(native) = &mut instrument.native else { return };
        self.journal.counters.orders_held_dropped += native.forget();
        let was_whole = instrument.orders.as_mut().is_some_and(|orders| {
            let was_whole = orders.is_whole;
            orders.forget();
            was_whole
        });
        if was_whole {
            self.journal.counters.orders_lost += 1;
            self.tell_orders(index, host, arrival);
            self.journal.notice(Notice::about(NoticeKind::OrdersStale, index));
        }
        if ask {
            self.journal.notice(Notice::about(NoticeKind::OrdersNeedSnapshot, index));
        }
    }

    /// The owner wants all orders of an instrument anew.
    pub(super) fn ask_orders_again(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) {
        self.lose_orders(index, true, host, arrival);
    }

    /// Gives up the orders that miss something by a frame that could not be read. One that names nobody may have been about any
    /// whose next message would not show it.
    pub(super) fn lose_unread_orders(
        &mut self,
        decoded: &Decoded,
        connection: u32,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        for &index in &decoded.unread_orders {
            if self.carries_orders(index, connection) {
                self.kinds.order.rejected += 1;
                self.lose_orders(index, true, host, arrival);
            }
        }
        if decoded.unread_unnamed && self.natives.are_unproven {
            for index in 0..u32::try_from(self.instruments.len()).unwrap_or(u32::MAX) {
                if self.carries_orders(index, connection) {
                    self.lose_orders(index, true, host, arrival);
                }
            }
        }
    }

    /// Whether the orders of an instrument come by a connection, or may.
    fn carries_orders(&self, index: u32, connection: u32) -> bool {
        let native = self.instruments.get(index as usize).and_then(|known| known.native.as_ref());
        native.is_some_and(|native| [0, connection].contains(&native.connection))
    }

    /// A connection is gone: the orders that came by it, of whichever instrument; 0 = those of `indices`.
    pub(super) fn lose_orders_of(
        &mut self,
        indices: &[u32],
        connection: u32,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        for index in 0..u32::try_from(self.instruments.len()).unwrap_or(u32::MAX) {
            let Some(native) = &self.instruments[index as usize].native else { continue };
            let is_lost =
                if connection == 0 { indices.contains(&index) } else { native.connection == connection };
            if is_lost {
                self.lose_orders(index, false, host, arrival);
            }
        }
    }

    // Snapshots by REST.

    /// Takes the REST answer with all orders of an instrument.
    pub fn on_orders_snapshot(
        &mut self,
        index: u32,
        body: &[u8],
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> Taken {
        let is_awaited = self.instruments.get(index as usize).is_some_and(|known| known.native.is_some())
            && !self.has_orders(index);
        if self.channel.has_ended() || !is_awaited {
            let counters = &mut self.journal.counters;
            counters.snapshots_ignored += 1;
            return Taken { for_python: false, notices: self.journal.has_notices() };
        }
        let mut decoded = self.decoded.take().unwrap_or_default();
        let outcome = self.refining(host, arrival, |feed, _| {
            feed.decoder.decode_snapshot(index, body, &feed.table, &mut decoded)
        });
        let told = decoded.events.first().filter(|_| outcome == Outcome::Handled);
        match (outcome, told.map(|event| (event, self.message_of(event, &decoded)))) {
            (Outcome::Handled, Some((event, Some((_, message))))) => {
                self.join_orders(&message, event, body, host, arrival);
            }
            (Outcome::Fault(kind), _) => {
                let reason = self.decoder.reason(kind);
                self.fault(&reason, 0, body, arrival, Some(index));
            }
            (Outcome::NeedsFiner { .. }, _) => {
                self.fault("more digits than 64 bits hold", 0, body, arrival, Some(index));
            }
            _ => self.fault("not the orders that the venue declares", 0, body, arrival, Some(index)),
        }
        self.keep_misfit(0, body, arrival);
        self.decoded = Some(decoded);
        Taken { for_python: false, notices: self.journal.has_notices() }
    }

    /// All orders meet the held events: they go out, or the snapshot is too old.
    fn join_orders(
        &mut self,
        message: &Message<'_>,
        event: &Event,
        body: &[u8],
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let index = event.instrument;
        let Some(id) = event.ids.last else {
            self.fault("snapshot without id", 0, body, arrival, Some(index));
            return;
        };
        let Some(native) = &mut self.instruments[index as usize].native else { return };
        native.chain.reset();
        let joins = loop {
            let Some(front) = native.front() else { break false };
            match native.chain.splice(id, &{ front.ids }) {
                SpliceVerdict::Old => drop(native.pop_held()),
                SpliceVerdict::Apply => break true,
                SpliceVerdict::SnapshotTooOld { expected, got } => {
                    self.journal.counters.snapshots_old += 1;
                    let about = Notice::about(NoticeKind::OrdersSnapshotOld, index);
                    self.journal.notice(Notice { expected, got, ..about });
                    return;
                }
            }
        };
        native.joining = if joins { None } else { Some(id) };
        if !self.set_orders(message, event, host, arrival) {
            return;
        }
        self.journal.counters.snapshots_used += 1;
        if !joins || self.apply_held_orders(event, host, arrival) {
            self.told_whole(index, host, arrival);
        }
    }

    /// Applies the held events, the first of which has joined; `false`: they have a hole, or one does not fit.
    fn apply_held_orders(&mut self, event: &Event, host: &mut dyn Host, arrival: Arrival) -> bool {
        let index = event.instrument;
        let mut has_joined = false;
        loop {
            let Some(native) = &mut self.instruments[index as usize].native else { return false };
            let Some(held) = native.pop_held() else { return true };
            let verdict = if has_joined { native.chain.check(&held.ids) } else { Verdict::Apply };
            has_joined = true;
            match verdict {
                Verdict::Old => continue,
                Verdict::Apply => {}
                Verdict::Gap { expected, got } => {
                    self.journal.counters.gaps += 1;
                    self.kinds.order.gaps += 1;
                    self.journal.notice(Notice { expected, got, ..Notice::about(NoticeKind::Gap, index) });
                    self.lose_orders(index, true, host, arrival);
                    return false;
                }
            }
            let message = Message { rows: &held.rows, info: held.info, checksum: None };
            let event = Event { ids: held.ids, exchange_ts: held.exchange_ts, ..*event };
            if !self.apply_orders(&message, &event, host, arrival) {
                return false;
            }
        }
    }
}
