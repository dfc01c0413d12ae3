//! Ratios of noisy figures, with 95 % confidence intervals that autocorrelation widens.
//!
//! Neighbouring seconds of a run, or rounds of a sitting, resemble each other: a checkpoint
//! or another tenant of the host slows several in a row. Taken as independent they would
//! promise an interval that is too narrow, so the size of a sample is divided by its
//! autocorrelation time first. Ratios are computed as differences of logarithms, where an
//! interval is symmetric. **Invariant:** without two values there is no interval.

use serde::Serialize;

/// Autocorrelation above this cannot be told from a drift in samples of some tens.
const AUTOCORRELATION_MAX: f64 = 0.97;
/// The fewest independent values that a variance can be estimated from.
const EFFECTIVE_SIZE_MIN: f64 = 2.0;

/// Quantiles of Student's t distribution for a two-sided 95 %, by degrees of freedom;
/// between them linear in the reciprocal, as the tables are meant to be read.
const STUDENT_95: [(f64, f64); 14] = [
    (1.0, 12.706),
    (2.0, 4.303),
    (3.0, 3.182),
    (4.0, 2.776),
    (5.0, 2.571),
    (6.0, 2.447),
    (8.0, 2.306),
    (10.0, 2.228),
    (15.0, 2.131),
    (20.0, 2.086),
    (30.0, 2.042),
    (60.0, 2.000),
    (120.0, 1.980),
    (f64::INFINITY, 1.960),
];

/// The logarithm of a positive figure, and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LogEstimate {
    mean: f64,
    spread: Option<Spread>,
}

/// The variance of an estimate, and the degrees of freedom it was estimated with.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    variance: f64,
    degrees: f64,
}

/// How many times one figure is the other, and the interval that holds the true ratio in
/// 95 of 100 comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    /// `None` where the figures do not say how much they vary.
    pub(crate) interval: Option<RatioInterval>,
}

/// The ends of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct RatioInterval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl LogEstimate {
    /// A figure of a whole run whose variation a `series` of it shows, such as one value a
    /// second.
    ///
    /// The series' relative error counts as the figure's own. `None` unless the figure is
    /// positive.
    pub(crate) fn of_series(figure: f64, series: &[f64]) -> Option<Self> {
        let (average, spread) = mean_and_spread(series);
        let relative =
            |spread: Spread| Spread { variance: spread.variance / (average * average), ..spread };
        let spread = spread.filter(|_| average > 0.0).map(relative);
        (figure > 0.0).then(|| Self { mean: figure.ln(), spread })
    }

    /// A figure that was measured again and again, as its geometric mean.
    ///
    /// `None` unless all are positive.
    pub(crate) fn of_rounds(figures: &[f64]) -> Option<Self> {
        let logarithms: Vec<f64> = figures.iter().map(|figure| figure.ln()).collect();
        let is_known = !figures.is_empty() && figures.iter().all(|figure| *figure > 0.0);
        let (mean, spread) = mean_and_spread(&logarithms);
        is_known.then_some(Self { mean, spread })
    }

    /// The figure itself.
    pub(crate) fn figure(self) -> f64 {
        self.mean.exp()
    }

    /// How many times `before` this is, the two having been measured apart (Welch).
    pub(crate) fn ratio_to(self, before: Self) -> Ratio {
        let spread = self.spread.zip(before.spread).map(|(after, before)| {
            let variance = after.variance + before.variance;
            let share = |one: Spread| one.variance * one.variance / one.degrees;
            let degrees = variance * variance / (share(after) + share(before));
            // Two figures that do not vary at all.
            let degrees = if degrees.is_nan() { f64::INFINITY } else { degrees };
            Spread { variance, degrees }
        });
        Ratio::new(self.mean - before.mean, spread)
    }
}

impl Ratio {
    /// The ratio of figures that were measured in pairs, each of which what slows the host
    /// slows alike. The slices have the same length.
    ///
    /// `None` unless all figures are positive.
    pub(crate) fn of_pairs(before: &[f64], after: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = before.iter().zip(after).map(|(b, a)| a / b).collect();
        let is_known = before.iter().all(|figure| *figure > 0.0);
        let estimate = LogEstimate::of_rounds(&ratios).filter(|_| is_known)?;
        Some(Self::new(estimate.mean, estimate.spread))
    }

    fn new(logarithm: f64, spread: Option<Spread>) -> Self {
        let interval = spread.map(|Spread { variance, degrees }| {
            let reach = student_95(degrees) * variance.sqrt();
            let (low, high) = ((logarithm - reach).exp(), (logarithm + reach).exp());
            RatioInterval { low, high }
        });
        Self { value: logarithm.exp(), interval }
    }

    /// Half the interval's width relative to the ratio; `None` without an interval.
    pub(crate) fn uncertainty(&self) -> Option<f64> {
        self.interval
            .map(|interval| (interval.high / interval.low).sqrt() - 1.0)
    }
}

/// The mean of a sample and how well it is known, its autocorrelation considered.
fn mean_and_spread(sample: &[f64]) -> (f64, Option<Spread>) {
    let size = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / size;
    if sample.len() < 2 {
        return (mean, None);
    }
    let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    let effective_size = (size / autocorrelation_time(sample)).max(EFFECTIVE_SIZE_MIN);
    let spread = Spread {
        variance: squares / (size - 1.0) / effective_size,
        degrees: effective_size - 1.0,
    };
    (mean, Some(spread))
}

