//! Streaming import: NDJSON, konbini's own CSV, or a product CSV of Shopify.
//!
//! | module | holds |
//! | --- | --- |
//! | `ndjson` | a body split into lines of JSON |
//! | `csv` | a body split into records, and konbini's own columns |
//! | `draft` | a product from cells |
//! | `shopify` | Shopify's columns: several records a product |
//! | `html` | HTML to plain text |
//!
//! A file's size bounds time, never memory: records are parsed as they arrive, and a
//! few transactions are in flight at once.
//!
//! **Invariants:** a bad line fails alone and is reported by its number; every counted
//! line is durable; importing a file again changes nothing, so an interrupted one is
//! simply sent again.

mod csv;
mod draft;
mod html;
mod ndjson;
mod shopify;

use std::time::Duration;

use ::store::Store;
use api::IMPORT_BODY_BYTES_MAX;
use bytes::Bytes;
use chassis::fields::BodyFault;
use chassis::{FieldError, Problem};
use futures::{Stream, StreamExt, TryStreamExt};
use mesh::Cause;
use model::Currency;
use serde::Serialize;

use self::csv::Csv;
use self::ndjson::LineSplitter;
use crate::Error;
use crate::catalogue::{self, Upserted};
use crate::effects::Effects;
use crate::submission::Submission;

/// A line or a record, in bytes. A product has at most 24 KiB; the rest is white
/// space, escapes and HTML.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Entries of one transaction: enough to share its sync, few enough that requests
/// in between do not wait for long.
const BATCH_ENTRIES: usize = 128;
/// Transactions queued at once.
const BATCHES_IN_FLIGHT: usize = 4;
/// Lines reported with their errors; all are counted.
const FAILURES_NAMED_MAX: usize = 100;
/// Errors reported of one line.
const ERRORS_PER_LINE_MAX: usize = 20;
/// How long the client may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One product a line, as JSON.
    Ndjson,
    /// Comma-separated values (RFC 4180) with a header; prices without a currency
    /// of their own are in this one.
    Csv(Currency),
}

/// The counts of an import, by outcome.
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
        let left = FAILURES_NAMED_MAX - self.errors.len();
        self.errors.extend(other.errors.into_iter().take(left));
    }
}

/// Imports a body.
///
/// # Errors
/// When the body is interrupted, idle or too large, when a CSV has an unknown header, or
/// when the store fails. Lines before that are imported; importing the same file again
/// completes it.
pub(crate) async fn import<E>(
    store: &Store,
    effects: &Effects,
    cause: &Cause,
    format: Format,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Summary, Error> {
    let intake = Intake {
        body: body.fuse(),
        reader: Reader::new(format),
        entries: Vec::new(),
        bytes: 0,
        ended: false,
    };
    let batches = futures::stream::try_unfold(intake, |mut intake: Intake<_>| async move {
        let batch = intake.batch().await?;
        Ok::<_, Error>((!batch.is_empty()).then_some((batch, intake)))
    });
    // Committed in order, so that the last line of a SKU wins, and an interrupted body
    // is reported after everything before it is durable.
    let commit = |batch| async { commit(store, effects, cause, batch?).await };
    let mut outcomes = std::pin::pin!(batches.map(commit).buffered(BATCHES_IN_FLIGHT));
    let mut summary = Summary::default();
    while let Some(outcome) = outcomes.try_next().await? {
        summary.add(outcome);
    }
    Ok(summary)
}

/// A parsed line with its number, counted from 1.
#[derive(Debug)]
struct Entry {
    line: u64,
    content: Result<Submission, Vec<FieldError>>,
}

impl Entry {
    fn new(line: u64, content: Result<Submission, BodyFault>) -> Self {
        let content = content.map_err(|fault| match fault {
            BodyFault::Unreadable(why) => vec![FieldError::new("", why)],
            BodyFault::Invalid(mut errors) => {
                errors.truncate(ERRORS_PER_LINE_MAX);
                errors
            }
        });
        Self { line, content }
    }

    fn too_long(line: u64) -> Self {
        let why = format!("the line is longer than {RECORD_BYTES_MAX} bytes");
        Self::new(line, Err(BodyFault::Unreadable(why)))
    }
}

/// A line of a body, and its product or the faults of it.
#[cfg(any(test, feature = "fuzzing"))]
type ReadLine = (u64, Result<Submission, Vec<FieldError>>);

/// The lines of a CSV body in these pieces, each with its content or faults; then how the
/// body ended.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_csv<'b>(
    currency: Currency,
    mut pieces: impl Iterator<Item = &'b [u8]>,
) -> (Vec<ReadLine>, Result<(), BodyFault>) {
    let (mut reader, mut entries) = (Reader::new(Format::Csv(currency)), Vec::new());
    let fed = pieces.try_for_each(|piece| reader.feed(piece, &mut entries));
    let ended = fed.and_then(|()| reader.end(&mut entries));
    let lines = entries
        .into_iter()
        .map(|Entry { line, content }| (line, content));
    (lines.collect(), ended)
}

