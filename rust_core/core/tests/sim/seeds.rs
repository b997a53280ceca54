//! What happens in the world of a seed, and what must hold at its end.

use std::collections::BTreeMap;

use outcrier_core::chaos::{Burst, Plan, Start as BurstStart};
use outcrier_core::publish::SEQ_RESERVE;
use outcrier_core::receive::{ChannelState, Config, Recovery, Reported, Wanted, reason};
use outcrier_core::retransmit::{Limits, ServerConfig};
use outcrier_core::wire::auth::{Keyring, MasterKey};
use outcrier_core::wire::status;

use crate::host::Forgery;
use crate::load::Load;
use crate::publisher::{CHANNEL, Means, Start, VENUE, wire_id};
use crate::rng::Rng;
use crate::world::{FULL, MS, Pace, S, US, World};

const SESSION: u32 = 90_000_001;
/// After the network healed and the exchange fell quiet.
const QUIET_NS: u64 = 5 * S;
/// The exchange needs no longer to make every book whole.
const SETTLE_NS: u64 = 3 * S;

/// How a publisher is replaced.
#[derive(Clone, Copy, Debug)]
enum Restart {
    /// It is gone; the next one begins a while later.
    Crash { pause_ns: u64 },
    /// It goes on beside the next one, which may name it as its predecessor.
    Zombie { named: bool, for_ns: u64 },
    /// It stands still (SIGSTOP) while the next one begins, then goes on for a while.
    Stopped { for_ns: u64, then_ns: u64 },
    /// It says SESSION_END; the next one begins a while later and may name it.
    End { named: bool, pause_ns: u64 },
    /// A second one speaks in the same session; both are stopped, then a new session begins.
    Same { for_ns: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Join,
    Sleep {
        ns: u64,
    },
    Cut {
        frames: u64,
        everyone: bool,
    },
    /// The publisher stands still for a while, and nobody takes its place.
    Freeze {
        ns: u64,
    },
    WallStep {
        ns: i64,
    },
    Restart(Restart),
    Forge(Forgery),
    /// A new session begins, naming that one if it is not 0.
    Begin {
        prev_session: u32,
    },
    /// A publisher that stood still goes on …
    Resume {
        publisher: usize,
    },
    /// … and one that should not be any more is gone.
    Kill {
        publisher: usize,
    },
    /// It is gone and a new session begins, whoever is heard by now.
    Replace {
        publisher: usize,
    },
}

/// What a run of a seed gives.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of everything that consumers were told, and their counters.
    pub(crate) digest: u64,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) frames: u64,
    pub(crate) live_checks: u64,
}

struct Script {
    world: World,
    acts: Vec<Act>,
    /// Place of the publisher that should be heard.
    current: usize,
    start: Start,
    wanted: Option<Vec<u32>>,
    config: Config,
    /// A publisher's memory was broken in this session: its chain64 cannot agree.
    forged_session: u32,
    alarms_expected: bool,
    /// Nothing is planned for later than this.
    busy_until_ns: u64,
    wraps: u64,
    full: u64,
}

fn weather(rng: &mut Rng) -> Plan {
    let burst = [None, None, Some((2_000, 50)), Some((5_000, 500))];
    let burst = rng.pick(&burst).map(|(every, length)| Burst { every, length, start: BurstStart::Drawn });
    Plan {
        loss: rng.pick(&[0, 0, 1_000, 10_000, 50_000, 100_000, 300_000]),
        burst,
        reorder: rng.pick(&[0, 0, 10_000, 100_000]),
        reorder_ns: rng.pick(&[100 * US, 500 * US, 5 * MS]),
        duplicate: rng.pick(&[0, 10_000, 100_000]),
        corrupt: rng.pick(&[0, 0, 1_000, 20_000]),
        truncate: rng.pick(&[0, 0, 2_000]),
        garbage: rng.pick(&[0, 0, 5_000]),
        delay_ns: rng.pick(&[0, 100 * US, 2 * MS]),
        jitter_ns: rng.pick(&[0, 50 * US, MS]),
    }
}

fn pace(rng: &mut Rng) -> Pace {
    Pace {
        read_ns: rng.pick(&[100 * US, 500 * US, 2 * MS]),
        messages: rng.pick(&[1, 4, 12]),
        is_even: false,
        gaps: rng.pick(&[0, 0, 2, 10]),
        incidents: rng.pick(&[0, 5, 20]),
    }
}

