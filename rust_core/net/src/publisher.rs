//! Frames out: one datagram each, to the groups of a feed, never waiting for anybody.
//!
//! Every way out has a socket of its own: line A with the snapshot plane, line B, the text lines, the repair group. What
//! one of them cannot send is dropped and counted there, and disturbs no other.

mod line;

use socket2::SockAddr;

use self::line::Line;
use crate::{Batch, NetError, Plane, PublisherConfig, PublisherCounters, Sent};

/// A multicast sender. One non-blocking socket serves line A and the snapshot plane, so frames of one caller leave in order.
///
/// Sending takes `&self` and counts in atomics: threads may share it, each with a [`Batch`] of its own.
#[derive(Debug)]
pub struct UdpPublisher {
    line_a: Line,
    /// By [`Plane`].
    targets: [SockAddr; 2],
    line_b: Option<Way>,
    text: Option<Way>,
    repair: Option<Way>,
}

/// A socket and its one group.
#[derive(Debug)]
struct Way {
    line: Line,
    target: SockAddr,
}

impl UdpPublisher {
    /// Opens the sockets and asks the system for its way to every group, so that what is wrong is said now and not with the
    /// first frame.
    ///
    /// # Errors
    /// [`NetError`] names group, interface, port and what the system said.
    pub fn open(config: &PublisherConfig) -> Result<UdpPublisher, NetError> {
        let &PublisherConfig { interface, port, ttl, .. } = config;
        if ttl > 1 {
            return Err(NetError::Ttl { ttl });
        }
        let way = |interface, group| -> Result<Way, NetError> {
            let (line, mut targets) = Line::open(interface, &[group], port, ttl)?;
            Ok(Way { line, target: targets.remove(0) })
        };
        let (line_a, targets) = Line::open(interface, &[config.group_a, config.group_snapshot], port, ttl)?;
        let targets: Result<[SockAddr; 2], _> = targets.try_into();
        Ok(UdpPublisher {
            line_a,
            targets: targets.expect("a target for each group"),
            line_b: config.line_b.map(|b| way(b.interface, b.group)).transpose()?,
            text: config.group_text.map(|group| way(interface, group)).transpose()?,
            repair: config.group_repair.map(|group| way(interface, group)).transpose()?,
        })
    }

    /// Sends the frames of `batch` on line A, and on line B too where there is one, or drops and counts them for each line.
    /// The snapshot plane has one line. Never blocks.
    pub fn send_batch(&self, batch: &Batch) {
        self.line_a.send_batch(&self.targets[batch.plane() as usize], batch);
        if let Some(b) = self.line_b_of(batch.plane()) {
            b.line.send_batch(&b.target, batch);
        }
    }

    /// Sends `frame` as one datagram a line, or drops and counts it. Never blocks. Gives what became of it on line A.
    pub fn send(&self, plane: Plane, frame: &[u8]) -> Sent {
        let sent = self.line_a.send(&self.targets[plane as usize], frame);
        if let Some(b) = self.line_b_of(plane) {
            b.line.send(&b.target, frame);
        }
        sent
    }

    fn line_b_of(&self, plane: Plane) -> Option<&Way> {
        self.line_b.as_ref().filter(|_| plane == Plane::Incremental)
    }

    /// Counts a frame that no batch takes because it is too long.
    pub fn count_oversize(&self) {
        self.line_a.count_oversize();
    }

    /// Sends a text line to its group, or drops and counts it. `None`: there is no such group.
    pub fn send_text(&self, line: &[u8]) -> Option<Sent> {
        self.text.as_ref().map(|way| way.line.send(&way.target, line))
    }

    /// Sends a frame once more, to all who hear the repair group, or drops and counts it. `None`: there is no such group.
    pub fn send_repair(&self, frame: &[u8]) -> Option<Sent> {
        self.repair.as_ref().map(|way| way.line.send(&way.target, frame))
    }

    /// What was sent, dropped and refused on line A and the snapshot plane since `open`.
    pub fn counters(&self) -> PublisherCounters {
        self.line_a.counters()
    }

    /// The same of line B; `None` where there is one line only.
    pub fn counters_b(&self) -> Option<PublisherCounters> {
        self.line_b.as_ref().map(|way| way.line.counters())
    }

    /// The same of the text lines.
    pub fn counters_text(&self) -> Option<PublisherCounters> {
        self.text.as_ref().map(|way| way.line.counters())
    }

    /// The same of the repair group.
    pub fn counters_repair(&self) -> Option<PublisherCounters> {
        self.repair.as_ref().map(|way| way.line.counters())
    }

    /// The system's words for the last send it refused on line A. A full buffer is not among these.
    pub fn last_error(&self) -> Option<String> {
        self.line_a.last_error()
    }

    /// The same of line B.
    pub fn last_error_b(&self) -> Option<String> {
        self.line_b.as_ref().and_then(|way| way.line.last_error())
    }

    /// Send buffer of line A as read back, in the kernel's accounting.
    pub fn effective_sndbuf(&self) -> usize {
        self.line_a.effective_sndbuf()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::LineB;

    #[test]
    fn a_line_b_that_fails_is_counted_there_and_does_not_concern_line_a() {
        let interface = Ipv4Addr::LOCALHOST;
        let group = |last| Ipv4Addr::new(239, 192, 199, last);
        let mut publisher = UdpPublisher::open(&PublisherConfig {
            interface,
            group_a: group(1),
            line_b: Some(LineB { interface, group: group(2) }),
            group_snapshot: group(3),
            group_text: None,
            group_repair: None,
            port: 9_001,
            ttl: 0,
        })
        .unwrap();
        // Broadcasts are not allowed to a socket that did not ask for them.
        let refused = SocketAddrV4::new(Ipv4Addr::BROADCAST, 9_001);
        publisher.line_b.as_mut().unwrap().target = refused.into();
        let mut batch = Batch::new();
        for frame in [[1_u8; 70], [2; 70]] {
            batch.add(Plane::Incremental, &frame, |_| panic!("they leave together"));
        }
        publisher.send_batch(&batch);
        assert_eq!(publisher.send(Plane::Incremental, &[3; 70]), Sent::Sent);
        let (a, b) = (publisher.counters(), publisher.counters_b().unwrap());
        assert_eq!((a.frames, a.errors(), a.segment_refused), (3, 0, 0));
        assert_eq!((b.frames, b.not_permitted), (0, 3));
        assert_eq!(publisher.last_error(), None);
        assert!(publisher.last_error_b().is_some());
    }
}
