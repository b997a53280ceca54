//! Eight bytes of a text at a time, at any place of it.

/// The 8 bytes at `at`, the first in the lowest bits; `None` at the end of the text.
#[inline]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..at.wrapping_add(8))?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

/// The 8 bytes at `at`, with zeros after the end of the text.
#[inline]
pub(crate) fn padded_word(bytes: &[u8], at: usize) -> u64 {
    word(bytes, at).unwrap_or_else(|| tail_word(bytes, at))
}

#[cold]
#[inline(never)]
fn tail_word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match bytes.last_chunk::<8>() {
        _ if rest.is_empty() => 0,
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Where words are read.
pub(crate) trait Words: Copy {
    /// The 8 bytes at `at`.
    fn word(self, at: usize) -> u64;
}

/// With zeros after the end.
impl Words for &[u8] {
    #[inline(always)]
    fn word(self, at: usize) -> u64 {
        padded_word(self, at)
    }
}

/// The bytes behind a place, as many as a level of a book takes: no word of them needs a look at where the text ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near<'a>(&'a [u8; Near::REACH + 8]);

impl<'a> Near<'a> {
    /// The last place at which there is a word. At places behind it are the words of others: who comes behind it has to
    /// begin again with the whole text.
    pub(crate) const REACH: usize = 63;

    /// `None`: the text ends before.
    #[inline]
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Option<Near<'a>> {
        bytes.get(at..at.wrapping_add(Near::REACH + 8))?.first_chunk().map(Near)
    }
}

impl Words for Near<'_> {
    #[inline(always)]
    fn word(self, at: usize) -> u64 {
        let at = at & Near::REACH;
        self.0[at..at + 8].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_bytes_with_zeros_behind_them() {
        let bytes: Vec<u8> = (1..=80).collect();
        let expected = |at: usize| {
            let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
            (0..8).rev().fold(0, |word, index| word << 8 | byte(at + index))
        };
        for at in 0..90 {
            assert_eq!(padded_word(&bytes, at), expected(at), "{at}");
            assert_eq!(word(&bytes, at), (at <= 72).then(|| expected(at)), "{at}");
        }
        assert_eq!(padded_word(&bytes[..3], 1), 0x0302);
        assert_eq!([padded_word(&bytes, usize::MAX), padded_word(&[], 0)], [0, 0]);
        let near = Near::at(&bytes, 9).unwrap();
        assert!((0..=Near::REACH).all(|at| near.word(at) == expected(9 + at)));
        assert!(Near::at(&bytes, 10).is_none() && Near::at(&bytes, usize::MAX).is_none());
    }
}
