//! What is odd about what a venue sends: marked on the frame and counted, never mended and never held back.
//!
//! Each event is looked at once on its way through, in constant memory and without allocation; the rules stand with what
//! they judge by (`price`, `volume`, `venue_clock`). Statistics are floats, as ratios of mantissas: no number that is
//! published goes through them. An event that only continues a book that is not live is judged by its time alone.

mod price;
mod venue_clock;
mod volume;

pub use venue_clock::{VenueClock, WINDOW_NS, WINDOWS};

use self::price::Reference;
use self::volume::Volumes;
use super::Feed;
use crate::book::Book;
use crate::event::{
    Body, Decoded, Event, NOT_GIVEN, TRADE_AUCTION, TRADE_BLOCK, TRADE_CANCEL, TRADE_CORRECTION,
    TRADE_OFF_BOOK, Trade,
};
use crate::fetch::fetch;
use crate::publish::Arrival;
use crate::wire::flags;

/// An exchange time further than this from the receive time is marked: no venue is ten seconds late or early.
const TIME_OFF_NS: i64 = 10_000_000_000;
/// Times of one instrument and kind may go back by this: Upbit prints the times of some trades in whole seconds, and its
/// session of 2021 has three that step back by just one.
pub const TIME_BACK_NS: i64 = 1_000_000_000;
/// Trades made elsewhere than in the book, or that take an earlier one back: price and quantity say nothing of it.
const NOT_OF_THE_BOOK: u8 = TRADE_BLOCK | TRADE_AUCTION | TRADE_CORRECTION | TRADE_CANCEL | TRADE_OFF_BOOK;

/// Why an event is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its exchange time is more than [`TIME_BACK_NS`] before that of the event before, of the same instrument and kind.
    TimeBack,
    /// Its exchange time is more than ten seconds from the receive time. A state, such as a whole book, may be as old as
    /// the last change of it, and is only marked if it comes from the future.
    TimeOff,
    /// A trade, or the middle of the best prices, is further from the running mean than the instrument's own moves allow.
    PriceOutlier,
    /// A trade is far larger than the instrument's large trades.
    VolumeSpike,
    /// The best bid is above the best ask, as sent.
    Crossed,
    /// The best bid equals the best ask, as sent: counted, but nothing that must not be.
    Locked,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::TimeBack, Self::TimeOff, Self::PriceOutlier, Self::VolumeSpike, Self::Crossed, Self::Locked];

    /// Name of its counter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimeBack => "exchange_time_back",
            Self::TimeOff => "exchange_time_off",
            Self::PriceOutlier => "price_outliers",
            Self::VolumeSpike => "volume_spikes",
            Self::Crossed => "crossed",
            Self::Locked => "locked",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Events by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QualityCounts([u64; Cause::ALL.len()]);

impl QualityCounts {
    /// Events that were marked for this.
    #[must_use]
    pub fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// Name and value of every counter.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let counts = self.0;
        Cause::ALL.into_iter().map(move |cause| (cause.as_str(), counts[cause as usize]))
    }

    fn add(&mut self, marks: u8) {
        for cause in Cause::ALL {
            self.0[cause as usize] += u64::from(marks & cause.bit() != 0);
        }
    }
}

/// What is known of one instrument, and what was found in the event that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Quality {
    /// Bits of [`Cause`] of the event on its way.
    marks: u8,
    /// Exchange times by kind of message.
    times: [Times; KINDS],
    price: Reference,
    volumes: Volumes,
    /// Best prices when they were last judged: of the book, and of messages that tell them.
    book_best: (i64, i64),
    told_best: (i64, i64),
    counts: QualityCounts,
}

/// Exchange times of one kind; 0 = none.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    last_ts: i64,
    /// Receive time of the messages that `last_ts` is of, and the last time before them: a message whose trades are numbered
    /// one by one is several events, and a history has the newest first.
    recv_ts: i64,
    before_ts: i64,
}

const KINDS: usize = 9;

fn kind(body: &Body) -> usize {
    match body {
        Body::Book { .. } => 0,
        Body::Trades(_) => 1,
        Body::Liquidations(_) => 2,
        Body::Bbo(_) => 3,
        Body::Ticker(_) => 4,
        Body::Candle(_) => 5,
        Body::Deriv(_) => 6,
        Body::Trading(_) => 7,
        Body::Orders { .. } => 8,
    }
}

