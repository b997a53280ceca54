//! The consumer's way to a publisher's repair server: a connected UDP socket for what is sent again, and a TCP stream for
//! an image of everything.
//!
//! Answers never come to a group's socket (socket rule 3 of the wire format): each server has a socket of its own here,
//! connected, so that nobody else's datagrams arrive on it.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::subscriber::set_rcvbuf;
use crate::{DATAGRAM_BYTES_MAX, Datagram, ReceiveBuffers, Received};

/// Receive buffer asked for answers, in bytes; the kernel doubles it. A consumer's budget is 4,096 frames at once, which
/// the kernel charges 2,304 B each at most.
const RCVBUF_BYTES: usize = 5 << 20;

/// A UDP socket that talks to one server and hears nobody else. Non-blocking.
#[derive(Debug)]
pub struct RepairSocket {
    socket: Socket,
    server: SocketAddrV4,
}

impl RepairSocket {
    /// Opens the socket by the interface that leads to the server.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(server: SocketAddrV4) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        set_rcvbuf(&socket, RCVBUF_BYTES)?;
        socket.connect(&SockAddr::from(server))?;
        Ok(Self { socket, server })
    }

    /// Whom it talks to.
    pub fn server(&self) -> SocketAddrV4 {
        self.server
    }

    /// The socket, for a poll.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Sends one request. Never waits.
    ///
    /// # Errors
    /// What the system said, also of an earlier request: connection refused where no server listens.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        self.socket.send(request).map(|_| ())
    }

    /// Takes what has arrived, as [`UdpSubscriber::recv`](crate::UdpSubscriber::recv) does.
    ///
    /// # Errors
    /// What the system said; the socket stays usable.
    pub fn recv(
        &self,
        buffers: &mut ReceiveBuffers,
        visit: impl FnMut(Datagram<'_>),
    ) -> io::Result<Received> {
        let filled = buffers.fill(self.fd())?;
        Ok(Received { datagrams: filled.each(visit), may_have_more: filled.may_have_more })
    }
}

/// Bytes before each unit of a stream: its length, little-endian (wire format, "TCP").
const PREFIX_BYTES: usize = 2;
/// Bytes read by one system call: some 46 of the longest frames.
const READ_BYTES: usize = 65_536;
/// Bytes taken by one call of [`ImageStream::read`], so that the caller's loop goes on.
const TURN_BYTES: usize = 16 * READ_BYTES;

/// What a stream says when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// More may come.
    Open,
    /// The server closed it.
    Closed,
}

/// A TCP connection on which a server sends frames, each behind its length; a length of 0 keeps it alive.
#[derive(Debug)]
pub struct ImageStream {
    stream: TcpStream,
    /// Of the request, what has not left yet.
    request: Vec<u8>,
    sent: usize,
    /// Bytes received that are no whole unit yet, and room to receive.
    bytes: Vec<u8>,
    filled: usize,
}

