//! The published test vectors of the wire format, the digests, and the small rules around frames.

use outcrier_core::event::{Bbo, Level, ORDER_INFERRED, ORDER_TOLD, OrderOp, RestingOrder, Side, order_op};
use outcrier_core::wire::auth::{self, Key, MasterKey};
use outcrier_core::wire::{
    self, Described, Frame, FrameBuf, Header, InstrumentDef, Message, NO_RECORDS, Value, digest, flags, msg,
    name, text_field, text_of, zeroed,
};

const BBO: &str = "fb0113000100280000012a00000000000000814a5d050700fef8e90300001100000015cd5b0700000000\
c0743defb5e27918609a63efb5e279183a070000c97a26efd95e63000000000080d1f00800000000da5e630000000000c068780400000000\
0300000002000000";
const HEARTBEAT: &str = "fb0101000000380000012b00000000000000814a5d0500000000000000000000000000000000000000006\
07b59f5b5e27918607b59f5b5e27918840300002fc4e9f58877665544332211010000000000000033221100ddccbbaa00f2052a01000000\
a0860100e80300000100007f33233d23ffffffff01000000";
const BBO_AUTH: &str = "fb0113000300280000012a00000000000000814a5d050700fef8e90300001100000015cd5b07000000\
00c0743defb5e27918609a63efb5e279183a070000b01ef821d95e63000000000080d1f00800000000da5e630000000000c0687804000000\
0003000000020000006df328fcf0095b3f";

const TOP: Bbo = Bbo {
    bid_px: 6_512_345,
    bid_qty: 150_000_000,
    ask_px: 6_512_346,
    ask_qty: 75_000_000,
    bid_orders: 3,
    ask_orders: 2,
};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn bbo_header() -> Header {
    Header {
        flags: flags::EVENT_END,
        channel_seq: 42,
        price_exp: -2,
        qty_exp: -8,
        instrument: 1001,
        instr_seq: 17,
        source_seq: 123_456_789,
        exchange_ts: 1_763_690_000_123_000_000,
        recv_ts: 1_763_690_000_125_500_000,
        ..Header::new(msg::BBO, 1, 90_000_001, 7)
    }
}

fn described(bytes: &[u8]) -> Described {
    wire::describe(&wire::check(bytes).unwrap())
}

fn field<'a>(values: &'a wire::Values, field: &str) -> &'a Value {
    &values.iter().find(|(name, _)| *name == field).unwrap().1
}

#[test]
fn the_bbo_vector_is_read() {
    let bytes = hex(BBO);
    assert_eq!(bytes.len(), 106);
    let frame = wire::check(&bytes).unwrap();
    let header = frame.header;
    let expected = Header { proc_ns: 1850, payload_len: 40, crc32c: header.crc32c, ..bbo_header() };
    assert_eq!({ header.exchange_ts }, { expected.exchange_ts });
    assert_eq!(header, expected);
    assert_eq!(header.send_ts(), 1_763_690_000_125_501_850);
    let Message::Bbo(bbo) = frame.message() else { panic!("not a BBO") };
    assert_eq!(bbo, TOP);
}

#[test]
fn the_bbo_vector_is_written() {
    let mut buffer = FrameBuf::default();
    let crc = wire::seal(buffer.build(&bbo_header(), &TOP, NO_RECORDS), 1850, None);
    assert_eq!(buffer.frame(), hex(BBO));
    assert_eq!(crc, 0xef26_7ac9);
}

#[test]
fn the_heartbeat_vector_is_read_and_written() {
    let bytes = hex(HEARTBEAT);
    assert_eq!(bytes.len(), 122);
    let frame = wire::check(&bytes).unwrap();
    let Message::Heartbeat(root, manifests) = frame.message() else { panic!("not a heartbeat") };
    assert!(manifests.is_empty());
    assert_eq!(root.publisher_id, 0x1122_3344_5566_7788);
    assert_eq!(root.oldest_retx_seq, 1);
    assert_eq!(root.chain64, 0xaabb_ccdd_0011_2233);
    assert_eq!(root.mono_ns, 5_000_000_000);
    assert_eq!((root.max_silence_us, root.snapshot_cycle_ms), (100_000, 1000));
    assert_eq!((root.retx_ipv4, root.retx_udp_port, root.replay_tcp_port), (0x7f00_0001, 9011, 9021));
    assert_eq!((root.clock_err_ns, root.state, root.key_id, root.reserved), (u32::MAX, 1, 0, 0));
    let mut buffer = FrameBuf::default();
    let built = buffer.build(&frame.header, &root, NO_RECORDS);
    wire::seal(built, frame.header.proc_ns, None);
    assert_eq!(buffer.frame(), bytes);
}

