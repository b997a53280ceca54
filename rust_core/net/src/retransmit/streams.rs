//! The thread of the TCP side: one poll over the listener and all connections.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use outcrier_core::publish::Arrival;
use outcrier_core::retransmit::{Archive, Streams, Then};

use super::connection::{Connection, End, Heard};
use super::counters::ConnectionCounters;
use super::listener::{CONNECTIONS_MAX, Listener, Taken};
use super::shared::Shared;
use super::wake::Bell;
use crate::clock;

/// How often connections that follow are looked after. The send path rings no bell for them: it would cost it a system call
/// for each batch.
const FOLLOW_MS: i32 = 2;
/// How often the others are: keep-alive units and ends are due by the second.
const TICK_MS: i32 = 100;

/// Stop, bell and listener come before the connections.
const FIXED: usize = 3;

/// Nothing to wait for.
const NO_FD: libc::pollfd = libc::pollfd { fd: -1, events: 0, revents: 0 };

/// The TCP side.
pub(super) struct Loop {
    listener: Listener,
    shared: Arc<Shared>,
    streams: Streams,
    archive: Option<Box<dyn Archive + Send>>,
    connections: Vec<Connection>,
    counters: ConnectionCounters,
    /// Changes of keys that were taken.
    keys_seen: u64,
}

impl Loop {
    pub(super) fn new(
        listener: Listener,
        shared: Arc<Shared>,
        streams: Streams,
        archive: Option<Box<dyn Archive + Send>>,
    ) -> Self {
        let connections = Vec::with_capacity(CONNECTIONS_MAX);
        let counters = ConnectionCounters::default();
        Self { listener, shared, streams, archive, connections, counters, keys_seen: 0 }
    }

    /// Serves until the bell rings.
    pub(super) fn run(mut self, stop: &Bell) {
        loop {
            let now_ns = clock::mono_ns();
            let mut polled = [NO_FD; FIXED + CONNECTIONS_MAX];
            let timeout_ms = self.prepare(&mut polled, stop, now_ns);
            let count = FIXED + self.connections.len();
            // An interrupted poll is a turn in which nothing is ready.
            if poll(&mut polled[..count], timeout_ms).is_err() {
                polled[..count].iter_mut().for_each(|entry| entry.revents = 0);
            }
            if polled[0].revents != 0 {
                return;
            }
            let now_ns = clock::mono_ns();
            if polled[1].revents != 0 {
                self.hand_out_images();
            }
            self.turn(&polled[FIXED..count], now_ns);
            if polled[2].revents != 0 {
                self.accept(now_ns);
            }
            self.tell();
        }
    }

    /// Fills in what is waited for, and returns how long.
    fn prepare(
        &mut self,
        polled: &mut [libc::pollfd; FIXED + CONNECTIONS_MAX],
        stop: &Bell,
        now_ns: u64,
    ) -> i32 {
        let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
        polled[0] = entry(stop.fd(), libc::POLLIN);
        polled[1] = entry(self.shared.stream_fd(), libc::POLLIN);
        if self.listener.is_awake(now_ns) {
            polled[2] = entry(self.listener.socket().as_raw_fd(), libc::POLLIN);
        }
        let may_send = self.streams.may_send(now_ns);
        let mut timeout_ms = TICK_MS;
        for (connection, polled) in self.connections.iter().zip(&mut polled[FIXED..]) {
            let mut events = 0;
            if connection.is_listening() {
                events |= libc::POLLIN;
            }
            if connection.has_output() && may_send {
                events |= libc::POLLOUT;
            }
            let wait_ms = match connection.is_caught_up() {
                Some(false) if may_send && !connection.has_output() => 0,
                Some(_) => FOLLOW_MS,
                None if connection.has_output() && !may_send => FOLLOW_MS,
                None => TICK_MS,
            };
            timeout_ms = timeout_ms.min(wait_ms);
            *polled = entry(connection.stream().as_raw_fd(), events);
        }
        timeout_ms
    }

    fn hand_out_images(&mut self) {
        for (id, image) in self.shared.take_answers() {
            self.end_some(|connection, _| connection.take_image(id, image.as_ref()));
        }
    }

