//! Keys and MACs: what a keyring accepts, what it refuses, and what it keeps.

use outcrier_core::event::{Bbo, Candle, Level};
use outcrier_core::wire::auth::{KeyError, Keyring, MasterKey, Signer, Unauthentic};
use outcrier_core::wire::{
    self, BookDelta, BookSnapshot, Frame, FrameBuf, Header, Message, NO_RECORDS, NO_ROOT, PackBuf, Unfit,
    flags, msg, zeroed,
};
use proptest::prelude::*;

const SESSION: u32 = 90_000_001;

fn master(byte: u8) -> MasterKey {
    MasterKey::new([byte; 32])
}

fn ring(keys: &[(u8, u8)]) -> Keyring {
    Keyring::new(keys.iter().map(|(key_id, byte)| (*key_id, master(*byte))).collect()).unwrap()
}

fn signed(signer: Signer, channel: u8, session: u32) -> Vec<u8> {
    let header = Header { flags: flags::AUTH, ..Header::new(msg::BBO, channel, session, 1) };
    let mut buffer = FrameBuf::default();
    wire::seal(buffer.build(&header, &zeroed::<Bbo>(), NO_RECORDS), 0, Some(&signer.key));
    buffer.frame().to_vec()
}

fn verify(ring: &mut Keyring, bytes: &[u8]) -> Result<u8, Unauthentic> {
    ring.verify(&wire::check(bytes).unwrap())
}

#[test]
fn a_frame_passes_under_its_own_channel_session_and_master_only() {
    let mut receiver = ring(&[(3, 7)]);
    let frame = signed(receiver.signer(5, SESSION), 5, SESSION);
    assert_eq!(verify(&mut receiver, &frame), Ok(3));
    assert_eq!(verify(&mut receiver, &frame), Ok(3), "from the keys that were kept");
    // The same key, the frame moved to another channel, plane or session; another master; another key_id.
    for (channel, session) in [(6, SESSION), (5, SESSION + 1)] {
        let moved = signed(receiver.signer(5, SESSION), channel, session);
        assert_eq!(verify(&mut receiver, &moved), Err(Unauthentic::Wrong));
    }
    let snapshot = signed(receiver.signer(0x85, SESSION), 0x85, SESSION);
    assert_eq!(verify(&mut receiver, &snapshot), Ok(3), "one key for both planes");
    assert_eq!(verify(&mut ring(&[(3, 8)]), &frame), Err(Unauthentic::Wrong));
    assert_eq!(verify(&mut ring(&[(4, 7)]), &frame), Err(Unauthentic::Wrong));
}

#[test]
fn a_frame_without_a_mac_is_missing_one() {
    let mut buffer = FrameBuf::default();
    let header = Header::new(msg::BBO, 5, SESSION, 1);
    wire::seal(buffer.build(&header, &zeroed::<Bbo>(), NO_RECORDS), 0, None);
    assert_eq!(verify(&mut ring(&[(0, 1)]), buffer.frame()), Err(Unauthentic::Missing));
}

#[test]
fn during_a_rotation_both_masters_pass_and_requests_follow_the_publisher() {
    let (old, new) = (ring(&[(1, 10)]), ring(&[(2, 20)]));
    let mut both = ring(&[(1, 10), (2, 20)]);
    let before = signed(old.signer(5, SESSION), 5, SESSION);
    let after = signed(new.signer(5, SESSION), 5, SESSION);
    assert_eq!(both.request_signer(5, SESSION), old.signer(5, SESSION), "nothing heard: the first master");
    assert_eq!(verify(&mut both, &before), Ok(1));
    assert_eq!(verify(&mut both, &after), Ok(2));
    assert_eq!(both.request_signer(5, SESSION), new.signer(5, SESSION));
    assert_eq!(verify(&mut both, &before), Ok(1), "a frame that was resent keeps its MAC");
    assert_eq!(both.request_signer(5, SESSION + 1), old.signer(5, SESSION + 1));
    assert_eq!(both.signer(5, SESSION).key_id, 1, "a publisher signs with the first");
    assert_eq!((both.has(1), both.has(2), both.has(3)), (true, true, false));
}

#[test]
fn what_is_made_up_pushes_no_proved_session_out() {
    let mut both = ring(&[(1, 10), (2, 20)]);
    let new = ring(&[(2, 20)]).signer(5, SESSION);
    assert_eq!(verify(&mut both, &signed(new, 5, SESSION)), Ok(2));
    let forged = signed(ring(&[(2, 99)]).signer(5, SESSION + 1), 5, SESSION + 1);
    let old = signed(ring(&[(1, 10)]).signer(5, SESSION - 1), 5, SESSION - 1);
    assert_eq!(verify(&mut both, &forged), Err(Unauthentic::Wrong));
    assert_eq!(
        verify(&mut both, &old),
        Ok(1),
        "an older session is proved too; to refuse it is the receiver's business"
    );
    assert_eq!(both.request_signer(5, SESSION), new, "and the newer one is still known");
}

