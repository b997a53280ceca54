//! A venue that tells the best so many levels of a side: what is known of a level stays known while it is outside.

use std::collections::{BTreeMap, HashMap, HashSet};

use outcrier_core::event::{Level, ORDER_CONFIDENCE_SHIFT, RestingOrder, Side, order_op};
use outcrier_core::orders::{Ahead, Inference, OrderBook, Rule, WatchId, Weights};
use proptest::prelude::*;

const S: i64 = 1_000_000_000;
const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

type At = (Side, i64);

/// Number, quantity and confidence of the orders of a level.
type Queue = Vec<(u64, i64, u16)>;

fn index(side: Side) -> usize {
    side as usize - 1
}

fn confidence(flags: u16) -> u16 {
    flags >> ORDER_CONFIDENCE_SHIFT
}

/// The venue's whole book, and what it tells of it.
#[derive(Default)]
struct Venue {
    sides: [BTreeMap<i64, i64>; 2],
    depth: usize,
}

impl Venue {
    fn set(&mut self, (side, price): At, qty: i64) {
        let levels = &mut self.sides[index(side)];
        if qty == 0 {
            levels.remove(&price);
        } else {
            levels.insert(price, qty);
        }
    }

    fn shown(&self, side: Side) -> Vec<Level> {
        let level = |(price, qty): (&i64, &i64)| Level { price: *price, qty: *qty };
        let levels = self.sides[index(side)].iter();
        if side == Side::Bid {
            levels.rev().take(self.depth).map(level).collect()
        } else {
            levels.take(self.depth).map(level).collect()
        }
    }
}

/// A feed of the best levels, its inference, and a consumer that has the changes of orders alone.
struct Feed {
    venue: Venue,
    told: [Vec<Level>; 2],
    inference: Inference,
    copy: OrderBook,
    now: i64,
}

fn of_side(message: &[(Side, Level)], side: Side) -> Vec<Level> {
    message.iter().filter(|(of, _)| *of == side).map(|(_, level)| *level).collect()
}

impl Feed {
    fn new(depth: usize, rule: Rule) -> Self {
        Self {
            venue: Venue { depth, ..Venue::default() },
            told: Default::default(),
            inference: Inference::new(rule, Weights::default()),
            copy: OrderBook::new(1),
            now: 1_000 * S,
        }
    }

    /// Changes of the whole book, told as one message whose levels stand in the order of `sorted`.
    fn event(&mut self, changes: &[(At, i64)], after: i64, sorted: impl Fn(&mut Vec<(Side, Level)>)) {
        self.now += after;
        for (level, qty) in changes {
            self.venue.set(*level, *qty);
        }
        let mut message = Vec::new();
        for side in SIDES {
            let (now, before) = (self.venue.shown(side), &self.told[index(side)]);
            let gone = before.iter().filter(|was| now.iter().all(|level| level.price != was.price));
            message.extend(gone.map(|level| (side, Level { qty: 0, ..*level })));
            message.extend(now.iter().filter(|level| !before.contains(level)).map(|level| (side, *level)));
            self.told[index(side)] = now;
        }
        sorted(&mut message);
        let edges = self.inference.edges_after(self.venue.depth, message.iter().copied());
        for side in SIDES {
            let told = &self.told[index(side)];
            let last = told.last().filter(|_| told.len() == self.venue.depth);
            assert_eq!(edges[index(side)], last.map(|level| level.price));
        }
        let [bids, asks] = SIDES.map(|side| of_side(&message, side));
        self.inference.levels_within(edges, &bids, &asks, self.now);
        self.inference.end_event(self.now);
        self.follow();
    }

    fn tell(&mut self, changes: &[(At, i64)]) {
        self.event(changes, S, |_| ());
    }

    fn follow(&mut self) -> Vec<(u8, u64, u16)> {
        let (copy, now) = (&mut self.copy, self.now);
        let told = self.inference.take_ops(|ops| {
            assert!(ops.iter().all(|op| copy.apply(op, now).is_ok()));
            ops.iter().map(|op| (op.op, op.order_id, confidence(op.op_flags))).collect()
        });
        let theirs: Vec<RestingOrder> = copy.snapshot().collect();
        assert_eq!(theirs, self.inference.snapshot().collect::<Vec<_>>(), "every field of every order");
        for side in SIDES {
            assert!(self.inference.queues().levels(side).eq(self.told[index(side)].iter().copied()));
        }
        assert!(!self.inference.is_off());
        told
    }

