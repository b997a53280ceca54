//! Inferred orders against those that were there: the ES hour of Christmas 2023, order by order.
//!
//! Two test orders a second, one a side, join the best level; what stands before them is compared after every event that touches their
//! level, for a minute at most or until they would have been filled. Sources and reference numbers: README of the L3 data.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use outcrier_core::event::Side;
use outcrier_core::orders::{Inference, Order, OrderBook, Rule, WatchId};

const FILE: &str = "l3/cme/ESH4_2023-12-25.mbo.csv.gz";
const LAST: u32 = 128;
const OPEN_NS: i64 = 1_703_545_200_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const HORIZON_NS: i64 = 60 * SECOND_NS;

struct Row {
    ts: i64,
    action: u8,
    side: Option<Side>,
    price: i64,
    qty: i64,
    id: u64,
    flags: u32,
}

fn rows() -> Option<Vec<Row>> {
    let folder = std::env::var_os("OUTCRIER_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let file = std::fs::File::open(folder.join(FILE)).ok()?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the file is whole");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Row {
            ts: cells[1].parse().unwrap(),
            action: cells[2].as_bytes()[0],
            side: match cells[3] {
                "B" => Some(Side::Bid),
                "A" => Some(Side::Ask),
                _ => None,
            },
            price: cells[4].parse::<i64>().unwrap() / 250_000_000,
            qty: cells[5].parse().unwrap(),
            id: cells[7].parse().unwrap(),
            flags: cells[8].parse().unwrap(),
        }
    };
    Some(text.lines().skip(1).map(row).collect())
}

struct Shadow {
    level: (Side, i64),
    until: i64,
    truth: WatchId,
    inferred: Vec<WatchId>,
    /// Quantity before it when the last event ended.
    before: i64,
}

#[derive(Clone, Copy, Default)]
struct Errors {
    sum: i64,
    bias: i64,
    n: i64,
}

struct Replay {
    truth: OrderBook,
    inferred: Vec<Inference>,
    shadows: Vec<Shadow>,
    errors: Vec<Errors>,
    touched: BTreeMap<(u8, i64), Side>,
    trades: Vec<((Side, i64), i64, i64)>,
    fills: BTreeMap<u64, i64>,
}

impl Replay {
    fn touch(&mut self, id: u64) {
        if let Some(order) = self.truth.get(id) {
            self.touched.insert((order.side as u8, order.price), order.side);
        }
    }

    fn take(&mut self, row: &Row) {
        let order = |side| Order {
            id: row.id,
            price: row.price,
            qty: row.qty,
            priority: 0,
            ts: row.ts,
            side,
            flags: 0,
        };
        match (row.action, row.side) {
            (b'R', _) => self.truth.clear(),
            (b'A', Some(side)) => {
                self.truth.add(&order(side)).unwrap();
                self.touch(row.id);
            }
            (b'C', _) => {
                self.touch(row.id);
                let left = self.truth.get(row.id).expect("no unknown cancel").qty - row.qty;
                let done = if left > 0 { self.truth.resize(row.id, left) } else { self.truth.delete(row.id) };
                done.unwrap();
            }
            (b'M', Some(side)) => {
                self.touch(row.id);
                let Some(old) = self.truth.get(row.id) else {
                    self.truth.add(&order(side)).unwrap();
                    self.touch(row.id);
                    return;
                };
                let filled = self.fills.get(&row.id).copied().unwrap_or(0);
                if old.price == row.price && row.qty <= old.qty - filled {
                    self.truth.resize(row.id, row.qty).unwrap();
                } else {
                    self.truth.replace(row.id, &order(side)).unwrap();
                    self.touch(row.id);
                }
            }
            (b'T', Some(aggressor)) => {
                let resting = if aggressor == Side::Bid { Side::Ask } else { Side::Bid };
                self.trades.push(((resting, row.price), row.qty, row.ts));
            }
            (b'F', _) => *self.fills.entry(row.id).or_default() += row.qty,
            _ => {}
        }
        if row.flags & LAST != 0 {
            self.end_event(row.ts);
        }
    }

