//! Recovery in virtual time: when a receiver asks, what it makes of the answers, and when it gives up.

mod receive_support;

use outcrier_core::event::Level;
use outcrier_core::receive::{
    ChannelState, Config, FRAMES_PER_S, GapCause, GapRepair, GapReport, KERNEL_DROPS_MAX, Line,
    MISSING_NS_MAX, REQUEST_FRAMES_MAX, REQUEST_RANGES_MAX, RETRY_NS, Recovery, Reported, SILENCE_NS,
    SNAPSHOT_WINDOW_NS, TRIES, WINDOW_DEFAULT_NS, reason,
};
use outcrier_core::wire::{CHANNEL_SNAPSHOT, RetxReply, msg, retx_code};
use receive_support::asks::{Asked, SERVER, asked, config, empty, live, live_with, reply, reply_frame, run};
use receive_support::pair::{ID, MS, OTHER, Pair};
use receive_support::{CHANNEL, Publisher, SESSION, Told, definition};

/// Loses `count` frames of the other instrument, and says so by a heartbeat. Gives the frames.
fn lose(pair: &mut Pair, count: usize) -> Vec<Vec<u8>> {
    (0..count).for_each(|_| pair.publisher.bbo(OTHER));
    let lost = pair.lose();
    pair.publisher.heartbeat();
    pair.hear_all();
    lost
}

fn gaps(pair: &mut Pair) -> Vec<GapReport> {
    pair.receiver.take_gaps()
}

fn repairs(pair: &mut Pair) -> Vec<(u64, u64, Option<GapRepair>)> {
    gaps(pair).iter().map(|gap| (gap.first, gap.count, gap.repair)).collect()
}

/// One number is missing, and was just asked for.
fn with_one_asked() -> (Pair, Vec<u8>, Asked) {
    let mut pair = live();
    let lost = lose(&mut pair, 1).remove(0);
    pair.pass(WINDOW_DEFAULT_NS);
    let request = asked(&mut pair).remove(0);
    (pair, lost, request)
}

mod asking {
    use super::*;

    #[test]
    fn w_then_four_tries_at_doubling_times_then_given_up() {
        let mut spread = Vec::new();
        for seed in 0..40 {
            let mut pair = live_with(&Config { seed, ..config() });
            lose(&mut pair, 3);
            let opened_ns = pair.now_ns;
            let until_ns = opened_ns + 2 * MISSING_NS_MAX;
            let requests = run(&mut pair, until_ns);
            let missing = pair.publisher.next_seq - 3;
            assert_eq!(requests.len(), usize::from(TRIES));
            assert_eq!(requests[0].0, opened_ns + WINDOW_DEFAULT_NS);
            for (at, pair) in requests.windows(2).enumerate() {
                let wait_ns = pair[1].0 - pair[0].0;
                let base = RETRY_NS << at;
                assert!((base * 3 / 4..=base * 5 / 4).contains(&wait_ns), "try {at}: {wait_ns}");
                spread.push(wait_ns * 1_000 / base);
            }
            let ids: std::collections::HashSet<_> = requests.iter().map(|(_, asked)| asked.id).collect();
            assert_eq!(ids.len(), 4, "every request has a name of its own");
            for (_, request) in requests {
                assert_eq!((request.to, request.channel, request.session), (SERVER, CHANNEL, SESSION));
                assert_eq!((request.cookie, request.ranges), (0, vec![(missing, 3)]));
            }
            assert_eq!((pair.counter("given_up"), pair.channel()), (3, ChannelState::Repair));
            assert_eq!(pair.states(), (Reported::Unsure, Reported::Unsure));
            pair.publisher.cycle();
            pair.hear_all();
            let gap = gaps(&mut pair).remove(0);
            assert_eq!((gap.first, gap.count, gap.repair), (missing, 3, Some(GapRepair::Snapshot)));
            assert_eq!((gap.opened_ns, gap.after_ns), (opened_ns, 2 * MISSING_NS_MAX));
        }
        let (least, most) = (spread.iter().min().unwrap(), spread.iter().max().unwrap());
        assert!(*least < 800 && *most > 1_200, "retries are not spread: {least} to {most}");
    }

