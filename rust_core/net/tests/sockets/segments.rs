//! Batches through real sockets: what a listener gets, and what happens where the kernel does not cut.

use outcrier_net::{Added, Batch, DATAGRAM_BYTES_MAX, Plane, UdpPublisher, UdpSubscriber};

use crate::common::{drain, draw, line_a};
use crate::refused::{in_empty_namespace, set_loopback};

/// `len` bytes that differ by position and length, none of them 0.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| ((index * 31 + len * 7) % 255) as u8 + 1).collect()
}

/// A batch of frames of these lengths, which leave together.
fn batch(lens: &[usize]) -> Batch {
    let mut batch = Batch::new();
    for &len in lens {
        batch.add(Plane::Incremental, &pattern(len), |_| panic!("they leave together"));
    }
    batch
}

#[test]
fn each_frame_is_a_datagram_with_zeros_up_to_the_slot() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    let lens = [106, 300, 66, 300, 299, 1, 80];
    publisher.send_batch(&batch(&lens));
    let heard = drain(&mut subscriber);
    assert_eq!(heard.len(), lens.len());
    for (index, (datagram, &len)) in heard.iter().zip(&lens).enumerate() {
        let slot = if index == lens.len() - 1 { len } else { 300 };
        let expected = [pattern(len), vec![0; slot - len]].concat();
        assert_eq!(datagram, &expected);
    }
    let counters = publisher.counters();
    assert_eq!((counters.frames, counters.sends, counters.segment_refused), (7, 1, 0));
    assert_eq!((counters.bytes, counters.padding_bytes), (1_152, 6 * 300 + 80 - 1_152));
}

#[test]
fn a_batch_of_one_is_a_plain_send() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    publisher.send_batch(&batch(&[77]));
    publisher.send_batch(&batch(&[]));
    assert_eq!(drain(&mut subscriber), [pattern(77)]);
    let counters = publisher.counters();
    assert_eq!((counters.frames, counters.sends, counters.padding_bytes), (1, 1, 0));
}

#[test]
fn the_kernel_takes_the_largest_batches() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    publisher.send_batch(&batch(&[1_007; 64]));
    assert_eq!(drain(&mut subscriber), vec![pattern(1_007); 64]);
    let lens = [vec![DATAGRAM_BYTES_MAX; 46], vec![1_107]].concat();
    publisher.send_batch(&batch(&lens));
    assert_eq!(drain(&mut subscriber), lens.iter().map(|&len| pattern(len)).collect::<Vec<_>>());
    let counters = publisher.counters();
    assert_eq!((counters.frames, counters.sends, counters.segment_refused), (111, 2, 0));
}

#[test]
fn planes_take_turns_in_order() {
    let to = draw();
    let mut line = UdpSubscriber::open(&line_a(&to)).unwrap();
    let mut snapshot_config = line_a(&to);
    snapshot_config.group = to.group_snapshot;
    let mut snapshot = UdpSubscriber::open(&snapshot_config).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    let mut batch = Batch::new();
    let mut order = Vec::new();
    for (plane, len) in
        [(Plane::Incremental, 70), (Plane::Incremental, 71), (Plane::Snapshot, 72), (Plane::Incremental, 73)]
    {
        let mut leave = |full: &Batch| {
            order.push((full.plane(), full.frames()));
            publisher.send_batch(full);
        };
        assert_eq!(batch.add(plane, &pattern(len), &mut leave), Added::Kept);
    }
    batch.leave(|rest| publisher.send_batch(rest));
    assert_eq!(order, [(Plane::Incremental, 2), (Plane::Snapshot, 1)]);
    let padded = [pattern(70), vec![0]].concat();
    assert_eq!(drain(&mut line), [padded, pattern(71), pattern(73)]);
    assert_eq!(drain(&mut snapshot), [pattern(72)]);
}

#[test]
fn an_interface_with_a_small_mtu_gets_frames_one_by_one() {
    let to = draw();
    in_empty_namespace(move || {
        set_loopback(true);
        set_mtu(1_000);
        let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
        let publisher = UdpPublisher::open(&to).unwrap();
        // 28 bytes are IP and UDP headers.
        publisher.send_batch(&batch(&[973, 900]));
        assert_eq!(publisher.counters().segment_refused, 1);
        assert_eq!(drain(&mut subscriber), [pattern(973), pattern(900)]);
        publisher.send_batch(&batch(&[972, 900]));
        assert_eq!(publisher.counters().segment_refused, 1);
        assert_eq!(drain(&mut subscriber), [pattern(972), pattern(900)]);
        let counters = publisher.counters();
        assert_eq!((counters.frames, counters.sends, counters.errors()), (4, 3, 0));
    });
}

#[test]
fn every_frame_of_a_refused_batch_is_counted() {
    let to = draw();
    in_empty_namespace(move || {
        set_loopback(true);
        let publisher = UdpPublisher::open(&to).unwrap();
        set_loopback(false);
        publisher.send_batch(&batch(&[100, 100, 90]));
        let counters = publisher.counters();
        assert_eq!((counters.frames, counters.sends), (0, 0));
        assert_eq!((counters.unreachable, counters.errors(), counters.segment_refused), (3, 3, 0));
        assert!(publisher.last_error().is_some());
    });
}

/// Sets the MTU of this thread's loopback.
fn set_mtu(mtu: i32) {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: ifreq is plain integers and a union of them, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_mtu = mtu;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: SIOCSIFMTU reads an ifreq, which `request` is and which outlives the call.
    let result = unsafe { libc::ioctl(fd, libc::SIOCSIFMTU, &raw const request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
