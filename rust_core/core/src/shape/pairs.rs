//! Lists of `[price, quantity, …]`, the common form of levels.

use super::cursor::{Cursor, plain_text, starts_with};
use crate::decimal::{self, Column, FAST_FRACTION_MAX, padded_word};
use crate::event::{Level, LevelExtra};
use crate::instrument::Scale;

/// Digits after the point by which exponents are guessed; more have few prices.
const GUESSED_DIGITS_MAX: usize = 12;

/// How the prices and quantities of the lists were printed last.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    price: Column,
    qty: Column,
    /// By digits after the point of the first price: exponents of the last instrument that was printed so.
    scales: [Option<Scale>; GUESSED_DIGITS_MAX + 1],
}

/// Exponents for a list whose instrument is not known yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    pub(super) scale: Scale,
    digits: usize,
}

impl Columns {
    /// For the list under the cursor, which stands for all lists of its frame. `None`: it has no level in the common form.
    pub(super) fn guess(&self, cursor: &Cursor<'_>) -> Option<Guess> {
        let (bytes, price_at) = (cursor.bytes, cursor.at + 3);
        if !starts_with(padded_word(bytes, cursor.at), *b"[[\"") {
            return None;
        }
        let middle = plain_text(bytes, price_at)?;
        let digits = usize::from(digits_after_point(&bytes[price_at..middle]));
        let known = *self.scales.get(digits)?;
        let as_printed = || {
            let end = plain_text(bytes, middle + 3)?;
            let qty = digits_after_point(&bytes[middle + 3..end]);
            Some(Scale { price_exp: -i8::try_from(digits).ok()?, qty_exp: -i8::try_from(qty).ok()? })
        };
        Some(Guess { scale: known.or_else(as_printed)?, digits })
    }

    /// What the exponents were.
    pub(super) fn learn(&mut self, guess: &Guess, scale: Scale) {
        self.scales[guess.digits] = Some(scale);
    }
}

/// Digits after the point of price and quantity.
type Decimals = (u8, u8);

/// Where the levels of a list go. With `MARKED`, their decimals go to `extras`: whether they do is known before the list.
struct Sink<'a, const MARKED: bool> {
    levels: &'a mut Vec<Level>,
    extras: &'a mut Vec<LevelExtra>,
}

impl<const MARKED: bool> Sink<'_, MARKED> {
    #[inline(always)]
    fn push(&mut self, level: Level, decimals: impl FnOnce() -> Decimals) {
        self.levels.push(level);
        if MARKED {
            let (price_decimals, qty_decimals) = decimals();
            self.extras.push(LevelExtra { price_decimals, qty_decimals, ..LevelExtra::default() });
        }
    }
}

/// Reads a whole list of `[price, quantity, …]` at the cursor. False: it is of a rarer form, nothing has changed.
pub(super) fn pairs(
    cursor: &mut Cursor<'_>,
    (scale, keep_decimals): (&Scale, bool),
    columns: &mut Columns,
    levels: &mut Vec<Level>,
    extras: &mut Vec<LevelExtra>,
) -> bool {
    let decimals = |exp: i8| (exp <= 0).then(|| exp.unsigned_abs());
    let (Some(price), Some(qty)) = (decimals(scale.price_exp), decimals(scale.qty_exp)) else { return false };
    if price.max(qty) > FAST_FRACTION_MAX {
        return long_pairs(cursor, (price, qty), &mut Sink { levels, extras }, keep_decimals);
    }
    let start = (cursor.at, levels.len(), extras.len());
    let found = if keep_decimals {
        all_pairs(cursor, (price, qty), columns, &mut Sink::<true> { levels, extras })
    } else {
        all_pairs(cursor, (price, qty), columns, &mut Sink::<false> { levels, extras })
    };
    if found.is_some() {
        return true;
    }
    cursor.at = start.0;
    levels.truncate(start.1);
    extras.truncate(start.2);
    long_pairs(cursor, (price, qty), &mut Sink { levels, extras }, keep_decimals)
}

fn all_pairs<const MARKED: bool>(
    cursor: &mut Cursor<'_>,
    decimals: Decimals,
    columns: &mut Columns,
    sink: &mut Sink<'_, MARKED>,
) -> Option<()> {
    let mut more = cursor.open(b']').ok()?;
    while more {
        if tight_pairs(cursor, decimals, columns, sink) {
            return Some(());
        }
        if !(cursor.take(b'[')) {
            return None;
        }
        cursor.space();
        let price_at = cursor.at;
        let price = plain_number(cursor, decimals.0)?;
        let price_text = &cursor.bytes[price_at..cursor.at];
        if !cursor.more(b']').ok()? {
            return None;
        }
        let qty_at = cursor.at;
        let qty = plain_number(cursor, decimals.1)?;
        let qty_text = &cursor.bytes[qty_at..cursor.at];
        while cursor.more(b']').ok()? {
            // A container needs its depth watched: that is for the other way.
            if matches!(cursor.peek().ok()?, b'[' | b'{') {
                return None;
            }
            cursor.value(0).ok()?;
        }
        sink.push(Level { price, qty }, || (digits_after_point(price_text), digits_after_point(qty_text)));
        more = cursor.more(b']').ok()?;
    }
    Some(())
}

