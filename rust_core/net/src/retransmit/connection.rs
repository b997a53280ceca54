//! One connection: units in, units out, never waiting for its peer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;

use outcrier_core::retransmit::{Archive, Frames, Pull, Replay};
use outcrier_core::wire::FRAME_BYTES_MAX;

use super::counters::ConnectionCounters;
use super::shared::Units;

/// A peer that asks for nothing for so long is not kept.
pub const IDLE_NS: u64 = 5_000_000_000;
/// A peer that reads nothing for so long is not kept.
pub const STALLED_NS: u64 = 5_000_000_000;
/// How long an image may take.
pub const IMAGE_WAIT_NS: u64 = 5_000_000_000;
/// A unit of length 0 leaves when nothing else did for so long (`docs/wire-format.md`, TCP).
const KEEP_ALIVE_NS: u64 = 1_000_000_000;

/// Bytes of the length before each unit.
const LENGTH_BYTES: usize = 2;
/// Frames are added to what waits for the peer up to here: what a socket buffer takes at once.
const OUT_BYTES: usize = 64 << 10;

/// What a connection does.
#[derive(Debug)]
enum Doing {
    /// Waits for a request.
    Listening,
    /// Sends frames.
    Replay(Replay),
    /// Waits for the feed.
    AwaitImage(u64),
    /// Sends an image from this byte on.
    Image(Arc<Units>, usize),
    /// Sends what is left, and ends.
    Ending(End),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Slow,
    FellBehind,
    Idle,
    Refused,
    WithoutImage,
    Done,
    Broken,
}

impl End {
    /// A peer that goes while it is sent to resets the connection.
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Done,
            _ => Self::Broken,
        }
    }

    pub(super) fn counter(self, counters: &mut ConnectionCounters) -> &mut u64 {
        match self {
            Self::Slow => &mut counters.slow,
            Self::FellBehind => &mut counters.fell_behind,
            Self::Idle => &mut counters.idle,
            Self::Refused => &mut counters.refused,
            Self::WithoutImage => &mut counters.without_image,
            Self::Done => &mut counters.ended,
            Self::Broken => &mut counters.broken,
        }
    }
}

/// One peer.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddrV4,
    doing: Doing,
    /// What came of a unit so far.
    unit: [u8; LENGTH_BYTES + FRAME_BYTES_MAX],
    filled: usize,
    /// Whole units for the peer, the first `gone` bytes of which are gone.
    out: Vec<u8>,
    gone: usize,
    /// When the peer last read something, or there was nothing to read for it.
    moved_ns: u64,
    /// Whether the frame that is due next does not exist yet.
    is_caught_up: bool,
    /// When something was last sent.
    sent_ns: u64,
    /// When the present doing began.
    since_ns: u64,
}

