//! One multicast group in: datagrams with kernel stamps, and an account of what the kernel dropped.
//!
//! Socket options follow the socket rules of the wire format by number.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::check_endpoint;
use crate::{Datagram, Endpoint, NetError, ReceiveBuffers, Received, SubscriberConfig, WAIT_SOCKETS_MAX};

/// Words that `SO_MEMINFO` fills (`SK_MEMINFO_VARS` of linux/sock_diag.h).
const MEMINFO_WORDS: usize = 9;

/// `SK_MEMINFO_DROPS`: where the drop count is among them.
const MEMINFO_DROPS: usize = 8;

/// A receiver of one group. Non-blocking; wait for it with [`wait`] or an event loop on [`UdpSubscriber::fd`].
///
/// [`leave`](UdpSubscriber::leave) gives membership, socket and buffer back, [`join`](UdpSubscriber::join) takes
/// them anew: the snapshot plane is heard only while it is needed. The drop count goes on over both.
#[derive(Debug)]
pub struct UdpSubscriber {
    config: SubscriberConfig,
    socket: Option<Socket>,
    rcvbuf_bytes: usize,
    /// Drops of this subscriber, of sockets gone by too.
    drops: u64,
    /// The highest of the present socket's own 32-bit count that is part of `drops`.
    socket_drops: u32,
}

impl UdpSubscriber {
    /// Opens a socket and joins the group.
    ///
    /// # Errors
    /// [`NetError`] names group, interface, port and what the system said. A receive buffer smaller than asked
    /// is no error: [`effective_rcvbuf`](UdpSubscriber::effective_rcvbuf) tells it.
    pub fn open(config: &SubscriberConfig) -> Result<UdpSubscriber, NetError> {
        let mut subscriber = UdpSubscriber {
            config: config.clone(),
            socket: None,
            rcvbuf_bytes: 0,
            drops: 0,
            socket_drops: 0,
        };
        check_endpoint(subscriber.endpoint())?;
        subscriber.join()?;
        Ok(subscriber)
    }

    /// Joins the group again after [`leave`](UdpSubscriber::leave). Does nothing while joined.
    ///
    /// # Errors
    /// As `open`.
    pub fn join(&mut self) -> Result<(), NetError> {
        if self.socket.is_none() {
            let socket = joined_socket(&self.config, self.endpoint())?;
            self.rcvbuf_bytes = socket
                .recv_buffer_size()
                .map_err(|source| NetError::from_os(self.endpoint(), "read the receive buffer", source))?;
            self.socket_drops = 0;
            self.socket = Some(socket);
        }
        Ok(())
    }

    /// Leaves the group and closes the socket; what it still held is gone. Does nothing while left.
    pub fn leave(&mut self) {
        self.meminfo_drops();
        self.socket = None;
    }

    /// The socket, for a poll; `None` after [`leave`](UdpSubscriber::leave).
    pub fn fd(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Group, interface and port listened on.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { group: self.config.group, interface: self.config.interface, port: self.config.port }
    }

