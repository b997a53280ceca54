//! The consumer's side of the manifest: keeps the frames of a window until its signature comes.

use std::collections::VecDeque;

use blake2::Digest;

use super::{Hash, PublicKey, SIGNATURE_BYTES, UNSIGNED, Window};

/// Bytes of frames kept for a channel: 1.5 s of 100,000 frames of 216 bytes. Beyond it the window is unverifiable.
pub const WINDOW_BYTES_MAX: usize = 32 << 20;
/// Frames kept for a channel, those not yet heard included.
pub const FRAMES_MAX: usize = 1 << 18;
/// A publisher sends a manifest every second, so that between two that are further apart by its own clock one was lost.
/// Then it is not known where the window began, and a signature that does not fit proves nothing.
pub const LOST_NS: i64 = 1_500_000_000;

/// What came of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The publisher sent exactly these frames.
    Verified {
        /// First number.
        first: u64,
        /// Number behind the last one.
        next: u64,
    },
    /// Alarm: a frame was taken that the publisher did not send, or the manifest is not the publisher's.
    Mismatch {
        /// First number.
        first: u64,
        /// Number behind the last one.
        next: u64,
    },
    /// Nothing can be said: frames or the manifest before are missing, too many came, or the publisher did not sign.
    Unverifiable {
        /// Number behind the last one.
        next: u64,
    },
}

/// Where a frame lies among the kept bytes; no length: not heard.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    at: u32,
    len: u16,
}

/// Where a window begins, and when by the publisher's clock the manifest before it was made.
#[derive(Clone, Copy, Debug)]
struct Start {
    first: u64,
    mono_ns: Option<i64>,
}

/// A manifest whose frames have not all come.
#[derive(Clone, Copy, Debug)]
struct Pending {
    next: u64,
    mono_ns: i64,
    signature: [u8; SIGNATURE_BYTES],
}

/// Proves the frames of one channel and session, sans-I/O. Memory is bounded by [`WINDOW_BYTES_MAX`] and [`FRAMES_MAX`].
#[derive(Debug)]
pub struct ManifestVerifier {
    key: PublicKey,
    channel: u8,
    session: u32,
    /// Number of the first slot; 0 = nothing is kept yet.
    base: u64,
    slots: VecDeque<Slot>,
    bytes: Vec<u8>,
    /// Room that [`ManifestVerifier::forget`] moves bytes to.
    spare: Vec<u8>,
    /// First number from `base` on that was not heard.
    hole: u64,
    start: Option<Start>,
    pending: Option<Pending>,
}

impl ManifestVerifier {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(key: PublicKey, channel: u8, session: u32) -> Self {
        Self {
            key,
            channel,
            session,
            base: 0,
            slots: VecDeque::new(),
            bytes: Vec::new(),
            spare: Vec::new(),
            hole: 0,
            start: None,
            pending: None,
        }
    }

