//! What a server did, counted.

use crate::wire::Refusal;

macro_rules! counters {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: u64,)*
        }

        impl $name {
            /// Every count with its name, in order.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }
    };
}

counters! {
    /// Sums over the life of a [`super::Server`]. Every request ends in exactly one of `not_a_frame`, `not_a_request`,
    /// `bad_mac`, `need_cookie`, `malformed`, `bad_session`, `rate_limited`, `total_limited`, `limited_silent`, `probes`,
    /// `answered` and `snap_answered`.
    pub struct ServerCounters {
        /// Datagrams given.
        requests,
        /// Datagrams that are no frame of ours; [`ServerRefusals`] tells why.
        not_a_frame,
        /// Frames of another type.
        not_a_request,
        /// Requests whose MAC differs or is missing.
        bad_mac,
        /// Requests from an address that had not proved itself.
        need_cookie,
        /// Requests of these two kinds that got no answer because they were shorter than it.
        unproved_short,
        /// Requests of these two kinds that got no answer because their budget was spent.
        unproved_limited,
        /// Requests that break a rule.
        malformed,
        /// Requests for a session or channel that is not to be had.
        bad_session,
        /// Requests beyond the consumer's budget, told when to ask again.
        rate_limited,
        /// Requests beyond the budget of all consumers, told when to ask again.
        total_limited,
        /// Requests beyond a budget that were not even told so, because the consumer was told a moment ago.
        limited_silent,
        /// Requests for nothing: the server lives.
        probes,
        /// Requests for frames that were looked after.
        answered,
        /// Requests for state that were looked after.
        snap_answered,
        /// Numbers asked for in `answered` requests; each ends in exactly one of the following seven.
        frames_asked,
        /// Frames sent to the consumer.
        frames_unicast,
        /// Frames sent to the repair group.
        frames_repair,
        /// Numbers not sent because the consumer was sent them less than 1 ms ago.
        frames_sent_before,
        /// Numbers not sent because the group was sent them less than 1 ms ago.
        frames_repaired_before,
        /// Numbers that are not kept any more.
        frames_too_old,
        /// Numbers that do not exist yet.
        frames_too_new,
        /// Frames that came from the archive; they are among those sent.
        frames_archived,
        /// Bytes of frames sent.
        bytes,
        /// Instruments handed on to go to the head of the snapshot cycle.
        snap_wants,
        /// Consumers forgotten because too many are there; their budgets begin anew.
        consumers_evicted,
        /// Numbers forgotten early; their next askers count as the first ones.
        numbers_evicted,
    }
}

counters! {
    /// Sums over the life of a [`super::Streams`].
    pub struct StreamCounters {
        /// Units given.
        requests,
        /// Units that are no frame of ours or another type of it.
        not_a_request,
        /// Requests whose MAC differs or is missing.
        bad_mac,
        /// Requests that break a rule.
        malformed,
        /// Requests for a session or channel that is not to be had.
        bad_session,
        /// Requests from a number on which is not kept any more.
        too_old,
        /// Requests from a number on which does not exist yet.
        too_new,
        /// Requests beyond a budget.
        rate_limited,
        /// Requests for nothing: the server lives.
        probes,
        /// Requests for frames that were granted.
        replays,
        /// Requests for state that were granted.
        images,
    }
}

/// Datagrams that were no frame of ours, by cause: `[Refusal as usize]`.
pub type ServerRefusals = [u64; Refusal::ALL.len()];
