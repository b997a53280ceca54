//! Coinbase Exchange's `full`: every message of a product takes the next number, the book is an answer of REST.

use outcrier_core::event::order_op::{ADD, DELETE, EXECUTE, MODIFY_KEEP, MODIFY_LOSE};
use outcrier_core::feed::HELD_ORDER_EVENTS_MAX;
use outcrier_core::feed::NoticeKind::{
    Fault, Gap, OrdersLive, OrdersNeedSnapshot, OrdersSnapshotOld, OrdersStale,
};
use serde_json::{Value, json};

use crate::naive::Naive;
use crate::scene::{ORDERS, Scene, documented};

const LEVELS: &str = r#"{"type":"snapshot","product_id":"BTC-USD","asks":[["80691.53","0.20084671"]],"bids":[["80688.08","0.59153273"]]}"#;

/// Orders of the documented answer (sequence 3).
const BID: &str = "3b0f1225-7f84-490b-a29f-0faef9de823a";
const ASK: &str = "da863862-25f4-4868-ac41-005d11ab0a5f";
/// Orders of the documented messages.
const OPENED: &str = "d50ec984-77a8-460a-b958-66f114b0de9b";
const OTHER: &str = "dddec984-77a8-460a-b958-66f114b0de9b";

/// A documented message under another number, with other values.
#[allow(clippy::needless_pass_by_value)] // What `json!` makes.
fn message(name: &str, sequence: u64, changes: Value) -> Value {
    let mut message = documented("coinbase_full.json")[name].clone();
    message["sequence"] = sequence.into();
    message["product_id"] = "BTC-USD".into();
    for (key, value) in changes.as_object().unwrap() {
        message[key] = value.clone();
    }
    message
}

struct Full {
    scene: Scene,
    naive: Naive,
}

impl Full {
    /// A live book; the documented orders are known after number 3.
    fn live() -> Self {
        let mut full = Self::waiting();
        full.scene.rest_orders(&documented("coinbase_full.json")["book_level3"].to_string());
        assert_eq!(full.scene.notices(), [OrdersLive]);
        full.check();
        full
    }

    fn waiting() -> Self {
        let mut scene = Scene::new("coinbase_exchange", "BTC-USD", -2, -8);
        scene.say(ORDERS, LEVELS);
        assert!(scene.is_live() && scene.feed.want_orders(0));
        let mut naive = Naive::default();
        naive.add(BID, true, "295.96", "0.05088265", None);
        naive.add(ASK, false, "295.97", "5.72036512", None);
        Self { scene, naive }
    }

    fn say(&mut self, name: &str, sequence: u64, changes: Value) {
        self.scene.say(ORDERS, &message(name, sequence, changes).to_string());
    }

    fn check(&mut self) {
        self.scene.assert_equal(&self.naive);
    }

    fn set(&mut self, id: &str, price: &str, qty: &str) {
        let order = self.naive.find(id).unwrap();
        (order.price, order.qty) = (price.into(), qty.into());
    }
}

#[test]
fn every_type_of_message_does_what_the_documentation_says() {
    let mut it = Full::live();
    it.scene.take_left();
    it.say("received", 4, json!({}));
    it.check();
    it.say("open", 5, json!({}));
    it.naive.add(OPENED, false, "200.2", "1.00", None);
    it.check();
    // A part of it trades, and stays at its place before one that is new.
    it.say("open", 6, json!({"order_id": OTHER, "remaining_size": "3"}));
    it.naive.add(OTHER, false, "200.2", "3", None);
    it.say("match", 7, json!({"maker_order_id": OPENED, "size": "0.4", "price": "200.2", "trade_id": 77}));
    it.set(OPENED, "200.2", "0.6");
    it.check();
    // Self-trade prevention takes from it; then its owner wants more, which costs the place.
    it.say("change", 8, json!({"order_id": OPENED, "old_size": "0.6", "new_size": "0.5", "price": "200.2"}));
    it.set(OPENED, "200.2", "0.5");
    it.check();
    let more = json!({"order_id": OPENED, "side": "sell", "old_size": "0.5", "new_size": "0.7", "old_price": "200.2", "new_price": "200.2"});
    it.say("change_modify", 9, more);
    it.set(OPENED, "200.2", "0.7");
    it.naive.move_back(OPENED);
    it.check();
    let moved = json!({"order_id": OTHER, "side": "sell", "old_size": "3", "new_size": "3", "old_price": "200.2", "new_price": "295.97"});
    it.say("change_modify", 10, moved);
    it.set(OTHER, "295.97", "3");
    it.naive.move_back(OTHER);
    it.check();
    // The last of it trades: it is gone, and its end is told after that.
    it.say("match", 11, json!({"maker_order_id": OPENED, "size": "0.7", "price": "200.2", "trade_id": 78}));
    it.naive.remove(OPENED);
    it.check();
    it.say("done", 12, json!({"order_id": OPENED}));
    it.check();
    // A market order, which never rested, and one that rested and is cancelled.
    it.say("received_market", 13, json!({}));
    it.say("change_funds", 14, json!({"order_id": OPENED}));
    it.say("done", 15, json!({"order_id": OPENED, "price": null}));
    it.say("change", 16, json!({"order_id": OPENED}));
    it.check();
    it.say("done", 17, json!({"order_id": BID, "side": "buy", "reason": "canceled"}));
    it.naive.remove(BID);
    it.check();

    let left = it.scene.take_left();
    let ops: Vec<u8> = left.ops.iter().flatten().map(|op| op.op).collect();
    assert_eq!(ops, [ADD, ADD, EXECUTE, MODIFY_KEEP, MODIFY_LOSE, MODIFY_LOSE, EXECUTE, DELETE]);
    let matched: Vec<(i64, u64)> =
        left.ops.iter().flatten().filter(|op| op.op == EXECUTE).map(|op| (op.qty, op.ref_id)).collect();
    assert_eq!(matched, [(40_000_000, 77), (70_000_000, 78)]);
    assert_eq!((left.trades, left.books.len()), (2, 0), "a match is one trade");
    assert_eq!((it.scene.counter("trades"), it.scene.counter("order_absent")), (2, 3));
    assert_eq!((it.scene.counter("gaps"), it.scene.counter("faults")), (0, 0));
    assert!(it.scene.feed.drift().next().is_none(), "{:?}", it.scene.feed.drift().collect::<Vec<_>>());
}