    /// Takes what has arrived, as far as one call of the system gives it, without waiting, and hands every datagram to
    /// `visit` in the order of arrival. Call it again while [`Received::may_have_more`]. Nothing while left.
    ///
    /// # Errors
    /// What the system said; the socket stays usable.
    pub fn recv(
        &mut self,
        buffers: &mut ReceiveBuffers,
        visit: impl FnMut(Datagram<'_>),
    ) -> io::Result<Received> {
        let Some(fd) = self.fd() else {
            return Ok(Received::default());
        };
        let filled = buffers.fill(fd)?;
        if let Some(now) = filled.drops() {
            self.count_drops(now);
        }
        Ok(Received { datagrams: filled.each(visit), may_have_more: filled.may_have_more })
    }

    /// How often the kernel dropped what came for this subscriber, as far as the buffers received tell: each says how
    /// many had been dropped when it was queued, so that a loss shows with the next arrival. What is dropped at once
    /// is what was sent at once: a datagram, or a whole segmented send of up to 128. So this is the sign that something
    /// is missing here; how much it is only the numbers of the frames can say.
    pub fn drops(&self) -> u64 {
        self.drops
    }

    /// As [`drops`](UdpSubscriber::drops), asked of the system: up to now, and not up to the last arrival. Poll it every
    /// 100 ms (socket rule 7).
    pub fn meminfo_drops(&mut self) -> u64 {
        if let Some(now) = self.fd().and_then(socket_drops) {
            self.count_drops(now);
        }
        self.drops
    }

    /// Takes a count of the present socket, which may be older than one taken before.
    fn count_drops(&mut self, now: u32) {
        let more = now.wrapping_sub(self.socket_drops);
        if more.cast_signed() > 0 {
            self.drops += u64::from(more);
            self.socket_drops = now;
        }
    }

    /// Receive buffer of the last join as read back, in the kernel's accounting.
    pub fn effective_rcvbuf(&self) -> usize {
        self.rcvbuf_bytes
    }
}

/// Waits until one of `sockets` has something to read, at most `timeout_ns`. Bit i of the answer: `sockets[i]` is
/// readable or in error. 0: the time is over, or a signal came, which the caller may want to look at.
///
/// # Errors
/// More than [`WAIT_SOCKETS_MAX`] sockets, or what the system said.
pub fn wait(sockets: &[RawFd], timeout_ns: u64) -> io::Result<u32> {
    if sockets.len() > WAIT_SOCKETS_MAX {
        let text = format!("at most {WAIT_SOCKETS_MAX} sockets can be waited for, not {}", sockets.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; WAIT_SOCKETS_MAX];
    for (slot, fd) in polled.iter_mut().zip(sockets) {
        slot.fd = *fd;
    }
    let timeout = libc::timespec {
        tv_sec: i64::try_from(timeout_ns / 1_000_000_000).unwrap_or(i64::MAX),
        // Below 10^9 by the remainder.
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: `polled` holds at least `sockets.len()` entries and, with `timeout`, outlives the call; a null
    // signal mask is allowed and leaves the mask as it is.
    let ready = unsafe {
        libc::ppoll(polled.as_mut_ptr(), sockets.len() as libc::nfds_t, &raw const timeout, ptr::null())
    };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
    }
    let bits = polled[..sockets.len()].iter().enumerate();
    Ok(bits.filter(|(_, slot)| slot.revents != 0).fold(0, |mask, (index, _)| mask | 1 << index))
}

fn joined_socket(config: &SubscriberConfig, at: Endpoint) -> Result<Socket, NetError> {
    let asked = |step| move |source| NetError::from_os(at, step, source);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
        .map_err(asked("create a socket"))?;
    // Rule 2: every consumer of the host binds the same group and port. The two ways do not mix.
    if config.reuse_port {
        socket.set_reuse_port(true).map_err(asked("share the port among this user's processes"))?;
    } else {
        socket.set_reuse_address(true).map_err(asked("share the port"))?;
    }
    // Rule 1: or the socket hears groups that other sockets of the host joined.
    socket.set_multicast_all_v4(false).map_err(asked("refuse other groups"))?;
    set_rcvbuf(&socket, config.rcvbuf_bytes).map_err(asked("set the receive buffer"))?;
    let ask = |option| set_option(&socket, libc::SOL_SOCKET, option, 1);
    ask(libc::SO_TIMESTAMPNS).map_err(asked("ask for receive stamps"))?;
    ask(libc::SO_RXQ_OVFL).map_err(asked("ask for drop counts"))?;
    set_gro(&socket).map_err(asked("ask for whole batches"))?;
    // Rule 1 again: bound to the group, the socket hears no unicast.
    let address = SockAddr::from(SocketAddrV4::new(config.group, config.port));
    socket.bind(&address).map_err(asked("bind the group"))?;
    if config.sources.is_empty() {
        socket.join_multicast_v4(&config.group, &config.interface).map_err(asked("join the group"))?;
    }
    for source in &config.sources {
        join_source(&socket, config, source).map_err(asked("join the group for a source"))?;
    }
    Ok(socket)
}

/// Rule 4: only what `source` sends to the group.
fn join_source(socket: &Socket, config: &SubscriberConfig, source: &Ipv4Addr) -> io::Result<()> {
    socket.join_ssm_v4(source, &config.group, &config.interface)
}

/// Rule 6: with the privilege the buffer may pass `net.core.rmem_max`, without it is clamped to that.
pub(crate) fn set_rcvbuf(socket: &Socket, bytes: usize) -> io::Result<()> {
    // The kernel takes 31 bits and doubles them.
    let asked = bytes.min(i32::MAX as usize / 2);
    match set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, asked as libc::c_int) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => socket.set_recv_buffer_size(asked),
        result => result,
    }
}

/// Rule 8: what was sent as a batch comes as a batch. A kernel that does not know the option (before 5.0) cuts it
/// into datagrams itself.
fn set_gro(socket: &Socket) -> io::Result<()> {
    match set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
        result => result,
    }
}

