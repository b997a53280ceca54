//! One socket that sends: batches cut by the kernel, single frames, and an account of what became of them.
//!
//! Several frames leave by one `sendmsg` with UDP_SEGMENT (udp(7)): one way through the stack for all, and one wake-up for
//! each listener. What the kernel does with it, by version 6.18 and measured:
//!
//! * at most 128 segments, all equal but the last, which may be shorter; it works for multicast on loopback, veth and
//!   Ethernet, and a receiver without UDP_GRO gets a datagram each;
//! * EMSGSIZE (EINVAL in older kernels) where a segment is longer than the interface's MTU, which a single send would have
//!   fragmented; EMSGSIZE above 65,507 bytes;
//! * EINVAL where the kernel does not know the option (before 4.18) or UDP checksums are off, EIO where the packets are
//!   encrypted on their way (IPsec) or, in older kernels, the device computes no checksums.
//!
//! A batch refused like this leaves frame by frame, and is counted in `segment_refused`.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::check_endpoint;
use crate::{BATCH_FRAMES_MAX, Batch, DATAGRAM_BYTES_MAX, Endpoint, NetError, PublisherCounters, Sent};

/// Send buffer asked of the kernel, in bytes; it doubles it. 2,304 B are charged for a datagram of 1,400 B, so
/// the buffer takes 1,800 full frames (a book of 70,000 levels a side in one go) while the interface is busy.
const SNDBUF_BYTES: usize = 2 << 20;

/// Batches that leave frame by frame after the kernel refused a segmented one, before it is asked again. The MTU of an
/// interface may grow and a route may change; one call in a thousand is no cost.
const SINGLE_AFTER_REFUSAL: u32 = 1_000;

/// Room for the control message that holds the slot's length, a u16. CMSG_SPACE(2) is 24 bytes.
const CONTROL_BYTES: usize = 24;

/// Control bytes at the alignment that `cmsghdr` needs.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// A sending socket. What one socket does not get rid of never disturbs another: each has a send buffer of its own.
#[derive(Debug)]
pub(super) struct Line {
    socket: Socket,
    sndbuf_bytes: usize,
    counters: Counters,
    refusal: Refusal,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    sends: AtomicU64,
    padding_bytes: AtomicU64,
    segment_refused: AtomicU64,
    would_block: AtomicU64,
    oversize: AtomicU64,
    unreachable: AtomicU64,
    no_memory: AtomicU64,
    not_permitted: AtomicU64,
    other_errors: AtomicU64,
    /// Error number of the last refused send; 0 = none yet. Its text is made when somebody asks.
    last_errno: AtomicI32,
}

impl Line {
    /// Opens the socket and asks the system for its way to every group, so that what is wrong is said now and not with the
    /// first frame.
    pub(super) fn open(
        interface: Ipv4Addr,
        groups: &[Ipv4Addr],
        port: u16,
        ttl: u8,
    ) -> Result<(Line, Vec<SockAddr>), NetError> {
        let endpoint = |&group: &Ipv4Addr| Endpoint { group, interface, port };
        for at in groups.iter().map(endpoint) {
            check_endpoint(at)?;
            probe_route(ttl, at)?;
        }
        let at = groups.first().map_or(Endpoint { group: Ipv4Addr::UNSPECIFIED, interface, port }, endpoint);
        let socket = sending_socket(ttl, at)?;
        let asked = |step| move |source| NetError::from_os(at, step, source);
        socket.set_send_buffer_size(SNDBUF_BYTES).map_err(asked("set the send buffer"))?;
        // Nobody reads this socket; the kernel raises 0 to its least buffer.
        socket.set_recv_buffer_size(0).map_err(asked("set the receive buffer"))?;
        let sndbuf_bytes = socket.send_buffer_size().map_err(asked("read the send buffer"))?;
        let line = Line { socket, sndbuf_bytes, counters: Counters::default(), refusal: Refusal::default() };
        Ok((line, groups.iter().map(|&group| SockAddr::from(SocketAddrV4::new(group, port))).collect()))
    }

