//! What is known of a derivative: the sum of its DERIV_STATE messages, in which an absent field is unchanged.

use crate::event::{DerivState, NOT_GIVEN, present};

/// Derivative state put together from all messages so far, with the exponents of its prices and quantities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownDeriv {
    /// The fields; `present` says which are known.
    pub state: DerivState,
    /// Exponent of `mark_px`, `index_px`, `settle_px`.
    pub price_exp: i8,
    /// Exponent of quantities, as the last message said.
    pub qty_exp: i8,
}

impl KnownDeriv {
    /// `known` with what `new` gives. Prices go to the finer of both exponents; one that does not fit there is not known
    /// any more.
    #[must_use]
    pub fn merged(known: Option<Self>, new: &DerivState, price_exp: i8, qty_exp: i8) -> Self {
        let Some(old) = known else { return Self { state: *new, price_exp, qty_exp } };
        let common_exp = price_exp.min(old.price_exp);
        let mut all = *new;
        for (bit, ours, theirs) in [
            (present::MARK_PX, &mut all.mark_px, old.state.mark_px),
            (present::INDEX_PX, &mut all.index_px, old.state.index_px),
            (present::SETTLE_PX, &mut all.settle_px, old.state.settle_px),
        ] {
            let (mantissa, exp) = if new.present & bit != 0 {
                (*ours, price_exp)
            } else if old.state.present & bit != 0 {
                (theirs, old.price_exp)
            } else {
                continue;
            };
            if let Some(price) = factor(exp, common_exp).and_then(|by| mantissa.checked_mul(by)) {
                *ours = price;
                all.present |= bit;
            } else {
                *ours = NOT_GIVEN;
                all.present &= !bit;
            }
        }
        let missing = |bit: u32| old.state.present & bit != 0 && new.present & bit == 0;
        for (bit, ours, theirs) in [
            (present::FUNDING_RATE, &mut all.funding_rate, old.state.funding_rate),
            (present::NEXT_RATE, &mut all.next_rate, old.state.next_rate),
            (present::NEXT_FUNDING_TS, &mut all.next_funding_ts, old.state.next_funding_ts),
        ] {
            if missing(bit) {
                *ours = theirs;
                all.present |= bit;
            }
        }
        if missing(present::FUNDING_INTERVAL) {
            all.funding_interval_s = old.state.funding_interval_s;
            all.present |= present::FUNDING_INTERVAL;
        }
        for (bit, ours, theirs) in [
            (present::OPEN_INTEREST, &mut all.open_interest, old.state.open_interest),
            (present::OI_VALUE, &mut all.oi_value, old.state.oi_value),
        ] {
            if missing(bit) {
                *ours = theirs;
                all.present |= bit;
            }
        }
        Self { state: all, price_exp: common_exp, qty_exp }
    }
}

/// What a mantissa at `from_exp` is multiplied by at the finer `to_exp`; `None` if that is coarser or beyond 64 bits.
pub(crate) fn factor(from_exp: i8, to_exp: i8) -> Option<i64> {
    let steps = u32::try_from(i32::from(from_exp) - i32::from(to_exp)).ok()?;
    10_i64.checked_pow(steps)
}

#[cfg(test)]
mod tests {
    use super::KnownDeriv;
    use crate::event::{DerivState, NOT_GIVEN, present};

    const NOTHING: DerivState = DerivState {
        present: 0,
        funding_interval_s: 0,
        mark_px: NOT_GIVEN,
        index_px: NOT_GIVEN,
        settle_px: NOT_GIVEN,
        funding_rate: NOT_GIVEN,
        next_rate: NOT_GIVEN,
        next_funding_ts: NOT_GIVEN,
        open_interest: 0.0,
        oi_value: 0.0,
    };

    #[test]
    fn absent_fields_stay_and_prices_go_to_the_finer_exponent() {
        // The mark price and funding of a USD-M sample, then the open interest and a coarser index.
        let mark = DerivState {
            present: present::MARK_PX | present::FUNDING_RATE,
            mark_px: 1_179_415_000_001,
            funding_rate: 381_670_000,
            ..NOTHING
        };
        let known = KnownDeriv::merged(None, &mark, -8, -3);
        let later = DerivState {
            present: present::INDEX_PX | present::OPEN_INTEREST,
            index_px: 1_178_463,
            open_interest: 42.0,
            ..NOTHING
        };
        let known = KnownDeriv::merged(Some(known), &later, -2, -3);
        assert_eq!(known.price_exp, -8);
        assert_eq!((known.state.mark_px, known.state.index_px), (1_179_415_000_001, 1_178_463_000_000));
        assert_eq!(
            (known.state.funding_rate, known.state.open_interest.to_bits()),
            (381_670_000, 42_f64.to_bits())
        );
        let all = present::MARK_PX | present::INDEX_PX | present::FUNDING_RATE | present::OPEN_INTEREST;
        assert_eq!(known.state.present, all);
    }

    #[test]
    fn a_price_that_does_not_fit_the_finer_exponent_is_not_known_any_more() {
        let mark = DerivState { present: present::MARK_PX, mark_px: i64::MAX / 2, ..NOTHING };
        let index = DerivState { present: present::INDEX_PX, index_px: 7, ..NOTHING };
        let known = KnownDeriv::merged(Some(KnownDeriv::merged(None, &mark, -2, 0)), &index, -8, 0);
        assert_eq!(
            (known.state.present, known.state.mark_px, known.state.index_px),
            (present::INDEX_PX, NOT_GIVEN, 7)
        );
    }
}
