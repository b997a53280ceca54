//! What an event carries, made of the values that were found: book, trades, best prices, ticker, candle, derivative.

use super::FaultKind;
use super::alike_rows::Rows;
use super::cursor::{Kind, Value};
use super::eager::Taken;
use super::levels::{Finer, LevelReader, SideBuffers, note};
use super::orders::orders;
use super::pairs::Columns;
use super::plan::*;
use super::reader::{self, NumberError, Reader, digits, fixed};
use super::scan::{Origin, Stop};
use super::spec::Taker;
use crate::decimal;
use crate::event::*;
use crate::instrument::{InstrumentTable, Scale};

/// What stays the same over all events of a frame.
pub(super) struct Context<'a> {
    pub(super) origin: Origin,
    pub(super) table: &'a InstrumentTable,
    pub(super) out: &'a mut Decoded,
    pub(super) sides: &'a mut SideBuffers,
    pub(super) columns: &'a mut Columns,
    /// What is known of the rows of levels, by number of the shape.
    pub(super) rows: &'a mut [Rows],
}

/// A run between two indices. A frame of 16 MiB holds fewer than 2^32 records.
pub(super) fn run(start: usize, end: usize) -> Run {
    Run { start: start as u32, len: (end - start) as u32 }
}

/// Appends the event of the values in `reader`. Where that fails for a book, `Decoded::unread_books` says whose.
pub(super) fn emit(
    context: &mut Context<'_>,
    shape: &ShapePlan,
    reader: &Reader<'_>,
    instrument: u32,
    taken: &Taken,
) -> Result<(), Stop> {
    let result = append(context, shape, reader, instrument, taken);
    if result.is_err() && shape.has_state() {
        context.out.lose(instrument, shape.is_book());
    }
    result
}

fn append(
    context: &mut Context<'_>,
    shape: &ShapePlan,
    reader: &Reader<'_>,
    instrument: u32,
    taken: &Taken,
) -> Result<(), Stop> {
    let scale = context.table.scale(instrument);
    let ids =
        Ids { first: reader.id(shape.first)?, last: reader.id(shape.last)?, prev: reader.id(shape.prev)? };
    let ids = Ids { first: ids.first.or(ids.last), ..ids };
    let exchange_ts = reader.time(shape.time.as_ref())?;
    let Scale { price_exp, qty_exp } = *scale;
    let event = |body| Event { instrument, exchange_ts, ids, price_exp, qty_exp, body };
    let mut finer = Finer::default();
    let event = match &shape.body {
        // By itself, because an event is large and most are of books.
        BodyPlan::Book(plan) => {
            let body = book(context, (shape, plan), reader, scale, taken, &mut finer)?;
            needs(&finer, instrument, scale)?;
            context.out.events.push(event(body));
            return Ok(());
        }
        BodyPlan::Orders(plan) => event(orders(context, (shape, plan), reader, scale, &mut finer)?),
        BodyPlan::Bbo(plan) => event(Body::Bbo(bbo(plan, reader, scale, &mut finer)?)),
        BodyPlan::Trades(plan) if plan.liquidation => liquidation(plan, reader, context.out, scale, event)?,
        BodyPlan::Trades(plan) => {
            let trade = trade(plan, reader, scale, &mut finer)?;
            needs(&finer, instrument, scale)?;
            append_trade(context.out, shape, trade, event(Body::Trades(Run::default())));
            return Ok(());
        }
        BodyPlan::Ticker(plan) => ticker(plan, reader, event)?,
        BodyPlan::Candle(plan) => candle(plan, reader, event)?,
        BodyPlan::Deriv(plan) => deriv(plan, reader, event)?,
        BodyPlan::Trading(states) => {
            let Some((state, _)) = states.iter().find(|(_, tests)| reader.all_hold(tests)) else {
                return Ok(());
            };
            event(Body::Trading(*state))
        }
    };
    needs(&finer, instrument, scale)?;
    if !says_nothing(&event.body) {
        context.out.events.push(event);
    }
    Ok(())
}

/// Venues that send changes send some of fields that nobody declared.
fn says_nothing(body: &Body) -> bool {
    match body {
        Body::Deriv(state) => state.present == 0,
        Body::Ticker(ticker) => {
            [ticker.last_px, ticker.open_px, ticker.high_px, ticker.low_px] == [NOT_GIVEN; 4]
                && ticker.volume.is_nan()
                && ticker.turnover.is_nan()
                && ticker.trade_count == 0
        }
        _ => false,
    }
}

