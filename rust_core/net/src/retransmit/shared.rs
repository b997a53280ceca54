//! What the feed's thread and the server's threads have in common: the store, and a mailbox each way.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outcrier_core::retransmit::{Frames, Limits, Store};
use outcrier_core::wire::auth::Keyring;
use outcrier_core::wire::{CHANNEL_NUMBER, FRAME_BYTES_MAX, SnapWant};

use super::counters::ServiceCounters;
use super::wake::Bell;

/// Requests that wait for the feed: a feed that does not answer takes at most this much memory (1,300 bytes each).
pub const WANTS_MAX: usize = 256;
/// Bytes of one image, as of a snapshot plane in the store: nine of the largest cycles expected.
pub const IMAGE_BYTES_MAX: usize = 64 << 20;
/// Images given and not yet taken by the server's thread, which takes them at once.
const ANSWERS_MAX: usize = 8;

/// What consumers want of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Instruments to be moved to the head of the snapshot cycle.
    Head {
        /// Session that the consumer follows.
        session: u32,
        /// Venue of the instruments.
        venue: u16,
        /// The instruments; empty = all of the channel.
        wants: Vec<SnapWant>,
    },
    /// An image, to be given to [`Shared::answer_image`].
    Image {
        /// Which one.
        id: u64,
        /// Session that the consumer follows.
        session: u32,
        /// Venue of the instruments.
        venue: u16,
        /// The instruments; empty = all of the channel.
        wants: Vec<SnapWant>,
    },
}

/// Frames as they leave by TCP: each behind its length, a u16.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    bytes: Vec<u8>,
    frames: u64,
}

impl Units {
    /// Adds a frame; `false` = it is longer than a frame may be, or there is no room: see [`IMAGE_BYTES_MAX`].
    pub fn push(&mut self, frame: &[u8]) -> bool {
        let is_fit = frame.len() <= FRAME_BYTES_MAX && self.bytes.len() + frame.len() + 2 <= IMAGE_BYTES_MAX;
        if let (true, Ok(len)) = (is_fit, u16::try_from(frame.len())) {
            self.bytes.extend_from_slice(&len.to_le_bytes());
            self.bytes.extend_from_slice(frame);
            self.frames += 1;
        }
        is_fit
    }