fn set_option(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel reads the length given from `value`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The socket's drop count (modulo 2^32); `None` if the kernel is too old to tell (before 4.12).
fn socket_drops(fd: RawFd) -> Option<u32> {
    let mut words = [0_u32; MEMINFO_WORDS];
    let mut bytes = mem::size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes into `words`, and the number written into `bytes`.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, words.as_mut_ptr().cast(), &raw mut bytes)
    };
    (result == 0 && bytes as usize == mem::size_of_val(&words)).then_some(words[MEMINFO_DROPS])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rcvbuf_bytes: usize) -> SubscriberConfig {
        SubscriberConfig {
            interface: Ipv4Addr::LOCALHOST,
            group: Ipv4Addr::new(239, 192, 200, 2),
            port: 9_007,
            rcvbuf_bytes,
            sources: Vec::new(),
            reuse_port: false,
        }
    }

    /// A port that nobody else uses now: what is sent here must not be heard elsewhere.
    fn drawn() -> SubscriberConfig {
        let probe = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        SubscriberConfig { port: probe.local_addr().unwrap().port(), ..config(1 << 20) }
    }

    #[test]
    fn socket_has_the_options_of_the_rules() {
        let subscriber = UdpSubscriber::open(&config(1 << 20)).unwrap();
        let socket = subscriber.socket.as_ref().unwrap();
        let bound = socket.local_addr().unwrap().as_socket_ipv4().unwrap();
        assert_eq!(bound, SocketAddrV4::new(subscriber.config.group, 9_007));
        assert!(!socket.multicast_all_v4().unwrap());
        assert!(socket.reuse_address().unwrap());
        assert!(!socket.reuse_port().unwrap());
        assert!(socket.nonblocking().unwrap());
        assert_eq!(subscriber.effective_rcvbuf(), socket.recv_buffer_size().unwrap());
    }

    #[test]
    fn a_port_is_shared_by_one_way_or_the_other() {
        let shared = SubscriberConfig { reuse_port: true, ..drawn() };
        let (first, second) = (UdpSubscriber::open(&shared).unwrap(), UdpSubscriber::open(&shared).unwrap());
        for subscriber in [&first, &second] {
            let socket = subscriber.socket.as_ref().unwrap();
            assert!(socket.reuse_port().unwrap() && !socket.reuse_address().unwrap());
        }
        let mixed = UdpSubscriber::open(&SubscriberConfig { reuse_port: false, ..shared });
        assert!(matches!(mixed, Err(NetError::PortInUse { .. })), "{mixed:?}");
    }

    #[test]
    fn a_wrapped_drop_count_goes_on() {
        let mut subscriber = UdpSubscriber::open(&config(100_000)).unwrap();
        subscriber.drops = 5_000_000_000;
        subscriber.socket_drops = u32::MAX - 1;
        // The socket itself has dropped nothing, so its count went from 2^32 - 2 over 2^32 - 1 to 0.
        assert_eq!(subscriber.meminfo_drops(), 5_000_000_002);
    }

    #[test]
    fn a_count_from_before_the_last_one_is_no_step() {
        let mut subscriber = UdpSubscriber::open(&config(100_000)).unwrap();
        [5, 3, 5, 9].into_iter().for_each(|count| subscriber.count_drops(count));
        assert_eq!(subscriber.drops(), 9);
    }

    /// What `recv` hands out of one segmented send, with buffers of `buffer_bytes`: (first byte, length, truncated).
    fn cut(subscriber: &mut UdpSubscriber, buffer_bytes: usize) -> Vec<(u8, usize, bool)> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket.set_multicast_ttl_v4(0).unwrap();
        set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 100).unwrap();
        let slots: Vec<u8> = (0..350_u16).map(|at| u8::try_from(at / 100).unwrap()).collect();
        let to = SocketAddrV4::new(subscriber.config.group, subscriber.config.port);
        assert_eq!(socket.send_to(&slots, &to.into()).unwrap(), slots.len());
        let mut buffers = ReceiveBuffers::sized(8, buffer_bytes);
        let mut all = Vec::new();
        let keep =
            |datagram: Datagram<'_>| all.push((datagram.bytes[0], datagram.bytes.len(), datagram.truncated));
        let received = subscriber.recv(&mut buffers, keep).unwrap();
        assert_eq!((received.datagrams, received.may_have_more), (all.len(), false));
        all
    }

    #[test]
    fn a_kernel_that_cuts_batches_itself_makes_no_difference() {
        let expected = [(0, 100, false), (1, 100, false), (2, 100, false), (3, 50, false)];
        let mut subscriber = UdpSubscriber::open(&drawn()).unwrap();
        assert_eq!(cut(&mut subscriber, 1_000), expected);
        set_option(subscriber.socket.as_ref().unwrap(), libc::SOL_UDP, libc::UDP_GRO, 0).unwrap();
        assert_eq!(cut(&mut subscriber, 1_000), expected);
    }

    #[test]
    fn what_does_not_fit_the_buffer_is_said_to_be_cut() {
        let mut subscriber = UdpSubscriber::open(&drawn()).unwrap();
        assert_eq!(cut(&mut subscriber, 250), [(0, 100, false), (1, 100, false), (2, 50, true)]);
    }

    #[test]
    fn waiting_has_an_end_and_a_limit() {
        let subscriber = UdpSubscriber::open(&config(100_000)).unwrap();
        assert_eq!(wait(&[subscriber.fd().unwrap()], 1_000).unwrap(), 0);
        assert_eq!(wait(&[], 0).unwrap(), 0);
        let error = wait(&[0; WAIT_SOCKETS_MAX + 1], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
