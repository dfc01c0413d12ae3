//! Moments, to the millisecond: what is written in records, events and answers.
//!
//! The clock is read here and nowhere else; everything that decides takes the
//! moment as a parameter.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01 UTC. On the wire RFC 3339 with milliseconds
/// (`2026-11-22T17:44:14.120Z`); in records the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// The moment now, by the system clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn now() -> Time {
    Time(Timestamp::now().as_millisecond())
}

impl Time {
    /// This much later; saturates at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This much earlier; saturates at the beginning of time.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Milliseconds of a day of UTC, which has no leap seconds here.
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A day of UTC, `2026-11-30`: its number since 1970-01-01, up to the year 2149.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u16);

impl Day {
    /// Its first moment.
    pub fn begins(self) -> Time {
        Time(i64::from(self.0) * DAY_MILLIS)
    }

    /// The day after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Time {
    /// The day of UTC.
    pub fn day(self) -> Day {
        let number = self.0.div_euclid(DAY_MILLIS).max(0);
        Day(u16::try_from(number).unwrap_or(u16::MAX))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        date(1970, 1, 1)
            .saturating_add(i64::from(self.0).days())
            .fmt(f)
    }
}

/// The text is no day such as `2026-11-30`, or one before 1970 or after 2149.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a day is written as 2026-11-30")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // jiff takes times beside the date, too.
        let is_date = text.len() == "2026-11-30".len();
        let day: Option<Date> = is_date.then(|| text.parse().ok()).flatten();
        let midnight = day.map(|day| day.at(0, 0, 0, 0));
        let midnight = midnight.and_then(|midnight| TimeZone::UTC.to_timestamp(midnight).ok());
        let number = midnight.map(|moment| moment.as_millisecond().div_euclid(DAY_MILLIS));
        number
            .and_then(|number| u16::try_from(number).ok())
            .map(Self)
            .ok_or(NotADay)
    }
}

/// The text is neither a moment nor a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a moment is written as 2026-11-30T17:00:00Z (RFC 3339), and a day of UTC as 2026-11-30")]
pub struct NotATime;

/// A moment of RFC 3339, or a day of UTC, which stands for its first moment.
impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        if let Ok(day) = text.parse::<Day>() {
            return Ok(day.begins());
        }
        let moment: Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(moment.as_millisecond()))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => f.write_str("9999-12-30T22:00:00.000Z"),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let moment = Timestamp::deserialize(from)?;
            Ok(Self(moment.as_millisecond()))
        } else {
            i64::deserialize(from).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_with_milliseconds() {
        let moment = Time(1_795_369_454_120);
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(text, "\"2026-11-22T17:44:14.120Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), moment);
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn days_and_moments_as_people_write_them() {
        for (text, millis) in [
            ("1970-01-02", Some(DAY_MILLIS)),
            (
                "2026-11-30",
                Some(1_796_002_560_000 - 1_796_002_560_000 % DAY_MILLIS),
            ),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:00:00.250Z", Some(250)),
            ("1969-12-31", None),
            ("2026-02-29", None),
            ("2026-11", None),
            ("1970-01-01T00:00:00", None),
            ("today", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), millis.map(Time), "{text}");
        }
        let day: Day = "2026-11-30".parse().unwrap();
        assert_eq!(day.to_string(), "2026-11-30");
        assert_eq!(day.begins().day(), day);
        assert_eq!(Time(day.next().begins().0 - 1).day(), day);
        assert_eq!(
            (Time(-1).day(), Time(i64::MAX).day()),
            (Day(0), Day(u16::MAX))
        );
        assert_eq!(Day(u16::MAX).to_string(), "2149-06-06");
    }
}
