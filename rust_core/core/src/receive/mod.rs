//! The consumer's side of the wire, sans-I/O: datagrams and times in, frames in order, states and losses out.
//!
//! A [`Receiver`] checks every datagram, follows the numbers of each channel and of each instrument, keeps a
//! [`Mirror`] of every wanted instrument and tells a [`Sink`] what is true when. The rules are those of
//! `docs/wire-format.md`, "Recovery": a book that is reported LIVE equals the publisher's at the same number.
//!
//! ```text
//! datagram → check → MAC → wanted plane, REPLAY, TEST → channel: session → numbers → instrument: apply, hold or drop → sink
//!                                                    snapshot plane: groups ─────────┘
//! ```
//!
//! Missing frames are waited for during W (adapted to how late frames really come), then asked for at the server that
//! the heartbeat names, and given up after four tries; the snapshot plane, or an image, makes whole what that concerns.
//! Every hole has a report ([`GapReport`]). Everything that is kept has a limit, and everything dropped a counter.

mod array;
mod batch;
mod chain;
mod channel;
mod collector;
mod config;
mod counters;
mod gaps;
mod id_map;
mod instrument;
mod line;
mod mirror;
mod missing;
mod numbers;
mod orders;
mod overrun;
mod plane;
mod registry;
mod requester;
pub mod rows;
mod sink;
mod skew;
mod staged;
mod state;
mod trust;
mod whole;

pub use self::array::RowArray;
pub use self::batch::Batch;
pub use self::channel::{ChannelInfo, IMAGE_EVERY_NS, IMAGE_GIVEN_UP_MIN, ImageWanted, SILENCE_NS};
pub use self::collector::{Collector, CollectorCounts};
pub use self::config::{BadSymbol, Config, Recovery, Wanted};
pub use self::counters::Counters;
pub use self::gaps::{GAPS_KEPT_MAX, GAPS_OPEN_MAX, GapCause, GapRepair, GapReport};
pub use self::instrument::{HOLD_CHANNEL_MAX, HOLD_INSTRUMENT_MAX};
pub use self::line::Line;
pub use self::mirror::Mirror;
pub use self::missing::{MISSING_NS_MAX, RETRY_NS, TRIES};
pub use self::numbers::{MISSING_MAX, NUMBERS_KEPT};
pub use self::orders::Orders;
pub use self::overrun::KERNEL_DROPS_MAX;
pub use self::plane::{GROUP_FRAMES_MAX, SNAPSHOT_HOLE_MAX, SNAPSHOT_REORDER_MAX, SNAPSHOT_WINDOW_NS};
pub use self::registry::INSTRUMENTS_MAX;
pub use self::requester::{
    FRAMES_PER_S, REQUEST_FRAMES_MAX, REQUEST_RANGES_MAX, REQUESTS_PER_S, Request, health_probe,
};
pub use self::sink::{Delivered, Lost, Sink, StateChange};
pub use self::skew::{WINDOW_DEFAULT_NS, WINDOW_MAX_NS, WINDOW_MIN_NS};
pub use self::staged::STAGED_MAX;
pub use self::state::{ChannelState, Publisher, Reception, Reported, reason, worse};
pub use self::whole::BOOK_LEVELS_MAX;

use self::channel::{Channel, Context};
use self::config::split_symbol;
use self::gaps::GapLog;
use self::line::Arrival;
use self::overrun::Overrun;
use self::registry::Wants;
use self::requester::Requester;
use self::trust::Trust;
use crate::wire::{self, CHANNEL_NUMBER, Frame, InstrumentDef, Message, flags, msg, retx_code, text_of};

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
    /// The venue or the publisher let it go.
    pub delisted: bool,
}

