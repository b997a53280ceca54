//! One test per row of the two state tables of `docs/wire-format.md`, "Recovery", and per rule around them.

mod receive_support;

use outcrier_core::event::Level;
use outcrier_core::receive::{
    ChannelState, Config, HOLD_INSTRUMENT_MAX, Line, MISSING_MAX, Publisher as Published, Reception,
    Reported, SILENCE_NS, WINDOW_DEFAULT_NS, Wanted, reason,
};
use outcrier_core::wire::{self, flags, msg, status};
use receive_support::pair::{ID, MS, OTHER, Pair};
use receive_support::{CHANNEL, PRICE_EXP, Publisher, SESSION, Told, VENUE, definition};

fn frame(msg_type: u8, instr_seq: u32, state: Reported) -> Told {
    Told::Frame { msg_type, instrument: ID, instr_seq, state, unsure: false, recovered: false }
}

fn late(msg_type: u8, instr_seq: u32, state: Reported) -> Told {
    Told::Frame { msg_type, instrument: ID, instr_seq, state, unsure: false, recovered: true }
}

fn becomes(to: Reported, reason: u16) -> Told {
    Told::State { instrument: ID, to, reason }
}

mod instrument {
    use super::*;

    #[test]
    fn unknown_holds_frames() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.lose();
        pair.level(100, 5);
        pair.hear_all();
        assert_eq!(pair.state(ID), Reported::Unknown);
        assert_eq!((pair.counter("held"), pair.told()), (1, vec![]));
        assert!(pair.receiver.wants_snapshot_plane());
    }

    #[test]
    fn unknown_begins_with_its_first_definition() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.hear_all();
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        let definition = pair.publisher.one();
        pair.level(100, 5);
        let level = pair.publisher.one();
        pair.hear(Line::A, &level);
        pair.hear(Line::A, &definition);
        let told = pair.told();
        assert_eq!(
            told[1..],
            [
                becomes(Reported::Stale, reason::INSTRUMENT_GAP),
                late(msg::INSTRUMENT_DEF, 1, Reported::Stale),
                becomes(Reported::Live, 0),
                late(msg::BOOK_DELTA, 2, Reported::Live),
            ]
        );
        assert!(pair.is_equal());
    }

    #[test]
    fn unknown_begins_as_unsure_below_the_gap_number() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        let made = pair.lose();
        pair.publisher.define(OTHER, definition("ETH/USDT", 1));
        pair.level(100, 5);
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.hear(Line::A, &made[1]);
        assert_eq!(pair.state(ID), Reported::Unsure);
    }

    #[test]
    fn unknown_takes_a_snapshot_and_drains_what_it_does_not_cover() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.level(100, 5);
        pair.lose();
        pair.level(101, 6);
        pair.hear_all();
        pair.publisher.group(ID);
        let group = pair.lose();
        pair.level(102, 7);
        pair.hear_all();
        group.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        let told = pair.told();
        assert_eq!(
            told.first(),
            Some(&Told::Snapshot { msg_type: msg::INSTRUMENT_DEF, instrument: ID, instr_seq: 3 })
        );
        assert_eq!(told.last(), Some(&late(msg::BOOK_DELTA, 4, Reported::Live)));
        assert_eq!(pair.counter("held_covered"), 1);
        assert!(pair.is_equal());
    }

    #[test]
    fn unknown_is_stale_after_a_snapshot_if_holds_remain() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.publisher.group(ID);
        let mut made = pair.lose();
        pair.level(100, 5);
        pair.lose();
        pair.level(101, 5);
        pair.hear_all();
        made.drain(2..).for_each(|frame| pair.hear(Line::Snapshot, &frame));
        assert_eq!(pair.state(ID), Reported::Stale);
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().instr_seq, 1);
    }

    #[test]
    fn a_joiner_is_unsure_until_the_snapshot_reaches_the_first_frame_heard() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.publisher.group(ID);
        let old_group = pair.lose().split_off(2);
        pair.publisher.define(OTHER, definition("ETH/USDT", 1));
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        old_group.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        assert_eq!(pair.state(ID), Reported::Unsure);
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.states(), (Reported::Live, Reported::Live));
        assert_eq!(pair.channel(), ChannelState::Live);
    }

    #[test]
    fn live_applies_the_next_and_holds_what_is_ahead() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        pair.hear_all();
        assert_eq!(pair.told(), [frame(msg::BOOK_DELTA, 3, Reported::Live)]);
        pair.level(102, 1);
        let missing = pair.lose();
        pair.level(103, 1);
        pair.hear_all();
        assert_eq!(pair.told(), [becomes(Reported::Stale, reason::INSTRUMENT_GAP)]);
        assert_eq!(pair.channel(), ChannelState::Gap);
        assert_eq!(pair.state(OTHER), Reported::Live, "another instrument does not wait");
        pair.hear(Line::A, &missing[0]);
        assert_eq!(
            pair.told(),
            [
                late(msg::BOOK_DELTA, 4, Reported::Stale),
                becomes(Reported::Live, 0),
                late(msg::BOOK_DELTA, 5, Reported::Live),
            ]
        );
        assert!(pair.is_equal());
        assert_eq!(pair.channel(), ChannelState::Live);
    }

    #[test]
    fn live_ignores_a_snapshot() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        let under_way = pair.lose();
        pair.publisher.group(ID);
        pair.hear_all();
        assert_eq!((pair.told(), pair.state(ID)), (vec![], Reported::Live));
        pair.hear(Line::A, &under_way[0]);
        assert_eq!(pair.told(), [frame(msg::BOOK_DELTA, 3, Reported::Live)]);
    }

    #[test]
    fn unsure_is_confirmed_by_the_next_frame_above_the_gap_number() {
        let mut pair = Pair::live();
        pair.publisher.status(OTHER, status::state::HALTED, 0);
        let missing = pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.give_up();
        assert_eq!(pair.states(), (Reported::Unsure, Reported::Unsure));
        pair.told();
        pair.level(101, 1);
        pair.hear_all();
        assert_eq!(pair.told(), [becomes(Reported::Live, 0), frame(msg::BOOK_DELTA, 3, Reported::Live)]);
        assert_eq!(pair.state(OTHER), Reported::Unsure);
        assert_eq!(pair.channel(), ChannelState::Repair);
        // The lost frame comes after all, but its number is not above the gap number.
        pair.hear(Line::A, &missing[0]);
        assert_eq!(
            pair.told(),
            [Told::Frame {
                msg_type: msg::STATUS,
                instrument: OTHER,
                instr_seq: 2,
                state: Reported::Unsure,
                unsure: true,
                recovered: true
            }]
        );
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        assert!(!pair.receiver.wants_snapshot_plane());
    }

    #[test]
    fn unsure_that_misses_a_frame_is_stale_and_a_snapshot_tells_the_loss_first() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        pair.level(102, 1);
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.give_up();
        assert_eq!(pair.state(ID), Reported::Unsure);
        pair.level(103, 1);
        pair.hear_all();
        assert_eq!(pair.state(ID), Reported::Stale);
        pair.told();
        pair.publisher.group(ID);
        pair.hear_all();
        let told = pair.told();
        assert_eq!(told[0], Told::Lost { instrument: ID, first: 3, count: 3 });
        assert_eq!(told[1], Told::Snapshot { msg_type: msg::INSTRUMENT_DEF, instrument: ID, instr_seq: 5 });
        assert_eq!(told.last(), Some(&becomes(Reported::Live, 0)));
        assert!(pair.is_equal());
    }

    #[test]
    fn a_snapshot_just_before_the_next_frame_confirms_without_a_loss() {
        let mut pair = Pair::live();
        pair.publisher.define(13, definition("LTC/USDT", 1));
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.give_up();
        pair.told();
        pair.publisher.group(ID);
        pair.hear_all();
        let told = pair.told();
        assert!(!told.iter().any(|told| matches!(told, Told::Lost { .. })));
        assert_eq!(told.last(), Some(&becomes(Reported::Live, 0)));
        pair.publisher.group(OTHER);
        pair.hear_all();
        assert_eq!(pair.states(), (Reported::Live, Reported::Live));
        // The definition that was lost is found by the cycle only.
        assert_eq!(pair.channel(), ChannelState::Repair);
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!((pair.channel(), pair.state(13)), (ChannelState::Live, Reported::Live));
    }

    #[test]
    fn a_snapshot_from_before_is_ignored() {
        let mut pair = Pair::live();
        pair.publisher.group(ID);
        let old = pair.lose();
        pair.level(101, 1);
        pair.hear_all();
        pair.level(102, 1);
        pair.lose();
        pair.level(103, 1);
        pair.hear_all();
        old.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        assert_eq!((pair.state(ID), pair.counter("groups_ignored")), (Reported::Stale, 2 + 1));
    }

    #[test]
    fn a_number_already_applied_is_dropped() {
        let mut pair = Pair::live();
        // The same instrument number again under a new channel number: a publisher that repeats itself.
        pair.publisher.instruments.get_mut(&ID).unwrap().seq -= 1;
        pair.publisher.bbo(ID);
        pair.hear_all();
        assert_eq!((pair.told(), pair.counter("instrument_duplicates")), (vec![], 1));
    }

    #[test]
    fn a_wrong_checksum_discards_the_book_until_a_snapshot() {
        let mut pair = Pair::live();
        pair.publisher.instruments.get_mut(&ID).unwrap().book.set(outcrier_core::event::Side::Ask, 500, 1);
        for kind in [1, 3] {
            pair.publisher.delta(ID, &[Level { price: 101, qty: kind }], &[], 8, u8::try_from(kind).unwrap());
            pair.hear_all();
            assert_eq!(pair.state(ID), Reported::Stale);
            assert!(pair.receiver.book(VENUE, ID).unwrap().book.is_empty());
        }
        assert_eq!((pair.counter("checksum_mismatch"), pair.counter("held")), (1, 1));
        assert_eq!(pair.told()[0], becomes(Reported::Stale, reason::BOOK_CHECKSUM));
        pair.publisher.group(ID);
        pair.hear_all();
        assert!(pair.is_equal());
        assert_eq!(pair.state(ID), Reported::Live);
    }

    #[test]
    fn a_group_that_differs_from_its_checksum_or_misses_a_frame_is_not_taken() {
        let mut pair = Pair::live();
        pair.publisher.define(13, definition("LTC/USDT", 1));
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.give_up();
        pair.publisher.group(ID);
        let mut group = pair.lose();
        // The quantity of the level, sealed again: as good as a publisher that cuts a wrong book.
        let end = group[2].len() - 8;
        group[2][end] ^= 1;
        wire::seal(&mut group[2], 0, None);
        group.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        assert_eq!((pair.counter("groups_bad"), pair.state(ID)), (1, Reported::Unsure));
        pair.publisher.group(ID);
        let group = pair.lose();
        pair.hear(Line::Snapshot, &group[0]);
        pair.hear(Line::Snapshot, &group[2]);
        pair.pass(5 * MS);
        assert_eq!((pair.counter("groups_incomplete"), pair.counter("snapshot_missing")), (1, 1));
        assert_eq!(pair.state(ID), Reported::Unsure);
    }

    #[test]
    fn too_many_holds_are_dropped_and_only_a_snapshot_helps() {
        let mut pair = Pair::live();
        pair.level(1, 1);
        let missing = pair.lose();
        for at in 0..=HOLD_INSTRUMENT_MAX {
            pair.level(200 + i64::try_from(at).unwrap(), 1);
            pair.hear_all();
        }
        assert_eq!(pair.counter("held_overflow"), HOLD_INSTRUMENT_MAX as u64 + 1);
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().reason, reason::HOLD_OVERFLOW);
        pair.hear(Line::A, &missing[0]);
        assert_eq!(pair.state(ID), Reported::Stale, "the frames dropped are not forgotten");
        pair.publisher.group(ID);
        pair.hear_all();
        assert_eq!(pair.state(ID), Reported::Live);
        assert!(pair.is_equal());
    }

    #[test]
    fn a_snapshot_below_the_holds_that_were_dropped_does_not_make_live() {
        let mut pair = Pair::live();
        pair.level(1, 1);
        pair.lose();
        pair.publisher.group(ID);
        let group = pair.lose();
        for at in 0..=HOLD_INSTRUMENT_MAX {
            pair.level(200 + i64::try_from(at).unwrap(), 1);
            pair.hear_all();
        }
        group.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().instr_seq, 3);
        assert_eq!(pair.state(ID), Reported::Stale);
    }

    #[test]
    fn numbers_wrap() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.lose();
        pair.publisher.instruments.get_mut(&ID).unwrap().seq = u32::MAX - 3;
        pair.publisher.cycle();
        pair.publisher.heartbeat();
        let mut made = pair.lose();
        let heartbeat = made.pop().unwrap();
        pair.hear(Line::A, &heartbeat);
        made.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        assert_eq!(pair.state(ID), Reported::Live);
        pair.told();
        (0..8).for_each(|at| pair.level(100 + at, 1));
        let mut made = pair.lose();
        made.swap(2, 5); // Across the wrap, both ways.
        made.iter().for_each(|frame| pair.hear(Line::A, frame));
        let delivered: Vec<u32> = pair.told().iter().filter_map(number).collect();
        assert_eq!(delivered, [u32::MAX - 2, u32::MAX - 1, u32::MAX, 0, 1, 2, 3, 4]);
        assert_eq!(pair.state(ID), Reported::Live);
        pair.level(200, 1);
        pair.lose();
        pair.publisher.instruments.get_mut(&ID).unwrap().seq = u32::MAX - 9;
        pair.level(201, 1);
        pair.hear_all();
        assert_eq!(pair.counter("instrument_duplicates"), 1, "a number from before the wrap is old");
    }

    fn number(told: &Told) -> Option<u32> {
        match *told {
            Told::Frame { instr_seq, .. } => Some(instr_seq),
            Told::Snapshot { .. } | Told::State { .. } | Told::Lost { .. } => None,
        }
    }

    #[test]
    fn a_split_event_shows_only_when_it_is_whole() {
        let mut pair = Pair::live();
        let before = pair.publisher.instruments[&ID].book.hash();
        let bids: Vec<Level> = (0..50).map(|at| Level { price: 100 + at, qty: 1 + at }).collect();
        pair.publisher.delta(ID, &bids, &[], 9, 3);
        let parts = pair.lose();
        assert_eq!(parts.len(), 3);
        for part in &parts[..2] {
            pair.hear(Line::A, part);
            let mirror = pair.receiver.book(VENUE, ID).unwrap();
            assert!(mirror.is_mid_event());
            assert_eq!((mirror.book.hash(), mirror.instr_seq), (before, 2));
        }
        pair.hear(Line::A, &parts[2]);
        let mirror = pair.receiver.book(VENUE, ID).unwrap();
        assert_eq!((mirror.is_mid_event(), mirror.instr_seq, mirror.source_seq), (false, 5, 9));
        assert!(pair.is_equal());
    }

    #[test]
    fn an_in_band_book_replaces_and_brings_its_exponents() {
        let mut pair = Pair::live();
        let finer = wire::InstrumentDef { price_exp: PRICE_EXP - 1, ..definition("BTC/USDT", 2) };
        pair.publisher.define(ID, finer);
        pair.hear_all();
        let mirror = pair.receiver.book(VENUE, ID).unwrap();
        assert_eq!(mirror.price_exp, PRICE_EXP, "the levels are still the old ones");
        assert_eq!(mirror.def.unwrap().price_exp, PRICE_EXP - 1);
        pair.publisher.instruments.get_mut(&ID).unwrap().book.rescale(10, 1).unwrap();
        pair.publisher.whole_book(ID);
        pair.level(1_005, 2);
        pair.hear_all();
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().price_exp, PRICE_EXP - 1);
        assert!(pair.is_equal());
        assert_eq!(pair.state(ID), Reported::Live);
    }

    #[test]
    fn levels_of_other_exponents_are_never_mixed_in() {
        let mut pair = Pair::live();
        let finer = wire::InstrumentDef { price_exp: PRICE_EXP - 1, ..definition("BTC/USDT", 2) };
        pair.publisher.define(ID, finer);
        pair.level(1_001, 1);
        pair.hear_all();
        assert_eq!((pair.counter("exponent_mismatch"), pair.state(ID)), (1, Reported::Stale));
    }

    #[test]
    fn what_the_publisher_says_counts_and_trading_states_leave_the_book_live() {
        let mut pair = Pair::live();
        let table = [
            (status::state::STALE, Reported::Stale, 1),
            (status::state::RECOVERING, Reported::Recovering, 1),
            (status::state::HALTED, Reported::Live, 4),
            (status::state::AUCTION, Reported::Live, 7),
            (status::state::CLOSED, Reported::Closed, 5),
            (status::state::LIVE, Reported::Live, 1),
            (77, Reported::Stale, 1),
        ];
        for (state, reported, trading) in table {
            pair.publisher.status(ID, state, status::reason::DISCONNECT);
            pair.hear_all();
            let mirror = pair.receiver.book(VENUE, ID).unwrap();
            assert_eq!((mirror.reported(), mirror.trading), (reported, trading), "{state}");
            assert_eq!(mirror.reception, Reception::Live);
        }
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().reason, status::reason::DISCONNECT);
        assert_eq!(pair.counter("unknown_status"), 1);
    }
}

