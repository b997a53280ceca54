//! The orders as a person would keep them by the documentation: a list of texts.

use std::collections::BTreeSet;

use outcrier_core::event::Side;
use serde_json::Value;

#[derive(Clone, Debug)]
pub(crate) struct NaiveOrder {
    pub(crate) id: String,
    pub(crate) is_bid: bool,
    pub(crate) price: String,
    pub(crate) qty: String,
    /// Where the venue tells it.
    pub(crate) time_ns: Option<u64>,
    /// How often an order of this id was new.
    round: usize,
}

impl NaiveOrder {
    /// Id and round: an id that comes back is another order.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.id, self.round)
    }

    pub(crate) fn mantissa(&self, text: &str, exp: i8) -> i64 {
        let places = usize::from(exp.unsigned_abs());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        assert!(fraction.len() <= places, "{text} of {} has more digits than 10^{exp}", self.id);
        format!("{whole}{fraction:0<places$}").parse().unwrap()
    }

    fn price_value(&self) -> i64 {
        self.mantissa(&self.price, -9)
    }
}

/// Orders in the sequence of their arrival at their levels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) orders: Vec<NaiveOrder>,
    seen: Vec<String>,
    /// Levels a side that are kept; 0 = all.
    pub(crate) depth: usize,
}

/// Nanoseconds of a time such as `2024-01-08T12:26:39.526146327Z`; all are of January 2024.
fn time_ns(text: &str) -> u64 {
    assert!(text.starts_with("2024-01-") && text.len() == 30, "{text}");
    let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().unwrap();
    let seconds = ((part(8..10) - 1) * 24 + part(11..13)) * 3_600 + part(14..16) * 60 + part(17..19);
    (1_704_067_200 + seconds) * 1_000_000_000 + part(20..29)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Naive {
    pub(crate) fn with_depth(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    pub(crate) fn find(&mut self, id: &str) -> Option<&mut NaiveOrder> {
        self.orders.iter_mut().find(|order| order.id == id)
    }

    pub(crate) fn add(&mut self, id: &str, is_bid: bool, price: &str, qty: &str, time_ns: Option<u64>) {
        let round = self.seen.iter().filter(|seen| *seen == id).count();
        self.seen.push(id.to_owned());
        self.orders.push(NaiveOrder {
            id: id.to_owned(),
            is_bid,
            price: price.to_owned(),
            qty: qty.to_owned(),
            time_ns,
            round,
        });
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.orders.retain(|order| order.id != id);
    }

    /// The order leaves its place and stands at the back.
    pub(crate) fn move_back(&mut self, id: &str) {
        let at = self.orders.iter().position(|order| order.id == id).unwrap();
        let order = self.orders.remove(at);
        self.orders.push(order);
    }

    /// Best level first, each from its front.
    pub(crate) fn queue(&self, side: Side) -> Vec<&NaiveOrder> {
        let is_bid = side == Side::Bid;
        let mut orders: Vec<&NaiveOrder> =
            self.orders.iter().filter(|order| order.is_bid == is_bid).collect();
        orders.sort_by_key(|order| {
            let price = order.price_value();
            (if is_bid { -price } else { price }, order.time_ns)
        });
        orders
    }

    /// Takes a message of Kraken's `level3`.
    pub(crate) fn kraken(&mut self, message: &Value) {
        let data = &message["data"][0];
        if message["type"] == "snapshot" {
            // What rests still is the same order.
            let told: Vec<&Value> =
                ["bids", "asks"].into_iter().flat_map(|side| data[side].as_array().unwrap()).collect();
            self.orders.retain(|order| told.iter().any(|row| row["order_id"] == order.id.as_str()));
        }
        for (key, is_bid) in [("bids", true), ("asks", false)] {
            for row in data[key].as_array().unwrap() {
                let [id, price, qty] = ["order_id", "limit_price", "order_qty"].map(|key| text(&row[key]));
                let time = Some(time_ns(row["timestamp"].as_str().unwrap()));
                match row["event"].as_str() {
                    Some("delete") => self.remove(&id),
                    Some("modify") => {
                        let Some(order) = self.find(&id) else { continue };
                        let moved = order.price != price || order.time_ns != time;
                        (order.price, order.qty, order.time_ns) = (price, qty, time);
                        if moved {
                            self.move_back(&id);
                        }
                    }
                    _ => match self.find(&id) {
                        None => self.add(&id, is_bid, &price, &qty, time),
                        Some(order) => (order.price, order.qty, order.time_ns) = (price, qty, time),
                    },
                }
            }
        }
        self.cut();
    }

    fn cut(&mut self) {
        for is_bid in [true, false] {
            let levels = self.orders.iter().filter(|order| order.is_bid == is_bid);
            let prices: BTreeSet<i64> = levels.map(NaiveOrder::price_value).collect();
            let kept: BTreeSet<i64> = if is_bid {
                prices.into_iter().rev().take(self.depth).collect()
            } else {
                prices.into_iter().take(self.depth).collect()
            };
            self.orders.retain(|order| order.is_bid != is_bid || kept.contains(&order.price_value()));
        }
    }

    /// Kraken's checksum by its guide: texts without point and leading zeros.
    pub(crate) fn checksum(&self) -> u32 {
        let digits = |text: &str| text.replace('.', "").trim_start_matches('0').to_owned();
        let sides = [Side::Ask, Side::Bid].into_iter().flat_map(|side| self.queue(side));
        let all: String = sides.map(|order| digits(&order.price) + &digits(&order.qty)).collect();
        crc32fast::hash(all.as_bytes())
    }
}
