//! Manifests: once a second the log thread signs what it saw of each channel (wire format, "Manifest").

use std::sync::Mutex;

use outcrier_core::wire::digest::chain64;
use outcrier_core::wire::manifest::{ManifestSigner, SecretKey, Signed};
use outcrier_core::wire::{CHANNEL_NUMBER, Header, is_numbered};

use super::locked;
use super::queue::{Hints, Named};
use super::record::{self, Kind, u32_at};

/// How often a channel's frames are signed.
const SIGN_EVERY_NS: u64 = 1_000_000_000;

const CRC_AT: usize = std::mem::offset_of!(Header, crc32c);

/// Signed and not yet sent, by channel, with the session.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<[Option<(u32, Signed)>; CHANNEL_NUMBER as usize + 1]>);

impl Default for Slots {
    fn default() -> Self {
        Self(Mutex::new([None; CHANNEL_NUMBER as usize + 1]))
    }
}

impl Slots {
    /// What is to be sent; what is of another session never will be.
    pub(crate) fn take(&self, channel: u8, session: u32) -> Option<Signed> {
        let taken = locked(&self.0).get_mut(usize::from(channel))?.take()?;
        (taken.0 == session).then_some(taken.1)
    }
}

/// The signer of one channel's newest session.
#[derive(Debug)]
struct Channel {
    channel: u8,
    session: u32,
    signer: ManifestSigner,
    /// Number behind the last frame seen.
    next: u64,
    /// Frames were dropped, and no heartbeat has told since what chain64 goes on with.
    is_lost: bool,
    signed_ns: u64,
}

/// The signers of all channels.
#[derive(Debug)]
pub(crate) struct Manifests {
    key: SecretKey,
    channels: Vec<Channel>,
}

impl Manifests {
    pub(crate) fn new(key: SecretKey) -> Self {
        Self { key, channels: Vec::new() }
    }

    /// Takes note of a group and of the heartbeats up to its end.
    pub(crate) fn group(&mut self, records: &[u8], hints: &Hints, now_ns: u64) {
        for (named, frame) in numbered(records) {
            self.channel(named, now_ns).push(named.seq, frame);
        }
        for channel in self.channels.iter_mut().filter(|channel| channel.is_lost) {
            channel.resume(records, hints);
        }
    }

    fn channel(&mut self, named: Named, now_ns: u64) -> &mut Channel {
        let (channel, session) = (named.channel, named.session);
        let at = match self.channels.iter().position(|known| known.channel == channel) {
            Some(at) if self.channels[at].session == session => return &mut self.channels[at],
            Some(at) => {
                self.channels.swap_remove(at);
                self.channels.len()
            }
            None => self.channels.len(),
        };
        let signer = ManifestSigner::new(self.key.clone(), channel, session);
        self.channels.push(Channel { channel, session, signer, next: 1, is_lost: false, signed_ns: now_ns });
        &mut self.channels[at]
    }

    /// Signs what is due and for which there is room: a window grows until the one before it has been taken.
    pub(crate) fn sign(&mut self, slots: &Slots, now_ns: u64) {
        for channel in &mut self.channels {
            if now_ns.saturating_sub(channel.signed_ns) < SIGN_EVERY_NS {
                continue;
            }
            let slot = usize::from(channel.channel);
            if matches!(locked(&slots.0)[slot], Some((session, _)) if session == channel.session) {
                continue;
            }
            channel.signed_ns = now_ns;
            if let Some(signed) = channel.signer.close() {
                locked(&slots.0)[slot] = Some((channel.session, signed));
            }
        }
    }
}

impl Channel {
    fn push(&mut self, seq: u64, frame: &[u8]) {
        self.is_lost |= seq != self.next;
        self.next = self.next.max(seq.saturating_add(1));
        self.signer.push(seq, frame);
    }

    /// Goes on behind frames that were dropped: from the last heartbeat over the frames of this group behind it.
    fn resume(&mut self, records: &[u8], hints: &Hints) {
        let Some(hint) = hints[usize::from(self.channel)].filter(|hint| hint.session == self.session) else {
            return;
        };
        let (mut next, mut chain) = (hint.next, hint.chain64);
        for (named, frame) in numbered(records) {
            if (named.channel, named.session, named.seq) == (self.channel, self.session, next) {
                chain = chain64(chain, next, u32_at(frame, CRC_AT));
                next += 1;
            }
        }
        if next == self.next {
            self.signer.resume(chain);
            self.is_lost = false;
        }
    }
}

/// The numbered frames of a group.
fn numbered(mut records: &[u8]) -> impl Iterator<Item = (Named, &[u8])> {
    std::iter::from_fn(move || {
        while !records.is_empty() {
            let record = record::laid(records);
            records = &records[record.len()..];
            if record.kind == Kind::Frame && is_numbered(Named::of(record.body).msg_type) {
                return Some((Named::of(record.body), record.body));
            }
        }
        None
    })
}