fn needs(finer: &Finer, instrument: u32, scale: &Scale) -> Result<(), Stop> {
    if !finer.is_needed() {
        return Ok(());
    }
    let price_exp = finer.price.unwrap_or(scale.price_exp);
    let qty_exp = finer.qty.unwrap_or(scale.qty_exp);
    Err(Stop::NeedsFiner { instrument, price_exp, qty_exp })
}

fn book(
    context: &mut Context<'_>,
    (shape, plan): (&ShapePlan, &BookPlan),
    reader: &Reader<'_>,
    scale: &Scale,
    taken: &Taken,
    finer: &mut Finer,
) -> Result<Body, Stop> {
    let checksum = match plan.checksum {
        Some(field) => reader.signed(field)?.map(VenueChecksum),
        None => None,
    };
    let snapshot = plan.snapshot.holds(reader);
    let body = |bids, asks| Body::Book { snapshot, bids, asks, checksum };
    if let [bids, asks] = plan.lists[..]
        && let (Some(bids), Some(asks)) = (taken.run(bids.at.slot), taken.run(asks.at.slot))
    {
        return Ok(bids_first(context.out, bids, asks, body));
    }
    let given = |list: &&ListPlan| reader.get(list.at).is_given();
    if let Some(missing) = plan.lists.iter().find(|list| !given(list)) {
        if !(plan.omits_empty && plan.lists.iter().any(|list| given(&list))) {
            return Err(Stop::MissingList { shape: shape.number, name: missing.name });
        }
        let other = plan.others.map_or(Value::default(), |at| reader.get(at));
        if other.kind == Kind::Array && is_list(reader, other, &plan.level) {
            return Err(FaultKind::UnknownList.into());
        }
    }
    if let Some((bids, asks)) = taken.sides(&plan.lists, |list| given(&list)) {
        return Ok(bids_first(context.out, bids, asks, body));
    }
    if !plan.lists.iter().filter(given).all(|list| taken.has_rows(list.at.slot)) {
        context.sides.clear();
        let rows = &mut context.rows[usize::from(shape.number)];
        let buffers = &mut *context.sides;
        let mut levels = LevelReader { frame: reader.frame, plan, scale, finer: *finer, buffers, rows };
        for list in plan.lists.iter().filter(given) {
            levels.list(list, reader.get(list.at))?;
        }
        *finer = levels.finer;
    }
    let out = &mut *context.out;
    // A list that was taken during the walk while the other one was not has been read again.
    let start = taken_start(taken, plan, out.levels.len());
    out.levels.truncate(start);
    if plan.keep_decimals {
        out.extras.truncate(start);
    }
    out.levels.append(&mut context.sides.bids);
    let middle = out.levels.len();
    out.levels.append(&mut context.sides.asks);
    out.extras.append(&mut context.sides.bid_extras);
    out.extras.append(&mut context.sides.ask_extras);
    Ok(body(run(start, middle), run(middle, out.levels.len())))
}

/// Whether an array looks like a list of such levels: its first row begins like theirs.
fn is_list(reader: &Reader<'_>, array: Value, level: &LevelPlan) -> bool {
    let row = match level.packed {
        Some(_) => b'"',
        None if level.trie.place(0).has_keys => b'{',
        None => b'[',
    };
    reader.first_inside(array) == Some(row)
}

fn taken_start(taken: &Taken, plan: &BookPlan, end: usize) -> usize {
    let runs = plan.lists.iter().filter_map(|list| taken.run(list.at.slot));
    runs.map(|run| run.start as usize).min().unwrap_or(end)
}

/// The lists lie one after the other as the frame had them; bids go first.
fn bids_first(out: &mut Decoded, bids: Run, asks: Run, body: impl FnOnce(Run, Run) -> Body) -> Body {
    let start = bids.start.min(asks.start);
    if asks.start < bids.start {
        out.levels[start as usize..].rotate_left(asks.len as usize);
        // Of these levels, or of none.
        if let Some(extras) = out.extras.get_mut(start as usize..) {
            extras.rotate_left((asks.len as usize).min(extras.len()));
        }
    }
    body(Run { start, ..bids }, Run { start: start + bids.len, ..asks })
}

fn trade(
    plan: &TradePlan,
    reader: &Reader<'_>,
    scale: &Scale,
    finer: &mut Finer,
) -> Result<Trade, FaultKind> {
    let (price_exp, qty_exp) = if plan.scaled { (0, 0) } else { (scale.price_exp, scale.qty_exp) };
    let price = fixed(reader.frame, reader.get(plan.price), price_exp);
    let qty = fixed(reader.frame, reader.get(plan.qty), qty_exp);
    let (price, qty) = if plan.scaled {
        (price.map_err(NumberError::fault)?, qty.map_err(NumberError::fault)?)
    } else {
        (note(price, &mut finer.price)?, note(qty, &mut finer.qty)?)
    };
    let mut trade = trade_marks(plan, reader, qty)?;
    trade.price = price;
    Ok(trade)
}

