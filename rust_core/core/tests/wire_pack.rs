//! Properties of PACK: what goes in comes out as it would have come alone, damage is refused, nothing panics.

use outcrier_core::event::{Bbo, Level, OrderOp, Trade};
use outcrier_core::wire::{
    self, BookDelta, FRAME_BYTES_MAX, FrameBuf, HEADER_BYTES, Header, Message, NO_RECORDS, NO_ROOT, OrderOps,
    PACKED_PAYLOAD_MAX, PackBuf, Refusal, SHARED_FLAGS, SUB_HEADER_BYTES, Status, Unfit, auth, flags, msg,
};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

const RECV_TS: i64 = 1_700_000_000_123_456_789;

/// A message as it would go out alone.
#[derive(Clone, Debug)]
enum Body {
    Status([u8; 56]),
    Bbo([u8; 40]),
    Trades(Vec<[u8; 40]>),
    Delta([u8; 24], Vec<[u8; 16]>),
    Orders([u8; 16], Vec<[u8; 48]>),
}

fn read<T: FromBytes>(bytes: &[u8]) -> T {
    T::read_from_bytes(bytes).map_err(|_| "another length").unwrap()
}

fn all<T: FromBytes, const N: usize>(records: &[[u8; N]]) -> Vec<T> {
    records.iter().map(|record| read(record)).collect()
}

impl Body {
    fn msg_type(&self) -> u8 {
        match self {
            Self::Status(_) => msg::STATUS,
            Self::Bbo(_) => msg::BBO,
            Self::Trades(_) => msg::TRADE,
            Self::Delta(..) => msg::BOOK_DELTA,
            Self::Orders(..) => msg::ORDER_OPS,
        }
    }

    fn push(&self, pack: &mut PackBuf, header: &Header) -> Result<(), Unfit> {
        match self {
            Self::Status(root) => pack.push(header, &read::<Status>(root), NO_RECORDS),
            Self::Bbo(root) => pack.push(header, &read::<Bbo>(root), NO_RECORDS),
            Self::Trades(records) => pack.push(header, &NO_ROOT, &all::<Trade, 40>(records)),
            Self::Delta(root, records) => {
                pack.push(header, &read::<BookDelta>(root), &all::<Level, 16>(records))
            }
            Self::Orders(root, records) => {
                pack.push(header, &read::<OrderOps>(root), &all::<OrderOp, 48>(records))
            }
        }
    }

    fn alone(&self, header: &Header) -> Vec<u8> {
        let mut buffer = FrameBuf::default();
        match self {
            Self::Status(root) => buffer.build(header, &read::<Status>(root), NO_RECORDS),
            Self::Bbo(root) => buffer.build(header, &read::<Bbo>(root), NO_RECORDS),
            Self::Trades(records) => buffer.build(header, &NO_ROOT, &all::<Trade, 40>(records)),
            Self::Delta(root, records) => {
                buffer.build(header, &read::<BookDelta>(root), &all::<Level, 16>(records))
            }
            Self::Orders(root, records) => {
                buffer.build(header, &read::<OrderOps>(root), &all::<OrderOp, 48>(records))
            }
        };
        buffer.frame().to_vec()
    }
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<[u8; 56]>().prop_map(Body::Status),
        any::<[u8; 40]>().prop_map(Body::Bbo),
        vec(any::<[u8; 40]>(), 0..8).prop_map(Body::Trades),
        (any::<[u8; 24]>(), vec(any::<[u8; 16]>(), 0..40))
            .prop_map(|(root, levels)| Body::Delta(root, levels)),
        (any::<[u8; 16]>(), vec(any::<[u8; 48]>(), 0..13)).prop_map(|(root, ops)| Body::Orders(root, ops)),
    ]
}

/// Header and body of a message; times near those of the others.
fn messages() -> impl Strategy<Value = (Header, Body)> {
    let times = (0_i64..60_000_000, -2_000_000_000_i64..1_000_000_000);
    (bodies(), any::<(u16, u32, u32, u64)>(), any::<(i8, i8)>(), times).prop_map(
        |(body, (bits, instrument, instr_seq, source_seq), (price_exp, qty_exp), (late, exchange_off))| {
            let recv_ts = RECV_TS + late;
            let bits = bits & !flags::CRITICAL & !SHARED_FLAGS;
            let header = Header {
                flags: bits | flags::REPLAY,
                channel_seq: 7,
                price_exp,
                qty_exp,
                instrument,
                instr_seq,
                source_seq,
                recv_ts,
                exchange_ts: if bits & flags::NO_EXCH_TS != 0 { recv_ts } else { RECV_TS + exchange_off },
                ..Header::new(body.msg_type(), 3, 90_000_001, 2)
            };
            (header, body)
        },
    )
}

