//! What the feed tells its owner beside the frames: notices, faults that keep their frame, counters.

use std::collections::VecDeque;

/// Notices kept until they are taken. More than one read of the busiest socket can cause; the rest is counted.
pub const NOTICES_MAX: usize = 4_096;
/// Faults kept for inspection.
pub const FAULTS_MAX: usize = 64;
/// Bytes kept of a faulty frame: enough to see what is wrong, 256 KiB in all.
pub const FAULT_BYTES_MAX: usize = 4_096;

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// Exchange events are missing: `expected` and `got` are venue ids. Without an instrument they are missing on a whole
    /// connection, which `text` names.
    Gap,
    /// A frame was refused; `text` is the cause.
    Fault,
    /// The book needs a snapshot: by REST or, where the stream sends them, by a new subscription.
    NeedSnapshot,
    /// The snapshot given is older than the held diffs: `expected` is the id that would have joined.
    SnapshotOld,
    /// The book is whole and on the wire.
    Live,
    /// The book is no longer right: STATUS(stale) went out.
    Stale,
    /// The instrument has finer exponents now: `expected` is the price exponent negated, `got` that of quantities.
    Refined,
    /// A message told another trading status: `expected` is the one before, `got` the new one.
    Trading,
    /// A frame names an instrument that was not added: `text`.
    UnknownInstrument,
    /// Held diffs are being dropped because the snapshot does not come; told once for each recovery.
    HeldOverflow,
    /// All orders of the instrument are known, and on the wire if its book is live.
    OrdersLive,
    /// Its orders are not known any more; where they were told, consumers were told so too.
    OrdersStale,
    /// Its orders need a snapshot: by REST or, where the stream sends them, by a new subscription.
    OrdersNeedSnapshot,
    /// The snapshot of orders given is older than the held events.
    OrdersSnapshotOld,
    /// Held events of orders are being dropped; told once for each recovery.
    OrdersHeldOverflow,
    /// The new connection of an overlap carries the instrument: `expected` is the old connection, `got` the new one. Told
    /// once in an overlap.
    Switched,
    /// The frame numbers of the session run out: the owner has to begin a new session.
    SessionFull,
}

impl NoticeKind {
    /// Name as Python sees it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "GAP",
            Self::Fault => "FAULT",
            Self::NeedSnapshot => "NEED_SNAPSHOT",
            Self::SnapshotOld => "SNAPSHOT_OLD",
            Self::Live => "LIVE",
            Self::Stale => "STALE",
            Self::Refined => "REFINED",
            Self::Trading => "TRADING",
            Self::UnknownInstrument => "UNKNOWN_INSTRUMENT",
            Self::HeldOverflow => "HELD_OVERFLOW",
            Self::OrdersLive => "ORDERS_LIVE",
            Self::OrdersStale => "ORDERS_STALE",
            Self::OrdersNeedSnapshot => "ORDERS_NEED_SNAPSHOT",
            Self::OrdersSnapshotOld => "ORDERS_SNAPSHOT_OLD",
            Self::OrdersHeldOverflow => "ORDERS_HELD_OVERFLOW",
            Self::Switched => "SWITCHED",
            Self::SessionFull => "SESSION_FULL",
        }
    }
}

/// Something the owner may act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub kind: NoticeKind,
    /// Dense index of the instrument, if it is about one.
    pub instrument: Option<u32>,
    /// See the kind.
    pub expected: u64,
    /// See the kind.
    pub got: u64,
    /// See the kind.
    pub text: String,
}

impl Notice {
    /// A notice about an instrument without numbers.
    #[must_use]
    pub fn about(kind: NoticeKind, instrument: u32) -> Self {
        Self { kind, instrument: Some(instrument), expected: 0, got: 0, text: String::new() }
    }
}

/// A refused frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Cause in words.
    pub reason: String,
    /// Receive time.
    pub recv_ts: i64,
    /// Connection it came on.
    pub connection: u32,
    /// The frame, cut to [`FAULT_BYTES_MAX`].
    pub frame: Vec<u8>,
}

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Name and value of every counter.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }
        }
    };
}

