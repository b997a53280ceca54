//! The times and volumes that are promised, held to in virtual time: `docs/reliability.md` measures them over sockets.

use outcrier_core::chaos::Plan;
use outcrier_core::receive::{Config, Recovery};
use outcrier_core::retransmit::{Limits, ServerConfig};

use crate::consumer::Consumer;
use crate::host::Forgery;
use crate::load::{Load, load};
use crate::publisher::{Means, Start};
use crate::world::{MS, Pace, S, TRANSIT_NS, US, World};

/// One message every 50 µs: 20,000 frames a second.
const PACE: Pace = Pace { read_ns: 50 * US, messages: 1, is_even: true, gaps: 0, incidents: 0 };
const INSTRUMENTS: u32 = 200;
const PERCENT: u32 = 10_000;
/// Until every book of the publisher is live, and the consumer's W has settled.
const WARM_UP_NS: u64 = 500 * MS;

fn start(instruments: u32) -> Start {
    Start {
        session: 90_000_001,
        id: 1,
        prev_session: 0,
        packs: false,
        instruments,
        orders: false,
        ports: 0,
        jump: None,
    }
}

/// A world at the load of the rows, a publisher and so many consumers that are live.
fn world(load: &'static Load, seed: u64, instruments: u32, consumers: usize) -> World {
    let server = ServerConfig { secret: [9; 16], line_bytes_per_s: 125_000_000, keys: None };
    let means = Means { limits: Limits::default(), server, guarded: false };
    let mut world = World::new(load, seed, (PACE, Plan::default()), means);
    world.has_line_b = false;
    for _ in 0..consumers {
        world.join(Config::default());
    }
    world.publish(start(instruments));
    world.run(world.now_ns + WARM_UP_NS);
    assert!(world.publishers[0].is_whole());
    assert!(world.consumers.iter().all(|consumer| consumer.is_live(instruments as usize)));
    world
}

/// Lets the exchange say something that the first consumer does not hear.
fn lose_some(world: &mut World, messages: u64) {
    world.consumers[0].cut = u64::MAX;
    let mut rng = world.rng.clone();
    world.with(0, |publisher| publisher.read(messages, &mut rng, 0));
    world.rng = rng;
    world.consumers[0].cut = 0;
}

/// Runs until something holds, in steps of a hundredth of the time it may take, and gives how long it took.
fn until(world: &mut World, most_ns: u64, what: &str, holds: impl Fn(&World) -> bool) -> u64 {
    let began_ns = world.now_ns;
    while !holds(world) {
        assert!(world.now_ns - began_ns <= most_ns, "{what}: not within {} ms", most_ns / MS);
        world.run(world.now_ns + most_ns / 100);
    }
    world.now_ns - began_ns
}

/// The 99th percentile.
fn p99(mut delays: Vec<u64>) -> u64 {
    delays.sort_unstable();
    delays[delays.len() * 99 / 100]
}

/// Runs the first consumer through bad weather and gives its delays.
fn delays(world: &mut World, weather: Plan, for_ns: u64) -> Vec<u64> {
    world.consumers[0].oracle.delays = Some(Vec::new());
    world.change_weather(weather);
    world.run(world.now_ns + for_ns);
    let delays = world.consumers[0].oracle.delays.take().expect("asked for");
    assert!(delays.len() as u64 > for_ns / S * 18_000, "{} frames in {} s", delays.len(), for_ns / S);
    delays
}

#[test]
fn tail_loss_is_found_within_5_ms() {
    let Some(load) = load() else { return };
    let mut world = world(load, 1, INSTRUMENTS, 1);
    world.publishers[0].plays = false;
    for trial in 0..100 {
        world.run(world.now_ns + 7 * MS);
        let before = world.consumers[0].count("gaps");
        // The last words, and then silence.
        lose_some(&mut world, 1 + trial % 30);
        until(&mut world, 5 * MS, "the loss is found", |world| world.consumers[0].count("gaps") > before);
        until(&mut world, 5 * MS, "and repaired", |world| world.consumers[0].is_live(INSTRUMENTS as usize));
    }
    assert_eq!(world.consumers[0].count("given_up"), 0);
}

