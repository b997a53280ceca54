//! The ear of a publisher: who else publishes its channels, before its first frame and while it sends.
//!
//! A socket on the group of line A hears every publisher of the group, our own frames too. A filter in the kernel keeps all
//! but what can matter from it: frames of other channels, and of our own sessions all but heartbeats, starts and ends. So it
//! costs a running publisher a look of one system call every 50 ms, and its queue holds the news and not our own feed.
//!
//! **The bound.** Before a batch leaves, the socket is read if the last look is more than 50 ms old. A publisher that was
//! stopped while another took over (SIGSTOP, a paused machine) therefore reads what came meanwhile before it sends. Only a
//! batch whose look was done and whose system call had not yet begun when the stop came can still leave: at most one for
//! each channel, of at most 64 frames. A stop of less than 50 ms may go unseen for as long as one look; nobody takes over
//! within that time without having been told to.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outcrier_core::publish::arbitration::{Arbiter, Heard, NAMES_PUBLISHER_MAX, Own, Superseded};
use outcrier_core::wire::auth::Keyring;

use crate::clock::mono_ns;
use crate::{NetError, PublisherConfig, ReceiveBuffers, SubscriberConfig, UdpSubscriber, wait};

/// Age of the last look at which a batch waits for another one. Half of the time between two heartbeats, so that a publisher
/// with nothing else to send looks with each of them.
pub const LOOK_EVERY_NS: u64 = 50_000_000;

/// Receive buffer asked for: the kernel's usual one. One frame of each session is enough, and what does not fit comes again.
const RCVBUF_BYTES: usize = 212_992;

/// Buffers of a look, of 64 KiB each: mostly nothing has come.
const BUFFERS: usize = 2;

/// Calls of one look at most: the buffer holds fewer than a thousand datagrams, and a flood must not hold up the feed.
const CALLS_PER_LOOK_MAX: usize = 1_024;

/// Where the payload begins for a socket filter: behind the UDP header.
const UDP_HEADER_BYTES: u32 = 8;

/// What the filter keeps of a datagram: all of it.
const KEEP: u32 = 0x4_0000;

/// Listens to the group of line A. Threads may share it.
#[derive(Debug)]
pub struct Guard {
    inner: Mutex<Inner>,
    fd: RawFd,
    looked_ns: AtomicU64,
    /// Channels whose session must not send any more, a bit each.
    silenced: [AtomicU64; 2],
    /// Looks that the system refused.
    errors: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    socket: UdpSubscriber,
    buffers: ReceiveBuffers,
    arbiter: Arbiter,
    /// Channels listened to, a bit each.
    watched: u128,
}

impl Guard {
    /// Joins the group of line A. With `keys` only frames signed by one of them are heard.
    ///
    /// # Errors
    /// [`NetError`] names group, interface, port and what the system said.
    pub fn open(config: &PublisherConfig, keys: Option<Keyring>) -> Result<Guard, NetError> {
        let socket = UdpSubscriber::open(&SubscriberConfig {
            interface: config.interface,
            group: config.group_a,
            port: config.port,
            rcvbuf_bytes: RCVBUF_BYTES,
            sources: Vec::new(),
            reuse_port: config.reuse_port,
        })?;
        let fd = socket.fd().unwrap_or(-1);
        let buffers = ReceiveBuffers::sized(BUFFERS, 65_536);
        let inner = Inner { socket, buffers, arbiter: Arbiter::new(keys), watched: 0 };
        Ok(Guard {
            inner: Mutex::new(inner),
            fd,
            looked_ns: AtomicU64::new(0),
            silenced: [AtomicU64::new(0), AtomicU64::new(0)],
            errors: AtomicU64::new(0),
        })
    }

    /// Hears frames signed by other keys from now on.
    pub fn change_keys(&self, keys: Keyring) {
        self.lock().arbiter.change_keys(keys);
    }

    /// Listens for `for_ns` and returns what other sessions were heard meanwhile on `channels`. The channels stay watched.
    ///
    /// # Errors
    /// What the system said; nothing may be published then.
    pub fn listen(&self, channels: &[u8], for_ns: u64) -> io::Result<Vec<Heard>> {
        let start_ns = mono_ns();
        {
            let mut inner = self.lock();
            for channel in channels {
                inner.watched |= 1 << (channel & 127);
            }
            inner.set_filter()?;
        }
        // The lock is not held while waiting: another channel of the process may be sending.
        loop {
            let now_ns = mono_ns();
            self.look(&mut self.lock(), now_ns)?;
            let left_ns = (start_ns + for_ns).saturating_sub(now_ns);
            if left_ns == 0 {
                break;
            }
            wait(&[self.fd], left_ns)?;
        }
        let inner = self.lock();
        Ok(channels.iter().filter_map(|&channel| inner.arbiter.heard(channel, start_ns)).collect())
    }

    /// A session of ours is about to send its first frame.
    ///
    /// # Errors
    /// What the system said; the session must not begin then.
    pub fn begin(&self, own: Own) -> io::Result<()> {
        let mut inner = self.lock();
        inner.watched |= 1 << (own.channel & 127);
        inner.arbiter.begin(own);
        let (word, bit) = place(own.channel);
        self.silenced[word].fetch_and(!bit, Ordering::Relaxed);
        self.mark(&inner);
        inner.set_filter()
    }

