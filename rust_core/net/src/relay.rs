//! A bad network between publisher and consumer: lines in, the same lines out elsewhere, through [`Chaos`].
//!
//! What is lost, delayed and damaged is decided in `outcrier_core::chaos`; here are the sockets and the time. Only
//! multicast lines are relayed. The address of the retransmit server stands in the heartbeats, which go through
//! unchanged, so that requests and answers by unicast go past the relay: recovery is the cure and not the patient.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddrV4;

use outcrier_core::chaos::{Chaos, Counts, Plan};
use socket2::{SockAddr, Socket};

use crate::clock::mono_ns;
use crate::{Endpoint, NetError, ReceiveBuffers, SubscriberConfig, UdpSubscriber, WAIT_SOCKETS_MAX, wait};

/// Most datagrams that wait to be sent: 10 s (the longest delay) at 20,000 frames/s, and a burst of 60,000.
pub const WAITING_DATAGRAMS_MAX: usize = 1 << 18;

/// Most bytes of them: so many datagrams at the 1,000 bytes of a large one.
pub const WAITING_BYTES_MAX: usize = 256 << 20;

/// Datagrams read from one line before what is due elsewhere has its turn: about 1 ms.
const TURN_DATAGRAMS: usize = 1_024;

/// How often the kernel's drop counts are asked for (wire format, socket rule 7).
const DROPS_EVERY_NS: u64 = 100_000_000;

/// Send buffer asked of the kernel, in bytes, which doubles it: 3,600 datagrams of 1,400 B that become due together.
const SNDBUF_BYTES: usize = 4 << 20;

/// One line to relay.
#[derive(Clone, Debug)]
pub struct RelayLine {
    /// Where it is heard.
    pub from: SubscriberConfig,
    /// Where it goes.
    pub to: Endpoint,
    /// How far: 0 this host, 1 this network.
    pub ttl: u8,
    /// What happens to it.
    pub plan: Plan,
    /// The seed that it shares with other lines.
    pub seed: u64,
    /// What tells it from them, so that each has a fate of its own.
    pub number: u8,
}

/// What a relay did with a line, beside what its plan asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// What the plan did.
    pub chaos: Counts,
    /// Datagrams that left.
    pub sent: u64,
    /// Dropped because too many waited already.
    pub queue_full: u64,
    /// Dropped because the kernel did not take them.
    pub refused: u64,
    /// Buffers that the kernel dropped before the relay read them.
    pub kernel_drops: u64,
}

impl RelayCounts {
    /// Name and value of every count.
    #[must_use]
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        let own = [
            ("sent", self.sent),
            ("queue_full", self.queue_full),
            ("refused", self.refused),
            ("kernel_drops", self.kernel_drops),
        ];
        self.chaos.list().into_iter().chain(own).collect()
    }
}

/// Sockets and fate of a line.
struct Line {
    from: UdpSubscriber,
    out: Outlet,
    chaos: Chaos,
    queue_full: u64,
}

/// Where a line goes.
struct Outlet {
    socket: Socket,
    at: Endpoint,
    target: SockAddr,
    sent: u64,
    refused: u64,
}

impl Outlet {
    fn open(ttl: u8, at: Endpoint) -> Result<Self, NetError> {
        let target = SockAddr::from(SocketAddrV4::new(at.group, at.port));
        Ok(Self { socket: outlet_socket(ttl, at)?, at, target, sent: 0, refused: 0 })
    }

    /// The socket waits for nobody.
    fn send(&mut self, datagram: &[u8]) {
        match self.socket.send_to(datagram, &self.target) {
            Ok(_) => self.sent += 1,
            Err(_) => self.refused += 1,
        }
    }
}

