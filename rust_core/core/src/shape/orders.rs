//! Messages about orders: rows of two lists, or one order a message.

use std::collections::BTreeMap;

use super::FaultKind;
use super::bodies::{self, Context};
use super::compile::{Builder, Built, POSITIONS};
use super::compile_rows::words;
use super::cursor::{Cursor, Kind, Value};
use super::levels::{Finer, decimals, is_word, note};
use super::plan::{Field, ListSide, ShapePlan, SnapshotPlan};
use super::reader::{self, Reader, digits, fixed};
use super::scan::Stop;
use super::spec::{self, OrderId, Unit, Verb};
use super::track::Tracks;
use super::trie::{Slot, Trie};
use crate::checksum::Algorithm;
use crate::event::{Body, NOT_GIVEN, OrderRow, OrderVerb, Side, VenueChecksum};
use crate::instrument::Scale;

/// The fields that an order may have, by their index in [`Values`].
const NAMES: [&str; 7] = ["id", "price", "qty", "side", "verb", "time", "trade_id"];
const ID: usize = 0;
const PRICE: usize = 1;
const QTY: usize = 2;
const SIDE: usize = 3;
const VERB: usize = 4;
const TIME: usize = 5;
const TRADE_ID: usize = 6;

/// The values of an order's fields.
type Values = [Value; NAMES.len()];

/// What the engine must know of a shape about orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrdersInfo {
    /// Levels a side that the venue keeps.
    pub depth: Option<u32>,
    /// How the venue makes the checksum that its messages may carry.
    pub checksum: Option<Algorithm>,
    /// The orders of a level stand by their own times.
    pub by_time: bool,
    /// Ids are numbers, which go out as they are.
    pub has_numbers: bool,
    /// A deletion of an order that is not there says nothing.
    pub absent_delete: bool,
    /// The same of another quantity or price.
    pub absent_modify: bool,
}

impl OrdersInfo {
    pub(super) fn of(orders: &spec::Orders) -> Self {
        Self {
            depth: orders.depth,
            checksum: orders.checksum.as_ref().map(|checksum| checksum.algorithm),
            by_time: orders.by_time,
            has_numbers: orders.id == OrderId::Number,
            absent_delete: orders.absent.contains(&Verb::Delete),
            absent_modify: orders.absent.contains(&Verb::Modify),
        }
    }
}

#[derive(Debug)]
pub(super) struct OrdersPlan {
    form: Form,
    id: OrderId,
    time_unit: Unit,
    /// Words for bid and ask, where the order tells its side.
    side: Option<[Vec<Box<[u8]>>; 2]>,
    verbs: Verbs,
    snapshot: SnapshotPlan,
    checksum: Option<Field>,
}

/// Where orders stand.
#[derive(Debug)]
enum Form {
    /// Lists whose name tells the side.
    Lists { lists: [(Field, u16, ListSide); 2], trie: Trie, at: [Option<Slot>; NAMES.len()] },
    /// One order.
    One([Option<Field>; NAMES.len()]),
}

#[derive(Debug)]
enum Verbs {
    /// `None`: the message only takes a number.
    Always(Option<OrderVerb>),
    Words(BTreeMap<Box<[u8]>, Option<OrderVerb>>),
}

impl Verb {
    fn told(self) -> Option<OrderVerb> {
        match self {
            Verb::Add => Some(OrderVerb::Add),
            Verb::Modify => Some(OrderVerb::Modify),
            Verb::Delete => Some(OrderVerb::Delete),
            Verb::Execute => Some(OrderVerb::Execute),
            Verb::Pass => None,
        }
    }
}