    fn queue(&self, (side, price): At) -> Queue {
        let queues = self.inference.queues();
        let order = |handle| queues.order(handle);
        let shown = |order: outcrier_core::orders::Order| (order.id, order.qty, confidence(order.flags));
        queues.queue(side, price).map(order).map(shown).collect()
    }
}

/// Two levels of three bids that came one by one, the second of two orders; 8 is the last of a full side.
fn three_bids() -> Feed {
    let mut feed = Feed::new(3, Rule::ExactSize);
    for (price, qty) in [(10, 5), (9, 2), (9, 6), (8, 4), (8, 7)] {
        feed.tell(&[((Side::Bid, price), qty)]);
    }
    assert_eq!(feed.queue((Side::Bid, 8)), [(4, 4, 255), (5, 3, 255)]);
    feed
}

const EIGHT: At = (Side::Bid, 8);

/// However the message is sorted, and whether something better came or the level itself went.
#[test]
fn a_level_that_is_pushed_out_has_its_orders_when_it_is_back() {
    for turned in [false, true] {
        let mut feed = three_bids();
        feed.event(&[((Side::Bid, 11), 1)], S, |message| {
            assert_eq!(message.len(), 2, "what came, and what it pushed out");
            if turned {
                message.reverse();
            }
        });
        assert_eq!((feed.queue(EIGHT), feed.inference.outside()), (vec![], (1, 2)));
        feed.tell(&[((Side::Bid, 11), 0)]);
        assert_eq!(feed.queue(EIGHT), [(4, 4, 255), (5, 3, 255)], "outside for a second");
        assert_eq!(feed.inference.outside(), (0, 0));
        // They were told of again: that is their time for who hears of them. The rule has the first one.
        let times: Vec<_> = feed.inference.snapshot().map(|order| order.order_ts).collect();
        assert_eq!(times[times.len() - 2..], [feed.now, feed.now]);
        let queues = feed.inference.queues();
        let first = queues.order(queues.first(Side::Bid, 8).unwrap());
        assert_eq!((first.id, first.ts), (4, 1_004 * S));
    }
}

#[test]
fn what_left_says_so_by_its_confidence_and_what_was_cancelled_does_not() {
    let mut feed = three_bids();
    feed.venue.set((Side::Bid, 11), 1);
    let bids = [Level { price: 8, qty: 0 }, Level { price: 11, qty: 1 }];
    feed.inference.levels_within([Some(9), None], &bids, &[], feed.now);
    feed.told[0] = feed.venue.shown(Side::Bid);
    assert_eq!(feed.follow(), [(order_op::DELETE, 4, 0), (order_op::DELETE, 5, 0), (order_op::ADD, 6, 255)]);
    // 9 is the last of the three now. It is cancelled while 8 is back, so 9 is within.
    feed.venue.set((Side::Bid, 9), 0);
    let bids = [Level { price: 9, qty: 0 }, Level { price: 8, qty: 7 }];
    feed.inference.levels_within([Some(8), None], &bids, &[], feed.now);
    feed.told[0] = feed.venue.shown(Side::Bid);
    let told = feed.follow();
    assert_eq!(told[..2], [(order_op::DELETE, 2, 255), (order_op::DELETE, 3, 255)]);
    assert_eq!(told[2..], [(order_op::ADD, 4, 255), (order_op::ADD, 5, 255)]);
    // A side that has fewer has told all: who left is not outside.
    feed.tell(&[((Side::Bid, 8), 0)]);
    assert_eq!(feed.inference.outside(), (0, 0));
}

#[test]
fn another_quantity_is_cancelled_or_joined_as_ever() {
    let back = |qty, after_s| {
        let mut feed = three_bids();
        feed.tell(&[((Side::Bid, 11), 1)]);
        feed.event(&[((Side::Bid, 11), 0), (EIGHT, qty)], after_s * S, |_| ());
        feed.queue(EIGHT)
    };
    assert_eq!(back(7, 600), [(4, 4, 219), (5, 3, 219)], "255 / (1 + 600 s / 3,600 s)");
    assert_eq!(back(4, 1), [(4, 4, 204)], "the one of just 3 is gone; 255 * 0.8");
    assert_eq!(back(9, 1), [(4, 4, 204), (5, 3, 204), (7, 2, 0)], "nobody saw when it joined");
    assert_eq!(back(4, 600), [(4, 4, 102)]);
    assert_eq!(back(7, 3_600), [(4, 4, 128), (5, 3, 128)]);
    assert_eq!(back(7, 3_601), [(7, 7, 0)], "too long ago");
    let mut feed = three_bids();
    feed.tell(&[((Side::Bid, 11), 1)]);
    feed.tell(&[(EIGHT, 0)]);
    assert_eq!(feed.inference.outside(), (1, 2), "nobody is told");
    feed.tell(&[((Side::Bid, 11), 0), ((Side::Bid, 7), 3)]);
    assert_eq!(feed.inference.outside(), (0, 0), "it was passed");
    feed.tell(&[((Side::Bid, 7), 0), (EIGHT, 7)]);
    assert_eq!(feed.queue(EIGHT), [(8, 7, 255)]);
}