#[test]
fn what_came_before_the_answer_is_dropped_and_what_came_after_it_is_applied() {
    let mut it = Full::waiting();
    it.say("open", 2, json!({"order_id": BID, "side": "buy"}));
    it.say("received", 3, json!({}));
    it.say("open", 4, json!({}));
    it.say("match", 5, json!({"maker_order_id": OPENED, "size": "0.4", "price": "200.2"}));
    it.scene.assert_none();
    assert_eq!((it.scene.counter("orders_held"), it.scene.counter("orders_unknown")), (4, 4));
    assert!(it.scene.take_left().ops.is_empty());
    it.scene.rest_orders(&documented("coinbase_full.json")["book_level3"].to_string());
    it.naive.add(OPENED, false, "200.2", "0.6", None);
    it.check();
    it.say("match", 6, json!({"maker_order_id": OPENED, "size": "0.6", "price": "200.2"}));
    it.naive.remove(OPENED);
    it.check();
    // Late copies say nothing.
    it.say("open", 4, json!({}));
    it.check();
    assert_eq!((it.scene.counter("old_events"), it.scene.counter("gaps")), (1, 0));
    assert_eq!(it.scene.notices(), [OrdersLive]);
}

#[test]
fn an_answer_that_is_too_old_or_joins_later_messages_waits() {
    let mut it = Full::waiting();
    it.say("open", 5, json!({}));
    let answer = documented("coinbase_full.json")["book_level3"].clone();
    it.scene.rest_orders(&answer.to_string());
    it.scene.assert_none();
    assert_eq!(it.scene.notices(), [OrdersSnapshotOld]);
    assert_eq!(it.scene.counter("snapshots_old"), 1);
    // An answer that is ahead of the stream: what it has already is dropped when it comes.
    let mut ahead = answer;
    ahead["sequence"] = 7.into();
    it.scene.rest_orders(&ahead.to_string());
    it.check();
    it.say("open", 6, json!({"order_id": OTHER}));
    it.say("received", 7, json!({}));
    it.check();
    it.say("open", 8, json!({"order_id": OTHER}));
    it.naive.add(OTHER, false, "200.2", "1", None);
    it.check();
    it.scene.rest_orders(&ahead.to_string());
    assert_eq!(it.scene.counter("snapshots_ignored"), 1);
    it.check();
}

#[test]
fn a_gap_ends_what_is_known_and_a_new_answer_joins_what_was_held_since() {
    let mut it = Full::live();
    it.say("open", 5, json!({}));
    it.scene.assert_none();
    assert!(it.scene.is_live());
    assert_eq!(it.scene.notices(), [Gap, OrdersStale, OrdersNeedSnapshot]);
    assert_eq!((it.scene.counter("gaps"), it.scene.feed.kinds().order.gaps), (1, 1));
    it.say("open", 6, json!({"order_id": OTHER}));
    let mut answer = documented("coinbase_full.json")["book_level3"].clone();
    answer["sequence"] = 4.into();
    it.scene.rest_orders(&answer.to_string());
    it.naive.add(OPENED, false, "200.2", "1", None);
    it.naive.add(OTHER, false, "200.2", "1", None);
    it.check();
}

