//! A consumer in a world: the real receiver behind sockets whose buffers overflow when it sleeps.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

use outcrier_core::chaos::{Chaos, Plan};
use outcrier_core::receive::{Config, GapReport, Line, Receiver, Reported};

use crate::host::Bytes;
use crate::oracle::{BEHIND_NS_MAX, Held, Oracle};
use crate::publisher::{CHANNEL, EPOCH_NS};
use crate::truth::Truth;
use crate::world::MS;

/// Datagrams that a sleeping consumer's socket keeps: what the default buffer of Linux holds of 216 bytes each.
const SOCKET_KEEPS: usize = 166;

/// Ways into a consumer, each with a network of its own.
pub(crate) const LINES: [Line; 5] = [Line::A, Line::B, Line::Snapshot, Line::Repair, Line::Retransmit];

/// What is found missing is given up within this time.
const MISSING_NS_MAX: u64 = 41 * MS;
/// Number of the way to retransmit servers among a consumer's ways.
const UP: u8 = 100;

pub(crate) struct Consumer {
    pub(crate) receiver: Receiver,
    pub(crate) oracle: Oracle,
    /// By [`LINES`].
    ways: Vec<Chaos>,
    /// To retransmit servers.
    up: Chaos,
    /// Where its requests come from.
    pub(crate) address: SocketAddrV4,
    /// Datagrams still to be lost on every line: a cable is out.
    pub(crate) cut: u64,
    /// Left the group for good.
    pub(crate) is_gone: bool,
    /// Sleeps until then.
    asleep_until_ns: Option<u64>,
    woke_ns: u64,
    socket: VecDeque<(Line, Bytes)>,
    /// Lost in the socket and not yet told to the receiver.
    dropped: u64,
    /// Wall clock of its kernel less the world's.
    pub(crate) wall_step_ns: i64,
}

impl Consumer {
    pub(crate) fn new(config: Config, plan: &Plan, (place, seed): (usize, u64)) -> Self {
        let way = |at: u8| Chaos::new(plan, seed, at).expect("a plan that can be");
        let port = 50_000 + u16::try_from(place).expect("few consumers");
        Self {
            receiver: Receiver::new(Config { consumer_id: seed, seed, ..config }),
            up: way(UP),
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            oracle: Oracle::default(),
            ways: (0..).zip(LINES).map(|(at, _)| way(at)).collect(),
            cut: 0,
            is_gone: false,
            asleep_until_ns: None,
            woke_ns: 0,
            socket: VecDeque::new(),
            dropped: 0,
            wall_step_ns: 0,
        }
    }

    /// The network of one line: what becomes of a datagram, and when it is there.
    pub(crate) fn pass(&mut self, line: Line, bytes: &Bytes, now_ns: u64, out: &mut impl FnMut(u64, Bytes)) {
        if self.is_gone {
            return;
        }
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

    /// From now on its network is like this.
    pub(crate) fn change_weather(&mut self, plan: &Plan, seed: u64) {
        let way = |at: u8| Chaos::new(plan, seed, at).expect("a plan that can be");
        self.cut = 0;
        self.ways = (0..).zip(LINES).map(|(at, _)| way(at)).collect();
        self.up = way(UP);
    }

    /// What its network held back so far.
    pub(crate) fn reordered(&self) -> u64 {
        self.ways.iter().map(|way| way.counts().reordered).sum()
    }

    /// What it wants to be sent again: each datagram with the time at which it is there, and the server's port.
    pub(crate) fn requests(&mut self, now_ns: u64, out: &mut impl FnMut(u64, u16, Bytes)) {
        while let Some(request) = self.receiver.next_request(now_ns) {
            self.up.pass(request.bytes, now_ns, &mut |due_ns, bytes| {
                out(due_ns, request.to.port(), bytes.into());
            });
        }
    }

    /// A datagram is there, or a unit of an image; an empty one is the end of the connection.
    pub(crate) fn arrive(&mut self, line: Line, bytes: &Bytes, now_ns: u64, truth: &Truth) {
        if line == Line::Snapshot && !self.receiver.wants_snapshot_plane() {
            return;
        }
        if self.asleep_until_ns.is_none() {
            self.take(line, bytes, now_ns, truth);
        } else if line == Line::Image || self.socket.len() < SOCKET_KEEPS {
            self.socket.push_back((line, bytes.clone()));
        } else {
            self.dropped += 1;
        }
    }

    fn take(&mut self, line: Line, bytes: &[u8], now_ns: u64, truth: &Truth) {
        if line == Line::Image && bytes.is_empty() {
            self.receiver.image_ended(CHANNEL);
            return;
        }
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
            _ if self.is_gone => None,
            Some(until_ns) => Some(until_ns),
            None => self.receiver.deadline_ns(),
        }
    }

    /// Wakes, drains the socket, then runs the timers.
    pub(crate) fn on_deadline(&mut self, now_ns: u64, truth: &Truth) {
        if self.asleep_until_ns.is_some_and(|until_ns| now_ns >= until_ns) {
            self.asleep_until_ns = None;
            self.woke_ns = now_ns;
            let dropped = std::mem::take(&mut self.dropped);
            self.receiver.on_kernel_drops(dropped, now_ns, &mut self.oracle.view(truth, now_ns));
            while let Some((line, bytes)) = self.socket.pop_front() {
                self.take(line, &bytes, now_ns, truth);
            }
        }
        let mut view = self.oracle.view(truth, now_ns);
        self.receiver.on_timer(now_ns, &mut view);
    }

    /// Whether it reads its sockets.
    pub(crate) fn is_awake(&self) -> bool {
        self.asleep_until_ns.is_none()
    }

    /// Holds every book that is called LIVE to the publisher's.
    pub(crate) fn check_all(&mut self, truth: &Truth, now_ns: u64) {
        for mirror in self.receiver.mirrors() {
            self.oracle.check(mirror, truth, Held::ALL);
            // What lay in its socket when it woke was old, and what was just found missing may still come.
            let is_up_to_date = self.is_awake() && now_ns >= self.woke_ns + BEHIND_NS_MAX;
            if is_up_to_date && !self.is_gone && Oracle::is_old(mirror, truth, now_ns) {
                let (instrument, seq) = (mirror.instrument, mirror.instr_seq);
                let is_asked_for = |gap: GapReport| now_ns <= gap.opened_ns + MISSING_NS_MAX;
                assert!(
                    self.receiver.open_gaps().any(is_asked_for),
                    "instrument {instrument} is LIVE at {seq}, and more left {} ms ago",
                    BEHIND_NS_MAX / MS
                );
            }
        }
    }

    /// A counter of its receiver.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let named = self.receiver.counters().into_iter().find(|(of, _)| *of == name);
        named.unwrap_or_else(|| panic!("no counter `{name}`")).1
    }

    /// Whether every book is called LIVE, and there are so many.
    pub(crate) fn is_live(&self, books: usize) -> bool {
        let live = self.receiver.mirrors().filter(|mirror| mirror.reported() == Reported::Live);
        live.count() == books
    }
}