async fn commit(
    store: &Store,
    effects: &Effects,
    cause: &Cause,
    entries: Vec<Entry>,
) -> Result<Summary, Error> {
    let (effects, cause) = (effects.clone(), cause.clone());
    let write = store.write_when_free(move |tx| {
        let mut summary = Summary::default();
        for Entry { line, content } in entries {
            summary.read += 1;
            match content {
                Err(errors) => {
                    summary.failed += 1;
                    summary.errors.push(LineErrors { line, errors });
                }
                Ok(submission) => match catalogue::upsert(tx, &effects, &cause, submission)? {
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

/// Spreadsheets begin a file in UTF-8 with this byte order mark; it is not part of the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses entries from the pieces of a body.
struct Reader {
    /// The first bytes, until they are known to be a byte order mark or none.
    start: Option<Vec<u8>>,
    parser: Parser,
}

enum Parser {
    Ndjson(LineSplitter),
    Csv(Box<Csv>),
}

impl Reader {
    fn new(format: Format) -> Self {
        let parser = match format {
            Format::Ndjson => Parser::Ndjson(LineSplitter::default()),
            Format::Csv(currency) => Parser::Csv(Box::new(Csv::new(currency))),
        };
        Self { start: Some(Vec::new()), parser }
    }

    fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        let Some(start) = &mut self.start else {
            return self.parser.feed(piece, entries);
        };
        start.extend_from_slice(piece);
        if start.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(start) {
            return Ok(());
        }
        let start = self.start.take().unwrap_or_default();
        let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start);
        self.parser.feed(text, entries)
    }

    /// Parses the rest at the end of the body.
    fn end(&mut self, entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        if let Some(start) = self.start.take() {
            self.parser.feed(&start, entries)?;
        }
        match &mut self.parser {
            Parser::Ndjson(lines) => {
                lines.end(entries);
                Ok(())
            }
            Parser::Csv(csv) => csv.end(entries),
        }
    }
}

impl Parser {
    fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        match self {
            Self::Ndjson(lines) => {
                lines.feed(piece, entries);
                Ok(())
            }
            // To the CSV parser an empty piece is the end.
            Self::Csv(_) if piece.is_empty() => Ok(()),
            Self::Csv(csv) => csv.feed(piece, entries),
        }
    }
}

/// A body being read.
struct Intake<S> {
    body: S,
    reader: Reader,
    /// Parsed and not yet in a batch.
    entries: Vec<Entry>,
    bytes: u64,
    ended: bool,
}

impl<S, E> Intake<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// The next entries; none at the end.
    async fn batch(&mut self) -> Result<Vec<Entry>, Error> {
        while self.entries.len() < BATCH_ENTRIES && !self.ended {
            match self.piece().await? {
                Some(piece) => self.reader.feed(&piece, &mut self.entries)?,
                None => {
                    self.ended = true;
                    self.reader.end(&mut self.entries)?;
                }
            }
        }
        let count = self.entries.len().min(BATCH_ENTRIES);
        Ok(self.entries.drain(..count).collect())
    }

    /// The body's next piece; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = match tokio::time::timeout(IDLE_TIMEOUT, self.body.next()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) => return Err(Problem::bad_request("the body ended early").into()),
            Err(_) => return Err(Error::Idle(IDLE_TIMEOUT)),
        };
        self.bytes += piece.len() as u64;
        if self.bytes > IMPORT_BODY_BYTES_MAX {
            let bytes_max = usize::try_from(IMPORT_BODY_BYTES_MAX).unwrap_or(usize::MAX);
            return Err(Problem::too_large(bytes_max).into());
        }
        Ok(Some(piece))
    }
}