    /// Whether our session on a channel may send now; looks first if the last look is too old.
    pub fn may_send(&self, channel: u8, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.looked_ns.load(Ordering::Relaxed)) >= LOOK_EVERY_NS
            && self.look(&mut self.lock(), now_ns).is_err()
        {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        let (word, bit) = place(channel);
        self.silenced[word].load(Ordering::Relaxed) & bit == 0
    }

    /// Our sessions that must not send any more, and why.
    pub fn superseded(&self) -> Vec<Superseded> {
        let inner = self.lock();
        inner.arbiter.own().filter_map(|own| inner.arbiter.superseded(own.channel)).collect()
    }

    /// Looks that the system refused; the publisher goes on as if it had heard nothing.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Frames heard that were not signed as they must be.
    pub fn unauthentic(&self) -> u64 {
        self.lock().arbiter.unauthentic()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what has come. The look counts once it is done, so that nobody sends on the word of one under way.
    fn look(&self, inner: &mut Inner, now_ns: u64) -> io::Result<()> {
        let read = inner.read(now_ns);
        self.mark(inner);
        self.looked_ns.store(now_ns, Ordering::Relaxed);
        read
    }

    fn mark(&self, inner: &Inner) {
        for own in inner.arbiter.own() {
            if inner.arbiter.superseded(own.channel).is_some() {
                let (word, bit) = place(own.channel);
                self.silenced[word].fetch_or(bit, Ordering::Relaxed);
            }
        }
    }
}

impl Inner {
    fn read(&mut self, now_ns: u64) -> io::Result<()> {
        let Self { socket, buffers, arbiter, .. } = self;
        for _ in 0..CALLS_PER_LOOK_MAX {
            let received = socket.recv(buffers, |datagram| arbiter.on_datagram(datagram.bytes, now_ns))?;
            if !received.may_have_more {
                break;
            }
        }
        Ok(())
    }

    /// Tells the kernel what to keep.
    fn set_filter(&self) -> io::Result<()> {
        let program = filter(self.watched, self.arbiter.own());
        let description = libc::sock_fprog {
            // A block for each of 127 channels stays below the 4,096 that the kernel takes.
            len: program.len() as libc::c_ushort,
            filter: program.as_ptr().cast_mut(),
        };
        let Some(fd) = self.socket.fd() else { return Ok(()) };
        // SAFETY: the descriptor is open; the kernel copies the description and the `len` instructions behind its pointer,
        // which both outlive the call.
        let result = unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const description).cast(),
                mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Word and bit of a channel.
fn place(channel: u8) -> (usize, u64) {
    (usize::from(channel & 127) / 64, 1 << (channel % 64))
}

/// The program that keeps, of the watched channels, what can matter to our sessions.
///
/// Of a batch that arrives whole (UDP_GRO) it sees the first frame; a batch is of one channel and session.
fn filter<'a>(watched: u128, own: impl Iterator<Item = &'a Own>) -> Vec<libc::sock_filter> {
    let own: Vec<&Own> = own.collect();
    let mut program = load_session();
    program.push(load(9)); // The channel.
    for channel in (0..128_u8).filter(|channel| watched >> channel & 1 == 1) {
        let session = own.iter().find(|own| own.channel == channel);
        let block = block(session.copied());
        program.push(jump(libc::BPF_JEQ, u32::from(channel), 0, block.len() as u8));
        program.extend(block);
    }
    program.push(keep(0));
    program
}

/// What to keep of one channel.
fn block(own: Option<&Own>) -> Vec<libc::sock_filter> {
    let Some(own) = own else { return vec![keep(KEEP)] };
    // A replay or test gives way to any other session, a live one to those above its own.
    let is_foreign = if own.drill {
        jump(libc::BPF_JEQ, own.session, 1, 0)
    } else {
        jump(libc::BPF_JGT, own.session, 0, 1)
    };
    vec![
        load(2), // The type.
        jump(libc::BPF_JGT, u32::from(NAMES_PUBLISHER_MAX), 1, 0),
        keep(KEEP),
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_MEM, 0),
        is_foreign,
        keep(KEEP),
        keep(0),
    ]
}

/// The session, little-endian at 18, into word 0 of the filter's memory.
fn load_session() -> Vec<libc::sock_filter> {
    let mut program = Vec::new();
    for (index, offset) in (18..22).rev().enumerate() {
        program.push(load(offset));
        if index > 0 {
            // What is there so far, one byte up, and this byte below it.
            program.push(code(libc::BPF_MISC | libc::BPF_TAX, 0));
            program.push(code(libc::BPF_LD | libc::BPF_W | libc::BPF_MEM, 0));
            program.push(code(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, 8));
            program.push(code(libc::BPF_ALU | libc::BPF_OR | libc::BPF_X, 0));
        }
        program.push(code(libc::BPF_ST, 0));
    }
    program
}

/// A byte of the frame.
fn load(offset: u32) -> libc::sock_filter {
    code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, UDP_HEADER_BYTES + offset)
}

fn keep(bytes: u32) -> libc::sock_filter {
    code(libc::BPF_RET | libc::BPF_K, bytes)
}

fn code(code: u32, k: u32) -> libc::sock_filter {
    // The codes of classic BPF are 16 bits.
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(test: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { jt, jf, ..code(libc::BPF_JMP | test | libc::BPF_K, k) }
}
