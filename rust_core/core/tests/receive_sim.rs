//! Seeded simulation: real messages as the load, a bad network between, and two oracles that hold at every step:
//! a book that is reported LIVE equals the publisher's at its number, and no number is passed over in silence.

mod receive_support;

use std::collections::{BTreeMap, HashMap};

use outcrier_core::publish::Plane;
use outcrier_core::receive::{
    ChannelState, Config, Delivered, Line, Lost, Receiver, Reported, Sink, StateChange,
};
use outcrier_core::wire::status;
use receive_support::{CHANNEL, Load, Publisher, Rng, SESSION, Truth, VENUE, definition, load, mend_crc};

const SEEDS: u64 = 300;
const STEPS: u64 = 300;
/// Of a thousand steps of a publisher that packs, so many end a read: the messages of the others share a PACK.
const READS: u64 = 400;
const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const INSTRUMENTS: [u32; 4] = [11, 12, 13, 4_000_000_000];
/// The last one speaks only once: nothing but the snapshot plane can confirm it.
const QUIET: u32 = INSTRUMENTS[3];

/// Checks what is told against what was published.
#[derive(Default)]
struct Oracle {
    truth: Truth,
    /// Instrument → session and last number accounted for.
    last: HashMap<u32, (u32, u32)>,
    live_checks: u64,
}

impl Oracle {
    fn account(&mut self, session: u32, instrument: u32, first: u32, last: u32) {
        if let Some(&(of, before)) = self.last.get(&instrument)
            && of == session
        {
            assert_eq!(first, before.wrapping_add(1), "a silent hole in instrument {instrument}");
        }
        self.last.insert(instrument, (session, last));
    }
}

impl Sink for Oracle {
    fn deliver(&mut self, delivered: &Delivered<'_>) {
        let header = delivered.frame.header;
        let Some(mirror) = delivered.mirror else { return };
        let (session, instrument, seq) = (header.session, header.instrument, header.instr_seq);
        match delivered.plane {
            Plane::Incremental => self.account(session, instrument, seq, seq),
            Plane::Snapshot => {
                let known = self.last.insert(instrument, (session, seq));
                if let Some((of, before)) = known
                    && of == session
                {
                    assert_eq!(before, seq, "a snapshot jumped without a loss being told");
                }
            }
        }
        if delivered.state == Reported::Live {
            self.live_checks += 1;
            let truth = self.truth.get(&(mirror.session, mirror.instrument, mirror.instr_seq));
            assert_eq!(truth, Some(&mirror.book.hash()), "{instrument} at {}", mirror.instr_seq);
        }
    }

    fn state(&mut self, _: &StateChange) {}

    fn lost(&mut self, lost: &Lost) {
        assert!(lost.count > 0);
        let last = lost.first.wrapping_add(u32::try_from(lost.count).unwrap() - 1);
        self.account(lost.session, lost.instrument, lost.first, last);
    }
}

/// How bad the network is.
struct Weather {
    loss: u64,
    duplicate: u64,
    corrupt: u64,
    jitter_ns: u64,
}

struct World {
    rng: Rng,
    now_ns: u64,
    wire: BTreeMap<(u64, u64), (Line, Vec<u8>)>,
    sent: u64,
    weather: Weather,
    receiver: Receiver,
    oracle: Oracle,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let loss = [0, 1, 20, 100, 300][usize::try_from(rng.below(5)).unwrap()];
        let jitter_ns = [1, 50 * US, 500 * US, 5 * MS][usize::try_from(rng.below(4)).unwrap()];
        let weather = Weather { loss, duplicate: rng.below(100), corrupt: rng.below(20), jitter_ns };
        let receiver = Receiver::new(Config::default());
        let wire = BTreeMap::new();
        Self { rng, now_ns: MS, wire, sent: 0, weather, receiver, oracle: Oracle::default() }
    }

    fn send(&mut self, publisher: &mut Publisher) {
        self.oracle.truth.extend(publisher.truth.drain());
        for (line, frame) in publisher.take() {
            let copies = 1 + u64::from(self.rng.chance(self.weather.duplicate));
            for _ in 0..copies {
                if self.rng.chance(self.weather.loss) {
                    continue;
                }
                let mut bytes = frame.clone();
                if self.rng.chance(self.weather.corrupt) {
                    let at = usize::try_from(self.rng.below(bytes.len() as u64)).unwrap();
                    bytes[at] ^= 1 << self.rng.below(8);
                }
                self.sent += 1;
                let at_ns = self.now_ns + 20 * US + self.rng.below(self.weather.jitter_ns);
                self.wire.insert((at_ns, self.sent), (line, bytes));
            }
        }
    }

    /// Lets time pass: what is due arrives, timers run.
    fn pass(&mut self, ns: u64) {
        let until = self.now_ns + ns;
        loop {
            let arrival = self.wire.first_key_value().map(|(&(at, _), _)| at).filter(|&at| at <= until);
            let timer = self.receiver.deadline_ns().filter(|&at| at <= until);
            match (arrival, timer) {
                (None, None) => break,
                (Some(at), timer) if timer.is_none_or(|timer| at <= timer) => {
                    self.now_ns = self.now_ns.max(at);
                    let (_, (line, bytes)) = self.wire.pop_first().unwrap();
                    if line == Line::A || self.receiver.wants_snapshot_plane() {
                        self.receiver.on_datagram(line, &bytes, 0, self.now_ns, &mut self.oracle);
                    }
                }
                (_, Some(at)) => {
                    self.now_ns = self.now_ns.max(at);
                    self.receiver.on_timer(self.now_ns, &mut self.oracle);
                }
                (Some(_), None) => unreachable!("the arm above takes it"),
            }
        }
        self.now_ns = until;
        self.check_all();
    }

    fn check_all(&mut self) {
        for mirror in self.receiver.mirrors().filter(|mirror| mirror.reported() == Reported::Live) {
            let truth = self.oracle.truth.get(&(mirror.session, mirror.instrument, mirror.instr_seq));
            assert_eq!(truth, Some(&mirror.book.hash()), "{} at {}", mirror.instrument, mirror.instr_seq);
        }
    }
}