fn restart(rng: &mut Rng) -> Restart {
    let pause_ns = if rng.chance(300) { rng.below(3 * MS) } else { rng.below(800 * MS) };
    match rng.below(6) {
        0 | 1 => Restart::Crash { pause_ns },
        2 => Restart::Zombie { named: rng.chance(500), for_ns: 50 * MS + pause_ns },
        3 => Restart::Stopped { for_ns: 360 * MS + pause_ns, then_ns: rng.below(600 * MS) },
        4 => Restart::End { named: rng.chance(500), pause_ns },
        _ => Restart::Same { for_ns: 50 * MS + rng.below(400 * MS) },
    }
}

fn act(rng: &mut Rng) -> Act {
    match rng.below(11) {
        0 | 1 => Act::Restart(restart(rng)),
        2 | 3 => Act::Sleep { ns: rng.pick(&[MS, 20 * MS, 200 * MS]) + rng.below(100 * MS) },
        4 | 5 => Act::Cut { frames: rng.pick(&[1, 50, 500]), everyone: rng.chance(300) },
        6 => Act::WallStep { ns: if rng.chance(500) { 3_600_000_000_000 } else { -3_600_000_000_000 } },
        7 => Act::Forge(if rng.chance(700) { Forgery::Checksum } else { Forgery::LineB }),
        8 => Act::Freeze { ns: 300 * MS + rng.below(500 * MS) },
        _ => Act::Join,
    }
}

fn means(rng: &mut Rng) -> Means {
    let keys = rng.chance(300).then(|| {
        let master = |id: u8| (id, MasterKey::new([id ^ 0x5A; 32]));
        Keyring::new(vec![master(1), master(2)]).expect("two different keys")
    });
    // A small store, so that some of what is asked for is not kept any more; a slow line, so that some has to wait.
    let frames = rng.pick(&[20, 300, 1 << 16]);
    let line_bytes_per_s = rng.pick(&[1_000_000, 125_000_000, 125_000_000]);
    Means {
        limits: Limits { frames, ..Limits::default() },
        server: ServerConfig { secret: [7; 16], line_bytes_per_s, keys },
        guarded: rng.chance(500),
    }
}

impl Script {
    fn new(load: &'static Load, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let instruments = 2 + u32::try_from(rng.below(7)).expect("few");
        let jump = rng.chance(60).then(|| {
            // Full at once, full soon, or far along.
            let full = u64::MAX - SEQ_RESERVE;
            let channel = rng.pick(&[full + 1, full - 200, 1 << 33]) - rng.below(100);
            (channel, u32::MAX - u32::try_from(rng.below(60)).expect("few"))
        });
        let start = Start {
            session: SESSION,
            id: rng.next(),
            prev_session: 0,
            packs: rng.chance(500),
            instruments,
            ports: 0,
            jump,
        };
        let (pace, weather, means) = (pace(&mut rng), weather(&mut rng), means(&mut rng));
        let some = 1 + u32::try_from(rng.below(u64::from(instruments))).expect("few");
        let wanted = rng.chance(200).then(|| (0..some).collect::<Vec<u32>>());
        let symbols =
            |wanted: &Vec<u32>| wanted.iter().map(|index| (format!("S{index:04}"), VENUE)).collect();
        let config = Config {
            wanted: wanted.as_ref().map_or(Wanted::All, |wanted| Wanted::Symbols(symbols(wanted))),
            recovery: Recovery { retransmit: rng.chance(850) },
            keys: means.server.keys.clone(),
            ..Config::default()
        };
        let mut world = World::new(load, rng.next(), (pace, weather), means);
        world.has_line_b = rng.chance(600);
        let length_ns = pace.read_ns * (100 + rng.below(400));
        let mut script = Self {
            acts: Vec::new(),
            current: 0,
            start,
            wanted,
            config,
            forged_session: 0,
            alarms_expected: false,
            busy_until_ns: 0,
            full: 0,
            wraps: u64::from(jump.is_some()),
            world,
        };
        script.plan(Act::Join, if rng.chance(500) { 0 } else { rng.below(length_ns) });
        for _ in 0..rng.below(7) {
            script.plan(act(&mut rng), rng.below(length_ns));
        }
        script.current = script.world.publish(start);
        script.run(script.world.now_ns + length_ns);
        script
    }

