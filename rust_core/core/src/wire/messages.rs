//! Roots and records of the messages, and the one table that ties them to their type numbers.

use super::decode::{Frame, Records};
use super::header::Header;
use super::layout::{Layout, PartLayout, Values, wire_struct};
use super::pack::{Pack, SubHeader};
use crate::event::{Bbo, Candle, DerivState, Level, OrderOp, RestingOrder, Ticker, Trade};

wire_struct! {
    /// Root of HEARTBEAT (0x01): the publisher is alive, and what a receiver needs to find a hole at the tail.
    #[repr(C)]
    pub struct Heartbeat, 56 {
        /// Random per start of the process; two in one session mean two publishers.
        0 publisher_id: u64,
        /// Oldest frame that can still be asked for; the next number where nothing is kept.
        8 oldest_retx_seq: u64,
        /// [`super::digest::chain64`] of the number before the header's `channel_seq`.
        16 chain64: u64,
        /// The publisher's monotonic clock in nanoseconds; a copy of an old heartbeat shows by it.
        24 mono_ns: i64,
        /// The next frame or heartbeat comes within this time, in microseconds.
        32 max_silence_us: u32,
        /// Time of one snapshot cycle in milliseconds.
        36 snapshot_cycle_ms: u32,
        /// Address of the retransmit server as an integer (127.0.0.1 = 0x7F000001); 0 = none.
        40 retx_ipv4: u32,
        /// Its UDP port; 0 = none.
        44 retx_udp_port: u16,
        /// TCP port of replay and image; 0 = none.
        46 replay_tcp_port: u16,
        /// Estimated error of the wall clock; [`super::CLOCK_ERROR_UNKNOWN`].
        48 clock_err_ns: u32,
        /// One of [`super::publisher_state`].
        52 state: u8,
        /// Generation of the MAC key; 0 without one.
        53 key_id: u8,
        /// 0.
        54 reserved: u16,
    }
}

wire_struct! {
    /// Record of HEARTBEAT (0x01): signed manifest, at most one; see [`super::manifest`].
    #[repr(C)]
    pub struct Manifest, 64 {
        /// Ed25519 signature, or [`super::manifest::UNSIGNED`].
        0 signature: [u8; 64],
    }
}

wire_struct! {
    /// Root of SESSION_START (0x02), always frame 1 of a session.
    #[repr(C)]
    pub struct SessionStart, 64 {
        /// As in the heartbeat.
        0 publisher_id: u64,
        /// Last number of the session before; 0 unknown.
        8 prev_last_seq: u64,
        /// Nanoseconds since the epoch.
        16 start_ts: i64,
        /// Session that this one replaces by plan; 0 = none.
        24 prev_session: u32,
        /// One of [`super::start_reason`].
        28 reason: u32,
        /// Instruments that `registry_crc` covers.
        32 n_instruments: u32,
        /// [`super::digest::registry_crc`].
        36 registry_crc: u32,
        /// Version of the publisher, NUL padded.
        40 build: [u8; 24],
    }
}

wire_struct! {
    /// Root of SESSION_END (0x03): the session is over, un-numbered and repeated.
    #[repr(C)]
    pub struct SessionEnd, 32 {
        /// As in the heartbeat.
        0 publisher_id: u64,
        /// Last number of the session.
        8 last_seq: u64,
        /// [`super::digest::chain64`] of `last_seq`.
        16 chain64: u64,
        /// Free number of the publisher; 0 = none given.
        24 reason: u32,
        /// Session that follows; 0 unknown.
        28 next_session: u32,
    }
}

wire_struct! {
    /// Root of STATUS (0x04).
    #[repr(C)]
    pub struct Status, 56 {
        /// One of [`super::status::scope`].
        0 scope: u8,
        /// One of [`super::status::state`].
        1 state: u8,
        /// One of [`super::status::reason`].
        2 reason: u16,
        /// Connection concerned; 0 = none.
        4 conn_id: u32,
        /// Since when, nanoseconds since the epoch.
        8 since_ts: i64,
        /// What was expected, such as the next exchange sequence number; 0 = does not apply.
        16 expected: u64,
        /// What came instead.
        24 got: u64,
        /// For people, NUL padded.
        32 text: [u8; 16],
        /// Snapshot plane: number of the incremental frame included; otherwise 0.
        48 last_channel_seq: u64,
    }
}

