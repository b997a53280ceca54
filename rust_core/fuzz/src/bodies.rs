//! What each fuzz target does with the bytes that it is given. The tests of the core include this file too, so that what
//! cargo-fuzz runs for hours is what every test run does for seconds.

use std::net::{Ipv4Addr, SocketAddrV4};

use outcrier_core::publish::Arrival;
use outcrier_core::receive::{Config, Delivered, Line, Lost, Receiver, Sink, StateChange};
use outcrier_core::retransmit::{Answers, Limits, Server, ServerConfig, SnapWanted, Store};
use outcrier_core::wire::auth::{Keyring, MasterKey};
use outcrier_core::wire::{self, FRAME_BYTES_MAX, Frame, HEADER_BYTES, Header, Message, msg};
use zerocopy::IntoBytes;

/// Gives bytes that may be a frame the CRC that their lengths ask for, so that damage gets past that check.
pub fn mend_crc(frame: &mut [u8]) {
    if frame.len() < HEADER_BYTES {
        return;
    }
    let end = HEADER_BYTES + usize::from(u16::from_le_bytes([frame[6], frame[7]]));
    if let Some(payload) = frame.get(HEADER_BYTES..end) {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..62]), payload);
        frame[62..66].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Reads every root and record of a frame and of the messages in it; allocates nothing. Gives how many records there are.
pub fn read_all(frame: &Frame<'_>) -> usize {
    match frame.message() {
        Message::Heartbeat(_, records) => records.count(),
        Message::BookDelta(root, records) => {
            let (bids, asks) = root.sides(records);
            bids.count() + asks.count()
        }
        Message::BookSnapshot(root, records) => {
            let (bids, asks) = root.sides(records);
            bids.count() + asks.count()
        }
        Message::OrderOps(_, records) => records.count(),
        Message::OrderSnapshot(root, records) => {
            let (bids, asks) = root.sides(records);
            bids.count() + asks.count()
        }
        Message::Trade(records) | Message::Liquidation(records) => records.count(),
        Message::Candle(records) => records.count(),
        Message::RetxRequest(_, records) => records.count(),
        Message::SnapRequest(_, records) => records.count(),
        Message::Pack(messages) => messages.map(|message| 1 + read_all(&message)).sum(),
        _ => 0,
    }
}

/// Checks and reads a datagram as it is, and again with its CRC mended. Whether it was accepted as it is.
pub fn decode(datagram: &[u8]) -> bool {
    let accepted = wire::check(datagram).map(|frame| read_all(&frame)).is_ok();
    let mut mended = [0; FRAME_BYTES_MAX];
    if let Some(mended) = mended.get_mut(..datagram.len()) {
        mended.copy_from_slice(datagram);
        mend_crc(mended);
        if let Ok(frame) = wire::check(mended) {
            assert!(read_all(&frame) <= 41 + usize::from(u8::MAX) * 41);
            assert!(frame.bytes.len() <= datagram.len() && frame.payload().len() <= frame.bytes.len());
        }
    }
    accepted
}

/// The bytes as the payload of a PACK: the first says how many messages it claims.
pub fn pack(bytes: &[u8]) -> bool {
    let Some((&count, payload)) = bytes.split_first() else { return false };
    let payload = &payload[..payload.len().min(FRAME_BYTES_MAX - HEADER_BYTES)];
    let payload_len = u16::try_from(payload.len()).unwrap_or(0);
    let header = Header { payload_len, count, ..Header::new(msg::PACK, 1, 5, 1) };
    let mut frame = [0; FRAME_BYTES_MAX];
    let frame = &mut frame[..HEADER_BYTES + payload.len()];
    frame[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    frame[HEADER_BYTES..].copy_from_slice(payload);
    mend_crc(frame);
    wire::check(frame).map(|frame| read_all(&frame)).is_ok()
}

/// One step of a target that takes a row of datagrams: `u8 what ‖ u8 time ‖ u16 length ‖ datagram`.
struct Step {
    what: u8,
    after_ns: u64,
    datagram: Vec<u8>,
}

/// Appends a step to what [`receiver`] and [`request`] take.
pub fn put_step(out: &mut Vec<u8>, what: u8, time: u8, datagram: &[u8]) {
    out.extend([what, time]);
    out.extend(u16::try_from(datagram.len()).unwrap_or(0).to_le_bytes());
    out.extend(datagram);
}

fn steps(mut bytes: &[u8]) -> impl Iterator<Item = Step> {
    std::iter::from_fn(move || {
        let (&[what, time, low, high], rest) = bytes.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (datagram, rest) = rest.split_at(len);
        bytes = rest;
        // From a microsecond to seconds: reordering times, silence and what lies between.
        let after_ns = 1_000 << (time % 24);
        let mut datagram = datagram.to_vec();
        if what & MEND != 0 {
            mend_crc(&mut datagram);
        }
        Some(Step { what, after_ns, datagram })
    })
}

/// Bit of `what`: the CRC is mended, which a mutation nearly always breaks.
pub const MEND: u8 = 0x80;
/// Bit of `what` for [`request`]: the datagram is put into the store, as one that was sent.
pub const STORE: u8 = 0x40;
/// Bit of `what` for [`request`]: the cookie is replaced by the one that the server gave last.
pub const COOKIE: u8 = 0x20;

struct Deaf;

impl Sink for Deaf {
    fn deliver(&mut self, delivered: &Delivered<'_>) {
        read_all(delivered.frame);
    }

    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, _: &Lost) {}
}

