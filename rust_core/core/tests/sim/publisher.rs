//! A publisher in a world: the real feed and retransmit server, and an exchange that plays real messages to it.

use std::net::{Ipv4Addr, SocketAddrV4};

use outcrier_core::event::{Ids, OrderOp};
use outcrier_core::feed::{BookState, Feed, Image, NoticeKind, OrderEvent};
use outcrier_core::publish::arbitration::{Arbiter, Own};
use outcrier_core::publish::{Arrival, Host, Opening, Plane, Repair, SessionInfo};
use outcrier_core::retransmit::{Answers, Limits, Server, ServerConfig, SnapWanted, Streams, Then};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::auth::Keyring;
use outcrier_core::wire::{InstrumentDef, kind, status, text_field, zeroed};

use crate::host::{Bytes, Left, SimHost};
use crate::load::{Load, Orders, Source};
use crate::rng::Rng;
use crate::truth::{Truth, hash_of};

pub(crate) const VENUE: u16 = 3;
pub(crate) const CHANNEL: u8 = 3;
/// The wall clock when a world begins.
pub(crate) const EPOCH_NS: i64 = 1_700_000_000_000_000_000;

/// Where the exchange stands with one instrument.
#[derive(Debug)]
struct Stream {
    symbol: String,
    source: &'static Source,
    position: usize,
    /// Of the next event of orders.
    order_position: usize,
    /// The exchange, or the way from it, lost an event of orders since all of them were given.
    missed_orders: bool,
    /// A REST answer is under way.
    asked: bool,
}

/// What all publishers of a world have in common.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) limits: Limits,
    pub(crate) server: ServerConfig,
    /// They hear each other, and the lower session stops.
    pub(crate) guarded: bool,
}

/// How a publisher begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) session: u32,
    pub(crate) id: u64,
    pub(crate) prev_session: u32,
    pub(crate) packs: bool,
    pub(crate) instruments: u32,
    /// Its exchange tells of orders, too.
    pub(crate) orders: bool,
    /// Which ports its servers have; who comes after one that is gone may have the same.
    pub(crate) ports: u16,
    /// Numbers begin here instead of at 1, as if so much had been published before anyone listened.
    pub(crate) jump: Option<(u64, u32)>,
}

/// One process that publishes.
#[derive(Debug)]
pub(crate) struct SimPublisher {
    pub(crate) start: Start,
    pub(crate) feed: Feed,
    pub(crate) host: SimHost,
    streams: Vec<Stream>,
    orders: &'static Orders,
    message: Vec<u8>,
    ops: Vec<OrderOp>,
    /// Sends and hears; a stopped one (SIGSTOP) does neither, a dead one never again.
    pub(crate) is_alive: bool,
    /// Its exchange says something.
    pub(crate) plays: bool,
    /// Its numbers run out: a new session is due.
    pub(crate) is_full: bool,
    pub(crate) server: Server,
    pub(crate) streams_server: Streams,
    pub(crate) arbiter: Option<Arbiter>,
    compared: u32,
}

/// Messages behind which an event of orders comes.
const ORDERS_PER_MILLE: u64 = 300;
/// Recorded events that now and then come as one, too long for a frame.
const ORDER_EVENTS_AT_ONCE: usize = 40;
/// Ports of the publisher at a place.
const UDP_PORT: u16 = 40_000;
const TCP_PORT: u16 = 41_000;

/// [`Start::ports`] of the publisher that has this port.
pub(crate) fn ports_of(port: u16) -> u16 {
    if port >= TCP_PORT { port - TCP_PORT } else { port - UDP_PORT }
}

/// Wire id of the n-th instrument; the first one has a large number, as venues that hash their names give.
pub(crate) fn wire_id(index: u32) -> u32 {
    if index == 0 { 4_000_000_000 } else { 10 + index }
}

fn definition(symbol: &str) -> InstrumentDef {
    InstrumentDef {
        def_version: 1,
        kind: kind::PERPETUAL,
        status: status::state::LIVE,
        price_exp: -2,
        tick_size: 1,
        lot_size: 1,
        contract_size: 1,
        native_symbol: text_field(symbol),
        symbol: text_field(symbol),
        ..zeroed()
    }
}

