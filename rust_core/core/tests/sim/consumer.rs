//! A consumer in a world: the real receiver behind sockets whose buffers overflow when it sleeps.

use std::collections::VecDeque;

use outcrier_core::chaos::{Chaos, Plan};
use outcrier_core::receive::{Config, Line, Receiver, Reported};

use crate::oracle::Oracle;
use crate::publisher::{Bytes, EPOCH_NS};
use crate::truth::Truth;

/// Datagrams that a sleeping consumer's socket keeps: what the default buffer of Linux holds of 216 bytes each.
const SOCKET_KEEPS: usize = 166;

/// Ways into a consumer, each with a network of its own.
pub(crate) const LINES: [Line; 5] = [Line::A, Line::B, Line::Snapshot, Line::Repair, Line::Retransmit];

pub(crate) struct Consumer {
    pub(crate) receiver: Receiver,
    pub(crate) oracle: Oracle,
    /// By [`LINES`].
    ways: Vec<Chaos>,
    /// Datagrams still to be lost on every line: a cable is out.
    pub(crate) cut: u64,
    /// Sleeps until then.
    asleep_until_ns: Option<u64>,
    socket: VecDeque<(Line, Bytes)>,
    /// Lost in the socket and not yet told to the receiver.
    dropped: u64,
    /// Wall clock of its kernel less the world's.
    pub(crate) wall_step_ns: i64,
}

impl Consumer {
    pub(crate) fn new(config: Config, plan: &Plan, seed: u64) -> Self {
        let way = |at: u8| Chaos::new(plan, seed, at).expect("a plan that can be");
        Self {
            receiver: Receiver::new(config),
            oracle: Oracle::default(),
            ways: (0..).zip(LINES).map(|(at, _)| way(at)).collect(),
            cut: 0,
            asleep_until_ns: None,
            socket: VecDeque::new(),
            dropped: 0,
            wall_step_ns: 0,
        }
    }

    /// The network of one line: what becomes of a datagram, and when it is there.
    pub(crate) fn pass(&mut self, line: Line, bytes: &Bytes, now_ns: u64, out: &mut impl FnMut(u64, Bytes)) {
        if self.cut > 0 {
            self.cut -= 1;
            return;
        }
        let at = LINES.iter().position(|of| *of == line).expect("a line of the network");
        self.ways[at].pass(bytes, now_ns, &mut |due_ns, passed| {
            let is_same = passed.len() == bytes.len() && passed == &**bytes;
            out(due_ns, if is_same { bytes.clone() } else { passed.into() });
        });
    }

    /// From now on the network is good.
    pub(crate) fn heal(&mut self, plan: &Plan) {
        self.cut = 0;
        let way = |at: u8| Chaos::new(plan, 0, at).expect("a plan that can be");
        self.ways = (0..).zip(LINES).map(|(at, _)| way(at)).collect();
    }

    /// A datagram is there.
    pub(crate) fn arrive(&mut self, line: Line, bytes: &Bytes, now_ns: u64, truth: &Truth) {
        if line == Line::Snapshot && !self.receiver.wants_snapshot_plane() {
            return;
        }
        if self.asleep_until_ns.is_none() {
            self.take(line, bytes, now_ns, truth);
        } else if self.socket.len() < SOCKET_KEEPS {
            self.socket.push_back((line, bytes.clone()));
        } else {
            self.dropped += 1;
        }
    }

    fn take(&mut self, line: Line, bytes: &[u8], now_ns: u64, truth: &Truth) {
        let rx_ts = EPOCH_NS + now_ns.cast_signed() + self.wall_step_ns;
        let mut view = self.oracle.view(truth, now_ns);
        self.receiver.on_datagram(line, bytes, rx_ts, now_ns, &mut view);
    }

    /// Stops reading for a while.
    pub(crate) fn sleep(&mut self, until_ns: u64) {
        self.asleep_until_ns = Some(until_ns);
    }

    /// When something is to be done without a datagram.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        match self.asleep_until_ns {
            Some(until_ns) => Some(until_ns),
            None => self.receiver.deadline_ns(),
        }
    }

    /// Wakes, drains the socket, then runs the timers.
    pub(crate) fn on_deadline(&mut self, now_ns: u64, truth: &Truth) {
        if self.asleep_until_ns.is_some_and(|until_ns| now_ns >= until_ns) {
            self.asleep_until_ns = None;
            if self.dropped > 0 {
                self.receiver.on_kernel_drops(std::mem::take(&mut self.dropped));
            }
            while let Some((line, bytes)) = self.socket.pop_front() {
                self.take(line, &bytes, now_ns, truth);
            }
        }
        let mut view = self.oracle.view(truth, now_ns);
        self.receiver.on_timer(now_ns, &mut view);
    }

    /// Holds every book that is called LIVE to the publisher's.
    pub(crate) fn check_all(&mut self, truth: &Truth) {
        for mirror in self.receiver.mirrors() {
            self.oracle.check(mirror, truth, true);
        }
    }

    /// Whether every book is called LIVE, and there are so many.
    pub(crate) fn is_live(&self, books: usize) -> bool {
        let live = self.receiver.mirrors().filter(|mirror| mirror.reported() == Reported::Live);
        live.count() == books
    }
}