/// A best price of before the message says how much joined at a time that nobody saw; one of later waits for its own.
#[test]
fn best_prices_of_a_level_that_is_back_are_taken_in_their_order() {
    let back = |qty, ms: i64| {
        let mut feed = three_bids();
        feed.tell(&[((Side::Bid, 11), 1)]);
        feed.inference.best(EIGHT, qty, feed.now + ms * 1_000_000);
        feed.tell(&[((Side::Bid, 11), 0), (EIGHT, 10)]);
        feed.queue(EIGHT)
    };
    let (first, second) = ((4, 4, 204), (5, 3, 204));
    assert_eq!(back(9, 500), [first, second, (7, 2, 0), (8, 1, 255)]);
    assert_eq!(back(9, 1_500), [first, second, (7, 3, 0)]);
}

/// A trade that is not shown yet took from the front: before the level left, and when it is back.
#[test]
fn trades_take_from_the_front_of_a_level_that_leaves_or_is_back() {
    let mut feed = three_bids();
    feed.inference.trade(EIGHT, 5, 77, feed.now, feed.now);
    feed.tell(&[((Side::Bid, 11), 1)]);
    assert_eq!(feed.inference.outside(), (1, 1));
    feed.now += S;
    feed.inference.trade(EIGHT, 1, 78, feed.now, feed.now);
    feed.event(&[((Side::Bid, 11), 0), (EIGHT, 4)], 0, |_| ());
    assert_eq!(feed.queue(EIGHT), [(5, 1, 204), (7, 3, 0)]);
}

#[test]
fn a_place_stays_where_it_is_while_its_level_is_outside() {
    let mut feed = three_bids();
    let place = feed.inference.watch_back(Side::Bid, 8).unwrap();
    let copied = feed.copy.watch_back(Side::Bid, 8).unwrap();
    let seven = Ahead { qty: 7, orders: 2 };
    feed.tell(&[(EIGHT, 9)]);
    assert_eq!(feed.copy.watched(copied), Some(seven));
    feed.tell(&[((Side::Bid, 11), 1)]);
    assert_eq!(feed.copy.watched(copied), None, "who has the changes alone does not know any more");
    assert_eq!(feed.inference.watched(place), Some(seven));
    let outside = feed.inference.watch_back(Side::Bid, 8).unwrap();
    assert_eq!(feed.inference.watched(outside), Some(Ahead { qty: 9, orders: 3 }), "what is known of it");
    feed.inference = feed.inference.rescaled(10, 100).unwrap();
    assert_eq!(feed.inference.watched(place), Some(Ahead { qty: 700, orders: 2 }));
    let at = |feed: &mut Feed, levels: &[(i64, i64)], edge| {
        feed.now += S;
        let bids: Vec<_> = levels.iter().map(|&(price, qty)| Level { price, qty }).collect();
        feed.inference.levels_within([Some(edge), None], &bids, &[], feed.now);
        feed.inference.end_event(feed.now);
    };
    at(&mut feed, &[(110, 0), (80, 600)], 80);
    assert_eq!(feed.inference.watched(place), Some(Ahead { qty: 400, orders: 1 }), "300 of those before it");
    assert_eq!(feed.inference.watched(outside), Some(Ahead { qty: 600, orders: 2 }));
    let believed = |feed: &Feed, id| feed.inference.believed(id).unwrap().quantities().to_vec();
    assert!(believed(&feed, place).iter().all(|likely| likely.qty % 100 == 0 && likely.qty <= 700));
    at(&mut feed, &[(80, 1_000)], 80);
    feed.inference.trade((Side::Bid, 80), 500, 79, feed.now, feed.now);
    at(&mut feed, &[(80, 500)], 80);
    assert_eq!(feed.inference.watched(place), Some(Ahead::default()));
    assert_eq!(feed.inference.watched(outside), Some(Ahead { qty: 100, orders: 1 }));
    // It leaves, and is passed without being told: it was cancelled outside.
    at(&mut feed, &[(80, 0), (110, 100)], 90);
    at(&mut feed, &[(110, 0), (70, 300)], 70);
    assert_eq!(feed.inference.watched(outside), Some(Ahead::default()));
    assert_eq!((believed(&feed, outside).len(), believed(&feed, outside)[0].qty), (1, 0));
}

