//! What proves a book: the venue's checksum over it, and the number that a venue counts over a whole connection. Also the
//! levels that a venue of limited depth pushes out without a word.

use super::instrument::Instrument;
use super::{Feed, Notice, NoticeKind};
use crate::book::{Decimals, Printed};
use crate::checksum::Algorithm;
use crate::event::{Body, Decoded, Event, Ids, Level, LevelExtra, Run, Side, VenueChecksum};
use crate::instrument::Scale;
use crate::publish::{Arrival, Host};
use crate::sequence::{Continuity, Rule, Splice, Verdict};
use crate::shape::ShapeInfo;
use crate::wire::status;

/// A checksum as the venue sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    algorithm: Algorithm,
    value: i64,
}

/// What a book message says of levels, and by what it can be checked afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) bids: &'a [Level],
    pub(super) asks: &'a [Level],
    /// One for each level, bids first, where checksums are over text; else empty.
    pub(super) extras: &'a [LevelExtra],
    /// Levels a side that the venue keeps.
    pub(super) depth: Option<u32>,
    pub(super) checksum: Option<Told>,
}

impl<'a> Change<'a> {
    /// `None`: the event is about something else.
    pub(super) fn of(event: &Event, decoded: &'a Decoded, shapes: &[ShapeInfo]) -> Option<Self> {
        let Body::Book { bids, asks, checksum, .. } = event.body else { return None };
        let shape = shapes.get(usize::from(decoded.shape))?;
        let told = shape.checksum.zip(checksum).and_then(|(algorithm, VenueChecksum(value))| {
            algorithm.is_given(value).then_some(Told { algorithm, value })
        });
        Some(Self {
            bids: decoded.levels(bids),
            asks: decoded.levels(asks),
            extras: if shape.keep_decimals { &decoded.extras[joined(bids, asks)] } else { &[] },
            depth: shape.depth,
            checksum: told,
        })
    }

    fn levels(&self) -> impl Iterator<Item = (Side, Level)> {
        let of = |side, levels: &'a [Level]| levels.iter().map(move |level| (side, *level));
        of(Side::Bid, self.bids).chain(of(Side::Ask, self.asks))
    }

    /// Notes how the levels were printed.
    fn mark(&self, printed: &mut Printed) {
        debug_assert_eq!(self.extras.len(), self.bids.len() + self.asks.len(), "a level without decimals");
        if printed.is_new() {
            printed.set_first(self.bids, self.asks, self.extras);
            return;
        }
        for ((side, level), extra) in self.levels().zip(self.extras) {
            printed.set(side, level, Decimals::of(extra));
        }
    }
}

/// The two runs of a book event lie one behind the other, bids first.
pub(super) fn joined(bids: Run, asks: Run) -> std::ops::Range<usize> {
    debug_assert_eq!(bids.start + bids.len, asks.start);
    bids.start as usize..(asks.start + asks.len) as usize
}

/// Levels that a change pushed out of the depth that the venue keeps, as deletions.
#[derive(Debug, Default)]
pub(super) struct Cut {
    bids: Vec<Level>,
    asks: Vec<Level>,
    /// The levels of the event with those.
    whole: Vec<Level>,
}

impl Cut {
    fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// The levels of an event, bids first, followed on each side by what was cut; and how many are bids.
    pub(super) fn with<'a>(&'a mut self, levels: &'a [Level], n_bids: usize) -> (&'a [Level], usize) {
        if self.bids.is_empty() && self.asks.is_empty() {
            return (levels, n_bids);
        }
        let (bids, asks) = levels.split_at(n_bids);
        self.whole.clear();
        for part in [bids, &self.bids, asks, &self.asks] {
            self.whole.extend_from_slice(part);
        }
        (&self.whole, n_bids + self.bids.len())
    }
}

impl Instrument {
    /// Applies a change of levels, bids first, and cuts what it pushed out.
    pub(super) fn apply(&mut self, change: &Change<'_>, cut: &mut Cut) {
        self.book.set_all(Side::Bid, change.bids);
        self.book.set_all(Side::Ask, change.asks);
        if let Some(printed) = &mut self.printed {
            change.mark(printed);
        }
        self.cut(change.depth, cut);
    }

    /// Applies the difference that turns the book into a whole one.
    pub(super) fn replace(&mut self, whole: &Change<'_>, (bids, asks): (&[Level], &[Level]), cut: &mut Cut) {
        self.book.set_all(Side::Bid, bids);
        self.book.set_all(Side::Ask, asks);
        if let Some(printed) = &mut self.printed {
            // A level that did not change may be printed otherwise.
            printed.clear();
            whole.mark(printed);
        }
        self.cut(whole.depth, cut);
    }

    fn cut(&mut self, depth: Option<u32>, cut: &mut Cut) {
        cut.clear();
        let Some(depth) = depth else { return };
        self.depth_limit = u16::try_from(depth).unwrap_or(u16::MAX);
        for (side, gone) in [(Side::Bid, &mut cut.bids), (Side::Ask, &mut cut.asks)] {
            while self.book.len(side) > depth as usize
                && let Some(Level { price, .. }) = self.book.worst(side)
            {
                self.book.set(side, price, 0);
                if let Some(printed) = &mut self.printed {
                    printed.remove(side, price);
                }
                gone.push(Level { price, qty: 0 });
            }
        }
    }

