//! The ES hour of Christmas 2023, order by order: CME, 68,792 rows. Source and licence: README of the L3 data.
#![allow(dead_code)] // Each test binary uses its part.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use outcrier_core::event::{ORDER_TOLD, OrderOp, Side, order_op};

const FILE: &str = "l3/cme/ESH4_2023-12-25.mbo.csv.gz";
/// Of [`Row::flags`]: the last row of an event.
pub(crate) const LAST: u32 = 128;

pub(crate) struct Row {
    pub(crate) ts: i64,
    pub(crate) action: u8,
    pub(crate) side: Option<Side>,
    pub(crate) price: i64,
    pub(crate) qty: i64,
    pub(crate) id: u64,
    pub(crate) flags: u32,
}

/// All rows, prices in ticks, or `None` (with the reason on stderr) where the file is missing.
pub(crate) fn rows() -> Option<Vec<Row>> {
    let folder = std::env::var_os("OUTCRIER_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let Ok(file) = std::fs::File::open(folder.join(FILE)) else {
        #[allow(clippy::print_stderr)] // The reason of a skipped test is for the person who runs it.
        {
            eprintln!("skipped: no {FILE} in {} (set OUTCRIER_DATA)", folder.display());
        }
        return None;
    };
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

/// One event of the exchange as the wire tells it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) ts: i64,
    pub(crate) ops: Vec<OrderOp>,
}

/// The events that change orders of the numbers that `keeps` lets through; the first one is the opening list.
pub(crate) fn events(keeps: impl Fn(u64) -> bool) -> Option<Vec<Event>> {
    let mut reader = Reader::default();
    let mut events = Vec::new();
    for row in rows()? {
        if keeps(row.id) || row.action == b'R' {
            reader.take(&row);
        }
        if row.flags & LAST != 0 {
            reader.fills.clear();
            if !reader.ops.is_empty() {
                events.push(Event { ts: row.ts, ops: std::mem::take(&mut reader.ops) });
            }
        }
    }
    Some(events)
}

#[derive(Default)]
struct Reader {
    /// Side, price and quantity of what rests.
    resting: HashMap<u64, (Side, i64, i64)>,
    /// Executed in this event; the row that takes it out of the book follows.
    fills: HashMap<u64, i64>,
    fill_id: u64,
    ops: Vec<OrderOp>,
}

impl Reader {
    fn take(&mut self, row: &Row) {
        match (row.action, row.side) {
            (b'R', _) => {
                self.resting.clear();
                self.ops.push(OrderOp { op: order_op::CLEAR, op_flags: ORDER_TOLD, ..OrderOp::default() });
            }
            (b'A', Some(side)) => self.rests(order_op::ADD, row, side),
            (b'C', _) => {
                let (side, price, qty) = self.resting[&row.id];
                let filled = self.fill(row.id, qty.min(row.qty));
                let left = qty - row.qty;
                if left > 0 && filled < row.qty {
                    self.rests(order_op::MODIFY_KEEP, &Row { price, qty: left, ..*row }, side);
                } else if left == 0 && filled < row.qty {
                    self.tell(order_op::DELETE, row, (side, price, 0), 0);
                    self.resting.remove(&row.id);
                }
            }
            (b'M', Some(side)) => {
                let Some(&(_, price, qty)) = self.resting.get(&row.id) else {
                    return self.rests(order_op::ADD, row, side);
                };
                let filled = self.fills.get(&row.id).copied().unwrap_or(0);
                if price != row.price || row.qty > qty - filled {
                    return self.rests(order_op::MODIFY_LOSE, row, side);
                }
                self.fill(row.id, filled);
                if row.qty != qty - filled {
                    self.rests(order_op::MODIFY_KEEP, row, side);
                }
            }
            (b'F', _) => *self.fills.entry(row.id).or_default() += row.qty,
            _ => {}
        }
    }

    /// What was executed of an order, at most `most` of it, leaves the book. Gives how much.
    fn fill(&mut self, id: u64, most: i64) -> i64 {
        let filled = self.fills.remove(&id).unwrap_or(0).min(most);
        if filled > 0 {
            let (side, price, qty) = self.resting[&id];
            self.fill_id += 1;
            self.tell(order_op::EXECUTE, &Row { id, ..NO_ROW }, (side, price, filled), self.fill_id);
            if qty == filled {
                self.resting.remove(&id);
            } else {
                self.resting.insert(id, (side, price, qty - filled));
            }
        }
        filled
    }

    fn rests(&mut self, op: u8, row: &Row, side: Side) {
        self.resting.insert(row.id, (side, row.price, row.qty));
        self.tell(op, row, (side, row.price, row.qty), 0);
    }

    fn tell(&mut self, op: u8, row: &Row, (side, price, qty): (Side, i64, i64), ref_id: u64) {
        self.ops.push(OrderOp {
            order_id: row.id,
            price,
            qty,
            ref_id,
            priority: 0,
            op,
            side: side as u8,
            op_flags: ORDER_TOLD,
            reserved: 0,
        });
    }
}

const NO_ROW: Row = Row { ts: 0, action: 0, side: None, price: 0, qty: 0, id: 0, flags: 0 };