impl Builder<'_> {
    pub(super) fn orders(&mut self, orders: &spec::Orders) -> Built<OrdersPlan> {
        let has = |name: &str| orders.fields.contains_key(name);
        if let Some(name) = orders.fields.keys().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(self.fail("order", &format!("{} instead of {name:?}", NAMES.join(", "))));
        }
        let verbs = match &orders.verb {
            spec::Verbs::Always { verb } => Verbs::Always(verb.told()),
            spec::Verbs::Words { words } => {
                let told = words.iter().map(|(word, verb)| (word.as_bytes().into(), verb.told()));
                Verbs::Words(told.collect())
            }
        };
        let passes = matches!(verbs, Verbs::Always(None));
        if matches!(verbs, Verbs::Words(_)) != has("verb") {
            return Err(self.fail("verb", "words together with a field verb, else one verb"));
        }
        if !passes && !has("id") {
            return Err(self.fail("order", "a field id"));
        }
        if matches!(orders.snapshot, spec::Snapshot::FirstAfterBind {}) {
            return Err(self.fail("snapshot", "true, false or tests"));
        }
        if orders.checksum.as_ref().is_some_and(|checksum| checksum.algorithm != Algorithm::Kraken) {
            return Err(self.fail("checksum", "\"kraken\""));
        }
        if orders.by_time && !has("time") {
            return Err(self.fail("by_time", "only with a field time"));
        }
        let form = match (&orders.bids, &orders.asks) {
            (Some(bids), Some(asks)) => self.order_lists(orders, bids, asks)?,
            (None, None) => {
                let mut at = [None; NAMES.len()];
                for (slot, name) in at.iter_mut().zip(NAMES) {
                    *slot = self.maybe(orders.fields.get(name), "order")?;
                }
                Form::One(at)
            }
            _ => return Err(self.fail("bids", "together with asks")),
        };
        let side = match (&orders.side, has("side"), &form) {
            (None, false, Form::Lists { .. }) => None,
            (None, false, Form::One(_)) if passes => None,
            (Some(spec::Side::Words { bid, ask }), true, Form::One(_)) => Some([words(bid), words(ask)]),
            _ => {
                return Err(
                    self.fail("side", "SideWords with a field side, where there are no lists of sides")
                );
            }
        };
        Ok(OrdersPlan {
            form,
            id: orders.id,
            time_unit: orders.time_unit,
            side,
            verbs,
            snapshot: self.snapshot(&orders.snapshot)?,
            checksum: self.maybe(orders.checksum.as_ref().map(|checksum| &checksum.at), "checksum")?,
        })
    }

    fn order_lists(&mut self, orders: &spec::Orders, bids: &spec::Place, asks: &spec::Place) -> Built<Form> {
        let mut trie = Trie::default();
        let mut at = [None; NAMES.len()];
        for (slot, name) in at.iter_mut().zip(NAMES) {
            if let Some(place) = orders.fields.get(name) {
                let found = trie.add_slot(std::slice::from_ref(&place.path), false, false);
                *slot = Some(found.ok_or_else(|| self.fail("order", POSITIONS))?);
            }
        }
        for place in [bids, asks] {
            for row in orders.fields.values() {
                self.declare_row(place, false, &row.path, "order")?;
            }
        }
        let mut list = |place, side, field| {
            let name = self.next_name(field)?;
            Ok((self.intern(place, field, false, false)?, name, side))
        };
        let lists = [list(bids, ListSide::Bid, "bids")?, list(asks, ListSide::Ask, "asks")?];
        Ok(Form::Lists { lists, trie, at })
    }
}