impl SimPublisher {
    pub(crate) fn new(
        load: &'static Load,
        start: Start,
        means: &Means,
        (now_ns, wall_offset_ns): (u64, i64),
    ) -> Self {
        let ids: Vec<u32> = (0..start.instruments).map(wire_id).collect();
        let keys: Option<&Keyring> = means.server.keys.as_ref();
        let info = SessionInfo {
            venue: VENUE,
            channel: CHANNEL,
            session: start.session,
            publisher_id: start.id,
            prev_session: start.prev_session,
            reason: 2,
            opening: Opening::of(0, &ids),
            signer: keys.map(|keys| keys.signer(CHANNEL, start.session)),
            replay: false,
            test: false,
            pack: start.packs,
            build: "simulation".to_owned(),
        };
        let decoder = Decoder::compile(&load.shapes).expect("a declaration of the product");
        let repair = Repair {
            ipv4: Ipv4Addr::LOCALHOST.to_bits(),
            udp_port: UDP_PORT + start.ports,
            tcp_port: TCP_PORT + start.ports,
            oldest_seq: None,
        };
        let mut host = SimHost::new(now_ns, wall_offset_ns, means.limits, repair);
        let arrival = Arrival { recv_ts: host.wall_ns(), mono_ns: now_ns };
        let mut feed = Feed::start(info, decoder, &mut host, arrival).expect("a declaration of the product");
        let mut streams = Vec::new();
        for index in 0..start.instruments {
            let symbol = format!("S{index:04}");
            let def = definition(&symbol);
            feed.add_instrument(wire_id(index), &symbol, &def, true, &mut host, arrival).expect("a new one");
            let source = &load.sources[index as usize % load.sources.len()];
            streams.push(Stream {
                symbol,
                source,
                position: 0,
                // Not all instruments in the same orders at the same time.
                order_position: 150 * index as usize,
                missed_orders: false,
                asked: false,
            });
        }
        feed.flush(&mut host);
        if let Some((channel_seq, instr_seq)) = start.jump {
            feed.jump_to(channel_seq, instr_seq, &mut host);
            host = SimHost::new(now_ns, wall_offset_ns, means.limits, repair); // What was said, was said to nobody.
        }
        let own = Own { channel: CHANNEL, session: start.session, publisher_id: start.id, drill: false };
        let arbiter = means.guarded.then(|| {
            let mut arbiter = Arbiter::new(None);
            arbiter.begin(own);
            arbiter
        });
        Self {
            start,
            feed,
            host,
            streams,
            orders: &load.orders,
            message: Vec::new(),
            ops: Vec::new(),
            is_alive: true,
            plays: true,
            is_full: false,
            server: Server::new(&means.server, now_ns),
            streams_server: Streams::new(&means.server, now_ns),
            arbiter,
            compared: 0,
        }
    }

    fn arrival(&mut self) -> Arrival {
        Arrival { recv_ts: self.host.wall_ns(), mono_ns: self.host.now_ns }
    }

    /// One socket read: messages of instruments drawn by `rng`.
    pub(crate) fn read(&mut self, messages: u64, rng: &mut Rng, gap_per_mille: u64) {
        for _ in 0..messages {
            let quiet = self.streams.len() - 1;
            let index = match rng.place(self.streams.len()) {
                // The last one hardly ever speaks: only the snapshot plane can tell whether something of it was lost.
                index if index == quiet && rng.chance(950) => 0,
                index => index,
            };
            // The exchange, or the way from it, loses one.
            let skips = rng.chance(gap_per_mille);
            self.message(index, skips);
            if self.start.orders && rng.chance(ORDERS_PER_MILLE) {
                let many = if rng.chance(50) { ORDER_EVENTS_AT_ONCE } else { 1 };
                let skips = rng.chance(gap_per_mille);
                self.order_event(index, many, skips);
            }
        }
        self.feed.flush(&mut self.host);
    }

