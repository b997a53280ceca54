//! A validating JSON cursor: moves over values without building anything.
//!
//! What it passes over is checked as RFC 8259 has it: brackets, commas, escapes, numbers, UTF-8 of strings.

use super::FaultKind;
use crate::decimal::{leading_digits, padded_word, word};

/// Nested arrays and objects of a frame; venues use at most 8. The stack of kinds is one 64-bit word.
pub(super) const DEPTH_MAX: u32 = 64;

/// What a value is. As wide as a position: a byte that is read again with the three behind it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// There is none.
    #[default]
    Absent,
    /// A string without escapes; the span is inside the quotes.
    Text,
    /// A string with escapes.
    Escaped,
    Number,
    True,
    False,
    Null,
    Array,
    Object,
}

/// Where a value stands in the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
}

impl Value {
    /// Frames are at most 16 MiB, so positions fit 32 bits.
    pub(super) fn new(kind: Kind, start: usize, end: usize) -> Value {
        Value { start: start as u32, end: end as u32, kind }
    }

    /// Absent and null mean the same: not given.
    pub(super) fn is_given(self) -> bool {
        !matches!(self.kind, Kind::Absent | Kind::Null)
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Escaped)
    }

    /// The bytes as they stand in the frame.
    pub(super) fn raw(self, frame: &[u8]) -> &[u8] {
        frame.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Calls `read` with the text as it reads, without escapes; a number or literal as printed.
    pub(super) fn with_text<R>(self, frame: &[u8], read: impl FnOnce(&[u8]) -> R) -> R {
        let raw = self.raw(frame);
        if self.kind != Kind::Escaped {
            return read(raw);
        }
        let mut short = [0; ESCAPED_SHORT];
        let mut long = Vec::new();
        let buffer = if raw.len() <= ESCAPED_SHORT {
            short.as_mut_slice()
        } else {
            long.resize(raw.len(), 0);
            long.as_mut_slice()
        };
        let length = unescape(raw, buffer);
        read(&buffer[..length])
    }
}

/// Texts with escapes up to this length are read on the stack: names, symbols and numbers are far shorter.
const ESCAPED_SHORT: usize = 128;

/// A position in a frame.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Containers around what depths are counted from.
    around: u32,
}

