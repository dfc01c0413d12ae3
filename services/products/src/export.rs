//! Export: the catalogue as NDJSON or CSV, in the formats of import.
//!
//! **Invariants:** a catalogue's size bounds time, never memory: backpressure from the
//! client limits how far pages are read ahead. An import of an export changes nothing.

mod table;

use std::time::Duration;

use ::store::{Read, Store};
use bytes::Bytes;
use chassis::Problem;
use futures::Stream;
use serde::Serialize;

use self::table::Table;
use crate::Error;
use crate::domain::{Content, ProductId, StockLevel};
use crate::tables::{self, PRODUCTS};

/// How long the client may read nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Products of one page, in bytes as sent.
const EXPORT_PAGE_BYTES: usize = 64 * 1024;
/// Pages read ahead of a slow client.
const EXPORT_PAGES_AHEAD: usize = 2;

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    Ndjson,
    Csv,
}

/// A line of JSON.
#[derive(Serialize)]
struct Exported<'a> {
    #[serde(flatten)]
    content: &'a Content,
    stock: i64,
}

/// The writer of a format.
enum LineWriter {
    Ndjson,
    Csv(Table),
}

impl LineWriter {
    fn new(format: ExportFormat, store: &Store) -> Result<Self, Error> {
        Ok(match format {
            ExportFormat::Ndjson => Self::Ndjson,
            ExportFormat::Csv => Self::Csv(Table::of_catalogue(store)?),
        })
    }

    /// What stands before the first product.
    fn head(&self) -> Vec<u8> {
        match self {
            Self::Ndjson => Vec::new(),
            Self::Csv(table) => table.head(),
        }
    }

    fn write(&self, page: &mut Vec<u8>, content: &Content, level: StockLevel) -> Result<(), Error> {
        match self {
            Self::Ndjson => {
                let line = Exported { content, stock: level.on_hand };
                serde_json::to_writer(&mut *page, &line)
                    .map_err(|error| Error::Refused(Problem::internal(error)))?;
                page.push(b'\n');
            }
            Self::Csv(table) => table.write(page, content, level),
        }
        Ok(())
    }
}

/// Every product in any status, oldest first, as chunks of lines. An error aborts the
/// response, so that it cannot be taken for a complete smaller catalogue.
pub(crate) fn export(
    store: Store,
    format: ExportFormat,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let (pages, inbox) = flume::bounded(EXPORT_PAGES_AHEAD);
    tokio::task::spawn_blocking(move || {
        // A client that is gone or idle does not need the rest.
        let send = |page: Result<Bytes, Error>| {
            let failed = page.is_err();
            pages.send_timeout(page, IDLE_TIMEOUT).is_ok() && !failed
        };
        let writer = match LineWriter::new(format, &store) {
            Ok(writer) => writer,
            Err(error) => {
                send(Err(error));
                return;
            }
        };
        let head = writer.head();
        if !head.is_empty() && !send(Ok(head.into())) {
            return;
        }
        let mut after = None;
        loop {
            let page = export_page(&store, &writer, after.as_ref());
            let (page, last) = match page {
                Ok(Some((page, last))) => (Ok(page), Some(last)),
                Ok(None) => return,
                Err(error) => (Err(error), None),
            };
            if !send(page) {
                return;
            }
            after = last;
        }
    });
    inbox.into_stream()
}

fn export_page(
    store: &Store,
    writer: &LineWriter,
    after: Option<&ProductId>,
) -> Result<Option<(Bytes, ProductId)>, Error> {
    let rows = match after {
        Some(last) => PRODUCTS.all().after(last),
        None => PRODUCTS.all(),
    };
    let (mut page, mut last) = (Vec::with_capacity(EXPORT_PAGE_BYTES), None);
    for row in store.scan(rows)? {
        let (id, product) = row?;
        let level = tables::level(store, id)?.unwrap_or_default();
        writer.write(&mut page, &product.content, level)?;
        last = Some(id);
        if page.len() >= EXPORT_PAGE_BYTES {
            break;
        }
    }
    Ok(last.map(|last| (page.into(), last)))
}
