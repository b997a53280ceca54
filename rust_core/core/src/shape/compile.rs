//! From declarations to plans. Every mistake is found here and names shape and field.

use super::known::{ANY, Declared, Known};
use super::orders::OrdersInfo;
use super::plan::*;
use super::spec::{self, Key, Path, Place, Scope};
use super::trie::{FROM_END_MAX, Slot, Trie};
use super::{ShapeError, ShapeInfo, SnapshotMode};
use crate::sequence::Splice;
use crate::wire::status::state;

/// What a venue may say of an instrument; the others are ours to say of its book.
const TRADING_STATES: [u8; 7] = [
    state::LIVE,
    state::HALTED,
    state::CLOSED,
    state::PRE_OPEN,
    state::AUCTION,
    state::MAINTENANCE,
    state::DELISTED,
];

/// The plans of a venue: for frames, and for answers to requests.
pub(super) struct Compiled {
    pub(super) stream: Plan,
    pub(super) rest: Plan,
    pub(super) infos: Vec<ShapeInfo>,
}

pub(super) fn compile(json: &str) -> Result<Compiled, ShapeError> {
    let venue: spec::Venue = serde_json::from_str(json).map_err(|error| ShapeError {
        shape: String::new(),
        field: "JSON".into(),
        allowed: error.to_string(),
    })?;
    let mut compiled = Compiled { stream: Plan::default(), rest: Plan::default(), infos: Vec::new() };
    let mut stream_slots = Slots::default();
    let mut rest_slots = Slots::default();
    let payloads = payloads(&venue);
    let keep_decimals = venue.keeps_decimals();
    if let Some(place) = &venue.connection_sequence {
        let paths = vec![place.path.clone()];
        let slot = stream_slots.intern(&mut compiled.stream.trie, paths, false, false);
        let slot = slot.ok_or_else(|| fail("venue", "connection_sequence", POSITIONS))?;
        compiled.stream.connection_sequence = Some(slot);
    }
    for (index, shape) in venue.shapes.iter().enumerate() {
        let number = u16::try_from(index).map_err(|_| fail(&shape.name, "name", "at most 65,535 shapes"))?;
        if compiled.infos.iter().any(|other| other.name == shape.name) {
            return Err(fail(&shape.name, "name", "a name of its own"));
        }
        let (plan, slots) = if shape.rest {
            (&mut compiled.rest, &mut rest_slots)
        } else {
            (&mut compiled.stream, &mut stream_slots)
        };
        let mut builder = Builder {
            shape,
            keep_decimals,
            payloads: &payloads,
            frame: &mut plan.trie,
            frame_slots: slots,
            element: Trie::default(),
            element_slots: Slots::default(),
            inner: Trie::default(),
            inner_slots: Slots::default(),
            declared: beside_the_payload(&venue),
            used: plan.connection_sequence.into_iter().collect(),
        };
        let shape_plan = builder.shape(number)?;
        let is_book = |plan: &ShapePlan| matches!(plan.body, BodyPlan::Book(_));
        match plan.shapes.last_mut() {
            _ if !shape.also => plan.shapes.push(shape_plan),
            Some(first) if !is_book(first) && !is_book(&shape_plan) => {
                first.declared.extend_from_slice(&shape_plan.declared);
                first.used.extend_from_slice(&shape_plan.used);
                first.also.push(shape_plan);
            }
            _ => return Err(fail(&shape.name, "also", "only after another shape, and neither a book")),
        }
        let info = info(shape, keep_decimals);
        let mut algorithms = compiled.infos.iter().filter_map(|other| other.checksum).chain(info.checksum);
        let first = algorithms.next();
        if algorithms.any(|other| Some(other) != first) {
            return Err(fail(&shape.name, "checksum", "the algorithm of the other shapes"));
        }
        compiled.infos.push(info);
    }
    let payload = venue.envelope.as_ref().map_or(&[][..], |envelope| envelope.payload.as_slice());
    let Compiled { stream, rest, infos } = &mut compiled;
    for shape in stream.shapes.iter_mut().chain(&mut rest.shapes) {
        let known = Known::of(&shape.declared, payload);
        shape.known =
            known.ok_or_else(|| fail(&infos[usize::from(shape.number)].name, "known", POSITIONS))?;
    }
    Ok(compiled)
}