/// A receiver that hears a row of datagrams on all lines, with time going on. Bits 0–2 of `what` are the line; 6 and 7
/// of them a timer and drops of the kernel. Gives how many frames were taken.
pub fn receiver(bytes: &[u8], keys: Option<Keyring>) -> u64 {
    let mut receiver = Receiver::new(Config { keys, accept_replay: true, ..Config::default() });
    let (mut now_ns, mut heard) = (1_000_000, 0);
    for step in steps(bytes) {
        now_ns += step.after_ns;
        match Line::from_number(step.what & 7) {
            Some(line) => {
                if line == Line::Image {
                    receiver.image_started(step.datagram.get(9).map_or(1, |channel| channel & 0x7F));
                }
                receiver.on_datagram(line, &step.datagram, 0, now_ns, &mut Deaf);
                heard += 1;
            }
            None if step.what & 7 == 6 => receiver.on_timer(now_ns, &mut Deaf),
            None => receiver.on_kernel_drops(u64::from(step.what), now_ns, &mut Deaf),
        }
        while let Some(request) = receiver.next_request(now_ns) {
            assert!(wire::check(request.bytes).is_ok(), "a request of ours is a frame");
        }
        receiver.image_wanted(now_ns);
        receiver.take_gaps();
    }
    let counters = receiver.counters();
    let of = |name: &str| counters.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
    assert_eq!(of("datagrams"), heard, "each datagram is counted");
    of("frames")
}

#[derive(Default)]
struct Asker {
    cookie: [u8; 8],
    answers: u64,
}

impl Answers for Asker {
    fn unicast(&mut self, _: SocketAddrV4, bytes: &[u8]) {
        self.answers += 1;
        if let Ok(frame) = wire::check(bytes)
            && let Message::RetxReply(reply) = frame.message()
        {
            self.cookie = reply.cookie.to_le_bytes();
        }
    }

    fn repair(&mut self, _: &[u8]) {
        self.answers += 1;
    }

    fn want(&mut self, wanted: &SnapWanted<'_>) {
        assert!(u8::try_from(wanted.wants.count()).is_ok());
    }
}

/// A retransmit server with a store that hears a row of requests, some from addresses with a cookie. Gives the number of
/// its answers.
pub fn request(bytes: &[u8], keys: Option<Keyring>) -> u64 {
    let config = ServerConfig { secret: [7; 16], line_bytes_per_s: 125_000_000, keys };
    let (mut store, mut now_ns) = (Store::new(Limits { frames: 1 << 10, ..Limits::default() }), 1_000_000);
    let mut server = Server::new(&config, now_ns);
    let mut asker = Asker::default();
    for mut step in steps(bytes) {
        now_ns += step.after_ns;
        if step.what & STORE != 0 {
            if let Ok(frame) = wire::check(&step.datagram) {
                store.push(frame.bytes, now_ns);
            }
            continue;
        }
        if step.what & COOKIE != 0
            && let Some(cookie) = step.datagram.get_mut(HEADER_BYTES + 8..HEADER_BYTES + 16)
        {
            cookie.copy_from_slice(&asker.cookie);
            mend_crc(&mut step.datagram);
        }
        let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5_000 + u16::from(step.what & 3));
        let at = Arrival { recv_ts: 1_700_000_000_000_000_000, mono_ns: now_ns };
        server.on_request(from, &step.datagram, at, &store, None, &mut asker);
    }
    asker.answers
}

/// Keys of the targets that look at signed frames; the seeds are signed with them.
pub fn keys() -> Keyring {
    match Keyring::new(vec![(4, MasterKey::new([1; 32]))]) {
        Ok(keys) => keys,
        Err(error) => unreachable!("one key is enough: {error}"),
    }
}
