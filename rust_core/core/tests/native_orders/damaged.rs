//! Documented messages with bytes changed, taken out and doubled by seed: whatever comes of them, publisher and consumer agree.

use serde_json::{Value, json};

use crate::rng::Rng;
use crate::scene::{LEVELS, ORDERS, Scene, documented};

/// Damaged messages of each venue.
const MESSAGES: usize = 3_000;

fn damaged(rng: &mut Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.place(bytes.len());
        if bytes.is_empty() {
            break;
        }
        match rng.below(4) {
            0 => bytes[at] = b"0123456789\"{}[]:,.-eEnull \xff"[rng.place(27)],
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, bytes[at]),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

/// `whole` tells all orders after so many messages, `message` is the one of a number.
fn run(mut scene: Scene, levels: &str, whole: impl Fn(&mut Scene, usize), message: impl Fn(usize) -> String) {
    scene.say(LEVELS, levels);
    assert!(scene.is_live() && scene.feed.want_orders(0));
    let mut rng = Rng::new(6);
    let (mut known, mut lost) = (0, 0);
    for number in 1..=MESSAGES {
        if !scene.feed.has_orders(0) {
            lost += 1;
            whole(&mut scene, number - 1);
        }
        scene.say_bytes(ORDERS, &damaged(&mut rng, &message(number)));
        if !scene.is_live() {
            scene.say(LEVELS, levels); // Nobody knows whose a message was that is no JSON.
        }
        match scene.consumers() {
            Some(theirs) if scene.feed.has_orders(0) => {
                known += 1;
                assert!(theirs.snapshot().eq(scene.feed.orders(0).unwrap().snapshot()), "message {number}");
            }
            _ => scene.assert_none(),
        }
    }
    assert!(known > MESSAGES / 10 && lost > 10, "{known} messages left the orders known, {lost} did not");
}

#[test]
fn of_kraken() {
    let guide = documented("kraken_level3_guide.json").to_string();
    let update = documented("kraken_level3_update.json").to_string().replace("MATIC/USD", "BTC/USD");
    let levels = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":0}]}"#;
    let message = |number: usize| if number.is_multiple_of(2) { guide.clone() } else { update.clone() };
    run(Scene::new("kraken", "BTC/USD", -1, -8), levels, |scene, _| scene.say(ORDERS, &guide), message);
}

#[test]
fn of_coinbase() {
    let mut all = documented("coinbase_full.json");
    let mut answer = all.as_object_mut().unwrap().remove("book_level3").unwrap();
    // The maker of the documented match rests.
    let maker = json!(["400.23", "100000", all["match"]["maker_order_id"]]);
    answer["asks"].as_array_mut().unwrap().push(maker);
    let messages: Vec<Value> = all.as_object().unwrap().values().cloned().collect();
    let message = |number: usize| {
        let mut message = messages[number % messages.len()].clone();
        message["sequence"] = number.into();
        message["product_id"] = "BTC-USD".into();
        message.to_string()
    };
    let whole = |scene: &mut Scene, last: usize| {
        let mut answer = answer.clone();
        answer["sequence"] = last.into();
        scene.rest_orders(&answer.to_string());
    };
    let levels = r#"{"type":"snapshot","product_id":"BTC-USD","asks":[],"bids":[]}"#;
    run(Scene::new("coinbase_exchange", "BTC-USD", -2, -8), levels, whole, message);
}
