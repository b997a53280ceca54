//! What happens in the world of a seed.

use std::collections::BTreeMap;

use outcrier_core::publish::SEQ_RESERVE;
use outcrier_core::receive::{Config, Recovery, Wanted};

use crate::draw::{Act, Restart, act, means, pace, weather};
use crate::host::Forgery;
use crate::load::Load;
use crate::publisher::{Start, VENUE};
use crate::rng::Rng;
use crate::verdict::ALARMS;
use crate::world::{FULL, MS, World};

const SESSION: u32 = 90_000_001;

/// What a run of a seed gives.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of everything that consumers were told, and their counters.
    pub(crate) digest: u64,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) frames: u64,
    pub(crate) live_checks: u64,
}

/// A world and what is to happen in it.
pub(crate) struct Script {
    pub(crate) world: World,
    pub(crate) acts: Vec<Act>,
    /// Place of the publisher that should be heard.
    pub(crate) current: usize,
    pub(crate) start: Start,
    pub(crate) wanted: Option<Vec<u32>>,
    pub(crate) config: Config,
    /// A publisher's memory was broken in this session: its chain64 cannot agree.
    pub(crate) forged_session: u32,
    pub(crate) alarms_expected: bool,
    /// Nothing is planned for later than this.
    pub(crate) busy_until_ns: u64,
    pub(crate) wraps: u64,
    pub(crate) full: u64,
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
            orders: rng.chance(500),
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

    pub(crate) fn run(&mut self, until_ns: u64) {
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
