//! The image of a late joiner, and the reports of gaps.

mod receive_support;

use outcrier_core::publish::Plane;
use outcrier_core::receive::{
    ChannelState, Config, GAPS_KEPT_MAX, GAPS_OPEN_MAX, GapCause, GapRepair, GapReport, IMAGE_EVERY_NS,
    IMAGE_GIVEN_UP_MIN, ImageWanted, Line, MISSING_NS_MAX, Recovery, Reported, WINDOW_DEFAULT_NS, Wanted,
};
use outcrier_core::wire::{self, Message, RetxReply, msg, retx_code, status};
use receive_support::asks::{Asked, CONSUMER, IMAGES, SERVER, config, empty, live, reply_frame, run};
use receive_support::pair::{ID, MS, OTHER, Pair};
use receive_support::{CHANNEL, Publisher, SESSION, Told, VENUE, definition};

/// A joiner that heard the newest frame and the heartbeat, and a publisher with a book.
fn joiner(config: &Config) -> Pair {
    let mut pair = Pair::new(config);
    pair.publisher.retx = (u32::from(*SERVER.ip()), SERVER.port(), IMAGES.port());
    pair.publisher.start(0);
    pair.publisher.define(ID, definition("BTC/USDT", 1));
    pair.publisher.define(OTHER, definition("ETH/USDT", 1));
    pair.level(100, 5);
    pair.lose();
    pair.level(101, 6);
    pair.publisher.heartbeat();
    pair.hear_all();
    pair
}

/// Frames of a cycle, numbered from 1 as those of an image are.
fn image(pair: &mut Pair) -> Vec<Vec<u8>> {
    let before = std::mem::replace(&mut pair.publisher.next_snapshot_seq, 1);
    pair.publisher.cycle();
    pair.publisher.next_snapshot_seq = before;
    pair.lose()
}

fn wanted(pair: &mut Pair) -> Option<ImageWanted> {
    pair.receiver.image_wanted(pair.now_ns)
}

/// Instruments that the request names.
fn wants(wanted: &ImageWanted) -> Vec<u32> {
    let frame = wire::check(&wanted.request).expect("a request is a frame");
    let header = frame.header;
    assert_eq!((header.msg_type, header.session, header.venue), (msg::SNAP_REQUEST, SESSION, VENUE));
    assert_eq!((header.channel_number(), header.is_snapshot_plane()), (CHANNEL, true));
    let Message::SnapRequest(root, wants) = frame.message() else { panic!("no request") };
    assert_eq!((root.consumer_id, root.cookie), (CONSUMER, 0));
    wants.map(|want| want.instrument).collect()
}

mod images {
    use super::*;

    #[test]
    fn a_joiner_is_live_by_an_image_and_what_it_held() {
        let mut pair = joiner(&config());
        let image_wanted = wanted(&mut pair).unwrap();
        assert_eq!((image_wanted.to, image_wanted.channel), (IMAGES, CHANNEL));
        assert!(wants(&image_wanted).is_empty());
        pair.receiver.image_started(CHANNEL);
        let image = image(&mut pair);
        // Said while the image is under way: some of it before, some of it after the cut.
        pair.level(102, 7);
        pair.hear_all();
        let asked =
            Asked { to: IMAGES, channel: CHANNEL | 0x80, session: SESSION, id: 1, cookie: 0, ranges: vec![] };
        let welcome = reply_frame(&asked, retx_code::OK, RetxReply { n_served: 7, ..empty() });
        pair.hear(Line::Image, &welcome);
        for (at, frame) in image.iter().enumerate() {
            assert_eq!(pair.channel(), ChannelState::Sync, "before frame {at}");
            pair.hear(Line::Image, frame);
        }
        assert_eq!(pair.channel(), ChannelState::Live);
        assert_eq!(pair.states(), (Reported::Live, Reported::Live));
        assert!(pair.is_equal() && !pair.receiver.wants_snapshot_plane());
        assert_eq!((pair.counter("images"), pair.counter("image_frames")), (1, image.len() as u64));
        assert_eq!(pair.counter("held_covered"), 1);
        let last = pair.told().pop();
        assert!(matches!(last, Some(Told::Frame { .. } | Told::Snapshot { .. } | Told::State { .. })));
        pair.receiver.image_ended(CHANNEL);
        pair.now_ns += IMAGE_EVERY_NS;
        assert_eq!(wanted(&mut pair), None, "nothing is missing any more");
    }

