//! A planned change of socket as one instrument sees it: two links carry its streams, and everything is published once.
//!
//! *Numbered* books (rules `Range`, `Chain` and `PlusOne`) take events of both links through one continuity: what comes
//! first is applied, its repeat is dropped. A link may be ahead of the book because the other one lags: its events wait
//! until the other has brought what lies between. Two links need not cut the venue's changes alike (Binance futures sum up
//! 100 ms each), so an event that begins before our place and ends behind it continues the book: it holds every change in
//! between as an absolute quantity.
//!
//! Other books are carried by one link at a time, and change to the new one with its first whole book.

use super::held::{Held, HeldDiffs};
use super::repeats::NamelessTrades;
use crate::event::{Body, Ids};
use crate::sequence::{Continuity, Rule, SpliceVerdict, Verdict};

/// How long events that are ahead of a book wait for the other link, by the clock of their arrival: a lagging copy of a
/// stream catches up within a second.
pub const AHEAD_FOR_NS: i64 = 5_000_000_000;

/// One of the two connections of an overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Old = 0,
    New = 1,
}

impl Link {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// Two connections that carry the same streams of one instrument.
#[derive(Debug)]
pub(super) struct Overlap {
    connections: [u32; 2],
    /// The instrument's book is among the streams.
    pub(super) carries_book: bool,
    /// The new link took over, or could.
    pub(super) switched: bool,
    /// The owner said that the new link is subscribed.
    pub(super) subscribed: bool,
    /// The new link brought an event of the book.
    pub(super) heard: bool,
    /// Kinds other than book and trades that the new link has taken over.
    kinds: u8,
    /// Last id of each link, where the venue numbers.
    places: [Option<u64>; 2],
    /// Where the book stood before the venue began its numbers anew.
    before_reset: Option<u64>,
    /// Events of the link that is ahead.
    pub(super) waiting: HeldDiffs,
    pub(super) ahead: Option<Link>,
    /// The link that is left; the overlap is over once that continued the book.
    pub(super) left: Option<Link>,
    pub(super) nameless: NamelessTrades,
    /// Links that brought an event of the book that could not be read.
    unread: [bool; 2],
}

impl Overlap {
    pub(super) fn new(old: u32, new: u32, carries_book: bool, place: Option<u64>) -> Self {
        Self {
            connections: [old, new],
            carries_book,
            switched: false,
            subscribed: false,
            heard: false,
            kinds: 0,
            places: [place, None],
            before_reset: None,
            waiting: HeldDiffs::default(),
            ahead: None,
            left: None,
            nameless: NamelessTrades::default(),
            unread: [false; 2],
        }
    }

    /// Takes over from an overlap whose remaining link has not continued the book yet.
    pub(super) fn succeed(&mut self, before: &Self) {
        self.before_reset = before.before_reset;
        self.places[Link::Old as usize] = before.left.and_then(|left| before.places[left as usize]);
    }

    /// Whether a connection takes part, or did.
    pub(super) fn has(&self, connection: u32) -> bool {
        self.connections.contains(&connection)
    }

    /// The connection that a link is.
    pub(super) fn connection(&self, link: Link) -> u32 {
        self.connections[link as usize]
    }

    /// A link brought what cannot be read; whether the other did too, so that something is lost.
    pub(super) fn failed(&mut self, link: Link) -> bool {
        self.unread[link as usize] = true;
        self.unread == [true; 2]
    }

    /// The link that a connection is in this overlap; `None` if it has no part in it, or not any more.
    pub(super) fn link(&self, connection: u32) -> Option<Link> {
        let link = match self.connections {
            [old, _] if old == connection => Link::Old,
            [_, new] if new == connection => Link::New,
            _ => return None,
        };
        (self.left != Some(link.other())).then_some(link)
    }

    pub(super) fn is_pair(&self, old: u32, new: u32) -> bool {
        self.connections == [old, new]
    }

    /// Old and new connection.
    pub(super) fn pair(&self) -> (u32, u32) {
        (self.connections[0], self.connections[1])
    }

    /// Nothing holds any more of what was known of the places: the book begins anew.
    pub(super) fn forget_places(&mut self) -> u64 {
        self.places = [None; 2];
        self.before_reset = None;
        self.ahead = None;
        self.unread = [false; 2];
        self.waiting.clear()
    }

