//! Mutated requests: no panic, no allocation before the checks pass, no answer beyond the rules.

mod counting;
mod receive_support;
mod retransmit_support;

use std::net::SocketAddrV4;

use counting::ALLOCATIONS;
use outcrier_core::publish::Arrival;
use outcrier_core::retransmit::{
    Answers, Archive, Limits, ServerConfig, SnapWanted, Store, Streams, Then, limits,
};
use outcrier_core::wire::{self, SnapWant};
use receive_support::rng::Rng;
use retransmit_support::{Ask, Bench, LINE, Log, SNAPSHOT, consumer, frames, range};

/// Requests, each of another seed.
const REQUESTS: u64 = 100_000;

/// Sizes and counts of what was sent, without memory of its own.
#[derive(Debug, Default)]
struct Sizes {
    unicast: usize,
    repair: usize,
    bytes: usize,
    wants: usize,
    wrong: usize,
    from: Option<SocketAddrV4>,
}

impl Answers for Sizes {
    fn unicast(&mut self, to: SocketAddrV4, bytes: &[u8]) {
        self.unicast += 1;
        self.bytes += bytes.len();
        self.wrong += usize::from(self.from != Some(to) || wire::check(bytes).is_err());
    }

    fn repair(&mut self, bytes: &[u8]) {
        self.repair += 1;
        self.wrong += usize::from(wire::check(bytes).is_err());
    }

    fn want(&mut self, wanted: &SnapWanted<'_>) {
        self.wants += wanted.wants.count();
    }
}

/// A good request of some kind.
fn good(rng: &mut Rng, cookie: u64) -> Vec<u8> {
    let mut ask = Ask { number: rng.next(), ..Ask::new(cookie) };
    if rng.chance(100) {
        ask.channel = SNAPSHOT;
    }
    let count = rng.below(18) as usize;
    if rng.chance(200) {
        let wants: Vec<_> =
            (0..count).map(|_| SnapWant { instrument: rng.below(4) as u32, kinds: 15 }).collect();
        return ask.state(&wants);
    }
    let is_fair = rng.chance(900);
    let least = u64::from(is_fair);
    let ranges: Vec<_> = (0..count)
        .map(|_| range(least + rng.below(1_800), (least + rng.below(if is_fair { 16 } else { 60 })) as u32))
        .collect();
    ask.frames(&ranges)
}

/// One to four damages: bits, bytes, lengths; most are sealed again so that they pass the CRC.
fn damage(rng: &mut Rng, frame: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        if frame.is_empty() {
            return;
        }
        let at = rng.below(frame.len() as u64) as usize;
        match rng.below(6) {
            0 => frame[at] ^= 1 << rng.below(8),
            1 => frame[at] = rng.next() as u8,
            2 => frame.truncate(at),
            3 => frame.extend_from_slice(&vec![rng.next() as u8; rng.below(300) as usize]),
            4 => {
                let extreme = [0, 0xFF][rng.below(2) as usize];
                let end = (at + 8).min(frame.len());
                frame[at..end].fill(extreme);
            }
            _ => {
                if let Some(payload_len) = frame.get_mut(6..8) {
                    payload_len.fill(rng.next() as u8);
                }
            }
        }
    }
    let payload_end = frame.get(6..8).map(|len| 66 + usize::from(u16::from_le_bytes([len[0], len[1]])));
    let has_auth = frame.get(4).is_some_and(|bits| bits & 2 != 0);
    if rng.chance(800)
        && !has_auth
        && let Some(end) = payload_end
        && end <= frame.len()
    {
        wire::seal(&mut frame[..end], 0, None);
    }
}

