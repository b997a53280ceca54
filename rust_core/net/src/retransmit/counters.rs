//! What the service did, counted.

use outcrier_core::retransmit::{ServerCounters, ServerRefusals, StoreCounters, StreamCounters};

/// Sums of the socket of the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramCounters {
    /// Datagrams that the kernel took for consumers.
    pub sent: u64,
    /// Datagrams dropped because the send buffer was full; who asked asks again.
    pub would_block: u64,
    /// Datagrams that the kernel refused.
    pub send_errors: u64,
    /// Times that receiving failed.
    pub receive_errors: u64,
}

/// Sums of the TCP side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounters {
    /// Connections taken.
    pub accepted: u64,
    /// Connections closed at once because [`super::CONNECTIONS_MAX`] are open.
    pub full: u64,
    /// Times that accepting failed: no descriptors, no memory. The listener rests a moment and goes on.
    pub accept_errors: u64,
    /// Connections closed because the peer did not read for [`super::STALLED_NS`].
    pub slow: u64,
    /// Connections closed because what they were to get next is not kept any more.
    pub fell_behind: u64,
    /// Connections closed because nothing was asked for [`super::IDLE_NS`].
    pub idle: u64,
    /// Connections closed because their peer broke the protocol or sent no request.
    pub refused: u64,
    /// Connections closed because the feed gave no image: it could not, or took longer than [`super::IMAGE_WAIT_NS`].
    pub without_image: u64,
    /// Connections that ended as they should: closed by their peer, or the session that they followed is over.
    pub ended: u64,
    /// Connections that the system broke.
    pub broken: u64,
    /// Frames handed to the kernel.
    pub frames: u64,
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// Keep-alive units sent.
    pub keep_alives: u64,
}

/// Sums over the life of a [`super::Service`] and its [`super::Shared`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounters {
    /// Frames kept.
    pub store: StoreCounters,
    /// Requests by datagram.
    pub server: ServerCounters,
    /// Datagrams that were no frame, by cause.
    pub refusals: ServerRefusals,
    /// Requests by stream.
    pub streams: StreamCounters,
    /// The socket of the datagrams.
    pub datagrams: DatagramCounters,
    /// The TCP side.
    pub connections: ConnectionCounters,
    /// Wishes dropped because [`super::WANTS_MAX`] newer ones wait for feeds.
    pub wants_dropped: u64,
    /// Images dropped because they were given faster than streams take them.
    pub answers_dropped: u64,
}
