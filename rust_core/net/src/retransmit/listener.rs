//! Taking connections, also while the process has no descriptors left.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use super::datagrams::{address, bind_or_any};

/// Connections open at once. Late joiners are served in a second, replays are few; each takes 70 KB of ours and 200 KB of the
/// kernel's buffers.
pub const CONNECTIONS_MAX: usize = 64;

/// Connections that the kernel holds for us.
const BACKLOG: i32 = 128;

/// How long the listener rests when accepting fails: a listener without descriptors is ready all the time.
const REST_NS: u64 = 100_000_000;

/// A listener of the service at `at`, or at any port where that one is taken.
pub(super) fn bind(at: SocketAddrV4) -> io::Result<(Listener, SocketAddrV4)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // A port whose last connections are still in TIME_WAIT is free (tcp(7)).
    socket.set_reuse_address(true)?;
    bind_or_any(&socket, at)?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let bound = address(listener.local_addr()?)?;
    Ok((Listener { socket: listener, rests_until_ns: 0 }, bound))
}

/// The listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    rests_until_ns: u64,
}

/// What an attempt to take a connection gave.
pub(super) enum Taken {
    Connection(TcpStream, SocketAddrV4),
    /// There is none.
    Nothing,
    /// One that broke before it was taken.
    Gone,
    /// No descriptors or memory: the listener rests.
    Failed,
}

impl Listener {
    pub(super) fn socket(&self) -> &TcpListener {
        &self.socket
    }

    /// Whether it is to be listened to.
    pub(super) fn is_awake(&self, now_ns: u64) -> bool {
        now_ns >= self.rests_until_ns
    }

    /// Takes one connection.
    pub(super) fn take(&mut self, now_ns: u64) -> Taken {
        let error = match self.socket.accept() {
            Ok((stream, SocketAddr::V4(peer))) => return Taken::Connection(stream, peer),
            Ok((_, SocketAddr::V6(_))) => return Taken::Gone,
            Err(error) => error,
        };
        match error.raw_os_error() {
            _ if error.kind() == ErrorKind::WouldBlock => Taken::Nothing,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                self.rests_until_ns = now_ns + REST_NS;
                Taken::Failed
            }
            // accept(2): errors of the network on the new connection are passed on, and are to be treated like EAGAIN.
            _ => Taken::Gone,
        }
    }
}