    fn plan(&mut self, act: Act, after_ns: u64) {
        let due_ns = self.world.now_ns + after_ns;
        self.busy_until_ns = self.busy_until_ns.max(due_ns);
        self.acts.push(act);
        self.world.turn_at(due_ns, self.acts.len() - 1);
    }

    fn run(&mut self, until_ns: u64) {
        while let Some(turn) = self.world.run(until_ns) {
            if turn == FULL {
                self.hand_over();
            } else {
                self.act(self.acts[turn]);
            }
        }
    }

    fn act(&mut self, act: Act) {
        let now_ns = self.world.now_ns;
        match act {
            Act::Join if self.world.consumers.len() < 3 => {
                self.world.join(self.config.clone());
            }
            Act::Join => {}
            Act::Sleep { ns } => {
                if let Some(consumer) = self.world.consumers.last_mut() {
                    consumer.sleep(now_ns + ns);
                }
            }
            Act::Cut { frames, everyone } => {
                let concerned = if everyone { usize::MAX } else { 1 };
                self.world.consumers.iter_mut().take(concerned).for_each(|consumer| consumer.cut = frames);
            }
            Act::WallStep { ns } => self.wall_step(ns),
            Act::Restart(how) => self.restart(how),
            Act::Forge(forgery) => self.forge(forgery),
            Act::Begin { prev_session } => self.begin(prev_session),
            Act::Resume { publisher } => self.world.resume(publisher),
            Act::Kill { publisher } => self.world.publishers[publisher].is_alive = false,
            Act::Replace { publisher } => {
                self.world.publishers[publisher].is_alive = false;
                self.begin(0);
            }
            Act::Freeze { ns } => {
                let current = self.current;
                if std::mem::replace(&mut self.world.publishers[current].is_alive, false) {
                    self.plan(Act::Resume { publisher: current }, ns);
                }
            }
        }
    }

    /// The numbers of the publisher run out: the next session begins by plan.
    fn hand_over(&mut self) {
        let old = self.current;
        if !self.world.publishers[old].is_alive {
            return;
        }
        self.full += 1;
        self.begin(self.start.session);
        let next = self.start.session;
        self.world.with(old, |publisher| {
            publisher.plays = false;
            publisher.feed.close(2, next, &mut publisher.host);
        });
        self.plan(Act::Kill { publisher: old }, 200 * MS);
    }

    fn wall_step(&mut self, ns: i64) {
        self.world.wall_step_ns += ns;
        for publisher in &mut self.world.publishers {
            publisher.host.wall_offset_ns += ns;
        }
        for consumer in &mut self.world.consumers {
            consumer.wall_step_ns += ns;
        }
    }

    fn forge(&mut self, forgery: Forgery) {
        let publisher = &mut self.world.publishers[self.current];
        let session = publisher.start.session;
        // With keys a forged frame is no frame: it is lost, and nobody is led astray.
        let is_signed = self.config.keys.is_some();
        if forgery == Forgery::LineB && !self.world.has_line_b {
            return;
        }
        publisher.host.forgery = Some(forgery);
        match forgery {
            _ if is_signed => {}
            Forgery::Checksum => {
                self.forged_session = session;
                self.alarms_expected = true;
            }
            // Only a new session ends what two different frames under one number begin.
            Forgery::LineB => {
                self.world.truth.taint(session, self.world.now_ns);
                self.alarms_expected = true;
                self.plan(Act::Replace { publisher: self.current }, 100 * MS);
            }
        }
    }

    fn fresh_ports(&self) -> u16 {
        u16::try_from(self.world.publishers.len()).expect("few publishers")
    }

    fn begin(&mut self, prev_session: u32) {
        let session = self.start.session + 1 + u32::try_from(self.world.rng.below(3)).expect("few");
        let id = self.world.rng.next();
        // Ports that nobody has any more may be taken again.
        let is_free = !self
            .world
            .publishers
            .iter()
            .any(|publisher| publisher.is_alive && publisher.start.ports == self.start.ports);
        let ports = if is_free && self.world.rng.chance(700) { self.start.ports } else { self.fresh_ports() };
        self.start = Start { session, id, prev_session, ports, jump: None, ..self.start };
        self.current = self.world.publish(self.start);
    }