#[test]
fn two_lines_of_1_percent_loss_cost_half_a_millisecond() {
    let Some(load) = load() else { return };
    let mut free = world(load, 2, INSTRUMENTS, 1);
    free.has_line_b = true;
    let loss_free = p99(delays(&mut free, Plan::default(), 2 * S));
    assert_eq!(loss_free, TRANSIT_NS);
    let mut lossy = world(load, 2, INSTRUMENTS, 1);
    lossy.has_line_b = true;
    let with_loss = p99(delays(&mut lossy, Plan { loss: PERCENT, ..Plan::default() }, 2 * S));
    assert!(with_loss <= loss_free + 500 * US, "{with_loss} ns");
    let consumer = &lossy.consumers[0];
    // What one line loses the other one brings, before anything is missing.
    assert!(consumer.count("won_line_b") > 300 && consumer.count("copies") > 30_000);
    assert_eq!(consumer.count("given_up"), 0);
}

#[test]
fn two_lines_resend_no_more_than_both_lose() {
    let Some(load) = load() else { return };
    let mut world = world(load, 3, INSTRUMENTS, 1);
    world.has_line_b = true;
    let frames = |world: &World| world.truth.session(90_000_001).expect("it is heard").frames();
    let before = frames(&world);
    world.change_weather(Plan { loss: 5 * PERCENT, ..Plan::default() });
    world.run(world.now_ns + 4 * S);
    let published = frames(&world) - before;
    let counters = world.publishers[0].server.counters();
    let resent = counters.frames_unicast + counters.frames_repair;
    // Both lines lose p² of the frames, and nothing else is missing; 1.2 for answers and requests that are lost again.
    let missing = world.consumers[0].count("missing");
    assert!((missing * 400).abs_diff(published) < published / 4, "{missing} of {published} are missing");
    assert!(resent >= missing && resent * 10 <= missing * 12, "{resent} sent for {missing} of {published}");
    assert_eq!(world.consumers[0].count("given_up"), 0);
}

#[test]
fn a_single_line_of_5_percent_loss_is_live_within_10_ms() {
    let Some(load) = load() else { return };
    let mut world = world(load, 4, INSTRUMENTS, 1);
    let with_loss = p99(delays(&mut world, Plan { loss: 5 * PERCENT, ..Plan::default() }, 2 * S));
    assert!(with_loss <= 10 * MS, "{with_loss} ns");
    world.change_weather(Plan::default());
    until(&mut world, 10 * MS, "all live", |world| world.consumers[0].is_live(INSTRUMENTS as usize));
    let consumer = &world.consumers[0];
    assert!(consumer.count("missing") > 1_500, "{}", consumer.count("missing"));
    assert_eq!(consumer.oracle.lost, 0, "nothing is lost for good");
}

#[test]
fn a_burst_of_500_frames_is_whole_within_100_ms() {
    let Some(load) = load() else { return };
    for seed in 5..10 {
        let mut world = world(load, seed, INSTRUMENTS, 1);
        world.consumers[0].cut = 500;
        until(&mut world, 100 * MS, "the burst", |world| world.consumers[0].cut == 0);
        until(&mut world, 5 * MS, "found", |world| world.consumers[0].count("missing") >= 490);
        until(&mut world, 100 * MS, "all live", |world| world.consumers[0].is_live(INSTRUMENTS as usize));
        assert_eq!(world.consumers[0].oracle.lost, 0, "all of it was sent again");
    }
}

