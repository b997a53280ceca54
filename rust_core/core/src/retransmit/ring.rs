//! Frames behind each other in large chunks, given up oldest first.

use std::collections::VecDeque;

use super::queue::Queue;

/// Bytes of a chunk: 4,854 frames of 216 B share one allocation, and of a full ring of 256 MiB less than 1 % is between.
const CHUNK_BYTES: usize = 1 << 20;

/// Emptied chunks that are kept for the next frames; [`Ring::release`] gives back what is more.
const SPARE_CHUNKS_MAX: usize = 4;

/// Where a frame lies, and what must be known to give it up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Monotonic time at which it was kept.
    pub(super) at_ns: u64,
    /// Number of the chunk since the ring began; 2³² chunks are 4 EiB.
    chunk: u32,
    offset: u32,
    len: u16,
    /// `Header::channel`: the plane too.
    pub(super) channel: u8,
}

/// A log of frames with a beginning that moves. A frame is found by its position, counted from the first one ever kept.
#[derive(Debug, Default)]
pub(super) struct Ring {
    chunks: VecDeque<Vec<u8>>,
    /// Number of the first chunk.
    first_chunk: u32,
    spare: Vec<Vec<u8>>,
    places: Queue<Place>,
    /// Position of the first place.
    first: u64,
    bytes: u64,
}

impl Ring {
    /// Frames held, those of sessions gone by too.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The frame that is given up next.
    pub(super) fn oldest(&self) -> Option<&Place> {
        self.places.front()
    }

    /// Keeps a frame of at most [`crate::wire::FRAME_BYTES_MAX`] bytes and returns its position.
    #[inline]
    pub(super) fn push(&mut self, channel: u8, frame: &[u8], at_ns: u64) -> u64 {
        let has_room = self.chunks.back().is_some_and(|chunk| chunk.len() + frame.len() <= CHUNK_BYTES);
        if !has_room {
            self.chunks.push_back(self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES)));
        }
        let chunk = self.first_chunk + (self.chunks.len() - 1) as u32;
        let bytes = self.chunks.back_mut().expect("there is one with room");
        // A chunk has 2^20 bytes and a frame 1,400.
        let (offset, len) = (bytes.len() as u32, frame.len() as u16);
        bytes.extend_from_slice(frame);
        let position = self.first + self.places.len() as u64;
        self.places.push(Place { at_ns, chunk, offset, len, channel });
        self.bytes += u64::from(len);
        position
    }

    /// The frame at a position; `None` if it was given up.
    #[inline]
    pub(super) fn get(&self, position: u64) -> Option<&[u8]> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        let place = self.places.get(index)?;
        let chunk = self.chunks.get((place.chunk - self.first_chunk) as usize)?;
        chunk.get(place.offset as usize..place.offset as usize + usize::from(place.len))
    }

    /// Gives up the oldest frame and returns its position and its place.
    pub(super) fn pop(&mut self) -> Option<(u64, Place)> {
        let place = self.places.pop()?;
        let position = self.first;
        self.first += 1;
        self.bytes -= u64::from(place.len);
        let still_used = self.places.front().map(|next| next.chunk);
        if still_used != Some(place.chunk)
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            chunk.clear();
            self.spare.push(chunk);
            self.first_chunk += 1;
        }
        Some((position, place))
    }

    /// Gives a chunk back that a burst needed, and says whether there are more. Not for the send path: the system unmaps it.
    pub(super) fn release(&mut self) -> bool {
        if self.spare.len() > SPARE_CHUNKS_MAX {
            self.spare.pop();
        }
        self.spare.len() > SPARE_CHUNKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, Ring, SPARE_CHUNKS_MAX};

    fn frame(position: u64) -> Vec<u8> {
        vec![position as u8; 700 + position as usize % 701]
    }

    #[test]
    fn chunks_are_used_again_and_given_back() {
        let mut ring = Ring::default();
        let live = 5_000;
        for position in 0..50_000 {
            assert_eq!(ring.push(1, &frame(position), position), position);
            if position >= live {
                let (gone, place) = ring.pop().unwrap();
                assert_eq!((gone, place.at_ns, place.channel), (position - live, position - live, 1));
                assert_eq!(ring.get(gone), None);
                for still in [gone + 1, gone + 2_000, position] {
                    assert_eq!(ring.get(still), Some(&frame(still)[..]));
                }
            }
            // At both ends a chunk is partly used, and behind each frame of the others is less than one free.
            let most = ring.bytes() as usize / (CHUNK_BYTES - 1_400) + 2;
            assert!(ring.chunks.len() <= most && ring.spare.len() <= 2, "{} chunks", ring.chunks.len());
            assert!(ring.chunks.iter().all(|chunk| chunk.capacity() == CHUNK_BYTES));
        }
        while ring.pop().is_some() {}
        assert_eq!((ring.len(), ring.bytes(), ring.chunks.len()), (0, 0, 0));
        assert!(ring.spare.len() > SPARE_CHUNKS_MAX);
        while ring.release() {}
        assert_eq!(ring.spare.len(), SPARE_CHUNKS_MAX);
        assert_eq!(ring.push(1, &frame(7), 0), 50_000);
        assert_eq!(ring.get(50_000), Some(&frame(7)[..]));
    }
}
