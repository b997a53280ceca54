//! A publisher for the receiver's tests: real levels and trades in, sealed frames out, and what the books were.
#![allow(dead_code)] // Each test binary uses a part of it.

pub(crate) mod asks;
pub(crate) mod pair;
#[path = "../rng/mod.rs"]
pub(crate) mod rng;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use outcrier_core::book::Book;
use outcrier_core::event::{Bbo, DerivState, Level, NOT_GIVEN, OrderOp, RestingOrder, Side, Trade, present};
use outcrier_core::orders::OrderBook;
use outcrier_core::publish::Plane;
use outcrier_core::receive::{Delivered, Line, Lost, Reported, Sink, StateChange};
use outcrier_core::wire::{
    self, BookDelta, BookSnapshot, CycleEnd, FrameBuf, Header, Heartbeat, InstrumentDef, NO_RECORDS, NO_ROOT,
    OrderOps, PackBuf, SessionEnd, SessionStart, Status, checksum_kind, digest, flags, msg, status,
    text_field, zeroed,
};
use serde_json::Value;

pub(crate) const VENUE: u16 = 2;
pub(crate) const CHANNEL: u8 = 2;
pub(crate) const SESSION: u32 = 90_000_001;
pub(crate) const PRICE_EXP: i8 = -2;
pub(crate) const QTY_EXP: i8 = -5;
/// Levels a frame: small, so that real events are split often.
pub(crate) const LEVELS_A_FRAME: usize = 20;

/// Changes of orders a frame.
pub(crate) const ORDERS_A_FRAME: usize = 10;
/// Exchange time of every frame.
pub(crate) const EXCHANGE_TS: i64 = 1_700_000_000_000_000_000;

/// One real message of an exchange.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Levels { bids: Vec<Level>, asks: Vec<Level>, id: u64, ts: i64 },
    Trade(Trade),
}

/// Messages of one capture, `None` (with the reason on stderr) where the captures are missing.
pub(crate) fn load(capture: &str, most: usize) -> Option<Vec<Load>> {
    let root = std::env::var_os("OUTCRIER_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = root.join("captures").join(capture);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "skipped: {}: {error}", path.display());
            return None;
        }
    };
    let mut loads = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line: Value = serde_json::from_str(&line.ok()?).ok()?;
        let Some(text) = line["d"].as_str() else { continue };
        let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
        loads.extend(read(&message["data"]));
        if loads.len() == most {
            break;
        }
    }
    Some(loads)
}

fn read(data: &Value) -> Option<Load> {
    let ms = |key: &str| data[key].as_i64().map(|ms| ms * 1_000_000);
    match data["e"].as_str()? {
        "depthUpdate" => Some(Load::Levels {
            bids: levels(&data["b"])?,
            asks: levels(&data["a"])?,
            id: data["u"].as_u64()?,
            ts: ms("E")?,
        }),
        "trade" => Some(Load::Trade(Trade {
            price: mantissa(data["p"].as_str()?, PRICE_EXP)?,
            qty: mantissa(data["q"].as_str()?, QTY_EXP)?,
            trade_id: data["t"].as_u64()?,
            trade_ts: ms("T")?,
            aggressor: if data["m"].as_bool()? { 2 } else { 1 },
            n_fills: 1,
            ..Trade::default()
        })),
        _ => None,
    }
}

fn levels(rows: &Value) -> Option<Vec<Level>> {
    let level = |row: &Value| {
        Some(Level {
            price: mantissa(row[0].as_str()?, PRICE_EXP)?,
            qty: mantissa(row[1].as_str()?, QTY_EXP)?,
        })
    };
    rows.as_array()?.iter().map(level).collect()
}

fn mantissa(text: &str, exp: i8) -> Option<i64> {
    let places = usize::from(exp.unsigned_abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    format!("{whole}{fraction:0<places$}").parse().ok()
}

/// Gives a frame that was changed the CRC that its lengths ask for, if they fit.
pub(crate) fn mend_crc(frame: &mut [u8]) {
    let end = wire::HEADER_BYTES + usize::from(u16::from_le_bytes([frame[6], frame[7]]));
    if let Some(payload) = frame.get(wire::HEADER_BYTES..end) {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..62]), payload);
        frame[62..66].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Hash of the publisher's book by (session, instrument, number), at the end of each event.