    #[test]
    fn the_last_give_up_is_within_forty_milliseconds() {
        let mut pair = live();
        lose(&mut pair, 1);
        let opened_ns = pair.now_ns;
        let until_ns = opened_ns + MISSING_NS_MAX;
        run(&mut pair, until_ns);
        assert_eq!(pair.counter("given_up"), 1);
    }

    #[test]
    fn before_w_and_where_the_frame_comes_in_time_nothing_is_asked_for() {
        let mut pair = live();
        let lost = lose(&mut pair, 1);
        pair.pass(WINDOW_DEFAULT_NS - 1);
        assert_eq!(asked(&mut pair), []);
        pair.hear(Line::A, &lost[0]);
        pair.pass(MISSING_NS_MAX);
        assert_eq!((asked(&mut pair), pair.counter("requests")), (vec![], 0));
        assert_eq!(repairs(&mut pair), [(pair.publisher.next_seq - 1, 1, Some(GapRepair::Late))]);
    }

    #[test]
    fn without_a_server_or_without_recovery_w_is_the_end() {
        let silent = Config { recovery: Recovery { retransmit: false }, ..config() };
        let mut no_server = Pair::live();
        let mut switched_off = live_with(&silent);
        for pair in [&mut no_server, &mut switched_off] {
            lose(pair, 1);
            pair.pass(WINDOW_DEFAULT_NS);
            assert_eq!((asked(pair), pair.counter("given_up")), (vec![], 1));
        }
        // A server that is named no more is asked no more.
        let (mut pair, ..) = with_one_asked();
        pair.publisher.retx = (0, 0, 0);
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.pass(RETRY_NS * 5 / 4);
        assert_eq!((asked(&mut pair), pair.counter("given_up")), (vec![], 1));
    }

    #[test]
    fn requests_hold_so_many_ranges_and_numbers_and_no_more() {
        let mut pair = live();
        let first = pair.publisher.next_seq;
        // 20 holes of one number, and then one of 600.
        for _ in 0..20 {
            pair.publisher.bbo(OTHER);
            pair.lose();
            pair.publisher.bbo(ID);
            pair.hear_all();
        }
        lose(&mut pair, 600);
        pair.pass(WINDOW_DEFAULT_NS);
        let requests = asked(&mut pair);
        let shape: Vec<_> =
            requests.iter().map(|request| (request.ranges.len(), request.numbers())).collect();
        assert_eq!(
            shape,
            [(REQUEST_RANGES_MAX, 16), (5, REQUEST_FRAMES_MAX), (1, REQUEST_FRAMES_MAX), (1, 92)]
        );
        assert_eq!(requests[0].ranges[..2], [(first, 1), (first + 2, 1)]);
        assert_eq!(requests[1].ranges[4], (first + 40, 252));
        assert_eq!((pair.counter("requests"), pair.counter("requested")), (4, 620));
    }

    #[test]
    fn nothing_before_the_first_number_heard_is_asked_for() {
        let mut pair = Pair::new(&config());
        pair.publisher.retx = (0x7F00_0001, 1, 0);
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        let until_ns = pair.now_ns + MISSING_NS_MAX;
        assert_eq!(run(&mut pair, until_ns), []);
        assert_eq!(pair.counter("missing"), 0);
    }

