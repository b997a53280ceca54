//! What may stand before a watched place of an inferred queue, and how probably it is reached.

mod rng;

use outcrier_core::event::Side;
use outcrier_core::orders::{Belief, Inference, Rule, WatchId, Weights};
use rng::Rng;

const S: i64 = 1_000_000_000;
const BID: (Side, i64) = (Side::Bid, 100);

fn inference() -> Inference {
    Inference::new(Rule::Likeliest, Weights::new(0.5, 0.05, 0.001))
}

fn quantities(inferred: &Inference, place: WatchId) -> Vec<i64> {
    belief(inferred, place).quantities().iter().map(|each| each.qty).collect()
}

fn belief(inferred: &Inference, place: WatchId) -> &Belief {
    inferred.believed(place).unwrap()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
}

/// After one change whose size was there: 2 of 20 were not from the start, which count 1 / 500 less, as the one does not.
fn mixed(by_weight: f64, of_qty: f64) -> f64 {
    let missed_of_chance = 2.0 * 0.998 / (20.0 * 0.998 + 1.0);
    let by_qty = 0.2 * missed_of_chance;
    (1.0 - by_qty) * by_weight + by_qty * of_qty
}

/// A bid of two orders, watched, and one of 3 behind the place.
fn watched(before: [i64; 2]) -> (Inference, WatchId) {
    let mut inferred = inference();
    inferred.level(BID, before[0], 0);
    inferred.level(BID, before[0] + before[1], S);
    let place = inferred.watch_back(BID.0, BID.1).unwrap();
    inferred.level(BID, before[0] + before[1] + 3, 2 * S);
    (inferred, place)
}

#[test]
fn all_of_the_level_stands_before_whoever_joins() {
    let (inferred, place) = watched([5, 3]);
    assert_eq!(quantities(&inferred, place), [8]);
    let sure = belief(&inferred, place).interval(0.95);
    assert_eq!((sure.low, sure.high, sure.probability), (8, 8, 1.0));
}

#[test]
fn what_is_gone_was_before_or_behind_as_the_orders_weigh() {
    let (mut inferred, place) = watched([5, 3]);
    inferred.level(BID, 8, 4 * S);
    assert_eq!(quantities(&inferred, place), [5, 8]);
    // Ages 4, 3 and 2 s; the first one is of another size, which weighs 0.003 until it is known better.
    let weigh = |age: f64| (age + 2.0).powi(-2) + 0.000_5;
    let (before, behind) = (weigh(4.0) * 0.003 + weigh(3.0), weigh(2.0));
    let by_weight = before / (before + behind);
    near(belief(&inferred, place).quantities()[0].probability.into(), mixed(by_weight, 8.0 / 11.0));
    let expected = belief(&inferred, place).expected();
    near(expected, 8.0 - 3.0 * f64::from(belief(&inferred, place).quantities()[0].probability));
    assert_eq!(belief(&inferred, place).quantile(0.2), 5);
    assert_eq!(belief(&inferred, place).quantile(0.5), 8);
    let wide = belief(&inferred, place).interval(0.8);
    assert_eq!((wide.low, wide.high, wide.probability), (5, 8, 1.0));
    let narrow = belief(&inferred, place).interval(0.1);
    assert_eq!((narrow.low, narrow.high), (8, 8));
}

#[test]
fn what_is_more_than_one_side_has_was_on_the_other_too() {
    let (mut inferred, place) = watched([5, 3]);
    inferred.level(BID, 4, 4 * S);
    assert_eq!(quantities(&inferred, place), [1, 4], "seven are gone, three at most of them behind");
    inferred.level(BID, 0, 5 * S);
    assert_eq!(quantities(&inferred, place), [0]);
}

#[test]
fn a_trade_takes_from_before_the_place() {
    let (mut inferred, place) = watched([5, 3]);
    inferred.trade(BID, 6, 1, 4 * S, 4 * S);
    inferred.level(BID, 5, 4 * S);
    assert_eq!(quantities(&inferred, place), [2]);
}