    /// Sends the frames of `batch`, or drops and counts them. Never blocks.
    ///
    /// One call for all of them, unless the kernel refuses to cut it: then a call for each, see the module.
    pub(super) fn send_batch(&self, target: &SockAddr, batch: &Batch) {
        if batch.frames() > 1 && self.refusal.may_segment(batch.slot()) {
            match send_segmented(&self.socket, target, batch) {
                Ok(bytes) => {
                    self.refusal.taken(batch.slot());
                    self.counters.count_sent(batch.frames(), batch.bytes().len());
                    let padding = bytes.saturating_sub(batch.bytes().len());
                    self.counters.padding_bytes.fetch_add(padding as u64, Ordering::Relaxed);
                    return;
                }
                Err(error) if refuses_segments(&error) => {
                    self.refusal.refused(batch.slot());
                    self.counters.segment_refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.counters.count_error(&error, batch.frames());
                    return;
                }
            }
        }
        for (frame, _) in batch.datagrams() {
            self.send(target, frame);
        }
    }

    /// Counts a frame that no batch takes because it is too long.
    pub(super) fn count_oversize(&self) {
        self.counters.oversize.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends `frame` as one datagram, or drops and counts it. Never blocks.
    pub(super) fn send(&self, target: &SockAddr, frame: &[u8]) -> Sent {
        if frame.len() > DATAGRAM_BYTES_MAX {
            self.count_oversize();
            return Sent::Oversize;
        }
        match self.socket.send_to_with_flags(frame, target, libc::MSG_DONTWAIT) {
            Ok(_) => {
                self.counters.count_sent(1, frame.len());
                Sent::Sent
            }
            Err(error) => self.counters.count_error(&error, 1),
        }
    }

    /// What was sent, dropped and refused since `open`.
    pub(super) fn counters(&self) -> PublisherCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let own = &self.counters;
        PublisherCounters {
            frames: read(&own.frames),
            bytes: read(&own.bytes),
            sends: read(&own.sends),
            padding_bytes: read(&own.padding_bytes),
            segment_refused: read(&own.segment_refused),
            would_block: read(&own.would_block),
            oversize: read(&own.oversize),
            unreachable: read(&own.unreachable),
            no_memory: read(&own.no_memory),
            not_permitted: read(&own.not_permitted),
            other_errors: read(&own.other_errors),
        }
    }

    /// The system's words for the last send it refused. A full buffer is not among these.
    pub(super) fn last_error(&self) -> Option<String> {
        match self.counters.last_errno.load(Ordering::Relaxed) {
            0 => None,
            number => Some(io::Error::from_raw_os_error(number).to_string()),
        }
    }

    /// Send buffer as read back, in the kernel's accounting.
    pub(super) fn effective_sndbuf(&self) -> usize {
        self.sndbuf_bytes
    }
}

impl Counters {
    /// One call that the kernel took.
    fn count_sent(&self, frames: usize, bytes: usize) {
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sends.fetch_add(1, Ordering::Relaxed);
    }

    /// One call that the kernel refused, and the frames that are dropped with it.
    fn count_error(&self, error: &io::Error, frames: usize) -> Sent {
        let number = error.raw_os_error().unwrap_or(libc::EIO);
        let counter = match number {
            libc::EAGAIN => {
                self.would_block.fetch_add(frames as u64, Ordering::Relaxed);
                return Sent::WouldBlock;
            }
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::ENODEV | libc::EADDRNOTAVAIL => {
                &self.unreachable
            }
            libc::ENOBUFS | libc::ENOMEM => &self.no_memory,
            libc::EPERM | libc::EACCES => &self.not_permitted,
            _ => &self.other_errors,
        };
        counter.fetch_add(frames as u64, Ordering::Relaxed);
        self.last_errno.store(number, Ordering::Relaxed);
        Sent::Failed(number)
    }
}

/// What is known of the slots that the kernel does not cut.
#[derive(Debug)]
struct Refusal {
    /// Least slot refused and not taken since; `usize::MAX` = none.
    slot: AtomicUsize,
    /// Batches of such a slot that did not ask the kernel.
    unasked: AtomicU32,
}

impl Refusal {
    /// Whether the kernel is to be asked for a slot.
    fn may_segment(&self, slot: usize) -> bool {
        slot < self.slot.load(Ordering::Relaxed)
            || self.unasked.fetch_add(1, Ordering::Relaxed) % (SINGLE_AFTER_REFUSAL + 1)
                == SINGLE_AFTER_REFUSAL
    }

    fn refused(&self, slot: usize) {
        self.slot.fetch_min(slot, Ordering::Relaxed);
        self.unasked.store(0, Ordering::Relaxed);
    }

