//! Single frames out of the log, for retransmission.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::directory::{Catalog, quarantine, segment_path};
use super::index::POINT_EVERY_BYTES;
use super::queue::Named;
use super::record::{Kind, RECORD_BYTES_MAX};
use super::scan::Cursor;

/// Bytes read for a lookup: the distance between two places that are known, and the record that begins at its end.
const WINDOW_BYTES: usize = POINT_EVERY_BYTES as usize + RECORD_BYTES_MAX;

/// Where a frame is to be found.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: u64,
    seed: u32,
    /// A frame of the channel before it, or the frame.
    offset: u64,
    /// Where the segment ended when it was asked.
    end: u64,
}

/// The segment that was looked into last, and what was found: numbers are mostly asked for in order.
#[derive(Debug)]
struct Last {
    number: u64,
    cursor: Cursor,
    channel: u8,
    session: u32,
    seq: u64,
}

/// Looks frames up that are on the disk; the log thread goes on writing.
#[derive(Debug)]
pub struct Archive {
    dir: PathBuf,
    catalog: Arc<Catalog>,
    last: Option<Last>,
    refused: u64,
    errors: u64,
}

impl Archive {
    pub(crate) fn new(dir: PathBuf, catalog: Arc<Catalog>) -> Self {
        Self { dir, catalog, last: None, refused: 0, errors: 0 }
    }

    /// Segments found damaged by a lookup and put in quarantine.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Lookups that the system did not let finish.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Appends a numbered frame to `out`; whether there was one.
    fn find(&mut self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool {
        let Some(place) = self.place(channel, session, seq) else { return false };
        match self.read(place, channel, session, seq, out) {
            Ok(found) => found,
            Err(error) => {
                self.last = None;
                // Removed by age or size since it was found: as if it had not been there.
                self.errors += u64::from(error.kind() != io::ErrorKind::NotFound);
                false
            }
        }
    }

    fn place(&self, channel: u8, session: u32, seq: u64) -> Option<Place> {
        let segments = self.catalog.lock();
        segments.iter().rev().find_map(|entry| {
            let offset = entry.index.run(channel, session)?.place(seq)?;
            Some(Place { number: entry.number, seed: entry.index.seed, offset, end: entry.index.end })
        })
    }

    fn read(
        &mut self,
        place: Place,
        channel: u8,
        session: u32,
        seq: u64,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut last = match self.last.take().filter(|last| last.number == place.number) {
            Some(last) => last,
            None => {
                let file = File::open(segment_path(&self.dir, place.number))?;
                let cursor = Cursor::at(file, place.seed, place.offset, WINDOW_BYTES);
                Last { number: place.number, cursor, channel, session, seq: u64::MAX }
            }
        };
        let goes_on = (last.channel, last.session) == (channel, session)
            && last.seq < seq
            && last.cursor.offset >= place.offset;
        if !goes_on {
            last.cursor.offset = place.offset;
        }
        // A frame stands within this distance of the place before it, else it would be a place itself.
        let until = place.end.min(place.offset + POINT_EVERY_BYTES);
        while last.cursor.offset < until {
            let stepped = match last.cursor.step()? {
                Some(stepped) => stepped,
                None => {
                    // What was read before the log thread wrote there.
                    last.cursor.forget();
                    let Some(stepped) = last.cursor.step()? else {
                        self.refuse(place.number);
                        return Ok(false);
                    };
                    stepped
                }
            };
            if stepped.kind != Kind::Frame {
                continue;
            }
            let frame = last.cursor.record(&stepped).body;
            let named = Named::of(frame);
            if (named.channel, named.session) == (channel, session) && named.is_numbered() && named.seq >= seq
            {
                let found = named.seq == seq;
                if found {
                    out.extend_from_slice(frame);
                    (last.channel, last.session, last.seq) = (channel, session, seq);
                    self.last = Some(last);
                }
                return Ok(found);
            }
        }
        Ok(false)
    }

    /// What was on the disk is damaged: nothing of the segment is used any more.
    fn refuse(&mut self, number: u64) {
        self.refused += 1;
        let mut segments = self.catalog.lock();
        if segments.back().is_some_and(|live| live.number == number) {
            return; // It is being written; the next opening will see.
        }
        segments.retain(|entry| entry.number != number);
        drop(segments);
        if quarantine(&self.dir, number).is_err() {
            self.errors += 1;
        }
    }
}

impl outcrier_core::retransmit::Archive for Archive {
    fn get(&mut self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool {
        self.find(channel, session, seq, out)
    }

    fn oldest(&mut self, channel: u8, session: u32) -> Option<u64> {
        let segments = self.catalog.lock();
        let mut runs = segments.iter().filter_map(|entry| entry.index.run(channel, session));
        runs.next().map(|run| run.first)
    }
}