    #[test]
    fn an_image_does_not_disturb_the_cycle_beside_it() {
        let mut pair = joiner(&config());
        wanted(&mut pair).unwrap();
        pair.receiver.image_started(CHANNEL);
        let image = image(&mut pair);
        pair.publisher.cycle();
        let cycle = pair.lose();
        for at in 0..cycle.len() {
            pair.hear(Line::Snapshot, &cycle[at]);
            pair.hear(Line::Image, &image[at]);
        }
        assert_eq!(pair.states(), (Reported::Live, Reported::Live));
        assert_eq!(pair.counter("groups_incomplete") + pair.counter("snapshot_missing"), 0);
        assert_eq!(pair.counter("cycles"), 1);
    }

    #[test]
    fn groups_of_an_image_are_not_counted_as_the_cycles() {
        let mut pair = joiner(&config());
        wanted(&mut pair).unwrap();
        pair.receiver.image_started(CHANNEL);
        // Digests that are not ours: only the number of groups can prove anything.
        let spoil = |frames: &mut Vec<Vec<u8>>| {
            let end = frames.last_mut().unwrap();
            end[66 + 16] ^= 1;
            wire::seal(end, 0, None);
        };
        let first = pair.publisher.next_snapshot_seq;
        pair.publisher.group(ID);
        let gone = pair.publisher.instruments.remove(&OTHER).unwrap();
        pair.publisher.cycle_end(first);
        let mut cycle = pair.lose();
        spoil(&mut cycle);
        pair.publisher.instruments.insert(OTHER, gone);
        let mut image = image(&mut pair);
        spoil(&mut image);
        let end = cycle.pop().unwrap();
        cycle.iter().for_each(|frame| pair.hear(Line::Snapshot, frame));
        image.iter().for_each(|frame| pair.hear(Line::Image, frame));
        assert_eq!(pair.receiver.whole_cycles().collect::<Vec<_>>(), [(CHANNEL, false)]);
        pair.hear(Line::Snapshot, &end);
        assert_eq!(pair.receiver.whole_cycles().collect::<Vec<_>>(), [(CHANNEL, true)]);
    }

    #[test]
    fn it_is_wanted_at_most_so_often_and_only_where_it_helps() {
        let mut pair = joiner(&config());
        assert!(wanted(&mut pair).is_some());
        assert_eq!(wanted(&mut pair), None);
        pair.now_ns += IMAGE_EVERY_NS - 1;
        assert_eq!(wanted(&mut pair), None);
        pair.now_ns += 1;
        assert!(wanted(&mut pair).is_some());
        assert_eq!(pair.counter("images_wanted"), 2);
        // Heard from the first number on: the session defines everything by itself.
        let mut pair = Pair::new(&config());
        pair.publisher.retx = (1, 1, 1);
        pair.publisher.start(0);
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!((pair.channel(), wanted(&mut pair)), (ChannelState::Sync, None));
        // Nobody serves any, or recovery is off.
        let mut pair = joiner(&config());
        pair.publisher.retx = (u32::from(*SERVER.ip()), SERVER.port(), 0);
        pair.publisher.heartbeat();
        pair.hear_all();
        assert_eq!(wanted(&mut pair), None);
        let mut pair = joiner(&Config { recovery: Recovery { retransmit: false }, ..config() });
        assert_eq!(wanted(&mut pair), None);
    }

