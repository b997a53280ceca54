//! Requests on their way: each arrives at the time of sending and a latency that a seed draws.
//!
//! What one owner sends arrives in the order in which it was sent, as TCP keeps it; owners overtake each other.
//!
//! ```
//! use outcrier_core::matching::{InFlight, Latency};
//!
//! let latency = Latency { least_ns: 50_000, jitter_ns: 20_000, ..Latency::default() };
//! let mut in_flight = InFlight::new(latency, 7)?;
//! let due = in_flight.send(1, 1_000_000, "buy").unwrap();
//! assert!((1_050_000..=1_070_000).contains(&due));
//! assert_eq!(in_flight.receive(due - 1), None);
//! assert_eq!(in_flight.receive(due), Some((due, "buy")));
//! # Ok::<(), outcrier_core::matching::LatencyError>(())
//! ```

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;

use crate::draw::{Draw, PPM};
use crate::orders::ids::Ids;

/// Longest of each of the three parts of a latency, as of a line's delay ([`crate::chaos::DELAY_NS_MAX`]).
pub const LATENCY_NS_MAX: u64 = crate::chaos::DELAY_NS_MAX;

/// What is on its way at a time: 35,000 requests a second for the 30 s that the slowest may take.
pub const IN_FLIGHT_MAX: usize = 1 << 20;

/// How long requests are on their way. All 0: they arrive at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Least that it takes.
    pub least_ns: u64,
    /// Most that is added, drawn evenly from 0 to this.
    pub jitter_ns: u64,
    /// How many of a million are slow.
    pub slow_ppm: u32,
    /// Most that is added to a slow one, drawn evenly from 0 to this.
    pub slow_ns: u64,
}

/// What cannot be in a [`Latency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LatencyError {
    /// A part is longer than [`LATENCY_NS_MAX`].
    TooLong,
    /// More than a million of a million.
    Probability,
}

impl fmt::Display for LatencyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a part of a latency is at most {} s", LATENCY_NS_MAX / 1_000_000_000),
            Self::Probability => write!(f, "at most {PPM} of {PPM} are slow"),
        }
    }
}

impl std::error::Error for LatencyError {}

#[derive(Clone, Copy, Debug)]
struct Sent<T> {
    due: i64,
    /// Counts what was sent: of those due at one time the one sent first comes first.
    number: u64,
    owner: u64,
    what: T,
}

impl<T> PartialEq for Sent<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Sent<T> {}

impl<T> PartialOrd for Sent<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Sent<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// The last of an owner's, while some of them are on their way.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    last_due: i64,
    on_their_way: u32,
}

/// What is on its way.
#[derive(Clone, Debug)]
pub struct InFlight<T> {
    latency: Latency,
    draw: Draw,
    waiting: BinaryHeap<Reverse<Sent<T>>>,
    lines: Ids<Line>,
    next_number: u64,
    /// Nothing is sent before this, since it was seen already.
    now: i64,
}

impl<T> InFlight<T> {
    /// Nothing is on its way. The n-th that is sent takes what the seed and n give, whoever sends it.
    ///
    /// # Errors
    /// What cannot be in a latency.
    pub fn new(latency: Latency, seed: u64) -> Result<Self, LatencyError> {
        if [latency.least_ns, latency.jitter_ns, latency.slow_ns].iter().any(|ns| *ns > LATENCY_NS_MAX) {
            return Err(LatencyError::TooLong);
        }
        if latency.slow_ppm > PPM {
            return Err(LatencyError::Probability);
        }
        Ok(Self {
            latency,
            draw: Draw(seed),
            waiting: BinaryHeap::new(),
            lines: Ids::default(),
            next_number: 0,
            now: i64::MIN,
        })
    }

    /// Sends something at a time; gives when it arrives. A time before one at which something was received counts as that one.
    ///
    /// # Errors
    /// Gives it back where [`IN_FLIGHT_MAX`] are on their way; nothing is drawn then.
    pub fn send(&mut self, owner: u64, sent_ns: i64, what: T) -> Result<i64, T> {
        if self.waiting.len() >= IN_FLIGHT_MAX {
            return Err(what);
        }
        let latency_ns = self.draw_latency();
        let line = self.lines.entry(owner).or_insert(Line { last_due: i64::MIN, on_their_way: 0 });
        let due = sent_ns.max(self.now).saturating_add_unsigned(latency_ns).max(line.last_due);
        line.last_due = due;
        line.on_their_way += 1;
        self.waiting.push(Reverse(Sent { due, number: self.next_number, owner, what }));
        self.next_number += 1;
        Ok(due)
    }

    /// The next one that has arrived by `now_ns`, and when it did.
    pub fn receive(&mut self, now_ns: i64) -> Option<(i64, T)> {
        self.next_due().filter(|due| *due <= now_ns)?;
        let Reverse(Sent { due, owner, what, .. }) = self.waiting.pop()?;
        self.now = self.now.max(due);
        if let Some(line) = self.lines.get_mut(&owner) {
            line.on_their_way -= 1;
            if line.on_their_way == 0 {
                // Whatever comes later is due later anyway.
                self.lines.remove(&owner);
            }
        }
        Some((due, what))
    }

    /// When the next one arrives.
    #[must_use]
    pub fn next_due(&self) -> Option<i64> {
        self.waiting.peek().map(|Reverse(sent)| sent.due)
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn draw_latency(&mut self) -> u64 {
        let Latency { least_ns, jitter_ns, slow_ppm, slow_ns } = self.latency;
        // The same draws for every request, so that one that is slow changes no other.
        let jitter = self.draw.below(jitter_ns + 1);
        let is_slow = self.draw.chance(slow_ppm);
        let slow = self.draw.below(slow_ns + 1);
        least_ns + jitter + if is_slow { slow } else { 0 }
    }
}
