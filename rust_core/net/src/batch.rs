//! Frames that leave together: which may, and what each looks like as a datagram.
//!
//! One `sendmsg` with UDP_SEGMENT cuts its bytes into equal slots, of which only the last may be shorter. A slot is as long
//! as the longest frame; shorter frames are filled up with zeros, which belong to no frame (wire format, "Length and
//! padding").

use crate::{DATAGRAM_BYTES_MAX, Plane};

/// Most frames of a batch. The kernel takes 128 segments; beyond 64 the call is no longer what costs.
pub const BATCH_FRAMES_MAX: usize = 64;

/// Most bytes of a batch, padding included: what UDP over IPv4 takes in one call.
pub const BATCH_BYTES_MAX: usize = 65_507;

/// Padding of the longest slot.
static ZEROS: [u8; DATAGRAM_BYTES_MAX] = [0; DATAGRAM_BYTES_MAX];

/// Frames of one plane, in the order in which they were added. Its memory is used again.
#[derive(Debug)]
pub struct Batch {
    plane: Plane,
    /// The frames, one behind the other.
    bytes: Vec<u8>,
    /// Length of each frame.
    lens: Vec<u16>,
    longest: usize,
}

/// What became of a frame that was given to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the batch.
    Kept,
    /// Longer than [`DATAGRAM_BYTES_MAX`]: refused, the batch is as it was.
    Oversize,
}

impl Batch {
    /// An empty batch, with all the memory that it will ever need.
    #[must_use]
    pub fn new() -> Batch {
        Batch {
            plane: Plane::Incremental,
            bytes: Vec::with_capacity(BATCH_BYTES_MAX),
            lens: Vec::with_capacity(BATCH_FRAMES_MAX),
            longest: 0,
        }
    }

    /// Adds a frame. What is there already is given to `leave` first if the frame may not join it.
    pub fn add(&mut self, plane: Plane, frame: &[u8], leave: impl FnOnce(&Batch)) -> Added {
        // A frame that may leave at all has a length of 16 bits.
        let Some(len) = u16::try_from(frame.len()).ok().filter(|_| frame.len() <= DATAGRAM_BYTES_MAX) else {
            return Added::Oversize;
        };
        if !self.may_join(plane, frame.len()) {
            self.leave(leave);
        }
        self.plane = plane;
        self.bytes.extend_from_slice(frame);
        self.lens.push(len);
        self.longest = self.longest.max(frame.len());
        Added::Kept
    }

    /// Gives what is there to `leave`, unless there is nothing, and begins anew.
    pub fn leave(&mut self, leave: impl FnOnce(&Batch)) {
        if self.lens.is_empty() {
            return;
        }
        leave(self);
        self.bytes.clear();
        self.lens.clear();
        self.longest = 0;
    }

    /// Whether a frame of this length may leave with those that are there: the same plane, no more frames and bytes than one
    /// call holds, and not more padding than frames.
    fn may_join(&self, plane: Plane, len: usize) -> bool {
        if self.lens.is_empty() {
            return true;
        }
        let slots = self.longest.max(len) * self.lens.len();
        plane == self.plane
            && self.lens.len() < BATCH_FRAMES_MAX
            && slots + len <= BATCH_BYTES_MAX
            && slots - self.bytes.len() <= self.bytes.len() + len
    }

    /// The plane of its frames.
    #[must_use]
    pub fn plane(&self) -> Plane {
        self.plane
    }