/// What a connection gave when it was read.
pub(super) enum Heard {
    /// No whole unit yet.
    Nothing,
    /// A unit, as long as this.
    Unit(usize),
    End(End),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: SocketAddrV4, now_ns: u64) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Frames leave in large writes; what is written is to leave.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            peer,
            doing: Doing::Listening,
            unit: [0; LENGTH_BYTES + FRAME_BYTES_MAX],
            filled: 0,
            out: Vec::new(),
            gone: 0,
            is_caught_up: false,
            moved_ns: now_ns,
            sent_ns: now_ns,
            since_ns: now_ns,
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn peer(&self) -> SocketAddrV4 {
        self.peer
    }

    /// Whether a request may come.
    pub(super) fn is_listening(&self) -> bool {
        matches!(self.doing, Doing::Listening)
    }

    /// Whether bytes wait for the peer.
    pub(super) fn has_output(&self) -> bool {
        self.gone < self.out.len() || matches!(self.doing, Doing::Image(..))
    }

    /// Whether frames are wanted, and if so whether the next one does not exist yet.
    pub(super) fn is_caught_up(&self) -> Option<bool> {
        matches!(self.doing, Doing::Replay(_)).then_some(self.is_caught_up)
    }

    /// Reads up to one unit; keep-alives are passed over.
    pub(super) fn hear(&mut self) -> Heard {
        loop {
            let wanted = match self.filled {
                0 | 1 => LENGTH_BYTES,
                _ => LENGTH_BYTES + usize::from(u16::from_le_bytes([self.unit[0], self.unit[1]])),
            };
            if wanted > self.unit.len() {
                return Heard::End(End::Refused);
            }
            if self.filled == wanted {
                self.filled = 0;
                if wanted > LENGTH_BYTES {
                    return Heard::Unit(wanted - LENGTH_BYTES);
                }
                // A keep-alive: at most one is read in a turn, so that nobody keeps the thread with them.
                return Heard::Nothing;
            }
            match (&self.stream).read(&mut self.unit[self.filled..wanted]) {
                Ok(0) => return Heard::End(End::Done),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Heard::End(End::of(&error)),
            }
        }
    }

    /// The unit last heard.
    pub(super) fn unit(&self, len: usize) -> &[u8] {
        &self.unit[LENGTH_BYTES..][..len]
    }

    /// Puts a unit behind what waits for the peer.
    pub(super) fn say(&mut self, unit: &[u8]) {
        // A frame has at most 1,400 bytes.
        self.out.extend_from_slice(&(unit.len() as u16).to_le_bytes());
        self.out.extend_from_slice(unit);
    }

    pub(super) fn start_replay(&mut self, replay: Replay, now_ns: u64) {
        (self.doing, self.since_ns) = (Doing::Replay(replay), now_ns);
        self.is_caught_up = false;
    }

    pub(super) fn await_image(&mut self, id: u64, now_ns: u64) {
        (self.doing, self.since_ns) = (Doing::AwaitImage(id), now_ns);
    }

    pub(super) fn listen_on(&mut self, now_ns: u64) {
        (self.doing, self.since_ns) = (Doing::Listening, now_ns);
    }

    /// Ends when what waits has left.
    pub(super) fn end(&mut self, why: End, now_ns: u64) {
        (self.doing, self.since_ns) = (Doing::Ending(why), now_ns);
    }

    /// Takes the image if it is the one awaited.
    pub(super) fn take_image(&mut self, id: u64, image: Option<&Arc<Units>>) -> Option<End> {
        if !matches!(self.doing, Doing::AwaitImage(awaited) if awaited == id) {
            return None;
        }
        match image {
            Some(image) => self.doing = Doing::Image(Arc::clone(image), 0),
            None => return Some(End::WithoutImage),
        }
        None
    }

    /// Adds frames to what waits for the peer, as far as that is short. Says why the connection ends, if it does.
    pub(super) fn pull(
        &mut self,
        frames: &dyn Frames,
        mut archive: Option<&mut (dyn Archive + Send + 'static)>,
        counters: &mut ConnectionCounters,
        now_ns: u64,
    ) -> Option<End> {
        self.compact();
        while self.out.len() < OUT_BYTES {
            let Doing::Replay(replay) = &mut self.doing else { return None };
            let start = self.out.len();
            self.out.extend_from_slice(&[0; LENGTH_BYTES]);
            let archive = archive.as_deref_mut().map(|archive| archive as &mut dyn Archive);
            match replay.pull(frames, archive, &mut self.out) {
                Pull::Frame => {
                    let len = (self.out.len() - start - LENGTH_BYTES) as u16;
                    self.out[start..start + LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
                    counters.frames += 1;
                }
                other => {
                    self.out.truncate(start);
                    self.is_caught_up = other == Pull::Wait;
                    match other {
                        Pull::Lost => return Some(End::FellBehind),
                        Pull::Over if replay.is_following() => self.end(End::Done, now_ns),
                        Pull::Over => self.listen_on(now_ns),
                        Pull::Wait | Pull::Frame => {}
                    }
                    return None;
                }
            }
        }
        None
    }

    /// Sends what the peer takes. Returns how many bytes it took.
    pub(super) fn flush(&mut self, counters: &mut ConnectionCounters, now_ns: u64) -> Result<usize, End> {
        let mut total = 0;
        // The rest of an image waits for its next turn, so that all have theirs.
        while self.has_output() && total < 4 * OUT_BYTES {
            let is_own = self.gone < self.out.len();
            let bytes = match &self.doing {
                _ if is_own => &self.out[self.gone..],
                Doing::Image(image, at) => {
                    let rest = &image.bytes()[*at..];
                    &rest[..rest.len().min(OUT_BYTES)]
                }
                _ => break,
            };
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(End::Broken),
                Ok(written) => {
                    total += written;
                    self.moved(is_own, written, counters, now_ns);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::of(&error)),
            }
        }
        counters.bytes += total as u64;
        if total > 0 {
            (self.moved_ns, self.sent_ns) = (now_ns, now_ns);
        }
        Ok(total)
    }

    fn moved(&mut self, is_own: bool, written: usize, counters: &mut ConnectionCounters, now_ns: u64) {
        if is_own {
            self.gone += written;
            return;
        }
        let Doing::Image(image, at) = &mut self.doing else { return };
        *at += written;
        if *at == image.bytes().len() {
            counters.frames += image.frames();
            self.listen_on(now_ns);
        }
    }

    /// The line's budget is spent: that nothing leaves is not the peer's fault.
    pub(super) fn hold_back(&mut self, now_ns: u64) {
        self.moved_ns = now_ns;
    }

    /// What time brings: keep-alives, and the end of those who do not move.
    pub(super) fn tick(&mut self, counters: &mut ConnectionCounters, now_ns: u64) -> Option<End> {
        let is_past = |then_ns: u64, span_ns| now_ns.saturating_sub(then_ns) >= span_ns;
        if !self.has_output() {
            self.moved_ns = now_ns;
            match self.doing {
                Doing::Ending(why) => return Some(why),
                Doing::Listening if is_past(self.since_ns, IDLE_NS) => return Some(End::Idle),
                Doing::AwaitImage(_) if is_past(self.since_ns, IMAGE_WAIT_NS) => {
                    return Some(End::WithoutImage);
                }
                _ if is_past(self.sent_ns, KEEP_ALIVE_NS) => {
                    self.say(&[]);
                    counters.keep_alives += 1;
                }
                _ => {}
            }
        }
        is_past(self.moved_ns, STALLED_NS).then_some(End::Slow)
    }

    /// Drops what is gone.
    fn compact(&mut self) {
        if self.gone == self.out.len() {
            self.out.clear();
            self.gone = 0;
        } else if self.gone >= OUT_BYTES / 2 {
            self.out.drain(..self.gone);
            self.gone = 0;
        }
    }
}

#[cfg(test)]
mod tests;
