//! What consumers ask of a feed through the server's mailbox, and its answers.

use std::collections::VecDeque;
use std::sync::Arc;

use outcrier_core::feed::{Feed, GROUPS_PER_TICK_MAX, Image};
use outcrier_core::publish::Host;
use outcrier_net::retransmit::{Shared, Units, Want};

/// Images that wait for each other at one feed: a second of cutting at most. Who comes later is turned away and asks again.
const IMAGES_MAX: usize = 16;

/// Images under way, the first of which is being cut.
#[derive(Default)]
pub(crate) struct Wishes {
    images: VecDeque<Cutting>,
    /// Wishes for another session or venue, and images turned away.
    refused: u64,
}

struct Cutting {
    id: u64,
    image: Image,
    /// `None` once it has become longer than an image may be.
    units: Option<Units>,
}

impl Wishes {
    /// Whether images wait to be cut further.
    pub(crate) fn are_waiting(&self) -> bool {
        !self.images.is_empty()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes what came, and cuts some groups of the first image.
    pub(crate) fn serve(&mut self, mailbox: &Arc<Shared>, feed: &mut Feed, host: &mut dyn Host) {
        let info = feed.info();
        let (channel, ours) = (info.channel, (info.session, info.venue));
        for want in mailbox.take_wants(channel) {
            match want {
                Want::Head { session, venue, wants } if (session, venue) == ours => {
                    let instruments: Vec<u32> = wants.iter().map(|want| want.instrument).collect();
                    feed.move_to_head(&instruments, host.mono_ns());
                }
                Want::Image { id, session, venue, wants }
                    if (session, venue) == ours && self.images.len() < IMAGES_MAX =>
                {
                    let image = Image::of(&wants, host.mono_ns());
                    self.images.push_back(Cutting { id, image, units: Some(Units::default()) });
                }
                Want::Head { .. } => self.refused += 1,
                Want::Image { id, .. } => {
                    self.refused += 1;
                    mailbox.answer_image(id, None);
                }
            }
        }
        self.cut(mailbox, feed, host);
    }

    fn cut(&mut self, mailbox: &Arc<Shared>, feed: &mut Feed, host: &mut dyn Host) {
        let Some(Cutting { image, units, .. }) = self.images.front_mut() else { return };
        let has_ended = feed.has_ended();
        let is_whole = feed.cut_image(image, GROUPS_PER_TICK_MAX, host, &mut |frame| {
            if units.as_mut().is_some_and(|units| !units.push(frame)) {
                *units = None;
            }
        });
        if is_whole && let Some(done) = self.images.pop_front() {
            mailbox.answer_image(done.id, done.units.filter(|_| !has_ended));
        }
    }
}
