//! The way out of a publisher's feed, as `net` has it: every frame is kept for those who lose it, then leaves.

use std::rc::Rc;

use outcrier_core::publish::{Host, Plane, Repair};
use outcrier_core::retransmit::{Limits, Store};
use outcrier_core::wire::{self, HEADER_BYTES, flags, msg};

/// A frame on its way; copies share the bytes.
pub(crate) type Bytes = Rc<[u8]>;

/// A frame that nobody meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// A book has another checksum, on every line: the publisher's memory is broken. With keys, someone between changed
    /// it and cannot sign.
    Checksum,
    /// Line B says something else than line A.
    LineB,
}

/// What left: the frame that was meant, and what goes by each line.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) plane: Plane,
    pub(crate) meant: Bytes,
    pub(crate) on_a: Bytes,
    pub(crate) on_b: Bytes,
}

#[derive(Debug)]
pub(crate) struct SimHost {
    pub(crate) now_ns: u64,
    /// Wall clock less monotonic clock.
    pub(crate) wall_offset_ns: i64,
    pub(crate) store: Store,
    /// What heartbeats say, but for the oldest number.
    pub(crate) repair: Repair,
    /// What is to be done to the next frame that it can be done to.
    pub(crate) forgery: Option<Forgery>,
    pub(crate) forged: u64,
    pub(crate) out: Vec<Left>,
}

impl SimHost {
    pub(crate) fn new(now_ns: u64, wall_offset_ns: i64, limits: Limits, repair: Repair) -> Self {
        Self {
            now_ns,
            wall_offset_ns,
            store: Store::new(limits),
            repair,
            forgery: None,
            forged: 0,
            out: Vec::new(),
        }
    }
}

impl Host for SimHost {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        let meant: Bytes = frame.into();
        let mut left = Left { plane, meant: meant.clone(), on_a: meant.clone(), on_b: meant.clone() };
        let mut kept = meant;
        if let Some(forged) = self.forgery.and_then(|_| forge(frame)) {
            let is_publishers_own = !wire::check(&forged).is_ok_and(|frame| frame.header.has(flags::AUTH));
            let everywhere = self.forgery.take() == Some(Forgery::Checksum);
            self.forged += 1;
            left.on_b = forged.clone();
            if everywhere {
                left.on_a = forged.clone();
                if is_publishers_own {
                    kept = forged;
                }
            }
        }
        self.store.push(&kept, self.now_ns);
        self.out.push(left);
    }

    fn flush(&mut self) {}

    fn mono_ns(&self) -> u64 {
        self.now_ns
    }

    fn wall_ns(&mut self) -> i64 {
        self.wall_offset_ns + self.now_ns.cast_signed()
    }

    fn clock_error_ns(&mut self) -> u32 {
        0
    }

    fn repair(&mut self, channel: u8, _session: u32) -> Repair {
        Repair { oldest_seq: self.store.oldest(channel), ..self.repair }
    }
}

/// The frame with another checksum of the book, its CRC right and its MAC, if any, as it was.
fn forge(frame: &[u8]) -> Option<Bytes> {
    let header = wire::check(frame).ok()?.header;
    if header.msg_type != msg::BOOK_DELTA || !header.has(flags::EVENT_END) {
        return None;
    }
    let mut forged = frame.to_vec();
    let root = &mut forged[HEADER_BYTES..];
    root[std::mem::offset_of!(wire::BookDelta, checksum_kind)] = wire::checksum_kind::OURS_25;
    root[std::mem::offset_of!(wire::BookDelta, book_checksum)] ^= 0x5A;
    let crc_at = std::mem::offset_of!(wire::Header, crc32c);
    let end = HEADER_BYTES + usize::from(header.payload_len);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&forged[..crc_at]), &forged[HEADER_BYTES..end]);
    forged[crc_at..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    Some(forged.into())
}