    /// The session whose frames it takes.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.session
    }

    /// A numbered frame of the incremental plane, in any order. The first of several copies counts.
    pub fn on_frame(&mut self, channel_seq: u64, frame: &[u8], told: &mut impl FnMut(Outcome)) {
        if channel_seq == u64::MAX {
            return; // Nothing can end behind it; a publisher begins a new session long before.
        }
        if self.base == 0 {
            self.begin(channel_seq);
        }
        let Some(place) = channel_seq.checked_sub(self.base) else { return };
        if place >= FRAMES_MAX as u64 || self.bytes.len() + frame.len() > WINDOW_BYTES_MAX {
            self.overflow(channel_seq, told);
        }
        let place = usize::try_from(channel_seq - self.base).unwrap_or(FRAMES_MAX);
        if place >= self.slots.len() {
            self.slots.resize(place + 1, Slot::default());
        }
        if self.slots[place].len != 0 {
            return;
        }
        let (Ok(at), Ok(len)) = (u32::try_from(self.bytes.len()), u16::try_from(frame.len())) else { return };
        self.slots[place] = Slot { at, len };
        self.bytes.extend_from_slice(frame);
        self.fill();
        self.settle(told);
    }

    /// A heartbeat, with its record if it has one. One that is no newer than the last says nothing.
    pub fn on_heartbeat(
        &mut self,
        channel_seq: u64,
        mono_ns: i64,
        signature: Option<&[u8; SIGNATURE_BYTES]>,
        told: &mut impl FnMut(Outcome),
    ) {
        if let Some(start) = &mut self.start {
            start.mono_ns.get_or_insert(mono_ns);
        }
        let Some(&signature) = signature else { return };
        if let Some(pending) = self.pending {
            if channel_seq <= pending.next {
                return;
            }
            self.end(pending, Outcome::Unverifiable { next: pending.next }, told);
        }
        let manifest = Pending { next: channel_seq, mono_ns, signature };
        match &mut self.start {
            None => self.end(manifest, Outcome::Unverifiable { next: channel_seq }, told),
            Some(start) if channel_seq < start.first => {}
            // A window without frames: no manifest was lost.
            Some(start) if channel_seq == start.first => start.mono_ns = start.mono_ns.max(Some(mono_ns)),
            Some(_) => {
                self.pending = Some(manifest);
                self.settle(told);
            }
        }
    }

    fn begin(&mut self, channel_seq: u64) {
        self.base = channel_seq;
        self.hole = channel_seq;
        if channel_seq == 1 {
            self.start = Some(Start { first: 1, mono_ns: None });
        }
    }

    /// More came than is kept: what there is is dropped, and the next manifest tells where to begin anew.
    #[cold]
    fn overflow(&mut self, channel_seq: u64, told: &mut impl FnMut(Outcome)) {
        if let Some(pending) = self.pending.take() {
            told(Outcome::Unverifiable { next: pending.next });
        }
        self.slots.clear();
        self.bytes.clear();
        self.start = None;
        (self.base, self.hole) = (channel_seq, channel_seq);
    }

    fn fill(&mut self) {
        while let Some(place) = self.hole.checked_sub(self.base)
            && usize::try_from(place)
                .is_ok_and(|place| self.slots.get(place).is_some_and(|slot| slot.len != 0))
        {
            self.hole += 1;
        }
    }

    /// Checks the manifest that waits, if every frame of it has come.
    fn settle(&mut self, told: &mut impl FnMut(Outcome)) {
        let (Some(pending), Some(start)) = (self.pending, self.start) else { return };
        let (first, next) = (start.first, pending.next);
        if first < self.base || self.hole < next {
            return;
        }
        let mut hash = Hash::new();
        let skip = usize::try_from(first - self.base).unwrap_or(usize::MAX);
        let frames = usize::try_from(next - first).unwrap_or(usize::MAX);
        for slot in self.slots.iter().skip(skip).take(frames) {
            hash.update(&self.bytes[slot.at as usize..][..usize::from(slot.len)]);
        }
        let hash = hash.finalize().into();
        let window = Window { channel: self.channel, session: self.session, first, next, hash };
        let outcome = if self.key.verify(&window, &pending.signature) {
            Outcome::Verified { first, next }
        } else if pending.signature == UNSIGNED || is_late(start, pending) {
            Outcome::Unverifiable { next }
        } else {
            Outcome::Mismatch { first, next }
        };
        self.end(pending, outcome, told);
    }

    /// The window is over; the next one begins behind it.
    fn end(&mut self, manifest: Pending, outcome: Outcome, told: &mut impl FnMut(Outcome)) {
        self.pending = None;
        self.start = Some(Start { first: manifest.next, mono_ns: Some(manifest.mono_ns) });
        self.forget(manifest.next);
        told(outcome);
    }

    /// Drops what lies before `next`.
    fn forget(&mut self, next: u64) {
        let before = usize::try_from(next.saturating_sub(self.base)).unwrap_or(usize::MAX);
        if before > 0 {
            self.slots.drain(..before.min(self.slots.len()));
            self.base = next;
            self.hole = self.hole.max(next);
        }
        self.spare.clear();
        for slot in &mut self.slots {
            let frame = &self.bytes[slot.at as usize..][..usize::from(slot.len)];
            slot.at = u32::try_from(self.spare.len()).unwrap_or(u32::MAX);
            self.spare.extend_from_slice(frame);
        }
        std::mem::swap(&mut self.bytes, &mut self.spare);
        self.fill();
    }
}

/// Whether so much of the publisher's time lies between two manifests that one between them may have been lost.
fn is_late(start: Start, manifest: Pending) -> bool {
    start.mono_ns.is_none_or(|before| manifest.mono_ns.saturating_sub(before) >= LOST_NS)
}
