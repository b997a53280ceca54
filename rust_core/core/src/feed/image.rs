//! An image: the state of instruments cut on request, for one consumer, from the state that numbers the frames.

use std::collections::HashMap;

use super::Feed;
use crate::publish::{About, Cut, Host, ImageFrames};
use crate::wire::{self, NO_RECORDS, SnapWant, flags, msg};

/// An image under way. It is cut group by group, so that whoever cuts it can see to other work in between: each group is of
/// one instant, like those of the snapshot plane, and says how far the channel was.
#[derive(Debug)]
pub struct Image {
    /// Kinds by instrument; `None` = everything.
    wanted: Option<HashMap<u32, u32>>,
    next_index: usize,
    next_seq: u64,
    groups: u32,
    started_ns: u64,
}

impl Image {
    /// An image of what a SNAP_REQUEST wants; nothing = everything. Several wants of one instrument are one.
    #[must_use]
    pub fn of(wants: &[SnapWant], now_ns: u64) -> Self {
        let wanted = (!wants.is_empty()).then(|| {
            let mut kinds = HashMap::with_capacity(wants.len());
            for want in wants {
                *kinds.entry(want.instrument).or_insert(0) |= want.kinds;
            }
            kinds
        });
        Self { wanted, next_index: 0, next_seq: 1, groups: 0, started_ns: now_ns }
    }

    fn kinds(&self, instrument: u32) -> Option<u32> {
        match &self.wanted {
            None => Some(u32::MAX),
            Some(wanted) => wanted.get(&instrument).copied(),
        }
    }
}

impl Feed {
    /// Cuts up to `groups_max` groups of an image, frames numbered from 1 on, and CYCLE_END behind the last; `true`: it is
    /// whole. What the feed does not know or the venue delisted is not in it. A session that has ended cuts nothing more.
    pub fn cut_image(
        &mut self,
        image: &mut Image,
        groups_max: usize,
        host: &mut dyn Host,
        out: &mut dyn FnMut(&[u8]),
    ) -> bool {
        if self.channel.has_ended() {
            return true;
        }
        let now_ns = host.mono_ns();
        let arrival = self.standing(now_ns, host);
        let registry_crc = self.registry_crc();
        let cycle_id = self.cycle.id;
        let Self { instruments, channel, .. } = self;
        let mut groups = 0;
        while let Some(instrument) = instruments.get(image.next_index) {
            if groups == groups_max {
                return false;
            }
            image.next_index += 1;
            let Some(kinds) = image.kinds(instrument.id).filter(|_| instrument.is_listed()) else { continue };
            let next_seq = &mut image.next_seq;
            instrument.cut_group(
                kinds,
                &mut ImageFrames { channel: &mut *channel, host: &mut *host, arrival, next_seq, out },
            );
            groups += 1;
            image.groups += 1;
        }
        let root = wire::CycleEnd {
            cycle_id,
            n_instruments: image.groups,
            first_snap_seq: 1,
            registry_crc,
            cycle_us: u32::try_from(now_ns.saturating_sub(image.started_ns) / 1_000).unwrap_or(u32::MAX),
        };
        let about = About { flags: flags::EVENT_END, ..About::channel() };
        let next_seq = &mut image.next_seq;
        ImageFrames { channel, host, arrival, next_seq, out }.frame(
            msg::CYCLE_END,
            &about,
            &root,
            NO_RECORDS,
        );
        true
    }
}
