//! Damaged frames of real sessions, by the million: nothing damaged is accepted, nothing panics, and nothing is allocated
//! before a frame has passed its checks.
//!
//! `OUTCRIER_FUZZ_RUNS` sets how many; `make fuzz` asks for 10^7. What one run does, cargo-fuzz does too: the bodies are
//! those of `rust_core/fuzz`.

#[path = "../../fuzz/src/bodies.rs"]
#[allow(dead_code, unreachable_pub)]
mod bodies;
mod counting;
mod es_orders;
mod frames;
mod mutate;
mod shape_support;

use counting::ALLOCATIONS;
use frames::{CHANNEL, SESSION, Sent, ring, session};
use mutate::{Rng, damage};
use outcrier_core::publish::Plane;
use outcrier_core::receive::{Config, Delivered, Line, Lost, Receiver, Sink, StateChange};
use outcrier_core::wire::{
    self, FRAME_BYTES_MAX, FrameBuf, Header, RetxRange, RetxRequest, SnapRequest, SnapWant, flags, msg,
};

/// How often, as a part of the runs asked for: 10^6 where nothing is.
fn runs(part: u64) -> u64 {
    let asked = std::env::var("OUTCRIER_FUZZ_RUNS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(1_000_000_u64).div_ceil(part)
}

/// Frames of both planes, alone and packed, with a MAC and without.
fn real(signed: bool) -> Option<Vec<Sent>> {
    let signer = || signed.then(|| bodies::keys().signer(CHANNEL, SESSION));
    let mut sent = session(signer(), false, 1_500, None)?;
    sent.extend(session(signer(), true, 1_500, None)?);
    for msg_type in [msg::BOOK_DELTA, msg::BOOK_SNAPSHOT, msg::ORDER_OPS, msg::ORDER_SNAPSHOT, msg::PACK] {
        assert!(sent.iter().any(|frame| frame.bytes[2] == msg_type), "{msg_type:#x}");
    }
    Some(sent)
}

#[test]
fn no_flip_of_a_frames_bits_is_accepted() {
    for (signed, seed) in [(false, 1), (true, 2)] {
        let Some(sent) = real(signed) else { return };
        let (mut keys, mut rng) = (ring(4, 1), Rng::new(seed));
        let runs_here = runs(2); // Reads the environment, which takes memory.
        let before = ALLOCATIONS.get();
        let (mut damaged, mut accepted, mut refused) = ([0; FRAME_BYTES_MAX], 0_u64, [0_u64; 9]);
        let mut wrong_mac = 0;
        for _ in 0..runs_here {
            let frame = &sent[rng.place(sent.len())].bytes;
            let damaged = &mut damaged[..frame.len()];
            damaged.copy_from_slice(frame);
            for _ in 0..=rng.place(8) {
                damaged[rng.place(frame.len())] ^= 1 << rng.place(8);
            }
            if damaged == frame {
                continue; // Two flips of the same bit.
            }
            match wire::check(damaged) {
                Err(refusal) => refused[refusal as usize] += 1,
                Ok(checked) if keys.verify(&checked).is_err() && signed => wrong_mac += 1,
                Ok(_) => accepted += 1,
            }
        }
        assert_eq!(accepted, 0);
        assert_eq!(ALLOCATIONS.get(), before, "a refusal costs no memory");
        assert!(refused[wire::Refusal::Crc as usize] > runs(4), "{refused:?}");
        assert_eq!(wrong_mac > 0, signed, "flips in the trailer");
    }
}

#[test]
fn flips_in_padding_change_nothing() {
    let Some(sent) = real(true) else { return };
    let (mut keys, mut rng) = (ring(4, 1), Rng::new(3));
    let mut flipped = 0;
    for _ in 0..runs(10) {
        let frame = &sent[rng.place(sent.len())].bytes;
        let mut padded = [0; FRAME_BYTES_MAX];
        padded[..frame.len()].copy_from_slice(frame);
        let padding = rng.place(FRAME_BYTES_MAX - frame.len() + 1);
        if padding == 0 {
            continue;
        }
        for _ in 0..=rng.place(4) {
            padded[frame.len() + rng.place(padding)] ^= 1 << rng.place(8);
        }
        let checked = wire::check(&padded[..frame.len() + padding]).unwrap();
        assert_eq!(checked.bytes, &frame[..]);
        assert_eq!(keys.verify(&checked), Ok(4));
        flipped += 1;
    }
    assert!(flipped > runs(12));
}

#[test]
fn no_damage_makes_the_decoder_panic_or_allocate() {
    let Some(mut sent) = real(false) else { return };
    sent.extend(real(true).unwrap());
    let mut rng = Rng::new(4);
    let mut bytes = Vec::with_capacity(4 * FRAME_BYTES_MAX);
    let (mut accepted, mut allocated) = (0_u64, 0);
    for _ in 0..runs(1) {
        let (frame, other) = (rng.place(sent.len()), rng.place(sent.len()));
        bytes.clear();
        bytes.extend_from_slice(&sent[frame].bytes);
        damage(&mut bytes, &sent[other].bytes, FRAME_BYTES_MAX + 8, &mut rng);
        let before = ALLOCATIONS.get();
        accepted += u64::from(bodies::decode(&bytes));
        bodies::pack(&bytes[bytes.len().min(65)..]);
        allocated += ALLOCATIONS.get() - before;
    }
    assert_eq!(allocated, 0);
    // Some damage is none: a byte replaced by itself, or padding.
    assert!(accepted < runs(10), "{accepted}");
}

struct Deaf;

impl Sink for Deaf {
    fn deliver(&mut self, _: &Delivered<'_>) {
        panic!("nothing that proves nothing is delivered");
    }

    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, _: &Lost) {}
}