    #[test]
    fn a_give_up_of_many_numbers_wants_one() {
        for (count, helps) in [(IMAGE_GIVEN_UP_MIN - 1, false), (IMAGE_GIVEN_UP_MIN, true)] {
            let mut pair = live();
            (0..count).for_each(|_| pair.publisher.bbo(OTHER));
            pair.level(103, 1);
            let lost = pair.lose();
            pair.publisher.heartbeat();
            pair.hear_all();
            // One of them comes.
            pair.hear(Line::A, &lost[0]);
            let until_ns = pair.now_ns + 2 * MISSING_NS_MAX;
            run(&mut pair, until_ns);
            assert_eq!(pair.counter("given_up"), count);
            assert_eq!(wanted(&mut pair).is_some(), helps);
            if helps {
                pair.receiver.image_started(CHANNEL);
                image(&mut pair).iter().for_each(|frame| pair.hear(Line::Image, frame));
                assert_eq!(pair.channel(), ChannelState::Live);
                assert!(pair.is_equal());
            }
        }
    }

    #[test]
    fn an_image_from_before_the_loss_does_not_prove_that_no_definition_was_lost() {
        let mut pair = live();
        let early = image(&mut pair);
        pair.publisher.define(13, definition("LTC/USDT", 1));
        (0..IMAGE_GIVEN_UP_MIN).for_each(|_| pair.publisher.bbo(13));
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        let until_ns = pair.now_ns + 2 * MISSING_NS_MAX;
        run(&mut pair, until_ns);
        wanted(&mut pair).unwrap();
        pair.receiver.image_started(CHANNEL);
        early.iter().for_each(|frame| pair.hear(Line::Image, frame));
        assert_eq!((pair.counter("images"), pair.channel()), (1, ChannelState::Repair));
        // Both are confirmed, but a third one is still unknown.
        pair.level(105, 1);
        pair.publisher.bbo(OTHER);
        pair.hear_all();
        assert_eq!(pair.states(), (Reported::Live, Reported::Live));
        assert_eq!(pair.channel(), ChannelState::Repair);
        assert!(pair.receiver.wants_snapshot_plane());
    }

    #[test]
    fn a_stream_that_is_no_image_is_dropped() {
        let mut pair = joiner(&config());
        let frames = image(&mut pair);
        pair.hear(Line::Image, &frames[0]);
        assert_eq!(pair.counter("image_unexpected"), 1, "nobody asked for it");
        wanted(&mut pair).unwrap();
        pair.receiver.image_started(CHANNEL);
        pair.hear(Line::Image, &frames[0]);
        pair.hear(Line::Image, &frames[2]);
        assert_eq!(pair.counter("images_broken"), 1);
        frames[1..].iter().for_each(|frame| pair.hear(Line::Image, frame));
        assert_eq!(pair.counter("image_unexpected"), frames.len() as u64);
        assert_eq!(pair.channel(), ChannelState::Sync);
        // Another connection begins at 1 again; a server that refuses ends it.
        pair.receiver.image_started(CHANNEL);
        frames.iter().for_each(|frame| pair.hear(Line::Image, frame));
        assert_eq!(pair.channel(), ChannelState::Live);
        pair.receiver.image_started(CHANNEL);
        let asked =
            Asked { to: IMAGES, channel: CHANNEL | 0x80, session: SESSION, id: 1, cookie: 0, ranges: vec![] };
        let refusal = reply_frame(&asked, retx_code::RATE_LIMITED, empty());
        pair.hear(Line::Image, &refusal);
        assert_eq!(pair.counter("images_broken"), 2);
        // Hooks for channels that nobody heard of are harmless.
        pair.receiver.image_started(99);
        pair.receiver.image_ended(255);
    }

    #[test]
    fn who_wants_few_symbols_asks_for_those() {
        let symbols = Wanted::symbols(["BTC/USDT@2", "ETH/USDT@2"]).unwrap();
        let mut pair = joiner(&Config { wanted: symbols, ..config() });
        let unknown = wanted(&mut pair).unwrap();
        assert!(wants(&unknown).is_empty(), "their numbers are not known yet");
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        pair.now_ns += IMAGE_EVERY_NS;
        pair.publisher.heartbeat();
        pair.hear_all();
        (0..IMAGE_GIVEN_UP_MIN).for_each(|_| pair.publisher.bbo(OTHER));
        pair.lose();
        pair.publisher.heartbeat();
        pair.hear_all();
        let until_ns = pair.now_ns + 2 * MISSING_NS_MAX;
        run(&mut pair, until_ns);
        pair.level(105, 1);
        pair.hear_all();
        assert_eq!(
            wants(&wanted(&mut pair).unwrap()),
            [OTHER],
            "the other one is confirmed by its own frame"
        );
        pair.receiver.image_started(CHANNEL);
        let first = std::mem::replace(&mut pair.publisher.next_snapshot_seq, 1);
        pair.publisher.group(OTHER);
        pair.publisher.cycle_end(1);
        pair.publisher.next_snapshot_seq = first;
        for frame in pair.lose() {
            pair.hear(Line::Image, &frame);
        }
        assert_eq!((pair.channel(), pair.states()), (ChannelState::Live, (Reported::Live, Reported::Live)));
    }
}