    /// How many frames it has.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.lens.len()
    }

    /// The frames, one behind the other, without padding.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of a slot: that of the longest frame.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.longest
    }

    /// Each frame and the zeros behind it, as the datagram that a receiver gets.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], &'static [u8])> {
        let last = self.lens.len().saturating_sub(1);
        let mut rest = self.bytes.as_slice();
        self.lens.iter().enumerate().map(move |(index, &len)| {
            let (frame, behind) = rest.split_at(usize::from(len));
            rest = behind;
            let padding = if index == last { 0 } else { self.longest - frame.len() };
            (frame, &ZEROS[..padding])
        })
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A batch as it left: lengths of its frames.
    type Left = Vec<usize>;

    /// Adds frames of these lengths and returns the batches that leave, the last by the end.
    fn batches(frames: &[(Plane, usize)]) -> Vec<(Plane, Left)> {
        let mut batch = Batch::new();
        let mut left = Vec::new();
        let kept = |batch: &Batch| (batch.plane, batch.datagrams().map(|(frame, _)| frame.len()).collect());
        for &(plane, len) in frames {
            assert_eq!(batch.add(plane, &vec![7; len], |full| left.push(kept(full))), Added::Kept);
        }
        batch.leave(|rest| left.push(kept(rest)));
        batch.leave(|_| panic!("nothing is left"));
        left
    }

    /// Bytes of padding of a batch, by the rule: slot = longest, the last frame unpadded.
    fn padding(lens: &[usize]) -> usize {
        let slot = lens.iter().max().copied().unwrap_or(0);
        lens[..lens.len() - 1].iter().map(|len| slot - len).sum()
    }

    fn allowed(lens: &[usize]) -> bool {
        let bytes: usize = lens.iter().sum();
        lens.len() <= 64 && bytes + padding(lens) <= 65_507 && padding(lens) <= bytes
    }

    proptest! {
        #[test]
        fn batches_are_as_large_as_the_rule_allows_and_no_larger(
            frames in prop::collection::vec((any::<bool>(), prop_oneof![66..=110_usize, 66..=1_400_usize]), 1..300)
        ) {
            let plane = |snapshot| if snapshot { Plane::Snapshot } else { Plane::Incremental };
            let frames: Vec<_> = frames.into_iter().map(|(snapshot, len)| (plane(snapshot), len)).collect();
            let left = batches(&frames);
            let all: Vec<_> =
                left.iter().flat_map(|(plane, lens)| lens.iter().map(|&len| (*plane, len))).collect();
            prop_assert_eq!(&all, &frames, "every frame leaves once, in order, on its plane");
            for (index, (plane, lens)) in left.iter().enumerate() {
                prop_assert!(allowed(lens), "{lens:?}");
                if let Some((next_plane, next)) = left.get(index + 1) {
                    let with_next = [lens.as_slice(), &next[..1]].concat();
                    prop_assert!(plane != next_plane || !allowed(&with_next), "{with_next:?} may leave together");
                }
            }
        }

        #[test]
        fn padding_is_zeros_up_to_the_slot_but_for_the_last(lens in prop::collection::vec(1..=200_usize, 1..64)) {
            let mut batch = Batch::new();
            for (index, &len) in lens.iter().enumerate() {
                let frame = vec![index as u8 + 1; len];
                batch.add(Plane::Snapshot, &frame, check);
            }
            batch.leave(check);
        }
    }

    fn check(batch: &Batch) {
        let datagrams: Vec<_> = batch.datagrams().collect();
        let (last, others) = datagrams.split_last().unwrap();
        assert_eq!(batch.slot(), datagrams.iter().map(|(frame, _)| frame.len()).max().unwrap());
        assert!(last.1.is_empty());
        assert_eq!(batch.bytes().len(), datagrams.iter().map(|(frame, _)| frame.len()).sum::<usize>());
        for (frame, padding) in others {
            assert_eq!(frame.len() + padding.len(), batch.slot());
            assert!(padding.iter().all(|&byte| byte == 0));
            assert!(frame.iter().all(|&byte| byte == frame[0] && byte != 0));
        }
    }

    #[test]
    fn sixty_four_frames_and_no_more() {
        let left = batches(&[(Plane::Incremental, 100); 130]);
        assert_eq!(left.iter().map(|(_, lens)| lens.len()).collect::<Vec<_>>(), [64, 64, 2]);
    }

    #[test]
    fn bytes_of_one_call_and_no_more() {
        // 46 slots of 1,400 B and 1,107 B behind them are 65,507.
        let mut frames = vec![(Plane::Incremental, 1_400); 46];
        frames.push((Plane::Incremental, 1_107));
        assert_eq!(batches(&frames).len(), 1);
        frames[46].1 = 1_108;
        assert_eq!(batches(&frames).iter().map(|(_, lens)| lens.len()).collect::<Vec<_>>(), [46, 1]);
    }

    #[test]
    fn padding_equals_the_frames_and_no_more() {
        // Two of 100 B and one of 400: 600 B of padding and of frames; 401 B would need 602 for 601.
        let lens = |third| [100, 100, third].map(|len| (Plane::Incremental, len));
        assert_eq!(batches(&lens(400)).len(), 1);
        assert_eq!(batches(&lens(401)).len(), 2);
    }

    #[test]
    fn another_plane_and_an_oversize_frame() {
        let mut batch = Batch::new();
        batch.add(Plane::Incremental, &[1; 70], |_| panic!("there is room"));
        let long = vec![0; DATAGRAM_BYTES_MAX + 1];
        assert_eq!(batch.add(Plane::Snapshot, &long, |_| panic!("nothing changes")), Added::Oversize);
        assert_eq!(
            batch.add(Plane::Snapshot, &vec![0; 70_000], |_| panic!("nothing changes")),
            Added::Oversize
        );
        let mut left = None;
        batch.add(Plane::Snapshot, &[2; 70], |full| left = Some((full.plane(), full.frames())));
        assert_eq!(left, Some((Plane::Incremental, 1)));
        assert_eq!((batch.plane(), batch.frames()), (Plane::Snapshot, 1));
    }

    #[test]
    fn no_memory_is_asked_for_later() {
        let mut batch = Batch::new();
        let (bytes, lens) = (batch.bytes.capacity(), batch.lens.capacity());
        for len in (66..=1_400).chain([66; 200]).chain([1_400; 200]) {
            batch.add(Plane::Incremental, &vec![0; len], |_| ());
        }
        assert_eq!((batch.bytes.capacity(), batch.lens.capacity()), (bytes, lens));
    }
}
