//! Who else publishes our channels: what a publisher hears on its own group, and when it must fall silent.
//!
//! A publisher listens before its first frame and goes on listening while it runs (`docs/wire-format.md`, "Two
//! publishers"). One that was stopped and comes back while another has taken over (SIGSTOP and SIGCONT, a virtual machine
//! that was paused) must not send: consumers would refuse its frames, and its heartbeats would look like a second
//! publisher. Sans-I/O: datagrams and times in.

use crate::wire::auth::Keyring;
use crate::wire::{self, Message, flags, msg};

/// A session of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Channel number, 1–127.
    pub channel: u8,
    /// Its session number.
    pub session: u32,
    /// Random number of this process.
    pub publisher_id: u64,
    /// Its frames carry REPLAY or TEST: it gives way to every other session.
    pub drill: bool,
}

/// A session of somebody else, as far as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Channel number.
    pub channel: u8,
    /// Its session number.
    pub session: u32,
    /// Highest number of a frame that it has sent by what was heard; 0 = none.
    pub last_seq: u64,
    /// Its publisher, where a frame said so; 0 = not yet.
    pub publisher_id: u64,
    /// Its frames carry REPLAY or TEST.
    pub drill: bool,
    /// It said SESSION_END.
    pub ended: bool,
    /// Monotonic time of the last frame of it.
    pub at_ns: u64,
}

/// Why a session of ours must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another publisher has a higher session: consumers follow that one for good.
    HigherSession,
    /// Another publisher uses our session number: nobody can tell its frames from ours.
    SameSession,
    /// A session that is for trading lives beside our replay or test.
    BesideLive,
}

impl Cause {
    /// In words, for a log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HigherSession => "another publisher has taken over with a higher session",
            Self::SameSession => "another publisher uses the same session number",
            Self::BesideLive => "a live publisher is on the channel of this replay or test",
        }
    }
}

/// A session of ours that must not send any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The session.
    pub own: Own,
    /// Why.
    pub cause: Cause,
    /// Session number heard.
    pub by: u32,
}

/// Channels are numbered 1 to 127; index 0 stays unused.
const CHANNELS: usize = wire::CHANNEL_NUMBER as usize + 1;

/// What is heard of every channel, and what follows for ours. Its memory is bounded by the channel numbers.
#[derive(Debug)]
pub struct Arbiter {
    own: [Option<Own>; CHANNELS],
    heard: [Option<Heard>; CHANNELS],
    superseded: [Option<Superseded>; CHANNELS],
    keys: Option<Keyring>,
    unauthentic: u64,
}

impl Arbiter {
    /// Nothing is heard yet. With `keys` only frames signed by one of them count: a stranger must not silence us.
    #[must_use]
    pub fn new(keys: Option<Keyring>) -> Self {
        Self {
            own: [None; CHANNELS],
            heard: [None; CHANNELS],
            superseded: [None; CHANNELS],
            keys,
            unauthentic: 0,
        }
    }

    /// Takes other keys from now on.
    pub fn change_keys(&mut self, keys: Keyring) {
        self.keys = Some(keys);
    }

    /// Frames that were not signed as they must be.
    #[must_use]
    pub fn unauthentic(&self) -> u64 {
        self.unauthentic
    }

    /// A session of ours is about to send its first frame. It replaces one that we had on the channel, and begins without
    /// what was held against that one.
    pub fn begin(&mut self, own: Own) {
        let index = index(own.channel);
        self.own[index] = Some(own);
        self.superseded[index] = None;
        if let Some(heard) = self.heard[index] {
            self.judge(own, &heard);
        }
    }

    /// Our sessions.
    pub fn own(&self) -> impl Iterator<Item = &Own> {
        self.own.iter().flatten()
    }

    /// Takes what came on the group. Whatever is no frame of ours is nothing.
    pub fn on_datagram(&mut self, datagram: &[u8], now_ns: u64) {
        let Ok(frame) = wire::check(datagram) else { return };
        if self.keys.as_mut().is_some_and(|keys| keys.verify(&frame).is_err()) {
            self.unauthentic += 1;
            return;
        }
        let header = &frame.header;
        if header.is_snapshot_plane() {
            return; // It has a group of its own.
        }
        let index = index(header.channel);
        let (publisher_id, ended, last_seq) = match frame.message() {
            Message::Heartbeat(root, _) => (root.publisher_id, false, header.channel_seq.wrapping_sub(1)),
            Message::SessionStart(root) => (root.publisher_id, false, header.channel_seq),
            Message::SessionEnd(root) => (root.publisher_id, true, root.last_seq),
            _ if wire::is_numbered(header.msg_type) => (0, false, header.channel_seq),
            _ => return,
        };
        if self.own[index].is_some_and(|own| {
            publisher_id == own.publisher_id || (own.session == header.session && publisher_id == 0)
        }) {
            return; // Our own frame, or one that nobody can tell from it.
        }
        let mut heard = Heard {
            channel: header.channel,
            session: header.session,
            last_seq,
            publisher_id,
            drill: header.has(flags::REPLAY) || header.has(flags::TEST),
            ended,
            at_ns: now_ns,
        };
        match self.heard[index] {
            // What a lower session still says is no news beside a living higher one.
            Some(known) if known.session > heard.session && !known.ended => {
                self.judge_own(index, &heard);
                return;
            }
            Some(known) if known.session == heard.session => {
                heard.last_seq = heard.last_seq.max(known.last_seq);
                heard.ended |= known.ended;
                if heard.publisher_id == 0 {
                    heard.publisher_id = known.publisher_id;
                }
            }
            _ => {}
        }
        self.heard[index] = Some(heard);
        self.judge_own(index, &heard);
    }

    /// The session heard last on a channel, if one was at or after `since_ns`.
    #[must_use]
    pub fn heard(&self, channel: u8, since_ns: u64) -> Option<Heard> {
        self.heard[index(channel)].filter(|heard| heard.at_ns >= since_ns)
    }

    /// Why our session on a channel must not send any more; `None` = it may.
    #[must_use]
    pub fn superseded(&self, channel: u8) -> Option<Superseded> {
        self.superseded[index(channel)]
    }

    fn judge_own(&mut self, index: usize, heard: &Heard) {
        if let Some(own) = self.own[index] {
            self.judge(own, heard);
        }
    }

    fn judge(&mut self, own: Own, heard: &Heard) {
        let cause = if own.drill && !heard.drill {
            (!heard.ended).then_some(Cause::BesideLive)
        } else if heard.drill && !own.drill {
            None // Consumers of the live session drop it before they look at its number.
        } else if heard.session == own.session {
            // Our own number, ended or not: two publishers have used it.
            Some(Cause::SameSession)
        } else {
            // An ended one too: consumers have followed it and refuse what is lower.
            (heard.session > own.session).then_some(Cause::HigherSession)
        };
        if let Some(cause) = cause {
            let first = Superseded { own, cause, by: heard.session };
            self.superseded[index(own.channel)].get_or_insert(first);
        }
    }
}

fn index(channel: u8) -> usize {
    usize::from(channel & wire::CHANNEL_NUMBER)
}

/// Types whose root begins with the publisher's number: what a listener needs of its own session too.
pub const NAMES_PUBLISHER_MAX: u8 = msg::SESSION_END;
const _: () = assert!(
    msg::HEARTBEAT <= NAMES_PUBLISHER_MAX
        && msg::SESSION_START <= NAMES_PUBLISHER_MAX
        && msg::SESSION_END == NAMES_PUBLISHER_MAX
);
