//! A bad network by seed: which datagrams of a line are lost, held back, doubled or damaged, and how.
//!
//! What happens to the n-th datagram of a line depends on nothing but the [`Plan`], the seed, the line and n, and each
//! impairment draws numbers of its own: a run can be repeated exactly, and one that is also delayed loses the same
//! datagrams. The simulation and the relay (`outcrier chaos`) break their networks with the same [`Chaos`].
//!
//! ```
//! use outcrier_core::chaos::{Burst, Chaos, Plan, Start};
//!
//! let burst = Burst { every: 1_000, length: 50, start: Start::Drawn };
//! let mut line_a = Chaos::new(&Plan { loss: 10_000, burst: Some(burst), delay_ns: 1_000_000, ..Plan::default() }, 7, 0)?;
//! let mut arrived = 0;
//! for now_ns in 0..2_000 {
//!     line_a.pass(b"frame", now_ns, &mut |due_ns, _| {
//!         assert_eq!(due_ns, now_ns + 1_000_000);
//!         arrived += 1;
//!     });
//! }
//! assert_eq!(line_a.counts().burst_lost, 100);
//! assert_eq!(arrived, 2_000 - line_a.counts().lost - 100);
//! # Ok::<(), outcrier_core::chaos::PlanError>(())
//! ```

use std::fmt;

use zerocopy::FromBytes;

use crate::draw::Draw;
pub use crate::draw::PPM;
use crate::wire::{FRAME_BYTES_MAX, Header, MAGIC, VERSION};

/// Longest of each of the three delays: what waits is memory, and 10 s at 20,000 frames/s are 200,000 datagrams.
pub const DELAY_NS_MAX: u64 = 10_000_000_000;

/// Most bits that one corruption flips. CRC32C finds any five in a frame of ours while its length is right; a flip in the
/// length leaves 2^-32.
const FLIPS_MAX: u64 = 3;

/// Of a million garbage datagrams so many begin like a frame, so that the later checks of a receiver get work, too.
const GARBAGE_LIKE_A_FRAME: u32 = PPM / 2;

/// Runs of losses: of every `every` datagrams `length` in a row are lost, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Datagrams to a window; at least 1.
    pub every: u32,
    /// How many of them are lost, in a row; at most `every`.
    pub length: u32,
    /// Where in the window the run begins.
    pub start: Start,
}

/// Where in its window a run of losses begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// So that it ends with the window: the first datagrams of a line arrive.
    Fixed,
    /// Drawn anew for each window.
    Drawn,
}

/// What a network does. Everything 0 is a network that does nothing; probabilities are in [`PPM`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Lost, each by itself.
    pub loss: u32,
    /// Lost in runs.
    pub burst: Option<Burst>,
    /// Held back by `reorder_ns`, so that later ones overtake them.
    pub reorder: u32,
    /// Longest time to be held back, beside all other delay; drawn from 1 to this.
    pub reorder_ns: u64,
    /// Sent once more.
    pub duplicate: u32,
    /// One to three bits of the frame flipped. Padding is left alone: nobody reads it.
    pub corrupt: u32,
    /// Cut somewhere within the frame.
    pub truncate: u32,
    /// Followed by a datagram of 1 to 1,400 random bytes, half of which begin as frames do.
    pub garbage: u32,
    /// Delay of every datagram.
    pub delay_ns: u64,
    /// Longest delay beside it, drawn from 0 to this. It never changes the order: only `reorder` does.
    pub jitter_ns: u64,
}

/// What cannot be in a [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// A probability above 1.
    Probability {
        /// Name of the field.
        field: &'static str,
    },
    /// A run of losses that is longer than its window, or a window of nothing.
    Burst(Burst),
    /// A delay above [`DELAY_NS_MAX`].
    Delay {
        /// Name of the field.
        field: &'static str,
    },
    /// Datagrams are to be held back for no time.
    NoReorderTime,
}