/// The state of all channels heard. See the module's own text.
///
/// `now_ns` is a monotonic clock that never goes back; drain the sockets first, then call [`Receiver::on_timer`], so
/// that a frame which already lies in a buffer is not given up.
#[derive(Debug)]
pub struct Receiver {
    accept_replay: bool,
    accept_test: bool,
    trust: Trust,
    wants: Wants,
    /// By number.
    channels: Vec<Channel>,
    /// Where a channel stands among them, by number; [`UNHEARD`] for others.
    places: [u8; CHANNELS],
    counters: Counters,
    recovery: Recovery,
    consumer_id: u64,
    requester: Requester,
    gaps: GapLog,
    overrun: Overrun,
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
            trust: Trust::new(config.keys, config.manifest_key),
            wants: Wants::new(config.wanted),
            channels: Vec::new(),
            places: [UNHEARD; CHANNELS],
            counters: Counters::default(),
            recovery: config.recovery,
            consumer_id: config.consumer_id,
            requester: Requester::new(config.consumer_id, config.seed),
            gaps: GapLog::default(),
            overrun: Overrun::default(),
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
        let Some(authenticated) = self.trust.authenticate(&frame, counters) else { return };
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
        if header.msg_type == msg::RETX_REPLY {
            self.on_reply(line, &frame, now_ns, sink);
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
        let arrival = Arrival { line, rx_ts, authenticated };
        let place = usize::from(self.places[usize::from(number)]);
        let (channels, mut cx) = self.context(now_ns, sink);
        let channel = &mut channels[place];
        if header.is_snapshot_plane() {
            channel.on_snapshot(&frame, arrival, &mut cx);
        } else {
            channel.on_incremental(&frame, arrival, &mut cx);
            if header.session == channel.session() {
                self.trust.follow(&frame, &mut self.counters);
            }
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

    /// Asks for what did not come in time or gives it up, and notices silence. Nothing happens before
    /// [`Receiver::deadline_ns`].
    pub fn on_timer<S: Sink>(&mut self, now_ns: u64, sink: &mut S) {
        let (channels, mut cx) = self.context(now_ns, sink);
        for channel in channels {
            if channel.deadline_ns().is_some_and(|deadline| now_ns >= deadline) {
                channel.on_timer(&mut cx);
            }
        }
    }

    /// When [`Receiver::on_timer`] has something to do; `None` = only after another datagram.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.channels.iter().filter_map(Channel::deadline_ns).min()
    }

    /// The next request to a retransmit server. Call it until it gives `None` after [`Receiver::on_timer`] and after
    /// datagrams of [`Line::Retransmit`]; the replies and frames come back on that line.
    pub fn next_request(&mut self, now_ns: u64) -> Option<Request<'_>> {
        self.requester.next(now_ns, self.trust.keys(), &mut self.counters)
    }

    /// A reply of a retransmit server, or of an image's, whose frames speak for themselves.
    #[cold]
    fn on_reply<S: Sink>(&mut self, line: Line, frame: &Frame<'_>, now_ns: u64, sink: &mut S) {
        let Message::RetxReply(reply) = frame.message() else { return };
        match line {
            Line::Retransmit => {}
            Line::Image => {
                if reply.code != retx_code::OK {
                    self.counters.images_broken += 1;
                    self.image_ended(frame.header.channel_number());
                }
                return;
            }
            _ => {
                self.counters.replies_unmatched += 1;
                return;
            }
        }
        let counters = &mut self.counters;
        let Some(answer) = self.requester.on_reply(&frame.header, &reply, now_ns, counters) else { return };
        let place = self.places[usize::from(frame.header.channel_number())];
        let (channels, mut cx) = self.context(now_ns, sink);
        if let Some(channel) = channels.get_mut(usize::from(place)) {
            channel.on_answer(answer, &mut cx);
        }
    }

    /// The kernel dropped something of ours `n` times more: a datagram, or a whole segmented send. The numbers of the
    /// frames say which and how many are missing; this says whose fault it was. Above [`KERNEL_DROPS_MAX`] a second all
    /// that is missing is given up, and nothing is asked for during a second: the snapshot plane repairs.
    pub fn on_kernel_drops<S: Sink>(&mut self, n: u64, now_ns: u64, sink: &mut S) {
        if n == 0 {
            return;
        }
        self.counters.kernel_drops = self.counters.kernel_drops.saturating_add(n);
        self.gaps.blame_kernel(now_ns);
        if self.overrun.add(n, now_ns) {
            self.counters.overruns += 1;
            let (channels, mut cx) = self.context(now_ns, sink);
            channels.iter_mut().for_each(|channel| channel.give_up_all(&mut cx));
        }
    }

