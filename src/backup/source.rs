//! The snapshot of one service, and the two files that it is kept in: the rows that were read,
//! and the records that go over them. A running service sends its snapshot; that of a service
//! at rest is taken from its store, and nothing of the service runs meanwhile.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use futures::future;
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use mesh::Log;
use mesh::store::{Frame, FrameKind, Options, Snapshot, Store};
use tokio_util::sync::CancellationToken;

use super::archive::{Archive, Part};
use super::frames::FramesFile;
use super::{End, files, of_service};
use crate::control::{self, ControlStream};
use crate::service_name::ServiceName;

/// How long a service may send nothing of what it must send: the disk of a small host may
/// stall for some seconds.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the frames of a service come from.
enum Frames {
    /// A running service, with the bytes that arrived and are not a whole frame yet.
    Running {
        stream: ControlStream,
        arrived: Vec<u8>,
    },
    /// The store of a service at rest.
    Resting(Snapshot),
}

impl Frames {
    /// The next frame of the service `name`. Cancel safe for a running one.
    async fn next(&mut self, name: &str) -> anyhow::Result<Frame> {
        let (stream, arrived) = match self {
            Self::Running { stream, arrived } => (stream, arrived),
            Self::Resting(snapshot) => return Ok(snapshot.next().await?),
        };
        loop {
            let taken = Frame::take(arrived);
            if let Some(frame) = taken.map_err(|why| anyhow::anyhow!("{name}: {why}"))? {
                return Ok(frame);
            }
            let piece = stream.body.frame().await.transpose();
            let Some(piece) = piece.with_context(|| format!("{name} ended"))? else {
                bail!("{name} was stopped, or the copy fell behind what it writes; begin it again");
            };
            if let Ok(data) = piece.into_data() {
                arrived.extend_from_slice(&data);
            }
        }
    }
}

/// A service that is being copied.
pub(super) struct Source {
    service: ServiceName,
    frames: Frames,
    dir: PathBuf,
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
        let frames = Frames::Running { stream, arrived: Vec::new() };
        Self::new(service, frames, archive, bar)
    }

    fn new(
        service: ServiceName,
        frames: Frames,
        archive: &Archive,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let dir = of_service(archive.folder(), service);
        Ok(Self {
            service,
            frames,
            rows: FramesFile::create(&dir, "rows")?,
            records: FramesFile::create(&dir, "records")?,
            dir,
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

    /// Takes the next frame. Cancel safe for a running service.
    async fn step(&mut self) -> anyhow::Result<()> {
        let frame = self.frames.next(self.service.name()).await?;
        self.keep(&frame)
    }

    fn keep(&mut self, frame: &Frame) -> anyhow::Result<()> {
        files::ensure_room(&self.dir)?;
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

/// Copies a service at rest.
pub(super) async fn copy_resting(
    folder: &Folder,
    service: ServiceName,
    archive: &Archive,
    bar: &ProgressBar,
) -> anyhow::Result<(ServiceName, Part)> {
    let dir = of_service(folder.path(), service).join("store");
    let opened = tokio::task::spawn_blocking(move || Store::open(&dir, &Options::default()));
    let store = opened.await??;
    let log = Log::open(store.clone(), service.name(), model::now()).await?;
    let end = End { held: true, record: store.last_record(), log: log.tail().seq };
    let mut source = Source::new(
        service,
        Frames::Resting(store.snapshot().without_pauses()),
        archive,
        bar,
    )?;
    while !source.is_scanned {
        source.expect().await?;
    }
    let copied = source.finish(end).await;
    tokio::task::spawn_blocking(move || store.close()).await?;
    copied
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