/// The orders of the values in `reader`.
pub(super) fn orders(
    context: &mut Context<'_>,
    (shape, plan): (&ShapePlan, &OrdersPlan),
    reader: &Reader<'_>,
    scale: &Scale,
    finer: &mut Finer,
) -> Result<Body, Stop> {
    let checksum = match plan.checksum {
        Some(field) => reader.signed(field)?.map(VenueChecksum),
        None => None,
    };
    let start = context.out.orders.len();
    let mut rows = RowReader { source: reader.frame, plan, scale, finer: *finer };
    match &plan.form {
        Form::One(at) => {
            let values = at.map(|field| field.map_or(Value::default(), |field| reader.get(field)));
            context.out.orders.extend(rows.row(&values, ListSide::InRow)?);
        }
        Form::Lists { lists, trie, at } => {
            for (field, name, side) in lists {
                let list = reader.get(*field);
                if !list.is_given() {
                    return Err(Stop::MissingList { shape: shape.number, name: *name });
                }
                if list.kind != Kind::Array {
                    return Err(FaultKind::WrongType.into());
                }
                let tracks = &mut context.rows[usize::from(shape.number)].tracks;
                let out = &mut context.out.orders;
                rows.list(
                    (trie, at),
                    Cursor::new(reader.frame, list.start as usize),
                    tracks,
                    |rows, values| {
                        out.extend(rows.row(values, *side)?);
                        Ok(())
                    },
                )?;
            }
        }
    }
    *finer = rows.finer;
    let snapshot = plan.snapshot.holds(reader);
    let rows = bodies::run(start, context.out.orders.len());
    Ok(Body::Orders { snapshot, rows, checksum, shape: shape.number })
}

/// Reads orders of one event.
struct RowReader<'a> {
    source: &'a [u8],
    plan: &'a OrdersPlan,
    scale: &'a Scale,
    finer: Finer,
}

impl RowReader<'_> {
    /// Calls `take` with the values of every row of the list under the cursor.
    fn list(
        &mut self,
        (trie, at): (&Trie, &[Option<Slot>; NAMES.len()]),
        mut cursor: Cursor<'_>,
        tracks: &mut Tracks,
        mut take: impl FnMut(&mut Self, &Values) -> Result<(), FaultKind>,
    ) -> Result<(), FaultKind> {
        let mut row = [Value::default(); NAMES.len()];
        let mut more = cursor.open(b']')?;
        while more {
            tracks.record(trie, &mut cursor, &mut row[..trie.slot_count()])?;
            take(self, &at.map(|slot| slot.map_or(Value::default(), |slot| row[usize::from(slot)])))?;
            more = cursor.more(b']')?;
        }
        Ok(())
    }

    /// The order of these values; `None`: the row only takes a number.
    fn row(&mut self, values: &Values, list: ListSide) -> Result<Option<OrderRow>, FaultKind> {
        let Some(verb) = self.verb(values[VERB])? else { return Ok(None) };
        let side = self.side(values[SIDE], list)?;
        let key = key(self.source, values[ID], self.plan.id)?;
        let needs_price = verb == OrderVerb::Add;
        let price = match values[PRICE] {
            value if value.is_given() || needs_price => {
                note(fixed(self.source, value, self.scale.price_exp), &mut self.finer.price)?
            }
            _ => NOT_GIVEN,
        };
        let qty = if verb == OrderVerb::Delete {
            NOT_GIVEN
        } else {
            note(fixed(self.source, values[QTY], self.scale.qty_exp), &mut self.finer.qty)?
        };
        if qty < 0 && qty != NOT_GIVEN {
            return Err(FaultKind::NegativeQuantity);
        }
        let order_ts = reader::time(self.source, values[TIME], self.plan.time_unit, 0)?;
        let trade_id = reader::unsigned(self.source, values[TRADE_ID])?.unwrap_or(0);
        let [price_decimals, qty_decimals] = [PRICE, QTY]
            .map(|at| if self.plan.checksum.is_some() { decimals(self.source, values[at]) } else { 0 });
        Ok(Some(OrderRow { key, price, qty, order_ts, trade_id, verb, side, price_decimals, qty_decimals }))
    }

    fn verb(&self, value: Value) -> Result<Option<OrderVerb>, FaultKind> {
        match &self.plan.verbs {
            Verbs::Always(verb) => Ok(*verb),
            Verbs::Words(_) if !value.is_given() => Err(FaultKind::MissingField),
            Verbs::Words(_) if !value.is_text() => Err(FaultKind::WrongType),
            Verbs::Words(words) => {
                let found = value.with_text(self.source, |word| words.get(word).copied());
                found.ok_or(FaultKind::UnknownVerb)
            }
        }
    }

    fn side(&self, value: Value, list: ListSide) -> Result<Side, FaultKind> {
        match &self.plan.side {
            None if list == ListSide::Bid => Ok(Side::Bid),
            None => Ok(Side::Ask),
            Some(_) if !value.is_given() => Err(FaultKind::MissingField),
            Some([bid, _]) if is_word(self.source, value, bid) => Ok(Side::Bid),
            Some([_, ask]) if is_word(self.source, value, ask) => Ok(Side::Ask),
            Some(_) => Err(FaultKind::UnknownSide),
        }
    }
}