mod reports {
    use super::*;

    fn lose(pair: &mut Pair, count: usize) -> Vec<Vec<u8>> {
        (0..count).for_each(|_| pair.publisher.bbo(OTHER));
        let lost = pair.lose();
        pair.publisher.bbo(ID);
        let next = pair.publisher.one();
        pair.receiver.on_datagram(Line::A, &next, 1_700, pair.now_ns, &mut pair.log);
        lost
    }

    #[test]
    fn a_run_has_one_report_that_closes_with_its_last_number() {
        let mut pair = live();
        let lost = lose(&mut pair, 3);
        let (opened_ns, first) = (pair.now_ns, pair.publisher.next_seq - 4);
        let open = GapReport {
            channel: CHANNEL,
            venue: VENUE,
            session: SESSION,
            plane: Plane::Incremental,
            first,
            count: 3,
            opened_ns,
            opened_ts: 1_700,
            cause: GapCause::Network,
            repair: None,
            after_ns: 0,
            instrument: 0,
            expected: 0,
            got: 0,
        };
        assert_eq!(pair.receiver.open_gaps().collect::<Vec<_>>(), [open]);
        pair.hear(Line::Retransmit, &lost[2]);
        pair.hear(Line::B, &lost[0]);
        assert_eq!(pair.receiver.take_gaps(), []);
        assert_eq!(pair.receiver.open_gaps().collect::<Vec<_>>(), [open]);
        pair.now_ns += 5;
        pair.hear(Line::A, &lost[1]);
        let closed = GapReport { repair: Some(GapRepair::Retransmit), after_ns: 5, ..open };
        assert_eq!(pair.receiver.take_gaps(), [closed]);
        assert_eq!((pair.receiver.take_gaps(), pair.receiver.open_gaps().count()), (vec![], 0));
    }

    #[test]
    fn a_run_partly_given_up_is_healed_by_the_snapshot_or_by_coming_after_all() {
        for comes_late in [false, true] {
            let mut pair = live();
            let lost = lose(&mut pair, 2);
            pair.hear(Line::A, &lost[0]);
            let until_ns = pair.now_ns + 2 * MISSING_NS_MAX;
            run(&mut pair, until_ns);
            assert_eq!((pair.counter("given_up"), pair.receiver.take_gaps().len()), (1, 0));
            let repair = if comes_late {
                pair.hear(Line::Retransmit, &lost[1]);
                GapRepair::Retransmit
            } else {
                pair.publisher.cycle();
                pair.hear_all();
                GapRepair::Snapshot
            };
            let gaps = pair.receiver.take_gaps();
            assert_eq!((gaps.len(), gaps[0].repair, gaps[0].count), (1, Some(repair), 2));
        }
    }

    #[test]
    fn a_new_session_closes_what_is_open_and_loses_no_report() {
        let mut pair = live();
        let lost = lose(&mut pair, 1);
        pair.hear(Line::A, &lost[0]);
        lose(&mut pair, 2);
        pair.publisher.status(ID, status::state::STALE, status::reason::SOURCE_GAP);
        pair.hear_all();
        pair.publisher = Publisher::new(SESSION + 1, 2);
        pair.publisher.start(SESSION);
        pair.hear_all();
        let repairs: Vec<_> = pair.receiver.take_gaps().iter().map(|gap| (gap.session, gap.repair)).collect();
        let session = (SESSION, Some(GapRepair::Session));
        assert_eq!(repairs, [(SESSION, Some(GapRepair::Late)), session, session]);
        assert_eq!(pair.receiver.open_gaps().count(), 0);
    }

