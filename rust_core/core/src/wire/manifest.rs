//! The signed manifest: once a second a publisher proves with Ed25519 which frames it sent.
//!
//! The MAC of a frame is made with a key that every consumer has, so that any of them could forge one. The manifest is
//! signed with a key that only the publisher has: it covers the numbered frames of the incremental plane in a row of
//! windows, `first` to `next` − 1, each beginning where the one before it ended (`docs/wire-format.md`, "Manifest").

mod verifier;

use std::fmt;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

pub use self::verifier::{FRAMES_MAX, LOST_NS, ManifestVerifier, Outcome, WINDOW_BYTES_MAX};
use super::CRC_OFFSET;
use super::auth::hex;
use super::digest::{chain64, chain64_start};

/// Bytes of a signature, of which a heartbeat carries one as its record.
pub const SIGNATURE_BYTES: usize = 64;
/// In place of a signature: the publisher cannot prove the window, and the next one begins behind it.
pub const UNSIGNED: [u8; SIGNATURE_BYTES] = [0; SIGNATURE_BYTES];

/// What makes these signatures differ from those of any other use of the same key.
const CONTEXT: &[u8; 19] = b"outcrier-manifest-1";
/// Bytes that are signed: context, channel, session, first, next and the hash of the frames.
const SIGNED_BYTES: usize = CONTEXT.len() + 1 + 4 + 8 + 8 + 32;

/// BLAKE2b-256 over frames.
type Hash = Blake2b<U32>;

/// A text is no key of 64 hex digits, or one that no Ed25519 key has. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Ed25519 key is written as 64 hex digits")
    }
}

impl std::error::Error for BadKey {}

/// The publisher's half of the key. Its bytes are never shown.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// From the seed of RFC 8032, 32 random bytes.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// From its seed as 64 hex digits, white space around it ignored.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        hex(text.trim()).map(|seed| Self::new(&seed)).ok_or(BadKey)
    }

    /// The half that consumers check with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

/// The consumers' half of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From 64 hex digits, white space around them ignored.
    ///
    /// # Errors
    ///
    /// If it is anything else, or no point of the curve.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let bytes = hex(text.trim()).ok_or(BadKey)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| BadKey)
    }

    /// The bytes of RFC 8032.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether the signature is that of the window. Refuses keys of small order and signatures that are not canonical.
    #[must_use]
    pub fn verify(&self, window: &Window, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.0.verify_strict(&window.bytes(), &Signature::from_bytes(signature)).is_ok()
    }
}

/// What a manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Channel number, 1–127.
    pub channel: u8,
    /// Its session.
    pub session: u32,
    /// First number covered.
    pub first: u64,
    /// Number behind the last one covered.
    pub next: u64,
    /// BLAKE2b-256 over the frames in order: header, payload and MAC.
    pub hash: [u8; 32],
}

impl Window {
    fn bytes(&self) -> [u8; SIGNED_BYTES] {
        let mut bytes = [0; SIGNED_BYTES];
        let parts: [&[u8]; 6] = [
            CONTEXT,
            &[self.channel],
            &self.session.to_le_bytes(),
            &self.first.to_le_bytes(),
            &self.next.to_le_bytes(),
            &self.hash,
        ];
        let mut rest = &mut bytes[..];
        for part in parts {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        bytes
    }

    /// The signature that proves it.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> [u8; SIGNATURE_BYTES] {
        key.0.sign(&self.bytes()).to_bytes()
    }
}

/// A manifest to send: the record of a heartbeat whose `channel_seq` is `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Number behind the last frame covered.
    pub next: u64,
    /// chain(`next` − 1), which the heartbeat carries too.
    pub chain64: u64,
    /// The signature, or [`UNSIGNED`].
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Makes the manifests of one channel and session from its frames. Belongs to the thread that writes the log: signing
/// takes longer than sending a frame.
#[derive(Clone, Debug)]
pub struct ManifestSigner {
    key: SecretKey,
    channel: u8,
    session: u32,
    first: u64,
    next: u64,
    hash: Hash,
    /// chain(`next` − 1); `None` after a frame that was not kept.
    chain64: Option<u64>,
    is_whole: bool,
}

impl ManifestSigner {
    /// Nothing heard yet; the first window begins with frame 1.
    #[must_use]
    pub fn new(key: SecretKey, channel: u8, session: u32) -> Self {
        let chain64 = Some(chain64_start(session));
        Self { key, channel, session, first: 1, next: 1, hash: Hash::new(), chain64, is_whole: true }
    }

    /// The next sealed, numbered frame of the incremental plane. One that is not in order, because others were not kept,
    /// makes the window one that cannot be signed, and the chain unknown until [`ManifestSigner::resume`].
    ///
    /// # Panics
    ///
    /// If `frame` is shorter than a header.
    pub fn push(&mut self, channel_seq: u64, frame: &[u8]) {
        if channel_seq != self.next {
            self.is_whole = false;
            self.chain64 = None;
        }
        let crc = u32::from_le_bytes(std::array::from_fn(|at| frame[CRC_OFFSET + at]));
        self.chain64 = self.chain64.map(|chain| chain64(chain, channel_seq, crc));
        self.next = self.next.max(channel_seq.saturating_add(1));
        self.hash.update(frame);
    }

    /// The chain behind the last frame pushed, told by one who saw those that were not kept.
    pub fn resume(&mut self, chain64: u64) {
        self.chain64 = Some(chain64);
    }

    /// Ends the window, once a second, also if it has no frames: then it says that no manifest was lost. `None` while the
    /// chain is unknown, because the heartbeat could not carry it.
    pub fn close(&mut self) -> Option<Signed> {
        let hash = std::mem::take(&mut self.hash).finalize().into();
        let chain64 = self.chain64?;
        let (channel, session, first, next) = (self.channel, self.session, self.first, self.next);
        self.first = next;
        let is_whole = std::mem::replace(&mut self.is_whole, true);
        let window = Window { channel, session, first, next, hash };
        Some(Signed { next, chain64, signature: if is_whole { window.sign(&self.key) } else { UNSIGNED } })
    }
}