/// All of a trade but its price; `qty` may be signed.
fn trade_marks(plan: &TradePlan, reader: &Reader<'_>, qty: i64) -> Result<Trade, FaultKind> {
    let aggressor = match &plan.aggressor {
        AggressorPlan::Unknown => AGGRESSOR_UNKNOWN,
        AggressorPlan::Sign if qty > 0 => AGGRESSOR_BUY,
        AggressorPlan::Sign if qty < 0 => AGGRESSOR_SELL,
        AggressorPlan::Sign => AGGRESSOR_UNKNOWN,
        AggressorPlan::Words { at, buy, sell } => {
            let among = |words: &[Box<[u8]>]| {
                let value = reader.get(*at);
                let is_word = |text: &[u8]| words.iter().any(|word| **word == *text);
                value.is_given() && value.with_text(reader.frame, is_word)
            };
            match (among(buy), among(sell)) {
                (true, _) => AGGRESSOR_BUY,
                (_, true) => AGGRESSOR_SELL,
                _ => AGGRESSOR_UNKNOWN,
            }
        }
        AggressorPlan::Flag { at, test, then } => match (reader.get(*at), *then) {
            (value, _) if !value.is_given() => AGGRESSOR_UNKNOWN,
            (value, then) if reader.holds(value, test) == (then == Taker::Buy) => AGGRESSOR_BUY,
            _ => AGGRESSOR_SELL,
        },
    };
    if qty < 0 && !matches!(plan.aggressor, AggressorPlan::Sign) {
        return Err(FaultKind::NegativeQuantity);
    }
    let (trade_id, is_hash) = trade_id(reader, plan.id)?;
    let mut trade_flags = if is_hash { TRADE_ID_IS_HASH } else { 0 };
    for (bits, tests) in &plan.flags {
        if reader.all_hold(tests) {
            trade_flags |= bits;
        }
    }
    let (n_fills, id_span) = fills(plan, reader)?;
    let trade_ts = reader.time(plan.time.as_ref())?;
    Ok(Trade { price: 0, qty: qty.abs(), trade_id, trade_ts, aggressor, trade_flags, n_fills, id_span })
}

/// A whole number that fits 64 bits is the id; any other text becomes its hash.
fn trade_id(reader: &Reader<'_>, field: Option<Field>) -> Result<(u64, bool), FaultKind> {
    let Some(value) = field.map(|field| reader.get(field)).filter(|value| value.is_given()) else {
        return Ok((0, false));
    };
    match value.kind {
        Kind::Text | Kind::Escaped | Kind::Number => Ok(value.with_text(reader.frame, |text| {
            // With leading zeros two texts would be one number.
            let is_plain = text == b"0" || text.first() != Some(&b'0');
            match digits(text) {
                Ok(id) if is_plain => (id, false),
                _ => (xxhash_rust::xxh3::xxh3_64(text), true),
            }
        })),
        _ => Err(FaultKind::WrongType),
    }
}

/// Count of fills and span of their ids, as far as the record holds them.
fn fills(plan: &TradePlan, reader: &Reader<'_>) -> Result<(u16, u32), FaultKind> {
    let mut span = 0;
    let mut count = 1;
    if let Some((first, last)) = plan.fills
        && let (Some(first), Some(last)) = (reader.id(Some(first))?, reader.id(Some(last))?)
    {
        span = last.saturating_sub(first);
        count = span.saturating_add(1);
    }
    if plan.n_fills.is_some() {
        count = reader.count(plan.n_fills)?.max(1);
    }
    Ok((u16::try_from(count).unwrap_or(u16::MAX), u32::try_from(span).unwrap_or(u32::MAX)))
}

/// Trades of one instrument and time stay together in one event.
fn append_trade(out: &mut Decoded, shape: &ShapePlan, trade: Trade, mut event: Event) {
    if shape.time.is_none() {
        event.exchange_ts = trade.trade_ts;
    }
    let start = out.trades.len();
    out.trades.push(trade);
    if let Some(last) = out.events.last_mut()
        && let Body::Trades(trades) = &mut last.body
        && (last.instrument, last.exchange_ts, last.ids) == (event.instrument, event.exchange_ts, event.ids)
    {
        trades.len += 1;
        return;
    }
    event.body = Body::Trades(run(start, start + 1));
    out.events.push(event);
}