mod channel {
    use super::*;

    #[test]
    fn init_hears_nothing_and_wants_the_snapshot_plane() {
        let mut pair = Pair::new(&Config::default());
        assert!(pair.receiver.wants_snapshot_plane());
        pair.publisher.start(0);
        pair.publisher.cycle();
        let made = pair.lose();
        pair.hear(Line::Snapshot, &made[1]);
        assert_eq!((pair.receiver.channels().count(), pair.counter("snapshot_foreign")), (0, 1));
    }

    #[test]
    fn sync_ends_when_every_definition_is_proved_and_live() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.hear_all();
        assert_eq!((pair.channel(), pair.state(ID)), (ChannelState::Sync, Reported::Live));
        assert_eq!(pair.receiver.whole_cycles().collect::<Vec<_>>(), [(CHANNEL, false)]);
        // A definition that we do not have: the cycle does not prove anything.
        pair.publisher.define(OTHER, definition("ETH/USDT", 1));
        pair.lose();
        pair.publisher.cycle_end(1);
        pair.hear_all();
        assert_eq!((pair.channel(), pair.counter("cycles_not_known")), (ChannelState::Sync, 1));
        pair.publisher.heartbeat();
        pair.publisher.cycle();
        pair.hear_all();
        pair.give_up();
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        assert_eq!(pair.receiver.whole_cycles().collect::<Vec<_>>(), [(CHANNEL, true)]);
    }

    #[test]
    fn a_cycle_of_other_definitions_proves_nothing() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.hear_all();
        pair.publisher.instruments.get_mut(&ID).unwrap().def.def_version = 2;
        pair.publisher.cycle_end(1);
        pair.hear_all();
        assert_eq!((pair.channel(), pair.counter("cycles_not_known")), (ChannelState::Sync, 1));
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
    }

    #[test]
    fn a_whole_cycle_proves_as_many_definitions_as_it_says() {
        let mut pair = Pair::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.publisher.define(OTHER, definition("ETH/USDT", 1));
        // Delisted, and then its book went stale: its definition does not say any more that it left the digest.
        pair.publisher.status(OTHER, status::state::DELISTED, 0);
        pair.publisher.cycle();
        let made = pair.publisher.take();
        let (mut cycle, line): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|(line, _)| *line == Line::Snapshot);
        let end = cycle.len() - 1;
        // The digest of the definitions, and as many instruments as groups.
        cycle[end].1[66 + 16] ^= 1;
        cycle[end].1[66 + 4] = 2;
        wire::seal(&mut cycle[end].1, 0, None);
        for lost in [Some(1), None] {
            let mut pair = Pair::new(&Config::default());
            line.iter().for_each(|(line, frame)| pair.hear(*line, frame));
            for (_, (line, frame)) in cycle.iter().enumerate().filter(|&(at, _)| Some(at) != lost) {
                pair.hear(*line, frame);
            }
            pair.pass(5 * MS);
            assert_eq!(pair.channel() == ChannelState::Live, lost.is_none());
        }
    }

    #[test]
    fn a_cycle_that_misses_frames_delists_nobody() {
        let mut pair = Pair::live();
        let first = pair.publisher.next_snapshot_seq;
        pair.publisher.group(ID);
        pair.hear_all();
        pair.publisher.group(OTHER);
        pair.lose();
        // A digest that is not ours: an instrument more.
        pair.publisher.define(13, definition("LTC/USDT", 1));
        pair.lose();
        pair.publisher.cycle_end(first);
        pair.hear_all();
        pair.pass(5 * MS);
        assert_eq!(pair.counter("cycles_not_known"), 1);
        pair.publisher.instruments.remove(&13);
        pair.publisher.cycle_end(first);
        pair.hear_all();
        assert_eq!(pair.counter("cycles_not_known"), 1, "both are still known");
    }

    #[test]
    fn a_seen_number_is_dropped_and_other_bytes_are_an_alarm() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        let mut frame = pair.publisher.one();
        pair.hear(Line::A, &frame);
        frame.extend([0; 9]); // Padding belongs to no frame.
        pair.hear(Line::A, &frame);
        assert_eq!((pair.counter("duplicates"), pair.state(ID)), (1, Reported::Live));
        frame.truncate(frame.len() - 9);
        wire::seal(&mut frame, 1, None);
        pair.told();
        pair.hear(Line::A, &frame);
        assert_eq!((pair.counter("different_bytes"), pair.channel()), (1, ChannelState::Dead));
        assert_eq!(pair.told()[0], becomes(Reported::Stale, reason::TWO_PUBLISHERS));
        pair.level(102, 1);
        pair.hear_all();
        assert_eq!((pair.counter("split_dropped"), pair.state(ID)), (1, Reported::Stale));
        let mut next = Publisher::new(SESSION + 1, 2);
        next.start(0);
        next.define(ID, definition("BTC/USDT", 1));
        pair.publisher = next;
        pair.hear_all();
        assert_eq!(pair.state(ID), Reported::Live, "a new session ends it");
    }

    #[test]
    fn two_publisher_ids_in_a_session_are_an_alarm() {
        let mut pair = Pair::live();
        pair.publisher.heartbeat();
        pair.publisher.id = 2;
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!(pair.counter("second_publisher"), 1);
        assert_eq!(pair.states(), (Reported::Stale, Reported::Stale));
    }

    #[test]
    fn a_heartbeat_reveals_a_lost_tail_and_the_missing_frame_closes_the_gap() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        let tail = pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!((pair.channel(), pair.counter("missing")), (ChannelState::Gap, 1));
        assert_eq!(pair.receiver.deadline_ns(), Some(pair.now_ns + WINDOW_DEFAULT_NS));
        pair.pass(WINDOW_DEFAULT_NS - 1);
        pair.hear(Line::A, &tail[0]);
        assert_eq!((pair.channel(), pair.counter("filled")), (ChannelState::Live, 1));
        assert_eq!(pair.told(), [late(msg::BOOK_DELTA, 3, Reported::Live)]);
        assert!(pair.receiver.channels().next().unwrap().chain_ok);
    }

    #[test]
    fn after_w_the_number_is_given_up_and_everything_live_is_unsure() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        assert!(!pair.receiver.wants_snapshot_plane(), "not while the frame may still come");
        pair.give_up();
        assert_eq!((pair.channel(), pair.counter("given_up")), (ChannelState::Repair, 1));
        assert_eq!(pair.states(), (Reported::Unsure, Reported::Unsure));
        assert!(pair.receiver.wants_snapshot_plane());
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        assert!(pair.is_equal() && !pair.receiver.wants_snapshot_plane());
        let told = pair.told();
        assert!(told.contains(&Told::Lost { instrument: ID, first: 3, count: 1 }));
    }

    #[test]
    fn a_frame_that_comes_after_it_was_given_up_still_counts() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        let lost = pair.lose();
        pair.level(102, 1);
        pair.hear_all();
        pair.give_up();
        assert_eq!(pair.state(ID), Reported::Stale);
        pair.hear(Line::A, &lost[0]);
        assert_eq!((pair.counter("late"), pair.state(ID)), (1, Reported::Live));
        assert!(pair.is_equal());
    }

    #[test]
    fn more_missing_than_can_be_waited_for_are_given_up_at_once() {
        let mut pair = Pair::live();
        (0..=MISSING_MAX).for_each(|_| pair.publisher.bbo(OTHER));
        pair.lose();
        pair.level(101, 1);
        pair.hear_all();
        assert_eq!(pair.counter("given_up"), MISSING_MAX as u64 + 1);
        assert_eq!(pair.states(), (Reported::Live, Reported::Unsure));
    }

    #[test]
    fn silence_is_reported_and_lifted_by_a_newer_heartbeat_only() {
        let mut pair = Pair::live();
        pair.publisher.heartbeat();
        let old = pair.publisher.one();
        pair.hear(Line::A, &old);
        pair.pass(SILENCE_NS);
        assert_eq!(pair.channel(), ChannelState::Live);
        pair.pass(1);
        assert_eq!((pair.channel(), pair.counter("silences")), (ChannelState::Dead, 1));
        assert_eq!(pair.states(), (Reported::Stale, Reported::Stale));
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().reason, reason::SILENCE);
        pair.hear(Line::A, &old);
        assert_eq!((pair.channel(), pair.counter("heartbeats_old")), (ChannelState::Dead, 1));
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!((pair.channel(), pair.states()), (ChannelState::Live, (Reported::Live, Reported::Live)));
        pair.pass(SILENCE_NS + 1);
        pair.level(101, 1);
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Gap, "a return with numbers missing");
    }

    #[test]
    fn the_end_of_a_session_repairs_its_tail_first() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        let tail = pair.lose();
        pair.publisher.end(0);
        pair.hear_all();
        assert_eq!((pair.channel(), pair.state(ID)), (ChannelState::Gap, Reported::Live));
        pair.hear(Line::A, &tail[0]);
        assert!(pair.is_equal());
        assert_eq!((pair.channel(), pair.state(ID)), (ChannelState::Dead, Reported::Stale));
        assert_eq!(pair.receiver.book(VENUE, ID).unwrap().reason, reason::SESSION_ENDED);
        pair.pass(10 * SILENCE_NS);
        assert_eq!(pair.counter("silences"), 0, "an end is no alarm");
        assert!(!pair.receiver.wants_snapshot_plane());
        pair.publisher = Publisher::new(SESSION + 5, 2);
        pair.publisher.start(0);
        pair.hear_all();
        assert_eq!(pair.counter("split_brain"), 0, "after an end any higher session wins at once");
        assert_eq!(pair.receiver.channels().next().unwrap().session, SESSION + 5);
    }

    #[test]
    fn a_named_successor_wins_at_once_and_everything_starts_anew() {
        let mut pair = Pair::live();
        let mut old = std::mem::replace(&mut pair.publisher, Publisher::new(SESSION + 1, 2));
        pair.publisher.start(SESSION);
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Sync);
        assert_eq!(pair.states(), (Reported::Stale, Reported::Stale));
        assert!(pair.receiver.book(VENUE, ID).unwrap().book.is_empty());
        assert_eq!(pair.told()[0], becomes(Reported::Stale, reason::NEW_SESSION));
        old.delta(ID, &[Level { price: 9, qty: 9 }], &[], 9, 0);
        let zombie = old.one();
        pair.hear(Line::A, &zombie);
        assert_eq!(pair.counter("old_session"), 1);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(
            pair.states(),
            (Reported::Live, Reported::Closed),
            "the other one is not defined any more"
        );
        assert_eq!(pair.channel(), ChannelState::Live);
    }

    #[test]
    fn an_unnamed_successor_waits_for_silence_and_is_counted_meanwhile() {
        let mut pair = Pair::live();
        let mut next = Publisher::new(SESSION + 1, 2);
        next.start(SESSION - 1);
        let start = next.one();
        pair.hear(Line::A, &start);
        assert_eq!((pair.counter("split_brain"), pair.state(ID)), (1, Reported::Live));
        pair.now_ns += SILENCE_NS;
        pair.hear(Line::A, &start);
        assert_eq!(pair.counter("split_brain"), 2);
        pair.now_ns += 1;
        pair.hear(Line::A, &start);
        assert_eq!(pair.receiver.channels().next().unwrap().session, SESSION + 1);
    }

    #[test]
    fn a_chain_that_differs_is_an_alarm_once() {
        let mut pair = Pair::live();
        pair.publisher.chain ^= 1;
        pair.publisher.heartbeat();
        pair.publisher.heartbeat();
        pair.level(101, 1);
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!(pair.counter("chain_mismatch"), 1);
        assert!(!pair.receiver.channels().next().unwrap().chain_ok);
    }
}

