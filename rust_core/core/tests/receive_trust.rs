//! Authentication from end to end: a real feed signs, a receiver believes what carries a MAC of its keys and nothing else,
//! and the signed manifest finds what a member of the group forged.

mod es_orders;
mod frames;
mod shape_support;

use frames::{CHANNEL, SESSION, Sent, ring, session};
use outcrier_core::event::Side;
use outcrier_core::publish::Plane;
use outcrier_core::receive::{
    ChannelInfo, Config, Delivered, Line, Lost, Mirror, Receiver, Reported, Sink, StateChange,
};
use outcrier_core::wire::auth::{Key, Keyring, MasterKey};
use outcrier_core::wire::manifest::{ManifestSigner, SecretKey, UNSIGNED};
use outcrier_core::wire::{
    self, Frame, FrameBuf, Header, Heartbeat, Manifest, Message, flags, is_numbered, msg, zeroed,
};

#[derive(Default)]
struct Ears {
    delivered: u64,
}

impl Sink for Ears {
    fn deliver(&mut self, _: &Delivered<'_>) {
        self.delivered += 1;
    }

    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, _: &Lost) {}
}

fn line(plane: Plane) -> Line {
    match plane {
        Plane::Incremental => Line::A,
        Plane::Snapshot => Line::Snapshot,
    }
}

fn hear(receiver: &mut Receiver, sent: &[Sent]) -> u64 {
    let mut ears = Ears::default();
    for frame in sent {
        receiver.on_timer(frame.at_ns, &mut ears);
        receiver.on_datagram(line(frame.plane), &frame.bytes, 0, frame.at_ns, &mut ears);
    }
    ears.delivered
}

fn counter(receiver: &Receiver, name: &str) -> u64 {
    receiver.counters().into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn with_keys(keys: Option<Keyring>) -> Receiver {
    Receiver::new(Config { keys, ..Config::default() })
}

fn book(receiver: &Receiver) -> Option<(u64, usize)> {
    receiver.book(2, 1).map(|mirror| (mirror.book.hash(), mirror.book.len(Side::Bid)))
}

fn check(sent: &Sent) -> Frame<'_> {
    wire::check(&sent.bytes).unwrap()
}

#[test]
fn a_feed_with_a_key_signs_every_frame_of_both_planes() {
    for pack in [false, true] {
        let Some(signed) = session(Some(ring(4, 1).signer(CHANNEL, SESSION)), pack, 3_000, None) else {
            return;
        };
        let plain = session(None, pack, 3_000, None).unwrap();
        let mut keys = ring(4, 1);
        let mut types = [0_u32; 256];
        for sent in &signed {
            let frame = check(sent);
            assert_eq!(keys.verify(&frame), Ok(4));
            types[usize::from(frame.header.msg_type)] += 1;
            match frame.message() {
                Message::Heartbeat(root, _) => assert_eq!(root.key_id, 4),
                Message::BookSnapshot(_, records) => assert!(records.count() <= 80),
                _ => {}
            }
        }
        let needed =
            [msg::SESSION_START, msg::HEARTBEAT, msg::SESSION_END, msg::BOOK_SNAPSHOT, msg::BOOK_DELTA];
        assert!(needed.iter().all(|&msg_type| types[usize::from(msg_type)] > 0), "{types:?}");
        assert_eq!(types[usize::from(msg::PACK)] > 0, pack);
        assert!(signed.iter().any(|sent| sent.plane == Plane::Snapshot));
        let fullest = |sent: &[Sent]| {
            let counts = sent.iter().map(check).filter(|frame| frame.header.msg_type == msg::BOOK_SNAPSHOT);
            counts.map(|frame| frame.header.count).max()
        };
        assert_eq!((fullest(&signed), fullest(&plain)), (Some(80), Some(81)));
        assert!(plain.iter().all(|sent| !check(sent).header.has(flags::AUTH)));
    }
}

#[test]
fn a_receiver_with_the_key_takes_everything_and_one_with_another_key_nothing() {
    let Some(signed) = session(Some(ring(4, 1).signer(CHANNEL, SESSION)), true, 3_000, None) else { return };
    let mut right = with_keys(Some(ring(4, 1)));
    let delivered = hear(&mut right, &signed);
    assert!(delivered > 2_000, "{delivered}");
    let refused =
        ["mac_missing", "mac_wrong", "key_unknown", "chain_mismatch", "checksum_mismatch", "given_up"];
    assert_eq!(refused.map(|name| counter(&right, name)), [0; 6]);
    assert!(counter(&right, "packed_messages") > 100, "messages of a PACK inherit its MAC");

    let mut careless = with_keys(None);
    assert_eq!(hear(&mut careless, &signed), delivered, "without a key the trailer is skipped");
    assert_eq!(book(&right), book(&careless));
    assert!(book(&right).unwrap().1 > 100);

    let mut other_key = with_keys(Some(ring(5, 2)));
    assert_eq!(hear(&mut other_key, &signed), 0);
    assert_eq!(counter(&other_key, "mac_wrong"), signed.len() as u64);
    let beats = signed.iter().filter(|sent| check(sent).header.msg_type == msg::HEARTBEAT).count();
    assert_eq!(counter(&other_key, "key_unknown"), beats as u64);
    assert_eq!(other_key.channels().count(), 0, "nothing was made for frames that prove nothing");

    let plain = session(None, true, 500, None).unwrap();
    let mut strict = with_keys(Some(ring(4, 1)));
    assert_eq!(hear(&mut strict, &plain), 0);
    assert_eq!(counter(&strict, "mac_missing"), plain.len() as u64);
}