    /// Forgets the levels.
    pub(super) fn clear_book(&mut self) {
        self.book.clear();
        if let Some(printed) = &mut self.printed {
            printed.clear();
        }
    }
}

/// What came of comparing a book with the checksum of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proven {
    /// The message has none.
    NotTold,
    Yes,
    /// The checksum of the venue, and that of the book.
    Differs(u64, u64),
}

/// What the feed knows for its proofs, and buffers that keep their memory.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) cut: Cut,
    /// An instrument whose checksum differed in the frame in hand.
    pub(super) failed: Option<u32>,
    numbers: ConnectionNumbers,
    text: Vec<u8>,
}

impl Proof {
    pub(super) fn new(rule: Rule) -> Self {
        let numbers = ConnectionNumbers {
            is_followed: rule == Rule::ConnectionPlusOne,
            ..ConnectionNumbers::default()
        };
        Self { numbers, ..Self::default() }
    }

    /// Compares a book to which a change has been applied with the checksum that came with it.
    pub(super) fn check(&mut self, instrument: &mut Instrument, told: Option<Told>) -> Proven {
        let (Some(Told { algorithm, value }), Some(printed)) = (told, &mut instrument.printed) else {
            return Proven::NotTold;
        };
        let scale = Scale { price_exp: instrument.def.price_exp, qty_exp: instrument.def.qty_exp };
        let ours = algorithm.of(&instrument.book, printed, &scale, &mut self.text);
        // Signed or not, both are 32 bits.
        let bits = |value: i64| u64::from(value as u32);
        if ours == value { Proven::Yes } else { Proven::Differs(bits(value), bits(ours)) }
    }
}

/// Where connections whose frames the venue numbers one by one stand.
#[derive(Debug, Default)]
struct ConnectionNumbers {
    /// Books are proven by it.
    is_followed: bool,
    /// A venue has a few connections, and they keep their numbers.
    places: Vec<(u32, Continuity)>,
}

impl ConnectionNumbers {
    /// Takes the number of a frame; gives the number that should have come and the one that did if frames are missing.
    fn take(&mut self, connection: u32, number: u64) -> Option<(u64, u64)> {
        let known = self.places.iter_mut().find(|(other, _)| *other == connection);
        let ids = Ids { last: Some(number), ..Ids::default() };
        let Some((_, place)) = known else {
            let mut place = Continuity::new(Rule::ConnectionPlusOne, Splice::InStream);
            place.check(&ids);
            self.places.push((connection, place));
            return None;
        };
        match place.check(&ids) {
            Verdict::Apply | Verdict::Old => None,
            Verdict::Gap { expected, got } => {
                place.restart_at(Some(number));
                Some((expected, got))
            }
        }
    }
}

impl Feed {
    /// Another link will stand under the number of this connection: what the venue counts on it begins anew.
    pub fn restart_connection(&mut self, connection: u32) {
        self.proof.numbers.places.retain(|(other, _)| *other != connection);
    }

    /// Takes the number of a frame on its connection, whoever the frame is for. Where some are missing, every book that the
    /// connection carries may lack what they said, and so may one of which nothing has come yet.
    pub(super) fn follow_connection(
        &mut self,
        connection: u32,
        number: Option<u64>,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Some(number) = number.filter(|_| self.proof.numbers.is_followed) else { return };
        let Some((expected, got)) = self.proof.numbers.take(connection, number) else { return };
        self.journal.counters.gaps += 1;
        self.kinds.book.gaps += 1;
        self.journal.notice(Notice {
            kind: NoticeKind::Gap,
            instrument: None,
            expected,
            got,
            text: format!("connection {connection}"),
        });
        self.channel.begin_together();
        for index in 0..self.instruments.len() {
            let known = &self.instruments[index];
            if !known.has_book || ![0, connection].contains(&known.book_connection) {
                continue;
            }
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if !self.concerns(index, connection) {
                continue;
            }
            let known = &self.instruments[index as usize];
            if known.state == super::BookState::Live {
                self.go_stale(index, status::reason::SOURCE_GAP, expected, got, host, arrival);
            } else {
                // The book that it waits for may be what is missing.
                self.journal.notice(Notice::about(NoticeKind::NeedSnapshot, index));
            }
        }
        self.channel.end_together(host);
    }

    /// Compares a book to which a change has been applied with the checksum that came with it. `false`: they differ, and the
    /// book is no more.
    pub(super) fn verify(
        &mut self,
        index: u32,
        checksum: Option<Told>,
        host: &mut dyn Host,
        arrival: Arrival,
    ) -> bool {
        let (expected, got) = match self.proof.check(&mut self.instruments[index as usize], checksum) {
            Proven::NotTold => return true,
            Proven::Yes => {
                self.journal.counters.checksums_verified += 1;
                return true;
            }
            Proven::Differs(expected, got) => (expected, got),
        };
        self.journal.counters.checksum_mismatch += 1;
        self.kinds.book.rejected += 1;
        self.proof.failed.get_or_insert(index);
        self.give_up(index, status::reason::CHECKSUM, expected, got, host, arrival);
        false
    }
}