#[test]
fn reordering_makes_hardly_a_request() {
    let Some(load) = load() else { return };
    for reorder_ns in [200 * US, MS] {
        let mut world = world(load, 11, INSTRUMENTS, 1);
        // W follows what it sees.
        world.change_weather(Plan { reorder: 5 * PERCENT, reorder_ns, ..Plan::default() });
        world.run(world.now_ns + 500 * MS);
        let asked = world.consumers[0].count("requested");
        let before = world.consumers[0].reordered();
        world.run(world.now_ns + 2 * S);
        let asked = world.consumers[0].count("requested") - asked;
        let reordered = world.consumers[0].reordered() - before;
        assert!(
            reordered > 1_500 && asked * 1_000 <= reordered,
            "{asked} of {reordered} within {reorder_ns} ns"
        );
        assert_eq!(world.consumers[0].count("given_up"), 0);
    }
}

#[test]
fn what_nobody_sends_again_is_given_up_within_40_ms() {
    let Some(load) = load() else { return };
    let mut world = world(load, 12, INSTRUMENTS, 1);
    world.pace.read_ns = MS;
    for _ in 0..10 {
        world.run(world.now_ns + 1_500 * MS);
        until(&mut world, 2 * S, "live", |world| world.consumers[0].is_live(INSTRUMENTS as usize));
        let before = world.consumers[0].count("given_up");
        let found = world.consumers[0].count("missing");
        // All that its server sends is lost, too.
        world.server_is_down = true;
        lose_some(&mut world, 3);
        until(&mut world, 5 * MS, "found", |world| world.consumers[0].count("missing") > found);
        let is_given_up = |world: &World| world.consumers[0].count("given_up") > before;
        let took_ns = until(&mut world, 40 * MS, "given up", is_given_up);
        assert!(took_ns >= 20 * MS, "four tries take longer than {took_ns} ns");
        world.server_is_down = false;
    }
}

#[test]
fn a_late_joiner_of_1000_instruments_waits_a_cycle_or_for_an_image() {
    const MANY: u32 = 1_000;
    const JOINS: u64 = 10;
    let Some(load) = load() else { return };
    for (retransmit, most_ns) in [(false, 1_100 * MS), (true, 200 * MS)] {
        let mut world = world(load, 13, MANY, 0);
        world.pace.read_ns = MS;
        let config = Config { recovery: Recovery { retransmit }, ..Config::default() };
        for join in 0..JOINS {
            let pause_ns = world.rng.below(S);
            world.run(world.now_ns + 300 * MS + pause_ns);
            let place = world.join(config.clone());
            let is_live = |world: &World| world.consumers[place].is_live(MANY as usize);
            until(&mut world, most_ns, "all live", is_live);
            let images = world.consumers[place].count("images_wanted");
            assert_eq!(images, u64::from(retransmit), "join {join}");
            world.consumers[place].check_all(&world.truth, world.now_ns);
            world.consumers[place].is_gone = true;
        }
    }
}

#[test]
fn a_second_publisher_is_told_within_350_ms() {
    let Some(load) = load() else { return };
    for seed in 20..30 {
        let mut world = world(load, seed, 20, 2);
        world.change_weather(Plan { loss: 10 * PERCENT, ..Plan::default() });
        // A higher session that names nobody, beside one that lives.
        world.publish(Start { session: 90_000_002, id: 2, ports: 1, ..start(20) });
        let alarm =
            |world: &World, name: &str| world.consumers.iter().all(|consumer| consumer.count(name) > 0);
        until(&mut world, 350 * MS, "split brain", |world| alarm(world, "split_brain"));
        assert!(
            world.consumers.iter().all(|consumer| consumer.count("sessions") == 1),
            "the living one wins"
        );
        world.publishers[0].is_alive = false;
        let moved = |world: &World| world.consumers.iter().all(|consumer| consumer.count("sessions") == 2);
        until(&mut world, 400 * MS, "the higher one takes over after silence", moved);
        // The same session by two.
        world.truth.taint(90_000_002, world.now_ns);
        world.publish(Start { session: 90_000_002, id: 3, ports: 2, ..start(20) });
        let is_told = |world: &World| {
            let told = |name| move |consumer: &Consumer| consumer.count(name) > 0;
            let two = told("second_publisher");
            let different = told("different_bytes");
            world.consumers.iter().all(|consumer| two(consumer) || different(consumer))
        };
        until(&mut world, 350 * MS, "two publishers in one session", is_told);
        assert!(world.consumers.iter().all(|consumer| consumer.is_live(0)), "nothing of it is LIVE");
    }
}

