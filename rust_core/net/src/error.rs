//! What can be wrong with a socket, in words for the person who has to mend it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use outcrier_core::chaos::PlanError;

use crate::WAIT_SOCKETS_MAX;

/// Group, interface and port of a socket, as every message names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Multicast group.
    pub group: Ipv4Addr,
    /// Address of the local interface.
    pub interface: Ipv4Addr,
    /// UDP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}, interface {}, port {}", self.group, self.interface, self.port)
    }
}

/// Why a socket could not be opened. `Display` is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum NetError {
    /// The address given as a group is not a multicast address.
    NotMulticast(Endpoint),
    /// The interface is 0.0.0.0, which leaves the choice to the routing table.
    InterfaceNotNamed(Endpoint),
    /// A TTL other than 0 (this host) or 1 (this network).
    Ttl {
        /// What was asked.
        ttl: u8,
    },
    /// A relay would send to where it listens, and relay what it sent.
    HearsItself(Endpoint),
    /// A relay has as many lines as can be waited for.
    TooManyLines,
    /// What is asked of a bad network cannot be.
    Plan(PlanError),
    /// No interface of this host has the address given.
    NoSuchInterface {
        /// The socket.
        at: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// The interface is down or has no way to the group.
    NoRoute {
        /// The socket.
        at: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// Another program holds the port without sharing it.
    PortInUse {
        /// The socket.
        at: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// The user or a firewall rule is not allowed to do this.
    NotPermitted {
        /// The socket.
        at: Endpoint,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Too many open files, memberships or sources.
    LimitReached {
        /// The socket.
        at: Endpoint,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A socket or thread of the retransmit service.
    Service {
        /// What could not be had.
        what: &'static str,
        /// The address that it was to have.
        at: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    Os {
        /// The socket.
        at: Endpoint,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl NetError {
    /// Sorts what the system said at `step` by what a person can do about it.
    pub(crate) fn from_os(at: Endpoint, step: &'static str, source: io::Error) -> NetError {
        match source.raw_os_error().unwrap_or(0) {
            libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO => NetError::NoSuchInterface { at, source },
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN => NetError::NoRoute { at, source },
            libc::EADDRINUSE => NetError::PortInUse { at, source },
            libc::EPERM | libc::EACCES => NetError::NotPermitted { at, step, source },
            libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE => {
                NetError::LimitReached { at, step, source }
            }
            _ => NetError::Os { at, step, source },
        }
    }

    /// The system's error number, where the system had a say.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            NetError::NotMulticast(_)
            | NetError::InterfaceNotNamed(_)
            | NetError::Ttl { .. }
            | NetError::HearsItself(_)
            | NetError::TooManyLines
            | NetError::Plan(_) => None,
            NetError::NoSuchInterface { source, .. }
            | NetError::NoRoute { source, .. }
            | NetError::PortInUse { source, .. }
            | NetError::NotPermitted { source, .. }
            | NetError::LimitReached { source, .. }
            | NetError::Service { source, .. }
            | NetError::Os { source, .. } => source.raw_os_error(),
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::NotMulticast(at) => {
                write!(f, "{} is not a multicast group (224.0.0.0 to 239.255.255.255): {at}", at.group)
            }
            NetError::InterfaceNotNamed(at) => {
                write!(f, "the interface must be named by its own address, such as 127.0.0.1: {at}")
            }
            NetError::Ttl { ttl } => {
                write!(f, "TTL {ttl} is not allowed: 0 stays on this host, 1 on the local network")
            }
            NetError::HearsItself(at) => {
                write!(f, "a relay cannot send to where it listens, it would relay what it sent: {at}")
            }
            NetError::TooManyLines => write!(f, "a relay takes at most {WAIT_SOCKETS_MAX} lines"),
            NetError::Plan(error) => error.fmt(f),
            NetError::NoSuchInterface { at, source } => {
                write!(f, "no interface of this host has the address {}: {at} ({source})", at.interface)
            }
            NetError::NoRoute { at, source } => {
                write!(
                    f,
                    "no multicast route, the interface is down or has no way to the group: {at} ({source})"
                )
            }
            NetError::PortInUse { at, source } => {
                write!(f, "the port is in use by a program that does not share it: {at} ({source})")
            }
            NetError::NotPermitted { at, step, source } => {
                write!(f, "not permitted to {step}: {at} ({source})")
            }
            NetError::LimitReached { at, step, source } => {
                write!(f, "a limit of this host was reached, cannot {step}: {at} ({source})")
            }
            NetError::Service { what, at, source } => write!(f, "cannot have the {what} at {at} ({source})"),
            NetError::Os { at, step, source } => write!(f, "cannot {step}: {at} ({source})"),
        }
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NetError::NotMulticast(_)
            | NetError::InterfaceNotNamed(_)
            | NetError::Ttl { .. }
            | NetError::HearsItself(_)
            | NetError::TooManyLines
            | NetError::Plan(_) => None,
            NetError::NoSuchInterface { source, .. }
            | NetError::NoRoute { source, .. }
            | NetError::PortInUse { source, .. }
            | NetError::NotPermitted { source, .. }
            | NetError::LimitReached { source, .. }
            | NetError::Service { source, .. }
            | NetError::Os { source, .. } => Some(source),
        }
    }
}

/// What is refused before the system is asked.
pub(crate) fn check_endpoint(at: Endpoint) -> Result<(), NetError> {
    if !at.group.is_multicast() {
        return Err(NetError::NotMulticast(at));
    }
    if at.interface.is_unspecified() {
        return Err(NetError::InterfaceNotNamed(at));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Endpoint =
        Endpoint { group: Ipv4Addr::new(239, 192, 90, 1), interface: Ipv4Addr::LOCALHOST, port: 9001 };

    #[test]
    fn every_message_is_one_line_with_group_interface_port_and_the_systems_words() {
        for (number, words) in [
            (libc::EADDRNOTAVAIL, "no interface of this host"),
            (libc::ENODEV, "no interface of this host"),
            (libc::ENETUNREACH, "no multicast route"),
            (libc::EADDRINUSE, "port is in use"),
            (libc::EPERM, "not permitted to join the group"),
            (libc::ENOBUFS, "a limit of this host"),
            (libc::EINVAL, "cannot join the group"),
        ] {
            let source = io::Error::from_raw_os_error(number);
            let said = source.to_string();
            let error = NetError::from_os(AT, "join the group", source);
            let text = error.to_string();
            assert!(text.contains(words), "{text}");
            for part in ["239.192.90.1", "127.0.0.1", "9001", said.as_str()] {
                assert!(text.contains(part), "{part} is not in: {text}");
            }
            assert!(!text.contains('\n'));
            assert_eq!(error.raw_os_error(), Some(number));
        }
    }
}
