//! The MAC of frames: SipHash-2-4-64 under a key that belongs to one channel, session and key generation.
//!
//! Masters are shared by all who may publish and listen (`docs/wire-format.md`, "Authentication"). A publisher signs with a
//! [`Signer`]; a receiver asks a [`Keyring`], which knows at most two masters so that one can take over from the other while
//! both are accepted. Nothing here reads a file, a clock or a random number.

use std::fmt;
use std::hash::Hasher;

use blake2::Blake2bMac;
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, Update};
use siphasher::sip::SipHasher24;

use super::decode::Frame;
use super::{AUTH_BYTES, CHANNEL_NUMBER, flags};

/// Bytes of a master key.
pub const MASTER_BYTES: usize = 32;
/// Bytes of the key that a channel's frames are signed with.
pub const KEY_BYTES: usize = 16;
/// Masters accepted at the same time: the one in use and the one before or after it.
pub const MASTERS_MAX: usize = 2;

/// What makes derived keys of ours differ from those of any other use of the same master.
const PERSON: &[u8] = b"outcrier-mac-1";
/// Channel numbers, 0 included.
const CHANNELS: usize = CHANNEL_NUMBER as usize + 1;

/// What the keys of all channels and sessions are derived from. Its bytes are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; MASTER_BYTES]);

/// The key of one channel, session and key generation. Its bytes are never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl MasterKey {
    /// A master of these bytes, which must be random.
    #[must_use]
    pub fn new(bytes: [u8; MASTER_BYTES]) -> Self {
        Self(bytes)
    }
}

impl Key {
    /// The bytes, for test vectors.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// The key of a channel in a session: BLAKE2b-128 over `u8 channel ‖ u32 session ‖ u8 key_id`, keyed with the master.
/// Both planes of a channel have one key, so the plane's bit of `channel` is left out.
///
/// # Panics
///
/// Never: the lengths that BLAKE2b refuses are constants here.
#[must_use]
pub fn derive(master: &MasterKey, channel: u8, session: u32, key_id: u8) -> Key {
    let mut hash = Blake2bMac::<U16>::new_with_salt_and_personal(&master.0, &[], PERSON)
        .expect("BLAKE2b takes a key of 32 bytes and a personalisation of 14");
    hash.update(&[channel & CHANNEL_NUMBER]);
    hash.update(&session.to_le_bytes());
    hash.update(&[key_id]);
    Key(hash.finalize_fixed().into())
}

/// SipHash-2-4-64 of the bytes.
#[must_use]
pub fn mac(key: &Key, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&key.0);
    hasher.write(bytes);
    hasher.finish()
}

/// Whether the trailer of a checked frame is the MAC of what is before it; `false` for a frame without AUTH.
#[must_use]
pub fn verify(key: &Key, frame: &Frame<'_>) -> bool {
    split(frame).is_some_and(|(signed, trailer)| is_mac(key, signed, trailer))
}

/// The bytes that the MAC covers, and the trailer.
fn split<'a>(frame: &Frame<'a>) -> Option<(&'a [u8], u64)> {
    if !frame.header.has(flags::AUTH) {
        return None;
    }
    let (signed, trailer) = frame.bytes.split_last_chunk::<AUTH_BYTES>()?;
    Some((signed, u64::from_le_bytes(*trailer)))
}

/// Compares in constant time: one word, whose bits are looked at together.
fn is_mac(key: &Key, signed: &[u8], trailer: u64) -> bool {
    mac(key, signed) ^ trailer == 0
}

/// What a publisher signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Key of the channel and session.
    pub key: Key,
    /// Generation of its master, which heartbeats tell.
    pub key_id: u8,
}

/// Why a frame is not taken although its CRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthentic {
    /// It carries no MAC.
    Missing,
    /// Its MAC is that of no key at hand.
    Wrong,
}