    /// The exchange tells which orders changed, so many events of the recording as one, or all orders where they are not known.
    fn order_event(&mut self, index: usize, many: usize, skips: bool) {
        let arrival = self.arrival();
        let number = u32::try_from(index).expect("few instruments");
        let def = self.feed.definition(number).expect("an instrument");
        // The recording is in units of the first definition, which may have become finer.
        let first = definition("");
        let factor = |first: i8, now: i8| 10_i64.pow(u32::from((first - now).unsigned_abs()));
        let (by_price, by_qty) = (factor(first.price_exp, def.price_exp), factor(first.qty_exp, def.qty_exp));
        let stream = &mut self.streams[index];
        let events = self.orders.events.get(stream.order_position..stream.order_position + many);
        let Some(events) = events.filter(|_| self.feed.has_orders(number)) else {
            let position = if events.is_some() { stream.order_position } else { 0 };
            let (after, book) = self.orders.book_at(position);
            (stream.order_position, stream.missed_orders) = (*after, false);
            let book = book.rescaled(1, by_price, by_qty).expect("numbers that fit");
            assert!(self.feed.on_orders(number, book, arrival.recv_ts, &mut self.host, arrival));
            return;
        };
        stream.order_position += many;
        if skips {
            stream.missed_orders = true;
            return;
        }
        self.ops.clear();
        self.ops.extend(events.iter().flat_map(|event| &event.ops).map(|op| OrderOp {
            price: op.price * by_price,
            qty: op.qty * by_qty,
            ..*op
        }));
        let told = OrderEvent { exchange_ts: events[many - 1].ts, ids: Ids::default(), ops: &self.ops };
        let taken = self.feed.on_order_event(number, &told, &mut self.host, arrival);
        assert!(taken == Ok(true) || stream.missed_orders, "{taken:?}: nothing of the orders was lost");
    }

    fn message(&mut self, index: usize, skips: bool) {
        let arrival = self.arrival();
        let stream = &mut self.streams[index];
        let Some(message) = stream.source.messages.get(stream.position) else {
            // The recording is over: the exchange closes the connection and begins again.
            let number = u32::try_from(index).expect("few instruments");
            stream.position = 0;
            self.feed.disconnected(&[number], 0, &mut self.host, arrival);
            return;
        };
        stream.position += 1;
        if !skips || !message.is_depth {
            message.write(&stream.symbol, &mut self.message);
            self.feed.on_frame(1, &self.message, &mut self.host, arrival);
        }
    }

    /// Instruments whose book waits for a REST answer that nobody asked for yet.
    pub(crate) fn needs(&mut self) -> Vec<u32> {
        for notice in self.feed.take_notices() {
            assert_ne!(notice.kind, NoticeKind::Fault);
            self.is_full |= notice.kind == NoticeKind::SessionFull;
        }
        let feed = &self.feed;
        let needs = |(index, stream): (u32, &mut Stream)| {
            let needs = feed.state(index) != Some(BookState::Live) && !stream.asked;
            stream.asked |= needs;
            needs.then_some(index)
        };
        (0..).zip(&mut self.streams).filter_map(needs).collect()
    }

    /// The REST answer comes.
    pub(crate) fn rest(&mut self, index: u32) {
        let arrival = self.arrival();
        let stream = &mut self.streams[index as usize];
        stream.asked = false;
        let body = &stream.source.body_at(stream.position).json;
        self.feed.on_snapshot(index, body, &mut self.host, arrival);
        self.feed.flush(&mut self.host);
    }

    /// The REST answer came while nobody read it.
    pub(crate) fn rest_failed(&mut self, index: u32) {
        self.streams[index as usize].asked = false;
    }

    /// Something that venues do now and then.
    pub(crate) fn incident(&mut self, rng: &mut Rng) {
        let arrival = self.arrival();
        let index = u32::try_from(rng.place(self.streams.len())).expect("few instruments");
        let host = &mut self.host;
        match rng.below(4) {
            0 => {
                let all: Vec<u32> = (0..self.start.instruments).collect();
                self.feed.disconnected(&all, 0, host, arrival);
            }
            1 => {
                let states = [status::state::LIVE, status::state::HALTED, status::state::AUCTION];
                self.feed.set_trading_status(index, rng.pick(&states), host, arrival);
            }
            2 => {
                let states = [status::state::LIVE, status::state::CLOSED, status::state::PRE_OPEN];
                self.feed.set_trading_status(index, rng.pick(&states), host, arrival);
            }
            _ => {
                let root = outcrier_core::wire::Conn { connected: 1, total: 1, ..zeroed() };
                self.feed.publish_connection(&root, host, arrival);
            }
        }
        self.feed.flush(&mut self.host);
    }

