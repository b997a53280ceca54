//! One thread keeps while others serve: whatever is handed out is whole, in order, and what was kept.

use std::thread;

use outcrier_core::retransmit::{Frames, Limits};
use outcrier_core::wire::retx_code;
use outcrier_net::clock;

use crate::common::{Bench, Consumer, Stream, until};
use crate::receive_support::CHANNEL;
use crate::retransmit_support::{Ask, header, range, read_reply};
use crate::streams::renumbered;

/// Frames kept while others ask.
const FRAMES: u64 = 40_000;
/// Frames that leave together.
const BATCH: usize = 16;

#[test]
fn keeping_and_serving_at_once() {
    let Some(bench) = Bench::open(Limits { frames: 30_000, ..Limits::default() }) else { return };
    let real = bench.plane(CHANNEL);
    let first = real.len() as u64 + 1;
    let real = &real;
    let made = move |seq: u64| renumbered(&real[seq as usize % real.len()], seq);
    let (shared, tcp, udp) = (&bench.shared, bench.service.tcp(), bench.service.udp());
    thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let mut stream = Stream::to(tcp);
            stream.send(&Ask::new(0).frames(&[range(first, 0)]));
            assert_eq!(stream.reply().code, retx_code::OK);
            for seq in first..first + FRAMES {
                let frame = stream.frame().expect("it does not fall behind");
                assert_eq!({ header(&frame).channel_seq }, seq);
                assert!(frame == made(seq), "{seq} is as it was kept");
            }
        });
        let asker = scope.spawn(move || {
            let consumer = Consumer::proved(udp);
            // Near the newest number, where frames come and go; within the budget of a burst.
            for _ in 0..200 {
                let newest = Frames::newest(&**shared, CHANNEL).unwrap();
                consumer.send(&Ask::new(consumer.cookie).frames(&[range(newest - 8, 16)]));
                let reply = read_reply(&consumer.receive()).1;
                for _ in 0..reply.n_served {
                    let frame = consumer.receive();
                    let seq = header(&frame).channel_seq;
                    let is_kept = seq < first && frame == real[seq as usize - 1] || frame == made(seq);
                    assert!(is_kept && (newest - 8..newest + 8).contains(&seq), "{seq} of {newest}");
                }
            }
        });
        until("the follower asks", || shared.counters().streams.replays == 1);
        let numbers: Vec<u64> = (first..first + FRAMES).collect();
        for (batch, numbers) in numbers.chunks(BATCH).enumerate() {
            let frames: Vec<_> = numbers.iter().map(|&seq| made(seq)).collect();
            shared.keep(frames.iter().map(|frame| &frame[..]), clock::mono_ns());
            // The ring must not overtake the follower, who has only what a thread of two cores gets.
            let kept = (batch * BATCH) as u64;
            until("the follower follows", || shared.counters().connections.frames + 20_000 > kept);
        }
        follower.join().unwrap();
        asker.join().unwrap();
    });
    assert_eq!(shared.counters().store.holes, 0);
    assert_eq!(shared.counters().connections.fell_behind, 0);
    assert_eq!(shared.held().0, 30_000);
}
