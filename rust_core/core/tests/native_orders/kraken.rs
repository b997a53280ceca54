//! Kraken's `level3`: a window of ten levels, proven by a checksum over every order in it.

use outcrier_core::event::{Side, order_op};
use outcrier_core::feed::NoticeKind::{Fault, OrdersLive, OrdersNeedSnapshot, OrdersStale};
use serde_json::{Value, json};

use crate::naive::Naive;
use crate::rng::Rng;
use crate::scene::{LEVELS, ORDERS, Scene, documented};

/// The book of the L2 guide (spot-ws-book-v2), with its checksum.
const BOOK: &str = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":45283.5,"qty":0.10000000},{"price":45283.4,"qty":1.54582015},{"price":45282.1,"qty":0.10000000},{"price":45281.0,"qty":0.10000000},{"price":45280.3,"qty":1.54592586},{"price":45279.0,"qty":0.07990000},{"price":45277.6,"qty":0.03310103},{"price":45277.5,"qty":0.30000000},{"price":45277.3,"qty":1.54602737},{"price":45276.6,"qty":0.15445238}],"asks":[{"price":45285.2,"qty":0.00100000},{"price":45286.4,"qty":1.54571953},{"price":45286.6,"qty":1.54571109},{"price":45289.6,"qty":1.54560911},{"price":45290.2,"qty":0.15890660},{"price":45291.8,"qty":1.54553491},{"price":45294.7,"qty":0.04454749},{"price":45296.1,"qty":0.35380000},{"price":45297.5,"qty":0.09945542},{"price":45299.5,"qty":0.18772827}],"checksum":3310070434}]}"#;

/// The message as it is on the wire: prices and quantities as numbers with all their digits.
fn on_wire(message: &Value) -> String {
    let mut text = message.to_string();
    for key in ["limit_price", "order_qty"] {
        let begins = format!("\"{key}\":\"");
        let mut parts = text.split(begins.as_str());
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            let (number, rest) = part.split_once('"').unwrap();
            out += &format!("\"{key}\":{number}{rest}");
        }
        text = out;
    }
    text
}

struct Level3 {
    scene: Scene,
    naive: Naive,
}

impl Level3 {
    /// A live book, and the guide's orders in both readings.
    fn live() -> Self {
        let mut scene = Scene::new("kraken", "BTC/USD", -1, -8);
        scene.say(LEVELS, BOOK);
        assert!(scene.is_live() && scene.feed.want_orders(0));
        let mut level3 = Self { scene, naive: Naive::with_depth(10) };
        level3.say(documented("kraken_level3_guide.json"));
        assert_eq!(level3.scene.notices(), [OrdersLive]);
        level3
    }

    /// Both read a message; it gets the checksum of the naive reading.
    fn say(&mut self, mut message: Value) {
        self.naive.kraken(&message);
        message["data"][0]["checksum"] = self.naive.checksum().into();
        self.scene.say(ORDERS, &on_wire(&message));
    }

    fn update(&mut self, bids: Value, asks: Value) {
        self.say(update(bids, asks));
    }
}

#[allow(clippy::needless_pass_by_value)] // What `json!` makes.
fn update(bids: Value, asks: Value) -> Value {
    let data = json!({"symbol": "BTC/USD", "timestamp": "2024-01-08T12:26:46.000000000Z", "bids": bids, "asks": asks});
    json!({"channel": "level3", "type": "update", "data": [data]})
}

fn row(event: &str, id: &str, price: &str, qty: &str, time: &str) -> Value {
    let time = format!("2024-01-08T12:{time}Z");
    json!({"event": event, "order_id": id, "limit_price": price, "order_qty": qty, "timestamp": time})
}

#[test]
fn the_guides_book_has_the_guides_checksum() {
    let guide = documented("kraken_level3_guide.json");
    for text in [guide.to_string(), on_wire(&guide)] {
        let mut scene = Scene::new("kraken", "BTC/USD", -1, -8);
        scene.feed.want_orders(0);
        scene.say(ORDERS, &text);
        assert_eq!((scene.counter("checksums_verified"), scene.counter("orders_live")), (1, 1));
        assert!(scene.consumers().is_none(), "they wait for the levels");
        scene.say(LEVELS, BOOK);
        let mut naive = Naive::with_depth(10);
        naive.kraken(&guide);
        assert_eq!(naive.checksum(), 1_063_832_831);
        scene.assert_equal(&naive);
        assert_eq!(scene.take_left().books, [35]);
        assert!(scene.feed.drift().next().is_none());
    }
}

