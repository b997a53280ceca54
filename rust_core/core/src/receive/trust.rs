//! Who is believed: frames by their MAC, and what was believed by the publisher's signed manifests.

use super::counters::Counters;
use crate::wire::auth::{Keyring, Unauthentic};
use crate::wire::manifest::{ManifestVerifier, Outcome, PublicKey};
use crate::wire::{CHANNEL_NUMBER, Frame, Message, is_numbered, msg};

/// Keys of a receiver and what they prove.
#[derive(Debug)]
pub(super) struct Trust {
    keys: Option<Keyring>,
    manifest_key: Option<PublicKey>,
    /// By channel number; empty without a key.
    verifiers: Vec<Option<Box<ManifestVerifier>>>,
}

impl Trust {
    pub(super) fn new(keys: Option<Keyring>, manifest_key: Option<PublicKey>) -> Self {
        let channels = manifest_key.map_or(0, |_| usize::from(CHANNEL_NUMBER) + 1);
        Self { keys, manifest_key, verifiers: (0..channels).map(|_| None).collect() }
    }

    /// Whether a frame with a right CRC was made by one who has the key; `None`: it must be dropped, and is counted.
    /// Without keys every frame is taken and proves nothing, its trailer unread.
    pub(super) fn authenticate(&mut self, frame: &Frame<'_>, counters: &mut Counters) -> Option<bool> {
        let Some(keys) = &mut self.keys else { return Some(false) };
        match keys.verify(frame) {
            Ok(_) => return Some(true),
            Err(Unauthentic::Missing) => counters.mac_missing += 1,
            Err(Unauthentic::Wrong) => {
                counters.mac_wrong += 1;
                // It proves nothing, but helps an operator who forgot to hand out the new key.
                if let Message::Heartbeat(root, _) = frame.message()
                    && !keys.has(root.key_id)
                {
                    counters.key_unknown += 1;
                }
            }
        }
        None
    }

    /// The keys, to sign requests with.
    pub(super) fn keys(&self) -> Option<&Keyring> {
        self.keys.as_ref()
    }

    /// A frame of the current session of its channel, incremental plane: is what was taken what the publisher sent?
    pub(super) fn follow(&mut self, frame: &Frame<'_>, counters: &mut Counters) {
        let Some(key) = self.manifest_key else { return };
        let (channel, session) = (frame.header.channel_number(), frame.header.session);
        let slot = &mut self.verifiers[usize::from(channel)];
        let verifier = match slot {
            Some(verifier) if verifier.session() == session => verifier,
            _ => slot.insert(Box::new(ManifestVerifier::new(key, channel, session))),
        };
        let mut told = |outcome| match outcome {
            Outcome::Verified { .. } => counters.manifest_ok += 1,
            Outcome::Mismatch { .. } => counters.manifest_bad += 1,
            Outcome::Unverifiable { .. } => counters.manifest_unverifiable += 1,
        };
        let number = frame.header.channel_seq;
        if is_numbered(frame.header.msg_type) {
            verifier.on_frame(number, frame.bytes, &mut told);
        } else if frame.header.msg_type == msg::HEARTBEAT
            && let Message::Heartbeat(root, mut manifests) = frame.message()
        {
            let signature = manifests.next().map(|manifest| manifest.signature);
            verifier.on_heartbeat(number, root.mono_ns, signature.as_ref(), &mut told);
        }
    }
}