    #[test]
    fn our_budget_holds_and_what_must_wait_too_long_is_given_up() {
        let mut pair = live();
        for _ in 0..3 {
            let lost = lose(&mut pair, 4_000);
            let until_ns = pair.now_ns + WINDOW_DEFAULT_NS;
            run(&mut pair, until_ns);
            lost.iter().for_each(|frame| pair.hear(Line::Retransmit, frame));
        }
        let granted = 4_096 + FRAMES_PER_S * 3 * WINDOW_DEFAULT_NS / 1_000_000_000 + 1;
        assert!((4_000..=granted).contains(&pair.counter("requested")), "{}", pair.counter("requested"));
        assert!(pair.counter("requests_deferred") >= 4_000);
        // Nothing is left; what is lost now waits for tokens, one for each 125 microseconds, and then is given up.
        lose(&mut pair, 4_000);
        let before = pair.counter("requested");
        let until_ns = pair.now_ns + MISSING_NS_MAX - MS;
        run(&mut pair, until_ns);
        let rate = FRAMES_PER_S * (MISSING_NS_MAX - MS) / 1_000_000_000;
        let spent = pair.counter("requested") - before;
        assert!((rate / 2..=rate + 2).contains(&spent), "{spent} of {rate}");
        let until_ns = pair.now_ns + 50 * MS;
        run(&mut pair, until_ns);
        assert_eq!(pair.channel(), ChannelState::Repair);
        assert!(pair.counter("given_up") > 3_600);
    }

    #[test]
    fn a_caller_that_sends_nothing_ends_up_with_snapshots() {
        let mut pair = live();
        for _ in 0..200 {
            lose(&mut pair, 1);
            pair.pass(MS);
        }
        (0..4).for_each(|_| pair.pass(MISSING_NS_MAX));
        assert_eq!(pair.counter("given_up"), 200);
    }
}

mod answers {
    use super::*;

    #[test]
    fn a_retransmission_closes_the_hole_and_does_not_widen_w() {
        let (mut pair, lost, request) = with_one_asked();
        let opened_ns = pair.now_ns - WINDOW_DEFAULT_NS;
        pair.now_ns += MS;
        reply(&mut pair, &request, retx_code::OK, RetxReply { n_served: 1, ..empty() });
        pair.log.take();
        pair.hear(Line::Retransmit, &lost);
        let told = pair.told();
        assert!(matches!(told[0], Told::Frame { recovered: true, state: Reported::Live, .. }), "{told:?}");
        assert_eq!((pair.channel(), pair.counter("won_line_retransmit")), (ChannelState::Live, 1));
        assert_eq!(pair.receiver.channels().next().unwrap().window_ns, WINDOW_DEFAULT_NS);
        let gap = gaps(&mut pair).remove(0);
        assert_eq!((gap.cause, gap.repair), (GapCause::Network, Some(GapRepair::Retransmit)));
        assert_eq!((gap.opened_ns, gap.after_ns), (opened_ns, WINDOW_DEFAULT_NS + MS));
        assert_eq!((gap.channel, gap.session, gap.first), (CHANNEL, SESSION, pair.publisher.next_seq - 1));
        let until_ns = pair.now_ns + MISSING_NS_MAX;
        assert_eq!(run(&mut pair, until_ns), [], "it is asked for no more");
        pair.hear(Line::A, &lost);
        assert_eq!((pair.counter("duplicates"), pair.counter("copies")), (1, 1));
    }

    #[test]
    fn a_cookie_is_used_at_once_without_spending_a_try_and_kept() {
        let (mut pair, _, request) = with_one_asked();
        let asked_ns = pair.now_ns;
        pair.now_ns += MS / 10;
        reply(&mut pair, &request, retx_code::NEED_COOKIE, RetxReply { cookie: 77, ..empty() });
        let again = asked(&mut pair).remove(0);
        assert_eq!((again.cookie, &again.ranges, again.id == request.id), (77, &request.ranges, false));
        // A server that never has enough does not make us ask without end.
        reply(&mut pair, &again, retx_code::NEED_COOKIE, RetxReply { cookie: 78, ..empty() });
        assert_eq!((asked(&mut pair), pair.counter("replies_need_cookie")), (vec![], 2));
        let until_ns = asked_ns + MISSING_NS_MAX;
        let later = run(&mut pair, until_ns);
        assert_eq!(later.len(), usize::from(TRIES) - 1);
        assert!(later.iter().all(|(_, request)| request.cookie == 78));
    }