/// How many values of the sample in a row say as much as one independent value, at least 1.
///
/// As of an autoregressive process of the first order, whose lag-1 coefficient is corrected
/// for its bias in short samples (Marriott and Pope, 1954). Batch means, as latte takes
/// them, cover less often in samples of 10 to 60 values.
fn autocorrelation_time(sample: &[f64]) -> f64 {
    let size = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / size;
    let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    let neighbours = sample.windows(2);
    let products: f64 = neighbours
        .map(|pair| (pair[0] - mean) * (pair[1] - mean))
        .sum();
    if squares == 0.0 {
        return 1.0;
    }
    let raw = products / squares;
    let coefficient = (raw + (1.0 + 4.0 * raw) / size).clamp(0.0, AUTOCORRELATION_MAX);
    (1.0 + coefficient) / (1.0 - coefficient)
}

fn student_95(degrees: f64) -> f64 {
    let at_least_one = degrees.max(1.0);
    let knots = STUDENT_95.windows(2);
    let between = knots
        .map(|pair| (pair[0], pair[1]))
        .find(|(_, above)| at_least_one <= above.0);
    let ((low, quantile_low), (high, quantile_high)) = between.expect("the last knot is infinite");
    let (from, to) = (1.0 / low, 1.0 / high);
    let way = (1.0 / at_least_one - from) / (to - from);
    quantile_low + way * (quantile_high - quantile_low)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Values of an autoregressive process of the first order around `mean`, with a
    /// deviation of a tenth of it.
    fn autoregressive(random: &mut StdRng, size: usize, coefficient: f64, mean: f64) -> Vec<f64> {
        let step = 0.1 * (1.0 - coefficient * coefficient).sqrt();
        // Nearly a normal distribution of variance 1.
        let mut noise = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        let mut deviation = 0.1 * noise();
        (0..size)
            .map(|_| {
                deviation = coefficient * deviation + step * noise();
                mean * (1.0 + deviation)
            })
            .collect()
    }

    /// The share of comparisons whose interval holds the true ratio.
    fn coverage(size: usize, coefficient: f64, compare: impl Fn(&[f64], &[f64]) -> Ratio) -> f64 {
        const COMPARISONS: usize = 600;
        let mut random = StdRng::seed_from_u64(20);
        let held = (0..COMPARISONS).filter(|_| {
            let before = autoregressive(&mut random, size, coefficient, 400.0);
            let after = autoregressive(&mut random, size, coefficient, 500.0);
            let interval = compare(&before, &after).interval.unwrap();
            (interval.low..=interval.high).contains(&1.25)
        });
        held.count() as f64 / COMPARISONS as f64
    }

    #[test]
    fn an_interval_holds_the_true_ratio_as_often_as_it_says() {
        let apart = |before: &[f64], after: &[f64]| {
            let mean = |series: &[f64]| series.iter().sum::<f64>() / series.len() as f64;
            let of = |series: &[f64]| LogEstimate::of_series(mean(series), series).unwrap();
            of(after).ratio_to(of(before))
        };
        let in_pairs = |before: &[f64], after: &[f64]| Ratio::of_pairs(before, after).unwrap();
        for (size, coefficient) in [(10, 0.0), (60, 0.0), (60, 0.5), (120, 0.7)] {
            for held in [
                coverage(size, coefficient, apart),
                coverage(size, coefficient, in_pairs),
            ] {
                let case = format!("{size} values, {coefficient}: {held}");
                assert!((0.925..0.985).contains(&held), "{case}");
            }
        }
    }

    #[test]
    fn intervals_of_known_samples() {
        // Three rounds of 1, 2 and 4: the logarithms' mean is ln 2, their deviation ln 2, and
        // neighbours are not correlated: 2 / sqrt(3) of t's 4.303.
        let estimate = LogEstimate::of_rounds(&[1.0, 2.0, 4.0]).unwrap();
        assert!((estimate.figure() - 2.0).abs() < 1e-9);
        let ratio = Ratio::of_pairs(&[1.0, 1.0, 1.0], &[4.0, 1.0, 2.0]).unwrap();
        let interval = ratio.interval.unwrap();
        let reach = 4.303 * 2f64.ln() / 3f64.sqrt();
        assert!((ratio.value - 2.0).abs() < 1e-9);
        assert!((interval.high.ln() - (2f64.ln() + reach)).abs() < 1e-3);
        assert!((interval.low * interval.high - 4.0).abs() < 1e-9);
        // What does not vary has an interval without width; one value has none.
        let steady = LogEstimate::of_series(3.0, &[3.0; 8]).unwrap();
        assert_eq!(steady.ratio_to(steady).uncertainty(), Some(0.0));
        assert_eq!(Ratio::of_pairs(&[1.0], &[2.0]).unwrap().interval, None);
        assert_eq!(LogEstimate::of_rounds(&[1.0, 0.0]), None);
        assert_eq!(Ratio::of_pairs(&[0.0, 1.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn correlated_values_count_less() {
        let mut random = StdRng::seed_from_u64(3);
        let mut time = |coefficient| {
            let sample = autoregressive(&mut random, 10_000, coefficient, 1.0);
            autocorrelation_time(&sample)
        };
        assert!((0.9..1.1).contains(&time(0.0)));
        assert!((2.7..3.3).contains(&time(0.5)));
        assert!((8.0..10.0).contains(&time(0.8)));
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, quantile) in [(0.5, 12.706), (7.0, 2.365), (12.0, 2.179), (1e9, 1.96)] {
            assert!((student_95(degrees) - quantile).abs() < 0.003, "{degrees}");
        }
    }
}