    /// Looks after every connection.
    fn turn(&mut self, polled: &[libc::pollfd], now_ns: u64) {
        let mut ready = polled.iter();
        let Self { connections, shared, streams, archive, counters, keys_seen, .. } = self;
        let mut serve = |connection: &mut Connection, revents: libc::c_short| -> Option<End> {
            if connection.is_listening() && revents & (libc::POLLIN | libc::POLLHUP) != 0 {
                match connection.hear() {
                    Heard::Nothing => {}
                    Heard::Unit(len) => {
                        // As with datagrams: after the request was read.
                        if let Some(keys) = shared.take_keys(keys_seen) {
                            streams.change_keys(keys);
                        }
                        answer(connection, len, streams, shared, archive.as_deref_mut(), now_ns);
                    }
                    Heard::End(end) => return Some(end),
                }
            } else if revents & (libc::POLLERR | libc::POLLHUP) != 0 {
                return Some(End::Done);
            }
            if streams.may_send(now_ns) {
                let pulled = connection.pull(&**shared, archive.as_deref_mut(), counters, now_ns);
                // What was pulled before still leaves.
                match connection.flush(counters, now_ns) {
                    Ok(bytes) => streams.sent(bytes),
                    Err(end) => return Some(end),
                }
                if pulled.is_some() {
                    return pulled;
                }
            } else {
                connection.hold_back(now_ns);
            }
            connection.tick(counters, now_ns)
        };
        let mut ends = Vec::new();
        connections.retain_mut(|connection| {
            let revents = ready.next().map_or(0, |polled| polled.revents);
            let end = serve(connection, revents);
            ends.extend(end);
            end.is_none()
        });
        for end in ends {
            *end.counter(&mut self.counters) += 1;
        }
    }

    /// Drops the connections that `end` gives a reason for.
    fn end_some(&mut self, mut end: impl FnMut(&mut Connection, &mut ConnectionCounters) -> Option<End>) {
        let counters = &mut self.counters;
        self.connections.retain_mut(|connection| match end(connection, counters) {
            Some(end) => {
                *end.counter(counters) += 1;
                false
            }
            None => true,
        });
    }

    fn accept(&mut self, now_ns: u64) {
        // Those beyond are taken in the next turn.
        for _ in 0..CONNECTIONS_MAX {
            match self.listener.take(now_ns) {
                Taken::Connection(stream, peer) => {
                    if self.connections.len() == CONNECTIONS_MAX {
                        self.counters.full += 1;
                        continue;
                    }
                    self.counters.accepted += 1;
                    match Connection::new(stream, peer, now_ns) {
                        Ok(connection) => self.connections.push(connection),
                        Err(_) => self.counters.broken += 1,
                    }
                }
                Taken::Nothing => return,
                Taken::Gone => self.counters.broken += 1,
                Taken::Failed => {
                    self.counters.accept_errors += 1;
                    return;
                }
            }
        }
    }

    fn tell(&self) {
        self.shared.update(|counters| {
            counters.streams = self.streams.counters();
            counters.connections = self.counters;
        });
    }
}

/// Answers the unit just heard.
fn answer(
    connection: &mut Connection,
    len: usize,
    streams: &mut Streams,
    shared: &Arc<Shared>,
    archive: Option<&mut (dyn Archive + Send + 'static)>,
    now_ns: u64,
) {
    let at = Arrival { recv_ts: clock::wall_ns(), mono_ns: now_ns };
    let peer = *connection.peer().ip();
    let archive = archive.map(|archive| archive as &mut dyn Archive);
    let (reply, then) = streams.on_unit(peer, connection.unit(len), at, &**shared, archive);
    if !reply.is_empty() {
        connection.say(reply);
    }
    match then {
        Then::Nothing => connection.listen_on(now_ns),
        Then::Replay(replay) => connection.start_replay(replay, now_ns),
        Then::Image { channel, session, venue, wants } => {
            let id = shared.want_image(channel, session, venue, wants);
            connection.await_image(id, now_ns);
        }
        Then::Close => connection.end(End::Refused, now_ns),
    }
}

/// poll(2).
fn poll(entries: &mut [libc::pollfd], timeout_ms: i32) -> io::Result<()> {
    // SAFETY: the kernel writes only the `revents` of the entries given, which outlive the call.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout_ms) };
    if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
