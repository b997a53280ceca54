//! Sockets, clock and files of Outcrier.
//!
//! * [`clock`]: the one module that reads a clock; wall time that is slewed and never steps;
//! * [`Batch`]: which frames leave together, and what each looks like as a datagram;
//! * [`publisher`]: frames out, those of one read together, never waiting for anybody;
//! * [`relay`]: lines through a bad network, for trying what it does to their consumers;
//! * [`guard`]: who else publishes our channels, before our first frame and while we send;
//! * [`retransmit`]: frames again for those who lost some, by UDP and by TCP;
//! * [`subscriber`]: one multicast group in, with kernel stamps and an account of what the kernel dropped;
//! * [`log`]: what was published, on the disk, by a thread of its own;
//! * [`RepairSocket`] and [`ImageStream`]: a consumer's way to the server that sends again what was lost.
//!
//! To the sockets bytes are bytes: they do not look into a frame. The crate is for Linux alone, whose group binding, drop
//! accounting and stamps the socket rules of `docs/wire-format.md` rest on; `outcrier-core` builds everywhere.

#[cfg(not(target_os = "linux"))]
compile_error!("outcrier-net needs Linux; outcrier-core builds elsewhere, too");

mod batch;
pub mod clock;
mod error;
pub mod guard;
pub mod log;
pub mod publisher;
mod receive_buffers;
pub mod relay;
mod repair;
pub mod retransmit;
pub mod subscriber;

use std::net::{Ipv4Addr, SocketAddrV4};

pub use batch::{Added, BATCH_BYTES_MAX, BATCH_FRAMES_MAX, Batch};
pub use error::{Endpoint, NetError};
pub use guard::Guard;
pub use publisher::UdpPublisher;
pub use receive_buffers::ReceiveBuffers;
pub use repair::{ImageStream, RepairSocket, Stream};
pub use subscriber::{UdpSubscriber, wait};

/// Largest datagram that is sent, in bytes: room for VXLAN or WireGuard over IPv4 within an Ethernet MTU, so
/// that no datagram is ever fragmented (wire format, "Numeric limits").
pub const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Most sockets that one [`wait`] takes: lines A and B, the snapshot plane, the repair group, an image, and
/// [`REPAIR_SERVERS_MAX`].
pub const WAIT_SOCKETS_MAX: usize = 5 + REPAIR_SERVERS_MAX;

/// Most retransmit servers that a consumer talks to: a publisher each. Venues split over more processes than this leave
/// the others to the snapshot plane.
pub const REPAIR_SERVERS_MAX: usize = 16;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Lines A and B of the incremental plane.
    Incremental = 0,
    /// The snapshot plane.
    Snapshot = 1,
}

/// What a publisher is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// Address of the interface that frames leave by; 127.0.0.1 keeps them on the host.
    pub interface: Ipv4Addr,
    /// Group of line A.
    pub group_a: Ipv4Addr,
    /// Line B: the same frames once more; `None` = one line only.
    pub line_b: Option<LineB>,
    /// Group of the snapshot plane.
    pub group_snapshot: Ipv4Addr,
    /// Group of the text lines; `None` = none are sent.
    pub group_text: Option<Ipv4Addr>,
    /// Group of frames sent again for many; `None` = none are.
    pub group_repair: Option<Ipv4Addr>,
    /// UDP port of all groups.
    pub port: u16,
    /// 0 stays on the host, 1 on the local network; nothing else is taken.
    pub ttl: u8,
    /// How the socket that listens for other publishers shares the port: as [`SubscriberConfig::reuse_port`].
    pub reuse_port: bool,
}

/// Where the second copy of every frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineB {
    /// Address of the interface that it leaves by: another card and switch where there is one.
    pub interface: Ipv4Addr,
    /// Its group.
    pub group: Ipv4Addr,
}

/// What became of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it.
    Sent,
    /// The send buffer was full: the frame is dropped and counted, the publisher waits for nobody.
    WouldBlock,
    /// Longer than [`DATAGRAM_BYTES_MAX`]: refused before the kernel saw it.
    Oversize,
    /// The kernel refused it with this error number.
    Failed(i32),
}

/// Counts of a publisher since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Frames that the kernel took.
    pub frames: u64,
    /// Bytes of those frames, without padding, UDP and IP headers.
    pub bytes: u64,
    /// System calls that the kernel took: a batch is one.
    pub sends: u64,
    /// Zeros behind frames that left in a batch of longer ones.
    pub padding_bytes: u64,
    /// Batches that the kernel did not cut into segments and that left frame by frame.
    pub segment_refused: u64,
    /// Frames dropped because the send buffer was full.
    pub would_block: u64,
    /// Frames refused because they were longer than [`DATAGRAM_BYTES_MAX`].
    pub oversize: u64,
    /// Frames refused because the interface is down or gone, or has no route.
    pub unreachable: u64,
    /// Frames refused for want of kernel memory or queue space.
    pub no_memory: u64,
    /// Frames refused by a firewall rule or a missing privilege.
    pub not_permitted: u64,
    /// Frames refused for any other reason.
    pub other_errors: u64,
}

impl PublisherCounters {
    /// Frames that the kernel refused, whatever the reason; full buffers and oversize frames are not among them.
    pub fn errors(&self) -> u64 {
        self.unreachable + self.no_memory + self.not_permitted + self.other_errors
    }
}

/// What a subscriber is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberConfig {
    /// Address of the interface that the group is joined on.
    pub interface: Ipv4Addr,
    /// The group; a socket hears one.
    pub group: Ipv4Addr,
    /// UDP port.
    pub port: u16,
    /// Receive buffer asked of the kernel, in bytes. It doubles this and charges 1,280 B for a datagram of 216 to
    /// 512 B; without privilege it clamps to `net.core.rmem_max`.
    pub rcvbuf_bytes: usize,
    /// Senders to hear; empty hears all. The kernel takes 10 a socket unless told otherwise.
    pub sources: Vec<Ipv4Addr>,
    /// Share the port by SO_REUSEPORT alone, which keeps other users' processes out; all sockets of the group must (socket
    /// rule 2).
    pub reuse_port: bool,
}

/// One datagram, in the buffer that it was received into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What was sent, with its padding.
    pub bytes: &'a [u8],
    /// Wall time at which the kernel took the datagram, or the batch that it came in, in UTC nanoseconds; 0 = the
    /// kernel gave none.
    pub kernel_ts_ns: i64,
    /// The end of the datagram is lost, and with it what came behind it in the same batch.
    pub truncated: bool,
}

/// What one call of [`UdpSubscriber::recv`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams handed out.
    pub datagrams: usize,
    /// Every buffer was filled, so that more may wait.
    pub may_have_more: bool,
}

/// Whether an address is one that a request may be sent to: a host, not a group and not nobody.
pub fn is_server(server: SocketAddrV4) -> bool {
    let ip = *server.ip();
    server.port() != 0 && !ip.is_multicast() && !ip.is_broadcast() && ip != Ipv4Addr::UNSPECIFIED
}