    #[test]
    fn too_old_gives_up_what_is_below_the_oldest() {
        let mut pair = live();
        lose(&mut pair, 5);
        pair.pass(WINDOW_DEFAULT_NS);
        let request = asked(&mut pair).remove(0);
        let first = request.ranges[0].0;
        reply(&mut pair, &request, retx_code::TOO_OLD, RetxReply { oldest_seq: first + 3, ..empty() });
        assert_eq!((pair.counter("given_up"), pair.counter("replies_too_old")), (3, 1));
        assert_eq!(pair.channel(), ChannelState::Repair);
        pair.pass(RETRY_NS * 5 / 4);
        assert_eq!(asked(&mut pair).remove(0).ranges, [(first + 3, 2)]);
    }

    #[test]
    fn a_server_that_limits_is_left_alone_for_as_long_as_it_says() {
        let (mut pair, _, request) = with_one_asked();
        let wait_ns = 7 * MS;
        let limited = RetxReply { retry_after_us: 7_000, ..empty() };
        reply(&mut pair, &request, retx_code::RATE_LIMITED, limited);
        let asked_ns = pair.now_ns;
        let other = lose(&mut pair, 1);
        let until_ns = asked_ns + wait_ns - 1;
        assert_eq!(run(&mut pair, until_ns), []);
        let until_ns = asked_ns + wait_ns;
        let (at_ns, again) = run(&mut pair, until_ns).remove(0);
        assert_eq!((at_ns, again.numbers()), (asked_ns + wait_ns, 2));
        pair.hear(Line::Retransmit, &other[0]);
        // The try that was refused does not count.
        let until_ns = asked_ns + 2 * MISSING_NS_MAX;
        assert_eq!(run(&mut pair, until_ns).len(), usize::from(TRIES) - 1);
        // One that says wait for longer than a number is waited for is as good as none.
        let (mut pair, _, request) = with_one_asked();
        let opened_ns = pair.now_ns - WINDOW_DEFAULT_NS;
        let limited = RetxReply { retry_after_us: u32::MAX, ..empty() };
        reply(&mut pair, &request, retx_code::RATE_LIMITED, limited);
        let until_ns = opened_ns + MISSING_NS_MAX;
        assert_eq!(run(&mut pair, until_ns), []);
        assert_eq!(pair.counter("given_up"), 1);
    }

    #[test]
    fn other_codes_and_strangers_are_counted_and_change_nothing() {
        let codes = [
            (retx_code::TOO_NEW, "replies_too_new"),
            (retx_code::BAD_SESSION, "replies_bad_session"),
            (retx_code::BAD_MAC, "replies_bad_mac"),
            (retx_code::MALFORMED, "replies_malformed"),
            (999, "replies_malformed"),
        ];
        for (code, counter) in codes {
            let (mut pair, _, request) = with_one_asked();
            let deadline = pair.receiver.deadline_ns();
            let stranger = Asked { id: request.id ^ 1, ..request.clone() };
            reply(&mut pair, &stranger, retx_code::TOO_OLD, RetxReply { oldest_seq: u64::MAX, ..empty() });
            assert_eq!((pair.counter("replies"), pair.counter("replies_unmatched")), (0, 1));
            let elsewhere = reply_frame(&request, retx_code::TOO_OLD, empty());
            pair.hear(Line::A, &elsewhere);
            assert_eq!((pair.counter("replies"), pair.counter("replies_unmatched")), (0, 2));
            reply(&mut pair, &request, code, RetxReply { oldest_seq: u64::MAX, ..empty() });
            assert_eq!((pair.counter("replies"), pair.counter(counter)), (1, 1));
            reply(&mut pair, &request, retx_code::TOO_OLD, RetxReply { oldest_seq: u64::MAX, ..empty() });
            assert_eq!(pair.counter("replies_unmatched"), 3, "a request is answered once");
            assert_eq!((pair.counter("given_up"), pair.receiver.deadline_ns()), (0, deadline));
        }
    }