fn begin(publisher: &mut Publisher, prev_session: u32) {
    publisher.start(prev_session);
    for id in INSTRUMENTS {
        publisher.define(id, definition(&format!("S{id}/USDT"), 1));
    }
    publisher.status(QUIET, status::state::HALTED, 0);
}

/// What one step of a publisher says.
fn step(publisher: &mut Publisher, at: u64, loads: &[Vec<Load>], rng: &mut Rng) {
    let which = usize::try_from(rng.below(3)).unwrap();
    let id = INSTRUMENTS[which];
    let kind = [0, 0, 1, 3][usize::try_from(rng.below(4)).unwrap()];
    publisher.load(id, &loads[which][usize::try_from(at).unwrap() % loads[which].len()], kind);
    match rng.below(60) {
        0 => publisher.bbo(id),
        1 => publisher.deriv(id, 100),
        2 => {
            publisher.status(id, status::state::STALE, status::reason::SOURCE_GAP);
            publisher.whole_book(id);
            publisher.status(id, status::state::LIVE, 0);
        }
        3..6 => publisher.heartbeat(),
        6..8 => publisher.cycle(),
        _ => {}
    }
}

/// Replaces the publisher by a new session, in one of the ways this happens. Gives the zombie, if it lives on.
fn restart(world: &mut World, publisher: &mut Publisher, next_id: u64) -> Option<Publisher> {
    let next_session = publisher.session + 1 + u32::try_from(world.rng.below(3)).unwrap();
    let how = world.rng.below(4);
    let mut prev_session = 0;
    match how {
        0 => {
            for _ in 0..3 {
                publisher.end(next_session);
                world.send(publisher);
                world.pass(MS);
            }
        }
        1 => prev_session = publisher.session,
        2 => world.pass(400 * MS),
        _ => {}
    }
    let next = Publisher::new(next_session, next_id).packing(publisher.packs);
    let old = std::mem::replace(publisher, next);
    begin(publisher, prev_session);
    (how == 3 || how == 1).then_some(old)
}