#[test]
fn what_is_kept_is_bounded_and_ends_with_a_whole_book() {
    let mut feed = Feed::new(1, Rule::NewestFirst);
    feed.tell(&[((Side::Bid, 1), 5)]);
    let place = feed.inference.watch_back(Side::Bid, 1).unwrap();
    for price in 2..=257 {
        feed.tell(&[((Side::Bid, price), 5)]);
    }
    assert_eq!(feed.inference.outside(), (256, 256));
    assert_eq!(feed.inference.watched(place), Some(Ahead { qty: 5, orders: 1 }));
    feed.tell(&[((Side::Bid, 258), 5)]);
    assert_eq!(feed.inference.outside(), (256, 256), "the farthest one is forgotten");
    assert_eq!(feed.inference.watched(place), None, "and who stands there with it");
    assert_eq!(feed.inference.counters().forgotten, 1);
    feed.tell(&[((Side::Ask, 300), 1)]);
    for qty in 2..=4_097 {
        feed.tell(&[((Side::Ask, 300), qty)]);
    }
    feed.tell(&[((Side::Ask, 299), 1)]);
    assert_eq!(feed.inference.outside(), (256, 256), "it alone has more than are kept");
    feed.inference.begin(std::iter::empty(), feed.now);
    assert_eq!(feed.inference.outside(), (0, 0));
}

#[derive(Clone, Debug)]
enum Input {
    Levels(Vec<(At, i64)>, i64),
    Trade(At, i64),
    Best(At, i64),
    Watch(At),
    Finer,
}

fn level() -> impl Strategy<Value = At> {
    (prop_oneof![Just(Side::Bid), Just(Side::Ask)], 1_i64..11)
}

fn input() -> impl Strategy<Value = Input> {
    let change = (level(), prop_oneof![2 => Just(0), 3 => 1_i64..9]);
    prop_oneof![
        12 => (prop::collection::vec(change, 1..4), 0..400_i64).prop_map(|(levels, s)| Input::Levels(levels, s)),
        2 => (level(), 1_i64..6).prop_map(|(level, qty)| Input::Trade(level, qty)),
        1 => (level(), 1_i64..9).prop_map(|(level, qty)| Input::Best(level, qty)),
        2 => level().prop_map(Input::Watch),
        1 => Just(Input::Finer),
    ]
}