/// What stands in frames of every shape, beside the payload.
fn beside_the_payload(venue: &spec::Venue) -> Vec<Declared> {
    let known = venue.envelope.iter().flat_map(|envelope| &envelope.known);
    let paths = known.chain(venue.connection_sequence.iter().map(|place| &place.path));
    paths.map(|path| Declared { paths: vec![path.clone()], is_read: false }).collect()
}

/// What is wrong with a place, wherever one is refused.
pub(super) const POSITIONS: &str = "fewer than 65,536 places, and array positions of at least -8";
const _: () = assert!(FROM_END_MAX == 8, "POSITIONS names the number");

fn fail(shape: &str, field: &str, allowed: &str) -> ShapeError {
    ShapeError { shape: shape.to_string(), field: field.to_string(), allowed: allowed.to_string() }
}

fn payloads(venue: &spec::Venue) -> Vec<Path> {
    match &venue.envelope {
        None => vec![Vec::new()],
        Some(envelope) if envelope.optional => vec![envelope.payload.clone(), Vec::new()],
        Some(envelope) => vec![envelope.payload.clone()],
    }
}

fn info(shape: &spec::Shape, keep_decimals: bool) -> ShapeInfo {
    let mut info = ShapeInfo {
        name: shape.name.clone(),
        rest: shape.rest,
        is_book: false,
        rule: shape.sequence.rule,
        splice: shape.sequence.splice,
        depth: None,
        snapshot: SnapshotMode::Told,
        level_ids: false,
        level_sequence: false,
        checksum: None,
        keep_decimals: false,
        folds: false,
        orders: None,
    };
    if let spec::Body::Orders(orders) = &shape.body {
        info.orders = Some(OrdersInfo::of(orders));
        return info;
    }
    if let spec::Body::Trades(trades) = &shape.body {
        info.folds = trades.first_fill.is_some() || trades.n_fills.is_some();
    }
    if let spec::Body::Book(book) = &shape.body {
        info.is_book = true;
        info.depth = book.depth;
        info.level_ids = book.level.fields.contains_key("id");
        info.level_sequence = book.level.fields.contains_key("sequence");
        info.checksum = book.checksum.as_ref().map(|checksum| checksum.algorithm);
        info.keep_decimals = keep_decimals;
        info.snapshot = match book.snapshot {
            spec::Snapshot::Always {} => SnapshotMode::Always,
            spec::Snapshot::FirstAfterBind {} => SnapshotMode::FirstAfterBind,
            spec::Snapshot::Never {} | spec::Snapshot::When { .. } => SnapshotMode::Told,
        };
    } else {
        info.splice = Splice::None;
    }
    info
}

/// Slots by the paths that fill them, so that shapes share them.
#[derive(Default)]
struct Slots(Vec<(Vec<Path>, bool, bool, Slot)>);

impl Slots {
    pub(super) fn intern(
        &mut self,
        trie: &mut Trie,
        paths: Vec<Path>,
        arrays_only: bool,
        is_list: bool,
    ) -> Option<Slot> {
        let known = self
            .0
            .iter()
            .find(|(other, arrays, list, _)| *other == paths && *arrays == arrays_only && *list == is_list);
        if let Some((_, _, _, slot)) = known {
            return Some(*slot);
        }
        let slot = trie.add_slot(&paths, arrays_only, is_list)?;
        self.0.push((paths, arrays_only, is_list, slot));
        Some(slot)
    }
}

