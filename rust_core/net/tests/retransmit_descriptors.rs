//! A process without descriptors takes no connection, and takes them again when it has some. Alone in its binary, for the
//! limit is of the whole process.

#[path = "retransmit/common.rs"]
mod common;
#[path = "../../core/tests/receive_support/mod.rs"]
mod receive_support;
#[path = "../../core/tests/retransmit_support/mod.rs"]
mod retransmit_support;

use std::os::fd::AsRawFd;

use outcrier_core::retransmit::Limits;
use outcrier_core::wire::retx_code;
use socket2::{Domain, SockAddr, Socket, Type};

use common::{Bench, Consumer, PATIENCE, Stream, until};
use retransmit_support::{Ask, range};

fn set_descriptors(most: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, and reads one.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = most;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}

#[test]
fn the_listener_survives_the_want_of_descriptors() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let consumer = Consumer::proved(bench.service.udp());
    let sockets: Vec<_> = (0..3).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    // Every number below is in use.
    let highest = sockets.iter().map(AsRawFd::as_raw_fd).max().unwrap();
    let filler: Vec<_> = std::iter::from_fn(|| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        (socket.as_raw_fd() < highest).then_some(socket)
    })
    .collect();
    let before = set_descriptors(highest as libc::rlim_t + 1);
    for socket in &sockets {
        socket.connect(&SockAddr::from(bench.service.tcp())).unwrap();
    }
    until("accepting fails", || bench.shared.counters().connections.accept_errors >= 2);
    let (reply, frames) = consumer.ask(&Ask::new(consumer.cookie).frames(&[range(1, 2)]), 2);
    assert_eq!((reply.code, frames.len()), (retx_code::OK, 2), "datagrams are answered meanwhile");
    assert_eq!(bench.shared.counters().connections.accepted, 0);
    set_descriptors(before);
    drop(filler);
    for socket in sockets {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = Stream(socket.into());
        stream.send(&Ask::new(0).frames(&[]));
        assert_eq!(stream.reply().code, retx_code::OK);
    }
}