impl fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probability { field } => write!(formatter, "{field}: a probability is at most 100 %"),
            Self::Burst(Burst { every, length, .. }) => {
                write!(
                    formatter,
                    "burst {length}/{every}: of N datagrams, at least 1, at most N are lost in a row"
                )
            }
            Self::Delay { field } => {
                write!(formatter, "{field}: a delay is at most {} s", DELAY_NS_MAX / 1_000_000_000)
            }
            Self::NoReorderTime => formatter.write_str("reorder: what is held back for 0 s is not overtaken"),
        }
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Whether this can be.
    ///
    /// # Errors
    ///
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), PlanError> {
        let chances = [
            ("loss", self.loss),
            ("reorder", self.reorder),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("truncate", self.truncate),
            ("garbage", self.garbage),
        ];
        let delays =
            [("reorder_ns", self.reorder_ns), ("delay_ns", self.delay_ns), ("jitter_ns", self.jitter_ns)];
        if let Some((field, _)) = chances.into_iter().find(|&(_, ppm)| ppm > PPM) {
            return Err(PlanError::Probability { field });
        }
        if let Some((field, _)) = delays.into_iter().find(|&(_, ns)| ns > DELAY_NS_MAX) {
            return Err(PlanError::Delay { field });
        }
        match self.burst {
            Some(burst) if burst.every == 0 || burst.length > burst.every => Err(PlanError::Burst(burst)),
            _ if self.reorder > 0 && self.reorder_ns == 0 => Err(PlanError::NoReorderTime),
            _ => Ok(()),
        }
    }
}

