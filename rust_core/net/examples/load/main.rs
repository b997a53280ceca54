//! Load for the benchmarks that need sockets: ready frames through the publisher of the product, counted and timed.
//!
//! `load INTERFACE GROUP SNAPSHOT_GROUP PORT FRAMES COUNT BURST EVERY_NS [NAME=VALUE...]`
//!
//! FRAMES is a file: the number of opening frames as u32, then every frame as u16 length and bytes (little-endian). The
//! opening (a session's start, its definitions, its books) is sent as it is. After a line on standard input COUNT frames
//! follow: those behind the opening, again and again, with numbers that go on, sealed anew. Bursts of BURST frames leave
//! EVERY_NS apart, 0 = at once. A line of JSON says what was sent; after another line on standard input SESSION_END closes
//! the session.
//!
//! | option | |
//! |---|---|
//! | `progress=FILE window=N` | the file's first 8 bytes say how many frames the consumer has taken: no burst begins more than N ahead |
//! | `line_b=GROUP` | every frame leaves by line B, too |
//! | `guard=yes` | listens for other publishers, as the product does |
//! | `repair=GROUP` | keeps every frame and serves those that consumers lost; heartbeats name the server |
//! | `log=DIR` | logs every frame |
//! | `lose=N` | one batch in N does not leave, and is kept like the others |
//!
//! Only the sending is timed (`cpu_ns`: this thread from a ready burst until it has left, and all other threads all the
//! time): the frames of a burst are sealed before it.

mod frames;
mod way_out;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use outcrier_net::clock::mono_ns;
use outcrier_net::{Batch, Plane, PublisherConfig};

use self::frames::{Numbers, read_frames};
use self::way_out::{Parts, WayOut};

/// Between two heartbeats, as the product has it.
const BEAT_EVERY: Duration = Duration::from_millis(100);
/// After the last frame they come sooner: a consumer learns so that it lost that one.
const BEATS_AFTER_NS: [u64; 4] = [1_000_000, 4_000_000, 16_000_000, 64_000_000];
/// Shorter waits are spent in a loop: a sleep would come back too late.
const SLEEP_MIN_NS: u64 = 300_000;
const END_REPEATS: u32 = 5;
const END_EVERY: Duration = Duration::from_millis(20);

fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the call may write to.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// CPU time of this thread in nanoseconds.
fn own_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of all other threads of the process in nanoseconds: whenever they work, it is for what was sent.
fn others_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(own_cpu_ns())
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

/// What the options say.
#[derive(Default)]
struct Options {
    parts: Parts,
    progress: Option<File>,
    window: u64,
}

impl Options {
    fn read(words: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        for word in words {
            let (name, value) = word.split_once('=').ok_or("an option is NAME=VALUE")?;
            let group = || value.parse::<Ipv4Addr>();
            match name {
                "progress" => options.progress = Some(File::open(value)?),
                "window" => options.window = value.parse()?,
                "line_b" => options.parts.line_b = Some(group()?),
                "guard" => options.parts.guard = value == "yes",
                "repair" => options.parts.repair = Some(group()?),
                "lose" => options.parts.lose = Some(value.parse()?),
                "log" => options.parts.log = Some(value.into()),
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        Ok(options)
    }

    fn progress(&mut self) -> Option<Progress> {
        let window = self.window;
        self.progress.take().map(|file| Progress { file, window })
    }
}

/// Heartbeats, where there is a server to be named.
struct Beats<'a> {
    way: &'a WayOut,
    due_ns: u64,
}

impl Beats<'_> {
    fn keep_up(&mut self, numbers: &Numbers) {
        let now_ns = mono_ns();
        if now_ns >= self.due_ns {
            self.say(numbers);
            self.due_ns = now_ns + BEAT_EVERY.as_nanos() as u64;
        }
    }

    fn say(&self, numbers: &Numbers) {
        if let Some((oldest, udp, tcp)) = self.way.server() {
            self.way.say(numbers.beat(oldest, udp, tcp).frame());
        }
    }

