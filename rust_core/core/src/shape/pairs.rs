//! Lists of `[price, quantity, …]`, the common form of levels.

use super::alike::Alike;
use super::cursor::{Cursor, plain_text, starts_with};
use crate::decimal::{Kept, Near, Plain, Words, has_zeros, number, padded_word, short_number};
use crate::event::{Level, LevelExtra};
use crate::instrument::Scale;

/// Digits after the point by which exponents are guessed; more have few prices.
const GUESSED_DIGITS_MAX: usize = 11;
/// The exponent that holds as many.
const GUESSED_EXP: i8 = -(GUESSED_DIGITS_MAX as i8);

/// What was seen of the lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    /// The bytes of the last row from the quote behind its quantity to its end, where they are few.
    tail: Option<Alike<true>>,
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
        let price = number(bytes, price_at, Kept::at(GUESSED_EXP)?)?;
        let digits = usize::from(price.decimals());
        // Another instrument may have been printed so, with fewer digits that mean something.
        let holds = |scale: &Scale| {
            let zeros = u32::try_from(i32::from(scale.price_exp) - i32::from(GUESSED_EXP)).ok();
            zeros.is_some_and(|zeros| has_zeros(price.mantissa.unsigned_abs(), zeros) == Some(true))
        };
        let known = self.scales.get(digits)?.filter(holds);
        let as_printed = || {
            let qty = number(bytes, price.end + 3, Kept::at(GUESSED_EXP)?)?;
            let exp = |number: Plain| -number.decimals().cast_signed();
            Some(Scale { price_exp: exp(price), qty_exp: exp(qty) })
        };
        Some(Guess { scale: known.or_else(as_printed)?, digits })
    }

    /// What the exponents were.
    pub(super) fn learn(&mut self, guess: &Guess, scale: Scale) {
        self.scales[guess.digits] = Some(scale);
    }
}

/// Where the levels of a list go. With `MARKED`, their decimals go to `extras`: whether they do is known before the list.
pub(super) struct Sink<'a, const MARKED: bool> {
    pub(super) levels: &'a mut Vec<Level>,
    pub(super) extras: &'a mut Vec<LevelExtra>,
}

impl<const MARKED: bool> Sink<'_, MARKED> {
    #[inline(always)]
    pub(super) fn push(&mut self, price: Plain, qty: Plain) {
        self.levels.push(Level { price: price.mantissa, qty: qty.mantissa });
        if MARKED {
            self.extras.push(LevelExtra {
                price_decimals: price.decimals(),
                qty_decimals: qty.decimals(),
                ..LevelExtra::default()
            });
        }
    }
}

/// How many digits after the point of price and quantity are kept.
pub(super) type Exponents = (&'static Kept, &'static Kept);

/// Reads a whole list of `[price, quantity, …]` at the cursor. False: it is of a rarer form, nothing has changed.
pub(super) fn pairs(
    cursor: &mut Cursor<'_>,
    (scale, keep_decimals): (&Scale, bool),
    columns: &mut Columns,
    levels: &mut Vec<Level>,
    extras: &mut Vec<LevelExtra>,
) -> bool {
    if starts_with(padded_word(cursor.bytes, cursor.at), *b"[]") {
        cursor.at += 2;
        return true;
    }
    let (Some(price), Some(qty)) = (Kept::at(scale.price_exp), Kept::at(scale.qty_exp)) else { return false };
    let (at, n_levels, n_extras) = (cursor.at, levels.len(), extras.len());
    let tail = &mut columns.tail;
    let found = if keep_decimals {
        all_pairs(cursor, (price, qty), tail, &mut Sink::<true> { levels, extras })
    } else {
        all_pairs(cursor, (price, qty), tail, &mut Sink::<false> { levels, extras })
    };
    if found.is_none() {
        cursor.at = at;
        levels.truncate(n_levels);
        extras.truncate(n_extras);
    }
    found.is_some()
}

fn all_pairs<const MARKED: bool>(
    cursor: &mut Cursor<'_>,
    exponents: Exponents,
    tail: &mut Option<Alike<true>>,
    sink: &mut Sink<'_, MARKED>,
) -> Option<()> {
    let mut more = cursor.open(b']').ok()?;
    while more {
        if !tight_pairs(cursor, exponents, tail, sink) {
            loose_pair(cursor, exponents, sink)?;
        }
        more = cursor.more(b']').ok()?;
    }
    Some(())
}

