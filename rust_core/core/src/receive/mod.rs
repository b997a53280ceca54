//! The consumer's side of the wire, sans-I/O: datagrams and times in, frames in order, states and losses out.
//!
//! A [`Receiver`] checks every datagram, follows the numbers of each channel and of each instrument, keeps a
//! [`Mirror`] of every wanted instrument and tells a [`Sink`] what is true when. The rules are those of
//! `docs/wire-format.md`, "Recovery": a book that is reported LIVE equals the publisher's at the same number.
//!
//! ```text
//! datagram → check → wanted plane, REPLAY, TEST → channel: session → numbers → instrument: apply, hold or drop → sink
//!                                                    snapshot plane: groups ─────────┘
//! ```
//!
//! Missing frames are waited for during W (adapted to how late frames really come) and then given up; the snapshot
//! plane makes whole what that concerns. Everything that is kept has a limit, and everything dropped a counter.

mod array;
mod batch;
mod chain;
mod channel;
mod collector;
mod counters;
mod id_map;
mod instrument;
mod line;
mod mirror;
mod numbers;
mod plane;
mod registry;
pub mod rows;
mod sink;
mod skew;
mod state;

use std::fmt;

pub use self::array::RowArray;
pub use self::batch::Batch;
pub use self::channel::{ChannelInfo, SILENCE_NS};
pub use self::collector::{Collector, CollectorCounts};
pub use self::counters::Counters;
pub use self::instrument::{HOLD_CHANNEL_MAX, HOLD_INSTRUMENT_MAX};
pub use self::line::Line;
pub use self::mirror::{BOOK_LEVELS_MAX, Mirror, STAGED_LEVELS_MAX};
pub use self::numbers::{MISSING_MAX, NUMBERS_KEPT};
pub use self::plane::{GROUP_FRAMES_MAX, SNAPSHOT_REORDER_MAX, SNAPSHOT_WINDOW_NS};
pub use self::registry::INSTRUMENTS_MAX;
pub use self::sink::{Delivered, Lost, Sink, StateChange};
pub use self::skew::{WINDOW_DEFAULT_NS, WINDOW_MAX_NS, WINDOW_MIN_NS};
pub use self::state::{ChannelState, Publisher, Reception, Reported, reason, worse};

use self::channel::{Channel, Context};
use self::line::Arrival;
use self::registry::Wants;
use crate::wire::{self, CHANNEL_NUMBER, InstrumentDef, flags, text_of};

/// Which instruments are mirrored and delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every instrument of every channel heard.
    All,
    /// Canonical symbol and venue number. Resolved when the definition is heard.
    Symbols(Vec<(String, u16)>),
}

/// A symbol is not of the form `SYMBOL@venue-number`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSymbol(pub String);

impl fmt::Display for BadSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no SYMBOL@venue-number such as `BTC/USDT@1`", self.0)
    }
}

impl std::error::Error for BadSymbol {}

impl Wanted {
    /// From texts such as `BTC/USDT:PERP@2`.
    ///
    /// # Errors
    ///
    /// The first text that is not of that form.
    pub fn symbols<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSymbol> {
        let split = texts.into_iter().map(split_symbol);
        Ok(Self::Symbols(split.collect::<Result<_, _>>()?))
    }
}

fn split_symbol(text: &str) -> Result<(String, u16), BadSymbol> {
    let bad = || BadSymbol(text.to_owned());
    let (symbol, venue) = text.rsplit_once('@').ok_or_else(bad)?;
    Ok((symbol.to_owned(), venue.parse().map_err(|_| bad())?))
}

/// What a receiver takes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Instruments to mirror.
    pub wanted: Wanted,
    /// Take frames with REPLAY.
    pub accept_replay: bool,
    /// Take frames with TEST.
    pub accept_test: bool,
}

impl Default for Config {
    /// Everything that is live.
    fn default() -> Self {
        Self { wanted: Wanted::All, accept_replay: false, accept_test: false }
    }
}

/// A definition that was heard.
#[derive(Clone, Copy, Debug)]
pub struct KnownInstrument<'a> {
    /// Channel that carries it.
    pub channel: u8,
    /// Venue number.
    pub venue: u16,
    /// Number within the venue.
    pub instrument: u32,
    /// The latest definition heard on either plane.
    pub def: &'a InstrumentDef,
    /// Whether it is mirrored.
    pub wanted: bool,
    /// Reported state; UNKNOWN where it is not mirrored.
    pub state: Reported,
}

/// The state of all channels heard. See the module's own text.
///
/// `now_ns` is a monotonic clock that never goes back; drain the sockets first, then call [`Receiver::on_timer`], so
/// that a frame which already lies in a buffer is not given up.
#[derive(Debug)]
pub struct Receiver {
    accept_replay: bool,
    accept_test: bool,
    wants: Wants,
    /// By number.
    channels: Vec<Channel>,
    /// Where a channel stands among them, by number; [`UNHEARD`] for others.
    places: [u8; CHANNELS],
    counters: Counters,
}

/// Numbers that a channel may have, 0 included.
const CHANNELS: usize = CHANNEL_NUMBER as usize + 1;
/// No channel has that place: there are at most 127.
const UNHEARD: u8 = u8::MAX;

