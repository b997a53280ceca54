//! The last messages of the exchange as they came, by instrument, for inspection.
//!
//! All lie in one ring of bytes, each behind a short head that says where the one before it of the same instrument begins:
//! keeping a message is one copy and no allocation, and the oldest of all leave first. A message about several instruments is
//! kept once, under the first of them.

use super::Feed;
use crate::event::Decoded;
use crate::publish::Arrival;

/// Messages told of one instrument: some minutes of the busiest, more than a person reads.
pub const HISTORY_MESSAGES_MAX: usize = 10_000;
/// Length, connection, receive time and place of the message before, in front of each.
const HEAD_BYTES: usize = 4 + 4 + 8 + 8;
/// No place.
const NONE: u64 = u64::MAX;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Receive time.
    pub recv_ts: i64,
    /// Connection it came on; 0 = the answer to a request.
    pub connection: u32,
    /// The message.
    pub frame: Vec<u8>,
}

/// The ring. Places are counted from the first byte ever kept, so that one that was overwritten is known by being less than
/// `tail`.
#[derive(Debug, Default)]
pub(super) struct History {
    ring: Box<[u8]>,
    head: u64,
    tail: u64,
    /// Place of the newest message of each instrument.
    newest: Vec<u64>,
    pub(super) dropped: u64,
}

impl History {
    pub(super) fn of(bytes_max: usize) -> Self {
        // Zeroed memory is given by the system when it is written first.
        Self { ring: vec![0; bytes_max].into_boxed_slice(), ..Self::default() }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        !self.ring.is_empty()
    }

    pub(super) fn keep(&mut self, index: u32, connection: u32, frame: &[u8], recv_ts: i64) {
        let bytes = (HEAD_BYTES + frame.len()) as u64;
        let room = self.ring.len() as u64;
        if bytes > room {
            self.dropped += 1;
            return;
        }
        while self.head + bytes - self.tail > room {
            let (_, length) = self.head_at(self.tail);
            self.tail += (HEAD_BYTES + length) as u64;
            self.dropped += 1;
        }
        let index = index as usize;
        if index >= self.newest.len() {
            self.newest.resize(index + 1, NONE);
        }
        let before = std::mem::replace(&mut self.newest[index], self.head);
        let mut head = [0; HEAD_BYTES];
        // Frames are at most 16 MiB.
        head[..4].copy_from_slice(&(frame.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&connection.to_le_bytes());
        head[8..16].copy_from_slice(&recv_ts.to_le_bytes());
        head[16..].copy_from_slice(&before.to_le_bytes());
        self.write(&head);
        self.write(frame);
    }

    /// Another instrument will have this index: its history begins anew.
    pub(super) fn forget(&mut self, index: u32) {
        if let Some(newest) = self.newest.get_mut(index as usize) {
            *newest = NONE;
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let at = (self.head % self.ring.len() as u64) as usize;
        let (first, rest) = bytes.split_at(bytes.len().min(self.ring.len() - at));
        self.ring[at..at + first.len()].copy_from_slice(first);
        self.ring[..rest.len()].copy_from_slice(rest);
        self.head += bytes.len() as u64;
    }

    fn read(&self, place: u64, out: &mut [u8]) {
        let at = (place % self.ring.len() as u64) as usize;
        let (first, rest) = out.split_at_mut(out.len().min(self.ring.len() - at));
        first.copy_from_slice(&self.ring[at..at + first.len()]);
        rest.copy_from_slice(&self.ring[..rest.len()]);
    }

    fn head_at(&self, place: u64) -> ([u8; HEAD_BYTES], usize) {
        let mut head = [0; HEAD_BYTES];
        self.read(place, &mut head);
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        (head, length as usize)
    }

    /// The last messages of an instrument, the oldest first.
    fn last(&self, index: u32, count: usize) -> Vec<Kept> {
        let mut place = self.newest.get(index as usize).copied().unwrap_or(NONE);
        let mut found = Vec::new();
        while place != NONE && place >= self.tail && found.len() < count.min(HISTORY_MESSAGES_MAX) {
            let (head, length) = self.head_at(place);
            let mut frame = vec![0; length];
            self.read(place + HEAD_BYTES as u64, &mut frame);
            let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
            let connection = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            found.push(Kept { recv_ts: word(8).cast_signed(), connection, frame });
            place = word(16);
        }
        found.reverse();
        found
    }
}

impl Feed {
    /// Keeps the last messages within so many bytes from now on; what was kept is forgotten. 0 = none.
    pub fn keep_history(&mut self, bytes_max: usize) {
        self.history = History::of(bytes_max);
    }

    /// The last messages of an instrument, the oldest first, at most [`HISTORY_MESSAGES_MAX`].
    #[must_use]
    pub fn history(&self, index: u32, last: usize) -> Vec<Kept> {
        self.history.last(index, last)
    }

    /// Messages that made room for later ones, or were longer than all of it.
    #[must_use]
    pub fn history_dropped(&self) -> u64 {
        self.history.dropped
    }

    /// Keeps a message of the instrument that it is about, if it is about one.
    #[inline]
    pub(super) fn remember(&mut self, decoded: &Decoded, connection: u32, frame: &[u8], arrival: Arrival) {
        if self.history.is_on()
            && let Some(index) =
                decoded.events.first().map(|event| event.instrument).or(decoded.unread_books.first().copied())
        {
            self.history.keep(index, connection, frame, arrival.recv_ts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES, HISTORY_MESSAGES_MAX, History};

    #[test]
    fn it_holds_what_a_list_would_hold() {
        for room in [100, 997, 1_000, 5_000] {
            let mut history = History::of(room);
            let mut all: Vec<(u32, i64, Vec<u8>)> = Vec::new();
            let mut noise = 7_u64;
            for number in 0..2_000_i64 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (index, length) = ((noise >> 33) as u32 % 3, (noise >> 40) as usize % 150);
                history.keep(index, 9, &vec![number as u8; length], number);
                if HEAD_BYTES + length <= room {
                    all.push((index, number, vec![number as u8; length]));
                }
                let mut bytes = 0;
                let fits = all.iter().rev().take_while(|(_, _, frame)| {
                    bytes += HEAD_BYTES + frame.len();
                    bytes <= room
                });
                let fitting = fits.count();
                let fitting = &all[all.len() - fitting..];
                assert_eq!(history.dropped, number as u64 + 1 - fitting.len() as u64);
                for index in 0..3 {
                    let told = history.last(index, 5);
                    let mut wanted: Vec<_> =
                        fitting.iter().filter(|kept| kept.0 == index).rev().take(5).collect();
                    wanted.reverse();
                    assert_eq!(told.len(), wanted.len());
                    for (told, (_, recv_ts, frame)) in told.iter().zip(wanted) {
                        assert_eq!((told.recv_ts, told.connection, &told.frame), (*recv_ts, 9, frame));
                    }
                }
            }
        }
    }

    #[test]
    fn it_tells_at_most_so_many_and_nothing_when_off() {
        let mut history = History::of(1 << 20);
        for number in 0..HISTORY_MESSAGES_MAX as i64 + 10 {
            history.keep(0, 1, b"x", number);
        }
        let told = history.last(0, usize::MAX);
        assert_eq!((told.len(), told[0].recv_ts, history.dropped), (HISTORY_MESSAGES_MAX, 10, 0));
        assert!(history.last(7, 10).is_empty());
        assert!(!History::default().is_on());
    }
}