/// Why keys cannot be used. Says nothing of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No key at all.
    None,
    /// More than [`MASTERS_MAX`].
    TooMany,
    /// Two keys with this `key_id`.
    Twice(u8),
    /// The line with this number, from 1, is no key.
    Line(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no key: one line of 64 hex digits is expected"),
            Self::TooMany => write!(f, "there are more than {MASTERS_MAX} keys"),
            Self::Twice(key_id) => write!(
                f,
                "two keys have the key_id {key_id}: write another one before the second, such as `{}:`",
                key_id.wrapping_add(1)
            ),
            Self::Line(line) => write!(
                f,
                "line {line} is no key: 64 hex digits are expected, with or without a key_id from 0 to 255 and a \
                 colon before them"
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// The masters at hand and the keys derived from them, at most one session a channel. Bounded, and it allocates nothing
/// after it was made.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The first one signs.
    masters: Vec<(u8, MasterKey)>,
    /// By channel number.
    derived: Box<[Option<Derived>; CHANNELS]>,
}

/// The keys of one channel's newest session that was proved.
#[derive(Clone, Copy, Debug)]
struct Derived {
    session: u32,
    /// By place of the master.
    keys: [Option<Key>; MASTERS_MAX],
    /// Place of the master by which a frame passed last.
    last: usize,
}

impl Keyring {
    /// Keys by `key_id`; the first one signs, all are accepted.
    ///
    /// # Errors
    ///
    /// None, too many, or the same `key_id` twice.
    pub fn new(masters: Vec<(u8, MasterKey)>) -> Result<Self, KeyError> {
        if masters.is_empty() {
            return Err(KeyError::None);
        }
        if masters.len() > MASTERS_MAX {
            return Err(KeyError::TooMany);
        }
        if let [(first, _), (second, _)] = &masters[..]
            && first == second
        {
            return Err(KeyError::Twice(*first));
        }
        Ok(Self { masters, derived: Box::new([None; CHANNELS]) })
    }

    /// From the text of a key file: a line of 64 hex digits per key, with or without its `key_id` and a colon before it
    /// (0 if not given). Empty lines and lines that begin with `#` say nothing.
    ///
    /// ```
    /// use outcrier_core::wire::auth::Keyring;
    /// let text = format!("# from December on\n1: {}\n0: {}\n", "ab".repeat(32), "cd".repeat(32));
    /// assert_eq!(Keyring::parse(&text).unwrap().signer(1, 90_000_001).key_id, 1);
    /// ```
    ///
    /// # Errors
    ///
    /// The first fault; never a part of a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut masters = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if masters.len() == MASTERS_MAX {
                return Err(KeyError::TooMany);
            }
            masters.push(parse_line(line).ok_or(KeyError::Line(number))?);
        }
        Self::new(masters)
    }

    /// Whether a master has this `key_id`.
    #[must_use]
    pub fn has(&self, key_id: u8) -> bool {
        self.masters.iter().any(|(known, _)| *known == key_id)
    }

    /// What a publisher of the channel signs with in the session: derived from the first master.
    #[must_use]
    pub fn signer(&self, channel: u8, session: u32) -> Signer {
        self.signer_of(0, channel, session)
    }

    /// What a consumer signs a request to the channel with: the key by which its last frame in the session passed, else
    /// that of the first master.
    #[must_use]
    pub fn request_signer(&self, channel: u8, session: u32) -> Signer {
        let known = self.derived[usize::from(channel & CHANNEL_NUMBER)];
        let place = known.filter(|known| known.session == session).map_or(0, |known| known.last);
        self.signer_of(place, channel, session)
    }

    fn signer_of(&self, place: usize, channel: u8, session: u32) -> Signer {
        let (key_id, master) = &self.masters[place];
        Signer { key: derive(master, channel, session, *key_id), key_id: *key_id }
    }

    /// Whether a checked frame carries the MAC of one of the keys; gives the `key_id` of that one. Keys of a session are
    /// kept only after a frame of it passed, so that made-up sessions push none out.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn verify(&mut self, frame: &Frame<'_>) -> Result<u8, Unauthentic> {
        let Some((signed, trailer)) = split(frame) else {
            return Err(Unauthentic::Missing);
        };
        let (channel, session) = (frame.header.channel_number(), frame.header.session);
        let slot = usize::from(channel);
        let known = self.derived[slot].filter(|known| known.session == session);
        let mut tried = known.unwrap_or(Derived { session, keys: [None; MASTERS_MAX], last: 0 });
        // The master that held last is tried first.
        for place in (0..self.masters.len()).map(|turn| (turn + tried.last) % self.masters.len()) {
            let (key_id, master) = &self.masters[place];
            let key = tried.keys[place].get_or_insert_with(|| derive(master, channel, session, *key_id));
            if is_mac(key, signed, trailer) {
                if known.is_none_or(|known| known.last != place || known.keys[place].is_none())
                    && self.derived[slot].is_none_or(|kept| kept.session <= session)
                {
                    self.derived[slot] = Some(Derived { last: place, ..tried });
                }
                return Ok(self.masters[place].0);
            }
        }
        Err(Unauthentic::Wrong)
    }
}

/// `key_id` and master of a line that is neither empty nor a comment.
fn parse_line(line: &str) -> Option<(u8, MasterKey)> {
    let (key_id, digits) = match line.split_once(':') {
        Some((key_id, digits)) => (key_id.trim_end().parse().ok()?, digits.trim_start()),
        None => (0, line),
    };
    hex(digits).map(|bytes| (key_id, MasterKey(bytes)))
}

/// The bytes that exactly 64 hex digits write.
pub(super) fn hex(digits: &str) -> Option<[u8; MASTER_BYTES]> {
    if digits.len() != 2 * MASTER_BYTES {
        return None;
    }
    let mut bytes = [0; MASTER_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |place: usize| char::from(pair[place]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}