counters! {
    /// Sums since the feed began.
    FeedCounters {
        /// Frames of the exchange taken.
        frames_in,
        /// Their bytes.
        bytes_in,
        /// Frames no shape takes: control messages and unknown ones.
        for_python,
        /// Frames refused; the last ones are kept.
        faults,
        /// Gaps in a venue's sequence.
        gaps,
        /// Book events already covered by what was applied.
        old_events,
        /// Book messages whose checksum is that of our book.
        checksums_verified,
        /// Book messages whose checksum is another one; each ends the life of its book.
        checksum_mismatch,
        /// Book events held while a snapshot was under way.
        held,
        /// Held book events dropped by the bounds of count or time.
        held_dropped,
        /// Snapshots that became a book.
        snapshots_used,
        /// Snapshots older than the held diffs.
        snapshots_old,
        /// Snapshots for a book that was live or is unknown.
        snapshots_ignored,
        /// Times a book became live.
        went_live,
        /// Times a live book became stale.
        went_stale,
        /// Finer exponents taken.
        refined,
        /// Frames about instruments that were not added.
        unknown_instrument,
        /// Book events published.
        book_events,
        /// Events of orders published.
        order_events,
        /// Changes of orders in them.
        order_ops,
        /// Events of orders of which a change did not fit; each ends what is known of the orders.
        order_faults,
        /// Changes of orders that are not on the book, where the venue says that they mean nothing.
        order_absent,
        /// Times all orders of an instrument became known.
        orders_live,
        /// Times they were not known any more.
        orders_lost,
        /// Events of orders held while a snapshot was under way.
        orders_held,
        /// Held events of orders dropped by the bounds, or because their link was lost.
        orders_held_dropped,
        /// Events of orders that came before all orders were known.
        orders_unknown,
        /// Trades that no change of a level showed: hidden orders, or icebergs that came back at once.
        inferred_unshown,
        /// Trades that came after the change of their level.
        inferred_late,
        /// Trades and best prices that inference forgot because too many waited for the change of their level.
        inferred_forgotten,
        /// Changes of levels and trades that did not fit the inferred orders.
        inferred_refused,
        /// Trades without aggressor at a price that neither side has.
        inferred_sideless,
        /// Times the inferred orders of a book began anew because a change did not fit.
        inferred_anew,
        /// Trades published.
        trades,
        /// Levels published.
        levels,
        /// Trades and liquidations that had been published before: history at a subscription, or the other link.
        trade_repeats,
        /// Book events of an overlap that the other link had brought.
        overlap_repeats,
        /// Events of an overlap that were the other link's to bring, and waiting ones that were not needed any more.
        overlap_dropped,
        /// Book events that came before the other link had brought what lies between.
        overlap_waited,
        /// Events that came on a connection whose overlap had ended.
        after_overlap,
        /// Instruments that left the wire.
        removed,
        /// Frames and answers about instruments that had left.
        after_removal,
        /// Books given up on the owner's word.
        resyncs,
        /// Frames that came after the session was ended.
        after_end,
        /// Notices that nobody took in time.
        notices_dropped,
        /// Instruments that consumers had moved to the head of the snapshot cycle.
        heads_moved,
        /// Such wishes refused because the instrument had just been moved.
        heads_limited,
        /// Snapshot cycles begun.
        cycles_begun,
        /// Snapshot cycles sent whole, with their CYCLE_END.
        cycles,
    }
}

/// Bounded notices, faults and counters.
#[derive(Debug, Default)]
pub struct Journal {
    notices: VecDeque<Notice>,
    faults: VecDeque<Fault>,
    /// Sums.
    pub counters: FeedCounters,
}

impl Journal {
    /// Keeps a notice, or counts it when too many wait.
    pub fn notice(&mut self, notice: Notice) {
        if self.notices.len() >= NOTICES_MAX {
            self.counters.notices_dropped += 1;
        } else {
            self.notices.push_back(notice);
        }
    }

    /// Counts a fault, keeps its frame and tells the owner.
    pub fn fault(&mut self, fault: Fault, instrument: Option<u32>) {
        self.counters.faults += 1;
        self.notice(Notice {
            kind: NoticeKind::Fault,
            instrument,
            expected: 0,
            got: 0,
            text: fault.reason.clone(),
        });
        if self.faults.len() >= FAULTS_MAX {
            self.faults.pop_front();
        }
        self.faults.push_back(fault);
    }

    /// Whether a notice waits.
    #[must_use]
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Takes the notices.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.drain(..).collect()
    }

    /// The last faults, oldest first.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}
