//! What the log thread signs, checked with the other half of the key.

use outcrier_core::wire::manifest::{SecretKey, Signed, UNSIGNED, Window};
use outcrier_core::wire::{self, FrameBuf, Header, Heartbeat, NO_RECORDS, digest, msg, zeroed};
use outcrier_net::log::{Log, LogConfig, QUEUE_BYTES_MIN};

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};

use crate::common::{Folder, SESSION, WALL_NS, append, config, frames, read_frames, renumbered};

fn key() -> SecretKey {
    SecretKey::new(&[7; 32])
}

fn hash(frames: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Blake2b::<U32>::new();
    frames.iter().for_each(|frame| hash.update(frame));
    hash.finalize().into()
}

fn chain(frames: &[Vec<u8>], session: u32) -> u64 {
    (1..).zip(frames).fold(digest::chain64_start(session), |chain, (seq, frame)| {
        digest::chain64(chain, seq, wire::check(frame).unwrap().header.crc32c)
    })
}

/// Waits for the next manifest: it is made a second after the one before it.
fn next(log: &Log, channel: u8, session: u32) -> Signed {
    loop {
        if let Some(signed) = log.take_manifest(channel, session) {
            return signed;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// A heartbeat of channel 1 behind frames, and with a signature.
fn heartbeat(before: &[Vec<u8>], signed: Option<&Signed>) -> Vec<u8> {
    let channel_seq = before.len() as u64 + 1;
    let header = Header { channel_seq, ..Header::new(msg::HEARTBEAT, 1, SESSION, 1) };
    let root = Heartbeat { chain64: chain(before, SESSION), ..zeroed() };
    let mut buffer = FrameBuf::default();
    let frame = match signed {
        Some(signed) => buffer.build(&header, &root, &[wire::Manifest { signature: signed.signature }]),
        None => buffer.build(&header, &root, NO_RECORDS),
    };
    wire::seal(frame, 0, None);
    buffer.frame().to_vec()
}

#[test]
fn each_window_is_signed_where_the_one_before_it_ended_and_channels_are_apart() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let log = Log::open(&folder.0, &LogConfig { manifest_key: Some(key()), ..config(1 << 20) }).unwrap();
    let other: Vec<_> = (1..).zip(&frames()[..30]).map(|(seq, frame)| renumbered(frame, 7, 5, seq)).collect();
    append(&log, &frames()[..100]);
    append(&log, &other);
    let public = key().public();
    let verify = |channel, session, first: u64, all: &[Vec<u8>], signed: &Signed| {
        let at = |seq: u64| usize::try_from(seq - 1).unwrap();
        let hash = hash(&all[at(first)..at(signed.next)]);
        assert_eq!(signed.chain64, chain(&all[..at(signed.next)], session));
        let window = Window { channel, session, first, next: signed.next, hash };
        assert!(public.verify(&window, &signed.signature));
        assert!(!public.verify(&Window { first: first + 1, ..window }, &signed.signature));
    };
    let first = next(&log, 1, SESSION);
    verify(1, SESSION, 1, frames(), &first);
    assert_eq!(first.next, 101);
    let signed = heartbeat(&frames()[..100], Some(&first));
    log.append(WALL_NS, [signed.as_slice(), heartbeat(&frames()[..100], None).as_slice()]);
    append(&log, &frames()[100..140]);
    let second = next(&log, 1, SESSION);
    verify(1, SESSION, 101, frames(), &second);
    assert_eq!(second.next, 141);
    let of_other = next(&log, 7, 5);
    verify(7, 5, 1, &other, &of_other);
    assert_eq!((log.take_manifest(1, SESSION + 1), log.take_manifest(9, SESSION)), (None, None));
    drop(log);
    // The log itself keeps the signature, and no plain heartbeat.
    let kept = read_frames(&folder.0);
    assert_eq!(kept.iter().filter(|frame| frame[2] == msg::HEARTBEAT).collect::<Vec<_>>(), [&signed]);
}

#[test]
fn a_window_with_frames_that_did_not_fit_is_not_signed_and_the_next_one_is_again() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let config = LogConfig {
        manifest_key: Some(key()),
        queue_bytes_max: QUEUE_BYTES_MIN,
        sync_interval_ns: 20_000_000,
        ..config(1 << 20)
    };
    let log = Log::open(&folder.0, &config).unwrap();
    // More at once than fits, and then a heartbeat that knows of all of them.
    append(&log, &frames()[..300]);
    assert!(log.counters().dropped > 0);
    log.append(WALL_NS, [heartbeat(&frames()[..300], None).as_slice()]);
    crate::common::wait_for(&log, |counters| counters.holes > 0 && counters.queued_bytes == 0);
    append(&log, &frames()[300..305]);
    let broken = next(&log, 1, SESSION);
    assert_eq!((broken.next, broken.signature), (306, UNSIGNED));
    assert_eq!(broken.chain64, chain(&frames()[..305], SESSION));
    append(&log, &frames()[305..310]);
    let again = next(&log, 1, SESSION);
    let window =
        Window { channel: 1, session: SESSION, first: 306, next: 311, hash: hash(&frames()[305..310]) };
    assert_eq!(again.next, 311);
    assert!(key().public().verify(&window, &again.signature));
}