pub(crate) type Truth = HashMap<(u32, u32, u32), u64>;

pub(crate) struct Instrument {
    pub(crate) id: u32,
    pub(crate) seq: u32,
    pub(crate) def: InstrumentDef,
    pub(crate) book: Book,
    pub(crate) source_seq: u64,
    pub(crate) status: u8,
    pub(crate) deriv: Option<DerivState>,
    /// Its orders, if it tells of them.
    pub(crate) orders: Option<OrderBook>,
}

/// What a real publisher does with numbers and digests, and nothing else.
pub(crate) struct Publisher {
    /// Address, UDP and TCP port of the server that heartbeats name.
    pub(crate) retx: (u32, u16, u16),
    pub(crate) session: u32,
    pub(crate) id: u64,
    pub(crate) next_seq: u64,
    pub(crate) next_snapshot_seq: u64,
    pub(crate) chain: u64,
    pub(crate) mono_ns: i64,
    pub(crate) session_flags: u16,
    pub(crate) packs: bool,
    pub(crate) instruments: BTreeMap<u32, Instrument>,
    pub(crate) out: Vec<(Line, Vec<u8>)>,
    pub(crate) truth: Truth,
    pub(crate) frames: Vec<Vec<u8>>,
    cycle_id: u32,
    buf: FrameBuf,
    pack: PackBuf,
}

pub(crate) fn definition(symbol: &str, version: u32) -> InstrumentDef {
    InstrumentDef {
        def_version: version,
        kind: wire::kind::SPOT,
        status: status::state::LIVE,
        price_exp: PRICE_EXP,
        qty_exp: QTY_EXP,
        tick_size: 1,
        lot_size: 1,
        symbol: text_field(symbol),
        ..zeroed()
    }
}

impl Publisher {
    pub(crate) fn new(session: u32, id: u64) -> Self {
        Self {
            retx: (0, 0, 0),
            session,
            id,
            next_seq: 1,
            next_snapshot_seq: 1,
            chain: digest::chain64_start(session),
            mono_ns: 1,
            session_flags: 0,
            packs: false,
            instruments: BTreeMap::new(),
            out: Vec::new(),
            truth: Truth::new(),
            frames: Vec::new(),
            cycle_id: 0,
            buf: FrameBuf::default(),
            pack: PackBuf::default(),
        }
    }

    /// Whether messages share PACKs until they are taken.
    pub(crate) fn packing(self, packs: bool) -> Self {
        Self { packs, ..self }
    }

    /// The frames made since the last call.
    pub(crate) fn take(&mut self) -> Vec<(Line, Vec<u8>)> {
        self.close_pack();
        std::mem::take(&mut self.out)
    }

    /// The one frame made since the last call.
    pub(crate) fn one(&mut self) -> Vec<u8> {
        let mut made = self.take();
        assert_eq!(made.len(), 1);
        made.remove(0).1
    }

    fn header(&self, msg_type: u8, channel: u8, seq: u64) -> Header {
        Header {
            channel_seq: seq,
            flags: self.session_flags,
            exchange_ts: EXCHANGE_TS,
            recv_ts: 1_700_000_000_000_001_000,
            price_exp: PRICE_EXP,
            qty_exp: QTY_EXP,
            ..Header::new(msg_type, channel, self.session, VENUE)
        }
    }

    fn send<T, R>(&mut self, line: Line, header: &Header, root: &T, records: &[R]) -> u32
    where
        T: zerocopy::IntoBytes + zerocopy::Immutable,
        R: zerocopy::IntoBytes + zerocopy::Immutable,
    {
        let frame = self.buf.build(header, root, records);
        let crc = wire::seal(frame, 777, None);
        self.out.push((line, frame.to_vec()));
        crc
    }

