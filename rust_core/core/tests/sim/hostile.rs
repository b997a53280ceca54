//! Frames with a good CRC and anything in them: what an attacker without a key, or a broken publisher, may send.

use outcrier_core::publish::Plane;
use outcrier_core::receive::{Config, Delivered, Line, Lost, Receiver, Sink, StateChange};
use outcrier_core::retransmit::{Limits, ServerConfig};
use outcrier_core::wire;

use crate::load::load;
use crate::publisher::{Means, SimPublisher, Start};
use crate::rng::Rng;
use crate::world::{MS, S};

/// Takes anything.
struct Deaf;

impl Sink for Deaf {
    fn deliver(&mut self, _: &Delivered<'_>) {}
    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, _: &Lost) {}
}

/// Header fields but magic, version, flags and length; or anything of the payload.
fn damage(frame: &mut [u8], rng: &mut Rng) {
    let at =
        if rng.chance(500) { 8 + rng.place(50) } else { wire::HEADER_BYTES + rng.place(frame.len() - 66) };
    frame[at] = rng.pick(&[0, 1, 0x7F, 0x80, 0xFF, 0x55]);
    wire::seal(frame, 0, None);
}

#[test]
fn no_bytes_panic_even_with_a_good_crc() {
    let Some(load) = load() else { return };
    let mut taken = 0;
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let start = Start {
            session: 1,
            id: 1,
            prev_session: 0,
            packs: seed % 2 == 1,
            instruments: 4,
            orders: true,
            ports: 0,
            jump: None,
        };
        let server = ServerConfig { secret: [0; 16], line_bytes_per_s: 1 << 30, keys: None };
        let means = Means { limits: Limits::default(), server, guarded: false };
        let mut publisher = SimPublisher::new(load, start, &means, (S, 0));
        let mut receiver = Receiver::new(Config { seed, ..Config::default() });
        for step in 1..150_u64 {
            publisher.host.now_ns = S + step * 7 * MS;
            publisher.read(3, &mut rng, 10);
            publisher.needs().into_iter().for_each(|index| publisher.rest(index));
            publisher.tick();
            for left in std::mem::take(&mut publisher.host.out) {
                let mut frame = left.meant.to_vec();
                if rng.chance(300) {
                    damage(&mut frame, &mut rng);
                }
                let ways = match left.plane {
                    Plane::Incremental => [Line::A, Line::B, Line::Repair, Line::Retransmit],
                    Plane::Snapshot => [Line::Snapshot, Line::Snapshot, Line::Repair, Line::Image],
                };
                let now_ns = publisher.host.now_ns;
                receiver.on_datagram(rng.pick(&ways), &frame, 0, now_ns, &mut Deaf);
                while receiver.next_request(now_ns).is_some() {}
                if receiver.image_wanted(now_ns).is_some() {
                    receiver.image_started(crate::publisher::CHANNEL);
                }
                receiver.on_timer(now_ns, &mut Deaf);
            }
        }
        taken += receiver.counters().into_iter().find(|&(name, _)| name == "frames").expect("a counter").1;
    }
    assert!(taken > 10_000, "hardly a frame was taken: {taken}");
}
