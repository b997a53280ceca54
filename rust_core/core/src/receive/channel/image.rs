//! The image of a late joiner: the state of a whole channel at once, by TCP, instead of a cycle's time of waiting.

use std::net::SocketAddrV4;

use super::{Channel, Context, Phase};
use crate::receive::instrument::{Held, included};
use crate::receive::line::{Arrival, Line};
use crate::receive::plane::{Item, SnapshotPlane};
use crate::receive::requester::seal_request;
use crate::receive::sink::Sink;
use crate::receive::state::Reception;
use crate::wire::auth::Keyring;
use crate::wire::{
    AUTH_BYTES, CHANNEL_SNAPSHOT, Frame, FrameBuf, PAYLOAD_MAX, SnapRequest, SnapWant, msg, snap_kinds,
};

/// An image is asked for at most this often on a channel: it costs the publisher as much as a cycle.
pub const IMAGE_EVERY_NS: u64 = 5_000_000_000;
/// With fewer numbers given up the snapshot plane, which the channel's other consumers hear too, is enough.
pub const IMAGE_GIVEN_UP_MIN: u64 = 256;
/// Instruments that one request can name, with a MAC.
const WANTS_MAX: usize = (PAYLOAD_MAX - AUTH_BYTES - size_of::<SnapRequest>()) / size_of::<SnapWant>();
/// Everything that a snapshot plane has of an instrument.
const KINDS: u32 = snap_kinds::L2 | snap_kinds::L3 | snap_kinds::DEFINITION | snap_kinds::DERIV;

/// An image would help a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageWanted {
    /// TCP server to connect to.
    pub to: SocketAddrV4,
    /// Channel number, 1–127.
    pub channel: u8,
    /// SNAP_REQUEST, sealed; on the stream its length goes before it, as before every frame.
    pub request: Vec<u8>,
}

/// The image under way, and what was done about images in this session.
#[derive(Debug, Default)]
pub(super) struct Image {
    asked_ns: Option<u64>,
    /// Numbers of the session given up when it was last asked for.
    given_up: u64,
    plane: Option<SnapshotPlane>,
    /// Its CYCLE_END tells of all instruments.
    whole: bool,
    /// Highest number of the incremental plane that it includes.
    includes: u64,
}

impl Channel {
    /// The image that would help, at most one every [`IMAGE_EVERY_NS`]; `None` if none would.
    pub(in crate::receive) fn image_wanted(
        &mut self,
        is_all: bool,
        is_open: bool,
        keys: Option<&Keyring>,
        consumer_id: u64,
        (id, now_ns): (u64, u64),
    ) -> Option<ImageWanted> {
        let session = &self.session;
        let to = session.image_server?;
        let image = &session.image;
        let is_allowed = image.asked_ns.is_none_or(|at_ns| now_ns.saturating_sub(at_ns) >= IMAGE_EVERY_NS);
        // A session heard from its first number on defines everything by itself.
        let is_joining = session.phase == Phase::Sync && self.shared.gap_number > 0;
        let lost = session.given_up - image.given_up;
        if !is_allowed
            || !self.needs_snapshots
            || self.overlay.is_some()
            || session.numbers.is_none()
            || !(is_joining || lost >= IMAGE_GIVEN_UP_MIN)
        {
            return None;
        }
        let wants = if is_all || is_open { Vec::new() } else { self.image_wants() };
        let given_up = session.given_up;
        let about = self.subject_at(to, self.number | CHANNEL_SNAPSHOT);
        let mut buf = FrameBuf::default();
        let root = SnapRequest { consumer_id, cookie: 0 };
        seal_request(&mut buf, about.request(msg::SNAP_REQUEST, id), keys, &root, &wants);
        self.session.image =
            Image { asked_ns: Some(now_ns), given_up, whole: wants.is_empty(), ..Image::default() };
        Some(ImageWanted { to, channel: self.number, request: buf.frame().to_vec() })
    }

    /// The instruments that are not whole; none where they are too many to be named.
    fn image_wants(&self) -> Vec<SnapWant> {
        let needed = self.tracked.iter().filter(|(instrument, tracked)| {
            self.registry.is_expected(*instrument) && tracked.mirror.reception != Reception::Live
        });
        let wants: Vec<_> = needed.map(|(instrument, _)| SnapWant { instrument, kinds: KINDS }).collect();
        if wants.len() > WANTS_MAX { Vec::new() } else { wants }
    }

    /// A connection stands; its frames are numbered from 1.
    pub(in crate::receive) fn image_started(&mut self) {
        (self.session.image.plane, self.session.image.includes) = (Some(SnapshotPlane::of_image()), 0);
    }

    /// Whether frames of an image are expected.
    pub(in crate::receive) fn is_image_under_way(&self) -> bool {
        self.session.image.plane.is_some()
    }

    /// The connection is gone, whether CYCLE_END came or not.
    pub(in crate::receive) fn image_ended(&mut self) {
        self.session.image.plane = None;
    }

    /// One checked frame of an image of the session heard.
    pub(super) fn on_image<S: Sink>(&mut self, frame: &Frame<'_>, arrival: Arrival, cx: &mut Context<'_, S>) {
        let image = &mut self.session.image;
        let Some(plane) = &mut image.plane else {
            cx.counters.image_unexpected += 1;
            return;
        };
        if plane.next() != Some(frame.header.channel_seq) {
            // A stream loses nothing: this is no image, or not the one that was asked for.
            cx.counters.images_broken += 1;
            image.plane = None;
            return;
        }
        cx.counters.image_frames += 1;
        let mut items = std::mem::take(&mut self.items);
        plane.push(Held::new(frame, arrival.rx_ts, cx.now_ns), cx.now_ns, &mut items);
        let counts = plane.take_counts();
        cx.counters.groups_incomplete += counts.incomplete;
        for item in items.drain(..) {
            match item {
                Item::Group(group) => {
                    let image = &mut self.session.image;
                    image.includes = image.includes.max(included(&group));
                    self.on_group(&group, Line::Image, cx);
                }
                Item::Cycle { root, .. } => {
                    cx.counters.images += 1;
                    let image = &mut self.session.image;
                    image.plane = None;
                    // One that was cut before the loss says nothing of a definition that was lost.
                    let is_proof = image.whole && image.includes >= self.shared.gap_number;
                    if is_proof && self.registry.matches(root.n_instruments, root.registry_crc) {
                        self.all_known(cx);
                    }
                }
            }
        }
        self.items = items;
    }
}
