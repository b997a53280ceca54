//! Ways out for frames: sockets behind a guard, or a list in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outcrier_core::publish::arbitration::{Heard, Own, Superseded};
use outcrier_core::wire::auth::Keyring;
use outcrier_net::{Batch, Guard, PublisherCounters, UdpPublisher};

/// Text lines that a list in memory keeps: who only wants the frames of a long recording takes none.
const TEXTS_MAX: usize = 4_096;

/// A way out for frames.
pub(crate) enum Outlet {
    Udp(Box<Udp>),
    Memory(Mutex<Kept>),
}

/// The sockets of a machine, and the ear that says whether they may be used.
pub(crate) struct Udp {
    pub(crate) socket: Arc<UdpPublisher>,
    pub(crate) guard: Guard,
}

/// What left, in the order in which it did.
#[derive(Default)]
pub(crate) struct Kept {
    /// Datagrams, one behind the other: a publisher that is measured keeps them in memory that it had before.
    bytes: Vec<u8>,
    /// Plane of each, and where it ends.
    ends: Vec<(u8, usize)>,
    /// What was kept is forgotten where it is longer than this; 0 = never.
    bytes_max: usize,
    pub(crate) texts: VecDeque<Vec<u8>>,
    sums: PublisherCounters,
}

impl Kept {
    /// Keeps all datagrams until they are taken; those that came last where `bytes_max` is not 0.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Gives the datagrams to `take`, in their order and with their plane, and forgets them.
    pub(crate) fn take<T>(&mut self, mut take: impl FnMut(u8, &[u8]) -> T) -> Vec<T> {
        let mut start = 0;
        let datagram =
            |&(plane, end): &(u8, usize)| take(plane, &self.bytes[std::mem::replace(&mut start, end)..end]);
        let taken = self.ends.iter().map(datagram).collect();
        self.bytes.clear();
        self.ends.clear();
        taken
    }
}

impl Outlet {
    /// Lets frames of one channel leave together. `false`: the channel must not send any more, they are dropped.
    pub(crate) fn leave(&self, channel: u8, batch: &Batch, now_ns: u64) -> bool {
        match self {
            Self::Udp(udp) => {
                if !udp.guard.may_send(channel, now_ns) {
                    return false;
                }
                udp.socket.send_batch(batch); // The socket counts what the kernel refuses.
            }
            Self::Memory(kept) => {
                let mut kept = lock(kept);
                kept.sums.sends += 1;
                if kept.bytes_max > 0 && kept.bytes.len() > kept.bytes_max {
                    kept.bytes.clear();
                    kept.ends.clear();
                }
                for (frame, padding) in batch.datagrams() {
                    kept.sums.frames += 1;
                    kept.sums.bytes += frame.len() as u64;
                    kept.sums.padding_bytes += padding.len() as u64;
                    kept.bytes.extend_from_slice(frame);
                    kept.bytes.extend_from_slice(padding);
                    let end = kept.bytes.len();
                    kept.ends.push((batch.plane() as u8, end));
                }
            }
        }
        true
    }

    /// Sends a text line; `false`: there is no group for them.
    pub(crate) fn send_text(&self, line: &[u8]) -> bool {
        match self {
            Self::Udp(udp) => udp.socket.send_text(line).is_some(),
            Self::Memory(kept) => {
                let texts = &mut lock(kept).texts;
                if texts.len() == TEXTS_MAX {
                    texts.pop_front();
                }
                texts.push_back(line.to_vec());
                true
            }
        }
    }

    /// Others' frames are to be signed by other keys from now on.
    pub(crate) fn change_keys(&self, keys: Keyring) {
        if let Self::Udp(udp) = self {
            udp.guard.change_keys(keys);
        }
    }

    /// Announces a session of ours, before its first frame.
    pub(crate) fn begin(&self, own: Own) -> std::io::Result<()> {
        match self {
            Self::Udp(udp) => udp.guard.begin(own),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Other sessions heard on the channels within a time from now.
    pub(crate) fn listen(&self, channels: &[u8], for_ns: u64) -> std::io::Result<Vec<Heard>> {
        match self {
            Self::Udp(udp) => udp.guard.listen(channels, for_ns),
            Self::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Sessions of ours that must not send any more.
    pub(crate) fn superseded(&self) -> Vec<Superseded> {
        match self {
            Self::Udp(udp) => udp.guard.superseded(),
            Self::Memory(_) => Vec::new(),
        }
    }

    pub(crate) fn count_oversize(&self) {
        match self {
            Self::Udp(udp) => udp.socket.count_oversize(),
            Self::Memory(kept) => lock(kept).sums.oversize += 1,
        }
    }

    /// Counts by way out, each with the prefix of its names.
    pub(crate) fn counters(&self) -> Vec<(&'static str, PublisherCounters)> {
        match self {
            Self::Udp(udp) => {
                let socket = &udp.socket;
                [
                    ("", Some(socket.counters())),
                    ("line_b_", socket.counters_b()),
                    ("text_", socket.counters_text()),
                    ("repair_", socket.counters_repair()),
                ]
                .into_iter()
                .filter_map(|(prefix, sums)| sums.map(|sums| (prefix, sums)))
                .collect()
            }
            Self::Memory(kept) => vec![("", lock(kept).sums)],
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