#[test]
fn forged_frames_change_nothing() {
    let Some(signed) = session(Some(ring(4, 1).signer(CHANNEL, SESSION)), false, 2_000, None) else { return };
    let (mut honest, mut attacked) = (with_keys(Some(ring(4, 1))), with_keys(Some(ring(4, 1))));
    let mut with_forgeries = Vec::new();
    for (at, sent) in signed.iter().enumerate() {
        // A forger without the key: another content under the same number before the true one, with a right CRC.
        let mut forged = sent.clone();
        let at = 66 + at % (forged.bytes.len() - 66);
        forged.bytes[at] ^= 0x10;
        let end = forged.bytes.len() - 8;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&forged.bytes[..62]), &forged.bytes[66..end]);
        forged.bytes[62..66].copy_from_slice(&crc.to_le_bytes());
        with_forgeries.extend([forged, sent.clone()]);
    }
    assert_eq!(hear(&mut honest, &signed), hear(&mut attacked, &with_forgeries));
    assert_eq!(book(&honest), book(&attacked));
    assert_eq!(counter(&attacked, "mac_wrong"), signed.len() as u64);
    assert_eq!(["different_bytes", "duplicates", "split_brain"].map(|name| counter(&attacked, name)), [0; 3]);
}

#[test]
fn the_mac_is_looked_at_before_replay_and_test() {
    let key = ring(4, 1).signer(CHANNEL, SESSION).key;
    let wrong = ring(4, 2).signer(CHANNEL, SESSION).key;
    let frame = |key: &Key| {
        let header =
            Header { flags: flags::AUTH | flags::TEST, ..Header::new(msg::HEARTBEAT, CHANNEL, SESSION, 2) };
        let mut buffer = FrameBuf::default();
        wire::seal(buffer.build(&header, &zeroed::<Heartbeat>(), &[] as &[Manifest]), 0, Some(key));
        buffer.frame().to_vec()
    };
    let mut receiver = with_keys(Some(ring(4, 1)));
    receiver.on_datagram(Line::A, &frame(&wrong), 0, 1, &mut Ears::default());
    assert_eq!((counter(&receiver, "mac_wrong"), counter(&receiver, "dropped_test")), (1, 0));
    receiver.on_datagram(Line::A, &frame(&key), 0, 1, &mut Ears::default());
    assert_eq!((counter(&receiver, "mac_wrong"), counter(&receiver, "dropped_test")), (1, 1));
}

#[test]
fn keys_rotate_without_a_frame_lost() {
    let (old, new) = (ring(1, 10).signer(CHANNEL, SESSION), ring(2, 20).signer(CHANNEL, SESSION));
    let Some(sent) = session(Some(old), true, 2_000, Some((1_000, new))) else { return };
    let ids: Vec<u8> = sent
        .iter()
        .filter_map(|sent| match check(sent).message() {
            Message::Heartbeat(root, _) => Some(root.key_id),
            _ => None,
        })
        .collect();
    assert!(ids.is_sorted() && ids.contains(&1) && ids.contains(&2), "{ids:?}");
    let both = Keyring::new(vec![(1, MasterKey::new([10; 32])), (2, MasterKey::new([20; 32]))]).unwrap();
    let mut rotating = with_keys(Some(both));
    hear(&mut rotating, &sent);
    assert_eq!(["mac_wrong", "given_up", "chain_mismatch"].map(|name| counter(&rotating, name)), [0; 3]);
    let mut late = with_keys(Some(ring(1, 10)));
    hear(&mut late, &sent);
    assert!(counter(&late, "mac_wrong") > 500 && counter(&late, "frames") > 500);
    assert!(counter(&late, "key_unknown") > 0, "the operator is told which key is missing");
}