    fn end_event(&mut self, ts: i64) {
        let touched = std::mem::take(&mut self.touched);
        let trades = std::mem::take(&mut self.trades);
        self.fills.clear();
        for inferred in &mut self.inferred {
            for (number, (level, qty, ts)) in trades.iter().enumerate() {
                inferred.trade(*level, *qty, number as u64, *ts);
            }
            for ((_, price), side) in &touched {
                inferred.level((*side, *price), self.truth.queues().level(*side, *price).0, ts);
            }
            inferred.end_event(ts);
            inferred.take_ops(|_| {});
            for ((_, price), side) in &touched {
                let sums =
                    [inferred.queues(), self.truth.queues()].map(|queues| queues.level(*side, *price).0);
                assert_eq!(sums[0], sums[1], "the inferred orders are not the venue's level");
            }
        }
        let mut shadows = std::mem::take(&mut self.shadows);
        shadows.retain_mut(|shadow| {
            let here = |(level, ..): &&((Side, i64), i64, i64)| *level == shadow.level;
            let traded: i64 = trades.iter().filter(here).map(|trade| trade.1).sum();
            let truth = self.truth.watched(shadow.truth).unwrap();
            if traded > 0 || touched.contains_key(&(shadow.level.0 as u8, shadow.level.1)) {
                for (number, watch) in shadow.inferred.iter().enumerate() {
                    let off = self.inferred[number].watched(*watch).unwrap().qty - truth.qty;
                    let errors = &mut self.errors[number];
                    (errors.sum, errors.bias, errors.n) =
                        (errors.sum + off.abs(), errors.bias + off, errors.n + 1);
                }
            }
            let through = |(level, ..): &((Side, i64), i64, i64)| {
                level.0 == shadow.level.0
                    && if level.0 == Side::Bid { level.1 < shadow.level.1 } else { level.1 > shadow.level.1 }
            };
            let is_over = ts >= shadow.until || traded > shadow.before || trades.iter().any(through);
            shadow.before = truth.qty;
            if is_over {
                self.truth.unwatch(shadow.truth);
                for (inferred, watch) in self.inferred.iter_mut().zip(&shadow.inferred) {
                    inferred.unwatch(*watch);
                }
            }
            !is_over
        });
        self.shadows = shadows;
    }

    fn join(&mut self, ts: i64) {
        for side in [Side::Bid, Side::Ask] {
            let best = self.truth.queues().best(side).unwrap();
            let truth = self.truth.watch_back(side, best.price).unwrap();
            let inferred = self
                .inferred
                .iter_mut()
                .map(|inferred| inferred.watch_back(side, best.price).unwrap())
                .collect();
            self.shadows.push(Shadow {
                level: (side, best.price),
                until: ts + HORIZON_NS,
                truth,
                inferred,
                before: best.qty,
            });
        }
    }
}

#[test]
fn the_likeliest_order_is_nearer_to_the_truth_than_the_newest() {
    let Some(rows) = rows() else {
        eprintln!("skipped: no {FILE}");
        return;
    };
    let rules = [Rule::NewestFirst, Rule::OldestFirst, Rule::ExactSize, Rule::Likeliest];
    let mut replay = Replay {
        truth: OrderBook::new(1),
        inferred: rules.iter().map(|rule| Inference::new(1, *rule)).collect(),
        shadows: Vec::new(),
        errors: vec![Errors::default(); rules.len()],
        touched: BTreeMap::new(),
        trades: Vec::new(),
        fills: BTreeMap::new(),
    };
    let mut next = OPEN_NS;
    for row in &rows {
        replay.take(row);
        if row.flags & LAST != 0 && row.ts >= next && row.ts < OPEN_NS + 3_480 * SECOND_NS {
            next = row.ts - (row.ts - next) % SECOND_NS + SECOND_NS;
            replay.join(row.ts);
        }
    }
    let mean = |errors: &Errors| errors.sum as f64 / errors.n as f64;
    for (rule, errors) in rules.iter().zip(&replay.errors) {
        eprintln!(
            "{rule:?}: {:.3} lots, bias {:.3}, {} looks",
            mean(errors),
            errors.bias as f64 / errors.n as f64,
            errors.n
        );
    }
    let newest = mean(&replay.errors[0]);
    assert!(mean(&replay.errors[3]) <= 0.55 * newest);
    assert!(mean(&replay.errors[2]) <= 0.69 * newest);
    assert!(mean(&replay.errors[1]) >= 3.0 * newest);
}
