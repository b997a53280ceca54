//! What waits to be written: a bounded buffer of laid records, and the holes of what did not fit.

use outcrier_core::wire::{
    AUTH_BYTES, CHANNEL_NUMBER, CHANNEL_SNAPSHOT, FRAME_BYTES_MAX, HEADER_BYTES, flags, is_numbered, msg,
};

use super::record::{self, HOLE_BYTES, Hole, RECORD_HEADER_BYTES, u16_at, u32_at, u64_at};

/// Most holes that wait to be written: two sessions of each of the 127 channels.
pub(crate) const HOLES_MAX: usize = 254;

/// Where a frame has what the log must know of it (wire format, "Header").
const TYPE_AT: usize = 2;
const FLAGS_AT: usize = 4;
const PAYLOAD_AT: usize = 6;
const COUNT_AT: usize = 8;
const CHANNEL_AT: usize = 9;
const SEQ_AT: usize = 10;
const SESSION_AT: usize = 18;

/// What the log knows of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) channel: u8,
    pub(crate) session: u32,
    /// Number of the frame; of an un-numbered type the next one.
    pub(crate) seq: u64,
    pub(crate) msg_type: u8,
}

impl Named {
    pub(crate) fn is_numbered(self) -> bool {
        is_numbered(self.msg_type)
    }

    /// What a frame of at least a header's length says.
    pub(crate) fn of(frame: &[u8]) -> Self {
        Self {
            channel: frame[CHANNEL_AT],
            session: u32_at(frame, SESSION_AT),
            seq: u64_at(frame, SEQ_AT),
            msg_type: frame[TYPE_AT],
        }
    }
}

/// Whether a frame belongs into the log, and what it says: those of the incremental plane that are numbered, the end of a
/// session, and heartbeats that carry a signature. Plain heartbeats say nothing that lasts.
pub(crate) fn kept(frame: &[u8]) -> Option<Named> {
    if !(HEADER_BYTES..=FRAME_BYTES_MAX).contains(&frame.len()) {
        return None;
    }
    let trailer = if u16_at(frame, FLAGS_AT) & flags::AUTH != 0 { AUTH_BYTES } else { 0 };
    let named = Named::of(frame);
    let wanted = is_numbered(named.msg_type)
        || named.msg_type == msg::SESSION_END
        || (named.msg_type == msg::HEARTBEAT && frame[COUNT_AT] > 0);
    let is_whole = HEADER_BYTES + usize::from(u16_at(frame, PAYLOAD_AT)) + trailer == frame.len();
    (wanted && is_whole && named.channel != 0 && named.channel & CHANNEL_SNAPSHOT == 0).then_some(named)
}

/// What a heartbeat says of the frames before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) session: u32,
    /// The number behind the last frame that it knows of.
    pub(crate) next: u64,
    /// chain(`next` − 1).
    pub(crate) chain64: u64,
}

/// The last [`Hint`] of each channel.
pub(crate) type Hints = [Option<Hint>; CHANNEL_NUMBER as usize + 1];

/// Where a heartbeat has its chain64 (wire format, HEARTBEAT).
const CHAIN64: std::ops::Range<usize> = HEADER_BYTES + 16..HEADER_BYTES + 24;

fn hint(frame: &[u8]) -> Option<(u8, Hint)> {
    let chain64 = frame.get(CHAIN64)?;
    let named = Named::of(frame);
    let is_hint = named.msg_type == msg::HEARTBEAT && named.channel & CHANNEL_SNAPSHOT == 0;
    let hint = Hint { session: named.session, next: named.seq, chain64: u64_at(chain64, 0) };
    is_hint.then_some((named.channel, hint))
}

/// One of two equal buffers; the log thread has the other.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Laid records, never more than `limit` bytes: it is never grown.
    records: Vec<u8>,
    limit: usize,
    holes: Vec<Hole>,
    /// From heartbeats, if somebody wants them: those who lost frames learn from them what chain64 goes on with.
    pub(crate) hints: Option<Box<Hints>>,
    /// Frames that did not fit.
    pub(crate) dropped: u64,
    /// Frames that do not belong into the log.
    pub(crate) ignored: u64,
    /// Dropped frames that no hole record will tell of.
    pub(crate) unmarked: u64,
    /// The log thread is to end.
    pub(crate) closing: bool,
    /// The log thread has been woken for what is there.
    pub(crate) woken: bool,
}