/// What a receiver must see of a message: its own header with the receive time of the pack.
fn expected(alone: &Header, first: &Header, proc_ns: u32, crc32c: u32) -> Header {
    let off_us = (alone.recv_ts - first.recv_ts) / 1_000;
    let recv_ts = first.recv_ts + off_us * 1_000;
    let proc_ns = if proc_ns == u32::MAX {
        proc_ns
    } else {
        u32::try_from((i64::from(proc_ns) - off_us * 1_000).max(0)).unwrap()
    };
    let exchange_ts = if alone.has(flags::NO_EXCH_TS) { recv_ts } else { alone.exchange_ts };
    Header { recv_ts, exchange_ts, proc_ns, crc32c, ..*alone }
}

fn packed(frame: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let frame = wire::check(frame).unwrap();
    let Message::Pack(messages) = frame.message() else { panic!("type {}", frame.header.msg_type) };
    assert_eq!(messages.len(), usize::from(frame.header.count));
    messages.map(|message| (message.header, message.payload().to_vec())).collect()
}

/// As many of the messages as one PACK takes, in order of their arrival, and the frame, sealed.
fn one_pack(mut messages: Vec<(Header, Body)>, proc_ns: u32) -> (Vec<(Header, Body)>, Vec<u8>) {
    messages.sort_by_key(|(header, _)| header.recv_ts);
    let mut pack = PackBuf::default();
    let kept: Vec<_> =
        messages.into_iter().filter(|(header, body)| body.push(&mut pack, header).is_ok()).collect();
    let frame = pack.close().unwrap();
    wire::seal(frame, proc_ns, None);
    (kept, frame.to_vec())
}

