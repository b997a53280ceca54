//! Many datagrams by one system call: recvmmsg(2) into buffers that each hold a whole segmented send.
//!
//! With UDP_GRO a sender's batch (UDP_SEGMENT) arrives as it left: one buffer of equal slots, the last of which may be
//! shorter, with the size of a slot in a control message. What was sent alone, or comes from a kernel or card that
//! does not keep batches, is a buffer of one datagram. A buffer is cut here, so that nobody else sees the difference.

use std::os::fd::RawFd;
use std::{fmt, io, mem, ptr, slice};

use crate::Datagram;

/// Buffers filled by one system call. A call costs about as much as taking one datagram out of the queue, so that
/// beyond this number nothing is gained, and a mebibyte still fits the cache that it is read from again.
const BUFFERS: usize = 16;

/// Bytes of a buffer: above the 65,507 that UDP over IPv4 carries, so that none is cut.
const BUFFER_BYTES: usize = 65_536;

/// Room for the three control messages asked for (a timespec, a u32 and an i32, each with a header of 16 B): 80 B on
/// 64-bit systems, half as much again.
const CONTROL_BYTES: usize = 128;

/// Control messages are read in place, as the kernel aligns them.
#[derive(Clone)]
#[repr(C, align(16))]
struct Control([u8; CONTROL_BYTES]);

/// Memory that [`UdpSubscriber::recv`](crate::UdpSubscriber::recv) receives into; made once, it serves any number of
/// subscribers and calls, which allocate nothing.
pub struct ReceiveBuffers {
    bytes: Vec<u8>,
    controls: Vec<Control>,
}

impl ReceiveBuffers {
    /// A mebibyte and a bit.
    pub fn new() -> Self {
        Self::sized(BUFFERS, BUFFER_BYTES)
    }

    pub(crate) fn sized(buffers: usize, buffer_bytes: usize) -> Self {
        Self { bytes: vec![0; buffers * buffer_bytes], controls: vec![Control([0; CONTROL_BYTES]); buffers] }
    }

    fn buffer_bytes(&self) -> usize {
        self.bytes.len() / self.controls.len()
    }

    /// Takes what waits on the socket, one system call, without waiting. An error is one of the first buffer's; those
    /// of later buffers come with the next call.
    pub(crate) fn fill(&mut self, fd: RawFd) -> io::Result<Filled<'_>> {
        let buffer_bytes = self.buffer_bytes();
        // SAFETY: iovec and mmsghdr are plain integers and pointers, for which all zeros is a value.
        let (mut parts, mut headers): ([libc::iovec; BUFFERS], [libc::mmsghdr; BUFFERS]) =
            unsafe { mem::zeroed() };
        let buffers = self.bytes.chunks_exact_mut(buffer_bytes).zip(&mut self.controls);
        for ((part, header), (bytes, control)) in parts.iter_mut().zip(&mut headers).zip(buffers) {
            *part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            header.msg_hdr.msg_iov = ptr::from_mut(part);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        let asked = self.controls.len().min(BUFFERS);
        let received = loop {
            // SAFETY: the first `asked` headers name buffers and controls of `self` by their own lengths, and all of
            // them outlive the call; a null timeout is allowed and with MSG_DONTWAIT means nothing.
            let received = unsafe {
                libc::recvmmsg(fd, headers.as_mut_ptr(), asked as _, libc::MSG_DONTWAIT as _, ptr::null_mut())
            };
            if let Ok(received) = usize::try_from(received) {
                break received;
            }
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error if error.kind() == io::ErrorKind::WouldBlock => break 0,
                error => return Err(error),
            }
        };
        let mut infos = [Info::default(); BUFFERS];
        for (info, header) in infos.iter_mut().zip(&headers[..received]) {
            *info = Info::read(header);
        }
        Ok(Filled { bytes: &self.bytes, buffer_bytes, infos, received, may_have_more: received == asked })
    }
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReceiveBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveBuffers({} of {} bytes)", self.controls.len(), self.buffer_bytes())
    }
}

/// What the kernel says of one buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Info {
    len: usize,
    truncated: bool,
    kernel_ts_ns: i64,
    /// Drops of the socket when this buffer was queued (modulo 2^32); the kernel leaves a count of 0 out.
    drops: Option<u32>,
    /// Bytes of a slot; 0 = the buffer is one datagram.
    slot_bytes: usize,
}

/// The buffers that one call filled.
pub(crate) struct Filled<'a> {
    bytes: &'a [u8],
    buffer_bytes: usize,
    infos: [Info; BUFFERS],
    received: usize,
    /// Whether every buffer was filled, so that more may wait.
    pub(crate) may_have_more: bool,
}

