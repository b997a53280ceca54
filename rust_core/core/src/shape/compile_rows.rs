//! Plans of what stands in rows: levels and trades.

use super::compile::{Builder, Built, POSITIONS, test};
use super::plan::*;
use super::spec::{self, Key, Path};
use super::trie::Trie;

/// The fields that a level may have.
const NAMES: [&str; 11] = [
    "price",
    "qty",
    "side",
    "count",
    "verb",
    "id",
    "sequence",
    "bid_price",
    "bid_qty",
    "ask_price",
    "ask_qty",
];

impl Builder<'_> {
    pub(super) fn trades(&mut self, trades: &spec::Trades, liquidation: bool) -> Built<TradePlan> {
        let aggressor = match &trades.aggressor {
            None => AggressorPlan::Unknown,
            Some(spec::Aggressor::Sign {}) => AggressorPlan::Sign,
            Some(spec::Aggressor::Words { at, buy, sell }) => {
                AggressorPlan::Words { at: self.field(at, "aggressor")?, buy: words(buy), sell: words(sell) }
            }
            Some(spec::Aggressor::Flag { at, test: flag, then }) => {
                AggressorPlan::Flag { at: self.field(at, "aggressor")?, test: test(flag), then: *then }
            }
        };
        let fills = match (&trades.first_fill, &trades.last_fill) {
            (Some(first), Some(last)) => Some((self.field(first, "fills")?, self.field(last, "fills")?)),
            (None, None) => None,
            _ => return Err(self.fail("fills", "both a first and a last id")),
        };
        let mut flags = Vec::new();
        for flag in &trades.flags {
            flags.push((flag.bits, self.conditions(&flag.tests, "flags")?));
        }
        Ok(TradePlan {
            liquidation,
            price: self.field(&trades.price, "price")?,
            qty: self.field(&trades.qty, "qty")?,
            time: self.time(trades.time.as_ref(), "time")?,
            id: self.maybe(trades.id.as_ref(), "id")?,
            aggressor,
            fills,
            n_fills: self.maybe(trades.n_fills.as_ref(), "n_fills")?,
            flags,
            scaled: trades.scaled,
        })
    }

    pub(super) fn book(&mut self, book: &spec::Book) -> Built<BookPlan> {
        let level = self.level(book)?;
        let mut lists = Vec::new();
        let is_list = !book.one;
        for (place, side, field) in [(&book.bids, ListSide::Bid, "bids"), (&book.asks, ListSide::Ask, "asks")]
        {
            if let Some(place) = place {
                let name = self.next_name(field)?;
                let at = self.intern(place, field, false, is_list)?;
                lists.push(ListPlan { at, name, side, remove: false });
            }
        }
        let has_sides = !lists.is_empty();
        let places =
            [&book.bids, &book.asks].into_iter().flatten().chain(book.lists.iter().map(|list| &list.at));
        for place in places.filter(|_| book.level.packed.is_none()) {
            for row in book.level.fields.values() {
                self.declare_row(place, book.one, row, "level")?;
            }
        }
        for list in &book.lists {
            let name = self.next_name("levels")?;
            let at = self.intern(&list.at, "levels", false, is_list)?;
            lists.push(ListPlan { at, name, side: ListSide::InRow, remove: list.remove });
        }
        let told_by_row =
            !matches!(level.side, RowSide::OfList) || matches!(level.form, LevelForm::Both { .. });
        let is_half = book.bids.is_some() != book.asks.is_some();
        if lists.is_empty() || is_half || (has_sides && !book.lists.is_empty()) {
            return Err(self.fail("levels", "bids and asks, or else levels"));
        }
        if has_sides == told_by_row {
            return Err(self.fail(
                "side",
                "told by the row (SideWords, BY_SIGN, both in a row) with levels, and only then",
            ));
        }
        if book.omits_empty && (book.one || lists.len() < 2) {
            return Err(self.fail("omits_empty", "only with several lists of levels"));
        }
        let snapshot = self.snapshot(&book.snapshot)?;
        Ok(BookPlan {
            omits_empty: book.omits_empty,
            others: None,
            lists,
            one: book.one,
            level,
            snapshot,
            ignore_zero_price: book.ignore_zero_price,
            scaled: book.scaled,
            keep_decimals: self.keep_decimals,
            checksum: self.maybe(book.checksum.as_ref().map(|checksum| &checksum.at), "checksum")?,
        })
    }

    pub(super) fn snapshot(&mut self, snapshot: &spec::Snapshot) -> Built<SnapshotPlan> {
        Ok(match snapshot {
            spec::Snapshot::Always {} => SnapshotPlan::Always,
            spec::Snapshot::Never {} | spec::Snapshot::FirstAfterBind {} => SnapshotPlan::Never,
            spec::Snapshot::When { tests } => SnapshotPlan::When(self.conditions(tests, "snapshot")?),
        })
    }

    /// Where arrays are found that stand beside the lists of the shape under keys that neither it nor, in a frame, another
    /// shape of the venue knows. To be called once everything else of the shape is known.
    pub(super) fn others(&mut self, book: &spec::Book) -> Built<Option<Field>> {
        if !book.omits_empty {
            return Ok(None);
        }
        let places = [&book.bids, &book.asks].into_iter().flatten();
        let mut lists = Vec::new();
        for place in places.chain(book.lists.iter().map(|list| &list.at)) {
            lists.push(self.paths(place, "omits_empty")?);
        }
        let Some((record, _)) = lists.first() else { return Ok(None) };
        let record = *record;
        if lists.iter().any(|(other, _)| *other != record) {
            return Err(self.fail("omits_empty", "only with lists that stand in one record"));
        }
        let mut beside: Vec<Path> = Vec::new();
        for path in lists.iter().flat_map(|(_, paths)| paths) {
            // Positions of an array have no names that could change.
            if let [container @ .., Key::Name(_)] = path.as_slice()
                && !beside.iter().any(|other| other == container)
            {
                beside.push(container.to_vec());
            }
        }
        let mut known = Vec::new();
        for place in &self.shape.known {
            let (of, paths) = self.paths(place, "known")?;
            known.extend(paths.into_iter().filter(|_| of == record));
        }
        if beside.is_empty() {
            return Ok(None);
        }
        let slot = self.trie(record).add_others(&beside, &known);
        let slot = slot.ok_or_else(|| self.fail("omits_empty", POSITIONS))?;
        Ok(Some(self.reads(Field { record, slot })))
    }

    fn packed(&self, separator: Option<&str>, positions: &[Option<usize>]) -> Built<Option<PackedPlan>> {
        let Some(separator) = separator else { return Ok(None) };
        let positions = positions.iter().copied().collect::<Option<Vec<usize>>>();
        let positions = positions.ok_or_else(|| self.fail("level", "positions where it is packed"))?;
        Ok(Some(PackedPlan { separator: self.separator(separator, "packed")?, positions }))
    }

    fn level(&mut self, book: &spec::Book) -> Built<LevelPlan> {
        let spec::Level { fields, packed, remove } = &book.level;
        let mut trie = Trie::default();
        let mut slots = [None; NAMES.len()];
        let mut positions = Vec::new();
        for (name, path) in fields {
            let Some(index) = NAMES.iter().position(|known| known == name) else {
                return Err(self.fail("level", &format!("{} instead of {name:?}", NAMES.join(", "))));
            };
            slots[index] = trie.add_slot(std::slice::from_ref(path), false, false);
            if slots[index].is_none() {
                return Err(self.fail("level", POSITIONS));
            }
            let position = match path.as_slice() {
                [Key::Index(at)] => usize::try_from(*at).ok(),
                _ => None,
            };
            positions.push(position);
        }
        let packed = self.packed(packed.as_deref(), &positions)?;
        let [price, qty, side, count, verb, id, sequence, both @ ..] = slots;
        let form = match both {
            [Some(bid_price), Some(bid_qty), Some(ask_price), Some(ask_qty)] if price.or(qty).is_none() => {
                LevelForm::Both { bid_price, bid_qty, ask_price, ask_qty }
            }
            [None, None, None, None] if price.or(id).is_some() => match qty {
                Some(qty) => LevelForm::One { price, qty },
                None => return Err(self.fail("level", "a field qty")),
            },
            _ => {
                return Err(
                    self.fail("level", "price (or id) and qty; or bid_price, bid_qty, ask_price, ask_qty")
                );
            }
        };
        let side = match (&book.side, side) {
            (Some(spec::Side::Words { bid, ask }), Some(at)) => {
                RowSide::Words { at, bid: words(bid), ask: words(ask) }
            }
            (Some(spec::Side::Sign {}), None) if qty.is_some() => RowSide::Sign,
            (None, None) => RowSide::OfList,
            _ => return Err(self.fail("side", "SideWords with a field side, or BY_SIGN without one")),
        };
        if verb.is_some() == remove.is_empty() {
            return Err(self.fail("remove", "words that delete, together with a field verb"));
        }
        let is_pair = matches!(side, RowSide::OfList) && is_pair(book);
        Ok(LevelPlan { trie, is_pair, packed, form, side, count, verb, remove: words(remove), id, sequence })
    }
}

/// Whether the scanner of the common form reads these levels: position 0 is the price, 1 the quantity, nothing else.
fn is_pair(book: &spec::Book) -> bool {
    let fields = &book.level.fields;
    let is_at = |name: &str, position| fields.get(name).is_some_and(|path| *path == [Key::Index(position)]);
    let is_plain = !(book.scaled || book.ignore_zero_price || book.level.packed.is_some());
    fields.len() == 2 && is_at("price", 0) && is_at("qty", 1) && is_plain
}

pub(super) fn words(texts: &[String]) -> Vec<Box<[u8]>> {
    texts.iter().map(|text| text.as_bytes().into()).collect()
}