#[test]
fn a_trade_that_comes_late_says_that_nothing_was_cancelled() {
    let (mut inferred, place) = watched([5, 3]);
    inferred.level(BID, 8, 4 * S);
    inferred.trade(BID, 3, 1, 4 * S - 1, 4 * S - 1);
    assert_eq!(quantities(&inferred, place), [5], "three of the eight traded");
    assert_eq!(inferred.queues().level(BID.0, BID.1).0, 8);
}

#[test]
fn what_is_gone_beside_a_trade_goes_less_by_age() {
    let (mut inferred, place) = watched([5, 3]);
    inferred.trade(BID, 1, 1, 4 * S, 4 * S);
    inferred.level(BID, 7, 4 * S);
    assert_eq!(quantities(&inferred, place), [4, 7]);
    let weigh = |age: f64| (age + 2.0).powf(-0.5) + 0.001_4;
    let (before, behind) = (weigh(4.0) * 0.003 + weigh(3.0), weigh(2.0));
    let by_weight = before / (before + behind);
    near(belief(&inferred, place).quantities()[0].probability.into(), mixed(by_weight, 7.0 / 10.0));
}

#[test]
fn where_sizes_tell_nothing_levels_that_grow_hide_what_is_gone() {
    let mut inferred = inference();
    inferred.level(BID, 1_000, 0);
    let place = inferred.watch_back(BID.0, BID.1).unwrap();
    let mut level = 1_000;
    for step in 0..40 {
        // Nothing that is gone was ever told of, nor is it of the size of what was gone before.
        level += 100;
        inferred.level(BID, level, (2 * step + 1) * S);
        level -= 31 + step;
        inferred.level(BID, level, (2 * step + 2) * S);
    }
    let before = belief(&inferred, place).expected();
    inferred.level(BID, level + 1, 90 * S);
    assert!(belief(&inferred, place).expected() < before, "some of it may hide a cancelled order");

    let (mut exact, watched) = watched([5, 3]);
    exact.level(BID, 8, 3 * S);
    let before = belief(&exact, watched).expected();
    exact.level(BID, 9, 4 * S);
    near(belief(&exact, watched).expected(), before);
}

#[test]
fn nothing_is_known_of_a_place_when_the_orders_begin_anew() {
    let (mut inferred, place) = watched([5, 3]);
    inferred.forget();
    assert!(inferred.watched(place).is_none() && inferred.believed(place).is_none());
    assert!(inferred.fill_probability(place, 9 * S, S).is_none());
    inferred.unwatch(place);
    let other = inferred.watch_back(Side::Ask, 101).unwrap();
    assert_eq!(quantities(&inferred, other), [0], "under the number of the one that has ended");
    assert_eq!(inferred.watched(other).unwrap().qty, 0);
}

/// Within what the level has, in order, and summing to 1.
#[test]
fn it_stays_a_distribution_whatever_comes() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut inferred = inference();
        let mut places: Vec<WatchId> = Vec::new();
        for step in 1..400 {
            let ts = step * S / 7;
            let qty = i64::try_from(rng.below(60)).unwrap();
            if rng.chance(100) {
                places.push(inferred.watch_back(BID.0, BID.1).unwrap());
                let all = inferred.queues().level(BID.0, BID.1).0;
                assert_eq!(quantities(&inferred, places[places.len() - 1]), [all]);
            }
            if rng.chance(200) {
                inferred.trade(BID, 1 + qty / 4, 7, ts, ts);
            }
            inferred.level(BID, qty, ts);
            inferred.end_event(ts);
            let all = inferred.queues().level(BID.0, BID.1).0;
            assert_eq!(all, qty);
            for place in &places {
                let found = belief(&inferred, *place).quantities();
                assert!((1..=16).contains(&found.len()));
                assert!(found.windows(2).all(|pair| pair[0].qty < pair[1].qty));
                assert!(found[0].qty >= 0 && found[found.len() - 1].qty <= all, "seed {seed} step {step}");
                assert!(found.iter().all(|each| each.probability > 0.0));
                near(found.iter().map(|each| f64::from(each.probability)).sum(), 1.0);
                for asked in [0.5, 0.8, 0.95] {
                    let within = belief(&inferred, *place).interval(asked);
                    let sum: f64 = found
                        .iter()
                        .filter(|each| (within.low..=within.high).contains(&each.qty))
                        .map(|each| f64::from(each.probability))
                        .sum();
                    near(within.probability.into(), sum);
                    assert!(sum >= asked - 1e-5);
                }
            }
        }
    }
}

