//! Incidents: faults that last. Staff are notified once of each, and once of its end.
//!
//! A failure of something that is tried again is news once it lasts; one that nobody repeats is
//! news at once. **Invariant:** an incident is stored in the transaction of the attempt that shows
//! it, so it is notified once, also across restarts.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Table, Tx};
use model::Time;
use serde::{Deserialize, Serialize};

/// How long something fails that is tried again before it is an incident: longer than a restart
/// of what is at the other end, or a greylisting server, takes.
pub(crate) const LASTS: Duration = Duration::from_secs(15 * 60);

/// What fails → since when.
const INCIDENTS: Table<String, Incident> = Table::new("incidents");

/// The failures of something since its last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Incident {
    since: Time,
    /// Whether staff were notified.
    is_notified: bool,
}

impl ::store::Record for Incident {}

/// What staff do not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncidentNews {
    Nothing,
    /// It fails since then.
    Began(Time),
    /// It had been notified, and is over.
    Ended,
}

/// Notes a success of what is named by `what`.
pub(crate) fn succeeded(tx: &mut Tx<'_>, what: &String) -> Result<IncidentNews, StoreError> {
    let Some(incident) = tx.get(INCIDENTS, what)? else {
        return Ok(IncidentNews::Nothing);
    };
    tx.delete(INCIDENTS, what)?;
    Ok(match incident.is_notified {
        true => IncidentNews::Ended,
        false => IncidentNews::Nothing,
    })
}

/// Since when something fails.
pub(crate) fn since(from: &impl Read, what: &String) -> Result<Option<Time>, StoreError> {
    Ok(from.get(INCIDENTS, what)?.map(|incident| incident.since))
}

/// Notes a failure at `now`, which is news once there have been only failures for `lasts`.
pub(crate) fn failed(
    tx: &mut Tx<'_>,
    what: &String,
    lasts: Duration,
    now: Time,
) -> Result<IncidentNews, StoreError> {
    let earlier = tx.get(INCIDENTS, what)?;
    let mut incident = earlier.unwrap_or(Incident { since: now, is_notified: false });
    let is_news = !incident.is_notified && now.since(incident.since) >= lasts;
    incident.is_notified |= is_news;
    if earlier != Some(incident) {
        tx.put(INCIDENTS, what, &incident)?;
    }
    Ok(match is_news {
        true => IncidentNews::Began(incident.since),
        false => IncidentNews::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::store::{Options, Store};

    #[tokio::test]
    async fn what_lasts_is_news_once_and_so_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let minute = |minutes: u64| Time(0).after(Duration::from_secs(minutes * 60));
        let (fails, works) = (true, false);
        for (at, is_failure, news) in [
            (0, works, IncidentNews::Nothing),
            (1, fails, IncidentNews::Nothing),
            (2, works, IncidentNews::Nothing),
            (10, fails, IncidentNews::Nothing),
            (24, fails, IncidentNews::Nothing),
            (25, fails, IncidentNews::Began(minute(10))),
            (90, fails, IncidentNews::Nothing),
            (91, works, IncidentNews::Ended),
            (92, works, IncidentNews::Nothing),
        ] {
            let noted = store.write(move |tx| match is_failure {
                true => failed(tx, &"mail".into(), LASTS, minute(at)),
                false => succeeded(tx, &"mail".into()),
            });
            let noted: Result<_, StoreError> = noted.await;
            assert_eq!(noted.unwrap(), news, "{at}");
        }
    }
}