type Moved<T> = Result<T, FaultKind>;

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at, around: 0 }
    }

    /// The same position, for values whose depth is counted from inside of a container in `depth` others.
    pub(super) fn inside(&self, depth: u32) -> Cursor<'a> {
        Cursor { around: self.around + depth + 1, ..*self }
    }

    /// Whether a container in `depth` others is nested too deep.
    #[inline]
    pub(super) fn is_too_deep(&self, depth: u32) -> bool {
        self.around + depth >= DEPTH_MAX
    }

    #[inline]
    pub(super) fn peek(&self) -> Moved<u8> {
        self.bytes.get(self.at).copied().ok_or(FaultKind::Malformed)
    }

    /// Takes the byte if it is the next one.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// After an element: true if another one follows, false if the container closed.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Moved<bool> {
        self.space();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => {
                self.space();
                Ok(true)
            }
            byte if byte == close => Ok(false),
            _ => Err(FaultKind::Malformed),
        }
    }

    /// Opens the container under the cursor; true if it has an element.
    #[inline]
    pub(super) fn open(&mut self, close: u8) -> Moved<bool> {
        self.at += 1;
        self.space();
        Ok(!self.take(close))
    }

    /// The colon after a key, and the space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Moved<()> {
        if !self.take(b':') {
            self.space();
            if !self.take(b':') {
                return Err(FaultKind::Malformed);
            }
        }
        self.space();
        Ok(())
    }

    /// The string under the cursor.
    #[inline]
    pub(super) fn string(&mut self) -> Moved<Value> {
        if !self.take(b'"') {
            return Err(FaultKind::Malformed);
        }
        let start = self.at;
        let mut wide = 0_u64;
        while let Some(chunk) = word(self.bytes, self.at) {
            let special = specials(chunk);
            if special != 0 {
                let count = special.trailing_zeros() / 8;
                wide |= chunk & ((1_u64 << (8 * count)) - 1);
                self.at += count as usize;
                break;
            }
            wide |= chunk;
            self.at += 8;
        }
        let is_ascii = wide & 0x8080_8080_8080_8080 == 0;
        if is_ascii && self.take(b'"') {
            return Ok(Value::new(Kind::Text, start, self.at - 1));
        }
        self.string_rest(start)
    }

    /// The rest of a string that has an escape, bytes above ASCII, or stands at the end of the frame.
    fn string_rest(&mut self, start: usize) -> Moved<Value> {
        let mut kind = Kind::Text;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                0..=0x1f => return Err(FaultKind::Malformed),
                _ => self.at += 1,
            }
        }
        let raw = &self.bytes[start..self.at];
        if str::from_utf8(raw).is_err() {
            return Err(FaultKind::Utf8);
        }
        self.at += 1;
        Ok(Value::new(kind, start, self.at - 1))
    }

    fn escape(&mut self) -> Moved<()> {
        let digits = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(FaultKind::Malformed),
        };
        let hex = self.bytes.get(self.at + 2..self.at + 2 + digits).ok_or(FaultKind::Malformed)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return Err(FaultKind::Malformed);
        }
        self.at += 2 + digits;
        Ok(())
    }

    fn digits(&mut self) -> Moved<()> {
        let start = self.at;
        while let Some(chunk) = word(self.bytes, self.at) {
            let count = leading_digits(chunk);
            self.at += count as usize;
            if count < 8 {
                return if self.at == start { Err(FaultKind::Malformed) } else { Ok(()) };
            }
        }
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(FaultKind::Malformed) } else { Ok(()) }
    }

    /// The number under the cursor.
    pub(super) fn number(&mut self) -> Moved<Value> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::new(Kind::Number, start, self.at))
    }

    fn literal(&mut self, text: &[u8], kind: Kind) -> Moved<Value> {
        let start = self.at;
        if !self.bytes[start..].starts_with(text) {
            return Err(FaultKind::Malformed);
        }
        self.at += text.len();
        Ok(Value::new(kind, start, self.at))
    }

    #[inline]
    fn scalar(&mut self) -> Moved<Value> {
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true", Kind::True),
            b'f' => self.literal(b"false", Kind::False),
            b'n' => self.literal(b"null", Kind::Null),
            _ => Err(FaultKind::Malformed),
        }
    }

    /// Passes over the value under the cursor, which stands in `depth` containers.
    #[inline]
    pub(super) fn value(&mut self, depth: u32) -> Moved<Value> {
        let start = self.at;
        let kind = match self.peek()? {
            b'[' => Kind::Array,
            b'{' => Kind::Object,
            _ => return self.scalar(),
        };
        match self.text_rows(depth) {
            Some(end) => self.at = end,
            None => self.container(depth)?,
        }
        Ok(Value::new(kind, start, self.at))
    }

    fn key(&mut self) -> Moved<()> {
        self.string()?;
        self.colon()
    }

    /// Where the rows of plain texts end that stand under the cursor without white space, `[["1","2"],["3"]]`.
    #[inline]
    fn text_rows(&self, depth: u32) -> Option<usize> {
        let is_row = starts_with(padded_word(self.bytes, self.at), *b"[[\"") && !self.is_too_deep(depth + 1);
        if is_row { self.rows_from(self.at + 3) } else { None }
    }

    /// The same where the cursor stands at a row of them that is not the first.
    pub(super) fn other_text_rows(&self) -> Option<usize> {
        let is_row = starts_with(padded_word(self.bytes, self.at), *b"[\"");
        if is_row { self.rows_from(self.at + 2) } else { None }
    }

    fn rows_from(&self, mut at: usize) -> Option<usize> {
        loop {
            at = plain_text(self.bytes, at)?;
            let after = padded_word(self.bytes, at);
            if starts_with(after, *b"\",\"") {
                at += 3;
            } else if starts_with(after, *b"\"],[\"") {
                at += 5;
            } else if starts_with(after, *b"\"]]") {
                return Some(at + 3);
            } else {
                return None;
            }
        }
    }

    fn container(&mut self, depth: u32) -> Moved<()> {
        // Bit 0 tells whether the innermost open container is an object.
        let mut objects = 0_u64;
        let mut open = 0;
        loop {
            let byte = self.peek()?;
            if let (b'[', Some(end)) = (byte, self.text_rows(depth + open)) {
                self.at = end;
            } else if matches!(byte, b'[' | b'{') {
                if self.is_too_deep(depth + open) {
                    return Err(FaultKind::TooDeep);
                }
                objects = objects << 1 | u64::from(byte == b'{');
                open += 1;
                // ASCII puts the closing bracket two after the opening one.
                if self.open(byte + 2)? {
                    if byte == b'{' {
                        self.key()?;
                    }
                    continue;
                }
                objects >>= 1;
                open -= 1;
            } else {
                self.scalar()?;
            }
            loop {
                if open == 0 {
                    return Ok(());
                }
                let is_object = objects & 1 == 1;
                if self.more(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.key()?;
                    }
                    break;
                }
                objects >>= 1;
                open -= 1;
            }
        }
    }
}