/// Best bid 100 with 8 before the place; each second of ten, by its number, trades something at 100 or 99.
#[test]
fn a_place_is_reached_as_often_as_places_like_it_were() {
    let mut inferred = inference();
    inferred.level(BID, 8, 0);
    let place = inferred.watch_back(BID.0, BID.1).unwrap();
    let deeper = inferred.watch_back(Side::Bid, 99).unwrap();
    for second in 1..=100 {
        let ts = second * S;
        match second % 10 {
            0 => inferred.trade(BID, 8, 1, ts - S / 2, ts - S / 2), // All that is before it, and no more.
            3 => inferred.trade(BID, 9, 1, ts - S / 2, ts - S / 2), // One more.
            6 => inferred.trade((Side::Bid, 99), 1, 1, ts - S / 2, ts - S / 2), // At a worse price.
            _ => {}
        }
        inferred.level(BID, 8, ts);
        inferred.end_event(ts);
        let known = inferred.fill_probability(place, ts, S).is_some();
        assert_eq!(known, second > 16, "after {second} s");
        assert_eq!(inferred.fill_probability(place, ts, 40 * S).is_some(), second > 80, "after {second} s");
    }
    // What traded at 100 was refilled half a second later, so that the place is first.
    assert_eq!(quantities(&inferred, place), [0]);
    near(inferred.fill_probability(place, 100 * S, S).unwrap(), 30.0 / 99.0);
    near(inferred.fill_probability(deeper, 100 * S, S).unwrap(), 10.0 / 99.0);
    let back = inferred.watch_back(BID.0, BID.1).unwrap();
    assert_eq!(quantities(&inferred, back), [8]);
    near(inferred.fill_probability(back, 100 * S, S).unwrap(), 20.0 / 99.0);
    near(inferred.fill_probability(back, 100 * S, 10 * S).unwrap(), 1.0);
    assert!(inferred.fill_probability(back, 100 * S, 2 * S).unwrap() > 0.35);
    // One time that is far off, and the clock is right again: it begins anew.
    inferred.end_event(9_000 * S);
    for second in 101..=118 {
        inferred.end_event(second * S);
        let known = inferred.fill_probability(back, second * S, S).is_some();
        assert_eq!(known, second > 116, "after {second} s");
    }
    near(inferred.fill_probability(back, 118 * S, S).unwrap(), 0.0);
    inferred.forget();
    assert!(inferred.fill_probability(back, 118 * S, S).is_none());
}

/// A thousand trades a second are as few slots as ten, and a sweep within one passes the places above its end.
#[test]
fn a_busy_market_is_looked_back_to_as_far() {
    let mut inferred = inference();
    inferred.level(BID, 8, 0);
    let place = inferred.watch_back(BID.0, BID.1).unwrap();
    for second in 1..=600 {
        let ts = second * S;
        for part in 1..=1_000 {
            let swept = second % 4 == 0 && part == 500;
            let level = (Side::Bid, if swept { 99 } else { 101 });
            inferred.trade(level, 1, 1, ts - S + part * 999_000, ts);
        }
        inferred.trade((Side::Ask, 103), 1, 1, ts - 1, ts);
        inferred.level(BID, 8, ts);
        inferred.level((Side::Ask, 102), 5, ts);
        inferred.end_event(ts);
    }
    // A quarter of the bids' windows; an ask at 103 trades each second, which is worse than the best one at 102.
    let reached = |seconds| inferred.fill_probability(place, 600 * S, seconds * S).unwrap();
    near(reached(1), (0.25 + 1.0) / 2.0);
    near(reached(4), 1.0);
}