/// Reads levels printed as `["1.5","20"],` without white space, as nearly all venues do, or with more texts behind the two.
/// The cursor stands behind a level then (true), or at one of another form.
#[inline(always)]
fn tight_pairs<const MARKED: bool>(
    cursor: &mut Cursor<'_>,
    exponents: Exponents,
    tail: &mut Option<Alike<true>>,
    sink: &mut Sink<'_, MARKED>,
) -> bool {
    let bytes = cursor.bytes;
    if !starts_with(padded_word(bytes, cursor.at), *b"[\"") {
        return false;
    }
    loop {
        let near =
            Near::at(bytes, cursor.at).and_then(|near| near_pair(near, exponents, tail.as_ref(), sink));
        let end = match near {
            Some(length) => cursor.at + length,
            None => match other_pair(bytes, cursor.at, exponents, tail, sink) {
                Some(end) => end,
                None => return false,
            },
        };
        if !starts_with(padded_word(bytes, end), *b",[\"") {
            cursor.at = end;
            return true;
        }
        cursor.at = end + 1;
    }
}

/// Reads a row that ends like the one before, and gives its length.
#[inline(always)]
fn near_pair<const MARKED: bool>(
    near: Near<'_>,
    (price, qty): Exponents,
    tail: Option<&Alike<true>>,
    sink: &mut Sink<'_, MARKED>,
) -> Option<usize> {
    let price = short_number(near, 2, price)?;
    if !starts_with(near.word(price.end), *b"\",\"") {
        return None;
    }
    let qty = short_number(near, price.end + 3, qty)?;
    let end = tail?.pass(near, qty.end)?;
    if end > Near::REACH {
        return None;
    }
    sink.push(price, qty);
    Some(end)
}

/// Reads a row with any plain numbers that ends with whatever texts, which are kept for the next row. Gives its end.
#[inline(never)]
fn other_pair<const MARKED: bool>(
    bytes: &[u8],
    at: usize,
    (price, qty): Exponents,
    tail: &mut Option<Alike<true>>,
    sink: &mut Sink<'_, MARKED>,
) -> Option<usize> {
    let price = number(bytes, at + 2, price)?;
    if !starts_with(padded_word(bytes, price.end), *b"\",\"") {
        return None;
    }
    let qty = number(bytes, price.end + 3, qty)?;
    let mut end = qty.end;
    if let Some(end) = tail.as_ref().and_then(|tail| tail.pass(bytes, qty.end)) {
        sink.push(price, qty);
        return Some(end);
    }
    loop {
        let after = padded_word(bytes, end);
        if starts_with(after, *b"\"]") {
            *tail = Alike::but_for_digits(&bytes[qty.end..end + 2]);
            sink.push(price, qty);
            return Some(end + 2);
        }
        if !starts_with(after, *b"\",\"") {
            return None;
        }
        end = plain_text(bytes, end + 3)?;
    }
}

/// One level of any other form; `None`: it is rarer.
#[cold]
fn loose_pair<const MARKED: bool>(
    cursor: &mut Cursor<'_>,
    (price_kept, qty_kept): Exponents,
    sink: &mut Sink<'_, MARKED>,
) -> Option<()> {
    if !cursor.take(b'[') {
        return None;
    }
    cursor.space();
    let price = loose_number(cursor, price_kept)?;
    if !cursor.more(b']').ok()? {
        return None;
    }
    let qty = loose_number(cursor, qty_kept)?;
    while cursor.more(b']').ok()? {
        // A container needs its depth watched: that is for the other way.
        if matches!(cursor.peek().ok()?, b'[' | b'{') {
            return None;
        }
        cursor.value(0).ok()?;
    }
    sink.push(price, qty);
    Some(())
}

fn loose_number(cursor: &mut Cursor<'_>, kept: &Kept) -> Option<Plain> {
    let is_text = cursor.take(b'"');
    let number = number(cursor.bytes, cursor.at, kept)?;
    // JSON allows no leading zeros where there are no quotes.
    let has_zeros = || matches!(cursor.bytes[cursor.at..], [b'0', b'0'..=b'9', ..]);
    if if is_text { cursor.bytes.get(number.end) != Some(&b'"') } else { has_zeros() } {
        return None;
    }
    cursor.at = number.end + usize::from(is_text);
    Some(number)
}
