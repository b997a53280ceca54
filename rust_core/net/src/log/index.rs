//! Which numbers a segment holds and where: kept in memory while it is written, beside it (`NUMBER.index`) when it is
//! whole. It is made from the segment and can be made again, so a damaged or missing one costs a scan and nothing else.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::queue::Named;
use super::record::{self, Kind, Record, u32_at, u64_at};

/// Bytes of a segment between two places of a channel that are remembered: what a lookup reads at most.
pub(crate) const POINT_EVERY_BYTES: u64 = 1 << 16;

const MAGIC: [u8; 8] = *b"OCRIDX\r\n";
const FIXED_BYTES: usize = 48;
const RUN_BYTES: usize = 56;
const POINT_BYTES: usize = 16;
/// Longest index that is read: that of a segment of 4 GiB with 64 Ki runs.
const INDEX_BYTES_MAX: u64 = 16 << 20;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
}

/// The numbered frames of one session of a channel in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) channel: u8,
    pub(crate) session: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) frames: u64,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) points: Vec<Point>,
}

impl Run {
    /// Where to look for a number: from the place on, for [`POINT_EVERY_BYTES`].
    pub(crate) fn place(&self, seq: u64) -> Option<u64> {
        if !(self.first..=self.last).contains(&seq) {
            return None;
        }
        let behind = self.points.partition_point(|point| point.seq <= seq);
        self.points.get(behind.checked_sub(1)?).map(|point| point.offset)
    }
}

/// What a segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    /// CRC of the segment's header.
    pub(crate) seed: u32,
    pub(crate) created_ns: i64,
    /// Stamp of the last record; `created_ns` if there is none.
    pub(crate) last_ns: i64,
    /// Where the records end.
    pub(crate) end: u64,
    pub(crate) runs: Vec<Run>,
}

impl SegmentIndex {
    pub(crate) fn new(header: &record::SegmentHeader) -> Self {
        Self {
            seed: header.seed,
            created_ns: header.created_ns,
            last_ns: header.created_ns,
            end: record::SEGMENT_HEADER_BYTES as u64,
            runs: Vec::new(),
        }
    }

    /// Takes note of a record at an offset; records come in order.
    pub(crate) fn add(&mut self, offset: u64, record: &Record<'_>) {
        self.end = offset + record.len() as u64;
        if record.kind == Kind::Mark {
            return;
        }
        self.last_ns = record.wall_ns;
        if record.kind == Kind::Frame {
            let named = Named::of(record.body);
            if named.is_numbered() {
                self.add_frame(offset, record.wall_ns, named);
            }
        }
    }

    fn add_frame(&mut self, offset: u64, wall_ns: i64, named: Named) {
        let point = Point { seq: named.seq, offset };
        let known = |run: &Run| run.channel == named.channel && run.session == named.session;
        let Some(run) = self.runs.iter_mut().rev().find(|run| known(run)) else {
            self.runs.push(Run {
                channel: named.channel,
                session: named.session,
                first: named.seq,
                last: named.seq,
                frames: 1,
                first_ns: wall_ns,
                last_ns: wall_ns,
                points: vec![point],
            });
            return;
        };
        run.frames += 1;
        run.last_ns = wall_ns;
        if named.seq <= run.last {
            return; // Late in an imported capture: it is in the log and in no lookup.
        }
        run.last = named.seq;
        if run.points.last().is_none_or(|last| offset - last.offset >= POINT_EVERY_BYTES) {
            run.points.push(point);
        }
    }

    pub(crate) fn run(&self, channel: u8, session: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.channel == channel && run.session == session)
    }

    /// Writes it beside its segment. It appears whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let draft = path.with_extension("index.new");
        fs::write(&draft, self.encode())?;
        fs::rename(&draft, path)
    }

    /// The index of a whole segment, if there is a sound one.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        use std::io::Read;
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(INDEX_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Self::decode(&bytes)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        for word in [u64::from(self.seed), self.created_ns.cast_unsigned(), self.last_ns.cast_unsigned()] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&(self.runs.len() as u64).to_le_bytes());
        for run in &self.runs {
            let words = [
                u64::from(run.channel) << 32 | u64::from(run.session),
                run.first,
                run.last,
                run.frames,
                run.first_ns.cast_unsigned(),
                run.last_ns.cast_unsigned(),
                run.points.len() as u64,
            ];
            words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            for point in &run.points {
                out.extend_from_slice(&point.seq.to_le_bytes());
                out.extend_from_slice(&point.offset.to_le_bytes());
            }
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*crc)
            || bytes.len() < FIXED_BYTES
            || bytes[..8] != MAGIC
        {
            return None;
        }
        let mut index = Self {
            seed: u32_at(bytes, 8),
            created_ns: u64_at(bytes, 16).cast_signed(),
            last_ns: u64_at(bytes, 24).cast_signed(),
            end: u64_at(bytes, 32),
            runs: Vec::new(),
        };
        let mut rest = &bytes[FIXED_BYTES..];
        for _ in 0..u64_at(bytes, 40) {
            let (run, after) = rest.split_at_checked(RUN_BYTES)?;
            let count = usize::try_from(u64_at(run, 48)).ok()?;
            let (points, after) = after.split_at_checked(count.checked_mul(POINT_BYTES)?)?;
            rest = after;
            index.runs.push(Run {
                channel: run[4],
                session: u32_at(run, 0),
                first: u64_at(run, 8),
                last: u64_at(run, 16),
                frames: u64_at(run, 24),
                first_ns: u64_at(run, 32).cast_signed(),
                last_ns: u64_at(run, 40).cast_signed(),
                points: points
                    .chunks_exact(POINT_BYTES)
                    .map(|point| Point { seq: u64_at(point, 0), offset: u64_at(point, 8) })
                    .collect(),
            });
        }
        rest.is_empty().then_some(index)
    }
}