fn outlet_socket(ttl: u8, at: Endpoint) -> Result<Socket, NetError> {
    use crate::publisher::line::{probe_route, sending_socket};
    if ttl > 1 {
        return Err(NetError::Ttl { ttl });
    }
    crate::error::check_endpoint(at)?;
    probe_route(ttl, at)?;
    let socket = sending_socket(ttl, at)?;
    let asked = socket.set_send_buffer_size(SNDBUF_BYTES);
    asked.map_err(|source| NetError::from_os(at, "set the send buffer", source))?;
    Ok(socket)
}

/// A datagram that is not due yet.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due_ns: u64,
    /// Datagrams due at the same time leave in the order in which they came.
    order: u64,
    line: usize,
    bytes: Vec<u8>,
}

/// What waits, the next one first, within its limits.
#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
    order: u64,
}

impl Queue {
    /// Takes a datagram, unless there is no room for it.
    fn push(&mut self, due_ns: u64, line: usize, datagram: &[u8]) -> bool {
        if self.heap.len() >= WAITING_DATAGRAMS_MAX || self.bytes + datagram.len() > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes += datagram.len();
        self.order += 1;
        self.heap.push(Reverse(Waiting { due_ns, order: self.order, line, bytes: datagram.to_vec() }));
        true
    }

    fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(waiting)| waiting.due_ns)
    }

    fn pop_due(&mut self, now_ns: u64) -> Option<Waiting> {
        if self.next_ns()? > now_ns {
            return None;
        }
        let Reverse(waiting) = self.heap.pop()?;
        self.bytes -= waiting.bytes.len();
        Some(waiting)
    }
}

/// Relays lines until it is told to stop; one thread.
pub struct Relay {
    lines: Vec<Line>,
    queue: Queue,
    buffers: ReceiveBuffers,
    drops_asked_ns: u64,
}