    #[test]
    fn a_book_that_the_publisher_rebuilds_is_a_gap_of_the_exchange() {
        let mut pair = live();
        let status_of = |pair: &mut Pair, state, reason| {
            pair.publisher.status(ID, state, reason);
            let frame = pair.publisher.one();
            pair.receiver.on_datagram(Line::A, &frame, 1_900, pair.now_ns, &mut pair.log);
        };
        let opened_ns = pair.now_ns;
        let first = pair.publisher.next_seq;
        status_of(&mut pair, status::state::STALE, status::reason::CHECKSUM);
        pair.now_ns += MS;
        status_of(&mut pair, status::state::RECOVERING, status::reason::SOURCE_GAP);
        assert_eq!(pair.receiver.open_gaps().count(), 1);
        pair.publisher.whole_book(ID);
        pair.hear_all();
        pair.now_ns += MS;
        status_of(&mut pair, status::state::LIVE, 0);
        let gaps = pair.receiver.take_gaps();
        assert_eq!(gaps.len(), 1);
        let gap = gaps[0];
        assert_eq!(
            (gap.cause, gap.repair, gap.instrument),
            (GapCause::Exchange, Some(GapRepair::Exchange), ID)
        );
        assert_eq!((gap.first, gap.count, gap.opened_ns, gap.opened_ts), (first, 0, opened_ns, 1_900));
        assert_eq!(gap.after_ns, 2 * MS);
        // A book that was not sent yet is no gap.
        status_of(&mut pair, status::state::RECOVERING, status::reason::NONE);
        assert_eq!(pair.receiver.open_gaps().count(), 0);
    }

    #[test]
    fn what_was_expected_and_what_came_is_told() {
        let mut pair = live();
        let root = wire::Status {
            scope: status::scope::INSTRUMENT,
            state: status::state::STALE,
            reason: status::reason::SOURCE_GAP,
            expected: 41,
            got: 44,
            ..wire::zeroed()
        };
        pair.publisher.numbered(msg::STATUS, ID, wire::flags::EVENT_END, &root, wire::NO_RECORDS);
        pair.hear_all();
        let open: Vec<_> = pair.receiver.open_gaps().map(|gap| (gap.expected, gap.got)).collect();
        assert_eq!(open, [(41, 44)]);
    }

    #[test]
    fn reports_are_bounded_and_those_beyond_are_counted() {
        let mut pair = live();
        for _ in 0..GAPS_KEPT_MAX + 3 {
            let lost = lose(&mut pair, 1);
            pair.hear(Line::A, &lost[0]);
        }
        assert_eq!(pair.counter("gaps_unreported"), 3);
        assert_eq!(pair.receiver.take_gaps().len(), GAPS_KEPT_MAX);
        // Given up and not healed, they stay open.
        for _ in 0..GAPS_OPEN_MAX + 2 {
            lose(&mut pair, 1);
            pair.receiver.on_kernel_drops(1_000, pair.now_ns, &mut pair.log);
        }
        assert_eq!((pair.receiver.open_gaps().count(), pair.counter("gaps_unreported")), (GAPS_OPEN_MAX, 5));
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        assert_eq!(pair.receiver.take_gaps().len(), GAPS_OPEN_MAX);
    }

    #[test]
    fn more_missing_than_may_be_are_one_report_and_are_healed() {
        let mut pair = live();
        lose(&mut pair, 5);
        lose(&mut pair, 4_096);
        assert_eq!(pair.counter("given_up"), 5 + 4_096);
        let until_ns = pair.now_ns + WINDOW_DEFAULT_NS;
        assert_eq!(run(&mut pair, until_ns), []);
        pair.publisher.cycle();
        pair.hear_all();
        let counts: Vec<_> = pair.receiver.take_gaps().iter().map(|gap| (gap.count, gap.repair)).collect();
        assert_eq!(counts, [(5, Some(GapRepair::Snapshot)), (4_096, Some(GapRepair::Snapshot))]);
    }
}
