//! What a receiver counts. Nothing is lost silently: whatever is dropped has a counter here.

use super::line::Line;
use crate::wire::Refusal;

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Sums since the receiver was made. Those whose text begins with "Alarm" mean that something is wrong that no
        /// network explains.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$meta])* pub $name: u64,)*
            /// Frames by the line they came on, [`Line`].
            pub line_frames: [u64; Line::ALL.len()],
            /// Of those, numbers that came there for the first time: its share of the arbitration.
            pub line_won: [u64; Line::ALL.len()],
            /// Datagrams that are no frame of ours, by [`Refusal`].
            pub refused: [u64; Refusal::ALL.len()],
        }

        impl Counters {
            /// Name and value of every counter, refusals last.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                let mut all = vec![$((stringify!($name), self.$name)),*];
                all.extend(LINE_FRAMES.into_iter().zip(self.line_frames));
                all.extend(LINE_WON.into_iter().zip(self.line_won));
                all.extend(REFUSED.into_iter().zip(self.refused));
                all
            }
        }
    };
}

/// Names of the counts of frames by line, in the order of [`Line::ALL`].
const LINE_FRAMES: [&str; Line::ALL.len()] = [
    "frames_line_a",
    "frames_line_snapshot",
    "frames_line_b",
    "frames_line_repair",
    "frames_line_retransmit",
    "frames_line_image",
];

/// Names of the counts of numbers won by line, in the order of [`Line::ALL`].
const LINE_WON: [&str; Line::ALL.len()] = [
    "won_line_a",
    "won_line_snapshot",
    "won_line_b",
    "won_line_repair",
    "won_line_retransmit",
    "won_line_image",
];

/// Names of the refusals as counters, in the order of [`Refusal::ALL`].
const REFUSED: [&str; Refusal::ALL.len()] = [
    "refused_too_short",
    "refused_too_long",
    "refused_sync",
    "refused_length",
    "refused_records",
    "refused_pack",
    "refused_critical_flags",
    "refused_channel",
    "refused_crc",
];