    /// A numbered frame of line A; `instrument` 0 = of the channel.
    pub(crate) fn numbered<T, R>(&mut self, msg_type: u8, instrument: u32, bits: u16, root: &T, records: &[R])
    where
        T: zerocopy::IntoBytes + zerocopy::Immutable,
        R: zerocopy::IntoBytes + zerocopy::Immutable,
    {
        let mut header = self.header(msg_type, CHANNEL, self.next_seq);
        header.flags |= bits;
        if let Some(known) = self.instruments.get_mut(&instrument) {
            known.seq = known.seq.wrapping_add(1);
            header.instrument = instrument;
            header.instr_seq = known.seq;
            header.source_seq = known.source_seq;
            (header.price_exp, header.qty_exp) = (known.def.price_exp, known.def.qty_exp);
            if bits & flags::EVENT_END != 0 {
                self.truth.insert((self.session, instrument, known.seq), known.book.hash());
            }
        }
        if self.packs && self.pack.push(&header, root, records).is_ok() {
            return;
        }
        self.close_pack();
        header.channel_seq = self.next_seq;
        if self.packs && self.pack.push(&header, root, records).is_ok() {
            return;
        }
        let crc = self.send(Line::A, &header, root, records);
        self.count(crc);
    }

    /// Sends what shares a PACK so far.
    fn close_pack(&mut self) {
        let Some(frame) = self.pack.close() else { return };
        let crc = wire::seal(frame, 777, None);
        self.out.push((Line::A, frame.to_vec()));
        self.count(crc);
    }

    fn count(&mut self, crc: u32) {
        self.chain = digest::chain64(self.chain, self.next_seq, crc);
        self.next_seq += 1;
    }

    pub(crate) fn start(&mut self, prev_session: u32) {
        let root = SessionStart { publisher_id: self.id, prev_session, reason: 1, ..zeroed() };
        self.numbered(msg::SESSION_START, 0, flags::EVENT_END, &root, NO_RECORDS);
    }

    pub(crate) fn define(&mut self, id: u32, def: InstrumentDef) {
        let fresh = Instrument {
            id,
            seq: 0,
            def,
            book: Book::new(1),
            source_seq: 0,
            status: def.status,
            deriv: None,
            orders: None,
        };
        let known = self.instruments.entry(id).or_insert(fresh);
        (known.def, known.status) = (def, def.status);
        self.numbered(msg::INSTRUMENT_DEF, id, flags::EVENT_END, &def, NO_RECORDS);
    }

    pub(crate) fn status(&mut self, id: u32, state: u8, reason: u16) {
        if let Some(known) = self.instruments.get_mut(&id) {
            known.status = state;
        }
        let root = Status { scope: status::scope::INSTRUMENT, state, reason, ..zeroed() };
        self.numbered(msg::STATUS, id, flags::EVENT_END, &root, NO_RECORDS);
    }