#[test]
fn another_checksum_refuses_the_book_and_it_is_asked_for() {
    let mut scene = Scene::new("kraken", "BTC/USD", -1, -8);
    scene.say(LEVELS, BOOK);
    scene.feed.want_orders(0);
    scene.notices();
    let wrong = on_wire(&documented("kraken_level3_guide.json")).replace("1063832831", "1063832832");
    scene.say(ORDERS, &wrong);
    scene.assert_none();
    assert_eq!(scene.last_fault(), "orders: the checksum differs: 1063832832 was sent, 1063832831 is ours");
    assert_eq!(scene.notices(), [OrdersNeedSnapshot, Fault]);
    assert_eq!((scene.counter("checksum_mismatch"), scene.counter("order_faults")), (1, 1));
    assert!(scene.is_live(), "the levels are proven by themselves");
    assert_eq!(scene.take_left().books.len(), 0, "nobody had heard of orders");
}

#[test]
fn the_documented_update_is_read() {
    let mut scene = Scene::new("kraken", "MATIC/USD", -4, -8);
    scene.feed.want_orders(0);
    scene.say(ORDERS, &documented("kraken_level3_update.json").to_string());
    assert_eq!(scene.counter("orders_unknown"), 1, "a change of a book that is not known");
    assert_eq!(scene.counter("faults"), 0);
}

#[test]
fn add_modify_and_delete_are_what_the_guide_says() {
    let mut it = Level3::live();
    it.scene.take_left();
    // A fill leaves its time to an order: it keeps its place. An amend does not.
    it.update(
        json!([row("modify", "OTCFZG-YOE2Q-LQKNM3", "44939.4", "0.50000000", "26:39.526146327")]),
        json!([]),
    );
    it.scene.assert_equal(&it.naive);
    it.update(
        json!([row("modify", "OTCFZG-YOE2Q-LQKNM3", "44939.4", "0.40000000", "26:46.000000001")]),
        json!([]),
    );
    it.scene.assert_equal(&it.naive);
    it.update(
        json!([row("modify", "OTCFZG-YOE2Q-LQKNM3", "44937.1", "0.40000000", "26:46.000000002")]),
        json!([]),
    );
    it.scene.assert_equal(&it.naive);
    // One that comes late stands where its time puts it.
    it.update(
        json!([]),
        json!([row("add", "ONEW11-AAAAA-BBBBBB", "44939.5", "1.00000000", "20:00.000000000")]),
    );
    it.scene.assert_equal(&it.naive);
    assert_eq!(it.naive.queue(Side::Ask)[2].id, "ONEW11-AAAAA-BBBBBB");
    it.update(
        json!([row("delete", "OJPMIN-NXZL5-SOWP6V", "44937.1", "0.03346877", "26:47.000000000")]),
        json!([row("delete", "OFVLAA-HRSSP-BK75KB", "44939.5", "4.52308393", "26:47.000000000")]),
    );
    it.scene.assert_equal(&it.naive);
    // The id again is another order.
    it.update(
        json!([]),
        json!([row("add", "OFVLAA-HRSSP-BK75KB", "44939.5", "1.00000000", "26:48.000000000")]),
    );
    it.scene.assert_equal(&it.naive);
    let ops: Vec<Vec<u8>> =
        it.scene.take_left().ops.iter().map(|ops| ops.iter().map(|op| op.op).collect()).collect();
    use order_op::{ADD, DELETE, MODIFY_KEEP, MODIFY_LOSE};
    assert_eq!(
        ops,
        [vec![MODIFY_KEEP], vec![MODIFY_LOSE], vec![MODIFY_LOSE], vec![ADD], vec![DELETE, DELETE], vec![ADD]]
    );
    assert_eq!(it.scene.counter("checksums_verified"), 8, "the book of levels, all orders, six changes");
}

