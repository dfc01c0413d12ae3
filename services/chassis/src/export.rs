//! Exports: bodies that are made page by page while the client reads them.
//!
//! **Invariant:** the size of an export bounds its time and never memory: backpressure from the
//! client limits how far pages are made ahead.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;

/// How long the client may read nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pages made ahead of a slow client.
const PAGES_AHEAD: usize = 2;

/// The size from which on a page of lines is full, in bytes as sent.
pub const PAGE_BYTES: usize = 64 * 1024;

/// The media type of newline-delimited JSON, which has no registered one.
pub const NDJSON: &str = "application/x-ndjson";
/// The media type of a table for spreadsheets.
pub const CSV: &str = "text/csv; charset=utf-8";

/// The formats of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportFormat {
    /// A JSON object a line.
    #[default]
    Ndjson,
    /// A table for spreadsheets.
    Csv,
}

impl ExportFormat {
    /// The media type of its files.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => NDJSON,
            Self::Csv => CSV,
        }
    }
}

/// The pages that `next_page` makes on a blocking thread, until it returns `None`. An error
/// aborts the response, so that it cannot be taken for a complete smaller one.
pub fn pages<E: Send + 'static>(
    mut next_page: impl FnMut() -> Result<Option<Bytes>, E> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> {
    let (pages, inbox) = flume::bounded(PAGES_AHEAD);
    tokio::task::spawn_blocking(move || {
        while let Some(page) = next_page().transpose() {
            if page.as_ref().is_ok_and(Bytes::is_empty) {
                continue;
            }
            let failed = page.is_err();
            // A client that is gone or idle does not need the rest.
            if pages.send_timeout(page, IDLE_TIMEOUT).is_err() || failed {
                return;
            }
        }
    });
    inbox.into_stream()
}