/// An id as a number of 128 bits, no two alike.
fn key(source: &[u8], value: Value, form: OrderId) -> Result<u128, FaultKind> {
    if !value.is_given() {
        return Err(FaultKind::MissingField);
    }
    if !matches!(value.kind, Kind::Text | Kind::Escaped)
        && (form != OrderId::Number || value.kind != Kind::Number)
    {
        return Err(FaultKind::WrongType);
    }
    value.with_text(source, |text| match form {
        OrderId::Number => digits(text).map(u128::from).map_err(|_| FaultKind::BadOrderId),
        OrderId::Uuid => uuid(text).ok_or(FaultKind::BadOrderId),
        OrderId::Text => packed(text).ok_or(FaultKind::BadOrderId),
    })
}

/// The number that a UUID is, written as `d50ec984-77a8-460a-b958-66f114b0de9b`.
fn uuid(text: &[u8]) -> Option<u128> {
    if text.len() != 36 {
        return None;
    }
    let mut number = 0_u128;
    for (at, &byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        // One way to write each: a second one would be a second order.
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(digit);
    }
    Some(number)
}

/// Characters of a text id: 6 bits each. Kraken's have 19.
const TEXT_ID_MAX: usize = 21;

/// A text of letters, digits and hyphens, 6 bits a character; none of them is 0, so that no text is the start of another.
fn packed(text: &[u8]) -> Option<u128> {
    if text.is_empty() || text.len() > TEXT_ID_MAX {
        return None;
    }
    let mut number = 0_u128;
    for &byte in text {
        let digit = match byte {
            b'-' => 1,
            b'0'..=b'9' => byte - b'0' + 2,
            b'A'..=b'Z' => byte - b'A' + 12,
            b'a'..=b'z' => byte - b'a' + 38,
            _ => return None,
        };
        number = number << 6 | u128::from(digit);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_is_its_number_and_nothing_else_is_one() {
        let id = b"d50ec984-77a8-460a-b958-66f114b0de9b";
        assert_eq!(uuid(id), Some(0xd50e_c984_77a8_460a_b958_66f1_14b0_de9b));
        for at in 0..id.len() {
            for bad in [b'g', b'D', b'_', b' ', if id[at] == b'-' { b'0' } else { b'-' }] {
                let mut other = *id;
                other[at] = bad;
                assert_eq!(uuid(&other), None, "{at} {bad}");
            }
        }
        assert_eq!(uuid(&id[..35]), None);
        assert_eq!(uuid(b""), None);
    }

    #[test]
    fn a_text_of_21_letters_is_the_longest() {
        assert_eq!(packed(b"zzzzzzzzzzzzzzzzzzzzz").map(u128::leading_zeros), Some(2));
        assert_eq!(packed(b"zzzzzzzzzzzzzzzzzzzzzz"), None);
        for bad in [&b""[..], b"order_1", b"\xc3\xa4", b"a b"] {
            assert_eq!(packed(bad), None);
        }
    }

    proptest! {
        #[test]
        fn no_two_texts_are_one_number(texts in proptest::collection::hash_set("[0-9A-Za-z-]{1,21}", 1..200)) {
            let numbers: HashSet<u128> = texts.iter().map(|text| packed(text.as_bytes()).unwrap()).collect();
            prop_assert_eq!(numbers.len(), texts.len());
        }
    }
}
