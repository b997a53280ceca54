//! Load for the benchmarks that need sockets: ready frames through the publisher of the product, counted and timed.
//!
//! `load INTERFACE GROUP SNAPSHOT_GROUP PORT FRAMES COUNT BURST EVERY_NS [PROGRESS WINDOW]`
//!
//! FRAMES is a file: the number of opening frames as u32, then every frame as u16 length and bytes (little-endian). The
//! opening (a session's start, its definitions, its books) is sent as it is. After a line on standard input COUNT frames
//! follow: those behind the opening, again and again, with numbers that go on, sealed anew. Bursts of BURST frames leave
//! EVERY_NS apart, 0 = at once. PROGRESS is a file whose first 8 bytes say how many frames the consumer has taken: with it
//! no burst begins more than WINDOW frames ahead. A line of JSON says what was sent; after another line on standard input
//! SESSION_END closes the session.
//!
//! Only the sending is timed (`cpu_ns`, of all threads): the frames of a burst are sealed before it.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use outcrier_core::wire::{self, CHANNEL_NUMBER, FrameBuf, Header, NO_RECORDS, digest, msg};
use outcrier_net::clock::mono_ns;
use outcrier_net::{Batch, Plane, PublisherConfig, UdpPublisher};
use zerocopy::FromBytes;

/// Where a frame has its numbers.
const CHANNEL_SEQ: std::ops::Range<usize> = 10..18;
const INSTR_SEQ: std::ops::Range<usize> = 30..34;
/// Shorter waits are spent in a loop: a sleep would come back too late.
const SLEEP_MIN_NS: u64 = 300_000;
const END_REPEATS: u32 = 5;
const END_EVERY: Duration = Duration::from_millis(20);

struct Frames {
    opening: Vec<Vec<u8>>,
    cycle: Vec<Vec<u8>>,
}

fn read_frames(path: &str) -> Result<Frames, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (count, mut rest) = bytes.split_first_chunk::<4>().ok_or("no frames")?;
    let mut opening = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(usize::from(u16::from_le_bytes(*length)));
        opening.push(frame.to_vec());
        rest = after;
    }
    let mut cycle = opening.split_off(usize::try_from(u32::from_le_bytes(*count))?);
    for frame in &mut cycle {
        wire::seal(frame, 0, None);
    }
    for frame in opening.iter().chain(&cycle) {
        wire::check(frame).map_err(|refusal| format!("a frame of {} bytes: {refusal:?}", frame.len()))?;
    }
    if opening.is_empty() || cycle.is_empty() {
        return Err("an opening and frames behind it are needed".into());
    }
    Ok(Frames { opening, cycle })
}

/// Numbers of the session as they go on.
struct Numbers {
    channel_seq: u64,
    instr_seq: u32,
    chain64: u64,
    session: Header,
}

impl Numbers {
    /// As they are after the opening, whose frames are of one instrument.
    fn after(opening: &[Vec<u8>]) -> Result<Self, Box<dyn Error>> {
        let header =
            |frame: &[u8]| Header::read_from_prefix(frame).map(|(header, _)| header).map_err(|_| "no header");
        let session = header(&opening[0])?;
        let mut numbers =
            Self { channel_seq: 0, instr_seq: 0, chain64: digest::chain64_start(session.session), session };
        for frame in opening {
            let header = header(frame)?;
            if wire::is_numbered(header.msg_type) && header.channel <= CHANNEL_NUMBER {
                numbers.channel_seq = header.channel_seq;
                numbers.instr_seq = numbers.instr_seq.max(header.instr_seq);
                numbers.chain64 = digest::chain64(numbers.chain64, numbers.channel_seq, header.crc32c);
            }
        }
        Ok(numbers)
    }

    /// Gives a frame the next numbers and seals it.
    fn seal(&mut self, frame: &mut [u8]) {
        self.channel_seq += 1;
        self.instr_seq = self.instr_seq.wrapping_add(1);
        frame[CHANNEL_SEQ].copy_from_slice(&self.channel_seq.to_le_bytes());
        frame[INSTR_SEQ].copy_from_slice(&self.instr_seq.to_le_bytes());
        let crc = wire::seal(frame, 0, None);
        self.chain64 = digest::chain64(self.chain64, self.channel_seq, crc);
    }

