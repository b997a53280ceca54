//! Follows the publisher's chain64: proof that both ends saw the same frames in the same order.

use super::numbers::Numbers;
use crate::wire::digest;

/// The chain lags by at most so many numbers behind what was heard, far less than the CRCs that are kept: done in a row
/// it costs a third of what it costs between frames.
const LAG_MAX: u64 = 1_024;

/// The chain up to some number, as far as nothing is missing.
#[derive(Debug, Default)]
pub(super) struct Chain {
    at: Option<(u64, u64)>,
    claim: Option<(u64, u64)>,
    broken: bool,
}

impl Chain {
    /// The chain of a session heard from its first number on.
    pub(super) fn from_start(session: u32) -> Self {
        Self { at: Some((0, digest::chain64_start(session))), ..Self::default() }
    }

    /// Whether no claim of the publisher differed so far.
    pub(super) fn is_ok(&self) -> bool {
        !self.broken
    }

    /// Whether [`Chain::follow`] should be called now that `number` was heard: the publisher's claim waits for it, or
    /// the chain lags.
    pub(super) fn is_due(&self, number: u64) -> bool {
        self.at.is_some_and(|(at, _)| self.claim.is_some() || number >= at.saturating_add(LAG_MAX))
    }

    /// Goes on over the numbers that came; whether that showed a difference from a claim.
    pub(super) fn follow(&mut self, numbers: &Numbers) -> bool {
        let mut differs = false;
        while let Some((number, value)) = self.at {
            let Some(next) = number.checked_add(1) else { break };
            let Some(crc) = numbers.crc_of(next) else { break };
            self.at = Some((next, digest::chain64(value, next, crc)));
            differs |= self.compare();
        }
        differs
    }

    /// The publisher says that chain(`number`) is `value`. A chain that was lost is adopted from a number not below
    /// `gap_number`. Gives whether it differs from ours.
    pub(super) fn claim(&mut self, number: u64, value: u64, gap_number: u64, numbers: &Numbers) -> bool {
        match self.at {
            Some((ours, _)) if ours > number => false,
            Some(_) => {
                self.claim = Some((number, value));
                let differs = self.compare();
                self.follow(numbers) || differs
            }
            None if number >= gap_number => {
                self.at = Some((number, value));
                self.follow(numbers)
            }
            None => false,
        }
    }

    /// Numbers up to `gap_number` were given up.
    pub(super) fn give_up(&mut self, gap_number: u64) {
        if self.at.is_some_and(|(number, _)| number < gap_number) {
            self.at = None;
            self.claim = None;
        }
    }

    fn compare(&mut self) -> bool {
        let (Some((number, value)), Some((claimed_number, claimed))) = (self.at, self.claim) else {
            return false;
        };
        if number != claimed_number {
            return false;
        }
        self.claim = None;
        if value == claimed {
            return false;
        }
        // Adopted, so that one difference is one alarm and not one per heartbeat.
        self.at = Some((number, claimed));
        self.broken = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::super::missing::Fate;
    use super::Chain;
    use crate::receive::numbers::Numbers;

    /// chain(1) and chain(2) of section 8 of the wire format.
    const CHAIN: [u64; 2] = [0xef17_a13b_38b4_11e7, 0x87d6_51b1_aebf_63a3];

    #[test]
    fn follows_waits_for_holes_and_finds_a_difference_once() {
        let mut numbers = Numbers::starting_at(1);
        let mut chain = Chain::from_start(90_000_001);
        numbers.reveal(1, 0, 1);
        numbers.hear(2, 0x2222_2222, Line::A, 0);
        assert!(!chain.follow(&numbers));
        assert!(!chain.claim(2, CHAIN[1], 0, &numbers), "cannot be compared yet");
        numbers.hear(1, 0x1111_1111, Line::A, 1);
        assert!(!chain.follow(&numbers));
        assert_eq!(chain.at, Some((2, CHAIN[1])));
        assert!(!chain.claim(1, 5, 0, &numbers), "an old claim says nothing");
        assert!(chain.is_ok());
        assert!(chain.claim(2, 5, 0, &numbers));
        assert!(!chain.claim(2, 5, 0, &numbers));
        assert!(!chain.is_ok());
    }

    #[test]
    fn adopts_after_a_give_up_but_not_from_before_it() {
        let mut numbers = Numbers::starting_at(1);
        let mut chain = Chain::from_start(90_000_001);
        numbers.reveal(1, 0, 1);
        numbers.visit(1, 1, |_, _| Fate::GiveUp);
        chain.give_up(1);
        numbers.hear(2, 0x2222_2222, Line::A, 1);
        assert!(!chain.claim(0, 1, 1, &numbers));
        assert_eq!(chain.at, None);
        assert!(!chain.claim(1, CHAIN[0], 1, &numbers));
        assert_eq!(chain.at, Some((2, CHAIN[1])));
    }
}
