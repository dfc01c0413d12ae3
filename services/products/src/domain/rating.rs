//! Ratings: average and count, as the shop gathers them elsewhere.
//!
//! **Invariant:** an average is kept to the hundredth, so that it reads back as it was
//! written and two averages compare equal.

use serde::{Deserialize, Serialize};

/// The highest average.
const BEST: f64 = 5.0;
const HUNDREDTHS: f64 = 100.0;

/// A product's rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rating {
    /// Of all ratings.
    pub(crate) average: Average,
    /// How many rated it.
    pub(crate) count: u32,
}

impl Rating {
    /// The order of ratings as a number: by average, then count.
    pub(crate) fn rank(self) -> u64 {
        (u64::from(self.average.0) << u32::BITS) | u64::from(self.count)
    }
}

/// A number of stars, 0 to 5, in hundredths; as JSON a number such as 4.37.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub(crate) struct Average(u16);

impl TryFrom<f64> for Average {
    type Error = &'static str;

    fn try_from(stars: f64) -> Result<Self, Self::Error> {
        if !(0.0..=BEST).contains(&stars) {
            return Err("must be 0..5");
        }
        Ok(Self((stars * HUNDREDTHS).round() as u16))
    }
}

impl From<Average> for f64 {
    fn from(average: Average) -> Self {
        Self::from(average.0) / HUNDREDTHS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_averages_come_first_and_then_more_of_them() {
        let rank = |stars: f64, count| {
            let average = Average::try_from(stars).unwrap();
            Rating { average, count }.rank()
        };
        assert!(rank(4.37, 1) > rank(4.36, u32::MAX) && rank(5.0, 2) > rank(5.0, 1));
        assert_eq!(
            f64::from(Average::try_from(4.369).unwrap()).to_string(),
            "4.37"
        );
        for stars in [-0.1, 5.1, f64::NAN] {
            assert!(Average::try_from(stars).is_err());
        }
    }
}