    /// Lengths and frames behind each other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many frames there are.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

/// The mailbox to the feeds.
#[derive(Debug, Default)]
struct Mailbox {
    /// With the channel number of the feed.
    wants: VecDeque<(u8, Want)>,
    last_image: u64,
    dropped: u64,
}

/// The mailbox to the streams.
#[derive(Debug, Default)]
struct Answers {
    given: Vec<Answer>,
    dropped: u64,
}

/// Keys that took the place of those of the start, and how often that happened.
#[derive(Debug, Default)]
struct NewKeys {
    changes: u64,
    keys: Option<Keyring>,
}

/// An image that a feed gave, `None` = it could not.
pub(super) type Answer = (u64, Option<Arc<Units>>);

/// The store and the mailboxes of one process. All of it may be called from any thread; each call holds one lock, and for the
/// time of copying a few frames.
#[derive(Debug)]
pub struct Shared {
    store: Mutex<Store>,
    mailbox: Mutex<Mailbox>,
    answers: Mutex<Answers>,
    /// Session and lowest number of each channel's log, as the server last saw it.
    archived: Mutex<HashMap<u8, (u32, u64)>>,
    counters: Mutex<ServiceCounters>,
    keys: Mutex<NewKeys>,
    /// Rings at the feeds' loop.
    feed_bell: Bell,
    /// Rings at the thread of the streams.
    stream_bell: Bell,
}

/// A thread that panicked leaves whole values behind: each is changed by calls that do not panic between two changes.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// An empty store with its mailboxes.
    ///
    /// # Errors
    ///
    /// What the system said about two eventfds: no more descriptors, or no memory.
    pub fn new(limits: Limits) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            store: Mutex::new(Store::new(limits)),
            mailbox: Mutex::default(),
            answers: Mutex::default(),
            archived: Mutex::default(),
            counters: Mutex::default(),
            keys: Mutex::default(),
            feed_bell: Bell::new()?,
            stream_bell: Bell::new()?,
        }))
    }

    /// Keeps frames as they were sent, of any channel and plane; un-numbered ones are passed over. `now_ns` is monotonic.
    /// Costs one lock for all of them and a copy of each.
    pub fn keep<'a>(&self, frames: impl IntoIterator<Item = &'a [u8]>, now_ns: u64) {
        let mut store = lock(&self.store);
        for frame in frames {
            store.push(frame, now_ns);
        }
    }

    /// Lowest number of the channel's incremental plane that can be had, from the log too: `oldest_retx_seq` of heartbeats.
    /// `None` before the first frame.
    #[must_use]
    pub fn oldest(&self, channel: u8) -> Option<u64> {
        let channel = channel & CHANNEL_NUMBER;
        let (session, kept) = {
            let store = lock(&self.store);
            let behind_newest = || store.newest(channel).map(|newest| newest + 1);
            (store.session(channel)?, store.oldest(channel).or_else(behind_newest)?)
        };
        let archived = lock(&self.archived).get(&channel).copied();
        Some(archived.filter(|archived| archived.0 == session).map_or(kept, |archived| kept.min(archived.1)))
    }

    /// Has the server take requests signed by other keys, each of its threads before it answers its next request.
    pub fn change_keys(&self, keys: Keyring) {
        let mut new = lock(&self.keys);
        new.changes += 1;
        new.keys = Some(keys);
    }

    /// Keys that a thread has not taken, which has taken those of `seen` changes.
    pub(super) fn take_keys(&self, seen: &mut u64) -> Option<Keyring> {
        let new = lock(&self.keys);
        if new.changes == *seen {
            return None;
        }
        *seen = new.changes;
        new.keys.clone()
    }

    /// What consumers want of the feed of this channel, in the order asked. Silences [`Shared::wake_fd`], so that whoever
    /// waits for it asks for each of its channels when it wakes.
    #[must_use]
    pub fn take_wants(&self, channel: u8) -> Vec<Want> {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.wants.is_empty() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        let mut left = VecDeque::new();
        for (of, want) in mailbox.wants.drain(..) {
            if of == channel & CHANNEL_NUMBER {
                taken.push(want);
            } else {
                left.push_back((of, want));
            }
        }
        mailbox.wants = left;
        self.feed_bell.silence();
        taken
    }

    /// A descriptor that is readable when feeds should [`take_wants`](Shared::take_wants).
    #[must_use]
    pub fn wake_fd(&self) -> RawFd {
        self.feed_bell.fd()
    }

    /// Gives the image that was wanted by this id; `None` = it cannot be cut, and who asked is turned away. Frames are numbered
    /// from 1 and closed by CYCLE_END.
    pub fn answer_image(&self, id: u64, image: Option<Units>) {
        let mut answers = lock(&self.answers);
        if answers.given.len() < ANSWERS_MAX {
            answers.given.push((id, image.map(Arc::new)));
        } else {
            answers.dropped += 1;
        }
        self.stream_bell.ring();
    }

    /// Sums of the store, the server and its sockets; those of the server as of its last turn.
    #[must_use]
    pub fn counters(&self) -> ServiceCounters {
        let store = lock(&self.store).counters();
        let wants_dropped = lock(&self.mailbox).dropped;
        let answers_dropped = lock(&self.answers).dropped;
        let mut counters = *lock(&self.counters);
        counters.store = store;
        counters.wants_dropped = wants_dropped;
        counters.answers_dropped = answers_dropped;
        counters
    }

    /// Frames and bytes that the store holds of all incremental planes.
    #[must_use]
    pub fn held(&self) -> (usize, u64) {
        lock(&self.store).held()
    }

    /// Puts instruments into the mailbox.
    pub(super) fn want_head(&self, channel: u8, session: u32, venue: u16, wants: Vec<SnapWant>) {
        self.post(&mut lock(&self.mailbox), channel, Want::Head { session, venue, wants });
    }

    /// Puts an image into the mailbox and returns its id; one that is wanted already and not yet taken is shared.
    pub(super) fn want_image(&self, channel: u8, session: u32, venue: u16, wants: Vec<SnapWant>) -> u64 {
        let mut mailbox = lock(&self.mailbox);
        let same = mailbox.wants.iter().find_map(|(of, want)| match want {
            Want::Image { id, session: of_session, venue: of_venue, wants: these } => {
                let is_same = (*of, *of_session, *of_venue) == (channel, session, venue) && *these == wants;
                is_same.then_some(*id)
            }
            Want::Head { .. } => None,
        });
        if let Some(id) = same {
            return id;
        }
        mailbox.last_image += 1;
        let id = mailbox.last_image;
        self.post(&mut mailbox, channel, Want::Image { id, session, venue, wants });
        id
    }

    /// The oldest wish goes where there are too many: it is of a feed that is gone or far too slow.
    fn post(&self, mailbox: &mut Mailbox, channel: u8, want: Want) {
        if mailbox.wants.len() == WANTS_MAX {
            mailbox.dropped += 1;
            mailbox.wants.pop_front();
        }
        mailbox.wants.push_back((channel, want));
        self.feed_bell.ring();
    }

    /// The images given since the last call.
    pub(super) fn take_answers(&self) -> Vec<Answer> {
        self.stream_bell.silence();
        std::mem::take(&mut lock(&self.answers).given)
    }

    pub(super) fn stream_fd(&self) -> RawFd {
        self.stream_bell.fd()
    }

    /// Gives up what is too old; see [`Store::trim`]. Each part holds the lock for about 0.1 ms.
    pub(super) fn trim(&self, now_ns: u64) {
        while lock(&self.store).trim(now_ns) {
            // Whoever sends has its turn in between.
            std::thread::yield_now();
        }
    }

    /// Notes what the log has.
    pub(super) fn set_archived(&self, channel: u8, session: u32, oldest: Option<u64>) {
        let mut archived = lock(&self.archived);
        match oldest {
            Some(oldest) => archived.insert(channel, (session, oldest)),
            None => archived.remove(&channel),
        };
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut ServiceCounters)) {
        change(&mut lock(&self.counters));
    }
}

impl Frames for Shared {
    fn session(&self, channel: u8) -> Option<u32> {
        lock(&self.store).session(channel)
    }

    fn oldest(&self, channel: u8) -> Option<u64> {
        lock(&self.store).oldest(channel)
    }

    fn newest(&self, channel: u8) -> Option<u64> {
        lock(&self.store).newest(channel)
    }

    fn append(&self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool {
        lock(&self.store).append(channel, session, seq, out)
    }
}
