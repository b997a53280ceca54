//! Requests on their way: the same for the same seed, in the order of their owner, never more than fit.

use std::collections::HashMap;

use outcrier_core::event::Side;
use outcrier_core::matching::{
    Engine, IN_FLIGHT_MAX, InFlight, Kind, LATENCY_NS_MAX, Latency, LatencyError, NewOrder, Output, Request,
    Rules, SelfTrade, TimeInForce,
};
use proptest::prelude::*;

fn latency() -> Latency {
    Latency { least_ns: 1_000, jitter_ns: 500, slow_ppm: 100_000, slow_ns: 20_000 }
}

#[test]
fn nothing_arrives_sooner_or_later_than_it_may() {
    let mut in_flight = InFlight::new(latency(), 3).unwrap();
    let (mut slow, mut jitters) = (0, Vec::new());
    for number in 0..10_000_u64 {
        let sent = number as i64 * 100_000;
        let due = in_flight.send(number, sent, number).unwrap();
        let took = due - sent;
        assert!((1_000..=21_500).contains(&took), "{took}");
        if took > 1_500 {
            slow += 1;
        } else {
            jitters.push(took);
        }
        assert_eq!(in_flight.receive(due - 1), None);
        assert_eq!(in_flight.receive(due), Some((due, number)));
    }
    assert!(in_flight.is_empty());
    // One in ten is slow, and one in 40 of those by no more than the jitter; four standard deviations are 120.
    assert!((850..1_100).contains(&slow), "{slow}");
    let mean = jitters.iter().sum::<i64>() / jitters.len() as i64;
    assert!((1_240..1_260).contains(&mean), "{mean}");
    assert_eq!((jitters.iter().min(), jitters.iter().max()), (Some(&1_000), Some(&1_500)));
}

#[test]
fn without_a_latency_things_arrive_as_they_are_sent() {
    let mut in_flight = InFlight::new(Latency::default(), 1).unwrap();
    for number in 0..5 {
        assert_eq!(in_flight.send(number % 2, 7, number), Ok(7));
    }
    let arrived: Vec<u64> = std::iter::from_fn(|| in_flight.receive(7)).map(|(_, number)| number).collect();
    assert_eq!(arrived, [0, 1, 2, 3, 4]);
    // Nobody sends before what was seen.
    assert_eq!(in_flight.send(1, 3, 9), Ok(7));
}

#[test]
fn what_is_on_its_way_has_a_limit() {
    let mut in_flight = InFlight::new(Latency::default(), 1).unwrap();
    for number in 0..IN_FLIGHT_MAX {
        assert_eq!(in_flight.send(1, 0, number), Ok(0));
    }
    assert_eq!(in_flight.send(1, 0, usize::MAX), Err(usize::MAX));
    assert_eq!(in_flight.len(), IN_FLIGHT_MAX);
    assert_eq!(in_flight.receive(0), Some((0, 0)));
    assert_eq!(in_flight.send(1, 0, 1), Ok(0));
}

#[test]
fn latencies_that_cannot_be_are_refused() {
    let with = |latency| InFlight::<()>::new(latency, 1).err();
    let too_long = LATENCY_NS_MAX + 1;
    for latency in [
        Latency { least_ns: too_long, ..Latency::default() },
        Latency { jitter_ns: too_long, ..Latency::default() },
        Latency { slow_ns: too_long, ..Latency::default() },
    ] {
        assert_eq!(with(latency), Some(LatencyError::TooLong));
    }
    assert_eq!(with(Latency { slow_ppm: 1_000_001, ..Latency::default() }), Some(LatencyError::Probability));
}

/// What a seed gives, written down: another generator, or another order of draws, is another history.
#[test]
fn a_seed_always_gives_the_same() {
    let dues = |seed| -> Vec<i64> {
        let mut in_flight = InFlight::new(latency(), seed).unwrap();
        (0..8).map(|number| in_flight.send(number, 0, number).unwrap()).collect()
    };
    assert_eq!(dues(1), dues(1));
    assert_eq!(dues(1), [1281, 1344, 8824, 1100, 1407, 1218, 1290, 1351]);
    assert_ne!(dues(1), dues(2));
}

/// Two owners bid and offer around a price, and what they send overtakes.
fn play(seed: u64) -> (Output, Vec<i64>) {
    let mut in_flight = InFlight::new(latency(), seed).unwrap();
    let mut engine = Engine::new(Rules::default()).unwrap();
    let mut out = Output::default();
    let mut arrived = Vec::new();
    for number in 0..200_u64 {
        let side = if number % 2 == 0 { Side::Bid } else { Side::Ask };
        let order = NewOrder {
            id: number,
            owner: number % 2,
            side,
            kind: Kind::Limit { price: 100 + (number % 7) as i64 },
            qty: 1 + (number % 5) as i64,
            tif: TimeInForce::Gtc,
            post_only: false,
            peak: 0,
            self_trade: SelfTrade::Allow,
        };
        let request = Request::New(order);
        in_flight.send(request.owner(), number as i64 * 100, request).unwrap();
    }
    while let Some((due, request)) = in_flight.receive(i64::MAX) {
        engine.request(&request, due, &mut out);
        arrived.push(due);
    }
    (out, arrived)
}

#[test]
fn a_seed_decides_what_an_exchange_does() {
    assert_eq!(play(5), play(5));
    assert_ne!(play(5), play(6));
}

proptest! {
    /// Against a list that is sorted: by arrival, and what arrives at one time by when it was sent.
    #[test]
    fn owners_keep_their_order(
        sent in prop::collection::vec((0_u64..4, 0_i64..3_000, prop::bool::weighted(0.3)), 1..200),
        seed: u64,
    ) {
        let mut in_flight = InFlight::new(latency(), seed).unwrap();
        let mut naive: Vec<(i64, usize)> = Vec::new();
        let mut last: HashMap<u64, i64> = HashMap::new();
        let mut now = 0;
        for (number, (owner, later, is_received)) in sent.iter().enumerate() {
            now += later;
            let due = in_flight.send(*owner, now, number).unwrap();
            prop_assert!(due >= now + 1_000);
            let before = last.insert(*owner, due);
            prop_assert!(before.is_none_or(|before| before <= due));
            prop_assert!(due <= before.unwrap_or(0).max(now + 21_500));
            naive.push((due, number));
            naive.sort_unstable();
            prop_assert_eq!(in_flight.next_due(), Some(naive[0].0));
            while *is_received && naive.first().is_some_and(|(due, _)| *due <= now) {
                prop_assert_eq!(in_flight.receive(now), Some(naive.remove(0)));
            }
        }
        for expected in naive {
            prop_assert_eq!(in_flight.receive(i64::MAX), Some(expected));
        }
        prop_assert_eq!(in_flight.receive(i64::MAX), None);
    }
}