    fn restart(&mut self, how: Restart) {
        let old = self.current;
        let session = self.start.session;
        if !self.world.publishers[old].is_alive {
            return; // The next one is under way.
        }
        match how {
            Restart::Crash { pause_ns } => {
                self.act(Act::Kill { publisher: old });
                self.plan(Act::Begin { prev_session: 0 }, pause_ns);
            }
            Restart::Zombie { named, for_ns } => {
                self.begin(if named { session } else { 0 });
                self.plan(Act::Kill { publisher: old }, for_ns);
            }
            Restart::Stopped { for_ns, then_ns } => {
                self.act(Act::Kill { publisher: old });
                self.plan(Act::Begin { prev_session: 0 }, for_ns - 5 * MS);
                self.plan(Act::Resume { publisher: old }, for_ns);
                self.plan(Act::Kill { publisher: old }, for_ns + then_ns);
            }
            Restart::End { named, pause_ns } => {
                self.world.with(old, |publisher| {
                    publisher.plays = false;
                    publisher.feed.close(0, 0, &mut publisher.host);
                });
                self.plan(Act::Begin { prev_session: if named { session } else { 0 } }, pause_ns);
                self.plan(Act::Kill { publisher: old }, pause_ns + 100 * MS);
            }
            Restart::Same { for_ns } => {
                self.world.truth.taint(session, self.world.now_ns);
                self.alarms_expected = true;
                let id = self.world.rng.next();
                let ports = self.fresh_ports();
                let second = self.world.publish(Start { id, ports, jump: None, ..self.start });
                self.plan(Act::Kill { publisher: second }, for_ns);
                self.plan(Act::Replace { publisher: old }, for_ns + 20 * MS);
            }
        }
    }
}

/// What must hold at the end of every world.
impl Script {
    /// The network is good again and the exchange falls quiet.
    fn heal(&mut self) {
        while self.busy_until_ns > self.world.now_ns {
            self.run(self.busy_until_ns);
        }
        let current = self.current;
        for (place, publisher) in self.world.publishers.iter_mut().enumerate() {
            publisher.is_alive = place == current;
        }
        if self.world.rng.chance(500) {
            // The last words of an instrument may be lost: only heartbeats and snapshots can tell.
            self.world.publishers[current].plays = false;
            let pause_ns = self.world.rng.below(400 * MS);
            self.run(self.world.now_ns + pause_ns);
        }
        self.world.change_weather(Plan::default());
        self.world.publishers[current].host.forgery = None;
        self.world.pace = Pace { read_ns: MS, messages: 8, gaps: 0, incidents: 0, is_even: false };
        if self.world.consumers.is_empty() {
            self.world.join(self.config.clone());
        }
        let until_ns = self.world.now_ns + SETTLE_NS;
        // Its numbers may run out meanwhile, and another one goes on.
        while !self.world.publishers[self.current].is_whole() {
            assert!(self.world.now_ns < until_ns, "the exchange makes every book whole");
            self.world.play(self.current);
            self.run(self.world.now_ns + 10 * MS);
        }
        self.world.publishers[self.current].plays = false;
        self.run(self.world.now_ns + QUIET_NS);
    }

