//! Writes what the fuzz targets begin with: real frames of a session that hears a capture, into the folder named. Nothing
//! of it is kept in the repository.

#[path = "../../core/tests/es_orders/mod.rs"]
mod es_orders;
#[path = "../../core/tests/frames/mod.rs"]
mod frames;
#[path = "../../core/tests/shape_support/mod.rs"]
mod shape_support;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use frames::{CHANNEL, SESSION, Sent, session};
use outcrier_core::publish::Plane;
use outcrier_core::wire::{
    self, FrameBuf, HEADER_BYTES, Header, RetxRange, RetxRequest, SnapRequest, SnapWant, flags, msg,
};
use outcrier_fuzz::bodies::{COOKIE, MEND, STORE, keys, put_step};
use outcrier_fuzz::log::{self, put_record};

/// Frames of each type that one target begins with.
const OF_A_TYPE: usize = 20;
/// Frames in one row of datagrams.
const A_ROW: usize = 30;

fn write(folder: &Path, target: &str, number: usize, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("seed-{number}")), bytes)
}

fn request(number: u32, is_signed: bool) -> Vec<u8> {
    let mut buffer = FrameBuf::default();
    let signer = is_signed.then(|| keys().signer(CHANNEL, SESSION));
    let bits = if is_signed { flags::AUTH } else { 0 };
    let header = |msg_type| Header { flags: bits, ..Header::new(msg_type, CHANNEL, SESSION, 2) };
    let key = signer.as_ref().map(|signer| &signer.key);
    if number.is_multiple_of(3) {
        let wants = [SnapWant { instrument: 1, kinds: 15 }];
        let root = SnapRequest { consumer_id: 1, cookie: 0 };
        wire::seal(buffer.build(&header(msg::SNAP_REQUEST), &root, &wants), 0, key);
    } else {
        let ranges = [RetxRange { begin_seq: u64::from(number), n_frames: 5, reserved: 0 }; 3];
        let root = RetxRequest { consumer_id: 1, cookie: 0 };
        wire::seal(buffer.build(&header(msg::RETX_REQUEST), &root, &ranges), 0, key);
    }
    buffer.frame().to_vec()
}

fn rows(folder: &Path, sent: &[Sent], is_signed: bool, base: usize) -> io::Result<()> {
    for (number, frames) in sent.chunks(A_ROW).take(OF_A_TYPE).enumerate() {
        let (mut heard, mut asked) = (Vec::new(), Vec::new());
        for frame in frames {
            put_step(&mut heard, MEND | u8::from(frame.plane == Plane::Snapshot), 4, &frame.bytes);
            put_step(&mut asked, STORE, 0, &frame.bytes);
        }
        put_step(&mut heard, 6, 12, &[]);
        for turn in 0..6 {
            let what = if turn == 0 { 0 } else { COOKIE };
            let first = u32::try_from(number * A_ROW + turn).unwrap_or(0);
            put_step(&mut asked, what, 10, &request(first, is_signed));
        }
        let mut kept = vec![0];
        for frame in frames {
            put_record(&mut kept, log::MEND | 1, 1, &frame.bytes);
        }
        write(folder, "log", base + number, &kept)?;
        write(folder, "receiver", base + number, &heard)?;
        write(folder, "request", base + number, &asked)?;
    }
    Ok(())
}

fn seeds(folder: &Path) -> io::Result<bool> {
    for (base, is_signed, pack) in [(0, false, false), (1_000, true, false), (2_000, true, true)] {
        let signer = is_signed.then(|| keys().signer(CHANNEL, SESSION));
        let Some(sent) = session(signer, pack, 1_500, None) else { return Ok(false) };
        let mut of_type: HashMap<u8, usize> = HashMap::new();
        for (number, frame) in sent.iter().enumerate() {
            let seen = of_type.entry(frame.bytes[2]).or_default();
            *seen += 1;
            if *seen > OF_A_TYPE {
                continue;
            }
            write(folder, "decode", base + number, &frame.bytes)?;
            if frame.bytes[2] == msg::PACK {
                let payload = [&frame.bytes[8..9], &frame.bytes[HEADER_BYTES..]].concat();
                write(folder, "pack", base + number, &payload)?;
            }
        }
        rows(folder, &sent, is_signed, base)?;
    }
    Ok(true)
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: seeds FOLDER");
        return ExitCode::from(2);
    };
    match seeds(Path::new(&folder)) {
        // Where the captures are missing the reason was told, and the targets begin with nothing.
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&folder).display());
            ExitCode::FAILURE
        }
    }
}