    #[test]
    fn the_repair_group_repairs_but_speaks_for_nobody() {
        let mut pair = live();
        let lost = lose(&mut pair, 1);
        pair.pass(SILENCE_NS + 1);
        assert_eq!(pair.channel(), ChannelState::Dead);
        for line in [Line::Repair, Line::Retransmit] {
            pair.level(900, 1);
            let next = pair.publisher.one();
            pair.hear(line, &next);
            assert_eq!(pair.channel(), ChannelState::Dead, "a frame sent again does not end silence");
            pair.publisher.heartbeat();
            let heartbeat = pair.publisher.one();
            pair.hear(line, &heartbeat);
            let mut later = Publisher::new(SESSION + 1, 2);
            later.start(SESSION);
            let start = later.one();
            pair.hear(line, &start);
            assert_eq!(pair.receiver.channels().next().unwrap().session, SESSION);
        }
        assert_eq!((pair.counter("repair_foreign"), pair.counter("sessions")), (4, 1));
        pair.hear(Line::Repair, &lost[0]);
        assert_eq!(pair.counter("won_line_repair"), 2);
        let heard_by_nobody = &lost[0];
        let mut fresh = Pair::new(&config());
        fresh.hear(Line::Repair, heard_by_nobody);
        assert_eq!((fresh.receiver.channels().count(), fresh.counter("repair_foreign")), (0, 1));
    }

    #[test]
    fn a_repair_for_everyone_is_reported_as_such() {
        let (mut pair, lost, _) = with_one_asked();
        pair.hear(Line::Repair, &lost);
        assert_eq!(gaps(&mut pair)[0].repair, Some(GapRepair::RepairGroup));
    }

    #[test]
    fn the_tail_of_a_session_is_asked_for_before_it_is_over() {
        let mut pair = live();
        pair.level(101, 1);
        let tail = pair.lose();
        pair.publisher.end(0);
        pair.hear_all();
        pair.pass(WINDOW_DEFAULT_NS);
        assert_eq!(asked(&mut pair)[0].numbers(), 1);
        assert_eq!(pair.state(ID), Reported::Live);
        pair.hear(Line::Retransmit, &tail[0]);
        assert!(pair.is_equal());
        assert_eq!((pair.channel(), pair.state(ID)), (ChannelState::Dead, Reported::Stale));
        assert_eq!(pair.receiver.book(receive_support::VENUE, ID).unwrap().reason, reason::SESSION_ENDED);
    }
}

mod lines {
    use super::*;

    #[test]
    fn the_first_copy_wins_on_either_line() {
        let mut pair = live();
        pair.told();
        for (first, second) in [(Line::A, Line::B), (Line::B, Line::A), (Line::B, Line::A)] {
            pair.level(101, 1);
            let frame = pair.publisher.one();
            pair.hear(first, &frame);
            pair.hear(second, &frame);
        }
        assert_eq!(pair.told().len(), 3);
        assert_eq!((pair.counter("duplicates"), pair.counter("copies")), (3, 3));
        assert_eq!((pair.counter("won_line_b"), pair.counter("frames_line_b")), (2, 3));
        pair.level(102, 1);
        let frame = pair.publisher.one();
        pair.hear(Line::B, &frame);
        pair.hear(Line::B, &frame);
        assert_eq!((pair.counter("duplicates"), pair.counter("copies")), (4, 3), "the same line twice");
    }

    #[test]
    fn what_one_line_loses_the_other_has_and_w_learns_how_far_it_is_behind() {
        let mut pair = live();
        let late_ns = 700_000;
        pair.level(101, 1);
        pair.level(102, 1);
        let frames = pair.lose();
        pair.hear(Line::A, &frames[1]);
        pair.now_ns += late_ns;
        pair.hear(Line::B, &frames[0]);
        pair.hear(Line::B, &frames[1]);
        assert!(pair.is_equal());
        let gap = gaps(&mut pair).remove(0);
        assert_eq!((gap.repair, gap.after_ns), (Some(GapRepair::OtherLine), late_ns));
        assert_eq!(pair.receiver.channels().next().unwrap().window_ns, 750_000);
        assert_eq!(pair.counter("requests"), 0);
    }

