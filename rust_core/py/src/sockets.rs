//! The sockets of a receiver: read them until they are empty, account for drops, follow the snapshot plane, ask servers
//! for what was lost.

use std::io;
use std::net::SocketAddrV4;

use outcrier_core::receive::{Collector, Line, Receiver};
use outcrier_net::clock::mono_ns;
use outcrier_net::{
    Datagram, ImageStream, NetError, REPAIR_SERVERS_MAX, ReceiveBuffers, Received, RepairSocket, Stream,
    SubscriberConfig, UdpSubscriber, is_server,
};

/// Datagrams read from one socket in one call, at least, so that the caller's loop goes on: they take about 2 ms.
const POLL_DATAGRAMS_MAX: usize = 4_096;
/// The kernel's drop counts are asked for this often (`docs/wire-format.md`, socket rules).
const DROPS_EVERY_NS: u64 = 100_000_000;
/// An image that brings nothing for so long is given up: the server sends a unit each second at least.
const IMAGE_SILENCE_NS: u64 = 3_000_000_000;
/// While a connection is being made, nothing becomes readable: it is looked at this often.
const CONNECT_LOOK_NS: u64 = 1_000_000;

/// What a receiver listens to: one socket a group.
pub(crate) struct Groups {
    pub(crate) line_a: SubscriberConfig,
    pub(crate) line_b: Option<SubscriberConfig>,
    pub(crate) snapshot: SubscriberConfig,
    pub(crate) repair: Option<SubscriberConfig>,
}

/// Sums of what the sockets did, for the counters of the receiver.
#[derive(Clone, Copy, Default)]
pub(crate) struct SocketSums {
    /// Datagrams whose end is lost.
    pub(crate) truncated: u64,
    /// Requests that could not be sent: nobody listens there, no way, or too many servers.
    pub(crate) requests_unsent: u64,
    /// Images without a connection, or whose connection closed or fell silent before they were whole.
    pub(crate) images_cut: u64,
}

/// The sockets of one family of channels.
pub(crate) struct Sockets {
    /// Joined as long as the receiver is open: lines and repair group.
    groups: Vec<(Line, UdpSubscriber)>,
    snapshot: UdpSubscriber,
    servers: Vec<RepairSocket>,
    image: Option<Image>,
    buffers: ReceiveBuffers,
    drops_seen: u64,
    drops_asked_ns: u64,
    pub(crate) sums: SocketSums,
}

/// An image under way.
struct Image {
    channel: u8,
    stream: ImageStream,
    heard_ns: u64,
}

/// What went wrong while reading.
pub(crate) enum PollError {
    Read(io::Error),
    Join(NetError),
}

impl Sockets {
    pub(crate) fn open(groups: &Groups) -> Result<Self, NetError> {
        let lines = [(Line::A, Some(&groups.line_a)), (Line::B, groups.line_b.as_ref())];
        let all = lines.into_iter().chain([(Line::Repair, groups.repair.as_ref())]);
        let open = |(line, config): (Line, Option<&SubscriberConfig>)| {
            config.map(|config| UdpSubscriber::open(config).map(|socket| (line, socket)))
        };
        Ok(Self {
            groups: all.filter_map(open).collect::<Result<_, _>>()?,
            snapshot: UdpSubscriber::open(&groups.snapshot)?,
            servers: Vec::new(),
            image: None,
            buffers: ReceiveBuffers::new(),
            drops_seen: 0,
            drops_asked_ns: 0,
            sums: SocketSums::default(),
        })
    }

    /// Receive buffer of line A.
    pub(crate) fn effective_rcvbuf(&self) -> usize {
        self.groups.first().map_or(0, |(_, socket)| socket.effective_rcvbuf())
    }

    pub(crate) fn filenos(&self) -> impl Iterator<Item = i32> {
        let groups = self.groups.iter().map(|(_, socket)| socket).chain([&self.snapshot]);
        let servers = self.servers.iter().map(RepairSocket::fd);
        groups
            .filter_map(UdpSubscriber::fd)
            .chain(servers)
            .chain(self.image.iter().map(|image| image.stream.fd()))
    }

    /// When [`Sockets::poll`] has something to do that neither a socket nor the receiver tells.
    pub(crate) fn deadline_ns(&self, now_ns: u64) -> Option<u64> {
        let image = self.image.as_ref()?;
        Some(if image.stream.is_asking() {
            now_ns + CONNECT_LOOK_NS
        } else {
            image.heard_ns + IMAGE_SILENCE_NS
        })
    }

