//! Streaming import: NDJSON, or CSV with the columns of konbini, Shopify or WooCommerce.
//!
//! | module | holds |
//! | --- | --- |
//! | `reader` | a body in pieces, parsed into lines |
//! | `encoding` | the encoding of a body |
//! | `ndjson` | a body split into lines of JSON |
//! | `csv`, `records` | a body split into records, and whose columns they have |
//! | `native` | konbini's own columns |
//! | `shopify`, `woocommerce` | those of other shops: several records a product |
//! | `columns`, `cells`, `price`, `figures` | cells by the meaning of their columns, and as fields |
//! | `html` | HTML as plain text |
//! | `entry`, `line` | a parsed line, and what it does to the catalogue |
//! | `summary` | the report |
//!
//! A file's size bounds time, never memory: records are parsed as they arrive, and a
//! few transactions are in flight at once.
//!
//! **Invariants:** a line changes what it names and nothing else; a bad line fails alone and
//! is reported by its number; every counted line is durable; importing a file again changes
//! nothing, so an interrupted one is simply sent again.

mod cells;
mod columns;
mod csv;
mod encoding;
mod entry;
mod figures;
mod html;
mod line;
mod native;
mod ndjson;
mod price;
mod reader;
mod records;
mod shopify;
mod summary;
mod woocommerce;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ::store::{Read, Store};
use api::IMPORT_BODY_BYTES_MAX;
use bytes::Bytes;
use chassis::fields::BodyFault;
use chassis::{FieldError, Problem};
use futures::{Stream, StreamExt, TryStreamExt};
use mesh::Cause;

pub(crate) use self::columns::escape_part;
pub(crate) use self::encoding::FileEncoding;
pub(crate) use self::line::{ImportMode, ImportRules, StockRule};
pub(crate) use self::native::{
    ATTRIBUTE_PREFIX, ATTRIBUTES_COLUMN, PLAIN_COLUMNS, TAG_SEPARATOR, VALUE_SEPARATOR,
};
pub(crate) use self::reader::Format;
pub(crate) use self::summary::Summary;

use self::entry::{Entry, Remainder, line_faults};
use self::line::{LineEffect, ProductLine};
use self::reader::Reader;
use crate::Error;
use crate::effects::Effects;

/// Entries of one transaction: enough to share its sync, few enough that requests
/// in between do not wait for long.
const BATCH_ENTRIES: usize = 128;
/// Transactions queued at once.
const BATCHES_IN_FLIGHT: usize = 4;
/// Products of one file. Their SKUs are remembered, as a hash each, so that a SKU that comes
/// twice is noticed: this many are the most that a table of 2^21 slots (19 MiB) holds.
const PRODUCTS_MAX: usize = 1_800_000;
/// How long the client may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a body is imported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportOptions {
    pub(crate) format: Format,
    /// `None`: by its byte order mark, or UTF-8.
    pub(crate) encoding: Option<FileEncoding>,
    pub(crate) rules: ImportRules,
    /// Whether nothing is written.
    pub(crate) dry_run: bool,
}

/// Imports a body.
///
/// # Errors
/// When the body is interrupted, idle or too large, when a CSV has a header without SKUs, or
/// when the store fails. Lines before that are imported; importing the same file again
/// completes it.
pub(crate) async fn import<E>(
    store: &Store,
    effects: &Effects,
    cause: &Cause,
    options: ImportOptions,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Summary, Error> {
    let ImportOptions { format, encoding, rules, dry_run } = options;
    let intake = Intake {
        body: body.fuse(),
        reader: Reader::new(format, encoding),
        entries: Vec::new(),
        bytes: 0,
        ended: false,
        skus: SeenSkus::default(),
        store: store.clone(),
        rules,
    };
    let batches = futures::stream::try_unfold(intake, |mut intake: Intake<_>| async move {
        let batch = intake.batch().await?;
        Ok::<_, Error>((!batch.is_empty()).then_some((batch, intake)))
    });
    // Committed in order, so that an interrupted body is reported after everything before it
    // is durable.
    let commit = |batch: Result<LineBatch, Error>| async move {
        match batch? {
            batch if dry_run => Ok(batch.foreseen()),
            batch => batch.commit(store, effects, cause, rules).await,
        }
    };
    let mut outcomes = std::pin::pin!(batches.map(commit).buffered(BATCHES_IN_FLIGHT));
    let mut summary = Summary::new(dry_run);
    while let Some(outcome) = outcomes.try_next().await? {
        summary.add(outcome);
    }
    Ok(summary)
}

/// Lines of one transaction.
#[derive(Default)]
struct LineBatch {
    lines: Vec<DecidedLine>,
    /// With the first batch, the columns that are not read.
    ignored_columns: Vec<String>,
}

/// A line that was decided by the rows as they were when it was read.
struct DecidedLine {
    number: u64,
    decision: LineDecision,
}

impl LineBatch {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.ignored_columns.is_empty()
    }

    /// The summary of lines that are not written.
    fn foreseen(self) -> Summary {
        let mut summary = Summary::default();
        summary.ignore_columns(self.ignored_columns);
        for DecidedLine { number, decision } in self.lines {
            match decision {
                Ok((line, effect)) => summary.count(&line, &effect),
                Err(faults) => summary.fail(number, faults),
            }
        }
        summary
    }

    async fn commit(
        self,
        store: &Store,
        effects: &Effects,
        cause: &Cause,
        rules: ImportRules,
    ) -> Result<Summary, Error> {
        let (effects, cause) = (effects.clone(), cause.clone());
        let write = store.write_when_free(move |tx| {
            let mut summary = Summary::default();
            summary.ignore_columns(self.ignored_columns);
            for line in self.lines {
                let number = line.number;
                match line.current(rules, tx)? {
                    Ok((line, effect)) => {
                        summary.count(&line, &effect);
                        effect.apply(tx, &effects, &cause)?;
                    }
                    Err(faults) => summary.fail(number, faults),
                }
            }
            Ok(summary)
        });
        write.await
    }
}