    fn taken(&self, slot: usize) {
        if slot >= self.slot.load(Ordering::Relaxed) {
            self.slot.store(usize::MAX, Ordering::Relaxed);
        }
    }
}

impl Default for Refusal {
    fn default() -> Refusal {
        Refusal { slot: AtomicUsize::new(usize::MAX), unasked: AtomicU32::new(0) }
    }
}

/// Whether the kernel refused the cutting and not the frames.
fn refuses_segments(error: &io::Error) -> bool {
    let numbers = [libc::EINVAL, libc::EMSGSIZE, libc::EIO, libc::EOPNOTSUPP, libc::ENOPROTOOPT];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// One sendmsg(2) with UDP_SEGMENT for all frames of `batch`; returns the bytes sent, padding included.
fn send_segmented(socket: &Socket, target: &SockAddr, batch: &Batch) -> io::Result<usize> {
    let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; 2 * BATCH_FRAMES_MAX];
    let count = gather(batch, &mut parts);
    let mut control = Control([0; CONTROL_BYTES]);
    // SAFETY: msghdr is plain integers and pointers, for which all zeros is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = target.as_ptr().cast_mut().cast();
    message.msg_namelen = target.len();
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = count as _;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // A frame has at most 1,400 bytes.
    let slot = batch.slot() as u16;
    // SAFETY: the control bytes are aligned for and hold one header with a u16 behind it; CMSG_FIRSTHDR points to their
    // start, for msg_controllen has room for a header.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_UDP;
        (*header).cmsg_type = libc::UDP_SEGMENT;
        (*header).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as libc::c_uint) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast::<u16>(), slot);
    }
    // SAFETY: `message` names the target, `count` parts of `parts`, whose bytes `batch` and a static hold, and the control
    // bytes, each with its own length, and all of them outlive the call, which only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    // Negative only in error.
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Names the frames and their padding in order; frames of a whole slot are one part with what lies behind them. Returns how
/// many parts there are.
fn gather(batch: &Batch, parts: &mut [libc::iovec; 2 * BATCH_FRAMES_MAX]) -> usize {
    let (mut count, mut start, mut end) = (0, 0, 0);
    for (frame, padding) in batch.datagrams() {
        end += frame.len();
        if !padding.is_empty() {
            parts[count] = part(&batch.bytes()[start..end]);
            parts[count + 1] = part(padding);
            count += 2;
            start = end;
        }
    }
    // The last frame has no padding.
    parts[count] = part(&batch.bytes()[start..end]);
    count + 1
}

/// The kernel only reads what is sent; the structure it shares with receiving is mutable.
fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// A socket that sends to multicast groups by the interface given.
fn sending_socket(ttl: u8, at: Endpoint) -> Result<Socket, NetError> {
    let asked = |step| move |source| NetError::from_os(at, step, source);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
        .map_err(asked("create a socket"))?;
    socket.set_multicast_if_v4(&at.interface).map_err(asked("send by the interface"))?;
    socket.set_multicast_ttl_v4(u32::from(ttl)).map_err(asked("set the TTL"))?;
    // Without loopback the consumers on this host hear nothing on a real interface (socket rule 5).
    socket.set_multicast_loop_v4(true).map_err(asked("set multicast loopback"))?;
    Ok(socket)
}

