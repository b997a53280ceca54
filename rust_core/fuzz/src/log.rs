//! The log's reader over segments that nobody wrote like that. Included by the tests of `outcrier-net` too.

use std::io;
use std::path::Path;

use outcrier_net::log::{Item, Reader};

/// Bytes before the first record.
const SEGMENT_HEADER_BYTES: usize = 64;
/// Bit of `what`: the record's CRC is right, which a mutation nearly always breaks.
pub const MEND: u8 = 0x80;

/// Appends a record to what [`segment`] takes: `u8 what ‖ u8 stamp ‖ u16 length ‖ body`; bits 0–2 of `what` are its kind.
pub fn put_record(out: &mut Vec<u8>, what: u8, stamp: u8, body: &[u8]) {
    out.extend([what, stamp]);
    out.extend(u16::try_from(body.len()).unwrap_or(0).to_le_bytes());
    out.extend(body);
}

/// A segment with a right header and the records told; what is left over is its tail.
fn segment(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = b"OCRLOG\r\n".to_vec();
    out.extend(1_u32.to_le_bytes());
    out.extend(64_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.resize(SEGMENT_HEADER_BYTES - 4, 0);
    let seed = crc32c::crc32c(&out);
    out.extend(seed.to_le_bytes());
    while let Some((&[what, stamp, low, high], rest)) = bytes.split_first_chunk() {
        let told = u16::from_le_bytes([low, high]);
        let (body, rest) = rest.split_at(usize::from(told).min(rest.len()));
        bytes = rest;
        let begin = out.len();
        out.extend(told.to_le_bytes());
        out.extend([what & 7, 0, 0, 0, 0, 0]);
        out.extend(i64::from(stamp).to_le_bytes());
        out.extend(body);
        if what & MEND != 0 {
            let place = u32::try_from(begin).unwrap_or(0);
            let crc = crc32c::crc32c_append(seed ^ place, &out[begin..begin + 4]);
            let crc = crc32c::crc32c_append(crc, &out[begin + 8..]);
            out[begin + 4..begin + 8].copy_from_slice(&crc.to_le_bytes());
        }
    }
    out.extend(bytes);
    out
}

/// Reads a log of one segment: made of records if the first byte is even, else with the bytes as they are. Gives the
/// number of frames and holes. `folder` must exist and be of this caller alone.
///
/// # Errors
///
/// If the folder cannot be written.
pub fn read(folder: &Path, bytes: &[u8]) -> io::Result<u64> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(0) };
    let content = if first.is_multiple_of(2) { segment(rest) } else { rest.to_vec() };
    std::fs::write(folder.join("0000000001.log"), &content)?;
    let mut reader = Reader::open(folder).map_err(|error| io::Error::other(error.to_string()))?;
    let (mut items, mut taken) = (0, SEGMENT_HEADER_BYTES);
    while let Some(item) = reader.next().map_err(|error| io::Error::other(error.to_string()))? {
        items += 1;
        taken += 16;
        if let Item::Frame { bytes, .. } = item {
            taken += bytes.len();
        }
        assert!(taken <= content.len(), "more is read than there is");
    }
    assert!(reader.torn_bytes() <= content.len() as u64);
    Ok(items)
}