/// The same of a list in the tight form ([`tight_pairs`]) whose numbers have more digits, kept or not, than the quick way reads.
fn long_pairs(
    cursor: &mut Cursor<'_>,
    decimals: Decimals,
    sink: &mut Sink<'_, true>,
    keep_decimals: bool,
) -> bool {
    let bytes = cursor.bytes;
    let before = (sink.levels.len(), sink.extras.len());
    let mut at = cursor.at + 1;
    let mut end = starts_with(padded_word(bytes, cursor.at), *b"[]").then_some(cursor.at + 2);
    while end.is_none() && starts_with(padded_word(bytes, at), *b"[\"") {
        let Some((price, price_decimals, middle)) = decimal::long(bytes, at + 2, decimals.0) else { break };
        if !starts_with(padded_word(bytes, middle), *b"\",\"") {
            break;
        }
        let Some((qty, qty_decimals, behind)) = decimal::long(bytes, middle + 3, decimals.1) else { break };
        let Some((quote, after)) = after_texts(bytes, behind) else { break };
        if starts_with(after, *b"\"]]") {
            end = Some(quote + 3);
        } else if !starts_with(after, *b"\"],[\"") {
            break;
        }
        at = quote + 3;
        sink.push(Level { price, qty }, || (price_decimals, qty_decimals));
    }
    if !keep_decimals {
        sink.extras.truncate(before.1);
    }
    let Some(end) = end else {
        sink.levels.truncate(before.0);
        sink.extras.truncate(before.1);
        return false;
    };
    cursor.at = end;
    true
}

/// Digits after the point of a plain number, with or without its quotes.
fn digits_after_point(text: &[u8]) -> u8 {
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    let count = text.iter().rev().position(|byte| *byte == b'.').unwrap_or(0);
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// Reads levels printed as `["1.5","20"],` without white space, as nearly all venues do, or with more texts behind the two.
/// True: the list is over. False: the cursor stands at a level of another form.
#[inline]
fn tight_pairs<const MARKED: bool>(
    cursor: &mut Cursor<'_>,
    decimals: Decimals,
    columns: &mut Columns,
    sink: &mut Sink<'_, MARKED>,
) -> bool {
    let bytes = cursor.bytes;
    let Columns { mut price, mut qty, .. } = *columns;
    price.keep(decimals.0);
    qty.keep(decimals.1);
    let mut is_over = false;
    if starts_with(padded_word(bytes, cursor.at), *b"[\"") {
        while !is_over {
            let Some((price_mantissa, end)) = price.read_alike(bytes, cursor.at + 2) else { break };
            if !starts_with(padded_word(bytes, end), *b"\",\"") {
                break;
            }
            let Some((qty_mantissa, end)) = qty.read(bytes, end + 3) else { break };
            let Some((end, after)) = after_texts(bytes, end) else { break };
            is_over = starts_with(after, *b"\"]]");
            if !is_over && !starts_with(after, *b"\"],[\"") {
                break;
            }
            cursor.at = end + 3;
            let level = Level { price: price_mantissa, qty: qty_mantissa };
            sink.push(level, || (price.fraction(), qty.fraction()));
        }
    }
    (columns.price, columns.qty) = (price, qty);
    is_over
}

/// Passes over the texts that follow the one whose quote stands at `end`: gives the quote of the last one, and the word there.
#[inline]
fn after_texts(bytes: &[u8], mut end: usize) -> Option<(usize, u64)> {
    loop {
        let after = padded_word(bytes, end);
        if !starts_with(after, *b"\",\"") {
            return Some((end, after));
        }
        end = plain_text(bytes, end + 3)?;
    }
}

#[inline]
fn plain_number(cursor: &mut Cursor<'_>, decimals: u8) -> Option<i64> {
    let is_text = cursor.take(b'"');
    let (mantissa, end) = decimal::fast(cursor.bytes, cursor.at, decimals)?;
    // JSON allows no leading zeros where there are no quotes.
    let has_zeros = || matches!(cursor.bytes[cursor.at..], [b'0', b'0'..=b'9', ..]);
    if if is_text { cursor.bytes[end] != b'"' } else { has_zeros() } {
        return None;
    }
    cursor.at = end + usize::from(is_text);
    Some(mantissa)
}