wire_struct! {
    /// Root of CONN (0x05): the publisher's connections to the exchange.
    #[repr(C)]
    pub struct Conn, 48 {
        /// Connections that stand.
        0 connected: u32,
        /// Connections that do not.
        4 disconnected: u32,
        /// Sum of both.
        8 total: u32,
        /// Since the publisher started.
        12 reconnects: u32,
        /// Messages since the publisher started.
        16 messages: u64,
        /// Bytes since the publisher started.
        24 bytes: u64,
        /// The connection; 0 = the whole venue.
        32 conn_id: u32,
        /// Subscriptions it carries.
        36 subscriptions: u32,
        /// Milliseconds since the last message.
        40 silence_ms: u32,
        /// Longest silence expected, in milliseconds.
        44 expected_ms: u32,
    }
}

wire_struct! {
    /// Root of BOOK_DELTA (0x10).
    #[repr(C)]
    pub struct BookDelta, 24 {
        /// First exchange id covered; 0 = the venue has none.
        0 first_source_seq: u64,
        /// The exchange's link to the message before; 0 = none.
        8 prev_source_seq: u64,
        /// Of the book after applying; see `checksum_kind`.
        16 book_checksum: u32,
        /// The first `n_bids` records are bids, the others asks.
        20 n_bids: u8,
        /// One of [`super::checksum_kind`].
        21 checksum_kind: u8,
        /// Levels a side that the venue publishes; 0 = all.
        22 depth_limit: u16,
    }
}

wire_struct! {
    /// Root of BOOK_SNAPSHOT (0x11) and ORDER_SNAPSHOT (0x19), one fragment of a whole book of levels or of orders.
    #[repr(C)]
    pub struct BookSnapshot, 32 {
        /// The same in all fragments of one book.
        0 snapshot_id: u32,
        /// From 0.
        4 frag_index: u16,
        /// How many there are.
        6 frag_count: u16,
        /// Number of the incremental frame included; in-band: number before the first fragment.
        8 last_channel_seq: u64,
        /// Of the whole book, the same in all fragments.
        16 book_checksum: u32,
        /// Bids of the whole book, levels or orders; saturates.
        20 total_bids: u16,
        /// Asks of the whole book, levels or orders; saturates.
        22 total_asks: u16,
        /// Levels a side that the venue publishes; 0 = all.
        24 depth_limit: u16,
        /// The first `n_bids` records of this fragment are bids, the others asks.
        26 n_bids: u8,
        /// [`super::checksum_kind::OURS_ALL`].
        27 checksum_kind: u8,
        /// Version of the definition whose exponents hold.
        28 def_version: u32,
    }
}

wire_struct! {
    /// Root of ORDER_OPS (0x18).
    #[repr(C)]
    pub struct OrderOps, 16 {
        /// First exchange id covered; 0 = the venue has none.
        0 first_source_seq: u64,
        /// The exchange's link to the message before; 0 = none.
        8 prev_source_seq: u64,
    }
}

wire_struct! {
    /// Root of INSTRUMENT_DEF (0x20). Texts are UTF-8, NUL padded.
    #[repr(C)]
    pub struct InstrumentDef, 224 {
        /// One more on every change.
        0 def_version: u32,
        /// One of [`super::kind`].
        4 kind: u8,
        /// One of [`super::status::state`].
        5 status: u8,
        /// As in the header.
        6 price_exp: i8,
        /// As in the header.
        7 qty_exp: i8,
        /// Price step, × 10^`price_exp`; 0 = not given.
        8 tick_size: i64,
        /// Quantity step, × 10^`qty_exp`; 0 = not given.
        16 lot_size: i64,
        /// Smallest quantity, × 10^`qty_exp`; 0 = not given.
        24 min_qty: i64,
        /// What one contract is worth, × 10^`contract_exp`; see `qty_unit`.
        32 contract_size: i64,
        /// Exponent of `contract_size`.
        40 contract_exp: i8,
        /// One of [`super::option_type`].
        41 option_type: u8,
        /// 0 until defined.
        42 venue_type: u16,
        /// Instrument of the same venue that this one derives from; 0 = none.
        44 underlying: u32,
        /// Nanoseconds since the epoch; 0 = none.
        48 expiry_ts: i64,
        /// Strike, × 10^`price_exp`.
        56 strike: i64,
        /// Bytes 0–31 of the venue's own symbol.
        64 native_symbol: [u8; 32],
        /// Canonical symbol without the venue, such as `BTC/USDT:PERP`.
        96 symbol: [u8; 32],
        /// Base currency.
        128 base: [u8; 16],
        /// Quote currency.
        144 quote: [u8; 16],
        /// Currency of settlement.
        160 settle: [u8; 16],
        /// Bytes 32–71 of the venue's own symbol.
        176 native_more: [u8; 40],
        /// One of [`super::qty_unit`].
        216 qty_unit: u8,
        /// Bits of [`super::book_proof`].
        217 book_proof: u8,
        /// 0.
        218 reserved: [u8; 6],
    }
}

