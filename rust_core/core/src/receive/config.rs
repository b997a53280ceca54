//! What a receiver is to take and do.

use std::fmt;

use crate::wire::auth::Keyring;
use crate::wire::manifest::PublicKey;

/// Which instruments are mirrored and delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every instrument of every channel heard.
    All,
    /// Canonical symbol and venue number. Resolved when the definition is heard.
    Symbols(Vec<(String, u16)>),
}

/// A symbol is not of the form `SYMBOL@venue-number`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSymbol(pub String);

impl fmt::Display for BadSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no SYMBOL@venue-number such as `BTC/USDT@1`", self.0)
    }
}

impl std::error::Error for BadSymbol {}

impl Wanted {
    /// From texts such as `BTC/USDT:PERP@2`.
    ///
    /// # Errors
    ///
    /// The first text that is not of that form.
    pub fn symbols<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSymbol> {
        let split = texts.into_iter().map(split_symbol);
        Ok(Self::Symbols(split.collect::<Result<_, _>>()?))
    }
}

pub(super) fn split_symbol(text: &str) -> Result<(String, u16), BadSymbol> {
    let bad = || BadSymbol(text.to_owned());
    let (symbol, venue) = text.rsplit_once('@').ok_or_else(bad)?;
    Ok((symbol.to_owned(), venue.parse().map_err(|_| bad())?))
}

/// What a receiver takes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Instruments to mirror.
    pub wanted: Wanted,
    /// Take frames with REPLAY.
    pub accept_replay: bool,
    /// Take frames with TEST.
    pub accept_test: bool,
    /// How missing frames are repaired.
    pub recovery: Recovery,
    /// Random per consumer: what servers know us by.
    pub consumer_id: u64,
    /// Start of the random numbers that spread our requests in time and name them.
    pub seed: u64,
    /// Keys of the MAC. With them a frame must carry a MAC of one of them, and requests do; without, a MAC is not looked at.
    pub keys: Option<Keyring>,
    /// The publisher's key; with it the signed manifests are checked.
    pub manifest_key: Option<PublicKey>,
}

/// How missing frames are repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Ask the publisher's server for missing frames and for images. Without it only the snapshot plane repairs.
    pub retransmit: bool,
}

impl Default for Recovery {
    /// All there is.
    fn default() -> Self {
        Self { retransmit: true }
    }
}

impl Default for Config {
    /// Everything that is live.
    fn default() -> Self {
        Self {
            wanted: Wanted::All,
            accept_replay: false,
            accept_test: false,
            recovery: Recovery::default(),
            consumer_id: 0,
            seed: 0,
            keys: None,
            manifest_key: None,
        }
    }
}