/// Connecting a datagram socket sends nothing, and makes the system look for its way to the group.
fn probe_route(ttl: u8, at: Endpoint) -> Result<(), NetError> {
    let target = SockAddr::from(SocketAddrV4::new(at.group, at.port));
    sending_socket(ttl, at)?
        .connect(&target)
        .map_err(|source| NetError::from_os(at, "find a way to the group", source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plane;

    fn open(ttl: u8) -> (Line, SockAddr) {
        let group = Ipv4Addr::new(239, 192, 200, 1);
        let (line, targets) = Line::open(Ipv4Addr::LOCALHOST, &[group], 9_001, ttl).unwrap();
        (line, targets[0].clone())
    }

    #[test]
    fn socket_has_the_options_of_the_rules() {
        for ttl in [0, 1] {
            let (line, _) = open(ttl);
            assert_eq!(line.socket.multicast_ttl_v4().unwrap(), u32::from(ttl));
            assert_eq!(line.socket.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
            assert!(line.socket.multicast_loop_v4().unwrap());
            assert!(line.socket.nonblocking().unwrap());
            assert_eq!(line.effective_sndbuf(), line.socket.send_buffer_size().unwrap());
            assert!(line.effective_sndbuf() > 0);
        }
    }

    #[test]
    fn errors_are_counted_by_what_they_mean() {
        let (line, _) = open(0);
        assert_eq!(line.last_error(), None);
        let count = |number| line.counters.count_error(&io::Error::from_raw_os_error(number), 3);
        assert_eq!(count(libc::EAGAIN), Sent::WouldBlock);
        assert_eq!(line.last_error(), None);
        for number in [libc::ENETDOWN, libc::ENETUNREACH, libc::ENOBUFS, libc::EINVAL, libc::EPERM] {
            assert_eq!(count(number), Sent::Failed(number));
        }
        let expected = PublisherCounters {
            would_block: 3,
            unreachable: 6,
            no_memory: 3,
            not_permitted: 3,
            other_errors: 3,
            ..PublisherCounters::default()
        };
        assert_eq!(line.counters(), expected);
        assert_eq!(line.counters().errors(), 15);
        assert_eq!(line.last_error(), Some(io::Error::from_raw_os_error(libc::EPERM).to_string()));
    }

    fn batch(lens: &[usize]) -> Batch {
        let mut batch = Batch::new();
        for &len in lens {
            batch.add(Plane::Incremental, &vec![1; len], |_| panic!("they leave together"));
        }
        batch
    }

    /// Without UDP checksums the kernel cuts nothing (EINVAL), as with an interface or a kernel that cannot.
    fn set_no_checksums(line: &Line, on: bool) {
        let value = libc::c_int::from(on);
        // SAFETY: the descriptor is open, and the kernel reads the length given from `value`.
        let result = unsafe {
            libc::setsockopt(
                line.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const value).cast(),
                mem::size_of_val(&value) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    #[test]
    fn what_is_not_cut_leaves_frame_by_frame_and_is_asked_for_again_later() {
        let (line, to) = open(0);
        set_no_checksums(&line, true);
        line.send_batch(&to, &batch(&[70, 80, 90]));
        let counters = line.counters();
        assert_eq!((counters.frames, counters.sends, counters.bytes), (3, 3, 240));
        assert_eq!((counters.segment_refused, counters.padding_bytes, counters.errors()), (1, 0, 0));
        assert_eq!(line.last_error(), None);
        // Only a shorter slot is worth a try.
        line.send_batch(&to, &batch(&[90, 90]));
        assert_eq!(line.counters().segment_refused, 1);
        line.send_batch(&to, &batch(&[70, 80]));
        assert_eq!(line.counters().segment_refused, 2);
        for _ in 0..SINGLE_AFTER_REFUSAL {
            line.send_batch(&to, &batch(&[70, 80]));
        }
        assert_eq!(line.counters().segment_refused, 2);
        line.send_batch(&to, &batch(&[70, 80]));
        assert_eq!(line.counters().segment_refused, 3, "asked again");
        set_no_checksums(&line, false);
        for _ in 0..SINGLE_AFTER_REFUSAL {
            line.send_batch(&to, &batch(&[70, 80]));
        }
        let before = line.counters();
        line.send_batch(&to, &batch(&[70, 80]));
        line.send_batch(&to, &batch(&[1_000, 80]));
        let after = line.counters();
        assert_eq!(
            (after.sends - before.sends, after.frames - before.frames),
            (2, 4),
            "taken, and so is all else"
        );
        assert_eq!((after.segment_refused, after.padding_bytes), (3, 10));
    }

    #[test]
    fn frames_of_a_slot_are_one_part() {
        let parts = |lens: &[usize]| {
            let batch = batch(lens);
            let mut parts = [part(&[]); 2 * BATCH_FRAMES_MAX];
            let count = gather(&batch, &mut parts);
            parts[..count].iter().map(|part| part.iov_len).collect::<Vec<_>>()
        };
        assert_eq!(parts(&[100; 64]), [6_400]);
        assert_eq!(parts(&[100, 100, 90, 80, 100, 70]), [290, 10, 80, 20, 170]);
        assert_eq!(parts(&[90, 100]), [90, 10, 100]);
        let most: Vec<_> = (0..64).map(|index| if index == 63 { 100 } else { 99 }).collect();
        assert_eq!(parts(&most).len(), 2 * BATCH_FRAMES_MAX - 1);
    }
}