fn run(seed: u64, packs: bool, loads: &[Vec<Load>]) -> (Vec<(&'static str, u64)>, u64) {
    let mut world = World::new(seed);
    let mut publisher = Publisher::new(SESSION, 1).packing(packs);
    begin(&mut publisher, 0);
    if world.rng.chance(500) {
        world.send(&mut publisher);
    } else {
        // A late joiner: what was said so far was said to nobody.
        (0..50).for_each(|at| step(&mut publisher, at, loads, &mut world.rng));
        publisher.take();
        world.oracle.truth.extend(publisher.truth.drain());
    }
    let restart_at = world.rng.below(STEPS * 2);
    let mut zombie = None;
    for at in 0..STEPS {
        if at == restart_at {
            zombie = restart(&mut world, &mut publisher, 2);
        }
        step(&mut publisher, at, loads, &mut world.rng);
        if !packs || world.rng.chance(READS) {
            world.send(&mut publisher);
        }
        if let Some(old) = zombie.as_mut().filter(|_| at < restart_at + 100) {
            step(old, at, loads, &mut world.rng);
            world.send(old);
        }
        let pause = world.rng.below(400 * US);
        world.pass(pause);
    }
    heal(&mut world, &mut publisher);
    (world.receiver.counters(), world.oracle.live_checks)
}

/// The network is good again: after five quiet seconds every book is LIVE and equal.
fn heal(world: &mut World, publisher: &mut Publisher) {
    world.weather = Weather { loss: 0, duplicate: 0, corrupt: 0, jitter_ns: 1 };
    for at in 0..50 {
        publisher.heartbeat();
        if at % 10 == 0 {
            publisher.cycle();
        }
        world.send(publisher);
        world.pass(100 * MS);
    }
    for known in publisher.instruments.values() {
        let mirror = world.receiver.book(VENUE, known.id).expect("every instrument is wanted");
        assert_eq!(mirror.session, publisher.session);
        assert_eq!(mirror.reported(), Reported::Live, "{}: {:?}", known.id, mirror.reception);
        assert_eq!(mirror.instr_seq, known.seq);
        assert_eq!(mirror.book.hash(), known.book.hash());
        assert_eq!(mirror.deriv.map(|deriv| deriv.state.mark_px), known.deriv.map(|deriv| deriv.mark_px));
    }
    assert!(!world.receiver.wants_snapshot_plane());
    let channels: Vec<_> = world.receiver.channels().collect();
    assert_eq!(channels.len(), 1);
    assert_eq!((channels[0].channel, channels[0].state), (CHANNEL, ChannelState::Live));
    assert_eq!(channels[0].high, publisher.next_seq - 1);
    assert!(channels[0].chain_ok);
}

#[test]
fn a_live_book_is_never_wrong_and_every_book_heals() {
    let captures = [
        "binance_usdm/usdm_btcusdt_2024-08-08.jsonl.gz",
        "binance/spot_btcusdt_2024-08-08.jsonl.gz",
        "binance/spot_ethusdt_2024-08-08.jsonl.gz",
    ];
    let Some(loads) = captures.iter().map(|capture| load(capture, 400)).collect::<Option<Vec<_>>>() else {
        return;
    };
    assert!(loads.iter().all(|loads| loads.len() == 400));
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    let mut checks = 0;
    for (seed, packs) in (0..SEEDS).flat_map(|seed| [(seed, false), (seed, true)]) {
        let result = std::panic::catch_unwind(|| run(seed, packs, &loads));
        let Ok((counters, live_checks)) = result else { panic!("seed {seed}, packs {packs}") };
        checks += live_checks;
        for (name, value) in counters {
            *sums.entry(name).or_default() += value;
        }
    }
    assert!(checks > SEEDS * STEPS / 2, "the oracle hardly ever looked: {checks}");
    // A branch that no seed reaches is a branch that this test does not test.
    for rare in [
        "given_up",
        "filled",
        "late",
        "duplicates",
        "old_session",
        "split_brain",
        "silences",
        "lost_events",
        "held",
        "held_covered",
        "held_dropped",
        "groups_applied",
        "groups_ignored",
        "groups_incomplete",
        "snapshot_missing",
        "snapshot_duplicates",
        "snapshot_foreign",
        "instrument_duplicates",
        "refused_crc",
        "session_ends",
        "heartbeats_old",
        "packs",
    ] {
        assert!(sums[rare] > 0, "no seed reached `{rare}`: {sums:?}");
    }
    assert!(sums["packed_messages"] > 3 * sums["packs"], "hardly anything shares a PACK: {sums:?}");
    // Nothing here is wrong but the network.
    for alarm in ["checksum_mismatch", "chain_mismatch", "different_bytes", "second_publisher", "groups_bad"]
    {
        assert_eq!(sums[alarm], 0, "{alarm}");
    }
}

/// Takes anything.
struct Deaf;

impl Sink for Deaf {
    fn deliver(&mut self, _: &Delivered<'_>) {}
    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, _: &Lost) {}
}

#[test]
fn no_bytes_panic_even_with_a_good_crc() {
    let Some(loads) = load("binance/spot_ethusdt_2024-08-08.jsonl.gz", 100) else { return };
    let loads = vec![loads.clone(), loads.clone(), loads];
    let mut taken = 0;
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut publisher = Publisher::new(SESSION, 1).packing(seed % 2 == 1);
        let mut receiver = Receiver::new(Config::default());
        begin(&mut publisher, 0);
        for at in 0..100 {
            step(&mut publisher, at, &loads, &mut rng);
            publisher.cycle();
            for (line, mut frame) in publisher.take() {
                if rng.chance(300) {
                    // Header fields but magic, version and length; or anything of the payload.
                    let at = if rng.chance(500) { 8 + rng.below(50) } else { rng.below(frame.len() as u64) };
                    let at = usize::try_from(at).unwrap();
                    frame[at] = [0, 1, 0x7F, 0x80, 0xFF, rng.next().to_le_bytes()[0]]
                        [usize::try_from(rng.below(6)).unwrap()];
                    mend_crc(&mut frame);
                }
                let now_ns = at * MS * 7;
                receiver.on_datagram(line, &frame, 0, now_ns, &mut Deaf);
                receiver.on_timer(now_ns, &mut Deaf);
            }
        }
        taken += receiver.counters().into_iter().find(|&(name, _)| name == "frames").unwrap().1;
    }
    assert!(taken > 5_000, "hardly a frame was taken: {taken}");
}