    /// Heartbeats and the snapshot plane.
    pub(crate) fn tick(&mut self) {
        self.feed.tick(&mut self.host);
        self.feed.flush(&mut self.host);
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        if self.is_alive { self.feed.deadline_ns() } else { None }
    }

    /// Whether every book is live.
    pub(crate) fn is_whole(&self) -> bool {
        (0..self.start.instruments).all(|index| self.feed.state(index) == Some(BookState::Live))
    }

    /// Another publisher's datagram; whether this one must stop.
    pub(crate) fn overhear(&mut self, bytes: &[u8], now_ns: u64) -> bool {
        let Some(arbiter) = &mut self.arbiter else { return false };
        arbiter.on_datagram(bytes, now_ns);
        arbiter.superseded(CHANNEL).is_some()
    }

    /// A datagram for its retransmit server. Gives what goes to the asker and what to the repair group.
    pub(crate) fn on_request(&mut self, from: SocketAddrV4, datagram: &[u8]) -> Served {
        let at = self.arrival();
        let mut served = Served::default();
        self.server.on_request(from, datagram, at, &self.host.store, None, &mut served);
        if !served.wanted.is_empty() {
            self.feed.move_to_head(&served.wanted, self.host.now_ns);
        }
        served
    }

    /// A request that came by TCP: the reply and the image's frames, as units of the stream.
    pub(crate) fn on_stream(&mut self, from: Ipv4Addr, unit: &[u8]) -> Vec<Bytes> {
        let at = self.arrival();
        let (reply, then) = self.streams_server.on_unit(from, unit, at, &self.host.store, None);
        let mut units: Vec<Bytes> = vec![reply.into()];
        let Then::Image { wants, .. } = then else { return units };
        let mut image = Image::of(&wants, self.host.now_ns);
        let mut out = |frame: &[u8]| units.push(frame.into());
        while !self.feed.cut_image(&mut image, IMAGE_GROUPS, &mut self.host, &mut out) {}
        units
    }

    /// Takes what left, after holding the truth to the feed's own books.
    pub(crate) fn take(&mut self, truth: &mut Truth) -> Vec<Left> {
        let out = std::mem::take(&mut self.host.out);
        if truth.tainted_ns(self.start.session).is_some() || out.is_empty() {
            return out;
        }
        for left in &out {
            match left.plane {
                Plane::Incremental => truth.observe(self.start.session, &left.meant, self.host.now_ns),
                Plane::Snapshot => truth.observe_snapshot(self.start.session, &left.meant),
            }
        }
        let Some(session) = truth.session(self.start.session) else { return out };
        // One book a call, in turn.
        self.compared = (self.compared + 1) % self.start.instruments;
        if self.feed.state(self.compared) == Some(BookState::Live) {
            let book = self.feed.book(self.compared).expect("a known instrument");
            let of_frames = session.book_hash(wire_id(self.compared));
            assert_eq!(of_frames, Some(book.hash()), "the frames make the feed's book");
            if let Some(orders) = self.feed.orders(self.compared) {
                let of_frames = session.orders_hash(wire_id(self.compared));
                assert_eq!(of_frames, Some(hash_of(orders)), "the frames make the feed's orders");
            }
        }
        out
    }
}

/// Groups of an image that are cut at once.
const IMAGE_GROUPS: usize = 16;

/// What a retransmit server sends.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) unicast: Vec<Bytes>,
    pub(crate) group: Vec<Bytes>,
    wanted: Vec<u32>,
}

impl Answers for Served {
    fn unicast(&mut self, _to: SocketAddrV4, bytes: &[u8]) {
        self.unicast.push(bytes.into());
    }

    fn repair(&mut self, bytes: &[u8]) {
        self.group.push(bytes.into());
    }

    fn want(&mut self, wanted: &SnapWanted<'_>) {
        self.wanted.extend(wanted.wants.map(|want| want.instrument));
    }
}
