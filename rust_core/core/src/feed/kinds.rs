//! What came in and went out by kind of message: the counts of the text lines for monitors.

/// Sums of one kind since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// Events that the venue sent; of trades and liquidations each one.
    pub received: u64,
    /// Those that became frames, when they came or, held until a book was whole, as a part of it.
    pub published: u64,
    /// Frames of the venue that could not be read.
    pub rejected: u64,
    /// Gaps in the venue's sequence.
    pub gaps: u64,
}

/// Sums by kind, as the text lines name them. Frames that could not be read are the book's where they are known to be of a
/// book; of others the kind is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Book events; an event that only continues a book that is not live is received and not published.
    pub book: KindCounts,
    /// Trading states that messages tell: no kind of data, STATUS says it where it changed.
    pub(super) trading: KindCounts,
    /// Events of orders; rejected are those of which a change did not fit, or the checksum.
    pub order: KindCounts,
    /// Trades.
    pub trade: KindCounts,
    /// Best prices.
    pub bbo: KindCounts,
    /// 24-hour statistics.
    pub ticker: KindCounts,
    /// Candles.
    pub candle: KindCounts,
    /// States of derivatives, and liquidations.
    pub deriv: KindCounts,
}

impl Kinds {
    /// Every kind by its name on the text lines.
    #[must_use]
    pub fn all(&self) -> [(&'static str, KindCounts); 7] {
        [
            ("book", self.book),
            ("order", self.order),
            ("trade", self.trade),
            ("bbo", self.bbo),
            ("ticker", self.ticker),
            ("candle", self.candle),
            ("deriv", self.deriv),
        ]
    }
}