#[test]
fn the_trailer_of_a_frame_with_auth_is_counted_and_left_to_the_keyring() {
    let mut bytes = hex(BBO_AUTH);
    assert_eq!(bytes.len(), 114);
    let frame = wire::check(&bytes).unwrap();
    assert_eq!(frame.bytes.len(), 114);
    assert_eq!(frame.payload().len(), 40);
    assert_eq!({ frame.header.crc32c }, 0x21f8_1eb0);
    let Message::Bbo(bbo) = frame.message() else { panic!("not a BBO") };
    assert_eq!(bbo, TOP);
    assert!(auth::verify(&key(), &frame));
    assert_eq!(wire::check(&bytes[..113]).unwrap_err(), wire::Refusal::Length);
    bytes[113] ^= 1;
    assert!(!auth::verify(&key(), &wire::check(&bytes).unwrap()));
    assert!(!auth::verify(&key(), &wire::check(&hex(BBO)).unwrap()));
}

fn master() -> MasterKey {
    MasterKey::new(std::array::from_fn(|at| at as u8))
}

fn key() -> Key {
    auth::derive(&master(), 1, 90_000_001, 0)
}

#[test]
fn key_and_mac_equal_their_vectors() {
    assert_eq!(key().bytes()[..], hex("db2055cd61e9533571b07bbb957969e4"));
    assert_eq!(auth::derive(&master(), 0x81, 90_000_001, 0), key(), "both planes of a channel have one key");
    assert_eq!(auth::mac(&key(), &hex(BBO_AUTH)[..106]), 0x3f5b_09f0_fc28_f36d);
    assert_eq!(format!("{:?} {:?}", master(), key()), "MasterKey(..) Key(..)");
}

#[test]
fn the_bbo_with_auth_is_written_alone_and_by_a_pack_of_one() {
    let header = Header { flags: flags::EVENT_END | flags::AUTH, ..bbo_header() };
    let mut buffer = FrameBuf::default();
    let crc = wire::seal(buffer.build(&header, &TOP, NO_RECORDS), 1850, Some(&key()));
    assert_eq!(buffer.frame(), hex(BBO_AUTH));
    assert_eq!(crc, 0x21f8_1eb0);
    let mut pack = wire::PackBuf::default();
    pack.push(&header, &TOP, NO_RECORDS).unwrap();
    let frame = pack.close().unwrap();
    wire::seal(frame, 1850, Some(&key()));
    assert_eq!(frame, hex(BBO_AUTH));
}

#[test]
#[should_panic(expected = "AUTH is set on the frames that a key signs")]
fn a_trailer_without_a_key_is_a_mistake_of_the_caller() {
    wire::seal(&mut hex(BBO_AUTH), 1850, None);
}

#[test]
#[should_panic(expected = "AUTH is set on the frames that a key signs")]
fn a_key_without_a_trailer_is_a_mistake_of_the_caller() {
    wire::seal(&mut hex(BBO), 1850, Some(&key()));
}

#[test]
fn a_described_frame_names_every_field() {
    let told = described(&hex(BBO));
    assert_eq!(told.msg, "BBO");
    assert_eq!(field(&told.header, "instrument"), &Value::U64(1001));
    assert_eq!(field(&told.header, "price_exp"), &Value::I64(-2));
    assert_eq!(field(&told.root, "ask_px"), &Value::I64(6_512_346));
    assert_eq!(told.records, Vec::<wire::Values>::new());
    assert_eq!((told.header.len(), told.root.len()), (20, 6));
}

fn book_bytes(bids: impl IntoIterator<Item = Level>, asks: impl IntoIterator<Item = Level>) -> Vec<u8> {
    let (bids, asks): (Vec<_>, Vec<_>) = (bids.into_iter().collect(), asks.into_iter().collect());
    let mut bytes = Vec::new();
    digest::book_bytes((bids.len(), bids.into_iter()), (asks.len(), asks.into_iter()), |part| {
        bytes.extend(part);
    });
    bytes
}