#[test]
fn what_is_pushed_out_of_the_window_leaves_as_deletions_and_comes_back_under_another_number() {
    let mut it = Level3::live();
    it.scene.take_left();
    it.update(
        json!([row("add", "ONEW11-AAAAA-BBBBBB", "44939.45", "1.00000000", "26:46.000000000")]),
        json!([]),
    );
    // A finer price: the orders go out once more, at exponents that hold it.
    assert_eq!(it.scene.feed.definition(0).unwrap().price_exp, -2);
    it.scene.assert_equal(&it.naive);
    let left = it.scene.take_left();
    assert_eq!(left.books, [35], "at the new exponents");
    assert_eq!(left.ops[0].iter().map(|op| op.op).collect::<Vec<_>>(), [order_op::ADD, order_op::DELETE]);
    it.update(
        json!([
            row("delete", "ONEW11-AAAAA-BBBBBB", "44939.45", "1.00000000", "26:47.000000000"),
            row("add", "O73C6Y-VZXYA-H4LDFY", "44901.9", "0.00088982", "26:42.883315043"),
        ]),
        json!([]),
    );
    it.scene.assert_equal(&it.naive);
    // Of an order that was cut: nothing of it is here.
    it.update(
        json!([row("delete", "ONEW11-AAAAA-BBBBBB", "44939.45", "1.00000000", "26:48.000000000")]),
        json!([]),
    );
    it.scene.assert_equal(&it.naive);
    assert_eq!(it.scene.counter("order_absent"), 1);
}

#[test]
fn a_change_that_comes_twice_changes_nothing() {
    let mut it = Level3::live();
    for verb in ["modify", "modify", "delete", "delete"] {
        it.update(json!([row(verb, "OTCFZG-YOE2Q-LQKNM3", "44939.4", "0.5", "26:39.526146327")]), json!([]));
        it.scene.assert_equal(&it.naive);
    }
}

#[test]
fn a_change_that_does_not_fit_ends_what_is_known_until_all_is_told_again() {
    let known = row("add", "OTCFZG-YOE2Q-LQKNM3", "44939.4", "1.00000000", "26:46.000000000");
    let other_side = row("delete", "OTCFZG-YOE2Q-LQKNM3", "44939.4", "0.1", "26:46.000000000");
    let moved = row("modify", "OFGP5R-B3E7G-54EZD6", "44939.4", "9.00000000", "26:46.000000000");
    for (bids, asks, reason) in [
        (json!([known]), json!([]), "orders: an order has this number already"),
        (json!([]), json!([other_side]), "orders: an order stands on the other side"),
        (json!([moved]), json!([]), "orders: the checksum differs: 1 was sent, "),
    ] {
        let mut it = Level3::live();
        let mut message = update(bids, asks);
        message["data"][0]["checksum"] = 1.into();
        it.scene.say(ORDERS, &on_wire(&message));
        assert!(it.scene.last_fault().starts_with(reason), "{}", it.scene.last_fault());
        it.scene.assert_none();
        assert!(it.scene.consumers().is_some(), "told by a book without orders");
        assert_eq!(it.scene.notices(), [OrdersStale, OrdersNeedSnapshot, Fault]);
        assert!(it.scene.is_live());
        it.update(json!([]), json!([]));
        it.scene.assert_none();
        it.say(documented("kraken_level3_guide.json"));
        it.scene.assert_equal(&it.naive);
        assert_eq!((it.scene.counter("orders_live"), it.scene.counter("orders_lost")), (2, 1));
    }
}