wire_struct! {
    /// Root of CYCLE_END (0x21): one round of the snapshot plane is done.
    #[repr(C)]
    pub struct CycleEnd, 24 {
        /// One more on every cycle.
        0 cycle_id: u32,
        /// Instruments sent in it.
        4 n_instruments: u32,
        /// Its first frame: it was heard whole if every number from here to this frame came.
        8 first_snap_seq: u64,
        /// [`super::digest::registry_crc`].
        16 registry_crc: u32,
        /// How long it took, in microseconds.
        20 cycle_us: u32,
    }
}

wire_struct! {
    /// Root of RETX_REQUEST (0x40): a consumer asks for frames again. The header's `channel_seq` is a number of its own
    /// choice, which the reply repeats; the header's channel names the plane.
    #[repr(C)]
    pub struct RetxRequest, 16 {
        /// Random per consumer.
        0 consumer_id: u64,
        /// What the server gave; 0 on the first request, and over TCP.
        8 cookie: u64,
    }
}

wire_struct! {
    /// Record of RETX_REQUEST (0x40): numbers that are wanted. No record at all asks whether the server lives.
    #[repr(C)]
    pub struct RetxRange, 16 {
        /// First number.
        0 begin_seq: u64,
        /// How many; over TCP 0 = all from `begin_seq` on.
        8 n_frames: u32,
        /// 0.
        12 reserved: u32,
    }
}

wire_struct! {
    /// Root of RETX_REPLY (0x41): what the server does about a request. The frames follow, unchanged.
    #[repr(C)]
    pub struct RetxReply, 32 {
        /// Oldest number that can be had.
        0 oldest_seq: u64,
        /// Newest number that can be had.
        8 newest_seq: u64,
        /// To be repeated in every later request.
        16 cookie: u64,
        /// Microseconds to wait before the next request.
        24 retry_after_us: u32,
        /// One of [`super::retx_code`].
        28 code: u16,
        /// Frames that follow; saturates.
        30 n_served: u16,
    }
}

wire_struct! {
    /// Root of SNAP_REQUEST (0x42): a consumer asks for the state of instruments of the header's venue.
    #[repr(C)]
    pub struct SnapRequest, 16 {
        /// Random per consumer.
        0 consumer_id: u64,
        /// What the server gave; 0 on the first request, and over TCP.
        8 cookie: u64,
    }
}

wire_struct! {
    /// Record of SNAP_REQUEST (0x42): one instrument. No record at all asks for everything.
    #[repr(C)]
    pub struct SnapWant, 8 {
        /// Instrument of the header's venue.
        0 instrument: u32,
        /// Bits of [`super::snap_kinds`].
        4 kinds: u32,
    }
}

/// A frame in plain values, for code that does not know the messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Name of the message; `UNKNOWN` for a type of a later version.
    pub msg: &'static str,
    /// The header.
    pub header: Values,
    /// The root; empty where the message has none or is unknown.
    pub root: Values,
    /// The records; of a PACK the sub-headers.
    pub records: Vec<Values>,
    /// The messages of a PACK, each as the frame that it would have been alone.
    pub messages: Vec<Self>,
}