/// A decision, or the faults of the line.
type LineDecision = Result<(ProductLine, LineEffect), Vec<FieldError>>;

impl DecidedLine {
    /// The decision, made anew if the product was changed since the line was read.
    fn current(self, rules: ImportRules, rows: &impl Read) -> Result<LineDecision, Error> {
        let (line, effect) = match self.decision {
            Ok(decided) => decided,
            Err(faults) => return Ok(Err(faults)),
        };
        if effect.holds(&line, rows)? {
            return Ok(Ok((line, effect)));
        }
        let anew = faults_apart(LineEffect::of(&line, &rules, rows))?;
        Ok(anew.map(|effect| (line, effect)))
    }
}

/// The faults of a line apart from failures, which end the import.
fn faults_apart<T>(decided: Result<T, Error>) -> Result<Result<T, Vec<FieldError>>, Error> {
    match decided {
        Ok(decided) => Ok(Ok(decided)),
        Err(Error::Invalid(faults)) => Ok(Err(line_faults(BodyFault::Invalid(faults)))),
        Err(Error::Unreadable(why)) => Ok(Err(line_faults(BodyFault::Unreadable(why)))),
        Err(failure) => Err(failure),
    }
}

/// The SKUs of a file so far, as hashes under a key that no file knows. Two of
/// [`PRODUCTS_MAX`] are taken for one with odds of one in ten million.
#[derive(Default)]
struct SeenSkus {
    key: RandomState,
    hashes: HashSet<u64>,
}

impl SeenSkus {
    /// Whether the SKU is a new one.
    fn add(&mut self, sku: &str) -> Result<bool, Error> {
        if self.hashes.len() >= PRODUCTS_MAX {
            return Err(Problem::bad_request(format!(
                "the file has more than {PRODUCTS_MAX} products; split it. The lines before were imported"
            ))
            .into());
        }
        Ok(self.hashes.insert(self.key.hash_one(sku)))
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
    skus: SeenSkus,
    store: Store,
    rules: ImportRules,
}

impl<S, E> Intake<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// The next lines, decided; none at the end.
    async fn batch(&mut self) -> Result<LineBatch, Error> {
        while self.entries.len() < BATCH_ENTRIES && !self.ended {
            match self.piece().await? {
                Some(piece) => self.reader.feed(&piece, &mut self.entries)?,
                None => self.ended = true,
            }
        }
        while self.entries.len() < BATCH_ENTRIES
            && self.reader.end(&mut self.entries)? == Remainder::More
        {}
        let count = self.entries.len().min(BATCH_ENTRIES);
        let entries: Vec<Entry> = self.entries.drain(..count).collect();
        let lines = entries.into_iter().map(|entry| self.decide(entry));
        let lines = lines.collect::<Result<_, _>>()?;
        Ok(LineBatch { lines, ignored_columns: self.reader.take_ignored_columns() })
    }

    fn decide(&mut self, Entry { line: number, content }: Entry) -> Result<DecidedLine, Error> {
        let line = match content {
            Ok(line) => line,
            Err(faults) => return Ok(DecidedLine { number, decision: Err(faults) }),
        };
        if !self.skus.add(&line.sku)? {
            let why = format!(
                "a line before has the SKU `{}` too; a SKU names one product",
                line.sku
            );
            let faults = vec![FieldError::new("/sku", why)];
            return Ok(DecidedLine { number, decision: Err(faults) });
        }
        let effect = faults_apart(LineEffect::of(&line, &self.rules, &self.store))?;
        Ok(DecidedLine { number, decision: effect.map(|effect| (line, effect)) })
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

/// The entries of a CSV body in these pieces; then how the body ended.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_csv<'b>(
    mut pieces: impl Iterator<Item = &'b [u8]>,
) -> (Vec<Entry>, Result<(), BodyFault>) {
    let (mut reader, mut entries) = (Reader::new(Format::Csv, None), Vec::new());
    let ended = pieces
        .try_for_each(|piece| reader.feed(piece, &mut entries))
        .and_then(|()| {
            while reader.end(&mut entries)? == Remainder::More {}
            Ok(())
        });
    (entries, ended)
}