    /// The gaps closed since the last call, in the order of their closing. At most [`GAPS_KEPT_MAX`] are kept; the
    /// counter `gaps_unreported` says how many were not.
    pub fn take_gaps(&mut self) -> Vec<GapReport> {
        self.gaps.take()
    }

    /// The gaps that are open, by channel, plane and number; those of the exchange last.
    pub fn open_gaps(&self) -> impl Iterator<Item = GapReport> + '_ {
        self.gaps.opened()
    }

    /// An image that would help, if any: a late joiner, or a channel that gave up [`IMAGE_GIVEN_UP_MIN`] numbers or more,
    /// is not whole. At most one a channel every [`IMAGE_EVERY_NS`]. The caller connects, calls
    /// [`Receiver::image_started`], sends the request and hands every frame of the stream in as [`Line::Image`].
    pub fn image_wanted(&mut self, now_ns: u64) -> Option<ImageWanted> {
        if !self.may_ask(now_ns) {
            return None;
        }
        let id = self.requester.draw().max(1);
        let (wants, consumer_id, keys) = (&self.wants, self.consumer_id, self.trust.keys());
        let wanted = self.channels.iter_mut().find_map(|channel| {
            let is_open = wants.is_open(channel.venue());
            channel.image_wanted(wants.is_all(), is_open, keys, consumer_id, (id, now_ns))
        });
        self.counters.images_wanted += u64::from(wanted.is_some());
        wanted
    }

    /// The connection for a channel's image stands.
    pub fn image_started(&mut self, channel: u8) {
        if let Some(channel) = self.channel_mut(channel) {
            channel.image_started();
        }
    }

    /// The connection for a channel's image is closed or could not be made.
    pub fn image_ended(&mut self, channel: u8) {
        if let Some(channel) = self.channel_mut(channel) {
            channel.image_ended();
        }
    }

    /// Whether the image of a channel is still to end; the connection is of no use once it is not.
    #[must_use]
    pub fn is_image_under_way(&self, channel: u8) -> bool {
        let place = self.places.get(usize::from(channel)).map_or(UNHEARD, |&place| place);
        self.channels.get(usize::from(place)).is_some_and(Channel::is_image_under_way)
    }

    fn channel_mut(&mut self, number: u8) -> Option<&mut Channel> {
        let place = *self.places.get(usize::from(number))?;
        self.channels.get_mut(usize::from(place))
    }

    fn may_ask(&self, now_ns: u64) -> bool {
        self.recovery.retransmit && !self.overrun.is_on(now_ns)
    }

    /// The channels, and what they share.
    fn context<'a, S>(&'a mut self, now_ns: u64, sink: &'a mut S) -> (&'a mut [Channel], Context<'a, S>) {
        let may_ask = self.may_ask(now_ns);
        let Self { channels, wants, counters, requester, gaps, .. } = self;
        (channels, Context { now_ns, wants, counters, requester, gaps, may_ask, sink })
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

    /// The orders of a wanted instrument, to watch places in; `None` while none are known.
    pub fn orders_mut(&mut self, venue: u16, instrument: u32) -> Option<&mut Orders> {
        let mut of_venue = self.channels.iter_mut().filter(|channel| channel.venue() == venue);
        of_venue.find_map(|channel| channel.orders_mut(instrument))
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
                delisted: known.delisted,
            })
        })
    }

    /// Venue and instrument of a `SYMBOL@venue-number` whose definition was heard; one that is still listed goes before one
    /// that is not. Walks all definitions.
    #[must_use]
    pub fn find(&self, symbol: &str) -> Option<(u16, u32)> {
        let (symbol, venue) = split_symbol(symbol).ok()?;
        let known = self.instruments().filter(|known| known.venue == venue);
        let named = known.filter(|known| text_of(&known.def.symbol) == symbol);
        named.min_by_key(|known| known.delisted).map(|known| (venue, known.instrument))
    }

    /// State and sums of every channel heard.
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo> + '_ {
        self.channels.iter().map(Channel::info)
    }

    /// Name and value of every counter ([`Counters`]), since the receiver was made.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        Counters { gaps_unreported: self.gaps.unreported(), ..self.counters.clone() }.list()
    }
}
