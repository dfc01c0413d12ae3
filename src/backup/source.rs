//! The stream of one service's snapshot, and the two files that it is kept in: the rows that
//! were read, and the records that go over them.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use futures::future;
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use mesh::store::{Frame, FrameKind};
use tokio_util::sync::CancellationToken;

use super::archive::{Archive, Part};
use super::frames::FramesFile;
use super::{End, of_service};
use crate::control::{self, ControlStream};
use crate::service_name::ServiceName;

/// How long a service may send nothing of what it must send: the disk of a small host may
/// stall for some seconds.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// A service that is being copied.
pub(super) struct Source {
    service: ServiceName,
    stream: ControlStream,
    /// Bytes that arrived and are not a whole frame yet.
    arrived: Vec<u8>,
    rows: FramesFile,
    records: FramesFile,
    row_count: u64,
    record_count: u64,
    /// Whether all rows were read.
    is_scanned: bool,
    /// The number of the last record that the copy has, or before it.
    last: u64,
    bar: ProgressBar,
}

impl Source {
    /// Begins the snapshot of a running service.
    pub(super) async fn open(
        folder: &Folder,
        service: ServiceName,
        archive: &Archive,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let socket = folder.control_socket(service.name());
        let stream = control::open_stream(&socket, "/control/snapshot").await?;
        let dir = of_service(archive.folder(), service);
        Ok(Self {
            service,
            stream,
            arrived: Vec::new(),
            rows: FramesFile::create(&dir, "rows")?,
            records: FramesFile::create(&dir, "records")?,
            row_count: 0,
            record_count: 0,
            is_scanned: false,
            last: 0,
            bar: bar.clone(),
        })
    }

    /// The service.
    pub(super) fn service(&self) -> ServiceName {
        self.service
    }

    /// Reads on to the record `end`, and makes both files durable.
    pub(super) async fn finish(mut self, end: End) -> anyhow::Result<(ServiceName, Part)> {
        while self.last < end.record {
            self.expect().await?;
        }
        let Self { service, rows, records, row_count, record_count, .. } = self;
        let part = Part {
            rows: row_count,
            records: record_count,
            end: end.record,
            log: end.log,
            bytes: rows.finish()? + records.finish()?,
        };
        Ok((service, part))
    }

    /// Reads on until `over`.
    async fn read_until(&mut self, over: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut over = pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return Ok(()),
                stepped = self.step() => stepped?,
            }
        }
    }

    /// Takes the next frame, of which there must be one.
    async fn expect(&mut self) -> anyhow::Result<()> {
        let name = self.service.name();
        let seconds = FRAME_TIMEOUT.as_secs();
        let step = tokio::time::timeout(FRAME_TIMEOUT, self.step()).await;
        step.with_context(|| format!("{name} sent nothing for {seconds} s"))?
    }

    /// Takes the next frame. Cancel safe.
    async fn step(&mut self) -> anyhow::Result<()> {
        let name = self.service.name();
        loop {
            let taken = Frame::take(&mut self.arrived);
            if let Some(frame) = taken.map_err(|why| anyhow::anyhow!("{name}: {why}"))? {
                return self.keep(&frame);
            }
            let piece = self.stream.body.frame().await.transpose();
            let Some(piece) = piece.with_context(|| format!("{name} ended"))? else {
                bail!("{name} was stopped, or the copy fell behind what it writes; begin it again");
            };
            if let Ok(data) = piece.into_data() {
                self.arrived.extend_from_slice(&data);
            }
        }
    }

    fn keep(&mut self, frame: &Frame) -> anyhow::Result<()> {
        match frame.kind {
            FrameKind::Begin => self.last = frame.number,
            FrameKind::Total => self.bar.inc_length(frame.number),
            FrameKind::Rows => {
                self.row_count += frame.number;
                self.bar.inc(frame.number);
                self.rows.write(frame)?;
            }
            FrameKind::Scanned => self.is_scanned = true,
            FrameKind::Record => {
                self.record_count += 1;
                self.last = frame.number;
                self.records.write(frame)?;
            }
        }
        Ok(())
    }
}

/// Reads on until every service has sent its rows. Those that have sent theirs go on with
/// their records, so that none waits for long in the service.
pub(super) async fn read_all(sources: &mut [Source]) -> anyhow::Result<()> {
    let (left, done) = (AtomicUsize::new(sources.len()), CancellationToken::new());
    let reading = sources.iter_mut().map(async |source| {
        while !source.is_scanned {
            source.expect().await?;
        }
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            done.cancel();
        }
        source.read_until(done.cancelled()).await
    });
    future::try_join_all(reading).await.map(|_| ())
}

/// Reads on for a while.
pub(super) async fn read_for(sources: &mut [Source], pause: Duration) -> anyhow::Result<()> {
    let reading = sources
        .iter_mut()
        .map(|source| source.read_until(tokio::time::sleep(pause)));
    future::try_join_all(reading).await.map(|_| ())
}