impl Filled<'_> {
    /// The drop count that came with the last buffer that brought one.
    pub(crate) fn drops(&self) -> Option<u32> {
        self.infos[..self.received].iter().rev().find_map(|info| info.drops)
    }

    /// Hands out every datagram in the order of arrival; gives how many.
    pub(crate) fn each(&self, mut visit: impl FnMut(Datagram<'_>)) -> usize {
        let mut datagrams = 0;
        for (buffer, info) in self.bytes.chunks_exact(self.buffer_bytes).zip(&self.infos[..self.received]) {
            let bytes = &buffer[..info.len];
            // An empty datagram is one, too.
            let slot_bytes = if info.slot_bytes == 0 { info.len.max(1) } else { info.slot_bytes };
            let slots = info.len.div_ceil(slot_bytes).max(1);
            for slot in 0..slots {
                let start = slot * slot_bytes;
                visit(Datagram {
                    bytes: &bytes[start..info.len.min(start + slot_bytes)],
                    kernel_ts_ns: info.kernel_ts_ns,
                    // What is missing is missing at the end.
                    truncated: info.truncated && slot + 1 == slots,
                });
            }
            datagrams += slots;
        }
        datagrams
    }
}

impl Info {
    fn read(header: &libc::mmsghdr) -> Self {
        let message = &header.msg_hdr;
        let mut info = Self {
            len: header.msg_len as usize,
            truncated: message.msg_flags & libc::MSG_TRUNC != 0,
            ..Self::default()
        };
        // SAFETY: `message` is as recvmmsg left it: msg_control points to msg_controllen bytes that the kernel wrote, aligned
        // as `Control` is.
        let mut at = unsafe { libc::CMSG_FIRSTHDR(message) };
        while !at.is_null() {
            // SAFETY: a header returned by CMSG_FIRSTHDR or CMSG_NXTHDR lies whole within the control bytes; nobody writes
            // them while `message` is borrowed.
            let header = unsafe { &*at };
            // SAFETY: CMSG_LEN only computes.
            let header_bytes = unsafe { libc::CMSG_LEN(0) } as usize;
            let data_bytes = (header.cmsg_len as usize).saturating_sub(header_bytes);
            // SAFETY: a message's data follow its header, and the kernel wrote cmsg_len bytes of both, also where it cut
            // them for want of room.
            let data = unsafe { slice::from_raw_parts(libc::CMSG_DATA(at), data_bytes) };
            info.take(header.cmsg_level, header.cmsg_type, data);
            // SAFETY: `message` and `at` are as above; the macro stays within msg_controllen.
            at = unsafe { libc::CMSG_NXTHDR(message, at) };
        }
        info
    }

    /// One control message; what is shorter than its type, for it was cut, says nothing.
    fn take(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // A timespec of 64-bit systems: seconds, nanoseconds.
                if let Some((seconds, rest)) = data.split_first_chunk()
                    && let Some(nanoseconds) = rest.first_chunk()
                {
                    self.kernel_ts_ns =
                        i64::from_ne_bytes(*seconds) * 1_000_000_000 + i64::from_ne_bytes(*nanoseconds);
                }
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.drops = data.first_chunk().map(|count| u32::from_ne_bytes(*count));
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let slot_bytes = data.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                self.slot_bytes = usize::try_from(slot_bytes).unwrap_or(0);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays out control messages as cmsg(3) says: each at a multiple of 8 bytes, a header of 16, then its data.
    fn laid_out(messages: &[(i32, i32, &[u8])]) -> (Control, usize) {
        let (mut control, mut end) = (Control([0; CONTROL_BYTES]), 0);
        for (level, kind, data) in messages {
            let start = end;
            let length = 16 + data.len();
            let header = [&length.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes()].concat();
            for part in [header.as_slice(), *data] {
                control.0[end..end + part.len()].copy_from_slice(part);
                end += part.len();
            }
            end = start + (end - start).next_multiple_of(8);
        }
        (control, end)
    }

    fn read(messages: &[(i32, i32, &[u8])], cut: usize) -> Info {
        let (mut control, end) = laid_out(messages);
        // SAFETY: mmsghdr is plain integers and pointers, for which all zeros is a value.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = (end - cut) as _;
        Info::read(&header)
    }

    #[test]
    fn control_messages_are_read_in_any_order_and_cut_ones_say_nothing() {
        let time = [1_700_000_000_i64.to_ne_bytes(), 123_456_789_i64.to_ne_bytes()].concat();
        let (drops, slot) = (7_u32.to_ne_bytes(), 386_i32.to_ne_bytes());
        let stamp = (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, time.as_slice());
        let overflow = (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, drops.as_slice());
        let segments = (libc::SOL_UDP, libc::UDP_GRO, slot.as_slice());
        for messages in [[stamp, overflow, segments], [segments, stamp, overflow]] {
            let info = read(&messages, 0);
            let read = (info.kernel_ts_ns, info.drops, info.slot_bytes);
            assert_eq!(read, (1_700_000_000_123_456_789, Some(7), 386));
        }
        let cut = [stamp, (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &drops[..2])];
        let info = read(&cut, 0);
        assert_eq!((info.kernel_ts_ns, info.drops, info.slot_bytes), (1_700_000_000_123_456_789, None, 0));
        let info = read(&[segments, (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time[..8])], 0);
        assert_eq!((info.kernel_ts_ns, info.slot_bytes), (0, 386));
        // No room for another header.
        let info = read(&[segments, overflow], 16);
        assert_eq!((info.drops, info.slot_bytes), (None, 386));
    }
}