impl Relay {
    /// A relay of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { lines: Vec::new(), queue: Queue::default(), buffers: ReceiveBuffers::new(), drops_asked_ns: 0 }
    }

    /// Opens the sockets of one more line and returns its index; it is relayed by the next [`run`](Relay::run).
    ///
    /// # Errors
    /// [`NetError`] names what cannot be, or the socket and what the system said.
    pub fn add(&mut self, line: &RelayLine) -> Result<usize, NetError> {
        if self.lines.len() == WAIT_SOCKETS_MAX {
            return Err(NetError::TooManyLines);
        }
        let RelayLine { from, to, ttl, plan, seed, number } = line;
        let chaos = Chaos::new(plan, *seed, *number).map_err(NetError::Plan)?;
        let line =
            Line { from: UdpSubscriber::open(from)?, out: Outlet::open(*ttl, *to)?, chaos, queue_full: 0 };
        // What a relay hears of itself it would relay again, and that for ever.
        let ends = |line: &Line| (line.from.endpoint(), line.out.at);
        let (hears, sends): (Vec<_>, Vec<_>) = self.lines.iter().chain([&line]).map(ends).unzip();
        if let Some(at) = sends.into_iter().find(|at| hears.contains(at)) {
            return Err(NetError::HearsItself(at));
        }
        self.lines.push(line);
        Ok(self.lines.len() - 1)
    }

    /// Relays for `timeout_ns`. Returns earlier if a signal came, which the caller may want to look at.
    ///
    /// # Errors
    /// What the system said while reading or waiting.
    pub fn run(&mut self, timeout_ns: u64) -> io::Result<()> {
        let end_ns = mono_ns().saturating_add(timeout_ns);
        loop {
            let is_empty = !self.read()?;
            let now_ns = mono_ns();
            self.send_due(now_ns);
            if now_ns >= end_ns {
                self.ask_drops(now_ns);
                return Ok(());
            }
            if is_empty {
                self.ask_drops(now_ns);
                let until_ns = self.queue.next_ns().map_or(end_ns, |due_ns| due_ns.min(end_ns));
                let sockets: Vec<_> = self.lines.iter().filter_map(|line| line.from.fd()).collect();
                let ready = wait(&sockets, until_ns.saturating_sub(mono_ns()))?;
                if ready == 0 && mono_ns() < until_ns {
                    return Ok(());
                }
            }
        }
    }

    /// What happened so far, by index of line.
    #[must_use]
    pub fn counts(&self) -> Vec<RelayCounts> {
        let counts = |line: &Line| RelayCounts {
            chaos: *line.chaos.counts(),
            sent: line.out.sent,
            queue_full: line.queue_full,
            refused: line.out.refused,
            kernel_drops: line.from.drops(),
        };
        self.lines.iter().map(counts).collect()
    }

    /// Datagrams that are not due yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.heap.len()
    }

    /// Least effective receive buffer of the lines, in the kernel's accounting.
    #[must_use]
    pub fn effective_rcvbuf(&self) -> usize {
        self.lines.iter().map(|line| line.from.effective_rcvbuf()).min().unwrap_or(0)
    }

    /// Reads what has arrived, a turn of each line; `false` if there was nothing.
    fn read(&mut self) -> io::Result<bool> {
        let mut any = false;
        for (index, line) in self.lines.iter_mut().enumerate() {
            let Line { from, out, chaos, queue_full } = line;
            let mut read = 0;
            while read < TURN_DATAGRAMS {
                let mut now_ns = None;
                let received = from.recv(&mut self.buffers, |datagram| {
                    let now_ns = *now_ns.get_or_insert_with(mono_ns);
                    chaos.pass(datagram.bytes, now_ns, &mut |due_ns, bytes| {
                        // What is due before it leaves before it, and waits in the queue.
                        if due_ns <= now_ns && self.queue.next_ns().is_none_or(|next_ns| next_ns > due_ns) {
                            out.send(bytes);
                        } else if !self.queue.push(due_ns, index, bytes) {
                            *queue_full += 1;
                        }
                    });
                })?;
                read += received.datagrams;
                if !received.may_have_more {
                    break;
                }
            }
            any |= read > 0;
        }
        Ok(any)
    }

    fn send_due(&mut self, now_ns: u64) {
        while let Some(waiting) = self.queue.pop_due(now_ns) {
            self.lines[waiting.line].out.send(&waiting.bytes);
        }
    }

    fn ask_drops(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.drops_asked_ns) >= DROPS_EVERY_NS {
            self.drops_asked_ns = now_ns;
            for line in &mut self.lines {
                line.from.meminfo_drops();
            }
        }
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_leaves_by_time_and_then_by_arrival() {
        let mut queue = Queue::default();
        for (due_ns, line, byte) in [(5, 0, 1), (3, 1, 2), (5, 1, 3), (4, 0, 4), (3, 0, 5)] {
            assert!(queue.push(due_ns, line, &[byte]));
        }
        assert_eq!(queue.next_ns(), Some(3));
        assert!(queue.pop_due(2).is_none());
        let mut left = Vec::new();
        while let Some(waiting) = queue.pop_due(5) {
            left.push((waiting.due_ns, waiting.line, waiting.bytes[0]));
        }
        assert_eq!(left, [(3, 1, 2), (3, 0, 5), (4, 0, 4), (5, 0, 1), (5, 1, 3)]);
        assert_eq!((queue.next_ns(), queue.bytes), (None, 0));
    }

    #[test]
    fn the_queue_has_an_end() {
        let mut queue = Queue::default();
        assert!((0..WAITING_DATAGRAMS_MAX as u64).all(|due_ns| queue.push(due_ns, 0, b"x")));
        assert!(!queue.push(0, 0, b"x"));
        assert!(queue.pop_due(0).is_some());
        assert!(queue.push(0, 0, b"x"));
        let mut queue = Queue::default();
        let long = vec![0; 65_507];
        let fit = WAITING_BYTES_MAX / long.len();
        assert!((0..fit).all(|_| queue.push(0, 0, &long)));
        assert!(!queue.push(0, 0, &long));
        assert_eq!(queue.bytes, fit * long.len());
    }
}
