//! Reads at a steady rate, which measure how a shop serves everyone else under a load.
//!
//! A read's latency counts from the moment it was due, so a shop that stalls cannot hide it
//! (coordinated omission).
//!
//! **Invariant:** a read that failed is counted, never dropped.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::time::MissedTickBehavior;

use crate::client::{Credentials, ShopClient};
use crate::series::Series;
use crate::table::ReportTable;

/// The p99 that a read must stay within under the load.
const P99_MAX: Duration = Duration::from_millis(20);
const INTERVAL: Duration = Duration::from_millis(10);

/// One kind of read.
pub(crate) struct SteadyRead<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(&'a str, &'a str)>,
}

/// The latencies of each kind of read, and how many reads failed.
pub(crate) struct SteadyReads {
    series: Vec<Series>,
    failed: u64,
}

impl SteadyReads {
    /// Sends reads of every kind for so long.
    pub(crate) async fn measure(
        client: &ShopClient,
        reader: &Credentials,
        reads: &[SteadyRead<'_>],
        lasting: Duration,
    ) -> anyhow::Result<Self> {
        let until = Instant::now() + lasting;
        let reads = reads.iter().map(|read| repeat(client, reader, read, until));
        let measured = try_join_all(reads).await?;
        let failed = measured.iter().map(|(_, failed)| failed).sum();
        let series = measured.into_iter().map(|(series, _)| series).collect();
        Ok(Self { series, failed })
    }

    /// The kinds of read whose p99 is above [`P99_MAX`].
    fn late(&self) -> usize {
        let is_late = |series: &&Series| series.quantile(0.99) > P99_MAX;
        self.series.iter().filter(is_late).count()
    }

    /// Adds a line for each kind, compared with the `calm` before the load.
    pub(crate) fn lines(&self, reads: &[SteadyRead<'_>], calm: &Self, table: &mut ReportTable) {
        for (read, (loaded, calm)) in reads.iter().zip(self.series.iter().zip(&calm.series)) {
            let (loaded, calm) = (loaded.percentiles(), calm.percentiles());
            table.line(format_args!("{}: {loaded} (calm: {calm})", read.name));
        }
    }

    /// Adds the verdicts on both phases; whether all reads were in time and succeeded.
    pub(crate) fn verdicts(&self, calm: &Self, table: &mut ReportTable) -> bool {
        let (late, failed) = (self.late(), self.failed + calm.failed);
        let text = format!(
            "{late} of {} reads took more than {} ms at p99",
            self.series.len(),
            P99_MAX.as_millis()
        );
        table
            .verdict(late == 0, &text)
            .verdict(failed == 0, &format!("{failed} reads failed"));
        late == 0 && failed == 0
    }
}

async fn repeat(
    client: &ShopClient,
    reader: &Credentials,
    read: &SteadyRead<'_>,
    until: Instant,
) -> anyhow::Result<(Series, u64)> {
    let (mut series, mut failed) = (Series::new()?, 0);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while Instant::now() < until {
        let due = interval.tick().await.into_std();
        let request = client.query(&read.path, &read.query);
        let response = client.send_as(reader, request).await;
        series.record(due);
        failed += u64::from(!response.is_ok_and(|response| response.status.is_success()));
    }
    Ok((series, failed))
}