#[test]
fn many_that_lose_the_same_frames_get_few_copies() {
    const CONSUMERS: usize = 20;
    const LOST: u64 = 100;
    let Some(load) = load() else { return };
    let mut world = world(load, 31, INSTRUMENTS, CONSUMERS);
    // Everyone has its cookie: the first requests of all draw no frames.
    for lost in [1, LOST] {
        world.run(world.now_ns + 200 * MS);
        let before = world.publishers[0].server.counters();
        world.consumers.iter_mut().for_each(|consumer| consumer.cut = lost);
        world.run(world.now_ns + 300 * MS);
        assert!(world.consumers.iter().all(|consumer| consumer.is_live(INSTRUMENTS as usize)));
        let after = world.publishers[0].server.counters();
        let copies =
            after.frames_unicast + after.frames_repair - before.frames_unicast - before.frames_repair;
        assert!(copies <= 4 * (lost + 2), "{copies} copies of {lost} frames for {CONSUMERS} consumers");
        assert!(after.frames_repair > before.frames_repair, "the third asker is answered on the group");
    }
    assert!(world.consumers.iter().all(|consumer| consumer.count("given_up") == 0));
}

#[test]
fn a_slow_consumer_hurts_only_itself() {
    let Some(load) = load() else { return };
    let run = |sleeps: bool| {
        let mut world = world(load, 41, INSTRUMENTS, 2);
        world.consumers[0].oracle.delays = Some(Vec::new());
        if sleeps {
            let until_ns = world.now_ns + 500 * MS;
            world.consumers[1].sleep(until_ns);
        }
        world.run(world.now_ns + 2 * S);
        world
    };
    let (mut alone, mut beside) = (run(false), run(true));
    assert_eq!(alone.consumers[0].oracle.delays.take(), beside.consumers[0].oracle.delays.take());
    assert_eq!(alone.consumers[0].oracle.digest, beside.consumers[0].oracle.digest);
    let slow = &beside.consumers[1];
    assert!(slow.count("kernel_drops") > 5_000 && slow.count("overruns") > 0);
    assert_eq!(slow.count("requests"), 0, "above its budget it asks for nothing");
    assert!(slow.oracle.lost > 5_000, "it is told what it lost");
    assert!(slow.is_live(INSTRUMENTS as usize), "the snapshot plane repairs it");
}

#[test]
fn a_frame_that_differs_on_line_b_ends_the_session_for_everyone() {
    let Some(load) = load() else { return };
    let mut world = world(load, 51, 20, 2);
    world.has_line_b = true;
    world.truth.taint(90_000_001, world.now_ns);
    world.publishers[0].host.forgery = Some(Forgery::LineB);
    let all = |world: &World, holds: &dyn Fn(&Consumer) -> bool| world.consumers.iter().all(holds);
    let is_told = |world: &World| all(world, &|consumer| consumer.count("different_bytes") > 0);
    until(&mut world, 50 * MS, "the alarm", is_told);
    world.run(world.now_ns + 500 * MS);
    assert!(all(&world, &|consumer| consumer.is_live(0)), "nothing of it is LIVE any more");
    world.publishers[0].is_alive = false;
    world.publish(Start { session: 90_000_002, id: 2, ports: 1, ..start(20) });
    until(&mut world, 500 * MS, "a new session heals", |world| all(world, &|consumer| consumer.is_live(20)));
}