fn liquidation(
    plan: &TradePlan,
    reader: &Reader<'_>,
    out: &mut Decoded,
    scale: &Scale,
    event: impl FnOnce(Body) -> Event,
) -> Result<Event, FaultKind> {
    let mut exps = (scale.price_exp, scale.qty_exp);
    let mut mantissas = (0, 0);
    if plan.scaled {
        let integer = |text: &[u8]| decimal::parse(text, 0);
        mantissas.0 = reader.with_number(Some(plan.price), integer)?.ok_or(FaultKind::MissingField)?;
        mantissas.1 = reader.with_number(Some(plan.qty), integer)?.ok_or(FaultKind::MissingField)?;
    } else {
        let ([price], price_exp) = at_common_exp(reader, [Some(plan.price)], exps.0)?;
        let ([qty], qty_exp) = at_common_exp(reader, [Some(plan.qty)], exps.1)?;
        exps = (price_exp, qty_exp);
        mantissas = (price, qty);
    }
    if mantissas.0 == NOT_GIVEN || mantissas.1 == NOT_GIVEN {
        return Err(FaultKind::MissingField);
    }
    let mut trade = trade_marks(plan, reader, mantissas.1)?;
    trade.price = mantissas.0;
    trade.trade_flags |= TRADE_LIQUIDATION;
    let start = out.trades.len();
    out.trades.push(trade);
    let mut event = event(Body::Liquidations(run(start, start + 1)));
    if event.exchange_ts == NOT_GIVEN {
        event.exchange_ts = trade.trade_ts;
    }
    (event.price_exp, event.qty_exp) = exps;
    Ok(event)
}

fn bbo(plan: &BboPlan, reader: &Reader<'_>, scale: &Scale, finer: &mut Finer) -> Result<Bbo, FaultKind> {
    let mut side = |[price, qty, orders]: [Option<Field>; 3]| {
        let exps = if plan.scaled { (0, 0) } else { (scale.price_exp, scale.qty_exp) };
        let read = |field: Option<Field>, exp: i8, finest: &mut Option<i8>| {
            let value = field.map_or(Default::default(), |field| reader.get(field));
            if !value.is_given() || (value.is_text() && value.start == value.end) {
                return Ok(None);
            }
            let result = fixed(reader.frame, value, exp);
            if plan.scaled {
                return result.map(Some).map_err(NumberError::fault);
            }
            note(result, finest).map(Some)
        };
        let price = read(price, exps.0, &mut finer.price)?;
        let qty = read(qty, exps.1, &mut finer.qty)?.unwrap_or(0);
        if qty < 0 {
            return Err(FaultKind::NegativeQuantity);
        }
        // Binance prints an empty side as price 0, quantity 0.
        let price = price.filter(|price| (*price, qty) != (0, 0)).unwrap_or(NOT_GIVEN);
        let orders = u32::try_from(reader.count(orders)?).unwrap_or(u32::MAX);
        Ok((price, if price == NOT_GIVEN { 0 } else { qty }, orders))
    };
    let (bid_px, bid_qty, bid_orders) = side(plan.bid)?;
    let (ask_px, ask_qty, ask_orders) = side(plan.ask)?;
    Ok(Bbo { bid_px, bid_qty, ask_px, ask_qty, bid_orders, ask_orders })
}

/// Mantissas at an exponent of plain numbers that it holds.
fn at_exp<const N: usize>(reader: &Reader<'_>, fields: [Option<Field>; N], exp: i8) -> Option<[i64; N]> {
    let mut mantissas = [NOT_GIVEN; N];
    for (mantissa, field) in mantissas.iter_mut().zip(fields) {
        let value = field.map_or(Default::default(), |field| reader.get(field));
        if value.is_given() && (value.start < value.end || !value.is_text()) {
            *mantissa = reader::short(reader.frame, value, exp)?;
        }
    }
    Some(mantissas)
}

/// Mantissas at the exponent that holds all of the numbers and is at most `exp`; absent ones are [`NOT_GIVEN`].
fn at_common_exp<const N: usize>(
    reader: &Reader<'_>,
    fields: [Option<Field>; N],
    exp: i8,
) -> Result<([i64; N], i8), FaultKind> {
    if let Some(mantissas) = at_exp(reader, fields, exp) {
        return Ok((mantissas, exp));
    }
    let mut finest = exp;
    for field in fields {
        let natural = reader.with_number(field, decimal::parse_natural)?;
        finest = finest.min(natural.map_or(exp, |(_, exp)| exp));
    }
    let mut mantissas = [NOT_GIVEN; N];
    for (mantissa, field) in mantissas.iter_mut().zip(fields) {
        *mantissa = reader.with_number(field, |text| decimal::parse(text, finest))?.unwrap_or(NOT_GIVEN);
    }
    Ok((mantissas, finest))
}