mod admission {
    use super::*;

    #[test]
    fn replay_and_test_are_dropped_before_the_session_is_looked_at() {
        for (bit, counter) in [(flags::REPLAY, "dropped_replay"), (flags::TEST, "dropped_test")] {
            let mut pair = Pair::live();
            pair.publisher = Publisher::new(SESSION + 1, 2);
            pair.publisher.session_flags = bit;
            pair.publisher.start(SESSION);
            pair.hear_all();
            assert_eq!(pair.counter(counter), 1);
            assert_eq!(pair.receiver.channels().next().unwrap().session, SESSION);
        }
        let both = Config { accept_replay: true, accept_test: true, ..Config::default() };
        let mut pair = Pair::new(&both);
        pair.publisher.session_flags = flags::REPLAY | flags::TEST;
        pair.publisher.start(0);
        pair.hear_all();
        let channel = pair.receiver.channels().next().unwrap();
        assert!(channel.replay && channel.test);
    }

    #[test]
    fn what_is_no_frame_is_counted_by_cause() {
        let mut pair = Pair::live();
        pair.level(101, 1);
        let mut frame = pair.publisher.one();
        frame[70] ^= 1;
        pair.hear(Line::A, &frame);
        pair.hear(Line::A, &frame[..20]);
        pair.hear(Line::A, &frame[..80]);
        pair.hear(Line::Snapshot, &[b'x'; 90]);
        frame[70] ^= 1;
        pair.hear(Line::Snapshot, &frame);
        for (name, value) in pair.receiver.counters() {
            let expected =
                ["refused_crc", "refused_too_short", "refused_length", "refused_sync", "wrong_plane"];
            if name.starts_with("refused") || name == "wrong_plane" {
                assert_eq!(value, u64::from(expected.contains(&name)), "{name}");
            }
        }
    }

