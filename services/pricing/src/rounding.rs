//! Rounding and spreading of minor units. Amounts are not negative here.
//!
//! **Invariant:** the shares of an amount add up to it, and a share of a discount is never more
//! than what it is taken from.

/// Basis points of the whole.
pub(crate) const WHOLE_BP: u32 = 10_000;

/// So many basis points of an amount, rounded half up.
pub(crate) fn part(amount: i128, bp: u32) -> i128 {
    half_up(amount * i128::from(bp), WHOLE_BP.into())
}

/// `numerator / denominator`, rounded half up.
pub(crate) fn half_up(numerator: i128, denominator: i128) -> i128 {
    (2 * numerator + denominator) / (2 * denominator)
}

/// Spreads an amount in proportion to the weights, by largest remainder: each share is rounded
/// down, and the units left go to the shares that lost most, of equal ones to the earlier.
///
/// Where all weights are zero, nothing is spread.
pub(crate) fn apportion(amount: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    if sum == 0 || amount == 0 {
        return vec![0; weights.len()];
    }
    let mut shares: Vec<i128> = weights.iter().map(|weight| amount * weight / sum).collect();
    let left = amount - shares.iter().sum::<i128>();
    if left == 0 {
        return shares;
    }
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    // Stable, so that equal remainders stay in order.
    by_remainder.sort_by_key(|place| std::cmp::Reverse(amount * weights[*place] % sum));
    for (place, _) in by_remainder.into_iter().zip(0..left) {
        shares[place] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_up() {
        for (numerator, denominator, rounded) in [
            (0, 7, 0),
            (1, 3, 0),
            (1, 2, 1),
            (3, 2, 2),
            (149, 100, 1),
            (150, 100, 2),
            (6, 3, 2),
        ] {
            assert_eq!(
                half_up(numerator, denominator),
                rounded,
                "{numerator}/{denominator}"
            );
        }
    }

    #[test]
    fn the_largest_remainders_get_the_units_left() {
        for (amount, weights, shares) in [
            (100, &[1, 1, 1][..], &[34, 33, 33][..]),
            (5, &[10, 20, 30], &[1, 2, 2]),
            (7, &[50, 30, 20], &[4, 2, 1]),
            (1, &[0, 0, 1], &[0, 0, 1]),
            (3, &[0, 0], &[0, 0]),
            (0, &[3, 4], &[0, 0]),
            (9, &[4, 5], &[4, 5]),
        ] {
            assert_eq!(
                apportion(amount, weights),
                shares,
                "{amount} over {weights:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_exceed_no_weight(
            weights in prop::collection::vec(0i128..1_000_000, 1..20), part in 0i128..=1000,
        ) {
            let sum: i128 = weights.iter().sum();
            let amount = sum * part / 1000;
            let shares = apportion(amount, &weights);
            prop_assert_eq!(shares.iter().sum::<i128>(), amount);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(0 <= *share && share <= weight);
            }
        }
    }
}