#[test]
fn a_message_that_cannot_be_read_ends_what_is_known() {
    let good = row("add", "ONEW11-AAAAA-BBBBBB", "44939.4", "1.00000000", "26:46.000000000");
    for (from, to, reason) in [
        ("\"add\"", "\"replace\"", "unknown verb"),
        ("\"event\"", "\"Event\"", "missing field"),
        ("\"order_id\"", "\"id\"", "missing field"),
        ("ONEW11-AAAAA-BBBBBB", "ONEW11_AAAAA", "bad order id"),
        ("ONEW11-AAAAA-BBBBBB", "ONEW11-AAAAA-BBBBBB-CC", "bad order id"),
        ("\"ONEW11-AAAAA-BBBBBB\"", "7", "wrong type"),
        ("\"limit_price\"", "\"price\"", "missing field"),
        ("44939.4", "\"x\"", "bad number"),
        ("1.00000000", "-1.00000000", "negative quantity"),
        ("2024-01-08T12:26:46.000000000Z\"}", "soon\"}", "bad time"),
        ("\"bids\"", "\"bid\"", "missing field data.*.bids"),
        ("\"asks\":[]", "\"asks\":{}", "wrong type"),
    ] {
        let mut it = Level3::live();
        let text = on_wire(&update(json!([good]), json!([])));
        assert!(text.contains(from), "{from} in {text}");
        it.scene.say(ORDERS, &text.replacen(from, to, 1));
        assert_eq!(it.scene.last_fault(), reason);
        it.scene.assert_none();
        assert_eq!(it.scene.notices(), [Fault, OrdersStale, OrdersNeedSnapshot], "{reason}");
        assert!(it.scene.is_live(), "the levels come by another message");
    }
}