    /// Judges an event of a link that goes on from what the book has.
    pub(super) fn judge(
        &mut self,
        continuity: &mut Continuity,
        joining: &mut Option<u64>,
        ids: &Ids,
        is_empty: bool,
    ) -> Verdict {
        let place = joining.or(continuity.local());
        let says_nothing = is_empty && ids.prev.is_some() && ids.prev == ids.last && ids.last == place;
        if says_nothing && joining.is_none() {
            return Verdict::Old; // The keep-alive of OKX, which both links send.
        }
        let verdict = judge(continuity, joining, ids);
        match (verdict, place, ids.last) {
            (Verdict::Apply, Some(place), Some(last)) if last < place && continuity.rule() == Rule::Chain => {
                self.before_reset = Some(place);
                verdict
            }
            (Verdict::Gap { .. }, Some(place), Some(last)) if self.is_from_before(last, place) => {
                Verdict::Old
            }
            (Verdict::Gap { .. }, Some(place), Some(last)) if spans(ids, place) => {
                continuity.restart_at(Some(last));
                *joining = None;
                Verdict::Apply
            }
            _ => verdict,
        }
    }

    /// Remembers how far a link is.
    pub(super) fn passed(&mut self, link: Link, last: Option<u64>) {
        self.places[link as usize] = last.or(self.places[link as usize]);
    }

    /// Whether a whole book that a link brought says more than ours, which stands at `place`; `last` is its id.
    ///
    /// A lower id is news only if the link itself was further before: then the venue began its numbers anew (Bybit sends
    /// `u` 1). A link that lags repeats what we have.
    pub(super) fn is_news(&mut self, link: Link, last: Option<u64>, place: Option<u64>) -> bool {
        let (Some(last), Some(place)) = (last, place) else { return true };
        let own = self.places[link as usize];
        if own.is_some_and(|own| last < own && !self.is_from_before(own, place)) {
            self.before_reset = Some(place);
            return true;
        }
        last > place && !self.is_from_before(last, place)
    }

    /// Whether an id is of the time before the venue began its numbers anew: it is nearer to where we stood then.
    fn is_from_before(&self, id: u64, place: u64) -> bool {
        self.before_reset.is_some_and(|before| id.abs_diff(before) < id.abs_diff(place))
    }

    /// Whether an event of a kind that only one link may bring is that link's: the old one's until the new one has sent the
    /// kind, after the instrument has switched.
    pub(super) fn has_turn(&mut self, link: Link, body: &Body) -> bool {
        let bit = match body {
            Body::Bbo(_) => 1,
            Body::Ticker(_) => 2,
            Body::Candle(_) => 4,
            Body::Deriv(_) => 8,
            // A state is told again by the other link, and published where it changed.
            Body::Book { .. }
            | Body::Trades(_)
            | Body::Liquidations(_)
            | Body::Trading(_)
            | Body::Orders { .. } => return true,
        };
        match link {
            _ if self.left.is_some() => true,
            Link::Old => self.kinds & bit == 0,
            Link::New => {
                self.kinds |= if self.switched { bit } else { 0 };
                self.switched
            }
        }
    }

    /// Whether the events that wait have waited too long.
    pub(super) fn is_late(&self, now_ts: i64) -> bool {
        let since = self.waiting.front().map(|first| first.arrival.recv_ts);
        since.is_some_and(|since| now_ts.saturating_sub(since) >= AHEAD_FOR_NS)
    }

    /// Whether an event of `link` that is ahead may wait for the other link: that is heard, and not ahead itself.
    pub(super) fn may_wait(&self, link: Link, now_ts: i64) -> bool {
        let other_brings = link == Link::New || self.heard;
        self.left.is_none() && other_brings && self.ahead != Some(link.other()) && !self.is_late(now_ts)
    }

    /// Keeps an event that is ahead; how many the bounds pushed out.
    pub(super) fn wait(&mut self, link: Link, event: Held) -> u64 {
        self.ahead = Some(link);
        self.waiting.push(event).dropped
    }
}

/// What the rules say of an event: whether it joins the snapshot, else whether it continues.
pub(super) fn judge(continuity: &mut Continuity, joining: &mut Option<u64>, ids: &Ids) -> Verdict {
    let Some(id) = *joining else { return continuity.check(ids) };
    match continuity.splice(id, ids) {
        SpliceVerdict::Old => Verdict::Old,
        SpliceVerdict::Apply => {
            *joining = None;
            Verdict::Apply
        }
        SpliceVerdict::SnapshotTooOld { expected, got } => Verdict::Gap { expected, got },
    }
}

/// Whether an event that names its predecessor begins before our place and ends behind it.
fn spans(ids: &Ids, place: u64) -> bool {
    matches!((ids.prev, ids.last), (Some(prev), Some(last)) if prev <= place && place < last)
}

/// Whether the venue numbers the events of a book by itself, so that two links can be told to say the same.
pub(super) fn is_numbered(rule: Rule) -> bool {
    matches!(rule, Rule::Range | Rule::Chain | Rule::PlusOne)
}
