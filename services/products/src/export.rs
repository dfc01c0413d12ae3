//! Catalogues out, one product a line (NDJSON), streamed: what import takes.
//!
//! **Invariant:** a catalogue's size bounds time, never memory: pages are read as
//! the other side takes them.

use std::time::Duration;

use ::store::{Read, Store};
use bytes::Bytes;
use chassis::Problem;
use futures::Stream;
use serde::Serialize;

use crate::Error;
use crate::domain::{Content, ProductId};
use crate::store::{self, PRODUCTS};

/// How long the other side may take nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Products of one page, in bytes as sent.
const EXPORT_PAGE_BYTES: usize = 64 * 1024;
/// Pages made ahead of a slow reader.
const EXPORT_PAGES_AHEAD: usize = 2;

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