proptest! {
    /// Numbers are given one after the other, so before a place is whatever has a lower one than the orders since.
    #[test]
    fn orders_places_and_consumers_agree_whatever_leaves_and_is_back(
        inputs in prop::collection::vec(input(), 1..80), rule in 0..Rule::ALL.len(), seed: u64,
    ) {
        let mut feed = Feed::new(3, Rule::ALL[rule]);
        let (mut scale, mut next_id) = (1_i64, 1_u64);
        let mut left: HashMap<At, (Queue, i64)> = HashMap::new();
        let mut eventful: HashSet<At> = HashSet::new();
        let mut places: Vec<(WatchId, At, u64, Option<Ahead>)> = Vec::new();
        for (number, input) in inputs.into_iter().enumerate() {
            let at = |(side, price): At| (side, price * scale);
            match input {
                Input::Levels(changes, s) => {
                    let before: HashMap<At, _> = SIDES.into_iter()
                        .flat_map(|side| feed.told[index(side)].iter().map(move |level| (side, level.price)))
                        .map(|level| (level, feed.queue(level))).collect();
                    let changes: Vec<_> = changes.iter().map(|(level, qty)| (at(*level), qty * scale)).collect();
                    let traded = feed.inference.counters();
                    feed.event(&changes, s * S, |message| {
                        message.sort_by_key(|(side, level)| {
                            let key = seed ^ (level.price as u64 * 7 + *side as u64);
                            key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                        });
                    });
                    prop_assert_eq!(feed.inference.counters().refused, traded.refused);
                    // What is behind the last of a full side left; of what is not, nothing is outside any more.
                    for side in SIDES {
                        let told = &feed.told[index(side)];
                        let last = told.last().filter(|_| told.len() == 3).map(|level| level.price);
                        let is_behind = |price: i64| last.is_some_and(|last| if side == Side::Bid { price < last } else { price > last });
                        for (level, queue) in before.iter().filter(|(level, _)| level.0 == side) {
                            if is_behind(level.1) {
                                left.insert(*level, (queue.clone(), feed.now));
                            }
                        }
                        left.retain(|level, (queue, since)| {
                            if level.0 != side || is_behind(level.1) {
                                return true;
                            }
                            let now = feed.queue(*level);
                            let sum = |queue: &[(u64, i64, u16)]| queue.iter().map(|each| each.1).sum::<i64>();
                            if now.is_empty() || eventful.contains(level) {
                                return false;
                            }
                            let ids: Vec<_> = queue.iter().map(|each| each.0).collect();
                            if feed.now - *since > 3_600 * S {
                                assert!(now.len() == 1 && now[0].0 >= next_id, "too long ago");
                            } else if sum(&now) < sum(queue) {
                                assert!(now.iter().all(|order| ids.contains(&order.0)) && now.is_sorted());
                            } else {
                                let same = |(now, was): (&(u64, i64, u16), &(u64, i64, u16))| now.0 == was.0 && now.1 == was.1 && now.2 <= was.2;
                                assert!(now.iter().zip(queue.iter()).all(same), "{now:?} of {queue:?}");
                                let more = &now[queue.len()..];
                                assert!(more.iter().all(|order| order.0 >= next_id && order.2 == 0));
                                assert_eq!(more.len(), usize::from(sum(&now) > sum(queue)));
                            }
                            false
                        });
                    }
                    prop_assert!(feed.inference.outside().0 <= left.len());
                }
                Input::Trade(level, qty) => {
                    eventful.insert(at(level));
                    feed.inference.trade(at(level), qty * scale, number as u64, feed.now, feed.now);
                    feed.follow();
                }
                Input::Best(level, qty) => {
                    eventful.insert(at(level));
                    feed.inference.best(at(level), qty * scale, feed.now + S);
                }
                Input::Watch(level) => {
                    let place = feed.inference.watch_back(level.0, at(level).1).unwrap();
                    places.push((place, at(level), next_id, feed.inference.watched(place)));
                }
                Input::Finer if scale < 1_000 => {
                    scale *= 10;
                    feed.inference = feed.inference.rescaled(10, 10).unwrap();
                    feed.copy = feed.copy.rescaled(1, 10, 10).unwrap();
                    let finer = |level: &Level| Level { price: level.price * 10, qty: level.qty * 10 };
                    feed.told = feed.told.map(|levels| levels.iter().map(finer).collect());
                    feed.venue.sides = feed.venue.sides.map(|levels| levels.iter().map(|(price, qty)| (price * 10, qty * 10)).collect());
                    left = left.into_iter().map(|((side, price), (queue, since))| {
                        ((side, price * 10), (queue.iter().map(|each| (each.0, each.1 * 10, each.2)).collect(), since))
                    }).collect();
                    eventful = eventful.into_iter().map(|(side, price)| (side, price * 10)).collect();
                    for (_, level, _, ahead) in &mut places {
                        level.1 *= 10;
                        *ahead = ahead.map(|ahead| Ahead { qty: ahead.qty * 10, ..ahead });
                    }
                }
                Input::Finer => {}
            }
            for (place, level, first_behind, last) in &mut places {
                let ahead = feed.inference.watched(*place);
                if feed.inference.queues().level(level.0, level.1).0 > 0 {
                    let before = feed.queue(*level).into_iter().filter(|order| order.0 < *first_behind);
                    let sum = before.fold(Ahead::default(), |sum, order| Ahead { qty: sum.qty + order.1, orders: sum.orders + 1 });
                    prop_assert!(ahead.is_none_or(|ahead| ahead == sum), "{:?} of {:?}", ahead, sum);
                } else {
                    prop_assert!(ahead == *last || ahead.is_none_or(|ahead| ahead == Ahead::default() || left.contains_key(level)));
                }
                *last = ahead;
            }
            next_id = feed.inference.queues().snapshot().map(|order| order.order_id + 1).max().unwrap_or(1).max(next_id);
        }
        prop_assert_eq!(feed.inference.counters().refused, 0);
    }
}