#[test]
fn orders_stay_known_while_the_levels_are_stale_and_are_told_with_them() {
    let mut it = Level3::live();
    it.scene.take_left();
    it.scene.say(LEVELS, r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":1}]}"#);
    assert!(!it.scene.is_live() && it.scene.feed.has_orders(0));
    it.update(json!([row("modify", "OTCFZG-YOE2Q-LQKNM3", "44939.4", "0.5", "26:39.526146327")]), json!([]));
    let left = it.scene.take_left();
    assert!(left.ops.is_empty() && left.books.is_empty(), "nothing of it is told while the levels are stale");
    it.scene.say(LEVELS, BOOK);
    it.scene.assert_equal(&it.naive);
    assert_eq!(it.scene.take_left().books, [35]);
    assert_eq!(it.scene.counter("orders_lost"), 0);
}

#[test]
fn a_lost_connection_takes_its_orders_and_the_owner_may_ask_anew() {
    let mut it = Level3::live();
    it.scene.disconnect(LEVELS);
    it.scene.assert_equal(&it.naive);
    it.scene.disconnect(ORDERS);
    it.scene.assert_none();
    assert_eq!(it.scene.notices(), [OrdersStale], "nobody to ask before the link is back");
    it.say(documented("kraken_level3_guide.json"));
    it.scene.assert_equal(&it.naive);
    it.scene.notices();
    it.scene.resync();
    assert!(!it.scene.is_live() && !it.scene.feed.has_orders(0));
    assert_eq!(it.scene.notices(), [OrdersStale, OrdersNeedSnapshot]);
    it.scene.say(LEVELS, BOOK);
    it.scene.assert_none();
    it.say(documented("kraken_level3_guide.json"));
    it.scene.assert_equal(&it.naive);
}

#[test]
fn of_two_links_the_one_that_brought_all_orders_goes_on_with_them() {
    let mut it = Level3::live();
    let change = json!([row("modify", "OTCFZG-YOE2Q-LQKNM3", "44939.4", "0.5", "26:39.526146327")]);
    it.scene.say(3, &on_wire(&update(change, json!([]))));
    it.scene.assert_equal(&it.naive);
    assert_eq!(it.scene.counter("overlap_dropped"), 1);
    let guide = on_wire(&documented("kraken_level3_guide.json"));
    it.scene.say(3, &guide);
    it.scene.disconnect(ORDERS);
    it.scene.assert_equal(&it.naive);
}

#[test]
fn nobody_who_does_not_want_orders_has_any() {
    let mut scene = Scene::new("kraken", "BTC/USD", -1, -8);
    scene.say(LEVELS, BOOK);
    scene.say(ORDERS, &on_wire(&documented("kraken_level3_guide.json")));
    assert!(scene.feed.orders(0).is_none() && scene.consumers().is_none());
    assert_eq!((scene.counter("faults"), scene.counter("order_faults")), (0, 0));
}

/// What an exchange may say next: changes of the guide's book that its rules allow.
fn next_message(rng: &mut Rng, naive: &Naive, number: usize) -> Value {
    let mut sides = [Vec::new(), Vec::new()];
    for row_number in 0..=rng.place(3) {
        let is_bid = rng.chance(500);
        let time = format!("27:{:02}.{:09}", number % 60, (number / 60) * 10 + row_number);
        let resting: Vec<_> = naive.orders.iter().filter(|order| order.is_bid == is_bid).collect();
        let side = &mut sides[usize::from(!is_bid)];
        let qty = format!("{}.{:08}", rng.below(3), rng.below(99_999_999) + 1);
        let used = |id: &str, side: &[Value]| side.iter().any(|row| row["order_id"] == id);
        let old = (!resting.is_empty()).then(|| resting[rng.place(resting.len())]);
        match (rng.below(4), old) {
            (0 | 1, Some(order)) if !used(&order.id, side) && resting.len() > 15 => {
                side.push(row("delete", &order.id, &order.price, &order.qty, &time));
            }
            (2, Some(order)) if !used(&order.id, side) => {
                let stamp = naive.queue(if is_bid { Side::Bid } else { Side::Ask });
                let kept = stamp.iter().find(|other| other.id == order.id).unwrap();
                let keeps = rng.chance(500);
                let price = if rng.chance(300) { price(rng, is_bid) } else { kept.price.clone() };
                let mut changed = row("modify", &order.id, &price, &qty, &time);
                if keeps && price == kept.price {
                    changed["timestamp"] = stamp_of(kept.time_ns.unwrap()).into();
                }
                side.push(changed);
            }
            _ => {
                let id = format!("O{number:05}-{row_number:05}-SEEDED");
                side.push(row("add", &id, &price(rng, is_bid), &qty, &time));
            }
        }
    }
    let [bids, asks] = sides;
    update(bids.into(), asks.into())
}

fn price(rng: &mut Rng, is_bid: bool) -> String {
    let tenths = rng.below(300);
    let price = if is_bid { 449_394 - tenths } else { 449_395 + tenths };
    format!("{}.{}", price / 10, price % 10)
}

fn stamp_of(time_ns: u64) -> String {
    let (seconds, ns) = (time_ns / 1_000_000_000 - 1_704_067_200, time_ns % 1_000_000_000);
    let day = seconds / 86_400 + 1;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2024-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}

#[test]
fn whatever_the_exchange_says_the_consumer_has_its_orders() {
    for seed in 1..=4 {
        let mut rng = Rng::new(seed);
        let mut it = Level3::live();
        let mut lost = 0;
        for number in 0..500 {
            let message = next_message(&mut rng, &it.naive, number);
            if rng.chance(20) {
                // It is lost on the way: the next checksum shows it, unless it changed nothing.
                it.naive.kraken(&message);
                lost += 1;
                continue;
            }
            it.say(message);
            if !it.scene.feed.has_orders(0) {
                it.scene.assert_none();
                // A snapshot of what the exchange has now.
                let side = |side| -> Vec<Value> {
                    let queue = it.naive.queue(side);
                    queue
                        .iter()
                        .map(|order| {
                            let stamp = stamp_of(order.time_ns.unwrap());
                            json!({"order_id": order.id, "limit_price": order.price, "order_qty": order.qty, "timestamp": stamp})
                        })
                        .collect()
                };
                let data = json!({"symbol": "BTC/USD", "bids": side(Side::Bid), "asks": side(Side::Ask)});
                it.say(json!({"channel": "level3", "type": "snapshot", "data": [data]}));
            }
            it.scene.assert_equal(&it.naive);
        }
        assert!(lost > 2 && it.scene.counter("orders_lost") > 0, "seed {seed}: {lost} messages were lost");
        assert_eq!(it.scene.counter("orders_live"), it.scene.counter("orders_lost") + 1, "seed {seed}");
        assert_eq!(it.scene.counter("order_faults"), it.scene.counter("checksum_mismatch"), "seed {seed}");
    }
}