#[test]
fn held_messages_with_a_hole_need_a_later_answer() {
    let mut it = Full::waiting();
    it.say("received", 4, json!({}));
    it.say("open", 6, json!({}));
    let mut answer = documented("coinbase_full.json")["book_level3"].clone();
    it.scene.rest_orders(&answer.to_string());
    it.scene.assert_none();
    assert_eq!(it.scene.notices(), [Gap, OrdersNeedSnapshot]);
    assert!(it.scene.take_left().books.is_empty(), "nobody was told of them");
    answer["sequence"] = 6.into();
    it.scene.rest_orders(&answer.to_string());
    it.check();
}

#[test]
fn a_match_that_does_not_fit_ends_what_is_known() {
    for (changes, reason) in [
        (json!({"maker_order_id": OTHER}), "orders: no order has this number"),
        (
            json!({"maker_order_id": ASK, "size": "5.72036513"}),
            "orders: more was executed than is left of the order",
        ),
        (json!({"maker_order_id": ASK, "size": "0"}), "orders: a quantity of zero or less"),
        (
            json!({"maker_order_id": ASK, "size": "1", "side": "buy"}),
            "orders: an order stands on the other side",
        ),
    ] {
        let mut it = Full::live();
        it.scene.take_left();
        it.say("match", 4, changes);
        assert_eq!(it.scene.last_fault(), reason);
        it.scene.assert_none();
        assert_eq!(it.scene.notices(), [OrdersStale, OrdersNeedSnapshot, Fault]);
        let left = it.scene.take_left();
        assert_eq!((left.books, left.trades), (vec![0], 1), "the trade is one all the same");
    }
    let mut it = Full::live();
    it.say("open", 4, json!({"order_id": ASK}));
    assert_eq!(it.scene.last_fault(), "orders: an order has this number already");
}

#[test]
fn a_message_that_cannot_be_read_ends_what_is_known() {
    for (name, key, value, reason) in [
        ("open", "order_id", json!("d50ec984"), "bad order id"),
        ("open", "order_id", json!(null), "missing field"),
        ("open", "side", json!("bid"), "unknown side"),
        ("open", "side", json!(null), "missing field"),
        ("open", "price", json!(null), "missing field"),
        ("open", "remaining_size", json!("-1"), "negative quantity"),
        ("open", "remaining_size", json!(true), "wrong type"),
        ("open", "time", json!("soon"), "bad time"),
        ("match", "maker_order_id", json!(7), "wrong type"),
        ("done", "sequence", json!("x"), "bad number"),
    ] {
        let mut it = Full::live();
        it.say(name, 4, json!({key: value}));
        assert_eq!(it.scene.last_fault(), reason, "{name} {key}");
        it.scene.assert_none();
        assert_eq!(it.scene.notices(), [Fault, OrdersStale, OrdersNeedSnapshot], "{name} {key}");
        assert!(it.scene.is_live());
    }
    // Without a number nobody knows what it follows.
    let mut it = Full::live();
    it.say("received", 4, json!({"sequence": null}));
    it.scene.assert_none();
    assert_eq!(it.scene.notices(), [Gap, OrdersStale, OrdersNeedSnapshot]);
}

#[test]
fn an_answer_that_is_none_is_a_fault() {
    let answer = documented("coinbase_full.json")["book_level3"].clone();
    for (body, reason) in [
        (json!({"message": "NotFound"}).to_string(), "not the orders that the venue declares"),
        (answer.to_string().replace("\"sequence\"", "\"number\""), "snapshot without id"),
        (answer.to_string().replace(ASK, BID), "orders: an order has this number already"),
        (answer.to_string().replace("295.96", ""), "bad number"),
        ("<html>".to_owned(), "malformed JSON"),
    ] {
        let mut it = Full::waiting();
        it.scene.rest_orders(&body);
        assert_eq!(it.scene.last_fault(), reason, "{body}");
        it.scene.assert_none();
    }
}

#[test]
fn what_is_held_has_a_bound() {
    let mut it = Full::waiting();
    let text = message("open", 0, json!({})).to_string();
    let more = 100;
    for sequence in 0..HELD_ORDER_EVENTS_MAX + more {
        it.scene.say(ORDERS, &text.replace("\"sequence\":0", &format!("\"sequence\":{}", sequence + 1)));
        if sequence == HELD_ORDER_EVENTS_MAX - 1 {
            assert_eq!(it.scene.counter("orders_held_dropped"), 0);
        }
    }
    assert_eq!(it.scene.counter("orders_held_dropped"), more as u64);
    // What was dropped is missing: an answer must be from after it.
    it.scene.rest_orders(&documented("coinbase_full.json")["book_level3"].to_string());
    assert_eq!(it.scene.notices(), [OrdersSnapshotOld]);
}
