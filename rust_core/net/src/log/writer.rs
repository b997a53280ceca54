//! Groups of records into segments: rotation, group commit, retention. Runs in the log thread, or in an import.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{self, Catalog, Entry, index_path, segment_path};
use super::index::SegmentIndex;
use super::record::{self, RECORD_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::storage::{SegmentFile, Storage, sync_dir};
use super::{LogConfig, LogCounters};

/// The segment that is being written.
#[derive(Debug)]
struct Live {
    number: u64,
    seed: u32,
    file: Box<dyn SegmentFile>,
    /// Where the next record goes.
    offset: u64,
    /// Up to where it is on the disk.
    synced_to: u64,
}

/// Records to the disk.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    segment_bytes: u64,
    retain_bytes: u64,
    retain_age_ns: u64,
    storage: Box<dyn Storage>,
    catalog: Arc<Catalog>,
    next_number: u64,
    live: Option<Live>,
    mark: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(
        dir: PathBuf,
        config: &LogConfig,
        storage: Box<dyn Storage>,
        catalog: Arc<Catalog>,
        next_number: u64,
    ) -> Self {
        Self {
            dir,
            segment_bytes: config.segment_bytes,
            retain_bytes: config.retain_bytes,
            retain_age_ns: config.retain_age_ns,
            storage,
            catalog,
            next_number,
            live: None,
            mark: Vec::with_capacity(record::MARK_BYTES),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Brings laid records to the disk, those from `done` on, which is advanced over what is there. After an error it is
    /// called again with the same group.
    pub(crate) fn commit(
        &mut self,
        group: &mut [u8],
        done: &mut usize,
        counters: &mut LogCounters,
    ) -> io::Result<()> {
        while *done < group.len() {
            let first = record::laid_len(&group[*done..]) as u64;
            if self.live.as_ref().is_some_and(|live| live.offset + first > self.segment_bytes) {
                self.end_segment();
            }
            if self.live.is_none() {
                self.begin_segment(record::laid(&group[*done..]).wall_ns)?;
            }
            *done += self.write_chunk(&mut group[*done..], counters)?;
        }
        Ok(())
    }

    /// Writes as many records as the segment holds, at least one, and waits until they are on the disk.
    fn write_chunk(&mut self, records: &mut [u8], counters: &mut LogCounters) -> io::Result<usize> {
        let Some(live) = &mut self.live else { unreachable!("a segment was begun") };
        let mut len = 0;
        while len < records.len() {
            let next = record::laid_len(&records[len..]);
            if len > 0 && live.offset + (len + next) as u64 > self.segment_bytes {
                break;
            }
            record::seal(&mut records[len..len + next], live.seed, live.offset + len as u64);
            len += next;
        }
        write_all(&mut *live.file, &records[..len], live.offset)?;
        counters.writes += 1;
        if let Err(error) = live.file.sync() {
            counters.sync_errors += 1;
            self.abandon();
            return Err(error);
        }
        counters.syncs += 1;
        let from = live.offset;
        live.offset += len as u64;
        live.synced_to = live.offset;
        self.note(&records[..len], from, counters);
        self.push_mark();
        Ok(len)
    }

    /// Has lookups find what is now on the disk.
    fn note(&self, records: &[u8], from: u64, counters: &mut LogCounters) {
        let mut segments = self.catalog.lock();
        let Some(Entry { index, .. }) = segments.back_mut() else { unreachable!("the live segment is last") };
        let mut at = 0;
        while at < records.len() {
            let record = record::laid(&records[at..]);
            index.add(from + at as u64, &record);
            at += record.len();
            match record.kind {
                record::Kind::Frame => {
                    counters.frames += 1;
                    counters.bytes += record.body.len() as u64;
                }
                record::Kind::Hole => counters.holes += 1,
                record::Kind::Mark => {}
            }
        }
    }

    /// Says in the segment itself what is on the disk. It is not waited for: without it the last group counts as torn if
    /// it is damaged, with it as corrupt.
    fn push_mark(&mut self) {
        let Some(live) = &mut self.live else { return };
        // Not held while the disk is written to: the server asks the catalogue, and must not wait for it.
        let Some(last_ns) = self.catalog.lock().back().map(|entry| entry.index.last_ns) else { return };
        self.mark.clear();
        record::push_mark(&mut self.mark, last_ns, live.synced_to);
        record::seal(&mut self.mark, live.seed, live.offset);
        if write_all(&mut *live.file, &self.mark, live.offset).is_ok() {
            if let Some(entry) = self.catalog.lock().back_mut() {
                entry.index.add(live.offset, &record::laid(&self.mark));
            }
            live.offset += self.mark.len() as u64;
        } // Else what was written of it is overwritten by the next group.
    }

    fn begin_segment(&mut self, wall_ns: i64) -> io::Result<()> {
        let number = self.next_number;
        self.next_number += 1; // Also after an error: a file that could not be removed keeps its number.
        let path = segment_path(&self.dir, number);
        let (bytes, header) = SegmentHeader::encode(number, wall_ns);
        let mut file = self.storage.create(&path)?;
        // Where the file system cannot or the disk has no such space left, the segment grows as it is written.
        let _ = file.preallocate(self.segment_bytes);
        if let Err(error) = write_all(&mut *file, &bytes, 0).and_then(|()| file.sync()) {
            drop(file);
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        self.catalog.lock().push_back(Entry { number, index: SegmentIndex::new(&header) });
        let offset = SEGMENT_HEADER_BYTES as u64;
        self.live = Some(Live { number, seed: header.seed, file, offset, synced_to: offset });
        Ok(())
    }

    /// Ends the live segment where its records end, and writes its index. Errors leave a file that the next opening scans.
    pub(crate) fn end_segment(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        if live.offset == SEGMENT_HEADER_BYTES as u64 {
            self.catalog.lock().pop_back();
            let _ = directory::remove(&self.dir, live.number);
        } else if live.file.truncate(live.offset).is_ok() {
            let index = self.catalog.lock().back().map(|entry| entry.index.clone());
            if let Some(index) = index {
                let _ = index.write(&index_path(&self.dir, live.number));
            }
        }
    }

    /// Gives a segment up of which the system lost an unknown part of the last write: it ends where it was known to be
    /// on the disk, and that write is done again in the next segment.
    fn abandon(&mut self) {
        if let Some(live) = &mut self.live {
            live.offset = live.synced_to;
            if let Some(entry) = self.catalog.lock().back_mut() {
                entry.index.end = live.synced_to;
            }
        }
        self.end_segment();
    }

    /// Removes the oldest segments while there are too many bytes, and those that are too old; never the live one.
    pub(crate) fn retain(&mut self, wall_ns: i64, counters: &mut LogCounters) -> io::Result<()> {
        let live = self.live.as_ref().map(|live| live.number);
        let mut removed = false;
        loop {
            let oldest = {
                let segments = self.catalog.lock();
                let bytes: u64 = segments.iter().map(|entry| entry.index.end).sum();
                counters.kept_segments = segments.len() as u64;
                counters.kept_bytes = bytes;
                let Some(entry) = segments.front().filter(|entry| Some(entry.number) != live) else { break };
                let age_ns = u64::try_from(wall_ns.saturating_sub(entry.index.last_ns)).unwrap_or(0);
                let is_much = self.retain_bytes > 0 && bytes > self.retain_bytes;
                let is_old = self.retain_age_ns > 0 && age_ns > self.retain_age_ns;
                if !is_much && !is_old {
                    break;
                }
                entry.number
            };
            match directory::remove(&self.dir, oldest) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.catalog.lock().retain(|entry| entry.number != oldest);
            counters.removed_segments += 1;
            removed = true;
        }
        if removed { sync_dir(&self.dir) } else { Ok(()) }
    }
}

fn write_all(file: &mut dyn SegmentFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Least room for a record behind a segment's header.
pub(crate) const SEGMENT_BYTES_LEAST: u64 = (SEGMENT_HEADER_BYTES + RECORD_BYTES_MAX) as u64;