#[test]
fn digests_equal_their_vectors() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    let first = digest::chain64(digest::chain64_start(90_000_001), 1, 0x1111_1111);
    assert_eq!(first, 0xef17_a13b_38b4_11e7);
    assert_eq!(digest::chain64(first, 2, 0x2222_2222), 0x87d6_51b1_aebf_63a3);
    assert_eq!(digest::registry_crc([(1001, 1), (1002, 3)]), 0x4cfb_e740);
    let level = |price, qty| Level { price, qty };
    let bytes = book_bytes([level(100, 5), level(99, 7)], [level(101, 3)]);
    assert_eq!(crc32c::crc32c(&bytes), 0x8d8b_99d4);
}

#[test]
fn the_digest_bytes_of_any_book_equal_the_naive_ones() {
    for (bids, asks) in [(0, 0), (1, 0), (0, 1), (63, 1), (64, 64), (65, 200), (70_000, 3)] {
        let side =
            |count: i64, sign: i64| (0..count).map(move |n| Level { price: 500 + sign * n, qty: n * n + 1 });
        let mut bytes = Vec::new();
        for count in [bids, asks] {
            bytes.extend(u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
        }
        for level in side(bids, -1).chain(side(asks, 1)) {
            bytes.extend(level.price.to_le_bytes());
            bytes.extend(level.qty.to_le_bytes());
        }
        assert_eq!(book_bytes(side(bids, -1), side(asks, 1)), bytes, "{bids}, {asks}");
    }
}

#[test]
fn only_the_types_of_the_rule_consume_numbers() {
    let numbered: Vec<u8> = (0..=u8::MAX).filter(|&msg_type| wire::is_numbered(msg_type)).collect();
    let expected: Vec<u8> = [0x00, 0x02].into_iter().chain(0x04..=0x3F).collect();
    assert_eq!(numbered, expected);
}

/// The table of section 6: (type, root, record, most records without and with a MAC), as far as there are records.
const MOST: [(u8, usize, usize, usize, usize); 10] = [
    (msg::HEARTBEAT, 56, 64, 19, 19),
    (msg::BOOK_DELTA, 24, 16, 81, 81),
    (msg::BOOK_SNAPSHOT, 32, 16, 81, 80),
    (msg::TRADE, 0, 40, 33, 33),
    (msg::ORDER_OPS, 16, 48, 27, 27),
    (msg::ORDER_SNAPSHOT, 32, 48, 27, 26),
    (msg::CANDLE, 0, 72, 18, 18),
    (msg::LIQUIDATION, 0, 40, 33, 33),
    (msg::RETX_REQUEST, 16, 16, 82, 81),
    (msg::SNAP_REQUEST, 16, 8, 164, 163),
];

#[test]
fn a_frame_holds_as_many_records_as_the_specification_counts() {
    for (msg_type, root, record, plain, with_mac) in MOST {
        assert_eq!(wire::known_bytes(msg_type), Some((root, record)), "{msg_type:#x}");
        assert_eq!(wire::records_per_frame(root, record, false), plain, "{msg_type:#x}");
        assert_eq!(wire::records_per_frame(root, record, true), with_mac, "{msg_type:#x}");
    }
    assert_eq!(wire::levels_per_frame(size_of::<wire::BookDelta>(), true), 81);
    assert_eq!(wire::levels_per_frame(size_of::<wire::BookSnapshot>(), false), 81);
    assert_eq!(wire::levels_per_frame(size_of::<wire::BookSnapshot>(), true), 80);
    assert_eq!(wire::records_per_frame(0, 1, false), 255);
}

#[test]
fn texts_are_cut_at_a_character_and_read_up_to_the_first_nul() {
    assert_eq!(text_field::<4>("ab"), *b"ab\0\0");
    assert_eq!(text_field::<4>("abcdef"), *b"abcd");
    assert_eq!(text_field::<4>("ab€"), *b"ab\0\0");
    assert_eq!(text_of(b"abcd"), "abcd");
    assert_eq!(text_of(b"ab\0d"), "ab");
    assert_eq!(text_of(b"ab\xE2\x82"), "ab");
    assert_eq!(text_of(b""), "");
}

#[test]
fn a_native_symbol_lies_across_its_two_fields() {
    let long = "x".repeat(31) + "€" + &"y".repeat(37) + "€";
    let (native_symbol, native_more) = wire::split_native_symbol(&long);
    assert_eq!((native_symbol[31], native_more[0]), (0xE2, 0x82));
    let def = InstrumentDef { native_symbol, native_more, ..zeroed() };
    assert_eq!(def.native_symbol_text(), long[..long.len() - 3]);
    let (native_symbol, native_more) = wire::split_native_symbol("BTCUSDT");
    let def = InstrumentDef { native_symbol, native_more, ..zeroed() };
    assert_eq!(def.native_symbol_text(), "BTCUSDT");
}

#[test]
fn every_message_has_a_layout_and_every_layout_a_name() {
    let parts = wire::layouts();
    assert_eq!(parts[0].0, "HEADER");
    assert_eq!(parts[0].3.len(), 20);
    for (message, number, part, fields) in &parts[1..] {
        assert_eq!(name(*number), *message);
        // A PACK is no root and records: its part is the header of a message in it.
        let (root, record) = wire::known_bytes(*number).unwrap_or((0, wire::SUB_HEADER_BYTES));
        let (_, format, offset) = fields.last().unwrap();
        let width = match format.as_str() {
            "u8" | "i8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" | "i64" | "f64" => 8,
            text => text.trim_start_matches("char[").trim_end_matches(']').parse().unwrap(),
        };
        assert_eq!(offset + width, if *part == "root" { root } else { record }, "{message} {part}");
    }
    let messages: std::collections::BTreeSet<u8> = parts[1..].iter().map(|part| part.1).collect();
    assert_eq!(messages.len(), 21);
    let unknown: Vec<_> =
        messages.into_iter().filter(|number| wire::known_bytes(*number).is_none()).collect();
    assert_eq!(unknown, [msg::PACK]);
}

/// Bytes with numbers where the tables of the specification have them.
fn laid_out<const N: usize>(fields: &[(usize, &[u8])]) -> [u8; N] {
    let mut bytes = [0; N];
    for (at, number) in fields {
        bytes[*at..][..number.len()].copy_from_slice(number);
    }
    bytes
}

fn order_ops() -> (wire::OrderOps, [OrderOp; 2], Vec<u8>) {
    let root = wire::OrderOps { first_source_seq: u64::MAX - 8, prev_source_seq: 41 };
    let add = OrderOp {
        order_id: u64::MAX - 1,
        price: -5,
        qty: 1 << 40,
        ref_id: 0,
        priority: 1 << 63,
        op: order_op::ADD,
        side: Side::Ask as u8,
        op_flags: ORDER_TOLD,
        reserved: 0,
    };
    let execute =
        OrderOp { op: order_op::EXECUTE, qty: 3, ref_id: 77, op_flags: ORDER_INFERRED | 153 << 8, ..add };
    let payload = [
        laid_out::<16>(&[(0, &(u64::MAX - 8).to_le_bytes()), (8, &[41])]).as_slice(),
        &laid_out::<48>(&[
            (0, &(u64::MAX - 1).to_le_bytes()),
            (8, &(-5_i64).to_le_bytes()),
            (16, &(1_i64 << 40).to_le_bytes()),
            (32, &(1_u64 << 63).to_le_bytes()),
            (40, &[1]),
            (41, &[2]),
            (42, &[0, 255]),
        ]),
        &laid_out::<48>(&[
            (0, &(u64::MAX - 1).to_le_bytes()),
            (8, &(-5_i64).to_le_bytes()),
            (16, &[3]),
            (24, &[77]),
            (32, &(1_u64 << 63).to_le_bytes()),
            (40, &[5]),
            (41, &[2]),
            (42, &[1, 153]),
        ]),
    ]
    .concat();
    (root, [add, execute], payload)
}

#[test]
fn changes_of_orders_lie_where_the_specification_has_them_alone_and_packed() {
    let (root, ops, payload) = order_ops();
    let header = Header {
        flags: flags::EVENT_END,
        instrument: 7,
        instr_seq: 3,
        ..Header::new(msg::ORDER_OPS, 1, 5, 7)
    };
    let mut buffer = FrameBuf::default();
    wire::seal(buffer.build(&header, &root, &ops), 0, None);
    assert_eq!(buffer.frame()[66..], payload);
    assert_eq!((buffer.frame()[2], buffer.frame()[3], buffer.frame()[8]), (0x18, 48, 2));
    let read = |frame: &Frame<'_>| {
        let Message::OrderOps(got, records) = frame.message() else { panic!("{}", frame.header.msg_type) };
        assert_eq!((got, records.collect::<Vec<_>>()), (root, ops.to_vec()));
    };
    read(&wire::check(buffer.frame()).unwrap());
    let mut pack = wire::PackBuf::default();
    for _ in 0..2 {
        pack.push(&header, &root, &ops).unwrap();
    }
    let frame = pack.close().unwrap();
    wire::seal(frame, 0, None);
    assert_eq!(frame[66 + 32..][..112], payload);
    assert_eq!(frame[66 + 144 + 32..], payload);
    let frame = wire::check(frame).unwrap();
    let Message::Pack(messages) = frame.message() else { panic!("not a pack") };
    assert_eq!(messages.len(), 2);
    messages.for_each(|message| read(&message));
}

