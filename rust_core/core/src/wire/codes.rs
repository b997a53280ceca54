//! The numbers of the wire that have names: flags, states, reasons, kinds.

/// Bits of `Header::flags`.
pub mod flags {
    /// Last frame of one exchange event; act on the book only here.
    pub const EVENT_END: u16 = 1;
    /// An 8-byte MAC follows the payload.
    pub const AUTH: u16 = 1 << 1;
    /// `exchange_ts` is a copy of `recv_ts`.
    pub const NO_EXCH_TS: u16 = 1 << 2;
    /// `source_seq` means nothing.
    pub const NO_SRC_SEQ: u16 = 1 << 3;
    /// The publisher knows that exchange data is missing before this frame.
    pub const SRC_GAP: u16 = 1 << 4;
    /// First frame of a rebuilt book: clear before applying.
    pub const RESET: u16 = 1 << 5;
    /// Intermediate states were dropped on purpose.
    pub const CONFLATED: u16 = 1 << 6;
    /// Historical: never trade on it.
    pub const REPLAY: u16 = 1 << 7;
    /// A test: never trade on it.
    pub const TEST: u16 = 1 << 8;
    /// The publisher's clock is off by more than 1 ms.
    pub const CLOCK_BAD: u16 = 1 << 9;
    /// The book is crossed as the exchange sent it.
    pub const CROSSED: u16 = 1 << 10;
    /// Something about the event is unlikely, as the exchange sent it: its time, price or quantity, or the book is crossed.
    pub const SUSPECT: u16 = 1 << 11;
    /// Bits kept for meanings that change how a frame must be read; a receiver drops a frame with an unknown one.
    pub const CRITICAL: u16 = 0b11 << 14;
}

/// Numbers of STATUS (0x04).
pub mod status {
    /// What a status is about.
    pub mod scope {
        /// The whole channel.
        pub const CHANNEL: u8 = 1;
        /// The venue.
        pub const VENUE: u8 = 2;
        /// The instrument of the header; the only scope that changes an instrument's state.
        pub const INSTRUMENT: u8 = 3;
        /// One connection to the exchange.
        pub const CONNECTION: u8 = 4;
    }

    /// States of a book, instrument, connection, venue or channel.
    pub mod state {
        /// Trading; the book is whole.
        pub const LIVE: u8 = 1;
        /// The book may be wrong.
        pub const STALE: u8 = 2;
        /// The book is being rebuilt.
        pub const RECOVERING: u8 = 3;
        /// Trading is halted.
        pub const HALTED: u8 = 4;
        /// The market is closed.
        pub const CLOSED: u8 = 5;
        /// Before the opening.
        pub const PRE_OPEN: u8 = 6;
        /// In an auction.
        pub const AUCTION: u8 = 7;
        /// The venue is being maintained.
        pub const MAINTENANCE: u8 = 8;
        /// The instrument is gone for good.
        pub const DELISTED: u8 = 9;
    }

    /// Why a state changed.
    pub mod reason {
        /// No particular reason.
        pub const NONE: u16 = 0;
        /// The exchange's sequence has a hole.
        pub const SOURCE_GAP: u16 = 1;
        /// A checksum differs.
        pub const CHECKSUM: u16 = 2;
        /// The connection is gone.
        pub const DISCONNECT: u16 = 3;
        /// What came could not be read or does not fit the wire.
        pub const PARSE: u16 = 4;
        /// The venue limits our requests.
        pub const RATE_LIMIT: u16 = 5;
        /// The clock is unusable.
        pub const CLOCK: u16 = 6;
        /// We are too slow.
        pub const OVERLOAD: u16 = 7;
        /// With state delisted: the publisher carries it no more. Nothing follows unless it is defined again.
        pub const REMOVED: u16 = 8;
    }
}

