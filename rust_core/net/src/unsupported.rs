//! The sockets of a system that is not Linux: they cannot be opened, and so cannot exist.

use std::convert::Infallible;
use std::io;

use outcrier_core::publish::arbitration::{Heard, Own, Superseded};

use crate::{
    Batch, Datagram, Endpoint, NetError, Plane, PublisherConfig, PublisherCounters, Received, Sent,
    SubscriberConfig,
};

/// Cannot be opened on this system.
#[derive(Debug)]
pub struct UdpPublisher(Infallible);

impl UdpPublisher {
    /// Always [`NetError::NotLinux`].
    pub fn open(_config: &PublisherConfig) -> Result<UdpPublisher, NetError> {
        Err(NetError::NotLinux)
    }

    /// Cannot be called.
    pub fn send(&self, _plane: Plane, _frame: &[u8]) -> Sent {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn send_batch(&self, _batch: &Batch) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn count_oversize(&self) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn counters(&self) -> PublisherCounters {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn send_text(&self, _line: &[u8]) -> Option<Sent> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn send_repair(&self, _frame: &[u8]) -> Option<Sent> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn counters_b(&self) -> Option<PublisherCounters> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn counters_text(&self) -> Option<PublisherCounters> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn counters_repair(&self) -> Option<PublisherCounters> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn last_error(&self) -> Option<String> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn last_error_b(&self) -> Option<String> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn effective_sndbuf(&self) -> usize {
        match self.0 {}
    }
}

/// Cannot be opened on this system.
#[derive(Debug)]
pub struct Guard(Infallible);

impl Guard {
    /// Always [`NetError::NotLinux`].
    pub fn open(_config: &PublisherConfig) -> Result<Guard, NetError> {
        Err(NetError::NotLinux)
    }

    /// Cannot be called.
    pub fn listen(&self, _channels: &[u8], _for_ns: u64) -> io::Result<Vec<Heard>> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn begin(&self, _own: Own) -> io::Result<()> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn may_send(&self, _channel: u8, _now_ns: u64) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn superseded(&self) -> Vec<Superseded> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn errors(&self) -> u64 {
        match self.0 {}
    }
}

/// Cannot be opened on this system.
#[derive(Debug)]
pub struct UdpSubscriber(Infallible);

impl UdpSubscriber {
    /// Always [`NetError::NotLinux`].
    pub fn open(_config: &SubscriberConfig) -> Result<UdpSubscriber, NetError> {
        Err(NetError::NotLinux)
    }

    /// Cannot be called.
    pub fn join(&mut self) -> Result<(), NetError> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn leave(&mut self) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn fd(&self) -> Option<i32> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn recv(
        &mut self,
        _buffers: &mut ReceiveBuffers,
        _visit: impl FnMut(Datagram<'_>),
    ) -> io::Result<Received> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn drops(&self) -> u64 {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn meminfo_drops(&mut self) -> u64 {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn effective_rcvbuf(&self) -> usize {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn endpoint(&self) -> Endpoint {
        match self.0 {}
    }
}

/// Nothing can be received here, so it holds nothing.
#[derive(Debug, Default)]
pub struct ReceiveBuffers(());

impl ReceiveBuffers {
    /// Takes no memory.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Always an error: there is no socket to wait for.
pub fn wait(_sockets: &[i32], _timeout_ns: u64) -> io::Result<u32> {
    Err(io::Error::new(io::ErrorKind::Unsupported, NetError::NotLinux.to_string()))
}
