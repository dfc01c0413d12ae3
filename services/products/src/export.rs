//! Export: the catalogue as NDJSON, one product a line, in the format of import.
//!
//! **Invariant:** a catalogue's size bounds time, never memory: backpressure from the
//! client limits how far pages are read ahead.

use std::time::Duration;

use ::store::{Read, Store};
use bytes::Bytes;
use chassis::Problem;
use futures::Stream;
use serde::Serialize;

use crate::Error;
use crate::domain::{Content, ProductId};
use crate::tables::{self, PRODUCTS};

/// How long the client may read nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Products of one page, in bytes as sent.
const EXPORT_PAGE_BYTES: usize = 64 * 1024;
/// Pages read ahead of a slow client.
const EXPORT_PAGES_AHEAD: usize = 2;

/// A line.
#[derive(Serialize)]
struct Exported<'a> {
    #[serde(flatten)]
    content: &'a Content,
    stock: i64,
}

/// Every product in any status, oldest first, as chunks of lines. An error aborts the
/// response, so that it cannot be taken for a complete smaller catalogue.
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
            // A client that is gone or idle does not need the rest.
            if pages.send_timeout(page, IDLE_TIMEOUT).is_err() || failed {
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
        let level = tables::level(store, id)?.unwrap_or_default();
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