counters! {
    /// Datagrams handed in.
    datagrams,
    /// Their bytes.
    bytes,
    /// Frames without a MAC although a key is configured.
    mac_missing,
    /// Frames whose MAC is that of no key configured: forged, or the keys differ.
    mac_wrong,
    /// Of those, heartbeats that name a key generation which is not configured. Unproved; a hint.
    key_unknown,
    /// Windows of frames that a signed manifest proved.
    manifest_ok,
    /// Alarm: windows in which a frame was taken that the publisher did not sign for.
    manifest_bad,
    /// Windows about which nothing can be said: frames or a manifest are missing, or the publisher did not sign.
    manifest_unverifiable,
    /// Frames with REPLAY that nobody asked for.
    dropped_replay,
    /// Frames with TEST that nobody asked for.
    dropped_test,
    /// Frames that came on the socket of the other plane.
    wrong_plane,
    /// Frames of an older session.
    old_session,
    /// Alarm: frames of a higher session while the current one lives.
    split_brain,
    /// Times a new session took over, the first of a channel included.
    sessions,
    /// Alarm: a second publisher id in one session.
    second_publisher,
    /// Alarm: another frame under a number already seen.
    different_bytes,
    /// Frames dropped because two publishers speak in their session.
    split_dropped,
    /// Numbered frames taken for the first time, incremental plane.
    frames,
    /// Of those, PACK frames.
    packs,
    /// Messages that came in them.
    packed_messages,
    /// Heartbeats.
    heartbeats,
    /// Heartbeats that are no newer than the last: copies.
    heartbeats_old,
    /// SESSION_END frames.
    session_ends,
    /// Numbers seen before.
    duplicates,
    /// Of those, copies of a frame that came first on another line: what two lines are expected to bring.
    copies,
    /// Requests for missing frames made.
    requests,
    /// Numbers asked for in them, each time again.
    requested,
    /// Times a number was due to be asked for and was not: our budget was used up, or the server said wait.
    requests_deferred,
    /// Replies of retransmit servers to requests of ours.
    replies,
    /// Replies to no request of ours, or to one that is answered.
    replies_unmatched,
    /// Of the replies: ask again with the cookie.
    replies_need_cookie,
    /// Of the replies: the numbers are not kept any more.
    replies_too_old,
    /// Of the replies: the numbers do not exist yet.
    replies_too_new,
    /// Of the replies: we ask too often.
    replies_rate_limited,
    /// Of the replies: the server serves another session.
    replies_bad_session,
    /// Of the replies: the MAC of the request differs.
    replies_bad_mac,
    /// Of the replies: the request breaks a rule, or the code is of a later version.
    replies_malformed,
    /// Frames of the snapshot plane sent again that we do not miss.
    repair_unneeded,
    /// Frames on the repair group, a retransmission or an image that are not of the session heard, or have no number.
    repair_foreign,
    /// Frames too far behind to know whether they were seen.
    too_old,
    /// Times numbers were found missing.
    gaps,
    /// Numbers found missing.
    missing,
    /// Missing numbers that came in time.
    filled,
    /// Missing numbers given up.
    given_up,
    /// Given-up numbers that came after all.
    late,
    /// Alarm: chain64 of the publisher differs from ours.
    chain_mismatch,
    /// Times a channel fell silent.
    silences,
    /// Frames of another venue than their channel's.
    wrong_venue,
    /// Frames, and messages of a PACK, of types that this version does not know.
    unknown_type,
    /// Frames about instruments that are not wanted.
    unwanted,
    /// Frames about instruments beyond the limit of a channel.
    instruments_beyond_limit,
    /// Frames with an instrument number already applied.
    instrument_duplicates,
    /// Frames held until an earlier one or a snapshot comes.
    held,
    /// Held frames dropped because a snapshot covers them.
    held_covered,
    /// Held frames dropped because too many were held.
    held_overflow,
    /// Held frames dropped because their session ended or their instrument is not wanted.
    held_dropped,
    /// Events announced as lost.
    lost_events,
    /// Alarm: a book differs from the publisher's checksum.
    checksum_mismatch,
    /// Alarm: levels whose exponents are not the book's.
    exponent_mismatch,
    /// Alarm: levels that no book can hold (negative or missing quantity, missing price).
    bad_level,
    /// Alarm: changes of orders that do not fit the orders (unknown or known already, more executed than is left).
    bad_order,
    /// Books or split events that grew beyond the limit.
    book_overflow,
    /// STATUS or INSTRUMENT_DEF with a state that this version does not know.
    unknown_status,
    /// Frames of the snapshot plane.
    snapshot_frames,
    /// Of those, frames before line A was heard or of another session.
    snapshot_foreign,
    /// Of those, numbers seen before.
    snapshot_duplicates,
    /// Numbers of the snapshot plane that did not come.
    snapshot_missing,
    /// Missing numbers of the snapshot plane that came in time.
    snapshot_filled,
    /// Groups of which a frame is missing or does not fit.
    groups_incomplete,
    /// Groups applied.
    groups_applied,
    /// Groups not needed: the instrument is LIVE, not wanted, or ahead.
    groups_ignored,
    /// Alarm: groups whose book differs from its own checksum.
    groups_bad,
    /// CYCLE_END frames.
    cycles,
    /// Of those, cycles that tell of definitions that we do not have, or not yet.
    cycles_not_known,
    /// Images asked for.
    images_wanted,
    /// Images heard to their end.
    images,
    /// Images whose frames are not numbered as they must be, or that the server refused.
    images_broken,
    /// Frames of images.
    image_frames,
    /// Frames of an image that was not asked for, or that is over.
    image_unexpected,
    /// Alarm: times our kernel dropped so much within a second that nothing was asked for any more.
    overruns,
    /// Gaps without a report: too many were open, or nobody took them.
    gaps_unreported,
    /// Times the kernel dropped a buffer of ours, as told by the caller: each held one datagram, or a segmented send of
    /// up to 128. How many frames that cost is in `missing` and `given_up`.
    kernel_drops,
}

#[cfg(test)]
mod tests {
    use super::{Counters, REFUSED};
    use crate::wire::Refusal;

    #[test]
    fn refusals_have_the_names_of_the_codec() {
        for (name, refusal) in REFUSED.iter().zip(Refusal::ALL) {
            assert_eq!(*name, format!("refused_{}", refusal.as_str()));
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Counters::default().list().into_iter().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
