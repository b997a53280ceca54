//! Fixed-width texts: UTF-8, cut at a character, padded with NUL.

use super::messages::InstrumentDef;

/// Bytes of the venue's own symbol that INSTRUMENT_DEF holds, in its two fields together.
pub const NATIVE_SYMBOL_BYTES: usize = NATIVE_HEAD_BYTES + NATIVE_MORE_BYTES;
const NATIVE_HEAD_BYTES: usize = 32;
const NATIVE_MORE_BYTES: usize = 40;

/// The text as a field of `N` bytes; what does not fit is cut before the first character that does not fit whole.
///
/// ```
/// use outcrier_core::wire::text_field;
/// assert_eq!(text_field::<4>("né"), *b"n\xC3\xA9\0");
/// assert_eq!(text_field::<2>("né"), *b"n\0");
/// ```
#[must_use]
pub fn text_field<const N: usize>(text: &str) -> [u8; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut field = [0; N];
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

/// What a field holds before its first NUL; bytes that are no UTF-8 end the text, because a symbol with a
/// replacement character in it would look like another symbol.
#[must_use]
pub fn text_of(field: &[u8]) -> &str {
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
    match str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// The fields `native_symbol` and `native_more` of a symbol; they are one text of 72 bytes cut at byte 32, so a
/// character may lie across.
#[must_use]
pub fn split_native_symbol(symbol: &str) -> ([u8; NATIVE_HEAD_BYTES], [u8; NATIVE_MORE_BYTES]) {
    let whole = text_field::<NATIVE_SYMBOL_BYTES>(symbol);
    let (mut head, mut more) = ([0; NATIVE_HEAD_BYTES], [0; NATIVE_MORE_BYTES]);
    head.copy_from_slice(&whole[..NATIVE_HEAD_BYTES]);
    more.copy_from_slice(&whole[NATIVE_HEAD_BYTES..]);
    (head, more)
}

impl InstrumentDef {
    /// The venue's own symbol, joined from its two fields.
    #[must_use]
    pub fn native_symbol_text(&self) -> String {
        let mut whole = [0; NATIVE_SYMBOL_BYTES];
        whole[..NATIVE_HEAD_BYTES].copy_from_slice(&self.native_symbol);
        whole[NATIVE_HEAD_BYTES..].copy_from_slice(&self.native_more);
        text_of(&whole).to_owned()
    }
}