impl Queue {
    pub(crate) fn new(limit: usize, with_hints: bool) -> Self {
        Self {
            records: Vec::with_capacity(limit),
            limit,
            holes: Vec::with_capacity(HOLES_MAX),
            hints: with_hints.then(|| Box::new([None; CHANNEL_NUMBER as usize + 1])),
            dropped: 0,
            ignored: 0,
            unmarked: 0,
            closing: false,
            woken: false,
        }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Keeps a frame, or notes that it is missing. Neither allocates.
    pub(crate) fn push(&mut self, wall_ns: i64, frame: &[u8]) {
        let Some(named) = kept(frame) else {
            self.ignored += 1;
            if let Some(hints) = &mut self.hints
                && let Some((channel, hint)) = hint(frame)
            {
                hints[usize::from(channel)] = Some(hint);
            }
            return;
        };
        // After the first that does not fit nothing is kept until the buffer is empty: one long hole, not many short ones.
        if !self.holes.is_empty() || self.room() < RECORD_HEADER_BYTES + frame.len() {
            self.drop_frame(named);
            return;
        }
        record::push_frame(&mut self.records, wall_ns, frame);
    }

    fn room(&self) -> usize {
        self.limit - self.records.len()
    }

    fn drop_frame(&mut self, named: Named) {
        self.dropped += 1;
        if !named.is_numbered() {
            return;
        }
        let waiting = self.holes.len();
        let open = self.holes.iter_mut().rev().find(|hole| hole.channel == named.channel);
        match open {
            Some(hole) if hole.session == named.session && hole.last.checked_add(1) == Some(named.seq) => {
                hole.last = named.seq;
            }
            _ if waiting < HOLES_MAX => self.holes.push(Hole {
                channel: named.channel,
                session: named.session,
                first: named.seq,
                last: named.seq,
            }),
            _ => self.unmarked += 1,
        }
    }

    /// Hands what waits over for an empty buffer of the same size, which begins with what is missing behind it.
    pub(crate) fn swap(&mut self, wall_ns: i64, other: &mut Vec<u8>) {
        debug_assert!(other.is_empty() && other.capacity() >= self.limit);
        std::mem::swap(&mut self.records, other);
        self.woken = false;
        for hole in &self.holes {
            debug_assert!(self.room() >= HOLE_BYTES, "`QUEUE_BYTES_MIN` has room for all of them");
            record::push_hole(&mut self.records, wall_ns, hole);
        }
        self.holes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outcrier_core::wire::{FrameBuf, Header, NO_RECORDS, Status, zeroed};

    fn frame(channel: u8, session: u32, seq: u64) -> Vec<u8> {
        let header = Header { channel_seq: seq, ..Header::new(msg::STATUS, channel, session, 1) };
        let mut buffer = FrameBuf::default();
        outcrier_core::wire::seal(buffer.build(&header, &zeroed::<Status>(), NO_RECORDS), 0, None);
        buffer.frame().to_vec()
    }

    fn laid(mut bytes: &[u8]) -> Vec<(record::Kind, u64)> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let record = record::laid(bytes);
            all.push(match record.kind {
                record::Kind::Hole => (record.kind, record.hole().last),
                kind => (kind, Named::of(record.body).seq),
            });
            bytes = &bytes[record.len()..];
        }
        all
    }

    #[test]
    fn frames_that_do_not_fit_are_a_hole_before_the_next_that_does() {
        use record::Kind::{Frame, Hole};
        let bytes = RECORD_HEADER_BYTES + frame(1, 1, 1).len();
        let mut queue = Queue::new(3 * bytes - 1, false);
        for seq in 1..=5 {
            queue.push(7, &frame(1, 1, seq));
        }
        queue.push(7, &frame(2, 1, 9));
        let limit = queue.limit;
        let mut other = Vec::with_capacity(limit);
        queue.swap(8, &mut other);
        assert_eq!(laid(&other), [(Frame, 1), (Frame, 2)]);
        queue.push(9, &frame(1, 1, 6));
        let mut next = Vec::with_capacity(limit);
        queue.swap(10, &mut next);
        assert_eq!(laid(&next), [(Hole, 5), (Hole, 9), (Frame, 6)]);
        assert_eq!((queue.dropped, queue.unmarked, queue.holes.len()), (4, 0, 0));
        assert_eq!(queue.records.capacity(), limit, "never grown");
    }

    #[test]
    fn only_what_lasts_is_kept() {
        let numbered = frame(1, 1, 1);
        assert!(kept(&numbered).is_some());
        assert_eq!(kept(&frame(CHANNEL_SNAPSHOT | 1, 1, 1)), None, "snapshot plane");
        assert_eq!(kept(&numbered[..numbered.len() - 1]), None, "cut");
        assert_eq!(kept(&[numbered.as_slice(), &[0]].concat()), None, "padding");
        let mut heartbeat = numbered.clone();
        heartbeat[TYPE_AT] = msg::HEARTBEAT;
        assert_eq!(kept(&heartbeat), None);
        heartbeat[COUNT_AT] = 1;
        assert!(kept(&heartbeat).is_some());
    }

    #[test]
    fn more_holes_than_are_kept_are_counted() {
        let mut queue = Queue::new(0, false);
        for session in 0..300 {
            queue.push(7, &frame(1, session, 1));
        }
        assert_eq!((queue.dropped, queue.unmarked), (300, 300 - HOLES_MAX as u64));
    }
}