#[test]
fn a_pack_and_its_messages_are_covered_by_one_mac() {
    let signer = ring(&[(0, 1)]).signer(5, SESSION);
    let mut pack = PackBuf::default();
    let header = Header { flags: flags::AUTH | flags::EVENT_END, ..Header::new(msg::BBO, 5, SESSION, 1) };
    let mut count = 0;
    while pack.push(&header, &zeroed::<Bbo>(), NO_RECORDS).is_ok() {
        count += 1;
    }
    assert_eq!(count, (1_400 - 8 - 66) / (32 + 40));
    let plain = Header { flags: flags::EVENT_END, ..header };
    let frame = pack.close().unwrap();
    wire::seal(frame, 9, Some(&signer.key));
    assert_eq!(frame.len(), 66 + count * 72 + 8);
    let frame = frame.to_vec();
    let checked: Frame<'_> = wire::check(&frame).unwrap();
    assert_eq!(ring(&[(0, 1)]).verify(&checked), Ok(0));
    let Message::Pack(messages) = checked.message() else { panic!("not a PACK") };
    assert_eq!(messages.len(), count);
    assert!(messages.into_iter().all(|message| !message.header.has(flags::AUTH)));
    pack.push(&header, &zeroed::<Bbo>(), NO_RECORDS).unwrap();
    assert_eq!(pack.push(&plain, &zeroed::<Bbo>(), NO_RECORDS), Err(Unfit::Header));
}

#[test]
fn a_pack_leaves_room_for_the_mac() {
    // Behind 66 + 32 bytes 18 candles of 72 end at 1,394: 6 bytes are no room for a MAC.
    let header = Header { flags: flags::AUTH, ..Header::new(msg::CANDLE, 5, SESSION, 1) };
    let candles = [zeroed::<Candle>(); 18];
    let mut pack = PackBuf::default();
    assert_eq!(pack.push(&header, &NO_ROOT, &candles), Err(Unfit::Room));
    pack.push(&header, &NO_ROOT, &candles[1..]).unwrap();
    let frame = pack.close().unwrap();
    let signer = ring(&[(0, 1)]).signer(5, SESSION);
    wire::seal(frame, 0, Some(&signer.key));
    assert_eq!(frame.len(), 66 + 17 * 72 + 8);
    assert_eq!(verify(&mut ring(&[(0, 1)]), frame), Ok(0));
    pack.push(&Header { flags: 0, ..header }, &NO_ROOT, &candles).unwrap();
}

#[test]
fn the_fullest_frames_with_a_mac_fit_and_one_record_more_does_not() {
    let levels = vec![Level { price: 1, qty: 2 }; 81];
    let header = Header { flags: flags::AUTH, ..Header::new(msg::BOOK_SNAPSHOT, 0x85, SESSION, 1) };
    let mut buffer = FrameBuf::default();
    let key = ring(&[(0, 1)]).signer(5, SESSION).key;
    wire::seal(buffer.build(&header, &zeroed::<BookSnapshot>(), &levels[..80]), 0, Some(&key));
    assert_eq!(buffer.frame().len(), 66 + 32 + 80 * 16 + 8);
    let delta = Header { msg_type: msg::BOOK_DELTA, channel: 5, ..header };
    wire::seal(buffer.build(&delta, &zeroed::<BookDelta>(), &levels), 0, Some(&key));
    assert_eq!(buffer.frame().len(), 1_394);
    let too_long = std::panic::catch_unwind(move || {
        FrameBuf::default().build(&header, &zeroed::<BookSnapshot>(), &levels).len()
    });
    assert!(too_long.is_err(), "81 levels in a snapshot leave no room for the MAC");
}

#[test]
fn key_files_are_read_and_their_faults_named() {
    let (a, b) = ("aB".repeat(32), "07".repeat(32));
    let text = format!("\n# a comment\n  12 : {a} \r\n{b}\n");
    let ring_read = Keyring::parse(&text).unwrap();
    assert_eq!(ring_read.signer(1, 2), ring(&[(12, 0xAB)]).signer(1, 2));
    assert!(ring_read.has(0) && ring_read.has(12));
    let fault = |text: &str| Keyring::parse(text).unwrap_err();
    assert_eq!(fault(""), KeyError::None);
    assert_eq!(fault("# nothing\n\n"), KeyError::None);
    assert_eq!(fault(&format!("{a}\n{b}\n")), KeyError::Twice(0));
    assert_eq!(fault(&format!("1:{a}\n2:{b}\n3:{a}")), KeyError::TooMany);
    let short = &a[1..];
    for bad in [
        short,
        &format!("{a}0"),
        &format!("256:{a}"),
        &format!("-1:{a}"),
        &format!(":{a}"),
        &format!("1:{short}g"),
        &format!("+{short}"),
        &"é".repeat(32),
    ] {
        let found = fault(&format!("\n{bad}\n"));
        assert_eq!(found, KeyError::Line(2), "{bad}");
        assert!(!found.to_string().contains(&bad[2..10]), "a fault must not show a key");
    }
    assert_eq!(
        fault(&format!("{a}\n{b}\n")).to_string(),
        "two keys have the key_id 0: write another one before the second, such as `1:`"
    );
}

proptest! {
    #[test]
    fn no_change_of_a_signed_frame_passes(at in 0_usize..114, bit in 0_u8..8, channel in 1_u8..=127, session in any::<u32>()) {
        let mut receiver = ring(&[(0, 1), (1, 2)]);
        let mut frame = signed(receiver.signer(channel, session), channel, session);
        prop_assert_eq!(verify(&mut receiver, &frame), Ok(0));
        frame[at] ^= 1 << bit;
        // A forger mends the CRC, which is no secret.
        let end = frame.len() - 8;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..62]), &frame[66..end]);
        frame[62..66].copy_from_slice(&crc.to_le_bytes());
        let is_crc_only = (62..66).contains(&at);
        if let Ok(checked) = wire::check(&frame) {
            prop_assert_eq!(receiver.verify(&checked).is_ok(), is_crc_only);
        }
    }
}