    #[test]
    fn line_b_alone_carries_a_session_and_ends_silence() {
        let mut pair = Pair::new(&config());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.level(100, 5);
        for (_, frame) in pair.publisher.take() {
            pair.hear(Line::B, &frame);
        }
        assert_eq!(pair.state(ID), Reported::Live);
        pair.pass(SILENCE_NS + 1);
        assert_eq!(pair.channel(), ChannelState::Dead);
        pair.publisher.heartbeat();
        let heartbeat = pair.publisher.one();
        pair.hear(Line::B, &heartbeat);
        assert_eq!(pair.state(ID), Reported::Live);
        pair.hear(Line::A, &heartbeat);
        assert_eq!(pair.counter("heartbeats_old"), 1, "the other line's copy is no news");
    }

    #[test]
    fn other_bytes_on_any_line_are_an_alarm() {
        for line in [Line::A, Line::B, Line::Repair, Line::Retransmit] {
            let mut pair = live();
            pair.level(101, 1);
            let mut frame = pair.publisher.one();
            pair.hear(Line::A, &frame);
            outcrier_core::wire::seal(&mut frame, 9, None);
            pair.hear(line, &frame);
            assert_eq!((pair.counter("different_bytes"), pair.channel()), (1, ChannelState::Dead));
            lose(&mut pair, 1);
            let until_ns = pair.now_ns + MISSING_NS_MAX;
            assert_eq!(run(&mut pair, until_ns), [], "nobody is asked about a session of two publishers");
        }
    }

    #[test]
    fn each_line_carries_its_plane() {
        let mut pair = live();
        pair.publisher.cycle();
        let groups = pair.lose();
        pair.level(101, 1);
        let delta = pair.publisher.one();
        for line in [Line::A, Line::B] {
            pair.hear(line, &groups[0]);
        }
        for line in [Line::Snapshot, Line::Image] {
            pair.hear(line, &delta);
        }
        assert_eq!(pair.counter("wrong_plane"), 4);
    }

    #[test]
    fn the_last_numbers_of_a_channel_are_heard_without_a_wrap() {
        let mut pair = Pair::new(&config());
        pair.publisher.retx = (0x7F00_0001, 1, 0);
        pair.publisher.next_seq = u64::MAX - 5;
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.level(100, 5);
        let lost = pair.lose();
        pair.level(101, 5);
        pair.publisher.heartbeat();
        pair.hear_all();
        pair.pass(WINDOW_DEFAULT_NS);
        assert_eq!(asked(&mut pair)[0].ranges, [(u64::MAX - 4, 1)]);
        pair.hear(Line::Retransmit, &lost[0]);
        assert!(pair.is_equal());
        assert_eq!(pair.counter("chain_mismatch"), 0);
    }
}

mod snapshot_plane {
    use super::*;

    /// A pair whose instruments are UNSURE, so that the plane is needed; the number that was lost is given up.
    fn unsure() -> Pair {
        let mut pair = live();
        lose(&mut pair, 1);
        let until_ns = pair.now_ns + MISSING_NS_MAX;
        run(&mut pair, until_ns);
        assert!(pair.receiver.wants_snapshot_plane());
        // What is heard after joining.
        pair.publisher.group(OTHER);
        pair.hear_all();
        pair
    }

    #[test]
    fn a_lost_fragment_is_asked_for_and_completes_its_group() {
        let mut pair = unsure();
        pair.publisher.group(ID);
        let group = pair.lose();
        pair.hear(Line::Snapshot, &group[0]);
        pair.hear(Line::Snapshot, &group[2]);
        pair.pass(SNAPSHOT_WINDOW_NS - 1);
        assert_eq!(asked(&mut pair), []);
        pair.pass(1);
        let request = asked(&mut pair).remove(0);
        assert_eq!((request.channel, request.numbers()), (CHANNEL | CHANNEL_SNAPSHOT, 1));
        assert_eq!(pair.state(ID), Reported::Unsure);
        pair.hear(Line::Retransmit, &group[1]);
        assert_eq!(pair.state(ID), Reported::Live);
        assert_eq!((pair.counter("snapshot_filled"), pair.counter("groups_incomplete")), (1, 0));
        let gap =
            gaps(&mut pair).into_iter().find(|gap| gap.plane == outcrier_core::publish::Plane::Snapshot);
        assert_eq!(
            gap.map(|gap| (gap.first, gap.repair)),
            Some((request.ranges[0].0, Some(GapRepair::Retransmit)))
        );
        // Copies for others are none of ours.
        pair.hear(Line::Repair, &group[1]);
        assert_eq!(pair.counter("repair_unneeded"), 1);
    }

