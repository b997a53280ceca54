//! States of channels and instruments, and which of two is worse.

use crate::wire::status::state as wire_state;

/// State of a channel, as `docs/wire-format.md` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Nothing numbered or promised was heard yet.
    Init,
    /// Waiting until every wanted instrument is LIVE.
    Sync,
    /// Every wanted instrument is whole.
    Live,
    /// Numbers are missing, and the time for them to come is not over.
    Gap,
    /// Numbers were given up; the snapshot plane repairs.
    Repair,
    /// Nothing is heard, the session ended, or two publishers speak in it.
    Dead,
}

impl ChannelState {
    /// The name in `docs/wire-format.md`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Sync => "SYNC",
            Self::Live => "LIVE",
            Self::Gap => "GAP",
            Self::Repair => "REPAIR",
            Self::Dead => "DEAD",
        }
    }
}

/// How whole our copy of an instrument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// Nothing to start from.
    Unknown,
    /// Every frame up to now is applied.
    Live,
    /// Frames of the channel were given up, and some may have been this instrument's.
    Unsure,
    /// Frames of this instrument are missing, or its book was found wrong.
    Stale,
}

/// What the publisher says of the instrument's book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// Whole.
    Live,
    /// Being rebuilt from the exchange.
    Recovering,
    /// May be wrong.
    Stale,
    /// The market is closed, or the instrument is delisted.
    Closed,
}

impl Publisher {
    /// From a number of STATUS.state; `None` for one that this version does not know.
    #[must_use]
    pub fn from_wire(state: u8) -> Option<Self> {
        match state {
            wire_state::LIVE
            | wire_state::HALTED
            | wire_state::PRE_OPEN
            | wire_state::AUCTION
            | wire_state::MAINTENANCE => Some(Self::Live),
            wire_state::RECOVERING => Some(Self::Recovering),
            wire_state::STALE => Some(Self::Stale),
            wire_state::CLOSED | wire_state::DELISTED => Some(Self::Closed),
            _ => None,
        }
    }
}

/// The state a consumer sees: the worse of reception and publisher, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reported {
    /// Whole and current.
    Live = 0,
    /// Something was lost that may concern it.
    Unsure = 1,
    /// The publisher rebuilds it.
    Recovering = 2,
    /// Not to be trusted.
    Stale = 3,
    /// Closed or delisted.
    Closed = 4,
    /// Neither definition nor snapshot ever came; counts as STALE.
    Unknown = 5,
}

impl Reported {
    /// Every state in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Live, Self::Unsure, Self::Recovering, Self::Stale, Self::Closed, Self::Unknown];

    /// The name that people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Unsure => "UNSURE",
            Self::Recovering => "RECOVERING",
            Self::Stale => "STALE",
            Self::Closed => "CLOSED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The worse of both sides.
#[must_use]
pub fn worse(reception: Reception, publisher: Publisher) -> Reported {
    let received = match reception {
        Reception::Live => Reported::Live,
        Reception::Unsure => Reported::Unsure,
        Reception::Stale | Reception::Unknown => Reported::Stale,
    };
    let published = match publisher {
        Publisher::Live => Reported::Live,
        Publisher::Recovering => Reported::Recovering,
        Publisher::Stale => Reported::Stale,
        Publisher::Closed => Reported::Closed,
    };
    received.max(published)
}

/// Why an instrument is not LIVE: numbers of STATUS.reason (below 256, from the publisher) and ours, from 256.
pub mod reason {
    /// Nothing to start from yet.
    pub const JOINING: u16 = 256;
    /// A frame of the instrument is missing.
    pub const INSTRUMENT_GAP: u16 = 257;
    /// Frames of the channel were given up.
    pub const GIVEN_UP: u16 = 258;
    /// The book differs from the publisher's checksum.
    pub const BOOK_CHECKSUM: u16 = 259;
    /// Levels came in exponents that are not the book's.
    pub const EXPONENTS: u16 = 260;
    /// A level came that no book can hold.
    pub const BAD_LEVEL: u16 = 261;
    /// The book or a split event grew beyond the limit.
    pub const BOOK_LIMIT: u16 = 262;
    /// Too many frames were held.
    pub const HOLD_OVERFLOW: u16 = 263;
    /// The channel is silent.
    pub const SILENCE: u16 = 264;
    /// The session ended.
    pub const SESSION_ENDED: u16 = 265;
    /// Two publishers speak in one session.
    pub const TWO_PUBLISHERS: u16 = 266;
    /// A new session began.
    pub const NEW_SESSION: u16 = 267;
    /// The new session does not define the instrument.
    pub const NOT_DEFINED: u16 = 268;
    /// A change of an order came that does not fit the orders.
    pub const BAD_ORDER: u16 = 269;
}

#[cfg(test)]
mod tests {
    use super::{Publisher, Reception, Reported, worse};

    #[test]
    fn the_worse_side_is_reported() {
        use Reported as R;
        let table = [
            (Reception::Live, [R::Live, R::Recovering, R::Stale, R::Closed]),
            (Reception::Unsure, [R::Unsure, R::Recovering, R::Stale, R::Closed]),
            (Reception::Stale, [R::Stale, R::Stale, R::Stale, R::Closed]),
            (Reception::Unknown, [R::Stale, R::Stale, R::Stale, R::Closed]),
        ];
        let publishers = [Publisher::Live, Publisher::Recovering, Publisher::Stale, Publisher::Closed];
        for (reception, row) in table {
            for (publisher, reported) in publishers.into_iter().zip(row) {
                assert_eq!(worse(reception, publisher), reported, "{reception:?} {publisher:?}");
            }
        }
    }

    #[test]
    fn trading_states_leave_the_book_live() {
        let states: Vec<_> = (0..=10).map(Publisher::from_wire).collect();
        let live = Some(Publisher::Live);
        let closed = Some(Publisher::Closed);
        assert_eq!(
            states,
            [
                None,
                live,
                Some(Publisher::Stale),
                Some(Publisher::Recovering),
                live,
                closed,
                live,
                live,
                live,
                closed,
                None,
            ]
        );
    }
}
