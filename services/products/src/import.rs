//! Catalogues in and out, one product a line (NDJSON), streamed.
//!
//! A file's size bounds time, never memory: lines are read as they come, and a
//! few transactions are in flight at once. **Invariants:** a bad line fails alone
//! and is named by its number in the file; what was counted is durable.

use std::time::Duration;

use ::store::{Read, Store};
use bytes::{Buf, Bytes, BytesMut};
use chassis::limits::IMPORT_BODY_BYTES_MAX;
use chassis::{FieldError, Problem};
use futures::{Stream, StreamExt, TryStreamExt};
use mesh::Log;
use serde::Serialize;

use crate::Error;
use crate::domain::{Content, ProductId};
use crate::store::{self, Cause, PRODUCTS, Upserted};
use crate::submission::{self, Fault, Submission};

/// A line, in bytes. A product has at most 24 KiB; the rest is white space and
/// escapes.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Lines of one transaction: enough to share its sync, few enough that requests
/// in between do not wait for long.
const BATCH_LINES: usize = 64;
/// Transactions queued at once.
const BATCHES_IN_FLIGHT: usize = 4;
/// Lines named with their errors; all are counted.
const FAILURES_NAMED_MAX: usize = 100;
/// Errors named of one line.
const ERRORS_PER_LINE_MAX: usize = 20;
/// How long the other side may send, or take, nothing.
pub(crate) const IDLE_PATIENCE: Duration = Duration::from_secs(30);
/// Products of one page of an export, in bytes as sent.
const EXPORT_PAGE_BYTES: usize = 64 * 1024;
/// Pages made ahead of a slow reader.
const EXPORT_PAGES_AHEAD: usize = 2;

/// What became of a file's lines.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    read: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    errors: Vec<LineErrors>,
}

/// A line that failed.
#[derive(Debug, Serialize)]
struct LineErrors {
    line: u64,
    errors: Vec<FieldError>,
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.failed += other.failed;
        let room = FAILURES_NAMED_MAX - self.errors.len();
        self.errors.extend(other.errors.into_iter().take(room));
    }
}

