//! One world: publishers, consumers and the network between, in one thread under virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use outcrier_core::chaos::Plan;
use outcrier_core::publish;
use outcrier_core::receive::{Config, Line};
use outcrier_core::wire::{self, flags, msg};

use crate::consumer::Consumer;
use crate::load::Load;
use crate::publisher::{Bytes, EPOCH_NS, SimPublisher, Start};
use crate::rng::Rng;
use crate::truth::Truth;

pub(crate) const US: u64 = 1_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1_000_000_000;
/// The way through a network that does nothing.
const TRANSIT_NS: u64 = 20 * US;
/// Answers of the exchange's REST interface take this long.
const REST_NS: u64 = 3 * MS;
/// Calls within one nanosecond: far more than datagrams that can be there at once.
const CALLS_AT_ONCE_MAX: u64 = 100_000;
/// Books that are called LIVE are all looked at this often.
const CHECK_EVERY_NS: u64 = 20 * MS;

/// The rhythm of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Mean time between two socket reads.
    pub(crate) read_ns: u64,
    /// Most messages of a read.
    pub(crate) messages: u64,
    /// Every read comes after exactly `read_ns` and holds `messages`.
    pub(crate) is_even: bool,
    /// Of 1,000 messages so many are lost before they reach the publisher.
    pub(crate) gaps: u64,
    /// Of 1,000 reads so many are followed by an incident.
    pub(crate) incidents: u64,
}

/// A frame with a good CRC that the publisher never made: its memory is broken, or someone speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// A book has another checksum, on every line.
    Checksum,
    /// Line B says something else than line A.
    LineB,
}

impl Forgery {
    fn forge(self, frame: &[u8]) -> Option<Bytes> {
        let checked = wire::check(frame).ok()?;
        if checked.header.msg_type != msg::BOOK_DELTA || !checked.header.has(flags::EVENT_END) {
            return None;
        }
        let mut forged = frame.to_vec();
        // A checksum that hardly any book has.
        let root = &mut forged[wire::HEADER_BYTES..];
        root[std::mem::offset_of!(wire::BookDelta, checksum_kind)] = wire::checksum_kind::OURS_25;
        root[std::mem::offset_of!(wire::BookDelta, book_checksum)] ^= 0x5A;
        wire::seal(&mut forged, checked.header.proc_ns);
        Some(forged.into())
    }
}

#[derive(Debug)]
enum Happens {
    Read { publisher: usize },
    Rest { publisher: usize, index: u32 },
    Arrives { consumer: usize, line: Line, bytes: Bytes },
    Check,
    /// A script's own moment.
    Turn(usize),
}

#[derive(Debug)]
struct Due {
    at: (u64, u64),
    what: Happens,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now_ns: u64,
    pub(crate) truth: Truth,
    pub(crate) publishers: Vec<SimPublisher>,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) pace: Pace,
    pub(crate) weather: Plan,
    pub(crate) wall_step_ns: i64,
    /// Frames that left publishers, snapshot plane and heartbeats included.
    pub(crate) frames: u64,
    /// Every frame leaves on a second line, too.
    pub(crate) has_line_b: bool,
    /// What is to be done to the next frame that it can be done to.
    pub(crate) forgery: Option<Forgery>,
    /// How often it was.
    pub(crate) forged: u64,
    /// Calls since time last passed.
    idle_calls: u64,
    load: &'static Load,
    queue: BinaryHeap<Reverse<Due>>,
    queued: u64,
}

