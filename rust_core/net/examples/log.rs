//! Frames into a log as fast as the disk takes them, in groups; for `benchmarks/test_log.py`.
//!
//! `log DIR FRAMES COUNT GROUP`
//!
//! FRAMES is a file as `load` reads it. COUNT frames, those behind the opening again and again with numbers that go on, are
//! appended one by one; no group of GROUP frames begins before the one before it was taken by the log thread, so that each
//! write is of about one group. A line of JSON says how long it took until all were on the disk, and what one call of
//! `append` took, clock included: p50, p99, p99.9 in ns. Then the log is read back and every frame compared.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use outcrier_core::wire;
use outcrier_net::clock::{mono_ns, wall_ns};
use outcrier_net::log::{Item, Log, LogConfig, Reader};

const CHANNEL_SEQ: std::ops::Range<usize> = 10..18;
/// How often it is looked whether the log thread took a group: far less than a disk takes.
const LOOK_EVERY: Duration = Duration::from_micros(20);

fn read_cycle(path: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let (opening, mut rest) = bytes.split_first_chunk::<4>().ok_or("no frames")?;
    let mut frames = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(usize::from(u16::from_le_bytes(*length)));
        frames.push(frame.to_vec());
        rest = after;
    }
    let cycle = frames.split_off(usize::try_from(u32::from_le_bytes(*opening))?);
    if cycle.is_empty() { Err("no frames behind the opening".into()) } else { Ok(cycle) }
}

/// The frame of a number, sealed.
fn numbered(cycle: &[Vec<u8>], seq: usize) -> Vec<u8> {
    let mut frame = cycle[(seq - 1) % cycle.len()].clone();
    frame[CHANNEL_SEQ].copy_from_slice(&(seq as u64).to_le_bytes());
    wire::seal(&mut frame, 0, None);
    frame
}

/// Appends all and returns what each call took, in ns.
fn append_all(log: &Log, cycle: &[Vec<u8>], count: usize, group: usize) -> Vec<u64> {
    let mut took = Vec::with_capacity(count);
    let mut seq = 1;
    while seq <= count {
        let until = (seq + group).min(count + 1);
        let frames: Vec<_> = (seq..until).map(|seq| numbered(cycle, seq)).collect();
        while log.counters().queued_bytes > 0 {
            thread::sleep(LOOK_EVERY);
        }
        let wall_ns = wall_ns();
        let mut before_ns = mono_ns();
        for frame in &frames {
            log.append(wall_ns, [frame.as_slice()]);
            let now_ns = mono_ns();
            took.push(now_ns - before_ns);
            before_ns = now_ns;
        }
        seq = until;
    }
    took
}

fn check(dir: &Path, cycle: &[Vec<u8>], count: usize) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::open(dir)?;
    let mut seq = 0;
    while let Some(item) = reader.next()? {
        seq += 1;
        match item {
            Item::Frame { bytes, .. } if bytes == numbered(cycle, seq) => {}
            other => return Err(format!("number {seq} is {other:?}").into()),
        }
    }
    if seq == count { Ok(()) } else { Err(format!("{seq} of {count} frames are in the log").into()) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, frames, count, group] = &words[..] else { return Err("DIR FRAMES COUNT GROUP".into()) };
    let (dir, count, group): (_, usize, usize) = (Path::new(dir), count.parse()?, group.parse()?);
    let cycle = read_cycle(frames)?;
    let bytes: usize = cycle.iter().map(Vec::len).sum();
    let config = LogConfig {
        group_bytes: group * (bytes / cycle.len() + 16),
        sync_interval_ns: 1_000_000_000,
        ..LogConfig::default()
    };
    let log = Log::open(dir, &config)?;
    let begun_ns = mono_ns();
    let mut took = append_all(&log, &cycle, count, group);
    let counters = loop {
        let counters = log.counters();
        if counters.frames as usize == count {
            break counters;
        }
        if counters.dropped > 0 {
            return Err(format!("{counters:?}").into());
        }
        thread::sleep(LOOK_EVERY);
    };
    let all_ns = mono_ns() - begun_ns;
    drop(log);
    check(dir, &cycle, count)?;
    took.sort_unstable();
    let part = |of: usize| took[(count * of / 1_000).min(count - 1)];
    writeln!(
        std::io::stdout(),
        "{{\"frames\":{count},\"bytes\":{},\"ns_frame\":{:.1},\"append_p50\":{},\"append_p99\":{},\"append_p999\":{},\"syncs\":{},\"commit_ns_max\":{}}}",
        counters.bytes,
        all_ns as f64 / count as f64,
        part(500),
        part(990),
        part(999),
        counters.syncs,
        counters.commit_ns_max,
    )?;
    Ok(())
}