#[test]
fn a_fragment_of_orders_lies_where_the_specification_has_it() {
    let root = wire::BookSnapshot {
        snapshot_id: 1,
        frag_index: 2,
        frag_count: 3,
        last_channel_seq: u64::MAX - 3,
        book_checksum: 0x8d8b_99d4,
        total_bids: 5,
        total_asks: u16::MAX,
        depth_limit: 6,
        n_bids: 1,
        checksum_kind: 3,
        def_version: 7,
    };
    let bid = RestingOrder {
        order_id: 11,
        price: 100,
        qty: 5,
        priority: 12,
        order_ts: -13,
        order_flags: ORDER_INFERRED | 153 << 8,
        reserved: [0; 6],
    };
    let ask = RestingOrder { order_id: u64::MAX, price: i64::MIN, order_flags: ORDER_TOLD, ..bid };
    let (id, minus_13) = (u64::MAX.to_le_bytes(), (-13_i64).to_le_bytes());
    let payload = [
        laid_out::<32>(&[
            (0, &[1]),
            (4, &[2]),
            (6, &[3]),
            (8, &(u64::MAX - 3).to_le_bytes()),
            (16, &[0xd4, 0x99, 0x8b, 0x8d]),
            (20, &[5]),
            (22, &[255, 255]),
            (24, &[6]),
            (26, &[1]),
            (27, &[3]),
            (28, &[7]),
        ])
        .as_slice(),
        &laid_out::<48>(&[
            (0, &[11]),
            (8, &[100]),
            (16, &[5]),
            (24, &[12]),
            (32, &minus_13),
            (40, &[1, 153]),
        ]),
        &laid_out::<48>(&[
            (0, &id),
            (15, &[0x80]),
            (16, &[5]),
            (24, &[12]),
            (32, &minus_13),
            (40, &[0, 255]),
        ]),
    ]
    .concat();
    let mut buffer = FrameBuf::default();
    let header = Header::new(msg::ORDER_SNAPSHOT, 1 | wire::CHANNEL_SNAPSHOT, 5, 7);
    wire::seal(buffer.build(&header, &root, &[bid, ask]), 0, None);
    assert_eq!(buffer.frame()[66..], payload);
    assert_eq!((buffer.frame()[2], buffer.frame()[3], buffer.frame()[8]), (0x19, 48, 2));
    let frame = wire::check(buffer.frame()).unwrap();
    let Message::OrderSnapshot(got, records) = frame.message() else { panic!("not orders") };
    assert_eq!(got, root);
    let (bids, asks) = got.sides(records);
    assert_eq!((bids.collect::<Vec<_>>(), asks.collect::<Vec<_>>()), (vec![bid], vec![ask]));
}

#[test]
#[should_panic(expected = "does not fit a frame")]
fn a_frame_that_is_too_long_is_a_mistake_of_the_caller() {
    FrameBuf::default().build(&bbo_header(), &wire::NO_ROOT, &[Level::default(); 84]);
}

#[test]
fn a_checked_frame_can_be_copied_out_of_its_datagram() {
    let padded = [hex(BBO), vec![0xAA; 1400 - 106]].concat();
    let frame: Frame<'_> = wire::check(&padded).unwrap();
    assert_eq!(frame.bytes, hex(BBO));
}
