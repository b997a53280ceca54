//! What is to happen, in the order of its time; what is due at the same time, in the order in which it was said.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use outcrier_core::receive::Line;

use crate::host::Bytes;

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Happens {
    Read {
        publisher: usize,
    },
    Rest {
        publisher: usize,
        index: u32,
    },
    Arrives {
        consumer: usize,
        line: Line,
        bytes: Bytes,
    },
    Request {
        consumer: usize,
        port: u16,
        bytes: Bytes,
    },
    Connects {
        consumer: usize,
        port: u16,
        request: Vec<u8>,
    },
    Overhears {
        publisher: usize,
        bytes: Bytes,
    },
    Check,
    /// A script's own moment.
    Turn(usize),
}

#[derive(Debug)]
struct Due {
    at: (u64, u64),
    what: Happens,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Everything that is to happen.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Due>>,
    queued: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, due_ns: u64, what: Happens) {
        self.queued += 1;
        self.heap.push(Reverse(Due { at: (due_ns, self.queued), what }));
    }

    /// When the next thing happens.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(due)| due.at.0)
    }

    pub(crate) fn pop(&mut self) -> Option<Happens> {
        self.heap.pop().map(|Reverse(due)| due.what)
    }
}