    /// BOOK_DELTA, split where it is long; the last part has a checksum of that kind.
    pub(crate) fn delta(&mut self, id: u32, bids: &[Level], asks: &[Level], source_seq: u64, kind: u8) {
        let known = self.instruments.get_mut(&id).expect("defined");
        known.source_seq = source_seq;
        for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
            for level in levels {
                known.book.set(side, level.price, level.qty);
            }
        }
        let checksum = checksum(&known.book, kind);
        let parts = parts(bids, asks, LEVELS_A_FRAME);
        let last = parts.len() - 1;
        for (at, (n_bids, records)) in parts.into_iter().enumerate() {
            let is_last = at == last;
            let root = BookDelta {
                n_bids,
                checksum_kind: if is_last { kind } else { 0 },
                book_checksum: if is_last { checksum } else { 0 },
                ..zeroed()
            };
            let bits = if is_last { flags::EVENT_END } else { 0 };
            self.numbered(msg::BOOK_DELTA, id, bits, &root, &records);
        }
    }

    /// The whole book in-band, RESET on the first fragment.
    pub(crate) fn whole_book(&mut self, id: u32) {
        self.close_pack();
        let fragments = self.fragments(id, self.next_seq - 1);
        self.in_band(msg::BOOK_SNAPSHOT, id, fragments);
    }

    fn in_band<R>(&mut self, msg_type: u8, id: u32, fragments: Vec<(BookSnapshot, Vec<R>)>)
    where
        R: zerocopy::IntoBytes + zerocopy::Immutable,
    {
        let last = fragments.len() - 1;
        for (at, (root, records)) in fragments.into_iter().enumerate() {
            let mut bits = if at == 0 { flags::RESET } else { 0 };
            bits |= if at == last { flags::EVENT_END } else { 0 };
            self.numbered(msg_type, id, bits, &root, &records);
        }
    }

    fn fragments(&self, id: u32, last_channel_seq: u64) -> Vec<(BookSnapshot, Vec<Level>)> {
        let book = &self.instruments[&id].book;
        let bids: Vec<Level> = book.levels(Side::Bid).collect();
        let asks: Vec<Level> = book.levels(Side::Ask).collect();
        self.cut(parts(&bids, &asks, LEVELS_A_FRAME), book.checksum(None), last_channel_seq)
    }

    fn order_fragments(&self, id: u32, last_channel_seq: u64) -> Vec<(BookSnapshot, Vec<RestingOrder>)> {
        let Some(orders) = &self.instruments[&id].orders else { return Vec::new() };
        let all: Vec<RestingOrder> = orders.snapshot().collect();
        let (bids, asks) = all.split_at(orders.queues().len_of(Side::Bid));
        self.cut(parts(bids, asks, ORDERS_A_FRAME), orders.checksum(), last_channel_seq)
    }

    fn cut<R>(
        &self,
        parts: Vec<(u8, Vec<R>)>,
        book_checksum: u32,
        last_channel_seq: u64,
    ) -> Vec<(BookSnapshot, Vec<R>)> {
        let frag_count = u16::try_from(parts.len()).unwrap();
        let root = |(at, (n_bids, records)): (usize, (u8, Vec<R>))| {
            let root = BookSnapshot {
                snapshot_id: self.cycle_id,
                frag_index: u16::try_from(at).unwrap(),
                frag_count,
                last_channel_seq,
                book_checksum,
                n_bids,
                checksum_kind: checksum_kind::OURS_ALL,
                ..zeroed()
            };
            (root, records)
        };
        parts.into_iter().enumerate().map(root).collect()
    }

    /// The whole of the orders in-band, RESET on the first fragment.
    pub(crate) fn whole_orders(&mut self, id: u32) {
        self.close_pack();
        let fragments = self.order_fragments(id, self.next_seq - 1);
        self.in_band(msg::ORDER_SNAPSHOT, id, fragments);
    }

    /// ORDER_OPS of one event, split where it is long; what does not fit the publisher's orders leaves them as they are.
    pub(crate) fn order_ops(&mut self, id: u32, ops: &[OrderOp]) {
        if let Some(orders) = self.instruments.get_mut(&id).and_then(|known| known.orders.as_mut()) {
            for op in ops {
                let _ = orders.apply(op, EXCHANGE_TS);
            }
        }
        let mut parts = ops.chunks(ORDERS_A_FRAME).peekable();
        while let Some(part) = parts.next() {
            let bits = if parts.peek().is_none() { flags::EVENT_END } else { 0 };
            self.numbered(msg::ORDER_OPS, id, bits, &zeroed::<OrderOps>(), part);
        }
    }

    pub(crate) fn trades(&mut self, id: u32, trades: &[Trade]) {
        self.numbered(msg::TRADE, id, flags::EVENT_END, &NO_ROOT, trades);
    }

    pub(crate) fn bbo(&mut self, id: u32) {
        let book = &self.instruments[&id].book;
        let (bid, ask) = (book.best(Side::Bid), book.best(Side::Ask));
        let bbo = Bbo {
            bid_px: bid.map_or(NOT_GIVEN, |level| level.price),
            bid_qty: bid.map_or(0, |level| level.qty),
            ask_px: ask.map_or(NOT_GIVEN, |level| level.price),
            ask_qty: ask.map_or(0, |level| level.qty),
            bid_orders: 0,
            ask_orders: 0,
        };
        self.numbered(msg::BBO, id, flags::EVENT_END, &bbo, NO_RECORDS);
    }

    pub(crate) fn deriv(&mut self, id: u32, mark_px: i64) {
        let root = DerivState { present: present::MARK_PX, mark_px, ..empty_deriv() };
        self.instruments.get_mut(&id).expect("defined").deriv = Some(root);
        self.numbered(msg::DERIV_STATE, id, flags::EVENT_END, &root, NO_RECORDS);
    }

    pub(crate) fn load(&mut self, id: u32, load: &Load, kind: u8) {
        match load {
            Load::Levels { bids, asks, id: source_seq, .. } => self.delta(id, bids, asks, *source_seq, kind),
            Load::Trade(trade) => self.trades(id, &[*trade]),
        }
    }

    fn unnumbered<T: zerocopy::IntoBytes + zerocopy::Immutable>(&mut self, msg_type: u8, root: &T) {
        let header = self.header(msg_type, CHANNEL, self.next_seq);
        self.send(Line::A, &header, root, NO_RECORDS);
    }

    pub(crate) fn heartbeat(&mut self) {
        self.close_pack();
        self.mono_ns += 1;
        let root = Heartbeat {
            publisher_id: self.id,
            chain64: self.chain,
            mono_ns: self.mono_ns,
            state: 1,
            retx_ipv4: self.retx.0,
            retx_udp_port: self.retx.1,
            replay_tcp_port: self.retx.2,
            ..zeroed()
        };
        self.unnumbered(msg::HEARTBEAT, &root);
    }

    pub(crate) fn end(&mut self, next_session: u32) {
        self.close_pack();
        let root = SessionEnd {
            publisher_id: self.id,
            last_seq: self.next_seq - 1,
            chain64: self.chain,
            next_session,
            reason: 0,
        };
        self.unnumbered(msg::SESSION_END, &root);
    }

    fn on_snapshot_plane<T, R>(&mut self, msg_type: u8, id: u32, bits: u16, root: &T, records: &[R])
    where
        T: zerocopy::IntoBytes + zerocopy::Immutable,
        R: zerocopy::IntoBytes + zerocopy::Immutable,
    {
        let mut header = self.header(msg_type, CHANNEL | wire::CHANNEL_SNAPSHOT, self.next_snapshot_seq);
        header.flags |= bits;
        if let Some(known) = self.instruments.get(&id) {
            (header.instrument, header.instr_seq, header.source_seq) = (id, known.seq, known.source_seq);
            (header.price_exp, header.qty_exp) = (known.def.price_exp, known.def.qty_exp);
        }
        self.send(Line::Snapshot, &header, root, records);
        self.next_snapshot_seq += 1;
    }

    /// One group of the snapshot plane: definition, status, levels, orders, derivative state.
    pub(crate) fn group(&mut self, id: u32) {
        self.close_pack();
        let last_channel_seq = self.next_seq - 1;
        let known = &self.instruments[&id];
        let (def, deriv, state) = (known.def, known.deriv, known.status);
        let fragments = self.fragments(id, last_channel_seq);
        let orders = self.order_fragments(id, last_channel_seq);
        let last = fragments.len() + orders.len() - 1;
        let n_levels = fragments.len();
        self.on_snapshot_plane(msg::INSTRUMENT_DEF, id, 0, &def, NO_RECORDS);
        let root = Status { scope: status::scope::INSTRUMENT, state, last_channel_seq, ..zeroed() };
        self.on_snapshot_plane(msg::STATUS, id, 0, &root, NO_RECORDS);
        for (at, (root, records)) in fragments.into_iter().enumerate() {
            let bits = if at == last && deriv.is_none() { flags::EVENT_END } else { 0 };
            self.on_snapshot_plane(msg::BOOK_SNAPSHOT, id, bits, &root, &records);
        }
        for (at, (root, records)) in orders.into_iter().enumerate() {
            let bits = if n_levels + at == last && deriv.is_none() { flags::EVENT_END } else { 0 };
            self.on_snapshot_plane(msg::ORDER_SNAPSHOT, id, bits, &root, &records);
        }
        if let Some(deriv) = deriv {
            self.on_snapshot_plane(msg::DERIV_STATE, id, flags::EVENT_END, &deriv, NO_RECORDS);
        }
    }

    pub(crate) fn cycle(&mut self) {
        let first_snap_seq = self.next_snapshot_seq;
        let ids: Vec<u32> = self.instruments.keys().copied().collect();
        ids.iter().for_each(|&id| self.group(id));
        self.cycle_end(first_snap_seq);
    }

    pub(crate) fn cycle_end(&mut self, first_snap_seq: u64) {
        self.cycle_id += 1;
        let live = || self.instruments.values().filter(|known| known.status != status::state::DELISTED);
        let root = CycleEnd {
            cycle_id: self.cycle_id,
            n_instruments: u32::try_from(live().count()).unwrap(),
            first_snap_seq,
            registry_crc: digest::registry_crc(live().map(|known| (known.id, known.def.def_version))),
            cycle_us: 1,
        };
        self.on_snapshot_plane(msg::CYCLE_END, 0, flags::EVENT_END, &root, NO_RECORDS);
    }
}