/// Where the quote stands that ends the text which begins at `start`; `None`: it may have other letters than plain ones.
#[inline]
pub(super) fn plain_text(bytes: &[u8], start: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = start;
    loop {
        // The zeros after the frame are control characters.
        let chunk = padded_word(bytes, at);
        let backslash = chunk ^ (ONES * 0x5c);
        // What may end the run: all up to the quote (the space among them, which is rare), backslashes, all above ASCII.
        // The first one is exact.
        let below = chunk.wrapping_sub(ONES * 0x23) & !chunk;
        let other = (below | (backslash.wrapping_sub(ONES) & !backslash) | chunk) & (ONES * 0x80);
        if other == 0 {
            at += 8;
            continue;
        }
        let count = other.trailing_zeros() & !7;
        let is_quote = (chunk >> count) as u8 == b'"';
        return is_quote.then_some(at + (count / 8) as usize);
    }
}

/// Whether the first bytes of a word are these.
#[inline]
pub(super) fn starts_with<const N: usize>(word: u64, text: [u8; N]) -> bool {
    let expected = text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    (word ^ expected) << (64 - 8 * N) == 0
}

/// High bits of the bytes that end the plain run of a string: quote, backslash and control characters.
///
/// The lowest set bit is exact, later ones may be spoiled by a borrow.
#[inline]
pub(super) fn specials(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_at = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let quote = zero_at(chunk ^ (ONES * 0x22));
    let backslash = zero_at(chunk ^ (ONES * 0x5c));
    let control = chunk.wrapping_sub(ONES * 0x20) & !chunk;
    (quote | backslash | control) & (ONES * 0x80)
}

/// Writes the text of a checked string and gives its length, at most that of `raw`: no escape is shorter than its
/// letter. A lone surrogate becomes U+FFFD, as it has no UTF-8.
fn unescape(raw: &[u8], out: &mut [u8]) -> usize {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        out[length..length + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
    };
    let mut rest = raw;
    loop {
        rest = match rest {
            [b'\\', b'u', after @ ..] => {
                let (letter, after) = unescape_unicode(after);
                put(letter.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            [b'\\', letter, after @ ..] => {
                put(&[match letter {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                }]);
                after
            }
            [byte, after @ ..] => {
                put(&[*byte]);
                after
            }
            [] => return length,
        }
    }
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = str::from_utf8(text.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// The letter after `\u`, of two escapes where they are a surrogate pair, and what follows.
fn unescape_unicode(text: &[u8]) -> (char, &[u8]) {
    let high = hex4(text).unwrap_or(0xfffd);
    let rest = text.get(4..).unwrap_or_default();
    if (0xd800..0xdc00).contains(&high)
        && let [b'\\', b'u', low @ ..] = rest
        && let Some(low_unit @ 0xdc00..=0xdfff) = hex4(low)
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low_unit - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), &low[4..]);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}
