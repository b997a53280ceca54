//! One world: publishers, consumers and the network between, in one thread under virtual time.

use outcrier_core::chaos::Plan;
use outcrier_core::publish;
use outcrier_core::receive::{Config, Line};

use crate::consumer::Consumer;
use crate::host::{Bytes, Left};
use crate::load::Load;
use crate::publisher::{EPOCH_NS, Means, Served, SimPublisher, Start, ports_of};
use crate::queue::{Happens, Queue};
use crate::rng::Rng;
use crate::truth::Truth;

pub(crate) const US: u64 = 1_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1_000_000_000;
/// The way through a network that does nothing.
pub(crate) const TRANSIT_NS: u64 = 20 * US;
/// Answers of the exchange's REST interface take this long.
const REST_NS: u64 = 3 * MS;
/// Calls within one nanosecond: far more than datagrams that can be there at once.
const CALLS_AT_ONCE_MAX: u64 = 100_000;
/// Books that are called LIVE are all looked at this often.
const CHECK_EVERY_NS: u64 = 20 * MS;

/// Time between two frames of an image: 1,400 bytes on a line of 1 Gbit/s.
const IMAGE_UNIT_NS: u64 = 11 * US;
/// The turn at which a publisher's numbers run out.
pub(crate) const FULL: usize = usize::MAX;

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
    pub(crate) means: Means,
    /// Requests are heard by nobody.
    pub(crate) server_is_down: bool,
    /// Datagrams of retransmit servers, replies among them.
    pub(crate) resent: u64,
    /// Publishers that stopped because they heard a higher session.
    pub(crate) superseded: u64,
    /// Calls since time last passed.
    idle_calls: u64,
    load: &'static Load,
    queue: Queue,
}