    /// Reads what has arrived, then gives up what is late, asks for what is missing, joins or leaves the snapshot plane.
    pub(crate) fn poll(
        &mut self,
        receiver: &mut Receiver,
        collector: &mut Collector,
    ) -> Result<(), PollError> {
        let mut is_empty = true;
        let Self { groups, snapshot, servers, buffers, sums, .. } = self;
        // Lines first: what line B brings, nobody has to ask for.
        for (line, socket) in groups.iter_mut() {
            let source = (*line, Source::Group(socket));
            is_empty &= drain(source, buffers, sums, receiver, collector).map_err(PollError::Read)?;
        }
        let source = (Line::Snapshot, Source::Group(snapshot));
        is_empty &= drain(source, buffers, sums, receiver, collector).map_err(PollError::Read)?;
        for server in servers.iter() {
            let source = (Line::Retransmit, Source::Server(server));
            // An error is of a request that was sent before: nobody listens there. The receiver tries again or gives up.
            is_empty &= drain(source, buffers, sums, receiver, collector).unwrap_or(true);
        }
        let now_ns = mono_ns();
        self.read_image(now_ns, receiver, collector);
        self.account_drops(now_ns, receiver, collector);
        if is_empty {
            receiver.on_timer(now_ns, collector);
        }
        self.ask(now_ns, receiver);
        match (receiver.wants_snapshot_plane(), self.snapshot.fd()) {
            (true, None) => self.snapshot.join().map_err(PollError::Join)?,
            (false, Some(_)) => self.snapshot.leave(),
            _ => {}
        }
        Ok(())
    }

    fn account_drops(&mut self, now_ns: u64, receiver: &mut Receiver, collector: &mut Collector) {
        let ask = now_ns.saturating_sub(self.drops_asked_ns) >= DROPS_EVERY_NS;
        if ask {
            self.drops_asked_ns = now_ns;
        }
        let sockets = self.groups.iter_mut().map(|(_, socket)| socket).chain([&mut self.snapshot]);
        let drops =
            sockets.map(|socket| if ask { socket.meminfo_drops() } else { socket.drops() }).sum::<u64>();
        if drops > self.drops_seen {
            receiver.on_kernel_drops(drops - self.drops_seen, now_ns, collector);
            self.drops_seen = drops;
        }
    }

    /// Reads the image under way, and begins one that would help.
    fn read_image(&mut self, now_ns: u64, receiver: &mut Receiver, collector: &mut Collector) {
        if self.image.is_none()
            && let Some(wanted) = receiver.image_wanted(now_ns)
        {
            match is_server(wanted.to).then(|| ImageStream::open(wanted.to, &wanted.request)) {
                Some(Ok(stream)) => {
                    receiver.image_started(wanted.channel);
                    self.image = Some(Image { channel: wanted.channel, stream, heard_ns: now_ns });
                }
                _ => self.sums.images_cut += 1,
            }
        }
        let Some(image) = &mut self.image else { return };
        let mut units = 0;
        let read = image.stream.read(|frame| {
            units += 1;
            receiver.on_datagram(Line::Image, frame, 0, now_ns, collector);
        });
        if units > 0 {
            image.heard_ns = now_ns;
        }
        let is_over = !receiver.is_image_under_way(image.channel);
        let is_lost =
            !matches!(read, Ok(Stream::Open)) || now_ns.saturating_sub(image.heard_ns) > IMAGE_SILENCE_NS;
        if is_over || is_lost {
            self.sums.images_cut += u64::from(!is_over);
            receiver.image_ended(image.channel);
            self.image = None;
        }
    }

    /// Sends the requests that are due.
    fn ask(&mut self, now_ns: u64, receiver: &mut Receiver) {
        while let Some(request) = receiver.next_request(now_ns) {
            let sent = server(&mut self.servers, request.to).and_then(|server| server.send(request.bytes));
            self.sums.requests_unsent += u64::from(sent.is_err());
        }
    }
}

/// The socket of a server, opened with the first request.
fn server(servers: &mut Vec<RepairSocket>, to: SocketAddrV4) -> io::Result<&RepairSocket> {
    if let Some(known) = servers.iter().position(|server| server.server() == to) {
        return Ok(&servers[known]);
    }
    if !is_server(to) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address of a server"));
    }
    if servers.len() == REPAIR_SERVERS_MAX {
        // The oldest is most likely that of a publisher which is gone.
        servers.remove(0);
    }
    servers.push(RepairSocket::open(to)?);
    Ok(&servers[servers.len() - 1])
}

/// A socket that datagrams come from.
enum Source<'a> {
    Group(&'a mut UdpSubscriber),
    Server(&'a RepairSocket),
}

impl Source<'_> {
    fn recv(
        &mut self,
        buffers: &mut ReceiveBuffers,
        visit: impl FnMut(Datagram<'_>),
    ) -> io::Result<Received> {
        match self {
            Self::Group(socket) => socket.recv(buffers, visit),
            Self::Server(socket) => socket.recv(buffers, visit),
        }
    }
}

/// Reads one socket until it is empty; `false` if it was not by then.
fn drain(
    (line, mut source): (Line, Source<'_>),
    buffers: &mut ReceiveBuffers,
    sums: &mut SocketSums,
    receiver: &mut Receiver,
    collector: &mut Collector,
) -> io::Result<bool> {
    let mut read = 0;
    while read < POLL_DATAGRAMS_MAX {
        // One look at the clock for what came by one call: it only has to be later than the arrival.
        let mut now_ns = None;
        let received = source.recv(buffers, |datagram| {
            let now_ns = *now_ns.get_or_insert_with(mono_ns);
            sums.truncated += u64::from(datagram.truncated);
            receiver.on_datagram(line, datagram.bytes, datagram.kernel_ts_ns, now_ns, collector);
        })?;
        if !received.may_have_more {
            return Ok(true);
        }
        read += received.datagrams;
    }
    Ok(false)
}