fn bbo(bits: u16) -> (Header, Body) {
    let header = Header {
        flags: bits,
        channel_seq: 7,
        instrument: 5,
        instr_seq: 1,
        exchange_ts: RECV_TS,
        recv_ts: RECV_TS,
        ..Header::new(msg::BBO, 3, 90_000_001, 2)
    };
    (header, Body::Bbo([1; 40]))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_message_comes_out_as_it_would_have_come_alone(
        messages in vec(messages(), 2..20), proc_ns in any::<u32>(), padding in 0_usize..100,
    ) {
        let (kept, mut frame) = one_pack(messages, proc_ns);
        prop_assume!(kept.len() > 1);
        frame.resize((frame.len() + padding).min(FRAME_BYTES_MAX), 0);
        let header = wire::check(&frame).unwrap().header;
        let first = kept[0].0;
        prop_assert_eq!((header.msg_type, usize::from(header.count), header.rec_len), (0x30, kept.len(), 0));
        prop_assert_eq!(header.flags, flags::REPLAY);
        prop_assert_eq!((header.instrument, header.instr_seq, header.source_seq), (0, 0, 0));
        prop_assert_eq!((header.price_exp, header.qty_exp, header.venue), (0, 0, 2));
        prop_assert_eq!((header.exchange_ts, header.recv_ts), (first.exchange_ts, first.recv_ts));
        for ((got, payload), (alone, body)) in packed(&frame).into_iter().zip(&kept) {
            let alone_bytes = body.alone(alone);
            let alone = wire::check(&resealed(alone_bytes.clone())).unwrap().header;
            prop_assert_eq!(got, expected(&alone, &first, proc_ns, header.crc32c));
            prop_assert_eq!(payload.as_slice(), &alone_bytes[HEADER_BYTES..]);
        }
    }

    #[test]
    fn a_pack_of_one_is_an_ordinary_frame((header, body) in messages()) {
        let (_, frame) = one_pack(vec![(header, body.clone())], 99);
        prop_assert_eq!(frame, resealed_at(body.alone(&header), 99));
    }

    #[test]
    fn a_pack_cut_anywhere_or_with_a_flipped_bit_is_refused(messages in vec(messages(), 2..6)) {
        let (kept, frame) = one_pack(messages, 1);
        prop_assume!(kept.len() > 1);
        for cut in 0..frame.len() {
            let cause = if cut < HEADER_BYTES { Refusal::TooShort } else { Refusal::Length };
            prop_assert_eq!(wire::check(&frame[..cut]).unwrap_err(), cause);
        }
        let mut damaged = frame.clone();
        for bit in 0..frame.len() * 8 {
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(wire::check(&damaged).is_err(), "bit {}", bit);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn no_bytes_with_a_right_crc_make_the_decoder_panic(
        messages in vec(messages(), 2..12), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (kept, mut frame) = one_pack(messages, 1);
        prop_assume!(kept.len() > 1);
        for (at, byte) in damage {
            // Anything but magic, version and what says how long the frame is.
            let at = 8 + at.index(frame.len() - 8);
            frame[at] = byte;
        }
        let frame = resealed(frame);
        if let Ok(frame) = wire::check(&frame) {
            let described = wire::describe(&frame);
            prop_assert_eq!(described.messages.len(), usize::from(frame.header.count));
            if let Message::Pack(messages) = frame.message() {
                for message in messages {
                    prop_assert!(message.payload().len() <= PACKED_PAYLOAD_MAX);
                    prop_assert_eq!(wire::describe(&message).header.len(), 20);
                }
            }
        }
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(
        payload in vec(prop_oneof![Just(0_u8), Just(8), Just(32), Just(0x13), any::<u8>()], 0..1334),
        count in any::<u8>(),
    ) {
        let header = Header {
            payload_len: u16::try_from(payload.len()).unwrap(),
            count,
            ..Header::new(msg::PACK, 1, 5, 1)
        };
        let frame = resealed([header.as_bytes(), &payload].concat());
        match wire::check(&frame) {
            Ok(frame) => prop_assert_eq!(wire::describe(&frame).messages.len(), usize::from(count)),
            Err(refusal) => prop_assert!(matches!(refusal, Refusal::Pack | Refusal::CriticalFlags)),
        }
    }
}

fn resealed(frame: Vec<u8>) -> Vec<u8> {
    resealed_at(frame, 1)
}

fn resealed_at(mut frame: Vec<u8>, proc_ns: u32) -> Vec<u8> {
    wire::seal(&mut frame, proc_ns, None);
    frame
}

#[test]
fn a_frame_takes_1400_bytes_and_15_statuses() {
    let mut pack = PackBuf::default();
    let (header, _) = bbo(0);
    let status = Header { msg_type: msg::STATUS, ..header };
    let fit = (0..20).take_while(|_| Body::Status([0; 56]).push(&mut pack, &status).is_ok()).count();
    assert_eq!(fit, 15);
    assert_eq!(Body::Status([0; 56]).push(&mut pack, &status), Err(Unfit::Room));
    assert_eq!(pack.close().unwrap().len(), HEADER_BYTES + 15 * 88);

    // 66 + (32 + 616) + (32 + 648) = 1,394: 6 bytes that no multiple of 8 fills.
    let delta = |levels: usize| Body::Delta([0; 24], vec![[0; 16]; levels]);
    let header = Header { msg_type: msg::BOOK_DELTA, ..header };
    assert_eq!(delta(37).push(&mut pack, &header), Ok(()));
    assert_eq!(delta(40).push(&mut pack, &header), Err(Unfit::Room));
    assert_eq!(delta(39).push(&mut pack, &header), Ok(()));
    let frame = pack.close().unwrap();
    wire::seal(frame, 0, None);
    assert_eq!(frame.len(), 1394);
    assert_eq!(packed(frame).len(), 2);
}

#[test]
fn the_longest_message_of_a_pack_fills_the_frame_alone() {
    let longest = (PACKED_PAYLOAD_MAX - 24) / 16;
    let (header, _) = bbo(0);
    let header = Header { msg_type: msg::BOOK_DELTA, ..header };
    let delta = |levels: usize| Body::Delta([3; 24], vec![[4; 16]; levels]);
    let mut pack = PackBuf::default();
    assert_eq!(delta(longest + 1).push(&mut pack, &header), Err(Unfit::Room));
    assert_eq!(delta(longest).push(&mut pack, &header), Ok(()));
    let frame = resealed(pack.close().unwrap().to_vec());
    assert_eq!(frame, resealed(delta(longest).alone(&header)));
    assert!(pack.close().is_none(), "a closed pack is empty");
}

#[test]
fn receive_times_are_rounded_down_to_microseconds_and_copies_of_them_too() {
    let at = |late_ns: i64, bits: u16| {
        let (header, body) = bbo(bits);
        let recv_ts = RECV_TS + late_ns;
        let exchange_ts = if bits & flags::NO_EXCH_TS == 0 { RECV_TS - 5 } else { recv_ts };
        (Header { recv_ts, exchange_ts, ..header }, body)
    };
    let told = [(0, 0), (999, 0), (1_000, 0), (1_999, flags::NO_EXCH_TS), (65_535_999, flags::NO_EXCH_TS)];
    let (kept, frame) = one_pack(told.map(|(late_ns, bits)| at(late_ns, bits)).to_vec(), 70_000_000);
    assert_eq!(kept.len(), told.len());
    let got: Vec<_> = packed(&frame)
        .into_iter()
        .map(|(header, _)| (header.recv_ts - RECV_TS, header.exchange_ts - RECV_TS, header.proc_ns))
        .collect();
    assert_eq!(
        got,
        [
            (0, -5, 70_000_000),
            (0, -5, 70_000_000),
            (1_000, -5, 69_999_000),
            (1_000, 1_000, 69_999_000),
            (65_535_000, 65_535_000, 4_465_000),
        ]
    );
}

#[test]
fn times_that_do_not_fit_start_another_frame() {
    let (header, body) = bbo(0);
    for (late_ns, exchange_off, fits) in [
        (65_535_999, 0, true),
        (65_536_000, 0, false),
        (-1, 0, false),
        (0, i64::from(i32::MAX), true),
        (0, i64::from(i32::MAX) + 1, false),
        (0, i64::from(i32::MIN), true),
        (0, i64::from(i32::MIN) - 1, false),
        (i64::MAX - RECV_TS, 0, false),
    ] {
        let mut pack = PackBuf::default();
        body.push(&mut pack, &header).unwrap();
        let next = Header { recv_ts: RECV_TS + late_ns, exchange_ts: RECV_TS + exchange_off, ..header };
        let expected = if fits { Ok(()) } else { Err(Unfit::Time) };
        assert_eq!(body.push(&mut pack, &next), expected, "{late_ns} {exchange_off}");
    }
}

#[test]
fn messages_that_do_not_share_the_header_start_another_frame() {
    let (header, body) = bbo(flags::TEST);
    let mut pack = PackBuf::default();
    body.push(&mut pack, &header).unwrap();
    for other in [
        Header { venue: 3, ..header },
        Header { channel: 4, ..header },
        Header { session: 90_000_002, ..header },
        Header { channel_seq: 8, ..header },
        Header { flags: 0, ..header },
        Header { flags: flags::TEST | flags::CLOCK_BAD, ..header },
    ] {
        assert_eq!(body.push(&mut pack, &other), Err(Unfit::Header));
    }
    let snapshot = Header { channel: 3 | wire::CHANNEL_SNAPSHOT, ..header };
    assert_eq!(body.push(&mut pack, &snapshot), Err(Unfit::Type));
    for forbidden in [
        msg::HEARTBEAT,
        msg::SESSION_START,
        msg::SESSION_END,
        msg::BOOK_SNAPSHOT,
        msg::ORDER_SNAPSHOT,
        msg::CYCLE_END,
    ] {
        let other = Header { msg_type: forbidden, ..header };
        assert_eq!(body.push(&mut pack, &other), Err(Unfit::Type), "{forbidden:#x}");
    }
    assert_eq!(pack.count(), 1, "a refused message changes nothing");
    assert_eq!(resealed(pack.close().unwrap().to_vec()), resealed(body.alone(&header)));
}

#[test]
fn shared_flags_stand_in_the_header_and_all_others_in_the_sub_headers() {
    let bits =
        flags::EVENT_END | flags::NO_SRC_SEQ | flags::SRC_GAP | flags::RESET | flags::CROSSED | 1 << 12;
    let shared = flags::REPLAY | flags::TEST | flags::CLOCK_BAD;
    let (header, body) = bbo(shared | bits);
    let (_, frame) = one_pack(vec![(header, body.clone()), (Header { flags: shared, ..header }, body)], 1);
    assert_eq!({ wire::check(&frame).unwrap().header.flags }, shared);
    let own = |at: usize| u16::from_le_bytes([frame[HEADER_BYTES + at + 4], frame[HEADER_BYTES + at + 5]]);
    assert_eq!((own(0), own(72)), (bits, 0));
    assert_eq!(
        packed(&frame).iter().map(|(header, _)| header.flags).collect::<Vec<_>>(),
        [shared | bits, shared]
    );
}

/// A pack of a status and a best quote with one thing changed, sealed again.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Option<Refusal> {
    let (header, body) = bbo(flags::TEST);
    let status = (Header { msg_type: msg::STATUS, ..header }, Body::Status([0; 56]));
    let (_, mut frame) = one_pack(vec![status, (header, body)], 1);
    assert_eq!(frame.len(), 66 + 88 + 72);
    change(&mut frame);
    wire::check(&resealed(frame)).err()
}

#[test]
fn a_malformed_pack_is_refused_whole_under_its_own_cause() {
    const SUB: usize = HEADER_BYTES;
    const SECOND: usize = SUB + 88;
    let set = |at: usize, byte: u8| changed(|frame| frame[at] = byte);
    assert_eq!(changed(|_| {}), None);
    let refused = Some(Refusal::Pack);
    // The header: what it says once, and nothing of one message.
    assert_eq!(set(3, 8), refused, "rec_len");
    for (name, at) in
        [("price_exp", 24), ("qty_exp", 25), ("instrument", 26), ("instr_seq", 30), ("source_seq", 34)]
    {
        assert_eq!(set(at, 1), refused, "{name}");
    }
    for own in [0, 2, 3, 4, 5, 6, 10] {
        assert_eq!(changed(|frame| frame[4 + own / 8] |= 1 << (own % 8)), refused, "flag {own}");
    }
    assert_eq!(changed(|frame| frame[5] |= 1 << 4), None, "a flag of a later version");
    assert_eq!(set(9, 3 | wire::CHANNEL_SNAPSHOT), refused, "the snapshot plane");
    // The lengths.
    assert_eq!(set(8, 1), refused, "fewer messages than bytes");
    assert_eq!(set(8, 3), refused, "more messages than bytes");
    for len in [0, 24, 31, 84, 80, 96, 160, 161, 168] {
        assert_eq!(set(SUB, len), refused, "len {len}");
    }
    assert_eq!(changed(|frame| frame[SUB + 1] = 1), refused, "len far beyond the frame");
    for pad in [1, 7, 8, 255] {
        assert_eq!(set(SUB + 31, pad), refused, "pad {pad}");
    }
    assert_eq!(changed(|frame| drop(frame.drain(SECOND..))), Some(Refusal::Length));
    // The messages.
    for forbidden in [0x01, 0x02, 0x03, 0x11, 0x19, 0x21, 0x30, 0x40, 0x41, 0x42] {
        assert_eq!(set(SUB + 2, forbidden), refused, "type {forbidden:#x}");
    }
    assert_eq!(set(SUB + 2, msg::INSTRUMENT_DEF), refused, "a root that is too short");
    assert_eq!(
        changed(|frame| (frame[SUB + 3], frame[SUB + 6]) = (8, 8)),
        refused,
        "records that do not fit"
    );
    for later in [0x00, 0x06, 0x15, 0x3F, 0x43, 0x80, 0xFF] {
        assert_eq!(set(SUB + 2, later), None, "type {later:#x}");
    }
    for shared in [1, 7, 8, 9] {
        assert_eq!(
            changed(|frame| frame[SECOND + 4 + shared / 8] |= 1 << (shared % 8)),
            refused,
            "flag {shared}"
        );
    }
    for critical in [14, 15] {
        let cause = changed(|frame| frame[SECOND + 4 + critical / 8] |= 1 << (critical % 8));
        assert_eq!(cause, Some(Refusal::CriticalFlags), "flag {critical}");
    }
}

#[test]
fn padding_of_a_message_belongs_to_no_payload() {
    // A BBO that a later version made 3 bytes longer: 32 + 43 + 5.
    let (header, body) = bbo(0);
    let (_, frame) = one_pack(vec![(header, body.clone()), (header, body)], 1);
    let mut grown = frame.clone();
    grown[HEADER_BYTES] = 80;
    grown[HEADER_BYTES + 31] = 5;
    grown.splice(HEADER_BYTES + 72..HEADER_BYTES + 72, [0xAA; 8]);
    let payload_len = u16::try_from(grown.len() - HEADER_BYTES).unwrap();
    grown[6..8].copy_from_slice(&payload_len.to_le_bytes());
    let got = packed(&resealed(grown));
    assert_eq!(got.iter().map(|(_, payload)| payload.len()).collect::<Vec<_>>(), [43, 40]);
    assert_eq!({ got[0].0.payload_len }, 43);
    assert_eq!(SUB_HEADER_BYTES, 32);
}

#[test]
fn a_message_of_a_frame_with_a_mac_has_none_itself() {
    let (header, body) = bbo(0);
    let (_, mut frame) = one_pack(vec![(header, body.clone()), (header, body)], 1);
    frame[4] |= 2;
    frame.extend([0xEE; 8]);
    let key = auth::derive(&auth::MasterKey::new([1; 32]), 1, 1, 0);
    wire::seal(&mut frame, 1, Some(&key));
    let got = packed(&frame);
    assert_eq!(
        got.iter().map(|(header, payload)| (header.flags, payload.len())).collect::<Vec<_>>(),
        [(0, 40); 2]
    );
}