impl World {
    pub(crate) fn new(load: &'static Load, seed: u64, (pace, weather): (Pace, Plan), means: Means) -> Self {
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
            means,
            server_is_down: false,
            resent: 0,
            superseded: 0,
            idle_calls: 0,
            load,
            queue: Queue::default(),
        };
        world.at(world.now_ns + CHECK_EVERY_NS, Happens::Check);
        world
    }

    fn at(&mut self, due_ns: u64, what: Happens) {
        self.queue.push(due_ns, what);
    }

    /// [`World::run`] stops there and gives the number.
    pub(crate) fn turn_at(&mut self, due_ns: u64, number: usize) {
        self.at(due_ns, Happens::Turn(number));
    }

    /// A publisher begins; its place.
    pub(crate) fn publish(&mut self, start: Start) -> usize {
        let wall_offset_ns = EPOCH_NS + self.wall_step_ns;
        let place = self.publishers.len();
        let clocks = (self.now_ns, wall_offset_ns);
        let publisher = SimPublisher::new(self.load, start, &self.means, clocks);
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
        let place = self.consumers.len();
        let mut consumer = Consumer::new(config, &self.weather, (place, self.rng.next()));
        consumer.wall_step_ns = self.wall_step_ns;
        self.consumers.push(consumer);
        place
    }

    /// From now on the network is like this.
    pub(crate) fn change_weather(&mut self, weather: Plan) {
        self.weather = Plan { delay_ns: weather.delay_ns + TRANSIT_NS, ..weather };
        for consumer in &mut self.consumers {
            consumer.change_weather(&self.weather, self.rng.next());
        }
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
        if std::mem::take(&mut self.publishers[place].is_full) {
            self.at(self.now_ns, Happens::Turn(FULL));
        }
        for left in out {
            self.frames += 1;
            match left.plane {
                publish::Plane::Incremental => self.leave(place, &left),
                publish::Plane::Snapshot => self.multicast(Line::Snapshot, &left.on_a),
            }
        }
    }

    /// A frame of the incremental plane on its lines.
    fn leave(&mut self, place: usize, left: &Left) {
        self.multicast(Line::A, &left.on_a);
        if self.has_line_b {
            self.multicast(Line::B, &left.on_b);
        }
        for other in 0..self.publishers.len() {
            if other != place && self.means.guarded && self.publishers[other].is_alive {
                let bytes = left.meant.clone();
                self.at(self.now_ns + TRANSIT_NS, Happens::Overhears { publisher: other, bytes });
            }
        }
    }

    /// One datagram to everyone who joined the line's group.
    pub(crate) fn multicast(&mut self, line: Line, bytes: &Bytes) {
        (0..self.consumers.len()).for_each(|place| self.send(place, line, bytes));
    }

    /// One datagram to one consumer.
    fn send(&mut self, place: usize, line: Line, bytes: &Bytes) {
        let Self { consumers, queue, now_ns, .. } = self;
        consumers[place].pass(line, bytes, *now_ns, &mut |due_ns, bytes| {
            queue.push(due_ns, Happens::Arrives { consumer: place, line, bytes });
        });
    }

    /// Lets time pass up to `until_ns`, or to the next turn of a script, whose number it gives.
    pub(crate) fn run(&mut self, until_ns: u64) -> Option<usize> {
        loop {
            let queued = self.queue.due_ns().unwrap_or(u64::MAX);
            let (publisher_ns, publisher) = first(self.publishers.iter().map(SimPublisher::deadline_ns));
            let (consumer_ns, consumer) = first(self.consumers.iter().map(Consumer::deadline_ns));
            let next_ns = queued.min(publisher_ns).min(consumer_ns);
            if next_ns > until_ns {
                self.now_ns = until_ns;
                return None;
            }
            self.idle_calls = if next_ns > self.now_ns { 0 } else { self.idle_calls + 1 };
            assert!(
                self.idle_calls < CALLS_AT_ONCE_MAX,
                "a timer that is due again and again, at the same time"
            );
            self.now_ns = self.now_ns.max(next_ns);
            // Sockets are drained before timers run, so that what lies there is not given up.
            if queued <= next_ns {
                let Some(what) = self.queue.pop() else { continue };
                if let Some(turn) = self.happen(what) {
                    return Some(turn);
                }
            } else if consumer_ns <= next_ns {
                self.consumers[consumer].on_deadline(self.now_ns, &self.truth);
                self.after_consumer(consumer);
            } else {
                self.with(publisher, SimPublisher::tick);
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
                } else {
                    self.publishers[publisher].rest_failed(index);
                }
            }
            Happens::Arrives { consumer, line, bytes } => {
                self.consumers[consumer].arrive(line, &bytes, self.now_ns, &self.truth);
                self.after_consumer(consumer);
            }
            Happens::Request { consumer, port, bytes } => self.request(consumer, port, &bytes),
            Happens::Connects { consumer, port, request } => self.connect(consumer, port, &request),
            Happens::Overhears { publisher, bytes } => {
                let now_ns = self.now_ns;
                let other = &mut self.publishers[publisher];
                if other.is_alive && other.overhear(&bytes, now_ns) {
                    other.is_alive = false;
                    self.superseded += 1;
                }
            }
            Happens::Check => {
                self.consumers.iter_mut().for_each(|consumer| consumer.check_all(&self.truth, self.now_ns));
                self.at(self.now_ns + CHECK_EVERY_NS, Happens::Check);
            }
            Happens::Turn(number) => return Some(number),
        }
        None
    }

    /// What a consumer wants of servers is on its way.
    fn after_consumer(&mut self, place: usize) {
        let Self { consumers, queue, now_ns, .. } = self;
        let consumer = &mut consumers[place];
        if !consumer.is_awake() {
            return;
        }
        consumer.requests(*now_ns, &mut |due_ns, port, bytes| {
            queue.push(due_ns, Happens::Request { consumer: place, port, bytes });
        });
        if let Some(wanted) = consumer.receiver.image_wanted(*now_ns) {
            let (port, request) = (wanted.to.port(), wanted.request);
            let due_ns = self.now_ns + 2 * self.weather.delay_ns;
            self.at(due_ns, Happens::Connects { consumer: place, port, request });
        }
    }

    /// The publisher that listens on a port.
    fn server(&self, port: u16) -> Option<usize> {
        let has_it = |publisher: &SimPublisher| publisher.is_alive && publisher.start.ports == ports_of(port);
        self.publishers.iter().rposition(has_it)
    }

    /// A datagram is there for a retransmit server.
    fn request(&mut self, place: usize, port: u16, bytes: &[u8]) {
        let Some(publisher) = self.server(port).filter(|_| !self.server_is_down) else { return };
        let from = self.consumers[place].address;
        let Served { unicast, group, .. } =
            self.with(publisher, |publisher| publisher.on_request(from, bytes));
        self.resent += (unicast.len() + group.len()) as u64;
        for bytes in &unicast {
            self.send(place, Line::Retransmit, bytes);
        }
        for bytes in &group {
            self.multicast(Line::Repair, bytes);
        }
    }

    /// One connection for an image: nothing of it is lost, unless its server is gone.
    fn connect(&mut self, place: usize, port: u16, request: &[u8]) {
        let mut due_ns = self.now_ns + self.weather.delay_ns;
        if let Some(publisher) = self.server(port) {
            self.consumers[place].receiver.image_started(crate::publisher::CHANNEL);
            let from = *self.consumers[place].address.ip();
            let units = self.with(publisher, |publisher| publisher.on_stream(from, request));
            for bytes in units {
                due_ns += IMAGE_UNIT_NS;
                self.at(due_ns, Happens::Arrives { consumer: place, line: Line::Image, bytes });
            }
        }
        self.at(due_ns, Happens::Arrives { consumer: place, line: Line::Image, bytes: Bytes::default() });
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