    fn end(&self) -> FrameBuf {
        let header = Header {
            flags: self.session.flags,
            channel_seq: self.channel_seq + 1,
            ..Header::new(msg::SESSION_END, self.session.channel, self.session.session, self.session.venue)
        };
        let root = wire::SessionEnd { last_seq: self.channel_seq, chain64: self.chain64, ..wire::zeroed() };
        let mut frame = FrameBuf::default();
        wire::seal(frame.build(&header, &root, NO_RECORDS), 0, None);
        frame
    }
}

/// CPU time of the process, all threads, in nanoseconds.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the call may write to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

fn wait_until(due_ns: u64) {
    loop {
        let left = due_ns.saturating_sub(mono_ns());
        if left == 0 {
            return;
        }
        if left > SLEEP_MIN_NS {
            thread::sleep(Duration::from_nanos(left - SLEEP_MIN_NS / 3));
        } else {
            std::hint::spin_loop();
        }
    }
}

/// How far the consumer is.
struct Progress {
    file: File,
    window: u64,
}

impl Progress {
    fn hold(&self, sent: u64) -> io::Result<()> {
        let mut taken = [0; 8];
        loop {
            self.file.read_exact_at(&mut taken, 0)?;
            if sent < u64::from_le_bytes(taken) + self.window {
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (wanted, flow) = arguments.split_at_checked(8).ok_or("see the top of the file for what is needed")?;
    let [interface, group, snapshot_group, port, frames, count, burst, every] = wanted else {
        unreachable!("eight of them");
    };
    let progress = match flow {
        [] => None,
        [path, window] => Some(Progress { file: File::open(path)?, window: window.parse()? }),
        _ => return Err("PROGRESS and WINDOW go together".into()),
    };
    let config = PublisherConfig {
        interface: interface.parse()?,
        group_a: group.parse::<Ipv4Addr>()?,
        line_b: None,
        group_snapshot: snapshot_group.parse()?,
        group_text: None,
        group_repair: None,
        port: port.parse()?,
        ttl: 0,
    };
    let (count, burst, every_ns) = (count.parse::<u64>()?, burst.parse::<u64>()?, every.parse::<u64>()?);
    let frames = read_frames(frames)?;
    let mut numbers = Numbers::after(&frames.opening)?;
    let publisher = UdpPublisher::open(&config)?;
    for frame in &frames.opening {
        publisher.send(Plane::Incremental, frame);
    }
    let mut line = [0; 1];
    io::stdin().read_exact(&mut line)?;

    let mut cycle = frames.cycle.iter().cycle();
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    let mut batch = Batch::new();
    let (start_ns, mut sent, mut spent_ns, mut due_ns) = (mono_ns(), 0, 0, mono_ns());
    while sent < count {
        sealed.clear();
        for frame in cycle.by_ref().take(usize::try_from(burst.min(count - sent))?) {
            let mut frame = frame.clone();
            numbers.seal(&mut frame);
            sealed.push(frame);
        }
        if let Some(progress) = &progress {
            progress.hold(sent)?;
        }
        wait_until(due_ns);
        due_ns += every_ns;
        let before_ns = cpu_ns();
        for frame in &sealed {
            batch.add(Plane::Incremental, frame, |full| publisher.send_batch(full));
        }
        batch.leave(|rest| publisher.send_batch(rest));
        spent_ns += cpu_ns() - before_ns;
        sent += sealed.len() as u64;
    }
    let wall_ns = mono_ns() - start_ns;
    let sums = publisher.counters();
    let lost = sums.would_block + sums.oversize + sums.errors();
    writeln!(
        io::stdout(),
        r#"{{"sent":{sent},"cpu_ns":{spent_ns},"wall_ns":{wall_ns},"sends":{},"refused":{lost}}}"#,
        sums.sends
    )?;
    io::stdin().read_exact(&mut line)?;
    for _ in 0..END_REPEATS {
        publisher.send(Plane::Incremental, numbers.end().frame());
        thread::sleep(END_EVERY);
    }
    Ok(())
}