macro_rules! messages {
    ($($(#[$meta:meta])* $number:literal $name:ident $variant:ident $(root $root:ident)? $(record $record:ident)?;)*) => {
        /// Type numbers of the messages that this version reads and writes.
        pub mod msg {
            $($(#[$meta])* pub const $name: u8 = $number;)*
            /// Several messages in one frame.
            pub const PACK: u8 = 0x30;
        }

        /// A frame's payload: the root by copy, the records as a view into the frame.
        #[derive(Clone, Debug)]
        pub enum Message<'a> {
            $($(#[$meta])* $variant($($root,)? $(Records<'a, $record>)?),)*
            /// Several messages.
            Pack(Pack<'a>),
            /// A type that this version does not know: skip and count it, and consume its numbers if
            /// [`super::is_numbered`].
            Unknown {
                /// Its number.
                msg_type: u8,
            },
        }

        impl<'a> Message<'a> {
            /// Reads the payload of a checked frame by the prefixes that this version knows.
            pub(super) fn read(frame: &Frame<'a>) -> Self {
                match frame.header.msg_type {
                    $($number => Self::$variant($(frame.root::<$root>(),)? $(frame.records::<$record>())?),)*
                    msg::PACK => Self::Pack(Pack::of(frame)),
                    msg_type => Self::Unknown { msg_type },
                }
            }
        }

        /// Bytes of root and record that a type has at least; `None` for a type that this version does not know, and for
        /// PACK, which has neither.
        #[must_use]
        pub fn known_bytes(msg_type: u8) -> Option<(usize, usize)> {
            match msg_type {
                $($number => Some((0 $(+ size_of::<$root>())?, 0 $(+ size_of::<$record>())?)),)*
                _ => None,
            }
        }

        /// Name of a type as `docs/wire-format.md` writes it; `UNKNOWN` for one that this version does not know.
        #[must_use]
        pub fn name(msg_type: u8) -> &'static str {
            match msg_type {
                $($number => stringify!($name),)*
                msg::PACK => "PACK",
                _ => "UNKNOWN",
            }
        }

        /// Every part of every message as the compiler laid it out; the header first, as message `HEADER`, type 0.
        #[must_use]
        pub fn layouts() -> Vec<PartLayout> {
            let mut parts = vec![("HEADER", 0, "header", Header::fields())];
            $(
                $(parts.push((stringify!($name), $number, "root", $root::fields()));)?
                $(parts.push((stringify!($name), $number, "record", $record::fields()));)?
            )*
            parts.push(("PACK", msg::PACK, "record", SubHeader::fields()));
            parts
        }

        /// A checked frame in plain values. Allocates; meant for tests and tools.
        #[must_use]
        pub fn describe(frame: &Frame<'_>) -> Described {
            let header = frame.header;
            let mut described = Described {
                msg: name(header.msg_type),
                header: header.values(),
                root: Vec::new(),
                records: Vec::new(),
                messages: Vec::new(),
            };
            match header.msg_type {
                $($number => {
                    $(described.root = frame.root::<$root>().values();)?
                    $(described.records = frame.records::<$record>().map(|record| record.values()).collect();)?
                })*
                msg::PACK => {
                    let pack = Pack::of(frame);
                    described.records = pack.sub_headers().map(|sub| sub.values()).collect();
                    described.messages = pack.map(|message| describe(&message)).collect();
                }
                _ => {}
            }
            described
        }
    };
}

messages! {
    /// The publisher is alive.
    0x01 HEARTBEAT Heartbeat root Heartbeat record Manifest;
    /// First frame of a session.
    0x02 SESSION_START SessionStart root SessionStart;
    /// The session is over.
    0x03 SESSION_END SessionEnd root SessionEnd;
    /// State of an instrument, connection, venue or channel.
    0x04 STATUS Status root Status;
    /// Counters of the connections to the exchange.
    0x05 CONN Conn root Conn;
    /// Changed levels; bids first.
    0x10 BOOK_DELTA BookDelta root BookDelta record Level;
    /// Fragment of a whole book; bids first.
    0x11 BOOK_SNAPSHOT BookSnapshot root BookSnapshot record Level;
    /// Trades.
    0x12 TRADE Trade record Trade;
    /// Best bid and ask.
    0x13 BBO Bbo root Bbo;
    /// 24-hour ticker.
    0x14 TICKER_24H Ticker root Ticker;
    /// Changes of orders, in the order in which they happened.
    0x18 ORDER_OPS OrderOps root OrderOps record OrderOp;
    /// Fragment of all orders of a book; bids first, the front of a level first.
    0x19 ORDER_SNAPSHOT OrderSnapshot root BookSnapshot record RestingOrder;
    /// Definition of an instrument.
    0x20 INSTRUMENT_DEF InstrumentDef root InstrumentDef;
    /// End of a snapshot cycle.
    0x21 CYCLE_END CycleEnd root CycleEnd;
    /// Candles.
    0x28 CANDLE Candle record Candle;
    /// Funding, mark price, open interest.
    0x29 DERIV_STATE DerivState root DerivState;
    /// Liquidations.
    0x2A LIQUIDATION Liquidation record Trade;
    /// Frames are asked for again.
    0x40 RETX_REQUEST RetxRequest root RetxRequest record RetxRange;
    /// What the server does about it.
    0x41 RETX_REPLY RetxReply root RetxReply;
    /// The state of instruments is asked for.
    0x42 SNAP_REQUEST SnapRequest root SnapRequest record SnapWant;
}
