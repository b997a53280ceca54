//! Damaged segments of real frames: the reader never panics, and reads no more than there is. What one run does,
//! cargo-fuzz does too. `OUTCRIER_FUZZ_RUNS` sets how many, of which this test takes one in 200.

#[path = "../../core/tests/es_orders/mod.rs"]
mod es_orders;
#[path = "../../core/tests/frames/mod.rs"]
mod frames;
#[path = "../../fuzz/src/log.rs"]
#[allow(dead_code, unreachable_pub)]
mod log;
#[path = "../../core/tests/mutate/mod.rs"]
mod mutate;
#[path = "../../core/tests/shape_support/mod.rs"]
mod shape_support;

use frames::session;
use mutate::{Rng, damage};

/// Frames in a segment.
const FRAMES: usize = 12;

#[test]
fn no_damage_makes_the_reader_panic() {
    let Some(sent) = session(None, true, 300, None) else { return };
    // In memory where that is to be had: on a disk each run waits for it.
    let memory = std::path::Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("outcrier-log-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let asked = std::env::var("OUTCRIER_FUZZ_RUNS").ok().and_then(|text| text.parse().ok());
    let runs = asked.unwrap_or(1_000_000_u64) / 200;
    let (mut rng, mut whole, mut items) = (Rng::new(1), 0, 0);
    for _ in 0..runs {
        let begin = rng.place(sent.len() - FRAMES);
        let mut bytes = vec![0];
        for frame in &sent[begin..begin + FRAMES] {
            let mut body = frame.bytes.clone();
            let is_damaged = rng.place(6) == 0;
            if is_damaged {
                damage(&mut body, &sent[begin].bytes, 1_500, &mut rng);
            }
            // Kinds of records that a writer writes, and others; a right CRC, and none.
            let kind = if is_damaged { rng.place(8) as u8 } else { 1 };
            let mend = if rng.place(40) == 0 { 0 } else { log::MEND };
            log::put_record(&mut bytes, kind | mend, 1, &body);
        }
        if rng.place(4) == 0 {
            let from = bytes.clone();
            damage(&mut bytes, &from, usize::MAX, &mut rng);
        }
        let found = log::read(&folder, &bytes).unwrap();
        items += found;
        whole += u64::from(found == FRAMES as u64);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(whole > runs / 100 && items > runs, "{whole} whole segments, {items} items of {runs} runs");
}
