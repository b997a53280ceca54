//! What is sent in batches (UDP_SEGMENT) arrives as it was sent, whoever else sends one by one in between.

use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::{io, mem};

use crate::common::{drain, drain_all, draw, line_a};
use outcrier_net::{DATAGRAM_BYTES_MAX, PublisherConfig, UdpSubscriber};

/// Most slots of a segmented send (`UDP_MAX_SEGMENTS` of the kernel, 64 before 6.8).
const SLOTS_MAX: usize = 64;

/// A sender that is nobody's code but this test's.
struct Sender {
    socket: UdpSocket,
    to: SocketAddrV4,
}

impl Sender {
    fn new(to: &PublisherConfig) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v4(&to.interface).unwrap();
        socket.set_multicast_ttl_v4(0).unwrap();
        Self { socket: socket.into(), to: SocketAddrV4::new(to.group_a, to.port) }
    }

    /// One datagram, or, with `slot_bytes`, one for each slot of `bytes`.
    fn send(&self, bytes: &[u8], slot_bytes: usize) {
        let slot_bytes = slot_bytes as libc::c_int;
        // SAFETY: the descriptor is open and the kernel reads the length given from `slot_bytes`.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw const slot_bytes).cast(),
                mem::size_of_val(&slot_bytes) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        assert_eq!(self.socket.send_to(bytes, self.to).unwrap(), bytes.len());
    }

    /// One send of all `frames`: padded with zeros to the longest, but for the last where `padded_end` is not set.
    fn batch(&self, frames: &[Vec<u8>], padded_end: bool) -> Vec<Vec<u8>> {
        let slot_bytes = frames.iter().map(Vec::len).max().unwrap();
        let mut slots: Vec<Vec<u8>> = frames.to_vec();
        let last = slots.len() - 1;
        for slot in &mut slots[..if padded_end { last + 1 } else { last }] {
            slot.resize(slot_bytes, 0);
        }
        self.send(&slots.concat(), slot_bytes);
        slots
    }
}

/// A repeatable schedule: XorShift64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn frame(&mut self, bytes_max: usize) -> Vec<u8> {
        let len = 66 + self.below(bytes_max - 65);
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

#[test]
fn single_and_segmented_sends_arrive_complete_and_in_order() {
    for seed in 1..=20 {
        let mut rng = Rng(seed);
        let to = draw();
        let mut config = line_a(&to);
        config.rcvbuf_bytes = 16 << 20;
        let mut subscriber = UdpSubscriber::open(&config).unwrap();
        let sender = Sender::new(&to);
        let (mut sent, mut arrived) = (Vec::new(), Vec::new());
        for step in 0..60 {
            // Batches whose slots together fit one UDP datagram of 65,507 B.
            let count = if rng.below(3) == 0 { 1 } else { 1 + rng.below(SLOTS_MAX) };
            let bytes_max = (65_507 / count).min(DATAGRAM_BYTES_MAX);
            let frames: Vec<_> = (0..count).map(|_| rng.frame(bytes_max)).collect();
            if count == 1 {
                sender.send(&frames[0], 0);
                sent.extend(frames);
            } else {
                sent.extend(sender.batch(&frames, rng.below(2) == 0));
            }
            // Without the privilege the buffer may hold less than all of this.
            if step % 2 == 1 {
                arrived.extend(drain(&mut subscriber));
            }
        }
        arrived.extend(drain(&mut subscriber));
        assert_eq!(subscriber.meminfo_drops(), 0, "seed {seed}");
        let lengths = |datagrams: &[Vec<u8>]| datagrams.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&arrived), lengths(&sent), "seed {seed}");
        assert!(arrived == sent, "seed {seed}: other bytes");
    }
}

#[test]
fn slots_of_a_batch_share_the_stamp_of_its_arrival() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let slots = Sender::new(&to).batch(&[vec![1; 100], vec![2; 70], vec![3; 66]], false);
    let arrived = drain_all(&mut subscriber);
    assert_eq!(arrived.iter().map(|datagram| datagram.bytes.len()).collect::<Vec<_>>(), [100, 100, 66]);
    assert!(arrived.iter().zip(&slots).all(|(datagram, slot)| &datagram.bytes == slot));
    assert!(arrived[0].kernel_ts_ns > 0);
    assert!(
        arrived
            .iter()
            .all(|datagram| datagram.kernel_ts_ns == arrived[0].kernel_ts_ns && !datagram.truncated)
    );
}

#[test]
fn slots_that_are_too_long_are_handed_out_as_they_are() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let slots = Sender::new(&to).batch(&[vec![1; 2_000], vec![2; 1_401], vec![3; 1_400]], false);
    let arrived = drain(&mut subscriber);
    assert_eq!(arrived.iter().map(Vec::len).collect::<Vec<_>>(), [2_000, 2_000, 1_400]);
    assert_eq!(arrived, slots);
}

#[test]
fn a_lost_batch_is_one_drop() {
    let to = draw();
    let mut config = line_a(&to);
    config.rcvbuf_bytes = 100_000;
    let mut subscriber = UdpSubscriber::open(&config).unwrap();
    let sender = Sender::new(&to);
    for number in 0..40_u8 {
        sender.batch(&vec![vec![number; 400]; SLOTS_MAX], true);
    }
    let dropped = subscriber.meminfo_drops();
    let arrived = drain(&mut subscriber);
    assert!(dropped > 0 && !arrived.is_empty(), "{} arrived, {dropped} dropped", arrived.len());
    assert_eq!(arrived.len() as u64 / SLOTS_MAX as u64 + dropped, 40);
    assert_eq!(arrived.len() % SLOTS_MAX, 0, "a batch comes whole or not at all");
}