/// Imports a stream of lines.
///
/// # Errors
/// When the stream breaks off, idles or is too large, or the store fails. What
/// came before stays; importing the same file again completes it.
pub(crate) async fn import<E>(
    store: &Store,
    log: &Log,
    cause: &Cause,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Summary, Error> {
    let lines = Lines {
        body: body.fuse(),
        buffer: BytesMut::new(),
        searched: 0,
        too_long: false,
        line: 0,
        bytes: 0,
    };
    let batches = futures::stream::try_unfold(lines, |mut lines: Lines<_>| async move {
        let batch = lines.batch().await?;
        Ok::<_, Error>((!batch.is_empty()).then_some((batch, lines)))
    });
    // Taken and answered in order, so that the last line of a SKU is what stays,
    // and a body that breaks off is reported after what came before it is kept.
    let commit = |batch| async { commit(store, log, cause, batch?).await };
    let mut outcomes = std::pin::pin!(batches.map(commit).buffered(BATCHES_IN_FLIGHT));
    let mut summary = Summary::default();
    while let Some(outcome) = outcomes.try_next().await? {
        summary.add(outcome);
    }
    Ok(summary)
}

/// A line with its number, and what it says.
struct Entry {
    line: u64,
    content: Result<Submission, Vec<FieldError>>,
}

async fn commit(
    store: &Store,
    log: &Log,
    cause: &Cause,
    entries: Vec<Entry>,
) -> Result<Summary, Error> {
    let (log, cause) = (log.clone(), cause.clone());
    let write = store.write_when_free(move |tx| {
        let mut summary = Summary::default();
        for Entry { line, content } in entries {
            summary.read += 1;
            match content {
                Err(errors) => {
                    summary.failed += 1;
                    summary.errors.push(LineErrors { line, errors });
                }
                Ok(submission) => match store::upsert(tx, &log, &cause, submission)? {
                    Upserted::Created => summary.created += 1,
                    Upserted::Updated => summary.updated += 1,
                    Upserted::Unchanged => summary.unchanged += 1,
                },
            }
        }
        Ok(summary)
    });
    write.await
}

/// A body being cut into lines.
struct Lines<S> {
    body: S,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    /// Whether the line being read is too long, and its beginning thrown away.
    too_long: bool,
    /// The number of the last line taken.
    line: u64,
    bytes: u64,
}

impl<S, E> Lines<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// The next lines that are not blank; none at the end.
    async fn batch(&mut self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::with_capacity(BATCH_LINES);
        while entries.len() < BATCH_LINES {
            if let Some(end) = self.line_end() {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                entries.extend(self.entry(&line));
            } else if !self.fill().await? {
                let last = self.buffer.split();
                entries.extend(self.entry(&last));
                break;
            }
        }
        Ok(entries)
    }

    fn line_end(&mut self) -> Option<usize> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| self.searched + at);
        self.searched = if found.is_some() { 0 } else { self.buffer.len() };
        found
    }

    fn entry(&mut self, line: &[u8]) -> Option<Entry> {
        self.line += 1;
        self.searched = 0;
        let line_no = self.line;
        if std::mem::take(&mut self.too_long) || line.len() > LINE_BYTES_MAX {
            let detail = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            let content = Err(vec![FieldError::new("", detail)]);
            return Some(Entry { line: line_no, content });
        }
        if line.trim_ascii().is_empty() {
            return None;
        }
        let content = submission::read(line).map_err(|fault| match fault {
            Fault::Unreadable(why) => vec![FieldError::new("", why)],
            Fault::Invalid(mut errors) => {
                errors.truncate(ERRORS_PER_LINE_MAX);
                errors
            }
        });
        Some(Entry { line: line_no, content })
    }

    /// Reads on; `false` at the end of the body.
    async fn fill(&mut self) -> Result<bool, Error> {
        if self.buffer.len() > LINE_BYTES_MAX {
            self.too_long = true;
            self.buffer.clear();
            self.searched = 0;
        }
        let chunk = match tokio::time::timeout(IDLE_PATIENCE, self.body.next()).await {
            Ok(None) => return Ok(false),
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) => return Err(Problem::bad_request("the body ended early").into()),
            Err(_) => return Err(Error::Idle(IDLE_PATIENCE)),
        };
        self.bytes += chunk.len() as u64;
        if self.bytes > IMPORT_BODY_BYTES_MAX {
            let bytes_max = usize::try_from(IMPORT_BODY_BYTES_MAX).unwrap_or(usize::MAX);
            return Err(Problem::too_large(bytes_max).into());
        }
        self.buffer.extend_from_slice(&chunk);
        Ok(true)
    }
}

/// A product as export writes it: what import takes.
#[derive(Serialize)]
struct Exported<'a> {
    #[serde(flatten)]
    content: &'a Content,
    stock: i64,
}

/// Every product in any status, oldest first, as chunks of lines. A chunk that is
/// an error breaks the answer off, so that it never passes for a shorter shop.
pub(crate) fn export(store: Store) -> impl Stream<Item = Result<Bytes, Error>> {
    let (pages, inbox) = flume::bounded(EXPORT_PAGES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut after = None;
        loop {
            let page = export_page(&store, after.as_ref());
            let (page, last) = match page {
                Ok(Some((page, last))) => (Ok(page), Some(last)),
                Ok(None) => return,
                Err(error) => (Err(error), None),
            };
            let failed = page.is_err();
            // A reader that is gone, or takes nothing, does not want the rest.
            if pages.send_timeout(page, IDLE_PATIENCE).is_err() || failed {
                return;
            }
            after = last;
        }
    });
    inbox.into_stream()
}

fn export_page(
    store: &Store,
    after: Option<&ProductId>,
) -> Result<Option<(Bytes, ProductId)>, Error> {
    let rows = match after {
        Some(last) => PRODUCTS.all().after(last),
        None => PRODUCTS.all(),
    };
    let (mut page, mut last) = (Vec::with_capacity(EXPORT_PAGE_BYTES), None);
    for row in store.scan(rows)? {
        let (id, product) = row?;
        let level = store::level(store, id)?.unwrap_or_default();
        let line = Exported { content: &product.content, stock: level.on_hand };
        serde_json::to_writer(&mut page, &line)
            .map_err(|error| Error::Refused(Problem::internal(error)))?;
        page.push(b'\n');
        last = Some(id);
        if page.len() >= EXPORT_PAGE_BYTES {
            break;
        }
    }
    Ok(last.map(|last| (page.into(), last)))
}