    /// Until there is a line on standard input.
    fn wait_for_line(&mut self, numbers: &Numbers) -> io::Result<()> {
        let mut input = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
        let millis = BEAT_EVERY.as_millis() as libc::c_int;
        // SAFETY: `input` is one pollfd that the call may write to.
        while unsafe { libc::poll(&raw mut input, 1, millis) } == 0 {
            self.keep_up(numbers);
        }
        io::stdin().read_exact(&mut [0; 1])
    }
}

/// What was sent, and what it cost.
struct Told {
    sent: u64,
    cpu_ns: u64,
    wall_ns: u64,
    /// When the last frame had left, of the monotonic clock.
    end_ns: u64,
}

/// Sends COUNT frames.
fn run(
    (count, burst, every_ns): (u64, u64, u64),
    cycle: &[Vec<u8>],
    numbers: &mut Numbers,
    beats: &mut Beats<'_>,
    progress: Option<&Progress>,
) -> Result<Told, Box<dyn Error>> {
    let way = beats.way;
    let mut cycle = cycle.iter().cycle();
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    let mut batch = Batch::new();
    let others_ns = others_cpu_ns();
    let (start_ns, mut sent, mut spent_ns, mut due_ns) = (mono_ns(), 0, 0, mono_ns());
    while sent < count {
        sealed.clear();
        for frame in cycle.by_ref().take(usize::try_from(burst.min(count - sent))?) {
            let mut frame = frame.clone();
            numbers.seal(&mut frame);
            sealed.push(frame);
        }
        if let Some(progress) = progress {
            progress.hold(sent)?;
        }
        wait_until(due_ns);
        due_ns += every_ns;
        let before_ns = own_cpu_ns();
        for frame in &sealed {
            batch.add(Plane::Incremental, frame, |full| way.leave(full));
        }
        batch.leave(|rest| way.leave(rest));
        spent_ns += own_cpu_ns() - before_ns;
        sent += sealed.len() as u64;
        beats.keep_up(numbers);
    }
    let end_ns = mono_ns();
    way.settle();
    Ok(Told { sent, cpu_ns: spent_ns + others_cpu_ns() - others_ns, wall_ns: end_ns - start_ns, end_ns })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (wanted, words) =
        arguments.split_at_checked(8).ok_or("see the top of the file for what is needed")?;
    let [interface, group, snapshot_group, port, frames, count, burst, every] = wanted else {
        unreachable!("eight of them");
    };
    let mut options = Options::read(words)?;
    let config = PublisherConfig {
        interface: interface.parse()?,
        group_a: group.parse::<Ipv4Addr>()?,
        line_b: None,
        group_snapshot: snapshot_group.parse()?,
        group_text: None,
        group_repair: None,
        port: port.parse()?,
        ttl: 0,
        reuse_port: false,
    };
    let flow = (count.parse::<u64>()?, burst.parse::<u64>()?, every.parse::<u64>()?);
    let frames = read_frames(frames)?;
    let mut numbers = Numbers::after(&frames.opening)?;
    let way = WayOut::open(&config, &options.parts, numbers.own())?;
    let mut batch = Batch::new();
    for frame in &frames.opening {
        batch.add(Plane::Incremental, frame, |full| way.leave(full));
    }
    batch.leave(|rest| way.leave(rest));
    let mut beats = Beats { way: &way, due_ns: 0 };
    beats.keep_up(&numbers);
    beats.wait_for_line(&numbers)?;
    let told = run(flow, &frames.cycle, &mut numbers, &mut beats, options.progress().as_ref())?;
    let end_ns = mono_ns();
    for after_ns in BEATS_AFTER_NS {
        wait_until(end_ns + after_ns);
        beats.say(&numbers);
    }
    writeln!(
        io::stdout(),
        r#"{{"sent":{},"cpu_ns":{},"wall_ns":{},"end_ns":{},"sends":{},"refused":{}}}"#,
        told.sent,
        told.cpu_ns,
        told.wall_ns,
        told.end_ns,
        way.sends(),
        way.refused()
    )?;
    beats.wait_for_line(&numbers)?;
    for _ in 0..END_REPEATS {
        way.say(numbers.end().frame());
        thread::sleep(END_EVERY);
    }
    writeln!(io::stdout(), r#"{{"sent_again":{}}}"#, way.sent_again())?;
    Ok(())
}