macro_rules! counts {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What was done to a line. `seen - lost - burst_lost + duplicated + garbage` is `passed`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$meta])* pub $name: u64,)*
        }

        impl Counts {
            /// Name and value of every count.
            #[must_use]
            pub fn list(&self) -> [(&'static str, u64); [$(stringify!($name)),*].len()] {
                [$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counts! {
    /// Datagrams that came.
    seen,
    /// Datagrams that went on, copies and garbage among them.
    passed,
    /// Lost by themselves.
    lost,
    /// Lost in runs.
    burst_lost,
    /// Copies made.
    duplicated,
    /// Held back.
    reordered,
    /// With flipped bits; copies are damaged by themselves.
    corrupted,
    /// Cut.
    truncated,
    /// Random datagrams.
    garbage,
}

/// What a number is drawn for.
#[derive(Clone, Copy)]
enum For {
    Loss,
    Burst,
    Duplicate,
    Garbage,
    /// What follows is drawn for each copy.
    Corrupt,
    Truncate,
    Reorder,
    Jitter,
}

/// A line of a bad network.
#[derive(Clone, Debug)]
pub struct Chaos {
    plan: Plan,
    seed: u64,
    counts: Counts,
    /// When the last datagram that was not held back is due: none is due before it.
    last_due_ns: u64,
    /// A damaged copy; as long as the longest datagram that was damaged.
    damaged: Vec<u8>,
}

impl Chaos {
    /// A line of its own: lines of one seed and different numbers are independent.
    ///
    /// # Errors
    ///
    /// What cannot be in a plan.
    pub fn new(plan: &Plan, seed: u64, line: u8) -> Result<Self, PlanError> {
        plan.check()?;
        // Two rounds, so that neighbouring seeds and lines have nothing in common.
        let seed = Draw(Draw(seed).next() ^ u64::from(line)).next();
        Ok(Self { plan: *plan, seed, counts: Counts::default(), last_due_ns: 0, damaged: Vec::new() })
    }

    /// Takes the next datagram of the line and gives `out` what becomes of it: nothing, or one datagram or several, each
    /// with the time at which it arrives, which is `now_ns` at the earliest. `now_ns` never goes back.
    pub fn pass(&mut self, datagram: &[u8], now_ns: u64, out: &mut impl FnMut(u64, &[u8])) {
        let number = self.counts.seen;
        self.counts.seen += 1;
        if self.in_burst(number) {
            self.counts.burst_lost += 1;
        } else if self.draw(number, For::Loss, 0).chance(self.plan.loss) {
            self.counts.lost += 1;
        } else {
            self.copy(datagram, number, 0, now_ns, out);
            if self.draw(number, For::Duplicate, 0).chance(self.plan.duplicate) {
                self.counts.duplicated += 1;
                self.copy(datagram, number, 1, now_ns, out);
            }
        }
        let mut draw = self.draw(number, For::Garbage, 0);
        if draw.chance(self.plan.garbage) {
            self.counts.garbage += 1;
            let due_ns = self.due_ns(number, 2, now_ns);
            self.fill_garbage(&mut draw);
            self.counts.passed += 1;
            out(due_ns, &self.damaged);
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn draw(&self, number: u64, what: For, copy: u64) -> Draw {
        // Numbers of one line stay below 2^56: 2,000 years at a million frames a second.
        Draw(Draw(self.seed ^ (number << 8) ^ (copy << 4) ^ what as u64).next())
    }

    fn in_burst(&self, number: u64) -> bool {
        let Some(Burst { every, length, start }) = self.plan.burst else { return false };
        let (window, at) = (number / u64::from(every), number % u64::from(every));
        let room = u64::from(every - length);
        let first = match start {
            Start::Fixed => room,
            Start::Drawn => self.draw(window, For::Burst, 0).below(room + 1),
        };
        (first..first + u64::from(length)).contains(&at)
    }

    /// One copy of a datagram goes on, whole or damaged.
    fn copy(
        &mut self,
        datagram: &[u8],
        number: u64,
        copy: u64,
        now_ns: u64,
        out: &mut impl FnMut(u64, &[u8]),
    ) {
        let due_ns = self.due_ns(number, copy, now_ns);
        let mut flips = self.draw(number, For::Corrupt, copy);
        let mut cut = self.draw(number, For::Truncate, copy);
        let is_corrupt = flips.chance(self.plan.corrupt) && !datagram.is_empty();
        let is_cut = cut.chance(self.plan.truncate) && !datagram.is_empty();
        self.counts.passed += 1;
        if !is_corrupt && !is_cut {
            return out(due_ns, datagram);
        }
        self.damaged.clear();
        self.damaged.extend_from_slice(datagram);
        let frame_bytes = frame_bytes(datagram);
        if is_corrupt {
            self.counts.corrupted += 1;
            flip(&mut self.damaged[..frame_bytes], &mut flips);
        }
        if is_cut {
            self.counts.truncated += 1;
            self.damaged.truncate(cut.index(frame_bytes));
        }
        out(due_ns, &self.damaged);
    }

    fn due_ns(&mut self, number: u64, copy: u64, now_ns: u64) -> u64 {
        let jitter_ns = self.draw(number, For::Jitter, copy).below(self.plan.jitter_ns + 1);
        let due_ns = self.last_due_ns.max(now_ns + self.plan.delay_ns + jitter_ns);
        let mut held = self.draw(number, For::Reorder, copy);
        if held.chance(self.plan.reorder) {
            self.counts.reordered += 1;
            return due_ns + 1 + held.below(self.plan.reorder_ns);
        }
        self.last_due_ns = due_ns;
        due_ns
    }

    fn fill_garbage(&mut self, draw: &mut Draw) {
        let bytes = 1 + draw.index(FRAME_BYTES_MAX);
        let is_like_a_frame = draw.chance(GARBAGE_LIKE_A_FRAME);
        self.damaged.clear();
        while self.damaged.len() < bytes {
            self.damaged.extend_from_slice(&draw.next().to_le_bytes());
        }
        self.damaged.truncate(bytes);
        if is_like_a_frame {
            self.damaged.iter_mut().zip([MAGIC, VERSION]).for_each(|(byte, begin)| *byte = begin);
        }
    }
}

/// Bytes of a datagram that a receiver reads: the frame, or everything where there is none.
fn frame_bytes(datagram: &[u8]) -> usize {
    match Header::read_from_prefix(datagram) {
        Ok((header, _)) if header.frame_bytes() <= datagram.len() => header.frame_bytes(),
        _ => datagram.len(),
    }
}

/// Flips one to [`FLIPS_MAX`] different bits.
fn flip(bytes: &mut [u8], draw: &mut Draw) {
    let mut flipped = [usize::MAX; FLIPS_MAX as usize];
    let flips = 1 + draw.index(flipped.len());
    for at in 0..flips {
        let bit = draw.index(bytes.len() * 8);
        // A bit flipped twice would be as it was.
        if !flipped[..at].contains(&bit) {
            flipped[at] = bit;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