#[test]
fn a_receiver_allocates_nothing_for_frames_that_it_does_not_believe() {
    let Some(sent) = real(true) else { return };
    let mut receiver = Receiver::new(Config { keys: Some(ring(4, 99)), ..Config::default() });
    let mut unsigned = real(false).unwrap();
    unsigned.extend(sent);
    let before = ALLOCATIONS.get();
    for (now_ns, frame) in (1..).zip(&unsigned) {
        let line = if frame.plane == Plane::Snapshot { Line::Snapshot } else { Line::A };
        receiver.on_datagram(line, &frame.bytes, 0, now_ns, &mut Deaf);
    }
    assert_eq!(ALLOCATIONS.get(), before);
    let counted = receiver.counters();
    let of = |name: &str| counted.iter().find(|(known, _)| *known == name).unwrap().1;
    assert_eq!(of("mac_missing") + of("mac_wrong"), unsigned.len() as u64);
}

/// A row of steps for the receiver: a part of a session, with damage here and there.
fn heard(sent: &[Sent], rng: &mut Rng) -> Vec<u8> {
    let begin = if rng.place(2) == 0 { 0 } else { rng.place(sent.len()) };
    let mut steps = Vec::new();
    for frame in sent[begin..].iter().take(40) {
        let mut bytes = frame.bytes.clone();
        let mut what = match (frame.plane, rng.place(8)) {
            (_, 0) => [3, 4, 5, 6, 7][rng.place(5)],
            (Plane::Snapshot, _) => Line::Snapshot as u8,
            (Plane::Incremental, 1) => Line::B as u8,
            (Plane::Incremental, _) => Line::A as u8,
        };
        if rng.place(6) == 0 {
            damage(&mut bytes, &sent[rng.place(sent.len())].bytes, FRAME_BYTES_MAX, rng);
            what |= bodies::MEND;
        }
        let time = if rng.place(20) == 0 { rng.place(24) } else { rng.place(8) };
        bodies::put_step(&mut steps, what, u8::try_from(time).unwrap(), &bytes);
        if rng.place(10) == 0 {
            bodies::put_step(&mut steps, 6, 10, &[]);
        }
    }
    steps
}

#[test]
fn no_row_of_datagrams_makes_the_receiver_panic() {
    for signed in [false, true] {
        let Some(sent) = real(signed) else { return };
        let mut rng = Rng::new(5);
        let mut taken = 0;
        for _ in 0..runs(1_000) {
            taken += bodies::receiver(&heard(&sent, &mut rng), None);
            taken += bodies::receiver(&heard(&sent, &mut rng), Some(bodies::keys()));
        }
        assert!(taken > runs(100), "hardly a frame was taken: {taken}");
    }
}

fn requests(keys: Option<wire::auth::Signer>, rng: &mut Rng) -> Vec<u8> {
    let mut buffer = FrameBuf::default();
    let bits = if keys.is_some() { flags::AUTH } else { 0 };
    let plane = if rng.place(3) == 0 { 0x80 } else { 0 };
    let header = |msg_type| Header { flags: bits, ..Header::new(msg_type, CHANNEL | plane, SESSION, 2) };
    let key = keys.as_ref().map(|signer| &signer.key);
    if rng.place(4) == 0 {
        let wants: Vec<_> =
            (0..rng.place(20) as u32).map(|instrument| SnapWant { instrument, kinds: 15 }).collect();
        let root = SnapRequest { consumer_id: 1, cookie: 0 };
        wire::seal(buffer.build(&header(msg::SNAP_REQUEST), &root, &wants), 0, key);
    } else {
        let range = |at: usize| RetxRange { begin_seq: at as u64, n_frames: 1 + at as u32 % 50, reserved: 0 };
        let ranges: Vec<_> = (0..rng.place(18)).map(|_| range(rng.place(400))).collect();
        let root = RetxRequest { consumer_id: 1, cookie: 0 };
        wire::seal(buffer.build(&header(msg::RETX_REQUEST), &root, &ranges), 0, key);
    }
    buffer.frame().to_vec()
}

#[test]
fn no_request_makes_the_retransmit_server_panic() {
    for signed in [false, true] {
        let Some(sent) = real(signed) else { return };
        let signer = signed.then(|| bodies::keys().signer(CHANNEL, SESSION));
        let (mut rng, mut answers) = (Rng::new(6), 0);
        for _ in 0..runs(2_000) {
            let mut steps = Vec::new();
            for frame in sent.iter().take(100) {
                bodies::put_step(&mut steps, bodies::STORE, 0, &frame.bytes);
            }
            for turn in 0..20 {
                let mut bytes = requests(signer, &mut rng);
                let mut what = if turn == 0 { 0 } else { bodies::COOKIE };
                if rng.place(3) == 0 {
                    let other = requests(signer, &mut rng);
                    damage(&mut bytes, &other, FRAME_BYTES_MAX, &mut rng);
                    what |= bodies::MEND;
                }
                bodies::put_step(&mut steps, what | rng.place(2) as u8, rng.place(20) as u8, &bytes);
            }
            answers += bodies::request(&steps, None);
            answers += bodies::request(&steps, Some(bodies::keys()));
        }
        assert!(answers > runs(200), "hardly an answer: {answers}");
    }
}
