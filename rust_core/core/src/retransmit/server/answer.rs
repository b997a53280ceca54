//! What is sent to somebody who may ask.

use super::super::recent::Way;
use super::super::reply::Said;
use super::{Answers, Archive, Asked, Bounds, Frames, Server, SnapWanted, limits};
use crate::wire::{CHANNEL_NUMBER, CHANNEL_SNAPSHOT, Records, RetxRange, SnapWant, retx_code};

/// Memory for one answer, used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Frames behind each other; at most 256 of 1,400 bytes.
    bytes: Vec<u8>,
    /// Where each ends, and whether it goes to the group.
    ends: Vec<(usize, bool)>,
}

/// Numbers asked for that are not there.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    old: u64,
    new: u64,
}

impl Server {
    /// RETX_REQUEST: the reply first, then the frames.
    pub(super) fn answer_frames(
        &mut self,
        asked: &Asked,
        ranges: Records<'_, RetxRange>,
        frames: &dyn Frames,
        mut archive: Option<&mut (dyn Archive + '_)>,
        out: &mut dyn Answers,
    ) {
        let code = |code| Said { code, ..Said::default() };
        if !are_fair(ranges) {
            self.counters.malformed += 1;
            return self.say(asked, code(retx_code::MALFORMED), out);
        }
        let (channel, session) = (asked.header.channel, asked.header.session);
        let Some(bounds) = Bounds::of(channel, session, frames, archive.as_deref_mut()) else {
            self.counters.bad_session += 1;
            return self.say(asked, code(retx_code::BAD_SESSION), out);
        };
        let counter = if ranges.is_empty() { &mut self.counters.probes } else { &mut self.counters.answered };
        *counter += 1;
        let mut missing = Missing::default();
        self.scratch.bytes.clear();
        self.scratch.ends.clear();
        for range in ranges {
            for seq in range.begin_seq..range.begin_seq + u64::from(range.n_frames) {
                self.gather(asked, seq, bounds, frames, archive.as_deref_mut(), &mut missing);
            }
        }
        let code = match missing {
            Missing { old: 0, new: 0 } => retx_code::OK,
            Missing { old: 0, .. } => retx_code::TOO_NEW,
            Missing { .. } => retx_code::TOO_OLD,
        };
        let n_served = self.scratch.ends.len() as u64;
        self.say(asked, Said { code, n_served, bounds: Some(bounds), ..Said::default() }, out);
        self.send_gathered(asked, out);
    }

    /// Decides about one number, and puts its frame with those to be sent.
    fn gather(
        &mut self,
        asked: &Asked,
        seq: u64,
        bounds: Bounds,
        frames: &dyn Frames,
        archive: Option<&mut (dyn Archive + '_)>,
        missing: &mut Missing,
    ) {
        self.counters.frames_asked += 1;
        if bounds.is_too_new(seq) {
            self.counters.frames_too_new += 1;
            missing.new += 1;
            return;
        }
        if bounds.is_too_old(seq) {
            self.counters.frames_too_old += 1;
            missing.old += 1;
            return;
        }
        let (channel, session) = (asked.header.channel, asked.header.session);
        let way = self.recent.ask((channel, session, seq), asked.from, asked.at.mono_ns);
        match way {
            Way::SentBefore => self.counters.frames_sent_before += 1,
            Way::RepairedBefore => self.counters.frames_repaired_before += 1,
            Way::Unicast | Way::Repair => {
                if !frames.append(channel, session, seq, &mut self.scratch.bytes) {
                    let is_there = archive.is_some_and(|archive| {
                        channel & CHANNEL_NUMBER == channel
                            && archive.get(channel, session, seq, &mut self.scratch.bytes)
                    });
                    if !is_there {
                        self.counters.frames_too_old += 1;
                        missing.old += 1;
                        return;
                    }
                    self.counters.frames_archived += 1;
                }
                self.scratch.ends.push((self.scratch.bytes.len(), way == Way::Repair));
            }
        }
    }

    fn send_gathered(&mut self, asked: &Asked, out: &mut dyn Answers) {
        let mut start = 0;
        for &(end, to_group) in &self.scratch.ends {
            let frame = &self.scratch.bytes[start..end];
            if to_group {
                self.counters.frames_repair += 1;
                out.repair(frame);
            } else {
                self.counters.frames_unicast += 1;
                out.unicast(asked.from, frame);
            }
            start = end;
        }
        self.counters.bytes += start as u64;
        self.total.take(start as u64);
    }

    /// SNAP_REQUEST: the instruments are to go to the head of the snapshot cycle.
    pub(super) fn answer_state(
        &mut self,
        asked: &Asked,
        wants: Records<'_, SnapWant>,
        frames: &dyn Frames,
        out: &mut dyn Answers,
    ) {
        let code = |code| Said { code, ..Said::default() };
        if { wants }.any(|want| want.instrument == 0) {
            self.counters.malformed += 1;
            return self.say(asked, code(retx_code::MALFORMED), out);
        }
        let header = asked.header;
        let channel = header.channel_number();
        let snapshot = channel | CHANNEL_SNAPSHOT;
        let bounds = Bounds::of(snapshot, header.session, frames, None);
        if bounds.is_none() {
            self.counters.bad_session += 1;
            return self.say(asked, code(retx_code::BAD_SESSION), out);
        }
        self.counters.snap_answered += 1;
        self.say(asked, Said { bounds, ..code(retx_code::OK) }, out);
        self.counters.snap_wants += wants.len() as u64;
        out.want(&SnapWanted { channel, session: header.session, venue: header.venue, wants });
    }
}

/// Whether the ranges are as few and as short as the limits say, each with a beginning and an end that are numbers.
fn are_fair(ranges: Records<'_, RetxRange>) -> bool {
    let is_range = |range: RetxRange| {
        let end = range.begin_seq.checked_add(u64::from(range.n_frames));
        range.begin_seq > 0 && range.n_frames > 0 && end.is_some()
    };
    ranges.len() <= limits::RANGES
        && { ranges }.all(is_range)
        && ranges.map(|range| u64::from(range.n_frames)).sum::<u64>() <= limits::FRAMES
}