impl Quality {
    /// Reads what a book is judged by.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(self.times[0].last_ts);
        fetch(self.book_best);
    }

    /// Looks at an event before it is published; `trades` are its trades. What its book looks like is seen when it is
    /// applied.
    #[inline]
    fn begin(&mut self, event: &Event, trades: &[Trade], recv_ts: i64, is_off: bool) {
        self.marks = if is_off { Cause::TimeOff.bit() } else { 0 };
        match event.body {
            Body::Trades(_) => trades.iter().for_each(|trade| self.see_trade(trade, recv_ts)),
            Body::Bbo(bbo) if bbo.bid_px != NOT_GIVEN && bbo.ask_px != NOT_GIVEN => {
                let best = (bbo.bid_px, bbo.ask_px);
                let is_new = std::mem::replace(&mut self.told_best, best) != best;
                self.see_best(best, is_new, recv_ts);
            }
            _ => {}
        }
        // Within one message venues print trades in either order; the newest stands for them.
        let newest = trades.iter().fold(event.exchange_ts, |newest, trade| newest.max(trade.trade_ts));
        if newest != NOT_GIVEN {
            self.see_time(kind(&event.body), newest, recv_ts, is_off);
        }
    }

    #[inline]
    fn see_time(&mut self, kind: usize, time: i64, recv_ts: i64, is_off: bool) {
        let seen = &mut self.times[kind];
        let is_later = seen.recv_ts != recv_ts;
        if is_later {
            seen.recv_ts = recv_ts;
            seen.before_ts = seen.last_ts;
        }
        if time < seen.before_ts.saturating_sub(TIME_BACK_NS) {
            self.marks |= Cause::TimeBack.bit();
        }
        // What cannot be does not become the measure of what follows.
        if !is_off {
            seen.last_ts = if is_later { time } else { time.max(seen.last_ts) };
        }
    }

    fn see_trade(&mut self, trade: &Trade, recv_ts: i64) {
        if trade.trade_flags & NOT_OF_THE_BOOK != 0 {
            return;
        }
        if self.price.see(trade.price as f64, recv_ts) {
            self.marks |= Cause::PriceOutlier.bit();
        }
        if self.volumes.see(trade.qty as f64) {
            self.marks |= Cause::VolumeSpike.bit();
        }
    }

    /// Prices that did not change were judged before; while they are crossed or locked, each event says so.
    #[inline]
    fn see_best(&mut self, (bid, ask): (i64, i64), is_new: bool, recv_ts: i64) {
        if bid >= ask {
            self.marks |= if bid > ask { Cause::Crossed.bit() } else { Cause::Locked.bit() };
        }
        if is_new && self.price.see((bid as f64 + ask as f64) * 0.5, recv_ts) {
            self.marks |= Cause::PriceOutlier.bit();
        }
    }

    /// Looks at a book to which an event was applied.
    pub(crate) fn see_book(&mut self, book: &Book, recv_ts: i64) {
        let Some(best) = book.touch() else { return };
        let is_new = std::mem::replace(&mut self.book_best, best) != best;
        self.see_best(best, is_new, recv_ts);
    }

    /// Header flags of the event on its way.
    pub(crate) fn flags(&self) -> u16 {
        let mut bits = 0;
        if self.marks & !Cause::Locked.bit() != 0 {
            bits |= flags::SUSPECT;
        }
        if self.marks & Cause::Crossed.bit() != 0 {
            bits |= flags::CROSSED;
        }
        bits
    }

    /// Follows finer exponents.
    pub(crate) fn rescale(&mut self, price_factor: i64, qty_factor: i64) {
        self.price.rescale(price_factor as f64);
        self.volumes.rescale(qty_factor as f64);
    }
}

/// Whether the event tells of something that happens now, and not of a state that may be as old as its last change.
fn is_news(body: &Body) -> bool {
    matches!(
        body,
        Body::Book { snapshot: false, .. }
            | Body::Orders { snapshot: false, .. }
            | Body::Trades(_)
            | Body::Liquidations(_)
    )
}

impl Feed {
    /// Looks at an event before it is published.
    #[inline]
    pub(super) fn judge(&mut self, event: &Event, decoded: &Decoded, arrival: Arrival) {
        let is_off = event.exchange_ts != NOT_GIVEN
            && match self.venue_clock.late_ns(event.exchange_ts, arrival.recv_ts) {
                late_ns if late_ns > TIME_OFF_NS => is_news(&event.body),
                late_ns if late_ns < -TIME_OFF_NS => true,
                late_ns => {
                    self.venue_clock.see(late_ns, arrival.recv_ts);
                    false
                }
            };
        let trades = match event.body {
            Body::Trades(run) | Body::Liquidations(run) => decoded.trades(run),
            _ => &[],
        };
        self.instruments[event.instrument as usize].quality.begin(event, trades, arrival.recv_ts, is_off);
    }

    /// Counts what was found in the event that was published.
    #[inline]
    pub(super) fn count_marks(&mut self, index: u32) {
        let quality = &mut self.instruments[index as usize].quality;
        let marks = std::mem::take(&mut quality.marks);
        if marks != 0 {
            quality.counts.add(marks);
            self.quality.add(marks);
        }
    }

    /// Events by cause since the feed began.
    #[must_use]
    pub fn quality_counts(&self) -> QualityCounts {
        self.quality
    }

    /// The same of one instrument.
    #[must_use]
    pub fn quality(&self, index: u32) -> Option<QualityCounts> {
        self.instruments.get(index as usize).map(|known| known.quality.counts)
    }

    /// The venue's clock beside ours.
    #[must_use]
    pub fn venue_clock(&self) -> &VenueClock {
        &self.venue_clock
    }
}
