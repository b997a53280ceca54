//! Frames of a capture, directories of their own, and what a log gives back.

#[path = "../../../core/tests/shape_support/mod.rs"]
mod shape_support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use outcrier_core::feed::Feed;
use outcrier_core::publish::{Arrival, Host, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef, text_field};
use outcrier_net::log::{Hole, Item, Log, LogConfig, Reader};
use shape_support::{captures, lines};

pub(crate) const SESSION: u32 = 90_000_001;
/// Frames of the capture that are taken: more than a small queue holds several times.
const FRAMES: usize = 1_600;
/// Stamp of the first frame of a test.
pub(crate) const WALL_NS: i64 = 1_700_000_000_000_000_000;

#[derive(Default)]
struct Kept {
    frames: Vec<Vec<u8>>,
    now_ns: u64,
}

impl Host for Kept {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        if plane == Plane::Incremental {
            self.frames.push(frame.to_vec());
        }
    }
    fn flush(&mut self) {}
    fn mono_ns(&self) -> u64 {
        self.now_ns
    }
    fn wall_ns(&mut self) -> i64 {
        WALL_NS + self.now_ns.cast_signed()
    }
    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

/// Numbered frames that the feed makes of a capture of four books, channel 1; empty where there are no captures.
pub(crate) fn frames() -> &'static [Vec<u8>] {
    static FRAMES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FRAMES.get_or_init(|| captures().map(|folder| made(&folder)).unwrap_or_default())
}

fn made(folder: &Path) -> Vec<Vec<u8>> {
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/shapes/binance_coinm.json");
    let shapes = std::fs::read_to_string(shapes).unwrap();
    let info = SessionInfo {
        venue: 1,
        channel: 1,
        session: SESSION,
        publisher_id: 1,
        prev_session: 0,
        reason: 1,
        opening: outcrier_core::publish::Opening::default(),
        replay: false,
        test: true,
        pack: false,
        build: String::new(),
        signer: None,
    };
    let mut host = Kept::default();
    let arrival =
        |host: &Kept| Arrival { recv_ts: WALL_NS + host.now_ns.cast_signed(), mono_ns: host.now_ns };
    let now = arrival(&host);
    let mut feed = Feed::start(info, Decoder::compile(&shapes).unwrap(), &mut host, now).unwrap();
    let mut symbols = HashMap::new();
    for line in lines(&folder.join("binance_coinm/coinm_2021-07-22.jsonl.gz")) {
        host.now_ns += 1_000;
        let now = arrival(&host);
        let is_book = line.kind == "http" && line.message.windows(12).any(|part| part == b"lastUpdateId");
        if !is_book && line.kind != "recv" {
            continue;
        }
        let message: serde_json::Value = serde_json::from_slice(&line.message).unwrap();
        let named = message.get("data").unwrap_or(&message)["s"].as_str().map(str::to_owned);
        let in_url = line.url.split("symbol=").nth(1).and_then(|rest| rest.split('&').next());
        let Some(symbol) = named.or_else(|| in_url.map(str::to_owned)) else { continue };
        let next = u32::try_from(symbols.len()).unwrap() + 1;
        let index = *symbols.entry(symbol).or_insert_with_key(|symbol| {
            let definition = InstrumentDef {
                def_version: 1,
                kind: 1,
                status: 1,
                native_symbol: text_field(symbol),
                symbol: text_field(symbol),
                ..wire::zeroed()
            };
            feed.add_instrument(next, symbol, &definition, true, &mut host, now).unwrap()
        });
        if is_book {
            feed.on_snapshot(index, &line.message, &mut host, now);
        } else {
            feed.on_frame(1, &line.message, &mut host, now);
        }
        feed.take_notices();
    }
    let numbered = |frame: &Vec<u8>| wire::is_numbered(frame[2]);
    let frames: Vec<_> = host.frames.into_iter().filter(numbered).take(FRAMES).collect();
    assert_eq!(frames.len(), FRAMES, "{} frames of the capture", frames.len());
    frames
}

/// A frame as another channel, session and number would have it.
pub(crate) fn renumbered(frame: &[u8], channel: u8, session: u32, seq: u64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[9] = channel;
    frame[10..18].copy_from_slice(&seq.to_le_bytes());
    frame[18..22].copy_from_slice(&session.to_le_bytes());
    wire::seal(&mut frame, 0, None);
    frame
}

/// A directory that goes with the test.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("outcrier-log-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // In memory where that is: thousands of openings wait for the disk.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Paths of a kind of file, sorted.
    pub(crate) fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        paths.sort();
        paths
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a reader gives, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Frame(i64, Vec<u8>),
    Hole(Hole),
}

/// Everything in a log, and the segments that it refused.
pub(crate) fn read(dir: &Path) -> (Vec<Got>, usize) {
    let mut reader = Reader::open(dir).unwrap();
    let mut got = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        got.push(match item {
            Item::Frame { wall_ns, bytes, channel, session, seq, .. } => {
                assert_eq!(
                    (channel, session),
                    (bytes[9], u32::from_le_bytes(bytes[18..22].try_into().unwrap()))
                );
                assert_eq!(seq, u64::from_le_bytes(bytes[10..18].try_into().unwrap()));
                Got::Frame(wall_ns, bytes.to_vec())
            }
            Item::Hole { hole, .. } => Got::Hole(hole),
        });
    }
    let refused = reader.refused().len();
    (got, refused)
}

/// The frames in a log, which has no hole and no damage.
pub(crate) fn read_frames(dir: &Path) -> Vec<Vec<u8>> {
    let (got, refused) = read(dir);
    assert_eq!(refused, 0);
    got.into_iter()
        .map(|got| match got {
            Got::Frame(_, frame) => frame,
            Got::Hole(hole) => panic!("{hole:?}"),
        })
        .collect()
}

/// Small limits: groups as they come, segments as a test wants them, and nothing is too old: the frames are of 2023.
pub(crate) fn config(segment_bytes: u64) -> LogConfig {
    LogConfig { segment_bytes, sync_interval_ns: 1_000_000, retain_age_ns: 0, ..LogConfig::default() }
}

/// Frames into a log, which is closed.
pub(crate) fn write(dir: &Path, config: &LogConfig, frames: &[Vec<u8>]) {
    let log = Log::open(dir, config).unwrap();
    append(&log, frames);
}

pub(crate) fn append(log: &Log, frames: &[Vec<u8>]) {
    log.append(WALL_NS, frames.iter().map(Vec::as_slice));
}

/// Waits until the log says so.
pub(crate) fn wait_for(log: &Log, what: impl Fn(&outcrier_net::log::LogCounters) -> bool) {
    for _ in 0..20_000 {
        if what(&log.counters()) {
            return;
        }
        std::thread::yield_now();
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    panic!("{:?}: {:?}", log.counters(), log.last_error());
}

/// The same frames, said by their number if they are not.
pub(crate) fn assert_same(got: &[Vec<u8>], want: &[Vec<u8>], what: &str) {
    let differs = got.iter().zip(want).position(|(got, want)| got != want);
    assert_eq!((got.len(), differs), (want.len(), None), "{what}");
}