/// `Heartbeat::state`.
pub mod publisher_state {
    /// Publishes.
    pub const LIVE: u8 = 1;
    /// Waits to take over.
    pub const STANDBY: u8 = 2;
    /// About to end.
    pub const DRAINING: u8 = 3;
}

/// `Heartbeat::clock_err_ns`: the error is unknown.
pub const CLOCK_ERROR_UNKNOWN: u32 = u32::MAX;

/// `SessionStart::reason`.
pub mod start_reason {
    /// No session before it is known.
    pub const COLD: u32 = 1;
    /// The same publisher started again.
    pub const RESTART: u32 = 2;
    /// Another publisher takes over.
    pub const FAIL_OVER: u32 = 3;
    /// The configuration changed.
    pub const RECONFIGURATION: u32 = 4;
}

/// `checksum_kind` of book messages.
pub mod checksum_kind {
    /// No checksum.
    pub const NONE: u8 = 0;
    /// CRC32C over [`super::super::digest::book_bytes`] of the best 25 levels a side.
    pub const OURS_25: u8 = 1;
    /// The exchange's own, for the record.
    pub const NATIVE: u8 = 2;
    /// CRC32C over [`super::super::digest::book_bytes`] of all levels.
    pub const OURS_ALL: u8 = 3;
    /// Levels a side that [`OURS_25`] covers.
    pub const OURS_25_DEPTH: usize = 25;
}

/// `InstrumentDef::kind`.
pub mod kind {
    /// Spot pair.
    pub const SPOT: u8 = 1;
    /// Perpetual contract.
    pub const PERPETUAL: u8 = 2;
    /// Future with a date.
    pub const FUTURE: u8 = 3;
    /// Option.
    pub const OPTION: u8 = 4;
    /// Share.
    pub const EQUITY: u8 = 5;
    /// Index.
    pub const INDEX: u8 = 6;
}

/// `InstrumentDef::option_type`.
pub mod option_type {
    /// Not an option.
    pub const NONE: u8 = 0;
    /// Call.
    pub const CALL: u8 = 1;
    /// Put.
    pub const PUT: u8 = 2;
}

/// `InstrumentDef::qty_unit`: what one unit of quantity is.
pub mod qty_unit {
    /// Base currency.
    pub const BASE: u8 = 1;
    /// Contracts of `contract_size` base.
    pub const CONTRACTS_OF_BASE: u8 = 2;
    /// Contracts of `contract_size` quote.
    pub const CONTRACTS_OF_QUOTE: u8 = 3;
    /// Quote currency.
    pub const QUOTE: u8 = 4;
}

/// Bits of `InstrumentDef::book_proof`: what proves a book whole; 0 = nothing does.
pub mod book_proof {
    /// The venue numbers its updates.
    pub const SEQUENCE: u8 = 1;
    /// The venue sends a checksum.
    pub const CHECKSUM: u8 = 2;
}

/// `RetxReply::code`.
pub mod retx_code {
    /// The frames follow.
    pub const OK: u16 = 0;
    /// They are not kept any more.
    pub const TOO_OLD: u16 = 1;
    /// They do not exist yet.
    pub const TOO_NEW: u16 = 2;
    /// Asked too often; `retry_after_us` says when to ask again.
    pub const RATE_LIMITED: u16 = 3;
    /// Another session is published.
    pub const BAD_SESSION: u16 = 4;
    /// The MAC differs or is missing.
    pub const BAD_MAC: u16 = 5;
    /// Ask again with the cookie of this reply.
    pub const NEED_COOKIE: u16 = 6;
    /// The request breaks a rule.
    pub const MALFORMED: u16 = 7;
}

/// Bits of `SnapWant::kinds`.
pub mod snap_kinds {
    /// The book of levels.
    pub const L2: u32 = 1;
    /// The book of orders.
    pub const L3: u32 = 2;
    /// The definition.
    pub const DEFINITION: u32 = 4;
    /// The derivative state.
    pub const DERIV: u32 = 8;
}