pub(crate) fn empty_deriv() -> DerivState {
    DerivState {
        present: 0,
        funding_interval_s: 0,
        mark_px: NOT_GIVEN,
        index_px: NOT_GIVEN,
        settle_px: NOT_GIVEN,
        funding_rate: NOT_GIVEN,
        next_rate: NOT_GIVEN,
        next_funding_ts: NOT_GIVEN,
        open_interest: f64::NAN,
        oi_value: f64::NAN,
    }
}

fn checksum(book: &Book, kind: u8) -> u32 {
    match kind {
        checksum_kind::OURS_25 => book.checksum(Some(25)),
        checksum_kind::OURS_ALL => book.checksum(None),
        _ => 0,
    }
}

/// Levels or orders cut into frames: bids first. At least one part, also where there are none.
fn parts<R: Copy>(bids: &[R], asks: &[R], per_frame: usize) -> Vec<(u8, Vec<R>)> {
    let mut all: Vec<(bool, R)> = bids.iter().map(|&record| (true, record)).collect();
    all.extend(asks.iter().map(|&record| (false, record)));
    if all.is_empty() {
        return vec![(0, Vec::new())];
    }
    let part = |part: &[(bool, R)]| {
        let n_bids = part.iter().filter(|(is_bid, _)| *is_bid).count();
        (u8::try_from(n_bids).unwrap(), part.iter().map(|&(_, record)| record).collect())
    };
    all.chunks(per_frame).map(part).collect()
}