    #[test]
    fn a_group_is_given_up_after_the_tries_and_at_once_where_it_is_too_old() {
        for too_old in [false, true] {
            let mut pair = unsure();
            pair.publisher.group(ID);
            let group = pair.lose();
            pair.hear(Line::Snapshot, &group[0]);
            pair.hear(Line::Snapshot, &group[2]);
            let opened_ns = pair.now_ns;
            let until_ns = opened_ns + if too_old { SNAPSHOT_WINDOW_NS } else { MISSING_NS_MAX };
            let requests = run(&mut pair, until_ns);
            if too_old {
                let oldest_seq = requests[0].1.ranges[0].0 + 1;
                reply(&mut pair, &requests[0].1, retx_code::TOO_OLD, RetxReply { oldest_seq, ..empty() });
            } else {
                assert_eq!(requests.len(), usize::from(TRIES));
            }
            assert_eq!((pair.counter("groups_incomplete"), pair.counter("snapshot_missing")), (1, 1));
            assert_eq!(pair.state(ID), Reported::Unsure);
            pair.publisher.cycle();
            pair.hear_all();
            assert_eq!(pair.channel(), ChannelState::Live);
            assert!(gaps(&mut pair).iter().all(|gap| gap.repair == Some(GapRepair::Snapshot)));
        }
    }

    #[test]
    fn a_hole_that_nobody_needs_any_more_has_no_report_that_stays_open() {
        let mut pair = unsure();
        let first = pair.publisher.next_snapshot_seq;
        pair.publisher.cycle();
        let cycle = pair.lose();
        // The status of the other instrument, which is confirmed already, is lost.
        for (_, frame) in cycle.iter().enumerate().filter(|&(at, _)| at != 4) {
            pair.hear(Line::Snapshot, frame);
        }
        pair.level(101, 1);
        pair.publisher.bbo(OTHER);
        pair.hear_all();
        let repaired = pair.receiver.open_gaps().map(|gap| gap.first).collect::<Vec<_>>();
        assert!(repaired.contains(&(first + 4)), "{repaired:?}");
        let until_ns = pair.now_ns + 2 * MISSING_NS_MAX;
        run(&mut pair, until_ns);
        assert_eq!((pair.channel(), pair.receiver.open_gaps().count()), (ChannelState::Live, 0));
    }

    #[test]
    fn nothing_is_asked_for_that_is_not_needed_or_was_not_heard() {
        // Everything is LIVE: the plane's holes are nobody's.
        let mut pair = live();
        pair.publisher.cycle();
        pair.hear_all();
        pair.publisher.cycle();
        let cycle = pair.lose();
        pair.hear(Line::Snapshot, &cycle[3]);
        let until_ns = pair.now_ns + MISSING_NS_MAX;
        assert_eq!(run(&mut pair, until_ns), []);
        // Left and joined again: what it said meanwhile was not lost.
        (0..5).for_each(|_| pair.publisher.cycle());
        pair.lose();
        let mut pair = {
            lose(&mut pair, 1);
            let until_ns = pair.now_ns + MISSING_NS_MAX;
            run(&mut pair, until_ns);
            pair
        };
        pair.publisher.cycle();
        pair.hear_all();
        let until_ns = pair.now_ns + MISSING_NS_MAX;
        assert_eq!(run(&mut pair, until_ns), []);
        assert_eq!(pair.channel(), ChannelState::Live);
    }
}

mod drops {
    use super::*;