#[test]
fn no_request_breaks_the_server_or_draws_more_than_the_rules_allow() {
    let Some(sent) = frames(1_500, 300) else { return };
    // A line so wide that it is the consumers' own budgets that end.
    let mut bench = Bench::of(sent, 100 * LINE, None);
    let mut log = Log::default();
    bench.numbered(1, 300).iter().for_each(|frame| log.keep(frame));
    bench.log = Some(log);
    bench.store = Store::new(Limits { frames: 1_400, ..Limits::default() });
    bench.sent.iter().for_each(|frame| {
        bench.store.push(frame, bench.now_ns);
    });
    let cookies: Vec<u64> = (0..50).map(|number| bench.cookie(consumer(number))).collect();
    let (mut served, mut wants, mut quiet) = (0, 0, 0_u64);
    for seed in 0..REQUESTS {
        let mut rng = Rng::new(seed);
        let number = rng.below(60) as u16;
        let is_proved = number < 50 && rng.chance(900);
        let cookie = if is_proved { cookies[usize::from(number)] } else { rng.next() };
        let mut datagram = good(&mut rng, cookie);
        if rng.chance(500) {
            damage(&mut rng, &mut datagram);
        }
        bench.now_ns += rng.below(50_000);
        let from = consumer(number);
        let mut out = Sizes { from: Some(from), ..Sizes::default() };
        let at = Arrival { recv_ts: 1, mono_ns: bench.now_ns };
        let before = (bench.server.counters(), ALLOCATIONS.get());
        let archive = bench.log.as_mut().map(|log| log as &mut dyn Archive);
        bench.server.on_request(from, &datagram, at, &bench.store, archive, &mut out);
        let (after, allocations) = (bench.server.counters(), ALLOCATIONS.get() - before.1);
        assert_eq!(out.wrong, 0, "seed {seed}");
        let frames = out.unicast.saturating_sub(1) + out.repair;
        assert!(frames <= limits::FRAMES as usize && out.unicast <= 257, "seed {seed}: {out:?}");
        if after.answered == before.0.answered {
            assert!(frames == 0 && out.bytes <= 98, "seed {seed}: {out:?}");
            assert_eq!(allocations, 0, "seed {seed}: only frames that are sent take memory");
            quiet += 1;
        }
        if after.need_cookie > before.0.need_cookie || after.not_a_frame > before.0.not_a_frame {
            assert!(out.bytes <= datagram.len() && out.wants == 0, "seed {seed}: {out:?}");
        }
        served += frames;
        wants += out.wants;
    }
    let counters = bench.counters();
    let ends = [
        counters.not_a_frame,
        counters.not_a_request,
        counters.bad_mac,
        counters.need_cookie,
        counters.malformed,
        counters.bad_session,
        counters.rate_limited,
        counters.total_limited,
        counters.limited_silent,
        counters.probes,
        counters.answered,
        counters.snap_answered,
    ];
    assert_eq!(ends.iter().sum::<u64>(), counters.requests, "{counters:?}");
    let rare = [counters.need_cookie, counters.malformed, counters.bad_session, counters.probes];
    assert!(rare.iter().all(|&count| count > 30), "{counters:?}");
    assert!(counters.frames_repair > 100 && counters.frames_archived > 100, "{counters:?}");
    let frames_ends = counters.frames_unicast
        + counters.frames_repair
        + counters.frames_sent_before
        + counters.frames_repaired_before
        + counters.frames_too_old
        + counters.frames_too_new;
    assert_eq!(frames_ends, counters.frames_asked);
    assert!(served > 10_000 && wants > 1_000 && quiet > 10_000, "{served} {wants} {quiet}");
}

#[test]
fn no_unit_breaks_the_streams() {
    let Some(sent) = frames(300, 100) else { return };
    let mut bench = Bench::of(sent, LINE, None);
    let config = ServerConfig { secret: [1; 16], line_bytes_per_s: LINE, keys: None };
    let mut streams = Streams::new(&config, 0);
    let (mut pulled, mut images, mut closed) = (0, 0, 0);
    for seed in 0..REQUESTS {
        let mut rng = Rng::new(seed);
        let mut unit = good(&mut rng, 0);
        if rng.chance(500) {
            damage(&mut rng, &mut unit);
        }
        bench.now_ns += rng.below(100_000_000);
        let at = Arrival { recv_ts: 1, mono_ns: bench.now_ns };
        let peer = *consumer(0).ip();
        let (reply, then) = streams.on_unit(peer, &unit, at, &bench.store, None);
        assert!(reply.is_empty() || wire::check(reply).is_ok(), "seed {seed}");
        match then {
            Then::Replay(mut replay) => {
                let mut out = Vec::new();
                for _ in 0..20 {
                    replay.pull(&bench.store, None, &mut out);
                }
                pulled += out.len();
            }
            Then::Image { .. } => images += 1,
            Then::Close => closed += 1,
            Then::Nothing => {}
        }
    }
    assert!(pulled > 100_000 && images > 1_000 && closed > 1_000, "{pulled} {images} {closed}");
}