pub(super) struct Builder<'a> {
    pub(super) shape: &'a spec::Shape,
    pub(super) keep_decimals: bool,
    payloads: &'a [Path],
    frame: &'a mut Trie,
    frame_slots: &'a mut Slots,
    element: Trie,
    element_slots: Slots,
    inner: Trie,
    inner_slots: Slots,
    declared: Vec<Declared>,
    used: Vec<Slot>,
}

pub(super) type Built<T> = Result<T, ShapeError>;

impl Builder<'_> {
    fn shape(&mut self, number: u16) -> Built<ShapePlan> {
        let shape = self.shape;
        let each = match &shape.each {
            Some(place) => Some(self.intern(place, "each", true, false)?.slot),
            None if shape.inner.is_some() => return Err(self.fail("inner", "only together with each")),
            None => None,
        };
        let inner_list = match &shape.inner {
            Some(path) => {
                self.declare(Record::Element, std::slice::from_ref(path), true, "inner")?;
                let slot = self.element_slots.intern(&mut self.element, vec![path.clone()], true, false);
                Some(slot.ok_or_else(|| self.fail("inner", POSITIONS))?)
            }
            None => None,
        };
        if each.is_some() && !shape.beside.is_empty() {
            return Err(self.fail("beside", "only without each"));
        }
        let when = self.conditions(&shape.when, "when")?;
        if when.iter().any(|condition| condition.at.record != Record::Frame) {
            return Err(self.fail("when", "places in the frame or payload"));
        }
        let instrument = self.instrument()?;
        let time = self.time(shape.exchange_time.as_ref(), "exchange_time")?;
        let first = self.maybe(shape.sequence.first.as_ref(), "sequence.first")?;
        let last = self.maybe(shape.sequence.last.as_ref(), "sequence.last")?;
        let prev = self.maybe(shape.sequence.prev.as_ref(), "sequence.prev")?;
        let mut body = self.body()?;
        for place in &shape.known {
            let (record, paths) = self.paths(place, "known")?;
            self.declare(record, &paths, false, "known")?;
        }
        if let (BodyPlan::Book(plan), spec::Body::Book(book)) = (&mut body, &shape.body) {
            plan.others = self.others(book)?;
        }
        Ok(ShapePlan {
            number,
            when,
            each,
            element: std::mem::take(&mut self.element),
            inner_list,
            inner: std::mem::take(&mut self.inner),
            instrument,
            time,
            first,
            last,
            prev,
            body,
            also: Vec::new(),
            declared: std::mem::take(&mut self.declared),
            used: std::mem::take(&mut self.used),
            known: Known::default(),
        })
    }

    pub(super) fn fail(&self, field: &str, allowed: &str) -> ShapeError {
        fail(&self.shape.name, field, allowed)
    }

    /// The paths from the root of its record that a place stands for.
    pub(super) fn paths(&self, place: &Place, field: &str) -> Built<(Record, Vec<Path>)> {
        let record = match place.scope {
            Scope::Frame | Scope::Payload => Record::Frame,
            Scope::Element if self.shape.each.is_none() => {
                return Err(self.fail(field, "element(...) only in a shape with each"));
            }
            Scope::Element => Record::Element,
            Scope::Here if self.shape.inner.is_some() => Record::Inner,
            Scope::Here if self.shape.each.is_some() => Record::Element,
            Scope::Here => Record::Frame,
        };
        let join = |base: &Path, rest: &Path| base.iter().chain(rest).cloned().collect::<Path>();
        let paths = match (record, place.scope) {
            (Record::Frame, Scope::Frame) | (Record::Element | Record::Inner, _) => vec![place.path.clone()],
            (Record::Frame, scope) => {
                let beside = if scope == Scope::Here { self.shape.beside.as_slice() } else { &[] };
                let bases: Vec<Path> = match beside {
                    [] => self.payloads.to_vec(),
                    beside => self
                        .payloads
                        .iter()
                        .flat_map(|base| beside.iter().map(|path| join(base, path)))
                        .collect(),
                };
                bases.iter().map(|base| join(base, &place.path)).collect()
            }
        };
        Ok((record, paths))
    }

    pub(super) fn intern(
        &mut self,
        place: &Place,
        field: &str,
        arrays_only: bool,
        is_list: bool,
    ) -> Built<Field> {
        let (record, paths) = self.paths(place, field)?;
        if paths.len() > 1 && paths.contains(&Vec::new()) && !arrays_only {
            return Err(self.fail(field, "a path that is not empty where the envelope is optional"));
        }
        self.declare(record, &paths, true, field)?;
        let (trie, slots) = match record {
            Record::Frame => (&mut *self.frame, &mut *self.frame_slots),
            Record::Element => (&mut self.element, &mut self.element_slots),
            Record::Inner => (&mut self.inner, &mut self.inner_slots),
        };
        let slot = slots.intern(trie, paths, arrays_only, is_list);
        let slot = slot.ok_or_else(|| fail(&self.shape.name, field, POSITIONS))?;
        Ok(self.reads(Field { record, slot }))
    }

    /// Notes a place that the shape reads.
    pub(super) fn reads(&mut self, at: Field) -> Field {
        if at.record == Record::Frame {
            self.used.push(at.slot);
        }
        at
    }

    pub(super) fn trie(&mut self, record: Record) -> &mut Trie {
        match record {
            Record::Frame => self.frame,
            Record::Element => &mut self.element,
            Record::Inner => &mut self.inner,
        }
    }

    /// Index in `Known::read` of the place that is declared next.
    pub(super) fn next_name(&self, field: &str) -> Built<u16> {
        let names = self.declared.iter().filter(|place| place.is_read).count();
        u16::try_from(names).map_err(|_| self.fail(field, POSITIONS))
    }

    /// Notes a place of a record as known.
    fn declare(&mut self, record: Record, paths: &[Path], is_read: bool, field: &str) -> Built<()> {
        let paths = self.rooted(record, paths, field)?;
        self.declared.push(Declared { paths, is_read });
        Ok(())
    }

    /// The same paths from the root of the frame.
    fn rooted(&self, record: Record, paths: &[Path], field: &str) -> Built<Vec<Path>> {
        let rows = |bases: Vec<Path>, list: &Path| -> Vec<Path> {
            bases.iter().map(|base| [base, list, [Key::Name(ANY.into())].as_slice()].concat()).collect()
        };
        let mut bases = vec![Path::new()];
        if let (Record::Element | Record::Inner, Some(each)) = (record, &self.shape.each) {
            bases = self.paths(each, field)?.1.iter().flat_map(|list| rows(bases.clone(), list)).collect();
        }
        if let (Record::Inner, Some(inner)) = (record, &self.shape.inner) {
            bases = rows(bases, inner);
        }
        Ok(bases.iter().flat_map(|base| paths.iter().map(|path| [base.as_slice(), path].concat())).collect())
    }

    /// Notes the fields of the rows of a list, or of the one row at the place.
    pub(super) fn declare_row(&mut self, list: &Place, is_one: bool, row: &Path, field: &str) -> Built<()> {
        let (record, paths) = self.paths(list, field)?;
        let any: &[Key] = if is_one { &[] } else { &[Key::Name(ANY.into())] };
        let paths: Vec<Path> = paths.iter().map(|path| [path.as_slice(), any, row].concat()).collect();
        self.declare(record, &paths, true, field)
    }

    pub(super) fn field(&mut self, place: &Place, field: &str) -> Built<Field> {
        self.intern(place, field, false, false)
    }

    pub(super) fn maybe(&mut self, place: Option<&Place>, field: &str) -> Built<Option<Field>> {
        place.map(|place| self.field(place, field)).transpose()
    }

    fn need(&mut self, place: Option<&Place>, field: &str) -> Built<Option<Field>> {
        match place {
            Some(place) => Ok(Some(self.field(place, field)?)),
            None => Err(self.fail(field, "a place")),
        }
    }

    pub(super) fn conditions(
        &mut self,
        conditions: &[spec::Condition],
        field: &str,
    ) -> Built<Vec<Condition>> {
        let one = |condition: &spec::Condition| {
            Ok(Condition { at: self.field(&condition.at, field)?, test: test(&condition.test) })
        };
        conditions.iter().map(one).collect()
    }

    pub(super) fn separator(&self, text: &str, field: &str) -> Built<u8> {
        match text.as_bytes() {
            [byte] => Ok(*byte),
            _ => Err(self.fail(field, "a separator of one ASCII character")),
        }
    }

    fn text(&mut self, text: &spec::Text, field: &str) -> Built<TextPlan> {
        let split = text.split.as_deref().map(|split| self.separator(split, field)).transpose()?;
        Ok(TextPlan { at: self.field(&text.at, field)?, split, part: text.part })
    }

    fn instrument(&mut self) -> Built<InstrumentPlan> {
        match &self.shape.instrument {
            spec::Instrument::Known {} if !self.shape.rest => {
                Err(self.fail("instrument", "a place, unless the shape is the answer to a request (rest)"))
            }
            _ if self.shape.rest => Ok(InstrumentPlan::Known),
            spec::Instrument::Known {} => Ok(InstrumentPlan::Known),
            spec::Instrument::Symbol { text, case } => {
                Ok(InstrumentPlan::Symbol { text: self.text(text, "instrument")?, case: *case })
            }
            spec::Instrument::Bound { at, channel } => Ok(InstrumentPlan::Bound {
                at: self.field(at, "instrument")?,
                channel: channel.as_deref().map(Into::into),
            }),
        }
    }

    pub(super) fn time(&mut self, time: Option<&spec::Time>, field: &str) -> Built<Option<TimePlan>> {
        let Some(time) = time else { return Ok(None) };
        Ok(Some(TimePlan { at: self.field(&time.at, field)?, unit: time.unit, zone_s: time.zone_s }))
    }

    fn body(&mut self) -> Built<BodyPlan> {
        Ok(match &self.shape.body {
            spec::Body::Book(book) => BodyPlan::Book(self.book(book)?),
            spec::Body::Trades(trades) => BodyPlan::Trades(self.trades(trades, false)?),
            spec::Body::Liquidations(trades) => BodyPlan::Trades(self.trades(trades, true)?),
            spec::Body::Bbo(bbo) => BodyPlan::Bbo(BboPlan {
                scaled: bbo.scaled,
                bid: [
                    self.need(bbo.bid_price.as_ref(), "bid_price")?,
                    self.need(bbo.bid_qty.as_ref(), "bid_qty")?,
                    self.maybe(bbo.bid_orders.as_ref(), "bid_orders")?,
                ],
                ask: [
                    self.need(bbo.ask_price.as_ref(), "ask_price")?,
                    self.need(bbo.ask_qty.as_ref(), "ask_qty")?,
                    self.maybe(bbo.ask_orders.as_ref(), "ask_orders")?,
                ],
            }),
            spec::Body::Ticker(ticker) => BodyPlan::Ticker(TickerPlan {
                window_ns: i64::from(ticker.window_s) * 1_000_000_000,
                prices: [
                    self.maybe(ticker.last.as_ref(), "last")?,
                    self.maybe(ticker.open.as_ref(), "open")?,
                    self.maybe(ticker.high.as_ref(), "high")?,
                    self.maybe(ticker.low.as_ref(), "low")?,
                ],
                volume: self.maybe(ticker.volume.as_ref(), "volume")?,
                turnover: self.maybe(ticker.turnover.as_ref(), "turnover")?,
                trade_count: self.maybe(ticker.trade_count.as_ref(), "trade_count")?,
            }),
            spec::Body::Candle(candle) => BodyPlan::Candle(self.candle(candle)?),
            spec::Body::Deriv(deriv) => BodyPlan::Deriv(self.deriv(deriv)?),
            spec::Body::Trading(trading) => BodyPlan::Trading(self.trading(trading)?),
            spec::Body::Orders(orders) => BodyPlan::Orders(self.orders(orders)?),
        })
    }

    fn trading(&mut self, trading: &spec::Trading) -> Built<Vec<(u8, Vec<Condition>)>> {
        let mut states = Vec::new();
        for each in &trading.states {
            if !TRADING_STATES.contains(&each.state) {
                return Err(
                    self.fail("states", "1 open, 4 halted, 5 closed, 6 pre-open, 7 auction, 8, 9 delisted")
                );
            }
            states.push((each.state, self.conditions(&each.tests, "states")?));
        }
        Ok(states)
    }

    fn candle(&mut self, candle: &spec::Candle) -> Built<CandlePlan> {
        let open_time = self.time(Some(&candle.open_time), "open_time")?;
        let interval = match &candle.interval {
            spec::Interval::Fixed { seconds } => IntervalPlan::Fixed(*seconds),
            spec::Interval::Words { text, seconds } => {
                let words = seconds.iter().map(|(word, seconds)| (word.as_bytes().into(), *seconds));
                IntervalPlan::Words(self.text(text, "interval")?, words.collect())
            }
        };
        let closed = match &candle.closed {
            Some(tests) => Some(self.conditions(tests, "closed")?),
            None => None,
        };
        Ok(CandlePlan {
            open_time: open_time.ok_or_else(|| self.fail("open_time", "a time"))?,
            interval,
            closed,
            prices: [
                self.need(candle.open.as_ref(), "open")?,
                self.need(candle.high.as_ref(), "high")?,
                self.need(candle.low.as_ref(), "low")?,
                self.need(candle.close.as_ref(), "close")?,
            ],
            volume: self.maybe(candle.volume.as_ref(), "volume")?,
            turnover: self.maybe(candle.turnover.as_ref(), "turnover")?,
            trade_count: self.maybe(candle.trade_count.as_ref(), "trade_count")?,
        })
    }

    fn deriv(&mut self, deriv: &spec::Deriv) -> Built<DerivPlan> {
        let funding_interval = match &deriv.funding_interval {
            Some(interval) => Some((self.field(&interval.at, "funding_interval")?, interval.unit_s)),
            None => None,
        };
        Ok(DerivPlan {
            prices: [
                self.maybe(deriv.mark.as_ref(), "mark")?,
                self.maybe(deriv.index.as_ref(), "index")?,
                self.maybe(deriv.settle.as_ref(), "settle")?,
            ],
            rates: [
                self.maybe(deriv.funding_rate.as_ref(), "funding_rate")?,
                self.maybe(deriv.next_rate.as_ref(), "next_rate")?,
            ],
            next_funding: self.time(deriv.next_funding.as_ref(), "next_funding")?,
            funding_interval,
            open_interest: self.maybe(deriv.open_interest.as_ref(), "open_interest")?,
            oi_value: self.maybe(deriv.oi_value.as_ref(), "oi_value")?,
        })
    }
}

pub(super) fn test(test: &spec::Test) -> Test {
    let scalars = |values: &[spec::Scalar]| values.iter().map(scalar).collect();
    match test {
        spec::Test::OneOf { values } => Test::OneOf(scalars(values)),
        spec::Test::Differs { values } => Test::Differs(scalars(values)),
        spec::Test::Prefix { text } => Test::Prefix(text.as_bytes().into()),
        spec::Test::Suffix { text } => Test::Suffix(text.as_bytes().into()),
        spec::Test::Kind { kind } => Test::Kind(*kind),
    }
}

fn scalar(value: &spec::Scalar) -> Scalar {
    match value {
        spec::Scalar::Text(text) => Scalar::Text(text.as_bytes().into()),
        spec::Scalar::Number(number) => Scalar::Number(number.to_string().into_bytes().into()),
        spec::Scalar::Bool(true) => Scalar::True,
        spec::Scalar::Bool(false) => Scalar::False,
        spec::Scalar::Null(()) => Scalar::Null,
    }
}
