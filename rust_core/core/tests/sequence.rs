//! Each verdict of each continuity rule.

use outcrier_core::event::Ids;
use outcrier_core::sequence::{Continuity, Rule, Splice, SpliceVerdict, Verdict};

fn ids(first: u64, last: u64, prev: u64) -> Ids {
    Ids { first: Some(first), last: Some(last), prev: Some(prev) }
}

fn range(first: u64, last: u64) -> Ids {
    Ids { prev: None, ..ids(first, last, 0) }
}

fn number(last: u64) -> Ids {
    Ids { last: Some(last), ..Ids::default() }
}

fn at(rule: Rule, splice: Splice, local: u64) -> Continuity {
    let mut continuity = Continuity::new(rule, splice);
    continuity.restart_at(Some(local));
    continuity
}

#[test]
fn range_applies_what_continues_or_overlaps() {
    let mut spot = Continuity::new(Rule::Range, Splice::Range);
    assert_eq!(spot.check(&range(50, 60)), Verdict::Apply, "the first event is adopted");
    assert_eq!(spot.check(&range(61, 70)), Verdict::Apply);
    assert_eq!(spot.check(&range(65, 80)), Verdict::Apply);
    assert_eq!(spot.local(), Some(80));
    assert_eq!(spot.check(&range(70, 79)), Verdict::Old);
    assert_eq!(spot.check(&range(70, 80)), Verdict::Old, "it ends where we are");
    assert_eq!(spot.check(&range(82, 90)), Verdict::Gap { expected: 81, got: 82 });
    assert_eq!(spot.local(), Some(80), "a gap moves nothing");
    assert_eq!(spot.check(&range(81, 81)), Verdict::Apply);
    spot.reset();
    assert_eq!(spot.check(&range(3, 4)), Verdict::Apply);
}

#[test]
fn range_does_not_wrap_at_the_largest_id() {
    let mut spot = at(Rule::Range, Splice::Range, u64::MAX);
    assert_eq!(spot.check(&range(u64::MAX, u64::MAX)), Verdict::Old);
    assert_eq!(spot.check(&range(0, 5)), Verdict::Old);
    let mut spot = Continuity::new(Rule::Range, Splice::Range);
    assert_eq!(spot.splice(u64::MAX, &range(0, u64::MAX)), SpliceVerdict::Old);
    assert_eq!(spot.splice(u64::MAX - 1, &range(u64::MAX, u64::MAX)), SpliceVerdict::Apply);
}

#[test]
fn chain_follows_the_link_and_not_the_range() {
    let mut futures = Continuity::new(Rule::Chain, Splice::Chain);
    assert_eq!(futures.check(&ids(157, 160, 149)), Verdict::Apply, "the first event is adopted");
    assert_eq!(futures.check(&ids(171, 180, 160)), Verdict::Apply, "U is not the previous u + 1 on futures");
    assert_eq!(futures.check(&ids(171, 180, 160)), Verdict::Old);
    assert_eq!(futures.check(&ids(181, 190, 181)), Verdict::Gap { expected: 180, got: 181 });
    assert_eq!(futures.check(&ids(181, 190, 180)), Verdict::Apply);
}

#[test]
fn chain_accepts_the_keep_alive_and_the_reset_of_okx() {
    let mut okx = at(Rule::Chain, Splice::InStream, 15);
    let link = |prev, last| Ids { first: None, last: Some(last), prev: Some(prev) };
    assert_eq!(okx.check(&link(15, 15)), Verdict::Apply);
    assert_eq!(okx.check(&link(15, 3)), Verdict::Apply);
    assert_eq!(okx.local(), Some(3));
    assert_eq!(okx.check(&link(3, 5)), Verdict::Apply);
}

#[test]
fn plus_one_counts_per_instrument_and_per_connection() {
    let mut instrument = Continuity::new(Rule::PlusOne, Splice::Range);
    let mut connection = Continuity::new(Rule::ConnectionPlusOne, Splice::InStream);
    for last in [7, 8, 9] {
        assert_eq!(instrument.check(&number(last)), Verdict::Apply);
        assert_eq!(connection.check(&number(last)), Verdict::Apply);
    }
    assert_eq!(instrument.check(&number(9)), Verdict::Old);
    assert_eq!(connection.check(&number(9)), Verdict::Gap { expected: 10, got: 9 });
    assert_eq!(instrument.check(&number(11)), Verdict::Gap { expected: 10, got: 11 });
    assert_eq!(connection.check(&number(11)), Verdict::Gap { expected: 10, got: 11 });
    let mut wrapped = at(Rule::PlusOne, Splice::None, u64::MAX);
    assert_eq!(wrapped.check(&number(0)), Verdict::Apply);
}

#[test]
fn none_proves_nothing_and_applies_all() {
    let mut none = Continuity::new(Rule::None, Splice::None);
    for event in [range(5, 6), range(90, 91), Ids::default(), number(1)] {
        assert_eq!(none.check(&event), Verdict::Apply);
    }
    assert_eq!(none.splice(40, &Ids::default()), SpliceVerdict::Apply);
}

