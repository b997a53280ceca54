//! Bytes that stand in one row of a list as they stood in the row before: compared in words, not read again.

use crate::decimal::{Words, padded_word};

/// Words of the bytes that are compared: a point in time in the row takes three.
const WORDS_MAX: usize = 4;

const ONES: u64 = 0x0101_0101_0101_0101;

/// Bytes that were read once. With `DIGITS`, each digit of them stands for any other one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alike<const DIGITS: bool> {
    length: usize,
    /// As many as hold the bytes, at least one.
    count: usize,
    words: [u64; WORDS_MAX],
    /// All bits of the bytes that are the same.
    fixed: [u64; WORDS_MAX],
    /// The high bit of each byte that is any digit.
    digits: [u64; WORDS_MAX],
}

/// Bytes that stand again as they are.
pub(super) type Same = Alike<false>;

impl Alike<true> {
    /// These bytes with any digits in the places of digits; `None` as of [`Alike::of`].
    pub(super) fn but_for_digits(bytes: &[u8]) -> Option<Self> {
        let mut alike = Alike::of(bytes)?;
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
            let (index, shift) = (at / 8, 8 * (at % 8));
            alike.fixed[index] &= !(0xff << shift);
            alike.digits[index] |= 0x80 << shift;
        }
        Some(alike)
    }
}

impl<const DIGITS: bool> Alike<DIGITS> {
    /// These bytes; `None`: there are none, too many, or others than ASCII.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > 8 * WORDS_MAX || !bytes.is_ascii() {
            return None;
        }
        let mut alike = Alike {
            length: bytes.len(),
            count: bytes.len().div_ceil(8),
            words: [0; WORDS_MAX],
            fixed: [0; WORDS_MAX],
            digits: [0; WORDS_MAX],
        };
        for (index, chunk) in bytes.chunks(8).enumerate() {
            alike.words[index] = padded_word(chunk, 0);
            alike.fixed[index] = u64::MAX >> (64 - 8 * chunk.len());
        }
        Some(alike)
    }

    /// Where they end if they stand at `at`.
    #[inline(always)]
    pub(super) fn pass<W: Words>(&self, words: W, at: usize) -> Option<usize> {
        let mut other = self.other(words.word(at), 0);
        let mut index = 1;
        while index < self.count && index < WORDS_MAX {
            other |= self.other(words.word(at + 8 * index), index);
            index += 1;
        }
        (other == 0).then_some(at + self.length)
    }

    /// Bits that are set where a word of the bytes is another one.
    #[inline(always)]
    fn other(&self, word: u64, index: usize) -> u64 {
        let other = (word ^ self.words[index]) & self.fixed[index];
        if !DIGITS {
            return other;
        }
        let values = word ^ (ONES * 0x30);
        // A byte above 9 sets its high bit. The carry of one above ASCII spoils later bytes; itself it is never taken.
        let no_digit = values.wrapping_add(ONES * 0x76) | values;
        other | no_digit & self.digits[index]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_the_same_but_for_digits() {
        let tail = Alike::but_for_digits(b"\",\"0\",\"17\"]").unwrap();
        let pass = |text: &str| tail.pass(format!("[[\"1{text},[").as_bytes(), 4);
        assert_eq!(pass("\",\"0\",\"17\"]"), Some(15));
        assert_eq!(pass("\",\"9\",\"00\"]"), Some(15));
        for other in [
            "\",\"0\",\"1\"]",
            "\",\"0\",\"1a\"]",
            "\",\"0\",\"1/\"]",
            "\",\"0\",\"1:\"]",
            "\",\"0\",\"17\",",
            "",
        ] {
            assert_eq!(pass(other), None, "{other}");
        }
        assert_eq!(tail.pass(&b"\",\"0\",\"17\"]"[..], 0), Some(11), "the frame may end there");
        assert_eq!(tail.pass(&b"\",\"0\",\"17\""[..], 0), None);
        assert_eq!(Same::of(b"\",\"7\"]").unwrap().pass(&b"\",\"8\"]"[..], 0), None);
        assert!(Same::of(b"").is_none() && Same::of(&[b'1'; 33]).is_none() && Same::of(b"\xe9").is_none());
    }

    proptest! {
        /// Against a comparison byte by byte, of texts that differ in few bytes.
        #[test]
        fn they_are_compared_as_byte_by_byte(
            first in proptest::collection::vec(prop_oneof![Just(b'"'), b'0'..=b'9', 0..0x80_u8], 1..=32),
            changes in proptest::collection::vec((0_usize..40, any::<u8>(), any::<bool>()), 0..4),
            before in 0_usize..12,
            behind in 0_usize..12,
        ) {
            let mut second = first.clone();
            for (at, byte, is_digit) in changes {
                if let Some(place) = second.get_mut(at) {
                    *place = if is_digit { b'0' + byte % 10 } else { byte };
                }
            }
            let frame = [&vec![b'7'; before][..], &second, &vec![b'"'; behind]].concat();
            let digit = |byte: &u8| byte.is_ascii_digit();
            let same = first == second;
            let alike = first.iter().zip(&second).all(|(one, other)| one == other || digit(one) && digit(other));
            let end = Some(before + first.len());
            prop_assert_eq!(Same::of(&first).unwrap().pass(&frame[..], before), end.filter(|_| same));
            let found = Alike::but_for_digits(&first).unwrap().pass(&frame[..], before);
            prop_assert_eq!(found, end.filter(|_| alike));
            let cut = &frame[..frame.len() - behind - 1];
            if first.last() != Some(&0) {
                prop_assert_eq!(Same::of(&first).unwrap().pass(cut, before), None);
            }
        }
    }
}