impl Receiver {
    /// A receiver that heard nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            accept_replay: config.accept_replay,
            accept_test: config.accept_test,
            wants: Wants::new(config.wanted),
            channels: Vec::new(),
            places: [UNHEARD; CHANNELS],
            counters: Counters::default(),
        }
    }

    /// Takes one datagram. `rx_ts` is the kernel's stamp (wall clock, ns; 0 unknown), `now_ns` the monotonic time.
    pub fn on_datagram<S: Sink>(
        &mut self,
        line: Line,
        datagram: &[u8],
        rx_ts: i64,
        now_ns: u64,
        sink: &mut S,
    ) {
        let counters = &mut self.counters;
        counters.datagrams += 1;
        counters.bytes += datagram.len() as u64;
        let frame = match wire::check(datagram) {
            Ok(frame) => frame,
            Err(refusal) => {
                counters.refused[refusal as usize] += 1;
                return;
            }
        };
        let header = &frame.header;
        counters.line_frames[line as usize] += 1;
        if !line.carries(header.is_snapshot_plane()) {
            counters.wrong_plane += 1;
            return;
        }
        if header.has(flags::REPLAY) && !self.accept_replay {
            counters.dropped_replay += 1;
            return;
        }
        if header.has(flags::TEST) && !self.accept_test {
            counters.dropped_test += 1;
            return;
        }
        let number = header.channel_number();
        if self.places[usize::from(number)] == UNHEARD {
            if !line.is_live() {
                counters.snapshot_frames += u64::from(header.is_snapshot_plane());
                counters.snapshot_foreign += u64::from(header.is_snapshot_plane());
                counters.repair_foreign += u64::from(!header.is_snapshot_plane());
                return;
            }
            counters.sessions += 1;
            let session = header.session;
            self.add_channel(Channel::new(number, session, now_ns));
        }
        let channel = &mut self.channels[usize::from(self.places[usize::from(number)])];
        let counters = &mut self.counters;
        let mut cx = Context { now_ns, wants: &mut self.wants, counters, sink };
        // No key is configured: nothing says who sent the frame.
        let arrival = Arrival { line, rx_ts, authenticated: false };
        if header.is_snapshot_plane() {
            channel.on_snapshot(&frame, arrival, &mut cx);
        } else {
            channel.on_incremental(&frame, arrival, &mut cx);
        }
    }

    #[cold]
    fn add_channel(&mut self, channel: Channel) {
        let place = self.channels.partition_point(|other| other.number() < channel.number());
        self.channels.insert(place, channel);
        for (place, channel) in (0..UNHEARD).zip(&self.channels) {
            self.places[usize::from(channel.number())] = place;
        }
    }

    /// Gives up what did not come in time and notices silence. Nothing happens before [`Receiver::deadline_ns`].
    pub fn on_timer<S: Sink>(&mut self, now_ns: u64, sink: &mut S) {
        for channel in &mut self.channels {
            if channel.deadline_ns().is_some_and(|deadline| now_ns >= deadline) {
                let mut cx = Context { now_ns, wants: &mut self.wants, counters: &mut self.counters, sink };
                channel.on_timer(&mut cx);
            }
        }
    }

    /// When [`Receiver::on_timer`] has something to do; `None` = only after another datagram.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.channels.iter().filter_map(Channel::deadline_ns).min()
    }

    /// The kernel dropped something of ours `n` times more: a datagram, or a whole segmented send. The numbers of the
    /// frames say which and how many are missing; this says whose fault it was.
    pub fn on_kernel_drops(&mut self, n: u64) {
        self.counters.kernel_drops += n;
    }

    /// Whether the snapshot plane should be joined: nothing was heard yet, a wanted instrument is not whole, or a
    /// wanted symbol was not found and not every channel told all of its definitions.
    #[must_use]
    pub fn wants_snapshot_plane(&self) -> bool {
        self.channels.is_empty()
            || self.channels.iter().any(Channel::needs_snapshots)
            || self.wants.any_open() && !self.channels.iter().all(Channel::is_whole)
    }

    /// Per channel heard: whether CYCLE_END proved in its session that every definition is known.
    pub fn whole_cycles(&self) -> impl Iterator<Item = (u8, bool)> + '_ {
        self.channels.iter().map(|channel| (channel.number(), channel.is_whole()))
    }

    /// The copy of a wanted instrument.
    #[must_use]
    pub fn book(&self, venue: u16, instrument: u32) -> Option<&Mirror> {
        let mut of_venue = self.channels.iter().filter(|channel| channel.venue() == venue);
        of_venue.find_map(|channel| channel.mirror(instrument))
    }

    /// All copies, by channel and instrument.
    pub fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        self.channels.iter().flat_map(Channel::mirrors)
    }

    /// Every definition heard, wanted or not, by channel and instrument.
    pub fn instruments(&self) -> impl Iterator<Item = KnownInstrument<'_>> {
        self.channels.iter().flat_map(|channel| {
            channel.registry().iter().map(move |(instrument, known)| KnownInstrument {
                channel: channel.number(),
                venue: channel.venue(),
                instrument,
                def: &known.def,
                wanted: known.wanted,
                state: channel.mirror(instrument).map_or(Reported::Unknown, Mirror::reported),
            })
        })
    }

    /// Venue and instrument of a `SYMBOL@venue-number` whose definition was heard. Walks all definitions.
    #[must_use]
    pub fn find(&self, symbol: &str) -> Option<(u16, u32)> {
        let (symbol, venue) = split_symbol(symbol).ok()?;
        let mut known = self.instruments().filter(|known| known.venue == venue);
        known.find(|known| text_of(&known.def.symbol) == symbol).map(|known| (venue, known.instrument))
    }

    /// State and sums of every channel heard.
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo> + '_ {
        self.channels.iter().map(Channel::info)
    }

    /// Name and value of every counter ([`Counters`]), since the receiver was made.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.list()
    }
}
