//! Frames of the file, and the numbers that they are given.

use std::error::Error;
use std::net::SocketAddrV4;

use outcrier_core::publish::arbitration::Own;
use outcrier_core::wire::{self, CHANNEL_NUMBER, FrameBuf, Header, Message, NO_RECORDS, digest, msg};
use outcrier_net::clock::mono_ns;
use zerocopy::FromBytes;

use crate::BEAT_EVERY;

/// Where a frame has its numbers.
const CHANNEL_SEQ: std::ops::Range<usize> = 10..18;
const INSTR_SEQ: std::ops::Range<usize> = 30..34;

pub(crate) struct Frames {
    pub(crate) opening: Vec<Vec<u8>>,
    pub(crate) cycle: Vec<Vec<u8>>,
}

pub(crate) fn read_frames(path: &str) -> Result<Frames, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (count, mut rest) = bytes.split_first_chunk::<4>().ok_or("no frames")?;
    let mut opening = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(usize::from(u16::from_le_bytes(*length)));
        opening.push(frame.to_vec());
        rest = after;
    }
    let mut cycle = opening.split_off(usize::try_from(u32::from_le_bytes(*count))?);
    for frame in &mut cycle {
        wire::seal(frame, 0, None);
    }
    for frame in opening.iter().chain(&cycle) {
        wire::check(frame).map_err(|refusal| format!("a frame of {} bytes: {refusal:?}", frame.len()))?;
    }
    if opening.is_empty() || cycle.is_empty() {
        return Err("an opening and frames behind it are needed".into());
    }
    Ok(Frames { opening, cycle })
}

/// Numbers of the session as they go on.
pub(crate) struct Numbers {
    channel_seq: u64,
    instr_seq: u32,
    chain64: u64,
    session: Header,
    publisher_id: u64,
}

impl Numbers {
    /// As they are after the opening, whose frames are of one instrument.
    pub(crate) fn after(opening: &[Vec<u8>]) -> Result<Self, Box<dyn Error>> {
        let header =
            |frame: &[u8]| Header::read_from_prefix(frame).map(|(header, _)| header).map_err(|_| "no header");
        let session = header(&opening[0])?;
        let first = wire::check(&opening[0]).map_err(|refusal| format!("the first frame: {refusal:?}"))?;
        let Message::SessionStart(start) = first.message() else {
            return Err("the opening begins with SESSION_START".into());
        };
        let chain64 = digest::chain64_start(session.session);
        let publisher_id = start.publisher_id;
        let mut numbers = Self { channel_seq: 0, instr_seq: 0, chain64, session, publisher_id };
        for frame in opening {
            let header = header(frame)?;
            if wire::is_numbered(header.msg_type) && header.channel <= CHANNEL_NUMBER {
                numbers.channel_seq = header.channel_seq;
                numbers.instr_seq = numbers.instr_seq.max(header.instr_seq);
                numbers.chain64 = digest::chain64(numbers.chain64, numbers.channel_seq, header.crc32c);
            }
        }
        Ok(numbers)
    }

    /// Whose session it is.
    pub(crate) fn own(&self) -> Own {
        let Header { channel, session, .. } = self.session;
        Own { channel, session, publisher_id: self.publisher_id, drill: true }
    }

    /// Gives a frame the next numbers and seals it.
    pub(crate) fn seal(&mut self, frame: &mut [u8]) {
        self.channel_seq += 1;
        self.instr_seq = self.instr_seq.wrapping_add(1);
        frame[CHANNEL_SEQ].copy_from_slice(&self.channel_seq.to_le_bytes());
        frame[INSTR_SEQ].copy_from_slice(&self.instr_seq.to_le_bytes());
        let crc = wire::seal(frame, 0, None);
        self.chain64 = digest::chain64(self.chain64, self.channel_seq, crc);
    }

    /// A heartbeat as the product's, which names the server of what was lost.
    pub(crate) fn beat(&self, oldest: Option<u64>, udp: SocketAddrV4, tcp: SocketAddrV4) -> FrameBuf {
        let header = Header {
            flags: self.session.flags,
            channel_seq: self.channel_seq + 1,
            ..Header::new(msg::HEARTBEAT, self.session.channel, self.session.session, self.session.venue)
        };
        let root = wire::Heartbeat {
            publisher_id: self.publisher_id,
            oldest_retx_seq: oldest.unwrap_or(self.channel_seq + 1),
            chain64: self.chain64,
            mono_ns: mono_ns().cast_signed(),
            max_silence_us: u32::try_from(BEAT_EVERY.as_micros()).expect("a tenth of a second"),
            retx_ipv4: u32::from(*udp.ip()),
            retx_udp_port: udp.port(),
            replay_tcp_port: tcp.port(),
            state: wire::publisher_state::LIVE,
            ..wire::zeroed()
        };
        let mut frame = FrameBuf::default();
        wire::seal(frame.build(&header, &root, NO_RECORDS), 0, None);
        frame
    }

    pub(crate) fn end(&self) -> FrameBuf {
        let header = Header {
            flags: self.session.flags,
            channel_seq: self.channel_seq + 1,
            ..Header::new(msg::SESSION_END, self.session.channel, self.session.session, self.session.venue)
        };
        let root = wire::SessionEnd { last_seq: self.channel_seq, chain64: self.chain64, ..wire::zeroed() };
        let mut frame = FrameBuf::default();
        wire::seal(frame.build(&header, &root, NO_RECORDS), 0, None);
        frame
    }
}
