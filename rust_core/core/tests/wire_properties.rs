//! Properties of the codec: every message round-trips, every damage is refused, and no bytes make it panic.

use outcrier_core::event::{Bbo, Candle, DerivState, Level, OrderOp, RestingOrder, Ticker, Trade};
use outcrier_core::wire::{
    self, BookDelta, BookSnapshot, Conn, CycleEnd, FrameBuf, Header, Heartbeat, InstrumentDef, Manifest,
    Message, NO_RECORDS, NO_ROOT, OrderOps, Refusal, RetxRange, RetxReply, RetxRequest, SessionEnd,
    SessionStart, SnapRequest, SnapWant, Status, flags, msg,
};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Every message with a root or a record, and what its table says: (type, bytes of the root, bytes of a record).
const TYPES: [(u8, usize, usize); 20] = [
    (msg::HEARTBEAT, 56, 64),
    (msg::SESSION_START, 64, 0),
    (msg::SESSION_END, 32, 0),
    (msg::STATUS, 56, 0),
    (msg::CONN, 48, 0),
    (msg::BOOK_DELTA, 24, 16),
    (msg::BOOK_SNAPSHOT, 32, 16),
    (msg::TRADE, 0, 40),
    (msg::BBO, 40, 0),
    (msg::TICKER_24H, 64, 0),
    (msg::ORDER_OPS, 16, 48),
    (msg::ORDER_SNAPSHOT, 32, 48),
    (msg::INSTRUMENT_DEF, 224, 0),
    (msg::CYCLE_END, 24, 0),
    (msg::CANDLE, 0, 72),
    (msg::DERIV_STATE, 72, 0),
    (msg::LIQUIDATION, 0, 40),
    (msg::RETX_REQUEST, 16, 16),
    (msg::RETX_REPLY, 32, 0),
    (msg::SNAP_REQUEST, 16, 8),
];

prop_compose! {
    fn headers()(msg_type in prop_oneof![any::<u8>(), (0..TYPES.len()).prop_map(|index| TYPES[index].0)], bits in any::<u16>(), channel in 1_u8..=127, snapshot in any::<bool>(),
        channel_seq in any::<u64>(), session in any::<u32>(), venue in any::<u16>(), exps in any::<(i8, i8)>(),
        instrument in any::<(u32, u32)>(), source_seq in any::<u64>(), times in any::<(i64, i64)>(),
    ) -> Header {
        Header {
            flags: bits & !flags::CRITICAL & !flags::AUTH,
            channel_seq,
            price_exp: exps.0,
            qty_exp: exps.1,
            instrument: instrument.0,
            instr_seq: instrument.1,
            source_seq,
            exchange_ts: times.0,
            recv_ts: times.1,
            ..Header::new(msg_type, if snapshot { channel | 0x80 } else { channel }, session, venue)
        }
    }
}

fn sealed<Root: IntoBytes + Immutable, Record: IntoBytes + Immutable>(
    header: &Header,
    root: &Root,
    records: &[Record],
    proc_ns: u32,
) -> Vec<u8> {
    let mut buffer = FrameBuf::default();
    wire::seal(buffer.build(header, root, records), proc_ns, None);
    buffer.frame().to_vec()
}

/// Seals bytes whose header is already as it should be.
fn resealed(mut frame: Vec<u8>) -> Vec<u8> {
    wire::seal(&mut frame, 7, None);
    frame
}

fn read<T: FromBytes>(bytes: &[u8]) -> T {
    T::read_from_prefix(bytes).map_err(|_| "too few bytes").unwrap().0
}