impl ImageStream {
    /// Begins to connect; nothing waits. `request` leaves, with its length before it, as soon as the connection stands.
    ///
    /// # Errors
    /// What the system said; InvalidInput where the request is longer than a frame may be.
    pub fn open(server: SocketAddrV4, request: &[u8]) -> io::Result<Self> {
        if request.len() > DATAGRAM_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is longer than a frame"));
        }
        // Checked above.
        let length = u16::try_from(request.len()).unwrap_or(u16::MAX);
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&SockAddr::from(server)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(Self {
            stream: socket.into(),
            request: [&length.to_le_bytes(), request].concat(),
            sent: 0,
            bytes: vec![0; READ_BYTES + PREFIX_BYTES + DATAGRAM_BYTES_MAX],
            filled: 0,
        })
    }

    /// The socket, for a poll. Until [`ImageStream::is_asking`] is over poll it for writing, too.
    pub fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Whether the request has not left whole.
    pub fn is_asking(&self) -> bool {
        self.sent < self.request.len()
    }

    /// Sends the rest of the request, then takes what has arrived, and hands out every frame in order. Never waits.
    ///
    /// # Errors
    /// What the system said, or InvalidData for a unit longer than a frame may be: the stream is of no use any more.
    pub fn read(&mut self, mut visit: impl FnMut(&[u8])) -> io::Result<Stream> {
        if self.is_asking() && !self.ask()? {
            return Ok(Stream::Open);
        }
        let mut turn = 0;
        while turn < TURN_BYTES {
            let read = match self.stream.read(&mut self.bytes[self.filled..]) {
                Ok(0) => return Ok(Stream::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            turn += read;
            self.filled += read;
            self.hand_out(&mut visit)?;
        }
        Ok(Stream::Open)
    }

    /// `true` once the request has left.
    fn ask(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        while self.is_asking() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not connected yet is an error of its own where the connection is under way.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn hand_out(&mut self, visit: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut start = 0;
        while let Some(prefix) = self.bytes[start..self.filled].first_chunk::<PREFIX_BYTES>() {
            let length = usize::from(u16::from_le_bytes(*prefix));
            if length > DATAGRAM_BYTES_MAX {
                let text = format!("a unit of {length} bytes is longer than a frame");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            let (from, end) = (start + PREFIX_BYTES, start + PREFIX_BYTES + length);
            if end > self.filled {
                break;
            }
            if length > 0 {
                visit(&self.bytes[from..end]);
            }
            start = end;
        }
        self.bytes.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, UdpSocket};

    use super::*;
    use crate::is_server;

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        }
    }

    /// Waits for the socket like a consumer does.
    fn ready(fd: RawFd) {
        assert_eq!(crate::wait(&[fd], 5_000_000_000).unwrap(), 1, "nothing came");
    }

    #[test]
    fn only_the_server_is_heard() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let repair = RepairSocket::open(v4(server.local_addr().unwrap())).unwrap();
        repair.send(b"ask").unwrap();
        let mut bytes = [0; 16];
        let (read, asker) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..read], b"ask");
        other.send_to(b"forged", asker).unwrap();
        server.send_to(b"one", asker).unwrap();
        server.send_to(b"two", asker).unwrap();
        let mut heard = Vec::new();
        let mut buffers = ReceiveBuffers::new();
        while heard.len() < 2 {
            ready(repair.fd());
            repair.recv(&mut buffers, |datagram| heard.push(datagram.bytes.to_vec())).unwrap();
        }
        assert_eq!(heard, [b"one".to_vec(), b"two".to_vec()]);
    }

    /// What a client hands out of `bytes` sent in pieces, and how it ended.
    fn stream(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, io::Result<Stream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = ImageStream::open(v4(listener.local_addr().unwrap()), b"everything").unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut frames = Vec::new();
        while client.is_asking() {
            client.read(|frame| frames.push(frame.to_vec())).unwrap();
        }
        let mut asked = [0; 12];
        peer.read_exact(&mut asked).unwrap();
        assert_eq!(asked, *b"\x0a\x00everything");
        for piece in pieces {
            peer.write_all(piece).unwrap();
            ready(client.fd());
            match client.read(|frame| frames.push(frame.to_vec())) {
                Ok(Stream::Open) => {}
                ended => return (frames, ended),
            }
        }
        drop(peer);
        loop {
            ready(client.fd());
            match client.read(|frame| frames.push(frame.to_vec())) {
                Ok(Stream::Open) => {}
                ended => return (frames, ended),
            }
        }
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let long = [vec![0xE8, 0x03], vec![7; 1_000]].concat();
        let (frames, ended) =
            stream(&[b"\x03", b"\x00ab", b"c\x00\x00\x01\x00z", &long[..500], &long[500..], b"\x05\x00cut"]);
        assert_eq!(frames, [b"abc".to_vec(), b"z".to_vec(), vec![7; 1_000]]);
        assert_eq!(ended.unwrap(), Stream::Closed);
    }

    #[test]
    fn a_unit_longer_than_a_frame_ends_it() {
        let (frames, ended) = stream(&[b"\x01\x00a", b"\x79\x05"]);
        assert_eq!(frames, [b"a".to_vec()]);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn nobody_there_is_said() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = match ImageStream::open(v4(free), b"x") {
            Err(error) => error,
            Ok(mut client) => {
                ready(client.fd());
                client.read(|_| {}).unwrap_err()
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn servers_are_hosts() {
        let of = |text: &str| is_server(text.parse().unwrap());
        assert!(of("127.0.0.1:9011"));
        assert!(of("10.0.0.7:1"));
        for text in ["0.0.0.0:9011", "127.0.0.1:0", "239.1.2.3:9011", "255.255.255.255:9011"] {
            assert!(!of(text), "{text}");
        }
    }
}
