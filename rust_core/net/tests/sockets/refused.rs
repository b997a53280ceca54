//! What cannot be opened says why, in one line with group, interface and port.

use std::net::{Ipv4Addr, UdpSocket};

use crate::common::{draw, line_a};
use outcrier_net::{NetError, Plane, Sent, UdpPublisher, UdpSubscriber};

/// An address for documentation: no host has it.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn assert_names(error: &NetError, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn an_interface_that_is_not_there() {
    let mut to = draw();
    to.interface = NOWHERE;
    let (group, port) = (to.group_a.to_string(), to.port.to_string());
    for error in [UdpPublisher::open(&to).unwrap_err(), UdpSubscriber::open(&line_a(&to)).unwrap_err()] {
        assert!(matches!(error, NetError::NoSuchInterface { .. }), "{error:?}");
        assert_names(&error, &["no interface of this host has the address 198.51.100.7", &group, &port]);
    }
}

#[test]
fn an_interface_that_is_not_named() {
    let mut to = draw();
    to.interface = Ipv4Addr::UNSPECIFIED;
    for error in [UdpPublisher::open(&to).unwrap_err(), UdpSubscriber::open(&line_a(&to)).unwrap_err()] {
        assert!(matches!(error, NetError::InterfaceNotNamed(_)), "{error:?}");
    }
}

#[test]
fn an_address_that_is_no_group() {
    let mut to = draw();
    to.group_a = Ipv4Addr::LOCALHOST;
    let error = UdpSubscriber::open(&line_a(&to)).unwrap_err();
    assert_names(&error, &["127.0.0.1 is not a multicast group"]);
    assert!(matches!(UdpPublisher::open(&to).unwrap_err(), NetError::NotMulticast(_)));
    let mut to = draw();
    to.group_snapshot = Ipv4Addr::LOCALHOST;
    assert!(matches!(UdpPublisher::open(&to).unwrap_err(), NetError::NotMulticast(_)));
}

#[test]
fn a_ttl_that_leaves_the_network() {
    let mut to = draw();
    to.ttl = 2;
    let error = UdpPublisher::open(&to).unwrap_err();
    assert!(matches!(error, NetError::Ttl { ttl: 2 }), "{error:?}");
    assert_names(&error, &["TTL 2", "0 stays on this host, 1 on the local network"]);
}

#[test]
fn a_port_that_somebody_keeps_to_himself() {
    let to = draw();
    let _holder = UdpSocket::bind((to.group_a, to.port)).unwrap();
    let error = UdpSubscriber::open(&line_a(&to)).unwrap_err();
    assert!(matches!(error, NetError::PortInUse { .. }), "{error:?}");
    let (group, port) = (to.group_a.to_string(), to.port.to_string());
    assert_names(&error, &["the port is in use", &group, "127.0.0.1", &port]);
}

#[test]
fn more_sources_than_the_kernel_takes() {
    let to = draw();
    let mut config = line_a(&to);
    // net.ipv4.igmp_max_msf is 10 unless somebody raised it, and never near this.
    config.sources = (0..=u8::MAX).flat_map(|a| (1..=9).map(move |b| Ipv4Addr::new(127, 1, a, b))).collect();
    let error = UdpSubscriber::open(&config).unwrap_err();
    assert!(matches!(error, NetError::LimitReached { .. }), "{error:?}");
    assert_names(&error, &["a limit of this host", "join the group for a source"]);
}

/// Runs `test` in a network namespace of its own, whose only interface is a loopback that is down. Needs
/// CAP_SYS_ADMIN and does nothing without it.
pub(crate) fn in_empty_namespace(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        // SAFETY: unshare takes no pointer; the new namespace is this thread's alone and ends with it.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
            return;
        }
        test();
    })
    .join()
    .unwrap();
}

#[test]
fn an_interface_that_is_down() {
    let to = draw();
    in_empty_namespace(move || {
        let error = UdpPublisher::open(&to).unwrap_err();
        let (group, port) = (to.group_a.to_string(), to.port.to_string());
        // Before it was first up, loopback has not even its address.
        assert!(matches!(error, NetError::NoSuchInterface { .. } | NetError::NoRoute { .. }), "{error:?}");
        assert_names(&error, &[&group, "127.0.0.1", &port]);
        let error = UdpSubscriber::open(&line_a(&to)).unwrap_err();
        assert_names(&error, &[&group, "127.0.0.1", &port]);
    });
}

/// Brings loopback of this thread's namespace up or down.
pub(crate) fn set_loopback(up: bool) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: ifreq is plain integers and a union of them, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = if up { libc::IFF_UP as libc::c_short } else { 0 };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is and which outlives the call.
    let result = unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn an_interface_that_goes_down_later() {
    let to = draw();
    in_empty_namespace(move || {
        set_loopback(true);
        let publisher = UdpPublisher::open(&to).unwrap();
        assert_eq!(publisher.send(Plane::Incremental, b"up"), Sent::Sent);
        set_loopback(false);
        let sent = publisher.send(Plane::Incremental, b"down");
        assert!(matches!(sent, Sent::Failed(_)), "{sent:?}");
        let counters = publisher.counters();
        assert_eq!((counters.frames, counters.unreachable, counters.errors()), (1, 1, 1));
        assert!(publisher.last_error().is_some());
        let error = UdpPublisher::open(&to).unwrap_err();
        assert!(matches!(error, NetError::NoRoute { .. } | NetError::NoSuchInterface { .. }), "{error:?}");
        set_loopback(true);
        assert_eq!(publisher.send(Plane::Incremental, b"up again"), Sent::Sent);
    });
}