/// The parts of a message as bytes, so that NaN equals itself.
fn parts(message: &Message<'_>) -> (Vec<u8>, Vec<u8>) {
    fn bytes<R: IntoBytes + Immutable>(records: impl Iterator<Item = R>) -> Vec<u8> {
        records.flat_map(|record| record.as_bytes().to_vec()).collect()
    }
    match *message {
        Message::Heartbeat(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::SessionStart(root) => (root.as_bytes().to_vec(), vec![]),
        Message::SessionEnd(root) => (root.as_bytes().to_vec(), vec![]),
        Message::Status(root) => (root.as_bytes().to_vec(), vec![]),
        Message::Conn(root) => (root.as_bytes().to_vec(), vec![]),
        Message::BookDelta(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::BookSnapshot(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::Trade(records) | Message::Liquidation(records) => (vec![], bytes(records)),
        Message::Bbo(root) => (root.as_bytes().to_vec(), vec![]),
        Message::Ticker(root) => (root.as_bytes().to_vec(), vec![]),
        Message::OrderOps(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::OrderSnapshot(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::InstrumentDef(root) => (root.as_bytes().to_vec(), vec![]),
        Message::CycleEnd(root) => (root.as_bytes().to_vec(), vec![]),
        Message::Candle(records) => (vec![], bytes(records)),
        Message::DerivState(root) => (root.as_bytes().to_vec(), vec![]),
        Message::RetxRequest(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::RetxReply(root) => (root.as_bytes().to_vec(), vec![]),
        Message::SnapRequest(root, records) => (root.as_bytes().to_vec(), bytes(records)),
        Message::Pack(_) => panic!("packs have tests of their own"),
        Message::Unknown { msg_type } => panic!("type {msg_type} is unknown"),
    }
}

/// Builds a frame of a type from arbitrary bytes through the type's own structs.
fn built(header: &Header, root: &[u8], records: &[u8], proc_ns: u32) -> Vec<u8> {
    fn all<R: FromBytes>(bytes: &[u8]) -> Vec<R> {
        bytes.chunks(size_of::<R>()).map(read).collect()
    }
    macro_rules! frame {
        ($root:ty) => {
            sealed(header, &read::<$root>(root), NO_RECORDS, proc_ns)
        };
        ($root:ty, $record:ty) => {
            sealed(header, &read::<$root>(root), &all::<$record>(records), proc_ns)
        };
        (, $record:ty) => {
            sealed(header, &NO_ROOT, &all::<$record>(records), proc_ns)
        };
    }
    match header.msg_type {
        msg::HEARTBEAT => frame!(Heartbeat, Manifest),
        msg::SESSION_START => frame!(SessionStart),
        msg::SESSION_END => frame!(SessionEnd),
        msg::STATUS => frame!(Status),
        msg::CONN => frame!(Conn),
        msg::BOOK_DELTA => frame!(BookDelta, Level),
        msg::BOOK_SNAPSHOT => frame!(BookSnapshot, Level),
        msg::TRADE | msg::LIQUIDATION => frame!(, Trade),
        msg::BBO => frame!(Bbo),
        msg::TICKER_24H => frame!(Ticker),
        msg::ORDER_OPS => frame!(OrderOps, OrderOp),
        msg::ORDER_SNAPSHOT => frame!(BookSnapshot, RestingOrder),
        msg::INSTRUMENT_DEF => frame!(InstrumentDef),
        msg::CYCLE_END => frame!(CycleEnd),
        msg::CANDLE => frame!(, Candle),
        msg::DERIV_STATE => frame!(DerivState),
        msg::RETX_REQUEST => frame!(RetxRequest, RetxRange),
        msg::RETX_REPLY => frame!(RetxReply),
        msg::SNAP_REQUEST => frame!(SnapRequest, SnapWant),
        other => panic!("no type {other}"),
    }
}

/// A frame of a known type with its root and records as bytes.
fn frames() -> impl Strategy<Value = (Header, Vec<u8>, Vec<u8>, u32)> {
    (headers(), 0..TYPES.len(), any::<u8>(), any::<u32>()).prop_flat_map(|(header, index, count, proc_ns)| {
        let (msg_type, root, record) = TYPES[index];
        let most = (wire::PAYLOAD_MAX - root).checked_div(record).unwrap_or(0);
        let count = usize::from(count).min(most);
        let header = Header { msg_type, ..header };
        (Just(header), vec(any::<u8>(), root), vec(any::<u8>(), count * record), Just(proc_ns))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn every_message_comes_back_as_it_was_sent((header, root, records, proc_ns) in frames(), padding in 0_usize..200) {
        let frame = built(&header, &root, &records, proc_ns);
        let padded = [frame.as_slice(), &vec![0; padding.min(1400 - frame.len())]].concat();
        let got = wire::check(&padded).unwrap();
        prop_assert_eq!(got.bytes, frame.as_slice());
        let (_, _, rec_len) = TYPES[TYPES.iter().position(|of| of.0 == header.msg_type).unwrap()];
        let count = records.len().checked_div(rec_len).unwrap_or(0);
        let sent = Header {
            proc_ns,
            payload_len: u16::try_from(root.len() + records.len()).unwrap(),
            count: u8::try_from(count).unwrap(),
            rec_len: if count == 0 { 0 } else { u8::try_from(rec_len).unwrap() },
            crc32c: got.header.crc32c,
            ..header
        };
        prop_assert_eq!(got.header, sent);
        prop_assert_eq!(parts(&got.message()), (root, records));
    }

    #[test]
    fn longer_roots_and_records_are_read_by_their_known_prefix(
        (header, root, records, _) in frames(), more_root in vec(any::<u8>(), 0..40), more in vec(any::<u8>(), 0..20),
    ) {
        let rec_len = TYPES.iter().find(|of| of.0 == header.msg_type).unwrap().2;
        let mut payload = [root.as_slice(), &more_root].concat();
        let mut count = 0;
        for record in records.chunks(rec_len.max(1)) {
            if wire::HEADER_BYTES + payload.len() + record.len() + more.len() <= wire::FRAME_BYTES_MAX {
                payload.extend(record);
                payload.extend(&more);
                count += 1;
            }
        }
        let grown = Header {
            payload_len: u16::try_from(payload.len()).unwrap(),
            count,
            rec_len: if count == 0 { 0 } else { u8::try_from(rec_len + more.len()).unwrap() },
            ..header
        };
        let frame = resealed([grown.as_bytes(), &payload].concat());
        let known = &records[..usize::from(count) * rec_len];
        prop_assert_eq!(parts(&wire::check(&frame).unwrap().message()), (root, known.to_vec()));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused((header, root, records, _) in frames()) {
        let frame = built(&header, &root, &records, 1);
        for cut in 0..frame.len() {
            let cause = if cut < 66 { Refusal::TooShort } else { Refusal::Length };
            prop_assert_eq!(wire::check(&frame[..cut]).unwrap_err(), cause);
        }
    }

    #[test]
    fn one_flipped_bit_is_refused_in_the_frame_and_harmless_in_the_padding(
        (header, root, records, _) in frames(), padding in 0_usize..64,
    ) {
        let frame = built(&header, &root, &records, 1);
        let mut datagram = frame.clone();
        datagram.resize((frame.len() + padding).min(1400), 0);
        for bit in 0..datagram.len() * 8 {
            datagram[bit / 8] ^= 1 << (bit % 8);
            let got = wire::check(&datagram);
            if bit / 8 < frame.len() {
                prop_assert!(got.is_err(), "bit {} of {} bytes", bit, frame.len());
            } else {
                prop_assert_eq!(got.unwrap().bytes, frame.as_slice());
            }
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..1500)) {
        if let Ok(frame) = wire::check(&bytes) {
            prop_assert_eq!(wire::describe(&frame).header.len(), 20);
        }
    }

    #[test]
    fn no_header_with_a_right_crc_makes_the_decoder_panic(
        header in headers(), payload in vec(any::<u8>(), 0..1334), count in any::<u8>(), rec_len in any::<u8>(),
    ) {
        let header = Header { payload_len: u16::try_from(payload.len()).unwrap(), count, rec_len, ..header };
        let frame = resealed([header.as_bytes(), &payload].concat());
        let records = usize::from(count) * usize::from(rec_len);
        match wire::check(&frame) {
            Ok(frame) => {
                prop_assert!(wire::describe(&frame).records.len() <= usize::from(count));
                match frame.message() {
                    Message::BookDelta(root, records) => {
                        let (bids, asks) = root.sides(records);
                        prop_assert_eq!(bids.chain(asks).count(), usize::from(count));
                    }
                    Message::OrderSnapshot(root, records) => {
                        let (bids, asks) = root.sides(records);
                        prop_assert_eq!(bids.len(), usize::from(root.n_bids.min(count)));
                        prop_assert_eq!(bids.chain(asks).count(), usize::from(count));
                    }
                    Message::Unknown { msg_type } => prop_assert_eq!(msg_type, header.msg_type),
                    _ => {}
                }
            }
            Err(Refusal::Pack) => prop_assert_eq!(header.msg_type, msg::PACK),
            Err(refusal) => {
                prop_assert_eq!(refusal, Refusal::Records);
                let short = wire::known_bytes(header.msg_type).is_some_and(|(root, record)| {
                    payload.len() < records + root || usize::from(rec_len) < record
                });
                prop_assert!(short || records > payload.len());
            }
        }
    }
}

/// A frame with one thing wrong per cause, and with every later thing wrong too: the first cause must be told.
#[test]
fn causes_are_looked_for_in_the_order_of_the_specification() {
    let good = || Header { payload_len: 40, ..Header::new(msg::BBO, 1, 5, 1) };
    let frame = |header: Header, bytes: usize| {
        let mut frame = header.as_bytes().to_vec();
        frame.resize(bytes, 0);
        frame
    };
    let bad_channel = Header { channel: 0x80, ..good() };
    let bad_flags = Header { flags: 1 << 14, ..bad_channel };
    let bad_records = Header { count: 2, rec_len: 1, ..bad_flags };
    let bad_length = Header { payload_len: 41, ..bad_records };
    let bad_sync = Header { version: 2, ..bad_length };
    assert_eq!(wire::check(&resealed(frame(good(), 106))).map(|frame| frame.bytes.len()), Ok(106));
    for (bytes, cause) in [
        (frame(bad_sync, 65), Refusal::TooShort),
        (frame(bad_sync, 1401), Refusal::TooLong),
        (frame(bad_sync, 106), Refusal::Sync),
        (frame(bad_length, 106), Refusal::Length),
        (frame(bad_records, 106), Refusal::Records),
        (frame(bad_flags, 106), Refusal::CriticalFlags),
        (frame(bad_channel, 106), Refusal::Channel),
        (frame(good(), 106), Refusal::Crc),
    ] {
        assert_eq!(wire::check(&bytes).unwrap_err(), cause);
        assert_eq!(Refusal::ALL[cause as usize], cause);
    }
}

#[test]
fn a_root_or_record_that_is_too_short_is_refused() {
    for (msg_type, root, record) in TYPES {
        let make = |root: usize, rec_len: usize, count: u8| {
            let payload = vec![0; root + rec_len * usize::from(count)];
            let header = Header {
                payload_len: u16::try_from(payload.len()).unwrap(),
                count,
                rec_len: u8::try_from(rec_len).unwrap(),
                ..Header::new(msg_type, 1, 5, 1)
            };
            wire::check(&resealed([header.as_bytes(), &payload].concat())).err()
        };
        assert_eq!(make(root, record, 1), None);
        assert_eq!(make(root, 0, 0), None);
        if root > 0 {
            assert_eq!(make(root - 1, record, 1), Some(Refusal::Records), "type {msg_type}");
        }
        if record > 0 {
            assert_eq!(make(root, record - 1, 1), Some(Refusal::Records), "type {msg_type}");
            // Without records rec_len says nothing, whatever it holds.
            assert_eq!(make(root, record - 1, 0), None);
        }
    }
}