impl World {
    pub(crate) fn new(load: &'static Load, seed: u64, pace: Pace, weather: Plan) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            now_ns: S,
            truth: Truth::default(),
            publishers: Vec::new(),
            consumers: Vec::new(),
            pace,
            weather: Plan { delay_ns: weather.delay_ns + TRANSIT_NS, ..weather },
            wall_step_ns: 0,
            frames: 0,
            has_line_b: true,
            forgery: None,
            forged: 0,
            idle_calls: 0,
            load,
            queue: BinaryHeap::new(),
            queued: 0,
        };
        world.at(world.now_ns + CHECK_EVERY_NS, Happens::Check);
        world
    }

    fn at(&mut self, due_ns: u64, what: Happens) {
        self.queued += 1;
        self.queue.push(Reverse(Due { at: (due_ns, self.queued), what }));
    }

    /// [`World::run`] stops there and gives the number.
    pub(crate) fn turn_at(&mut self, due_ns: u64, number: usize) {
        self.at(due_ns, Happens::Turn(number));
    }

    /// A publisher begins; its place.
    pub(crate) fn publish(&mut self, start: Start) -> usize {
        let wall_offset_ns = EPOCH_NS + self.wall_step_ns;
        let publisher = SimPublisher::new(self.load, start, self.now_ns, wall_offset_ns);
        let place = self.publishers.len();
        self.publishers.push(publisher);
        self.after(place);
        self.next_read(place);
        place
    }

    /// The exchange says something again.
    pub(crate) fn play(&mut self, place: usize) {
        if !std::mem::replace(&mut self.publishers[place].plays, true) {
            self.next_read(place);
        }
    }

    /// A publisher that stood still goes on.
    pub(crate) fn resume(&mut self, place: usize) {
        self.publishers[place].is_alive = true;
        self.next_read(place);
    }

    /// A consumer joins; its place.
    pub(crate) fn join(&mut self, config: Config) -> usize {
        let seed = self.rng.next();
        let mut consumer = Consumer::new(config, &self.weather, seed);
        consumer.wall_step_ns = self.wall_step_ns;
        self.consumers.push(consumer);
        self.consumers.len() - 1
    }

    /// From now on the network is good.
    pub(crate) fn heal(&mut self) {
        self.weather = Plan { delay_ns: TRANSIT_NS, ..Plan::default() };
        self.consumers.iter_mut().for_each(|consumer| consumer.heal(&self.weather));
    }

    fn next_read(&mut self, publisher: usize) {
        let Pace { read_ns, is_even, .. } = self.pace;
        let wait_ns = if is_even { read_ns } else { 1 + self.rng.below(2 * read_ns) };
        self.at(self.now_ns + wait_ns, Happens::Read { publisher });
    }

    /// What a publisher just said leaves; what it wants of the exchange is asked.
    pub(crate) fn after(&mut self, place: usize) {
        let publisher = &mut self.publishers[place];
        let out = publisher.take(&mut self.truth);
        for index in publisher.needs() {
            let wait_ns = self.rng.below(REST_NS);
            self.at(self.now_ns + wait_ns, Happens::Rest { publisher: place, index });
        }
        for (plane, bytes) in out {
            self.frames += 1;
            match plane {
                publish::Plane::Incremental => self.leave(&bytes),
                publish::Plane::Snapshot => self.multicast(Line::Snapshot, &bytes),
            }
        }
    }

    /// A frame of the incremental plane on its lines.
    fn leave(&mut self, bytes: &Bytes) {
        let (a, b) = match self.forgery.and_then(|forgery| forgery.forge(bytes)) {
            None => (bytes.clone(), bytes.clone()),
            Some(forged) => {
                let is_everywhere = self.forgery.take() == Some(Forgery::Checksum);
                self.forged += 1;
                (if is_everywhere { forged.clone() } else { bytes.clone() }, forged)
            }
        };
        self.multicast(Line::A, &a);
        if self.has_line_b {
            self.multicast(Line::B, &b);
        }
    }

    /// One datagram to everyone who joined the line's group.
    pub(crate) fn multicast(&mut self, line: Line, bytes: &Bytes) {
        let Self { consumers, queue, queued, now_ns, .. } = self;
        for (place, consumer) in consumers.iter_mut().enumerate() {
            consumer.pass(line, bytes, *now_ns, &mut |due_ns, bytes| {
                *queued += 1;
                let what = Happens::Arrives { consumer: place, line, bytes };
                queue.push(Reverse(Due { at: (due_ns, *queued), what }));
            });
        }
    }

    /// Lets time pass up to `until_ns`, or to the next turn of a script, whose number it gives.
    pub(crate) fn run(&mut self, until_ns: u64) -> Option<usize> {
        loop {
            let queued = self.queue.peek().map_or(u64::MAX, |Reverse(due)| due.at.0);
            let (publisher_ns, publisher) = first(self.publishers.iter().map(SimPublisher::deadline_ns));
            let (consumer_ns, consumer) = first(self.consumers.iter().map(Consumer::deadline_ns));
            let next_ns = queued.min(publisher_ns).min(consumer_ns);
            if next_ns > until_ns {
                self.now_ns = until_ns;
                return None;
            }
            self.idle_calls = if next_ns > self.now_ns { 0 } else { self.idle_calls + 1 };
            assert!(self.idle_calls < CALLS_AT_ONCE_MAX, "a timer that is due again and again, at the same time");
            self.now_ns = self.now_ns.max(next_ns);
            // Sockets are drained before timers run, so that what lies there is not given up.
            if queued <= next_ns {
                let Some(Reverse(due)) = self.queue.pop() else { continue };
                if let Some(turn) = self.happen(due.what) {
                    return Some(turn);
                }
            } else if consumer_ns <= next_ns {
                self.consumers[consumer].on_deadline(self.now_ns, &self.truth);
            } else {
                let publisher_place = publisher;
                self.with(publisher_place, SimPublisher::tick);
            }
        }
    }

    /// Lets a publisher do something now.
    pub(crate) fn with<T>(&mut self, place: usize, act: impl FnOnce(&mut SimPublisher) -> T) -> T {
        let publisher = &mut self.publishers[place];
        publisher.host.now_ns = self.now_ns;
        let result = act(publisher);
        self.after(place);
        result
    }

    fn happen(&mut self, what: Happens) -> Option<usize> {
        match what {
            Happens::Read { publisher } => self.read(publisher),
            Happens::Rest { publisher, index } => {
                if self.publishers[publisher].is_alive {
                    self.with(publisher, |publisher| publisher.rest(index));
                }
            }
            Happens::Arrives { consumer, line, bytes } => {
                self.consumers[consumer].arrive(line, &bytes, self.now_ns, &self.truth);
            }
            Happens::Check => {
                self.consumers.iter_mut().for_each(|consumer| consumer.check_all(&self.truth));
                self.at(self.now_ns + CHECK_EVERY_NS, Happens::Check);
            }
            Happens::Turn(number) => return Some(number),
        }
        None
    }

    fn read(&mut self, place: usize) {
        let publisher = &self.publishers[place];
        if !publisher.is_alive || !publisher.plays {
            return; // Who wakes it again says so.
        }
        let Pace { messages, is_even, gaps, incidents, .. } = self.pace;
        let messages = if is_even { messages } else { 1 + self.rng.below(messages) };
        let mut rng = self.rng.clone();
        self.with(place, |publisher| {
            publisher.read(messages, &mut rng, gaps);
            if rng.chance(incidents) {
                publisher.incident(&mut rng);
            }
        });
        self.rng = rng;
        self.next_read(place);
    }
}

fn first(deadlines: impl Iterator<Item = Option<u64>>) -> (u64, usize) {
    let all = deadlines.enumerate().map(|(place, at)| (at.unwrap_or(u64::MAX), place));
    all.min().unwrap_or((u64::MAX, 0))
}