/// What a receiver told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Frame { msg_type: u8, instrument: u32, instr_seq: u32, state: Reported, unsure: bool, recovered: bool },
    Snapshot { msg_type: u8, instrument: u32, instr_seq: u32 },
    State { instrument: u32, to: Reported, reason: u16 },
    Lost { instrument: u32, first: u32, count: u64 },
}

/// Keeps everything told.
#[derive(Debug, Default)]
pub(crate) struct Log(pub(crate) Vec<Told>);

impl Log {
    pub(crate) fn take(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.0)
    }
}

impl Sink for Log {
    fn deliver(&mut self, delivered: &Delivered<'_>) {
        let header = delivered.frame.header;
        let (msg_type, instrument, instr_seq) = (header.msg_type, header.instrument, header.instr_seq);
        self.0.push(match delivered.plane {
            Plane::Snapshot => Told::Snapshot { msg_type, instrument, instr_seq },
            Plane::Incremental => Told::Frame {
                msg_type,
                instrument,
                instr_seq,
                state: delivered.state,
                unsure: delivered.unsure,
                recovered: delivered.recovered,
            },
        });
    }

    fn state(&mut self, change: &StateChange) {
        let (instrument, to, reason) = (change.instrument, change.to, change.reason);
        self.0.push(Told::State { instrument, to, reason });
    }

    fn lost(&mut self, lost: &Lost) {
        self.0.push(Told::Lost { instrument: lost.instrument, first: lost.first, count: lost.count });
    }
}
