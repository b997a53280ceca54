//! What must hold at the end of every world.

use std::collections::BTreeMap;

use outcrier_core::chaos::Plan;
use outcrier_core::orders::Queues;
use outcrier_core::receive::{ChannelState, Reported, reason};
use outcrier_core::wire::status;

use crate::publisher::{CHANNEL, VENUE, wire_id};
use crate::seeds::{Outcome, Script};
use crate::world::{MS, Pace, S, World};

/// After the network healed and the exchange fell quiet.
const QUIET_NS: u64 = 5 * S;
/// The exchange needs no longer to make every book whole.
const SETTLE_NS: u64 = 3 * S;

impl Script {
    /// The network is good again and the exchange falls quiet.
    pub(crate) fn heal(&mut self) {
        while self.busy_until_ns > self.world.now_ns {
            self.run(self.busy_until_ns);
        }
        let current = self.current;
        for (place, publisher) in self.world.publishers.iter_mut().enumerate() {
            publisher.is_alive = place == current;
        }
        if self.world.rng.chance(500) {
            // The last words of an instrument may be lost: only heartbeats and snapshots can tell.
            self.world.publishers[current].plays = false;
            let pause_ns = self.world.rng.below(400 * MS);
            self.run(self.world.now_ns + pause_ns);
        }
        self.world.change_weather(Plan::default());
        self.world.publishers[current].host.forgery = None;
        self.world.pace = Pace { read_ns: MS, messages: 8, gaps: 0, incidents: 0, is_even: false };
        if self.world.consumers.is_empty() {
            self.world.join(self.config.clone());
        }
        // Its numbers may run out meanwhile, and another one goes on.
        let mut quiet = None;
        while quiet != Some(self.current) {
            quiet = Some(self.current);
            self.settle();
        }
    }

    /// The exchange makes every book whole, and falls quiet.
    fn settle(&mut self) {
        let until_ns = self.world.now_ns + SETTLE_NS;
        while !self.world.publishers[self.current].is_whole() {
            assert!(self.world.now_ns < until_ns, "the exchange makes every book whole");
            self.world.play(self.current);
            self.run(self.world.now_ns + 10 * MS);
        }
        self.world.publishers[self.current].plays = false;
        self.run(self.world.now_ns + QUIET_NS);
    }

    /// Every book is LIVE and equal, and nobody wants anything.
    pub(crate) fn check(&mut self) {
        let world = &mut self.world;
        let publisher = &world.publishers[self.current];
        let session = publisher.start.session;
        let truth = world.truth.session(session).expect("it said something");
        for consumer in &mut world.consumers {
            let channels: Vec<_> = consumer.receiver.channels().collect();
            assert_eq!(channels.len(), 1);
            let channel = &channels[0];
            assert_eq!((channel.channel, channel.session), (CHANNEL, session));
            assert_eq!(channel.state, ChannelState::Live);
            assert_eq!(channel.high, truth.last_seq());
            assert!(channel.chain_ok || session == self.forged_session);
            assert!(!consumer.receiver.wants_snapshot_plane());
            assert_eq!(
                consumer.receiver.open_gaps().count(),
                0,
                "{:?}",
                consumer.receiver.open_gaps().next()
            );
            for index in 0..self.start.instruments {
                let mirror = consumer.receiver.book(VENUE, wire_id(index));
                if self.wanted.as_ref().is_some_and(|wanted| !wanted.contains(&index)) {
                    assert!(mirror.is_none(), "nobody wants instrument {index}");
                    continue;
                }
                let mirror = mirror.expect("every instrument is wanted");
                let (seq, source_seq) = publisher.feed.numbers(index).expect("an instrument");
                let at = truth.at(wire_id(index), seq).expect("it was published");
                let closed = matches!(at.trading, status::state::CLOSED | status::state::DELISTED);
                let expected = if closed { Reported::Closed } else { Reported::Live };
                assert_eq!(mirror.reported(), expected, "{index}: {:?} {}", mirror.reception, mirror.reason);
                assert_eq!((mirror.session, mirror.instr_seq), (session, seq));
                assert_eq!((mirror.source_seq, mirror.trading), (source_seq, at.trading));
                let book = publisher.feed.book(index).expect("an instrument");
                assert_eq!(mirror.book.hash(), book.hash());
                let nothing = Queues::new(0);
                let ours = mirror.orders.as_ref().map_or(&nothing, |orders| orders.book.queues());
                let theirs = publisher.feed.orders(index).unwrap_or(&nothing);
                assert!(ours.snapshot().eq(theirs.snapshot()), "orders of instrument {index}");
                assert_eq!(ours.checksum(), theirs.checksum());
            }
        }
    }

    /// SESSION_END without a next session: every book is STALE, and nobody takes it for silence.
    pub(crate) fn end(&mut self) {
        let silences = |world: &World| counters(world)["silences"];
        let before = silences(&self.world);
        self.world.with(self.current, |publisher| publisher.feed.close(1, 0, &mut publisher.host));
        self.run(self.world.now_ns + 6 * S);
        for mirror in self.world.consumers.iter().flat_map(|consumer| consumer.receiver.mirrors()) {
            assert!(matches!(mirror.reported(), Reported::Stale | Reported::Closed));
            assert!(mirror.reported() == Reported::Closed || mirror.reason == reason::SESSION_ENDED);
        }
        assert_eq!(silences(&self.world), before, "an end is not silence");
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let mut outcome =
            Outcome { frames: self.world.frames, counters: counters(&self.world), ..Outcome::default() };
        let publishers = || self.world.publishers.iter();
        let of_servers = |name: &str| -> u64 {
            let named = publishers().flat_map(|publisher| publisher.server.counters().named());
            named.filter(|(of, _)| *of == name).map(|(_, count)| count).sum()
        };
        let own = [
            ("wraps", self.wraps),
            ("sessions_full", self.full),
            ("forged", publishers().map(|publisher| publisher.host.forged).sum()),
            ("order_events", publishers().map(|publisher| publisher.feed.counters().0.order_events).sum()),
            ("order_faults", publishers().map(|publisher| publisher.feed.counters().0.order_faults).sum()),
            ("orders_split", self.world.consumers.iter().map(|consumer| consumer.oracle.orders_split).sum()),
            ("superseded", self.world.superseded),
            ("returns", self.world.consumers.iter().map(|consumer| consumer.oracle.returns).sum()),
            ("server_repair_group", of_servers("frames_repair")),
            ("server_sent_before", of_servers("frames_sent_before")),
            ("server_too_old", of_servers("frames_too_old")),
        ];
        outcome.counters.extend(own);
        for consumer in &self.world.consumers {
            outcome.live_checks += consumer.oracle.live_checks;
            outcome.digest = outcome.digest.rotate_left(7) ^ consumer.oracle.digest;
        }
        for &count in outcome.counters.values() {
            outcome.digest = (outcome.digest ^ count).wrapping_mul(0x0000_0100_0000_01b3);
        }
        outcome
    }
}

/// Alarms for which no network is to blame.
pub(crate) const ALARMS: [&str; 8] = [
    "checksum_mismatch",
    "exponent_mismatch",
    "bad_level",
    "bad_order",
    "groups_bad",
    "chain_mismatch",
    "different_bytes",
    "second_publisher",
];

fn counters(world: &World) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for consumer in &world.consumers {
        for (name, value) in consumer.receiver.counters() {
            *sums.entry(name).or_default() += value;
        }
    }
    sums
}