#[test]
fn a_missing_id_is_a_gap_and_not_an_event() {
    let nothing = Ids::default();
    assert_eq!(at(Rule::Range, Splice::Range, 5).check(&nothing), Verdict::Gap { expected: 6, got: 0 });
    assert_eq!(at(Rule::Range, Splice::Range, 5).check(&number(6)), Verdict::Gap { expected: 6, got: 0 });
    assert_eq!(at(Rule::Chain, Splice::Chain, 5).check(&range(6, 7)), Verdict::Gap { expected: 5, got: 0 });
    assert_eq!(at(Rule::Chain, Splice::Chain, 5).check(&nothing), Verdict::Gap { expected: 5, got: 0 });
    assert_eq!(at(Rule::PlusOne, Splice::None, 5).check(&nothing), Verdict::Gap { expected: 6, got: 0 });
    assert_eq!(
        Continuity::new(Rule::Range, Splice::Range).check(&nothing),
        Verdict::Gap { expected: 0, got: 0 }
    );
    let too_old = |expected| SpliceVerdict::SnapshotTooOld { expected, got: 0 };
    assert_eq!(Continuity::new(Rule::Range, Splice::Range).splice(9, &nothing), too_old(10));
    assert_eq!(Continuity::new(Rule::Chain, Splice::Chain).splice(9, &nothing), too_old(9));
}

#[test]
fn range_splice_drops_what_the_snapshot_holds_and_finds_the_hole() {
    let splice = |first, last| {
        let mut spot = Continuity::new(Rule::Range, Splice::Range);
        let verdict = spot.splice(100, &range(first, last));
        assert_eq!(spot.local(), (verdict == SpliceVerdict::Apply).then_some(last));
        verdict
    };
    assert_eq!(splice(90, 99), SpliceVerdict::Old);
    assert_eq!(splice(95, 100), SpliceVerdict::Old);
    assert_eq!(splice(95, 101), SpliceVerdict::Apply);
    assert_eq!(splice(100, 105), SpliceVerdict::Apply);
    assert_eq!(splice(101, 101), SpliceVerdict::Apply, "NEXOUSDT: U == lastUpdateId + 1 leaves no hole");
    assert_eq!(splice(102, 110), SpliceVerdict::SnapshotTooOld { expected: 101, got: 102 });
}

#[test]
fn chain_splice_takes_the_event_that_reaches_back_to_the_snapshot() {
    let splice = |event: &Ids| {
        let mut futures = Continuity::new(Rule::Chain, Splice::Chain);
        let verdict = futures.splice(100, event);
        assert_eq!(futures.local(), (verdict == SpliceVerdict::Apply).then_some(event.last).flatten());
        verdict
    };
    assert_eq!(splice(&ids(90, 99, 80)), SpliceVerdict::Old);
    assert_eq!(splice(&ids(90, 100, 80)), SpliceVerdict::Apply, "the docs keep u == lastUpdateId");
    assert_eq!(splice(&ids(95, 110, 80)), SpliceVerdict::Apply, "U <= lastUpdateId <= u");
    assert_eq!(splice(&ids(105, 110, 100)), SpliceVerdict::Apply, "pu == lastUpdateId");
    assert_eq!(splice(&ids(105, 110, 98)), SpliceVerdict::Apply, "nothing lies between pu and U");
    assert_eq!(splice(&ids(105, 110, 101)), SpliceVerdict::SnapshotTooOld { expected: 100, got: 101 });
    assert_eq!(splice(&range(100, 110)), SpliceVerdict::Apply);
    assert_eq!(splice(&range(101, 110)), SpliceVerdict::SnapshotTooOld { expected: 100, got: 101 });
}

#[test]
fn a_snapshot_newer_than_all_buffered_events_waits_for_later_ones() {
    let mut futures = Continuity::new(Rule::Chain, Splice::Chain);
    for event in [ids(1, 5, 0), ids(8, 9, 5), ids(12, 13, 9)] {
        assert_eq!(futures.splice(50, &event), SpliceVerdict::Old);
    }
    assert_eq!(futures.splice(50, &ids(40, 60, 13)), SpliceVerdict::Apply);
    assert_eq!(futures.check(&ids(70, 80, 60)), Verdict::Apply);
}

#[test]
fn rules_are_words_in_a_declaration() {
    let rules: Vec<Rule> =
        serde_json::from_str(r#"["range","chain","plus_one","connection_plus_one","none"]"#).expect("rules");
    assert_eq!(rules, [Rule::Range, Rule::Chain, Rule::PlusOne, Rule::ConnectionPlusOne, Rule::None]);
    let splices: Vec<Splice> =
        serde_json::from_str(r#"["range","chain","in_stream","none"]"#).expect("splices");
    assert_eq!(splices, [Splice::Range, Splice::Chain, Splice::InStream, Splice::None]);
    assert!(serde_json::from_str::<Rule>(r#""Range""#).is_err());
}