    #[test]
    fn types_of_a_later_version_consume_their_numbers() {
        let mut pair = Pair::live();
        pair.publisher.numbered(0x3E, ID, flags::EVENT_END, &[1_u8, 2, 3], wire::NO_RECORDS);
        pair.publisher.numbered(0x3F, 0, flags::EVENT_END, &[1_u8], wire::NO_RECORDS);
        pair.level(101, 1);
        pair.hear_all();
        assert_eq!(pair.told(), [frame(msg::BOOK_DELTA, 4, Reported::Live)]);
        assert_eq!(pair.counter("unknown_type"), 2);
    }

    #[test]
    fn only_wanted_symbols_are_mirrored_from_either_plane() {
        let wanted = Wanted::symbols(["BTC/USDT@2", "NOT/THERE@9"]).unwrap();
        let config = Config { wanted, ..Config::default() };
        for late_joiner in [false, true] {
            let mut pair = Pair::new(&config);
            pair.publisher.start(0);
            pair.publisher.define(ID, definition("BTC/USDT", 1));
            pair.publisher.define(OTHER, definition("ETH/USDT", 1));
            if late_joiner {
                pair.lose();
                pair.publisher.bbo(OTHER);
                pair.level(100, 5);
            }
            pair.hear_all();
            assert_eq!(pair.counter("held"), u64::from(late_joiner) * 2, "it may be the wanted one");
            pair.publisher.cycle();
            pair.hear_all();
            assert!(pair.receiver.book(VENUE, OTHER).is_none());
            assert_eq!(pair.state(ID), Reported::Live);
            assert_eq!(pair.channel(), ChannelState::Live);
            assert_eq!(pair.counter("held_dropped"), u64::from(late_joiner));
            let known: Vec<_> = pair
                .receiver
                .instruments()
                .map(|known| (known.instrument, known.wanted, known.state))
                .collect();
            assert_eq!(known, [(ID, true, Reported::Live), (OTHER, false, Reported::Unknown)]);
            assert_eq!(pair.receiver.find("ETH/USDT@2"), Some((VENUE, OTHER)));
            assert_eq!(pair.receiver.find("ETH/USDT@3"), None);
            assert!(!pair.receiver.wants_snapshot_plane(), "every channel told all it has");
            pair.told();
            pair.publisher.bbo(OTHER);
            pair.hear_all();
            assert_eq!(pair.told(), []);
        }
        let bad = Wanted::symbols(["BTC/USDT"]).unwrap_err().to_string();
        assert!(bad.contains("BTC/USDT") && bad.contains("SYMBOL@venue-number"));
    }

    #[test]
    fn a_delisted_instrument_is_not_waited_for() {
        let mut pair = Pair::live();
        pair.publisher.status(OTHER, status::state::DELISTED, 0);
        pair.hear_all();
        assert_eq!(pair.state(OTHER), Reported::Closed);
        assert_eq!(pair.receiver.book(VENUE, OTHER).unwrap().publisher, Published::Closed);
        pair.publisher.bbo(ID);
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.give_up();
        pair.publisher.group(ID);
        pair.publisher.cycle_end(99);
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
    }
}