    /// Every book is LIVE and equal, and nobody wants anything.
    fn check(&mut self) {
        let world = &mut self.world;
        let publisher = &world.publishers[self.current];
        let session = publisher.start.session;
        let truth = world.truth.session(session).expect("it said something");
        for consumer in &mut world.consumers {
            let channels: Vec<_> = consumer.receiver.channels().collect();
            assert_eq!(channels.len(), 1);
            let channel = &channels[0];
            assert_eq!((channel.channel, channel.session), (CHANNEL, session));
            assert_eq!(channel.state, ChannelState::Live);
            assert_eq!(channel.high, truth.last_seq());
            assert!(channel.chain_ok || session == self.forged_session);
            assert!(!consumer.receiver.wants_snapshot_plane());
            assert_eq!(
                consumer.receiver.open_gaps().count(),
                0,
                "{:?}",
                consumer.receiver.open_gaps().next()
            );
            for index in 0..self.start.instruments {
                let mirror = consumer.receiver.book(VENUE, wire_id(index));
                if self.wanted.as_ref().is_some_and(|wanted| !wanted.contains(&index)) {
                    assert!(mirror.is_none(), "nobody wants instrument {index}");
                    continue;
                }
                let mirror = mirror.expect("every instrument is wanted");
                let (seq, source_seq) = publisher.feed.numbers(index).expect("an instrument");
                let at = truth.at(wire_id(index), seq).expect("it was published");
                let closed = matches!(at.trading, status::state::CLOSED | status::state::DELISTED);
                let expected = if closed { Reported::Closed } else { Reported::Live };
                assert_eq!(mirror.reported(), expected, "{index}: {:?} {}", mirror.reception, mirror.reason);
                assert_eq!((mirror.session, mirror.instr_seq), (session, seq));
                assert_eq!((mirror.source_seq, mirror.trading), (source_seq, at.trading));
                let book = publisher.feed.book(index).expect("an instrument");
                assert_eq!(mirror.book.hash(), book.hash());
            }
        }
    }

    /// SESSION_END without a next session: every book is STALE, and nobody takes it for silence.
    fn end(&mut self) {
        let silences = |world: &World| counters(world)["silences"];
        let before = silences(&self.world);
        self.world.with(self.current, |publisher| publisher.feed.close(1, 0, &mut publisher.host));
        self.run(self.world.now_ns + 6 * S);
        for mirror in self.world.consumers.iter().flat_map(|consumer| consumer.receiver.mirrors()) {
            assert!(matches!(mirror.reported(), Reported::Stale | Reported::Closed));
            assert!(mirror.reported() == Reported::Closed || mirror.reason == reason::SESSION_ENDED);
        }
        assert_eq!(silences(&self.world), before, "an end is not silence");
    }

    fn outcome(&self) -> Outcome {
        let mut outcome =
            Outcome { frames: self.world.frames, counters: counters(&self.world), ..Outcome::default() };
        let publishers = || self.world.publishers.iter();
        let of_servers = |name: &str| -> u64 {
            let named = publishers().flat_map(|publisher| publisher.server.counters().named());
            named.filter(|(of, _)| *of == name).map(|(_, count)| count).sum()
        };
        let own = [
            ("wraps", self.wraps),
            ("sessions_full", self.full),
            ("forged", publishers().map(|publisher| publisher.host.forged).sum()),
            ("superseded", self.world.superseded),
            ("returns", self.world.consumers.iter().map(|consumer| consumer.oracle.returns).sum()),
            ("server_repair_group", of_servers("frames_repair")),
            ("server_sent_before", of_servers("frames_sent_before")),
            ("server_too_old", of_servers("frames_too_old")),
        ];
        outcome.counters.extend(own);
        for consumer in &self.world.consumers {
            outcome.live_checks += consumer.oracle.live_checks;
            outcome.digest = outcome.digest.rotate_left(7) ^ consumer.oracle.digest;
        }
        for &count in outcome.counters.values() {
            outcome.digest = (outcome.digest ^ count).wrapping_mul(0x0000_0100_0000_01b3);
        }
        outcome
    }
}

/// Alarms for which no network is to blame.
const ALARMS: [&str; 7] = [
    "checksum_mismatch",
    "exponent_mismatch",
    "bad_level",
    "groups_bad",
    "chain_mismatch",
    "different_bytes",
    "second_publisher",
];

fn counters(world: &World) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for consumer in &world.consumers {
        for (name, value) in consumer.receiver.counters() {
            *sums.entry(name).or_default() += value;
        }
    }
    sums
}

/// Runs the world of a seed. Panics where something does not hold.
pub(crate) fn run(load: &'static Load, seed: u64) -> Outcome {
    let mut script = Script::new(load, seed);
    script.heal();
    script.check();
    if seed.is_multiple_of(8) {
        script.end();
    }
    let outcome = script.outcome();
    if !script.alarms_expected {
        for alarm in ALARMS {
            assert_eq!(outcome.counters[alarm], 0, "{alarm}: nothing is wrong but the network");
        }
    }
    outcome
}