    #[test]
    fn drops_within_the_budget_are_asked_for_and_blamed_on_ourselves() {
        let mut pair = live();
        let lost = lose(&mut pair, 2);
        pair.receiver.on_kernel_drops(KERNEL_DROPS_MAX, pair.now_ns, &mut pair.log);
        pair.pass(WINDOW_DEFAULT_NS);
        assert_eq!(asked(&mut pair)[0].numbers(), 2);
        lost.iter().for_each(|frame| pair.hear(Line::Retransmit, frame));
        let gap = gaps(&mut pair).remove(0);
        assert_eq!((gap.cause, gap.repair), (GapCause::KernelDrops, Some(GapRepair::Retransmit)));
        // Found missing just after: the same drops. Later: not.
        for (later_ns, cause) in [(100 * MS, GapCause::KernelDrops), (100 * MS, GapCause::Network)] {
            pair.now_ns += later_ns;
            let lost = lose(&mut pair, 1);
            pair.hear(Line::A, &lost[0]);
            assert_eq!(gaps(&mut pair)[0].cause, cause);
        }
    }

    #[test]
    fn above_the_budget_everything_is_given_up_and_nothing_is_asked_for() {
        let mut pair = live();
        lose(&mut pair, 3);
        pair.receiver.on_kernel_drops(KERNEL_DROPS_MAX, pair.now_ns, &mut pair.log);
        assert_eq!(pair.counter("given_up"), 0);
        pair.receiver.on_kernel_drops(1, pair.now_ns, &mut pair.log);
        assert_eq!((pair.counter("given_up"), pair.counter("overruns")), (3, 1));
        assert_eq!((pair.channel(), pair.state(ID)), (ChannelState::Repair, Reported::Unsure));
        assert!(pair.receiver.wants_snapshot_plane());
        lose(&mut pair, 3);
        let until_ns = pair.now_ns + WINDOW_DEFAULT_NS;
        assert_eq!(run(&mut pair, until_ns), []);
        assert_eq!(pair.counter("given_up"), 6);
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        let gaps = gaps(&mut pair);
        assert_eq!(gaps.len(), 2);
        assert!(gaps.iter().all(|gap| gap.cause == GapCause::KernelDrops));
        assert!(gaps.iter().all(|gap| gap.repair == Some(GapRepair::Snapshot)));
        // A second later it may ask again.
        let later_ns = pair.now_ns + 1_000 * MS;
        pair.now_ns = later_ns;
        lose(&mut pair, 1);
        pair.pass(WINDOW_DEFAULT_NS);
        assert_eq!(asked(&mut pair).len(), 1);
    }

    #[test]
    fn the_budget_is_for_one_second() {
        let mut pair = live();
        for _ in 0..5 {
            pair.now_ns += 1_000 * MS;
            pair.receiver.on_kernel_drops(KERNEL_DROPS_MAX, pair.now_ns, &mut pair.log);
        }
        assert_eq!((pair.counter("overruns"), pair.counter("kernel_drops")), (0, 5 * KERNEL_DROPS_MAX));
    }
}

#[test]
fn books_stay_equal_through_a_burst_that_is_sent_again_in_any_order() {
    let mut pair = live();
    for at in 0..500 {
        pair.publisher.delta(ID, &[Level { price: 100 + at % 37, qty: at }], &[], 7, 3);
    }
    let mut lost = pair.lose();
    pair.publisher.heartbeat();
    pair.hear_all();
    pair.pass(WINDOW_DEFAULT_NS);
    assert_eq!(asked(&mut pair).iter().map(Asked::numbers).collect::<Vec<_>>(), [256, 244]);
    lost.rotate_left(123);
    lost.iter().for_each(|frame| pair.hear(Line::Retransmit, frame));
    assert!(pair.is_equal());
    assert_eq!((pair.state(ID), pair.counter("given_up")), (Reported::Live, 0));
    assert_eq!(repairs(&mut pair).len(), 1);
    assert_eq!(pair.told().iter().filter(|told| matches!(told, Told::Lost { .. })).count(), 0);
    assert_eq!(pair.counter("filled"), 500);
    let delivered = |told: &Told| matches!(told, Told::Frame { msg_type: msg::BOOK_DELTA, .. });
    assert!(!pair.told().iter().any(delivered), "told once");
}