#[test]
fn a_higher_session_with_a_valid_mac_wins_at_once() {
    let start = |keys: Option<&Keyring>, session: u32, seq: u64| {
        let bits = if keys.is_some() { flags::AUTH } else { 0 };
        let header =
            Header { flags: bits, channel_seq: seq, ..Header::new(msg::HEARTBEAT, CHANNEL, session, 2) };
        let root = Heartbeat { publisher_id: u64::from(session), mono_ns: 1, ..zeroed() };
        let mut buffer = FrameBuf::default();
        let frame = buffer.build(&header, &root, &[] as &[Manifest]);
        wire::seal(frame, 0, keys.map(|keys| keys.signer(CHANNEL, session).key).as_ref());
        buffer.frame().to_vec()
    };
    let session_of = |receiver: &Receiver| {
        receiver.channels().map(|ChannelInfo { session, .. }| session).collect::<Vec<_>>()
    };
    for (keys, after) in [(Some(ring(4, 1)), [SESSION + 1]), (None, [SESSION])] {
        let mut receiver = with_keys(keys.clone());
        receiver.on_datagram(Line::A, &start(keys.as_ref(), SESSION, 5), 0, 1_000, &mut Ears::default());
        assert_eq!(session_of(&receiver), [SESSION]);
        receiver.on_datagram(Line::A, &start(keys.as_ref(), SESSION + 1, 1), 0, 2_000, &mut Ears::default());
        assert_eq!(session_of(&receiver), after);
        assert_eq!(counter(&receiver, "split_brain"), 1);
        receiver.on_datagram(Line::A, &start(keys.as_ref(), SESSION, 5), 0, 3_000, &mut Ears::default());
        assert_eq!(session_of(&receiver), after, "and nothing brings the older one back");
    }
}

/// What a publisher with a log would send: a manifest for every second of frames.
fn with_manifests(sent: &[Sent], key: &SecretKey, mut made: impl FnMut(usize, &mut [u8; 64])) -> Vec<Sent> {
    let mut signer = ManifestSigner::new(key.clone(), CHANNEL, SESSION);
    let mut all = Vec::new();
    let (mut due_ns, mut count) = (sent[0].at_ns + 200_000_000, 0);
    for frame in sent {
        let header = check(frame).header;
        if frame.at_ns >= due_ns {
            let mut manifest = signer.close().unwrap();
            made(count, &mut manifest.signature);
            count += 1;
            due_ns += 200_000_000;
            let header =
                Header { channel_seq: manifest.next, ..Header::new(msg::HEARTBEAT, CHANNEL, SESSION, 2) };
            let chain64 = manifest.chain64;
            let root = Heartbeat { publisher_id: 7, chain64, mono_ns: frame.at_ns as i64, ..zeroed() };
            let mut buffer = FrameBuf::default();
            let signature = Manifest { signature: manifest.signature };
            wire::seal(buffer.build(&header, &root, &[signature]), 0, None);
            all.push(Sent { bytes: buffer.frame().to_vec(), ..frame.clone() });
        }
        all.push(frame.clone());
        if frame.plane == Plane::Incremental && is_numbered(header.msg_type) {
            signer.push(header.channel_seq, &frame.bytes);
        }
    }
    all
}

fn judged(receiver: &Receiver) -> [u64; 3] {
    ["manifest_ok", "manifest_bad", "manifest_unverifiable"].map(|name| counter(receiver, name))
}

#[test]
fn manifests_prove_what_was_taken_and_find_what_was_forged() {
    let Some(sent) = session(None, false, 3_000, None) else { return };
    let key = SecretKey::new(&[9; 32]);
    let config = || Config { manifest_key: Some(key.public()), ..Config::default() };
    let mut honest = Receiver::new(config());
    let tape = with_manifests(&sent, &key, |_, _| {});
    let windows = (tape.len() - sent.len()) as u64;
    assert!(windows >= 5, "{windows}");
    hear(&mut honest, &tape);
    assert_eq!(judged(&honest), [windows, 0, 0]);
    assert_eq!(counter(&honest, "chain_mismatch"), 0);

    // One who has the MAC key of the group puts a frame of its own before the true one.
    let mut forged = tape.clone();
    let at = (tape.len() / 2..).find(|&at| check(&tape[at]).header.msg_type == msg::BOOK_DELTA).unwrap();
    let byte = forged[at].bytes.len() - 1;
    forged[at].bytes[byte] ^= 1;
    wire::seal(&mut forged[at].bytes, 0, None);
    let mut deceived = Receiver::new(config());
    hear(&mut deceived, &forged);
    assert_eq!(judged(&deceived), [windows - 1, 1, 0], "the window that holds it, and no other");

    let mut other_key =
        Receiver::new(Config { manifest_key: Some(SecretKey::new(&[8; 32]).public()), ..Config::default() });
    hear(&mut other_key, &tape);
    assert_eq!(judged(&other_key), [0, windows, 0]);

    let unsigned = with_manifests(&sent, &key, |count, signature| {
        if count == 2 {
            *signature = UNSIGNED;
        }
    });
    let mut receiver = Receiver::new(config());
    hear(&mut receiver, &unsigned);
    assert_eq!(judged(&receiver), [windows - 1, 0, 1]);

    let mut late = Receiver::new(config());
    hear(&mut late, &tape[tape.len() / 3..]);
    let [ok, bad, unknown] = judged(&late);
    assert_eq!((bad, unknown), (0, 1), "a late joiner verifies from the next whole window");
    assert!(ok >= windows / 2);
    let live = honest.book(2, 1).map(Mirror::reported);
    assert!(matches!(live, Some(Reported::Live | Reported::Stale)), "{live:?}");
}