fn ticker(plan: &TickerPlan, reader: &Reader<'_>, event: impl Fn(Body) -> Event) -> Result<Event, FaultKind> {
    let mut made = event(Body::Trades(Run::default()));
    let ([last_px, open_px, high_px, low_px], price_exp) =
        at_common_exp(reader, plan.prices, made.price_exp)?;
    made.price_exp = price_exp;
    made.body = Body::Ticker(Ticker {
        last_px,
        open_px,
        high_px,
        low_px,
        volume: reader.float(plan.volume)?,
        turnover: reader.float(plan.turnover)?,
        trade_count: reader.count(plan.trade_count)?,
        window_ns: plan.window_ns,
    });
    Ok(made)
}

fn candle(plan: &CandlePlan, reader: &Reader<'_>, event: impl Fn(Body) -> Event) -> Result<Event, FaultKind> {
    let mut made = event(Body::Trades(Run::default()));
    let ([open, high, low, close], price_exp) = at_common_exp(reader, plan.prices, made.price_exp)?;
    if [open, high, low, close].contains(&NOT_GIVEN) {
        return Err(FaultKind::MissingField);
    }
    let open_ts = reader.time(Some(&plan.open_time))?;
    if open_ts == NOT_GIVEN {
        return Err(FaultKind::MissingField);
    }
    let interval_s = match &plan.interval {
        IntervalPlan::Fixed(seconds) => *seconds,
        IntervalPlan::Words(text, words) => {
            let found = reader.with_part(text, |word| words.get(word).copied()).flatten();
            found.ok_or(FaultKind::UnknownInterval)?
        }
    };
    let is_closed = plan.closed.as_ref().is_some_and(|tests| reader.all_hold(tests));
    made.price_exp = price_exp;
    made.body = Body::Candle(Candle {
        open_ts,
        interval_s,
        candle_flags: if is_closed { CANDLE_CLOSED } else { 0 },
        open,
        high,
        low,
        close,
        volume: reader.float(plan.volume)?,
        turnover: reader.float(plan.turnover)?,
        trade_count: reader.count(plan.trade_count)?,
    });
    Ok(made)
}

fn deriv(plan: &DerivPlan, reader: &Reader<'_>, event: impl Fn(Body) -> Event) -> Result<Event, FaultKind> {
    let mut made = event(Body::Trades(Run::default()));
    let ([mark_px, index_px, settle_px], price_exp) = at_common_exp(reader, plan.prices, made.price_exp)?;
    let rate = |field| reader.with_number(field, |text| decimal::nearest(text, RATE_EXP));
    let [funding_rate, next_rate] = [rate(plan.rates[0])?, rate(plan.rates[1])?];
    let next_funding_ts = reader.time(plan.next_funding.as_ref())?;
    let interval = match plan.funding_interval {
        Some((field, unit_s)) => reader.id(Some(field))?.map(|units| units.saturating_mul(u64::from(unit_s))),
        None => None,
    };
    let open_interest = reader.float(plan.open_interest)?;
    let oi_value = reader.float(plan.oi_value)?;
    let given = [
        (interval.is_some(), present::FUNDING_INTERVAL),
        (mark_px != NOT_GIVEN, present::MARK_PX),
        (index_px != NOT_GIVEN, present::INDEX_PX),
        (settle_px != NOT_GIVEN, present::SETTLE_PX),
        (funding_rate.is_some(), present::FUNDING_RATE),
        (next_rate.is_some(), present::NEXT_RATE),
        (next_funding_ts != NOT_GIVEN, present::NEXT_FUNDING_TS),
        (!open_interest.is_nan(), present::OPEN_INTEREST),
        (!oi_value.is_nan(), present::OI_VALUE),
    ];
    made.price_exp = price_exp;
    made.body = Body::Deriv(DerivState {
        present: given.iter().filter(|(is_given, _)| *is_given).map(|(_, bit)| bit).sum(),
        funding_interval_s: u32::try_from(interval.unwrap_or(0)).unwrap_or(u32::MAX),
        mark_px,
        index_px,
        settle_px,
        funding_rate: funding_rate.unwrap_or(NOT_GIVEN),
        next_rate: next_rate.unwrap_or(NOT_GIVEN),
        next_funding_ts,
        open_interest,
        oi_value,
    });
    Ok(made)
}
