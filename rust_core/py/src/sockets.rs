//! The sockets of a receiver: read them until they are empty, account for drops, follow the snapshot plane.

use std::io;

use outcrier_core::receive::{Collector, Line, Receiver};
use outcrier_net::clock::mono_ns;
use outcrier_net::{NetError, ReceiveBuffers, SubscriberConfig, UdpSubscriber};

/// Datagrams read from one socket in one call, at least, so that the caller's loop goes on: they take about 2 ms.
const POLL_DATAGRAMS_MAX: usize = 4_096;
/// The kernel's drop counts are asked for this often (`docs/wire-format.md`, socket rules).
const DROPS_EVERY_NS: u64 = 100_000_000;

/// Line A and the snapshot plane of one group of channels.
pub(crate) struct Sockets {
    pub(crate) line_a: UdpSubscriber,
    pub(crate) snapshot: UdpSubscriber,
    buffers: ReceiveBuffers,
    drops_seen: u64,
    drops_asked_ns: u64,
    /// Datagrams whose end is lost.
    truncated: u64,
}

/// What went wrong while reading.
pub(crate) enum PollError {
    Read(io::Error),
    Join(NetError),
}

impl Sockets {
    pub(crate) fn open(line_a: &SubscriberConfig, snapshot: &SubscriberConfig) -> Result<Self, NetError> {
        Ok(Self {
            line_a: UdpSubscriber::open(line_a)?,
            snapshot: UdpSubscriber::open(snapshot)?,
            buffers: ReceiveBuffers::new(),
            drops_seen: 0,
            drops_asked_ns: 0,
            truncated: 0,
        })
    }

    pub(crate) fn truncated(&self) -> u64 {
        self.truncated
    }

    pub(crate) fn filenos(&self) -> impl Iterator<Item = i32> {
        [self.line_a.fd(), self.snapshot.fd()].into_iter().flatten()
    }

    /// Reads one socket until it is empty; `false` if it was not by then.
    fn drain(&mut self, line: Line, receiver: &mut Receiver, collector: &mut Collector) -> io::Result<bool> {
        let socket = if line == Line::Snapshot { &mut self.snapshot } else { &mut self.line_a };
        let mut read = 0;
        while read < POLL_DATAGRAMS_MAX {
            // One look at the clock for what came by one call: it only has to be later than the arrival.
            let mut now_ns = None;
            let received = socket.recv(&mut self.buffers, |datagram| {
                let now_ns = *now_ns.get_or_insert_with(mono_ns);
                self.truncated += u64::from(datagram.truncated);
                receiver.on_datagram(line, datagram.bytes, datagram.kernel_ts_ns, now_ns, collector);
            })?;
            if !received.may_have_more {
                return Ok(true);
            }
            read += received.datagrams;
        }
        Ok(false)
    }

    /// Reads what has arrived, then gives up what is late, then joins or leaves the snapshot plane.
    pub(crate) fn poll(
        &mut self,
        receiver: &mut Receiver,
        collector: &mut Collector,
    ) -> Result<(), PollError> {
        let mut drain = |line| self.drain(line, receiver, collector).map_err(PollError::Read);
        let is_empty = drain(Line::A)? & drain(Line::Snapshot)?;
        let now_ns = mono_ns();
        if is_empty {
            receiver.on_timer(now_ns, collector);
        }
        let drops = if now_ns.saturating_sub(self.drops_asked_ns) >= DROPS_EVERY_NS {
            self.drops_asked_ns = now_ns;
            self.line_a.meminfo_drops() + self.snapshot.meminfo_drops()
        } else {
            self.line_a.drops() + self.snapshot.drops()
        };
        receiver.on_kernel_drops(drops - self.drops_seen, now_ns, collector);
        self.drops_seen = drops;
        match (receiver.wants_snapshot_plane(), self.snapshot.fd()) {
            (true, None) => self.snapshot.join().map_err(PollError::Join)?,
            (false, Some(_)) => self.snapshot.leave(),
            _ => {}
        }
        Ok(())
    }
}
